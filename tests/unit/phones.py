"""Two phones of ours that call each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from realtime import until

from ivr import sip, stimuli
from ivr.ear import Ear
from ivr.media import Stimulus
from ivr.phone import Phone, PhoneCall
from ivr.rtp import Samples
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


async def heard_out(call: PhoneCall, said: Stimulus, later: float = 0.0) -> None:
    """All of this has been heard on the call, and so many seconds more."""
    await said.done()
    assert said.ended is not None
    end = said.ended + later
    await until(lambda: call.heard.last is not None and call.heard.last > end)


def messages(phone: Phone) -> list[str]:
    """The methods and statuses that this phone has sent, lost ones too."""
    port = phone._port
    assert isinstance(port, Lossy)
    return port.sent
