"""The commands `sansheng tickets …`.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- There is no command that edits or deletes: a ticket is only added to, with the staff number of
  who does it.
- Lists and the history show numbers masked; only `show` gives the contact, as somebody must ring
  back.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ivr.moments import YEAR
from ivr.options import (
    HERE,
    By,
    Json,
    Limit,
    LineOption,
    as_written,
    known_line,
    looking_back,
    moments,
    staff_number,
    states,
)
from ivr.options import Words as Text
from ivr.showing import Refused, complain, err, facts, one_of, out, show
from ivr.store import StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivr.store import Store
    from ivr.tickets import Ticket

app = typer.Typer(
    help="Work that callers left: who owes what, and until when (工单).", no_args_is_help=False
)

State = Annotated[str | None, typer.Option(help="Only this state, or all; default: open ones.")]
Overdue = Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")]
DueSoon = Annotated[bool, typer.Option("--due-soon", help="Only what is due soon.")]
Id = Annotated[str, typer.Argument(help="The ticket's id, from `tickets`, such as T17.")]


@app.callback(invoke_without_command=True)
def tickets(
    ctx: typer.Context,
    line: LineOption = None,
    state: State = None,
    overdue: Overdue = False,
    due_soon: DueSoon = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Work that callers left: who owes what, and until when (工单). Lists what is open."""
    if ctx.invoked_subcommand is None:
        _list(line, state, overdue, due_soon, limit, as_json)


