"""Reading the journal back: what a call was, and whether the machine would do it again.

Rules this module keeps:

- State is a fold of the journal: `Fold` makes a call's row from its entries, while the call
  lasts and again at any later time.
- A replay feeds the journalled events to the pure machine, with the flow version that the call
  began with, and compares the actions byte for byte.
- Reading the database blocks: on an event loop it goes through `clock.in_executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select

from ivr import tables
from ivr.actions import Action, HandOver, HangUp, Note
from ivr.codec import decode, encode
from ivr.events import Answered, EndAsked, Event, HungUp, Offered, Rung, Summoned
from ivr.journal import Entry
from ivr.record import noted
from ivr.store import Call, Store


def entries(store: Store, call_id: str) -> list[Entry]:
    """The journal of one call, in order; empty if there is none, or if it was erased.

    Raises CodecError for a row that makes no sense, StorageFailed.
    """
    table = tables.journal
    query = select(table).where(table.c.call_id == call_id).order_by(table.c.seq)
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [
        Entry(row.call_id, row.seq, row.at_ms, decode(row.side, row.name, row.data)) for row in rows
    ]


def call(store: Store, call_id: str) -> Call:
    """One call. Raises KeyError, StorageFailed."""
    with store.read() as connection:
        row = connection.execute(
            select(tables.calls).where(tables.calls.c.id == call_id)
        ).one_or_none()
    if row is None:
        raise KeyError(call_id)
    return Call(**row._mapping)


def calls(
    store: Store,
    *,
    hotline: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    legs: bool = False,
) -> list[Call]:
    """Calls, the latest first, `limit` of them at most. `since` is included, `until` is not.
    `legs`: also those that we placed to our own people's phones."""
    table = tables.calls
    query = select(table).order_by(table.c.offered_at.desc(), table.c.id).limit(limit)
    if hotline is not None:
        query = query.where(table.c.hotline == hotline)
    if since is not None:
        query = query.where(table.c.offered_at >= since)
    if until is not None:
        query = query.where(table.c.offered_at < until)
    if not legs:
        query = query.where(table.c.leg_of == "")
    with store.read() as connection:
        return [Call(**row._mapping) for row in connection.execute(query)]


def erased(store: Store, since: datetime, until: datetime) -> set[str]:
    """The ids of erased calls that were offered in this time, both ends included. Raises
    StorageFailed."""
    calls, erasures = tables.calls.c, tables.erasures.c
    query = (
        select(erasures.call_id)
        .join(tables.calls, calls.id == erasures.call_id)
        .where(calls.offered_at.between(since, until))
    )
    with store.read() as connection:
        return set(connection.execute(query).scalars())


class Fold:
    """A call's row as it follows from its entries, taken one by one.

    The row says of itself only what no entry can: ids, line, flow version, when it was offered.
    """

    def __init__(self, call: Call) -> None:
        self.call = replace(
            call, answered_at=None, ended_at=None, rung_ms=0, ended_by="", record={}
        )
        self._asked_to_end = False

    def take(self, entry: Entry) -> Call:
        """The row after this entry."""
        what, call = entry.what, self.call
        at = call.offered_at + timedelta(milliseconds=entry.at_ms)
        match what:
            case Offered():
                call = replace(call, rung_ms=round(what.rung * 1000))
            case Rung():
                call = replace(call, rung_ms=round(what.rung * 1000))
            case Answered():
                call = replace(call, answered_at=at, rung_ms=round(what.rung * 1000))
            case Summoned():
                call = replace(call, answered_at=at)
            case EndAsked():
                self._asked_to_end = True
            case Note():
                call = replace(call, record=noted(call.record, what.key, what.value))
                if what.key == "ended_by":
                    call = replace(call, ended_by=what.value)
            case HungUp() if call.ended_at is None:
                call = replace(call, ended_at=at, ended_by=call.ended_by or "caller")
            case HandOver() if call.ended_at is None:
                call = replace(call, ended_at=at, ended_by="us")
            case HangUp() if call.ended_at is None:
                ours = "ops" if self._asked_to_end else "us"
                call = replace(call, ended_at=at, ended_by=call.ended_by or ours)
        self.call = call
        return call


def fold(call: Call, entries: Iterable[Entry]) -> Call:
    """A call's row made of its journal alone."""
    folded = Fold(call)
    for entry in entries:
        folded.take(entry)
    return folded.call


State = TypeVar("State")
Step = Callable[[State, Event], tuple[State, Sequence[Action]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay first differs from its journal: the row's number, what the event was, the
    bytes that the journal holds, and those that came out ("" = none)."""

    seq: int
    after: str
    expected: str
    got: str

    def __str__(self) -> str:
        return (
            f"row {self.seq}, after {self.after}: the journal says {self.expected or 'nothing'}, "
            f"the replay says {self.got or 'nothing'}"
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went. `cut` says that the journal breaks off within the answer to its last
    event (the process died there); what it does hold is the same."""

    events: int
    actions: int
    difference: Difference | None = None
    cut: bool = False


def replay(entries: Sequence[Entry], state: State, step: Step[State]) -> Replay:
    """Feed a journal's events to the machine and compare the actions byte for byte.

    `state` is the state before the first event, of the flow version that the call began with.
    Stops at the first difference.
    """
    done = 0
    groups = list(_by_event(entries))
    for number, (event, journalled) in enumerate(groups):
        state, actions = step(state, event.what)  # type: ignore[arg-type]
        expected = [_bytes(entry.what) for entry in journalled]
        got = [_bytes(action) for action in actions]
        last = number == len(groups) - 1
        if last and len(expected) < len(got) and got[: len(expected)] == expected:
            return Replay(number + 1, done + len(expected), cut=True)
        for place in range(max(len(expected), len(got))):
            one = expected[place] if place < len(expected) else ""
            other = got[place] if place < len(got) else ""
            if one != other:
                seq = event.seq + 1 + place
                difference = Difference(seq, _bytes(event.what), one, other)
                return Replay(number + 1, done + place, difference)
        done += len(got)
    return Replay(len(groups), done)


def _bytes(what: Event | Action) -> str:
    return f"{type(what).__name__} {encode(what)}"


def _by_event(entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Each event with the actions that followed it. Raises ValueError if an action comes first."""
    event: Entry | None = None
    actions: list[Entry] = []
    for entry in entries:
        if entry.side == "event":
            if event is not None:
                yield event, actions
            event, actions = entry, []
        elif event is None:
            raise ValueError(f"the journal of {entry.call_id} begins with an action")
        else:
            actions.append(entry)
    if event is not None:
        yield event, actions
