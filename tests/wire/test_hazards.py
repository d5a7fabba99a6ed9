"""What pyst2 0.5.1 does as published, each next to the same thing through our modules.

Every test shows plain pyst2 failing, and ours not. If a pyst2 to come mends one of these, its test
fails: then look whether our guard is still needed. Plain pyst2 runs in processes of its own where
it prints, hangs, or wants the main thread.
"""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import asterisk.agi as pyst2_agi
import asterisk.manager as pyst2_manager
import pytest
from realtime import until

from ivr import agi_errors, ami, wire
from ivr.agi import Session
from ivr.clock import SystemClock
from ivr.manager import Manager, UnsafeValue

HANDSHAKE = "agi_callerid: 13800138000\n\n"


def alone(code, seconds=10.0):
    """Run plain pyst2 in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=Path(__file__).parents[2],  # where `ivr` is
    )


def plain(replies):
    """pyst2's AGI on these replies, past its constructor, quiet."""
    it = object.__new__(pyst2_agi.AGI)
    it.stdin, it.stdout, it.stderr = io.StringIO(replies), io.StringIO(), io.StringIO()
    it._got_sighup = False
    return it


def ours(command="NOOP", *arguments):
    it = wire.Wire()
    it.receive(HANDSHAKE.encode())
    line = it.send(command, *arguments)
    return it, line


# ---------------------------------------------------------------- AGI


def test_the_fastagi_module_of_pyst2_cannot_be_imported_and_ours_can():
    with pytest.raises(ModuleNotFoundError, match="SocketServer"):
        import asterisk.fastagi  # noqa: F401
    assert issubclass(Session, asyncio.Protocol)


def test_pyst2_wants_the_main_thread_for_a_signal_and_we_do_not():
    problems, sessions = [], []

    def construct():
        try:
            pyst2_agi.AGI(io.StringIO(HANDSHAKE), io.StringIO(), io.StringIO())
        except ValueError as problem:
            problems.append(str(problem))
        sessions.append(Session(print, clock=SystemClock()))

    thread = threading.Thread(target=construct)
    thread.start()
    thread.join()
    assert "main thread" in problems[0]
    assert len(sessions) == 1


def test_pyst2_writes_text_to_a_binary_file_and_we_write_bytes():
    it = plain("")
    it.stdout = io.BytesIO()
    with pytest.raises(TypeError):
        it.execute("NOOP")
    assert ours()[1] == b"NOOP\n"


def test_pyst2_prints_what_callers_say_and_we_print_nothing():
    said = alone("""
        import io
        from asterisk.agi import AGI
        stdin = io.StringIO("agi_callerid: 13800138000\\n\\n200 result=1 (4711)\\n")
        it = AGI(stdin, io.StringIO())
        it.get_variable("PIN")
    """)
    assert said.returncode == 0
    assert "13800138000" in said.stderr
    assert "4711" in said.stderr
    said = alone("""
        from ivr.wire import Wire
        it = Wire()
        it.receive(b"agi_callerid: 13800138000\\n\\n")
        it.send("GET VARIABLE", "PIN")
        assert it.receive(b"200 result=1 (4711)\\n")[0].data == "4711"
    """)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_a_line_break_in_a_value_is_a_second_command_in_pyst2_and_refused_by_us():
    it = plain("200 result=1\n")
    value = 'x"\nEXEC System "id'
    it.set_variable("NAME", value)
    assert it.stdout.getvalue().splitlines()[1] == 'EXEC System "id"'
    with pytest.raises(agi_errors.UnsafeArgument):
        ours("SET VARIABLE", "NAME", value)


def test_pyst2_loses_quotes_and_we_keep_them():
    it = plain("200 result=1\n")
    it.set_variable("NAME", 'he said "hi"')
    assert '\\"' not in it.stdout.getvalue()
    assert ours("VERBOSE", 'he said "hi"')[1] == b'VERBOSE "he said \\"hi\\""\n'


def test_a_hangup_line_breaks_pyst2_and_the_next_reply_is_taken_for_another():
    it = plain("HANGUP\n200 result=0\n200 result=1 (en)\n")
    with pytest.raises(ValueError, match="int"):
        it.noop()
    assert it.get_variable("CHANNEL(language)") == ""  # that was the reply to the NOOP
    it, _ = ours()
    assert it.receive(b"HANGUP\n200 result=0\n")[0] == wire.Hangup()
    it.send("GET VARIABLE", "CHANNEL(language)")
    assert it.receive(b"200 result=1 (en)\n")[0].data == "en"


