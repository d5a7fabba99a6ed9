"""A process that makes a call-back dies at each of its steps: nobody is rung twice for the same
attempt, and what was promised is kept after all."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
from migrated import new_of
from promised import HELLO, MONDAY, PERSON, MortalStore, Office, person, who_does

from ivr.clock import VirtualClock
from ivr.hotlines import Hotlines
from ivr.tables import attempts as rows

pytestmark = pytest.mark.usefixtures("service_logs")
STEPS = 60
"""More steps than a call-back has; a process whose end is beyond its last step lives."""


async def lives(lines: Hotlines, folder: Path, ends: list[int | None]) -> tuple[Office, int]:
    """One promise, and processes one after the other that die at these steps. Returns the office
    when the promise is kept, and how many steps the first process took."""
    clock = VirtualClock(MONDAY, patience=20.0)
    store = new_of(MortalStore, folder / "test.db")
    people = {"801": who_does("accept"), PERSON: person(HELLO)}
    first = 0
    async with Office(lines, store, clock, people) as one:
        one.leave()
        one.life.end, one.life.steps = ends[0], 0
        for number, end in enumerate([*ends[1:], None], 1):
            await clock.run(lambda: one.life.over or done(one), limit=7200)
            if number == 1:
                first = one.life.steps
            if not one.life.over:
                break
            await one.kill()
            await one.quiet(15)  # whoever is dead is known to be dead
            await one.start(f"process-{number}", ready=(), end=end)
            await one.come_back()
        await clock.run(lambda: done(one) and not one.fake.channels, limit=7200)
        judge(one)
    store.close()
    clock.close()
    gc.collect()  # what its tasks died of is told here, and not in a test that listens to the log
    return one, first


def done(one: Office) -> bool:
    return not one.life.over and one.promise.state in ("kept", "given_up")


def judge(one: Office) -> None:
    """What must hold whatever has died."""
    assert one.promise.state == "kept"
    rung = Counter(
        dict(row)["ChannelId"]
        for row in one.fake.ami.actions
        if ("Action", "Originate") in row and "carrier" in dict(row)["Channel"]
    )
    assert max(rung.values()) == 1
    with one.store.read() as connection:
        made = connection.execute(rows.select()).all()
    assert all(row.ended_at is not None for row in made)
    known = {row.channel_id for row in made if row.dialled_at is not None}
    assert rung.keys() <= known  # nobody was rung before that was written down
    assert one.phones[PERSON].overlaps == 0
    assert len(known) <= 3


@pytest.mark.parametrize(
    "step",
    [
        step if step % 4 == 1 else pytest.param(step, marks=pytest.mark.deep)
        for step in range(STEPS)
    ],
)
async def test_a_process_dies_at_each_step(lines: Hotlines, tmp_path: Path, step: int) -> None:
    await lives(lines, tmp_path, [step])


async def test_there_are_fewer_steps_than_are_tried(lines: Hotlines, tmp_path: Path) -> None:
    one, steps = await lives(lines, tmp_path, [None])
    assert 10 < steps < STEPS
    assert len(one.calls_to()) == 1


@pytest.mark.parametrize(("first", "second"), [(8, 3), (11, 11), (13, 5), (14, 14), (16, 20)])
async def test_two_processes_die_one_after_the_other(
    lines: Hotlines, tmp_path: Path, first: int, second: int
) -> None:
    await lives(lines, tmp_path, [first, second])
