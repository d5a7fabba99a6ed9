"""Whose turn it is: which free phone goes to which caller who waits, and how long others wait.

Rules this module keeps:

- Pure: it is given what stands in the database and gives back a decision. `ivr.agents` carries it
  out; every process that looks at the same rows decides the same.
- First come, first served, by the time of joining, over all lines that share a phone.
- A caller gets the agent of the department who has been idle longest; who asks for one agent
  waits for that one.
- Who was rung for a caller in vain is not rung again for the same caller unless nobody else is at
  work, and then only after `AGAIN`.
- What callers are told (how many are ahead, how many minutes) comes from the same rows.

Serves XJCA-5k, TEL-3.3.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

AGAIN = timedelta(seconds=10)
"""How soon a phone may be rung again for a caller for whom it was just rung in vain."""

READY, BUSY, RINGING, TALKING, WRAP_UP, UNREACHABLE = STATES = (
    "ready",
    "busy",
    "ringing",
    "talking",
    "wrap_up",
    "unreachable",
)
"""The states of agents."""
AT_WORK = frozenset({READY, RINGING, TALKING, WRAP_UP})
"""States of an agent who takes calls, now or soon."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What a phone is to one line: a staff number, and the departments it answers for."""

    hotline: str
    staff_number: str
    phone: str
    departments: frozenset[str]


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone as it is now. `after` is the state it will have once its call is over: busy, if ops
    or the agent asked for that, or unreachable, if it has gone meanwhile. `call_id` and `place_id`
    say for whom it is claimed. One that `blinks` went a moment ago, while its agent wrapped up."""

    phone: str
    state: str
    idle_since: datetime
    after: str = ""
    call_id: str | None = None
    place_id: str | None = None
    blinks: bool = False

    @property
    def at_work(self) -> bool:
        return (self.state in AT_WORK or self.blinks) and self.after != BUSY

    @property
    def free(self) -> bool:
        return self.state == READY and self.call_id is None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a waiting line: a caller's, or one kept for a call-back (`ticket`; then it may
    have no owner). `passed` says which phones were rung for it in vain, and when; the agent with
    the staff number `avoid` is never rung for it."""

    id: str
    hotline: str
    department: str
    joined_at: datetime
    staff_number: str = ""
    kind: str = "caller"
    call_id: str | None = None
    ticket: str | None = None
    owner: str | None = None
    not_before: datetime | None = None
    passed: Mapping[str, datetime] = field(default_factory=dict)
    avoid: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it looks: whether anybody takes calls there, how many are ahead, the likely wait in
    whole minutes; no wait at all if somebody is free whom nobody ahead will get."""

    staffed: bool
    ahead: int = 0
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything that a decision depends on: seats, phones by name, places. `callbacks` are the
    lines whose call-backs may be made now; a kept place of another line waits aside."""

    seats: Sequence[Seat]
    phones: Mapping[str, Phone]
    places: Sequence[Place]
    now: datetime
    callbacks: Collection[str] = ()

    def served(self, place: Place) -> bool:
        """Whether a phone is claimed for this place already, or its call talks to somebody."""
        return any(
            place.id == phone.place_id
            or (phone.call_id is not None and phone.call_id == place.call_id)
            for phone in self.phones.values()
        )

    def asleep(self, place: Place) -> bool:
        """Whether this place is kept for later, and is not to be served now."""
        if place.kind != "callback":
            return False
        later = place.not_before is not None and place.not_before > self.now
        return later or (place.owner is None and place.hotline not in self.callbacks)

    def in_order(self) -> list[Place]:
        """The places that are to be served, first come first."""
        awake = (place for place in self.places if not self.asleep(place))
        return sorted(awake, key=lambda place: (place.joined_at, place.id))

    def at_work(self, place: Place) -> dict[str, Seat]:
        """Who could take this call, now or soon, by phone."""
        return {
            seat.phone: seat
            for seat in self.seats
            if seat.hotline == place.hotline
            and (not place.avoid or seat.staff_number != place.avoid)
            and self.phones[seat.phone].at_work
            and (
                seat.staff_number == place.staff_number
                if place.staff_number
                else place.department in seat.departments
            )
        }

    def turns(self) -> Iterator[tuple[Place, Seat]]:
        """Who is to ring for whom now; each phone and each place at most once."""
        free = {name for name, phone in self.phones.items() if phone.free}
        for place in self.in_order():
            if self.served(place):
                continue
            able = self.at_work(place)
            fresh = able.keys() - place.passed.keys()
            willing = fresh or {phone for phone in able if place.passed[phone] + AGAIN <= self.now}
            chosen = min(
                willing & free, key=lambda name: (self.phones[name].idle_since, name), default=""
            )
            if chosen:
                free.discard(chosen)
                yield place, able[chosen]

    def standing(self, place: Place, talk: float) -> Standing:
        """How it looks for this place, one of the floor's or one more; `talk` is how long a talk
        takes there, in minutes."""
        able = self.at_work(place)
        others = [one for one in self.places if one.id != place.id]
        if not able:
            return Standing(False)
        floor = Floor(self.seats, self.phones, [*others, place], self.now, self.callbacks)
        if any(one.id == place.id for one, _ in floor.turns()):
            return Standing(True)
        ahead = 0
        for one in floor.in_order():
            if one.id == place.id:
                break
            ahead += not able.keys().isdisjoint(floor.at_work(one))
        minutes = math.ceil((ahead + 1) * talk / len(able))
        return Standing(True, ahead, max(1, minutes))


@dataclass(frozen=True, slots=True)
class Claim:
    """This phone is ours alone for this place, until released. `call_id` is whom it is claimed
    for: the call, or the ticket of a call-back (then `ticket` is the same)."""

    place: str
    call_id: str
    phone: str
    staff_number: str
    hotline: str
    department: str
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """What has changed for the places of one process: `claims` made, how it looks now for places
    where that is not what was told last (`moved`), and places in whose department nobody takes
    calls any more (`unstaffed`; they are gone from the line)."""

    claims: tuple[Claim, ...] = ()
    moved: tuple[tuple[str, Standing], ...] = ()
    unstaffed: tuple[str, ...] = ()


def place_id(call_id: str, join: int) -> str:
    """The name of the place that a call took by the wish with this id."""
    return f"{call_id}#{join}"
