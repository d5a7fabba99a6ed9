"""Pictures of the flows, drawn from the very tables that calls run on: what `sansheng draw` does.

Rules this module keeps:

- A picture shows a flow as one line runs it: its own wording, timing and keys.
- What is drawn is the compiled table (`ivr.flow.Flow`), never the file it came from.
- The layout is Graphviz's, by the wheel graphviz-pure, so that no system package is needed and
  the same flow gives the same picture everywhere; `dot` on the path serves where it is missing.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ivr import hotlines
from ivr.activity import Activity
from ivr.asking import Ask
from ivr.flow import Flow, Invoke, Line, State
from ivr.prompts import Library
from ivr.slots import SlotError

FORMATS = ("svg", "png", "dot")
FONT = "Arial"
"""The layout knows how wide its letters are."""
FONTS = "Arial, Helvetica, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
"""What a browser looks for, so that Chinese signs are found too."""
FONT_SIZE = 11
"""Points of the text in a box."""
WIDE = 15
"""Chinese characters in one line of a box."""
LINES = 3
"""Lines of spoken text in a box; the rest is left out."""

COLOURS = {
    "say": "#dcebfa",
    "ask": "#fdeecb",
    "collect": "#fdeecb",
    "ladder": "#fdeecb",
    "record": "#f9dcdc",
    "wait": "#e3f1dd",
    "listen": "#e3f1dd",
    "end": "#e4e4e4",
    "invoke": "#e8e0f4",
}
"""Fill of a box by what the state does."""


class CannotDraw(Exception):
    """The picture cannot be made; the message says why and what to do."""


def draw(root: Path, folder: Path, names: Sequence[str], line: str | None, kind: str) -> list[Path]:
    """Draw these flows (all if none is named) of this line (the first if none is named) into a
    folder; returns the files. Raises BadFile, CannotDraw."""
    loaded = hotlines.load(root)
    chosen = loaded.lines.get(line) if line else next(iter(loaded.lines.values()))
    if chosen is None:
        raise CannotDraw(f"there is no line '{line}': choose one of {', '.join(loaded.lines)}")
    if kind not in FORMATS:
        raise CannotDraw(f"'{kind}' is no format: choose one of {', '.join(FORMATS)}")
    for name in names:
        if name not in chosen.flows:
            known = ", ".join(sorted(chosen.flows))
            raise CannotDraw(f"there is no flow '{name}': choose one of {known}")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in names or sorted(chosen.flows):
        path = folder / f"{name}.{kind}"
        path.write_bytes(picture(dot(chosen.flows[name], chosen, loaded.library), kind))
        made.append(path)
    return made


def picture(text: str, kind: str) -> bytes:
    """A graph in the dot language as a picture. Raises CannotDraw."""
    if kind == "dot":
        return text.encode()
    beside = Path(sys.executable).parent / "graphviz-pure"
    program = str(beside) if beside.exists() else shutil.which("dot")
    if program is None:
        raise CannotDraw("there is neither graphviz-pure nor dot: run `make install`")
    done = subprocess.run(
        [program, f"-T{kind}"], input=text.encode(), capture_output=True, check=False
    )
    if done.returncode:
        raise CannotDraw(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")
    if kind == "svg":
        return done.stdout.replace(
            f'font-family="{FONT}"'.encode(), f'font-family="{FONTS}"'.encode()
        )
    return done.stdout


# ---------------------------------------------------------------- one flow


def dot(flow: Flow, line: Line, library: Library) -> str:
    """One flow in the dot language, as this line runs it."""
    rows = [
        f"digraph {_quoted(flow.name)} {{",
        f'  graph [rankdir=TB, nodesep=0.35, ranksep=0.45, fontname="{FONT}", fontsize=16,'
        f" labelloc=t, label={_quoted(_title(flow, line))}]",
        f'  node [shape=box, style="rounded,filled", fontname="{FONT}", fontsize={FONT_SIZE},'
        ' color="#5b6770", fillcolor="#ffffff", margin="0.12,0.08"]',
        f'  edge [fontname="{FONT}", fontsize=10, color="#5b6770", fontcolor="#333333",'
        " arrowsize=0.7]",
        '  "begin" [shape=circle, width=0.16, label="", fillcolor="#333333"]',
        f'  "begin" -> {_quoted(flow.initial)}',
    ]
    rows += [
        f"  {_quoted(state.name)} {_box(state, line, library)}" for state in flow.states.values()
    ]
    rows += [
        f"  {_quoted(source)} -> {_quoted(dest)} [label={_quoted(_indented(label))}]"
        for (source, dest), label in _ways(flow).items()
    ]
    return "\n".join([*rows, "}", ""])


def _title(flow: Flow, line: Line) -> str:
    return f"{flow.name}   ({line.name} {line.title})"


def _ways(flow: Flow) -> dict[tuple[str, str], str]:
    """What leads from one state to another, one label for each pair."""
    triggers: dict[tuple[str, str, str], list[str]] = {}
    for row in flow.transitions:
        guards = [*row.conditions, *(f"not {name}" for name in row.unless)]
        guard = f"[{' and '.join(guards)}]" if guards else ""
        triggers.setdefault((row.source, row.dest, guard), []).append(row.trigger)
    ways: dict[tuple[str, str], list[str]] = {}
    for (source, dest, guard), names in triggers.items():
        shown = [name for name in dict.fromkeys(names) if not (name == "next" and guard)]
        label = _in_lines(shown, 24)
        ways.setdefault((source, dest), []).append(" ".join(x for x in (label, guard) if x))
    return {pair: "\n".join(labels) for pair, labels in ways.items()}


def _box(state: State, line: Line, library: Library) -> str:
    """The attributes of a state's box."""
    kind, details = _doing(state)
    said = _said(state, line, library)
    if state.final:
        look = 'style="filled", peripheries=2, fillcolor="#f5f5f5"'
        return f"[label={_quoted(state.name)}, {look}]"
    rows = [f"{state.name}  ·  {kind}" if kind else state.name, *details, *said]
    fill = COLOURS.get(kind.split()[0], "#ffffff")
    width = max(map(_width, rows))
    label = _quoted("\n".join(rows))
    return f"[label={label}, fillcolor={_quoted(fill)}, width={width:.2f}]"


