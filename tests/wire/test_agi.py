"""The AGI wire: replies as measured on Asterisk 22, bytes that mean harm, and the session."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise

import asterisk.agi as pyst2
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr import agi, agi_command, agi_errors, wire
from ivr.clock import SystemClock, VirtualClock

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


# ---------------------------------------------------------------- handshake


def test_the_handshake_gives_names_without_their_prefix_and_values_byte_for_byte():
    (fact,) = wire.Wire().receive(HANDSHAKE)
    assert fact.environment["channel"] == "PJSIP/caller-00000000"
    assert fact.environment["accountcode"] == ""
    name = fact.environment["calleridname"]
    assert name.encode("utf-8", "surrogateescape") == b"\xe7\x8e\x8b: \xff (x)"


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"agi_calleridname: x\nagi_extension: 9\nagi_extension: 1001\n\n", "agi_extension came"),
        (b"GET / HTTP/1.1\r\n", "not `agi_name: value`"),
        (b"agi_x y\n", "not `agi_name: value`"),
        (b"\xff\xfe\n", "not `agi_name: value`"),
        (b"agi_x: " + b"y" * wire.HANDSHAKE_BYTES, f"more than {wire.HANDSHAKE_BYTES} bytes"),
        (b"".join(b"agi_%d: %s\n" % (n, b"y" * 200) for n in range(100)), "more than 16384 bytes"),
        (b"".join(b"agi_%d: y\n" % n for n in range(201)), "more than 200 lines"),
    ],
)
def test_a_handshake_that_is_none_ends_the_session(greeting, why):
    it = wire.Wire()
    (fact,) = it.receive(greeting)
    assert isinstance(fact.why, agi_errors.Garbled)
    assert why in str(fact.why)
    assert it.receive(b"agi_more: 1\n\n") == []


def test_a_handshake_of_exactly_the_largest_size_is_taken():
    greeting = b"agi_x: " + b"y" * (wire.HANDSHAKE_BYTES - 8) + b"\n\n"
    (fact,) = wire.Wire().receive(greeting)
    assert isinstance(fact, wire.Ready)


# ---------------------------------------------------------------- replies

GONE = object()  # pyst2 takes it for a hang-up or an error of the application

REPLIES = [
    # command, reply, result, data, endpos, what pyst2 makes of it (None: the same)
    ("NOOP", "200 result=0", 0, None, None, None),
    ("ANSWER", "200 result=0", 0, None, None, None),
    ("GET VARIABLE", "200 result=0", 0, None, None, None),
    ("GET VARIABLE", "200 result=1 (en)", 1, "en", None, None),
    ("GET VARIABLE", "200 result=1 ()", 1, "", None, None),
    ("GET VARIABLE", "200 result=1 (PJSIP/a(b)c)", 1, "PJSIP/a(b)c", None, None),
    ("GET VARIABLE", '200 result=1 (he said "hi")', 1, 'he said "hi"', None, None),
    ("GET VARIABLE", "200 result=1 (您好,王女士)", 1, "您好,王女士", None, None),
    ("GET VARIABLE", "200 result=1 (hangup)", 1, "hangup", None, GONE),
    ("GET VARIABLE", "200 result=1 ((timeout))", 1, "(timeout)", None, None),
    ("GET VARIABLE", "200 result=1 (a) endpos=8)", 1, "a) endpos=8", None, None),
    ("GET VARIABLE", "200 result=1 (result=-1)", 1, "result=-1", None, None),
    ("GET VARIABLE", "200 result=1 (\udcff)", 1, "\udcff", None, None),
    ("GET FULL VARIABLE", "200 result=1 (hangup)", 1, "hangup", None, GONE),
    ("DATABASE GET", "200 result=1 (hangup)", 1, "hangup", None, GONE),
    ("STREAM FILE", "200 result=0 endpos=11520", 0, None, 11520, None),
    ("STREAM FILE", "200 result=53 endpos=3680", 53, None, 3680, None),
    ("STREAM FILE", "200 result=-1 endpos=0", -1, None, 0, GONE),
    ("STREAM FILE", "200 result=-1 endpos=8160", -1, None, 8160, GONE),
    ("CONTROL STREAM FILE", "200 result=-1 endpos=-1", -1, None, -1, GONE),
    ("WAIT FOR DIGIT", "200 result=0", 0, None, None, None),
    ("WAIT FOR DIGIT", "200 result=68", 68, None, None, None),
    ("WAIT FOR DIGIT", "200 result=-1", -1, None, None, GONE),
    ("RECORD FILE", "200 result=53 (dtmf) endpos=16000", 53, "dtmf", 16000, None),
    ("RECORD FILE", "200 result=4002 (timeout) endpos=16", 4002, "timeout", 16, None),
    ("RECORD FILE", "200 result=0 (timeout) endpos=80000", 0, "timeout", 80000, None),
    ("RECORD FILE", "200 result=-1 (hangup) endpos=8000", -1, "hangup", 8000, GONE),
    ("RECORD FILE", "200 result=-1 (writefile)", -1, "writefile", None, GONE),
    ("GET DATA", "200 result= (timeout)", None, "timeout", None, {"result": ("", "")}),
    ("GET DATA", "200 result=", None, None, None, None),
    ("GET DATA", "200 result=123 (timeout)", 123, "timeout", None, None),
    ("GET DATA", "200 result=*1", None, None, None, None),
    ("EXEC", "200 result=-2", -2, None, None, None),
    ("GOSUB", "200 result=0 Gosub complete", 0, "Gosub complete", None, {"result": ("0", "")}),
    ("CHANNEL STATUS", "200 result=6", 6, None, None, None),
]


@pytest.mark.parametrize(("command", "raw", "result", "data", "endpos", "_"), REPLIES)
def test_every_legal_reply_is_understood_by_its_command(command, raw, result, data, endpos, _):
    assert one(command, raw) == wire.Reply(200, result, data, endpos, raw)


@pytest.mark.parametrize(
    ("command", "raw", "code", "data"),
    [
        ("X", "510 Invalid or unknown command", 510, "Invalid or unknown command"),
        ("X", "511 Command Not Permitted on a dead channel", 511, None),
        ("X", "520 Invalid command syntax.  Proper usage not available.", 520, None),
        ("X", USAGE, 520, None),
        ("X", "520-a\nHANGUP\n200 result=0\n520-b\n\n520 c", 520, None),
        ("X", "503 result=-2 Memory allocation failure", 503, None),
    ],
)
def test_a_reply_that_is_not_200_keeps_its_code_and_all_its_lines(command, raw, code, data):
    reply = one(command, raw)
    assert (reply.code, reply.result, reply.raw) == (code, None, raw)
    assert data is None or reply.data == data


def test_100_is_a_promise_of_a_reply_and_no_reply():
    it = ready("EXEC", "Wait", 1)
    assert it.receive(b"100 result=0 Trying...\n") == []
    assert it.state is wire.State.BUSY
    assert it.receive(b"200 result=0\n") == [wire.Reply(200, 0, None, None, "200 result=0")]


def pyst2_on(raw):
    """What pyst2's parser makes of a reply. (Its constructor sets a signal handler.)"""
    plain = object.__new__(pyst2.AGI)
    plain.stdin, plain.stderr = io.StringIO(raw + "\n"), io.StringIO()
    return plain.get_result()


