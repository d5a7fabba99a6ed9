"""The journal: exact, in order, never silently short, and replayed byte for byte."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ivr import codec, journal_writer, tables
from ivr.actions import Action, HangUp, Keep, Listen, Note, PickUp, Ring, Say
from ivr.clock import SystemClock
from ivr.codec import ACTIONS, EVENTS, CodecError, canonical, decode, encode, side
from ivr.events import Answered, EndAsked, Event, Found, HungUp, Key, Offered, Rung, Said, Silence
from ivr.journal import Entry, JournalFull, MemoryJournal, call_id
from ivr.journal_writer import Writer
from ivr.redact import mask, masked, redacted
from ivr.replay import call, calls, entries, fold, replay
from ivr.store import Call, Message, StorageFailed, Store, Version

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALL = Call("c1", "pbx", "1.1", "ems", "11185", "13800138000", NOON)


def entry(seq: int, what: Event | Action, at_ms: int = 0, of: str = "c1") -> Entry:
    return Entry(of, seq, at_ms, what)


# ---------------------------------------------------------------- the codec

KINDS: list[type[Event] | type[Action]] = [*EVENTS.values(), *ACTIONS.values()]
ANYTHING = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=20)


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


# ---------------------------------------------------------------- names


def test_a_call_has_one_id_and_it_is_fit_for_a_file_name() -> None:
    assert call_id("pbx", "pbx-1763.12") == "pbx-1763.12"
    assert call_id("pbx", "1763.12") == "pbx-1763.12"
    assert call_id("", "1763.12") == "1763.12"


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_hostile_names_make_safe_and_different_ids(a: str, b: str, c: str, d: str) -> None:
    one, other = call_id(a, b), call_id(c, d)
    assert one[0].isalnum()
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert len(one) <= 80
    if (a, b) == (c, d):
        assert one == other


def test_names_that_differ_only_in_bad_characters_stay_different() -> None:
    assert call_id("a_b", "1") != call_id("a:b", "1")
    assert call_id("", "../../etc") != call_id("", "..-..-etc")


# ---------------------------------------------------------------- the writer


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    made = Writer(store, clock=SystemClock())
    yield made
    made.close()


async def test_what_is_committed_is_in_the_database_in_order(store: Store, writer: Writer) -> None:
    writer.append(Version("h", "ems", {"flow": 1}, NOON))
    writer.append(CALL)
    said = [entry(seq, Key(str(seq % 10)), seq) for seq in range(2500)]
    for one in said:
        writer.append(one)
    await writer.committed("c1")
    assert entries(store, "c1") == said
    assert writer.pending == 0


async def test_a_barrier_with_nothing_to_wait_for_returns_at_once(writer: Writer) -> None:
    await writer.committed()
    assert writer.batches == 0


async def test_of_a_call_that_changes_the_last_state_counts(store: Store, writer: Writer) -> None:
    writer.append(CALL)
    writer.append(Call("c1", "pbx", "1.1", "ems", "11185", "1", NOON, answered_at=NOON))
    ended = Call(
        "c1", "pbx", "1.1", "ems", "11185", "138", NOON, record={"kind": "查询"}, ended_at=NOON
    )
    writer.append(ended)
    await writer.committed()
    assert call(store, "c1") == ended
    assert calls(store, hotline="ems", since=NOON, until=NOON + timedelta(seconds=1)) == [ended]
    assert calls(store, hotline="xjca") == []
    assert calls(store, until=NOON) == []
    with pytest.raises(KeyError):
        call(store, "unknown")


async def test_a_message_and_its_call_are_kept_in_one_transaction(
    store: Store, writer: Writer
) -> None:
    # appended the wrong way round: what is referred to still goes in first
    writer.append(Message("m1", "call", "c1#3", "ems", "message", NOON, call_id="c1"))
    writer.append(entry(0, Keep(3, "message")))
    writer.append(CALL)
    await writer.committed("c1")
    with store.read() as connection:
        assert connection.execute(select(tables.messages.c.id)).scalar_one() == "m1"


async def test_a_full_queue_raises_and_drops_nothing(store: Store) -> None:
    writer = Writer(store, clock=SystemClock(), limit=10, linger=30.0)
    writer.append(CALL)
    for seq in range(9):
        writer.append(entry(seq, HungUp()))
    with pytest.raises(JournalFull):
        writer.append(entry(9, HungUp()))
    writer.close()
    assert len(entries(store, "c1")) == 9


async def test_closing_writes_what_is_left_and_refuses_more(store: Store) -> None:
    writer = Writer(store, clock=SystemClock(), linger=30.0)
    writer.append(CALL)
    writer.append(entry(0, HungUp()))
    writer.close()
    assert entries(store, "c1") == [entry(0, HungUp())]
    with pytest.raises(StorageFailed, match="closed"):
        writer.append(entry(1, HungUp()))
    writer.close()


async def test_a_row_that_no_storage_takes_fails_its_own_call_and_no_other(
    store: Store, writer: Writer
) -> None:
    good = Call("c2", "pbx", "1.2", "ems", "11185", "", NOON)
    for row in (
        CALL,
        good,
        entry(0, HungUp()),
        entry(0, HungUp()),
        entry(1, Rung(1, float("nan"))),
    ):
        writer.append(row)
    writer.append(entry(2, Rung(10**30)))
    writer.append(entry(0, HungUp(), of="c2"))
    await writer.committed("c2")
    with pytest.raises(StorageFailed):
        await writer.committed("c1")
    assert entries(store, "c2") == [entry(0, HungUp(), of="c2")]
    assert [one.seq for one in entries(store, "c1")] == [0, 2]
    assert writer.pending == 0
    assert writer.trouble == ""


async def test_nobody_waits_for_ever_when_even_the_log_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(journal_writer, "log", structlog.PrintLogger(closed))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    writer = Writer(store, clock=SystemClock())
    writer.append(entry(0, HungUp(), of="a call that was never written"))
    with pytest.raises(StorageFailed):
        await asyncio.wait_for(writer.committed(), 10)
    with pytest.raises(StorageFailed):
        writer.close()


async def test_a_barrier_over_everything_fails_with_any_row_that_was_refused(
    writer: Writer,
) -> None:
    writer.append(entry(0, HungUp(), of="a call that was never written"))
    with pytest.raises(StorageFailed):
        await writer.committed()


async def until(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    async with asyncio.timeout(10):
        while not condition():
            await clock.sleep(0.01)


async def test_storage_that_fails_fails_barriers_at_once_and_recovers_with_nothing_lost(
    sqlite_store: Store, tmp_path: Path
) -> None:
    database, away = tmp_path / "test.db", tmp_path / "away"
    writer = Writer(sqlite_store, clock=SystemClock(), limit=100)
    writer.append(CALL)
    await writer.committed()
    sqlite_store.close()  # no connection is open: the next one finds no database
    for name in ("test.db-wal", "test.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    database.rename(away)
    database.mkdir()  # opening it fails, as on a full or missing disk

    writer.append(entry(0, HungUp()))
    with pytest.raises(StorageFailed, match="unable to open"):
        await writer.committed("c1")
    assert "unable to open" in writer.trouble
    began = time.perf_counter()
    with pytest.raises(StorageFailed):
        await writer.committed("c1")
    assert time.perf_counter() - began < 0.05
    writer.append(entry(1, HungUp()))

    database.rmdir()
    away.rename(database)
    await until(lambda: writer.pending == 0)
    await writer.committed("c1")
    assert writer.trouble == ""
    writer.close()
    assert [one.seq for one in entries(sqlite_store, "c1")] == [0, 1]


async def test_closing_while_storage_fails_says_how_much_is_lost(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/nowhere/x.db")
    writer = Writer(store, clock=SystemClock())
    writer.append(CALL)
    with pytest.raises(StorageFailed, match="1 rows were not written"):
        writer.close(timeout=0.3)


async def test_a_cancelled_barrier_harms_nobody(store: Store, writer: Writer) -> None:
    writer.append(CALL)
    waiting = asyncio.ensure_future(writer.committed())
    await asyncio.sleep(0)
    waiting.cancel()
    await writer.committed()
    assert call(store, "c1") == CALL


async def test_appending_costs_the_call_about_a_microsecond(sqlite_store: Store) -> None:
    """A figure more than a test: generous bounds, since other work shares the machine."""
    writer = Writer(sqlite_store, clock=SystemClock())
    writer.append(CALL)
    rows = [entry(seq, Say(seq, "menu"), seq) for seq in range(20_000)]
    began = time.perf_counter()
    for row in rows:
        writer.append(row)
    appended = time.perf_counter()
    await writer.committed()
    done = time.perf_counter()
    each = (appended - began) / len(rows) * 1e6
    rate = len(rows) / (done - began)
    print(f"append() {each:.2f} µs; {rate:,.0f} events a second, durable")
    writer.close()
    assert each < 50
    assert rate > 2_000
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.journal)).scalar() == len(
            rows
        )


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


# ---------------------------------------------------------------- folding and replaying

TALK = [
    entry(0, Offered("11185", "138", rung=2.0), 0),
    entry(1, Ring(1, 5.0), 0),
    entry(2, Rung(1, 5.02), 3020),
    entry(3, PickUp(2), 3020),
    entry(4, Answered(2, 5.04), 3040),
    entry(5, Note("kind", "query"), 3040),
    entry(6, Say(3, "opening"), 3040),
    entry(7, HungUp(), 9000),
    entry(8, Note("kind", "silent"), 9000),
]


def test_the_row_of_a_call_follows_from_its_journal() -> None:
    row = fold(CALL, TALK)
    assert row.rung_ms == 5040
    assert row.answered_at == NOON + timedelta(milliseconds=3040)
    assert row.ended_at == NOON + timedelta(seconds=9)
    assert row.ended_by == "caller"
    assert row.record == {"kind": "silent", "kinds": "query silent"}
    assert fold(row, TALK) == row


def test_who_ended_a_call_is_told_right() -> None:
    ours = [*TALK[:7], entry(7, HangUp(4), 8000), entry(8, HungUp(), 8100)]
    assert fold(CALL, ours).ended_by == "us"
    assert fold(CALL, ours).ended_at == NOON + timedelta(seconds=8)
    ops = [*TALK[:7], entry(7, EndAsked(), 7000), entry(8, HangUp(4), 8000)]
    assert fold(CALL, ops).ended_by == "ops"
    noted = [*TALK[:7], entry(7, Note("ended_by", "bad line")), entry(8, HangUp(4), 8000)]
    assert fold(CALL, noted).ended_by == "bad line"


def machine(state: int, event: Event) -> tuple[int, list[Action]]:
    """A small machine: counts, and says what it counted."""
    if isinstance(event, HungUp):
        return state, []
    return state + 1, [Say(state, "count"), Listen(state, 2.0)]


def journalled(*events: Event) -> list[Entry]:
    state, rows = 0, []
    for event in events:
        rows.append(entry(len(rows), event))
        state, actions = machine(state, event)
        for action in actions:
            rows.append(entry(len(rows), action))
    return rows


GOOD = journalled(Offered("1001"), Said(0), Silence(1), HungUp())


def test_a_replay_yields_the_same_actions_byte_for_byte() -> None:
    result = replay(GOOD, 0, machine)
    assert result.difference is None
    assert not result.cut
    assert (result.events, result.actions) == (4, 6)


def test_the_first_difference_is_told_with_its_place() -> None:
    rows = [*GOOD]
    rows[5] = entry(5, Listen(1, 3.0))
    result = replay(rows, 0, machine)
    assert result.difference is not None
    assert result.difference.seq == 5
    assert 'Listen {"id":1,"seconds":3.0' in str(result.difference)
    assert '"seconds":2.0' in str(result.difference)


def test_an_action_too_many_and_one_too_few_are_differences() -> None:
    more = [*GOOD[:3], entry(3, Note("a", "b")), *GOOD[3:]]
    found = replay(more, 0, machine).difference
    assert found is not None
    assert (found.expected, found.got) == ('Note {"key":"a","value":"b"}', "")
    fewer = [*GOOD[:5], *GOOD[6:]]
    found = replay(fewer, 0, machine).difference
    assert found is not None
    assert found.expected == ""


def test_a_journal_that_a_crash_cut_short_is_no_difference_but_is_told() -> None:
    result = replay(GOOD[:5], 0, machine)
    assert result.difference is None
    assert result.cut


def test_a_journal_that_begins_with_an_action_is_told() -> None:
    with pytest.raises(ValueError, match="begins with an action"):
        replay(GOOD[1:], 0, machine)


def test_an_erased_call_replays_as_nothing(store: Store) -> None:
    assert entries(store, "never was") == []
    assert replay([], 0, machine).events == 0


# ---------------------------------------------------------------- what people may see


def test_a_number_shows_its_last_four_digits() -> None:
    assert mask("13800138000") == "*******8000"
    assert mask("8001") == "8001"
    assert mask("") == ""
    assert masked("call 13800138000 or +86 10 1234-5678, line 11185") == (
        "call *******8000 or ************5678, line 11185"
    )


def test_a_number_keyed_in_is_masked_like_one_written() -> None:
    keyed = [entry(n, Key(digit)) for n, digit in enumerate("13800138000")]
    rest = [entry(11, Said(1)), entry(12, Key("1")), entry(13, Note("contact", "13800138000"))]
    shown = redacted([*keyed, *rest])
    digits = [one.what.digit for one in shown if isinstance(one.what, Key)]
    assert "".join(digits) == "???????80001"
    assert shown[-1].what == Note("contact", "*******8000")
    assert [one.seq for one in shown] == list(range(14))


def test_masking_changes_nothing_that_is_no_number() -> None:
    rows = [entry(0, Say(3, "opening", (("addressee", "王女士"),))), entry(1, Key("2"))]
    assert redacted(rows) == rows


def test_the_codec_refuses_field_types_it_was_not_taught() -> None:
    with pytest.raises(TypeError, match="cannot be journalled"):
        codec._converter(dict[str, str])
