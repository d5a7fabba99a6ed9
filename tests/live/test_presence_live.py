"""Real phones that register at a real Asterisk, take leave, vanish and come back: what it says of
them, and what becomes of their agents and of the callers who want them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faked import AmiClient
from moments import eventually
from people import AGENT, Desk, Office, takes, talk
from places import free_port
from switches import a_switch, started

from ivr.clock import VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.fake_phones import FakePhone
from ivr.phone import Phone
from ivr.registration import Registration
from ivr.switch import Switch

pytestmark = pytest.mark.live

PHONE, FIXED, NOBODY = "801", "802", "999"
SOON = 2.0
"""Seconds within which a phone's going or coming is known."""
SHORT = 2
"""Seconds for which the lab's Asterisk lets phones be known, at least."""


def registration(phone: Phone, user: str, sip: tuple[str, int]) -> Registration:
    later = asyncio.get_running_loop().call_later
    return Registration(phone.endpoint, later, user, phone.address, phone.contact, sip)


# ---------------------------------------------------------------- what Asterisk says


def told(packets: Iterable[dict[str, str]]) -> list[str]:
    """What is said of phones, and to who logs in, that Asterisk is up. The two events of one change
    come in either order."""
    found = []
    for one in packets:
        if one.get("Event") == "PeerStatus":
            found.append(f"{one['Peer']} {one['PeerStatus']}")
        elif one.get("Event") == "ContactStatus":
            found.append(f"{one['EndpointName']} {one['ContactStatus']}")
        elif one.get("Event") == "FullyBooted":
            found.append(f"{one['Event']} {one['Privilege']} {one['Status']}")
    return sorted(found)


def states(packets: Iterable[dict[str, str]]) -> list[str]:
    return [one["Value"] for one in packets if "Value" in one]


class Lab:
    """Steps, and what a manager was told at each: against the real one, or the fake."""

    def __init__(self, ami: AmiClient) -> None:
        self.ami, self.steps = ami, list[tuple[str, list[str], list[str]]]()

    def ask(self) -> None:
        for phone in (PHONE, FIXED, NOBODY):
            self.ami.action("Getvar", Variable=f"DEVICE_STATE(PJSIP/{phone})")

    def note(self, step: str) -> None:
        self.steps.append((step, told(self.ami.packets), states(self.ami.packets)))
        self.ami.packets.clear()


def known_briefly(switch: Switch) -> None:
    """Phones that register may be known for a moment only."""
    file = switch.directory / "etc/pjsip.conf"
    brief = f"[{PHONE}]\ntype = aor\nminimum_expiration = {SHORT}\n"
    text = file.read_text().replace(f"[{PHONE}]\ntype = aor\n", brief)
    often = "type = global\ncontact_expiration_check_interval = 1\n"
    file.write_text(text.replace("type = global\n", often))


@asynccontextmanager
async def laboratory(directory: Path) -> AsyncIterator[tuple[Lab, tuple[str, int]]]:
    """An Asterisk with a manager's account; the lab, and where to register."""
    desks = {PHONE: 0, FIXED: free_port(socket.SOCK_DGRAM)}
    switch = await asyncio.to_thread(
        started, lambda: a_switch(directory, "lab", desks=desks), known_briefly
    )
    try:
        loop = asyncio.get_running_loop()
        _, ami = await loop.create_connection(AmiClient, "127.0.0.1", switch.ports.manager)
        ami.action("Login", Username=switch.user, Secret=switch.secret)
        yield Lab(ami), ("127.0.0.1", switch.ports.sip)
        ami.transport.close()
    finally:
        await asyncio.to_thread(switch.stop)


async def see(directory: Path, expected: Lab) -> Lab:
    """The real one; what is `expected` of each step only says how long to wait for it."""
    async with (
        await Phone.open(user=PHONE) as phone,
        await Phone.open(user=PHONE) as moved,
        laboratory(directory) as (lab, sip),
    ):
        waits = iter(expected.steps)

        async def step(name: str) -> None:
            _, events, answers = next(waits)
            with contextlib.suppress(AssertionError):  # what is missing is told by the comparison
                await eventually(lambda: len(told(lab.ami.packets)) >= len(events))
            await asyncio.sleep(0.3)  # for what should not come
            lab.ask()
            with contextlib.suppress(AssertionError):
                await eventually(lambda: len(states(lab.ami.packets)) >= len(answers))
            lab.note(name)

        await step("at the start")
        known = registration(phone, PHONE, sip)
        await known.begin()
        await step("registers")
        known._ask(known.expires, lambda status: None)
        await step("registers again")
        other = registration(moved, PHONE, sip)
        await other.begin()
        known.stop()
        await step("registers elsewhere")
        await other.end()
        await step("takes leave")
        brief_one = registration(phone, PHONE, sip)
        brief_one.expires = SHORT
        await brief_one.begin()
        brief_one.stop()
        await step("registers once more")
        await step("is heard of no more")
        return lab


async def pretend(clock: VirtualClock) -> Lab:
    phones = {PHONE: FakePhone(registered=False), FIXED: FakePhone()}
    account = {"lab": Account("lab")}
    fake = FakeAsterisk(clock, ("127.0.0.1", 1), seconds={}.get, accounts=account, phones=phones)
    loop = asyncio.get_running_loop()
    _, ami = await loop.create_connection(AmiClient, "127.0.0.1", await fake.listen())
    fake.watch(ami)
    ami.action("Login", Username="lab", Secret="lab")
    await clock.settle()
    lab = Lab(ami)
    for name, does in (
        ("at the start", lambda: None),
        ("registers", lambda: fake.register(PHONE)),
        ("registers again", lambda: fake.register(PHONE)),
        ("registers elsewhere", lambda: fake.move(PHONE)),
        ("takes leave", lambda: fake.register(PHONE, there=False)),
        ("registers once more", lambda: fake.register(PHONE)),
        ("is heard of no more", lambda: fake.register(PHONE, there=False)),
    ):
        does()
        lab.ask()
        await clock.settle()
        lab.note(name)
    await fake.close()
    return lab


