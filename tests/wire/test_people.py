"""Callers and our own people in virtual time: the whole service, the real switchboard and its
database; only Asterisk, the phones and whoever holds them are stand-ins."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from structlog.testing import capture_logs

from ivr import actions, events
from ivr.fake_channel import Channel
from ivr.hotlines import Hotlines
from ivr.scenario import DOES, Act, HangUpAct, Press, Ring, Scenario
from ivr.scenario import World as Given
from ivr.tables import agents, places, seats
from ivr.wire_people import Crew
from ivr.wire_rehearsal import Stage, World, prompt_names

LINE = "xjca"
MONDAY = datetime.fromisoformat("2026-11-23T02:00:00+00:00")
"""Ten in the morning where the line is."""
SIGN_OF_LIFE = 30.0
MINUTES = 60.0
LET_GO = 0.5
"""Seconds after which nobody is rung any more for a caller who has left, or talks to nobody."""


@dataclass
class Caller:
    """A caller who asks for a person, agrees to whatever it takes, and hangs up after the goodbye.
    `keys` are pressed after a prompt, each time it has been heard; `patience` is when they hang up
    anyway, in seconds after they have been asked to wait."""

    number: str
    patience: float | None = None
    keys: Mapping[str, str] = field(
        default_factory=lambda: {"hint.agree": "1", "hint.anything_else": "2"}
    )
    waits: bool = False

    def began(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        if prompt == "opening":
            return [(1.2, Press("0"))]
        if prompt == "transfer.begin" and self.patience is not None and not self.waits:
            self.waits = True
            return [(self.patience, HangUpAct())]
        return []

    def ended(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        if prompt == "closing.goodbye":
            return [(0.3, HangUpAct())]
        return [(0.3, Press(self.keys[prompt]))] if prompt in self.keys else []


class Office:
    """A line with people in it, and what must hold when everybody has gone home."""

    def __init__(self, world: World, crew: Crew) -> None:
        self.world, self.crew, self.clock = world, crew, world.clock
        self.stages: list[Stage] = []
        self.seen: list[tuple[float, str, object]] = []
        world.service.on_entry = self._entry
        self.on: Callable[[str, object], None] = lambda caller, what: None
        self.rung: dict[str, tuple[str, int]] = {}
        self.troubled: list[str] = []
        self.expected: set[str] = set()
        """Errors that may be logged here."""

    def _entry(self, driver, what) -> None:
        if driver.row.leg_of:
            return
        caller = driver.row.caller
        self.seen.append((self.clock.now(), caller, what))
        if isinstance(what, actions.RingAgent):
            phone = self.crew.phones[what.agent]
            self.rung[caller] = (what.agent, len(phone.calls))
        elif isinstance(what, events.HungUp) and caller in self.rung:
            self.clock.call_later(LET_GO, lambda: self._let_go(*self.rung[caller]))
        self.on(caller, what)

    def _let_go(self, phone: str, number: int) -> None:
        """Whoever was rung for a caller who has left is troubled no more."""
        self.troubled += [
            phone for one in self.crew.phones[phone].calls[number : number + 1] if not one.dead
        ]

    def call(self, caller: Caller, at: float = 0.0) -> None:
        """They ring in so many seconds."""
        one = Scenario("rings", Path("-"), "", LINE, world=Given(caller=caller.number))
        self.clock.call_later(at, lambda: self.stages.append(self.world.place(one, caller)))

    async def until_all_is_over(self, calls: int, limit: float = 40 * MINUTES) -> None:
        await self.clock.run(
            lambda: len(self.stages) == calls and all(stage.outcome for stage in self.stages),
            limit=limit,
        )
        await self.clock.run_for(60.0)  # who was talking has wrapped up, who was rung is silent

    def leg(self, phone: str) -> Channel:
        """The latest call of this phone."""
        return self.crew.phones[phone].calls[-1]

    def talks(self) -> list[tuple[str, str]]:
        """Which caller talked to whom, in order."""
        agents_of: dict[str, str] = {}
        talks = []
        for _, caller, what in self.seen:
            if isinstance(what, events.Claimed):
                agents_of[caller] = what.agent
            elif isinstance(what, actions.Bridge):
                talks.append((caller, agents_of[caller]))
        return talks

    async def holds_nothing(self) -> None:
        """No channel, no leg, no claim, no place; nobody was rung twice at once."""
        assert not self.world.fake.channels
        assert not self.world.service.drivers
        assert self.crew.switchboard.legs.up == 0
        await self.crew.switchboard.settled()
        with self.crew.store.read() as connection:
            rows = connection.execute(select(agents.c.phone, agents.c.call_id)).all()
            assert [phone for phone, call in rows if call is not None] == []
            assert connection.execute(select(places.c.call_id)).all() == []
        assert self.troubled == []
        assert sum(phone.overlaps for phone in self.crew.phones.values()) == 0

    def longest_silence(self) -> float:
        """The longest time that a caller who talked to nobody heard no prompt begin."""
        return max(longest_silence(stage.channel) for stage in self.stages)


def longest_silence(channel: Channel) -> float:
    longest, since = 0.0, None
    for heard in channel.ears.heard:
        if since is not None:
            longest = max(longest, heard.at - since)
        if heard.kind in ("answered", "began", "parted", "feature"):
            since = heard.at
        elif heard.kind in ("bridged", "resumed bridge"):
            since = None
    return round(longest, 3)


@pytest.fixture
def office(lines: Hotlines):
    """Opens an office with these phones, and closes it."""
    names = prompt_names(lines)

    @asynccontextmanager
    async def office(**phones: Sequence[Ring]) -> AsyncIterator[Office]:
        rings = {name.removeprefix("p"): done for name, done in phones.items()}
        crew = Crew(rings, lambda path: names.get((LINE, path), ("", False, False)))
        with capture_logs() as logs:
            async with World(lines, MONDAY, crew=crew) as world:
                yield (made := Office(world, crew))
        bad = [entry for entry in logs if entry["log_level"] in ("error", "critical")]
        assert [entry for entry in bad if entry["event"] not in made.expected] == []

    return office


def result(stage: Stage) -> str:
    assert stage.outcome is not None
    return stage.outcome.record.get("result", "")


# ---------------------------------------------------------------- who gets whom


async def test_two_callers_and_one_agent_are_served_as_they_came(office):
    async with office(p801=[Ring(talks=40.0)]) as one:
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert one.talks() == [("13800000001", "801"), ("13800000002", "801")]
        assert [result(stage) for stage in one.stages] == ["transferred"] * 2
        assert one.crew.phones["801"].rung == 2
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


async def test_callers_and_agents_meet_in_the_order_of_the_line_and_of_idleness(office):
    phones = {f"p80{n}": [Ring(talks=20.0 + 30 * n)] for n in (1, 2, 3)}
    async with office(**phones) as one:
        for n in range(6):
            one.call(Caller(f"1380000000{n}"), at=3.0 * n)
        await one.until_all_is_over(6)
        callers = [caller for caller, _ in one.talks()]
        assert callers == [f"1380000000{n}" for n in range(6)]
        # the first to have wrapped up is the next
        assert [agent for _, agent in one.talks()] == ["801", "802", "803", "801", "802", "803"]
        await one.holds_nothing()


def at_random(chance: random.Random) -> list[Ring]:
    """What somebody does at twenty rings: mostly they take the call."""
    rings = []
    for _ in range(20):
        does = chance.choice(("accept",) * 6 + DOES)
        codes = ((chance.uniform(1, 5), "*1"), (chance.uniform(20, 80), "*2"))
        rings.append(
            Ring(
                does,
                after=chance.uniform(0.5, 18.0),
                hears=chance.choice((0.0, chance.uniform(0.2, 15.0))),
                talks=chance.uniform(0.0, 100.0),
                keys=codes if chance.random() < 0.3 else (),
            )
        )
    return rings


@pytest.mark.parametrize("seed", range(4))
async def test_ten_callers_and_three_agents_at_random_lose_nobody(office, seed):
    chance = random.Random(seed)
    async with office(**{f"p80{n}": at_random(chance) for n in (1, 2, 3)}) as one:
        for n in range(10):
            caller = Caller(f"1380000000{n}")
            if chance.random() < 0.4:
                caller.patience = chance.uniform(0.0, 120.0)
            one.call(caller, at=chance.uniform(0.0, 5 * MINUTES))
        await one.until_all_is_over(10)
        for stage in one.stages:
            record = stage.outcome.record
            assert record["ended_by"] in ("caller", "us")
            served = record.get("result") == "transferred" or any(
                wish.kind in ("person", "transfer_note") for wish in stage.kept
            )
            assert served or stage.outcome.ends == "caller"
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


# ---------------------------------------------------------------- the same instant


@pytest.mark.parametrize("late", [-0.002, -0.001, 0.0, 0.001, 0.002, 0.3])
async def test_a_caller_who_hangs_up_as_the_agent_accepts_leaves_a_free_agent(office, late):
    """The key that accepts is heard 0.1 s after it was pressed, 2 s after picking up."""
    async with office(p801=[Ring(talks=30.0)], p802=[]) as one:

        def picked_up(caller: str, what: object) -> None:
            if isinstance(what, events.AgentAnswered):
                accepts = 2.1 - (one.clock.now() - one.leg("801").ears.heard[0].at)
                one.clock.call_later(accepts + late, one.stages[0].channel.hang_up)

        one.on = picked_up
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.ends == "caller"
        assert one.leg("801").dead
        await one.holds_nothing()
        one.on = lambda caller, what: None
        one.call(Caller("13800000002"))
        await one.until_all_is_over(2)
        assert one.talks()[-1] == ("13800000002", "801"), "the agent is free for the next"
        await one.holds_nothing()


@pytest.mark.parametrize("phase", [actions.RingAgent, events.AgentAnswered, actions.Bridge])
@pytest.mark.parametrize("late", [0.0, 0.001, 0.01, 1.0])
async def test_a_caller_who_leaves_in_any_phase_lets_the_agent_go(office, phase, late):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, phase):
                one.clock.call_later(late, one.stages[0].channel.hang_up)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        await one.holds_nothing()


async def test_a_caller_who_leaves_as_an_agent_is_claimed_leaves_a_free_agent(office):
    """Both are known in the same instant; that the caller has left is heard first."""
    async with office(p801=[Ring(talks=30.0)]) as one:
        matched = one.crew.switchboard._matched

        def leaves(found) -> None:
            matched(found)
            if found.claims:
                (driver,) = one.world.service.drivers.values()
                driver.post(events.HungUp())
                one.stages[0].channel.hang_up()

        one.crew.switchboard._matched = leaves
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.crew.phones["801"].rung == 0
        await one.holds_nothing()


@pytest.mark.parametrize("after", [0.0, 0.001, 0.3])
async def test_an_agent_who_accepts_and_is_gone_before_the_talk_is_not_waited_for(office, after):
    """The caller hears the end of a prompt first, so that there is time to be gone."""
    async with office(p801=[Ring(after=0.5, hears=0.2, talks=30.0)]) as one:
        gone: list[float] = []

        def accepted(caller: str, what: object) -> None:
            if isinstance(what, events.AgentAccepted) and not gone:
                gone.append(one.clock.now())
                one.clock.call_later(after, one.leg("801").hang_up)

        one.on = accepted
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert gone
        assert result(one.stages[0]) == "transferred", "the agent was rung once more"
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


# ---------------------------------------------------------------- the manager is lost


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, events.AgentAccepted],
    ids=lambda kind: kind.__name__,
)
@pytest.mark.parametrize("late", [0.0, 0.5])
async def test_a_manager_connection_that_is_cut_loses_nobody(office, when, late):
    async with office(p801=[Ring(talks=30.0)]) as one:
        cut: list[float] = []
        one.expected = {"a phone cannot be rung"}

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when) and not cut:
                cut.append(one.clock.now())
                one.clock.call_later(late, one.world.fake.ami.cut)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert cut
        assert one.longest_silence() <= SIGN_OF_LIFE
        await one.holds_nothing()


async def test_a_manager_cut_in_a_conversation_does_not_end_it(office):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(5.0, one.world.fake.ami.cut)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.record["talked"] == "30"
        await one.holds_nothing()


async def away(one: Office, seconds: float) -> None:
    """The manager is away for so long."""
    fake = one.world.fake
    assert fake._server is not None
    port = fake._server.sockets[0].getsockname()[1]
    fake._server.close()
    fake.ami.cut()
    await one.clock.sleep(seconds)
    await fake.listen("127.0.0.1", port)


async def test_a_phone_that_rings_on_as_the_manager_is_away_is_hung_up_and_only_then_rung(office):
    async with office(p801=[Ring(after=15.0, talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.RingAgent) and caller == "13800000001":
                one.clock.call_later(6.0, leaves)

        def leaves() -> None:
            one.world.service.spawn(away(one, 3.0))
            one.stages[0].channel.hang_up()

        one.on = happened
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert one.talks() == [("13800000002", "801")]
        assert one.longest_silence() <= SIGN_OF_LIFE
        one.troubled.clear()  # it could not be hung up at once
        await one.holds_nothing()


@pytest.mark.parametrize("then", [Ring(talks=30.0), Ring("no_answer")], ids=lambda r: r.does)
async def test_a_leg_whose_end_was_missed_is_not_kept_and_not_in_the_way(office, then):
    """Both callers are told right what became of the phone that was rung for them."""
    async with office(p801=[Ring("refuse", hears=0.2), then, Ring(talks=30.0)]) as one:
        reasons: list[tuple[str, str]] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, events.AgentFailed):
                reasons.append((caller, what.reason))
                if len(reasons) == 1:
                    one.world.service.spawn(away(one, 2.0))

        one.on = happened
        one.call(Caller("13800000001"))
        one.call(Caller("13800000002"), at=2.0)
        await one.until_all_is_over(2)
        assert reasons[0] == ("13800000001", "refused")
        assert {reason for _, reason in reasons[1:]} <= {"no_answer"}
        assert one.talks()
        await one.holds_nothing()


async def test_an_agent_who_hangs_up_while_the_manager_is_away_is_not_rung_for_ever(office):
    async with office(p801=[Ring(talks=30.0)]) as one:

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(29.0, lambda: one.world.service.spawn(away(one, 3.0)))

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.stages[0].outcome.record["talked"] == "30"
        await one.holds_nothing()


# ---------------------------------------------------------------- agents' own codes


@pytest.mark.parametrize("wish", ["ready", "busy"])
async def test_an_agent_in_a_call_is_not_told_to_be_what_holds_only_after_it(office, wish):
    async with office(p801=[Ring(talks=30.0)]) as one:
        dialled: list[Channel] = []

        def dials() -> None:
            channel = one.world.fake.place_call("*82", path="agent", arguments=[wish])
            channel.name = "PJSIP/801-00000009"
            dialled.append(channel)

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge):
                one.clock.call_later(5.0, dials)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert [Path(path).name for path in dialled[0].ears.prompts] == ["common.beep"]


# ---------------------------------------------------------------- the lines are read again


async def test_an_agent_claimed_as_the_caller_left_and_the_line_went_is_free(office):
    async with office(p801=[Ring(talks=30.0)]) as one:
        matched = one.crew.switchboard._matched

        def leaves(found) -> None:
            if found.claims:
                one.crew.switchboard._places.clear()
                one.world.service.hotlines = replace(one.world.service.hotlines, lines={})
                one.stages[0].channel.hang_up()
            matched(found)

        one.crew.switchboard._matched = leaves
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        await one.holds_nothing()


async def test_a_phone_that_signs_in_before_the_database_knows_it_is_ready(office):
    async with office(p801=[]) as one:
        service, board = one.world.service, one.crew.switchboard
        with one.crew.store.write() as connection:
            connection.execute(delete(seats))
            connection.execute(delete(agents))
        asked, known = threading.Event(), one.crew.agents.set_ready

        def set_ready(*what) -> str:
            try:
                return known(*what)
            finally:
                asked.set()

        one.crew.agents.set_ready = set_ready
        board._do(lambda: asked.wait(10), lambda _: None)  # the database is slow
        board.sync(service.hotlines.lines)
        channel = one.world.fake.place_call("*81", path="agent", arguments=["ready"])
        channel.name = "PJSIP/801-00000001"
        await one.clock.run(lambda: channel.dead, limit=MINUTES)
        with one.crew.store.read() as connection:
            rows = connection.execute(select(agents.c.state).where(agents.c.phone == "801"))
            assert rows.scalar_one() == "ready"


# ---------------------------------------------------------------- the service is to stop


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, events.AgentAccepted],
    ids=lambda kind: kind.__name__,
)
async def test_a_service_that_drains_still_hears_the_agents_of_its_callers(office, when):
    async with office(p801=[Ring(talks=30.0)]) as one:
        draining: list[asyncio.Task[int]] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when) and not draining:
                draining.append(asyncio.create_task(one.world.service.drain(10 * MINUTES)))

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert one.talks() == [("13800000001", "801")]
        assert one.stages[0].outcome.record["talked"] == "30"
        assert await draining[0] == 0
        await one.holds_nothing()


async def test_an_agents_codes_work_while_the_service_drains(office):
    async with office(p801=[Ring(talks=60.0, keys=((5.0, "*1"), (20.0, "*2")))]) as one:
        draining: list[asyncio.Task[int]] = []
        asked: list[str] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, actions.Bridge) and not draining:
                draining.append(asyncio.create_task(one.world.service.drain(10 * MINUTES)))
            elif isinstance(what, events.FeatureAsked):
                asked.append(what.feature)

        one.on = happened
        one.call(Caller("13800000001"))
        await one.until_all_is_over(1)
        assert asked == ["hold", "back"]
        assert await draining[0] == 0
        await one.holds_nothing()


@pytest.mark.parametrize(
    "when",
    [actions.JoinLine, actions.RingAgent, events.AgentAnswered, actions.Bridge],
    ids=lambda kind: kind.__name__,
)
async def test_a_service_that_ends_at_once_has_hung_up_its_phones_and_freed_its_agents(
    office, when
):
    """And its calls' ends are no errors of ours: none is logged."""
    async with office(p801=[Ring(after=10.0, talks=60.0)]) as one:
        moments: list[float] = []

        def happened(caller: str, what: object) -> None:
            if isinstance(what, when):
                moments.append(one.clock.now())

        one.on = happened
        one.call(Caller("13800000001"))
        await one.clock.run(lambda: bool(moments), limit=5 * MINUTES)
        await one.clock.run_for(1.0)
        closing = asyncio.create_task(one.world.service.close())
        await one.clock.run(closing.done, limit=10.0)
        assert all(call.dead for call in one.crew.phones["801"].calls)
        assert one.world.service._errands == set()
        await one.crew.switchboard.close()
        with one.crew.store.read() as connection:
            assert set(connection.execute(select(agents.c.call_id)).scalars()) == {None}
            assert connection.execute(select(places.c.call_id)).all() == []
