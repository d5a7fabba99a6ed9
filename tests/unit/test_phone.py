"""Two telephones talk to each other over loopback UDP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr import rtp, sdp, sip, stimuli
from ivr.ear import Ear
from ivr.media import Media
from ivr.phone import NotAnswered, Phone, PhoneCall, State
from ivr.recording import Recording
from ivr.rtp import RATE, KeyEvent, Packet, Samples
from ivr.sdp import Terms
from ivr.udp import Address, Port, Receiver

VOICES: dict[str, Samples] = {
    name: np.concatenate(
        [np.zeros(800, np.int16), stimuli.speech(0.8, voice=voice), np.zeros(2000, np.int16)]
    )
    for voice, name in enumerate(("alice", "bob", "carol"), start=11)
}
EAR = Ear(VOICES)
FAST = 0.05
"""Seconds before a message is repeated, where a test waits for that."""


class Lossy(Port):
    """A port that loses the first datagram it sends of each kind in `loses`."""

    loses: tuple[str, ...] = ()

    def __init__(self, host: str, port: int, receive: Receiver) -> None:
        super().__init__(host, port, receive)
        self.left = list(self.loses)
        self.sent: list[str] = []

    def send(self, data: bytes, to: Address) -> None:
        line = data.partition(b"\r\n")[0].decode(errors="replace")
        words = line.split()
        kind = words[1] if line.startswith("SIP/2.0 ") else words[0] if words else ""
        self.sent.append(kind)
        if kind in self.left:
            self.left.remove(kind)
        else:
            super().send(data, to)


class Desk:
    """A caller's phone and an agent's, and the call as the agent has it."""

    def __init__(self, caller: Phone, agent: Phone) -> None:
        self.caller, self.agent = caller, agent
        self.came: asyncio.Queue[PhoneCall] = asyncio.Queue()

    def when_called(self, act: Callable[[PhoneCall], Awaitable[None]]) -> None:
        async def on_invite(call: PhoneCall) -> None:
            self.came.put_nowait(call)
            await act(call)

        self.agent.on_invite = on_invite

    async def connected(self) -> tuple[PhoneCall, PhoneCall]:
        """A call that is up: as the caller has it and as the agent has it."""
        self.when_called(pick_up)
        ours = await self.caller.dial("8001", self.agent.address)
        await ours.answered(5)
        return ours, await self.came.get()


async def pick_up(call: PhoneCall) -> None:
    call.answer()


async def desk(t1: float = sip.T1, make_port: Callable[..., Port] = Port) -> Desk:
    caller = await Phone.open(user="caller", t1=t1, make_port=make_port)
    return Desk(caller, await Phone.open(user="agent", t1=t1, make_port=make_port))


class Both:
    """`async with Both(...)`: a desk, closed at the end."""

    def __init__(self, t1: float = sip.T1, loses: tuple[str, ...] = ()) -> None:
        self.t1 = t1
        self.port = type("Losing", (Lossy,), {"loses": loses})

    async def __aenter__(self) -> Desk:
        self.desk = await desk(self.t1, self.port)
        return self.desk

    async def __aexit__(self, *error: object) -> None:
        await self.desk.caller.close()
        await self.desk.agent.close()


def messages(phone: Phone) -> list[str]:
    """The methods and statuses that this phone has sent, lost ones too."""
    port = phone._port
    assert isinstance(port, Lossy)
    return port.sent


# ---------------------------------------------------------------- calls


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
        for stimulus in said:
            await stimulus.done()
        await asyncio.sleep(0.1)
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
        await asyncio.sleep(0.05)
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


async def test_a_phone_with_nobody_at_it_and_a_port_with_no_phone() -> None:
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
        await asyncio.sleep(4 * FAST)
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
        await asyncio.sleep(8 * FAST)
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
        for call in ours:
            call.play(VOICES[call.number])
        await asyncio.sleep(1.3)
        for call in theirs:
            assert [heard.name for heard in EAR.recognise(call.heard)] == [call.number]


async def test_an_echo_comes_back_eighty_milliseconds_later_and_twenty_decibels_below() -> None:
    async with Both() as both:
        ours, theirs = await both.connected()
        theirs.echo(0.08, -20)
        said = ours.play(VOICES["alice"])
        await said.done()
        await asyncio.sleep(0.3)
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
            await ours.play(VOICES["carol"]).done()
            await asyncio.sleep(0.1)
            await theirs.hang_up()
            return [heard.name for heard in EAR.recognise(theirs.heard)]

    assert uvloop.run(talk()) == ["carol"]


# ---------------------------------------------------------------- pace and recording


async def test_the_pace_does_not_drift_when_the_loop_is_held_up() -> None:
    came: list[float] = []
    listener = Port("127.0.0.1", 0, lambda data, source, when: came.append(when))
    media = Media("127.0.0.1")
    media.connect(Terms(listener.address, rtp.ALAW, 101, sending=True))
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        await asyncio.sleep(0.03)
        busy = time.monotonic() + 0.035
        while time.monotonic() < busy:
            pass  # the whole loop stands still, as under load
    expected = (time.monotonic() - began) / 0.02
    await asyncio.sleep(0)
    media.close()
    listener.close()
    assert len(came) == pytest.approx(expected, abs=3)


async def test_times_of_arrival_are_the_kernels_not_those_of_a_busy_reader() -> None:
    came: list[float] = []
    port = Port("127.0.0.1", 0, lambda data, source, when: came.append(when))
    sender = Port("127.0.0.1", 0, lambda data, source, when: None)
    sent = time.monotonic()
    sender.send(b"x", port.address)
    while time.monotonic() < sent + 0.1:
        pass
    await asyncio.sleep(0.02)
    sender.close()
    port.close()
    assert came == [pytest.approx(sent, abs=0.02)]


def tone(number: int) -> Samples:
    return np.full(160, number + 1, np.int16)


def test_a_recording_is_silent_where_nothing_came_and_true_where_packets_were_late() -> None:
    recording = Recording(10.0)
    for number in (0, 1, 2, 3, 50, 51, 52):
        late = {1: 0.015, 51: 0.018}.get(number, 0.0)
        packet = Packet(8, number, number * 160 + (1 << 32) - 320 & 0xFFFFFFFF, 9, b"")
        recording.add(10.5 + number * 0.02 + late, packet, tone(number))
    recording.ended = 12.0
    sound = recording.samples()
    assert len(sound) == 2 * RATE
    assert np.flatnonzero(sound).tolist() == [*range(4000, 4640), *range(12000, 12480)]
    assert sound[4160:4320].tolist() == [2] * 160


def test_repeated_and_swapped_packets_are_laid_down_once_and_in_order() -> None:
    recording = Recording(0.0)
    for number in (0, 1, 3, 2, 2, 4):
        packet = Packet(8, number, number * 160, 9, b"")
        recording.add(1.0 + number * 0.02 + 0.001, packet, tone(number))
    sound = recording.samples()[8008:]
    assert sound.tolist() == [value for number in range(5) for value in [number + 1] * 160]


def test_a_sender_that_loses_time_is_laid_down_where_it_really_was() -> None:
    recording = Recording(0.0)
    for number in range(100):
        slip = 0.04 if number >= 50 else 0.0
        packet = Packet(8, number, number * 160, 9, b"")
        recording.add(1.0 + number * 0.02 + slip, packet, tone(number))
    sound = recording.samples()
    assert np.flatnonzero(sound == 51)[0] == pytest.approx((1.0 + 50 * 0.02 + 0.04) * RATE, abs=1)


def test_a_recording_is_written_as_a_wav_file(tmp_path: Path) -> None:
    recording = Recording(0.0)
    recording.add(0.0, Packet(8, 0, 0, 1, b""), tone(6))
    recording.wav(tmp_path / "heard.wav")
    assert stimuli.wav(tmp_path / "heard.wav").tolist() == [7] * 160


# ---------------------------------------------------------------- G.711, RTP, hostile bytes


@pytest.mark.parametrize("codec", [rtp.ALAW, rtp.ULAW])
def test_g711_returns_every_code_and_keeps_every_sample_close(codec: rtp.Codec) -> None:
    codes = codec.encode(codec.decode(bytes(range(256))))
    same = [code for code in range(256) if codes[code] == code]
    assert len(same) >= 255  # µ-law has a second zero
    every = np.arange(-32768, 32768).astype(np.int16)
    error = np.abs(codec.decode(codec.encode(every)).astype(int) - every)
    assert (error <= np.maximum(np.abs(every.astype(int)) / 24, 8)).mean() > 0.98
    assert (
        codec.encode(np.zeros(2, np.int16)) == {8: b"\xd5\xd5", 0: b"\xff\xff"}[codec.payload_type]
    )


@given(st.binary(max_size=80))
def test_no_bytes_break_the_rtp_parser(data: bytes) -> None:
    packet = Packet.parse(data)
    if packet is not None:
        KeyEvent.parse(packet.payload)


@given(
    st.integers(0, 127).filter(lambda kind: not 64 <= kind <= 95),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.booleans(),
)
def test_a_packet_is_parsed_as_it_was_packed(
    kind: int, sequence: int, stamp: int, source: int, payload: bytes, marker: bool
) -> None:
    packet = Packet(kind, sequence, stamp, source, payload, marker)
    assert Packet.parse(packet.pack()) == packet


HEADERS = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Length", "Route", "v", "f"]
ATOMS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "SIP/2.0/UDP 1.2.3.4;branch=z9",
            "<sip:a@b>;tag=1",
            "1 INVITE",
            "0 ACK",
            "-1",
            "<",
            '"',
            ";=,",
        ]
    ),
)
MESSAGES = st.builds(
    lambda start, headers, body: (
        "\r\n".join([start, *(f"{name}: {value}" for name, value in headers)]) + "\r\n\r\n" + body
    ).encode("utf-8", errors="replace"),
    st.one_of(
        st.sampled_from(["INVITE sip:x SIP/2.0", "ACK sip:x SIP/2.0", "BYE sip:x SIP/2.0"]),
        st.sampled_from(["CANCEL sip:x SIP/2.0", "SIP/2.0 200 OK", "SIP/2.0 ² X", "SIP/2.0"]),
        st.text(max_size=30),
    ),
    st.lists(st.tuples(st.sampled_from(HEADERS), ATOMS), max_size=12),
    st.text(max_size=50),
)


SOUND = {
    "Via": "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx",
    "From": "<sip:a@127.0.0.1>;tag=1",
    "To": "<sip:b@127.0.0.1>",
    "Call-ID": "x",
    "CSeq": "1 INVITE",
    "Contact": "<sip:a@127.0.0.1:9>",
    "Content-Type": "application/sdp",
}
NEARLY_SOUND = st.builds(
    lambda start, header, value, body: (
        start
        + "".join(f"\r\n{name}: {text}" for name, text in {**SOUND, header: value}.items())
        + f"\r\n\r\n{body}"
    ).encode("utf-8", errors="replace"),
    st.sampled_from(["INVITE sip:b@x SIP/2.0", "INVITE : SIP/2.0", "SIP/2.0 180 Ringing"]),
    st.sampled_from(sorted(SOUND)),
    ATOMS,
    st.text(max_size=40),
)


@pytest.fixture(scope="module")
def busy_phone() -> Iterator[tuple[asyncio.Runner, Phone]]:
    """A phone that picks up whatever comes, and the loop it runs on."""
    with asyncio.Runner() as runner:

        async def start() -> Phone:
            phone = await Phone.open(t1=0.002)
            phone.on_invite = pick_up
            return phone

        phone = runner.run(start())
        yield runner, phone
        runner.run(phone.close())


@given(data=st.one_of(MESSAGES, NEARLY_SOUND, st.binary(max_size=300)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_phone(busy_phone: tuple[asyncio.Runner, Phone], data: bytes) -> None:
    runner, phone = busy_phone

    async def receive() -> None:
        phone._received(data, ("127.0.0.1", 9), time.monotonic())
        await asyncio.sleep(0)

    runner.run(receive())


INVITE = (
    "INVITE sip:8001@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{n};rport\r\n"
    "From: <sip:a@127.0.0.1>;tag={n}\r\nTo: <sip:8001@127.0.0.1>\r\nCall-ID: {n}@h\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:{port}>\r\nContent-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n{body}"
)
BODIES = [
    "",
    "v=0",
    "v=0\r\nm=audio",
    "v=0\r\nc=IN IP4 999.1.1.1\r\nm=audio 99999 RTP/AVP 8\r\n",
    "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio x RTP/AVP y\r\n",
    "v=0\r\nc=IN\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:\r\na=rtpmap:101\r\n",
    "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 3\r\n",
    "\x00\x01\x02",
]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_no_text_breaks_the_reading_of_sdp(text: str) -> None:
    for body in (text, sdp.offer(("127.0.0.1", 4000)) + text):
        with contextlib.suppress(sdp.NoTerms):
            sdp.answer(body, ("127.0.0.1", 4002))


@pytest.mark.parametrize(
    ("offered", "taken"),
    [("8 0 101", rtp.ALAW), ("0 8 101", rtp.ALAW), ("0", rtp.ULAW), ("9 18 0", rtp.ULAW)],
)
def test_a_law_is_taken_wherever_it_is_offered(offered: str, taken: rtp.Codec) -> None:
    body = f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP {offered}\r\n"
    assert sdp.terms(body).codec is taken
    assert f"RTP/AVP {taken.payload_type}" in sdp.answer(body, ("127.0.0.1", 4002))


async def test_an_invitation_with_nonsense_inside_is_answered_and_harms_nobody() -> None:
    async with Both(t1=0.005) as both:
        both.when_called(pick_up)
        answers: list[bytes] = []
        port = Port("127.0.0.1", 0, lambda data, source, when: answers.append(data[:12]))
        for number, body in enumerate(BODIES):
            text = INVITE.format(port=port.address[1], n=number, body=body, length=len(body))
            port.send(text.encode(), both.agent.address)
        await asyncio.sleep(0.5)
        port.close()
        finals = {answer for answer in answers if not answer.startswith(b"SIP/2.0 1")}
        assert finals <= {b"SIP/2.0 200 ", b"SIP/2.0 488 ", b"BYE sip:a@12"}
        ours, _ = await both.connected()  # and it still works
        assert ours.state is State.UP
