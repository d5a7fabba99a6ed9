"""What an agent's own phone may dial, on real phones (XJCA-5j)."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import pytest
from people import Office, picks_up, staffed

from ivr.phone_call import PhoneCall
from ivr.roster import history

pytestmark = pytest.mark.live

PRIVATE = "13700001111"
STRANGER, CARRIER = "stranger", "carrier"
"""A phone that is in no line's file, and the way out, at whose end is a phone of its own."""


def with_a_way_out(root: Path) -> None:
    staffed(root)
    file = root / "flows/hotlines/xjca.yaml"
    file.write_text(f"{file.read_text('utf-8')}\ncallbacks: {{through: {CARRIER}}}\n", "utf-8")


async def answers(call: PhoneCall) -> None:
    await picks_up(call)
    await asyncio.sleep(1.0)
    await call.hang_up()


async def test_a_seat_reaches_a_colleague_and_no_private_number(tmp_path: Path) -> None:
    async with Office(tmp_path, ["801", "802"]) as own:
        own.desks["802"].plan = deque([answers])
        phone = own.desks["801"].phone
        assert phone is not None
        for number in (PRIVATE, "*83", "5"):
            refused = await own.dials(phone, number)
            assert "agent.refused" in await own.heard(refused), number
        colleague = await own.dials(phone, "802")
        assert colleague.answered_at is not None
        assert len(own.desks["802"].rings) == 1
        reasons = [row["reason"] for row in history(own.stage.store) if "dial" in row["reason"]]
        assert reasons == [
            "dials 802, the phone of 802",
            "may not dial 5: refused",
            "may not dial *83: refused",
            "may not dial *******1111: refused",
        ]
        await own.at_rest()


async def test_a_seat_rings_nobody_when_the_service_is_away(tmp_path: Path) -> None:
    async with Office(tmp_path, ["801", "802"]) as own:
        phone = own.desks["801"].phone
        assert phone is not None
        await asyncio.to_thread(own.stage.kill_service)
        call = await own.dials(phone, "802")
        assert call.answered_at is None
        assert own.desks["802"].rings == []


async def test_an_emergency_call_goes_out_from_any_seat_without_the_service(tmp_path: Path) -> None:
    async with Office(tmp_path, ["801", STRANGER, CARRIER], change=with_a_way_out) as own:
        way_out = own.desks[CARRIER]
        way_out.plan = deque([answers])
        own_numbers = own.stage.hotlines.lines["xjca"].numbers
        await asyncio.to_thread(own.stage.kill_service)
        for number, desk in (("110", "801"), ("120", STRANGER)):
            phone = own.desks[desk].phone
            assert phone is not None
            call = await own.dials(phone, number)
            assert call.answered_at is not None, number
            assert way_out.rings[-1].caller in own_numbers
        assert len(way_out.rings) == 2
