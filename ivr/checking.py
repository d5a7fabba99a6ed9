"""Reads everything under a data root and checks it: what `sansheng check` does."""

from __future__ import annotations

from pathlib import Path

from ivr import deadlines, files, hotlines, spoken_hours, wording
from ivr.check import check
from ivr.document import BadFile, Problem
from ivr.prompts import Library

TEXTS, RULES = "prompts/*.yaml", "prompts/rules/*.yaml"


def everything(root: Path) -> list[Problem]:
    """Every problem of every flow, line and text under the root, by file and line."""
    problems: set[Problem] = set()
    library = None
    try:
        loaded = hotlines.load(root)
        library = loaded.library
        for line in loaded.lines.values():
            problems.update(check(line))
            path = root / f"prompts/{line.name}.yaml"
            if path.exists():
                texts = files.read(path, root)
                problems.update(deadlines.check(texts, line.tickets))
                problems.update(spoken_hours.check(texts, loaded.hours[line.name]))
    except BadFile as error:
        problems.update(error.problems)
    problems.update(_wording(root, library))
    return sorted(problems)


def _wording(root: Path, library: Library | None) -> list[Problem]:
    """What the texts say, against the rules; how long they take where the library can be read."""
    problems: list[Problem] = []
    try:
        rules = wording.read(files.read(path, root) for path in sorted(root.glob(RULES)))
        texts = [files.read(path, root) for path in sorted(root.glob(TEXTS))]
        for file in texts:
            hotline = str(file["hotline"])

            def lasts(name: str, hotline: str = hotline) -> float:
                return library.own_seconds(hotline, name) if library else 0.0

            problems += wording.check(file, rules, lasts)
        problems += wording.unsaid(texts, rules)
    except BadFile as error:
        problems += error.problems
    return problems
