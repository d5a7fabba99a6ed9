"""What an Asterisk lets through to our manager account (管理接口): its `manager.conf`, read as it
reads it.

Rules this module keeps:

- Which events are needed stands in one place: the `eventfilter` of the account that we ship
  (`asterisk/manager.conf`).
- Files are only read. What an account has from templates, additions and included files counts.
- A filter that we cannot weigh is not judged; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path

FILE = "manager.conf"
DEPTH = 10
"""Files that may include one another."""

_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(?:try)?include\s+[\"<]?([^\">]+)[\">]?")
_NAMES = re.compile(r"Event: \(([\w|]+)\)")
_COMMENT = re.compile(r"(?<!\\);.*")

Rows = tuple[tuple[str, str], ...]
"""Keys and values, in the order in which they stand."""


class NoAccount(Exception):
    """There is no such account in the files."""


class NotWeighed(Exception):
    """What a filter lets through cannot be told from here; the message names it."""


def needed(template: str) -> tuple[str, ...]:
    """The events that the account we ship lets through. Raises ValueError if it names none."""
    for line in template.splitlines():
        if line.startswith("eventfilter") and (found := _NAMES.search(line)):
            return tuple(found[1].split("|"))
    raise ValueError("the account that is shipped names no events")


def account(folder: Path, user: str) -> Rows:
    """What stands of an account in this folder of configuration. Raises NoAccount, OSError."""
    sections: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] | None = None
    for line in _lines(folder, folder / FILE, DEPTH):
        if (head := _SECTION.match(line)) is not None:
            name, marks = head[1], [one.strip() for one in (head[2] or "").split(",")]
            if "+" not in marks or name not in sections:
                sections[name] = []
            current = sections[name]
            for mark in marks:
                current += sections.get(mark, [])
        elif current is not None and "=" in line:
            key, _, value = line.partition("=")
            current.append((key.strip(), value.removeprefix(">").strip()))
    if user not in sections:
        raise NoAccount(f"there is no account [{user}] in {folder / FILE}")
    return tuple(sections[user])


def _lines(folder: Path, path: Path, depth: int) -> Iterator[str]:
    for row in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = _COMMENT.sub("", row).strip()
        if (include := _INCLUDE.fullmatch(line)) is not None:
            for one in sorted(glob(str(folder / include[1].strip()))) if depth else ():
                yield from _lines(folder, Path(one), depth - 1)
        elif line:
            yield line


def dropped(rows: Rows, events: tuple[str, ...]) -> list[str]:
    """Which of these events the account's filters keep from it. Raises NotWeighed."""
    lets: list[re.Pattern[str]] = []
    keeps: list[re.Pattern[str]] = []
    for key, value in rows:
        if key == "eventfilter":
            into, text = (keeps, value[1:]) if value.startswith("!") else (lets, value)
        elif key.startswith("eventfilter("):
            into, text = (keeps if "action(exclude)" in key else lets), _by_name(key, value)
        else:
            continue
        try:
            into.append(re.compile(text))
        except re.error as error:
            raise NotWeighed(f"{key} = {value}") from error
    told: Mapping[str, str] = {name: f"Event: {name}\r\n" for name in events}
    return [
        name
        for name, text in told.items()
        if (lets and not any(one.search(text) for one in lets))
        or any(one.search(text) for one in keeps)
    ]


def _by_name(key: str, value: str) -> str:
    """A filter of newer Asterisks, `eventfilter(action(include),name(Hangup)) =`, as a pattern."""
    name = re.search(r"name\(([^)]+)\)", key)
    if name is None or "header(" in key or value:
        raise NotWeighed(f"{key} = {value}")
    return rf"^Event: {re.escape(name[1])}\r"
