"""The AGI wire: replies as measured on Asterisk 22, bytes that mean harm, and the session."""

from __future__ import annotations

import io
from itertools import pairwise

import asterisk.agi as pyst2
import pytest
from agi_peer import HANDSHAKE, USAGE, call, one, ready
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr import agi, agi_errors, wire

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
