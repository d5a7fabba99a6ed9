"""A phone that we ring, as Asterisk's manager tells of it: it rings, is answered, is over, and why.

Rules this module keeps:

- Pure. What is done about it is `ivr.legs` for our own people, `ivr.outgoing` for who is called
  back.
- Reasons are Asterisk's own, as measured: not answered (18, 19) only if it rang, unreachable if
  there was no channel at all or it never rang; which other cause means what is the caller's.
- The two events that tell of an end come in any order. The channel's own says more: who hears of
  the other first waits for it, for `SETTLE` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

WATCHED = frozenset({"Hangup", "OriginateResponse", "DialState", "DialEnd"})
"""What Asterisk tells of phones that are rung."""
SETTLE = 0.2
"""How long the word of a channel's end may come after the word that the ringing has failed."""
RINGS, ANSWERED, IN_VAIN, OVER = "rings", "answered", "in_vain", "over"
NO_ANSWER = frozenset({"18", "19"})
"""Causes of a phone that was not picked up."""


def channel(event: Mapping[str, str]) -> str:
    """The channel of the phone that an event is about."""
    return event.get("DestUniqueid") or event.get("Uniqueid", "")


def news(event: Mapping[str, str]) -> str:
    """What an event says of a phone: RINGS, ANSWERED, IN_VAIN (the ringing has failed), OVER (its
    channel is no more); empty if nothing."""
    match event.get("Event"):
        case "DialState" if event.get("DialStatus") == "RINGING":
            return RINGS
        case "DialEnd" if event.get("DialStatus") == "ANSWER":
            return ANSWERED
        case "OriginateResponse":
            return ANSWERED if event.get("Response") == "Success" else IN_VAIN
        case "Hangup":
            return OVER
    return ""


def reason(cause: str, rang: bool, causes: Mapping[str, str]) -> str:
    """Why a phone was not answered, by the cause of its channel's end."""
    return unanswered(rang) if cause in NO_ANSWER else causes.get(cause, "failed")


def unanswered(rang: bool) -> str:
    """Why a phone was not answered that did ring, or did not."""
    return "no_answer" if rang else "unreachable"
