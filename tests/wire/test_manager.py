"""The manager side, against a small AMI server that follows a script over a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime

import asterisk.manager as pyst2
import pytest
import uvloop

from ivr import ami
from ivr.clock import SystemClock, VirtualClock
from ivr.manager import Manager, ManagerDown, ManagerRefused, UnsafeValue

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


async def until(true):
    """Let the loop run: what we wait for is on its way through a socket and threads."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


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


# ---------------------------------------------------------------- actions


async def test_login_action_reply_and_event():
    async with line() as (manager, peer):
        assert manager.connected
        assert manager.pending == 0
        peer.answers["Ping"] = ["Response: Success", "Ping: Pong"]
        reply = await manager.action("Ping")
        assert reply["Ping"] == "Pong"
        peer.event("Hangup", "Channel: PJSIP/a-1", "Cause: 17")
        await until(lambda: manager.events_seen == 1)
        assert manager.heard[0]["Cause"] == "17"
    assert not manager.connected


def test_the_same_on_uvloop():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_login_action_reply_and_event())


async def test_every_action_has_headers_and_a_number_of_its_own():
    async with line() as (manager, peer):
        await manager.action("Originate", {"Channel": "PJSIP/8001", "Exten": "s"})
        await manager.action("Ping")
        assert [dict(headers).keys() for headers in peer.sent[1:]] == [
            {"Action", "Channel", "Exten", "ActionID"},
            {"Action", "ActionID"},
        ]
        assert len({dict(headers)["ActionID"] for headers in peer.sent}) == 3


async def test_many_actions_at_once_each_get_their_own_reply():
    class Echo(Asterisk):
        def reply(self, writer, action):
            extra = [f"Echo: {action['Channel']}"] if "Channel" in action else []
            self.say(writer, "Response: Success", f"ActionID: {action['ActionID']}", *extra)

    async with line(asterisk=Echo()) as (manager, _):
        asked = [manager.action("Hangup", {"Channel": f"c{n}"}) for n in range(100)]
        replies = await asyncio.gather(*asked)
        assert [reply["Echo"] for reply in replies] == [f"c{n}" for n in range(100)]


async def test_a_header_with_several_values_is_sent_once_for_each():
    async with line() as (manager, peer):
        await manager.action("Originate", {"Variable": ["A=1", "B=2"], "Channel": "王"})
        assert peer.sent[-1][1:4] == [("Variable", "A=1"), ("Variable", "B=2"), ("Channel", "王")]


async def test_the_doorbell_is_a_digit_d_that_the_channel_receives():
    async with line() as (manager, peer):
        assert await manager.doorbell("PJSIP/a-1")
        expected = {"Action": "PlayDTMF", "Channel": "PJSIP/a-1", "Digit": "D", "Receive": "true"}
        assert dict(peer.sent[-1]).items() >= {**expected, "Duration": "20"}.items()
        peer.answers["PlayDTMF"] = ["Response: Error", "Message: Channel not found"]
        assert not await manager.doorbell("PJSIP/a-1")
        peer.answers["PlayDTMF"] = ["Response: Error", "Message: Permission denied"]
        with pytest.raises(ManagerRefused, match="Permission denied"):
            await manager.doorbell("PJSIP/a-1")


