"""The fake Asterisk and the real one ring phones and join people: the same events, the same
order, the same replies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crowd import Crowd, Script, Scripts, Talk, originate, short
from faked import AmiClient
from switches import a_switch, channels, started

from ivr import dialplan
from ivr.clock import Clock, SystemClock, VirtualClock
from ivr.dialplan import allowed
from ivr.fake import EXIT_ON_HANGUP
from ivr.fake_ami import WANTED
from ivr.fake_bridge import Feature
from ivr.fake_phones import KEYS
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.scenario import Ring
from ivr.switch import Switch

pytestmark = pytest.mark.live

CODES = (("hold", "*1"), ("back", "*2"), ("slow", "*31"))
NAMES = allowed("lab", [name for name, _ in CODES])
JOINED = 2.5
"""Seconds after the beginning at which a caller is joined with the agent."""
RINGS = 2.0
"""Seconds that a phone rings at most."""


@dataclass(frozen=True)
class Case:
    """One phone that is rung, and what its person does; a `caller` who is joined with it, and
    hangs up at `hangs_up` or presses `presses`, in seconds from the beginning. `cancelled` is when
    the ringing is taken back. `leg` says which script the phone hears."""

    name: str
    ring: Ring
    caller: bool = False
    hangs_up: float | None = None
    presses: tuple[float, str] | None = None
    cancelled: float | None = None
    leg: str = "short"

    @property
    def id(self) -> str:
        """Its phone, its leg, and its caller's number. Asterisk also finds a channel by the
        beginning of its id, so none may begin with another."""
        return f"{list(CASES).index(self.name):02d}-{self.name}"


def talks(seconds: float | None, *keys: tuple[float, str]) -> Ring:
    return Ring("accept", 0.5, 0.5, seconds, keys)


CASES = {
    case.name: case
    for case in (
        Case("busy", Ring("busy", 0.3)),
        Case("decline", Ring("decline", 0.3)),
        Case("no-answer", Ring("no_answer")),
        Case("offline", Ring("unreachable")),
        Case("drop", Ring("drop", 0.5)),
        Case("drop-in-note", Ring("drop_in_note", 0.5, 0.5)),
        Case("refuse", Ring("refuse", 0.5, 0.5)),
        Case("ignore", Ring("ignore", 0.5)),
        Case("taken-back", Ring("no_answer"), cancelled=0.7),
        Case("agent-leaves", talks(1.0), caller=True),
        Case("caller-leaves", talks(None), caller=True, hangs_up=4.0),
        Case("nobody-to-join", Ring("drop_in_note", 0.5, 0.7), caller=True),
        Case("torn-off", Ring("ignore", 0.5, talks=1.0), caller=True, leg="long"),
        Case("caller-leaves-before", Ring("no_answer"), caller=True, hangs_up=1.0),
        Case("hold", talks(3.0, (0.5, "*1")), caller=True),
        Case("consent", talks(3.0, (0.5, "*1")), caller=True, presses=(4.0, "1")),
        Case("hold-and-back", talks(3.5, (0.5, "*1"), (1.2, "*2")), caller=True),
        Case("two-codes", talks(5.0, (0.5, "*1"), (1.2, "*31")), caller=True),
        Case("agent-leaves-in-hold", talks(1.5, (0.5, "*1")), caller=True),
        Case("caller-leaves-in-hold", talks(None, (0.5, "*1")), caller=True, hangs_up=4.2),
    )
}


async def leg(talk: Talk) -> None:
    await talk.ask(f"SET VARIABLE DYNAMIC_FEATURES {NAMES}")
    wait = 6000 if talk.environment["arg_1"] == "long" else 1500
    if await talk.ask(f"WAIT FOR DIGIT {wait}") == "200 result=49":
        await talk.ask("SET VARIABLE SANSHENG_ACCEPTED 1")


async def call(talk: Talk) -> None:
    await talk.ask("ANSWER")
    await talk.ask('SET VARIABLE "TIMEOUT(absolute)" 60')
    await talk.ask(f"WAIT FOR DIGIT {round(1000 * JOINED)}")
    await talk.ask(f"EXEC Bridge {talk.environment['callerid']}")
    await talk.ask("GET VARIABLE BRIDGERESULT")
    await talk.ask("WAIT FOR DIGIT 200")


async def feature(talk: Talk) -> None:
    await talk.ask("WAIT FOR DIGIT 1500")


async def alive(talk: Talk) -> None:
    """That the session ends is the answer."""


SCRIPTS: dict[str, Script] = {"leg": leg, "call": call, "feature": feature, "alive": alive}


@dataclass(frozen=True)
class Told:
    """What came of a case: the manager's events, and what each script was told."""

    events: list[str]
    scripts: dict[str, list[str]]


