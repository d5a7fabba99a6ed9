"""Runs many scenarios and tells how they went: what `sansheng simulate` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ivr import hotlines, rehearsal, scenario
from ivr.actions import CancelTimer, Ignored, Note
from ivr.hotlines import Hotlines
from ivr.scenario import Scenario
from ivr.simulate import Outcome


def read(files: Iterable[Path], root: Path) -> list[Scenario]:
    """The scenarios in these files and folders. Raises BadFile."""
    found: list[Scenario] = []
    for path in files:
        if path.is_dir():
            found += scenario.read_all(path, root)
        else:
            found.append(scenario.read(path, root))
    return found


def run(
    root: Path,
    files: Sequence[Path],
    *,
    update: bool,
    wire: bool,
    script: bool,
    out: Console,
) -> int:
    """Run them all; returns how many did not go as their files say."""
    loaded = hotlines.load(root)
    scenarios = read(files, root)
    began = time.perf_counter()
    outcomes = _wire(scenarios, loaded) if wire else _core(scenarios, loaded, out)
    took = time.perf_counter() - began
    wrong = 0
    for one, outcome in zip(scenarios, outcomes, strict=True):
        if script:
            tell(one, outcome, loaded, out)
        complaints = [
            f"broke {mark}"
            for mark in rehearsal.broken(outcome, loaded.lines[one.hotline])
            if not set(mark.clauses) & set(one.breaks)
        ]
        if update:
            path = root / one.path if not one.path.is_absolute() else one.path
            scenario.update(
                path, hears=outcome.hears, record=dict(outcome.record), ends=outcome.ends
            )
        else:
            complaints += rehearsal.differences(one, outcome)
        for complaint in complaints:
            out.print(f"[red]{one.path}[/]: {complaint}", highlight=False)
        wrong += bool(complaints)
    spoken = sum(outcome.seconds for outcome in outcomes)
    out.print(
        f"{len(scenarios)} calls, {wrong} wrong; {spoken / 60:.1f} minutes of calls "
        f"in {took:.2f} s ({len(scenarios) / max(took, 1e-9):.0f} calls a second)",
        highlight=False,
    )
    return wrong


def _core(scenarios: Sequence[Scenario], loaded: Hotlines, out: Console) -> list[Outcome]:
    shown = track(scenarios, "calls", console=out, transient=True, disable=len(scenarios) < 500)
    return [rehearsal.rehearse(one, loaded) for one in shown]


def _wire(scenarios: Sequence[Scenario], loaded: Hotlines) -> list[Outcome]:
    from ivr import wire_rehearsal

    return wire_rehearsal.rehearse_all(scenarios, loaded)


def tell(one: Scenario, outcome: Outcome, loaded: Hotlines, out: Console) -> None:
    """The call as a play: who says what, when."""
    out.print(f"[bold]{one.title}[/]")
    for moment in outcome.moments:
        what = moment.what
        if isinstance(what, Note | Ignored | CancelTimer):
            continue
        name = type(what).__name__
        if name == "Say":
            slots = dict(what.slots)  # type: ignore[union-attr]
            words = loaded.library.text(one.hotline, what.prompt, slots)  # type: ignore[union-attr]
            out.print(f"{moment.at:8.2f}  [green]{words}[/]  [dim]{what.prompt}[/]")  # type: ignore[union-attr]
        elif name in ("Key", "Voice", "HungUp", "Noise", "EndAsked"):
            out.print(f"{moment.at:8.2f}  [yellow]caller: {name} {getattr(what, 'digit', '')}[/]")
        elif name in ("Music", "Record", "LookUp", "Keep", "HangUp", "PickUp"):
            out.print(f"{moment.at:8.2f}  [blue]{name}[/]")
