"""Before an agent's code Asterisk asks whether the service answers at all."""

from __future__ import annotations

import pytest
from disturbed import SILENT, handshake, house, peer
from structlog.testing import capture_logs

from ivr.hotlines import Hotlines


@pytest.mark.parametrize("state", [{}, {"most": 0}, {"draining": True}])
async def test_a_sign_of_life_is_given_at_once_and_is_no_call(
    lines: Hotlines, state: dict[str, int]
) -> None:
    async with house(lines, SILENT) as world:
        for name, value in state.items():
            setattr(world.service, name, value)
        with capture_logs() as logs:
            asks = await peer(world, handshake("alive"))
            assert await asks.gone() == b""
        assert logs == []
        assert world.journal.calls() == {}
        assert not world.service.drivers
