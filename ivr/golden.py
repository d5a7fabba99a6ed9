"""Golden values of a scenario file: rewritten by the machine, read by people.

Rules this module keeps:

- Only the values asked for change; everything else stays byte for byte, comments too. The YAML
  reader says where a value stands, and the text is cut there.
- What is written reads back as the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from ivr.files import AMBIGUOUS

GOLDEN = ("hears", "record", "ends")

_PLAIN = re.compile(r"[^\W\d][\w.\-]*|[1-9]\d*|0")
_WORDS = AMBIGUOUS | {"yes", "no", "true", "false", "null"}


def update(
    path: Path,
    *,
    hears: Sequence[str] | None = None,
    record: Mapping[str, str] | None = None,
    ends: str | None = None,
) -> bool:
    """Rewrite the golden values that are given; all else stays byte for byte, comments too.

    A key that the file does not have yet is added at its end. Returns whether anything changed.
    """
    source = path.read_text(encoding="utf-8")
    wanted: dict[str, str] = {}
    if hears is not None:
        wanted["hears"] = _flow("hears: [", [_plain(name) for name in hears], "]")
    if record is not None:
        items = [f"{_plain(key)}: {_plain(value)}" for key, value in record.items()]
        wanted["record"] = _flow("record: {", items, "}")
    if ends is not None:
        wanted["ends"] = f"ends: {_plain(ends)}"
    document = YAML(typ="safe", pure=True).compose(source)
    assert isinstance(document, MappingNode)
    text = source
    # from the end backwards, so that the places of what is before stay right
    for key, value in reversed(document.value):
        new = wanted.pop(key.value, None)
        if new is not None:
            text = text[: key.start_mark.index] + new + text[_end(value) :]
    if wanted:
        text = text.rstrip("\n") + "\n"
        text += "".join(wanted[key] + "\n" for key in GOLDEN if key in wanted)
    if text != source:
        path.write_text(text, encoding="utf-8")
    return text != source


def _end(node: Node) -> int:
    """Where a value's text ends; a block's own end mark lies after the comments that follow."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _plain(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return dumps(text, ensure_ascii=False)


def _flow(opening: str, items: Sequence[str], closing: str, width: int = 100) -> str:
    """A list or mapping in flow style, broken before `width`."""
    lines = [opening]
    for number, item in enumerate(items):
        piece = item + (closing if number == len(items) - 1 else ",")
        room = width - len(lines[-1]) - 1
        if lines[-1] == opening:
            lines[-1] += piece
        elif len(piece) <= room:
            lines[-1] += " " + piece
        else:
            lines.append(" " * len(opening) + piece)
    return "\n".join(lines) if items else opening + closing
