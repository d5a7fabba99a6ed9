"""What is explored of a line, how long it takes, and the figures as a table.

Rules this module keeps:

- It chooses and measures; what an exploration is, is `ivr.explore`'s.
- Lengths are in seconds, memory is the most that the process ever had, in megabytes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ivr.chances import World
from ivr.explore import Exploration, Scope, call_backs, explore, offers
from ivr.flow import CALLBACK, Line

TOPICS = frozenset(
    {"menu", "intake", "advice", "query", "handling", "complaint", "suggestion", "extension"}
    | {"wrong_number", "closing"}
)
"""Where a call goes on to something else: an exploration that begins inside a flow stops there."""
HOLD = TOPICS | {"explain", "message", "person"}
MAIN = (
    ("transfer", 2),
    ("advice > transfer", 1),
    ("complaint > transfer", 1),
    ("hold", 1),
    ("callback", 2),
)
"""What is explored of every line if nothing is asked for: from where, and for how many of the calls
that differ from the beginning (number known or withheld, open or closed; for call-backs, whether
an agent waits)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to explore: `most` states and `depth` events at most (0 for no limit)."""

    flow: str = ""
    depth: int = 0
    most: int = 1_000_000
    calls: int = 1
    plain: bool = False
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one exploration; `seconds` it took, `megabytes` it needed at most."""

    line: str
    wish: Wish
    exploration: Exploration
    seconds: float
    megabytes: int

    def told(self) -> str:
        """In a sentence."""
        one = self.exploration
        far = "closed" if one.closed else "stopped at the bound"
        wrong = "nothing is wrong" if one.violation is None else "A RULE IS BROKEN"
        return (
            f"from {self.wish.flow or 'the first ring'}: {one.states:,} states, "
            f"{one.steps:,} events tried, {one.ends:,} endings, {one.deepest} deep, {far}, "
            f"{wrong} ({self.seconds:.0f} s, {self.megabytes} MB)"
        )

    def row(self) -> tuple[str, ...]:
        """For a table."""
        one = self.exploration
        return (
            self.line,
            self.wish.flow or "the first ring",
            str(self.wish.calls),
            f"{one.states:,}",
            f"{one.steps:,}",
            f"{one.ends:,}",
            str(one.deepest),
            "yes" if one.closed else "no",
            "none" if one.violation is None else "FOUND",
            f"{self.seconds:.0f} s",
            f"{self.megabytes} MB",
        )


HEADINGS = (
    *("line", "from", "calls", "states", "events tried", "endings", "deepest", "closed"),
    *("violations", "took", "memory"),
)


def scope(wish: Wish) -> Scope:
    """The scope of a wish: from a flow on, until the call goes on to something else."""
    if wish.flow == CALLBACK:
        # such a call begins there, and nowhere else
        return Scope("", frozenset(), wish.most, wish.depth, World(plain=wish.plain), wish.watched)
    begun = {name.strip() for name in wish.flow.split(">")}
    until = (HOLD if "hold" in begun else TOPICS) - begun if wish.flow else frozenset()
    world = World(plain=wish.plain)
    return Scope(wish.flow, frozenset(until), wish.most, wish.depth, world, wish.watched)


def run(line: Line, wish: Wish, tell: Callable[[str], None]) -> Found:
    """Explore. Raises `ivr.explore.NotReached`."""
    began = time.perf_counter()

    def progress(states: int, waiting: int) -> None:
        seconds = time.perf_counter() - began
        tell(f"{line.name} {wish.flow}: {states:,} states, {waiting:,} to try, {seconds:.0f} s")

    calls = call_backs() if wish.flow == CALLBACK else islice(offers(line), wish.calls)
    exploration = explore(line, scope(wish), calls, progress)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Found(line.name, wish, exploration, time.perf_counter() - began, memory)


def wishes(flow: str, wish: Wish) -> Iterator[Wish]:
    """What is explored of a line: what was asked for, or all that matters most."""
    if flow:
        yield wish
        return
    for name, calls in MAIN:
        yield Wish(name, wish.depth, wish.most, calls, wish.plain, wish.watched)


MARK = "<!-- figures -->"
"""In the page, the table stands between two of these."""


def write(page: Path, found: Sequence[Found]) -> None:
    """Put the figures into a page, between its two marks."""
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    text = f"{before}{MARK}\n{table(found)}{MARK}{after}"
    page.write_text(text, encoding="utf-8")


def table(found: Sequence[Found]) -> str:
    """The figures as a table in Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(one.row() for one in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
