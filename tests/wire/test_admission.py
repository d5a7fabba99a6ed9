"""Who speaks to our port: calls are let in up to the limit, anything else is sent away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from disturbed import SILENT, handshake, house, peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivr.hotlines import Hotlines

pytestmark = pytest.mark.usefixtures("service_logs")


async def test_who_says_nothing_is_dropped_after_five_seconds(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        quiet = await peer(world, b"agi_network: yes\n")
        await world.clock.run_for(4.9)
        assert not quiet.reader.at_eof()
        await world.clock.run_for(0.2)
        assert await quiet.gone() == b""


@pytest.mark.parametrize(
    "said",
    [
        b"agi_network: " + b"x" * 20_000 + b"\n",
        b"x" * 20_000,
        b"".join(b"agi_x%d: 1\n" % n for n in range(300)),
        b"GET / HTTP/1.1\r\nHost: hotline\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"agi_arg_1: 1001\nagi_arg_1: 1002\n\n",
        b"\n",
        handshake("passwd"),
        handshake("../call"),
        handshake(number="9999"),
        handshake(number=""),
    ],
)
async def test_a_handshake_that_makes_no_sense_is_no_call(lines: Hotlines, said: bytes) -> None:
    async with house(lines, SILENT) as world:
        stranger = await peer(world, said, end=True)
        await world.clock.run_for(6)
        assert await stranger.gone() == b""
        assert world.journal.calls() == {}


async def test_a_peer_that_is_not_allowed_is_told_nothing(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        world.service.allowed = ("192.0.2.1",)
        stranger = await peer(world, handshake())
        assert await stranger.gone() == b""
        assert world.journal.calls() == {}


async def test_the_surplus_is_left_to_the_dialplan_at_once(lines: Hotlines) -> None:
    """Also when all ring in the same instant."""
    async with house(lines, SILENT) as world:
        world.service.most = 3
        stages = [world.call() for _ in range(10)]
        await world.clock.run_for(0.1)
        assert len(world.service.drivers) == 3
        assert [s.channel.ended_by for s in stages].count("dialplan") == 7
        await world.end()
        assert [s.channel.ended_by for s in stages].count("us") == 3
        again = world.call()
        await world.end()
        assert again.channel.ended_by == "us"


async def test_half_open_connections_do_not_stand_in_the_way_of_calls(lines: Hotlines) -> None:
    async with house(lines, SILENT) as world:
        world.service.most = 1
        strangers = [await peer(world, b"agi_network: yes\nagi_net") for _ in range(50)]
        stage = world.call()
        await world.end()
        assert stage.channel.ended_by == "us"
        for stranger in strangers:
            assert await stranger.gone() == b""


async def test_a_burst_is_admitted_up_to_the_limit_and_two_calls_may_bear_one_name(
    lines: Hotlines,
) -> None:
    """Two Asterisks name their channels alike."""
    async with house(lines, SILENT) as world:
        one, two = [await peer(world, handshake(uniqueid=f"{n}.1")) for n in "ab"]
        await world.clock.settle()
        for other in (one, two):
            other.writer.write(b"HANGUP\n")
            other.writer.write_eof()
        await world.clock.run_for(30)
        assert len(world.rows()) == 2
        for other in (one, two):
            await other.gone()


@pytest.mark.parametrize(
    "start", ["nan", "inf", "-inf", "1e999", "-1", "", "0x10", "١٢٣", "1" * 400]
)
async def test_a_start_that_is_no_time_is_no_ringing(lines: Hotlines, start: str) -> None:
    async with house(lines, SILENT) as world:
        stage = world.call(arguments=["1001", start])
        await world.end()
        assert stage.channel.ended_by == "us"
        assert 0 <= world.row(stage).rung_ms <= 3_600_000


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(max_size=200)
        | st.sampled_from(
            [
                b"200 result=0\n",
                b"200 result=-1\n",
                b"HANGUP\n",
                b"511 dead\n",
                b"520-x\n",
                b"100 Trying\n",
                b"200 result=68 endpos=1\n",
                b"200 result=1 (a\nb)\n",
                b"\n",
                b"\0",
            ]
        ),
        max_size=30,
    )
)
def test_whatever_asterisk_says_a_call_ends_and_leaves_nothing(
    lines: Hotlines, said: list[bytes]
) -> None:
    """Garbage in place of replies."""

    async def one() -> None:
        async with house(lines, SILENT) as world:
            stranger = await peer(world, handshake())
            for bit in said:
                stranger.writer.write(bit)
                await world.clock.run_for(0.3)
            await world.clock.run_for(6)
            stranger.writer.close()
            await world.clock.run_for(30)
            with contextlib.suppress(ConnectionError):
                await stranger.writer.wait_closed()
            world.rows()

    asyncio.run(one())
