"""The manager's protocol (AMI) on pyst2's manager: what one connection must not let through.

`ivr.manager` is the side of the event loop; here is the side of the threads. pyst2 reads, sorts
and dispatches in three threads; a fourth, ours, sends one action at a time. Rules this module
keeps:

- Every action has headers of its own and an ActionID of its own, which its reply must carry:
  what somebody else's text looks like is never a reply.
- A value holds no line break (it would be a second header, or a second action), no NUL, nothing
  that UTF-8 cannot say. A channel variable holds no comma (it would be a second variable).
- pyst2 cuts messages by words that a caller can say, and dies of some headers; so the stream is
  cut here, by empty lines alone, and pyst2 sees only messages that do it no harm.
- An event is judged by its name and channel before it is parsed.
- Nothing waits on a deadline here. `abort`, from any thread, frees all threads that wait.
- Nothing is printed, and no error quotes a value.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Protocol

import asterisk.manager as pyst2

from ivr.agi_command import application_arguments
from ivr.agi_errors import UnsafeArgument
from ivr.clock import Timer

Headers = Mapping[str, str | Sequence[str]]
Message = Mapping[str, str]

EVENTS_WAITING: Final = 10_000
"""Events read and not yet taken; with more the connection ends."""

MESSAGE_BYTES: Final = 64 * 1024
"""The longest event or reply."""

LINE_BYTES: Final = 1022
"""The longest header that Asterisk reads, without its line end."""

HEADERS: Final = 127
"""Lines of one action; Asterisk's table holds 128."""