@pytest.mark.parametrize(("command", "raw", "result", "data", "endpos", "theirs"), REPLIES)
def test_pyst2_understands_the_same_or_we_know_where_it_does_not(
    command, raw, result, data, endpos, theirs
):
    if theirs is GONE:
        with pytest.raises(pyst2.AGIAppError):
            pyst2_on(raw)
        return
    got = pyst2_on(raw)
    text = raw.removeprefix("200 result=").partition(" ")[0]
    expected = {"result": (text, data or "")} if theirs is None else theirs
    if endpos is not None:
        expected = {**expected, "endpos": (str(endpos), "")}
    assert got == expected


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("510 Invalid or unknown command", pyst2.AGIInvalidCommand),
        (USAGE, pyst2.AGIUsageError),
        ("503 result=-2 Memory allocation failure", pyst2.AGIUnknownError),
    ],
)
async def test_who_knows_the_errors_of_pyst2_knows_ours(raw, kind):
    with pytest.raises(kind):
        pyst2_on(raw)
    async with call() as (session, peer):
        peer.answers(raw)
        with pytest.raises(kind):
            await session.command("NOOP")


@pytest.mark.parametrize("name", ["HungUp", "LeftInCommand", "DeadChannel", "ConnectionLost"])
def test_every_end_of_a_call_is_a_hangup_in_the_words_of_pyst2(name):
    kind = getattr(agi, name)
    assert issubclass(kind, pyst2.AGIHangup)
    assert str(kind("why")) == kind.__doc__.rstrip(".") + ": why"


