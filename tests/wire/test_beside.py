"""What a service does beside its calls, as long as it runs."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from background import going_on
from migrated import new
from structlog.testing import capture_logs

from ivr import floor, replay, serve
from ivr.agents import Agents
from ivr.clock import VirtualClock
from ivr.desk import Desk
from ivr.journal_writer import write
from ivr.spool import Spool
from ivr.store import Call

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


async def test_a_call_of_a_worker_that_dies_long_after_we_began_is_closed_too(
    tmp_path: Path,
) -> None:
    """It had none up as we looked first, took one later, and was killed."""
    clock = VirtualClock(datetime(2026, 11, 23, 4, 0, tzinfo=UTC))
    database = new(tmp_path / "x.db")
    shelf = Spool(database, spool=tmp_path, folder=tmp_path / "kept", utc=clock.utc)
    old = Agents(database, "old")
    old.beat(clock.utc())
    async with going_on(serve._close_calls(clock, Desk(database, shelf, clock), "pbx", "ours")):
        await clock.run_for(300)
        old.beat(clock.utc())
        call = Call("pbx-1", "pbx", "1", "ems", "1", "13800138000", clock.utc())
        with database.write() as connection:
            write(connection, [call], "old")
        await clock.run_for(floor.DEAD.total_seconds() - 1)
        assert replay.call(database, call.id).ended_at is None
        await clock.run_for(serve.TIDY + 2)
    assert replay.call(database, call.id).problem == "the service died while this call was up"
    clock.close()
    database.close()
