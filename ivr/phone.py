"""A telephone: it dials, rings, answers, speaks, presses keys, listens, and hangs up.

For the live tests (callers and agents) and for calling a line from the terminal. One phone is
one UDP port with any number of calls, each with a port of its own for sound.

Rules this module keeps:

- Everything runs on the running loop; nothing blocks, there are no threads.
- Times are monotonic seconds, taken when the message really came or left.
- Whatever comes from the network is answered or dropped; it never raises here.
- Messages and dialogs are aiosipua's, transactions `ivr.sip`'s, sound `ivr.media`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from aiosipua import Dialog, DialogState, SipRequest, generate_call_id, generate_tag
from aiosipua.dialog import create_dialog_from_request, dialog_matches, remote_cseq_valid

from ivr import sip
from ivr.media import Stimulus
from ivr.phone_call import NotAnswered, PhoneCall, State
from ivr.udp import Address, Port

OnInvite = Callable[[PhoneCall], Awaitable[None]]
"""What an agent does with a call that comes in."""

WITHHELD = "sip:anonymous@anonymous.invalid"
"""Who calls when the number is withheld (RFC 3323, 4.1.1.3)."""

PARTING = 2.0
"""Seconds that the other ends have to take leave when a phone is closed."""


class Phone:
    """One UDP port, many calls, as the caller or the called."""

    def __init__(
        self, host: str, port: int, user: str, t1: float, make_port: Callable[..., Port]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.user = user
        self.on_invite: OnInvite | None = None
        self.calls: dict[str, PhoneCall] = {}
        self._make_port = make_port
        self._port = make_port(host, port, self._received)
        self.address: Address = self._port.address
        self.t1 = t1
        self.endpoint = sip.Endpoint(self, self._port.send, loop.call_later, t1)
        self.contact = f"<sip:{quote(user)}@{self.address[0]}:{self.address[1]}>"
        self._handlers: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    @classmethod
    async def open(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "caller",
        *,
        t1: float = sip.T1,
        make_port: Callable[..., Port] = Port,
    ) -> Self:
        """A phone at `host` and `port` (0: any free one). Raises OSError if it is taken.

        `t1` is the delay in seconds before a message is repeated; `make_port` opens the UDP
        ports (a test gives one that loses datagrams).
        """
        return cls(host, port, user, t1, make_port)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up every call and close the port. Raises what an `on_invite` raised."""
        parting = [asyncio.create_task(call.hang_up()) for call in self.calls.values()]
        if parting:
            # who does not answer would keep us for the half minute that SIP repeats itself
            _, silent = await asyncio.wait(parting, timeout=PARTING)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        self.endpoint.close()
        self._port.close()
        if self._failures:
            raise self._failures[0]

    @property
    def dropped(self) -> int:
        """How many datagrams were no SIP message of ours."""
        return self.endpoint.dropped

    async def dial(
        self,
        number: str,
        server: Address = ("127.0.0.1", 5060),
        caller: str = "13800138000",
        display: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> PhoneCall:
        """Call `number` at `server`. `caller` "" withholds our number.

        Raises ValueError for a header or name that would break the message.
        """
        here = f"{self.address[0]}:{self.address[1]}"
        local = f"sip:{_user(caller)}@{here}" if caller else WITHHELD
        remote = f"sip:{_user(number)}@{server[0]}:{server[1]}"
        dialog = Dialog(
            call_id=generate_call_id(self.address[0]),
            local_tag=generate_tag(),
            local_uri=local,
            remote_uri=remote,
            remote_target=remote,
        )
        invite = dialog.create_request("INVITE", via_host=self.address[0], via_port=self.address[1])
        name = display if caller else "Anonymous"
        if name:
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            invite.set_header("From", f'"{quoted}" <{local}>;tag={dialog.local_tag}')
        if not caller:
            invite.set_header("Privacy", "id")
        invite.set_header("Contact", self.contact)
        for header, value in (headers or {}).items():
            invite.set_header(header, value)
        call = PhoneCall(self, dialog, invite, server, number, caller, display, self._make_port)
        self.calls[dialog.call_id] = call
        call.invite()
        return call

    # ------------------------------------------------------------ what comes in

    def _received(self, data: bytes, source: Address, when: float) -> None:
        self.endpoint.received(data, source, when)

    def requested(self, request: SipRequest, source: Address, when: float) -> None:
        """A new request has come (for `sip.Endpoint`)."""
        call = self.calls.get(request.call_id or "")
        if request.method == "CANCEL":
            invite = self.endpoint.invited(request)
            known = call is not None and invite is not None
            self._answer(request, *((200, "OK") if known else (481, "No Such Call")))
            if call is not None and known:
                call.cancelled(when)
        elif call is not None and (call.dialog.state is not DialogState.EARLY):
            if not dialog_matches(call.dialog, request):
                self._answer(request, 481, "No Such Call")
            elif not remote_cseq_valid(call.dialog, request):
                self._answer(request, 500, "Out Of Order")
            else:
                call.asked(request, when)
        elif request.method == "INVITE" and "tag=" not in (request.get_header("To") or ""):
            self._invited(request, source, when)
        elif request.method == "OPTIONS":
            self._answer(request, 200, "OK")
        else:
            self._answer(request, 481, "No Such Call")

    def acknowledged(self, request: SipRequest, when: float) -> None:
        """Our final answer has reached them (for `sip.Endpoint`); nothing is left to do."""

    def unacknowledged(self, request: SipRequest) -> None:
        """They never acknowledged our answer (for `sip.Endpoint`): the call is no good."""
        call = self.calls.get(request.call_id or "")
        if call is not None:
            call.lost()

    def _answer(self, request: SipRequest, status: int, reason: str) -> None:
        self.endpoint.answer(request, sip.reply(request, status, reason, generate_tag()))

    def _invited(self, request: SipRequest, source: Address, when: float) -> None:
        if request.call_id in self.calls:
            self._answer(request, 482, "Loop Detected")
            return
        if self.on_invite is None:
            self._answer(request, 480, "Nobody There")
            return
        sender = request.from_addr
        user = unquote(sender.uri.user or "") if sender else ""
        call = PhoneCall(
            self,
            create_dialog_from_request(request),
            request,
            source,
            unquote(request.uri.removeprefix("sip:").partition("@")[0]),
            "" if user == "anonymous" else user,
            re.sub(r"\\(.)", r"\1", sender.display_name or "") if sender else "",
            self._make_port,
            incoming=True,
        )
        self.calls[call.dialog.call_id] = call
        call.invited_at = when
        call.respond(100, "Trying")
        task = asyncio.get_running_loop().create_task(self._handle(call, self.on_invite))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, call: PhoneCall, on_invite: OnInvite) -> None:
        try:
            await on_invite(call)
        except Exception as error:  # kept for close() to raise; the caller must not wait for ever
            self._failures.append(error)
            await call.hang_up()

    # ------------------------------------------------------------ for its calls

    def forget(self, call: PhoneCall) -> None:
        """A call is over."""
        self.calls.pop(call.dialog.call_id, None)


def _user(number: str) -> str:
    """A number as the user part of a SIP address (`#` must be escaped there)."""
    return quote(number, safe="*+-_.!~'()&=$,;?/")


__all__ = ["NotAnswered", "Phone", "PhoneCall", "State", "Stimulus"]
