"""`sansheng check` on deliberately broken copies of every flow file: one line each, in its place.

Each copy is checked for all four lines, as the command does it; that the command does the same
with files on a disk is tried with one flow, because reading everything takes a second.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ivr import checking, hotlines
from ivr.check import check
from ivr.document import BadFile, Problem
from ivr.files import parse
from ivr.line_compiler import compile_line

ROOT = Path(__file__).parents[2]
FLOWS = sorted(path.stem for path in (ROOT / "flows").glob("*.yaml"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """A data root of our own to break."""
    root = tmp_path_factory.mktemp("root")
    for folder in ("flows", "prompts"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("audio"))
    return root


class Shipped:
    """The shipped files, read once."""

    def __init__(self) -> None:
        self.flows, self.hotlines = hotlines.documents(ROOT)
        self.lines = hotlines.load(ROOT).lines

    def checked(self, flow: str, source: str) -> set[Problem]:
        """What `checking.everything` would say if this flow's file were `source`."""
        try:
            flows = {**self.flows, flow: parse(source, f"flows/{flow}.yaml")}
        except BadFile as error:
            return set(error.problems)
        found: set[Problem] = set()
        for name, document in self.hotlines.items():
            try:
                found |= set(check(compile_line(document, flows, self.lines[name].prompts)))
            except BadFile as error:
                found |= set(error.problems)
        return found


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    return Shipped()


@dataclass(frozen=True)
class Breakage:
    """One mistake in one flow file: how to make it, and what must be told about it."""

    name: str
    flow: str
    line: int
    code: str
    told: str
    make: Callable[[list[str]], list[str]]

    def __str__(self) -> str:
        return f"{self.flow}-{self.name}"


def changed(line: int, old: str, new: str) -> Callable[[list[str]], list[str]]:
    def make(lines: list[str]) -> list[str]:
        made = list(lines)
        assert old in made[line - 1]
        made[line - 1] = made[line - 1].replace(old, new, 1)
        return made

    return make


def find(lines: list[str], pattern: str) -> Iterator[tuple[int, re.Match[str]]]:
    for at, text in enumerate(lines, 1):
        match = re.search(pattern, text)
        if match:
            yield at, match


def breakages(flow: str) -> Iterator[Breakage]:
    """Every kind of mistake that this file has a place for, made at the first such place."""
    lines = (ROOT / "flows" / f"{flow}.yaml").read_text(encoding="utf-8").splitlines()

    at, _ = next(find(lines, r"^  - \{trigger: .*dest: "))
    yield Breakage(
        "unknown-key", flow, at, "F102", "the key 'wen' is unknown",
        changed(at, "{trigger:", "{wen: x, trigger:"),
    )  # fmt: skip

    at, match = next(find(lines, r"^  - \{trigger: .*dest: ([a-z_]+)"))
    yield Breakage(
        "unknown-state", flow, at, "F201", "there is no state 'nowhere'",
        changed(at, f"dest: {match[1]}", "dest: nowhere"),
    )  # fmt: skip

    at, match = next(find(lines, r"^  - \{trigger: .*dest: ([a-z_]+)"))
    yield Breakage(
        "guard-not-in-the-registry", flow, at, "F120", "there is no guard 'os.system'",
        changed(at, f"dest: {match[1]}", f"dest: {match[1]}, unless: os.system"),
    )  # fmt: skip

    at, _ = next(find(lines, r"^initial: "))
    yield Breakage(
        "bare-on", flow, at, "F104", "a bare 'on' means true or false",
        changed(at, "initial: ", "initial: on  # was "),
    )  # fmt: skip

    for at, match in find(lines, r"\{name: ([a-z_]+), +(ask|collect|say|ladder|record): .*"):
        prompt = re.search(r"(prompt|say): \"?([a-z_]+\.[a-z_.]+)\"?", match[0])
        if prompt and "{" not in prompt[2]:
            yield Breakage(
                "missing-prompt", flow, at, "F501", "has no prompt 'never.written'",
                changed(at, prompt[2], "never.written"),
            )  # fmt: skip
            break

    for at, match in find(lines, r"name: ([a-z_]+)(, +(ask|collect): |$)"):
        if match[3] or re.search(r"^    (ask|collect):", lines[at] if at < len(lines) else ""):
            silent = [
                (row, found)
                for row, found in find(
                    lines, r"trigger: \[?[a-z_, ]*\bsilence\b.*source: (.*?dest)"
                )
                if re.search(rf"\b{match[1]}\b", found[1])
            ]
            yield Breakage(
                "no-exit-for-silence", flow, at, "F204",
                f"state '{match[1]}' has no exit for 'silence'",
                lambda text, rows=silent, state=match[1]: deaf(text, [r for r, _ in rows], state),
            )  # fmt: skip
            break

    for at, match in find(lines, r"name: ([a-z_]+), +ladder: "):
        for row, _ in find(lines, r"trigger: (silent|\[.*\bsilent\b.*\])"):
            if re.search(rf"source: \[?.*\b{match[1]}\b", lines[row - 1]):
                yield Breakage(
                    "no-exit-for-silent", flow, at, "F204",
                    f"state '{match[1]}' has no exit for 'silent'",
                    changed(row, "silent", "hung_up"),
                )  # fmt: skip
                break
        else:
            continue
        break


