"""What no prompt can say is left out with an apology, and the call goes on: numbers of callers, and
values of back ends, are written by others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ivr.hotlines import Hotlines
from ivr.scenario import Ring
from ivr.scenario_file import read
from ivr.wire_rehearsal import rehearse_all

pytestmark = pytest.mark.usefixtures("service_logs")

ROOT = Path(__file__).parents[2]
TRANSFER = ROOT / "tests/scenarios/xjca-put-through.yaml"
WHOLE = 15.0
"""Seconds in which an agent hears all of the note."""


@pytest.mark.parametrize("caller", ["13800138000", "*123#", "1" * 36])
def test_an_agent_who_hears_the_whole_note_gets_the_caller_whatever_the_number_is(
    lines: Hotlines, caller: str
) -> None:
    one = read(TRANSFER, ROOT)
    agents = (("801", (Ring("accept", hears=WHOLE, talks=10.0),)),)
    world = replace(one.world, caller=caller, agents=agents)
    (done,) = rehearse_all([replace(one, world=world)], lines)
    record = dict(done.record)
    assert (record["result"], record["agent"]) == ("transferred", "801")
