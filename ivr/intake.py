"""Recordings that nobody works on any more become messages: after a crash, and after a time in
which the dialplan recorded without us.

Rules this module keeps:

- Slices of a call whose service died, and what the dialplan recorded, become a message, once.
  What the dialplan noted in Asterisk's database is known by (system name, uniqueid, name), once
  for ever.
- It may be killed between any two steps and begun again. The message is kept before the
  file in the spool goes, and that before the note in Asterisk's database goes.
- A message opens its ticket in the same transaction. Messages of an older version, which had
  none, get theirs.
- A file that still grows is left for the next time. So is one without a note, for a while.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, or_, select, update

from ivr.chain import lock
from ivr.directory import normal
from ivr.inserting import insert_new
from ivr.messages import call_named, message_id
from ivr.spool import NAME, SLICE, Spool
from ivr.store import Message, Recording
from ivr.tables import calls, messages, recordings
from ivr.tickets import Terms, learn, open_, without

SETTLED = timedelta(seconds=5)
"""A file that has not grown for so long is finished: Asterisk writes every half second."""

LATE = timedelta(minutes=15)
"""After this time, what belongs to an unfinished call or has no note in Asterisk's database will
not be completed by anybody else."""

KINDS = frozenset({"message", "complaint", "agent_complaint", "suggestion", "query", "person"})
"""Kinds of call that are also kinds of message."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an intake did: ids of the messages that are new, names of the notes in Asterisk's
    database that may be deleted now, and how many recordings are not finished yet."""

    messages: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    waiting: int = 0


class Intake:
    """Takes in what is left in one spool. `terms` gives the rules and hours of a line by its
    name, for the tickets; without it they are opened by the plain rule."""

    def __init__(self, spool: Spool, terms: Callable[[str], Terms] | None = None) -> None:
        self._spool = spool
        self._terms = terms or (lambda hotline: Terms())

    def run(self, notes: Mapping[str, Mapping[str, str]]) -> Taken:
        """Make messages of everything that nobody works on any more. To be called at start and
        every few seconds from then on: what is not finished yet is left for the next time.

        `notes` are what the dialplan wrote into Asterisk's database for each recording's name:
        system, call (the uniqueid), hotline, number, caller, began and ended (seconds since 1970).
        Raises OSError, StorageFailed; calling it again goes on where it stopped.
        """
        made: list[str] = []
        done: list[str] = []
        waiting = 0
        for key, names in sorted(self._spool.left().items()):
            note = notes.get(key)
            sliced = bool(SLICE.fullmatch(names[0]))
            age = self._spool.age(names)
            unsettled = age < SETTLED or (not sliced and note is None and age < LATE)
            if unsettled or (sliced and age < LATE and self._still_up(key)):
                waiting += 1
                continue
            what = "message" if sliced else "fallback"
            row, paths = self._spool.secure(names, None, what)
            if row.reference is None:
                continue
            made += self._message(row) if sliced else self._fallback(key, note, row)
            self._spool.between("kept")
            self._spool.clear(paths)
        for key, note in sorted(notes.items()):
            if NAME.fullmatch(key) and self._spool.file(key) is None:
                known = self._spool.row(key)
                if known is not None or "ended" in note or self._spool.utc() - _began(note) > LATE:
                    made += self._fallback(key, note, known)
                    self._spool.between("noted")
                    done.append(key)
                else:
                    waiting += 1
        made += self._unfinished()
        self._older()
        return Taken(tuple(made), tuple(done), waiting)

    def _message(self, row: Recording) -> list[str]:
        """The message of a recording whose service died, if it has none yet."""
        if row.what != "message" or self._belongs(row):
            return []  # a surname goes with its call's message
        with self._spool.store.read() as connection:
            call = connection.execute(select(calls).where(calls.c.id == row.call_id)).one_or_none()
            surname = connection.execute(
                select(recordings.c.reference).where(
                    recordings.c.call_id == row.call_id, recordings.c.what == "surname"
                )
            ).scalar()
        kind = call.record.get("kind", "") if call is not None else ""
        source_key = f"spool:{row.key}"
        message = Message(
            id=message_id(source_key),
            source="call",
            source_key=source_key,
            hotline=call.hotline if call is not None else "",
            kind=kind if kind in KINDS else "message",
            created_at=row.created_at,
            call_id=call.id if call is not None else None,
            caller=call.caller if call is not None else "",
            contact=normal(call.caller) if call is not None else "",
            surname_recording=surname or "",
            recording=row.reference or "",
            seconds=row.seconds,
            quality=row.quality,
        )
        return self._keep(message)

    def _still_up(self, key: str) -> bool:
        """Whether the call that made this recording goes on, and may take it itself."""
        query = (
            select(calls.c.id)
            .join(recordings, recordings.c.call_id == calls.c.id)
            .where(recordings.c.key == key, calls.c.ended_at.is_(None))
        )
        with self._spool.store.read() as connection:
            return connection.execute(query).first() is not None

    def _belongs(self, row: Recording) -> bool:
        """Whether a message has this recording already."""
        with self._spool.store.read() as connection:
            query = select(messages.c.id).where(
                or_(
                    messages.c.recording == row.reference,
                    messages.c.surname_recording == row.reference,
                )
            )
            return connection.execute(query).first() is not None

    def _fallback(
        self, key: str, note: Mapping[str, str] | None, row: Recording | None
    ) -> list[str]:
        """The message that was left while we were away."""
        unknown = f"spool:{key}"
        if note is None:
            note, source_key, call_id = {}, unknown, None
        else:
            system, uniqueid = note.get("system", ""), note.get("call", note.get("uniqueid", ""))
            source_key = f"{system}/{uniqueid}/{key}"
            call_id = call_named(self._spool.store, system, uniqueid)
        message = Message(
            id=message_id(unknown),
            source="fallback",
            source_key=source_key,
            hotline=note.get("hotline", ""),
            kind="message",
            created_at=_began(note) if note or row is None else row.created_at,
            call_id=call_id,
            caller=note.get("caller", ""),
            contact=normal(note.get("caller", "")),
            recording=(row.reference if row is not None else None) or "",
            seconds=row.seconds if row is not None else 0.0,
            quality=row.quality if row is not None else "missing",
            fields={"number": note["number"]} if note.get("number") else {},
        )
        if source_key != unknown:
            self._learn(unknown, message)
        return self._keep(message)

    def _learn(self, unknown: str, message: Message) -> None:
        """A message taken in before its note was found gets what the note says."""
        with self._spool.store.write() as connection:
            lock(connection)  # as who changes a ticket: first the history, then the message
            changed = connection.execute(
                update(messages)
                .where(messages.c.source_key == unknown)
                .values(
                    source_key=message.source_key,
                    hotline=message.hotline,
                    call_id=message.call_id,
                    caller=message.caller,
                    contact=message.contact,
                    fields=message.fields,
                )
            )
            if changed.rowcount:
                learn(connection, message, self._terms(message.hotline), self._spool.utc())

    def _unfinished(self) -> list[str]:
        """Messages of calls that died between the recording and the keeping."""
        left = unfinished().where(recordings.c.created_at < self._spool.utc() - LATE)
        with self._spool.store.read() as connection:
            rows = [Recording(**row._mapping) for row in connection.execute(left)]
        return [made for row in rows for made in self._message(row)]

    def _keep(self, message: Message) -> list[str]:
        with self._spool.store.write() as connection:
            values = {name: getattr(message, name) for name in Message.__slots__}
            if not insert_new(connection, messages, [values]):
                return []
            open_(connection, message, self._terms(message.hotline), self._spool.utc())
            return [message.id]

    def _older(self) -> None:
        """Open the tickets of messages that an older version kept without one."""
        with self._spool.store.read() as connection:
            left = without(connection)
        for message in left:
            with self._spool.store.write() as connection:
                open_(connection, message, self._terms(message.hotline), self._spool.utc())


def unfinished() -> Select[Any]:
    """The finished recordings of which a message is still to be made, once they are LATE: those of
    calls that died, or still stand as up, before they left one. What another message has is none
    of them."""
    has = messages.alias("has")
    return (
        select(recordings)
        .join(calls, calls.c.id == recordings.c.call_id)
        .outerjoin(messages, messages.c.call_id == calls.c.id)
        .where(
            recordings.c.what == "message",
            recordings.c.reference.is_not(None),
            recordings.c.quality != "",
            recordings.c.erased_at.is_(None),
            or_(calls.c.ended_at.is_(None), calls.c.problem != "", calls.c.ended_by == "ops"),
            messages.c.id.is_(None),
            ~select(has.c.id)
            .where(
                or_(
                    has.c.recording == recordings.c.reference,
                    has.c.surname_recording == recordings.c.reference,
                )
            )
            .exists(),
        )
    )


def _began(note: Mapping[str, str]) -> datetime:
    text = note.get("began", note.get("time", ""))
    if re.fullmatch(r"\d{1,10}", text):
        return datetime.fromtimestamp(int(text), UTC)
    return datetime.fromtimestamp(0, UTC)  # a note that says nothing is old
