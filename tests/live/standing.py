"""Which scenario went well at which level: remembered in var/, shown in docs/live.md."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from places import ROOT

from ivr import rehearsal, scenario_file, wire_rehearsal
from ivr.hotlines import Hotlines
from ivr.live_rehearsal import left_out
from ivr.scenario import Scenario

RESULTS = ROOT / "var/live-results.json"
TABLE = ROOT / "docs/live.md"


def commit() -> str:
    """The commit that is tested, "" where there is none."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return asked.stdout.strip()


def results() -> dict[str, dict[str, str]]:
    """By scenario: `commit`, `date` and `complaint` ("" if it went well) of its last live call."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}


def passed() -> set[str]:
    """Scenarios that went well at this commit already."""
    here = commit()
    return {
        name
        for name, row in results().items()
        if here and row["commit"] == here and not row["complaint"]
    }


def remember(complaints: Mapping[str, str]) -> None:
    """How these scenarios went."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    here = commit()
    rows = results()
    for name, complaint in complaints.items():
        rows[name] = {"commit": here, "date": today, "complaint": complaint}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, ensure_ascii=False, indent=1, sort_keys=True), "utf-8")


def write(hotlines: Hotlines) -> None:
    """The table, for the lines as they ship."""
    rows = "\n".join(_rows(hotlines))
    TABLE.write_text(HEAD.format(rows=rows), "utf-8")


def _rows(hotlines: Hotlines) -> Iterator[str]:
    live = results()
    scenarios = scenario_file.read_all(ROOT / "tests/scenarios", ROOT)
    wired = [one for one in scenarios if "wire" in one.levels]
    on_wire = {
        one.name: _verdict(list(rehearsal.differences(one, done)))
        for one, done in zip(wired, wire_rehearsal.rehearse_all(wired, hotlines), strict=True)
    }
    for one in scenarios:
        core = _verdict(list(rehearsal.differences(one, rehearsal.rehearse(one, hotlines))))
        wire = on_wire.get(one.name, "left out: its file says so")
        yield f"| {one.name} | {core} | {wire} | {_live(one, live, hotlines)} |"


def _live(one: Scenario, live: Mapping[str, Mapping[str, str]], hotlines: Hotlines) -> str:
    row = live.get(one.name)
    if row is not None:
        verdict = _verdict([row["complaint"]] if row["complaint"] else [])
        return f"{verdict} {row['commit']} {row['date']}"
    reason = left_out(one, hotlines)
    return f"left out: {reason}" if reason else "not yet"


def _verdict(complaints: list[str]) -> str:
    return "FAILS" if complaints else "passes"


HEAD = """# Scenarios and levels

Made by the live tests (`SANSHENG_LIVE=all`, which `make live` sets); do not edit. One scenario
file runs at three levels: the pure core, the wire (a fake Asterisk over real sockets) and live (a
real Asterisk, real SIP calls, prompts recognised in the recorded sound among all prompts of all
lines). Live, the commit and the date are those of the last call. What lasts longer than a minute
is left out live; so is what a real call cannot show, each with its reason.

| scenario | core | wire | live |
|---|---|---|---|
{rows}
"""
