"""Two who want the same of a database at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, text

from ivr.store import Store

Result = TypeVar("Result")


def after(
    store: Store,
    first: Callable[[Connection], object],
    second: Callable[[], Result],
    meanwhile: Callable[[Connection], object] = lambda connection: None,
) -> Result:
    """What comes of `second`, which begins when `first` has been done, and waits until that is
    committed. On PostgreSQL: SQLite lets nobody begin."""
    waits = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as other:
        with store.write() as connection, store.engine.connect() as looking:
            first(connection)
            later = other.submit(second)
            while not looking.execute(waits).scalar():
                assert not later.done(), f"it did not wait: {later}"
                looking.rollback()  # its view of the activity is that of its transaction
            meanwhile(connection)
        return later.result(10)
