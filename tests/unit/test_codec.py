"""Events and actions as text: each comes back equal, and the same values are the same bytes."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journalled import ANYTHING

from ivr import codec
from ivr.actions import Action, Say
from ivr.codec import ACTIONS, EVENTS, CodecError, canonical, decode, encode, side
from ivr.events import Event, Found, Key, Offered, Rung

KINDS: list[type[Event] | type[Action]] = [*EVENTS.values(), *ACTIONS.values()]


def any_value(hint: str) -> st.SearchStrategy[object]:
    return {
        "str": ANYTHING,
        "int": st.integers(),
        "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-99, 99),
        "bool": st.booleans(),
        "Values": st.lists(st.tuples(ANYTHING, ANYTHING), max_size=4).map(tuple),
    }[hint]


ANY = st.one_of(
    [
        st.builds(kind, **{one.name: any_value(str(one.type)) for one in fields(kind)})
        for kind in KINDS
    ]
)


@given(ANY)
def test_every_event_and_action_comes_back_equal_and_as_the_same_bytes(what: Event) -> None:
    data = encode(what)
    back = decode(side(what), type(what).__name__, data)
    assert back == what
    assert type(back) is type(what)
    assert encode(back) == data
    data.encode()  # whatever bytes a caller sent, the text is sound UTF-8


def test_the_closed_sets_are_all_the_classes_there_are() -> None:
    assert {"Offered", "HungUp", "Key", "Recorded", "StoreFailed"} <= set(EVENTS)
    assert {"Ring", "Say", "HangUp", "Note", "Keep"} <= set(ACTIONS)
    assert not {"Event", "Answer"} & set(EVENTS)
    assert not {"Action", "Foreground"} & set(ACTIONS)


def test_equal_values_are_the_same_bytes() -> None:
    assert encode(Offered("1001", rung=3)) == encode(Offered(number="1001", rung=3.0))
    assert encode(Say(1, "opening", (("name", "王"),))) == (
        '{"id":1,"keys":true,"prompt":"opening","slots":[["name","王"]],"voice":false}'
    )


@pytest.mark.parametrize(
    "what",
    [
        Rung(1, float("nan")),
        Rung(1, float("inf")),
        Rung(True),
        Key(5),  # type: ignore[arg-type]
        Found(1, (("a",),)),  # type: ignore[arg-type]
        Found(1, (("a", None),)),  # type: ignore[arg-type]
        Rung(1, 10**400),
        Event(),
    ],
)
def test_what_a_journal_cannot_hold_is_refused(what: Event) -> None:
    with pytest.raises(CodecError):
        encode(what)


@pytest.mark.parametrize(
    ("which", "name", "data"),
    [
        ("event", "Say", "{}"),
        ("action", "Key", '{"digit":"1"}'),
        ("event", "Answer", '{"id":1}'),
        ("event", "os.system", "{}"),
        ("thing", "Key", '{"digit":"1"}'),
        ("event", "Key", "{}"),
        ("event", "Key", '{"digit":1}'),
        ("event", "Key", '{"digit":"1","more":2}'),
        ("event", "Key", "[]"),
        ("event", "Key", "nonsense"),
        ("event", "Rung", '{"id":1,"rung":NaN}'),
    ],
)
def test_a_journal_that_makes_no_sense_is_told(which: str, name: str, data: str) -> None:
    with pytest.raises(CodecError):
        decode(which, name, data)


def test_an_old_journal_that_lacks_a_new_field_can_be_read() -> None:
    assert decode("event", "Offered", '{"number":"1001"}') == Offered("1001")


@given(
    st.recursive(
        st.none() | ANYTHING | st.integers(), lambda c: st.lists(c) | st.dictionaries(ANYTHING, c)
    )
)
@settings(max_examples=50)
def test_canonical_json_reads_back_equal(value: object) -> None:
    assert json.loads(canonical(value)) == value


def test_the_codec_refuses_field_types_it_was_not_taught() -> None:
    with pytest.raises(TypeError, match="cannot be journalled"):
        codec._converter(dict[str, str])
