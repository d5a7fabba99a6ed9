"""What happens in calls as sentences for a terminal: one line an event.

Rules this module keeps:

- No I/O: an event of the service's `watch` stream (`ivr.control`) comes in, text goes out.
- Whoever hangs up first has ended the call; that the other side is gone then, too, tells nothing.
- Numbers are masked here again: what ops see on a screen others see too.
- What tells a person nothing (timers, notes, the journal's small change) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from ivr.redact import mask, masked

TOLD = {
    "Offered": "rings",
    "Answered": "is answered",
    "Voice": "the caller speaks",
    "Noise": "there is noise on the line",
    "Music": "hears music and waits",
    "Record": "is being recorded",
    "LookUp": "something is looked up",
    "Found": "it was found",
    "NotFound": "it was not found",
    "LookupFailed": "the lookup failed",
    "Keep": "something is written down",
    "Stored": "it was kept",
    "StoreFailed": "[red]it could not be kept[/]",
    "HungUp": "[yellow]the caller hangs up[/]",
    "HangUp": "[yellow]we hang up[/]",
    "EndAsked": "ops ask for the end",
    "Unplayable": "[red]a prompt could not be played[/]",
    "JoinLine": "waits for a person",
    "Unstaffed": "[red]nobody takes calls there[/]",
    "RingAgent": "{agent}'s phone is rung",
    "PlayRecording": "the caller's own words are played",
    "HandOver": "[green]1: the caller is put through[/]",
    "AgentAnswered": "the agent hears the note",
    "AgentAccepted": "[green]the agent takes the call[/]",
    "AgentFailed": "[yellow]the agent does not take the call: {reason}[/]",
    "Bridge": "talks to the agent",
    "FeatureAsked": "the agent keys the code of '{feature}'",
    "Resume": "talks to the agent again",
    "AgentGone": "[yellow]the agent hangs up[/]",
    "BridgeOver": "the talk is over",
}
"""Events and actions as sentences about a call."""


def words(event: Mapping[str, Any], *, whole: bool = False) -> str:
    """What happened, in a few words; "" if it tells nothing. `whole` shows numbers unmasked."""
    what = str(event.get("what", ""))
    show = (lambda text: text) if whole else masked
    if what == "Say":
        text = escape(show(str(event.get("text", ""))))
        return f"[green]{text}[/]  [dim]{escape(str(event.get('prompt', '')))}[/]"
    if what == "Key":
        return f"[cyan]key {escape(str(event.get('digit', '')))}[/]"
    if what == "HungUp" and event.get("phone"):
        return TOLD["AgentGone"]
    return TOLD.get(what, "").format_map(_Escaped(event))


class _Escaped(dict[str, Any]):
    """Details of an event as they may stand in a sentence."""

    def __getitem__(self, name: str) -> str:
        return escape(str(self.get(name, "")))


class Teller:
    """Tells the events of a stream one after another; `whole` shows numbers unmasked."""

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._hung_up: set[str] = set()

    def words(self, event: Mapping[str, Any]) -> str:
        """What happened, in a few words; "" if it tells nothing new."""
        what, call = event.get("what"), str(event.get("call", ""))
        if what == "HangUp":
            self._hung_up.add(call)
        elif what == "HungUp" and call in self._hung_up:
            self._hung_up.discard(call)
            return ""
        return words(event, whole=self._whole)

    def sentence(self, event: Mapping[str, Any]) -> str:
        """One line for ops: when, which line, who, what; "" if it tells nothing new."""
        said = self.words(event)
        if not said:
            return ""
        caller = mask(str(event.get("caller", ""))) or "withheld"
        if phone := event.get("phone"):
            caller += f" (our phone {escape(str(phone))})"
        return f"{float(event.get('at', 0.0)):7.1f} s  {event.get('line', '')} {caller}  {said}"
