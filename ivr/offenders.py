"""Callers whose calls were ended for harassment (骚扰), for ops to decide what to do about them.

Rules this module keeps:

- Numbers are masked. Whole ones are given to somebody with a staff number and a reason, and that
  they were is a row in `disclosures`, which nobody can change.
- Withheld numbers are nobody's, and are told as one.
- Everything here blocks.

Serves EMS-3, TEL-2.5b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from ivr.directory import normal
from ivr.store import Store
from ivr.tables import calls, disclosures, erasures

RESULT = "harassment"
"""What the record of such a call says as its `result`."""


@dataclass(frozen=True, slots=True)
class Offender:
    """A number, empty if withheld, and its calls that ended so, the latest first."""

    number: str
    lines: tuple[str, ...]
    calls: tuple[str, ...]
    last: datetime


def offenders(store: Store, least: int = 2, hotline: str | None = None) -> list[Offender]:
    """Callers with at least so many such calls, the worst first. Raises StorageFailed."""
    query = (
        select(calls.c.id, calls.c.caller, calls.c.hotline, calls.c.offered_at, calls.c.record)
        .where(
            calls.c.record.contains(RESULT),
            calls.c.id.not_in(select(erasures.c.call_id)),  # nobody is known of those any more
        )
        .order_by(calls.c.offered_at.desc(), calls.c.id)
    )
    if hotline is not None:
        query = query.where(calls.c.hotline == hotline)
    of: dict[str, list[tuple[str, str, datetime]]] = {}
    with store.read() as connection:
        for row in connection.execute(query):
            if row.record.get("result") == RESULT:
                number = normal(row.caller) or row.caller
                of.setdefault(number, []).append((row.id, row.hotline, row.offered_at))
    found = [
        Offender(
            number,
            tuple(sorted({line for _, line, _ in theirs})),
            tuple(call for call, _, _ in theirs),
            theirs[0][2],
        )
        for number, theirs in of.items()
        if len(theirs) >= least
    ]
    return sorted(found, key=lambda one: (-len(one.calls), one.number))


def disclosed(store: Store, found: Sequence[Offender], who: str, reason: str, at: datetime) -> None:
    """Write down that these numbers were given out whole, before they are. Raises StorageFailed."""
    row = {"at": at, "what": "offenders", "who": who, "reason": reason, "rows": len(found)}
    with store.write() as connection:
        connection.execute(insert(disclosures), [row])
