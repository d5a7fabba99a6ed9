"""The commands about a service and its calls: those that are up, that were, and what they left.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- What is up is asked of the service that runs; what was is read from the database, also while no
  service runs.
- Numbers are masked, but those that callers left are whole in `--json`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ivr import place
from ivr.options import HERE, Json, Limit, LineOption, known_line, looking_back, moments
from ivr.showing import Refused, complain, err, not_reloaded, one_of, out, show


def live(as_json: Json = False) -> None:
    """The calls that are up now (通话中)."""
    from ivr import listing

    rows = _asked({"ask": "live"})
    show(listing.live_brief(rows), as_json, "calls", whole=rows)
    files = _asked({"ask": "files"})
    if files.get("problems"):
        err.print(not_reloaded(files), style="yellow", markup=False)


def reload() -> None:
    """Let the service read lines, flows and texts again; exit code 1 if it could not (重载)."""
    answer = _asked({"ask": "reload"})
    if "problems" not in answer:
        raise Refused("the service that runs is of an older version: start it anew")
    good = f"reloaded, new calls get it: {', '.join(answer['lines'])}"
    if answer["problems"]:
        err.print("nothing was reloaded, new calls get the lines as they were:", style="red")
    complain(answer["problems"], good)


def hangup(call: Annotated[str, typer.Argument(help="The call's id, from `live`.")]) -> None:
    """Say goodbye to a caller and end the call (挂断)."""
    if not _asked({"ask": "hangup", "call": call})["ended"]:
        raise Refused(f"no call {call} is up: `sansheng live` lists them")
    out.print("the caller is told goodbye, then the call ends")


def maintenance(
    state: Annotated[str, typer.Argument(help="on or off; neither shows what is so.")] = "",
    line: Annotated[str, typer.Argument(help="A line; all if none is given.")] = "",
) -> None:
    """Let new calls hear the maintenance apology, or take them again (维护)."""
    if state not in ("", "on", "off"):
        raise Refused(f"'{state}' is neither on nor off: `sansheng maintenance on LINE`")
    known_line(line or None)
    request: dict[str, Any] = {"ask": "maintenance"}
    if state:
        request |= {"on": state == "on", "lines": [line] if line else []}
    answer = _asked(request)
    out.print(f"under maintenance: {', '.join(answer['maintenance']) or 'no line'}")


def _asked(request: dict[str, Any]) -> Any:
    """The service's first answer. Raises Refused."""
    from ivr import control

    try:
        return asyncio.run(place.asked(HERE.root, request))
    except control.NoService as error:
        raise Refused(str(error)) from error


def calls(line: LineOption = None, limit: Limit = 100, as_json: Json = False) -> None:
    """Calls, the latest first (通话记录)."""
    from ivr import listing

    known_line(line)
    rows = listing.calls(looking_back(), line, limit)
    times = moments()
    show(listing.calls_brief(rows, times), as_json, "calls", whole=rows, times=times)


def journal(
    call: Annotated[str, typer.Argument(help="The call's id, from `calls`.")], as_json: Json = False
) -> None:
    """Everything that happened in one call, numbers masked (流水)."""
    from ivr import listing

    try:
        show(listing.journal(looking_back(), call), as_json, "entries")
    except listing.NoCall as error:
        raise Refused(str(error)) from error


def replay(call: Annotated[str, typer.Argument(help="The call's id, from `calls`.")]) -> None:
    """Would the machine do the same again, byte for byte? (重放)"""
    from ivr import listing

    try:
        done = listing.replayed(looking_back(), call)
    except listing.NoCall as error:
        raise Refused(str(error)) from error
    if done.difference is not None:
        out.print(f"[red]different[/] at {done.difference}", highlight=False)
        raise typer.Exit(1)
    cut = ", and the journal breaks off there" if done.cut else ""
    out.print(f"the same: {done.events} events, {done.actions} actions{cut}")


def messages(
    line: LineOption = None,
    state: Annotated[str | None, typer.Option(help="new, taken or done.")] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """What callers left; numbers are whole in --json only (留言)."""
    from ivr import listing
    from ivr.messages import STATES

    known_line(line)
    if state is not None:
        one_of(state, STATES, "state")
    rows = listing.left(looking_back(), line, state, limit)
    times = moments()
    show(listing.left_masked(rows, times), as_json, "messages", whole=rows, times=times)
