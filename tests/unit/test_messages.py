"""What a flow keeps of a call is one message, or one caller who is known."""

from __future__ import annotations

from datetime import timedelta

from spooled import (
    CALL,
    HOURS,
    NOON,
)

from ivr.actions import Keep
from ivr.messages import keep, kept, listed
from ivr.store import Call, Contact, Message, Recording, Store, write_rows

pytest_plugins = ["databases"]


def test_a_message_is_made_of_what_the_flow_wishes() -> None:
    wish = Keep(
        9,
        "agent_complaint",
        (
            ("contact", "13800138000"),
            ("recording", "r.wav"),
            ("surname", "s.wav"),
            ("staff_number", "12"),
            ("item", "123456785"),
            ("quality", "fine"),
            ("extension", "8001"),
            ("company", ""),
        ),
        "24 h",
    )
    made = kept(CALL, wish, HOURS, NOON, 12.5)
    assert isinstance(made, Message)
    assert (made.source, made.source_key) == ("call", "pbx-1.1#9")
    assert (made.kind, made.hotline, made.call_id) == ("agent_complaint", "ems", "pbx-1.1")
    assert (made.caller, made.contact) == ("+8613800138000", "13800138000")
    assert (made.recording, made.surname_recording, made.seconds) == ("r.wav", "s.wav", 12.5)
    assert (made.staff_number, made.item, made.quality) == ("12", "123456785", "fine")
    assert made.fields == {"extension": "8001"}
    assert (made.within, made.due_at) == ("24 h", NOON + timedelta(hours=24))
    assert made == kept(CALL, wish, HOURS, NOON, 12.5)


def test_nothing_promised_is_nothing_due() -> None:
    made = kept(CALL, Keep(1, "suggestion"), HOURS, NOON)
    assert isinstance(made, Message)
    assert made.due_at is None


def test_who_a_caller_is_is_kept_under_the_number_they_call_from(store: Store) -> None:
    wish = Keep(3, "caller", (("contact", "010-12345678"), ("company", "c.wav"), ("surname", "")))
    made = kept(CALL, wish, HOURS, NOON)
    assert made == Contact(
        "ems", "13800138000", {"contact": "010-12345678", "company": "c.wav"}, NOON
    )
    withheld = Call("x", "pbx", "x", "ems", "11185", "", NOON)
    assert isinstance(kept(withheld, Keep(3, "caller"), HOURS, NOON), Message)
    assert keep(store, CALL, wish, HOURS, NOON).reference == "ems/13800138000"
    assert store.contact("ems", "13800138000") == {"contact": "010-12345678", "company": "c.wav"}


def test_the_same_wish_tried_twice_is_one_message(store: Store) -> None:
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
        write_rows(connection, Recording, [Recording("k", "message", NOON, None, "r.wav", 7.5)])
    wish = Keep(9, "message", (("recording", "r.wav"),), "2 working hours")
    first = keep(store, CALL, wish, HOURS, NOON)
    assert keep(store, CALL, wish, HOURS, NOON) == first
    [message] = listed(store, hotline="ems", state="new", call_id="pbx-1.1")
    assert (message.id, message.seconds) == (first.reference, 7.5)
    assert message.due_at == NOON + timedelta(hours=2)
