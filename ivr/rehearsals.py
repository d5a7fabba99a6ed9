"""Runs many scenarios and tells how they went: what `sansheng simulate` does.

Rules this module keeps:

- A scenario is judged where it ran: by its golden values and by every rule. Rules that a scenario
  is meant to break (`breaks`) do not count.
- With several jobs, whole scenarios are shared out among processes; only verdicts come back.
- The time told is that of the calls, from the first to the last, without reading the files.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from ivr import golden, hotlines, logs, rehearsal, scenario_file
from ivr.actions import CancelTimer, Ignored, Note
from ivr.hotlines import Hotlines
from ivr.scenario import Scenario
from ivr.showing import count
from ivr.simulate import Outcome

COLLECT = 50_000
"""Objects made between two rounds of the collector: calls leave few circles behind."""
PORTION = 144
"""Scenarios that a process is given at a time, at most: the more of them, the more calls share a
world. Where there are too few for that, each process is given as many as the others."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one scenario went: what is wrong with it, and how long its call lasted, in seconds."""

    scenario: PurePath
    complaints: tuple[str, ...]
    seconds: float


def read(files: Iterable[Path], root: Path) -> list[Scenario]:
    """The scenarios in these files and folders. Raises BadFile."""
    found: list[Scenario] = []
    for path in files:
        if path.is_dir():
            found += scenario_file.read_all(path, root)
        else:
            found.append(scenario_file.read(path, root))
    return found


