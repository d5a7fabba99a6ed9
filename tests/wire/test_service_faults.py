"""Whatever fails around a call, the caller is not left alone and nothing of the call stays behind.

The whole service on real sockets against the fake Asterisk, in virtual time. Every call is gone
through again and again, with the same fault at every moment of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivr import (
    actions,
    channel,
    events,
    hotlines,
    logs,
    messages,
    replay,
    scenario,
    sound,
    stimuli,
    store,
)
from ivr.agi import Reply
from ivr.clock import SystemClock
from ivr.desk import Desk
from ivr.fake_channel import Channel
from ivr.hotlines import Hotlines
from ivr.journal import write
from ivr.rehearsal import begins_at
from ivr.scenario import Scenario, ScriptedCaller
from ivr.spool import Spool
from ivr.store import StorageFailed
from ivr.wire_rehearsal import SOUNDS, Stage, World

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """As the service writes them: without rich tracebacks, which take minutes to draw."""
    logs.configure(level="warning")
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def loaded() -> Hotlines:
    return hotlines.load(ROOT)


def read(name: str) -> Scenario:
    return scenario.read(ROOT / "tests/scenarios" / f"{name}.yaml", ROOT)


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


@pytest.fixture(scope="module")
def every_moment(loaded: Hotlines) -> dict[str, list[float]]:
    return {name: asyncio.run(moments(loaded, name)) for name in CALLS}


# ---------------------------------------------------------------- the caller


@pytest.mark.parametrize("name", CALLS)
async def test_a_caller_may_hang_up_at_any_moment(
    loaded: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    async with house(loaded, name) as world:
        for moment in every_moment[name][:-1]:
            stage = world.call()
            world.later(moment, stage.channel.hang_up)
        await world.end()
        rows = world.rows()
        assert len(rows) == len(world.stages)
        assert {row.problem for row in rows} == {""}
        gone = [stage for stage in world.stages.values() if stage.channel.ended_by == "caller"]
        assert len(gone) > len(rows) * 0.8
        assert all(world.row(stage).ended_by in ("caller", "us") for stage in gone)


async def test_who_hangs_up_while_the_message_is_being_kept_has_left_it(loaded: Hotlines) -> None:
    async with house(loaded, MESSAGE) as world:
        stage = world.call()
        keep = world.keep

        async def slow(call: store.Call, line: object, wish: actions.Keep) -> str:
            stage.channel.hang_up()
            await asyncio.sleep(0.01)
            return await keep(call, line, wish)  # type: ignore[arg-type]

        world.keep = slow  # type: ignore[method-assign]
        await world.end()
        assert [wish.kind for wish in stage.kept] == ["suggestion"]
        assert world.row(stage).ended_by == "caller"


# ---------------------------------------------------------------- Asterisk and the network


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_may_break_at_any_moment(
    loaded: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    def cut(placed: Channel) -> None:
        if placed.session is not None:
            placed.session.abort()

    async with house(loaded, name) as world:
        for moment in every_moment[name][:-1]:
            world.later(moment, partial(cut, world.call().channel))
        await world.end()
        world.rows()


@pytest.mark.parametrize("name", CALLS)
async def test_a_channel_may_be_dead_before_anybody_says_so(
    loaded: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """From then on every command of a living call is answered with 511."""

    def die(placed: Channel) -> None:
        placed.dead = True

    async with house(loaded, name) as world:
        for moment in every_moment[name][:-1]:
            world.later(moment, partial(die, world.call().channel))
        await world.end()
        world.rows()


async def test_an_asterisk_that_says_nothing_more_is_given_up(loaded: Hotlines) -> None:
    """Its machine lost power: no reply, no hang-up, no end of the connection."""
    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)  # in the opening
        session = stage.channel.session
        assert session is not None
        assert session.running is not None
        session.running.stop()
        session.running.listens = False
        stage.channel.absolute(0)
        began = world.clock.now()
        await world.end()
        assert world.clock.now() - began < 8 + channel.GRACE + channel.HALF_OPEN + 2
        assert world.row(stage).ended_by == "us"
        assert "dialplan took the call back" in world.row(stage).problem


async def test_a_call_that_the_dialplan_takes_back_is_not_said_to_be_ended_by_the_caller(
    loaded: Hotlines,
) -> None:
    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        # as if we had been frozen since: the command is over, and we never heard of it
        session = stage.channel.session
        assert session is not None
        assert session.running is not None
        session.running.stop()
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        row = world.row(stage)
        assert (row.ended_by, row.record["ended_by"]) == ("us", "us")
        assert row.problem == "we were too late, and the dialplan took the call back"


async def test_a_missing_sound_is_replaced_by_an_apology_and_the_call_goes_on(
    loaded: Hotlines,
) -> None:
    async with house(loaded, HOLD) as world:
        undisturbed = world.call()
        await world.end()
    for gone in ("opening", "hold.ask", "closing.goodbye"):
        async with house(loaded, HOLD) as world:
            path = world.hotlines.library.recorded("ems", gone)[0]
            world._lengths.pop(str(SOUNDS / f"{path}"))
            stage = world.call()
            await world.end()
            at = heard(undisturbed).index(gone)
            assert heard(stage)[: at + 1] == [*heard(undisturbed)[:at], "sorry.trouble"]
            assert [e for e in world.entries(stage) if isinstance(e.what, events.Unplayable)]
            assert not world.row(stage).problem


async def test_with_the_apology_missing_too_the_call_still_goes_on(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        for gone in ("opening", "sorry.trouble"):
            world._lengths.pop(str(SOUNDS / f"{loaded.library.recorded('xjca', gone)[0]}"))
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"


async def test_a_recording_that_cannot_be_written_is_not_taken_for_a_hangup(
    loaded: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RECORD FILE then says `200 result=-1 (writefile)`: the disk is full, the folder is gone."""
    from ivr import fake_vocabulary

    monkeypatch.setitem(
        fake_vocabulary.COMMANDS, "RECORD FILE", lambda session, words: "200 result=-1 (writefile)"
    )
    async with house(loaded, MESSAGE) as world:
        stage = world.call()
        await world.end()
        assert "closing.anything_else" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith(("message.kept", "suggestion.kept"))]
        assert all(not dict(wish.values).get("recording") for wish in stage.kept)


