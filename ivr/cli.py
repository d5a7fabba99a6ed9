"""The command `sansheng`: what ops and testers type.

Rules this module keeps:

- A command only reads its options, calls one module and shows the result; no logic lives here.
- Whatever can be read by a program is also printed as JSON (`--json`).
- `--root` and `--database` may stand before or after the command's name.
- A mistake of the person at the keyboard is answered with a sentence and exit code 2; a check
  that fails ends with exit code 1.
- Modules are loaded when a command needs them: `--help` must not wait for sound libraries.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ivr import (
    agent_commands,
    erase_commands,
    explore_command,
    logs,
    place,
    promise_commands,
    ticket_commands,
)
from ivr.document import BadFile
from ivr.options import HERE, Json, Limit, LineOption, known_line, looking_back
from ivr.showing import Refused, complain, err, one_of, out, show
from ivr.store import StorageFailed

app = typer.Typer(
    name="sansheng",
    help="A hotline engine for Asterisk (三声).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


GLOBAL = ("--root", "--database")
"""Options of every command, wherever they stand."""


@app.callback()
def where(
    root: Annotated[
        Path | None, typer.Option(help="Data root with flows, prompts and asterisk.")
    ] = None,
    database: Annotated[str, typer.Option(help="Database, as SQLAlchemy writes it.")] = "",
) -> None:
    """Where things are; also read from SANSHENG_ROOT and SANSHENG_DATABASE."""
    logs.configure(level=os.environ.get("SANSHENG_LOG", "warning"))
    HERE.root = (root or Path(os.environ.get("SANSHENG_ROOT") or place.checkout())).absolute()
    if not (HERE.root / "flows").is_dir():
        raise Refused(f"there are no flows under {HERE.root}: give the data root with --root")
    default = place.database(HERE.root)
    HERE.database = database or os.environ.get("SANSHENG_DATABASE") or default


# ---------------------------------------------------------------- the service


@app.command()
def run(
    sip_port: Annotated[int, typer.Option(help="SIP (UDP) on 127.0.0.1.")] = 5060,
    agi_port: Annotated[int, typer.Option(help="The service (TCP).")] = 4573,
    manager_port: Annotated[int, typer.Option(help="Asterisk's manager (TCP).")] = 5038,
    rtp_port: Annotated[int, typer.Option(help="First of 1000 ports for sound (UDP).")] = 20000,
    once: Annotated[bool, typer.Option("--once", help="Prove that it works, then stop.")] = False,
) -> None:
    """Set everything up on this machine, prove it with a call, take calls until Ctrl-C (运行)."""
    from ivr import run as whole

    ports = {"sip": sip_port, "agi": agi_port, "manager": manager_port, "rtp": rtp_port}
    try:
        whole.run(whole.Wishes(HERE.root, HERE.database, once=once, **ports), out)
    except whole.CannotRun as error:
        raise Refused(str(error)) from error


@app.command()
def serve(
    agi: Annotated[str, typer.Option(help="Where to listen for Asterisk.")] = "127.0.0.1:4573",
    manager: Annotated[str, typer.Option(help="HOST:PORT of AMI, or none.")] = "127.0.0.1:5038",
    most: Annotated[int, typer.Option(help="Calls at once, at most.")] = 2000,
) -> None:
    """Take calls from Asterisk until told to stop (服务)."""
    from ivr import serve as service

    as_json = not sys.stderr.isatty()
    logs.configure(level=os.environ.get("SANSHENG_LOG", "info"), as_json=as_json)
    try:
        service.run(service.settings_from(HERE.root, HERE.database, agi, manager, most, os.environ))
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error


@app.command()
def call(
    line: Annotated[str, typer.Argument(help="A line's name or a number.")],
    server: Annotated[str, typer.Option(help="HOST:PORT of SIP; default: `sansheng run`.")] = "",
    caller: Annotated[str, typer.Option(help="The caller's number.")] = "",
    keys: Annotated[str, typer.Option(help="Press these by itself: '..2#sh', . waits 1 s.")] = "",
    fake: Annotated[bool, typer.Option("--fake", help="Over a fake Asterisk.")] = False,
    wav: Annotated[Path | None, typer.Option(help="Where the audio heard goes.")] = None,
    withheld: Annotated[bool, typer.Option("--withheld", help="Show no number.")] = False,
) -> None:
    """A telephone in the terminal: 0-9 * # are keys, s speaks, h hangs up (电话)."""
    from ivr import terminal

    wish = terminal.Wish(HERE.root, line, server, caller, keys, wav, withheld)
    try:
        ended = terminal.fake(wish, out) if fake else terminal.real(wish, out)
    except terminal.CannotCall as error:
        raise Refused(str(error)) from error
    raise typer.Exit(0 if ended else 1)