@app.command("list")
def list_(
    line: LineOption = None,
    state: State = None,
    overdue: Overdue = False,
    due_soon: DueSoon = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Tickets, the one due first first (工单列表)."""
    _list(line, state, overdue, due_soon, limit, as_json)


def _list(
    line: str | None,
    state: str | None,
    overdue: bool,
    due_soon: bool,
    limit: int,
    as_json: bool,
) -> None:
    from ivr import hotlines
    from ivr import tickets as work
    from ivr.ticket_rules import Rules, parse

    known_line(line)
    written = as_written(lambda: hotlines.documents(HERE.root)[1]) or {}
    lines = as_written(lambda: {name: parse(at) for name, at in written.items()}) or {}
    listed = states(state, work.STATES, work.OPEN)
    wanted = {"overdue"} if overdue else set()
    wanted |= {"due_soon"} if due_soon else set()
    now = datetime.now(UTC)
    rows = []
    for one in work.listed(looking_back(), hotline=line, states=listed, limit=None):
        stands = work.standing(one, now, lines.get(one.hotline, Rules()).due_soon)
        if not wanted or stands in wanted:
            rows.append({**_row(one), "stands": stands})
    times = moments()
    brief = [
        {
            "ticket": row["ticket"],
            "line": row["line"],
            "kind": row["kind"],
            "urgency": row["urgency"],
            "due": times(row["due_at"], row["line"]),
            "stands": row["stands"].replace("_", " "),
            "state": row["state"].replace("_", " for ", 1),
            "owner": row["owner"],
        }
        for row in rows[:limit]
    ]
    show(brief, as_json, "tickets", whole=rows[:limit], times=times)


@app.command("show")
def show_(ticket: Id, as_json: Json = False) -> None:
    """One ticket with its contact and its whole history (工单详情)."""
    from ivr import tickets as work
    from ivr.redact import masked

    store = looking_back()
    one = _done(lambda: work.found(store, ticket))
    steps = _done(lambda: work.history(store, ticket))
    row = {**_row(one), "caller": one.caller, "contact": one.contact}
    history = [asdict(step) for step in steps]
    for step in history:
        step["text"] = masked(step["text"])
        step["changes"] = {k: _masked(v, masked) for k, v in step["changes"].items()}
    if as_json:
        show([], True, whole={**row, "history": history})
        return
    times = moments()
    facts({k: times(v, one.hotline, YEAR) if k.endswith("_at") else v for k, v in row.items()})
    out.print()
    show(
        [
            {
                "row": str(step["seq"]),
                "at": times(step["at"], one.hotline),
                "what": step["what"],
                "who": step["who"],
                "text": step["text"],
            }
            for step in history
        ],
        False,
        "history",
        times=times,
    )


@app.command()
def take(ticket: Id, by: By, text: Text = "") -> None:
    """Take a ticket on, or over, or open it again (受理)."""
    _change(ticket, "taken", by, text, taken_by=by)


@app.command()
def wait(
    ticket: Id,
    by: By,
    for_: Annotated[str, typer.Option("--for", help="form, documents or caller.")],
    text: Text = "",
) -> None:
    """It waits for something from outside; the time goes on (挂起)."""
    one_of(for_, ("form", "documents", "caller"), "thing to wait for")
    _change(ticket, f"waiting_{for_}", by, text)


@app.command()
def done(ticket: Id, by: By, text: Text = "") -> None:
    """It is solved; --text says how (办结)."""
    _change(ticket, "done", by, text)


@app.command()
def close(ticket: Id, by: By, text: Text = "") -> None:
    """Close a ticket that is done, and whose caller knows (关闭)."""
    _change(ticket, "closed", by, text)


@app.command()
def remark(
    ticket: Id,
    text: Annotated[str, typer.Argument(help="The remark.")],
    by: By,
    as_: Annotated[str, typer.Option("--as", help="remark, follow_up or report.")] = "remark",
) -> None:
    """Add to a ticket's history, in whatever state it is (备注)."""
    from ivr import tickets as work

    one_of(as_, work.REMARKS, "remark")
    _add(by, lambda store, now: work.remark(store, ticket, by, now, text, as_))
    _said(f"{ticket} has a {as_.replace('_', '-')} more")


@app.command()
def assign(
    ticket: Id,
    to: Annotated[str, typer.Option("--to", help="A department, or supervisor.")],
    by: By,
    text: Text = "",
) -> None:
    """Give a ticket to another owner (转派)."""
    from ivr import hotlines
    from ivr import tickets as work
    from ivr.ticket_rules import PLAIN, SUPERVISOR

    store = looking_back()
    one = _done(lambda: work.found(store, ticket))
    document = hotlines.documents(HERE.root)[1].get(one.hotline)
    departments = document.get("departments", {}) if document is not None else {}
    one_of(to, (*(departments or (PLAIN.owner,)), SUPERVISOR), "owner")
    _add(by, lambda store, now: work.assign(store, ticket, to, by, now, text))
    _said(f"{ticket} is owned by {to}")


@app.command()
def grade(
    ticket: Id,
    grade: Annotated[str, typer.Argument(help="light, serious or very_serious.")],
    by: By,
    text: Text = "",
) -> None:
    """Say how serious a complaint is (投诉等级)."""
    from ivr import tickets as work
    from ivr.ticket_rules import GRADES

    one_of(grade, GRADES, "grade")
    _add(by, lambda store, now: work.grade(store, ticket, grade, by, now, text))
    _said(f"{ticket} is {grade.replace('_', ' ')}")


@app.command()
def verify(
    head: Annotated[
        list[str] | None, typer.Option(help="A head that was written down elsewhere.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Was anything in the history of tickets changed or taken away? (核验)"""
    from ivr.audit import audit
    from ivr.chain import Head, Witness, read_head

    witness = Witness.of(HERE.root, HERE.database)
    heads: list[Head] = [_done(lambda one=one: read_head(one)) for one in head or ()]  # type: ignore[misc]
    try:
        heads += witness.heads()
    except OSError as error:
        raise Refused(
            f"the heads in {witness.path} cannot be read, and without them a history sealed anew "
            f"would pass: {error.strerror or error}; ask as the service's user"
        ) from error
    try:
        report = audit(looking_back(), heads)
    except StorageFailed as error:
        # a database that cannot be read proves nothing either
        complain([f"the history cannot be read: {error}"], "")
        return
    if as_json:
        told = {
            "rows": report.head.length,
            "head": str(report.head),
            "tickets": report.tickets,
            "heads_known": report.witnessed,
            "first_bad_row": report.first_bad_row,
            "findings": [str(one) for one in report.findings],
        }
        show([], True, whole=told)
        raise typer.Exit(1 if report.findings else 0)
    known = f"{report.witnessed} heads written down elsewhere agree"
    good = f"{report.head.length} rows of {report.tickets} tickets are as they were written"
    complain(report.findings, f"{good}; {known}; head {report.head}")


# ---------------------------------------------------------------- what they share


def _done(work: Callable[[], Any]) -> Any:
    from ivr.tickets import NoTicket, NotNow

    try:
        return work()
    except (NoTicket, NotNow, ValueError) as error:
        raise Refused(str(error)) from error


def _change(ticket: str, state: str, by: str, text: str, **more: str) -> None:
    from ivr import tickets as work

    _add(by, lambda store, now: work.change(store, ticket, state, by, now, text, **more))
    _said(f"{ticket} is {state.replace('_', ' for ', 1)}")


def _said(what: str) -> None:
    """What a command has done."""
    out.print(what, highlight=False, markup=False)


def _add(by: str, work: Callable[[Store, datetime], Any]) -> None:
    """Do it, and write the new head of the history down outside of the database."""
    from ivr import chain

    staff_number(by)
    store = looking_back()
    _done(lambda: work(store, datetime.now(UTC)))
    with store.read() as connection:
        head = chain.head(connection)
    try:
        chain.Witness.of(HERE.root, HERE.database).note(head)
    except OSError as error:
        err.print(f"it is done, but the head {head} could not be written down: {error}")


def _row(one: Ticket) -> dict[str, Any]:
    """A ticket as plain values, numbers masked."""
    from ivr.redact import mask, masked

    return {
        "ticket": one.id,
        "line": one.hotline,
        "kind": one.kind,
        "state": one.state,
        "urgency": one.urgency,
        "complexity": one.complexity,
        "grade": one.grade,
        "owner": one.owner,
        "taken_by": one.taken_by,
        "opened_at": one.opened_at.isoformat(timespec="milliseconds"),
        "due_at": one.due_at.isoformat(timespec="milliseconds"),
        "promised": one.promised,
        "asked": _masked(dict(one.asked), masked),
        "staff_number": one.staff_number,
        "caller": mask(one.caller),
        "contact": mask(one.contact),
        "recording": one.recording,
        "surname_recording": one.surname_recording,
        "message": one.message_id,
        "call": one.call_id,
    }


def _masked(value: Any, masked: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _masked(one, masked) for key, one in value.items()}
    return masked(value) if isinstance(value, str) else value
