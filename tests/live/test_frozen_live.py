"""The service freezes while callers talk to agents, and on the agents' hold: what both hear."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from conversations import in_conversation, on_hold
from people import AGENT, CALLER, at_work, silences, talk, voice

pytestmark = [pytest.mark.live, pytest.mark.slow_live]

HOLDS, KEYS_HOLD, KEYS_BACK, TALKS = AGENTS = ("801", "802", "803", "804")
"""Agents: on hold, one who asks for a hold, one who wants the caller back, one who talks on."""
ALIVE = 2.0
"""How long a sign of life of the service is waited for before a code, in seconds."""
FREED = 18.5
"""When Asterisk ends a hold whose service has frozen: a wait of 10 s under music, and 8 s."""
WATCHED = 30.0


def caller(agent: str) -> str:
    return f"1380020{agent}1"


async def test_nobody_is_kept_in_silence_by_a_frozen_service(
    tmp_path: Path, figures: list[str]
) -> None:
    async with at_work(tmp_path, *AGENTS) as own:
        both = await asyncio.gather(*(in_conversation(own, caller(one), one) for one in AGENTS))
        calls = dict(zip(AGENTS, both, strict=True))
        await asyncio.gather(
            *(on_hold(own, caller(one), *calls[one]) for one in (HOLDS, KEYS_BACK))
        )
        await asyncio.sleep(4.0)  # the music plays
        own.stage.freeze_service()
        frozen = time.monotonic()
        for one, _ in calls.values():
            one.play(voice(CALLER, WATCHED + 10), "talk")
        await asyncio.sleep(1.0)
        calls[KEYS_HOLD][1].press("*1")
        calls[KEYS_BACK][1].press("*2")
        await asyncio.sleep(WATCHED)

        # who talks, talks on; a code makes a short pause
        for agent, longest in ((TALKS, 0.0), (KEYS_HOLD, ALIVE + 0.6)):
            for side, pitch in ((0, AGENT), (1, CALLER)):
                call = calls[agent][side]
                assert not call.ended_by
                assert talk(call, pitch)[-1][1] > frozen + WATCHED - 1.0
                found = silences(call, pitch, frozen + 0.5)
                assert sum(length for _, length in found) <= longest
        (_, silent), *_ = silences(calls[KEYS_HOLD][0], AGENT, frozen + 0.5)
        # who is on hold is let go, and so is the agent, whether they want the caller back or not
        ended = []
        for agent in (HOLDS, KEYS_BACK):
            for call in calls[agent]:
                assert call.ended_by == "them"
                assert call.ended_at is not None
                ended.append(call.ended_at - frozen)
        assert max(ended) <= FREED
        figures.append(
            f"frozen: a code makes a pause of {silent:.2f} s, a hold ends after {max(ended):.1f} s"
        )

        own.stage.thaw_service()
        for agent in (KEYS_HOLD, TALKS):
            await calls[agent][1].hang_up()
            await own.watch.until(caller(agent), "Say", "closing.anything_else")
            await calls[agent][0].hang_up()
        await own.at_rest()
        for agent in (HOLDS, KEYS_BACK):
            row = own.stage.call_of(caller(agent))
            assert row.ended_by == "us"
            assert row.problem == "we were too late, and the dialplan took the call back"
