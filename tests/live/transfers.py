"""Transfers, case by case: what the agents do, what the caller does, and which effect of what is
timed. test_people_live.py plays and judges them.

Rules this module keeps:

- A case has agents of its own, so that all of them run side by side.
- What is timed is taken from the sound, the telephones and the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from people import (
    AGENT,
    CALLER,
    Does,
    Office,
    declines,
    drops,
    is_busy,
    lets_it_ring,
    only_listens,
    pressed,
    refuses,
    takes,
    talk,
    torn,
    voice,
)

from ivr.actions import RingAgent
from ivr.events import AgentFailed
from ivr.journal import Entry
from ivr.phone_call import PhoneCall
from ivr.store import Call

LONGEST = 1.0
"""Seconds from an event to its effect."""
UNPLUGGED = "804"
"""A phone that has not registered."""


class NeverHeard(Exception):
    """Something that should have been heard was not."""


@dataclass
class Done:
    """How a case went: the caller's call, the agents' calls, what was written down, and what was
    measured: from an event to its effect."""

    caller: PhoneCall
    rings: list[PhoneCall]
    row: Call
    entries: list[Entry]
    legs: list[Call]
    heard: list[str]
    agents_heard: list[list[str]]
    states: dict[str, tuple[str, str]]
    missing: list[str]
    effect: str = ""
    seconds: float = float("inf")

    @property
    def torn(self) -> bool:
        """What should have been heard was not, and the machine was too busy to blame anybody."""
        if self.seconds < LONGEST and self.missing == []:
            return False
        return torn(self.caller, *self.rings)


@dataclass
class Case:
    """One transfer. `agents` are those who may be rung, and what each does; `wanted`: the first of
    them is asked for by number. `plays` is what the caller does once put through, and returns when
    the event of interest happened; `effect` says which effect of which event is timed, `when` how
    long it took. `state` is what all these agents are in afterwards, `hears` what the caller hears
    in any case."""

    title: str
    agents: Mapping[str, Does]
    plays: Callable[[Office, str, PhoneCall], Awaitable[float | None]]
    effect: str
    when: Callable[[Done, float | None, Office], float]
    wanted: bool = True
    state: str = "ready"
    hears: tuple[str, ...] = ("transfer.direct", "transfer.begin")
    slow: bool = False


# ---------------------------------------------------------------- what callers do


async def waits(office: Office, who: str, prompt: str, after: float = 0.3) -> float:
    """Until this prompt has begun."""
    when = await office.watch.until(who, "Say", prompt)
    await asyncio.sleep(after)
    return when


async def talks_a_while(office: Office, who: str, call: PhoneCall) -> None:
    """Talks, is left by the agent, and wants nothing else."""
    await office.watch.until(who, "Bridge")
    call.play(voice(CALLER, 2.0), "talk")
    await asyncio.sleep(3.0)
    await office.agent_of(who).hang_up()
    await waits(office, who, "closing.anything_else", 1.0)
    call.press("2")
    await waits(office, who, "closing.goodbye", 1.0)
    await call.hang_up()


async def gives_up_after_the_first(office: Office, who: str, call: PhoneCall) -> None:
    """Leaves contact when the first agent was tried in vain, and all is said."""
    await office.watch.until(who, "AgentFailed", within=90)
    await office.watch.until(who, "Music")
    await asyncio.sleep(1.0)
    call.press("9")
    await waits(office, who, "transfer.left", 1.0)
    await call.hang_up()


async def hears_that_nobody_can(office: Office, who: str, call: PhoneCall) -> None:
    await waits(office, who, "transfer.nobody", 1.0)
    await call.hang_up()


def leaves(what: str, after: float = 1.0) -> Callable[[Office, str, PhoneCall], Awaitable[float]]:
    """Hangs up so long after this has happened."""

    async def plays(office: Office, who: str, call: PhoneCall) -> float:
        await office.watch.until(who, what)
        await asyncio.sleep(after)
        when = time.monotonic()
        await call.hang_up()
        return when

    return plays


async def takes_nine(office: Office, who: str, call: PhoneCall) -> float:
    """Leaves contact while the phone rings, after the caller has been told how."""
    await office.watch.until(who, "RingAgent")
    await office.watch.until(who, "Music")
    (key,) = call.press("9")
    await key.done()
    when = time.monotonic()
    await waits(office, who, "transfer.left", 1.0)
    await call.hang_up()
    return when


# ---------------------------------------------------------------- when the effect was there


def heard_by_the_caller(prompt: str) -> Callable[[Done, float | None, Office], float]:
    """From the agent's last sign (hanging up, a key, an answer) to this prompt."""

    def when(done: Done, event: float | None, office: Office) -> float:
        began = event if event is not None else ended(done.rings[-1])
        for one in office.stage.ear.recognise(done.caller.heard):
            if {f"xjca.{prompt}", f"common.{prompt}"} & set(one.names):
                return one.start - began
        raise NeverHeard(prompt)

    return when


def hung_up_on_the_agent(done: Done, event: float | None, office: Office) -> float:
    assert event is not None
    return ended(done.rings[-1]) - event


