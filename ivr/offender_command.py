"""The command `sansheng offenders`: callers whose calls were ended for harassment.

Rules this module keeps:

- The rules of `ivr.cli`: it reads its options, calls one module and shows the result.
- Numbers are masked, unless somebody asks for whole ones with a reason; who asked, for what and
  why is written down.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ivr.options import MOST, Json, LineOption, known_line, looking_back, moments, staff_number
from ivr.showing import Refused, show


def offenders(
    least: Annotated[int, typer.Option(min=1, max=MOST, help="With so many such calls.")] = 2,
    line: LineOption = None,
    full: Annotated[bool, typer.Option("--full", help="Whole numbers; needs the two below.")] = (
        False
    ),
    by: Annotated[str, typer.Option("--by", help="Staff number of who asks.")] = "",
    reason: Annotated[str, typer.Option(help="Why; both are written down.")] = "",
    as_json: Json = False,
) -> None:
    """Callers whose calls were ended for harassment, the worst first (骚扰来电)."""
    from ivr import offenders as who
    from ivr.redact import mask

    known_line(line)
    if full and not reason.strip():
        raise Refused("whole numbers are given for a reason: --by STAFF --reason TEXT")
    store = looking_back()
    found = who.offenders(store, least, line)
    if full:
        who.disclosed(store, found, staff_number(by), reason, datetime.now(UTC))
    rows: list[dict[str, Any]] = [
        {
            "number": (one.number if full else mask(one.number)) or "(withheld)",
            "times": len(one.calls),
            "last": one.last.isoformat(timespec="seconds"),
            "lines": list(one.lines),
            "calls": list(one.calls),
        }
        for one in found
    ]
    times = moments()
    brief = [
        {**row, "last": times(row["last"], row["lines"][0]), "calls": row["calls"][0]}
        for row in rows
    ]
    show(brief, as_json, "offenders", whole=rows, times=times)
