"""Rehearses scenarios as real calls: a real Asterisk, a real service, a telephone over SIP.

Rules this module keeps:

- What was heard is what is recognised in the recorded sound, among all prompts of all lines.
  What the service says it does (its `watch` stream) only tells the caller when to act.
- The caller is the same `ScriptedCaller` as at core and wire level. Calls run side by side; two
  from the same number one after the other, because the number is how a call is known again.
- A caller whose number is withheld rings from a made-up one that is nobody's and that nobody
  could call back; one whom the line does not know rings from another mobile number, and one whom
  it knows from any of his (`numbers`). So the line treats them the same, and hardly two calls
  have the same number.
- What cannot be shown live is left out with a reason (`left_out`), never in silence.
- Lengths and times are in seconds; moments are monotonic.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ivr import control, rehearsal, replay, simulate, store
from ivr.ear import Heard
from ivr.hotlines import Hotlines
from ivr.live_caller import BackEnd, Player
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.recognition import Names, Voices, aligned, brief
from ivr.scenario import Hum, Scenario
from ivr.scripted_caller import ScriptedCaller
from ivr.simulate import Moment, Outcome
from ivr.udp import Address

LONGEST = 60.0
"""Seconds of a call, beyond which it is not rehearsed live."""
PATIENCE = 30.0
"""Seconds that a call may last longer than it does in virtual time."""
WRITTEN = 5.0
"""Seconds in which the record must be complete once a call is over."""
LINGER = 0.2
"""Seconds after which the journal has written what a call that is over has left to it."""
AT_ONCE = 16
"""Calls side by side."""
FEW = 4
"""Calls side by side when the machine was too busy."""
APART = 0.15
"""Seconds between two calls that begin."""
SLACK = 0.5
"""Seconds that real time may be late, for the monitors."""
TORN = 0.015
"""Seconds of a break in the sound that nobody made."""
MORE = 7
"""Other numbers of a known person."""
MOBILE = re.compile(r"1[3-9]\d{9}")


@dataclass(frozen=True, slots=True)
class Place:
    """A line that can be rung: where its Asterisk, its control socket and its database are, and
    the sound of all prompts. `dialled` gives what to dial so that a number has rung for so many
    seconds when the service hears of it. Calls that go wrong are kept as sound in `keep`."""

    sip: Address
    control: Path
    store: store.Store
    hotlines: Hotlines
    voices: Voices
    back_end: BackEnd
    dialled: Callable[[str, float], str]
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Performance:
    """How a live call went: `heard` is what was recognised, `outcome` has the prompts as they
    were heard, the record as it was written down, and the journal. `complaints` are all
    differences from the scenario, in words."""

    scenario: Scenario
    caller: str
    call: PhoneCall
    row: store.Call
    heard: tuple[Heard, ...]
    outcome: Outcome
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that is over, not listened to yet."""

    scenario: Scenario
    caller: str
    call: PhoneCall
    row: store.Call


@dataclass(frozen=True, slots=True)
class Variant:
    """What is special about a call: the `number` dialled, if not the scenario's, and what is done
    to the call (`prepare`) before it is answered."""

    number: str = ""
    prepare: Callable[[PhoneCall], None] = lambda call: None


# ---------------------------------------------------------------- which scenarios


def left_out(scenario: Scenario, hotlines: Hotlines, *, longest: float = LONGEST) -> str:
    """Why a scenario is not rehearsed live; empty if it is."""
    world = scenario.world
    line, _ = rehearsal.line_of(scenario, hotlines)
    acts = [act for step in scenario.caller for act in (step.act, step.then)]
    if "live" not in scenario.levels:
        return "its file says so"
    if any(isinstance(act, Hum) for act in acts):
        return "noise is not detected live yet"
    if world.store_fails:
        return "the store of a stage does not fail"
    if world.time and not hotlines.hours[line.name].is_open(rehearsal.begins_at(scenario, line)):
        return "people are always at work on a stage"
    if rehearsal.expected(scenario) is not None:
        return "the lines of a stage expect what their settings say"
    length = seconds(scenario, hotlines)
    return f"it would last {length:.0f} s" if length > longest else ""


def seconds(scenario: Scenario, hotlines: Hotlines) -> float:
    """How long its call lasts in virtual time, ringing included."""
    return rehearsal.rehearse(scenario, hotlines).seconds + scenario.world.rung


# ---------------------------------------------------------------- calls