def test_the_end_of_the_stream_breaks_pyst2_and_is_an_end_to_us():
    with pytest.raises(ValueError, match="int"):
        plain("").noop()
    assert isinstance(ours()[0].receive(b"")[0].why, pyst2_agi.AGIHangup)


async def test_a_dead_channel_is_an_unknown_error_in_pyst2_and_a_hangup_to_us():
    reply = "511 Command Not Permitted on a dead channel or intercept routine\n"
    with pytest.raises(pyst2_agi.AGIUnknownError):
        plain(reply).noop()
    async with a_session(reply) as session:
        with pytest.raises(pyst2_agi.AGIHangup):
            await session.command("NOOP")


class a_session:
    """A session whose peer gives this one answer."""

    def __init__(self, reply):
        self.reply = reply

    async def __aenter__(self):
        ready = asyncio.get_running_loop().create_future()

        async def asterisk(reader, writer):
            writer.write(HANDSHAKE.encode())
            await reader.readline()
            writer.write(self.reply.encode())
            await reader.read()
            writer.close()

        self.server = await asyncio.start_server(asterisk, "127.0.0.1", 0)
        await asyncio.get_running_loop().create_connection(
            lambda: Session(ready.set_result, clock=SystemClock()),
            *self.server.sockets[0].getsockname(),
        )
        self.session = await ready
        return self.session

    async def __aexit__(self, *exc):
        self.session.close()
        await self.session.wait_closed()
        self.server.close()
        await self.server.wait_closed()


class ForEver(Exception):
    """It reads on and on after the end."""


class Ended(io.StringIO):
    """A stream at whose end somebody who reads a thousand times more is found out."""

    beyond = 0

    def readline(self, *args):
        line = super().readline(*args)
        self.beyond += not line
        if self.beyond > 1000:
            raise ForEver
        return line


@pytest.mark.parametrize("reply", ["520-Invalid\nUsage: X\n", "520 Proper usage not available.\n"])
def test_the_end_inside_a_usage_text_hangs_pyst2_for_ever_and_not_us(reply):
    it = plain("")
    it.stdin = Ended(reply)
    with pytest.raises(ForEver):
        it.noop()
    it, _ = ours()
    facts = [*it.receive(reply.encode()), *it.receive(b"")]
    assert it.ended
    assert isinstance(facts[-1].why, agi_errors.ConnectionLost)


def test_a_promise_of_a_reply_breaks_pyst2_and_is_waited_out_by_us():
    with pytest.raises(pyst2_agi.AGIUnknownError):
        plain("100 result=0 Trying...\n200 result=0\n").noop()
    assert len(ours()[0].receive(b"100 result=0 Trying...\n200 result=0\n")) == 1


def test_a_variable_that_says_hangup_is_a_hangup_in_pyst2_and_a_value_to_us():
    with pytest.raises(pyst2_agi.AGIResultHangup):
        plain("200 result=1 (hangup)\n").execute("DATABASE GET", "f", "k")
    (reply,) = ours("DATABASE GET", "f", "k")[0].receive(b"200 result=1 (hangup)\n")
    assert reply.data == "hangup"


def test_a_number_that_is_no_key_is_a_strange_key_in_pyst2_and_none_to_us():
    assert plain("200 result=4002 (timeout) endpos=16\n").record_file("x") == chr(4002)
    (reply,) = ours("RECORD FILE", "x")[0].receive(b"200 result=4002 (timeout) endpos=16\n")
    assert reply.digit == ""


# ---------------------------------------------------------------- the manager


@contextmanager
def pair():
    """pyst2's manager, connected to a socket in our hand; its threads run as they would."""
    here, there = socket.socketpair()
    it = pyst2_manager.Manager()
    it._sock = here.makefile(mode="rwb", buffering=0)
    here.close()
    it._connected.set()
    it._running.set()
    it.message_thread.start()
    it.event_dispatch_thread.start()
    there.settimeout(2.0)
    there.sendall(b"Asterisk Call Manager/9.0.0\r\n")
    assert it._response_queue.get(timeout=2.0)
    try:
        yield it, there
    finally:
        there.close()
        it.message_thread.join(2.0)
        it.event_dispatch_thread.join(2.0)
        it._sock.close()


def ask(it):
    """A thread of its own for a question to plain pyst2, which may never be answered."""

    def ping():
        with suppress(pyst2_manager.ManagerException):
            it.ping()

    asked = threading.Thread(target=ping, daemon=True)
    asked.start()
    return asked


