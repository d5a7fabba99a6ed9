"""The FastAGI wire as Asterisk speaks it: it connects, sends what it knows, obeys commands.

Rules this module keeps:

- Half duplex as measured: a command that comes while another runs ends it (STREAM FILE, GET DATA,
  WAIT FOR DIGIT) or waits for its end (all others).
- `HANGUP` is a line of its own: at once while no command runs; else with the next command, before
  its reply; and at the end of every session. With AGIEXITONHANGUP it comes twice and the
  connection is closed. AGISIGHUP=no: never.
- No task and no stream for each command: one protocol object for each session.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from ivr.fake_channel import Channel
from ivr.fake_commands import Running
from ivr.fake_vocabulary import COMMANDS, WORK_ON_DEAD, Usage

if TYPE_CHECKING:
    from ivr.fake import FakeAsterisk

VERSION = "22.10.1"
LONGEST = 2047
"""Bytes of a line that Asterisk reads at once; the rest it takes for the next command."""

_TOKEN = re.compile(r'(?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*(?:"|$))+')
_UNQUOTE = re.compile(r'\\(.)|"')


def arguments(line: str) -> list[str]:
    """The words of a command, as Asterisk takes them apart."""
    if '"' not in line and "\\" not in line:
        return line.split()
    return [_unquoted(token) for token in _TOKEN.findall(line)]


def _unquoted(token: str) -> str:
    return _UNQUOTE.sub(r"\1", token) if "\\" in token else token.replace('"', "")


class AgiSession(asyncio.Protocol):
    """One AGI session of one channel. `then` is called with AGISTATUS when it is over.
    `transcript`, if it is a list, gets every line."""

    def __init__(
        self,
        switch: FakeAsterisk,
        channel: Channel,
        request: str,
        arguments: Sequence[str],
        then: Callable[[str], None],
    ) -> None:
        self.switch = switch
        self.channel = channel
        self.arguments = tuple(arguments)
        self.then = then
        self.running: Running | None = None
        self.thinking = True
        self.commands = 0
        self.transcript: list[tuple[float, str]] | None = None
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._queue: list[str] = []
        self._hangup_due = False
        self._closing = False

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        lines = [f"agi_{name}: {value}" for name, value in self._environment()]
        self._write("\n".join([*lines, "", ""]))
        if self.channel.dead:
            self.hung_up()

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            while len(line) > LONGEST:
                self._line(line[:LONGEST])
                line = line[LONGEST:]
            self._line(line)
        while len(self._buffer) >= LONGEST:
            self._line(self._buffer[:LONGEST])
            self._buffer = self._buffer[LONGEST:]

    def eof_received(self) -> bool:
        # the script is over: Asterisk still writes HANGUP, as at the end of every session
        if not self._closing:
            self._hangup_line()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        running, self.running = self.running, None
        if running is not None:
            running.stop()
        self._think(False)
        self.channel.sessions.remove(self)
        self.switch.session_over(self)

    def _environment(self) -> list[tuple[str, str]]:
        channel = self.channel
        script = self._request.partition("://")[2].partition("/")[2]
        pairs = [
            ("network", "yes"),
            ("network_script", script),
            ("request", self._request),
            ("channel", channel.name),
            ("language", channel.language),
            ("type", channel.name.partition("/")[0]),
            ("uniqueid", channel.uniqueid),
            ("version", VERSION),
            ("callerid", channel.caller or "unknown"),
            ("calleridname", "unknown"),
            ("callingpres", "0"),
            ("callingani2", "0"),
            ("callington", "0"),
            ("callingtns", "0"),
            ("dnid", channel.number),
            ("rdnis", "unknown"),
            ("context", channel.context),
            ("extension", channel.exten),
            ("priority", "3"),
            ("enhanced", "0.0"),
            ("accountcode", ""),
            ("threadid", "139965039666880"),
        ]
        pairs += [(f"arg_{n}", value) for n, value in enumerate(self.arguments, 1)]
        return pairs

    # ------------------------------------------------------------ lines in and out

    def _write(self, text: str) -> None:
        if self.transcript is not None:
            now = self.channel.clock.now()
            self.transcript += [(now, f"<< {line}") for line in text.splitlines()]
        if self._transport is not None:
            self._transport.write(text.encode("utf-8", "surrogateescape"))

    def _think(self, thinking: bool) -> None:
        """The service has to act now (it has no command outstanding), or no longer has to."""
        if thinking != self.thinking:
            self.thinking = thinking
            self.switch.thinking += 1 if thinking else -1

    def _line(self, raw: bytes) -> None:
        if self._closing:
            return  # Asterisk has left; nobody reads this
        line = raw.decode("utf-8", "surrogateescape")
        if self.transcript is not None:
            self.transcript.append((self.channel.clock.now(), f">> {line}"))
        self._think(False)
        running = self.running
        if running is None:
            self._execute(line)
        elif running.interruptible:
            self.running = None
            running.stop()
            if running.interrupted is not None:
                self._write(running.interrupted + "\n")
            self._execute(line)
        else:
            self._queue.append(line)

    def _execute(self, line: str) -> None:
        self.commands += 1
        if self._hangup_due:
            self._hangup_line()
        words = arguments(line)
        for length in (2, 3, 1):
            name = " ".join(words[:length]).upper()
            if name in COMMANDS and len(words) >= length:
                break
        else:
            self._reply("510 Invalid or unknown command")
            return
        if self.channel.dead and name not in WORK_ON_DEAD:
            self._reply("511 Command Not Permitted on a dead channel or intercept routine")
            return
        try:
            outcome = COMMANDS[name](self, words[length:])
        except (Usage, ValueError, IndexError):
            self._reply(
                "520-Invalid command syntax.  Proper usage follows:\n"
                f"Usage: {name}\n"
                "520 End of proper usage."
            )
            return
        if isinstance(outcome, str):
            self._reply(outcome)
        elif outcome is not None:
            self.running = outcome
            outcome.start()

    def _reply(self, text: str) -> None:
        self._write(text + "\n")
        if self._queue:
            self._execute(self._queue.pop(0))
        else:
            self._think(True)

    def finish(self, reply: str) -> None:
        """The running command is over."""
        self.running = None
        self._reply(reply)

    # ------------------------------------------------------------ hanging up

    def hung_up(self) -> None:
        """The channel is dead."""
        running, self.running = self.running, None
        leaves = self.channel.variables.get("AGIEXITONHANGUP", "").lower() in ("yes", "1", "true")
        if running is not None:
            reply = running.dead_reply()
            running.stop()
            if leaves:
                self._write(reply + "\n")
            else:
                self._hangup_due = True
                self._reply(reply)
        if leaves:
            self._hangup_line()
            self._hangup_line()
            self._close()
        elif running is None:
            self._hangup_line()

    def _hangup_line(self) -> None:
        self._hangup_due = False
        if self.channel.variables.get("AGISIGHUP", "").lower() != "no":
            self._write("HANGUP\n")

    def _close(self) -> None:
        """Asterisk leaves. The service has yet to notice, so time stands still until it
        closes, or is parked."""
        self._closing = True
        self.switch.closing += 1
        if self._transport is not None:
            self._think(False)
            if self._transport.can_write_eof():
                self._transport.write_eof()

    @property
    def closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        """The network fails."""
        if self._transport is not None:
            self._transport.abort()
