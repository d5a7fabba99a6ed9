"""Two people in a conversation, and the feature codes of the one who works here.

Rules this module keeps:

- `EXEC Bridge` lasts until either side leaves; `BRIDGERESULT` then says SUCCESS, or NONEXISTENT
  at once if there is no such channel. Keys pressed meanwhile are heard by the other side, not by
  any script.
- A feature code opens another AGI session on the other side's channel ("peer") or on one's own
  ("self"). Who listens to it is out of the conversation until it is over; codes that come
  meanwhile wait. Whoever leaves meanwhile ends the conversation when it is over.
- A script that still ran on the channel that is fetched is torn off: it hears HANGUP.
- A code is known to a channel only if `DYNAMIC_FEATURES` on it names the feature.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ivr.clock import Timer
from ivr.fake_channel import Channel
from ivr.fake_commands import Running

if TYPE_CHECKING:
    from ivr.fake_agi import AgiSession

CODE_TIMEOUT = 1.0
"""Seconds after a key of a code until the next; then it was none (featuredigittimeout)."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What a code does: it opens the script `path` with the arguments on the "peer"'s channel or
    one's own ("self"). `name` is what DYNAMIC_FEATURES calls it."""

    code: str
    name: str
    side: str = "peer"
    path: str = "feature"
    arguments: tuple[str, ...] = ()


class Bridge(Running):
    """EXEC Bridge: talk to the channel of this name or unique id."""

    def __init__(self, session: AgiSession, target: str) -> None:
        super().__init__(session)
        self.target = target
        self.bridged: Bridged | None = None

    def start(self) -> None:
        switch = self.session.switch
        other = switch.channel(self.target)
        if other is None or other.dead or other is self.channel:
            self.channel.variables["BRIDGERESULT"] = "NONEXISTENT"
            self.end("200 result=0")
            return
        if other.session is not None and not other.bridge:
            other.session.hung_up()  # it is fetched out of the script that still ran
        self.channel.music_off()
        self.bridged = Bridged(self.channel, other, switch.features, self.over)

    def over(self) -> None:
        """The conversation has ended, and this side is free."""
        self.channel.variables["BRIDGERESULT"] = "SUCCESS"
        if self.session.running is self:
            self.end("200 result=0")

    def stop(self) -> None:
        if self.bridged is not None:
            self.channel.variables["BRIDGERESULT"] = "SUCCESS"
            self.bridged.left(self.channel)

    def dead_reply(self) -> str:
        return "200 result=0"


class Bridged:
    """The conversation of a caller and an agent. `over` is called when it has ended and the
    caller's channel is free; the agent's goes on in its dialplan (`Channel.on_parted`)."""

    def __init__(
        self,
        caller: Channel,
        agent: Channel,
        features: Sequence[Feature],
        over: Callable[[], None],
    ) -> None:
        self.began = caller.clock.now()
        self.ended: float | None = None
        self._sides = {caller: agent, agent: caller}
        self._features = features
        self._then = {caller: over, agent: agent.on_parted}
        self._keys = {caller: "", agent: ""}
        self._timers: dict[Channel, Timer] = {}
        self._asked: dict[Channel, deque[Feature]] = {caller: deque(), agent: deque()}
        self._busy = {caller: False, agent: False}
        for channel, other in self._sides.items():
            channel.bridge = self
            channel.ears.attend()
            channel.ears.tell("bridged", other.name)
        for channel in self._sides:
            channel.on_bridged()

    def left(self, channel: Channel) -> None:
        """This side is gone: the conversation is over for both."""
        if self.ended is not None:
            return
        self.ended = channel.clock.now()
        for timer in self._timers.values():
            timer.cancel()
        for side in self._sides:
            side.bridge = None
            if side is not channel and not self._busy[side]:
                self._free(side)

    def _free(self, side: Channel) -> None:
        if not side.dead:
            side.ears.tell("parted")
            self._then[side]()

    # ------------------------------------------------------------ keys

    def key(self, channel: Channel, key: str) -> bool:
        """A key pressed in the conversation: part of a code, or heard by the other side."""
        if channel in self._timers:
            self._timers.pop(channel).cancel()
        keys = self._keys[channel] + key
        known = self._known(channel)
        if keys in known:
            self._keys[channel] = ""
            feature = known[keys]
            self._run(self._sides[channel] if feature.side == "peer" else channel, feature)
        elif any(code.startswith(keys) for code in known):
            self._keys[channel] = keys
            self._timers[channel] = channel.clock.call_later(
                CODE_TIMEOUT, lambda: self._no_code(channel)
            )
        else:
            self._keys[channel] = keys
            self._no_code(channel)
        return True

    def _known(self, channel: Channel) -> dict[str, Feature]:
        names = channel.variables.get("DYNAMIC_FEATURES", "").split("#")
        return {one.code: one for one in self._features if one.name in names}

    def _no_code(self, channel: Channel) -> None:
        """The keys were meant for the other side."""
        self._timers.pop(channel, None)
        keys, self._keys[channel] = self._keys[channel], ""
        other = self._sides[channel]
        if not self._busy[other]:
            for key in keys:
                other.ears.tell("key", key)

    # ------------------------------------------------------------ features

    def _run(self, side: Channel, feature: Feature) -> None:
        if self._busy[side]:
            self._asked[side].append(feature)
            return
        self._busy[side] = True
        side.ears.tell("feature", feature.name)
        side.switch.run_script(
            side, feature.path, feature.arguments, partial(self._feature_over, side)
        )

    def _feature_over(self, side: Channel, status: str) -> None:
        """The feature's script is over: back into the conversation, if there still is one."""
        self._busy[side] = False
        side.ears.attend()
        if side.dead:
            # the outer session hears of it only now
            if side.session is not None:
                side.session.hung_up()
            elif not side.scripts:
                self.left(side)
                side.finish()
        elif self.ended is not None:
            self._asked[side].clear()
            self._free(side)
        elif self._asked[side]:
            self._run(side, self._asked[side].popleft())
        else:
            side.ears.tell("resumed bridge", self._sides[side].name)