def through_ours(unasked=b"", actions=({"Action": "Ping"},)):
    """Send actions through our manager to a peer that says something unasked after the login.

    Returns what the peer got, the replies, and the events.
    """
    got, replies, events = [], [], []

    async def asterisk(reader, writer):
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        with suppress(asyncio.IncompleteReadError):
            while True:
                got.append((await reader.readuntil(b"\r\n\r\n")).decode())
                number = got[-1].partition("ActionID: ")[2].split("\r\n")[0]
                if len(got) == 2:
                    writer.write(unasked)
                writer.write(f"Response: Success\r\nActionID: {number}\r\n\r\n".encode())
        writer.close()

    async def work():
        server = await asyncio.start_server(asterisk, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        clock = SystemClock()
        manager = Manager(*where, "u", "s", clock=clock, on_event=events.append)
        await manager.start()
        for action in actions:
            headers = {name: value for name, value in action.items() if name != "Action"}
            replies.append(await manager.action(action["Action"], headers))
        await until(lambda: manager.events_seen == unasked.count(b"Event: "))
        await manager.stop()
        clock.close()
        server.close()
        await server.wait_closed()

    asyncio.run(work())
    return got[1:], replies, events


def test_headers_leak_into_later_actions_of_pyst2_and_not_into_ours():
    with pair() as (it, there):
        there.sendall(b"Response: Success\r\n\r\n" * 2)
        it.send_action(Action="Originate", Channel="PJSIP/8001")
        there.recv(4096)
        try:
            it.send_action(Action="Ping")
            assert b"Channel: PJSIP/8001" in there.recv(4096)
        finally:
            pyst2_manager.Manager.send_action.__defaults__[0].clear()
    got, *_ = through_ours(
        actions=[{"Action": "Originate", "Channel": "PJSIP/8001"}, {"Action": "Ping"}]
    )
    assert "Channel" in got[0]
    assert "Channel" not in got[1]


def test_a_line_break_in_a_value_is_a_second_action_in_pyst2_and_refused_by_us():
    value = "x\r\n\r\nAction: Command\r\nCommand: core stop now"
    with pair() as (it, there):
        there.sendall(b"Response: Success\r\n\r\n")
        it.hangup(value)
        assert b"\r\n\r\nAction: Command\r\n" in there.recv(4096)
    with pytest.raises(UnsafeValue):
        ami.checked("Hangup", {"Channel": value})


def test_pyst2_waits_for_ever_for_a_reply_and_we_do_not():
    with pair() as (it, there):
        asked = ask(it)
        asked.join(0.3)
        assert asked.is_alive()
        there.close()
        asked.join(2.0)

    async def work():
        def never(_reader, writer):
            writers.append(writer)

        writers = []
        server = await asyncio.start_server(never, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        clock = SystemClock()
        manager = Manager(*where, "u", "s", clock=clock, on_event=print, reply_within=0.1)
        await manager.start()
        assert manager.problem == "no reply in 0.1 s"
        await manager.stop()
        clock.close()
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(work())


def test_a_reply_that_nobody_asked_for_goes_to_whoever_asks_next_in_pyst2():
    unasked = b"Response: Success\r\nActionID: somebody-else\r\nEvil: yes\r\n\r\n"
    with pair() as (it, there):
        there.sendall(unasked)
        there.sendall(b"Response: Success\r\nActionID: mine\r\n\r\n")
        assert it.send_action({"Action": "Ping", "ActionID": "mine"}).headers["Evil"] == "yes"
    _, replies, _ = through_ours(unasked)
    assert "Evil" not in replies[0]


def test_a_caller_called_status_will_follow_stops_pyst2_and_not_us():
    events = (
        b"Event: Newstate\r\nCallerIDName: status will follow\r\n\r\n"
        + b"Event: Hangup\r\n\r\n" * 3
    )
    with pair() as (it, there):
        heard = []
        it.register_event("*", lambda event, _: heard.append(event.name))
        there.sendall(events + b"Response: Success\r\n\r\n")
        asked = ask(it)
        asked.join(0.3)
        assert asked.is_alive()
        assert heard == []
        there.close()
        asked.join(2.0)
    *_, heard = through_ours(events)
    assert [event["Event"] for event in heard] == ["Newstate", "Hangup", "Hangup", "Hangup"]


def test_a_channel_variable_in_an_event_kills_pyst2_and_not_us():
    with pytest.raises(AttributeError, match="has_key"):
        pyst2_manager.ManagerMsg(["Event: Hangup\r\n", "ChanVariable(PJSIP/a-1): X=1\r\n"])
    *_, heard = through_ours(b"Event: Hangup\r\nChanVariable(PJSIP/a-1): X=1\r\n\r\n")
    assert heard == [{"Event": "Hangup"}]