@app.command()
def phone(
    agent: Annotated[str, typer.Argument(help="An agent's phone, or staff number.")],
    server: Annotated[str, typer.Option(help="HOST:PORT of SIP; default: `sansheng run`.")] = "",
    keys: Annotated[str, typer.Option(help="Press by itself: 'ra..1', r waits for a ring.")] = "",
    port: Annotated[int, typer.Option(help="Our own port (UDP); any free one.")] = 0,
) -> None:
    """An agent's telephone in the terminal: Enter picks up, 1 accepts, q leaves (座席话机)."""
    from ivr import agent_phone, terminal

    try:
        agent_phone.run(agent_phone.Wish(HERE.root, agent, server, keys, port), out)
    except terminal.CannotCall as error:
        raise Refused(str(error)) from error


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check that everything a line needs is there, and say how to mend it (体检)."""
    from ivr import doctor as doctor_

    findings = doctor_.examine(HERE.root, HERE.database, os.environ)
    if as_json:
        show([], True, whole=[one.row() for one in findings])
    else:
        for one in findings:
            out.print(one.sentence(), highlight=False, soft_wrap=True)
    raise typer.Exit(1 if any(one.state == "wrong" for one in findings) else 0)


# ---------------------------------------------------------------- what is going on


@app.command()
def live(as_json: Json = False) -> None:
    """The calls that are up now (通话中)."""
    from ivr import listing

    rows = _asked({"ask": "live"})
    show(listing.live_brief(rows), as_json, "calls", whole=rows)


@app.command()
def hangup(call: Annotated[str, typer.Argument(help="The call's id, from `live`.")]) -> None:
    """Say goodbye to a caller and end the call (挂断)."""
    if not _asked({"ask": "hangup", "call": call})["ended"]:
        raise Refused(f"no call {call} is up: `sansheng live` lists them")
    out.print("the caller is told goodbye, then the call ends")


@app.command()
def maintenance(
    state: Annotated[str, typer.Argument(help="on or off")],
    line: Annotated[str, typer.Argument(help="A line; all if none is given.")] = "",
) -> None:
    """Let new calls hear the maintenance apology, or take them again (维护)."""
    if state not in ("on", "off"):
        raise Refused(f"'{state}' is neither on nor off")
    known_line(line or None)
    request = {"ask": "maintenance", "on": state == "on", "lines": [line] if line else []}
    answer = _asked(request)
    out.print(f"under maintenance: {', '.join(answer['maintenance']) or 'no line'}")


def _asked(request: dict[str, Any]) -> Any:
    """The service's first answer. Raises Refused."""
    from ivr import control

    try:
        return asyncio.run(place.asked(HERE.root, request))
    except control.NoService as error:
        raise Refused(str(error)) from error


@app.command()
def calls(line: LineOption = None, limit: Limit = 100, as_json: Json = False) -> None:
    """Calls, the latest first (通话记录)."""
    from ivr import listing

    known_line(line)
    rows = listing.calls(looking_back(), line, limit)
    show(listing.calls_brief(rows), as_json, "calls", whole=rows)


@app.command()
def journal(
    call: Annotated[str, typer.Argument(help="The call's id, from `calls`.")], as_json: Json = False
) -> None:
    """Everything that happened in one call, numbers masked (流水)."""
    from ivr import listing

    try:
        show(listing.journal(looking_back(), call), as_json, "entries")
    except listing.NoCall as error:
        raise Refused(str(error)) from error


@app.command()
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


@app.command()
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
    show(listing.left_masked(rows), as_json, "messages", whole=rows)


# ---------------------------------------------------------------- lines, texts, flows


@app.command()
def lines(as_json: Json = False) -> None:
    """The lines, their numbers and their versions (热线)."""
    from ivr import listing

    rows = listing.lines(HERE.root)
    show(listing.lines_brief(rows), as_json, "lines", whole=rows)


@app.command()
def prompts(line: LineOption = None, as_json: Json = False) -> None:
    """What the lines say, and the file Asterisk plays for it (提示音)."""
    from ivr import listing

    known_line(line, "common")
    rows = listing.prompts(HERE.root, place.sounds(HERE.root), line or "")
    brief = [{k: row[k] for k in ("id", "text", "seconds", "recorded")} for row in rows]
    show(brief, as_json, "prompts", whole=rows)


