"""How the notes of a call add up to its record."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.record import noted


def record(*notes: tuple[str, str]) -> dict[str, str]:
    return reduce(lambda before, note: noted(before, *note), notes, {})


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ("query", None),
        ("query query", None),
        ("query complaint", "query complaint"),
        ("query complaint query", "query complaint"),
        ("query complaint query person", "query complaint person"),
    ],
)
def test_of_what_a_call_was_about_nothing_is_lost(kinds: str, told: str | None) -> None:
    made = record(*(("kind", kind) for kind in kinds.split()))
    assert made["kind"] == kinds.split()[-1]
    assert made.get("kinds") == told


def test_other_notes_are_written_over() -> None:
    assert record(("result", "answered"), ("kind", "query"), ("result", "message")) == {
        "result": "message",
        "kind": "query",
    }


@given(st.lists(st.sampled_from("abcde")))
def test_every_kind_is_named_once_in_the_order_of_its_first_mention(kinds: list[str]) -> None:
    made = record(*(("kind", kind) for kind in kinds))
    assert made.get("kinds", made.get("kind", "")).split() == list(dict.fromkeys(kinds))
