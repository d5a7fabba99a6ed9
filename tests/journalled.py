"""Rows of a journal, and any text that may stand in one."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from ivr.actions import Action
from ivr.events import Event
from ivr.journal import Entry
from ivr.simulate import Outcome
from ivr.store import Call

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALL = Call("c1", "pbx", "1.1", "ems", "11185", "13800138000", NOON)
ANYTHING = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=20)


def entries(outcome: Outcome, call: str = "c1") -> list[Entry]:
    """What happened in a rehearsed call, as its journal has it."""
    return [
        Entry(call, seq, round(moment.at * 1000), moment.what)
        for seq, moment in enumerate(outcome.moments)
    ]


def entry(seq: int, what: Event | Action, at_ms: int = 0, of: str = "c1") -> Entry:
    return Entry(of, seq, at_ms, what)
