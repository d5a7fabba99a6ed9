"""The command `sansheng`: what ops and testers type.

Rules this module keeps:

- A command only reads its options, calls one module and shows the result; no logic lives here.
- Whatever can be read by a program is also printed as JSON (`--json`).
- A mistake of the person at the keyboard is answered with a sentence and exit code 2; a check
  that fails ends with exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ivr import logs
from ivr.document import BadFile
from ivr.store import StorageFailed

app = typer.Typer(
    name="sansheng",
    help="A hotline engine for Asterisk (三声).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Place:
    """Where the data root and the database are."""

    root: Path
    database: str


HERE = Place(Path(), "")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def place(
    root: Annotated[
        Path | None, typer.Option(help="Data root with flows, prompts and asterisk.")
    ] = None,
    database: Annotated[str, typer.Option(help="Database, as SQLAlchemy writes it.")] = "",
) -> None:
    """Where things are; also read from SANSHENG_ROOT and SANSHENG_DATABASE."""
    logs.configure(level=os.environ.get("SANSHENG_LOG", "warning"))
    HERE.root = (root or Path(os.environ.get("SANSHENG_ROOT") or _checkout())).absolute()
    default = f"sqlite:///{HERE.root / 'var/sansheng.db'}"
    HERE.database = database or os.environ.get("SANSHENG_DATABASE") or default


def _checkout() -> Path:
    """The checkout that this package was installed from, or the folder we stand in."""
    here = Path(__file__).parent.parent
    return here if (here / "flows").is_dir() else Path.cwd()


def show(rows: Sequence[dict[str, Any]], as_json: bool, title: str = "") -> None:
    """Rows as JSON or as a table for people."""
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1, default=str) + "\n")
        return
    table = Table(title=title or None, show_lines=False)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(table)


# ---------------------------------------------------------------- the service


@app.command()
def serve(
    agi: Annotated[str, typer.Option(help="Where to listen for Asterisk.")] = "127.0.0.1:4573",
    manager: Annotated[str, typer.Option(help="HOST:PORT of AMI, or none.")] = "127.0.0.1:5038",
    most: Annotated[int, typer.Option(help="Calls at once, at most.")] = 2000,
    database: Annotated[str, typer.Option(help="Database, as SQLAlchemy writes it.")] = "",
) -> None:
    """Take calls from Asterisk until told to stop (服务)."""
    from ivr import serve as service

    as_json = not sys.stderr.isatty()
    logs.configure(level=os.environ.get("SANSHENG_LOG", "info"), as_json=as_json)
    database = database or HERE.database
    try:
        service.run(service.settings_from(HERE.root, database, agi, manager, most, os.environ))
    except (ValueError, OSError, StorageFailed) as error:
        raise Refused(str(error)) from error


# ---------------------------------------------------------------- lines and prompts


@app.command()
def lines(as_json: Json = False) -> None:
    """The lines, their numbers and their versions (热线)."""
    from ivr import hotlines

    loaded = hotlines.load(HERE.root)
    show(
        [
            {
                "line": line.name,
                "title": line.title,
                "numbers": " ".join(line.numbers),
                "answer_after": line.answer_at,
                "version": line.version,
            }
            for line in loaded.lines.values()
        ],
        as_json,
    )


@app.command()
def check() -> None:
    """Check every flow, line and text; one line a problem (检查)."""
    from ivr import checking

    problems = checking.everything(HERE.root)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if problems:
        err.print(f"{len(problems)} problems")
        raise typer.Exit(1)
    err.print("no problems")


# ---------------------------------------------------------------- scenarios


@app.command()
def simulate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files or folders.")],
    update: Annotated[bool, typer.Option("--update", help="Rewrite the golden values.")] = False,
    wire: Annotated[bool, typer.Option("--wire", help="Over a fake Asterisk.")] = False,
    script: Annotated[bool, typer.Option("--script", help="Tell the call as it goes.")] = False,
) -> None:
    """Run scenarios in virtual time and compare them with their golden values (情景)."""
    from ivr import rehearsals

    wrong = rehearsals.run(HERE.root, files, update=update, wire=wire, script=script, out=out)
    raise typer.Exit(1 if wrong else 0)


class Refused(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


def main() -> None:
    """The entry point. A bad file is told by line, anything else we know in one sentence."""
    try:
        app()
    except Refused as error:
        err.print(f"[red]{error}[/]")
        raise SystemExit(2) from None
    except BadFile as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
