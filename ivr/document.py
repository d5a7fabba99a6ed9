"""Parsed documents: text that knows the file and line it was written on, and what was wrong there.

Rules this module keeps:

- Pure: it holds what `ivr.files` has read; it reads nothing itself.
- Every scalar is text. What a value means (a length, a number, yes or no) is decided by whoever
  asks for it, so that `on`, `no` and `1e3` are never anything but what was written.
- A problem in a file reads `flows/hold.yaml:31 F204 sentence: fix`. Problems are collected,
  so that one run shows them all; they are raised together as `BadFile`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self


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


# ---------------------------------------------------------------- many at once


class Trying:
    """Goes on after a problem and collects it, so that one run shows them all."""

    def __init__(self, problems: list[Problem] | None = None) -> None:
        self.problems: list[Problem] = [] if problems is None else problems

    def trying(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """The value, or None after the problem has been noted."""
        try:
            return read(*arguments)
        except BadFile as error:
            self.problems += error.problems
            return None

    def setting(self, read: Callable[..., Any], at: Map, key: str, default: Any, *more: Any) -> Any:
        """The value under this key; the default where there is none, or none that can be read."""
        value = self.trying(read, at[key], *more) if key in at else None
        return default if value is None else value

    def length(self, at: Map, key: str, default: float, least: float, most: float) -> float:
        """A length of time in seconds, within a range; the default where there is none."""
        value: float = self.setting(seconds, at, key, default)
        if least <= value <= most:
            return value
        what, fix = f"{at[key]} is out of range", f"choose from {least:g} s to {most:g} s"
        self.problems.append(problem(at[key], "F111", what, fix))
        return default