async def test_an_error_is_told_with_its_reason():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = ["Response: Error", "Message: No such channel"]
        with pytest.raises(ManagerRefused, match="No such channel"):
            await manager.action("Hangup", {"Channel": "x"})
        assert issubclass(ManagerRefused, pyst2.ManagerException)
        await manager.action("Ping")


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Ping\r\nAction: Command", {}),
        ("Ping", {"X\r\nY": "1"}),
        ("Ping", {"ActionID": "mine"}),
        ("Ping", {"action": "Command"}),
        ("Ping", {"X": "1\r\nAction: Command"}),
        ("Ping", {"X": "1\n"}),
        ("Ping", {"X": "\r"}),
        ("Ping", {"X": "a\0b"}),
        ("Ping", {"X": "\udcff"}),
        ("Ping", {"X": ["fine", "\n"]}),
        ("Ping", {"X": "y" * 1020}),
        ("Ping", {"X": ["y"] * 127}),
        ("Originate", {"Variable": "A=1,B=2"}),
        ("Originate", {"Variable": ["A=1", 'B="']}),
        ("Originate", {"Variable": "A"}),
        ("Originate", {"Variable": "SHELL(id)=1"}),
    ],
)
async def test_what_would_be_a_second_header_or_action_is_refused(name, headers):
    async with line() as (manager, peer):
        with pytest.raises(UnsafeValue) as caught:
            await manager.action(name, headers)
        assert "Command" not in str(caught.value)
        await manager.action("Ping")
        assert peer.actions() == ["Login", "Ping"]


def test_a_secret_with_a_line_break_is_refused_at_once():
    with pytest.raises(UnsafeValue):
        Manager("h", 1, "u", "a\r\nAction: x", clock=SystemClock(), on_event=print)


async def test_whoever_no_longer_waits_does_no_harm():
    async with line() as (manager, peer):
        peer.answers["Originate"] = None
        asked = asyncio.create_task(manager.action("Originate"))
        await until(lambda: peer.actions()[-1] == "Originate")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert manager.pending == 1
        (number,) = [value for name, value in peer.sent[-1] if name == "ActionID"]
        peer.say(peer.writers[-1], "Response: Success", f"ActionID: {number}")
        await until(lambda: manager.pending == 0)
        await manager.action("Ping")


async def test_a_reply_that_nobody_asked_for_is_nobodys_reply():
    async with line() as (manager, peer):
        peer.say(peer.writers[-1], "Response: Success", "ActionID: sansheng-99", "Evil: yes")
        peer.say(peer.writers[-1], "Response: Success", "Evil: yes")
        peer.say(peer.writers[-1], "Rest: of a value with line breaks in it")
        assert "Evil" not in await manager.action("Ping")


# ---------------------------------------------------------------- what goes wrong


async def test_a_late_reply_ends_the_connection_and_a_new_one_is_made():
    clock = VirtualClock(START)
    async with line(clock=clock) as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup", {"Channel": "x"}))
        behind = asyncio.create_task(manager.action("Ping"))
        await until(lambda: peer.actions() == ["Login", "Hangup"])
        assert manager.pending == 2
        await clock.run(asked.done)
        assert clock.now() == 5.0
        for task in (asked, behind):
            with pytest.raises(ManagerDown, match="no reply in 5 s"):
                await task
        assert not manager.connected
        assert manager.pending == 0
        clock.holds.append(lambda: manager.pending == 0)
        await clock.run(lambda: manager.connected)
        assert clock.now() == 5.5
        await manager.action("Ping")
        assert (peer.visits, manager.connections) == (2, 2)


async def test_when_the_peer_dies_those_who_wait_are_told_and_we_come_back():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup"))
        await until(lambda: peer.actions()[-1] == "Hangup")
        peer.hang_up()
        with pytest.raises(ManagerDown):
            await asked
        with pytest.raises(ManagerDown):
            await manager.action("Ping")
        await until(lambda: manager.connected)
        await manager.action("Ping")


async def test_coming_back_waits_longer_each_time():
    clock = VirtualClock(START)
    async with line(clock=clock) as (manager, peer):
        clock.holds.append(lambda: manager.pending == 0)
        await peer.close()
        await until(lambda: not manager.connected)
        await clock.run_for(0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 29)
        await peer.listen(peer.port)
        await clock.run(lambda: manager.connected)
        assert clock.now() == 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30
        assert peer.visits == 2


async def test_a_refused_login_says_why_and_tries_again_later():
    clock = VirtualClock(START)
    async with line("wrong", clock=clock) as (manager, peer):
        clock.holds.append(lambda: manager.pending == 0)
        assert not manager.connected
        assert manager.problem == "Authentication failed"
        with pytest.raises(ManagerDown, match="Authentication failed"):
            await manager.action("Ping")
        await clock.run(lambda: peer.visits == 2)


