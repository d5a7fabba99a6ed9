"""Two telephones talk to each other over loopback UDP."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import uvloop
from phones import EAR, FAST, VOICES, Both, desk, heard_out, messages, pick_up

from ivr import sdp
from ivr.phone import NotAnswered, PhoneCall, State
from ivr.udp import Port


async def test_a_call_rings_is_answered_and_both_hear_each_other_at_the_right_time() -> None:
    async with Both() as both:

        async def answer_late(call: PhoneCall) -> None:
            call.ring()
            await asyncio.sleep(0.3)
            call.answer()

        both.when_called(answer_late)
        ours = await both.caller.dial("1001#", both.agent.address, display='王 "x" \\')
        await ours.ringing(2)
        assert ours.state is State.RINGING
        await ours.answered(2)
        theirs = await both.came.get()
        assert (theirs.number, theirs.caller, theirs.display) == (
            "1001#",
            "13800138000",
            '王 "x" \\',
        )
        assert ours.answered_at is not None
        assert ours.ringing_at is not None
        assert ours.answered_at - ours.ringing_at == pytest.approx(0.3, abs=0.05)
        said = ours.play(VOICES["alice"]), theirs.play(VOICES["bob"])
        for call, stimulus in zip((theirs, ours), said, strict=True):
            await heard_out(call, stimulus)
        await ours.hang_up()
        await theirs.ended(1)
        for call, name, stimulus in ((theirs, "alice", said[0]), (ours, "bob", said[1])):
            (heard,) = EAR.recognise(call.heard)
            assert heard.name == name
            assert heard.score > 0.99
            assert stimulus.began is not None
            assert stimulus.ended is not None
            assert heard.start == pytest.approx(stimulus.began, abs=0.02)
            assert heard.end == pytest.approx(stimulus.ended, abs=0.03)


async def test_keys_are_heard_on_both_sides_once_each_and_in_time() -> None:
    async with Both() as both:
        ours, theirs = await both.connected()
        pressed = ours.press("59#*")
        theirs.press("2D")
        ours.speak(0.5)
        await pressed[-1].done()
        await asyncio.sleep(0.05)  # the end of a key is said three times
        assert "".join(key for _, key in theirs.keys) == "59#*"
        assert "".join(key for _, key in ours.keys) == "2D"
        for stimulus, (when, _) in zip(pressed, theirs.keys, strict=True):
            assert stimulus.began == pytest.approx(when, abs=0.01)
            assert stimulus.ended is not None
            assert stimulus.began is not None
            assert stimulus.ended - stimulus.began == pytest.approx(0.1, abs=0.03)
        with pytest.raises(ValueError, match="not keys"):
            ours.press("1a")


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_either_side_may_hang_up(who: str) -> None:
    async with Both() as both:
        ours, theirs = await both.connected()
        ending, other = (ours, theirs) if who == "caller" else (theirs, ours)
        await ending.hang_up()
        await other.ended(1)
        assert (ending.ended_by, other.ended_by) == ("us", "them")
        assert ending.ended_at == pytest.approx(other.ended_at, abs=0.02)
        assert ours.status == theirs.status == 200
        await ending.hang_up()  # and once more does nothing
        assert not both.caller.calls


async def test_a_caller_who_gives_up_while_it_rings_is_not_connected() -> None:
    async with Both() as both:

        async def only_ring(call: PhoneCall) -> None:
            call.ring()

        both.when_called(only_ring)
        ours = await both.caller.dial("8001", both.agent.address)
        await ours.ringing(2)
        await ours.hang_up()
        theirs = await both.came.get()
        assert (ours.state, ours.status, ours.ended_by) == (State.OVER, 487, "us")
        assert (theirs.state, theirs.status, theirs.ended_by) == (State.OVER, 487, "them")
        with pytest.raises(NotAnswered):
            await ours.answered(1)


async def test_a_caller_may_give_up_before_anything_rings() -> None:
    async with Both() as both:

        async def wait(call: PhoneCall) -> None:
            await call.ended(5)

        both.when_called(wait)
        ours = await both.caller.dial("8001", both.agent.address)
        await ours.hang_up()
        assert ours.status == 487


async def test_an_answer_that_crosses_the_giving_up_is_hung_up_at_once() -> None:
    async with Both(t1=FAST, loses=("CANCEL",)) as both:

        async def ring_then_answer(call: PhoneCall) -> None:
            call.ring()
            await asyncio.sleep(0.03)
            call.answer()

        both.when_called(ring_then_answer)
        ours = await both.caller.dial("8001", both.agent.address)
        await ours.ringing(2)
        await ours.hang_up()
        theirs = await both.came.get()
        await theirs.ended(2)
        assert (ours.state, theirs.ended_by) == (State.OVER, "them")


@pytest.mark.parametrize("status", [486, 603, 480])
async def test_a_refusal_has_its_status(status: int) -> None:
    async with Both() as both:

        async def refuse(call: PhoneCall) -> None:
            call.refuse(status)

        both.when_called(refuse)
        ours = await both.caller.dial("8001", both.agent.address)
        with pytest.raises(NotAnswered) as refused:
            await ours.answered(2)
        assert refused.value.status == ours.status == status
        assert ours.ended_by == "them"


async def test_a_phone_with_nobody_at_it_is_not_answered_nor_a_port_with_no_phone() -> None:
    async with Both(t1=0.005) as both:
        ours = await both.caller.dial("8001", both.agent.address)
        with pytest.raises(NotAnswered) as nobody:
            await ours.answered(2)
        assert nobody.value.status == 480
        silent = Port("127.0.0.1", 0, lambda data, source, when: None)
        ours = await both.caller.dial("8001", silent.address)
        with pytest.raises(NotAnswered) as nothing:
            await ours.answered(2)
        silent.close()
        assert nothing.value.status == 408


async def test_a_caller_may_withhold_the_number_and_add_headers() -> None:
    async with Both() as both:
        both.when_called(pick_up)
        ours = await both.caller.dial("8001", both.agent.address, caller="", headers={"X-Id": "7"})
        await ours.answered(2)
        theirs = await both.came.get()
        assert theirs.caller == ""
        assert theirs.request.get_header("X-Id") == "7"
        assert theirs.request.get_header("Privacy") == "id"
        with pytest.raises(ValueError, match="line breaks"):
            await both.caller.dial("1", both.agent.address, headers={"X-Id": "7\r\nBad: 1"})


@pytest.mark.parametrize(
    "lost", [("INVITE",), ("200",), ("ACK",), ("BYE",), ("INVITE", "100", "200", "ACK", "BYE")]
)
async def test_a_lost_message_is_sent_again_and_the_call_goes_on(lost: tuple[str, ...]) -> None:
    async with Both(t1=FAST, loses=lost) as both:
        ours, theirs = await both.connected()
        await asyncio.sleep(4 * FAST)  # long enough for all that is still sent again
        await ours.hang_up()
        await theirs.ended(2)
        assert both.came.empty()  # the repeated INVITE was no second call
        assert ours.status == theirs.status == 200
        assert not both.agent.calls
        assert messages(both.caller).count("ACK") >= 1 + lost.count("ACK")


async def test_a_goodbye_whose_answer_was_lost_is_answered_again() -> None:
    async with Both(t1=FAST, loses=("200", "200")) as both:
        ours, theirs = await both.connected()
        await asyncio.wait_for(theirs.hang_up(), 2)
        assert messages(both.caller).count("200") == 3  # lost twice, then told
        await ours.ended(1)


async def test_a_lost_refusal_is_sent_again_until_it_is_acknowledged() -> None:
    async with Both(t1=FAST, loses=("486", "ACK")) as both:

        async def refuse(call: PhoneCall) -> None:
            call.refuse()

        both.when_called(refuse)
        ours = await both.caller.dial("8001", both.agent.address)
        with pytest.raises(NotAnswered):
            await ours.answered(2)
        await asyncio.sleep(8 * FAST)  # a fourth would have come by now
        assert messages(both.agent).count("486") == 3  # lost, its ACK lost, acknowledged


async def test_an_answer_nobody_acknowledges_ends_the_call() -> None:
    async with Both(t1=0.005) as both:
        both.when_called(pick_up)
        ours = await both.caller.dial("8001", both.agent.address)
        both.caller.endpoint.tell = lambda request, to: None  # type: ignore[method-assign]
        await ours.answered(2)
        theirs = await both.came.get()
        await theirs.ended(2)
        assert theirs.ended_by == "us"
        await ours.ended(2)


async def test_several_calls_at_once_do_not_mix() -> None:
    async with Both() as both:
        both.when_called(pick_up)
        ours = [await both.caller.dial(name, both.agent.address) for name in VOICES]
        for call in ours:
            await call.answered(2)
        theirs = [await both.came.get() for _ in ours]
        said = {call.number: call.play(VOICES[call.number]) for call in ours}
        for call in theirs:
            await heard_out(call, said[call.number])
            assert [heard.name for heard in EAR.recognise(call.heard)] == [call.number]


async def test_an_echo_comes_back_eighty_milliseconds_later_and_twenty_decibels_below() -> None:
    async with Both() as both:
        ours, theirs = await both.connected()
        theirs.echo(0.08, -20)
        said = ours.play(VOICES["alice"])
        await heard_out(ours, said, later=0.2)
        (heard,) = EAR.recognise(ours.heard)
        assert said.began is not None
        assert heard.start - said.began == pytest.approx(0.08, abs=0.025)
        back = ours.heard.between(heard.start, heard.end).astype(float)
        level = 20 * np.log10(np.std(back) / np.std(VOICES["alice"].astype(float)))
        assert level == pytest.approx(-20, abs=0.5)


async def test_hold_by_another_invite_stops_our_sound_and_resumes_it() -> None:
    async with Both() as both:
        ours, theirs = await both.connected()
        answers: asyncio.Queue[int] = asyncio.Queue()
        for direction in ("sendonly", "sendrecv"):
            invite = ours.dialog.create_request("INVITE", via_port=both.caller.address[1])
            offer = sdp.offer(ours._media.address)
            invite.text = offer.replace("a=sendrecv", f"a={direction}")
            invite.set_header("Content-Type", "application/sdp")
            both.caller.endpoint.ask(
                invite,
                both.agent.address,
                lambda response, when: answers.put_nowait(response.status_code if response else 0),
            )
            assert await asyncio.wait_for(answers.get(), 2) == 200
            await asyncio.sleep(0.1)
            before = ours.heard.packets
            await asyncio.sleep(0.2)
            came = ours.heard.packets - before
            assert came == 0 if direction == "sendonly" else came > 5
        assert theirs.state is State.UP


async def test_an_agent_that_fails_refuses_the_call_and_the_error_is_not_lost() -> None:
    both = await desk()

    async def break_down(call: PhoneCall) -> None:
        raise RuntimeError("the agent fell off the chair")

    both.when_called(break_down)
    ours = await both.caller.dial("8001", both.agent.address)
    with pytest.raises(NotAnswered):
        await ours.answered(2)
    await both.caller.close()
    with pytest.raises(RuntimeError, match="chair"):
        await both.agent.close()


def test_the_phone_works_on_uvloop() -> None:
    async def talk() -> list[str]:
        async with Both() as both:
            ours, theirs = await both.connected()
            await heard_out(theirs, ours.play(VOICES["carol"]))
            await theirs.hang_up()
            return [heard.name for heard in EAR.recognise(theirs.heard)]

    assert uvloop.run(talk()) == ["carol"]
