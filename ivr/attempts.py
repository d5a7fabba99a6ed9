"""The attempts to keep a promise (回拨): what may be tried, what is being tried, what came of it.

Rules this module keeps:

- An attempt is a row before anybody is rung. While it runs it holds its promise and its number,
  across processes; that it is about to ring the person is committed before it does
  (`dialling`), and from then on it counts, whatever happens to us.
- What came of it goes into the ticket's history in the same transaction.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.

Serves XJCA-6.3b, WRK-3.1, WRK-3.2.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, not_, select, update

from ivr.callback_rules import Rules
from ivr.directory import normal
from ivr.inserting import insert_new
from ivr.promises import BROKEN, CALLING, GIVEN_UP, KEPT, OPEN, Promise, tell_ticket
from ivr.store import Store
from ivr.tables import attempts, calls, places, promises, tickets
from ivr.tickets import CLOSED, DONE

CONNECTED = "connected"
WRONG_PERSON = "wrong_person"
NO_AGENT = "no_agent"
HELD_BACK = "held_back"
UNKNOWN = "unknown"
RESULTS = (
    CONNECTED,
    "busy",
    "no_answer",
    "unreachable",
    WRONG_PERSON,
    "unconfirmed",  # somebody answered and did not say that it is the right person
    "refused",
    NO_AGENT,
    HELD_BACK,  # out of hours, under maintenance, solved or on the line with us meanwhile
    "failed",
    UNKNOWN,  # we died while it ran
)
"""What an attempt may come to."""


LONGEST = timedelta(days=1)
"""No call lasts longer."""
AGAIN = timedelta(seconds=60)
"""Until a promise is looked at again that was not called after all."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `dialled_at` is None if the person was never rung; `ended_at` is None while it
    runs. `talked` is in seconds, `agent` a staff number."""

    id: str
    promise: str
    contact: str
    channel_id: str
    call_id: str
    owner: str
    made_at: datetime
    agent: str
    dialled_at: datetime | None
    ended_at: datetime | None
    result: str
    talked: float


def callable_now(now: datetime, lines: Collection[str], failing: Collection[str]) -> Any:
    """The condition of promises that may be tried at this moment: of these lines, and no query of
    a line whose back end is `failing`."""
    may = promises.c.hotline.in_(sorted(lines))
    query = and_(promises.c.kind == "query", promises.c.hotline.in_(sorted(failing)))
    state = promises.c.state.in_([OPEN, BROKEN])
    return and_(may, not_(query), state, promises.c.next_at <= now)


def waiting(
    store: Store, now: datetime, lines: Collection[str], failing: Collection[str] = ()
) -> bool:
    """Whether any promise may be tried at this moment. Raises StorageFailed."""
    query = select(promises.c.id).where(callable_now(now, lines, failing)).limit(1)
    with store.read() as connection:
        return connection.execute(query).first() is not None


def unplaced(
    store: Store,
    now: datetime,
    lines: Collection[str],
    failing: Collection[str] = (),
    limit: int = 200,
) -> list[Promise]:
    """Promises that may be tried at this moment and have no place in a line yet; the one due
    first first. Raises StorageFailed."""
    placed = select(places.c.id).where(places.c.ticket == promises.c.place).exists()
    query = (
        select(promises)
        .where(callable_now(now, lines, failing), not_(placed))
        .order_by(promises.c.due_at, promises.c.made_at, promises.c.id)
        .limit(limit)
    )
    with store.read() as connection:
        return [Promise(**row._mapping) for row in connection.execute(query)]


def begin(
    store: Store,
    promise: str,
    owner: str,
    system: str,
    now: datetime,
    most: int,
    name: str = "",
) -> Attempt | None:
    """Begin an attempt: it holds the promise and the number from now on. None if somebody else
    holds one of them, or if there is nothing (more) to be tried; a promise for which as many calls
    have been made as may be is given up. `system` is the name of the Asterisk, `most` are the
    calls that may be made, `name` is the attempt's id to be. Raises StorageFailed."""
    from ivr.journal import call_id

    with store.write() as connection:
        found = connection.execute(
            select(promises).where(promises.c.id == promise).with_for_update()
        ).one_or_none()
        if found is None or found.state not in (OPEN, BROKEN) or found.next_at > now:
            return None
        if found.tries >= most:  # fewer are allowed than before
            reason = f"not reached in {found.tries} calls: no more are allowed"
            given_up = update(promises).where(promises.c.id == promise)
            connection.execute(given_up.values(state=GIVEN_UP, reason=reason))
            tell_ticket(connection, Promise(**found._mapping), reason, now, "given_up")
            return None
        name = name or secrets.token_hex(8)
        channel = f"sansheng-callback-{name}"
        row: dict[str, Any] = {
            "id": name,
            "promise": promise,
            "contact": found.contact,
            "channel_id": channel,
            "call_id": call_id(system, channel),
            "owner": owner,
            "made_at": now,
            "agent": "",
            "dialled_at": None,
            "ended_at": None,
            "result": "",
            "talked": 0.0,
        }
        if not insert_new(connection, attempts, [row]):
            return None
        connection.execute(update(promises).where(promises.c.id == promise).values(state=CALLING))
        return Attempt(**row)