def test_only_a_key_is_a_digit():
    assert one("WAIT FOR DIGIT", "200 result=68").digit == "D"
    assert one("WAIT FOR DIGIT", "200 result=35").digit == "#"
    assert one("WAIT FOR DIGIT", "200 result=0").digit == ""
    assert one("RECORD FILE", "200 result=4002 (timeout) endpos=16").digit == ""
    assert one("CHANNEL STATUS", "200 result=6").digit == ""


# ---------------------------------------------------------------- HANGUP, and the end


def test_hangup_is_heard_while_idle_and_twice_and_before_a_reply():
    it = ready()
    assert it.receive(b"HANGUP\nHANGUP\n") == [wire.Hangup(), wire.Hangup()]
    it.send("NOOP")
    reply = wire.Reply(200, 0, None, None, "200 result=0")
    assert it.receive(b"HANGUP\n200 result=0\nHANGUP\n") == [wire.Hangup(), reply, wire.Hangup()]


def test_a_reply_to_get_variable_that_says_hangup_is_not_a_hangup():
    reply = one("GET VARIABLE", "200 result=1 (hangup)")
    assert reply.data == "hangup"
    assert not reply.left
    assert one("RECORD FILE", "200 result=-1 (hangup) endpos=8000").left


def test_a_value_with_line_breaks_is_one_value_even_if_it_says_hangup():
    raw = "200 result=1 (first\nHANGUP\n200 result=0\nlast)"
    assert one("GET VARIABLE", raw).data == "first\nHANGUP\n200 result=0\nlast"


@pytest.mark.parametrize("before", [b"", b"200 resu", b"520-Invalid\nUsage\n", b"HANGUP"])
def test_the_end_of_the_stream_in_the_middle_of_a_reply_ends_it(before):
    it = ready("NOOP")
    (fact,) = [*it.receive(before), *it.receive(b"")] if before else it.receive(b"")
    assert isinstance(fact.why, agi_errors.ConnectionLost)
    assert it.receive(b"") == []


@pytest.mark.parametrize(
    "garbage", [b"hello\n", b"200\n", b"200 result\n", b"\n", b"20 result=0\n", b"\xff\xff\n"]
)
def test_what_is_no_reply_ends_the_session(garbage):
    (fact,) = ready("NOOP").receive(garbage)
    assert isinstance(fact.why, agi_errors.Garbled)


def test_a_line_that_nobody_asked_for_ends_the_session():
    (fact,) = ready().receive(b"200 result=0\n200 result=1\n")
    assert isinstance(fact.why, agi_errors.Garbled)


@pytest.mark.parametrize("flood", [b"x", b"x\n", b"\n"])
def test_a_reply_that_does_not_end_is_given_up_at_its_limit(flood):
    it = ready("GET VARIABLE", "X")
    assert it.receive(b"200 result=1 (") == []
    taken = 0
    while not it.ended:
        facts = it.receive(flood * 1000)
        taken += len(flood) * 1000
        assert taken <= wire.REPLY_BYTES + 2000
    assert isinstance(facts[0].why, agi_errors.Garbled)


# ---------------------------------------------------------------- commands


def asterisk_parses(line):
    """An oracle: the rules of Asterisk's `parse_args`, on one line without its line feed."""
    words, word, quoted, escaped, between = [], bytearray(), False, False, True
    for character in line.split(b"\0")[0]:
        byte = bytes([character])
        if byte == b'"' and not escaped:
            quoted = not quoted
            if quoted and between:
                word, between = bytearray(), False
                words.append(word)
        elif byte in b" \t" and not quoted and not escaped:
            between = True
        elif byte == b"\\" and not escaped:
            escaped = True
        else:
            if between:
                word, between = bytearray(), False
                words.append(word)
            word += byte
            escaped = False
    return [bytes(each) for each in words]


