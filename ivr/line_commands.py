"""The commands about lines: what they are, what they say, and what Asterisk is given of them.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- They need no service and no database: they read the files of the data root.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ivr import place
from ivr.options import HERE, Json, LineOption, known_line
from ivr.showing import Refused, complain, out, show, unusable


def lines(as_json: Json = False) -> None:
    """The lines, their numbers and their versions (热线)."""
    from ivr import listing

    rows = listing.lines(HERE.root)
    show(listing.lines_brief(rows), as_json, "lines", whole=rows)


def prompts(line: LineOption = None, as_json: Json = False) -> None:
    """What the lines say, and the file Asterisk plays for it (提示音)."""
    from ivr import listing

    known_line(line, "common")
    rows = listing.prompts(HERE.root, place.sounds(HERE.root), line or "")
    brief = [{k: row[k] for k in ("id", "text", "seconds", "recorded")} for row in rows]
    show(brief, as_json, "prompts", whole=rows)


def install_sounds(
    folder: Annotated[Path, typer.Argument(help="The sounds folder, e.g. of another host.")],
) -> None:
    """Write every prompt in the formats Asterisk plays (安装提示音)."""
    from ivr import masters
    from ivr.speech import EngineMissing

    try:
        report = masters.prepare(HERE.root, folder.absolute())
    except OSError as error:
        raise Refused(f"nothing is written: {unusable(error)}") from error
    except (masters.BuildRuns, EngineMissing) as error:
        raise Refused(str(error)) from error
    out.print(
        f"{len(report.made)} written, {report.kept} were there, {len(report.missing)} missing"
    )
    raise typer.Exit(1 if report.missing or report.failed else 0)


def dialplan(
    agi: Annotated[str, typer.Option(help="The service, as Asterisk calls it.")] = "127.0.0.1:4573",
    into: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
    lint: Annotated[bool, typer.Option("--lint", help="Only judge it.")] = False,
    features: Annotated[bool, typer.Option("--features", help="What features.conf needs.")] = False,
    carrier: Annotated[
        str, typer.Option(envvar="SANSHENG_CARRIER", help="The endpoint that calls go out by.")
    ] = "",
) -> None:
    """The dialplan of these lines, to be included in an Asterisk (拨号方案)."""
    from ivr import dialplan as writer
    from ivr import hotlines, plan

    root = HERE.root
    places = {"sounds": place.sounds(root), "spool": place.spool(root)}
    try:
        lines = hotlines.load(root)
        text = plan.text(lines, agi=agi, root=root, carrier=carrier, **places)
        complaints = _lint(text, root) if lint else []
        if features:
            text = writer.features(plan.lines(lines))
        if into is not None:
            into.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"nothing is written: {unusable(error)}") from error
    except ValueError as error:
        raise Refused(str(error)) from error
    if lint:
        complain(complaints, "the dialplan is clean")
    elif into is None:
        sys.stdout.write(text)


def _lint(text: str, root: Path) -> list[str]:
    from ivr import plan

    try:
        return plan.lint(text, root)
    except FileNotFoundError as error:
        raise Refused("asterisklint, which judges it, is not installed: make install") from error


def check() -> None:
    """Check every flow, line and text; one line a problem (检查)."""
    from ivr import checking

    complain(checking.everything(HERE.root), "no problems")


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