def told(case: Case, packets: Sequence[dict[str, str]], heard: Sequence[Talk]) -> Told:
    """What concerns this leg and its caller."""
    ids = {case.id}
    ids |= {talk.environment["uniqueid"] for talk in heard if talk.environment["callerid"] in ids}
    events = [
        short(event)
        for event in packets
        if event.get("Event") in WANTED
        and (event.get("Uniqueid") in ids or event.get("DestUniqueid") in ids)
    ]
    scripts: dict[str, list[str]] = {}
    for talk in heard:
        if talk.environment["uniqueid"] in ids:
            name = talk.environment["network_script"]
            if name == "feature":
                name = talk.environment["arg_1"]
            scripts[name] = _once([reply for _, reply in talk.said if reply])
    return Told(_unordered(events), scripts)


def _once(replies: list[str]) -> list[str]:
    """HANGUP once at the end: Asterisk writes it twice and closes the socket, and if our next
    command is already there unread, the reset that this makes may swallow the second."""
    while replies[-2:] == ["HANGUP", "HANGUP"]:
        replies.pop()
    return replies


def _unordered(events: list[str]) -> list[str]:
    """OriginateResponse last: it comes when it likes. Of the others only the end of the ringing and
    a hang-up may change places: the thread that dials tells the one, the phone's the other."""
    responses = [event for event in events if event.startswith("OriginateResponse")]
    ends = r"(?:DialEnd .+|HangupRequest|Hangup .+)"
    text = re.sub(
        rf"(?m)^{ends}(\n{ends})+$",
        lambda found: "\n".join(sorted(found[0].split("\n"))),
        "\n".join(event for event in events if event not in responses),
    )
    return text.split("\n") + responses


# ---------------------------------------------------------------- the fake


async def pretend() -> dict[str, Told]:
    """Every case against the fake, all at once, in virtual time."""
    clock = VirtualClock(datetime.now(UTC))
    features = [
        Feature(
            code, f"sansheng-lab-{name}", "self" if name == "back" else "peer", "feature", (name,)
        )
        for name, code in CODES
    ]
    phones = {case.id: [case.ring] for case in CASES.values()}
    async with Crowd(clock, SCRIPTS, phones, features) as crowd:
        for case in CASES.values():
            if case.caller:
                channel = crowd.call(case.id, variables=EXIT_ON_HANGUP, absolute=8.0)
                if case.hangs_up is not None:
                    clock.call_later(case.hangs_up, channel.hang_up)
                if case.presses is not None:
                    at, key = case.presses
                    clock.call_later(at, lambda channel=channel, key=key: channel.press(key))
            crowd.originate(case.id, case.id, **headers(case))
            if case.cancelled is not None:
                clock.call_later(
                    case.cancelled, lambda id=case.id: crowd.ami.action("Hangup", Channel=id)
                )
        await crowd.run()
        done = {name: told(case, crowd.ami.packets, crowd.talks) for name, case in CASES.items()}
    clock.close()
    return done


def headers(case: Case) -> dict[str, str]:
    return {
        "Timeout": str(round(1000 * RINGS)),
        "CallerID": "13800138000",
        "Variable": f"SANSHENG_LEG={case.leg}",
    }


# ---------------------------------------------------------------- the real one


