"""A telephone that registers, in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from aiosipua import SipMessage, SipRequest

from ivr import sip
from ivr.clock import VirtualClock
from ivr.registration import EXPIRES, RETRY, NotRegistered, Registration
from ivr.udp import Address

HERE, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 5060)
CONTACT = "<sip:801@127.0.0.1:40000>"


class Switch:
    """A registrar that answers what it is told to, and the phone that asks it."""

    def __init__(self, *answers: int, granted: int = EXPIRES, least: int = 0) -> None:
        self.clock = VirtualClock(datetime(2026, 11, 23, tzinfo=UTC))
        self.answers, self.granted, self.least = list(answers), granted, least
        self.asked: list[tuple[float, SipRequest]] = []
        self.told: list[tuple[float, int]] = []
        self.endpoint = sip.Endpoint(NobodyElse(), self._receive, self.clock.call_later)
        self.registration = Registration(
            self.endpoint,
            self.clock.call_later,
            "801",
            HERE,
            CONTACT,
            SERVER,
            lambda status: self.told.append((self.clock.now(), status)),
        )

    def _receive(self, data: bytes, to: Address) -> None:
        assert to == SERVER
        request = SipMessage.parse(data)
        assert isinstance(request, SipRequest)
        self.asked.append((self.clock.now(), request))
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            return  # lost on the way
        response = sip.reply(request, status, "So", "theirs")
        if status == 200:
            response.add_header("Contact", "<sip:801@127.0.0.1:39999>;expires=7")
            response.add_header("Contact", f"{CONTACT};expires={self.granted}")
        if status == 423:
            response.set_header("Min-Expires", str(self.least))
        self.clock.call_later(
            0.01, lambda: self.endpoint.received(bytes(response), SERVER, self.clock.now())
        )

    async def done(self, work: asyncio.Task[None]) -> None:
        await self.clock.run(work.done, limit=100)
        await work

    async def begins(self) -> None:
        await self.done(asyncio.create_task(self.registration.begin()))

    async def ends(self) -> None:
        await self.done(asyncio.create_task(self.registration.end()))

    def expiries(self) -> list[str | None]:
        return [request.get_header("Expires") for _, request in self.asked]


class NobodyElse:
    """Nothing but answers comes to this phone."""

    def requested(self, request: SipRequest, source: Address, when: float) -> None:
        raise AssertionError(request.method)

    def acknowledged(self, request: SipRequest, when: float) -> None:
        raise AssertionError(request.method)

    def unacknowledged(self, request: SipRequest) -> None:
        raise AssertionError(request.method)


async def test_a_phone_says_who_and_where_it_is_and_for_how_long() -> None:
    switch = Switch()
    await switch.begins()
    ((_, request),) = switch.asked
    assert (request.method, request.uri) == ("REGISTER", "sip:127.0.0.1:5060")
    assert request.get_header("To") == "<sip:801@127.0.0.1:5060>"
    assert (request.get_header("From") or "").startswith("<sip:801@127.0.0.1:5060>;tag=")
    assert request.get_header("Contact") == CONTACT
    assert request.get_header("Expires") == str(EXPIRES)
    assert request.get_header("CSeq") == "1 REGISTER"


async def test_it_registers_again_before_what_was_granted_runs_out_in_the_same_dialogue() -> None:
    switch = Switch(granted=20)
    await switch.begins()
    await switch.clock.run_for(65)
    times = [when for when, _ in switch.asked]
    assert times == pytest.approx([0, 10.01, 20.02, 30.03, 40.04, 50.05, 60.06])
    assert len({request.call_id for _, request in switch.asked}) == 1
    assert [request.cseq.seq for _, request in switch.asked if request.cseq] == list(range(1, 8))
    assert switch.told == []


@pytest.mark.parametrize("status", [403, 404, 401])
async def test_a_refusal_is_told_with_its_status_and_not_tried_again(status: int) -> None:
    switch = Switch(status)
    with pytest.raises(NotRegistered) as refused:
        await switch.begins()
    assert refused.value.status == status
    await switch.clock.run_for(100)
    assert len(switch.asked) == 1


async def test_a_switch_that_is_not_there_is_no_answer() -> None:
    switch = Switch(*[0] * 100)
    with pytest.raises(NotRegistered) as refused:
        await switch.begins()
    assert refused.value.status == sip.NO_ANSWER


async def test_a_lost_message_is_sent_again() -> None:
    switch = Switch(0, 0, 200)
    await switch.begins()
    assert [when for when, _ in switch.asked] == pytest.approx([0, 0.5, 1.5])


async def test_who_asks_for_too_short_a_time_asks_for_the_shortest_allowed() -> None:
    switch = Switch(423, granted=120, least=120)
    await switch.begins()
    await switch.clock.run_for(61)
    assert switch.expiries() == [str(EXPIRES), "120", "120"]


async def test_a_switch_that_goes_and_comes_back_is_told_of_once_each() -> None:
    switch = Switch(200, 503, 503, 200, 200, granted=20)
    await switch.begins()
    await switch.clock.run_for(40)
    assert [status for _, status in switch.told] == [503, 200]
    assert switch.told[0][0] == pytest.approx(10.02)
    assert switch.told[1][0] == pytest.approx(10.02 + 2 * (RETRY + 0.01))


async def test_taking_leave_ends_the_registration_and_what_would_renew_it() -> None:
    switch = Switch()
    await switch.begins()
    await switch.ends()
    await switch.clock.run_for(200)
    assert switch.expiries() == [str(EXPIRES), "0"]


async def test_who_was_never_registered_has_no_leave_to_take() -> None:
    switch = Switch(404)
    with pytest.raises(NotRegistered):
        await switch.begins()
    await switch.ends()
    assert len(switch.asked) == 1
