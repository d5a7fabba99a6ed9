"""The fake Asterisk does what Asterisk 22 was seen to do: hanging up, and what the caller hears."""

from __future__ import annotations

import asyncio

import pytest
from faked import KEYS, SOUNDS, kinds, ring_doorbell
from transcript import Do, Interrupt, Pause

from ivr.fake import FakeAsterisk
from ivr.fake_ears import Heard
from ivr.scenario import HangUpAct, Press, Step
from ivr.scripted_caller import ScriptedCaller

# ---------------------------------------------------------------- hanging up


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ('STREAM FILE /s/one ""', "200 result=-1 endpos=8000"),
        ("WAIT FOR DIGIT 5000", "200 result=-1"),
        ("GET DATA /s/one 1000 5", "200 result=-1"),
        ("EXEC Wait 5", "200 result=-1"),
        ("EXEC Playback /s/one", "200 result=-1"),
        ('RECORD FILE m wav "" 5000', "200 result=-1 (hangup) endpos=8000"),
    ],
)
async def test_hangup_during_a_command_is_minus_one_and_the_line_comes_with_the_next(
    play, command, reply
):
    said = await play(command, Pause(1.0), "NOOP", "NOOP", caller=[(1.0, HangUpAct())])
    assert said.heard[1:] == [reply, "HANGUP", "200 result=0", "200 result=0", "EOF"]
    assert said.at(f"<< {reply}") == 1.0
    assert said.at("<< HANGUP") == 2.0
    assert play.side.channel.ended_by == "caller"
    assert play.side.channel.status == "HANGUP"


async def test_hangup_while_idle_is_told_at_once(play):
    said = await play(Pause(2.0), "NOOP", caller=[(1.0, HangUpAct())])
    assert said.heard[1:] == ["HANGUP", "200 result=0", "EOF"]
    assert said.at("<< HANGUP") == 1.0


async def test_on_a_dead_channel_media_commands_are_511_and_others_work(play):
    dead = ["STREAM FILE /s/one 1", "WAIT FOR DIGIT 1", "ANSWER", "HANGUP", "CHANNEL STATUS"]
    alive = ["NOOP", "GET VARIABLE X", "SET VARIABLE X 1", "VERBOSE hi 1", "DATABASE PUT a b c"]
    said = await play(
        Pause(1.0), *dead, *alive, "EXEC NoOp", "EXEC Wait 1", caller=[(0.5, HangUpAct())]
    )
    refused = "511 Command Not Permitted on a dead channel or intercept routine"
    assert said.heard[2:7] == [refused] * 5
    assert [line[:3] for line in said.heard[7:12]] == ["200"] * 5
    assert said.heard[12:14] == ["200 result=0", "200 result=-1"]


async def test_with_exit_on_hangup_asterisk_leaves_and_says_so_twice(play):
    said = await play(
        Pause(5.0),
        "NOOP",
        caller=[(1.0, HangUpAct())],
        variables={"AGIEXITONHANGUP": "yes"},
    )
    assert said.heard[1:] == ["HANGUP", "HANGUP", "EOF"]
    assert said.at("<< EOF") == 1.0


async def test_with_exit_on_hangup_the_running_command_still_has_its_reply(play):
    said = await play(
        "WAIT FOR DIGIT 5000",
        caller=[(1.0, HangUpAct())],
        variables={"AGIEXITONHANGUP": "yes"},
    )
    assert said.heard[1:] == ["200 result=-1", "HANGUP", "HANGUP", "EOF"]


async def test_without_the_signal_there_is_no_hangup_line(play):
    said = await play(
        "WAIT FOR DIGIT 5000", "NOOP", caller=[(1.0, HangUpAct())], variables={"AGISIGHUP": "no"}
    )
    assert said.heard[1:] == ["200 result=-1", "200 result=0", "EOF"]


async def test_our_own_hangup_is_answered_and_then_told_like_any(play):
    said = await play("HANGUP", "NOOP", variables={"AGIEXITONHANGUP": "yes"})
    assert said.heard[1:] == ["200 result=1", "HANGUP", "HANGUP", "EOF"]
    assert play.side.channel.ended_by == "us"
    assert kinds(play.side)[-1] == (0.0, "hung up", "")


async def test_the_line_comes_at_the_end_of_every_session(clock):
    """A service that closes only its own direction still reads it."""
    read: list[bytes] = []

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n\n")
        writer.write(b'SET VARIABLE SANSHENG_DONE "1"\n')
        await reader.readline()
        writer.write_eof()
        read.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(service, "127.0.0.1", 0)
    fake = FakeAsterisk(clock, server.sockets[0].getsockname(), seconds=SOUNDS.get)
    channel = fake.place_call("1")
    await clock.run(lambda: bool(read) and not fake.channels)
    assert read == [b"HANGUP\n"]
    assert channel.ended_by == "us"
    assert channel.status == "SUCCESS"
    await fake.close()
    server.close()


