"""What a call needs of the service around it, and what it is told where there is nobody.

Rules this module keeps:

- Only shapes: who keeps, who looks up, who knows our people. The service is `ivr.server`, people
  are `ivr.switchboard`, a rehearsal has stand-ins.
- Whoever is asked about people answers with events, through `post`, never later than `over`.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ivr import actions, store
from ivr.channel import Part, Taken
from ivr.clock import Clock
from ivr.events import AgentFailed, Event, Surveyed, Unstaffed
from ivr.flow import Line
from ivr.journal import Journal

if TYPE_CHECKING:
    from ivr.driver import Driver
    from ivr.messages import Kept

Post = Callable[[Event], None]
"""How a call is told that something happened."""


class Desk(Protocol):
    """Who takes recordings out of the spool, keeps messages, and knows who has rung before."""

    async def knows(self, line: Line, caller: str, uniqueid: str) -> bool:
        """Whether this line was told in an earlier call who rings from this number (INF-4);
        False if that cannot be found out at once. `uniqueid` is Asterisk's name of this call."""

    async def take(self, call: store.Call, what: str, slices: Sequence[str]) -> Taken: ...
    async def keep(self, call: store.Call, line: Line, wish: actions.Keep) -> Kept: ...


class Lender(Protocol):
    """Who lends kept recordings to be played."""

    async def lend(self, recording: str, seconds: float) -> tuple[str, float] | None:
        """A kept recording where Asterisk can read it: its path there without suffix, and its
        length, cut to `seconds`; None if it cannot be played. To be given back."""

    async def give_back(self, path: str) -> None:
        """What was lent is played no more."""


class People(Protocol):
    """Our own people: who is there, who waits for them, whose phone rings.

    `call` is the caller's record. What is held (a place in a line, a claim on an agent, a phone
    that rings or is in a conversation) is held until it is given back by `leave`, `release` and
    `cancel`; `over` gives back what a call has forgotten.
    """

    async def survey(self, call: store.Call, line: Line, wish: actions.Survey) -> Surveyed: ...

    def join(self, call: store.Call, line: Line, wish: actions.JoinLine, post: Post) -> None: ...

    def leave(self, call: store.Call, line: Line, wish: actions.LeaveLine) -> None: ...

    def ring(self, call: store.Call, line: Line, wish: actions.RingAgent, post: Post) -> None:
        """Ring this agent; the journal with this wish is committed."""

    def cancel(self, call: store.Call, wish: actions.CancelRing) -> None: ...

    def release(self, call: store.Call, line: Line, wish: actions.Release) -> None: ...

    def channel_of(self, call: store.Call, leg: int) -> str:
        """What Asterisk calls the phone that was rung with this id; "" if there is none."""

    def waits_for(self, call: store.Call) -> str:
        """What this call waits for among our people, for ops; "" if for nobody."""

    def over(self, call: store.Call) -> None: ...


class Nobody:
    """Where no people can be reached: every caller is told so."""

    async def survey(self, call: store.Call, line: Line, wish: actions.Survey) -> Surveyed:
        return Surveyed(wish.id, staffed=False)

    def join(self, call: store.Call, line: Line, wish: actions.JoinLine, post: Post) -> None:
        post(Unstaffed(wish.id))

    def leave(self, call: store.Call, line: Line, wish: actions.LeaveLine) -> None:
        """There is no line."""

    def ring(self, call: store.Call, line: Line, wish: actions.RingAgent, post: Post) -> None:
        post(AgentFailed(wish.id, "failed"))

    def cancel(self, call: store.Call, wish: actions.CancelRing) -> None:
        """Nobody rings."""

    def release(self, call: store.Call, line: Line, wish: actions.Release) -> None:
        """Nobody is claimed."""

    def channel_of(self, call: store.Call, leg: int) -> str:
        return ""

    def waits_for(self, call: store.Call) -> str:
        return ""

    def over(self, call: store.Call) -> None:
        """Nothing is held."""


class House(Protocol):
    """The service around a call."""

    clock: Clock
    journal: Journal
    desk: Desk
    lender: Lender
    people: People
    sounds: Path
    spool: Path
    threshold: int
    own: str
    on_entry: Callable[[Driver, Event | actions.Action], None] | None

    @property
    def bells(self) -> int: ...
    async def look_up(self, call: store.Call, line: Line, wish: actions.LookUp) -> Event: ...
    def ring_doorbell(self, channel: str) -> None: ...


class Library(Protocol):
    """What is said."""

    def parts(self, line: str, prompt: str, slots: dict[str, str]) -> Sequence[Part]: ...
    def text(self, line: str, prompt: str, slots: dict[str, str]) -> str: ...
