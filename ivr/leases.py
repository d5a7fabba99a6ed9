"""Leases (占用): what one of several processes is to say, it claims before and marks after.

Rules this module keeps:

- A table of announcements has a primary key that says what is announced, `claimed_at` and
  `told_at`. Whoever writes the row first has it; a claim that is older than `LEASE` and was never
  marked belonged to a process that died, and is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, or_, update

from ivr.inserting import insert_new

LEASE = timedelta(seconds=60)
"""After this time, what a process has claimed and not finished is taken over."""
AT_ONCE = 8
"""Things that are claimed at once: no claim may grow old before it is said."""


def held(table: Table, now: datetime) -> ColumnElement[bool]:
    """The rows of what has been said, or is being said by somebody."""
    return or_(table.c.told_at.is_not(None), table.c.claimed_at > now - LEASE)


def claimed(
    connection: Connection, table: Table, key: Mapping[str, Any], now: datetime, **fresh: Any
) -> bool:
    """Claim what `key` names; False if somebody has it. `fresh` are a new row's other values."""
    if insert_new(connection, table, [{**key, "claimed_at": now, **fresh}]):
        return True
    ours = [table.c[name] == value for name, value in key.items()]
    taken = connection.execute(update(table).where(*ours, ~held(table, now)).values(claimed_at=now))
    return taken.rowcount == 1