async def test_a_script_that_ends_without_its_mark_leaves_the_caller_to_the_dialplan(play):
    await play(Interrupt('STREAM FILE /s/one ""', 1.0, "NOOP"))
    assert play.side.channel.ended_by == "dialplan"
    assert play.side.channel.status == "SUCCESS"
    assert kinds(play.side)[-1] == (1.0, "fallback", "")


async def test_without_a_service_the_dialplan_takes_the_call(clock):
    fake = FakeAsterisk(clock, ("127.0.0.1", 1), seconds=SOUNDS.get)
    channel = fake.place_call("1")
    await clock.run(lambda: channel.over)
    assert (channel.ended_by, channel.status) == ("dialplan", "FAILURE")
    await fake.close()


async def test_the_absolute_timeout_frees_the_call(play):
    said = await play(
        'SET VARIABLE "TIMEOUT(absolute)" 5',
        "WAIT FOR DIGIT 9000",
        variables={"AGIEXITONHANGUP": "yes"},
        absolute=8.0,
    )
    assert said.heard[1:] == ["200 result=1", "200 result=-1", "HANGUP", "HANGUP", "EOF"]
    assert said.at("<< EOF") == 5.0
    assert play.side.channel.ended_by == "dialplan"
    assert kinds(play.side)[-1] == (5.0, "fallback", "")


async def test_the_absolute_timeout_can_be_taken_off_and_asked(play):
    said = await play(
        Pause(2.0),
        'GET VARIABLE "TIMEOUT(absolute)"',
        'SET VARIABLE "TIMEOUT(absolute)" 0',
        "WAIT FOR DIGIT 60000",
        absolute=8.0,
    )
    assert said.heard[1] == "200 result=1 (6.000)"
    assert said.heard[3] == "200 result=0"


# ---------------------------------------------------------------- music and silence


async def test_music_stops_for_a_file_and_does_not_come_back_by_itself(play):
    await play(
        "SET MUSIC ON default",
        "WAIT FOR DIGIT 30000",
        'STREAM FILE /s/two ""',
        "WAIT FOR DIGIT 1000",
        "SET MUSIC ON default",
        "WAIT FOR DIGIT 2000",
        "SET MUSIC OFF",
    )
    assert kinds(play.side)[1:] == [
        (0.0, "music", "default"),
        (30.0, "music off", ""),
        (30.0, "began", "two"),
        (31.5, "ended", "two"),
        (31.5, "silence", ""),
        (32.5, "music", "default"),
        (34.5, "music off", ""),
        (34.5, "fallback", ""),
    ]


async def test_silence_is_told_with_its_length(play):
    await play('STREAM FILE /s/two ""', "WAIT FOR DIGIT 2000", 'STREAM FILE /s/two ""')
    assert Heard(1.5, "silence", "", 2.0) in play.side.channel.ears.heard


async def test_the_parts_of_a_prompt_are_one_prompt(play):
    await play(
        'STREAM FILE /s/part.0 ""',
        'STREAM FILE /s/digit ""',
        'STREAM FILE /s/digit ""',
        'STREAM FILE /s/part.1 ""',
        'STREAM FILE /s/part.0 ""',
        'STREAM FILE /s/digit ""',
        "WAIT FOR DIGIT 500",
    )
    assert kinds(play.side)[1:5] == [
        (0.0, "began", "number"),
        (3.0, "ended", "number"),
        (3.0, "began", "number"),
        (4.5, "ended", "number"),
    ]


async def test_a_prompt_that_is_taken_up_again_where_it_was_cut_was_never_over(play):
    await play(
        Do(lambda: ring_doorbell(play, 1.0)),
        f"STREAM FILE /s/one {KEYS}",
        "GET VARIABLE X",
        f"STREAM FILE /s/one {KEYS} 8000",
    )
    assert kinds(play.side)[1:] == [
        (0.0, "began", "one"),
        (1.0, "resumed", "one"),
        (3.0, "ended", "one"),
        (3.0, "fallback", ""),
    ]


async def test_a_cut_prompt_is_over_even_if_no_command_follows(play):
    caller = ScriptedCaller([Step("one", False, 0.3, Press("7"))])
    said = await play(
        f"STREAM FILE /s/one {KEYS}",
        Pause(0.2),
        "WAIT FOR DIGIT 2000",
        caller=[(1.0, Press("5"))],
        script=caller,
    )
    assert said.at("<< 200 result=55") == 1.5