class ManagerError(pyst2.ManagerException):  # type: ignore[misc]  # pyst2 has no types
    """Something is wrong between the service and Asterisk's manager."""

    def __init__(self, detail: str = "") -> None:
        sentence = (self.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        super().__init__(f"{sentence}: {detail}" if detail else sentence)
        self.detail = detail


class UnsafeValue(ManagerError, ValueError):
    """An action holds what the manager cannot carry (a bug of ours)."""


class ManagerDown(ManagerError, pyst2.ManagerSocketException):  # type: ignore[misc]
    """There is no connection to Asterisk's manager, or it has just been lost."""


class ManagerRefused(ManagerError):
    """Asterisk's manager answered with an error."""


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STATE = re.compile(r"DEVICE_STATE\(PJSIP/[A-Za-z0-9_-]{1,32}\)", re.ASCII)


def checked(action: str, headers: Headers) -> dict[str, list[str]]:
    """A fresh copy of an action's headers, fit to be sent. Raises UnsafeValue."""
    if not _NAME.fullmatch(action):
        raise UnsafeValue("the name of the action")
    fresh: dict[str, list[str]] = {"Action": [action]}
    for name, given in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in ("action", "actionid"):
            raise UnsafeValue("the name of a header")
        values = [given] if isinstance(given, str) else list(given)
        for value in values:
            _check(name, value)
            if name.lower() == "variable":
                _check_variable(value, asked=action == "Getvar")
        fresh[name] = values
    if sum(map(len, fresh.values())) >= HEADERS:
        raise UnsafeValue(f"more than {HEADERS} headers")
    return fresh


def _check(name: str, value: str) -> None:
    if any(bad in value for bad in "\r\n\0"):
        raise UnsafeValue(f"a line break or NUL in {name}")
    try:
        size = len(f"{name}: {value}".encode())
    except UnicodeEncodeError:
        raise UnsafeValue(f"text that is not Unicode in {name}") from None
    if size > LINE_BYTES:
        raise UnsafeValue(f"{name} is {size} bytes long, {LINE_BYTES} at most")


def _check_variable(value: str, *, asked: bool) -> None:
    """A variable that is set, `name=value`; one that is asked for is a name, and no function but
    that which says where a phone is."""
    if asked and _STATE.fullmatch(value):
        return
    variable, is_, content = value.partition("=")
    try:
        application_arguments(content)
    except UnsafeArgument as problem:
        raise UnsafeValue(f"a channel variable: {problem.detail}") from None
    if bool(is_) == asked or not _VARIABLE.fullmatch(variable):
        raise UnsafeValue(f"a channel variable is not `{'name' if asked else 'name=value'}`")


class _Stream:
    """What pyst2 takes for the file of its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def write(self, data: bytes) -> None:
        self._sock.sendall(data)

    def flush(self) -> None:
        """Nothing is held back."""


class Owner(Protocol):
    """Whom a connection reports to. All of it is called by its threads."""

    def wants(self, name: str, channel: str) -> bool:
        """Is an event of this name, with this Channel header or "", worth parsing?"""

    def waiting(self) -> int:
        """How many events have been handed over and not been taken yet."""

    def happened(self, event: Message | None) -> None:
        """An event; None if it was not wanted."""

    def done(self, connection: Connection, job: Job, outcome: pyst2.ManagerMsg | Exception) -> None:
        """What became of a job."""

    def lost(self, connection: Connection, why: str) -> None:
        """The connection has ended."""


class Connection(pyst2.Manager):  # type: ignore[misc]
    """One connection: pyst2's manager without its traps. Used once."""

    def __init__(self, sock: socket.socket, owner: Owner) -> None:
        super().__init__()
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._owner = owner
        self._socket = sock
        self._sock = _Stream(sock)
        self._awaited = ""
        self._number = 0
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self.register_event("*", self._event)

    def __del__(self) -> None:
        """pyst2 would log off from here, and wait for the answer; we `close`."""

    # -- called from the event loop; none of these waits

    def start(self) -> None:
        self._sender.start()

    def abort(self) -> None:
        """End it: every thread that waits for the other side wakes up."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    # -- called from a thread that may wait

    def close(self) -> None:
        """Wait for all threads of this connection, and give the socket back."""
        self.abort()
        self.jobs.put(None)
        for thread in (self._sender, self.message_thread, self.event_dispatch_thread):
            if thread.ident is not None:
                thread.join()
        self._running.clear()
        self._socket.close()

    # -- the sending thread

    def _send_all(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                outcome = job.work(self)
            except Exception as problem:  # whatever it is belongs to whoever gave the job
                outcome = problem
            self._owner.done(self, job, outcome)

    def enter(self, username: str, secret: str) -> pyst2.ManagerMsg:
        """Wait for the greeting, then log in."""
        self._connected.set()
        self._running.set()
        self.message_thread.start()
        self.event_dispatch_thread.start()
        if self._response_queue.get() is None:
            raise ManagerDown("no greeting")
        return self.login(username, secret)

    def send_action(self, cdict: Any = None, **kwargs: Any) -> pyst2.ManagerMsg:
        """Every action in a dict of its own: pyst2's default is shared between calls."""
        self._number += 1
        self._awaited = f"sansheng-{self._number}"
        return super().send_action({**(cdict or {}), **kwargs, "ActionID": self._awaited})

    # -- the reading thread

    def _receive_data(self) -> None:
        """Cut the stream into messages; pyst2 would read byte by byte, and let a caller named
        "status will follow" swallow all that comes after."""
        why = "the connection was closed"
        try:
            for frame in self._frames():
                self._sort(frame)
        except OSError as problem:
            why = problem.strerror or why
        except ManagerError as problem:
            why = problem.detail
        finally:
            self._connected.clear()
            self._owner.lost(self, why)  # first: those who wait learn the reason from it
            self._message_queue.put(None)

    def _frames(self) -> Iterator[bytes]:
        buffer, end = bytearray(), b"\r\n"  # the greeting is one line
        while data := self._socket.recv(65536):
            buffer += data
            while (at := buffer.find(end)) >= 0:
                frame = bytes(buffer[: at + 2])
                del buffer[: at + len(end)]
                if end == b"\r\n":
                    if b"Call Manager/" not in frame:
                        raise ManagerDown("what answers there is no Asterisk manager")
                    end, frame = b"\r\n\r\n", b"Response: Greeting\r\n"
                yield frame
            if len(buffer) > MESSAGE_BYTES:
                raise ManagerDown(f"a message of more than {MESSAGE_BYTES} bytes")

    def _sort(self, frame: bytes) -> None:
        text = frame.decode("utf-8", "surrogateescape")
        if text.startswith("Event: "):
            behind = self._message_queue.qsize() + self._event_queue.qsize()
            if behind + self._owner.waiting() > EVENTS_WAITING:
                raise ManagerDown("events come faster than they are taken")
            name = text[7 : text.index("\r\n")]
            if not self._owner.wants(name, _header(text, "Channel")):
                self._owner.happened(None)
                return
        elif not text.startswith("Response: "):
            return  # the rest of a value with line breaks in it; pyst2 would take it for a reply
        elif text != "Response: Greeting\r\n" and _header(text, "ActionID") != self._awaited:
            return  # nobody asked for it, and pyst2 would give it to whoever asked next
        lines = [line + "\r\n" for line in text.split("\r\n") if line and not _deadly(line)]
        self._message_queue.put(lines)

    # -- pyst2's two other threads

    def message_loop(self) -> None:
        """pyst2 forgets to wake an action that was written just as the connection ended."""
        try:
            super().message_loop()
        finally:
            self._response_queue.put(None)

    def _event(self, event: pyst2.Event, _: pyst2.Manager) -> None:
        self._owner.happened(dict(event.headers))


def _deadly(line: str) -> bool:
    """pyst2's thread dies of such a header (`dict.has_key` is gone since Python 3)."""
    return "ChanVariable" in line.partition(":")[0]


def _header(text: str, name: str) -> str:
    begin = text.find(f"\r\n{name}: ")
    if begin < 0:
        return ""
    begin += len(name) + 4
    return text[begin : text.index("\r\n", begin)]


@dataclass(eq=False, slots=True)
class Job:
    """Work for the sending thread, and who waits for its outcome."""

    work: Callable[[Connection], pyst2.ManagerMsg]
    reply: asyncio.Future[Message]
    deadline: Timer | None = None
