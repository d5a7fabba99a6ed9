"""Call-backs that are held back, given up or made after all, as things change around them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from promised import EVERY, HELLO, PERSON, Office, office, person, who_does
from sqlalchemy import text

from ivr import attempts, promises, tables, tickets
from ivr.clock import VirtualClock
from ivr.hotlines import Hotlines
from ivr.journal import Item, JournalFull, MemoryJournal
from ivr.promises import listed
from ivr.queueing import Claim
from ivr.store import Call, Store, write_rows

pytestmark = pytest.mark.usefixtures("service_logs")


def set_promises(store: Store, **values: object) -> None:
    with store.write() as connection:
        connection.execute(tables.promises.update().values(**values))


async def test_promises_of_a_line_that_may_not_call_do_not_starve_those_of_others(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        one.service.maintenance.add("lakala")
        for number in range(200):
            one.leave(number + 10, contact=f"1381111{number:04}", hotline="lakala")
        set_promises(store, due_at=monday.utc() + timedelta(hours=1))
        one.leave(1)
        await monday.run(
            lambda: any(p.state == "kept" for p in listed(store, states=EVERY)), limit=120
        )
        assert len(one.calls_to()) == 1


async def test_a_promise_tried_again_gets_a_place_whichever_process_dropped_its_last(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        agents = one.people.agents
        agents.set_busy("801", "test", monday.utc())
        one.leave()
        await one.quiet(6)
        assert agents.drop_place(one.promise.place)  # by the process that gave it up
        set_promises(store, state="given_up")
        promises.settle(store, one.promise.id, "open", "802", "", monday.utc())
        agents.set_ready("801", "test", monday.utc())
        await one.until("kept", limit=120)


async def test_a_promise_that_people_have_tried_again_is_tried_at_once_before_its_pause_is_over(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, agent=who_does("refuse", "accept")) as one:
        one.leave()
        await one.tried(limit=60)
        assert one.promise.next_at - monday.utc() > timedelta(seconds=50)
        promises.settle(store, one.promise.id, "open", "802", "", monday.utc())
        await monday.run(lambda: len(one.attempts) == 2, limit=20)
        await one.until("kept", limit=120)


async def test_what_is_broken_is_said_although_an_attempt_cannot_be_seen_to(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        one.leave()
        one.people.agents.set_busy("801", "test", monday.utc())
        assert attempts.begin(store, one.promise.id, "a dead one", "fake", monday.utc(), 3)
        set_promises(store, due_at=monday.utc() + timedelta(seconds=30))
        with store.write() as connection:
            refuse = "BEFORE UPDATE ON attempts BEGIN SELECT RAISE(ABORT, 'the disk fails'); END"
            connection.execute(text(f"CREATE TRIGGER failing {refuse}"))
        await one.quiet(60)
        event = ("UserEvent", "SanshengPromise")
        told = [dict(row)["What"] for row in one.fake.ami.actions if event in row]
        assert told == ["due_soon", "broken"]


async def rung(one: Office) -> None:
    """Time goes on until the agent is rung for the promise."""
    await one.clock.run(lambda: bool(one.calls_to("801")), limit=60)


async def test_nobody_is_rung_whose_line_has_closed_while_the_agent_heard_the_note(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, agent=who_does("accept", after=15.0)) as one:
        one.leave()
        await rung(one)
        one.service.maintenance.add("xjca")
        assert (await one.tried(limit=60)).result == "held_back"
        assert one.promise.tries == 0
        await one.quiet(120)
        assert one.calls_to() == []
        one.service.maintenance.discard("xjca")
        await one.until("kept", limit=120)


async def test_nobody_is_rung_whose_ticket_people_solve_while_the_agent_is_rung(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday, agent=who_does("accept", after=15.0)) as one:
        one.leave()
        await rung(one)
        with store.read() as connection:
            ticket = tickets.of_message(connection, one.promise.message_id)
        tickets.take(store, ticket, "802", monday.utc())
        tickets.change(store, ticket, "done", "802", monday.utc(), "I rang her")
        await one.until("kept", limit=120)
        assert one.calls_to() == []


@pytest.mark.parametrize("leg_of", ["", "fake-1.1"])
async def test_nobody_is_rung_who_is_on_the_line_with_us_in_another_call(
    lines: Hotlines, store: Store, monday: VirtualClock, leg_of: str
) -> None:
    async with office(lines, store, monday) as one:
        one.leave()
        now = monday.utc()
        other = Call("fake-9.9", "fake", "9.9", "xjca", "1001", PERSON, now, leg_of=leg_of)
        with store.write() as connection:
            write_rows(connection, Call, [other])
        await one.quiet(90)
        assert len(one.calls_to()) == (1 if leg_of else 0)


async def test_a_promise_with_more_calls_than_are_allowed_now_is_given_up_and_said(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        one.leave()
        set_promises(store, tries=3)
        await one.until("given_up", limit=60)
        await one.quiet(10)
        assert one.calls_to("801") == []
        event = ("UserEvent", "SanshengPromise")
        told = [dict(row)["What"] for row in one.fake.ami.actions if event in row]
        assert told == ["given_up"]
        with store.read() as connection:
            assert connection.execute(tables.places.select()).all() == []


async def test_an_attempt_that_we_make_is_never_taken_for_one_that_nobody_makes(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        one.leave()
        await rung(one)
        await one.callbacks._recover(one.attempts[0])  # as a look that began before it did
        await one.until("kept", limit=120)
        assert len(one.attempts) == 1


@pytest.mark.parametrize("system", ["fake", "another"])
async def test_only_attempts_of_our_own_asterisk_are_taken_over(
    lines: Hotlines, store: Store, monday: VirtualClock, system: str
) -> None:
    async with office(lines, store, monday) as one:
        one.people.agents.set_busy("801", "test", monday.utc())
        one.leave()
        assert attempts.begin(store, one.promise.id, "a dead one", system, monday.utc(), 3)
        await one.quiet(30)
        assert (one.attempts[0].ended_at is not None) == (system == "fake")


@pytest.mark.parametrize("placed", [False, True])
async def test_the_agent_complained_of_is_never_the_one_who_calls_back(
    lines: Hotlines, store: Store, monday: VirtualClock, placed: bool
) -> None:
    people = {"801": who_does("accept"), "802": who_does("accept"), PERSON: person(HELLO)}
    async with Office(lines, store, monday, people) as one:
        one.leave(kind="agent_complaint", about="801")
        if placed:  # a place that the caller left, for whoever is free
            made = one.promise
            one.people.agents.keep_place(made.place, made.hotline, "service", "", made.made_at)
        await one.quiet(60)
        assert one.calls_to("801") == []
        one.people.agents.set_ready("802", "test", monday.utc())
        await one.until("kept", limit=120)
        assert one.calls_to("801") == []
        assert one.attempts[0].agent == "802"


class Full(MemoryJournal):
    """The journal of a process whose disk takes nothing."""

    def append(self, row: Item) -> None:
        raise JournalFull("the disk is full")


async def test_an_agent_is_free_again_who_was_claimed_for_a_call_that_cannot_be_journalled(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        journal, one.service.journal = one.service.journal, Full()
        one.leave()
        await one.quiet(20)
        assert [(each.result, each.dialled_at) for each in one.attempts] == [("unknown", None)]
        one.service.journal = journal
        await one.until("kept", limit=300)


async def test_an_agent_is_free_again_who_was_claimed_for_a_line_that_went_with_a_reload(
    lines: Hotlines, store: Store, monday: VirtualClock
) -> None:
    async with office(lines, store, monday) as one:
        loaded, claimed = one.service.hotlines, one.callbacks.caller.claimed
        claims: list[Claim] = []

        def in_that_moment(claim: Claim) -> None:
            claims.append(claim)
            one.service.hotlines = replace(loaded, lines={}, callbacks={})
            claimed(claim)

        one.people.on_callback = in_that_moment
        one.leave()
        await one.quiet(15)
        one.people.on_callback, one.service.hotlines = claimed, loaded
        assert len(claims) == 1, "it was looked at again at once, and for ever"
        await one.until("kept", limit=300)
