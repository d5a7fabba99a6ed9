"""The data root of a stage, and its sounds: copies of this checkout's, so that a test may change
them, and nobody else's work changes a test.

Rules this module keeps:

- People are always at work, whatever the clock says.
- A copy takes no room where that can be: a sound is replaced, never written into.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from places import ROOT
from stage_dialplan import people_first

from ivr import masters
from ivr.live_rehearsal import numbers


class StageError(Exception):
    """The stage cannot be set up, or what was asked of it did not happen; a sentence says why."""


def copy(into: Path, people: Iterable[str] = (), back_end: str = "") -> None:
    """Flows, prompts and what was recorded here. The hotlines of `people` have numbers at which
    people are rung first; `back_end` is an address (http://…) to which all lookups go, as
    `{back_end}/{line}/{item}/{caller}`."""
    shutil.copytree(ROOT / "flows", into / "flows", dirs_exist_ok=True)
    shutil.copytree(ROOT / "prompts", into / "prompts", copy_function=linked, dirs_exist_ok=True)
    made_here = ROOT / "var/audio"
    if made_here.is_dir():
        shutil.copytree(made_here, into / "var/audio", copy_function=linked, dirs_exist_ok=True)
    for file in (into / "flows/hotlines").glob("*.yaml"):
        text = re.sub(r"(?m)^hours: .*$", "hours: {open: always}", file.read_text("utf-8"))
        if back_end:
            url = f"{back_end}/{file.stem}/{{item}}/{{caller}}"
            text = re.sub(
                r"(?m)^    kind: sql\n    database: .*\n    query: .*\n",
                f'    kind: http\n    url: "{url}"\n'
                "    arguments: {item: item, caller: caller}\n",
                text,
            )
        # everybody known has more numbers: calls from one person fit side by side
        text = re.sub(
            r'(?m)^    - \{number: "(\d{11})", (.*)\}.*$',
            lambda found: "\n".join(
                f'    - {{number: "{number}", {found[2]}}}' for number in numbers(found[1])
            ),
            text,
        )
        if file.stem in people:
            text = re.sub(
                r'(?m)^(numbers:\n  "(\d+)": .*\n)',
                lambda found: f'{found[1]}  "{people_first(found[2])}": {{}}\n',
                text,
            )
        file.write_text(text, "utf-8")


def sounds(into: Path) -> None:
    """This checkout's prompts as they are now, derived once for all stages. Raises StageError."""
    shared = ROOT / "var/live/sounds"
    shared.mkdir(parents=True, exist_ok=True)
    with (shared.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            masters.prepare(ROOT, shared)
        except (masters.BuildRuns, masters.EngineMissing) as error:
            raise StageError(f"the prompts cannot be made: {error}") from error
        shutil.copytree(shared, into, copy_function=linked, dirs_exist_ok=True)


def linked(source: str, target: str) -> None:
    """For `shutil.copytree`: the same file under another name, where that can be."""
    if source.endswith((".yaml", ".json")):
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or a stranger's file
        shutil.copy2(source, target)
