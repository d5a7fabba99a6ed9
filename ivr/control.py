"""The service's back door for ops on the same machine: which calls are up, end one, watch them.

Rules this module keeps:

- A Unix socket that only the service's own user can open; one JSON request a line, JSON back.
- `reload` answers when the lines have been read again; `files` says what became of it at any time.
- `watch` streams what happens in calls as it happens, callers' numbers whole, so that a watcher
  can tell calls apart; whoever shows them to people masks them. `live` masks them here.
- Nothing here changes a call but by an event, like any other.
- Workers of one service that run side by side (one that drains and the next, or more) have a
  socket each, `…`, `….2`, and so on. Whoever asks asks them all, and hears one answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivr.actions import (
    Action,
    Bridge,
    HandOver,
    HangUp,
    HearOut,
    Listen,
    Music,
    PickUp,
    PlayRecording,
    Record,
    Resume,
    Ring,
    Say,
)
from ivr.doors import alone, doors, free
from ivr.redact import mask
from ivr.slots import SlotError

if TYPE_CHECKING:
    from ivr.driver import Driver
    from ivr.events import Event
    from ivr.reloading import Reloading
    from ivr.server import Service

WAITING_FOR = {
    Ring: "to answer",
    PickUp: "to answer",
    Say: "our own prompt",
    Listen: "a key or a voice",
    Music: "a back end or a person",
    Record: "the caller's message",
    PlayRecording: "a recording's end",
    HearOut: "the caller to have spoken",
    Bridge: "the end of a conversation",
    Resume: "the end of a conversation",
    HandOver: "a conversation to begin",
    HangUp: "the end",
}
"""What a call waits for, by what is being done."""
QUEUE = 1000
"""Lines that a slow watcher may be behind before it is dropped."""
ANSWER = 10.0
"""Seconds after which a worker that does not answer is left out; files are read as long as it
takes."""
JOINS = 1.0
"""Seconds between two looks at whether another worker is there to be watched."""


def path(root: Path) -> Path:
    """Where the socket is, under the data root."""
    return Path(os.environ.get("SANSHENG_CONTROL") or root / "var/control.sock")


class Control:
    """The service's side. `serves` says which service this is a worker of."""

    def __init__(self, service: Service, at: Path, serves: str = "") -> None:
        self._service = service
        self._at = at
        self._serves = serves
        self._server: asyncio.Server | None = None
        self._watchers: set[asyncio.Queue[str | None]] = set()
        self._agreed = asyncio.Event()
        self.reloading: Reloading | None = None
        """What reads the lines again, once there is a service that can."""

    async def listen(self) -> None:
        """Open the socket, the first that no other worker has; one left by a worker that died is
        replaced. What is under maintenance for other workers of our service, is for us. Raises
        OSError if there are too many."""
        first = self._at
        self._at.parent.mkdir(parents=True, exist_ok=True)
        with alone(self._at.parent):
            self._at = free(self._at)
            self._at.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(self._at))
            finally:
                os.umask(before)
        await self._agree(first)

    async def _agree(self, first: Path) -> None:
        """What they were told before our socket was there, we were not. What all are told from
        now on waits with us until they have answered, so that it is the last word here, too."""
        asked = (_asked(door, {"ask": "about"}) for door in doors(first) if door != self._at)
        found = [one for answer in await asyncio.gather(*asked) for one in answer or ()]
        same = [one for one in found if one.get("serves") == self._serves]
        if same:
            closed = {line for one in same for line in one["maintenance"]}
            self._service.maintenance.clear()
            self._service.maintenance.update(closed & self._service.hotlines.lines.keys())
        self._agreed.set()

    async def close(self) -> None:
        """Close and remove the socket; those who watch are let go."""
        if self._server is not None:
            self._server.close()
            for watcher in self._watchers:
                watcher.put_nowait(None)
            self._at.unlink(missing_ok=True)

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def happened(self, driver: Driver, what: Event | Action) -> None:
        """Something happened in a call; tell those who watch."""
        if not self._watchers:
            return
        line = json.dumps(self._told(driver, what), ensure_ascii=False)
        for watcher in list(self._watchers):
            if watcher.qsize() >= QUEUE:
                self._watchers.discard(watcher)
                watcher.put_nowait(None)
            else:
                watcher.put_nowait(line)

    def _told(self, driver: Driver, what: Event | Action) -> dict[str, Any]:
        told: dict[str, Any] = {
            "call": driver.row.id,
            "line": driver.line.name,
            "caller": driver.row.caller,
            "what": type(what).__name__,
            "at": round(driver.elapsed, 3),
        }
        if isinstance(what, Say):
            told["prompt"] = what.prompt
            told["slots"] = dict(what.slots)
            with contextlib.suppress(KeyError, SlotError):  # then it is not said either
                told["text"] = driver.library.text(driver.line.name, what.prompt, dict(what.slots))
        for detail in ("digit", "agent", "reason", "feature"):
            if hasattr(what, detail):
                told[detail] = getattr(what, detail)
        if driver.row.leg_of:
            told["phone"] = driver.row.number  # one of our own people's
            told["leg_of"] = driver.row.leg_of
        return told

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await asyncio.wait_for(reader.readline(), 5))
            if not isinstance(request, dict):
                return
            if request.get("ask") == "watch":
                await self._watch(reader, writer)
                return
            if request.get("ask") == "reload" and self.reloading is not None:
                await self.reloading.again()
            if request.get("ask") == "maintenance":
                await self._agreed.wait()
            for answer in self._answer(request):
                writer.write((answer + "\n").encode())
                await writer.drain()
        except (ValueError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()

    def _answer(self, request: dict[str, Any]) -> Iterator[str]:
        match request.get("ask"):
            case "live":
                yield json.dumps([self.live(one) for one in self._service.drivers.values()])
            case "hangup":
                yield json.dumps({"ended": self._end(str(request.get("call", "")))})
            case "maintenance":
                yield json.dumps({"maintenance": self._maintain(request)})
            case "reload" | "files" if self.reloading is not None:
                yield json.dumps(self._files(self.reloading), ensure_ascii=False)
            case "about":
                about = {"serves": self._serves, "draining": self._service.draining}
                closed = sorted(self._service.maintenance)
                yield json.dumps({**about, "maintenance": closed})
            case _:
                asked = "live, hangup, maintenance, reload, files, about or watch"
                yield json.dumps({"error": f"ask {asked}"})

    def live(self, one: Driver) -> dict[str, Any]:
        """One call that is up, for ops."""
        return {
            "call": one.row.id,
            "line": one.line.name,
            "caller": mask(one.row.caller),
            "state": one.state.where,
            "seconds": round(one.elapsed, 1),
            "since_sign_of_life": round(one.clock.now() - one.last_sign, 1),
            "waits_for": self._waits_for(one),
            "leg_of": one.row.leg_of,
        }

    def _waits_for(self, one: Driver) -> str:
        doing = type(one.ear.doing)
        among_people = self._service.people.waits_for(one.row)
        if among_people and doing in (Music, Bridge, Resume):
            return among_people
        return WAITING_FOR.get(doing, "")

    def _end(self, call: str) -> int:
        ended = [one for one in self._service.drivers.values() if one.row.id == call]
        for one in ended:
            one.end()
        return len(ended)

    def _maintain(self, request: dict[str, Any]) -> list[str]:
        known = self._service.hotlines.lines
        lines = request.get("lines") or list(known)
        if "on" not in request or not isinstance(lines, list) or not set(lines) <= known.keys():
            return sorted(self._service.maintenance)
        for line in lines:
            if request.get("on"):
                self._service.maintenance.add(line)
            else:
                self._service.maintenance.discard(line)
        return sorted(self._service.maintenance)

    def _files(self, reloading: Reloading) -> dict[str, Any]:
        """The lines in use, and why what was read last is not."""
        failed = reloading.failed_at
        return {
            "lines": sorted(self._service.hotlines.lines),
            "problems": list(reloading.problems),
            "failed_at": failed.isoformat(timespec="seconds") if failed is not None else None,
        }

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._watchers.add(queue)
        left = asyncio.create_task(reader.read())  # a watcher says nothing more, until it leaves
        left.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            line: str | None = json.dumps({"what": "watching"})
            while line is not None:
                writer.write((line + "\n").encode())
                await writer.drain()
                line = await queue.get()
        finally:
            self._watchers.discard(queue)
            left.cancel()


class NoService(Exception):
    """No service is running here (its control socket does not answer)."""


async def ask(at: Path, request: dict[str, Any]) -> AsyncIterator[Any]:
    """Ask the service: what its workers say, together. Of `watch`, everything that any of them
    says until the last has gone, also those that come later. Raises NoService."""
    if request.get("ask") == "watch":
        async for row in _watched(at):
            yield row
        return
    found = await answers(at, request)
    if found is None:
        raise _nobody(at)
    if found:
        yield _together(found)


async def answers(at: Path, request: dict[str, Any]) -> list[Any] | None:
    """What each worker that runs answers; None if there is none."""
    asked = await asyncio.gather(*(_asked(door, request) for door in doors(at)))
    if all(found is None for found in asked):
        return None
    return [answer for found in asked for answer in found or ()]


def _together(found: Sequence[Any]) -> Any:
    match found[0]:
        case list():
            return [row for answer in found for row in answer]
        case {"ended": int()}:
            return {"ended": sum(answer["ended"] for answer in found)}
        case {"maintenance": list()} as one if len(one) == 1:
            closed = {line for answer in found for line in answer["maintenance"]}
            return {"maintenance": sorted(closed)}
        case {"problems": list()}:
            return max(found, key=lambda answer: len(answer["problems"]))
        case first:
            return first


async def _asked(door: Path, request: dict[str, Any]) -> list[Any] | None:
    """What one worker answers: one thing, or nothing in time; None if there is none, or if it
    is gone before all was said."""
    opened = await _opened(door, request)
    if opened is None:
        return None
    reader, writer = opened
    try:
        within = None if request.get("ask") == "reload" else ANSWER
        line = await asyncio.wait_for(reader.readline(), within)
        if line and not line.endswith(b"\n"):
            return None  # it ended in the middle of its answer
        return [json.loads(line)] if line else []
    except (TimeoutError, ConnectionError):
        return []
    finally:
        writer.close()


async def _opened(
    door: Path, request: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        reader, writer = await asyncio.open_unix_connection(str(door), limit=1 << 20)
    except OSError:
        return None
    writer.write((json.dumps(request) + "\n").encode())
    return reader, writer


async def _watched(at: Path) -> AsyncIterator[Any]:
    rows: asyncio.Queue[Any] = asyncio.Queue()
    following: dict[Path, asyncio.Task[None]] = {}

    async def follow(
        door: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            with contextlib.suppress(ConnectionError, ValueError):
                while line := await reader.readline():
                    rows.put_nowait(json.loads(line))
        finally:
            writer.close()
            del following[door]
            rows.put_nowait(None)

    async def join() -> None:
        for door in doors(at):
            if door not in following and (found := await _opened(door, {"ask": "watch"})):
                following[door] = asyncio.create_task(follow(door, *found))

    async def join_later() -> None:
        while True:
            await asyncio.sleep(JOINS)
            await join()

    await join()
    if not following:
        raise _nobody(at)
    joining = asyncio.create_task(join_later())
    try:
        while following or not rows.empty():
            if (row := await rows.get()) is not None:
                yield row
    finally:
        tasks = [joining, *following.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _nobody(at: Path) -> NoService:
    what = f"no service answers at {at}: start a line with `make run`"
    return NoService(f"{what}, or `sansheng serve` beside your own Asterisk")