@app.command("install-sounds")
def install_sounds(
    folder: Annotated[Path, typer.Argument(help="The sounds folder, e.g. of another host.")],
) -> None:
    """Write every prompt in the formats Asterisk plays (安装提示音)."""
    from ivr import masters
    from ivr.speech import EngineMissing

    try:
        report = masters.prepare(HERE.root, folder.absolute())
    except (OSError, masters.BuildRuns, EngineMissing) as error:
        raise Refused(str(error)) from error
    out.print(
        f"{len(report.made)} written, {report.kept} were there, {len(report.missing)} missing"
    )
    raise typer.Exit(1 if report.missing or report.failed else 0)


@app.command()
def dialplan(
    agi: Annotated[str, typer.Option(help="The service, as Asterisk calls it.")] = "127.0.0.1:4573",
    into: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
    lint: Annotated[bool, typer.Option("--lint", help="Only judge it.")] = False,
    features: Annotated[bool, typer.Option("--features", help="What features.conf needs.")] = False,
) -> None:
    """The dialplan of these lines, to be included in an Asterisk (拨号方案)."""
    from ivr import dialplan as writer
    from ivr import hotlines, plan

    root = HERE.root
    places = {"sounds": place.sounds(root), "spool": place.spool(root)}
    try:
        lines = hotlines.load(root)
        text = plan.text(lines, agi=agi, root=root, **places)
        complaints = plan.lint(text, root) if lint else []
        if features:
            text = writer.features(plan.lines(lines))
        if into is not None:
            into.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error
    if lint:
        complain(complaints, "the dialplan is clean")
    elif into is None:
        sys.stdout.write(text)


@app.command()
def check() -> None:
    """Check every flow, line and text; one line a problem (检查)."""
    from ivr import checking

    complain(checking.everything(HERE.root), "no problems")


@app.command()
def draw(
    flows: Annotated[list[str] | None, typer.Argument(help="Flows; all if none is given.")] = None,
    line: Annotated[str | None, typer.Option("--line", help="As this line runs them.")] = None,
    into: Annotated[Path | None, typer.Option(help="Folder for the pictures.")] = None,
    kind: Annotated[str, typer.Option("--format", help="svg, png or dot.")] = "svg",
) -> None:
    """A picture of every flow, from the table that calls run on (流程图)."""
    from ivr import draw as drawing

    folder = into or HERE.root / "var/pictures"
    try:
        for path in drawing.draw(HERE.root, folder, flows or [], line, kind):
            out.print(str(path), highlight=False, soft_wrap=True)
    except drawing.CannotDraw as error:
        raise Refused(str(error)) from error


# ---------------------------------------------------------------- scenarios


@app.command()
def simulate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files or folders.")],
    update: Annotated[bool, typer.Option("--update", help="Rewrite the golden values.")] = False,
    wire: Annotated[bool, typer.Option("--wire", help="Over a fake Asterisk.")] = False,
    script: Annotated[bool, typer.Option("--script", help="Tell the call as it goes.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes to share the calls.")] = 1,
    times: Annotated[int, typer.Option(help="Run each scenario so often.")] = 1,
) -> None:
    """Run scenarios in virtual time and compare them with their golden values (情景)."""
    from ivr import rehearsals

    wrong = rehearsals.run(
        HERE.root,
        files,
        update=update,
        wire=wire,
        script=script,
        jobs=jobs,
        times=times,
        out=out,
    )
    raise typer.Exit(1 if wrong else 0)


# ---------------------------------------------------------------- people and tickets

app.add_typer(agent_commands.app, name="agents")
app.command()(agent_commands.line)

app.add_typer(ticket_commands.app, name="tickets")
app.command()(ticket_commands.offenders)
app.add_typer(promise_commands.app, name="promises")

# ---------------------------------------------------------------- what is not kept for ever

app.command()(erase_commands.erase)
app.command()(erase_commands.erasures)
app.command()(erase_commands.retention)

# ---------------------------------------------------------------- proofs

app.command()(explore_command.explore)


def hoisted(words: Sequence[str]) -> list[str]:
    """The arguments with the options of every command put first, wherever they stood."""
    first: list[str] = []
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        if word in GLOBAL and left:
            first += [word, left.pop(0)]
        elif word.startswith(tuple(f"{name}=" for name in GLOBAL)):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def main(words: Sequence[str] | None = None) -> None:
    """The entry point. A bad file is told by line, anything else we know in one sentence."""
    try:
        app(args=hoisted(sys.argv[1:] if words is None else words))
    except (Refused, StorageFailed) as error:
        err.print(str(error), style="red", markup=False)
        raise SystemExit(2) from None
    except BadFile as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
