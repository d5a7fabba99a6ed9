"""The AGI wire: what we and Asterisk say to each other about one channel.

`Wire` is the protocol without a socket: bytes in, facts out, commands to bytes. `ivr.agi` puts
it on the event loop. pyst2's own reader blocks and cannot live on a loop (and does not survive
what is described here: `tests/wire/test_hazards.py`), so only its exceptions are used, as the
bases of ours (`ivr.agi_errors`).

The rules of this wire, which nobody wrote down in one place:

1. *Asterisk speaks first*: one `agi_name: value` a line, then an empty line. Part of that comes
   from the caller, so its size is bounded and no name may come twice: a caller's name with a
   line break in it must not become the dialled extension.
2. *Then it is half-duplex.* One command, one reply. A second command while one runs silently
   cancels the first, whose reply may then never come. So we never do that; `Busy` is a bug.
3. *A reply is understood by the command it answers.* `200 result=1 (hangup)` to GET VARIABLE is
   a variable that says "hangup"; to RECORD FILE it is a caller who left.
   `200 result=N (data) endpos=N` is the general shape; `result=` may be empty or no number. A
   value may hold brackets, quotes, any bytes, and line breaks: it ends with the line that ends
   in a bracket. `100` is a promise of a reply, not a reply.
   `520-` opens a text of several lines and `520 ` closes it, but `520 ` alone also occurs.
4. *`HANGUP` may stand on a line of its own wherever a reply could begin*: while we are idle,
   before a reply, twice. Asterisk writes it at the end of every session, our own goodbye
   included, and then it means nothing: hence it is not heard after `close`.
5. *A dead channel* answers `511`, `-1`, or with the end of the stream. `-1` alone proves
   nothing: a file that is missing gives the very same `200 result=-1 endpos=0`. `Session.alive`
   asks.
6. *A command is one line of quoted arguments*, and what EXEC hands to an application is a second
   language inside one of them: `ivr.agi_command` writes both, and refuses what they cannot say.
7. *A line nobody asked for* means that the two sides no longer agree which reply is whose. There
   is no way back from that: the session ends, and the dialplan takes over.

Text is UTF-8; other bytes survive as lone surrogates (`surrogateescape`), both ways.
Known ugliness: Asterisk cuts the answer to GET VARIABLE after 1,023 bytes, in the middle of a
character if need be, and says nothing (GET FULL VARIABLE `${NAME}` and DATABASE GET give all); a
value with a line break in it cannot be told from two replies when its first line ends in a
bracket; rule 7 catches that.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ivr.agi_command import encode, line_limit
from ivr.agi_errors import Busy, Closed, ConnectionLost, Garbled, Gone

HANDSHAKE_BYTES: Final = 16 * 1024
"""Asterisk sends about 700; arguments of ours and the caller's names make the rest."""

HANDSHAKE_LINES: Final = 200
"""Asterisk sends 22, and at most 127 arguments."""

REPLY_BYTES: Final = 64 * 1024
"""A reply, in all its lines. The longest that we ask for is one variable."""

DIGITS: Final = "0123456789*#ABCD"


# ---------------------------------------------------------------- what comes in