async def test_no_manager_at_all_is_a_problem_and_no_exception():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        manager = Manager(
            *taken.getsockname(), "u", SECRET, clock=SystemClock(), on_event=print
        )  # fmt: skip
        await manager.start()
        assert "refused" in manager.problem
        await manager.stop()
        await manager.stop()


@pytest.mark.parametrize("greeting", [b"220 mail ESMTP\r\n", b"x" * 70_000])
async def test_a_peer_that_is_no_manager_is_left_alone(greeting):
    peer = Asterisk()
    peer.greeting = greeting
    async with line(asterisk=peer) as (manager, _):
        assert not manager.connected
        assert peer.sent == []


async def test_a_peer_that_never_greets_is_given_up_after_five_seconds():
    clock = VirtualClock(START)
    peer = Asterisk()
    peer.greeting = b""
    clock.holds.append(lambda: peer.visits == 1)
    tried = []
    running = asyncio.create_task(clock.run(lambda: bool(tried)))
    async with line(clock=clock, asterisk=peer) as (manager, _):
        tried.append(manager.problem)
        assert tried == ["no reply in 5 s"]
        assert clock.now() >= 5.0
        await running


async def test_a_ping_goes_out_every_ten_seconds_and_finds_a_dead_peer():
    clock = VirtualClock(START)
    async with line(clock=clock, ping_every=10.0) as (manager, peer):
        busy = lambda: manager.pending == 0  # noqa: E731
        clock.holds.append(busy)
        await clock.run_for(35.0)
        assert peer.actions() == ["Login", "Ping", "Ping", "Ping"]
        clock.holds.remove(busy)
        peer.answers["Ping"] = None
        await clock.run(lambda: not manager.connected)
        assert clock.now() == 45.0


async def test_stopping_frees_whoever_waits():
    async with line() as (manager, peer):
        peer.answers["Hangup"] = None
        asked = asyncio.create_task(manager.action("Hangup"))
        await until(lambda: peer.actions()[-1] == "Hangup")
        await manager.stop()
        with pytest.raises(ManagerDown, match="stopped"):
            await asked


@pytest.mark.parametrize("silent", [False, True])
async def test_stopping_at_any_moment_leaves_nothing_behind(silent):
    """A socket that is left is a warning, and a warning is an error here."""
    peer = Asterisk()
    peer.greeting = b"" if silent else peer.greeting
    await peer.listen()
    clock = SystemClock()
    before = threading.active_count()
    for turns in range(40):
        manager = Manager("127.0.0.1", peer.port, "u", SECRET, clock=clock, on_event=print)
        starting = asyncio.create_task(manager.start())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        await manager.stop()
        await starting
        assert not manager.connected
    await peer.close()
    clock.close()
    assert threading.active_count() <= before


