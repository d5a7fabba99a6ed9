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

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ivr import (
    agent_commands,
    call_commands,
    erase_commands,
    explore_command,
    line_commands,
    logs,
    offender_command,
    place,
    promise_commands,
    quality_commands,
    ticket_commands,
)
from ivr.document import BadFile
from ivr.options import HERE, Json
from ivr.showing import Refused, err, out, show
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
    sip_port: Annotated[int, typer.Option(min=1, max=65535, help="SIP (UDP) on 127.0.0.1.")] = 5060,
    agi_port: Annotated[int, typer.Option(min=1, max=65535, help="The service (TCP).")] = 4573,
    manager_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Asterisk's manager (TCP).")
    ] = 5038,
    rtp_port: Annotated[
        int, typer.Option(min=1024, max=64000, help="First of 1000 ports for sound.")
    ] = 20000,
    once: Annotated[bool, typer.Option("--once", help="Prove that it works, then stop.")] = False,
) -> None:
    """Set everything up on this machine, prove it with a call, take calls until Ctrl-C (运行)."""
    from ivr import run as whole
    from ivr.obstacles import CannotRun

    ports = {"sip": sip_port, "agi": agi_port, "manager": manager_port, "rtp": rtp_port}
    try:
        whole.run(whole.Wishes(HERE.root, HERE.database, once=once, **ports), out)
    except CannotRun as error:
        raise Refused(str(error)) from error


@app.command()
def serve(
    agi: Annotated[str, typer.Option(help="Where to listen for Asterisk.")] = "127.0.0.1:4573",
    manager: Annotated[str, typer.Option(help="HOST:PORT of AMI, or none.")] = "127.0.0.1:5038",
    most: Annotated[int, typer.Option(min=1, help="Calls at once, at most.")] = 2000,
) -> None:
    """Take calls from Asterisk until told to stop (服务)."""
    from ivr import serve as service
    from ivr.settings import settings_from

    as_json = not sys.stderr.isatty()
    logs.configure(level=os.environ.get("SANSHENG_LOG", "info"), as_json=as_json)
    try:
        service.run(settings_from(HERE.root, HERE.database, agi, manager, most, os.environ))
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
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Our own port (UDP); any free one.")
    ] = 0,
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

app.command()(call_commands.live)
app.command()(call_commands.hangup)
app.command()(call_commands.maintenance)
app.command()(call_commands.reload)
app.command()(call_commands.calls)
app.command()(call_commands.journal)
app.command()(call_commands.replay)
app.command()(call_commands.messages)
app.command()(quality_commands.quality)

# ---------------------------------------------------------------- lines, texts, flows

app.command()(line_commands.lines)
app.command()(line_commands.prompts)
app.command("install-sounds")(line_commands.install_sounds)
app.command()(line_commands.dialplan)
app.command()(line_commands.check)
app.command()(line_commands.draw)

# ---------------------------------------------------------------- scenarios


@app.command()
def simulate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files or folders.")],
    update: Annotated[bool, typer.Option("--update", help="Rewrite the golden values.")] = False,
    wire: Annotated[bool, typer.Option("--wire", help="Over a fake Asterisk.")] = False,
    script: Annotated[bool, typer.Option("--script", help="Tell the call as it goes.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to share the calls.")] = 1,
    times: Annotated[int, typer.Option(min=1, help="Run each scenario so often.")] = 1,
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
app.command()(offender_command.offenders)
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
