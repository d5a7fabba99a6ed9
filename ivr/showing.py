"""How commands show what they have: tables for people, JSON for programs, complaints a line each.

Rules this module keeps:

- What was asked for goes to standard output, what is said about it to standard error.
- The first column of a table is never broken: ids are there to be copied.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

out = Console()
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show(rows: Sequence[dict[str, Any]], as_json: bool, title: str = "", whole: Any = None) -> None:
    """Rows as a table for people, or as JSON (`whole`, if that is more than the rows)."""
    if as_json:
        told = rows if whole is None else whole
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1, default=str) + "\n")
        return
    if not rows:
        out.print(f"no {title or 'rows'}")
        return
    table = Table(title=title or None)
    for place_, name in enumerate(rows[0]):
        table.add_column(name, overflow="fold", no_wrap=place_ == 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_cell, value))
    return "" if value is None else str(value)


def complain(problems: Iterable[object], good: str) -> None:
    """Problems, one a line, and exit code 1; or that all is well."""
    told = list(map(str, problems))
    for problem in told:
        sys.stdout.write(f"{problem}\n")
    if told:
        err.print(f"{len(told)} problems" if len(told) > 1 else "1 problem")
        raise typer.Exit(1)
    err.print(good)
