"""The command `sansheng explore`: every order of events on a line, tried.

Rules this module keeps:

- The rules of `ivr.cli`: it reads its options, calls one module and shows the result.
- What is found wrong is shown as the whole way there, and the command fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivr.options import HERE
from ivr.showing import Refused, err, one_of, out, progress

LineName = Annotated[str, typer.Argument(help="A line's name; all of them if not given.")]
FlowName = Annotated[str, typer.Argument(help="Where to begin, such as 'advice > transfer'.")]
Depth = Annotated[int, typer.Option(min=0, help="Events deep at most; 0 for no limit.")]
Most = Annotated[int, typer.Option(min=1, help="States at most.")]
Calls = Annotated[int, typer.Option(min=1, max=4, help="Kinds of calls: number known, open.")]
Plain = Annotated[bool, typer.Option("--plain", help="Things that come to the same only once.")]
Watched = Annotated[bool, typer.Option("--watched", help="Also by the rules of good manners.")]


def explore(
    line: LineName = "",
    flow: FlowName = "",
    depth: Depth = 0,
    most: Most = 1_000_000,
    calls: Calls = 1,
    plain: Plain = False,
    watched: Watched = False,
    write: Annotated[Path | None, typer.Option(help="Write the table there.")] = None,
) -> None:
    """Try every order in which things may happen to a call, and say what is wrong (穷举)."""
    from ivr import exploring, hotlines
    from ivr.explore import NotReached

    lines = hotlines.load(HERE.root).lines
    names = [one_of(line, lines, "line")] if line else list(lines)
    asked = exploring.Wish(flow, depth, most, calls, plain, watched)
    found = []
    for name in names:
        for wish in exploring.wishes(flow, asked):
            try:
                one = exploring.run(lines[name], wish, progress)
            except NotReached as error:
                raise Refused(str(error)) from error
            progress("")
            found.append(one)
            out.print(f"{name}, {one.told()}", markup=False, highlight=False, soft_wrap=True)
            if one.exploration.violation is not None:
                err.print(str(one.exploration.violation), style="red", markup=False)
    if write is not None:
        exploring.write(write, found)
    raise typer.Exit(1 if any(one.exploration.violation for one in found) else 0)
