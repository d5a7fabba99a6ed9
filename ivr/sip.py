"""SIP transactions: what makes a request and its response certain over UDP (RFC 3261, 17).

The messages are aiosipua's (parsing, headers, SDP). Its own user agents are not used: in 0.7.1
they send no request twice, do not acknowledge a refusal, take a repeated INVITE for a new
call, and forget a cancelled call before its answer is in.

Rules this module keeps:

- No socket and no clock: bytes and times come in, bytes go out through `send`, waiting is
  done by the `call_later` that is given. Whoever makes an `Endpoint` says what those are.
- Every request is repeated until it is answered; every final answer to an INVITE until it is
  acknowledged; a repeated request is answered as before and never reported twice.
- Bytes that are no SIP message are counted in `dropped` and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiosipua import SipMessage, SipRequest, SipResponse, generate_branch
from aiosipua.message import missing_required_headers

from ivr.udp import Address

T1 = 0.5
"""Seconds before the first repetition; doubles each time (RFC 3261, 17.1.1.1)."""

T2 = 4.0
"""Seconds between repetitions at most."""

PATIENCE = 64
"""A transaction gives up after so many times T1."""

NO_ANSWER = 408
"""The status reported for a request that was never answered."""


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]
OnResponse = Callable[[SipResponse | None, float], None]
"""Called with each response and when it came; with None when none ever came."""


class Listener(Protocol):
    """What an endpoint reports to."""

    def requested(self, request: SipRequest, source: Address, when: float) -> None:
        """A new request (never ACK)."""

    def acknowledged(self, request: SipRequest, when: float) -> None:
        """The other side has our final answer to this INVITE of theirs."""

    def unacknowledged(self, request: SipRequest) -> None:
        """The other side never acknowledged our 2xx to this INVITE of theirs."""


@dataclass(slots=True)
class _Repeater:
    """Sends the same bytes again and again, further and further apart."""

    send: Callable[[], None]
    call_later: CallLater
    interval: float
    longest: float
    timer: Timer | None = None

    def start(self) -> None:
        self.timer = self.call_later(self.interval, self._again)

    def _again(self) -> None:
        self.send()
        self.interval = min(self.interval * 2, self.longest)
        self.start()

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class _Asked:
    """A request of ours that waits for its answer."""

    request: SipRequest
    to: Address
    on_response: OnResponse
    repeater: _Repeater
    deadline: Timer | None = None
    final: bool = False


@dataclass(slots=True)
class _Given:
    """A request of theirs and what we answered."""

    request: SipRequest
    source: Address
    answer: bytes = b""
    repeater: _Repeater | None = None
    timers: list[Timer] = field(default_factory=list)


class Endpoint:
    """The transactions of one UDP port.

    `send(data, address)` sends a datagram. `t1` is the first repetition's delay in seconds.
    """

    def __init__(
        self,
        listener: Listener,
        send: Callable[[bytes, Address], None],
        call_later: CallLater,
        t1: float = T1,
    ) -> None:
        self.listener = listener
        self.dropped = 0
        self._send = send
        self._call_later = call_later
        self._t1 = t1
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._given: dict[tuple[str, str], _Given] = {}
        self._unacknowledged: dict[tuple[str, str, int], _Given] = {}

    # ------------------------------------------------------------ our requests

    def ask(self, request: SipRequest, to: Address, on_response: OnResponse) -> None:
        """Send a request (not an ACK) and repeat it until there is an answer."""
        invite = request.method == "INVITE"
        data = bytes(request)
        repeater = _Repeater(
            lambda: self._send(data, to), self._call_later, self._t1, 1e9 if invite else T2
        )
        key = (_branch(request), request.method)
        asked = _Asked(request, to, on_response, repeater)
        self._asked[key] = asked
        self._send(data, to)
        repeater.start()
        asked.deadline = self._call_later(PATIENCE * self._t1, lambda: self._unanswered(key))

    def tell(self, request: SipRequest, to: Address) -> None:
        """Send a request that gets no answer: the ACK of a 2xx."""
        self._send(bytes(request), to)

    def _unanswered(self, key: tuple[str, str]) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked.repeater.stop()
            if not asked.final:
                asked.on_response(None, 0.0)

    def _answered(self, response: SipResponse, when: float) -> None:
        cseq = response.cseq
        key = (_branch(response), cseq.method if cseq else "")
        asked = self._asked.get(key)
        if asked is None:
            self.dropped += 1
            return
        invite = asked.request.method == "INVITE"
        if response.status_code < 200:
            if invite:  # it may ring for as long as it likes
                asked.repeater.stop()
                if asked.deadline is not None:
                    asked.deadline.cancel()
            if not asked.final:
                asked.on_response(response, when)
            return
        asked.repeater.stop()
        first, asked.final = not asked.final, True
        if invite and response.status_code >= 300:
            self._send(bytes(acknowledgement(asked.request, response)), asked.to)
        if first:
            if asked.deadline is not None:
                asked.deadline.cancel()
            # keep it for a while: a repeated final answer must find it
            asked.deadline = self._call_later(PATIENCE * self._t1, lambda: self._unanswered(key))
        if first or (invite and response.status_code < 300):
            asked.on_response(response, when)  # a repeated 2xx wants its ACK again

    # ------------------------------------------------------------ their requests

    def answer(self, request: SipRequest, response: SipResponse) -> None:
        """Answer a request; a final answer to an INVITE is repeated until acknowledged."""
        key = (_branch(request), request.method)
        given = self._given.get(key)
        if given is None:
            return  # so old that they have given up on it too
        data = given.answer = bytes(response)
        source = given.source
        self._send(data, source)
        if response.status_code < 200:
            return
        if request.method == "INVITE":
            given.repeater = _Repeater(
                lambda: self._send(data, source), self._call_later, self._t1, T2
            )
            given.repeater.start()
            identity = _identity(request)
            self._unacknowledged[identity] = given
            accepted = response.status_code < 300
            given.timers.append(
                self._call_later(PATIENCE * self._t1, lambda: self._give_up(identity, accepted))
            )
        given.timers.append(self._call_later(PATIENCE * self._t1, lambda: self._forget_given(key)))

    def _give_up(self, identity: tuple[str, str, int], accepted: bool) -> None:
        given = self._unacknowledged.pop(identity, None)
        if given is not None:
            if given.repeater is not None:
                given.repeater.stop()
            if accepted:
                self.listener.unacknowledged(given.request)

    def _forget_given(self, key: tuple[str, str]) -> None:
        self._given.pop(key, None)

    def invited(self, cancel: SipRequest) -> SipRequest | None:
        """The INVITE which this CANCEL is about, if it is known (RFC 3261, 9.2)."""
        given = self._given.get((_branch(cancel), "INVITE"))
        return given.request if given is not None else None

    # ------------------------------------------------------------ bytes in

    def received(self, data: bytes, source: Address, when: float) -> None:
        """Take one datagram that came from `source` at `when` (monotonic seconds)."""
        try:
            message = SipMessage.parse(data)
            _examine(message)
        except (ValueError, IndexError, KeyError):
            self.dropped += 1
            return
        if isinstance(message, SipResponse):
            self._answered(message, when)
        elif message.method == "ACK":
            given = self._unacknowledged.pop(_identity(message), None)
            if given is not None:
                if given.repeater is not None:
                    given.repeater.stop()
                self.listener.acknowledged(given.request, when)
        else:
            key = (_branch(message), message.method)
            known = self._given.get(key)
            if known is None:
                self._given[key] = _Given(message, source)
                self.listener.requested(message, source, when)
            elif known.answer:
                self._send(known.answer, source)

    def close(self) -> None:
        """Stop every timer; nothing is sent or reported from now on."""
        for asked in self._asked.values():
            asked.repeater.stop()
            if asked.deadline is not None:
                asked.deadline.cancel()
        for given in (*self._given.values(), *self._unacknowledged.values()):
            if given.repeater is not None:
                given.repeater.stop()
            for timer in given.timers:
                timer.cancel()
        self._asked.clear()
        self._given.clear()
        self._unacknowledged.clear()


# ---------------------------------------------------------------- messages


def acknowledgement(invite: SipRequest, response: SipResponse) -> SipRequest:
    """The ACK of a refusal: part of the INVITE's own transaction (RFC 3261, 17.1.1.3)."""
    ack = _like(invite, "ACK")
    ack.headers.set_single("To", response.get_header("To") or invite.get_header("To") or "")
    return ack


