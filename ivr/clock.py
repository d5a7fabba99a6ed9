"""Time, and everything that waits for it: the system's clock, and one that tests move.

Rules this module keeps:

- All waiting in the service goes through a `Clock`. Nothing else calls `asyncio.sleep`,
  `loop.call_later` or `time`.
- The virtual clock stands still until all is idle, then jumps to the next timer: no job runs in
  the executor, nobody is `busy`, and every one of `holds` agrees. Real time never decides an
  outcome; it only ends a run that hangs.
- A thread of ours that has something to say to the event loop says it `from_thread`: so a virtual
  clock that waits for it sleeps meanwhile, and leaves it the processor.
- Timers due at the same instant run in the order in which they were set. Times are whole
  microseconds inside, so that 0.1 + 0.2 and 0.3 are the same instant.
- Lengths are in seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Protocol, TypeVar, TypeVarTuple

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

WORKERS = 4
"""Threads for blocking work, in each process."""


class Timer(Protocol):
    """A callback that will run; `cancel` makes that it does not."""

    def cancel(self) -> None: ...


class Span(Protocol):
    """Something that lasts as long as its `with` block."""

    def __enter__(self) -> object: ...

    def __exit__(self, *exc: object) -> None: ...


class Clock(Protocol):
    """What the service knows of time."""

    def now(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""

    def utc(self) -> datetime:
        """The date and time, aware, in UTC."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop in so many seconds."""

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""

    async def in_executor(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run blocking work in one of a bounded number of threads."""

    def from_thread(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[*Args], None], *args: *Args
    ) -> None:
        """Run `callback` on the event loop; called by another thread."""

    def busy(self, who: str = "") -> Span:
        """While this lasts, work is going on that the clock cannot see (an HTTP request)."""

    def parked(self, who: str = "") -> Span:
        """While this lasts, one AGI session waits for the clock or an event, and has no command
        outstanding."""


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


_NOTHING = _Nothing()


class _Executor:
    """A bounded pool of threads, made when first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="blocking")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class SystemClock:
    """The time of this machine."""

    def __init__(self) -> None:
        self._executor = _Executor()

    def now(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def in_executor(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        return await self._executor.run(function, *args)

    def from_thread(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[*Args], None], *args: *Args
    ) -> None:
        loop.call_soon_threadsafe(callback, *args)

    def busy(self, who: str = "") -> Span:
        return _NOTHING

    def parked(self, who: str = "") -> Span:
        return _NOTHING

    def close(self) -> None:
        """Wait for the executor's jobs and end its threads."""
        self._executor.close()


class Stuck(Exception):
    """Nothing can happen any more, or nothing does: who waits for what."""


class VirtualTimer:
    """One callback of a virtual clock."""

    __slots__ = ("callback", "due")

    def __init__(self, due: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class _Count:
    """Counts those inside its `with` blocks, by name."""

    __slots__ = ("_names", "_who")

    def __init__(self, names: Counter[str], who: str) -> None:
        self._names = names
        self._who = who

    def __enter__(self) -> None:
        self._names[self._who] += 1

    def __exit__(self, *exc: object) -> None:
        self._names[self._who] -= 1
        if not self._names[self._who]:
            del self._names[self._who]


QUIET = 8
"""Turns of the event loop, with everybody idle, before time moves: from a reply of Asterisk's
over what is decided, kept and decided again to the next command it takes five, and none of those
on the way is seen to be busy."""

SPIN = 20
"""Turns of the event loop in a row with somebody at work before the wait leaves the processor to
other threads: what needs none of them is done by then."""

NAP = 0.002
"""Seconds of real time after which it looks again, whether or not a thread has told it to."""


class VirtualClock:
    """Time that stands still until nothing is left to do, then jumps to the next timer.

    `holds` are asked before every jump, and all must return True. `witnesses` are asked, when
    a run is stuck, what they wait for. `patience` is how many seconds of real time may go by
    in `run` without a jump before it gives up.
    """

    def __init__(self, start: datetime, patience: float = 30.0) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a virtual clock needs a time zone")
        self.holds: list[Callable[[], bool]] = []
        self.witnesses: list[Callable[[], str]] = []
        self.patience = patience
        self.jumps = 0
        self._start = start.astimezone(UTC)
        self._micro = 0
        self._order = 0
        self._timers: list[tuple[int, int, VirtualTimer]] = []
        self._busy: Counter[str] = Counter()
        self._parked: Counter[str] = Counter()
        self._executor = _Executor()
        self._jobs = 0
        self._news = asyncio.Event()

    def now(self) -> float:
        return self._micro / 1e6

    def utc(self) -> datetime:
        return self._start + timedelta(microseconds=self._micro)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> VirtualTimer:
        timer = VirtualTimer(self._micro + max(0, round(seconds * 1e6)), callback)
        self._order += 1
        heappush(self._timers, (timer.due, self._order, timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await woken
        finally:
            timer.cancel()

    async def in_executor(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        with self.busy(getattr(function, "__qualname__", "a job in the executor")):
            self._jobs += 1
            try:
                return await self._executor.run(function, *args)
            finally:
                self._jobs -= 1
                self._news.set()

    def from_thread(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[*Args], None], *args: *Args
    ) -> None:
        def told() -> None:
            self._news.set()
            callback(*args)

        loop.call_soon_threadsafe(told)

    def busy(self, who: str = "somebody") -> Span:
        """While this lasts, time does not move."""
        return _Count(self._busy, who)

    def parked(self, who: str = "a session") -> Span:
        return _Count(self._parked, who)

    def sessions_parked(self) -> int:
        """How many AGI sessions wait without a command outstanding."""
        return self._parked.total() if self._parked else 0

    def idle(self) -> bool:
        """Whether nobody objects to time moving on."""
        if self._busy:
            return False
        for hold in self.holds:  # noqa: SIM110 - asked at every turn: a generator takes twice as long
            if not hold():
                return False
        return True

    def advance(self) -> bool:
        """Jump to the next timer and run all that are due then; False if there is none.

        A timer set by one of them for the same instant waits for the next `advance`, after the
        event loop has had its turn. What a callback raises comes out of here.
        """
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heappop(timers)
        if not timers:
            return False
        self._micro = timers[0][0]
        self.jumps += 1
        last = self._order
        while timers and timers[0][0] == self._micro and timers[0][1] <= last:
            timer = heappop(timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        return True

    async def settle(self) -> None:
        """Let the event loop run until everybody is idle. Raises Stuck after `patience`."""
        began = time.monotonic()
        while not (await self._turns() and self.idle()):
            # leave the processor to threads that we wait for (executor, manager)
            with suppress(TimeoutError):
                async with asyncio.timeout(NAP):
                    await self._news.wait()
            if time.monotonic() - began > self.patience:
                raise Stuck(f"no progress in {self.patience:g} s of real time: {self.describe()}")

    def _turns(self) -> asyncio.Future[bool]:
        """Let the event loop turn: True when it has been quiet for `QUIET` turns, False when
        there is a job to wait for, or after `SPIN` turns that were not quiet.

        It is a callback that comes again at every turn, and not a task: of all that a rehearsal
        does this happens most often. Who waits for it runs a turn later, and asks once more.
        """
        loop = asyncio.get_running_loop()
        over: asyncio.Future[bool] = loop.create_future()
        quiet = loud = 0

        def turn() -> None:
            nonlocal quiet, loud
            if over.done():
                return  # whoever settled was cancelled
            self._news.clear()
            idle = self.idle()
            quiet, loud = (quiet + 1, 0) if idle else (0, loud + 1)
            if quiet == QUIET:
                over.set_result(True)
            elif loud == SPIN or (self._jobs and not idle):
                over.set_result(False)
            else:
                loop.call_soon(turn)

        loop.call_soon(turn)
        return over

    async def run(self, until: Callable[[], bool], limit: float = float("inf")) -> None:
        """Move time on until `until()` is true while all are idle.

        Raises Stuck when nothing can happen any more, when nothing has happened in `patience`
        seconds of real time, or when `limit` seconds of this clock have gone by (something that
        repeats for ever, like a manager's ping, keeps a run from being stuck otherwise).
        """
        last = self.now() + limit
        await self.settle()
        while not until():
            if self.now() > last:
                raise Stuck(f"{limit:g} s have gone by: {self.describe()}")
            if not self.advance():
                raise Stuck(f"nothing can happen any more: {self.describe()}")
            await self.settle()

    async def run_for(self, seconds: float) -> None:
        """Move time on by exactly so many seconds."""
        over: list[bool] = []
        self.call_later(seconds, lambda: over.append(True))
        await self.run(lambda: bool(over))

    def describe(self) -> str:
        """Who waits for what, in words."""
        parts = [f"at {self.now():.3f} s"]
        parts += [f"busy: {who}" for who in self._busy]
        parts += [f"parked: {who} ({count})" for who, count in self._parked.items()]
        parts += [
            f"held by {getattr(hold, '__qualname__', hold)}" for hold in self.holds if not hold()
        ]
        waiting = sum(timer.callback is not None for _, _, timer in self._timers)
        parts.append(f"{waiting} timers")
        parts += [said for witness in self.witnesses if (said := witness())]
        return "; ".join(parts)

    def close(self) -> None:
        """Wait for the executor's jobs and end its threads."""
        self._executor.close()
