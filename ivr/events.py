"""What can happen to a call: a closed set of frozen facts.

Rules this module keeps:

- Pure: no clock, no socket, no file, no randomness. Whoever drives a call (the driver, the
  simulator, a replayed journal) makes the events; `ivr.call` only reads them.
- Everything the machine may ever know about the outside comes in through here: times as
  lengths in seconds, dates as facts already decided ("open"), random names and ids as text.
- An event that answers an action carries that action's `id`. One whose id is no longer
  awaited is dropped by the machine and journalled.
- What the caller does of their own accord (a key, a voice, hanging up) has no id.
- Secret digits never become events.
"""

from __future__ import annotations

from dataclasses import dataclass

Values = tuple[tuple[str, str], ...]
"""Named values in a fixed order, hashable: `(("status", "delivered"), …)`."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""


# ---------------------------------------------------------------- the call itself


@dataclass(frozen=True, slots=True)
class Offered(Event):
    """A call rings at the line. Always the first event of a call, and never again.

    `rung` is how long the caller had heard it ringing already, in seconds. `caller` is the
    caller's number as the network gave it, empty if withheld. `addressee` is how the
    directory says this caller is addressed ("王女士"), empty if unknown; `role` is what the
    directory says the caller is ("manager"), empty if nothing. `open` says whether people
    are at work now. `maintenance` says that ops declared maintenance. `known`: the line was told
    in an earlier call who rings from this number.
    """

    number: str
    caller: str = ""
    rung: float = 0.0
    addressee: str = ""
    role: str = ""
    open: bool = True
    maintenance: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True)
class Summoned(Event):
    """One of our own people has picked up a phone that we rang, to hear a note. Always the first
    event of such a leg, in place of `Offered`. `values` are the note's."""

    values: Values = ()


@dataclass(frozen=True, slots=True)
class Reached(Event):
    """Somebody whom we promised a call has picked up the phone. Always the first event of a
    call-back, in place of `Offered`. `leg` is the id of the agent's phone that waits to be
    bridged, 0 if there is none (any more); `values` say who is reached and who the agent is."""

    leg: int = 0
    values: Values = ()


@dataclass(frozen=True, slots=True)
class HungUp(Event):
    """The caller is gone."""


@dataclass(frozen=True, slots=True)
class EndAsked(Event):
    """Ops asked us to end this call; we say goodbye first."""


# ---------------------------------------------------------------- what the caller does


@dataclass(frozen=True, slots=True)
class Key(Event):
    """The caller pressed one key: 0-9, * or #."""

    digit: str


@dataclass(frozen=True, slots=True)
class Voice(Event):
    """The caller has begun to speak (debounced: clicks are no voice)."""


@dataclass(frozen=True, slots=True)
class Noise(Event):
    """There is steady sound on the line, but nobody speaks (INF-6)."""


# ---------------------------------------------------------------- answers to actions


@dataclass(frozen=True, slots=True)
class Answer(Event):
    """Answers the action with this `id`."""

    id: int


@dataclass(frozen=True, slots=True)
class Rung(Answer):
    """The time to ring is over. `rung` is the whole ring time so far, in seconds."""

    rung: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered(Answer):
    """We have picked up. `rung` is how long the caller heard it ringing, in seconds."""

    rung: float = 0.0


@dataclass(frozen=True, slots=True)
class Said(Answer):
    """The prompt has been played to its end."""


@dataclass(frozen=True, slots=True)
class Unplayable(Answer):
    """The prompt could not be played; the caller heard nothing of it."""


@dataclass(frozen=True, slots=True)
class Silence(Answer):
    """The time to listen ran out and nothing was heard."""


@dataclass(frozen=True, slots=True)
class HeardOut(Answer):
    """The caller who spoke has stopped (or has spoken for as long as we listen)."""


