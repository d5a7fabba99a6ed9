"""A manager of ours and an Asterisk that does what a test wants."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from ivr.clock import SystemClock
from ivr.manager import Manager

SECRET = "canary-4711"
START = datetime(2026, 11, 23, tzinfo=UTC)


class Asterisk:
    """A peer: logs in whoever knows the secret, answers what it is told to answer.

    `answers` maps an action's name to the lines of its reply, None for no reply at all; what is
    not there gets `Response: Success`. `sent` holds all actions, as lists of headers.
    """

    def __init__(self):
        self.answers = {}
        self.greeting = b"Asterisk Call Manager/9.0.0\r\n"
        self.sent = []
        self.visits = 0
        self.writers = []

    async def listen(self, port=0):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.visits += 1
        self.writers.append(writer)
        writer.write(self.greeting)
        headers = []
        while line := await reader.readline():
            assert line.endswith(b"\r\n")
            if text := line[:-2].decode():
                headers.append(tuple(text.split(": ", 1)))
                continue
            self.sent.append(headers)
            self.reply(writer, dict(headers))
            headers = []
        writer.close()

    def reply(self, writer, action):
        lines = ["Response: Success", "Message: Fine"]
        if action["Action"] == "Login" and action["Secret"] != SECRET:
            lines = ["Response: Error", "Message: Authentication failed"]
        lines = self.answers.get(action["Action"], lines)
        if lines is not None:
            self.say(writer, lines[0], f"ActionID: {action['ActionID']}", *lines[1:])

    def say(self, writer, *lines):
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())

    def event(self, name, *lines):
        self.say(self.writers[-1], f"Event: {name}", "Privilege: call,all", *lines)

    def actions(self):
        return [dict(headers)["Action"] for headers in self.sent]

    def hang_up(self):
        for writer in self.writers:
            writer.close()

    async def close(self):
        self.hang_up()
        self.server.close()
        await self.server.wait_closed()


@asynccontextmanager
async def line(secret=SECRET, clock=None, asterisk=None, **settings):
    peer = asterisk or Asterisk()
    await peer.listen()
    clock = clock or SystemClock()
    heard = []
    settings = {"on_event": heard.append, "ping_every": None, **settings}
    manager = Manager("127.0.0.1", peer.port, "sansheng", secret, clock=clock, **settings)
    manager.heard = heard
    before = set(threading.enumerate())
    try:
        await manager.start()
        yield manager, peer
    finally:
        await manager.stop()
        await peer.close()
        clock.close()
        left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
        assert left == [], "threads are left"
