"""G.711 and RTP as they are on the wire, and bytes that nobody should send."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phones import Both, pick_up
from realtime import until

from ivr import rtp, sdp
from ivr.phone import Phone, State
from ivr.rtp import KeyEvent, Packet
from ivr.udp import Port


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
        finals: dict[int, bytes] = {}

        def take(data: bytes, source: object, when: float) -> None:
            if not data.startswith(b"SIP/2.0 1"):
                finals.setdefault(int(data.partition(b"Call-ID: ")[2].partition(b"@")[0]), data)

        port = Port("127.0.0.1", 0, take)
        for number, body in enumerate(BODIES):
            text = INVITE.format(port=port.address[1], n=number, body=body, length=len(body))
            port.send(text.encode(), both.agent.address)
        await until(lambda: len(finals) == len(BODIES))
        port.close()
        statuses = {number: data[:12] for number, data in finals.items()}
        assert set(statuses.values()) <= {b"SIP/2.0 200 ", b"SIP/2.0 488 "}, statuses
        ours, _ = await both.connected()  # and it still works
        assert ours.state is State.UP