async def test_the_fake_says_of_phones_what_asterisk_says(tmp_path: Path) -> None:
    clock = VirtualClock(datetime.now(UTC), patience=10.0)
    try:
        pretended = await pretend(clock)
    finally:
        clock.close()
    seen = await see(tmp_path / "lab", pretended)
    assert pretended.steps == seen.steps
    assert [found for _, _, found in seen.steps[:2]] == [
        ["UNAVAILABLE", "NOT_INUSE", "INVALID"],
        ["NOT_INUSE", "NOT_INUSE", "INVALID"],
    ]


# ---------------------------------------------------------------- what becomes of agents


class Registered(Desk):
    """An agent's phone that is only where it registers from."""

    def __init__(self, number: str) -> None:
        super().__init__(number)

    async def comes(self, sip: tuple[str, int]) -> None:
        await self.open()
        assert self.phone is not None
        self.known = registration(self.phone, self.number, sip)
        await self.known.begin()

    async def goes(self) -> None:
        await self.known.end()

    async def vanishes(self) -> None:
        """Its power fails."""
        self.known.stop()
        assert self.phone is not None
        await self.phone.close()


@asynccontextmanager
async def office(directory: Path) -> AsyncIterator[tuple[Office, Registered]]:
    """818 registers and is ready; 817 is at a fixed address, and busy."""
    async with Office(directory, ("817",), ("818",)) as own:
        desk = Registered("818")
        desk.plan[0] = takes()
        own.desks["817"].plan[0] = takes()
        await desk.comes(own.stage.sip)
        own.ready("818")
        try:
            yield own, desk
        finally:
            desk.known.stop()
            await desk.close()


async def becomes(own: Office, phone: str, state: str, within: float = SOON) -> float:
    """Wait until an agent is in this state; how long that took, in seconds."""
    began = time.monotonic()
    while own.state(phone) != state:
        assert time.monotonic() - began < within, own.agents()[phone]
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_phone_that_takes_leave_is_not_rung_and_its_agent_is_ready_when_it_is_back(
    tmp_path: Path, figures: list[str]
) -> None:
    async with office(tmp_path) as (own, desk):
        own.ready("817")
        await desk.goes()
        gone = await becomes(own, "818", "unreachable")
        call = await own.wants("13800000001")
        await own.watch.until("13800000001", "Bridge")
        assert len(own.desks["817"].rings) == 1
        await call.hang_up()
        await own.at_rest()
        own.busy("817")
        await desk.phone.close()
        await desk.comes(own.stage.sip)
        back = await becomes(own, "818", "ready")
        call = await own.wants("13800000002")
        await own.watch.until("13800000002", "Bridge")
        await asyncio.sleep(1.0)
        assert talk(call, AGENT)
        await call.hang_up()
        await own.at_rest()
        assert own.state("817") == "busy"
        figures.append(f"a phone's leave is known within {gone:.2f} s, its return {back:.2f} s")


async def test_nothing_is_torn_when_a_phone_takes_leave_in_a_talk(tmp_path: Path) -> None:
    async with office(tmp_path) as (own, desk):
        call = await own.wants("13800000001")
        await own.watch.until("13800000001", "Bridge")
        await asyncio.sleep(1.0)
        await desk.goes()
        left = time.monotonic()
        await asyncio.sleep(3.0)
        assert own.state("818") == "talking"
        assert any(end > left + 2.5 for _, end in talk(call, AGENT))
        await desk.rings[-1].hang_up()
        await becomes(own, "818", "unreachable")
        await call.hang_up()
        await own.at_rest()


async def test_what_happened_while_the_service_was_away_is_asked_for(tmp_path: Path) -> None:
    async with office(tmp_path) as (own, desk):
        await asyncio.to_thread(own.stage.stop_service)
        await desk.goes()
        await asyncio.to_thread(own.stage.start_service)
        await becomes(own, "818", "unreachable")
        await asyncio.to_thread(own.stage.stop_service)
        await desk.phone.close()
        await desk.comes(own.stage.sip)
        own.ready("817")
        await asyncio.to_thread(own.stage.start_service)
        await becomes(own, "818", "ready")
        assert own.state("817") == "ready"  # a fixed address is always there


@pytest.mark.slow_live  # 16 s; the wire shows it, too (test_phones_away)
async def test_who_was_rung_in_vain_is_ready_when_the_phone_registers(
    tmp_path: Path, figures: list[str]
) -> None:
    """The power of a phone fails; Asterisk rings where it was, until it hears of it elsewhere."""
    async with office(tmp_path) as (own, desk):
        await desk.vanishes()
        call = await own.wants("13800000001")
        await own.watch.until("13800000001", "AgentFailed", within=40.0)
        await becomes(own, "818", "unreachable")
        await call.hang_up()
        await own.at_rest(within=40.0)
        await desk.comes(own.stage.sip)
        figures.append(f"found elsewhere: ready in {await becomes(own, '818', 'ready'):.2f} s")