def _width(text: str) -> float:
    """Inches that a row of a box needs; the layout knows no Chinese font."""
    points = sum(FONT_SIZE if ord(sign) > 0x2000 else FONT_SIZE * 0.58 for sign in text)
    return (points + 24) / 72


def _indented(label: str) -> str:
    """A label a little away from its line."""
    return "\n".join(f"  {row}  " for row in label.split("\n"))


def _doing(state: State) -> tuple[str, list[str]]:
    """What a state does, and the settings worth a look."""
    if isinstance(state.invoke, Invoke):
        return "invoke", [f"→ flow {state.invoke.flow}"]
    activity = state.activity
    if activity is None:
        return "", []
    details = []
    if isinstance(activity, Ask):
        keys = [f"{key} {choice.trigger}" for key, choice in activity.keys]
        details = _in_lines(keys, 34).split("\n") if keys else []
    for name, unit in (("pause", "s"), ("every", "s"), ("limit", "s"), ("quiet", "s")):
        value = getattr(activity, name, None)
        if isinstance(value, float) and value:
            details.append(f"{name} {value:g} {unit}")
    return activity.name, details


def _said(state: State, line: Line, library: Library) -> list[str]:
    """What the caller hears in a state, cut to a few lines, and how long each pause is."""
    if state.activity is None:
        return []
    steps = getattr(state.activity, "steps", None)
    if steps is None:
        return [row for name in _prompts(state.activity) for row in _text(name, line, library)]
    said: list[str] = []
    for step in steps:
        said += _text(step.say, line, library)
        said += [f"pause {step.pause:g} s"] if step.pause else []
    return said


def _text(name: str, line: Line, library: Library) -> list[str]:
    """The words of a prompt in lines; a name that depends on the call stays a name."""
    if "{" in name:
        return [name]
    try:
        return _wrapped(library.text(line.name, name, _examples(library, line, name)))
    except (KeyError, SlotError):
        return [name]


def _prompts(activity: Activity) -> list[str]:
    """The prompts of an activity, the hints for keys left out."""
    return [name for name in activity.prompts() if name and not name.startswith("hint.")][:3]


def _examples(library: Library, line: Line, name: str) -> Mapping[str, str]:
    examples = {"digits": "8000", "count": "2", "time": "10:00", "date": "11-23", "addressee": ""}
    return {slot: examples.get(kind, "") for slot, kind in library.slots(line.name, name).items()}


def _wrapped(text: str) -> list[str]:
    """A text in lines of about the same length, cut to a few."""
    wide = max(8, math.ceil(len(text) / max(1, math.ceil(len(text) / WIDE))))
    rows = [text[at : at + wide] for at in range(0, len(text), wide)]
    return rows if len(rows) <= LINES else [*rows[: LINES - 1], rows[LINES - 1][:-1] + "…"]


def _in_lines(names: Sequence[str], width: int) -> str:
    """Names with commas, in lines of about so many characters."""
    rows = [""]
    for place, name in enumerate(names):
        word = name + (", " if place < len(names) - 1 else "")
        if rows[-1] and len(rows[-1]) + len(word) > width:
            rows.append("")
        rows[-1] += word
    return "\n".join(row.strip() for row in rows)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