def ended(call: PhoneCall) -> float:
    assert call.ended_at is not None
    return call.ended_at


def talking(done: Done, event: float | None, office: Office) -> float:
    """From the agent's key to the agent's voice."""
    heard = talk(done.caller, AGENT)
    if not heard:
        raise NeverHeard("the agent")
    return heard[0][0] - pressed(done.rings[-1], "1")


def next_phone(done: Done, event: float | None, office: Office) -> float:
    """From the key that refuses to the next phone's ringing."""
    assert done.rings[1].invited_at is not None
    return done.rings[1].invited_at - pressed(done.rings[0], "2")


def known(begins: Callable[[Done, Office], float]) -> Callable[[Done, float | None, Office], float]:
    """From what happened on the phone to when the caller's call knows that this agent failed."""

    def when(done: Done, event: float | None, office: Office) -> float:
        failed = next(one for one in done.entries if isinstance(one.what, AgentFailed))
        return office.stage.at(done.row, failed) - begins(done, office)

    return when


def wished(done: Done, office: Office) -> float:
    """When the call wished this phone to be rung."""
    wish = next(one for one in done.entries if isinstance(one.what, RingAgent))
    return office.stage.at(done.row, wish)


def phone_over(done: Done, office: Office) -> float:
    return ended(done.rings[0])


def told_off(done: Done, office: Office) -> float:
    """When the agent hears that no key was pressed."""
    heard = office.stage.ear.recognise(done.rings[0].heard)
    for one in heard:
        if "common.briefing.no_key" in one.names:
            return one.start
    raise NeverHeard("briefing.no_key")


LEFT = ("transfer.direct", "transfer.begin", "transfer.left")
"""What a caller hears who leaves contact after a while."""

CASES: Mapping[str, Case] = {
    "accepted": Case(
        "the agent accepts, and hangs up after the talk",
        {"801": takes(key=7.0)},
        talks_a_while,
        "the agent's 1 → the agent's voice",
        talking,
        hears=("transfer.direct", "transfer.begin", "closing.anything_else"),
    ),
    "refused": Case(
        "the first agent refuses, the next one accepts",
        {"817": refuses(key=7.0), "818": takes(key=1.0)},
        talks_a_while,
        "the agent's 2 → the next phone rings",
        next_phone,
        wanted=False,
        hears=("transfer.begin", "transfer.next", "closing.anything_else"),
    ),
    "busy": Case(
        "the phone is busy",
        {"802": is_busy},
        gives_up_after_the_first,
        "the phone says no → the caller's call knows",
        known(phone_over),
        hears=LEFT,
    ),
    "declined": Case(
        "the call is declined on the phone",
        {"803": declines},
        gives_up_after_the_first,
        "the phone says no → the caller's call knows",
        known(phone_over),
        hears=LEFT,
    ),
    "unreachable": Case(
        "the phone cannot be reached",
        {UNPLUGGED: lets_it_ring},
        hears_that_nobody_can,
        "wished for → the caller's call knows",
        known(wished),
        hears=("transfer.direct", "transfer.begin", "transfer.nobody"),
        state="unreachable",
    ),
    "no_answer": Case(
        "nobody answers (rung for 8 s)",
        {"805": lets_it_ring},
        gives_up_after_the_first,
        "the ringing ends → the caller's call knows",
        known(phone_over),
        hears=LEFT,
    ),
    "no_key": Case(
        "the agent hears the note three times and presses nothing",
        {"806": only_listens},
        gives_up_after_the_first,
        "the agent is told → the caller's call knows",
        known(told_off),
        hears=("transfer.begin", "transfer.next", "transfer.left"),
        slow=True,
    ),
    "dropped": Case(
        "the agent answers and hangs up at once",
        {"807": drops()},
        gives_up_after_the_first,
        "the agent hangs up → the caller's call knows",
        known(phone_over),
        hears=LEFT,
    ),
    "dropped_in_the_note": Case(
        "the agent hangs up while hearing the note",
        {"808": drops(7.0)},
        gives_up_after_the_first,
        "the agent hangs up → the caller is told",
        heard_by_the_caller("transfer.next"),
        hears=("transfer.begin", "transfer.next", "transfer.left"),
    ),
    "left_ringing": Case(
        "the caller hangs up while the phone rings",
        {"809": lets_it_ring},
        leaves("RingAgent"),
        "the caller hangs up → the ringing ends",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
    ),
    "left_in_the_note": Case(
        "the caller hangs up while the agent hears the note",
        {"810": only_listens},
        leaves("AgentAnswered"),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
    ),
    "left_accepted": Case(
        "the caller hangs up when the agent has accepted, before they talk",
        {"811": takes(key=0.5)},
        leaves("AgentAccepted", 0.3),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
    ),
    "left_bridged": Case(
        "the caller hangs up in the conversation",
        {"812": takes(key=0.5)},
        leaves("Bridge", 2.0),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
    ),
    "takes_nine": Case(
        "the caller takes 9 to leave contact while the phone rings",
        {"813": lets_it_ring},
        takes_nine,
        "the caller's 9 → the ringing ends",
        hung_up_on_the_agent,
        hears=LEFT,
    ),
}
