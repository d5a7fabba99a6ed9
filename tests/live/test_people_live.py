"""Transfers between real phones: every way in which one can go, judged by both sides' sound, the
record, and what is left afterwards (docs/transfer.md is the table).

All cases and all conversations run side by side, each caller asking for an agent of their own; each
test then looks at its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import pytest
import transfer_table
from conversations import CONVERSATIONS, hurried
from people import AGENT, CALLER, Office, names, takes, talk
from transfers import CASES, LONGEST, UNPLUGGED, Case, Done, NeverHeard

from ivr.actions import RingAgent
from ivr.events import AgentFailed, Stored
from ivr.phone_call import PhoneCall

pytestmark = pytest.mark.live

NOTE = "briefing.kind.person"
"""How the note begins, of a caller who wants a person."""
SLOW = os.environ.get("SANSHENG_LIVE") == "all"


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Mapping[str, Done], Mapping[str, str | BaseException]]:
    """Everything, played side by side."""
    wanted = {name: case for name, case in CASES.items() if SLOW or not case.slow}
    done, talks = asyncio.run(_play(tmp_path_factory.mktemp("office"), wanted))
    if SLOW:
        transfer_table.write(done)
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
