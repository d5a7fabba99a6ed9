"""Reads the YAML that people write: every value knows its file and line.

Rules this module keeps:

- Every scalar is text. What a value means (a length, a number, yes or no) is decided by whoever
  asks for it, so that `on`, `no` and `1e3` are never anything but what was written.
- A problem in a file reads `flows/hold.yaml:31 F204 sentence: fix`. Problems are collected,
  so that one run shows them all; they are raised together as `BadFile`.
- Nothing here knows what a flow, a hotline or a prompt is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

AMBIGUOUS = frozenset({"on", "off", "y", "n"})
"""Words that YAML 1.1 readers take for true or false; as a name they must be quoted."""


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """One thing wrong in a file that a person wrote: where, what, and how to mend it."""

    path: str
    line: int
    code: str
    sentence: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.code} {self.sentence}: {self.fix}"


class BadFile(Exception):
    """A file that a person wrote cannot be used; `problems` says where, what and how to mend it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class Text(str):
    """A scalar, as written, with its place."""

    path: str
    line: int
    plain: bool

    @classmethod
    def at(cls, value: str, path: str, line: int, plain: bool = False) -> Self:
        text = cls(value)
        text.path, text.line, text.plain = path, line, plain
        return text


class Seq(list[Any]):
    """A list, with its place."""

    path: str
    line: int


class Map(dict[str, Any]):
    """A mapping, with its place; its keys are `Text`."""

    path: str
    line: int


Value = Text | Seq | Map


def problem(at: Any, code: str, sentence: str, fix: str) -> Problem:
    """A problem at the place of a value that was read by `read`."""
    return Problem(getattr(at, "path", "?"), getattr(at, "line", 0), code, sentence, fix)


def bad(at: Any, code: str, sentence: str, fix: str) -> BadFile:
    """The exception for one problem at the place of a value."""
    return BadFile([problem(at, code, sentence, fix)])


def read(path: Path, root: Path | None = None) -> Map:
    """The mapping in a YAML file. Its path is told relative to `root`. Raises BadFile."""
    name = str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile([Problem(name, 1, "F100", "the file is missing", "create it")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadFile(
            [Problem(name, line, "F101", "the file is not UTF-8", "save it as UTF-8")]
        ) from None
    return parse(source, name)


def parse(source: str, name: str) -> Map:
    """The mapping in a YAML text. Raises BadFile."""
    try:
        node = YAML(typ="safe", pure=True).compose(source)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        sentence = f"this is not YAML ({error.problem or error.context})"
        raise BadFile([Problem(name, line, "F101", sentence, "correct the syntax")]) from None
    except YAMLError as error:
        sentence = f"this is not YAML ({error})"
        raise BadFile([Problem(name, 1, "F101", sentence, "correct the syntax")]) from None
    if not isinstance(node, MappingNode):
        raise BadFile(
            [Problem(name, 1, "F101", "the file holds no mapping", "begin with `key: value`")]
        )
    problems: list[Problem] = []
    value = _value(node, name, problems)
    if problems:
        raise BadFile(problems)
    assert isinstance(value, Map)
    return value


def _value(node: Node, path: str, problems: list[Problem]) -> Value:
    line = node.start_mark.line + 1
    if isinstance(node, ScalarNode):
        plain = node.style is None
        if plain and node.value.lower() in AMBIGUOUS:
            problems.append(
                Problem(
                    path,
                    line,
                    "F104",
                    f"a bare '{node.value}' means true or false to other YAML readers",
                    f'write "{node.value}" in quotes, or choose another name',
                )
            )
        return Text.at(str(node.value), path, line, plain)
    if isinstance(node, SequenceNode):
        seq = Seq(_value(child, path, problems) for child in node.value)
        seq.path, seq.line = path, line
        return seq
    mapping = Map()
    mapping.path, mapping.line = path, line
    for key_node, value_node in node.value:
        key = _value(key_node, path, problems)
        if not isinstance(key, Text):
            problems.append(
                Problem(path, line, "F105", "a key is not plain text", "use a word as the key")
            )
            continue
        if key in mapping:
            sentence = f"the key '{key}' stands here twice"
            problems.append(Problem(path, key.line, "F106", sentence, "remove one of them"))
        mapping[key] = _value(value_node, path, problems)
    return mapping


def known_keys(mapping: Map, allowed: Iterable[str], code: str = "F102") -> list[Problem]:
    """A problem for each key that is not among the allowed ones, with the nearest that is."""
    names = sorted(allowed)
    problems = []
    for key in mapping:
        if key not in names:
            near = get_close_matches(key, names, 1)
            fix = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(names)}"
            problems.append(problem(key, code, f"the key '{key}' is unknown", fix))
    return problems


_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def seconds(text: Text) -> float:
    """A length such as `0.5 s`, `500 ms`, `2 min` in seconds. Raises BadFile."""
    match = _LENGTH.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise bad(text, "F110", f"'{text}' is not a length of time", "write e.g. 0.5 s or 2 min")
    return round(float(match[1]) * _UNITS[match[2]], 6)


def whole(text: Text, least: int = 0, most: int = 1_000_000) -> int:
    """A whole number in a range. Raises BadFile."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,9}", text):
        raise bad(text, "F111", f"'{text}' is not a whole number", "write digits only")
    value = int(text)
    if not least <= value <= most:
        raise bad(text, "F111", f"{value} is out of range", f"choose from {least} to {most}")
    return value


def truth(text: Text) -> bool:
    """`yes` or `no`. Raises BadFile."""
    if text in ("yes", "no"):
        return bool(text == "yes")
    raise bad(text, "F112", f"'{text}' is neither yes nor no", "write yes or no")
