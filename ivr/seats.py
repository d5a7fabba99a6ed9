"""What an agent's own phone (座席) may dial: no private calls from a seat.

Rules this module keeps:

- A seat reaches the lines and the codes (the dialplan knows those), the phones of our own people,
  the people in the directory of a line it serves, and the numbers of the open tickets that its
  agent has taken or was given, if we might call these back: a caller chooses what stands there.
  Nothing else is dialled.
- Emergency calls go out from any phone, by any way out that a line has. The dialplan that knows a
  way out sends them without us; one that comes to us is sent on first and written down afterwards.
- What is refused, and what is allowed, is written into the agents' history with the staff number,
  the number masked; nobody can change it there. What cannot be written down is refused, but for
  an emergency.
- Only a checked number and names in the lines' own files become part of a dial string; the number
  that is shown is the line's own (LAW-1).

Serves XJCA-5j.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, insert, or_, select

from ivr.agi import Session
from ivr.dialplan import EMERGENCY
from ivr.directory import NOBODY, normal, refusal
from ivr.legs import own_phone
from ivr.redact import mask
from ivr.store import StorageFailed, Store
from ivr.tables import agent_log, agents
from ivr.tables import tickets as ticket_rows
from ivr.tickets import OPEN

if TYPE_CHECKING:
    from ivr.flow import Line
    from ivr.hotlines import Hotlines
    from ivr.server import Service

REFUSED = "agent.refused"
"""What an agent hears whose phone may not dial a number."""
DIAL, SHOWS = "SANSHENG_DIAL", "SANSHENG_SHOWS"
"""Where the dialplan finds whom to ring, and which number to show."""

_NUMBER = re.compile(r"[0-9]{2,15}")

log = structlog.get_logger("seats")


@dataclass(frozen=True, slots=True)
class Seat:
    """A phone of one of our own people: the lines that it serves, and its agent's staff numbers
    there, in the same order."""

    phone: str
    lines: tuple[Line, ...]
    staff_numbers: tuple[str, ...]

    @property
    def known_as(self) -> str:
        """Its agent's staff numbers, as they stand in the history."""
        return ", ".join(sorted(set(self.staff_numbers)))[:32]


@dataclass(frozen=True, slots=True)
class Allowed:
    """Whom a seat may ring: `peer` is a phone of our own, or empty, then `number` goes out. `line`
    is whose call it is, `why` is for the history."""

    why: str
    line: Line
    peer: str = ""
    number: str = ""


def seat(hotlines: Hotlines, phone: str) -> Seat | None:
    """Whose phone this is; None if it is nobody's."""
    found = [
        (line, agent.staff_number)
        for line in hotlines.lines.values()
        for agent in line.staff.agents.values()
        if agent.phone == phone
    ]
    if not found:
        return None
    return Seat(phone, tuple(line for line, _ in found), tuple(number for _, number in found))


def emergency(hotlines: Hotlines, dialled: str, first: tuple[Line, ...]) -> Allowed:
    """An emergency call, by the first line that has a way out of its own: of these, then of all."""
    lines = (*first, *hotlines.lines.values())
    line = next((line for line in lines if hotlines.callbacks[line.name].through), lines[0])
    return Allowed("an emergency call", line, number=dialled)


def allowed(
    hotlines: Hotlines, seat: Seat, dialled: str, owed: Mapping[str, tuple[str, str]]
) -> Allowed | None:
    """Whether this seat may dial this number, and why; None if not. `owed` are the numbers of its
    tickets, each with the ticket's id and line."""
    if dialled in EMERGENCY:  # before anything else that has the same number
        return emergency(hotlines, dialled, seat.lines)
    for line in seat.lines:
        for agent in line.staff.agents.values():
            if dialled in (agent.phone, agent.staff_number) and agent.phone != seat.phone:
                return Allowed(f"the phone of {agent.staff_number}", line, peer=agent.phone)
    if not _NUMBER.fullmatch(dialled):
        return None
    number = normal(dialled)
    for line in seat.lines:
        if hotlines.directories[line.name].find(number) is not NOBODY:
            return Allowed("in the directory", line, number=number)
    if number in owed and not refusal(number, hotlines.numbers):
        ticket, name = owed[number]
        line = next(line for line in seat.lines if line.name == name)
        return Allowed(f"for the ticket {ticket}", line, number=number)
    return None


