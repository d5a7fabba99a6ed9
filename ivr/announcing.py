"""Urges (催办): tickets that are due soon or overdue are announced, once each, over any restart;
so are those of a grade that alerts somebody, as soon as they have it.

Rules this module keeps:

- What was announced is a row in `ticket_announcements`, one for each ticket and threshold. It is
  claimed before anything is said, so that two processes never say the same, and marked after; a
  claim whose process died is taken over after `LEASE` seconds. Only a crash between saying and
  marking says it twice, under the same id (`T17:overdue`).
- A ticket that became overdue while nobody looked is announced as overdue, not as due soon, too.
- A grade alerts whom the line's file names (`tickets: grades:`), once for each ticket and grade,
  while the ticket is open: a complaint that is taken in with it, or is graded so by hand.
- An announcement is a line of the log, an AMI UserEvent `SanshengTicket` if there is a manager,
  and the line's webhook. The webhook is owed until it answers: tried again after 30 s, then
  twice as long each time (1 h at most), given up after `TRIES`, which the log says. A hook that
  hangs holds up neither calls nor other announcements.
- No caller's number and nobody's name is announced: who needs them looks at the ticket.
- The head of the history is written down outside of the database on the way (`ivr.chain`);
  where that fails, the log has it, and tickets are announced all the same.

Serves TEL-3.4c, XJCA-6.2d, CCB-7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, select, update

from ivr import chain, tickets
from ivr.chain import Head, Witness
from ivr.clock import Clock
from ivr.flow import Line
from ivr.leases import AT_ONCE, LEASE, claimed, held
from ivr.store import StorageFailed, Store
from ivr.tables import ticket_announcements as rows
from ivr.tables import tickets as work
from ivr.telling import Bell, tell
from ivr.ticket_rules import GRADES, Rules, Webhook
from ivr.tickets import Ticket
from ivr.webhook import Sender

LOOK = 15.0
"""Seconds between two looks at the tickets."""
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 3600.0
"""Seconds before a webhook is tried again, at first and at most."""
TRIES = 20
"""Attempts at a webhook: for more than half a day."""

SAYS = {
    "due_soon": "a ticket is due soon",
    "overdue": "a ticket is overdue",
    **{grade: f"a ticket is {grade.replace('_', ' ')}" for grade in GRADES},
}

log = structlog.get_logger("tickets")


@dataclass(frozen=True, slots=True)
class News:
    """One announcement: this ticket has come to this threshold (due_soon, overdue or a grade).
    `alert` are those whom it alerts, beyond its owner."""

    ticket: Ticket
    threshold: str
    head: Head
    webhook: Webhook | None = None
    tries: int = 0
    alert: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.ticket.id}:{self.threshold}"

    def told(self) -> dict[str, str]:
        """What is said of it; no number of a caller."""
        one = self.ticket
        return {
            "id": self.id,
            "ticket": one.id,
            "threshold": self.threshold,
            "line": one.hotline,
            "kind": one.kind,
            "urgency": one.urgency,
            "grade": one.grade,
            "owner": one.owner,
            "taken_by": one.taken_by,
            "state": one.state,
            "due": one.due_at.isoformat(timespec="seconds"),
            "head": str(self.head),
            **({"alert": ",".join(self.alert)} if self.alert else {}),
        }


class Announcer:
    """Announces the tickets of one database. `lines` gives the lines as they are now, `bell` the
    manager; neither `bell` nor `witness` must be."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lines: Callable[[], Mapping[str, Line]],
        *,
        sender: Sender,
        bell: Bell | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._store, self._clock, self._lines = store, clock, lines
        self._bell, self._sender, self._witness = bell, sender, witness
        self._unwritten = Head()

    async def run(self) -> None:
        """Announce until cancelled, whatever fails meanwhile."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forever(self.announce))
                both.create_task(self._forever(self.deliver))
        finally:
            await self._sender.close()

    async def _forever(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await work()
            except (StorageFailed, OSError) as error:
                log.warning("tickets could not be announced; trying again", why=str(error))
            except Exception:
                log.exception("tickets could not be announced, by an error of ours; trying again")
            await self._clock.sleep(LOOK)

    def _rules(self, hotline: str) -> Rules:
        line = self._lines().get(hotline)
        return Rules() if line is None else line.tickets

    # ---------------------------------------------------------------- saying

    async def announce(self) -> None:
        """One look: say what has come due. Raises StorageFailed."""
        await self._clock.in_executor(self._witnessed)
        while news := await self._clock.in_executor(self._claim, self._clock.utc()):
            for one in news:
                told = one.told()
                log.warning(SAYS[one.threshold], **told)
                await tell(self._bell, "SanshengTicket", told)
                await self._clock.in_executor(self._said, one, self._clock.utc())

    def _witnessed(self) -> None:
        with self._store.read() as connection:
            head = chain.head(connection)
        if self._witness is None:
            return
        try:
            grown = self._witness.note(head)
        except OSError as error:
            # who is owed an answer matters more; the log holds the head instead, once
            if head != self._unwritten:
                self._unwritten = head
                told = {"head": str(head), "file": str(self._witness.path), "why": str(error)}
                log.error("the head of the history of tickets could not be written down", **told)
            return
        if grown:
            log.info("the history of tickets has grown", head=str(head))

    def _claim(self, now: datetime) -> list[News]:
        """What is to be said now, claimed for this process."""
        longest = max(
            (line.tickets.due_soon for line in self._lines().values()), default=Rules().due_soon
        )
        before = now + timedelta(seconds=max(longest, Rules().due_soon))
        near = tickets.listed(self._store, due_before=before, limit=None)
        due = [
            (one, threshold)
            for one in near
            if (threshold := tickets.standing(one, now, self._rules(one.hotline).due_soon))
        ]
        due += [(one, one.grade) for one in self._grave() if self._alerted(one, one.grade)]
        if not due:
            return []
        with self._store.read() as connection:
            known = _known(connection, before, now)
        news = []
        for one, threshold in due:
            if (one.id, threshold) in known:
                continue
            with self._store.write() as connection:
                key = {"ticket": one.id, "threshold": threshold}
                if claimed(connection, rows, key, now, webhook="none", tries=0):
                    head, alert = chain.head(connection), self._alerted(one, threshold)
                    news.append(News(one, threshold, head, alert=alert))
            if len(news) == AT_ONCE:
                break  # no claim may grow old before it is said
        return news

    def _grave(self) -> list[Ticket]:
        """Open tickets of grades that alert somebody on some line."""
        grades = {grade for line in self._lines().values() for grade in line.tickets.grades}
        return tickets.listed(self._store, grades=grades, limit=None) if grades else []

    def _alerted(self, ticket: Ticket, threshold: str) -> tuple[str, ...]:
        alert = self._rules(ticket.hotline).grades.get(threshold)
        return () if alert is None else alert.whom

    def _said(self, one: News, now: datetime) -> None:
        """It was said: that is part of the ticket's history, and the webhook is owed."""
        owed = self._rules(one.ticket.hotline).hook(one.threshold) is not None
        text = f"{one.threshold}: {', '.join(one.alert)}" if one.alert else one.threshold
        with self._store.write() as connection:
            connection.execute(
                update(rows)
                .where(rows.c.ticket == one.ticket.id, rows.c.threshold == one.threshold)
                .values(told_at=now, webhook="owed" if owed else "none", next_at=now)
            )
            tickets.add(connection, one.ticket.id, "urged", "service", now, text)

    # ---------------------------------------------------------------- webhooks

    async def deliver(self) -> None:
        """One look: post the webhooks that are owed. Raises StorageFailed."""
        while owed := await self._clock.in_executor(self._owed, self._clock.utc()):
            posting = [self._deliver(one) for one in owed]
            for outcome in await asyncio.gather(*posting, return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def _deliver(self, one: News) -> None:
        why = "the line has no webhook any more"
        if one.webhook is not None:
            why = await self._sender.post(one.webhook.url, one.webhook.token, one.told())
        state = "owed" if why else "done"
        if why and (one.webhook is None or one.tries + 1 >= TRIES):
            state = "given_up"
            log.error("a webhook is given up", ticket=one.ticket.id, why=why)
        elif why:
            log.warning("a webhook failed; trying again", ticket=one.ticket.id, why=why)
        await self._clock.in_executor(self._posted, one, state, self._clock.utc())

    def _owed(self, now: datetime) -> list[News]:
        """Webhooks to be tried now. Each is put off at first, so that no other process tries it,
        and that it is tried again if this one dies."""
        query = (
            select(rows)
            .where(rows.c.webhook == "owed", rows.c.next_at <= now)
            .order_by(rows.c.next_at, rows.c.ticket)
            .limit(AT_ONCE)
        )
        with self._store.read() as connection:
            if connection.execute(query.with_only_columns(rows.c.ticket)).first() is None:
                return []
        with self._store.write() as connection:
            owed = connection.execute(query.with_for_update()).all()
            for row in owed:
                connection.execute(
                    update(rows)
                    .where(rows.c.ticket == row.ticket, rows.c.threshold == row.threshold)
                    .values(next_at=now + LEASE, tries=row.tries + 1)
                )
            head = chain.head(connection)
        news = []
        for row in owed:
            ticket = tickets.found(self._store, row.ticket)
            webhook = self._rules(ticket.hotline).hook(row.threshold)
            alert = self._alerted(ticket, row.threshold)
            news.append(News(ticket, row.threshold, head, webhook, row.tries, alert))
        return news

    def _posted(self, one: News, state: str, now: datetime) -> None:
        pause = timedelta(seconds=min(FIRST_PAUSE * 2**one.tries, LONGEST_PAUSE))
        with self._store.write() as connection:
            connection.execute(
                update(rows)
                .where(rows.c.ticket == one.ticket.id, rows.c.threshold == one.threshold)
                .values(webhook=state, next_at=now + pause if state == "owed" else None)
            )


def _known(connection: Connection, before: datetime, now: datetime) -> set[tuple[str, str]]:
    """What has been said, or is being said, of tickets that are open and due before a time, or
    have a grade."""
    query = (
        select(rows.c.ticket, rows.c.threshold)
        .join(work, work.c.id == rows.c.ticket)
        .where(
            work.c.state.in_(tickets.OPEN),
            (work.c.due_at <= before) | (work.c.grade != ""),
            held(rows, now),
        )
    )
    return {(row.ticket, row.threshold) for row in connection.execute(query)}
