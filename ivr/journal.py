"""The journal: every event and action of every call, written once and never changed.

Rules this module keeps:

- It says what a journal promises, whoever writes it: `append` never waits for a disk, and
  `committed` is the barrier: what leaves the call (a promise, a ring) waits for it.
- Nothing is dropped silently. When storage fails, barriers fail at once: nothing may be promised.
- The same call always has the same id.
- A journal is exact; whoever shows one to people masks it first (`ivr.redact`). Writing one to the
  database is in `ivr.journal_writer`; reading, folding and replaying are in `ivr.replay`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from ivr.actions import Action
from ivr.codec import Side, side
from ivr.events import Event
from ivr.store import Call, Contact, Message, Recording, StorageFailed, Version


class JournalFull(StorageFailed):
    """So much waits for the disk already that this row was not accepted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event or action of one call: number `seq` of it, `at_ms` milliseconds after the call
    was offered."""

    call_id: str
    seq: int
    at_ms: int
    what: Event | Action

    @property
    def side(self) -> Side:
        return side(self.what)

    @property
    def name(self) -> str:
        return type(self.what).__name__


Item = Entry | Call | Version | Message | Contact | Recording


class Journal(Protocol):
    """Where a call writes down what happens."""

    def append(self, row: Item) -> None:
        """Take a row to be written; returns at once. Raises JournalFull."""

    async def committed(self, call_id: str | None = None) -> None:
        """Return when everything appended so far survives a crash. With a call's id, rows of
        other calls that could not be written do not matter. Raises StorageFailed."""

    def close(self) -> None:
        """Write what is left and end. Raises StorageFailed if something could not be written."""


def call_id(system: str, uniqueid: str) -> str:
    """The id of a call, made of Asterisk's names: letters, digits, `.`, `-`; never longer than
    80. The same call always has the same id, different calls have different ones."""
    prefixed = not system or uniqueid.startswith(f"{system}-")
    name = uniqueid if prefixed else f"{system}-{uniqueid}"
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,79}", name):
        return name
    digest = hashlib.sha256(f"{system}\x00{uniqueid}".encode("utf-8", "surrogatepass"))
    clean = re.sub(r"[^A-Za-z0-9.-]", "-", name).lstrip(".-")[:60]
    return f"{clean}-{digest.hexdigest()[:16]}".lstrip("-")


class MemoryJournal:
    """A journal without a disk, for simulation and tests; the same rules.

    `fails` makes that nothing is committed any more, as a scenario may ask.
    """

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.rows: list[Item] = []
        self._entries: dict[str, list[Entry]] = {}
        self._closed = False

    def append(self, row: Item) -> None:
        if self._closed:
            raise StorageFailed("the journal is closed")
        self.rows.append(row)
        if isinstance(row, Entry):
            self._entries.setdefault(row.call_id, []).append(row)

    async def committed(self, call_id: str | None = None) -> None:
        if self.fails:
            raise StorageFailed("the scenario says that storage fails")

    def close(self) -> None:
        self._closed = True

    def entries(self, call_id: str) -> list[Entry]:
        return list(self._entries.get(call_id, ()))

    def calls(self) -> dict[str, Call]:
        """The last state of every call, in the order in which they were offered."""
        return {row.id: row for row in self.rows if isinstance(row, Call)}

    def messages(self) -> list[Message]:
        kept: dict[str, Message] = {}
        for row in self.rows:
            if isinstance(row, Message):
                kept.setdefault(row.source_key, row)
        return list(kept.values())