def on_the_line(connection: Connection, contact: str, now: datetime) -> bool:
    """Whether this number is in a call with us, which is none of our own phones' legs."""
    query = select(calls.c.caller).where(
        calls.c.ended_at.is_(None), calls.c.leg_of == "", calls.c.offered_at > now - LONGEST
    )
    return any(normal(caller) == contact for caller in connection.execute(query).scalars())


def dialling(
    store: Store, attempt: str, agent: str, now: datetime, may: Callable[[], bool] = lambda: True
) -> bool:
    """The person is about to be rung; from now on the attempt counts. False if nobody may be rung:
    it is over, has been dialled before, the line `may` not call any more, people have solved the
    ticket meanwhile, or the person is on the line with us. Raises StorageFailed."""
    with store.write() as connection:
        one = connection.execute(
            select(promises.c.message_id, promises.c.contact)
            .join(attempts, attempts.c.promise == promises.c.id)
            .where(attempts.c.id == attempt)
        ).one()
        solved = select(tickets.c.id).where(
            tickets.c.message_id == one.message_id, tickets.c.state.in_([DONE, CLOSED])
        )
        if connection.execute(solved).first() is not None:
            return False
        if on_the_line(connection, one.contact, now) or not may():
            return False
        changed = connection.execute(
            update(attempts)
            .where(
                attempts.c.id == attempt,
                attempts.c.dialled_at.is_(None),
                attempts.c.ended_at.is_(None),
            )
            .values(dialled_at=now, agent=agent)
        )
        if changed.rowcount != 1:
            return False
        of = select(attempts.c.promise).where(attempts.c.id == attempt).scalar_subquery()
        connection.execute(
            update(promises).where(promises.c.id == of).values(tries=promises.c.tries + 1)
        )
        return True


def end(
    store: Store, attempt: str, result: str, now: datetime, rules: Rules, talked: float = 0.0
) -> Promise | None:
    """An attempt is over; the promise goes on, is kept or is given up. Returns it as it is now;
    None if the attempt was over before. Raises StorageFailed."""
    if result not in RESULTS:
        raise ValueError(f"an attempt cannot come to '{result}'")
    with store.write() as connection:
        changed = connection.execute(
            update(attempts)
            .where(attempts.c.id == attempt, attempts.c.ended_at.is_(None))
            .values(ended_at=now, result=result, talked=talked)
        )
        if changed.rowcount != 1:
            return None
        row = connection.execute(select(attempts).where(attempts.c.id == attempt)).one()
        # its time may pass at this very moment, and that stays so
        of = select(promises).where(promises.c.id == row.promise)
        one = Promise(**connection.execute(of.with_for_update()).one()._mapping)
        values = _after(one, Attempt(**row._mapping), now, rules)
        connection.execute(update(promises).where(promises.c.id == one.id).values(**values))
        tell_ticket(connection, one, f"{result} {row.agent}".strip(), now)
        if values["state"] == GIVEN_UP:
            tell_ticket(connection, one, values["reason"], now, "given_up")
        return Promise(**connection.execute(of).one()._mapping)


def _after(one: Promise, attempt: Attempt, now: datetime, rules: Rules) -> dict[str, Any]:
    """What becomes of a promise after an attempt."""
    if attempt.result == CONNECTED:
        return {"state": KEPT, "kept_at": now, "reason": f"talked to {attempt.agent}".strip()}
    if attempt.result == WRONG_PERSON:
        return {"state": GIVEN_UP, "reason": "the number is somebody else's"}
    if one.tries >= rules.attempts:
        reason = f"not reached in {one.tries} calls, the last time: {attempt.result}"
        return {"state": GIVEN_UP, "reason": reason}
    pause = AGAIN if attempt.dialled_at is None else timedelta(seconds=rules.spacing)
    return {
        "state": BROKEN if one.broken_at else OPEN,
        "reason": attempt.result,
        "next_at": now + pause,
    }


def running(store: Store) -> list[Attempt]:
    """Attempts that run, whoever runs them. Raises StorageFailed."""
    query = select(attempts).where(attempts.c.ended_at.is_(None)).order_by(attempts.c.made_at)
    with store.read() as connection:
        return [Attempt(**row._mapping) for row in connection.execute(query)]


def adopt(store: Store, attempt: Attempt, owner: str) -> bool:
    """Take over an attempt whose process has died; False if somebody was faster. Raises
    StorageFailed."""
    with store.write() as connection:
        changed = connection.execute(
            update(attempts)
            .where(
                attempts.c.id == attempt.id,
                attempts.c.owner == attempt.owner,
                attempts.c.ended_at.is_(None),
            )
            .values(owner=owner)
        )
        return changed.rowcount == 1


def tried(store: Store, promise: str) -> list[Attempt]:
    """The attempts to keep a promise, oldest first. Raises StorageFailed."""
    query = select(attempts).where(attempts.c.promise == promise).order_by(attempts.c.made_at)
    with store.read() as connection:
        return [Attempt(**row._mapping) for row in connection.execute(query)]