def test_arguments_stand_in_quotes_and_the_empty_one_does_not_vanish():
    assert agi_command.encode("STREAM FILE", "/a b", "", 0) == b'STREAM FILE "/a b" "" "0"\n'
    assert agi_command.encode("NOOP") == b"NOOP\n"
    assert agi_command.encode("VERBOSE", 'a\\"b') == b'VERBOSE "a\\\\\\"b"\n'


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))
tricky = st.text(st.sampled_from('"\\ \t,()&|$;王0HANGUP'), max_size=20)
some_bytes = st.binary(max_size=40).map(
    lambda raw: raw.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")
)


@settings(deadline=None)
@given(st.lists(anything | tricky | some_bytes, max_size=6))
def test_any_argument_is_one_line_and_asterisk_reads_it_back(arguments):
    line = agi_command.encode("SET VARIABLE", *arguments)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    expected = [each.encode("utf-8", "surrogateescape") for each in arguments]
    assert asterisk_parses(line[:-1]) == [b"SET", b"VARIABLE", *expected]


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from("\r\n\0\ud800"), st.text(max_size=30))
def test_a_second_command_cannot_be_smuggled_in(before, bad, after):
    it = ready()
    with pytest.raises(agi_errors.UnsafeArgument):
        it.send("SET VARIABLE", "X", before + bad + after)
    assert it.state is wire.State.IDLE


@pytest.mark.parametrize("command", ["", "noop", "NOOP ", "NO  OP", "NOOP\nX", 'EXEC "x"', "É"])
def test_a_command_itself_is_only_words(command):
    with pytest.raises(agi_errors.UnsafeArgument):
        agi_command.encode(command)


def test_more_arguments_than_asterisk_can_hold_are_refused():
    assert len(asterisk_parses(agi_command.encode("NOOP", *["x"] * 126)[:-1])) == 127
    with pytest.raises(agi_errors.UnsafeArgument, match="128 arguments"):
        agi_command.encode("NOOP", *["x"] * 127)


def test_a_line_longer_than_the_buffer_of_this_asterisk_is_refused():
    fits = "x" * (agi_command.LINE_LIMIT - len('NOOP ""\n'))
    assert len(ready().send("NOOP", fits)) == agi_command.LINE_LIMIT
    with pytest.raises(agi_errors.UnsafeArgument, match="8192 bytes"):
        ready().send("NOOP", fits + "x")
    old = wire.Wire()
    old.receive(b"agi_version: 20.15.2\n\n")
    with pytest.raises(agi_errors.UnsafeArgument, match="2047 at most"):
        old.send("NOOP", fits)


@pytest.mark.parametrize(
    ("version", "limit"),
    [
        ("18.26.1", 2047),
        ("20.15.2", 2047),
        ("20.16.0", 8191),
        ("21.10.2", 2047),
        ("22.5.2~dfsg", 2047),
        ("22.10.1+dfsg+~cs6.17", 8191),
        ("23.0.0", 8191),
        ("GIT-master-abc", 2047),
        ("", 2047),
    ],
)
def test_how_long_a_line_may_be_depends_on_the_version(version, limit):
    assert agi_command.line_limit(version) == limit


def test_application_arguments_are_joined_by_commas():
    assert (
        agi_command.application_arguments("PJSIP/8001", 20, "m(default)")
        == "PJSIP/8001,20,m(default)"
    )
    assert agi_command.application_arguments() == ""
    assert agi_command.application_arguments("a", "", "b") == "a,,b"


@pytest.mark.parametrize(
    "bad",
    ["a,b", "PJSIP/a&PJSIP/b", "U(x^y)", "a|b", '"', "\\", "${EXTEN}", "$[1]", "a;b", "(", ")(",
     "[(])", "`id`", "a\nb", "a\x7f", " a", "a\t"],
)  # fmt: skip
def test_what_the_language_of_applications_cannot_say_is_refused(bad):
    with pytest.raises(agi_errors.UnsafeArgument):
        agi_command.application_arguments("fine", bad)


# ---------------------------------------------------------------- any stream


def facts_of(segments):
    """Feed segments (command or None, chunks): what was heard, comparable."""
    it, heard = wire.Wire(), []
    for command, chunks in segments:
        if command is not None:
            it.send(command)
        for chunk in chunks:
            heard += it.receive(chunk)
    return [str(fact.why) if isinstance(fact, wire.End) else fact for fact in heard]


