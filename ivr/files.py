"""Reads the YAML that people write: every value knows its file and line.

Rules this module keeps:

- Nothing here knows what a flow, a hotline or a prompt is. The values are those of `ivr.document`.
- What has been read is never changed, by nobody: the same text of the same file is parsed once in
  a process, and a reload parses only what has changed (all files of four lines: 0.7 s).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ivr.document import (
    BadFile,
    Map,
    Problem,
    Seq,
    Text,
    Value,
    bad,
    known_keys,
    problem,
    seconds,
    truth,
    whole,
)

__all__ = [
    "BadFile",
    "Map",
    "Problem",
    "Seq",
    "Text",
    "Value",
    "bad",
    "known_keys",
    "parse",
    "problem",
    "read",
    "seconds",
    "truth",
    "whole",
]

AMBIGUOUS = frozenset({"on", "off", "y", "n"})
"""Words that YAML 1.1 readers take for true or false; as a name they must be quoted."""
REMEMBERED = 512
"""Texts of which the values are remembered; four lines with all their scenarios have 240."""


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


@lru_cache(REMEMBERED)
def parse(source: str, name: str) -> Map:
    """The mapping in a YAML text of the file of this name, not to be changed. Raises BadFile."""
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
    try:
        value = _value(node, name, problems)
    except RecursionError:
        what = "a part of this file holds itself, or too much"
        raise BadFile(
            [Problem(name, 1, "F101", what, "write out what an alias stands for")]
        ) from None
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