async def enact(case: Case, call: PhoneCall, began: float, clock: Clock) -> None:
    """A real phone rings, and its person does what they do."""
    ring = case.ring

    async def at(moment: float) -> None:
        await clock.sleep(began + moment - clock.now())

    if ring.does != "busy":
        call.ring()
    if ring.does == "no_answer":
        return
    await clock.sleep(ring.after)
    if ring.does in ("busy", "decline"):
        call.refuse(486 if ring.does == "busy" else 603)
        return
    call.answer()
    if ring.does == "drop_in_note":
        await clock.sleep(ring.hears)
    if ring.does in ("drop", "drop_in_note"):
        await call.hang_up()
        return
    if ring.does in KEYS:
        await clock.sleep(ring.hears)
        call.press(KEYS[ring.does])
    for moment, keys in ring.keys:
        await at(JOINED + moment)
        call.press(keys)
    if ring.talks is not None:
        await at(JOINED + ring.talks)
        await call.hang_up()


@asynccontextmanager
async def laboratory(directory: Path, agi: int) -> AsyncIterator[tuple[Switch, dict[str, Phone]]]:
    """An Asterisk with our dialplan and a phone for each case."""
    async with AsyncExitStack() as stack:
        phones = {
            case.id: await stack.enter_async_context(await Phone.open(user=case.id))
            for case in CASES.values()
            if case.ring.does != "unreachable"
        }
        line = dialplan.Line("lab", ("1001",), "a", "b", "c", "d", features=CODES)
        desks = {
            case.id: phones[case.id].address[1] if case.id in phones else 0
            for case in CASES.values()
        }
        switch = await asyncio.to_thread(
            started,
            lambda: a_switch(directory, "lab", lines=[line], agi=f"127.0.0.1:{agi}", desks=desks),
        )
        stack.callback(switch.stop)
        yield switch, phones


async def see(directory: Path) -> dict[str, Told]:
    """Every case against a real Asterisk, side by side."""
    clock = SystemClock()
    service = Scripts(clock, SCRIPTS)
    loop = asyncio.get_running_loop()
    async with laboratory(directory, await service.listen()) as (switch, phones):
        _, ami = await loop.create_connection(AmiClient, "127.0.0.1", switch.ports.manager)
        ami.action("Login", Username=switch.user, Secret=switch.secret)

        async def one(case: Case, callers: Phone) -> None:
            began = clock.now()
            if case.id in phones:
                phones[case.id].on_invite = lambda call: enact(case, call, began, clock)
            call = None
            if case.caller:
                call = await callers.dial("1001", ("127.0.0.1", switch.ports.sip), case.id)
            ami.action("Originate", **originate(case.id, case.id, **headers(case)))
            for at, what in sorted(_acts(case)):
                await clock.sleep(began + at - clock.now())
                if what == "cancel":
                    ami.action("Hangup", Channel=case.id)
                elif what == "hang up":
                    assert call is not None
                    await call.hang_up()
                else:
                    assert call is not None
                    call.press(what)

        async with await Phone.open() as callers:
            await asyncio.gather(*(one(case, callers) for case in CASES.values()))
            async with asyncio.timeout(20):
                while await asyncio.to_thread(channels, switch):
                    await clock.sleep(0.2)
            seen = 0
            while seen < len(ami.packets):  # until nothing more is told
                seen = len(ami.packets)
                await clock.sleep(0.5)
        done = {name: told(case, ami.packets, service.talks) for name, case in CASES.items()}
        ami.transport.close()
    await service.close()
    clock.close()
    return done


def _acts(case: Case) -> list[tuple[float, str]]:
    acts: list[tuple[float | None, str]] = [(case.hangs_up, "hang up"), (case.cancelled, "cancel")]
    if case.presses is not None:
        acts.append(case.presses)
    return [(at, what) for at, what in acts if at is not None]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return asyncio.run(see(tmp_path_factory.mktemp("ringing")))


@pytest.fixture(scope="module")
def pretended() -> dict[str, Told]:
    return asyncio.run(pretend())


@pytest.mark.parametrize("name", CASES)
def test_the_fake_rings_and_joins_as_asterisk_does(
    name: str, seen: dict[str, Told], pretended: dict[str, Told]
) -> None:
    if name == "drop":  # whether the script still begins, on a dead channel, is a race
        for side in (seen, pretended):
            side[name].scripts.clear()
    assert pretended[name] == seen[name]
