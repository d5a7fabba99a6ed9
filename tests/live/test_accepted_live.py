"""What an agent hears between taking a call and talking to its caller: something, all the time."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from people import AGENT, CALLER, STEP, Office, pressed, staffed, takes, talk, voice

from ivr.phone_call import PhoneCall
from ivr.rtp import RATE

pytestmark = [pytest.mark.live, pytest.mark.slow_live]

WHO = "13800228001"
LOUD = 60.0
"""Above this (root mean square) something is heard."""


def silences(call: PhoneCall, since: float, until: float) -> list[float]:
    """How long nothing was heard, time after time, in seconds."""
    step = round(STEP * RATE)
    sound = call.heard.samples().astype(float)
    sound = sound[
        round((since - call.heard.began) * RATE) : round((until - call.heard.began) * RATE)
    ]
    found = [0.0]
    for place in range(0, len(sound) - step, step):
        if np.sqrt((sound[place : place + step] ** 2).mean()) > LOUD:
            found.append(0.0)
        else:
            found[-1] += STEP
    return [one for one in found if one]


async def test_who_takes_a_call_while_we_finish_a_sentence_hears_music_until_they_talk(
    tmp_path: Path, figures: list[str]
) -> None:
    async with Office(tmp_path, ("801",), change=staffed) as own:
        own.ready("801")
        own.desks["801"].plan = deque([takes(key=0.3, after=0.0)])
        call = await own.wants(WHO, "801")
        bridged = await own.watch.until(WHO, "Bridge")
        await asyncio.sleep(0.3)
        call.play(voice(CALLER, 3.0), "talk")
        await asyncio.sleep(2.5)
        ring = own.agent_of(WHO)
        taken = pressed(ring, "1")
        assert bridged - taken > 1.0, "the sentence was too short to say anything"
        longest = max(silences(ring, taken, bridged), default=0.0)
        figures.append(
            f"taken while we speak: {bridged - taken:.1f} s until the talk; the longest silence "
            f"for the agent {longest:.2f} s"
        )
        assert longest < 0.6
        # nothing but the caller is heard afterwards
        (heard,) = [one for one in talk(ring, CALLER) if one[0] > bridged]
        assert heard[1] - heard[0] > 2.0
        assert talk(call, AGENT)[-1][1] > bridged + 2.0
        await call.hang_up()
        await ring.ended(5)
        await own.at_rest()