@dataclass(frozen=True, slots=True)
class Ready:
    """The handshake is complete. Names are without their `agi_`."""

    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the command that was out.

    `result` is the number after `result=`, None if there is none or it is no number. `data` is
    what stood in brackets, or the text of a reply that is not 200. `endpos` counts samples at
    8000 Hz. `raw` is the whole reply, lines joined by a line feed.
    """

    code: int
    result: int | None
    data: str | None
    endpos: int | None
    raw: str

    @property
    def digit(self) -> str:
        """The key that ended the command (0-9 * # A-D), empty if none did."""
        if self.code == 200 and self.result is not None and 0 < self.result < 128:
            key = chr(self.result)
            return key if key in DIGITS else ""
        return ""

    @property
    def left(self) -> bool:
        """The caller hung up while this command ran, and Asterisk says so (RECORD FILE)."""
        return self.result == -1 and self.data == "hangup"


@dataclass(frozen=True, slots=True)
class Hangup:
    """The line `HANGUP`."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more will come. `why` says whether the stream ended or made no sense."""

    why: Gone


Incoming = Ready | Reply | Hangup | End


# ---------------------------------------------------------------- the protocol


class State(enum.Enum):
    """Where a wire stands. BUSY means that a reply is due."""

    HANDSHAKE = enum.auto()
    IDLE = enum.auto()
    BUSY = enum.auto()
    ENDED = enum.auto()


_VALUE_COMMANDS: Final = {"GET VARIABLE", "GET FULL VARIABLE", "DATABASE GET"}
"""Commands whose data is a value as it is, and no word of Asterisk's."""

_ENVIRONMENT = re.compile(r"agi_([A-Za-z0-9_]+):(?: (.*))?", re.ASCII | re.DOTALL)
_REPLY = re.compile(r"(\d{3})(?:[ -](.*))?", re.ASCII | re.DOTALL)
_RESULT = re.compile(
    r"result=(?P<result>[^ ]*)"
    r"(?:(?: \((?P<data>.*?)\))?(?: endpos=(?P<endpos>-?\d{1,18}))?|[ ](?P<remark>.*))",
    re.ASCII | re.DOTALL,
)
_VALUE = re.compile(r"result=1 \((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


def parse(command: str, raw: str) -> Reply | None:
    """Understand a complete reply to `command`; None if it is not AGI."""
    match = _REPLY.fullmatch(raw)
    if match is None:
        return None
    code, rest = int(match[1]), match[2] or ""
    if code != 200:
        return Reply(code, None, rest, None, raw)
    if command in _VALUE_COMMANDS and (value := _VALUE.fullmatch(rest)):
        return Reply(code, 1, value[1], None, raw)
    found = _RESULT.fullmatch(rest)
    if found is None:
        return None
    number, endpos, data = found["result"], found["endpos"], found["data"]
    return Reply(
        code,
        int(number) if _NUMBER.fullmatch(number) else None,
        data if found["remark"] is None else found["remark"],
        None if endpos is None else int(endpos),
        raw,
    )


class Wire:
    """The service's side of one AGI session, without a socket.

    `receive` never raises; whatever comes, it ends in facts. After an `End` it returns nothing.
    """

    __slots__ = (
        *("_buffer", "_command", "_limit", "_lines", "_scanned", "_size"),
        *("environment", "state"),
    )

    def __init__(self) -> None:
        self.state = State.HANDSHAKE
        self.environment: dict[str, str] = {}
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer known to hold no line end
        self._lines: list[str] = []  # of the handshake, or of the reply that has begun
        self._size = 0  # bytes in those lines
        self._command = ""
        self._limit = 0  # bytes of a command, once the handshake has told the version

    @property
    def ended(self) -> bool:
        """Nothing more is said, in either direction."""
        return self.state is State.ENDED

    def send(self, command: str, *arguments: str | int) -> bytes:
        """The bytes of a command, whose reply is then due.

        Raises UnsafeArgument, Busy before the reply to the last one, Closed after the end; then
        nothing has changed.
        """
        if self.ended:
            raise Closed(command)
        if self.state is not State.IDLE:
            raise Busy(command if self.state is State.BUSY else "the handshake is not complete")
        line = encode(command, *arguments, limit=self._limit)
        self._command, self.state = command, State.BUSY
        return line

    def receive(self, data: bytes) -> list[Incoming]:
        """What these bytes say. No bytes at all mean the end of the stream."""
        said: list[Incoming] = []
        if not self.ended and not data:
            said.append(self._end(ConnectionLost()))
        if not self.ended:
            self._buffer += data
        while not self.ended and (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._scanned = 0
            fact = self._too_long(len(line)) or self._line(line)
            if fact is not None:
                said.append(fact)
        if not self.ended:
            self._scanned = len(self._buffer)
            if fact := self._too_long(self._scanned):
                said.append(fact)
        return said

    def _end(self, why: Gone) -> End:
        self.state = State.ENDED
        self._buffer.clear()
        self._lines.clear()
        return End(why)

    def _too_long(self, more: int) -> End | None:
        limit = HANDSHAKE_BYTES if self.state is State.HANDSHAKE else REPLY_BYTES
        if self._size + more <= limit:
            return None
        return self._end(Garbled(f"more than {limit} bytes"))

    def _line(self, line: bytes) -> Incoming | None:
        text = line.decode("utf-8", "surrogateescape")
        if text == "HANGUP" and (self.state is State.HANDSHAKE or not self._lines):
            return Hangup()
        if self.state is State.HANDSHAKE:
            return self._greeting(text, len(line) + 1)
        if self.state is State.IDLE:
            return self._end(Garbled("a line that nobody asked for"))
        return self._answer(text, len(line) + 1)

    def _greeting(self, text: str, size: int) -> Ready | End | None:
        if not text:
            self.state = State.IDLE
            self._limit = line_limit(self.environment.get("version", ""))
            self._lines.clear()
            self._size = 0
            return Ready(dict(self.environment))
        self._size += size
        self._lines.append(text)
        if len(self._lines) > HANDSHAKE_LINES:
            return self._end(Garbled(f"a handshake of more than {HANDSHAKE_LINES} lines"))
        match = _ENVIRONMENT.fullmatch(text)
        if match is None:
            return self._end(Garbled("a line of the handshake is not `agi_name: value`"))
        if match[1] in self.environment:
            return self._end(Garbled(f"agi_{match[1]} came twice"))
        self.environment[match[1]] = match[2] or ""
        return None

    def _answer(self, text: str, size: int) -> Reply | End | None:
        self._lines.append(text)
        self._size += size
        if self._goes_on(text):
            return None
        raw = "\n".join(self._lines)
        self._lines.clear()
        self._size = 0
        reply = parse(self._command, raw)
        if reply is None:
            return self._end(Garbled("a reply that is none"))
        if reply.code < 200:
            return None  # 100: still at work, the reply proper is to come
        self.state = State.IDLE
        return reply

    def _goes_on(self, text: str) -> bool:
        first = self._lines[0]
        if first.startswith("520-"):
            return not text.startswith("520 ")
        if self._command in _VALUE_COMMANDS and first.startswith("200 result=1 ("):
            return not text.endswith(")")
        return False
