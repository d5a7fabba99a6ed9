"""A database as a service makes it, for tests of commands that look back."""

from __future__ import annotations

from ivr.store import Store


def made(url: str) -> Store:
    """The database at this address, with its tables."""
    store = Store(url)
    store.upgrade()
    return store
