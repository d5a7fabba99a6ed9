"""What a service does beside its calls, as long as it runs."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from ivr import floor, serve
from ivr.clock import VirtualClock

pytestmark = pytest.mark.usefixtures("service_logs")


async def test_what_runs_beside_the_calls_begins_again_after_an_error_of_ours() -> None:
    clock = VirtualClock(datetime(2026, 11, 23, 4, 0, tzinfo=UTC))
    beats: list[float] = []

    async def live() -> None:
        while True:
            beats.append(clock.now())
            if len(beats) == 3:
                raise RuntimeError("a fault of ours")
            await clock.sleep(serve.BEAT.total_seconds())

    with capture_logs() as said:
        async with contextlib.AsyncExitStack() as ending:
            serve._beside(ending, clock, live)
            await clock.run_for(60)
        await clock.run_for(60)
    assert [row["log_level"] for row in said] == ["error"]
    pauses = [later - sooner for sooner, later in pairwise(beats)]
    assert max(pauses) < floor.DEAD.total_seconds(), "others would take us for dead"
    assert 50 < beats[-1] <= 60, "it goes on, and ends with the service"
    clock.close()
