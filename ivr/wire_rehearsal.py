"""Rehearses scenarios at wire level: the whole service on real sockets against a fake Asterisk.

Rules this module keeps:

- The service is the one that takes real calls; only Asterisk, the back ends and the disk are
  stand-ins, and time is virtual. The prompts that count are those that reached the caller's ear.
- Many calls share one world: they begin at the same instant and do not know of each other. But a
  call among people has a world of its own.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

import uvloop

from ivr import actions, events, store
from ivr.channel import Taken
from ivr.clock import VirtualClock
from ivr.driver import Driver
from ivr.events import Event
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.fake_channel import Channel
from ivr.fake_ears import Script
from ivr.flow import Line
from ivr.hotlines import Hotlines
from ivr.journal import Entry, MemoryJournal
from ivr.manager import Manager
from ivr.messages import Kept
from ivr.prompts import Library
from ivr.rehearsal import begins_at, expected, expecting, line_of
from ivr.scenario import Scenario
from ivr.scripted_caller import ScriptedCaller
from ivr.server import Service
from ivr.simulate import LONGEST, Moment, Outcome, outcome
from ivr.store import StorageFailed
from ivr.wire_people import Crew, features

SOUNDS = Path("/sounds")
"""Where the fake Asterisk believes the prompts to be."""
AT_ONCE = 100
"""Calls of one world that run side by side."""
WORLDS = 16
"""Of how many sets of texts it is remembered which file says what, for one world after another."""
SECRET = "rehearsal"
ASSEMBLED = ("digit.", "count.", "letter.", "time.", "date.", "month.", "day.", "hour.", "beep")
"""Names of recorded parts that are never said by themselves."""


def rehearse_all(scenarios: Sequence[Scenario], hotlines: Hotlines) -> list[Outcome]:
    """Run them all; the outcomes are in the order of the scenarios."""
    return uvloop.run(_rehearse_all(scenarios, hotlines))


async def _rehearse_all(scenarios: Sequence[Scenario], hotlines: Hotlines) -> list[Outcome]:
    groups: dict[tuple[datetime, str, str, float | None], list[int]] = {}
    outcomes: dict[int, Outcome] = {}
    for index, one in enumerate(scenarios):
        if one.world.agents:
            outcomes[index] = await _with_people(one, hotlines)
            continue
        line, _ = line_of(one, hotlines)
        maintained = line.name if one.world.maintenance else ""
        expects = expected(one)
        changed = line.name if expects is not None else ""
        groups.setdefault((begins_at(one, line), maintained, changed, expects), []).append(index)
    for (begins, maintained, changed, expects), indexes in groups.items():
        lines = expecting(changed, expects, hotlines)
        for first in range(0, len(indexes), AT_ONCE):
            some = indexes[first : first + AT_ONCE]
            async with World(lines, begins, maintained) as world:
                done = await world.play([scenarios[index] for index in some])
            outcomes |= dict(zip(some, done, strict=True))
    return [outcomes[index] for index in range(len(scenarios))]


async def _with_people(one: Scenario, hotlines: Hotlines) -> Outcome:
    """A call among people has a world of its own: whom it waits for is nobody else's."""
    line, _ = line_of(one, hotlines)
    expects = expected(one)
    lines = expecting(line.name if expects is not None else "", expects, hotlines)
    names = prompt_names(lines)
    crew = Crew(
        dict(one.world.agents),
        lambda path: names.get((line.name, path), ("", False, False)),
        line,
        one.world.ahead,
    )
    maintained = line.name if one.world.maintenance else ""
    async with World(lines, begins_at(one, line), maintained, crew=crew) as world:
        (done,) = await world.play([one])
    return done


@dataclass(slots=True)
class Stage:
    """One call of a world: its scenario, its channel, and how it went."""

    scenario: Scenario
    channel: Channel
    driver: Driver | None = None
    outcome: Outcome | None = None
    kept: list[actions.Keep] = field(default_factory=list)


