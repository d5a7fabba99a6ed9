"""Scenarios as real calls: the same prompts, record and end as at core and wire level."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import standing
from harness import Performed, Stage, scene
from places import ROOT

from ivr import hotlines
from ivr.live_caller import BackEnd
from ivr.live_rehearsal import Performance, Rehearsal, left_out

pytestmark = pytest.mark.live

SOME = (    # opening, silence, ladders
    "xjca-silent", "xjca-greets-first", "xjca-hangs-up-before-speaking", "xjca-switchboard",
    "xjca-department", "xjca-manager", "xjca-almost-late", "infodesk-silent", "infodesk-late",
    "infodesk-known-caller", "infodesk-desk-greeting", "lakala-silent", "lakala-late",
    "ems-opening", "ems-late",
    # menu, numbers, answers, lookups
    "xjca-digits-over-prompts", "xjca-wrong-keys", "xjca-number-mistyped-at-the-query",
    "xjca-application-not-open", "ems-item-mistyped", "ems-two-items", "ems-not-offered",
    "lakala-answered", "lakala-out-of-scope", "lakala-cannot-be-met", "infodesk-wrong-number",
    # messages, recordings, their quality
    "ems-hands-free", "ems-suggestion", "lakala-suggestion-hung-up", "lakala-bad-line",
    "infodesk-suggestion", "infodesk-intake", "xjca-hangs-up-while-leaving-a-message",
    # the end
    "xjca-lingers", "xjca-ops-end-at-the-menu", "ems-ops-end-during-the-hold", "ems-maintenance",
)  # fmt: skip
"""What is performed in every run of the tests: all four lines, every kind of thing that happens.
The others are performed with SANSHENG_LIVE=all."""


def everything() -> list[str]:
    """Every scenario that can be performed and has not gone well at this commit already."""
    lines = hotlines.load(ROOT)
    names = sorted(path.stem for path in (ROOT / "tests/scenarios").glob("*.yaml"))
    done = standing.passed()
    return [name for name in names if name not in done and not left_out(scene(name), lines)]


PERFORMED = everything() if os.environ.get("SANSHENG_LIVE") == "all" else SOME


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.performs(name)) for name in PERFORMED]
)
def test_a_real_call_goes_as_its_scenario_says(name: str, performed: Performed) -> None:
    assert performed(name).complaints == ()


def test_every_prompt_of_every_line_has_sound(stage: Stage) -> None:
    parts = stage.hotlines.library.all_parts()
    missing = [base for base, part in parts.items() if not sound(stage, part.path).exists()]
    assert missing == []


def sound(stage: Stage, path: str) -> Path:
    return stage.sounds / f"{path}.alaw"


def test_one_wrong_file_among_the_prompts_is_noticed(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        assert stage.voices  # knows how they should sound
        wrong = stage.hotlines.library.all_parts()["xjca.silence.can_you_hear"]
        another = stage.hotlines.library.all_parts()["lakala.silence.no_sound"]
        for kind in ("alaw", "ulaw", "wav"):
            file = stage.sounds / f"{wrong.path}.{kind}"
            file.unlink()
            file.write_bytes((stage.sounds / f"{another.path}.{kind}").read_bytes())
        done = asyncio.run(perform(stage, "one-wrong-file"))
    assert done.outcome.hears == ("opening", "lakala.silence.no_sound")
    assert any("lakala.silence.no_sound" in complaint for complaint in done.complaints)


async def perform(stage: Stage, name: str) -> Performance:
    async with Rehearsal(stage.place(BackEnd())) as company:
        return await company.play(scene(name))
