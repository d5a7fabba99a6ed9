"""Options that several commands share, and what commands look up before they begin.

Rules this module keeps:

- The rules of `ivr.cli`, which writes into `HERE` where things are before any command begins.
- A mistake is Refused in the same words, whichever command was called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ivr.showing import Refused, err, one_of

if TYPE_CHECKING:
    from ivr.moments import Moments
    from ivr.store import Store


Found = TypeVar("Found")


@dataclass(slots=True)
class Place:
    """Where the data root and the database are."""

    root: Path
    database: str


HERE = Place(Path(), "")

MOST = 1_000_000
"""Rows that a command may be asked for."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LineOption = Annotated[str | None, typer.Option("--line", help="Only this line.")]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="At most so many.")]
By = Annotated[str, typer.Option("--by", help="Staff number of who does it.")]
Words = Annotated[str, typer.Option("--text", help="What is to be remembered of it.")]


def known_line(line: str | None, *others: str) -> None:
    """Raises Refused if a line was named, and there is no such line, also while a mistake in a
    file keeps lines from being used; `others` are names that may stand for a line."""
    from ivr import listing

    if line is not None:
        one_of(line, [*listing.line_names(HERE.root), *others], "line")


def states(wanted: str | None, known: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    """The states to be listed: the one that is wanted, `all` that are known, or the usual ones.
    Raises Refused."""
    if wanted is None:
        return usual
    return known if one_of(wanted, (*known, "all"), "state") == "all" else (wanted,)


def moments() -> Moments:
    """What shows times by the clocks of the lines that are here."""
    from ivr.moments import Moments

    return Moments(HERE.root)


def as_written(read: Callable[[], Found]) -> Found | None:
    """What lines' files say, for a list that is needed also while one of them is broken: that is
    told, and the list is made without."""
    from ivr.document import BadFile

    try:
        return read()
    except BadFile as error:
        err.print(
            f"{error.problems[0]}; until then this list is made as if nothing were written in the "
            "lines' files",
            style="yellow",
            markup=False,
        )
        return None


def looking_back() -> Store:
    """The database, to look back into. Raises StorageFailed if there is none."""
    from ivr import listing

    return listing.look_back(HERE.database)


def staff_number(by: str) -> str:
    """The staff number of who does something. Raises Refused if it cannot be one."""
    from ivr.staff import STAFF_NUMBER

    if not STAFF_NUMBER.fullmatch(by):
        raise Refused(f"'{by}' is no staff number: write digits, such as --by 801")
    return by
