"""The command `sansheng quality` (服务质量): how well calls kept the rules.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- Callers are named by the id of their call.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from ivr.options import HERE, Json, LineOption, known_line, looking_back
from ivr.showing import Refused, count, err, out, progress, show

if TYPE_CHECKING:
    from ivr.store import Store


def quality(
    call: Annotated[str, typer.Argument(help="A call's id: every mark of it, and why.")] = "",
    line: LineOption = None,
    since: Annotated[str, typer.Option(help="The first day, such as 2026-11-23.")] = "",
    until: Annotated[str, typer.Option(help="The last day; alone --since means that day.")] = "",
    broken: Annotated[bool, typer.Option("--broken", help="Each broken rule, and why.")] = False,
    as_json: Json = False,
) -> None:
    """How well calls kept the rules: by day, line and clause, the last seven days (服务质量)."""
    if call:
        _one(looking_back(), call, as_json)
        return
    from ivr import hotlines, quality

    known_line(line)
    lines = hotlines.load(HERE.root).lines
    zone = ZoneInfo(lines[line].zone if line else next(iter(lines.values())).zone)
    try:
        times = quality.days(since, until, zone, datetime.now(UTC))
    except ValueError as error:
        raise Refused(f"write days as 2026-11-23 ({error})") from error
    told = quality.report(looking_back(), line, *times, tell=progress)
    progress("")
    rows = told.broken if broken else told.rows
    brief = [{**row, "clauses": "/".join(row["clauses"])} for row in rows]
    if broken:
        brief = [{name: at for name, at in row.items() if name != "kept"} for row in brief]
    show(brief, as_json, "broken rules" if broken else "marks", whole=rows)
    if not as_json:
        left = f", {told.unmarked} could not be (up, or erased)" if told.unmarked else ""
        err.print(f"{count(told.marked, 'call')} marked{left}", style="dim")


def _one(store: Store, call: str, as_json: bool) -> None:
    from ivr import quality

    try:
        marked = quality.of_call(store, call)
    except quality.NotMarked as error:
        raise Refused(str(error)) from error
    rows = quality.rows(marked)
    heard = quality.courtesies(marked, HERE.root)
    brief = [
        {
            "": "kept" if row["kept"] else "BROKEN",
            "at": f"{row['at']:.1f} s",
            "clauses": "/".join(row["clauses"]),
            "evidence": row["evidence"],
        }
        for row in rows
    ]
    show(brief, as_json, "marks", whole={"call": call, "marks": rows, "courtesies": heard})
    if not as_json:
        told = ", ".join(f"{word} {times}" for word, times in heard.items())
        out.print(f"courtesies heard: {told or 'none'}", highlight=False)