# ---------------------------------------------------------------- the doorbell


@pytest.mark.parametrize("name", CALLS)
async def test_a_doorbell_may_ring_at_any_moment_for_nothing(
    loaded: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """A stale ring, or the caller's own key D: what is being said or waited for goes on. (A key
    pressed in the very millisecond is lost: Asterisk hears none between two commands.)"""
    async with house(loaded, name) as world:
        undisturbed = world.call()
        for moment in (between + 0.01 for between in every_moment[name][:-1]):
            world.later(moment, partial(world.call().channel.doorbell, "D"))
        await world.end()
        for stage in world.stages.values():
            assert heard(stage) == heard(undisturbed)
            assert stage.channel.ended_by == undisturbed.channel.ended_by
            pauses = [(h.name, h.seconds) for h in stage.channel.ears.heard if h.kind == "silence"]
            expected = [
                (h.name, h.seconds) for h in undisturbed.channel.ears.heard if h.kind == "silence"
            ]
            assert [p for _, p in pauses] == pytest.approx([p for _, p in expected], abs=0.02)


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_doorbell_that_is_lost_is_rung_again(loaded: Hotlines, lost: int) -> None:
    async with house(loaded, HOLD) as world:
        rings = dict.fromkeys(world.fake.channels, 0)
        stage = world.call()
        ring = stage.channel.doorbell

        def deaf(key: str) -> None:
            rings["all"] = rings.get("all", 0) + 1
            if rings["all"] % (lost + 1) == 0:
                ring(key)

        stage.channel.doorbell = deaf  # type: ignore[method-assign]
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)
        signs = starts(stage, "hold.still_here")
        assert signs
        assert max(b - a for a, b in itertools.pairwise(signs)) <= 30.5


