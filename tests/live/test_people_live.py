"""Transfers between real phones: every way in which one can go, judged by both sides' sound, the
record, and what is left afterwards (docs/transfer.md is the table).

All cases and all conversations run side by side, each caller asking for an agent of their own; each
test then looks at its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conversations import CONVERSATIONS, hurried
from people import (
    AGENT,
    CALLER,
    Does,
    Office,
    declines,
    drops,
    is_busy,
    lets_it_ring,
    names,
    only_listens,
    pressed,
    refuses,
    takes,
    talk,
    voice,
)
from places import ROOT

from ivr.actions import RingAgent
from ivr.events import AgentFailed, Stored
from ivr.journal import Entry
from ivr.live_rehearsal import TORN
from ivr.phone_call import PhoneCall
from ivr.store import Call

pytestmark = pytest.mark.live

TABLE = ROOT / "docs/transfer.md"
LONGEST = 1.0
"""Seconds from an event to its effect."""
UNPLUGGED = "804"
"""A phone that has not registered."""
NOTE = "briefing.kind.person"
"""How the note begins, of a caller who wants a person."""


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
        slips = [slip for call in (self.caller, *self.rings) for slip in call.heard.slips()]
        return any(late > TORN for _, late in slips)


@dataclass
class Case:
    """One transfer. `agents` are those who may be rung, and what each does; `wanted`: the first of
    them is asked for by number. `plays` is what the caller does once put through, and returns
    when the event of interest happened; `effect` says when its effect was there."""

    title: str
    agents: Mapping[str, Does]
    plays: Callable[[Office, str, PhoneCall], Awaitable[float | None]]
    effect: str
    when: Callable[[Done, float | None, Office], float]
    wanted: bool = True
    state: Mapping[str, str] = field(default_factory=dict)
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


CASES: Mapping[str, Case] = {
    "accepted": Case(
        "the agent accepts, and hangs up after the talk",
        {"801": takes(key=7.0)},
        talks_a_while,
        "the agent's 1 → the agent's voice",
        talking,
        hears=("transfer.direct", "transfer.begin", "closing.anything_else"),
        state={"801": "ready"},
    ),
    "refused": Case(
        "the first agent refuses, the next one accepts",
        {"817": refuses(key=7.0), "818": takes(key=1.0)},
        talks_a_while,
        "the agent's 2 → the next phone rings",
        next_phone,
        wanted=False,
        hears=("transfer.begin", "transfer.next", "closing.anything_else"),
        state={"817": "ready", "818": "ready"},
    ),
    "busy": Case(
        "the phone is busy",
        {"802": is_busy},
        gives_up_after_the_first,
        "the phone says no → the caller's call knows",
        known(phone_over),
        hears=("transfer.direct", "transfer.begin", "transfer.left"),
        state={"802": "ready"},
    ),
    "declined": Case(
        "the call is declined on the phone",
        {"803": declines},
        gives_up_after_the_first,
        "the phone says no → the caller's call knows",
        known(phone_over),
        hears=("transfer.direct", "transfer.begin", "transfer.left"),
        state={"803": "ready"},
    ),
    "unreachable": Case(
        "the phone cannot be reached",
        {UNPLUGGED: lets_it_ring},
        hears_that_nobody_can,
        "wished for → the caller's call knows",
        known(wished),
        hears=("transfer.direct", "transfer.begin", "transfer.nobody"),
        state={UNPLUGGED: "unreachable"},
    ),
    "no_answer": Case(
        "nobody answers (rung for 8 s)",
        {"805": lets_it_ring},
        gives_up_after_the_first,
        "the ringing ends → the caller's call knows",
        known(phone_over),
        hears=("transfer.direct", "transfer.begin", "transfer.left"),
        state={"805": "ready"},
    ),
    "no_key": Case(
        "the agent hears the note three times and presses nothing",
        {"806": only_listens},
        gives_up_after_the_first,
        "the agent is told → the caller's call knows",
        known(told_off),
        hears=("transfer.begin", "transfer.next", "transfer.left"),
        state={"806": "ready"},
        slow=True,
    ),
    "dropped": Case(
        "the agent answers and hangs up at once",
        {"807": drops()},
        gives_up_after_the_first,
        "the agent hangs up → the caller's call knows",
        known(phone_over),
        hears=("transfer.direct", "transfer.begin", "transfer.left"),
        state={"807": "ready"},
    ),
    "dropped_in_the_note": Case(
        "the agent hangs up while hearing the note",
        {"808": drops(7.0)},
        gives_up_after_the_first,
        "the agent hangs up → the caller is told",
        heard_by_the_caller("transfer.next"),
        hears=("transfer.begin", "transfer.next", "transfer.left"),
        state={"808": "ready"},
    ),
    "left_ringing": Case(
        "the caller hangs up while the phone rings",
        {"809": lets_it_ring},
        leaves("RingAgent"),
        "the caller hangs up → the ringing ends",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
        state={"809": "ready"},
    ),
    "left_in_the_note": Case(
        "the caller hangs up while the agent hears the note",
        {"810": only_listens},
        leaves("AgentAnswered"),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
        state={"810": "ready"},
    ),
    "left_accepted": Case(
        "the caller hangs up when the agent has accepted, before they talk",
        {"811": takes(key=0.5)},
        leaves("AgentAccepted", 0.3),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
        hears=("transfer.direct",),
        state={"811": "ready"},
    ),
    "left_bridged": Case(
        "the caller hangs up in the conversation",
        {"812": takes(key=0.5)},
        leaves("Bridge", 2.0),
        "the caller hangs up → the agent is hung up",
        hung_up_on_the_agent,
        state={"812": "ready"},
    ),
    "takes_nine": Case(
        "the caller takes 9 to leave contact while the phone rings",
        {"813": lets_it_ring},
        takes_nine,
        "the caller's 9 → the ringing ends",
        hung_up_on_the_agent,
        hears=("transfer.direct", "transfer.begin", "transfer.left"),
        state={"813": "ready"},
    ),
}
SLOW = os.environ.get("SANSHENG_LIVE") == "all"


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Mapping[str, Done], Mapping[str, str | BaseException]]:
    """Everything, played side by side."""
    wanted = {name: case for name, case in CASES.items() if SLOW or not case.slow}
    done, talks = asyncio.run(_play(tmp_path_factory.mktemp("office"), wanted))
    if SLOW:
        TABLE.write_text(HEAD.format(rows="\n".join(_rows(done))), "utf-8")
    return done, talks


@pytest.fixture(scope="module")
def results(
    played: tuple[Mapping[str, Done], Mapping[str, str | BaseException]],
) -> Mapping[str, Done]:
    """How each case went."""
    return played[0]


@pytest.fixture(scope="module")
def talks(
    played: tuple[Mapping[str, Done], Mapping[str, str | BaseException]],
) -> Mapping[str, str | BaseException]:
    """How each conversation went: a figure, or what went wrong."""
    return played[1]


async def _play(
    folder: Path, cases: Mapping[str, Case]
) -> tuple[dict[str, Done], dict[str, str | BaseException]]:
    agents = [agent for case in cases.values() for agent in case.agents]
    agents += [agent for agent, _ in CONVERSATIONS.values()]
    desks = [agent for agent in agents if agent != UNPLUGGED]
    async with Office(folder, desks, [UNPLUGGED], change=hurried) as office:
        done, talks = await asyncio.gather(_round(office, cases, "138001"), _talks(office))
        await office.at_rest()
        # what a busy machine has torn is played once more, with less company
        torn = {name: case for name, case in cases.items() if done[name].torn}
        return done | (await _round(office, torn, "138003") if torn else {}), talks


async def _talks(office: Office) -> dict[str, str | BaseException]:
    """All conversations, side by side: a figure each, or what went wrong."""
    for agent, _ in CONVERSATIONS.values():
        office.desks[agent].plan = deque([takes(key=0.5)])
    office.ready(*(agent for agent, _ in CONVERSATIONS.values()))
    talking = [plays(office) for _, plays in CONVERSATIONS.values()]
    talked = await asyncio.gather(*talking, return_exceptions=True)
    return dict(zip(CONVERSATIONS, talked, strict=True))


async def _round(office: Office, cases: Mapping[str, Case], callers: str) -> dict[str, Done]:
    """Play these cases side by side."""
    office.ready(*(agent for case in cases.values() for agent in case.agents))
    for case in cases.values():
        for agent, does in case.agents.items():
            if agent != UNPLUGGED:
                office.desks[agent].plan = deque([does])
                office.desks[agent].rings.clear()
    playing = [_one(office, case, f"{callers}{n:05d}") for n, case in enumerate(cases.values())]
    played = await asyncio.gather(*playing)
    await asyncio.sleep(1.2)  # until all have wrapped up
    agents_now = office.agents()
    done = await asyncio.to_thread(lambda: [_judge(office, *one) for one in played])
    for one in done:
        one.states = {agent: agents_now[agent][:2] for agent in one.states}
    return dict(zip(cases, done, strict=True))


async def _one(office: Office, case: Case, who: str) -> tuple[Case, str, PhoneCall, float | None]:
    first = next(iter(case.agents))
    call = await office.wants(who, first if case.wanted else "")
    event = await case.plays(office, who, call)
    await call.hang_up()
    await office.at_rest_for(who)
    return case, who, call, event


def _judge(office: Office, case: Case, who: str, call: PhoneCall, event: float | None) -> Done:
    stage = office.stage
    row = stage.call_of(who)
    rings = [
        ring for agent in case.agents if agent != UNPLUGGED for ring in office.desks[agent].rings
    ]
    heard = names(stage.ear.recognise(call.heard))
    done = Done(
        call,
        rings,
        row,
        stage.entries(row),
        office.legs(row),
        heard,
        [names(stage.ear.recognise(ring.heard)) for ring in rings],
        dict.fromkeys(case.agents, ("", "")),
        [prompt for prompt in case.hears if prompt not in heard],
        case.effect,
    )
    with contextlib.suppress(NeverHeard):
        done.seconds = case.when(done, event, office)
    return done


# ---------------------------------------------------------------- the tests


def case(name: str) -> pytest.param:
    return pytest.param(name, marks=[pytest.mark.slow_live] if CASES[name].slow else [])


@pytest.mark.parametrize("name", [case(name) for name in CASES])
def test_every_agent_is_left_as_the_case_says(results: Mapping[str, Done], name: str) -> None:
    assert {agent: state for agent, (state, _) in results[name].states.items()} == CASES[name].state


@pytest.mark.parametrize("name", [case(name) for name in CASES])
def test_what_happens_has_its_effect_within_a_second(
    results: Mapping[str, Done], name: str, figures: list[str]
) -> None:
    done = results[name]
    figures.append(f"{CASES[name].title}: {done.effect} {done.seconds:.3f} s")
    assert done.seconds <= LONGEST


@pytest.mark.parametrize("name", [case(name) for name in CASES if name != "unreachable"])
def test_the_note_was_stored_before_the_phone_rang(results: Mapping[str, Done], name: str) -> None:
    done = results[name]
    kinds = [type(one.what) for one in done.entries]
    assert kinds.index(Stored) < kinds.index(RingAgent)
    stored = next(one.what for one in done.entries if isinstance(one.what, Stored))
    wish = next(one.what for one in done.entries if isinstance(one.what, RingAgent))
    assert isinstance(stored, Stored)
    assert isinstance(wish, RingAgent)
    assert wish.reference == stored.reference


def test_the_two_talk_and_the_caller_is_asked_for_anything_else(
    results: Mapping[str, Done],
) -> None:
    done = results["accepted"]
    (ring,) = done.rings
    (agent,) = done.agents_heard
    assert agent[0] == NOTE
    assert talk(done.caller, AGENT)
    assert talk(ring, CALLER)
    # the agent hears nothing of what the caller is told, and the other way round
    assert not set(agent) & {"transfer.begin", "closing.anything_else"}
    assert not any(name.startswith("briefing.") for name in done.heard)
    assert done.row.record["result"] == "transferred"
    assert done.row.record["agent"] == "801"
    (leg,) = done.legs
    assert leg.record["verdict"] == "accepted"
    assert leg.leg_of == done.row.id


def test_the_next_agent_is_tried_when_one_refuses(results: Mapping[str, Done]) -> None:
    done = results["refused"]
    assert [leg.record["verdict"] for leg in done.legs] == ["refused", "accepted"]
    assert done.row.record["agent"] == "818"
    assert "briefing.refused" in done.agents_heard[0]
    assert talk(done.caller, AGENT)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("busy", "busy"),
        ("declined", "refused"),
        ("no_answer", "no_answer"),
        ("dropped", "dropped"),
        ("dropped_in_the_note", "dropped"),
        ("unreachable", "unreachable"),
        pytest.param("no_key", "no_key", marks=[pytest.mark.slow_live]),
    ],
)
def test_who_cannot_be_put_through_leaves_contact(
    results: Mapping[str, Done], name: str, reason: str
) -> None:
    done = results[name]
    failed = next(one.what for one in done.entries if isinstance(one.what, AgentFailed))
    assert isinstance(failed, AgentFailed)
    assert failed.reason == reason
    assert not talk(done.caller, AGENT)


@pytest.mark.parametrize("name", [case(name) for name in CASES])
def test_the_caller_hears_what_becomes_of_the_wish(results: Mapping[str, Done], name: str) -> None:
    assert results[name].missing == []


def test_nobody_of_a_call_that_its_caller_left_hears_more(results: Mapping[str, Done]) -> None:
    for name in ("left_ringing", "left_in_the_note", "left_accepted", "left_bridged"):
        done = results[name]
        assert done.row.ended_by == "caller"
        assert [ring.ended_by for ring in done.rings] == ["them"]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_goes_as_it_should(
    talks: Mapping[str, str | BaseException], name: str, figures: list[str]
) -> None:
    went = talks[name]
    if isinstance(went, BaseException):
        raise went
    if went:
        figures.append(went)


# ---------------------------------------------------------------- the table


def _rows(done: Mapping[str, Done]) -> Iterator[str]:
    for name, one in done.items():
        agents = " / ".join(", ".join(heard) or "nothing" for heard in one.agents_heard)
        record = ", ".join(f"{key} {value}" for key, value in sorted(one.row.record.items()))
        legs = " / ".join(leg.record.get("verdict", "none") for leg in one.legs)
        states = ", ".join(f"{state} ({why})" for state, why in one.states.values())
        talked = " and the agent" if talk(one.caller, AGENT) else ""
        yield (
            f"| {CASES[name].title} | {', '.join(one.heard)}{talked} | {agents or 'nothing'} | "
            f"{record}; legs: {legs or 'none'} | {states} | {one.effect}: {one.seconds:.3f} s |"
        )


HEAD = """# Transfers, case by case

Made by the live tests (`SANSHENG_LIVE=all`, which `make live` sets); do not edit. Real phones on
both sides of a real Asterisk; what was heard is recognised in the recorded sound. After each case
no channel, no call, no claimed agent and no place in a line was left.

An agent who accepts while the caller hears a sentence of ours waits, without sound, for its end:
the sentence is not cut. That is 2.5 s for the sign of life and 5.2 s for the longest, the caller's
place in two figures (the lengths of the prompts; `tests/unit/test_transfer.py`). At any other
moment the two hear each other at once, as the table says.

What an agent who accepts has heard is told to other programs at the same moment (posted 0.01 s
after it in the test), as the manager's event `SanshengNote` and as a post to the line's webhook
with its token; a ticket whose grade alerts somebody is told at the service's next look (every
15 s), as `SanshengTicket` and a post. `tests/live/test_told_live.py` shows both with a second
manager account that reads class `user` only, and an address of its own.

| case | the caller heard | the agents heard | record | agent afterwards | event → effect |
|---|---|---|---|---|---|
{rows}
"""