class Rehearsal:
    """Rehearses many scenarios on one line. Use with `async with`."""

    def __init__(self, place: Place, *, at_once: int = AT_ONCE) -> None:
        self.place = place
        self._free = asyncio.Semaphore(at_once)
        self._alone: dict[str, asyncio.Lock] = {}
        self._players: dict[str, Player] = {}
        self._withheld = itertools.count(70001)
        self._rung_from: Counter[str] = Counter()
        self._unknown = itertools.count(13800200001)
        self._names = {line: Names(place.hotlines, line) for line in place.hotlines.lines}
        self._errands: set[asyncio.Task[Any]] = set()
        self._next_start = 0.0
        self._listening = asyncio.Semaphore(2)
        self.repeated: list[str] = []
        """Scenarios whose call was placed once more."""

    async def __aenter__(self) -> Rehearsal:
        self.phone = await Phone.open()
        watching = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(watching))
        waiting = asyncio.create_task(watching.wait())
        await asyncio.wait({self._watching, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._watching.done():
            self._watching.result()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, *self._errands, return_exceptions=True)
        await self.phone.close()

    async def _watch(self, watching: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        async for what in control.ask(self.place.control, {"ask": "watch"}):
            watching.set()
            player = self._players.get(what.get("caller", ""))
            if player is not None:
                player.told(what, loop.time())

    async def play_all(
        self,
        scenarios: Sequence[Scenario],
        variants: Mapping[str, Variant] = MappingProxyType({}),
    ) -> list[Performance | TimeoutError | Unwritten]:
        """Rehearse them all, side by side; what came of each, in the order given. Those of a
        line under maintenance come last, one at a time: the whole line is then closed.
        `variants` say what is special about some of them, by name. A call that went wrong and
        whose sound was torn because the machine was too busy is placed once more, among few."""
        open_ = [one for one in scenarios if not one.world.maintenance]
        # the longest first, so that the last ones are short
        open_.sort(key=lambda one: -seconds(one, self.place.hotlines))
        done = await self._all(open_, variants)
        for one in scenarios:
            if one.world.maintenance:
                done[one.name] = await self._judged(await self._closed(one))
        torn_ = [one for one in open_ if _torn(done[one.name])]
        self.repeated = [one.name for one in torn_]
        self._free = asyncio.Semaphore(FEW)
        done |= await self._all(torn_, variants)
        return [done[one.name] for one in scenarios]

    async def _all(
        self, scenarios: Sequence[Scenario], variants: Mapping[str, Variant]
    ) -> dict[str, Performance | TimeoutError | Unwritten]:
        """All side by side. Listening takes the processor from those who still speak, so it
        comes afterwards."""
        calls = await asyncio.gather(
            *(self._tried(one, variants.get(one.name)) for one in scenarios)
        )
        judged = await asyncio.gather(*map(self._judged, calls))
        return {one.name: result for one, result in zip(scenarios, judged, strict=True)}

    async def _tried(
        self, scenario: Scenario, variant: Variant | None = None
    ) -> Placed | TimeoutError | Unwritten:
        try:
            return await self._place(scenario, variant or Variant())
        except (TimeoutError, Unwritten) as error:
            return error

    async def _closed(self, scenario: Scenario) -> Placed | TimeoutError | Unwritten:
        await self._ask("maintenance", lines=[scenario.hotline], on=True)
        try:
            return await self._tried(scenario)
        finally:
            await self._ask("maintenance", lines=[scenario.hotline], on=False)

    async def play(self, scenario: Scenario, variant: Variant | None = None) -> Performance:
        """Rehearse one scenario, when there is room for it.

        Raises TimeoutError for a call that does not end, and Unwritten.
        """
        placed = await self._place(scenario, variant or Variant())
        return await asyncio.to_thread(self._judge, placed)

    async def _judged(
        self, placed: Placed | TimeoutError | Unwritten
    ) -> Performance | TimeoutError | Unwritten:
        if isinstance(placed, Exception):
            return placed
        async with self._listening:
            return await asyncio.to_thread(self._judge, placed)

    async def _place(self, scenario: Scenario, variant: Variant) -> Placed:
        caller = self._rings_from(scenario)
        self._rung_from[caller] += 1
        async with self._alone.setdefault(caller, asyncio.Lock()), self._free:
            await self._take_turn()
            return await self._play(scenario, caller, variant)

    def _rings_from(self, scenario: Scenario) -> str:
        caller = scenario.world.caller
        if not caller:
            return str(next(self._withheld))
        directory = self.place.hotlines.directories[scenario.hotline]
        known = directory.find(caller)
        if not MOBILE.fullmatch(caller):
            return caller
        if not known.addressee:
            return str(next(self._unknown))
        own = [number for number in numbers(caller) if directory.find(number).addressee]
        return min(own, key=lambda number: self._rung_from[number])

    async def _take_turn(self) -> None:
        """Calls do not begin in the same instant."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + APART
        await asyncio.sleep(start - now)

    async def _play(self, scenario: Scenario, caller: str, variant: Variant) -> Placed:
        place = self.place
        dialled = variant.number or rehearsal.line_of(scenario, place.hotlines)[1]
        if scenario.world.rung:
            dialled = place.dialled(dialled, scenario.world.rung)
        place.back_end.worlds[caller] = scenario.world.lookup
        longest = seconds(scenario, place.hotlines) + PATIENCE
        call = await self.phone.dial(dialled, place.sip, caller)
        player = Player(ScriptedCaller(scenario.caller), call, self._hang_up)
        self._players[caller] = player
        variant.prepare(call)
        try:
            await call.ended(longest)
            row = await self._written(player)
        finally:
            del self._players[caller]
            await call.hang_up()
            await asyncio.gather(*player.errands)
        return Placed(scenario, caller, call, row)

    def _judge(self, placed: Placed) -> Performance:
        scenario, call, row = placed.scenario, placed.call, placed.row
        place = self.place
        heard = tuple(place.voices.recognise(call.heard))
        entries = replay.entries(place.store, row.id)
        moments = tuple(Moment(entry.at_ms / 1000, entry.what) for entry in entries)
        told = simulate.outcome(moments)
        prompts = aligned(told.hears, brief(moments), self._names[row.hotline].prompts(heard))
        ends = "caller" if row.ended_by == "caller" else "us"
        outcome = Outcome(prompts, dict(row.record), ends, moments, told.seconds)
        complaints = list(rehearsal.differences(scenario, outcome))
        if told.hears != prompts:
            complaints.append(f"the service says it said {', '.join(told.hears)}")
        line = place.hotlines.lines[row.hotline]
        complaints += [
            f"broke {mark}"
            for mark in rehearsal.broken(outcome, line, SLACK)
            if not set(mark.clauses) & set(scenario.breaks)
        ]
        by_phone = "caller" if call.ended_by == "us" else "us"
        if by_phone != ends:
            complaints.append(f"on the telephone it was {by_phone} who hung up, not {ends}")
        if complaints and place.keep is not None:
            place.keep.mkdir(parents=True, exist_ok=True)
            call.heard.wav(place.keep / f"{scenario.name}.wav")
        return Performance(scenario, placed.caller, call, row, heard, outcome, tuple(complaints))

    async def _written(self, player: Player) -> store.Call:
        """The call's row, once it is complete. Raises Unwritten."""
        if not player.id:
            raise Unwritten("the service never heard of the call")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITTEN):
                while True:
                    up = await self._ask("live")
                    await asyncio.sleep(LINGER)
                    if any(one["call"] == player.id for one in up):
                        continue
                    row = await asyncio.to_thread(self._row, player.id)
                    if row is not None and row.ended_at is not None:
                        return row
        raise Unwritten(f"the record of {player.id} was not complete within {WRITTEN:g} s")

    def _row(self, call: str) -> store.Call | None:
        try:
            return replay.call(self.place.store, call)
        except KeyError:
            return None

    async def _ask(self, what: str, **more: Any) -> Any:
        async for answer in control.ask(self.place.control, {"ask": what, **more}):
            return answer
        return []

    def _hang_up(self, call: str) -> None:
        self._errands.add(task := asyncio.create_task(self._ask("hangup", call=call)))
        task.add_done_callback(self._errands.discard)


def _torn(result: Performance | TimeoutError | Unwritten) -> bool:
    """Whether a call went wrong, and the machine was too busy to play its sound in one piece. One
    that never came to its end has no sound to judge by; a key that was lost does that."""
    if isinstance(result, TimeoutError):
        return True
    if not isinstance(result, Performance) or not result.complaints:
        return False
    return any(late > TORN for _, late in result.call.heard.slips())


def numbers(mobile: str) -> list[str]:
    """A mobile number, and others that a stage may give to the same person."""
    return [mobile, *(f"{mobile[:7]}{more}{mobile[-2:]}" for more in range(11, 11 + MORE))]


class Unwritten(Exception):
    """A call is not in the database as it should be; the message says what is missing."""
