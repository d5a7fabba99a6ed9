"""Puts the service together and keeps it running: `sansheng serve`.

Rules this module keeps:

- What is missing is said before the first call: a bad file, a database that does not answer, a
  port in use. Without a manager the service still works by keys, and says so.
- SIGTERM lets the calls that are up end, while another worker takes new ones; a second one ends
  them at once. SIGHUP reads flows, hotlines and texts again, beside the calls that are up
  (`ivr.reloading`).
- Workers may run side by side: what another's calls need (recordings lent to Asterisk, prompts)
  is left alone, and a line that is under maintenance is so for a worker that comes later, too.
- A manager that is lost, and one that is back, is logged; calls go on without it.
- Whatever was begun is ended, also if the rest could not begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import secrets
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
import uvloop

from ivr import control, hotlines, masters, presence, store
from ivr.agents import BEAT, Agents
from ivr.announcing import Announcer
from ivr.back_ends import LookUps
from ivr.callbacks import Callbacks
from ivr.chain import Witness
from ivr.clock import Clock, SystemClock
from ivr.desk import Desk
from ivr.hotlines import Hotlines
from ivr.journal_writer import Writer
from ivr.lending import Lending
from ivr.manager import Manager, ManagerDown, ManagerRefused
from ivr.reloading import Reloading
from ivr.retention import Retention
from ivr.seats import Seats
from ivr.server import Service
from ivr.settings import Settings
from ivr.spool import Spool
from ivr.store import Store
from ivr.switchboard import Switchboard
from ivr.webhook import Sender

TIDY = 30.0
"""Seconds between two looks into the spool, and at what others left behind."""
SOON = 6.0
"""Seconds until the next look when something was not finished yet at the last."""
LOOK = 1.0
"""Seconds between two looks at whether the manager is there."""
CLOCK_TRIES = 3

log = structlog.get_logger("serve")


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises BadFile, OSError, StorageFailed before the first call."""
    _raise_descriptor_limit()
    asked = control.answers(control.path(settings.root), {"ask": "about"})
    others = Others(asyncio.run(asked), _which(settings))
    loaded = _load(settings, calls=others.there)
    database = Store(settings.database)
    database.upgrade()
    uvloop.run(_serve(settings, loaded, database, others))


class Others:
    """The workers that run already: what each says `about` itself (None: there is none), and
    which of them are of the same service as we."""

    def __init__(self, about: Sequence[Mapping[str, Any]] | None, serves: str) -> None:
        self.there, self.serves = about is not None, serves
        same = [one for one in about or () if one.get("serves") == serves]
        self.share = any(not one["draining"] for one in same)
        self.maintenance = {line for one in same for line in one["maintenance"]}


def _which(settings: Settings) -> str:
    """Which service this is: who has the same answers the same calls from the same database."""
    host, port = settings.agi
    named = f"{host}:{port} {settings.database} {settings.system}"
    return hashlib.sha256(named.encode()).hexdigest()


