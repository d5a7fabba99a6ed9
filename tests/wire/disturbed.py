"""The whole service on real sockets against the fake Asterisk, in virtual time, with calls that can
be disturbed at every moment, and that must leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ivr import scenario_file, store
from ivr.hotlines import Hotlines
from ivr.rehearsal import begins_at
from ivr.scenario import Scenario
from ivr.scripted_caller import ScriptedCaller
from ivr.wire_rehearsal import Stage, World

ROOT = Path(__file__).parents[2]


def read(name: str) -> Scenario:
    return scenario_file.read(ROOT / "tests/scenarios" / f"{name}.yaml", ROOT)


SILENT = "xjca-silent"
HOLD = "ems-waits-with-consent"
MESSAGE = "lakala-suggestion"
CALLS = (SILENT, HOLD, MESSAGE)
"""Between them they ring, pick up, say, listen, hear out, hold with music, record and hang up."""


class House(World):
    """A world whose calls can be disturbed, and that is looked through afterwards."""

    def __init__(self, lines: Hotlines, one: Scenario, *, manager: bool = True) -> None:
        line = lines.lines[one.hotline]
        super().__init__(lines, begins_at(one, line), manager=manager)
        self.one = one
        self.clock.patience = 20.0

    async def __aenter__(self) -> House:
        await super().__aenter__()
        await self.clock.settle()
        self.tasks = asyncio.all_tasks()
        self.timers = len(self.live_timers())
        return self

    def live_timers(self) -> list[Callable[[], None]]:
        """Timers of the service; what the caller means to do later does not count."""
        callbacks = (timer.callback for *_, timer in self.clock._timers)
        others = ("ivr.fake", __name__)
        return [c for c in callbacks if c is not None and not made_by(c, others)]

    def call(self, **changes: object) -> Stage:
        """One more call of this scenario, from now on."""
        number = self.one.number or str(next(iter(self.hotlines.lines[self.one.hotline].numbers)))
        rings = {
            "rung": self.one.world.rung,
            "script": ScriptedCaller(self.one.caller),
            "name_of": partial(self._name_of, self.one.hotline),
            "transcript": True,
        }
        placed = self.fake.place_call(number, self.one.world.caller, **{**rings, **changes})  # type: ignore[arg-type]
        stage = Stage(self.one, placed)
        self.stages[placed.uniqueid] = stage
        return stage

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        self.clock.call_later(seconds, lambda: act() and None)

    async def end(self) -> None:
        """Let every call end."""
        await self.clock.run(lambda: not self.fake.channels and not self.service._calls, limit=3600)
        await self.clock.run_for(1)

    def nothing_left(self) -> None:
        """No driver, task, timer or parked session stays behind."""
        assert self.service.drivers == {}
        assert self.service._calls == set()
        assert self.service._errands == set()
        assert self.service._admitted == 0
        assert self.clock.sessions_parked() == 0
        assert asyncio.all_tasks() - self.tasks == set()
        assert len(self.live_timers()) == self.timers, self.live_timers()

    def rows(self) -> list[store.Call]:
        """Every call's row, complete."""
        rows = list(self.journal.calls().values())
        for row in rows:
            assert row.ended_at is not None
            assert row.ended_by in ("caller", "us", "ops")
            assert row.ended_at >= row.offered_at
            if row.ended_by != "us" or not row.problem:
                assert row.record.get("ended_by", row.ended_by) == row.ended_by
        return rows

    def row(self, stage: Stage) -> store.Call:
        assert stage.driver is not None
        return self.journal.calls()[stage.driver.row.id]


def made_by(callback: Callable[[], None], modules: tuple[str, ...]) -> bool:
    return str(getattr(callback, "__module__", "")).startswith(modules)


@asynccontextmanager
async def house(lines: Hotlines, name: str, *, manager: bool = True) -> AsyncIterator[House]:
    async with House(lines, read(name), manager=manager) as made:
        yield made
        made.nothing_left()


def heard(stage: Stage) -> list[str]:
    return stage.channel.ears.prompts


async def moments(lines: Hotlines, name: str) -> list[float]:
    """Moments of this call: one within every command and every pause between two commands."""
    async with house(lines, name) as world:
        began = world.clock.now()
        stage = world.call()
        await world.end()
        said = [at - began for at, line in stage.channel.transcript]
    bounds = sorted({round(at, 6) for at in said})
    middles = [(a + b) / 2 for a, b in itertools.pairwise(bounds)]
    return sorted({0.0, *bounds, *middles})


def starts(stage: Stage, prompt: str) -> list[float]:
    return [h.at for h in stage.channel.ears.heard if h.kind == "began" and h.name == prompt]


@dataclass
class Peer:
    """Somebody who speaks to our port."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def gone(self) -> bytes:
        """What was said until the connection ended."""
        async with asyncio.timeout(5):
            try:
                said = await self.reader.read()
            except ConnectionResetError:
                said = b""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        return said


async def peer(world: House, said: bytes, *, end: bool = False) -> Peer:
    host, port = world.fake.agi
    made = Peer(*await asyncio.open_connection(host, port))
    made.writer.write(said)
    if end:
        made.writer.write_eof()
    return made


def handshake(script: str = "call", number: str = "1001", **more: str) -> bytes:
    rows = {
        "network_script": script,
        "channel": "PJSIP/caller-ffffffff",
        "uniqueid": "fake-1.1",
        "version": "22.10.1",
        "callerid": "13800138000",
        "arg_1": number,
        **more,
    }
    text = "".join(f"agi_{k}: {v}\n" for k, v in rows.items()) + "\n"
    return text.encode("utf-8", "surrogateescape")