def play(scenarios: Sequence[Scenario], loaded: Hotlines, *, wire: bool) -> list[Outcome]:
    """Run these scenarios, at core level or over the wire."""
    if wire:
        from ivr import wire_rehearsal

        return wire_rehearsal.rehearse_all(scenarios, loaded)
    return [rehearsal.rehearse(one, loaded) for one in scenarios]


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """What was loaded stays, so the collector need not look at it again, nor often at the rest."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def verdict(one: Scenario, outcome: Outcome, loaded: Hotlines, *, golden: bool = True) -> Verdict:
    """What is wrong with a scenario and how it went."""
    complaints = [str(it) for it in one.unknown_prompts(loaded.lines[one.hotline].prompts)]
    complaints += [
        f"broke {mark}"
        for mark in rehearsal.broken(outcome, loaded.lines[one.hotline])
        if not set(mark.clauses) & set(one.breaks)
    ]
    if golden:
        complaints += rehearsal.differences(one, outcome)
    return Verdict(one.path, tuple(complaints), outcome.seconds)


def run(
    root: Path,
    files: Sequence[Path],
    *,
    update: bool = False,
    wire: bool = False,
    script: bool = False,
    jobs: int = 1,
    times: int = 1,
    out: Console,
) -> int:
    """Run them all, `times` over; returns how many did not go as their files say."""
    scenarios = read(files, root) * times
    if jobs > 1:
        verdicts, took = _shared(root, scenarios, wire, jobs, out)
    else:
        loaded = hotlines.load(root)
        with collecting_seldom():
            began = time.perf_counter()
            outcomes = play(scenarios, loaded, wire=wire)
            took = time.perf_counter() - began
        if script:
            for one, outcome in zip(scenarios, outcomes, strict=True):
                tell(one, outcome, loaded, out)
        if update:
            for one, outcome in zip(scenarios, outcomes, strict=True):
                _update(root, one, outcome)
        verdicts = [
            verdict(one, outcome, loaded, golden=not update)
            for one, outcome in zip(scenarios, outcomes, strict=True)
        ]
    wrong = 0
    for judged in verdicts:
        for complaint in judged.complaints:
            sentence = f"[red]{escape(str(judged.scenario))}[/]: {escape(complaint)}"
            out.print(sentence, highlight=False, soft_wrap=True)
        wrong += bool(judged.complaints)
    spoken = sum(judged.seconds for judged in verdicts)
    out.print(
        f"{count(len(verdicts), 'call')}, {wrong} wrong; {spoken / 60:.1f} minutes of calls "
        f"in {took:.2f} s ({len(verdicts) / max(took, 1e-9):.0f} calls a second, "
        f"{'wire' if wire else 'core'} level, {jobs} {'process' if jobs == 1 else 'processes'})",
        highlight=False,
        soft_wrap=True,
    )
    return wrong


def _update(root: Path, one: Scenario, outcome: Outcome) -> None:
    path = root / one.path  # an absolute one stays as it is
    golden.update(path, hears=outcome.hears, record=dict(outcome.record), ends=outcome.ends)


# ---------------------------------------------------------------- several processes

_LOADED: list[Hotlines] = []
"""The lines of this worker process."""
_SCENARIOS: list[Scenario] = []
"""What it is told to run some of, by place."""


def _begin(root: Path, scenarios: Sequence[Scenario]) -> None:
    logs.configure(level="critical")
    _LOADED[:] = [hotlines.load(root)]
    _SCENARIOS[:] = scenarios


def _warm(wire: bool) -> None:
    play(_SCENARIOS[:5], _LOADED[0], wire=wire)


def _portion(some: slice, wire: bool) -> list[Verdict]:
    scenarios = _SCENARIOS[some]
    with collecting_seldom():
        outcomes = play(scenarios, _LOADED[0], wire=wire)
        pairs = zip(scenarios, outcomes, strict=True)
        return [verdict(one, outcome, _LOADED[0]) for one, outcome in pairs]


def _shared(
    root: Path, scenarios: Sequence[Scenario], wire: bool, jobs: int, out: Console
) -> tuple[list[Verdict], float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (root, scenarios)) as pool:
        # every process has read its files and run a call before the clock starts
        for warm in [pool.submit(_warm, wire) for _ in range(jobs * 2)]:
            warm.result()
        began = time.perf_counter()
        size = max(1, min(PORTION, math.ceil(len(scenarios) / jobs)))
        portions = [slice(at, at + size) for at in range(0, len(scenarios), size)]
        pending = [pool.submit(_portion, some, wire) for some in portions]
        shown = track(pending, "calls", console=out, transient=True)
        verdicts = [one for done in shown for one in done.result()]
        return verdicts, time.perf_counter() - began


# ---------------------------------------------------------------- for people

SHOWN = (
    *("PickUp", "Music", "Record", "LookUp", "Keep", "HangUp"),
    *("JoinLine", "LeaveLine", "RingAgent", "CancelRing", "Bridge", "Resume", "BridgeOver"),
)
"""What is shown of the rest, by name."""


def tell(one: Scenario, outcome: Outcome, loaded: Hotlines, out: Console) -> None:
    """The call as a play: who says what, when."""

    def show(sentence: str) -> None:
        out.print(sentence, soft_wrap=True)

    show(f"[bold]{one.title}[/]")
    for moment in outcome.moments:
        what = moment.what
        if isinstance(what, Note | Ignored | CancelTimer):
            continue
        name = type(what).__name__
        if name == "Say":
            slots = dict(what.slots)  # type: ignore[union-attr]
            words = loaded.library.text(one.hotline, what.prompt, slots)  # type: ignore[union-attr]
            show(f"{moment.at:8.2f}  [green]{words}[/]  [dim]{what.prompt}[/]")  # type: ignore[union-attr]
        elif name in ("Key", "Voice", "HungUp", "Noise", "EndAsked"):
            show(f"{moment.at:8.2f}  [yellow]caller: {name} {getattr(what, 'digit', '')}[/]")
        elif name in ("AgentAnswered", "AgentAccepted", "AgentFailed", "AgentGone", "FeatureAsked"):
            how = getattr(what, "reason", "") or getattr(what, "feature", "")
            show(f"{moment.at:8.2f}  [magenta]agent: {name} {how}[/]")
        elif name in SHOWN:
            show(f"{moment.at:8.2f}  [blue]{name}[/]")