def cut(data, places):
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(REPLIES), st.booleans()), max_size=5),
    st.lists(st.integers(0, 1000), max_size=12),
    st.sampled_from([b"", b"HANGUP\n", b"nonsense\n"]),
)
def test_how_the_stream_is_cut_into_pieces_changes_nothing(replies, places, tail):
    segments = [(None, HANDSHAKE)]
    for (command, raw, *_), hangup in replies:
        answer = raw.encode("utf-8", "surrogateescape") + b"\n" + (b"HANGUP\n" if hangup else b"")
        segments.append((command, answer))
    segments.append((None, tail))
    whole = facts_of([(command, [data] if data else []) for command, data in segments])
    pieces = facts_of([(command, cut(data, places)) for command, data in segments])
    assert pieces == whole
    assert sum(isinstance(fact, wire.Reply) for fact in whole) == len(replies)


fragments = st.sampled_from(
    [b"HANGUP\n", b"200 result=", b"200 result=1 (", b")", b"\n", b"520-", b"520 ", b"-1", b"1",
     b" endpos=", b"100 \n", b"511 x\n", b"agi_x: 1\n", b"\0", b"\xff", b"\r\n", b"9" * 40]
)  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(fragments | st.binary(max_size=30), max_size=30),
    st.booleans(),
    st.sampled_from(["NOOP", "GET VARIABLE", "RECORD FILE"]),
)
def test_garbage_never_raises_and_the_end_is_always_an_end(pieces, greeted, command):
    it = ready(command) if greeted else wire.Wire()
    for piece in pieces:
        for fact in it.receive(piece) if piece else []:
            assert isinstance(fact, wire.Incoming)
            if it.state is wire.State.IDLE and isinstance(fact, wire.Reply):
                it.send(command)
    ended = it.ended
    assert len(it.receive(b"")) == (0 if ended else 1)
    assert it.ended


# ---------------------------------------------------------------- the session


class Peer:
    """Asterisk's end of the connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def says(self, text):
        self.writer.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def answers(self, *replies):
        """Answer the next commands, one each."""

        async def work():
            for reply in replies:
                assert await self.reader.readline()
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


async def test_a_session_begins_with_its_environment_and_arguments():
    async with call() as (session, _):
        assert session.environment["uniqueid"] == "1795287779.0"
        assert session.arguments == ("1001", "two words")
        assert session.peer == "127.0.0.1"
        assert (session.hung_up, session.busy, session.closed) == (False, False, False)


async def test_a_command_is_answered_by_its_reply():
    async with call() as (session, peer):
        peer.answers("200 result=1 (王女士)", "200 result=0 endpos=80")
        assert (await session.command("GET VARIABLE", "X")).data == "王女士"
        assert (await session.command("STREAM FILE", "a", "")).endpos == 80


def test_the_same_on_uvloop():
    async def work():
        async with call() as (session, peer):
            peer.answers("HANGUP\n200 result=0")
            assert (await session.command("NOOP")).result == 0
            assert session.hung_up

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


async def test_two_commands_at_once_are_a_bug_and_the_first_is_not_harmed():
    async with call() as (session, peer):
        first = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await asyncio.sleep(0)
        assert session.busy
        with pytest.raises(agi.Busy):
            await session.command("NOOP")
        assert await peer.reader.readline() == b'WAIT FOR DIGIT "2000"\n'
        peer.says("200 result=49")
        assert (await first).digit == "1"


async def test_a_command_that_nobody_waits_for_any_more_still_keeps_the_session_busy():
    async with call() as (session, peer):
        first = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(agi.Busy):
            await session.command("NOOP")
        peer.says("200 result=49")
        await until(lambda: not session.busy)
        peer.answers("200 result=6")
        assert (await session.command("CHANNEL STATUS")).result == 6


async def until(true):
    """Let the loop run: what we wait for is on its way through a socket."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def heard_hangup(session):
    heard = asyncio.Event()
    session.on_hangup = heard.set
    await heard.wait()


async def test_a_hangup_is_heard_while_nothing_runs_and_once():
    async with call() as (session, peer):
        times = []
        session.on_hangup = lambda: times.append(1)
        peer.says("HANGUP\nHANGUP")
        await until(lambda: session.hung_up)
        peer.goes()
        await session.wait_closed()
        assert times == [1]
        assert isinstance(session.gone, agi.HungUp)
        with pytest.raises(agi.HungUp):
            await session.command("NOOP")


