"""Recording by hand: `python -m ivr.prompts build`, `install` and `adopt`.

Rules this module keeps:

- The rules of `ivr.cli`: it reads its options, calls one module and shows the result.
- Exit code 1 if anything failed or is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ivr import masters
from ivr.document import BadFile
from ivr.manifest import Report
from ivr.speech import EngineMissing, engine


def main(arguments: Iterable[str] | None = None) -> int:
    """`build`, `install` and `adopt` from the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ivr.prompts", description=masters.__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="record what changed")
    building.add_argument("--engine", default="kokoro", choices=["kokoro", "pyttsx3"])
    building.add_argument("--only-missing", action="store_true")
    building.add_argument("--root", type=Path, default=argparse.SUPPRESS)
    installing = commands.add_parser("install", help="derive what Asterisk plays")
    installing.add_argument("sounds", type=Path)
    adopting = commands.add_parser("adopt", help="take a studio recording")
    adopting.add_argument("base")
    adopting.add_argument("recording", type=Path)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    try:
        if chosen.command == "build":
            report = _build_with_a_bar(chosen.root, chosen.engine, chosen.only_missing)
        elif chosen.command == "install":
            report = masters.install(chosen.root, chosen.sounds)
        else:
            masters.adopt(chosen.root, chosen.base, chosen.recording)
            report = Report(made=(chosen.base,))
    except (BadFile, masters.BuildRuns, EngineMissing, OSError) as error:
        print(error)
        return 1
    for base, reason in report.failed:
        print(f"{base}: {reason}")
    print(
        f"{len(report.made)} made, {report.kept} kept, {len(report.removed)} removed, "
        f"{len(report.missing)} missing, {len(report.failed)} failed"
    )
    return 1 if report.failed or report.missing else 0


def _build_with_a_bar(root: Path, engine_name: str, only_missing: bool) -> Report:
    from rich.progress import Progress as Bar

    voice = engine(engine_name)
    with Bar() as bar:
        task = bar.add_task("recording", total=None)

        def tell(base: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=base)

        report = masters.build(root, voice, only_missing=only_missing, progress=tell)
        bar.update(task, completed=len(report.made), total=len(report.made) or 1)
    return report
