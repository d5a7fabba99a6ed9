"""What clauses ask of the lines as they ship, where no scenario and no check would tell."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from ivr import files, rehearsal, scenario_file, wording
from ivr.actions import Keep
from ivr.files import parse
from ivr.speaking import Ladder

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests/scenarios"


@pytest.fixture(scope="module")
def rules():
    return wording.read(
        files.read(path, ROOT) for path in sorted(ROOT.glob("prompts/rules/*.yaml"))
    )


@pytest.mark.parametrize(("clause", "phrases"), [("LKL-B3", 41), ("HNTV-7", 14), ("INF-8", 5)])
def test_every_phrase_that_a_document_lists_is_banned(rules, clause, phrases):
    assert Counter(rule["clause"] for rule in rules.banned)[clause] == phrases


def test_each_banned_phrase_is_told_with_its_clause_wherever_it_is_said(rules):
    for rule in rules.banned:
        (name, *_) = rule.get("texts", ["menu"])
        for said in rule.get("forms", [rule["phrase"]]):
            text = {name.replace("*", "x"): said}
            file = parse("hotline: shop\ntexts: {}\n", "shop.yaml")
            file["texts"].update(
                {type(rule["phrase"]).at(n, "shop.yaml", 2): t for n, t in text.items()}
            )
            told = [one.sentence for one in wording.check(file, rules, lambda name: 1.0)]
            assert any(rule["clause"] in one for one in told), said


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("xjca", "upset"),
        ("lakala", "agent_mistake"),
        ("ems", "agent_complaint"),
        ("xjca", "agent_complaint"),
    ],
)
def test_what_goes_to_the_supervisor_is_the_supervisors(lines, line, kind):
    """XJCA-6.2b, LKL-5.6, EMS-16, XJCA-6.2d."""
    assert lines.lines[line].tickets.rule(kind).owner == "supervisor"


@pytest.mark.parametrize(
    ("line", "state", "pauses"),
    [
        ("xjca", "greeting", [2.0, 0.5, 0.0]),
        ("infodesk", "greeting", [5.0, 5.0, 5.0]),
        ("infodesk", "noisy", [5.0, 0.0]),
    ],
)
def test_the_pauses_of_a_silent_call_are_those_of_the_document(lines, line, state, pauses):
    """XJCA-6.1c, INF-5, INF-6: seconds after each prompt. Monitors only know what the file says."""
    ladder = lines.lines[line].flows["opening"].states[state].activity
    assert isinstance(ladder, Ladder)
    assert [step.pause for step in ladder.steps] == pauses


def test_who_misses_two_calls_in_a_row_is_set_busy_on_every_line(lines):
    """XJCA-5l."""
    assert {one.staff.transfer.misses for one in lines.lines.values()} == {2}


def test_who_agrees_to_be_asked_is_kept_with_all_four_answers(lines):
    """INF-4: name, contact, extension, company."""
    one = scenario_file.read(SCENARIOS / "infodesk-intake.yaml")
    wishes = [moment.what for moment in rehearsal.rehearse(one, lines).moments]
    (kept,) = [wish for wish in wishes if isinstance(wish, Keep) and wish.kind == "caller"]
    assert {name for name, _ in kept.values} == {"surname", "contact", "extension", "company"}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ems", "silence.cannot_hear"),
        ("ems", "answer.pickup"),
        ("xjca", "answer.not_certificate"),
        ("lakala", "handling.documents"),
    ],
)
def test_what_is_to_be_noted_or_is_hard_to_hear_is_said_slowly(rules, line, text):
    """EMS-2, XJCA-6.1i, LKL-3.3."""
    file = deepcopy(files.read(ROOT / f"prompts/{line}.yaml", ROOT))
    assert wording.check(file, rules, lambda name: 1.0) == []
    del file["texts"][text]["rate"]
    (problem,) = wording.check(file, rules, lambda name: 1.0)
    assert problem.code == "F509"
    assert text in problem.sentence


def test_steps_that_are_explained_end_with_what_to_mind(rules):
    """WRK-3.3."""
    file = parse('hotline: a\ntexts: {handling.x: "请您填写申请表。"}\n', "a.yaml")
    told = [one.sentence for one in wording.check(file, rules, lambda name: 1.0)]
    assert len(told) == 2
    assert all("WRK-3.3" in one for one in told)
