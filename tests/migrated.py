"""New databases with their tables, for tests that are not about how tables are made.

One SQLite file per test process is migrated as `Store.upgrade` does it; every other one is a copy
of it, which takes milliseconds instead of a third of a second.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TypeVar

from ivr.store import Store

Kind = TypeVar("Kind", bound=Store)


@functools.cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        store = Store(f"sqlite:///{path}")
        store.upgrade()
        store.close()  # the last one out moves all of the log into the file
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        return path.read_bytes()


def new(path: Path) -> Store:
    """A new SQLite database in this file, which must not be there yet."""
    return new_of(Store, path)


def new_of(kind: type[Kind], path: Path) -> Kind:
    """The same, opened as a store of this kind."""
    with path.open("xb") as file:
        file.write(_file())
    return kind(f"sqlite:///{path}")
