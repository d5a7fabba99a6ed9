"""An agent's telephone in the terminal, at a switch that is another telephone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiosipua import SipRequest
from rich.console import Console

from ivr import agent_phone, sip
from ivr.agent_phone import AgentPhone, Voices, Wish, phone_of
from ivr.hotlines import Hotlines
from ivr.phone import NotAnswered, Phone, PhoneCall
from ivr.screen import Screen
from ivr.terminal import CannotCall
from ivr.udp import Address


class Switch(Phone):
    """It registers whoever asks, with `status`, and picks up when *81 or *82 is dialled."""

    status = 200

    def __init__(self, *of: object) -> None:
        super().__init__(*of)  # type: ignore[arg-type]
        self.registered: list[str] = []
        self.dialled: list[tuple[str, str]] = []
        self.where: Address = ("", 0)
        self.signs_in = True
        self.signed = asyncio.Event()
        self.on_invite = self.picks_up

    def requested(self, request: SipRequest, source: Address, when: float) -> None:
        if request.method != "REGISTER":
            super().requested(request, source, when)
            return
        self.registered.append(request.get_header("Expires") or "")
        self.endpoint.answer(request, sip.reply(request, self.status, "So", "theirs"))
        self.where = source

    async def picks_up(self, call: PhoneCall) -> None:
        self.dialled.append((call.caller, call.number))
        if self.signs_in:
            call.answer()
            await call.hang_up()
        else:
            call.refuse(603)
        self.signed.set()


async def at_the_terminal(
    root: Path,
    lines: Hotlines,
    keys: str,
    then: Callable[[Switch], Awaitable[None]],
    *,
    status: int = 200,
    signs_in: bool = True,
) -> tuple[Switch, str]:
    """Somebody types `keys` at phone 801, and `then` happens; the switch, and what was shown."""
    told = io.StringIO()
    async with await Switch.open() as switch, await Phone.open(user="801") as phone:
        switch.status, switch.signs_in = status, signs_in
        screen = Screen(Console(file=told, width=200))
        voices = Voices(root, lines, "801")
        one = AgentPhone(phone, "801", switch.address, voices, screen)
        serving = asyncio.create_task(one.serve(keys, seen=True))
        try:
            await then(switch)
        finally:
            await serving
    return switch, told.getvalue()


async def nothing(switch: Switch) -> None:
    """Nobody calls."""


async def a_call(switch: Switch) -> PhoneCall:
    """A caller who is put through, as soon as the agent has signed in."""
    async with asyncio.timeout(5):
        await switch.signed.wait()
    return await switch.dial("801", switch.where, "13800138000", "您好")


async def test_it_registers_signs_in_and_does_both_backwards_at_the_end(
    root: Path, lines: Hotlines
) -> None:
    switch, told = await at_the_terminal(root, lines, "q", nothing)
    assert switch.registered == ["60", "0"]
    assert switch.dialled == [("801", "*81"), ("801", "*82")]
    assert told.rstrip().endswith("phone 801 has left")


async def test_a_call_rings_is_picked_up_gets_keys_and_is_hung_up(
    root: Path, lines: Hotlines
) -> None:
    heard: list[str] = []

    async def then(switch: Switch) -> None:
        call = await a_call(switch)
        await call.answered(5)
        second = await switch.dial("801", switch.where)
        with pytest.raises(NotAnswered) as busy:
            await second.answered(2)
        assert busy.value.status == 486
        await call.ended(10)
        assert call.ended_by == "them"
        heard.extend(key for _, key in call.keys)

    _, told = await at_the_terminal(root, lines, "ra.1*1h", then)
    assert heard == ["1", "*", "1"]
    assert "it rings: 13800138000 「您好」" in told
    assert "you hung up" in told


async def test_h_refuses_while_it_rings_and_a_caller_may_give_up(
    root: Path, lines: Hotlines
) -> None:
    async def then(switch: Switch) -> None:
        refused = await a_call(switch)
        with pytest.raises(NotAnswered) as why:
            await refused.answered(5)
        assert why.value.status == 603
        given_up = await switch.dial("801", switch.where)
        await given_up.ringing(5)
        await given_up.hang_up()

    _, told = await at_the_terminal(root, lines, "rh......", then)
    assert "you refused" in told
    assert "it rings no more" in told


async def test_a_number_and_enter_dial_when_no_call_is_up(root: Path, lines: Hotlines) -> None:
    switch, told = await at_the_terminal(root, lines, "99h*81\n.", nothing)
    assert [number for _, number in switch.dialled] == ["*81", "*81", "*82"]
    assert "*81 Enter dials it" in told


async def test_who_cannot_sign_in_is_told_and_does_not_stay_registered(
    root: Path, lines: Hotlines
) -> None:
    with pytest.raises(CannotCall, match=r"\*81 was not taken: the service is not there"):
        await at_the_terminal(root, lines, "q", nothing, signs_in=False)


@pytest.mark.parametrize(
    ("status", "why"), [(404, "no such phone"), (401, "a password"), (500, "it says 500")]
)
async def test_a_phone_that_is_not_registered_is_told_why(
    root: Path, lines: Hotlines, status: int, why: str
) -> None:
    with pytest.raises(CannotCall, match=f"does not register the phone 801: .*{why}"):
        await at_the_terminal(root, lines, "q", nothing, status=status)


def test_without_an_asterisk_one_is_told_to_start_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_phone, "SOON", 0.1)
    with pytest.raises(CannotCall, match=r"no Asterisk answers at 127.0.0.1:9: .*make run"):
        agent_phone.run(Wish(root, "801", "127.0.0.1:9"), Console(file=io.StringIO()))


async def test_a_port_that_is_taken_is_told(root: Path) -> None:
    async with await Phone.open() as other:
        wish = Wish(root, "801", "127.0.0.1:9", port=other.address[1])
        with pytest.raises(CannotCall, match=r"cannot be used .*leave --port out"):
            await asyncio.to_thread(agent_phone.run, wish, Console(file=io.StringIO()))


def test_a_phone_is_known_by_its_name_or_its_agents_staff_number(lines: Hotlines) -> None:
    assert phone_of(lines, "801") == "801"
    assert phone_of(lines, "832") == "801"  # one person, on two lines
    with pytest.raises(CannotCall, match="nobody has the phone '999': choose one of ems: 811 812"):
        phone_of(lines, "999")


def test_signs_that_are_no_keys_are_refused(root: Path) -> None:
    with pytest.raises(CannotCall, match="--keys knows no 'x': r waits until it rings"):
        agent_phone.run(Wish(root, "801", keys="rax"), Console(file=io.StringIO()))
