"""Reads everything under a data root and checks it: what `sansheng check` does."""

from __future__ import annotations

from pathlib import Path

from ivr import deadlines, files, hotlines, spoken_hours
from ivr.check import banned, check
from ivr.document import BadFile, Problem


def everything(root: Path) -> list[Problem]:
    """Every problem of every flow, line and text under the root, by file and line."""
    problems: set[Problem] = set()
    try:
        loaded = hotlines.load(root)
        for line in loaded.lines.values():
            problems.update(check(line))
            path = root / f"prompts/{line.name}.yaml"
            if path.exists():
                texts = files.read(path, root)
                problems.update(deadlines.check(texts, line.tickets))
                problems.update(spoken_hours.check(texts, loaded.hours[line.name]))
    except BadFile as error:
        problems.update(error.problems)
    problems.update(_wording(root))
    return sorted(problems)


def _wording(root: Path) -> list[Problem]:
    path = root / "prompts/rules/banned.yaml"
    if not path.exists():
        return []
    problems: list[Problem] = []
    try:
        phrases = files.read(path, root)["banned"]
        for prompts in sorted((root / "prompts").glob("*.yaml")):
            problems += banned(files.read(prompts, root)["texts"], phrases)
    except BadFile as error:
        problems += error.problems
    return problems
