"""Conversations of callers with agents: holds with consent, sentences by code, who leaves.

Each is a whole call of one caller with one agent, and gives how to judge it (`Talked`): listening
takes the processor from those who still speak, so it comes when all calls are over. Holds have a
sign of life every few seconds here (`hurried`), so that a whole one fits into a test.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from people import AGENT, CALLER, Office, names, staffed, talk, voice

from ivr.ear import Heard
from ivr.phone_call import PhoneCall

SHORT = 8
"""Seconds between two signs of life of a hold in a short test: a little more than one lasts."""


@dataclass(frozen=True)
class Talked:
    """A conversation that is over: both calls, and `judge`, which gives a figure ("" for none) or
    raises AssertionError. Judging blocks, for as long as it takes to listen."""

    calls: tuple[PhoneCall, PhoneCall]
    judge: Callable[[], str]


Plays = Callable[[Office, str, str], Awaitable[Talked]]
"""A conversation of this caller with this agent."""


def hurried(root: Path) -> None:
    """An office whose holds have a sign of life every few seconds."""
    staffed(root)
    file = root / "flows/transfer.yaml"
    text = file.read_text("utf-8")
    head, bridge, rest = text.partition("bridge: {")
    file.write_text(head + bridge + rest.replace("every: 30 s", f"every: {SHORT} s", 1), "utf-8")


async def in_conversation(own: Office, who: str, agent: str) -> tuple[PhoneCall, PhoneCall]:
    """A caller who talks to this agent: the caller's call and the agent's."""
    call = await own.wants(who, agent)
    await own.watch.until(who, "Bridge")
    await asyncio.sleep(0.5)
    return call, own.agent_of(who)


async def on_hold(own: Office, who: str, call: PhoneCall, ring: PhoneCall) -> None:
    """The agent asks for a hold, and the caller agrees."""
    ring.press("*1")
    await own.watch.until(who, "Say", "bridged.ask")
    await asyncio.sleep(1.2)
    call.press("1")
    await own.watch.until(who, "Say", "bridged.agreed")


def starts(heard: list[Heard], *prompts: str) -> list[float]:
    """When any of these was heard to begin."""
    wanted = {f"{line}.{prompt}" for line in ("xjca", "common") for prompt in prompts}
    return [one.start for one in heard if wanted & set(one.names)]


async def hold_and_return(own: Office, who: str, agent: str, every: float = SHORT) -> Talked:
    """A whole hold: consent, two signs of life, the agent back, the talk goes on."""
    call, ring = await in_conversation(own, who, agent)
    await on_hold(own, who, call, ring)
    await own.watch.until(who, "Say", "hold.still_here", within=2 * every + 20, times=2)
    await asyncio.sleep(4.0)
    back = time.monotonic()
    ring.press("*2")
    await own.watch.until(who, "Resume")
    await asyncio.sleep(0.3)
    again = time.monotonic()
    call.play(voice(CALLER, 1.0), "talk")
    await asyncio.sleep(1.5)
    await ring.hang_up()
    await own.watch.until(who, "Say", "closing.anything_else")
    await asyncio.sleep(1.0)
    await call.hang_up()

    def judge() -> str:
        heard = own.stage.ear.recognise(call.heard)
        signs = starts(heard, "bridged.agreed", "hold.still_here")
        gaps = [later - earlier for earlier, later in pairwise(signs)]
        assert gaps == pytest.approx([every] * 2, abs=0.5)
        (thanks,) = starts(heard, "hold.thanks")
        assert thanks - back < every
        # nothing of the agent's voice is heard on hold, and each hears the other again afterwards
        (asked,) = starts(heard, "bridged.ask")
        agent_heard = talk(call, AGENT)
        assert not [one for one in agent_heard if one[0] > asked and one[1] < thanks]
        assert agent_heard[-1][0] > thanks
        assert talk(ring, CALLER)[-1][0] > again - 0.1
        assert own.stage.call_of(who).record["consent"] == "given"
        # the caller hears none of the codes
        assert call.keys == []
        longest = max(later - earlier for earlier, later in pairwise([*signs, thanks]))
        return (
            f"hold: signs of life after {', '.join(f'{gap:.3f}' for gap in gaps)} s, "
            f"longest gap {longest:.3f} s; talking again {agent_heard[-1][0] - thanks:.3f} s after "
            f"the beginning of the apology"
        )

    return Talked((call, ring), judge)


async def agent_leaves(own: Office, who: str, agent: str) -> Talked:
    """The agent hangs up during the hold: the caller is asked for anything else."""
    call, ring = await in_conversation(own, who, agent)
    await on_hold(own, who, call, ring)
    await own.watch.until(who, "Music", times=2)
    left = time.monotonic()
    await ring.hang_up()
    told = await own.watch.until(who, "Say", "closing.anything_else")
    await asyncio.sleep(0.8)
    await call.hang_up()

    def judge() -> str:
        assert told - left < 0.5
        assert "closing.anything_else" in names(own.stage.ear.recognise(call.heard))
        return f"the agent leaves on hold → the caller is asked: {told - left:.3f} s"

    return Talked((call, ring), judge)


async def caller_leaves(own: Office, who: str, agent: str) -> Talked:
    """The caller hangs up during the hold, and so does the agent's phone."""
    call, ring = await in_conversation(own, who, agent)
    await on_hold(own, who, call, ring)
    await own.watch.until(who, "Music", times=2)
    left = time.monotonic()
    await call.hang_up()
    await ring.ended(5)

    def judge() -> str:
        assert ring.ended_at is not None
        assert ring.ended_at - left < 0.5
        return f"the caller leaves on hold → the agent: {ring.ended_at - left:.3f} s"

    return Talked((call, ring), judge)


