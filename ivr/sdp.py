"""What a telephone says in SDP about its sound, and what it reads there (RFC 3264).

Rules this module keeps: pure; addresses and text in, text and `Terms` out. The parser is
aiosipua's. What cannot be understood is `NoTerms`, never another exception.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiosipua import build_sdp, negotiate_sdp, parse_sdp
from aiosipua.sdp import SdpMessage, serialize_sdp
from aiosipua.sdp_negotiate import SdpNegotiationError

from ivr import rtp
from ivr.udp import Address

TYPE = "application/sdp"
"""The Content-Type of SDP."""


class NoTerms(Exception):
    """There is no sound in it that we understand."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Where the other side wants its sound, and how.

    `key_type` is the payload type of keys, None if it takes none; `sending` says whether it
    wants any sound now (not while it holds us).
    """

    remote: Address
    codec: rtp.Codec
    key_type: int | None
    sending: bool


def offer(address: Address) -> str:
    """Our offer: both laws of G.711, the better one first, and keys, at `address`."""
    first, *others = rtp.CODECS.values()
    sdp = build_sdp(*address, first.payload_type, first.name)
    media = sdp.media[0]
    for codec in others:
        media.formats.insert(-1, str(codec.payload_type))
        media.attributes["rtpmap"].insert(-1, f"{codec.payload_type} {codec.name}/{rtp.RATE}")
    return serialize_sdp(sdp)


def answer(text: str, address: Address) -> str:
    """Our answer to an offer: the law we like best of those offered. Raises NoTerms."""
    agreed = terms(text)
    try:
        sdp, _ = negotiate_sdp(
            parse_sdp(text),
            *address,
            [agreed.codec.payload_type],
            agreed.key_type or rtp.TELEPHONE_EVENT,
        )
    except (SdpNegotiationError, ValueError) as error:
        raise NoTerms(str(error)) from error
    return serialize_sdp(sdp)


def terms(text: str) -> Terms:
    """What an offer or an answer says. Raises NoTerms."""
    try:
        sdp = parse_sdp(text)
    except (ValueError, IndexError) as error:
        raise NoTerms(str(error)) from error
    remote, audio = sdp.rtp_address, sdp.audio
    if remote is None or audio is None or not 0 < remote[1] < 65536:
        raise NoTerms("no address for sound")
    kinds = [codec.payload_type for codec in audio.codecs]
    for codec in rtp.CODECS.values():
        if codec.payload_type in kinds:
            sending = audio.direction in ("sendrecv", "recvonly")
            return Terms(remote, codec, _key_type(sdp), sending)
    raise NoTerms("no law of G.711")


def _key_type(sdp: SdpMessage) -> int | None:
    for codec in sdp.audio.codecs if sdp.audio else []:
        if codec.encoding_name.lower() == "telephone-event":
            return codec.payload_type
    return None
