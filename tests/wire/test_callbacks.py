"""Promises kept over the fake Asterisk, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from promised import EVERY, HELLO, PERSON, Office, office, person, who_does

from ivr import promises, tables
from ivr.actions import Action, Foreground, Keep, Note, Say
from ivr.call import Call, step
from ivr.calling_back import result_of
from ivr.clock import VirtualClock
from ivr.events import (
    Answered,
    BridgeOver,
    Event,
    HungUp,
    Key,
    Reached,
    Recorded,
    Said,
    Stored,
    StoreFailed,
)
from ivr.fake_phones import FakePhone
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.promises import listed
from ivr.store import Store
from ivr.tickets import history, of_message

pytestmark = pytest.mark.usefixtures("service_logs")


def heard(one: Office, number: str = PERSON, call: int = -1) -> list[str]:
    return one.calls_to(number)[call].ears.prompts


async def test_an_agent_then_the_person_who_says_who_they_are_and_they_talk(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=person(HELLO)) as one:
        one.leave()
        await one.until("kept")
        (attempt,) = one.attempts
        (channel,) = one.calls_to()
        assert channel.uniqueid == attempt.channel_id
        assert channel.caller == "1001"  # the line's own number, and no other
        assert attempt.result == "connected"
        assert channel.variables["SANSHENG_STAGE"] == "talked", "the dialplan is not to be sorry"
        assert heard(one) == [
            "callback.hello",
            "callback.hint",
            "callback.connecting",
            "closing.anything_else",
            "hint.anything_else",
            "closing.anything_else",
            "hint.anything_else",
            "callback.goodbye",
        ]
        agent = one.calls_to("801")[0]
        assert agent.ears.prompts[0] == "briefing.callback"
        assert attempt.dialled_at is not None
        with store.read() as connection:
            ticket = of_message(connection, one.promise.message_id)
        said = [(step.what, step.text) for step in history(store, ticket)]
        assert ("callback", "connected 801") in said


Happens = Callable[[int], Event]


def after_the_talk(line: Line, *happens: Happens) -> tuple[list[str], list[Action]]:
    """What a person hears from us whose talk is over, and everything that was wanted then; what
    happens is told the id that it answers."""
    talk: tuple[Happens, ...] = (
        lambda _: Reached(1, (("agent", "811"), ("contact", PERSON))),
        Answered,
        lambda _: Key("1"),
        Said,
    )
    call, at, wanted = Call(), 0, []
    for happening in (*talk, lambda at: BridgeOver(at, "agent", 30.0), *happens):
        call, wishes = step(line, call, happening(at))
        asked = (one.id for one in wishes if isinstance(one, Foreground | Keep))
        at, wanted = next(asked, at), [*wanted, *wishes]
    return [one.prompt for one in wanted if isinstance(one, Say)][2:], wanted


def test_who_wants_something_else_after_the_talk_leaves_it_and_the_two_have_talked(
    lines: Hotlines,
) -> None:
    said, wanted = after_the_talk(
        lines.lines["xjca"],
        *(lambda _: Key("1"), Said, Said),
        *(lambda at: Recorded(at, "r1", 3.0), Said, Said, lambda at: Recorded(at, "r2", 1.0)),
        *(lambda at: Stored(at, "m1"), Said, lambda _: Key("2")),
    )
    assert said == [
        *("closing.anything_else", "message.intro", "hint.record"),
        *("contact.surname", "hint.surname", "message.kept.message"),
        *("closing.anything_else", "callback.goodbye"),
    ]
    kept = next(one for one in wanted if isinstance(one, Keep))
    assert dict(kept.values)["contact"] == PERSON
    results = [one.value for one in wanted if isinstance(one, Note) and one.key == "result"]
    assert results[-2:] == ["message", "connected"]


TAKEN: tuple[Happens, ...] = (
    *(lambda _: Key("1"), Said, Said),
    *(lambda at: Recorded(at, "r1", 3.0), Said, Said, lambda at: Recorded(at, "r2", 1.0)),
)
"""Something else was left, and is being kept."""
GONE: tuple[Happens, ...] = (lambda _: HungUp(),)


@pytest.mark.parametrize(
    "happens",
    [
        (*TAKEN, lambda at: Stored(at, "m1"), *GONE),
        (*TAKEN, *GONE, lambda at: Stored(at, "m1")),
        (*TAKEN, lambda at: StoreFailed(at), *GONE),
        GONE,
    ],
    ids=["as it is said to be kept", "while it is being kept", "when it was lost", "at once"],
)
def test_whoever_has_talked_was_reached_however_the_call_ends_afterwards(
    lines: Hotlines, happens: tuple[Happens, ...]
) -> None:
    _, wanted = after_the_talk(lines.lines["xjca"], *happens)
    record = {one.key: one.value for one in wanted if isinstance(one, Note)}
    assert result_of(record, "failed") == ("connected", 30.0)


def test_who_has_not_talked_was_not_reached() -> None:
    assert result_of({"result": "no_agent", "talked": "9"}, "failed") == ("no_agent", 9.0)
    assert result_of({"result": "confirmed"}, "failed") == ("failed", 0.0)


def test_after_the_talk_it_is_rated_where_the_line_asks_for_that(lines: Hotlines) -> None:
    rated = (lambda _: Key("2"), lambda _: Key("5"))
    said, wanted = after_the_talk(lines.lines["ems"], *rated)
    assert said == ["closing.anything_else", "callback.rate", "callback.goodbye"]
    assert Note("rating", "5") in wanted


async def test_nothing_is_said_to_another_person_and_nobody_calls_there_again(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    wrong = person(("callback.hello", "2"))
    async with office(lines, store, monday, called=wrong) as one:
        one.leave()
        await one.until("given_up")
        assert heard(one) == ["callback.hello", "callback.hint", "callback.wrong"]
        assert [attempt.result for attempt in one.attempts] == ["wrong_person"]
        await one.quiet(900)
        assert len(one.calls_to()) == 1


@pytest.mark.parametrize(
    ("does", "result"),
    [("busy", "busy"), ("decline", "refused"), ("no_answer", "no_answer"), ("drop", "refused")],
)
async def test_who_is_not_reached_is_tried_again_after_a_pause_and_three_times_at_most(
    lines: Hotlines, store: Store, monday: VirtualClock, does: str, result: str
) -> None:
    async with office(lines, store, monday, called=who_does(does)) as one:
        one.leave()
        await one.until("given_up", limit=3600)
        assert [attempt.result for attempt in one.attempts] == [result] * 3
        made = [attempt.dialled_at for attempt in one.attempts if attempt.dialled_at]
        assert all(b - a >= timedelta(seconds=300) for a, b in pairwise(made))
        assert result in one.promise.reason
        await one.quiet(900)
        assert len(one.attempts) == 3


async def test_a_phone_that_is_off_is_unreachable(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=FakePhone()) as one:
        one.leave()
        assert (await one.tried()).result == "unreachable"


async def test_who_answers_and_says_nothing_hears_nothing(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=person()) as one:
        one.leave()
        assert (await one.tried()).result == "unconfirmed"
        assert set(heard(one)) == {"callback.hello", "callback.hint", "callback.unconfirmed"}


async def test_the_next_agent_is_asked_when_one_refuses_and_the_person_is_not_rung(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    refusing = who_does("refuse", "accept")
    async with office(lines, store, monday, agent=refusing, called=person(HELLO)) as one:
        one.leave()
        await one.until("kept")
        first, second = one.attempts
        assert (first.result, first.dialled_at) == ("no_agent", None)
        assert second.result == "connected"
        assert one.promise.tries == 1
        assert len(one.calls_to()) == 1


async def test_an_agent_who_leaves_while_it_rings_ends_the_ringing(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=person(HELLO, after=20.0)) as one:
        one.leave()
        await monday.run(lambda: bool(one.calls_to()), limit=600)
        await one.quiet(5)
        one.calls_to("801")[0].hang_up()
        await monday.run(lambda: not one.fake.channels and not one.callbacks.busy, limit=60)
        assert [attempt.result for attempt in one.attempts] == ["no_agent"]
        assert one.promise.state == "open"


async def test_a_person_who_leaves_at_the_question_frees_the_agent(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=person()) as one:
        one.leave()
        await monday.run(lambda: bool(one.calls_to() and heard(one)), limit=600)
        one.calls_to()[0].hang_up()
        await monday.run(lambda: not one.fake.channels and not one.callbacks.busy, limit=60)
        assert [attempt.result for attempt in one.attempts] == ["refused"]
        await one.people.settled()
        floor = one.people.agents
        assert floor.set_ready("801", "test", monday.utc()) == "ready"


async def test_two_promises_to_one_number_are_kept_one_after_the_other(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    people = {
        "801": who_does("accept", talks=40.0),
        "802": who_does("accept", talks=40.0),
        PERSON: person(HELLO),
    }
    async with Office(lines, store, monday, people) as one:
        now = monday.utc()
        await monday.in_executor(one.people.agents.set_ready, "802", "test", now)
        one.leave(1)
        one.leave(2)
        await monday.run(
            lambda: all(p.state == "kept" for p in listed(store, states=EVERY)), limit=3600
        )
        assert one.phones[PERSON].overlaps == 0
        assert len(one.calls_to()) == 2


async def test_nobody_is_called_out_of_hours_and_all_are_when_they_begin(
    lines: Hotlines, store: Store, tmp_path: Path
) -> None:
    clock = VirtualClock(datetime.fromisoformat("2026-11-23T01:20:00+00:00"), patience=10.0)
    async with office(lines, store, clock, called=person(HELLO)) as one:
        one.leave()
        opens = datetime.fromisoformat("2026-11-23T01:30:00+00:00")  # 9:30 on Monday
        await one.quiet((opens - clock.utc()).total_seconds() - 1)
        assert one.attempts == []
        await one.until("kept", limit=600)
        assert one.attempts[0].made_at >= opens
    clock.close()


async def test_maintenance_holds_call_backs_and_its_end_releases_them(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, called=person(HELLO)) as one:
        one.service.maintenance.add("xjca")
        one.leave()
        await one.quiet(300)
        assert one.attempts == []
        one.service.maintenance.discard("xjca")
        await one.until("kept", limit=120)


async def test_with_no_agent_the_promise_stays_is_broken_at_its_time_and_said(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        now = monday.utc()
        await monday.in_executor(one.people.agents.set_busy, "801", "test", now)
        one.leave()
        with store.write() as connection:
            times = {"made_at": now - timedelta(hours=24), "due_at": now + timedelta(seconds=7500)}
            connection.execute(tables.promises.update().values(**times))
        await one.quiet(330)
        assert one.promise.state == "open"
        with store.write() as connection:
            due = {"due_at": monday.utc() + timedelta(seconds=60)}
            connection.execute(tables.promises.update().values(**due))
        await one.quiet(70)
        assert one.promise.state == "broken"
        told = [row for row in one.fake.ami.actions if ("UserEvent", "SanshengPromise") in row]
        assert [dict(row)["What"] for row in told] == ["due_soon", "broken"]
        assert PERSON not in str(told)
        report = promises.report(store)[0]
        assert (report.broken, report.kept) == (1, 0)
        now = monday.utc()
        await monday.in_executor(one.people.agents.set_ready, "801", "test", now)
        await one.until("kept", limit=120)
        report = promises.report(store)[0]
        assert (report.broken, report.kept, report.late) == (0, 0, 1)


async def test_a_caller_still_on_the_line_is_not_called(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        one.leave()
        with store.write() as connection:
            connection.execute(tables.calls.update().values(ended_at=None))
        await one.quiet(300)
        assert one.attempts == []


def test_the_shipped_rules_show_a_number_of_the_line(lines: Hotlines) -> None:
    for name, rules in lines.callbacks.items():
        assert rules.shows in lines.lines[name].numbers
        assert replace(rules).attempts == 3
