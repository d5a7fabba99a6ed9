"""What a call can ask for: a closed set of frozen wishes.

Rules this module keeps:

- Pure: an action says what should happen, never how Asterisk is made to do it. `ivr.driver`
  knows how.
- `Foreground` actions use the caller's ear or mouth. There is one at a time; a new one ends
  the one before, and the old one's answer is then no longer awaited.
- Every action that is answered carries an `id`, and the answer carries it back. The pairs
  stand in each class's docstring.
- Lengths are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ivr.events import Values


@dataclass(frozen=True, slots=True)
class Action:
    """Something we want done."""


@dataclass(frozen=True, slots=True)
class Foreground(Action):
    """Takes the caller's ear or mouth until it is answered or another foreground action begins."""

    id: int


# ---------------------------------------------------------------- foreground


@dataclass(frozen=True, slots=True)
class Ring(Foreground):
    """Let it ring until the caller has heard `until` seconds of ringing in all. -> Rung."""

    until: float


@dataclass(frozen=True, slots=True)
class PickUp(Foreground):
    """Answer the call. -> Answered."""


@dataclass(frozen=True, slots=True)
class Say(Foreground):
    """Play one prompt. -> Said, or Unplayable.

    `prompt` is its name in the line's texts, `slots` what is filled in. `keys` and `voice`
    say whether a key or a voice stops it (a key always arrives as an event).
    """

    prompt: str
    slots: Values = ()
    keys: bool = True
    voice: bool = False


@dataclass(frozen=True, slots=True)
class Listen(Foreground):
    """Be quiet and listen for a key or a voice. -> Silence after `seconds`."""

    seconds: float
    voice: bool = True


@dataclass(frozen=True, slots=True)
class HearOut(Foreground):
    """The caller is speaking: listen until they have been quiet for `quiet` seconds, or have
    spoken for `limit`. -> HeardOut."""

    quiet: float = 0.8
    limit: float = 20.0


@dataclass(frozen=True, slots=True)
class Music(Foreground):
    """Music on hold, until something else is wanted. Keys arrive as events."""

    name: str = "default"


@dataclass(frozen=True, slots=True)
class Record(Foreground):
    """Record the caller after a beep. -> Recorded.

    Ends with the key `#`, after `quiet` seconds without a voice, or after `limit`. `what`
    says what it is ("message", "surname") and is no part of any file name.
    """

    what: str
    limit: float
    quiet: float = 4.0


@dataclass(frozen=True, slots=True)
class PlayRecording(Foreground):
    """Play what somebody said, by the recording's reference. -> Said, or Unplayable. At most
    `seconds` of it are heard."""

    recording: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bridge(Foreground):
    """Let the caller talk to the agent rung by `RingAgent` with the id `leg`. -> BridgeOver. A
    `FeatureAsked` meanwhile gives us the caller's ear without ending it."""

    leg: int


@dataclass(frozen=True, slots=True)
class Resume(Foreground):
    """Give the caller back to the conversation that a feature code interrupted. The `Bridge`'s
    own answer is still awaited."""


@dataclass(frozen=True, slots=True)
class HandOver(Foreground):
    """On an agent's leg: the agent has accepted; let go of the phone and wait to be bridged.
    Nothing is answered; this leg's call is over."""


@dataclass(frozen=True, slots=True)
class HangUp(Foreground):
    """End the call. Nothing is answered; the call is over."""


# ---------------------------------------------------------------- in the background


@dataclass(frozen=True, slots=True)
class SetTimer(Action):
    """-> TimerFired after `seconds`. `name` is for people who read the journal."""

    id: int
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer(Action):
    """The timer with this `id` no longer matters."""

    id: int


@dataclass(frozen=True, slots=True)
class LookUp(Action):
    """Ask a back end of this line. -> Found, NotFound or LookupFailed."""

    id: int
    name: str
    arguments: Values = ()


@dataclass(frozen=True, slots=True)
class CancelLookUp(Action):
    """The answer of the lookup with this `id` no longer matters."""

    id: int


@dataclass(frozen=True, slots=True)
class Note(Action):
    """Write one value into the call's record ("kind", "result", "rating", "ended_by", …)."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Keep(Action):
    """Keep something that must outlive the call. -> Stored once committed, or StoreFailed.

    `kind` is what is kept ("message", "complaint", "suggestion", "caller"); `values` are its
    fields (contact, recording, surname, staff_number, item, …). `within` is the promised
    time for an answer, as written in the line's settings, empty if nothing is promised.
    """

    id: int
    kind: str
    values: Values = ()
    within: str = ""


@dataclass(frozen=True, slots=True)
class Ignored(Action):
    """Nothing to do: an event came too late, or no state wanted it. `why` is for the journal."""

    why: str


# ---------------------------------------------------------------- people


@dataclass(frozen=True, slots=True)
class Survey(Action):
    """How does it look at this department now? -> Surveyed. `staff_number`: only this agent."""

    id: int
    department: str
    staff_number: str = ""


@dataclass(frozen=True, slots=True)
class JoinLine(Action):
    """Join the waiting line of a department. -> Placed and Claimed as often as they come, or
    Unstaffed as the last. First come, first served; the place is kept while an agent is tried."""

    id: int
    department: str
    staff_number: str = ""


@dataclass(frozen=True, slots=True)
class LeaveLine(Action):
    """Leave the waiting line that was joined with this `id`. `ticket`, if given, is the stored
    call-back that keeps the caller's place."""

    id: int
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class RingAgent(Action):
    """Ring a claimed agent and say the note. -> AgentAnswered, then AgentAccepted or AgentFailed.

    `agent` is the staff number, `note` the values the agent hears and sees, `reference` the
    stored note's, `seconds` how long the phone may ring. Carried out only once the journal with
    this action is committed.
    """

    id: int
    agent: str
    note: Values
    reference: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelRing(Action):
    """The agent rung with this `id` is let go: the phone stops ringing, or is hung up."""

    id: int


@dataclass(frozen=True, slots=True)
class Release(Action):
    """The claim on an agent is given back. `outcome` decides the agent's next state: free (never
    rung), busy, no_answer, unreachable, refused, no_key, dropped, failed, talked (wrap-up)."""

    agent: str
    outcome: str
