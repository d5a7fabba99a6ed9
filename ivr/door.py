"""One AGI session's commands, one at a time, and the doorbell that ends the one that runs.

Rules this module keeps:

- One task sends commands. Whoever wants something else sets `wanted`; the command that runs is
  then ended by the doorbell (`D` sent into the channel over AMI), rung again every 100 ms until
  its reply is there.
- Without the doorbell, what was known of a voice is forgotten with the connection that told us.
- A key always becomes an event.
- Before each activity Asterisk is told how long we may take at most (`TIMEOUT(absolute)`), so
  that a service that freezes is noticed by the dialplan (the caller then hears its apology).
  An Asterisk that has not answered long after that is gone, and so is the connection to it.
- What is done with the caller's ear and mouth is `ivr.channel`'s.
- Lengths are in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ivr import actions
from ivr.actions import Foreground
from ivr.agi import Reply, Session
from ivr.clock import Clock, Timer
from ivr.events import Event, HungUp, Key
from ivr.hearing import Hearing

KEYS = "0123456789*#"
BELL = "D"
BELL_AGAIN = 0.1
"""Seconds between two rings of the doorbell; a ring may fall between two commands and be lost."""
GRACE = 8
"""Seconds that the service may be late before the dialplan takes the caller back."""
HALF_OPEN = 5.0
"""Seconds after which a call that the dialplan must have taken back is given up."""


class Part(Protocol):
    """One recorded part of a prompt: its path below the sounds folder, and its length."""

    @property
    def path(self) -> str: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """A recording that has been taken out of the spool."""

    reference: str
    seconds: float
    quality: str


class Surroundings(Protocol):
    """What a channel needs from the service around it."""

    clock: Clock
    sounds: Path
    spool: Path
    threshold: int

    @property
    def bells(self) -> int:
        """Which connection to the manager carries the doorbell; 0: there is none now."""

    @property
    def features(self) -> str:
        """What an agent may press in a conversation, as Asterisk is told it."""

    @property
    def own(self) -> str:
        """Where later sessions of this call come to us, HOST:PORT; "" if wherever all come."""

    def parts(self, prompt: str, slots: dict[str, str]) -> Sequence[Part]: ...
    def rung(self) -> float: ...
    def next_timer(self) -> float: ...
    def recording_begins(self, name: str, what: str) -> None: ...
    async def take(self, what: str, slices: Sequence[str]) -> Taken: ...
    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None: ...
    async def give_back(self, path: str) -> None: ...
    def agent(self, leg: int) -> str: ...
    def ring_doorbell(self, channel: str) -> None: ...


class Door:
    """The commands of one AGI session, and what ends them early.

    `post` receives the events; it must not call back into the session. `want` sets what is to be
    done.
    """

    def __init__(
        self, session: Session, around: Surroundings, post: Callable[[Event], None]
    ) -> None:
        self._session = session
        self._around = around
        self._clock = around.clock
        self._post = post
        self._wanted: Foreground | None = None
        self._doing: Foreground | None = None
        self._changed = asyncio.Event()
        self._bell: Timer | None = None
        self._bells = around.bells
        self._in_command = False
        self._recording = False
        self._left = False
        self._music = False
        self._due = float("inf")
        self._watchdog: Timer | None = None
        self.hearing = Hearing(self._clock, on_voice=self._voice, on_quiet=self._quiet)
        self.on_voice: Callable[[], None] = lambda: None
        self.overdue = False
        """The call was taken from us because we were too late."""
        session.on_hangup = self._hung_up

    @property
    def late(self) -> bool:
        """Whether Asterisk has waited for us longer than it should."""
        return self._clock.now() >= self._due

    @property
    def name(self) -> str:
        """Asterisk's name of the channel."""
        return self._session.environment.get("channel", "")

    @property
    def doing(self) -> Foreground | None:
        """What is being done now."""
        return self._doing

    def want(self, action: Foreground) -> None:
        """Do this from now on, in place of what is being done."""
        self._wanted = action
        self._changed.set()
        if self._in_command:
            self._wake()

    def stop(self) -> None:
        """Do nothing more; nothing is posted any more."""
        self._left = True
        self._changed.set()

    # -- commands, keys, the doorbell

    async def _grace(self, seconds: float) -> None:
        """Tell Asterisk when to take the caller back from a service that has frozen."""
        longest = round(seconds + 0.5) + GRACE
        self._due = self._clock.now() + longest
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = self._clock.call_later(longest + HALF_OPEN, self._session.abort)
        await self._session.command("SET VARIABLE", "TIMEOUT(absolute)", longest)

    async def _command(self, command: str, *arguments: str | int) -> Reply:
        self._in_command = True
        try:
            return await self._session.command(command, *arguments)
        finally:
            self._in_command = False
            self._stop_bell()

    async def _key(self, reply: Reply) -> None:
        """A key that ended a command becomes an event; then let the machine decide."""
        if reply.digit and reply.digit in KEYS:
            self._changed.clear()
            self._post(Key(reply.digit))
            await self._decided()

    async def _decided(self) -> None:
        """Wait until the machine has taken what was posted."""
        with self._clock.busy("a decision"):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _superseded(self, action: Foreground) -> bool:
        return self._wanted is not action

    def _voice(self) -> None:
        if not self._recording:
            self.on_voice()

    def _bells_now(self) -> bool:
        """Whether the doorbell can be rung now."""
        bells = self._around.bells
        if bells != self._bells:
            self._bells = bells
            self.hearing.forget()
        return bool(bells)

    def _quiet(self) -> None:
        """The caller has stopped speaking; only who hears him out waits for that. A bell would
        cut what he records, or the prompt he speaks over."""
        if isinstance(self._doing, actions.HearOut):
            self._wake()

    def _wake(self) -> None:
        """End the command that runs, by the doorbell, again and again until it has ended."""
        if self._in_command and self._bell is None:
            self._around.ring_doorbell(self.name)
            self._bell = self._clock.call_later(BELL_AGAIN, self._wake_again)

    def _wake_again(self) -> None:
        self._bell = None
        self._wake()

    def _stop_bell(self) -> None:
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None

    async def _parked(self, seconds: float | None = None) -> None:
        """Wait, with no command out, until something else is wanted or the caller is gone."""
        if self._left:
            return
        self._changed.clear()
        timer = self._clock.call_later(seconds, self._changed.set) if seconds is not None else None
        with self._clock.parked(self.name):
            await self._changed.wait()
        if timer is not None:
            timer.cancel()

    def _hung_up(self) -> None:
        if self._left or self._recording:
            return
        self._left = True
        self.overdue = self.overdue or self.late
        self._changed.set()
        self._post(HungUp())
