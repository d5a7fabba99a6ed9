"""Scenarios as real calls: the same prompts, record and end as at core and wire level."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Performed, found
from harness import ROOT, Stage

from ivr import live_rehearsal

pytestmark = pytest.mark.live

ALL = sorted(path.stem for path in (ROOT / "tests/scenarios").glob("*.yaml"))
SOME = (
    # opening, silence, ladders
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

PERFORMED = ALL if os.environ.get("SANSHENG_LIVE") == "all" else SOME


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.performs(name)) for name in PERFORMED]
)
def test_a_real_call_goes_as_its_scenario_says(
    name: str, stage: Stage, request: pytest.FixtureRequest
) -> None:
    reason = live_rehearsal.left_out(found(name), stage.hotlines)
    if reason:
        pytest.skip(reason)
    performed: Performed = request.getfixturevalue("performed")
    assert performed(name).complaints == ()


def test_every_prompt_of_every_line_has_sound(stage: Stage) -> None:
    parts = stage.hotlines.library.all_parts()
    missing = [base for base, part in parts.items() if not sound(stage, part.path).exists()]
    assert missing == []


def sound(stage: Stage, path: str) -> Path:
    return stage.sounds / f"{path}.alaw"