@pytest.mark.parametrize("late", [0.03, 0.09, 0.15, 0.5])
async def test_a_doorbell_that_comes_late_disturbs_nothing(loaded: Hotlines, late: float) -> None:
    async with house(loaded, HOLD) as world:
        stage = world.call()
        ring = stage.channel.doorbell
        stage.channel.doorbell = lambda key: world.later(late, partial(ring, key))  # type: ignore[method-assign,assignment]
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)


def starts(stage: Stage, prompt: str) -> list[float]:
    return [h.at for h in stage.channel.ears.heard if h.kind == "began" and h.name == prompt]


# ---------------------------------------------------------------- the manager


async def test_without_a_manager_a_hold_goes_by_keys_and_slices(loaded: Hotlines) -> None:
    async with house(loaded, HOLD, manager=False) as world:
        stage = world.call()
        await world.end()
        assert heard(stage) == list(read(HOLD).hears)
        waits = [at for at, line in stage.channel.transcript if "WAIT FOR DIGIT" in line]
        assert len(waits) > 100


@pytest.mark.parametrize("name", CALLS)
async def test_a_manager_may_be_lost_for_good_at_any_moment(
    loaded: Hotlines, every_moment: dict[str, list[float]], name: str
) -> None:
    """Prompts, pauses and signs of life are right all the same."""
    spread = every_moment[name][:-1:4]
    for moment in spread:
        async with House(loaded, read(name)) as world:
            undisturbed = list(world.one.hears)
            stage = world.call()

            def cut(world: House = world) -> None:
                assert world.fake._server is not None
                world.fake._server.close()
                world.fake.ami.cut()

            world.later(moment, cut)
            await world.end()
            assert heard(stage) == undisturbed
            assert not world.row(stage).problem
            signs = starts(stage, "hold.still_here")
            assert all(b - a <= 30.5 for a, b in itertools.pairwise(signs))


async def test_a_voice_heard_when_the_manager_was_lost_is_forgotten_and_the_next_one_heard(
    loaded: Hotlines,
) -> None:
    """The word that it has stopped never comes: that must not last."""
    async with house(loaded, SILENT) as world:
        stage = world.call(script=None)
        await world.clock.run_for(6.0)  # in the opening
        stage.channel.speak(1.0)
        await world.clock.run_for(0.5)
        world.fake.ami.cut()
        await world.clock.run_for(8.0)
        (driver,) = world.service.drivers.values()
        assert not driver.channel.hearing.talking
        assert world.service.bells == 2
        before = len(
            [e for e in world.journal.rows if isinstance(getattr(e, "what", 0), events.Voice)]
        )
        stage.channel.speak(1.0)
        await world.clock.run_for(1.5)
        after = len(
            [e for e in world.journal.rows if isinstance(getattr(e, "what", 0), events.Voice)]
        )
        assert after > before
        stage.channel.hang_up()
        await world.end()


# ---------------------------------------------------------------- storage


async def test_storage_that_fails_means_that_nothing_is_promised(loaded: Hotlines) -> None:
    async with house(loaded, MESSAGE) as world:
        world.journal.fails = True
        stage = world.call()
        await world.end()
        assert "message.lost" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith("message.kept")]
        assert stage.kept == []