def owed(connection: Connection, seat: Seat) -> dict[str, tuple[str, str]]:
    """The numbers of the open tickets that this seat's agent has taken or was given, with a
    ticket of each and its line. Blocks."""
    row = ticket_rows.c
    mine = [
        (row.hotline == line.name)
        & ((row.taken_by == number) | ((row.taken_by == "") & (row.owner == number)))
        for line, number in zip(seat.lines, seat.staff_numbers, strict=True)
    ]
    query = select(row.id, row.hotline, row.contact, row.caller).where(
        row.state.in_(OPEN), or_(*mine)
    )
    return {
        normal(number): (found.id, found.hotline)
        for found in connection.execute(query.order_by(row.due_at.desc()))
        for number in (found.caller, found.contact)
        if number
    }


def write(connection: Connection, seat: Seat, reason: str, at: datetime) -> None:
    """Write into the agents' history what a seat has dialled; its state stays as it is. Blocks."""
    state = connection.execute(
        select(agents.c.state).where(agents.c.phone == seat.phone)
    ).scalar_one_or_none()
    connection.execute(
        insert(agent_log).values(
            at=at,
            phone=seat.phone,
            staff_number=seat.known_as,
            hotline="",  # of no call of a line's
            department="",
            call_id="",
            before=state or "",
            state=state or "",
            seconds=0.0,
            reason=reason,
        )
    )


class Seats:
    """Answers the seats of one service. `carrier` is the endpoint by which calls go out, where a
    line has none of its own."""

    def __init__(self, service: Service, store: Store, carrier: str = "") -> None:
        self._service, self._store, self._carrier = service, store, carrier

    def connect(self) -> None:
        """From now on the script of seats is known."""
        service = self._service
        service.other_scripts = {**service.other_scripts, "seat": self.dials}

    async def dials(self, session: Session) -> None:
        """The script `seat`: a phone of our own people dials what is neither a line nor a code."""
        dialled = (session.arguments[0] if session.arguments else "")[:40]
        phone = own_phone(session.environment.get("channel", ""))
        hotlines = self._service.hotlines
        found = seat(hotlines, phone)
        if dialled in EMERGENCY and await self._emergency(session, found, dialled):
            return
        if found is None:
            log.warning("a phone that is nobody's would dial out", phone=phone[:40])
            return
        try:
            may = await self._service.clock.in_executor(self._judge, hotlines, found, dialled)
        except StorageFailed as error:
            log.error("what a seat dials cannot be written down", why=str(error))
            may = None
        to = self._to(may) if may is not None else ""
        if may is not None and to:
            shows = hotlines.callbacks[may.line.name].shows
            await session.command("SET VARIABLE", SHOWS, "" if may.peer else shows)
            await session.command("SET VARIABLE", DIAL, to)
            return
        await session.command("ANSWER")
        for part in hotlines.library.parts(found.lines[0].name, REFUSED):
            await session.command("STREAM FILE", str(self._service.sounds / part.path), "", 0)

    async def _emergency(self, session: Session, found: Seat | None, dialled: str) -> bool:
        """Send an emergency call out, whoever's phone it is; False if there is no way out."""
        hotlines = self._service.hotlines
        may = emergency(hotlines, dialled, found.lines if found else ())
        to = self._to(may)
        if not to:
            return False
        await session.command("SET VARIABLE", SHOWS, hotlines.callbacks[may.line.name].shows)
        await session.command("SET VARIABLE", DIAL, to)
        session.close()  # Asterisk dials now; what follows may take as long as it likes
        if found is None:
            log.warning("a phone that is nobody's makes an emergency call", number=mask(dialled))
            return True
        try:
            await self._service.clock.in_executor(self._judge, hotlines, found, dialled)
        except StorageFailed as error:
            log.error("an emergency call cannot be written down", why=str(error))
        return True

    def _judge(self, hotlines: Hotlines, found: Seat, dialled: str) -> Allowed | None:
        """Decide, and write it down. Blocks. Raises StorageFailed."""
        with self._store.write() as connection:
            may = allowed(hotlines, found, dialled, owed(connection, found))
            number = mask(dialled)
            why = f"dials {number}, {may.why}" if may else f"may not dial {number}: refused"
            if may is not None and not self._to(may):
                why = f"cannot dial {number}, {may.why}: there is no way out"
            write(connection, found, why, self._service.clock.utc())
        seen = {"phone": found.phone, "staff_number": found.known_as, "number": number}
        if may is None:
            log.warning("a seat has dialled what it may not", **seen)
        else:
            log.info("a seat dials", **seen, why=may.why)
        return may

    def _to(self, may: Allowed) -> str:
        """Whom Asterisk is to ring; empty if there is no way out."""
        if may.peer:
            return f"PJSIP/{may.peer}"
        through = self._service.hotlines.callbacks[may.line.name].through or self._carrier
        return f"PJSIP/{may.number}@{through}" if through else ""
