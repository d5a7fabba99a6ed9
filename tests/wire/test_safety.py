"""Nothing that a caller controls becomes a command, a path, a name or a crash.

Every field a caller controls, against the whole service and the fake Asterisk: the number he
rings from, what he calls himself, the number dialled, what he presses and says, and when. What
the service sends is read line by line; each must be one of a handful of sentences.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from disturbed import House, handshake, heard, peer, read
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from migrated import new

from ivr import agi, codec, control, journal, journal_writer, logs, redact
from ivr.agi_command import LINE_LIMIT, encode
from ivr.agi_errors import Garbled
from ivr.hotlines import Hotlines
from ivr.scenario import Act, HangUpAct, Hum, Press, Speak
from ivr.wire import End, Ready, State, Wire, parse

SAYABLE = re.compile(
    "|".join(
        (
            r"ANSWER",
            r"HANGUP",
            r"CHANNEL STATUS",
            r"SET MUSIC OFF",
            r'SET MUSIC "ON" "default"',
            r'EXEC "Ringing"',
            r'SET VARIABLE "TIMEOUT\(absolute\)" "\d{1,5}"',
            r'SET VARIABLE "TALK_DETECT\(set\)" "160,\d{2,5}"',
            r'SET VARIABLE "SANSHENG_DONE" "1"',
            r'STREAM FILE "/sounds/zh/[a-z_]+/[a-z0-9_.-]+" "0123456789\*#D" "\d+"',
            r'WAIT FOR DIGIT "\d{1,6}"',
            r'RECORD FILE "/spool/[0-9a-f]{32}-\d\d" "wav" "#D" "\d{1,6}" "0"'
            r'( "BEEP")? "s=\d{1,2}"',
        )
    )
)
"""All that the service ever says to Asterisk about a call."""

RARE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

HOSTILE = ['"\nHANGUP', "${SYSTEM(id)}", "$(id)", "a,b", "a&b", "a|b", "\\", "../../x", "\0", "%0a"]
TEXT = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=60),
    st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.text("0123456789+*#-() ", max_size=40),
    st.sampled_from(["x" * 5000, "王" * 3000, "1" * 300]),
)


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    logs.configure(level="critical")
    yield
    logs.configure(level="warning")


def said(world: House) -> list[str]:
    """Every line the service sent, about any call."""
    return [
        line.removeprefix(">> ")
        for stage in world.stages.values()
        for _, line in stage.channel.transcript
        if line.startswith(">> ")
    ]


def obedient(world: House) -> None:
    assert [line for line in said(world) if not SAYABLE.fullmatch(line)] == []


def kept(world: House) -> None:
    """All that was journalled goes into a database, and comes out of it again."""
    with tempfile.TemporaryDirectory() as folder:
        database = new(Path(folder) / "x.db")
        with database.write() as connection:
            journal_writer.write(connection, world.journal.rows)
        database.close()
    for row in world.journal.rows:
        if isinstance(row, journal.Entry):
            assert codec.decode(row.side, row.name, codec.encode(row.what)) == row.what


async def ring(lines: Hotlines, name: str, caller: str, number: str | None = None) -> House:
    async with House(lines, read(name)) as world:
        stage = world.call()
        stage.channel.caller = caller
        if number is not None:
            stage.channel.number = number
            stage.channel.arguments[0] = number
        await world.end()
        world.nothing_left()
    return world


@RARE
@given(TEXT)
@example("13800138000\nagi_arg_1: 1004")
@example("\u2028\u2029\x85")
def test_where_a_caller_rings_from_changes_nothing_that_is_said(
    lines: Hotlines, caller: str
) -> None:
    """The very same commands as for a caller who withholds his number."""
    hidden = asyncio.run(ring(lines, "xjca-silent", ""))
    world = asyncio.run(ring(lines, "xjca-silent", caller))
    obedient(world)
    kept(world)
    if "\n" in caller:  # Asterisk would not say that; then it is no handshake of ours
        assert len(said(world)) in (0, len(said(hidden)))
    else:
        assert said(world) == said(hidden)
        (row,) = world.rows()
        assert row.hotline == "xjca"


@RARE
@given(TEXT)
def test_a_caller_with_a_hostile_number_may_leave_a_message(lines: Hotlines, caller: str) -> None:
    assume("\n" not in caller)
    world = asyncio.run(ring(lines, "lakala-suggestion", caller))
    obedient(world)
    kept(world)
    (stage,) = world.stages.values()
    assert len(stage.kept) == 1
    for value in dict(stage.kept[0].values).values():
        assert value == "" or value.isascii()


@RARE
@given(TEXT)
def test_a_number_that_is_nobodys_is_nobodys(lines: Hotlines, number: str) -> None:
    assume(number not in lines.numbers)
    world = asyncio.run(ring(lines, "xjca-silent", "13800138000", number))
    assert said(world) == []
    assert world.journal.calls() == {}
    (stage,) = world.stages.values()
    assert stage.channel.ended_by == "dialplan"


ACTS: st.SearchStrategy[Act] = st.one_of(
    st.sampled_from("0123456789*#").map(Press),
    st.floats(0.02, 12).map(Speak),
    st.floats(0.1, 5).map(Hum),
)


@settings(RARE, max_examples=100)
@given(
    st.sampled_from(["xjca-silent", "ems-waits-with-consent", "lakala-silent", "infodesk-silent"]),
    st.lists(st.tuples(st.floats(0.05, 8), ACTS), max_size=40),
)
def test_whatever_a_caller_presses_and_says_the_call_goes_on_to_an_end(
    lines: Hotlines, name: str, acts: list[tuple[float, Act]]
) -> None:
    async def one() -> House:
        async with House(lines, read(name)) as world:
            stage = world.call(script=None)
            due = 5.0
            for wait, act in acts:
                due += wait
                world.later(due, lambda act=act: stage.channel.do(act))  # type: ignore[misc]
            world.later(due + 900, lambda: stage.channel.do(HangUpAct()))
            await world.end()
            world.nothing_left()
        return world

    world = asyncio.run(one())
    obedient(world)
    kept(world)
    (row,) = world.rows()
    assert row.problem == ""
    (stage,) = world.stages.values()
    assert heard(stage)


@RARE
@given(st.dictionaries(st.sampled_from(["callerid", "calleridname", "dnid", "rdnis"]), TEXT))
@example({"callerid": "\n"})
@example({"callerid": "\nagi_arg_1: 1004\n\n"})
def test_no_field_of_the_handshake_becomes_a_second_one(fields: dict[str, str]) -> None:
    """A line that is none gives the session up; so does what comes after an end too soon."""
    wire = Wire()
    facts = wire.receive(handshake(**fields))
    if wire.state is State.ENDED:
        assert isinstance(facts[-1], End)
        assert isinstance(facts[-1].why, Garbled)
    else:
        assert isinstance(facts[-1], Ready)
        assert wire.environment["arg_1"] == "1001"
        assert wire.environment["channel"] == "PJSIP/caller-ffffffff"


@settings(RARE, max_examples=300)
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_one_command_is_one_line_or_none(values: list[str]) -> None:
    try:
        line = encode("SET VARIABLE", *values)
    except agi.UnsafeArgument:
        size = sum(len(value.encode("utf-8", "surrogateescape")) for value in values)
        assert size > LINE_LIMIT / 2 or any(set(value) & set("\n\r\0") for value in values)
        return
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line
    assert b"\0" not in line


@settings(RARE, max_examples=300)
@given(TEXT)
def test_a_value_is_never_taken_for_a_reply_of_another_kind(value: str) -> None:
    assume("\n" not in value)
    reply = parse("GET VARIABLE", f"200 result=1 ({value})")
    assert reply is not None
    assert (reply.data, reply.left, reply.digit) == (value, False, "")


@RARE
@given(TEXT)
def test_no_log_shows_more_than_the_last_four_digits(caller: str) -> None:
    shown = redact.mask(caller)
    assert len(shown) == len(caller)
    assert shown[: max(0, len(caller) - 4)] == "*" * max(0, len(caller) - 4)


# ---------------------------------------------------------------- the back door


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@RARE
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            JSON.map(lambda value: json.dumps(value).encode()),
            st.fixed_dictionaries(
                {"ask": st.sampled_from(["live", "hangup", "maintenance", "watch"])},
                optional={"call": JSON, "lines": JSON, "on": JSON},
            ).map(lambda value: json.dumps(value).encode()),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_control_socket_survives_whatever_it_is_asked(
    lines: Hotlines, asked: list[bytes]
) -> None:
    async def one(folder: Path) -> None:
        async with House(lines, read("xjca-silent")) as world:
            back_door = control.Control(world.service, folder / "control.sock")
            await back_door.listen()
            before = asyncio.all_tasks()
            for request in asked:
                _, writer = await asyncio.open_unix_connection(str(folder / "control.sock"))
                writer.write(request + b"\n")
                writer.write_eof()
                await asyncio.sleep(0)
                writer.close()
                await writer.wait_closed()
            assert [row async for row in control.ask(folder / "control.sock", {"ask": "live"})]
            for _ in range(20):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() - before == set()
            await back_door.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(one(Path(folder)))


async def test_asking_what_is_under_maintenance_changes_nothing(
    lines: Hotlines, tmp_path: Path
) -> None:
    async with House(lines, read("xjca-silent")) as world:
        back_door = control.Control(world.service, tmp_path / "control.sock")
        await back_door.listen()

        async def ask(**more: object) -> list[str]:
            asked = {"ask": "maintenance", **more}
            (answer,) = [one async for one in control.ask(tmp_path / "control.sock", asked)]
            return list(answer["maintenance"])

        assert await ask() == []
        assert await ask(on=True, lines=["xjca"]) == ["xjca"]
        assert await ask() == ["xjca"]
        assert await ask(on=False) == []
        await back_door.close()


async def test_a_handshake_with_a_line_break_in_a_name_is_not_another_call(lines: Hotlines) -> None:
    """What would reach another line, if a name could bring an argument along."""
    async with House(lines, read("xjca-silent")) as world:
        stranger = await peer(
            world, handshake(number="9999", calleridname="x\nagi_arg_1: 1001"), end=True
        )
        await world.clock.run_for(6)
        assert await stranger.gone() == b""
        assert world.journal.calls() == {}
