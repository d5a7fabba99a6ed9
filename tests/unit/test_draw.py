"""Pictures of flows: everything that is in the table is in the picture, and it can be drawn."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ivr.draw import CannotDraw, _quoted, dot, draw, picture
from ivr.flow import Flow
from ivr.hotlines import Hotlines


def arrows(text: str) -> set[tuple[str, str]]:
    """The pairs of states that a graph joins."""
    return set(re.findall(r'^  "(\w+)" -> "(\w+)" \[', text, re.MULTILINE))


def in_the_machine(flow: Flow) -> set[tuple[str, str]]:
    """The pairs of states that the loaded machine joins."""
    return {
        (source, transition.dest)
        for event in flow.machine.events.values()
        for source, transitions in event.transitions.items()
        for transition in transitions
    }


def test_a_picture_shows_exactly_the_transitions_of_the_loaded_machine(lines: Hotlines) -> None:
    for line in lines.lines.values():
        for flow in line.flows.values():
            assert arrows(dot(flow, line, lines.library)) == in_the_machine(flow)


def test_a_picture_shows_every_state_and_every_trigger(lines: Hotlines) -> None:
    line = lines.lines["ems"]
    for flow in line.flows.values():
        text = dot(flow, line, lines.library)
        boxes = set(re.findall(r'^  "(\w+)" \[', text, re.MULTILINE))
        assert boxes == set(flow.states) | {"begin"}
        labels = " ".join(re.findall(r'label="([^"]*)"', text)).replace("\\n", " ")
        triggers = {row.trigger for row in flow.transitions} - {"next"}
        assert triggers <= set(re.findall(r"\w+", labels))


def test_a_picture_speaks_as_its_line_speaks(lines: Hotlines) -> None:
    text = dot(lines.lines["xjca"].flows["opening"], lines.lines["xjca"], lines.library)
    assert "pause 2 s" in text
    assert "pause 0.5 s" in text
    assert "您好,请问可以" in text


def test_every_flow_becomes_an_svg(root: Path, tmp_path: Path, lines: Hotlines) -> None:
    made = draw(root, tmp_path, [], None, "svg")
    assert [path.stem for path in made] == sorted(lines.lines["ems"].flows)
    for path in made:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_png_is_drawn_too(lines: Hotlines) -> None:
    line = lines.lines["ems"]
    assert picture(dot(line.flows["hold"], line, lines.library), "png").startswith(b"\x89PNG")


def test_what_a_text_holds_cannot_break_the_graph() -> None:
    drawn = picture(f"digraph x {{ a [label={_quoted(chr(34) + '];} //' + chr(92))}] }}", "svg")
    assert b"];} //" in drawn


def test_the_pictures_in_the_docs_are_of_today(root: Path, tmp_path: Path) -> None:
    for path in draw(root, tmp_path, ["opening", "hold", "call"], "xjca", "svg"):
        assert path.read_bytes() == (root / "docs/pictures" / path.name).read_bytes(), (
            f"{path.name} has changed: run `make pictures`"
        )


def test_a_format_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotDraw, match="'gif' is no format: choose one of svg, png, dot"):
        draw(root, tmp_path, [], None, "gif")