async def caller_declines(own: Office, who: str, agent: str) -> Talked:
    """No consent: the two talk on at once."""
    call, ring = await in_conversation(own, who, agent)
    ring.press("*1")
    await own.watch.until(who, "Say", "bridged.ask")
    await asyncio.sleep(0.6)
    call.press("2")
    await own.watch.until(who, "Resume")
    declined = time.monotonic()
    await asyncio.sleep(1.0)
    await call.hang_up()

    def judge() -> str:
        assert talk(call, AGENT)[-1][1] > declined + 0.5
        return ""

    return Talked((call, ring), judge)


async def sentences(own: Office, who: str, agent: str) -> Talked:
    """A sentence, then harassment: first the warning, then the end of the call."""
    call, ring = await in_conversation(own, who, agent)
    ring.press("*32")
    await own.watch.until(who, "Resume")
    ring.press("*39")
    await own.watch.until(who, "Resume", times=2)
    await asyncio.sleep(0.5)
    ring.press("*39")
    await call.ended(20)
    await ring.ended(5)

    def judge() -> str:
        said = names(own.stage.ear.recognise(call.heard))
        wanted = ["unclear.quiet", "sentence.harassment_warning", "sentence.harassment_end"]
        assert [one for one in said if one in wanted] == wanted
        # the agent hears nothing of it, and the caller nothing of the codes
        agent = names(own.stage.ear.recognise(ring.heard))
        assert not [one for one in agent if one.startswith("sentence.")]
        assert call.keys == []
        assert call.ended_by == "them"
        assert own.stage.call_of(who).record["result"] == "harassment"
        return ""

    return Talked((call, ring), judge)


CONVERSATIONS: Mapping[str, tuple[str, Plays]] = {
    "hold": ("814", hold_and_return),
    "agent_leaves_on_hold": ("815", agent_leaves),
    "caller_leaves_on_hold": ("816", caller_leaves),
    "no_consent": ("821", caller_declines),
    "sentences": ("822", sentences),
}
"""By name: the agent, and what happens."""
