"""The commands `sansheng agents …` and `sansheng line`.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- Agents are named by staff number, and callers by the id of their call.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ivr.moments import SECONDS
from ivr.options import HERE, Json, Limit, LineOption, as_written, known_line, looking_back, moments
from ivr.showing import Refused, out, show

if TYPE_CHECKING:
    from ivr.roster import Row

app = typer.Typer(
    help="Who is at work, on the phone, or away, and since when (座席).", no_args_is_help=False
)

StaffNumber = Annotated[str, typer.Argument(help="The agent's staff number.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]


@app.callback(invoke_without_command=True)
def agents(ctx: typer.Context, line: LineOption = None, as_json: Json = False) -> None:
    """Who is at work, on the phone, or away, and since when (座席). Lists all agents."""
    if ctx.invoked_subcommand is not None:
        return
    from ivr import roster

    known_line(line)
    rows = roster.listed(looking_back(), datetime.now(UTC), line)
    brief = [
        {
            "agent": row["staff_number"],
            "line": row["line"],
            "phone": row["phone"],
            "title": row["title"],
            "departments": row["departments"],
            "state": row["state"] + (f", then {row['after']}" if row["after"] else ""),
            "for": _length(row["seconds"]),
            "reason": row["reason"],
            "misses": row["misses"] or None,
            "call": row["call"],
        }
        for row in rows
    ]
    show(brief, as_json, "agents", whole=rows)


@app.command()
def ready(staff_number: StaffNumber, line: LineOption = None, reason: Reason = "") -> None:
    """This agent may be rung from now on (示闲)."""
    _set(staff_number, line, True, reason)


@app.command()
def busy(staff_number: StaffNumber, line: LineOption = None, reason: Reason = "") -> None:
    """This agent is not to be rung any more, once a call that lasts is over (示忙)."""
    _set(staff_number, line, False, reason)


@app.command()
def history(
    staff_number: Annotated[str | None, typer.Argument(help="Only this agent.")] = None,
    line: LineOption = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Who was ready, busy, rung, and why, the latest first (座席状态记录)."""
    from ivr import roster

    known_line(line)
    try:
        rows = roster.history(looking_back(), line, staff_number, limit)
    except roster.NoAgent as error:
        raise Refused(str(error)) from error
    times = moments()
    brief = [
        {
            "at": times(row["at"], row["line"] or line, SECONDS),
            "agent": row["staff_number"],
            "state": row["state"],
            "reason": row["reason"],
            "after": f"{_length(row['seconds'])} {row['before']}",
            "call": row["call"],
        }
        for row in rows
    ]
    show(brief, as_json, "changes of state", whole=rows, times=times)


def line(line: LineOption = None, as_json: Json = False) -> None:
    """Who waits for a person, how long, and at which place (排队)."""
    from ivr import hotlines, roster

    known_line(line)
    lines = as_written(lambda: hotlines.load(HERE.root).lines) or {}
    staff = {name: one.staff for name, one in lines.items()}
    rows = roster.waiting(looking_back(), datetime.now(UTC), staff, line)
    brief = [
        {
            "call or promise": row["call"] or row["promise"],
            "line": row["line"],
            "department": row["department"],
            "wants": row["wanted"],
            "waits": _length(row["seconds"]),
            "now": _now(row),
        }
        for row in rows
    ]
    show(brief, as_json, "callers in any line", whole=rows)


def _now(row: Row) -> str:
    """What becomes of one who waits, in words."""
    if row["rings"]:
        return f"{row['rings']} is rung"
    if row["ahead"] is not None:
        return f"{row['ahead']} ahead, about {row['minutes']} min"
    return "is to be called back" if row["kind"] == "callback" else "nobody is at work"


def _set(staff_number: str, line: str | None, is_ready: bool, reason: str) -> None:
    from ivr import roster
    from ivr.agents import Agents

    known_line(line)
    store = looking_back()
    try:
        phone = roster.phone(store, staff_number, line)
    except roster.NoAgent as error:
        raise Refused(str(error)) from error
    people = Agents(store, "command")
    change = people.set_ready if is_ready else people.set_busy
    state = change(phone, f"by command{': ' * bool(reason)}{reason}", datetime.now(UTC))
    wanted = "ready" if is_ready else "busy"
    later = "" if state == wanted else f" now, and {wanted} after this call"
    out.print(f"{staff_number} (phone {phone}) is {state}{later}", highlight=False)


def _length(seconds: float) -> str:
    """`0:04:10`, with days before it if there are any."""
    return str(timedelta(seconds=int(seconds)))
