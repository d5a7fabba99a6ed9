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
from typing import Any

import pytest
import transfer_table
from conversations import CONVERSATIONS, Plays, Talked, hurried
from moments import eventually
from people import AGENT, CALLER, Office, names, takes, talk, torn
from transfers import CASES, LONGEST, UNPLUGGED, Case, Done, NeverHeard

from ivr.actions import RingAgent
from ivr.events import AgentFailed, Stored
from ivr.phone_call import PhoneCall
from ivr.queueing import WRAP_UP

pytestmark = pytest.mark.live

NOTE = "briefing.kind.person"
"""How the note begins, of a caller who wants a person."""


Went = tuple[dict[str, Done], dict[str, str | BaseException]]
"""How each case went, and each conversation: a figure, or what went wrong."""


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Went:
    """Everything that is asked for, played side by side."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    slow = any(item.get_closest_marker("slow_live") for item in here)
    wanted = {name: case for name, case in CASES.items() if slow or not case.slow}
    done, talks = asyncio.run(_play(tmp_path_factory.mktemp("office"), wanted))
    if os.environ.get("SANSHENG_LIVE") == "all":
        transfer_table.write(done)
    return done, talks


@pytest.fixture(scope="module")
def results(played: Went) -> Mapping[str, Done]:
    """How each case went."""
    return played[0]


@pytest.fixture(scope="module")
def talks(played: Went) -> Mapping[str, str | BaseException]:
    """How each conversation went: a figure, or what went wrong."""
    return played[1]


async def _play(folder: Path, cases: Mapping[str, Case]) -> Went:
    agents = [agent for case in cases.values() for agent in case.agents]
    agents += [agent for agent, _ in CONVERSATIONS.values()]
    desks = [agent for agent in agents if agent != UNPLUGGED]
    async with Office(folder, desks, [UNPLUGGED], change=hurried) as office:
        one = Round(office, cases, CONVERSATIONS, "1")
        done, talks = await one.play()
        # what a busy machine has torn is played once more, with less company
        again = Round(
            office,
            {name: case for name, case in cases.items() if one.torn(name, done[name])},
            {name: plays for name, plays in CONVERSATIONS.items() if one.torn(name, talks[name])},
            "3",
        )
        if again.who:
            more, more_talks = await again.play()
            done, talks = done | more, talks | more_talks
    for went in done.values():
        if isinstance(went, BaseException):
            raise went
    return done, talks


class Round:
    """These cases and conversations, side by side; `digit` makes their callers' numbers."""

    def __init__(
        self,
        office: Office,
        cases: Mapping[str, Case],
        talks: Mapping[str, tuple[str, Plays]],
        digit: str,
    ) -> None:
        self.office, self.cases, self.talks = office, cases, talks
        self.who = {name: f"13800{digit}{n:05d}" for n, name in enumerate([*cases, *talks])}

    def torn(self, name: str, went: object) -> bool:
        """Whether this went wrong, and the machine was too busy to blame anybody."""
        if isinstance(went, Done):
            return went.torn
        return isinstance(went, BaseException) and torn(*self.office.calls_of(self.who[name]))

    async def play(self) -> tuple[dict[str, Any], dict[str, str | BaseException]]:
        """How each went, or what went wrong with it. Listening takes the processor from those who
        still speak, so all calls are over before."""
        office = self.office
        plans = {agent: does for case in self.cases.values() for agent, does in case.agents.items()}
        plans |= dict.fromkeys((agent for agent, _ in self.talks.values()), takes(key=0.5))
        office.ready(*plans)
        for agent, does in plans.items():
            if agent != UNPLUGGED:
                office.desks[agent].plan = deque([does])
                office.desks[agent].rings.clear()
        playing = [self._acted(name) for name in self.cases]
        talking = [plays(office, self.who[n], agent) for n, (agent, plays) in self.talks.items()]
        acted = await asyncio.gather(*playing, *talking, return_exceptions=True)
        await office.all_leave()
        await office.at_rest()
        with contextlib.suppress(AssertionError):  # whose agent is not done yet fails
            await eventually(lambda: WRAP_UP not in map(office.state, plans))
        now = office.agents()
        judged = await asyncio.to_thread(lambda: [*map(self._judged, self.who, acted)])
        went = dict(zip(self.who, judged, strict=True))
        for done in went.values():
            if isinstance(done, Done):
                done.states = {agent: now[agent][:2] for agent in done.states}
        return {name: went[name] for name in self.cases}, {name: went[name] for name in self.talks}

    async def _acted(self, name: str) -> tuple[PhoneCall, float | None]:
        """The caller's call when it is over, and when what is timed has happened."""
        case, who = self.cases[name], self.who[name]
        call = await self.office.wants(who, next(iter(case.agents)) if case.wanted else "")
        event = await case.plays(self.office, who, call)
        await call.hang_up()
        await self.office.at_rest_for(who)
        return call, event

    def _judged(self, name: str, acted: Any) -> Done | str | BaseException:
        try:
            if isinstance(acted, BaseException):
                return acted
            if isinstance(acted, Talked):
                return acted.judge()
            return _done(self.office, self.cases[name], self.who[name], *acted)
        except Exception as error:
            return error


def _done(office: Office, case: Case, who: str, call: PhoneCall, event: float | None) -> Done:
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
    states = {agent: state for agent, (state, _) in results[name].states.items()}
    assert states == dict.fromkeys(CASES[name].agents, CASES[name].state)


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