async def test_an_error_of_ours_while_keeping_means_that_nothing_is_promised(
    loaded: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(loaded, MESSAGE) as world:

        async def broken(*_: object) -> str:
            raise ZeroDivisionError("a bug of ours")

        world.keep = broken  # type: ignore[method-assign,assignment]
        stage = world.call()
        await world.end()
        assert "message.lost" in heard(stage)
        assert not [p for p in heard(stage) if p.startswith("message.kept")]


async def test_a_journal_that_takes_nothing_leaves_the_call_to_the_dialplan(
    loaded: Hotlines,
) -> None:
    async with house(loaded, SILENT) as world:
        append = world.journal.append
        world.journal.append = full  # type: ignore[method-assign,assignment]
        refused = world.call()
        world.later(1, lambda: setattr(world.journal, "append", append))
        await world.clock.run_for(2)
        admitted = world.call()
        world.later(9, lambda: setattr(world.journal, "append", full))
        with contextlib.suppress(KeyError):
            await world.end()
        assert refused.channel.ended_by == "dialplan"
        assert admitted.channel.ended_by == "dialplan"


def full(row: object) -> None:
    raise StorageFailed("100000 rows wait for the disk already")


# ---------------------------------------------------------------- errors of ours


async def test_an_error_of_ours_hands_the_caller_to_the_dialplan_at_once(
    loaded: Hotlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ivr import driver

    step = driver.step

    def breaks(line: object, call: object, event: events.Event) -> object:
        if isinstance(event, events.Said):
            raise ZeroDivisionError("a bug of ours")
        return step(line, call, event)  # type: ignore[arg-type]

    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(6)
        monkeypatch.setattr(driver, "step", breaks)
        began = starts(stage, "opening")[0]
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        (over,) = [h.at for h in stage.channel.ears.heard if h.kind == "fallback"]
        length = loaded.library.seconds("xjca", "opening")
        assert over - began == pytest.approx(length, abs=0.1)
        row = world.row(stage)
        assert (row.ended_by, row.problem) == ("us", "an error of ours: ZeroDivisionError")


async def test_who_watches_cannot_break_a_call(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:

        def breaks(*_: object) -> None:
            raise KeyError("a prompt nobody has heard of")

        world.service.on_entry = breaks
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"


@pytest.mark.parametrize("how", ["never", "raises"])
async def test_a_back_end_that_never_answers_or_breaks_is_told_to_the_caller(
    loaded: Hotlines, how: str
) -> None:
    async with house(loaded, HOLD) as world:

        async def look_up(*_: object) -> events.Event:
            if how == "raises":
                raise ZeroDivisionError("a bug in a plug-in")
            await world.clock.sleep(100_000)
            raise AssertionError

        world.service.lookups = look_up  # type: ignore[assignment]
        stage = world.call()
        await world.end()
        assert "item.in_transit" not in heard(stage)
        assert stage.channel.ended_by == "us"
        signs = [*starts(stage, "hold.still_here")]
        assert all(b - a <= 30.0 + 0.001 for a, b in itertools.pairwise(signs))
        world.rows()


async def test_a_timer_that_fires_as_it_is_cancelled_breaks_nothing(loaded: Hotlines) -> None:
    """The lookup ends at the very instant at which a sign of life is due."""
    one = read(HOLD)
    assert one.world.lookup is not None
    for after in (30.0, 60.0, 90.0):
        async with House(loaded, one) as world:
            world.one = replace(
                one, world=replace(one.world, lookup=replace(one.world.lookup, after=after))
            )
            stage = world.call()
            await world.end()
            world.nothing_left()
            assert not world.row(stage).problem


# ---------------------------------------------------------------- admission


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


async def test_who_says_nothing_is_dropped_after_five_seconds(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        quiet = await peer(world, b"agi_network: yes\n")
        await world.clock.run_for(4.9)
        assert not quiet.reader.at_eof()
        await world.clock.run_for(0.2)
        assert await quiet.gone() == b""


@pytest.mark.parametrize(
    "said",
    [
        b"agi_network: " + b"x" * 20_000 + b"\n",
        b"x" * 20_000,
        b"".join(b"agi_x%d: 1\n" % n for n in range(300)),
        b"GET / HTTP/1.1\r\nHost: hotline\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"agi_arg_1: 1001\nagi_arg_1: 1002\n\n",
        b"\n",
        handshake("passwd"),
        handshake("../call"),
        handshake(number="9999"),
        handshake(number=""),
    ],
)
async def test_a_handshake_that_makes_no_sense_is_no_call(loaded: Hotlines, said: bytes) -> None:
    async with house(loaded, SILENT) as world:
        stranger = await peer(world, said, end=True)
        await world.clock.run_for(6)
        assert await stranger.gone() == b""
        assert world.journal.calls() == {}


async def test_a_peer_that_is_not_allowed_is_told_nothing(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        world.service.allowed = ("192.0.2.1",)
        stranger = await peer(world, handshake())
        assert await stranger.gone() == b""
        assert world.journal.calls() == {}


async def test_the_surplus_is_left_to_the_dialplan_at_once(loaded: Hotlines) -> None:
    """Also when all ring in the same instant."""
    async with house(loaded, SILENT) as world:
        world.service.most = 3
        stages = [world.call() for _ in range(10)]
        await world.clock.run_for(0.1)
        assert len(world.service.drivers) == 3
        assert [s.channel.ended_by for s in stages].count("dialplan") == 7
        await world.end()
        assert [s.channel.ended_by for s in stages].count("us") == 3
        again = world.call()
        await world.end()
        assert again.channel.ended_by == "us"


async def test_half_open_connections_do_not_stand_in_the_way_of_calls(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        world.service.most = 1
        strangers = [await peer(world, b"agi_network: yes\nagi_net") for _ in range(50)]
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"
        for stranger in strangers:
            assert await stranger.gone() == b""


async def test_a_burst_is_admitted_up_to_the_limit_and_two_calls_may_bear_one_name(
    loaded: Hotlines,
) -> None:
    """Two Asterisks name their channels alike."""
    async with house(loaded, SILENT) as world:
        one, two = [await peer(world, handshake(uniqueid=f"{n}.1")) for n in "ab"]
        await world.clock.settle()
        for other in (one, two):
            other.writer.write(b"HANGUP\n")
            other.writer.write_eof()
        await world.clock.run_for(30)
        assert len(world.rows()) == 2
        for other in (one, two):
            await other.gone()


@pytest.mark.parametrize(
    "start", ["nan", "inf", "-inf", "1e999", "-1", "", "0x10", "١٢٣", "1" * 400]
)
async def test_a_start_that_is_no_time_is_no_ringing(loaded: Hotlines, start: str) -> None:
    async with house(loaded, SILENT) as world:
        stage = world.call(arguments=["1001", start])
        await world.end()
        assert stage.channel.ended_by == "us"
        assert 0 <= world.row(stage).rung_ms <= 3_600_000


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(max_size=200)
        | st.sampled_from(
            [
                b"200 result=0\n",
                b"200 result=-1\n",
                b"HANGUP\n",
                b"511 dead\n",
                b"520-x\n",
                b"100 Trying\n",
                b"200 result=68 endpos=1\n",
                b"200 result=1 (a\nb)\n",
                b"\n",
                b"\0",
            ]
        ),
        max_size=30,
    )
)
def test_whatever_asterisk_says_a_call_ends_and_leaves_nothing(said: list[bytes]) -> None:
    """Garbage in place of replies."""

    async def one() -> None:
        async with house(lines, SILENT) as world:
            stranger = await peer(world, handshake())
            for bit in said:
                stranger.writer.write(bit)
                await world.clock.run_for(0.3)
            await world.clock.run_for(6)
            stranger.writer.close()
            await world.clock.run_for(30)
            with contextlib.suppress(ConnectionError):
                await stranger.writer.wait_closed()
            world.rows()

    lines = hotlines_once()
    asyncio.run(one())


_loaded: list[Hotlines] = []


def hotlines_once() -> Hotlines:
    """The lines, read once (hypothesis and fixtures of functions do not go together)."""
    if not _loaded:
        _loaded.append(hotlines.load(ROOT))
    return _loaded[0]


# ---------------------------------------------------------------- the end of the service


async def test_draining_lets_calls_end_and_takes_no_new_ones(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        draining = asyncio.create_task(world.service.drain(600))
        await world.clock.run_for(0.5)
        late = world.call()
        await world.end()
        assert await draining == 0
        assert stage.channel.ended_by == "us"
        assert late.channel.ended_by == "dialplan"
        assert late.channel.status == "FAILURE"


async def test_a_drain_that_takes_too_long_ends_calls_and_their_records_say_so(
    loaded: Hotlines,
) -> None:
    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        draining = asyncio.create_task(world.service.drain(3))
        await world.clock.run(draining.done)
        assert draining.result() == 1
        await world.end()
        assert stage.channel.ended_by == "dialplan"
        row = world.row(stage)
        assert (row.ended_by, row.problem) == ("us", "the service was stopped")


async def test_a_call_keeps_its_words_through_a_reload(loaded: Hotlines) -> None:
    async with house(loaded, SILENT) as world:
        stage = world.call()
        await world.clock.run_for(8)
        empty = replace(loaded, lines={}, numbers={}, library=None)  # type: ignore[arg-type]
        world.service.reload(empty, world.service.lookups)
        late = world.call()
        await world.end()
        assert heard(stage) == list(world.one.hears)
        assert stage.channel.ended_by == "us"
        assert late.channel.ended_by == "dialplan"


# ---------------------------------------------------------------- the desk


@dataclass
class Office:
    """A desk with a real database and a real spool."""

    database: store.Store
    desk: Desk
    spool: Path
    call: store.Call

    def lock(self) -> sqlite3.Connection:
        held = sqlite3.connect(self.spool.parent / "x.db", isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        return held


@pytest.fixture
def office(tmp_path: Path, loaded: Hotlines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(store, "BUSY", 50)
    clock = SystemClock()
    database = store.Store(f"sqlite:///{tmp_path / 'x.db'}")
    database.upgrade()
    spool = tmp_path / "spool"
    spool.mkdir()
    shelf = Spool(database, spool=spool, folder=tmp_path / "kept", utc=clock.utc)
    call = store.Call("fake-1.1", "fake", "1.1", "xjca", "1001", "13800138000", clock.utc())
    with database.write() as connection:
        write(connection, [call])
    desk = Desk(database, shelf, clock)
    yield Office(database, desk, spool, call)
    clock.close()
    database.close()


def recording(office: Office) -> list[str]:
    name = "0123456789abcdef0123456789abcdef-00"
    spoken = sound.Sound(stimuli.speech(2.0, stimuli.SPEECH).astype("float32") / 32768, 8000)
    sound.write(office.spool / f"{name}.wav", spoken)
    return [name]


async def test_a_recording_that_cannot_be_taken_is_taken_when_its_message_is_kept(
    office: Office, loaded: Hotlines
) -> None:
    slices = recording(office)
    held = office.lock()
    taken = await office.desk.take(office.call, "message", slices)
    assert taken.reference
    assert (office.spool / f"{slices[0]}.wav").exists()
    wish = actions.Keep(1, "message", (("recording", taken.reference), ("contact", "1")))
    with pytest.raises(StorageFailed):
        await office.desk.keep(office.call, loaded.lines["xjca"], wish)
    held.execute("ROLLBACK")
    held.close()
    await office.desk.keep(office.call, loaded.lines["xjca"], wish)
    (message,) = messages.listed(office.database)
    assert re.fullmatch(r"[0-9a-f]{32}\.wav", message.recording)
    assert message.seconds == pytest.approx(2.0, abs=0.1)
    assert list(office.spool.iterdir()) == []


async def test_calls_that_were_up_when_the_service_died_are_closed_once(office: Office) -> None:
    await office.desk.close_calls("another")
    assert replay.call(office.database, office.call.id).ended_at is None
    await office.desk.close_calls("fake")
    row = replay.call(office.database, office.call.id)
    assert (row.ended_at, row.ended_by) == (row.offered_at, "us")
    assert row.problem == "the service died while this call was up"
    held = office.lock()
    await office.desk.close_calls("fake")  # a locked database does not keep us from starting
    held.execute("ROLLBACK")
    held.close()


class NoNotes:
    """An AGI session on which Asterisk's database has nothing to tell."""

    async def command(self, command: str, *arguments: str | int) -> Reply:
        return Reply(200, 0, None, None, "200 result=0")


async def test_what_is_left_in_the_spool_is_taken_in_also_when_the_dialplan_has_no_notes(
    office: Office,
) -> None:
    name = recording(office)[0]
    old = time.time() - 3600
    os.utime(office.spool / f"{name}.wav", (old, old))
    await office.desk.collect(NoNotes())  # type: ignore[arg-type]
    assert len(messages.listed(office.database)) == 1
    assert list(office.spool.iterdir()) == []
