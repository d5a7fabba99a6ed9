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
from ivr.showing import Refused, err, one_of, out, show

if TYPE_CHECKING:
    from ivr.promises import Promise
    from ivr.store import Store

app = typer.Typer(
    help="Calls that callers were promised: what is due, what was broken (承诺、回拨).",
    no_args_is_help=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LineOption = Annotated[str | None, typer.Option("--line", help="Only this line.")]
State = Annotated[
    str | None, typer.Option(help="Only this state, or all; default: what is still owed.")
]
Due = Annotated[str | None, typer.Option(help="Only what is due within this time, such as 2 h.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Id = Annotated[str, typer.Argument(help="The promise's id, from `promises`.")]
By = Annotated[str, typer.Option("--by", help="Staff number of who does it.")]
Words = Annotated[str, typer.Option("--text", help="What is to be remembered of it.")]


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
    from ivr import hotlines
    from ivr import promises as work
    from ivr.document import BadFile, seconds

    if line is not None:
        one_of(line, hotlines.documents(ctx.obj.root)[1], "line")
    states: tuple[str, ...] = work.OWED
    if state is not None:
        states = work.STATES
        if one_of(state, (*work.STATES, "all"), "state") != "all":
            states = (state,)
    now = datetime.now(UTC)
    before = None
    if due is not None:
        try:
            before = now + timedelta(seconds=seconds(Text.at(due, "--due", 0)))
        except (BadFile, OverflowError):
            raise Refused(f"--due '{due}' is no length of time: write e.g. 30 min or 2 h") from None
    found = work.listed(_store(ctx), hotline=line, states=states, due_before=before, limit=limit)
    rows = [_row(one, now) for one in found]
    brief = [
        {
            "promise": row["promise"],
            "line": row["line"],
            "kind": row["kind"],
            "contact": row["contact"],
            "due": _brief(row["due_at"]),
            "state": row["state"],
            "calls": row["tries"],
            "owner": row["owner"],
            "reason": row["reason"],
        }
        for row in rows
    ]
    show(brief, as_json, "promises", whole=rows)


@app.command("show")
def show_(ctx: typer.Context, promise: Id, as_json: Json = False) -> None:
    """One promise with its contact and every attempt to keep it (承诺详情)."""
    from ivr import attempts
    from ivr import promises as work

    store = _store(ctx)
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
    for name, value in row.items():
        if value not in ("", None):
            value = _local(value) if name.endswith("_at") else value
            out.print(f"{name:10} {value}", highlight=False, markup=False, soft_wrap=True)
    out.print()
    show([{**each, "at": _brief(str(each["at"]))} for each in tries], False, "attempts")


@app.command()
def report(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="Promises made in so many days.")] = 30,
    as_json: Json = False,
) -> None:
    """How each line keeps its promises; exit code 1 if any is broken (承诺兑现报告)."""
    from dataclasses import asdict

    from ivr import promises as work

    rows = [
        asdict(one) for one in work.report(_store(ctx), datetime.now(UTC) - timedelta(days=days))
    ]
    show(rows, as_json, "promises kept", whole=rows)
    if any(row["broken"] for row in rows):
        raise typer.Exit(1)


@app.command()
def kept(ctx: typer.Context, promise: Id, by: By, text: Words = "") -> None:
    """Somebody has called back themselves (已回电)."""
    _settle(ctx, promise, "kept", by, text, "is kept")


@app.command()
def drop(ctx: typer.Context, promise: Id, by: By, text: Words) -> None:
    """Nobody is to be called back any more; say why (不再回拨)."""
    _settle(ctx, promise, "given_up", by, text, "is dropped: nobody calls for it any more")


@app.command()
def again(ctx: typer.Context, promise: Id, by: By, text: Words = "") -> None:
    """Try a promise that was given up once more, from now on (重新回拨)."""
    _settle(ctx, promise, "open", by, text, "is tried again from now on")


def _settle(ctx: typer.Context, promise: str, state: str, by: str, text: str, done: str) -> None:
    from ivr import promises as work
    from ivr.tickets import STAFF

    if not STAFF.fullmatch(by):
        raise Refused(f"'{by}' is no staff number")
    try:
        work.settle(_store(ctx), promise, state, by, text, datetime.now(UTC))
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


def _brief(moment: str) -> str:
    """A moment for people at the machine: its own time, to the minute."""
    return datetime.fromisoformat(moment).astimezone().strftime("%m-%d %H:%M")


def _local(moment: str) -> str:
    """A moment for people at the machine, with its day and year."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def _store(ctx: typer.Context) -> Store:
    from ivr import listing

    return listing.look_back(ctx.obj.database)
