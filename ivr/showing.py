"""How commands show what they have: tables for people, JSON for programs, complaints a line each.

Rules this module keeps:

- What was asked for goes to standard output, what is said about it to standard error.
- Headings and ids are never broken, however narrow the screen: ids are there to be copied. What
  has no room beside them stands under its row, each value with its heading.
- What is shown of others' words does nothing to the terminal (`printable`).
- A sentence stays one line; where it is broken is the terminal's business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from unicodedata import category

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ivr.moments import Moments

out = Console()
err = Console(stderr=True, highlight=False, soft_wrap=True)

GAP = 2
"""Cells between two columns."""
FOLDED = 20
"""Cells that a column needs to be folded within the table; with less, it goes under the rows."""
INDENT = "    "
"""Before what stands under a row."""


class Refused(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


def one_of(value: str, known: Iterable[str], what: str) -> str:
    """The value, if it is a known one. Raises Refused with the nearest, and all that are known."""
    names = list(known)
    if value in names:
        return value
    near = get_close_matches(value, names, 1)
    guess = f"did you mean '{near[0]}'? " if near else ""
    raise Refused(f"there is no {what} '{value}': {guess}choose one of {', '.join(names)}")


def unusable(error: OSError) -> str:
    """A file or folder that cannot be used, and why: `/nope/x: No such file or directory`."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def count(number: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show(
    rows: Sequence[dict[str, Any]],
    as_json: bool,
    title: str = "",
    whole: Any = None,
    times: Moments | None = None,
) -> None:
    """Rows as a table for people, or as JSON (`whole`, if that is more than the rows); `times` are
    those that stand in the table."""
    if as_json:
        told = rows if whole is None else whole
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1, default=str) + "\n")
        return
    if not rows:
        out.print(f"no {title or 'rows'}")
        return
    table(rows, out)
    if times is not None and times.note():
        err.print(times.note(), style="dim")


def facts(row: Mapping[str, Any]) -> None:
    """What is known of one thing, a line each; what is empty is left out."""
    width = max(map(len, row)) + GAP
    for name, value in row.items():
        if told := _cell(value):
            out.print(f"{name:{width}}{told}", highlight=False, markup=False, soft_wrap=True)


def table(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Rows with the same keys, as wide as the console at most."""
    names = [str(name) for name in rows[0]]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    needed = sum(widths) + GAP * (len(widths) - 1)
    longest = max(range(len(widths)), key=widths.__getitem__)
    room = console.width - (needed - widths[longest])
    if needed <= console.width or (longest > 0 and room >= max(FOLDED, cell_len(names[longest]))):
        _grid(names, cells, longest, console)
    else:
        _with_lines_below(names, cells, widths, console)


def _grid(names: list[str], cells: list[list[str]], folded: int, console: Console) -> None:
    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for place, name in enumerate(names):
        grid.add_column(Text(name), overflow="fold", no_wrap=place != folded)
    for row in cells:
        grid.add_row(*map(Text, row))
    console.print(grid)


def _with_lines_below(
    names: list[str], cells: list[list[str]], widths: list[int], console: Console
) -> None:
    beside, used = 1, widths[0]
    while beside < len(widths) and used + GAP + widths[beside] <= console.width:
        used += GAP + widths[beside]
        beside += 1

    def tell(row: list[str], style: str = "") -> None:
        padded = [set_cell_size(cell, widths[place]) for place, cell in enumerate(row[:beside])]
        console.print(Text((" " * GAP).join(padded).rstrip(), style), soft_wrap=True)

    tell(names, "bold")
    for row in cells:
        tell(row)
        told = [f"{names[at]}: {row[at]}" for at in range(beside, len(row)) if row[at]]
        for line in _packed(told, max(1, console.width - len(INDENT)), console):
            console.print(Text(INDENT + line), soft_wrap=True)


def _packed(told: list[str], width: int, console: Console) -> Iterator[str]:
    """As many on a line as fit; only what is longer than a line is broken."""
    line = ""
    for one in told:
        if line and cell_len(line) + GAP + cell_len(one) <= width:
            line += " " * GAP + one
            continue
        if line:
            yield line
        *full, line = (part.plain.rstrip() for part in Text(one).wrap(console, width))
        yield from full
    if line:
        yield line


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_cell, value))
    return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """The text without signs that would move or colour what stands on a terminal: callers and other
    programs have written some of it. Each is shown as Python writes it (`\\x1b`)."""
    return "".join(
        one if one.isprintable() or one == "\n" or category(one) == "Zs" else ascii(one)[1:-1]
        for one in text
    )


def progress(text: str) -> None:
    """One line of progress, over the one before, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def not_reloaded(files: Mapping[str, Any]) -> str:
    """What a service says of files that it could not read again (`ivr.reloading`)."""
    problems = files["problems"]
    more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
    return (
        f"the service keeps the lines as they were: {files['failed_at']} it could not read them "
        f"again: {problems[0]}{more}"
    )


def complain(problems: Iterable[object], good: str) -> None:
    """Problems, one a line, and exit code 1; or that all is well."""
    told = list(map(str, problems))
    for problem in told:
        sys.stdout.write(f"{problem}\n")
    if told:
        err.print(count(len(told), "problem"))
        raise typer.Exit(1)
    err.print(good)
