"""Call-backs that are held back, given up or made after all, as things change around them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from promised import EVERY, MONDAY, PERSON, Office, person, who_does
from sqlalchemy import text

from ivr import attempts, promises, tables
from ivr.clock import VirtualClock
from ivr.fake_phones import FakePhone
from ivr.hotlines import Hotlines
from ivr.promises import listed
from ivr.store import Store

pytestmark = pytest.mark.usefixtures("service_logs")
HELLO = ("callback.hello", "1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/test.db")
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    clock = VirtualClock(MONDAY, patience=10.0)
    yield clock
    clock.close()


def office(
    lines: Hotlines,
    store: Store,
    clock: VirtualClock,
    agent: FakePhone | None = None,
    called: FakePhone | None = None,
) -> Office:
    people = {"801": agent or who_does("accept"), PERSON: called or person(HELLO)}
    return Office(lines, store, clock, people)


def set_promises(store: Store, **values: object) -> None:
    with store.write() as connection:
        connection.execute(tables.promises.update().values(**values))


async def test_promises_of_a_line_that_may_not_call_do_not_starve_those_of_others(
    lines: Hotlines, store: Store, clock: VirtualClock
) -> None:
    async with office(lines, store, clock) as one:
        one.service.maintenance.add("lakala")
        for number in range(200):
            one.leave(number + 10, contact=f"1381111{number:04}", hotline="lakala")
        set_promises(store, due_at=clock.utc() + timedelta(hours=1))
        one.leave(1)
        await clock.run(
            lambda: any(p.state == "kept" for p in listed(store, states=EVERY)), limit=120
        )
        assert len(one.calls_to()) == 1


async def test_a_promise_tried_again_gets_a_place_whichever_process_dropped_its_last(
    lines: Hotlines, store: Store, clock: VirtualClock
) -> None:
    async with office(lines, store, clock) as one:
        agents = one.people.agents
        agents.set_busy("801", "test", clock.utc())
        one.leave()
        await one.quiet(6)
        assert agents.drop_place(one.promise.place)  # by the process that gave it up
        set_promises(store, state="given_up")
        promises.settle(store, one.promise.id, "open", "802", "", clock.utc())
        agents.set_ready("801", "test", clock.utc())
        await one.until("kept", limit=120)


async def test_what_is_broken_is_said_although_an_attempt_cannot_be_seen_to(
    lines: Hotlines, store: Store, clock: VirtualClock
) -> None:
    async with office(lines, store, clock) as one:
        one.leave()
        one.people.agents.set_busy("801", "test", clock.utc())
        assert attempts.begin(store, one.promise.id, "a dead one", "fake", clock.utc(), 3)
        set_promises(store, due_at=clock.utc() + timedelta(seconds=30))
        with store.write() as connection:
            refuse = "BEFORE UPDATE ON attempts BEGIN SELECT RAISE(ABORT, 'the disk fails'); END"
            connection.execute(text(f"CREATE TRIGGER failing {refuse}"))
        await one.quiet(60)
        event = ("UserEvent", "SanshengPromise")
        told = [dict(row)["What"] for row in one.fake.ami.actions if event in row]
        assert told == ["due_soon", "broken"]