def cancellation(invite: SipRequest) -> SipRequest:
    """The CANCEL of an INVITE that has not been answered yet (RFC 3261, 9.1)."""
    return _like(invite, "CANCEL")


def reply(request: SipRequest, status: int, reason: str, tag: str) -> SipResponse:
    """A response outside any call, with our `tag` if theirs has none."""
    response = SipResponse(status_code=status, reason_phrase=reason)
    for via in request.get_header_values("Via"):
        response.add_header("Via", via)
    to = request.get_header("To") or ""
    for name in ("From", "Call-ID", "CSeq"):
        response.set_header(name, request.get_header(name) or "")
    response.set_header("To", to if "tag=" in to else f"{to};tag={tag}")
    return response


def via(address: Address) -> str:
    """A Via header value for a new request sent from `address`."""
    return f"SIP/2.0/UDP {address[0]}:{address[1]};branch={generate_branch()};rport"


def _like(invite: SipRequest, method: str) -> SipRequest:
    request = SipRequest(method=method, uri=invite.uri)
    request.add_header("Via", invite.get_header("Via") or "")
    for name in ("From", "To", "Call-ID"):
        request.set_header(name, invite.get_header(name) or "")
    cseq = invite.cseq
    request.set_header("CSeq", f"{cseq.seq if cseq else 1} {method}")
    request.set_header("Max-Forwards", "70")
    for route in invite.get_header_values("Route"):
        request.add_header("Route", route)
    return request


def _examine(message: SipRequest | SipResponse) -> None:
    """Raise ValueError unless the parts that everything else relies on are there and sound."""
    if isinstance(message, SipRequest) and missing_required_headers(message):
        raise ValueError("a mandatory header is missing")
    sender, to, cseq = message.from_addr, message.to_addr, message.cseq
    if sender is None or to is None or cseq is None or not message.call_id:
        raise ValueError("a mandatory header is empty")
    if not _branch(message):
        raise ValueError("no branch in the topmost Via")
    if isinstance(message, SipResponse) and not 100 <= message.status_code <= 699:
        raise ValueError("no such status")
    if isinstance(message, SipRequest) and cseq.method != message.method:
        raise ValueError("CSeq names another method")
    _ = message.contact  # parsed on use; must not fail later


def _branch(message: SipMessage) -> str:
    vias = message.via
    return (vias[0].branch or "") if vias else ""


def _identity(request: SipRequest) -> tuple[str, str, int]:
    """What an ACK shares with its INVITE, whatever its branch."""
    sender, cseq = request.from_addr, request.cseq
    return (request.call_id or "", (sender.tag if sender else None) or "", cseq.seq if cseq else 0)
