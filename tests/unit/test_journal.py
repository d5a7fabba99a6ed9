"""The journal: one id for one call, and the same rules whoever writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journalled import ANYTHING, CALL, NOON, entry

from ivr.events import HungUp
from ivr.journal import MemoryJournal, call_id
from ivr.store import Message, StorageFailed

NAMES = ANYTHING | st.text("a1.-_:/", max_size=3)
"""Any text; and such that differ by little, so that two are often alike but for bad characters."""


def test_a_call_has_one_id_and_it_is_fit_for_a_file_name() -> None:
    assert call_id("pbx", "pbx-1763.12") == "pbx-1763.12"
    assert call_id("pbx", "1763.12") == "pbx-1763.12"
    assert call_id("", "1763.12") == "1763.12"


def whole(system: str, uniqueid: str) -> str:
    """A call's name over all systems. Asterisk begins it with its system's if it has one."""
    begun = not system or uniqueid.startswith(f"{system}-")
    return uniqueid if begun else f"{system}-{uniqueid}"


@given(NAMES, NAMES, NAMES, NAMES)
def test_hostile_names_make_safe_and_different_ids(a: str, b: str, c: str, d: str) -> None:
    one, other = call_id(a, b), call_id(c, d)
    assert one[0].isalnum()
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert len(one) <= 80
    assert one == call_id(a, b)
    if whole(a, b) != whole(c, d):
        assert one != other


def test_names_that_differ_only_in_bad_characters_stay_different() -> None:
    assert call_id("a_b", "1") != call_id("a:b", "1")
    assert call_id("", "../../etc") != call_id("", "..-..-etc")


async def test_the_journal_in_memory_keeps_the_same_rules() -> None:
    journal = MemoryJournal()
    first = Message("m1", "call", "k", "ems", "message", NOON)
    for row in (CALL, entry(0, HungUp()), first, Message("m2", "call", "k", "ems", "x", NOON)):
        journal.append(row)
    await journal.committed("c1")
    assert journal.entries("c1") == [entry(0, HungUp())]
    assert journal.calls() == {"c1": CALL}
    assert journal.messages() == [first]
    journal.fails = True
    with pytest.raises(StorageFailed):
        await journal.committed()
    journal.close()
    with pytest.raises(StorageFailed):
        journal.append(CALL)
