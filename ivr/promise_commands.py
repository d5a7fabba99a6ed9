"""The commands `sansheng promises …`.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- Lists show numbers masked; only `show` gives the contact, as somebody must ring back.
- What people say became of a promise is written down with their staff number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ivr.document import Text
from ivr.moments import YEAR
from ivr.options import (
    By,
    Json,
    Limit,
    LineOption,
    Words,
    known_line,
    looking_back,
    moments,
    staff_number,
    states,
)
from ivr.showing import Refused, err, facts, out, show

if TYPE_CHECKING:
    from ivr.promises import Promise

app = typer.Typer(
    help="Calls that callers were promised: what is due, what was broken (承诺、回拨).",
    no_args_is_help=False,
)

State = Annotated[
    str | None, typer.Option(help="Only this state, or all; default: what is still owed.")
]
Due = Annotated[str | None, typer.Option(help="Only what is due within this time, such as 2 h.")]
Id = Annotated[str, typer.Argument(help="The promise's id, from `promises`.")]


@app.callback(invoke_without_command=True)
def promises(
    ctx: typer.Context,
    line: LineOption = None,
    state: State = None,
    due: Due = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Calls that callers were promised, the one due first first (承诺列表)."""
    if ctx.invoked_subcommand is not None:
        return
    from ivr import promises as work
    from ivr.document import BadFile, seconds

    known_line(line)
    wanted = states(state, work.STATES, work.OWED)
    now = datetime.now(UTC)
    before = None
    if due is not None:
        try:
            before = now + timedelta(seconds=seconds(Text.at(due, "--due", 0)))
        except (BadFile, OverflowError):
            raise Refused(f"--due '{due}' is no length of time: write e.g. 30 min or 2 h") from None
    found = work.listed(looking_back(), hotline=line, states=wanted, due_before=before, limit=limit)
    rows = [_row(one, now) for one in found]
    times = moments()
    brief = [
        {
            "promise": row["promise"],
            "line": row["line"],
            "kind": row["kind"],
            "contact": row["contact"],
            "due": times(row["due_at"], row["line"]),
            "state": row["state"],
            "calls": row["tries"],
            "owner": row["owner"],
            "reason": row["reason"],
        }
        for row in rows
    ]
    show(brief, as_json, "promises", whole=rows, times=times)


@app.command("show")
def show_(promise: Id, as_json: Json = False) -> None:
    """One promise with its contact and every attempt to keep it (承诺详情)."""
    from ivr import attempts
    from ivr import promises as work

    store = looking_back()
    try:
        one = work.found(store, promise)
    except work.NoPromise as error:
        raise Refused(str(error)) from None
    row = {**_row(one, datetime.now(UTC)), "contact": one.contact, "message": one.message_id}
    tries = [
        {
            "attempt": each.id,
            "at": each.made_at.isoformat(timespec="seconds"),
            "rung": each.dialled_at is not None,
            "agent": each.agent,
            "result": each.result or "running",
            "talked": each.talked,
        }
        for each in attempts.tried(store, promise)
    ]
    if as_json:
        show([], True, whole={**row, "attempts": tries})
        return
    times = moments()
    facts({k: times(v, one.hotline, YEAR) if k.endswith("_at") else v for k, v in row.items()})
    out.print()
    brief = [{**each, "at": times(str(each["at"]), one.hotline)} for each in tries]
    show(brief, False, "attempts", times=times)


@app.command()
def report(
    days: Annotated[int, typer.Option(min=1, max=36500, help="Made in so many days.")] = 30,
    line: LineOption = None,
    as_json: Json = False,
) -> None:
    """How each line keeps its promises; exit code 1 if any is broken (承诺兑现报告)."""
    from dataclasses import asdict

    from ivr import promises as work

    known_line(line)
    since = datetime.now(UTC) - timedelta(days=days)
    rows = [asdict(one) for one in work.report(looking_back(), since, line)]
    show(rows, as_json, "promises kept", whole=rows)
    if any(row["broken"] for row in rows):
        raise typer.Exit(1)


@app.command()
def kept(promise: Id, by: By, text: Words = "") -> None:
    """Somebody has called back themselves (已回电)."""
    _settle(promise, "kept", by, text, "is kept")


@app.command()
def drop(promise: Id, by: By, text: Words) -> None:
    """Nobody is to be called back any more; say why (不再回拨)."""
    _settle(promise, "given_up", by, text, "is dropped: nobody calls for it any more")


@app.command()
def again(promise: Id, by: By, text: Words = "") -> None:
    """Try a promise that was given up once more, from now on (重新回拨)."""
    _settle(promise, "open", by, text, "is tried again from now on")


def _settle(promise: str, state: str, by: str, text: str, done: str) -> None:
    from ivr import promises as work

    staff_number(by)
    try:
        work.settle(looking_back(), promise, state, by, text, datetime.now(UTC))
    except work.NoPromise as error:
        raise Refused(str(error)) from None
    err.print(f"promise {promise} {done}")


def _row(one: Promise, now: datetime) -> dict[str, Any]:
    from ivr.redact import mask, masked

    return {
        "promise": one.id,
        "line": one.hotline,
        "kind": one.kind,
        "contact": mask(one.contact),
        "state": "dropped" if one.dropped_at else one.state,
        "overdue": one.due_at <= now and one.state != "kept" and not one.dropped_at,
        "promised": one.promised,
        "made_at": one.made_at.isoformat(timespec="seconds"),
        "due_at": one.due_at.isoformat(timespec="seconds"),
        "kept_at": one.kept_at.isoformat(timespec="seconds") if one.kept_at else None,
        "broken_at": one.broken_at.isoformat(timespec="seconds") if one.broken_at else None,
        "tries": one.tries,
        "owner": one.owner,
        "reason": masked(one.reason),
    }
