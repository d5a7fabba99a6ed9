"""The questions a flow may ask: closed, exact, and without consequences."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.document import BadFile, Text
from ivr.guards import REGISTRY, guard, s10


def view(item_number: str = "digits", **slots: str) -> SimpleNamespace:
    line = SimpleNamespace(
        numbers={"11185": "", "01087654321": ""},
        settings={"item_number": item_number, "rating": "yes"},
        lookups={"item": SimpleNamespace(expected=60.0), "slow": SimpleNamespace(expected=181.0)},
        long_hold=180.0,
        staff=SimpleNamespace(agents={"801": None}),
    )
    return SimpleNamespace(line=line, slot=lambda name: slots.get(name, ""))


def ask(sentence: str, *views: SimpleNamespace) -> list[bool]:
    question = guard(Text.at(sentence, "flows/x.yaml", 3))
    return [question(one) for one in views]


# ---------------------------------------------------------------- item numbers


@pytest.mark.parametrize("digits", ["473124829", "123456785", "876543216", "555555555"])
def test_the_check_digit_of_a_real_item_number_is_right(digits):
    assert s10(digits)


@pytest.mark.parametrize("digits", ["473124829", "123456785", "876543216"])
def test_a_wrong_digit_is_noticed_as_often_as_the_standard_allows(digits):
    """Two remainders share a check digit, so one in eleven of some wrong numbers slips through."""
    wrong = [
        f"{digits[:place]}{other}{digits[place + 1 :]}"
        for place in range(9)
        for other in "0123456789"
        if other != digits[place]
    ]
    assert sum(map(s10, wrong)) <= len(wrong) // 11


@given(st.integers(0, 7))
def test_two_digits_changed_over_are_noticed(place):
    digits = "473124829"
    swapped = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
    assert s10(swapped) == (swapped == digits)


@given(st.text())
def test_anything_else_is_no_item_number_and_no_error(text):
    if not (len(text) == 9 and text.isascii() and text.isdigit()):
        assert not s10(text)


def test_a_line_says_how_its_item_numbers_are_made():
    assert ask("item_number", view("s10", item="473124829"), view("s10", item="473124828")) == [
        True,
        False,
    ]
    assert ask("item_number", view(item="20260001"), view(item="")) == [True, False]


# ---------------------------------------------------------------- telephone numbers


@pytest.mark.parametrize(
    ("number", "can_ring"),
    [
        ("13800138000", True),
        ("02087654321", True),
        ("8001", False),
        ("12345678901", False),
        ("4008001234", False),
        ("11185", False),
        ("01087654321", False),
        ("01011185", False),
        ("", False),
    ],
)
def test_numbers_that_we_could_ring_or_not_are_told_apart(number, can_ring):
    """By the one judgement that call-backs are made by (`ivr.directory`), our own left out."""
    assert ask("phone contact", view(contact=number)) == [can_ring]


@given(st.text(max_size=30))
def test_no_caller_can_break_the_question_with_a_number(text):
    assert ask("phone caller", view(caller=text))[0] in (True, False)


# ---------------------------------------------------------------- the others


def test_what_is_known_of_a_call_can_be_asked():
    assert ask("open", view(open="yes"), view()) == [True, False]
    assert ask("late", view(late="yes"), view()) == [True, False]
    assert ask("maintenance", view(maintenance="yes"), view()) == [True, False]
    assert ask("has surname", view(surname="r1"), view()) == [True, False]
    assert ask("is topic query", view(topic="query"), view(topic="advice")) == [True, False]
    assert ask("phone caller", view(caller="13800138000"), view(caller="")) == [True, False]
    assert ask("setting rating yes", view()) == [True]
    assert ask("long_lookup", view(lookup="slow"), view(lookup="item")) == [True, False]


@pytest.mark.parametrize("sentence", ["opened", "os.system x", "__class__", "has.surname"])
def test_a_guard_that_does_not_exist_is_told_with_its_place(sentence):
    with pytest.raises(BadFile, match=r"flows/x\.yaml:3 F120 there is no guard"):
        ask(sentence, view())


@pytest.mark.parametrize("sentence", ["has", "has two words", "is topic", "open now"])
def test_a_guard_takes_so_many_words_and_no_others(sentence):
    with pytest.raises(BadFile, match=r"flows/x\.yaml:3 F121"):
        ask(sentence, view())


def test_only_a_staff_number_of_this_line_is_an_agent():
    views = (view(wanted="801"), view(wanted="80"), view(wanted=""), view())
    assert ask("agent wanted", *views) == [True, False, False, False]


def test_a_guard_asks_whether_the_caller_has_hung_up():
    here, gone = view(), view()
    here.gone, gone.gone = False, True
    assert ask("gone", here, gone) == [False, True]


def test_every_guard_is_tried_here():
    assert set(REGISTRY) == {
        "late", "open", "maintenance", "has", "is", "setting", "phone", "item_number",
        "long_lookup", "agent", "gone",
    }  # fmt: skip