@contextmanager
def nobody_answers():
    """An address where connecting takes for ever: the queue of its listener is full."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        yield full.getsockname()


async def test_connecting_to_where_nobody_answers_is_given_up_after_five_seconds():
    clock = VirtualClock(START)
    with nobody_answers() as where:
        manager = Manager(*where, "u", SECRET, clock=clock, on_event=print)
        starting = asyncio.create_task(manager.start())
        await clock.settle()
        clock.advance()
        await starting
        assert (clock.now(), manager.problem) == (5.0, "nobody answers there")
        await manager.stop()
    clock.close()


@pytest.mark.parametrize("turns", range(8))
async def test_stopping_just_when_an_attempt_is_given_up_leaves_no_socket(turns):
    clock = VirtualClock(START)
    manager = Manager("", 1, "u", SECRET, clock=clock, on_event=print)
    with nobody_answers() as where, socket.socket() as sock:
        dialling = asyncio.create_task(manager._dial_one(sock, where))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance()
        for _ in range(turns):
            await asyncio.sleep(0)
        dialling.cancel()
        await asyncio.wait([dialling])
        assert sock.fileno() == -1
    clock.close()


# ---------------------------------------------------------------- events


async def test_events_are_sorted_out_early_and_all_are_counted():
    ours = {"PJSIP/ours-1"}
    wants = lambda name, channel: channel in ours or name == "OriginateResponse"  # noqa: E731
    events = ["Hangup", "ChannelTalkingStart", "OriginateResponse"]
    async with line(events=events, wants=wants) as (manager, peer):
        peer.event("Hangup", "Channel: PJSIP/theirs-1")
        peer.event("Newexten", "Channel: PJSIP/ours-1")
        peer.event("ChannelTalkingStart", "Channel: PJSIP/ours-1")
        peer.event("OriginateResponse", "Response: Failure", "Reason: 0")
        peer.event("Hangup")
        await until(lambda: manager.events_seen == 5)
        assert [event["Event"] for event in manager.heard] == [
            "ChannelTalkingStart",
            "OriginateResponse",
        ]


async def test_what_a_caller_is_called_does_not_disturb_the_stream():
    names = ["status will follow", "Response: Follows", "--END COMMAND--", "a: b", "王\udcff"]
    async with line() as (manager, peer):
        for name in names:
            lines = f"Event: Newstate\r\nCallerIDName: {name}\r\nChannel: c\r\n\r\n"
            peer.writers[-1].write(lines.encode("utf-8", "surrogateescape"))
        await manager.action("Ping")
        await until(lambda: manager.events_seen == len(names))
        assert [event["CallerIDName"] for event in manager.heard] == names


async def test_channel_variables_in_an_event_do_not_kill_the_reader():
    async with line() as (manager, peer):
        peer.event("Hangup", "ChanVariable(PJSIP/a-1): X=1", "Channel: PJSIP/a-1")
        await until(lambda: manager.events_seen == 1)
        assert manager.heard[0]["Channel"] == "PJSIP/a-1"
        await manager.action("Ping")


async def test_an_event_in_pieces_is_one_event():
    async with line() as (manager, peer):
        for piece in (b"Event: Han", b"gup\r", b"\nChannel: c\r\n\r", b"\n"):
            peer.writers[-1].write(piece)
            await peer.writers[-1].drain()
            await asyncio.sleep(0.002)
        await until(lambda: manager.events_seen == 1)
        assert manager.heard == [{"Event": "Hangup", "Channel": "c"}]


async def test_events_that_nobody_takes_end_the_connection(monkeypatch):
    monkeypatch.setattr(ami, "EVENTS_WAITING", -1)
    async with line() as (manager, peer):
        peer.event("Hangup")
        await until(lambda: not manager.connected)
        assert manager.problem == "events come faster than they are taken"


async def test_an_event_without_end_ends_the_connection():
    async with line() as (manager, peer):
        peer.writers[-1].write(b"Event: X\r\n" + b"A: b\r\n" * 20_000)
        await until(lambda: not manager.connected)
        assert "65536 bytes" in manager.problem


async def test_an_error_in_taking_one_event_does_not_lose_the_next():
    taken, problems = [], []

    def take(event):
        taken.append(event["N"])
        if event["N"] == "1":
            raise LookupError("our bug")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
    async with line(on_event=take) as (manager, peer):
        for n in range(3):
            peer.event("Hangup", f"N: {n}")
        await until(lambda: manager.events_seen == 3)
        assert taken == ["0", "1", "2"]
        assert [str(problem) for problem in problems] == ["our bug"]


async def test_nothing_is_printed_and_the_secret_is_nowhere(capfd):
    async with line() as (manager, peer):
        await manager.action("Ping")
        peer.event("Strange")
        peer.say(peer.writers[-1], "no header at all")
        peer.hang_up()
        await until(lambda: manager.connections == 2)
        assert SECRET not in repr(manager)
    async with line("wrong-" + SECRET) as (manager, _):
        assert SECRET not in manager.problem
    assert capfd.readouterr() == ("", "")