def _raise_descriptor_limit() -> None:
    """As many sockets as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings, loaded: Hotlines, database: Store, others: Others) -> None:
    async with contextlib.AsyncExitStack() as ending:
        clock = SystemClock()
        ending.callback(database.close)
        ending.callback(clock.close)
        owner = f"{settings.system}-{secrets.token_hex(8)}"
        journal = Writer(database, clock=clock, owner=owner)
        ending.push_async_callback(lambda: clock.in_executor(journal.close))
        spool = Spool(
            database, spool=settings.service_spool, folder=settings.recordings, utc=clock.utc
        )
        service = Service(
            clock=clock,
            hotlines=loaded,
            journal=journal,
            desk=(desk := Desk(database, spool, clock, lambda: service.hotlines)),
            lender=(
                lending := Lending(
                    settings.recordings, settings.service_spool, settings.spool, clock
                )
            ),
            lookups=LookUps(loaded, clock, settings.root),
            sounds=settings.sounds,
            spool=settings.spool,
            system=settings.system,
            most=settings.most,
            maintenance=others.maintenance & loaded.lines.keys(),
        )
        ending.push_async_callback(_close_lookups, service)
        service.other_scripts = {"collect": desk.collect}
        back_door = control.Control(service, control.path(settings.root), others.serves)
        service.on_entry = back_door.happened
        host, port = settings.agi
        # a second service started by mistake must find the port taken before it touches anything
        service.bind(host, port, beside=others.share)
        if not others.there:
            await clock.in_executor(lending.clear)
        agents = Agents(database, owner)
        _beside(ending, clock, lambda: _live(clock, agents))
        _beside(ending, clock, lambda: _close_calls(clock, desk, settings.system, owner))
        people = Switchboard(service, agents)
        people.connect()
        people.sync(loaded.lines)
        ending.push_async_callback(people.close)
        callbacks = Callbacks(service, database, people, settings.carrier, _failing(service))
        callbacks.connect()
        Seats(service, database, settings.carrier).connect()
        manager = await _manager(settings, service, people, callbacks, ending)
        ending.push_async_callback(service.close)
        back_door.reloading = Reloading(
            service,
            settings.root,
            lambda: _load(settings, calls=True),
            lambda loaded: _taken(people, loaded),
        )
        stopping = _signals(back_door.reloading)
        await service.listen(host, port, ports=settings.own_ports, asterisk=settings.manager)
        ending.push_async_callback(back_door.close)
        await back_door.listen()
        _beside(ending, clock, lambda: _tidy(clock, desk, manager))
        await people.settled()  # who works here is known
        witness = Witness.of(settings.root, settings.database)
        urging = Announcer(
            database,
            clock,
            lambda: service.hotlines.lines,
            sender=Sender(clock),
            bell=manager,
            witness=witness,
        )
        _beside(ending, clock, urging.run)
        keeping = Retention(database, spool, clock, lambda: service.hotlines.retention)
        _beside(ending, clock, keeping.run)
        ending.push_async_callback(callbacks.close)
        _beside(ending, clock, callbacks.run)
        lines = sorted(loaded.lines)
        log.info("ready", agi=f"{host}:{port}", own=service.own, beside=others.share, lines=lines)
        await stopping.wait()
        log.info("draining", calls=len(service.drivers))
        stopping.clear()
        await _drain(settings, service, stopping)
    log.info("stopped")


def _failing(service: Service) -> Callable[[str], bool]:
    def failing(line: str) -> bool:
        return isinstance(service.lookups, LookUps) and service.lookups.failing(line)

    return failing


async def _live(clock: Clock, agents: Agents) -> None:
    """Say that this process lives, as long as it does: what it holds is its own."""
    failing = False
    while True:
        try:
            await clock.in_executor(agents.beat, clock.utc())
            failing = False
        except store.StorageFailed as error:
            if not failing:
                log.error("other processes cannot see that this one lives", why=str(error))
            failing = True
        await clock.sleep(BEAT.total_seconds())


async def _close_calls(clock: Clock, desk: Desk, system: str, owner: str) -> None:
    """Calls of a service that died are over, whenever it dies; sooner seen while it has any."""
    while True:
        others = await desk.close_calls(system, owner)
        await clock.sleep(SOON if others else TIDY)


async def _close_lookups(service: Service) -> None:
    assert isinstance(service.lookups, LookUps)
    await service.lookups.close()


Work = Callable[[], Coroutine[Any, Any, None]]


def _beside(ending: contextlib.AsyncExitStack, clock: Clock, work: Work) -> None:
    """Do this until the end. After an error of ours it begins again, soon enough that nobody
    takes this process for dead."""
    task = asyncio.create_task(_kept_up(clock, work))

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    ending.push_async_callback(stop)


async def _kept_up(clock: Clock, work: Work) -> None:
    while True:
        try:
            return await work()
        except Exception:
            log.exception("what runs beside the calls failed, by an error of ours; it begins again")
        await clock.sleep(SOON)


async def _drain(settings: Settings, service: Service, again: asyncio.Event) -> None:
    drained = asyncio.create_task(service.drain(settings.drain))
    told = asyncio.create_task(again.wait())
    await asyncio.wait({drained, told}, return_when=asyncio.FIRST_COMPLETED)
    for task in (drained, told):
        task.cancel()
    await asyncio.gather(drained, told, return_exceptions=True)


async def _manager(
    settings: Settings,
    service: Service,
    people: Switchboard,
    callbacks: Callbacks,
    ending: contextlib.AsyncExitStack,
) -> Manager | None:
    if settings.manager is None:
        log.warning("no manager: keys only, no voices, nobody can be rung")
        return None
    host, port = settings.manager
    manager = Manager(
        host,
        port,
        settings.manager_user,
        settings.manager_secret,
        clock=service.clock,
        on_event=service.manager_event,
        wants=lambda name, channel: (
            not channel
            or channel in service.drivers
            or people.legs.wants(name, channel)
            or callbacks.dialler.wants(name, channel)
        ),
    )
    ending.push_async_callback(manager.stop)
    await manager.start()
    service.bell = manager
    if manager.connected:
        service.clock_offset = await _clock_offset(manager, service)
        await people.presence.ask()
    _beside(ending, service.clock, lambda: _watch(manager, service, people))
    return manager


async def _watch(manager: Manager, service: Service, people: Switchboard) -> None:
    """Say when the manager is lost and when it is back; where phones are is asked for then, and
    when Asterisk has started, and again where they were rung in vain."""
    known, problem, hears = manager.connections, "", manager.hears_system
    asked = service.clock.now()
    if not manager.connected:
        problem = manager.problem
        log.warning("no manager: keys only, no voices, nobody can be rung", why=problem)
    while True:
        await service.clock.sleep(LOOK)
        if not manager.connected and not problem:
            problem = manager.problem or "lost"
            log.warning("no manager: keys only, no voices, nobody can be rung", why=problem)
        elif manager.connected and (problem or manager.connections != known):
            known, problem = manager.connections, ""
            log.info("the manager is there again: voices are heard")
            service.clock_offset = await _clock_offset(manager, service)
            await people.presence.ask()
            hears = manager.hears_system
        elif manager.hears_system != hears:
            hears = manager.hears_system
            await people.presence.ask()
        if service.clock.now() - asked >= presence.AGAIN.total_seconds():
            asked = service.clock.now()
            await people.presence.ask_again()


async def _clock_offset(manager: Manager, service: Service) -> float:
    """How far our clock is ahead of Asterisk's, in seconds; the quickest of a few answers. What
    was known before stays if Asterisk does not answer."""
    best = (float("inf"), 0.0)
    for _ in range(CLOCK_TRIES):
        before = service.clock.utc().timestamp()
        try:
            answer = await manager.action("Ping")
        except (ManagerDown, ManagerRefused):
            return service.clock_offset
        after = service.clock.utc().timestamp()
        with contextlib.suppress(KeyError, ValueError):
            theirs = float(answer["Timestamp"])
            best = min(best, (after - before, (before + after) / 2 - theirs))
    return best[1] if abs(best[1]) > best[0] else 0.0


async def _tidy(clock: SystemClock, desk: Desk, manager: Manager | None) -> None:
    """Take in what callers left while we were away, now and from time to time."""
    while True:
        try:
            if manager is not None and manager.connected:
                await manager.action("Originate", COLLECT)
            else:
                await desk.tidy()
        except (ManagerDown, ManagerRefused, OSError, store.StorageFailed) as error:
            log.warning("messages could not be taken in; trying again", why=str(error))
        except Exception:
            log.exception("messages could not be taken in, by an error of ours; trying again")
        await clock.sleep(SOON)
        if not desk.waiting:
            await clock.sleep(TIDY - SOON)


COLLECT: Mapping[str, str] = {
    "Channel": "Local/s@sansheng-collect/n",
    "Context": "sansheng-collect",
    "Exten": "wait",
    "Priority": "1",
    "Async": "true",
}
"""Rings the dialplan's door through which its notes are read."""


def _signals(reloading: Reloading) -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reloads: set[asyncio.Task[Any]] = set()

    def reload() -> None:
        reloads.add(task := asyncio.create_task(reloading.again()))
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    return stopping


async def _taken(people: Switchboard, loaded: Hotlines) -> None:
    """Who works for these lines is known, and where their phones are: those that were nobody's
    have not been listened to."""
    people.sync(loaded.lines)
    await people.presence.ask()


def _load(settings: Settings, calls: bool = False) -> Hotlines:
    """Blocks: lines as they are now, and what they say as Asterisk plays it, beside `calls`."""
    loaded = hotlines.load(settings.root)
    masters.prepare(settings.root, settings.sounds, calls=calls)
    return loaded
