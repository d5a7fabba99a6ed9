"""A service that keeps promises, in virtual time: a real database, the fake Asterisk, phones of
agents and of people who are called back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Connection

from ivr.actions import Keep
from ivr.agents import Agents
from ivr.ami import Headers, Message
from ivr.attempts import Attempt, tried
from ivr.callbacks import Callbacks
from ivr.channel import Taken
from ivr.clock import VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.fake_channel import Channel
from ivr.fake_originate import Answered
from ivr.fake_phones import FakePhone
from ivr.hotlines import Hotlines
from ivr.hours import parse
from ivr.journal import MemoryJournal
from ivr.manager import Manager
from ivr.messages import Kept, keep
from ivr.promises import Promise, listed
from ivr.scenario import Press, Ring, Step
from ivr.scripted_caller import ScriptedCaller
from ivr.server import Service
from ivr.store import Call, Store, write_rows
from ivr.switchboard import Switchboard
from ivr.wire_rehearsal import SECRET, SOUNDS, lengths, prompt_names

PERSON = "13912345678"
MONDAY = datetime.fromisoformat("2026-11-23T02:00:00+00:00")
"""Ten in the morning where the lines are."""
HELLO = ("callback.hello", "1")
"""Who is called back says who they are."""
EVERY = ("open", "calling", "kept", "broken", "given_up")

CONTEXTS = {
    "sansheng-agent": Answered(),
    "sansheng-callback": Answered(path="callback", arguments=("${SANSHENG_ATTEMPT}",)),
}


def person(*keys: tuple[str, str], after: float = 4.0) -> FakePhone:
    """Somebody who picks up after so many seconds and presses these keys at these prompts."""
    script = tuple(Step(at, False, 0.5, Press(press)) for at, press in keys)
    phone = FakePhone([Ring("ignore", after)])
    phone.script = lambda: ScriptedCaller(script)
    return phone


def who_does(*does: str, after: float = 3.0, talks: float = 10.0) -> FakePhone:
    """Somebody who does this at each ring, and hangs up after having talked for so long."""
    return FakePhone([Ring(one, after, talks=talks) for one in does])


class Dead(BaseException):
    """The process has died."""


class Life:
    """How far a process comes: it dies at its `end`-th step (None: never), a step being the moment
    before or after something is committed or asked of Asterisk. After that nothing of it happens
    any more. `steps` counts them."""

    def __init__(self, end: int | None = None) -> None:
        self.end, self.steps, self.over = end, 0, False

    def step(self) -> None:
        if self.over:
            raise Dead
        self.over = self.steps == self.end
        self.steps += 1
        if self.over:
            raise Dead


class MortalStore(Store):
    """A database that a process reaches as long as it lives."""

    life = Life()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.life.step()
        with super().write() as connection:
            yield connection
        self.life.step()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self.life.over:
            raise Dead
        with super().read() as connection:
            yield connection


class MortalManager(Manager):
    """A manager that a process reaches as long as it lives."""

    life = Life()

    async def action(self, name: str, headers: Headers | None = None) -> Message:
        if name not in ("Originate", "Hangup"):
            return await super().action(name, headers)
        self.life.step()
        reply = await super().action(name, headers)
        self.life.step()
        return reply


class Office:
    """One service, from its start to its end; `store` and `clock` outlive it."""

    def __init__(
        self, lines: Hotlines, store: Store, clock: VirtualClock, phones: Mapping[str, FakePhone]
    ) -> None:
        # tried again soon: every virtual hour has hundreds of looks
        soon = {name: replace(one, spacing=300.0) for name, one in lines.callbacks.items()}
        self.lines, self.store, self.clock = replace(lines, callbacks=soon), store, clock
        self.phones = dict(phones)
        names = prompt_names(lines)
        for phone in self.phones.values():
            phone.name_of = lambda path: names.get(("xjca", path))
        self._lengths = lengths(lines.library)

    async def __aenter__(self) -> Self:
        self.fake = FakeAsterisk(
            self.clock,
            ("127.0.0.1", 1),
            seconds=self._lengths.get,
            accounts={"sansheng": Account(SECRET)},
            phones=self.phones,
            contexts=CONTEXTS,
        )
        self.manager_port = await self.fake.listen()
        await self.start("first")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        await self.fake.close()

    async def start(
        self, owner: str, ready: Sequence[str] = ("801",), end: int | None = None
    ) -> None:
        """The service starts; the agents with these phones are ready. It dies at the step `end`."""
        self.life = Life()
        if isinstance(self.store, MortalStore):
            self.store.life = self.life
        self.journal = MemoryJournal()
        self.service = Service(
            clock=self.clock,
            hotlines=self.lines,
            journal=self.journal,
            desk=self,
            lookups=None,  # type: ignore[arg-type]
            sounds=SOUNDS,
            spool=Path("/spool"),
            system="fake",
        )
        self.fake.agi = ("127.0.0.1", await self.service.listen("127.0.0.1", 0))
        self.people = Switchboard(self.service, Agents(self.store, owner))
        self.people.connect()
        self.people.sync(self.lines.lines)
        await self.people.settled()
        for phone in ready:
            now = self.clock.utc()
            await self.clock.in_executor(self.people.agents.set_ready, phone, "test", now)
        self.callbacks = Callbacks(self.service, self.store, self.people, "carrier")
        self.callbacks.connect()
        self.manager = MortalManager(
            "127.0.0.1",
            self.manager_port,
            "sansheng",
            SECRET,
            clock=self.clock,
            on_event=self.service.manager_event,
        )
        self.fake.watch(self.manager)
        self.manager.life = self.life
        await self.manager.start()
        self.service.bell = self.manager
        self.life.steps, self.life.end = 0, end
        self._running = asyncio.create_task(self.callbacks.run())

    async def stop(self) -> None:
        """The service stops in order."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.callbacks.close()
        await self.people.close()
        await self.service.close()
        await self.manager.stop()

    async def kill(self) -> None:
        """The service is gone, as if killed: nothing is written down or given back any more."""
        self._running.cancel()
        for task in [*self.callbacks.caller.tasks, *self.service._calls, *self.service._errands]:
            task.cancel()
        self.life.over = True
        self.people._closed = True
        self.people._jobs.clear()
        for driver in self.service.drivers.values():
            driver._session.abort()
        await asyncio.gather(
            self._running,
            *self.callbacks.caller.tasks,
            *self.service._calls,
            *self.service._errands,
            return_exceptions=True,
        )
        await self.service.close()
        await self.manager.stop()

    async def come_back(self, phone: str = "801") -> None:
        """The agent signs in again, once it is known that the process which held them is dead."""
        await self.quiet(6)
        if not self.life.over:
            now = self.clock.utc()
            agents = Agents(Store(self.store.engine.url.render_as_string(False)), "desk")
            await self.clock.in_executor(agents.set_ready, phone, "test", now)

    # -- the desk, which nobody needs here

    async def take(self, call: Call, what: str, slices: Sequence[str]) -> Taken:
        raise AssertionError("nothing is recorded in a call-back")

    async def knows(self, line: object, caller: str, uniqueid: str) -> bool:
        return False

    async def keep(self, call: Call, line: object, wish: Keep) -> Kept:
        raise AssertionError("nothing is kept in a call-back")

    # -- what happened before, and what came of it

    def leave(
        self,
        number: int = 1,
        contact: str = PERSON,
        kind: str = "message",
        hotline: str = "xjca",
        about: str = "",
    ) -> Kept:
        """A caller has left a message, about this agent, and was promised an answer."""
        line = self.lines.lines[hotline]
        now = self.clock.utc()
        names = (f"fake-1.{number}", "fake", f"1.{number}")
        call = Call(*names, hotline, "1001", contact, now, ended_at=now)
        with self.store.write() as connection:
            write_rows(connection, Call, [call])
        wish = Keep(9, kind, (("contact", contact), ("staff_number", about)), "24 h")
        hours = parse(line.document)
        return keep(self.store, call, wish, hours, now, line.tickets, tuple(line.numbers))

    @property
    def promise(self) -> Promise:
        (one,) = listed(self.store, states=EVERY)
        return one

    @property
    def attempts(self) -> list[Attempt]:
        return tried(self.store, self.promise.id)

    def calls_to(self, number: str = PERSON) -> list[Channel]:
        """The calls that this phone has had."""
        return self.phones[number].calls

    async def until(self, *states: str, limit: float = 7200.0) -> None:
        """Time goes on until the promise is in one of these states, and nobody is in a call."""
        await self.clock.run(
            lambda: (
                self.promise.state in states and not self.fake.channels and not self.callbacks.busy
            ),
            limit=limit,
        )

    async def tried(self, limit: float = 600.0) -> Attempt:
        """Time goes on until the first attempt has ended."""
        await self.clock.run(
            lambda: bool(self.attempts and self.attempts[0].ended_at is not None), limit=limit
        )
        return self.attempts[0]

    async def quiet(self, seconds: float) -> None:
        await self.clock.run_for(seconds)


def office(
    lines: Hotlines,
    store: Store,
    clock: VirtualClock,
    agent: FakePhone | None = None,
    called: FakePhone | None = None,
) -> Office:
    """One agent and one person to be called back; both say yes unless told otherwise."""
    people = {"801": agent or who_does("accept"), PERSON: called or person(HELLO)}
    return Office(lines, store, clock, people)