def deaf(lines: list[str], rows: list[int], state: str) -> list[str]:
    """The file, in which a state no longer takes silence; nothing else changes."""
    made = list(lines)
    for row in rows:
        text = made[row - 1]
        sources = re.search(r"source: (\[[^\]]*\]|[a-z_]+)", text)
        triggers = re.search(r"trigger: (\[[^\]]*\]|[a-z_]+)", text)
        assert sources
        assert triggers
        several = [name.strip() for name in triggers[1].strip("[]").split(",")]
        others = [name for name in several if name != "silence"]
        kept = [s.strip() for s in sources[1].strip("[]").split(",") if s.strip() != state]
        rest = []
        if kept:  # the other states go on taking all of them
            rest.append(text.replace(sources[0], f"source: [{', '.join(kept)}]"))
        # somebody must still come to where it leads, or that would be a second problem
        one = text.replace(sources[0], f"source: {state}")
        rest.append(one.replace(triggers[0], f"trigger: [{', '.join(others) or 'hung_up'}]"))
        made[row - 1] = "\n".join(rest)
    return made


def broken(breakage: Breakage) -> str:
    source = (ROOT / "flows" / f"{breakage.flow}.yaml").read_text(encoding="utf-8")
    return "\n".join(breakage.make(source.splitlines())) + "\n"


ALL = [breakage for flow in FLOWS for breakage in breakages(flow)]


@pytest.mark.parametrize(
    "breakage",
    [b if n % 3 == 0 else pytest.param(b, marks=pytest.mark.deep) for n, b in enumerate(ALL)],
    ids=str,
)
def test_a_broken_copy_of_a_flow_is_told_in_one_line_at_the_right_place(breakage, shipped):
    told = {str(problem) for problem in shipped.checked(breakage.flow, broken(breakage))}
    places = {line.split()[0] for line in told}
    assert places == {f"flows/{breakage.flow}.yaml:{breakage.line}"}
    sentences = {re.sub(r"line '[a-z]+' has", "line has", line) for line in told}
    sentences = {re.sub(r"prompts/[a-z]+\.yaml", "prompts", line) for line in sentences}
    assert len(sentences) == 1, sentences
    (sentence,) = sentences
    assert f" {breakage.code} " in sentence
    assert breakage.told in sentence
    assert sentence.count(": ") >= 1, "what to do about it stands after a colon"


@pytest.mark.parametrize(
    "breakage", [breakage for breakage in ALL if breakage.flow == "wrong_number"], ids=str
)
def test_the_command_says_the_same_of_a_file_on_a_disk(breakage, copied, shipped):
    path = copied / "flows/wrong_number.yaml"
    path.write_text(broken(breakage), encoding="utf-8")
    told = set(checking.everything(copied))
    shutil.copy(ROOT / "flows/wrong_number.yaml", path)
    assert {str(problem) for problem in told} == {
        str(problem) for problem in shipped.checked("wrong_number", broken(breakage))
    }


def test_every_flow_file_is_broken_in_every_way_it_can_be():
    kinds: dict[str, set[str]] = {flow: set() for flow in FLOWS}
    for breakage in ALL:
        kinds[breakage.flow].add(breakage.name)
    everywhere = {"unknown-key", "unknown-state", "guard-not-in-the-registry", "bare-on"}
    assert all(everywhere <= names for names in kinds.values())
    text = {flow: (ROOT / "flows" / f"{flow}.yaml").read_text(encoding="utf-8") for flow in FLOWS}
    for flow, names in kinds.items():
        if re.search(r"\b(ask|collect): *(\{|$)", text[flow], re.MULTILINE):
            assert "no-exit-for-silence" in names, flow
    assert sum("missing-prompt" in names for names in kinds.values()) >= 10
    assert sum("no-exit-for-silent" in names for names in kinds.values()) >= 3


def test_the_shipped_files_have_no_problems():
    assert [str(problem) for problem in checking.everything(ROOT)] == []


