"""One call-back under way, and the people of its call: an agent who was rung before it began.

Rules this module keeps:

- The agent is given back exactly once, whoever is first: the person's call or the attempt.
- It decides nothing: what is done when is `ivr.calling_back`.

Serves XJCA-6.3b.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ivr import actions, driver, events, store
from ivr.attempts import Attempt
from ivr.callback_rules import Rules
from ivr.events import Event
from ivr.flow import Line
from ivr.house import Post
from ivr.promises import Promise
from ivr.queueing import Claim
from ivr.switchboard import Switchboard

LEG = 1
"""The id of the agent's leg in the call that follows."""


@dataclass(eq=False, slots=True)
class Running:
    """One attempt that this process makes. `news` is what happened to it; `driver` is the
    person's call, once they have picked up. `held`: the agent is ours still."""

    claim: Claim
    attempt: Attempt
    promise: Promise
    line: Line
    rules: Rules
    pseudo: store.Call
    held: bool = True
    driver: driver.Driver | None = None
    news: asyncio.Queue[Event | str] = field(default_factory=asyncio.Queue)

    def post(self, event: Event) -> None:
        """Something happened to the agent."""
        if self.driver is not None:
            self.driver.post(event)
        self.news.put_nowait(event)

    def release(self, people: Switchboard, outcome: str) -> None:
        """Give the agent back, once."""
        if self.held:
            self.held = False
            wish = actions.Release(self.claim.staff_number, outcome)
            people.release(self.pseudo, self.line, wish)


@dataclass(frozen=True, slots=True)
class Held:
    """The people of a call-back's call: its agent was claimed and rung before it began."""

    one: Running
    people: Switchboard

    async def survey(self, call: store.Call, line: Line, wish: actions.Survey) -> events.Surveyed:
        return await self.people.survey(call, line, wish)

    def join(self, call: store.Call, line: Line, wish: actions.JoinLine, post: Post) -> None:
        self.people.join(call, line, wish, post)

    def leave(self, call: store.Call, line: Line, wish: actions.LeaveLine) -> None:
        self.people.leave(call, line, wish)

    def ring(self, call: store.Call, line: Line, wish: actions.RingAgent, post: Post) -> None:
        self.people.ring(call, line, wish, post)

    def cancel(self, call: store.Call, wish: actions.CancelRing) -> None:
        self.people.cancel(self.one.pseudo, wish)

    def release(self, call: store.Call, line: Line, wish: actions.Release) -> None:
        self.one.release(self.people, wish.outcome)

    def channel_of(self, call: store.Call, leg: int) -> str:
        return self.people.channel_of(self.one.pseudo, leg)

    def waits_for(self, call: store.Call) -> str:
        return self.people.waits_for(self.one.pseudo)

    def over(self, call: store.Call) -> None:
        self.people.over(call)
