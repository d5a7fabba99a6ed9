"""An agent's note as text: what the phone shows, and what other programs are told.

Rules this module keeps:

- The text is what the agent hears, word for word, without what is heard in the caller's voice.
- When an agent accepts, other programs are told (the manager event `SanshengNote`, the line's
  webhook); neither holds anybody up, and no name of an agent is in it.
- What stands in a header is cut to a length and holds no sign that means something there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from ivr.briefing import Brief
from ivr.events import Values
from ivr.flow import Line
from ivr.legs import Leg
from ivr.slots import SlotError
from ivr.telling import tell
from ivr.webhook import Sender

if TYPE_CHECKING:
    from ivr.server import Service

WEBHOOK = 5.0
"""Seconds that a webhook may take."""
BRIEFING = "briefing"
"""The flow that an agent hears; what it says is the note as text."""
DISPLAY = 40
"""Characters of the note that a phone shows."""
EVENT = 300
"""Characters of the note in a manager event, whose lines are short."""

log = structlog.get_logger("notes")


class Notes:
    """The notes of one service's transfers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sender = Sender(service.clock, limit=WEBHOOK)

    def display(self, line: Line, note: Values) -> str:
        """What an agent's phone shows of a note."""
        return shown(self.text(line, note), DISPLAY)

    def tell(self, leg: Leg) -> None:
        """This agent takes the call: tell whoever wants to know."""
        text = self.text(leg.line, leg.wish.note)
        told = {
            "line": leg.line.name,
            "call": leg.call.id,
            "agent": leg.wish.agent,
            "reference": leg.wish.reference,
            "note": shown(text, EVENT),
        }
        self._service.spawn(tell(self._service.bell, "SanshengNote", told))
        self._service.spawn(self._tell_webhook(leg, text))

    async def _tell_webhook(self, leg: Leg, text: str) -> None:
        told = {
            "event": "note",
            "line": leg.line.name,
            "call": leg.call.id,
            "agent": leg.wish.agent,
            "reference": leg.wish.reference,
            "note": dict(leg.wish.note),
            "text": text,
        }
        hook = leg.line.staff.transfer.webhook
        if hook is None:
            return
        why = await self._sender.post(hook.url, hook.token, told)
        if why:
            log.warning("a webhook was not told a note", call=leg.call.id, why=why)

    async def close(self) -> None:
        """Close what is open."""
        await self._sender.close()

    def text(self, line: Line, note: Values) -> str:
        """The note as text: what the agent hears, without what is heard in the caller's voice."""
        values = {name: value for name, value in note if value}
        said: list[str] = []
        for say in _parts(line, values):
            name = say.format_map(_Filled(values))
            slots = {slot: values.get(slot, "") for slot in line.prompts.get(name, ())}
            try:
                said.append(self._service.hotlines.library.text(line.name, name, slots))
            except (KeyError, SlotError) as error:
                log.error("a part of a note cannot be said", prompt=name, why=str(error))
        return "".join(said)


class _Filled(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def _parts(line: Line, values: Mapping[str, str]) -> Iterable[str]:
    """The prompts of a note that say something, for these values."""
    flow = line.flows.get(BRIEFING)
    for state in flow.states.values() if flow is not None else ():
        if isinstance(state.activity, Brief):
            for part in state.activity.parts:
                same = part.unlike and values.get(part.needs) == values.get(part.unlike)
                last = part is state.activity.parts[-1]
                if not (part.play or same or last) and (not part.needs or values.get(part.needs)):
                    yield part.say


def shown(text: str, most: int) -> str:
    """Text as it may stand in a header: no sign that means something there, cut to a length."""
    return re.sub(r'[\x00-\x1f\x7f"\\<>();,]+', " ", text)[:most].strip()
