"""How a telephone says where it is: it registers at a switch, again before that runs out, and takes
leave (RFC 3261, 10).

Rules this module keeps:

- No socket and no clock: requests go out through the phone's `sip.Endpoint`, waiting is done by
  the `call_later` that is given.
- One registration has one Call-ID, and counts its requests.
- A switch that was away is asked again until it is back; that it is away, and back, is told once.
- Lengths are in seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from urllib.parse import quote

from aiosipua import SipRequest, SipResponse, generate_call_id, generate_tag

from ivr import sip
from ivr.udp import Address

EXPIRES = 60
"""How long we ask to be known: short, so that a switch that was started anew knows us soon."""
EARLY = 0.5
"""After which part of that we register again."""
RETRY = 5.0
"""How long after a refusal we try again."""
OK, TOO_BRIEF = 200, 423

Told = Callable[[int], None]


class NotRegistered(Exception):
    """The switch did not take us; `status` is the SIP status, 408 if it did not answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the registration was refused: {status}")
        self.status = status


class Registration:
    """One phone (`user`, reached at `contact`, sending from `here`) at one switch (`server`).

    `told` hears of changes after the first registration: the status of a refusal or of silence
    (408), and 200 when the switch knows us again.
    """

    def __init__(
        self,
        endpoint: sip.Endpoint,
        call_later: sip.CallLater,
        user: str,
        here: Address,
        contact: str,
        server: Address,
        told: Told = lambda status: None,
    ) -> None:
        self.expires = EXPIRES
        self._endpoint, self._call_later, self._told = endpoint, call_later, told
        self._here, self._contact, self._server = here, contact, server
        self._registrar = f"sip:{server[0]}:{server[1]}"
        self._who = f"<sip:{quote(user)}@{server[0]}:{server[1]}>"
        self._tag, self._call_id = generate_tag(), generate_call_id(here[0])
        self._count = 0
        self._timer: sip.Timer | None = None
        self._known = False
        self._reached = True
        self._over = False

    async def begin(self) -> None:
        """Register, and stay registered. Raises NotRegistered."""
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def first(status: int) -> None:
            if not answered.done():
                answered.set_result(status)

        self._ask(self.expires, first)
        if (status := await answered) != OK:
            raise NotRegistered(status)

    async def end(self) -> None:
        """Take leave; returns when the switch has answered, or is not there."""
        self.stop()
        if self._known:
            answered = asyncio.Event()
            self._ask(0, lambda status: answered.set())
            await answered.wait()

    def stop(self) -> None:
        """Register no more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ------------------------------------------------------------ one request

    def _ask(self, expires: int, done: Told) -> None:
        request = self._request(expires)

        def answered(response: SipResponse | None, when: float) -> None:
            status = sip.NO_ANSWER if response is None else response.status_code
            if status < OK:
                return
            if response is not None and status == TOO_BRIEF and expires:
                least = _number(response.get_header("Min-Expires"))
                if least > expires:
                    self.expires = least
                    self._ask(least, done)
                    return
            if response is not None and status == OK and not self._over:
                self._known = True
                self._again(EARLY * self._granted(response))
            done(status)

        self._endpoint.ask(request, self._server, answered)

    def _request(self, expires: int) -> SipRequest:
        self._count += 1
        request = SipRequest(method="REGISTER", uri=self._registrar)
        request.add_header("Via", sip.via(self._here))
        request.set_header("From", f"{self._who};tag={self._tag}")
        request.set_header("To", self._who)
        request.set_header("Call-ID", self._call_id)
        request.set_header("CSeq", f"{self._count} REGISTER")
        request.set_header("Contact", self._contact)
        request.set_header("Expires", str(expires))
        request.set_header("Max-Forwards", "70")
        request.set_header("Content-Length", "0")
        return request

    # ------------------------------------------------------------ again

    def _again(self, seconds: float) -> None:
        if not self._over:
            self._timer = self._call_later(
                seconds, lambda: self._ask(self.expires, self._refreshed)
            )

    def _refreshed(self, status: int) -> None:
        if self._over:
            return
        if (status == OK) != self._reached:
            self._reached = status == OK
            self._told(status)
        if status != OK:
            self._again(RETRY)

    def _granted(self, response: SipResponse) -> int:
        """For how long the switch knows us."""
        ours = self._contact.strip("<>")
        for contact in response.get_header_values("Contact"):
            found = re.search(r";\s*expires=(\d+)", contact, re.IGNORECASE)
            if ours in contact and found is not None:
                return max(1, int(found[1]))
        return _number(response.get_header("Expires")) or self.expires


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
