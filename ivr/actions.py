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
