"""Callers and agents who meet in virtual time: the service, the fake Asterisk, phones of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from promised import MONDAY
from sqlalchemy import select
from structlog.testing import capture_logs

from ivr import actions, events
from ivr.fake_channel import Channel
from ivr.hotlines import Hotlines
from ivr.scenario import Act, HangUpAct, Press, Ring, Scenario
from ivr.scenario import World as Given
from ivr.tables import agents, places
from ivr.wire_people import Crew
from ivr.wire_rehearsal import Stage, World, prompt_names

LINE = "xjca"
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


def offices(lines: Hotlines) -> Callable[..., AbstractAsyncContextManager[Office]]:
    """What opens an office with these phones, and closes it."""
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
