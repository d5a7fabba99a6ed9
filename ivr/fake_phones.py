"""The phones of people who work here, and what these people do when they ring.

Rules this module keeps:

- A phone takes one call at a time: while it is in one, the next finds it busy, and `overlaps`
  counts that.
- What a person does at each ring was decided before (`scenario.Ring`); the last of the list goes
  on for ever, and a phone without any is not reachable.
- Who drops with `hears` 0 is gone when the script begins; who drops at once, before it begins. On
  a real Asterisk chance decides between the two.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ivr.fake_channel import Channel
from ivr.fake_ears import Part, Script
from ivr.scenario import KEY_GAP, Ring

ANSWERS = frozenset({"accept", "refuse", "ignore", "drop", "drop_in_note"})
"""What a person does who picks up; the others are busy, decline, no_answer and unreachable."""

BEGINS = 0.001
"""Seconds from the action's reply to the phone's ringing, and from its being picked up to the
script's beginning."""

KEYS = {"accept": "1", "refuse": "2"}


@dataclass(slots=True)
class FakePhone:
    """One phone. `calls` are the channels that rang it, with what was heard in each. `name_of`
    and `script` are those of `FakeAsterisk.place_call`."""

    rings: Sequence[Ring] = ()
    name_of: Callable[[str], Part | None] = lambda path: (path, True, True)
    script: Callable[[], Script | None] = lambda: None
    rung: int = 0
    overlaps: int = 0
    registered: bool = True
    calls: list[Channel] = field(default_factory=list)

    @property
    def in_call(self) -> bool:
        """Whether it rings or somebody talks on it."""
        return any(not channel.dead for channel in self.calls)

    @property
    def device_state(self) -> str:
        """What the dialplan function DEVICE_STATE says of it."""
        if not self.registered:
            return "UNAVAILABLE"
        return "INUSE" if self.in_call else "NOT_INUSE"

    def next(self) -> Ring:
        """What is done at this ring."""
        if self.in_call:
            self.overlaps += 1
            return Ring("busy", 0.0)
        self.rung += 1
        if not (self.rings and self.registered):
            return Ring("unreachable", 0.0)
        return self.rings[min(self.rung, len(self.rings)) - 1]


def picked_up(channel: Channel, ring: Ring) -> None:
    """The person has just picked up: do what they do."""
    if ring.does == "drop":
        channel.hang_up()
    elif ring.does == "drop_in_note":
        channel.clock.call_later(max(BEGINS, ring.hears), channel.hang_up)
    elif ring.does in KEYS:
        channel.clock.call_later(ring.hears, lambda: channel.press(KEYS[ring.does]))


def bridged(channel: Channel, ring: Ring) -> None:
    """The conversation begins."""
    for at, keys in ring.keys:
        for place, key in enumerate(keys):
            channel.clock.call_later(at + place * KEY_GAP, partial(channel.press, key))
    if ring.talks is not None:
        channel.clock.call_later(ring.talks, channel.hang_up)