class World:
    """One fake Asterisk, one service, one virtual clock. Use with `async with`."""

    def __init__(
        self,
        hotlines: Hotlines,
        begins: datetime,
        maintained: str = "",
        *,
        manager: bool = True,
        crew: Crew | None = None,
    ) -> None:
        self.hotlines = hotlines
        self.clock = VirtualClock(begins)
        self.journal = MemoryJournal()
        self.with_manager = manager
        self.crew = crew
        self.service = Service(
            clock=self.clock,
            hotlines=hotlines,
            journal=self.journal,
            desk=self,
            lender=self,
            lookups=self.look_up,
            sounds=SOUNDS,
            spool=Path("/spool"),
            system="fake",
            most=AT_ONCE * 2,
            maintenance={maintained} if maintained else set(),
            on_over=self._over,
        )
        self.manager: Manager | None = None
        self.stages: dict[str, Stage] = {}
        self._names = prompt_names(hotlines)
        self._lengths = dict(lengths(hotlines.library))
        self._recorded: dict[str, float] = {}

    async def __aenter__(self) -> World:
        port = await self.service.listen("127.0.0.1", 0)
        self.fake = FakeAsterisk(
            self.clock,
            ("127.0.0.1", port),
            seconds=self._lengths.get,
            accounts={"sansheng": Account(SECRET)},
            phones=self.crew.phones if self.crew is not None else {},
            features=features(self.hotlines),
        )
        if self.with_manager:
            manager_port = await self.fake.listen()
            self.manager = Manager(
                "127.0.0.1",
                manager_port,
                "sansheng",
                SECRET,
                clock=self.clock,
                on_event=self.service.manager_event,
            )
            self.fake.watch(self.manager)
            await self.manager.start()
            self.service.bell = self.manager
        if self.crew is not None:
            await self.crew.open(self.service)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.manager is not None:
            await self.manager.stop()
        await self.fake.close()
        await self.service.close()
        if self.crew is not None:
            await self.crew.close()
        self.clock.close()

    # -- the calls

    async def play(self, scenarios: Sequence[Scenario]) -> list[Outcome]:
        """Place all these calls now, and wait until the last is over."""
        stages = [self.place(one) for one in scenarios]
        await self.clock.run(lambda: all(stage.outcome for stage in stages), limit=LONGEST)
        return [stage.outcome for stage in stages if stage.outcome]

    def place(self, one: Scenario, script: Script | None = None) -> Stage:
        """Place this call now. `script` acts for the caller in place of the scenario's steps."""
        _, number = line_of(one, self.hotlines)
        channel = self.fake.place_call(
            number,
            one.world.caller,
            script or ScriptedCaller(one.caller),
            name_of=partial(self._name_of, one.hotline),
            rung=one.world.rung,
            on_ops=self._ops,
            on_hum=self._hum,
        )
        stage = Stage(one, channel)
        self.stages[channel.uniqueid] = stage
        return stage

    def _name_of(self, line: str, path: str) -> tuple[str, bool, bool] | None:
        return self._names.get((line, path), ("", False, False))

    def _driver(self, channel: Channel) -> Driver | None:
        return self.service.drivers.get(channel.name)

    def _ops(self, channel: Channel) -> None:
        driver = self._driver(channel)
        if driver is not None:
            driver.end()

    def _hum(self, channel: Channel, seconds: float) -> None:
        driver = self._driver(channel)
        if driver is not None:
            driver.post(events.Noise())

    def _over(self, driver: Driver) -> None:
        stage = self.stages[driver.row.uniqueid]
        moments = [
            Moment(entry.at_ms / 1000, entry.what) for entry in self.journal.entries(driver.row.id)
        ]
        stage.driver = driver
        told = outcome(tuple(moments))
        stage.outcome = replace(told, hears=tuple(stage.channel.ears.prompts))

    def entries(self, stage: Stage) -> list[Entry]:
        """What a call wrote into the journal."""
        assert stage.driver is not None
        return self.journal.entries(stage.driver.row.id)

    # -- the desk and the back ends

    async def look_up(self, call: store.Call, line: Line, wish: actions.LookUp) -> Event:
        """The back end of a scenario's world."""
        world = self.stages[call.uniqueid].scenario.world.lookup
        if world is None:
            return events.LookupFailed(wish.id, "this world has no back end")
        await self.clock.sleep(world.after)
        if world.fails:
            return events.LookupFailed(wish.id, "the back end fails")
        if world.answer is None:
            return events.NotFound(wish.id)
        return events.Found(wish.id, world.answer)

    async def knows(self, line: Line, caller: str, uniqueid: str) -> bool:
        """As the scenario says."""
        stage = self.stages.get(uniqueid)
        return stage is not None and stage.scenario.world.known

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken:
        """A recording is as good as the last voice in it; silent, if the caller hardly spoke."""
        stage = self.stages[call.uniqueid]
        since = self._recording_since(stage)
        voiced = sum(
            max(0.0, min(end, self.clock.now()) - max(begin, since))
            for begin, end, *_ in stage.channel.voices
        )
        length = self.clock.now() - since
        if voiced < 0.3:
            return Taken("", length, "silent")
        reference = f"recording-{len(self._recorded)}"
        self._recorded[reference] = length
        return Taken(reference, length, stage.channel.voices[-1].quality)

    def _recording_since(self, stage: Stage) -> float:
        beeps = [heard.at for heard in stage.channel.ears.heard if heard.kind == "beep"]
        return beeps[-1] if beeps else 0.0

    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None:
        """What was recorded in this world can be played."""
        if recording not in self._recorded:
            return None
        path, length = f"/lent/{recording}", min(seconds, self._recorded[recording])
        self._lengths[path] = length
        return path, length

    async def give_back(self, path: str) -> None:
        """Nothing was copied."""

    async def keep(self, call: store.Call, line: Line, wish: actions.Keep) -> Kept:
        """Kept, unless the world's store fails."""
        stage = self.stages[call.uniqueid]
        if stage.scenario.world.store_fails:
            raise StorageFailed("the store of this world fails")
        stage.kept.append(wish)
        return Kept(str(len(stage.kept)))


def sayable(prompts: Iterable[str]) -> frozenset[str]:
    """Those of a line's texts that are prompts; the others are parts that numbers are assembled
    from."""
    return frozenset(prompt for prompt in prompts if not prompt.startswith(ASSEMBLED))


def prompt_names(hotlines: Hotlines) -> Mapping[tuple[str, str], tuple[str, bool, bool]]:
    """For each line and file: the prompt it belongs to, whether it is its first and its last."""
    prompts = ((name, frozenset(line.prompts)) for name, line in hotlines.lines.items())
    return _names(hotlines.library, frozenset(prompts))


@lru_cache(WORLDS)
def _names(
    library: Library, prompts: frozenset[tuple[str, frozenset[str]]]
) -> Mapping[tuple[str, str], tuple[str, bool, bool]]:
    names = {}
    for line, its_prompts in prompts:
        for prompt in library.names(line) & sayable(its_prompts):
            paths = library.recorded(line, prompt)
            for place, path in enumerate(paths):
                if path is None:
                    continue
                first = all(before is None for before in paths[:place])
                names[line, str(SOUNDS / path)] = (prompt, first, place == len(paths) - 1)
    return names


@lru_cache(WORLDS)
def lengths(library: Library) -> Mapping[str, float]:
    """How long each file of these texts lasts, in seconds."""
    return {str(SOUNDS / part.path): part.seconds for part in library.all_parts().values()}
