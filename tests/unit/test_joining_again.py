"""Who was put through and talked to nobody: who is rung for them next."""

from __future__ import annotations

import pytest
from at_work import TRANSFER, at, join, ready, rung

from ivr.agents import Agents

pytest_plugins = ["databases"]


@pytest.mark.parametrize("outcome", ["failed", "dropped"])
def test_somebody_else_who_is_ready_is_rung_first(agents: Agents, outcome: str) -> None:
    """Also if that one has been idle for a moment only."""
    ready(agents, "801")
    place = join(agents, "c1", 0)
    assert rung(agents.match(at(1))) == {"c1": "801"}
    agents.talking("c1", at(3))
    agents.leave(place)
    agents.set_ready("802", "phone", at(59))
    agents.release("c1", "801", outcome, TRANSFER, at(60))
    agents.join("c1", 2, "shop", "service", "", at(60))
    assert rung(agents.match(at(60))) == {"c1": "802"}


@pytest.mark.parametrize("outcome", ["failed", "dropped"])
def test_the_same_agent_is_rung_when_nobody_else_is_ready(agents: Agents, outcome: str) -> None:
    ready(agents, "801")
    place = join(agents, "c1", 0)
    agents.match(at(1))
    agents.talking("c1", at(3))
    agents.leave(place)
    agents.release("c1", "801", outcome, TRANSFER, at(60))
    agents.join("c1", 2, "shop", "service", "", at(60))
    assert rung(agents.match(at(61))) == {"c1": "801"}
