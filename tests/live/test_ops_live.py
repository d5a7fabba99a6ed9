"""What ops do while calls are up: they break a prompt or a database, reload, drain."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import time

import pytest
from faulted import APOLOGY, LATER, QUIET, SPEAKS, apology, hear, names, silent_call
from harness import Stage
from moments import eventually
from watching import Watch

from ivr.ear import pauses
from ivr.events import Unplayable
from ivr.phone import Phone
from ivr.phone_call import NotAnswered

pytestmark = pytest.mark.live


@pytest.mark.slow_live
async def test_what_ops_break_is_told_to_the_caller_and_to_the_log(
    line: Stage, phone: Phone
) -> None:
    """A number that is nobody's, a prompt that is gone, a database that is locked."""
    for file in (line.sounds / "zh/xjca").glob("xjca.opening.*"):
        file.unlink()
    await line.ask(ask="maintenance", on=True, lines=["lakala"])
    async with Watch(line) as watch:
        nobody = await line.dial(phone, "5555", LATER)
        with pytest.raises(NotAnswered):
            await nobody.answered(5)
        missing = await line.dial(phone, "1001", QUIET)
        lost = await line.dial(phone, "1004", SPEAKS)
        for prompt in ("maintenance.line", "maintenance.contact"):
            await watch.until(SPEAKS, "Say", prompt)
            await asyncio.sleep(0.7)
            lost.press("1")
        await watch.until(SPEAKS, "Record")
        await asyncio.sleep(1)
        await lost.speak(2.0).done()
        lost.press("#")
        await watch.until(SPEAKS, "Say", "contact.own")
        await asyncio.sleep(0.5)
        lost.press("1")
        await watch.until(SPEAKS, "Say", "contact.surname")
        locked = sqlite3.connect(line.directory / "calls.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        asked = time.monotonic()
        await watch.until(SPEAKS, "Say", "message.lost", within=40)
        quiet = time.monotonic() - asked
        locked.execute("ROLLBACK")
        locked.close()
        await asyncio.sleep(4)
        await lost.hang_up()
        await missing.ended(40)
    heard = names(hear(line, lost), "lakala")
    assert "lakala.message.lost" in heard
    assert [name for name in heard if "message.kept" in name] == []
    assert quiet < 30
    expected = silent_call(line, "xjca")
    assert names(hear(line, missing), "xjca") == ["xjca.sorry.trouble", *expected[1:]]
    assert missing.ended_by == "them"
    entries = line.entries(line.call_of(QUIET))
    assert [entry for entry in entries if isinstance(entry.what, Unplayable)]
    assert line.logged("a prompt cannot be played")[0]["prompt"] == "opening"
    assert line.logged("a message could not be kept")


@pytest.mark.slow_live
async def test_a_reload_is_for_new_calls_and_a_mistake_for_none_and_a_drain_lets_calls_end(
    line: Stage, phone: Phone
) -> None:
    hotline = line.root / "flows/hotlines/xjca.yaml"
    good = hotline.read_text("utf-8")
    changed = re.sub(r"pause: 0\.5 s", "pause: 1.5 s", good)
    assert changed != good
    flow = line.root / "flows/opening.yaml"
    whole = flow.read_text("utf-8")
    async with Watch(line) as watch:
        flow.write_text(whole + "nonsense: yes\n", "utf-8")
        os.kill(line.pid, signal.SIGHUP)
        await eventually(lambda: line.logged("not reloaded"), 10)
        flow.write_text(whole, "utf-8")
        before = await line.dial(phone, "1001", QUIET)
        await watch.until(QUIET, "Say", "opening")
        hotline.write_text(changed, "utf-8")
        os.kill(line.pid, signal.SIGHUP)
        await eventually(lambda: line.logged("reloaded"), 10)
        after = await line.dial(phone, "1001", LATER)
        await watch.until(LATER, "Say", "opening")
        os.kill(line.pid, signal.SIGTERM)
        await eventually(lambda: line.logged("draining"), 10)
        refused = await line.dial(phone, "1001", SPEAKS)
        dialled = time.monotonic()
        await asyncio.gather(before.ended(40), after.ended(40))
    await eventually(lambda: line.logged("stopped"), 10)
    await refused.hang_up()
    assert apology(line, "xjca", refused) - dialled <= APOLOGY
    (problem,) = {row["problem"].split(" ")[0] for row in line.logged("not reloaded")}
    assert re.fullmatch(r"flows/opening\.yaml:\d+", problem)
    for call, pause in ((before, 0.5), (after, 1.5)):
        heard = hear(line, call)
        assert names(heard, "xjca") == silent_call(line, "xjca")
        assert pauses(heard) == pytest.approx([2.0, pause], abs=0.1)
        assert call.ended_by == "them"
    assert line.call_of(QUIET).version != line.call_of(LATER).version
