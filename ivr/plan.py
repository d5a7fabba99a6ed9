"""The dialplan that these hotlines need: what `sansheng dialplan` writes and `make run` loads.

Rules this module keeps:

- What the dialplan plays is a line's own recorded text; a line without one of the four texts, or
  with one that is assembled from parts, cannot be put into a dialplan and says so.
- `lint` judges the text as asterisklint does, without an Asterisk.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from ivr import dialplan
from ivr.flow import Line
from ivr.hotlines import Hotlines

SORRY, LEAVE, KEPT = "maintenance.line", "maintenance.leave_message", "maintenance.kept"
GOODBYE = "closing.goodbye"
"""Names of the texts that a line must have for the time when the service is away."""


def lines(hotlines: Hotlines, carrier: str = "") -> tuple[dialplan.Line, ...]:
    """Every hotline as the dialplan needs it. `carrier` is the endpoint by which calls go out,
    where a line has none of its own. Raises ValueError with a sentence."""

    def prompt(line: str, name: str) -> str:
        paths = hotlines.library.recorded(line, name)
        if len(paths) != 1 or paths[0] is None:
            raise ValueError(
                f"the text '{name}' of line '{line}' must be one recording, "
                "as Asterisk plays it alone: take its slots out"
            )
        return paths[0]

    return tuple(
        dialplan.Line(
            line.name,
            tuple(line.numbers),
            sorry=prompt(line.name, SORRY),
            leave=prompt(line.name, LEAVE),
            kept=prompt(line.name, KEPT),
            goodbye=prompt(line.name, GOODBYE),
            language=line.language,
            features=codes(line),
            through=hotlines.callbacks[line.name].through or carrier,
            shows=hotlines.callbacks[line.name].shows,
        )
        for line in hotlines.lines.values()
    )


def codes(line: Line) -> tuple[tuple[str, str], ...]:
    """What an agent of this line may press in a conversation, by name."""
    return tuple((one.name, one.code) for one in line.staff.features.values())


def phones(hotlines: Hotlines) -> tuple[str, ...]:
    """The phones of our own people, of all lines."""
    staff = (line.staff.agents.values() for line in hotlines.lines.values())
    return tuple(sorted({agent.phone for agents in staff for agent in agents}))


def text(
    hotlines: Hotlines, *, agi: str, sounds: Path, spool: Path, root: Path, carrier: str = ""
) -> str:
    """The dialplan of all lines. `sounds` and `spool` are as Asterisk calls them; `carrier` is as
    in `lines`.

    Raises ValueError with a sentence.
    """
    written = lines(hotlines, carrier)
    return dialplan.generate(written, agi=agi, sounds=sounds, spool=spool, root=root)


def lint(plan: str, root: Path) -> list[str]:
    """What asterisklint has to say of this dialplan as our own Asterisk loads it, a line each;
    empty if nothing. Raises FileNotFoundError where asterisklint is not installed."""
    program = Path(sys.executable).parent / "asterisklint"
    outer = (root / "asterisk/standalone/extensions.conf").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "extensions.conf"
        file.write_text(dialplan.fill(outer, {"etc": folder}), encoding="utf-8")
        (Path(folder) / "sansheng.conf").write_text(plan, encoding="utf-8")
        done = subprocess.run(
            [str(program), "dialplan-check", str(file)], capture_output=True, text=True, check=False
        )
    said = [line.replace(f"{folder}/", "") for line in (done.stdout + done.stderr).splitlines()]
    if done.returncode and not said:
        said = [f"asterisklint ended with code {done.returncode}"]
    return [line for line in said if line.strip()]