# ---------------------------------------------------------------- hotline files


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("rating: no", "ratings: no", "F102"),
        ("wrong_number: goodbye", "wrong_number: hang_up", "F113"),
        ("cycle: 5 s", "cycle: 5", "F110"),
        ("answer_after: 1", "answer_after: on", "F104"),
        ('"1010": {entry: opening.department}', '"1010": {entrance: opening.department}', "F102"),
        ("- {say: silence.no_sound}", "- {say: silence.no_sounds}", "F501"),
        ("{entry: opening.department}", "{entry: opening.departmnet}", "F501"),
        ("answer: answer.expiry}", "answer: answer.expirey}", "F501"),
    ],
)
def test_a_broken_hotline_is_told_at_its_line(old, new, code, copied):
    path = copied / "flows/hotlines/xjca.yaml"
    whole = path.read_text(encoding="utf-8")
    assert old in whole
    line = whole[: whole.index(old)].count("\n") + 1
    path.write_text(whole.replace(old, new), encoding="utf-8")
    try:
        told = [str(problem) for problem in checking.everything(copied)]
    finally:
        path.write_text(whole, encoding="utf-8")
    assert len(told) == 1, told
    assert f" {code} " in told[0]
    assert told[0].startswith(f"flows/hotlines/xjca.yaml:{line} ")
    if code == "F501":
        assert f"did you mean '{old.rpartition(' ')[2].strip('}')}'" in told[0]


# ---------------------------------------------------------------- wording


@pytest.mark.parametrize(
    ("phrase", "clause"),
    [("您听明白了吗?", "LKL-B3"), ("请讲话,不说话就挂了。", "INF-8"), ("为什么?", "HNTV-7")],
)
def test_a_banned_phrase_in_any_line_is_told_with_its_clause(phrase, clause, copied):
    path = copied / "prompts/ems.yaml"
    whole = path.read_text(encoding="utf-8")
    old = 'note.done:            {text: "请问您记录好了吗?"}'
    assert old in whole
    line = whole[: whole.index(old)].count("\n") + 1
    path.write_text(whole.replace("请问您记录好了吗?", phrase), encoding="utf-8")
    try:
        told = [str(problem) for problem in checking.everything(copied)]
    finally:
        path.write_text(whole, encoding="utf-8")
    assert len(told) == 1, told
    assert told[0].startswith(f"prompts/ems.yaml:{line} F503 ")
    assert clause in told[0]


# ---------------------------------------------------------------- the other checks, on small flows

SMALL = """\
flow: call
initial: asking
states:
  - {name: asking, ask: {prompt: menu, keys: {"1": one}}}
  - {name: deciding, choose: {}}
  - {name: hanging_up, end: {}}
transitions:
  - {trigger: [silence, spoke, no_match, one], source: asking, dest: deciding}
  - {trigger: next, source: deciding, dest: hanging_up}
"""


def told(source: str) -> list[str]:
    hotline = parse('hotline: shop\nnumbers: {"1": {}}\n', "shop.yaml")
    line = compile_line(hotline, {"call": parse(source, "call.yaml")}, {"menu": ()})
    return [str(problem) for problem in check(line)]


def test_a_sound_flow_has_no_problems():
    assert told(SMALL) == []


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("[silence, spoke, no_match, one]", "[silence, spoke, one]", "4 F204", "'no_match'"),
        ("[silence, spoke, no_match, one]", "[silence, no_match, one]", "4 F204", "'spoke'"),
        ("[silence, spoke, no_match, one]", "[silence, spoke, no_match]", "4 F204", "'one'"),
        ("dest: hanging_up}", "dest: hanging_up, conditions: open}", "5 F209", "always open"),
        ("no_match, one]", "no_match, one, two]", "8 F207", "fires 'two'"),
    ],
)
def test_a_way_that_is_missing_or_never_taken_is_told(old, new, place, words):
    (problem,) = told(SMALL.replace(old, new))
    assert problem.startswith(f"call.yaml:{place} ")
    assert words in problem


def test_a_state_that_nobody_comes_to_is_told():
    lonely = SMALL.replace("transitions:", "  - {name: lonely, end: {}}\ntransitions:")
    assert told(lonely) == [
        "call.yaml:7 F203 state 'lonely' can never be reached: add a transition to it, or remove it"
    ]


def test_a_state_that_leads_nowhere_is_told():
    circle = SMALL.replace("dest: hanging_up}", "dest: asking}")
    assert [problem.split()[1] for problem in told(circle)] == ["F205", "F205", "F203"]


def test_the_flows_of_every_line_are_checked_after_merging(lines):
    for line in lines.lines.values():
        assert check(line) == []
