"""A peer that speaks AGI as a test wants, and words of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from hypothesis import strategies as st

from ivr import agi, wire
from ivr.clock import SystemClock

HANDSHAKE = (
    b"agi_network: yes\nagi_network_script: call\nagi_request: agi://127.0.0.1:4573/call\n"
    b"agi_channel: PJSIP/caller-00000000\nagi_language: zh\nagi_type: PJSIP\n"
    b"agi_uniqueid: 1795287779.0\nagi_version: 22.10.1+dfsg+~cs6.17\nagi_callerid: 13800138000\n"
    b"agi_calleridname: \xe7\x8e\x8b: \xff (x)\nagi_accountcode: \nagi_arg_1: 1001\n"
    b"agi_arg_2: two words\n\n"
)
USAGE = "520-Invalid command syntax.  Proper usage follows:\nUsage: X\n520 End of proper usage."


def ready(command=None, *arguments):
    it = wire.Wire()
    it.receive(HANDSHAKE)
    if command is not None:
        it.send(command, *arguments)
    return it


def one(command, raw):
    """The one fact that this reply to this command is."""
    (fact,) = ready(command).receive(raw.encode("utf-8", "surrogateescape") + b"\n")
    return fact


tricky = st.text(st.sampled_from('"\\ \t,()&|$;王0HANGUP'), max_size=20)

some_bytes = st.binary(max_size=40).map(
    lambda raw: raw.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")
)


class Peer:
    """Asterisk's end of the connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.asked = []

    def says(self, text):
        self.writer.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def answers(self, *replies):
        """Answer the next commands, one each."""

        async def work():
            for reply in replies:
                self.asked.append(await self.reader.readline())
                assert self.asked[-1]
                self.says(reply)

        self.work = asyncio.create_task(work())

    def goes(self):
        self.writer.close()


@asynccontextmanager
async def call(greeting=HANDSHAKE, clock=None):
    loop = asyncio.get_running_loop()
    begun, made = loop.create_future(), loop.create_future()

    def session():
        made.set_result(agi.Session(begun.set_result, clock=clock or SystemClock()))
        return made.result()

    server = await loop.create_server(session, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(greeting)
    try:
        yield await (begun if greeting.endswith(b"\n\n") else made), Peer(reader, writer)
    finally:
        made.result().close()
        await made.result().wait_closed()
        writer.close()
        server.close()
        await server.wait_closed()
