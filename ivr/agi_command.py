"""An AGI command as the line that Asterisk reads.

Rules this module keeps:

- *Arguments stand in double quotes*, with `\\` and `"` escaped, and that is all Asterisk
  undoes. A line break cannot be escaped: it would begin a second command, and is refused; so is
  NUL, which would end the line. A line longer than Asterisk's buffer would be cut in two and its
  rest obeyed as a command: refused as well. The limit depends on the version (`line_limit`).
- *What EXEC hands to an application is a second language inside an argument*, in which commas
  part arguments and more. `application_arguments` writes it, and refuses what it cannot say.
- Text is UTF-8; other bytes survive as lone surrogates (`surrogateescape`).
"""

from __future__ import annotations

import re
from typing import Final

from ivr.agi_errors import UnsafeArgument

MAX_ARGUMENTS: Final = 127
"""Asterisk's, the words of the command included; more overrun a table of it."""

LINE_LIMIT: Final = 8191
"""Longest command, in bytes with its line end, that today's Asterisk reads as one line."""

OLD_LINE_LIMIT: Final = 2047
"""The same before August 2025."""


def line_limit(version: str) -> int:
    """Longest command, in bytes with its line end, for an `agi_version`.

    Asterisk 20.16, 21.11, 22.6, 23.0 and later have the larger buffer. A version that says
    nothing gets the smaller limit.
    """
    known = re.match(r"(\d+)\.(\d+)", version, re.ASCII)
    if known is None:
        return OLD_LINE_LIMIT
    major, minor = int(known[1]), int(known[2])
    since = {20: 16, 21: 11, 22: 6}.get(major, 0 if major > 22 else None)
    return LINE_LIMIT if since is not None and minor >= since else OLD_LINE_LIMIT


_COMMAND = re.compile(r"[A-Z]+(?: [A-Z]+)*")


def quote(argument: str | int) -> str:
    """One argument as Asterisk's parser gives it back unchanged.

    Raises UnsafeArgument for a line break or NUL.
    """
    text = str(argument)
    for bad, name in (("\n", "a line feed"), ("\r", "a carriage return"), ("\0", "a NUL")):
        if bad in text:
            raise UnsafeArgument(f"{name} in an argument")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encode(command: str, *arguments: str | int, limit: int = LINE_LIMIT) -> bytes:
    """A command as its one line. Raises UnsafeArgument for what cannot be said."""
    if not _COMMAND.fullmatch(command):
        raise UnsafeArgument("the command is not in capital letters and single spaces")
    count = command.count(" ") + 1 + len(arguments)
    if count > MAX_ARGUMENTS:
        raise UnsafeArgument(f"{count} arguments, {MAX_ARGUMENTS} at most")
    text = " ".join((command, *map(quote, arguments))) + "\n"
    try:
        line = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UnsafeArgument("text that is not Unicode") from None
    if len(line) > limit:
        raise UnsafeArgument(f"a line of {len(line)} bytes, {limit} at most")
    return line


_TELLING = re.compile(r'[,"\\&^|;$`{}<>\x00-\x1f\x7f]')


def application_arguments(*arguments: str | int) -> str:
    """The arguments of a dialplan application, for EXEC: joined by commas.

    That language has no escape on which all applications agree, so an argument may hold none of
    the characters that mean something to one of them (`,` `"` `\\` `&` `^` `|` `;` `$` `{}` `<>`
    and the like), its brackets must pair, and it may not begin or end with a space (the
    application would never see it). Raises UnsafeArgument.
    """
    for argument in map(str, arguments):
        if found := _TELLING.search(argument):
            raise UnsafeArgument(f"{found[0]!r} in an argument of an application")
        if argument != argument.strip():
            raise UnsafeArgument("a space at the edge of an argument of an application")
        if not _balanced(argument):
            raise UnsafeArgument("brackets that do not pair in an argument of an application")
    return ",".join(map(str, arguments))


def _balanced(text: str) -> bool:
    expected: list[str] = []
    for character in text:
        if character in "([":
            expected.append(")" if character == "(" else "]")
        elif character in ")]" and (not expected or expected.pop() != character):
            return False
    return not expected