@dataclass(frozen=True, slots=True)
class Recorded(Answer):
    """A recording is finished.

    `recording` is its reference, empty if nothing was kept. `seconds` is its length.
    `quality` is one of fine, silent, quiet, noisy, clipped. `ended_by` is one of key,
    silence, limit, hangup.
    """

    recording: str = ""
    seconds: float = 0.0
    quality: str = "fine"
    ended_by: str = "key"


@dataclass(frozen=True, slots=True)
class TimerFired(Answer):
    """A timer that we set has run out."""


@dataclass(frozen=True, slots=True)
class Found(Answer):
    """A lookup has an answer."""

    values: Values = ()


@dataclass(frozen=True, slots=True)
class NotFound(Answer):
    """A lookup worked and knows nothing of this."""


@dataclass(frozen=True, slots=True)
class LookupFailed(Answer):
    """A lookup did not work: back end down, too slow, or an answer that makes no sense."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stored(Answer):
    """What we asked to be kept is committed; it survives a crash. `reference` names it.
    `promised`: so is the promise that was to be made with it, if any was."""

    reference: str = ""
    promised: bool = True


@dataclass(frozen=True, slots=True)
class StoreFailed(Answer):
    """What we asked to be kept could not be kept; nothing may be promised."""


# ---------------------------------------------------------------- people


@dataclass(frozen=True, slots=True)
class Progress(Answer):
    """An answer that is not the last one: its id stays awaited."""


@dataclass(frozen=True, slots=True)
class Surveyed(Answer):
    """How it looks at a department now. `staffed`: somebody there takes calls, now or soon.
    `ahead` callers wait; `minutes` is the likely wait, 0 if somebody is free now."""

    staffed: bool = False
    ahead: int = 0
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Placed(Progress):
    """Where the caller now stands in the waiting line; told whenever it changes."""

    ahead: int = 0
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Claimed(Progress):
    """This agent (a staff number) is ours alone, and rung by nobody else, until released."""

    agent: str = ""


@dataclass(frozen=True, slots=True)
class Unstaffed(Answer):
    """Nobody of the department takes calls any more; waiting makes no sense."""


@dataclass(frozen=True, slots=True)
class AgentAnswered(Progress):
    """The agent has picked up and hears the note now."""


@dataclass(frozen=True, slots=True)
class AgentAccepted(Answer):
    """The agent has heard the note, takes the call, and waits to be bridged."""


@dataclass(frozen=True, slots=True)
class AgentFailed(Answer):
    """This agent will not take this call.

    `reason` is one of busy, no_answer, unreachable, refused, no_key (heard the note and pressed
    nothing), dropped (hung up before deciding), failed (our own or the switch's trouble).
    """

    reason: str = "failed"


@dataclass(frozen=True, slots=True)
class AgentGone(Event):
    """The agent who had accepted has hung up. `agent` is the staff number."""

    agent: str = ""


@dataclass(frozen=True, slots=True)
class FeatureAsked(Event):
    """The agent pressed a feature code in the conversation; we have the caller's ear now (but for
    `back`, which ends a hold). `feature` is its name in the line's `features`."""

    feature: str


@dataclass(frozen=True, slots=True)
class BridgeOver(Answer):
    """The conversation is over and the caller is with us again. `talked` is its length in
    seconds; `reason` is agent (hung up) or failed (it never began)."""

    reason: str = "agent"
    talked: float = 0.0


PRECEDENCE: tuple[type[Event], ...] = (
    HungUp,
    EndAsked,
    AgentGone,
    AgentAccepted,
    AgentFailed,
    AgentAnswered,
    BridgeOver,
    Claimed,
    Placed,
    Unstaffed,
    FeatureAsked,
    Found,
    NotFound,
    LookupFailed,
    Key,
    Voice,
    Noise,
)
"""Events due at the same instant are taken in this order; all others come after, in the
order in which they were made."""


def precedence(event: Event) -> int:
    """Rank of an event among those due at the same instant; the lowest goes first."""
    for rank, kind in enumerate(PRECEDENCE):
        if isinstance(event, kind):
            return rank
    return len(PRECEDENCE)