async def test_the_reply_to_the_command_in_which_the_caller_left_still_arrives():
    async with call() as (session, peer):
        peer.answers("200 result=-1 (hangup) endpos=8000")
        reply = await session.command("RECORD FILE", "x", "wav", "#", 10000)
        assert reply.endpos == 8000
        assert session.hung_up
        with pytest.raises(agi.LeftInCommand):
            await session.command("NOOP")


async def test_511_is_a_hangup():
    async with call() as (session, peer):
        peer.answers("511 Command Not Permitted on a dead channel or intercept routine")
        with pytest.raises(agi.DeadChannel, match="STREAM FILE"):
            await session.command("STREAM FILE", "x", "")
        assert session.hung_up


async def test_minus_one_alone_is_no_hangup_and_asking_tells():
    async with call() as (session, peer):
        peer.answers("200 result=-1 endpos=0", "200 result=6")
        assert (await session.command("STREAM FILE", "missing", "")).result == -1
        assert not session.hung_up
        assert await session.alive()
    async with call() as (session, peer):
        peer.answers("511 Command Not Permitted on a dead channel or intercept routine")
        assert not await session.alive()
        assert not await session.alive()


async def test_the_end_of_the_stream_in_a_command_is_a_hangup():
    async with call() as (session, peer):
        waiting = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        peer.says("520-Invalid")
        peer.goes()
        with pytest.raises(agi.ConnectionLost):
            await waiting
        await session.wait_closed()
        assert session.hung_up
        assert session.closed


async def test_garbage_ends_the_session_and_says_nothing_of_what_it_was():
    async with call() as (session, peer):
        peer.answers("my PIN is 4711")
        with pytest.raises(agi.Garbled) as caught:
            await session.command("NOOP")
        assert "4711" not in str(caught.value)
        await session.wait_closed()
        assert session.hung_up


async def test_after_our_own_close_nothing_is_heard_and_nothing_can_be_said():
    async with call() as (session, peer):
        session.on_hangup = lambda: pytest.fail("our own close is no hang-up")
        session.close()
        peer.says("HANGUP")
        await session.wait_closed()
        assert not session.hung_up
        assert session.closed
        with pytest.raises(agi.Closed):
            await session.command("NOOP")


async def test_closing_frees_whoever_waits_for_a_reply():
    async with call() as (session, peer):
        waiting = asyncio.create_task(session.command("WAIT FOR DIGIT", 2000))
        await peer.reader.readline()
        session.close()
        with pytest.raises(agi.ConnectionLost):
            await waiting


async def test_dropping_the_connection_is_heard_as_a_hangup():
    async with call() as (session, _):
        hung_up = asyncio.create_task(heard_hangup(session))
        await asyncio.sleep(0)
        session.abort()
        await hung_up
        await session.wait_closed()


@pytest.mark.parametrize("greeting", [b"", b"agi_network: yes\n", b"agi_ne"])
async def test_a_peer_that_does_not_finish_its_handshake_is_dropped(greeting):
    clock = VirtualClock(datetime(2026, 11, 23, tzinfo=UTC))
    async with call(greeting, clock) as (session, peer):
        await clock.run(lambda: session.hung_up)
        assert clock.now() == 5.0
        assert await peer.reader.read() == b""
        assert "5 s" in str(session.gone)


async def test_a_handshake_in_time_stops_its_deadline():
    clock = VirtualClock(datetime(2026, 11, 23, tzinfo=UTC))
    async with call(clock=clock) as (session, _):
        await clock.run_for(60.0)
        assert not session.hung_up


async def test_a_bad_handshake_never_begins_a_session():
    async with call(b"agi_x: 1\nagi_x: 2\n") as (session, peer):
        assert await peer.reader.read() == b""
        await session.wait_closed()
        assert isinstance(session.gone, agi.Garbled)


@settings(deadline=None, max_examples=30)
@given(st.lists(tricky | some_bytes, max_size=4))
def test_whatever_a_caller_is_called_arrives_and_leaves_as_one_command(names):
    async def work():
        async with call() as (session, peer):
            for name in names:
                peer.answers("200 result=1")
                await session.command("SET VARIABLE", "NAME", name)

    asyncio.run(work())
