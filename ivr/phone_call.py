"""One call of a telephone (`ivr.phone`): its dialog, its times, its sound.

Rules this module keeps:

- Times are monotonic seconds, None until it happened.
- A call is over once, for one reason; after that everything asked of it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aiosipua import Dialog, SipRequest, SipResponse

from ivr import rtp, sdp, sip, stimuli
from ivr.media import Media, Stimulus
from ivr.recording import Recording
from ivr.udp import Address, Port


class State(enum.StrEnum):
    """How far a call has come."""

    CALLING = "calling"
    RINGING = "ringing"
    UP = "up"
    OVER = "over"


class NotAnswered(Exception):
    """The call was refused, given up or never reached anybody; `status` is the SIP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the call was not answered: {status}")
        self.status = status


class Line(Protocol):
    """What a call needs of its phone."""

    address: Address
    contact: str
    t1: float
    endpoint: sip.Endpoint

    def forget(self, call: PhoneCall) -> None: ...


class PhoneCall:
    """A call, ours or theirs (`incoming`).

    `number` is who is called, `caller` who calls ("" if withheld), `display` the caller's name.
    `status` is the final SIP status of the INVITE, 0 until there is one; `ended_by` is "us",
    "them", or "" while it lasts. `heard` is all that was received, `keys` the keys the other
    side pressed and `marks` what we did, with times.
    """

    def __init__(
        self,
        line: Line,
        dialog: Dialog,
        invite: SipRequest,
        peer: Address,
        number: str,
        caller: str,
        display: str,
        make_port: Callable[..., Port],
        *,
        incoming: bool = False,
    ) -> None:
        self.dialog, self.request = dialog, invite
        self.number, self.caller, self.display = number, caller, display
        self.incoming = incoming
        self.state = State.RINGING if incoming else State.CALLING
        self.status = 0
        self.ended_by = ""
        self.invited_at: float | None = None
        self.ringing_at: float | None = None
        self.progress_at: float | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self._line, self._peer = line, peer
        self._media = Media(line.address[0], make_port)
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._provisional = False
        self._giving_up = False
        self._cancel_sent = False

    # ------------------------------------------------------------ what one sees and hears

    @property
    def heard(self) -> Recording:
        """Everything received, with times."""
        return self._media.heard

    @property
    def keys(self) -> list[tuple[float, str]]:
        """Keys the other side pressed: when each began, and which."""
        return self._media.keys

    @property
    def marks(self) -> list[tuple[float, str]]:
        """What we did: when, and what ("press 1", "press 1 ended", "speak", …)."""
        return self._media.marks

    async def answered(self, within: float = 60.0) -> None:
        """Wait until it is answered. Raises NotAnswered, or TimeoutError after `within` s."""
        async with asyncio.timeout(within):
            while self.state in (State.CALLING, State.RINGING):
                self._changed.clear()
                await self._changed.wait()
        if self.answered_at is None:
            raise NotAnswered(self.status)

    async def ringing(self, within: float = 10.0) -> None:
        """Wait until the other side rings or more. Raises NotAnswered or TimeoutError."""
        async with asyncio.timeout(within):
            while self.state is State.CALLING and self.progress_at is None:
                self._changed.clear()
                await self._changed.wait()
        if self.state is State.OVER and self.answered_at is None:
            raise NotAnswered(self.status)

    async def ended(self, within: float = 600.0) -> None:
        """Wait until it is over. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            await self._over.wait()

    # ------------------------------------------------------------ what one does

    def press(self, keys: str, tone: float = 0.12, gap: float = 0.13) -> list[Stimulus]:
        """Press keys one after another (`tone` and `gap` in seconds). Raises ValueError."""
        return self._media.press(keys, tone, gap)

    def speak(self, seconds: float, level: float = stimuli.SPEECH) -> Stimulus:
        """Speak for so long, `level` dBFS; the sound is speech-like and says nothing."""
        return self._media.play(stimuli.speech(seconds, level), "speak")

    def hum(self, seconds: float, level: float = stimuli.HUM) -> Stimulus:
        """Steady noise for so long, `level` dBFS."""
        return self._media.play(stimuli.hum(seconds, level), "hum")

    def play(self, sound: rtp.Samples | Path, what: str = "play") -> Stimulus:
        """Send this sound (8 kHz mono), or that of a wav file. Raises ValueError, OSError."""
        return self._media.play(stimuli.wav(sound) if isinstance(sound, Path) else sound, what)

    def quiet(self) -> None:
        """Stop speaking, humming and playing at once."""
        self._media.quiet()

    def echo(self, delay: float | None = 0.08, level: float = -20.0) -> None:
        """Send back what is heard, `delay` seconds later at `level` dB; None stops it."""
        self._media.echo(delay, level)

    def ring(self) -> None:
        """As the called: say that it rings."""
        if self.incoming and self.state is State.RINGING:
            self.ringing_at = time.monotonic()
            self.respond(180, "Ringing")

    def answer(self) -> None:
        """As the called: pick up. Refuses by itself with 488 what we cannot understand."""
        if not (self.incoming and self.state is State.RINGING):
            return
        try:
            body = self._agree(self.request)
        except sdp.NoTerms:
            self.refuse(488)
            return
        self.respond(200, "OK", body)
        self.dialog.confirm()
        self.status, self.answered_at = 200, time.monotonic()
        self._become(State.UP)

    def refuse(self, status: int = 486) -> None:
        """As the called: refuse with this SIP status (486 busy, 603 declined, …)."""
        if self.incoming and self.state is State.RINGING:
            self.respond(status, "")
            self._finish("us", status)

    async def hang_up(self) -> None:
        """End the call however far it is, and wait until the other side knows."""
        if self.state is State.CALLING or (self.state is State.RINGING and not self.incoming):
            if not self._giving_up:
                self._giving_up = True
                if self._provisional:
                    self._cancel()
            await self._over.wait()
        elif self.state is State.RINGING:
            self.refuse(603)
        elif self.state is State.UP:
            await self._bye()

    # ------------------------------------------------------------ our INVITE

    def invite(self) -> None:
        """Send the INVITE (for `ivr.phone`)."""
        self.request.text = sdp.offer(self._media.address)
        self.request.set_header("Content-Type", sdp.TYPE)
        self.invited_at = time.monotonic()
        self._line.endpoint.ask(self.request, self._peer, self._responded)

    def _responded(self, response: SipResponse | None, when: float) -> None:
        if response is None:
            self._finish("them", sip.NO_ANSWER)
            return
        status = response.status_code
        if self.state in (State.CALLING, State.RINGING):
            self._learn(response)
        if status < 200:
            self._proceed(status, response, when)
        elif status < 300:
            self._accepted(response, when)
        else:
            self._finish("us" if self._giving_up else "them", status, when)

    def _proceed(self, status: int, response: SipResponse, when: float) -> None:
        self._provisional = True
        if status == 180 and self.ringing_at is None:
            self.ringing_at = when
            self._become(State.RINGING)
        elif status == 183 and self.progress_at is None:
            self.progress_at = when
            self._changed.set()
        self._connect(response)
        if self._giving_up:
            self._cancel()

    def _accepted(self, response: SipResponse, when: float) -> None:
        cseq = self.request.cseq
        ack = self.dialog.create_request(
            "ACK", via_host=self._line.address[0], via_port=self._line.address[1]
        )
        self.dialog.local_cseq -= 1  # an ACK has the number of its INVITE
        ack.set_header("CSeq", f"{cseq.seq if cseq else 1} ACK")
        self._line.endpoint.tell(ack, self._peer)
        if self.state not in (State.CALLING, State.RINGING):
            return  # said before
        self.dialog.confirm()
        self.status, self.answered_at = response.status_code, when
        self._connect(response)
        self._become(State.UP)
        if self._giving_up:  # our CANCEL crossed their answer
            self._send_bye(lambda response, when: None)

    def _learn(self, response: SipResponse) -> None:
        """Take the other side's tag, address and route from its answer."""
        to, contacts = response.to_addr, response.contact
        if to is not None and to.tag:
            self.dialog.remote_tag = to.tag
        if contacts and response.status_code < 300:
            self.dialog.remote_target = _uri(response.get_header("Contact") or "")
            self.dialog.route_set = response.get_header_values("Record-Route")[::-1]

    def _cancel(self) -> None:
        """Take the INVITE back; its answer, or patience running out, ends the call."""
        if not self._cancel_sent:
            self._cancel_sent = True
            cancel = sip.cancellation(self.request)
            self._line.endpoint.ask(cancel, self._peer, lambda response, when: None)
            asyncio.get_running_loop().call_later(
                sip.PATIENCE * self._line.t1, self._finish, "us", sip.NO_ANSWER
            )

    # ------------------------------------------------------------ their requests

    def respond(self, status: int, reason: str, body: str = "") -> None:
        """Answer their INVITE (for `ivr.phone`)."""
        self._line.endpoint.answer(self.request, self._response(self.request, status, reason, body))

    def asked(self, request: SipRequest, when: float) -> None:
        """A request within the call has come (for `ivr.phone`)."""
        status, reason, body = 200, "OK", ""
        if request.method in ("INVITE", "UPDATE") and (request.method == "INVITE" or request.body):
            try:
                body = self._agree(request)
            except sdp.NoTerms:
                status, reason = 488, "Not Acceptable Here"
        elif request.method not in ("BYE", "INFO", "OPTIONS", "UPDATE"):
            status, reason = 405, "Method Not Allowed"
        self._line.endpoint.answer(request, self._response(request, status, reason, body))
        if request.method == "BYE":
            self._finish("them", self.status, when)

    def cancelled(self, when: float) -> None:
        """They gave up before we answered (for `ivr.phone`)."""
        if self.incoming and self.state is State.RINGING:
            self.respond(487, "Request Terminated")
            self._finish("them", 487, when)

    def lost(self) -> None:
        """They never acknowledged our answer (for `ivr.phone`)."""
        if self.state is State.UP:
            self._send_bye(lambda response, when: None)

    # ------------------------------------------------------------ the end

    async def _bye(self) -> None:
        known = asyncio.Event()

        def answered(response: SipResponse | None, when: float) -> None:
            if response is None or response.status_code >= 200:
                known.set()

        self._send_bye(answered)
        await known.wait()

    def _send_bye(self, on_response: sip.OnResponse) -> None:
        address = self._line.address
        bye = self.dialog.create_request("BYE", via_host=address[0], via_port=address[1])
        bye.set_header("Contact", self._line.contact)
        self._line.endpoint.ask(bye, self._peer, on_response)
        self._finish("us", self.status)

    def _finish(self, by: str, status: int, when: float | None = None) -> None:
        if self.state is State.OVER:
            return
        self.ended_by, self.status = by, status
        self.ended_at = time.monotonic() if when is None else when
        self.dialog.terminate()
        self._media.close()
        self._line.forget(self)
        self._become(State.OVER)
        self._over.set()

    def _become(self, state: State) -> None:
        self.state = state
        self._changed.set()

    # ------------------------------------------------------------ the sound

    def _agree(self, request: SipRequest) -> str:
        """Our answer to the offer in a request, having connected to it; our offer if it has
        none. Raises NoTerms if there is nothing in it that we understand."""
        if not request.body:
            return sdp.offer(self._media.address)
        answer = sdp.answer(request.text, self._media.address)
        self._media.connect(sdp.terms(request.text))
        return answer

    def _connect(self, response: SipResponse) -> None:
        """Send to where a response says, if it says so."""
        if response.body:
            # a call without sound is a call: what is missing shows in `heard`
            with contextlib.suppress(sdp.NoTerms):
                self._media.connect(sdp.terms(response.text))

    def _response(self, request: SipRequest, status: int, reason: str, body: str) -> SipResponse:
        response = self.dialog.create_response(
            request, status, reason or REASONS.get(status, ""), contact=self._line.contact
        )
        if body:
            response.text = body
            response.set_header("Content-Type", sdp.TYPE)
        return response


REASONS = {480: "Temporarily Unavailable", 486: "Busy Here", 488: "Not Acceptable Here"}
REASONS |= {503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline"}


def _uri(contact: str) -> str:
    """The address in a Contact header, without the name before and parameters after it."""
    _, bracket, rest = contact.partition("<")
    return rest.partition(">")[0] if bracket else contact.partition(";")[0].strip()
