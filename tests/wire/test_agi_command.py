"""A command of AGI is one line, whatever its arguments hold."""

from __future__ import annotations

import pytest
from agi_peer import ready, some_bytes, tricky
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr import agi_command, agi_errors, wire


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
