"""The fake Asterisk does what Asterisk 22 was seen to do: one test for each thing measured."""

from __future__ import annotations

import asyncio
import hashlib
import wave
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import uvloop
from asterisk.manager import Manager
from transcript import Do, Interrupt, Pause, Transcript, transcript

from ivr.clock import Stuck, SystemClock, VirtualClock
from ivr.fake import FakeAsterisk
from ivr.fake_agi import arguments
from ivr.fake_ami import Account
from ivr.fake_ears import Heard
from ivr.fake_sound import Uttered
from ivr.scenario import HangUpAct, Hum, OpsHangUp, Press, ScriptedCaller, Speak, Step
from ivr.sound import quality
from ivr.sound import read as read_sound

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SOUNDS = {"/s/one": 3.0, "/s/two": 1.5, "/s/part.0": 1.0, "/s/digit": 0.5, "/s/part.1": 1.0}
NAMES = {
    "/s/one": ("one", True, True),
    "/s/two": ("two", True, True),
    "/s/part.0": ("number", True, False),
    "/s/digit": ("", False, False),
    "/s/part.1": ("number", False, True),
}
KEYS = "0123456789*#D"
LAB = {"lab": Account("lab")}


class FakeSide:
    """The fake in virtual time; the keyword arguments are those of `place_call`."""

    def __init__(self, clock, spool=None, system="", **call):
        self.clock = clock
        self.options = {"spool": spool, "system": system, "seconds": SOUNDS.get}
        self.call = {"variables": {}, "absolute": 0.0, "name_of": NAMES.get} | call

    async def ring(self, port: int) -> None:
        self.fake = FakeAsterisk(self.clock, ("127.0.0.1", port), accounts=LAB, **self.options)
        self.ami = await self.fake.listen()
        self.channel = self.fake.place_call("11185", "13800138000", **self.call)

    def act(self, act) -> None:
        self.channel.do(act)

    async def until(self, done: Callable[[], bool]) -> None:
        await self.clock.run(lambda: done() and not self.fake.channels)
        await self.fake.close()


@pytest.fixture
def clock():
    clock = VirtualClock(START, patience=5.0)
    yield clock
    clock.close()


@pytest.fixture
def play(clock):
    """Plays steps against the fake; the side is kept in `play.side`."""

    async def play(*steps, caller=(), answer=True, **options) -> Transcript:
        play.side = FakeSide(clock, **options)
        first = ["ANSWER"] if answer else []
        return await transcript(play.side, [*first, *steps], caller)

    return play


def kinds(side: FakeSide) -> list[tuple[float, str, str]]:
    """What was heard, without files: time, kind, name."""
    return [(h.at, h.kind, h.name) for h in side.channel.ears.heard if h.kind != "file"]


# ---------------------------------------------------------------- the handshake


async def test_asterisk_begins_with_what_it_knows_about_the_call(play):
    said = await play(rung=15.0)
    names = [line.partition(":")[0] for line in said.environment]
    assert names[:7] == [
        "agi_network",
        "agi_network_script",
        "agi_request",
        "agi_channel",
        "agi_language",
        "agi_type",
        "agi_uniqueid",
    ]
    values = dict(line.split(": ", 1) for line in said.environment if ": " in line)
    assert values["agi_network_script"] == "call"
    assert values["agi_callerid"] == "13800138000"
    assert values["agi_dnid"] == values["agi_extension"] == values["agi_arg_1"] == "11185"
    assert values["agi_arg_2"] == f"{START.timestamp() - 15:.6f}"
    assert values["agi_uniqueid"] == f"{START.timestamp():.0f}.1"


async def test_the_system_name_stands_before_the_unique_id(play):
    said = await play(system="box")
    assert any(line.startswith("agi_uniqueid: box-") for line in said.environment)


async def test_a_withheld_number_is_unknown(clock):
    side = FakeSide(clock)
    ring = side.ring

    async def withheld(port: int) -> None:
        await ring(port)
        side.channel.caller = ""

    side.ring = withheld
    said = await transcript(side, [])
    assert "agi_callerid: unknown" in said.environment


# ---------------------------------------------------------------- words and replies


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("NOOP", ["NOOP"]),
        ('SET VARIABLE "A B" "x"', ["SET", "VARIABLE", "A B", "x"]),
        (r'SET VARIABLE A "say \"hi\" \\ now"', ["SET", "VARIABLE", "A", 'say "hi" \\ now']),
        ('STREAM FILE /s/one ""', ["STREAM", "FILE", "/s/one", ""]),
        ('NOOP "never closed', ["NOOP", "never closed"]),
    ],
)
def test_a_line_is_taken_apart_as_asterisk_does(line, words):
    assert arguments(line) == words


async def test_unknown_commands_are_510_and_wrong_arguments_520_with_the_usage(play):
    said = await play("NO SUCH", "STREAM FILE /s/one", "WAIT FOR DIGIT soon", "noop")
    assert said.heard[1:] == [
        "510 Invalid or unknown command",
        "520-Invalid command syntax.  Proper usage follows:",
        "Usage: STREAM FILE",
        "520 End of proper usage.",
        "520-Invalid command syntax.  Proper usage follows:",
        "Usage: WAIT FOR DIGIT",
        "520 End of proper usage.",
        "200 result=0",
        "EOF",
    ]


async def test_an_unknown_application_is_minus_two(play):
    assert (await play("EXEC NoSuchApp")).heard[1] == "200 result=-2"


async def test_variables_come_back_as_they_were_set(play):
    said = await play(
        "GET VARIABLE NAME",
        r'SET VARIABLE NAME "王 (\"hangup\")"',
        "GET VARIABLE NAME",
        'GET FULL VARIABLE "<${NAME}> ${CHANNEL(language)} ${NOT_SET}|"',
        'SET VARIABLE A "${B}"',
        'GET FULL VARIABLE "${A}"',
        'EXEC Set "C=1,2"',
        "GET VARIABLE C",
    )
    assert said.heard[1:] == [
        "200 result=0",
        "200 result=1",
        '200 result=1 (王 ("hangup"))',
        '200 result=1 (<王 ("hangup")> en |)',
        "200 result=1",
        "200 result=1 (${B})",
        "200 result=0",
        "200 result=1 (1,2)",
        "EOF",
    ]


async def test_bytes_that_are_no_text_survive(play):
    said = await play('SET VARIABLE N "\udcff\udc80"', "GET VARIABLE N")
    assert said.heard[2] == "200 result=1 (\udcff\udc80)"


async def test_the_database_keeps_values(play):
    said = await play(
        "DATABASE PUT f k v",
        "DATABASE GET f k",
        'GET VARIABLE "DB(f/k)"',
        "DATABASE DEL f k",
        "DATABASE DEL f k",
        "DATABASE GET f k",
    )
    assert said.heard[1:7] == [
        "200 result=1",
        "200 result=1 (v)",
        "200 result=1 (v)",
        "200 result=1",
        "200 result=0",
        "200 result=0",
    ]


async def test_a_line_longer_than_asterisks_buffer_becomes_two_commands(play):
    said = await play(Interrupt("NOOP " + "x" * 2042 + "HANGUP", 0.0, "NOOP", replies=3))
    assert said.heard[1:4] == ["200 result=0", "200 result=1", "HANGUP"]


async def test_ring_clock_is_one_variable(play):
    said = await play(
        'GET VARIABLE "CDR(duration,f)"',
        'GET VARIABLE "CDR(start,u)"',
        "EXEC Wait 2.5",
        'GET VARIABLE "CDR(duration,f)"',
        answer=False,
        rung=5.0,
    )
    assert said.heard[0] == "200 result=1 (5.000000)"
    assert said.heard[1] == f"200 result=1 ({START.timestamp() - 5:.6f})"
    assert said.heard[3] == "200 result=1 (7.500000)"


# ---------------------------------------------------------------- ringing and answering


async def test_ringing_status_is_four_and_answered_six(play):
    said = await play(
        "EXEC Ringing", "CHANNEL STATUS", "EXEC Wait 2.5", "ANSWER", "CHANNEL STATUS", answer=False
    )
    assert [line for line in said.heard if line[-1] in "46"] == ["200 result=4", "200 result=6"]
    assert kinds(play.side) == [(0.0, "ringing", ""), (2.5, "answered", ""), (2.5, "fallback", "")]


async def test_before_the_answer_a_file_takes_its_time_and_nobody_hears_it(play):
    said = await play('STREAM FILE /s/one ""', "ANSWER", answer=False)
    assert said.lines[1].at == 3.0
    assert play.side.channel.ears.prompts == []


async def test_with_early_media_it_is_heard_before_the_answer(play):
    await play("EXEC Progress", 'STREAM FILE /s/one ""', answer=False)
    assert play.side.channel.ears.prompts == ["one"]


async def test_playback_answers_unless_told_not_to(play):
    said = await play(
        "EXEC Playback /s/two,noanswer",
        "CHANNEL STATUS",
        'EXEC Playback "/s/two&/s/none"',
        "CHANNEL STATUS",
        "GET VARIABLE PLAYBACKSTATUS",
        answer=False,
    )
    assert said.heard[:5] == [
        "200 result=0",
        "200 result=4",
        "200 result=0",
        "200 result=6",
        "200 result=1 (FAILED)",
    ]


# ---------------------------------------------------------------- playing, waiting, keys


async def test_a_file_takes_its_time_and_ends_at_its_last_sample(play):
    said = await play('STREAM FILE /s/one ""', "STREAM FILE /s/one 1 8000")
    assert said.heard[1:3] == ["200 result=0 endpos=24000"] * 2
    assert [line.at for line in said.lines[3:6:2]] == [3.0, 5.0]


async def test_a_missing_file_looks_like_a_hangup_but_the_channel_lives(play):
    said = await play('STREAM FILE /s/none ""', "CHANNEL STATUS", "GET DATA /s/none")
    assert said.heard[1:4] == ["200 result=-1 endpos=0", "200 result=6", "200 result=-1"]
    assert (0.0, "missing", "/s/none") in kinds(play.side)


async def test_a_key_among_the_escape_digits_cuts_a_file(play):
    said = await play(f"STREAM FILE /s/one {KEYS}", caller=[(1.0, Press("5"))])
    assert said.heard[1] == "200 result=53 endpos=8800"
    assert said.at("<< 200 result=53 endpos=8800") == 1.1
    assert (1.1, "cut", "one") in kinds(play.side)


async def test_a_key_that_is_no_escape_digit_is_lost(play):
    said = await play('STREAM FILE /s/one "12"', "WAIT FOR DIGIT 500", caller=[(1.0, Press("5"))])
    assert said.heard[1:3] == ["200 result=0 endpos=24000", "200 result=0"]
    assert play.side.channel.lost == ["5"]


async def test_wait_for_digit_takes_any_key_or_ends_on_time(play):
    said = await play("WAIT FOR DIGIT 2000", "WAIT FOR DIGIT 2000", caller=[(1.0, Press("#"))])
    assert said.heard[1:3] == ["200 result=35", "200 result=0"]
    assert said.at("<< 200 result=0") == 3.1


async def test_a_wait_without_end_waits_until_a_key(play):
    said = await play("WAIT FOR DIGIT -1", caller=[(500.0, Press("1"))])
    assert said.at("<< 200 result=49") == 500.1


async def test_two_keys_are_heard_by_two_waits(play):
    said = await play(
        "WAIT FOR DIGIT 2000",
        "WAIT FOR DIGIT 2000",
        caller=[(1.0, Press("1")), (1.25, Press("2"))],
    )
    assert said.heard[1:3] == ["200 result=49", "200 result=50"]


async def test_keys_while_no_command_runs_are_lost_also_under_music(play):
    said = await play(
        "SET MUSIC ON default", Pause(2.0), "WAIT FOR DIGIT 500", caller=[(1.0, Press("1"))]
    )
    assert said.heard[1:3] == ["200 result=0", "200 result=0"]
    assert play.side.channel.lost == ["1"]


async def test_keys_during_exec_are_lost(play):
    said = await play("EXEC Wait 2", "WAIT FOR DIGIT 500", caller=[(1.0, Press("1"))])
    assert said.heard[1:3] == ["200 result=0", "200 result=0"]


async def test_get_data_collects_until_time_the_key_or_the_number(play):
    said = await play(
        "GET DATA /s/two 2000 5",
        "GET DATA /s/two 2000 5",
        "GET DATA /s/two 2000 2",
        caller=[(0.5, Press("1")), (5.0, Press("#")), (7.0, Press("2")), (7.3, Press("3"))],
    )
    assert said.heard[1:4] == ["200 result=1 (timeout)", "200 result=", "200 result=23"]


async def test_a_new_command_ends_a_file_which_then_has_no_reply(play):
    said = await play(Interrupt('STREAM FILE /s/one ""', 1.0, "NOOP"))
    assert said.heard[1:] == ["200 result=0", "EOF"]
    assert [h.kind for h in play.side.channel.ears.heard if h.at == 1.0][:1] == ["cut"]


async def test_a_new_command_ends_get_data_without_reply(play):
    said = await play(Interrupt("GET DATA /s/one 2000 5", 1.0, "CHANNEL STATUS"))
    assert said.heard[1:] == ["200 result=6", "EOF"]


async def test_a_new_command_ends_a_wait_which_says_one(play):
    said = await play(Interrupt("WAIT FOR DIGIT 5000", 1.0, "CHANNEL STATUS", replies=2))
    assert said.heard[1:] == ["200 result=1", "200 result=6", "EOF"]
    assert said.at("<< 200 result=6") == 1.0


@pytest.mark.parametrize(
    ("first", "reply"),
    [
        ("EXEC Wait 2", "200 result=0"),
        ("EXEC Playback /s/two", "200 result=0"),
        ('RECORD FILE m wav "" 2000', "200 result=0 (timeout) endpos=16000"),
    ],
)
async def test_a_new_command_waits_for_the_end_of_all_others(play, first, reply):
    said = await play(Interrupt(first, 1.0, "CHANNEL STATUS", replies=2))
    assert said.heard[1:] == [reply, "200 result=6", "EOF"]


# ---------------------------------------------------------------- the doorbell


def ring_doorbell(play, at: float, digit: str = "D"):
    """Rings the doorbell `at` seconds from now, as the manager would."""
    play.side.clock.call_later(at, lambda: play.side.channel.doorbell(digit))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (f"STREAM FILE /s/one {KEYS}", "200 result=68 endpos=8000"),
        ("WAIT FOR DIGIT 5000", "200 result=68"),
        (f"RECORD FILE m wav {KEYS} 5000", "200 result=68 (dtmf) endpos=8000"),
    ],
)
async def test_the_doorbell_wakes_what_listens_for_keys_at_once(play, command, reply):
    said = await play(Do(lambda: ring_doorbell(play, 1.0)), command)
    assert said.heard[1] == reply
    assert said.at(f"<< {reply}") == 1.0


async def test_in_get_data_the_doorbell_becomes_a_digit(play):
    said = await play(Do(lambda: ring_doorbell(play, 1.0)), "GET DATA /s/two 1000 5")
    assert said.heard[1] == "200 result=D (timeout)"


@pytest.mark.parametrize("command", ['STREAM FILE /s/one "12"', "EXEC Wait 3"])
async def test_who_does_not_listen_for_it_does_not_hear_the_doorbell(play, command):
    said = await play(Do(lambda: ring_doorbell(play, 1.0)), command, "WAIT FOR DIGIT 500")
    assert said.heard[2] == "200 result=0"


async def test_a_doorbell_fifty_ms_before_a_command_ends_it(play):
    said = await play(
        Do(lambda: ring_doorbell(play, 0.0)), Pause(0.05), f"STREAM FILE /s/one {KEYS}"
    )
    assert said.heard[1] == "200 result=68 endpos=240"


async def test_a_doorbell_a_hundred_ms_before_a_command_is_lost(play):
    said = await play(Do(lambda: ring_doorbell(play, 0.0)), Pause(0.1), "WAIT FOR DIGIT 500")
    assert said.heard[1] == "200 result=0"


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


# ---------------------------------------------------------------- the voice


class Events:
    """What the manager would be told."""

    def __init__(self, play):
        self.all: list[tuple[float, str, str]] = []
        side = play.side

        def event(name, channel, extra):
            self.all.append((side.clock.now(), name, extra.get("Duration", "")))

        side.fake.ami.event = event


async def test_a_voice_is_told_when_it_begins_and_160_ms_after_it_ends(play):
    seen: list[Events] = []
    await play(
        Do(lambda: seen.append(Events(play))),
        'SET VARIABLE "TALK_DETECT(set)" "160,256"',
        "WAIT FOR DIGIT 5000",
        caller=[(1.0, Speak(0.5)), (2.0, Speak(0.02)), (3.0, Hum(1.0)), (4.9, Speak(1.0))],
    )
    talking = [event for event in seen[0].all if event[1].startswith("ChannelTalking")]
    assert talking == [
        (1.0, "ChannelTalkingStart", ""),
        (1.66, "ChannelTalkingStop", "500"),
        (2.0, "ChannelTalkingStart", ""),
        (2.18, "ChannelTalkingStop", "20"),
        (4.9, "ChannelTalkingStart", ""),
    ]


async def test_a_pause_shorter_than_the_threshold_does_not_end_a_voice(play):
    seen: list[Events] = []
    await play(
        Do(lambda: seen.append(Events(play))),
        'SET VARIABLE "TALK_DETECT(set)" "160,256"',
        "WAIT FOR DIGIT 5000",
        caller=[(1.0, Speak(0.5)), (1.6, Speak(0.5))],
    )
    talking = [event for event in seen[0].all if event[1].startswith("ChannelTalking")]
    assert [event[::2] for event in talking] == [(1.0, ""), (2.26, "1100")]


async def test_without_talk_detect_or_after_its_removal_nobody_is_told(play):
    seen: list[Events] = []
    await play(
        Do(lambda: seen.append(Events(play))),
        "WAIT FOR DIGIT 2000",
        'SET VARIABLE "TALK_DETECT(set)" "160,256"',
        'SET VARIABLE "TALK_DETECT(remove)" ""',
        "WAIT FOR DIGIT 2000",
        caller=[(1.0, Speak(0.5)), (3.0, Speak(0.5))],
    )
    assert [event[1] for event in seen[0].all] == ["Hangup"]


async def test_background_detect_hears_a_voice_only_at_its_end(play):
    said = await play(
        "EXEC BackgroundDetect /s/one,40,60",
        "GET VARIABLE TALK_DETECTED",
        "EXEC BackgroundDetect /s/one,40,60",
        caller=[(1.0, Speak(0.56)), (1.7, Press("4"))],
    )
    assert said.at(">> GET VARIABLE TALK_DETECTED") == pytest.approx(1.6)
    assert said.heard[1:4] == ["200 result=0", "200 result=1 (560)", "200 result=52"]


async def test_background_detect_misses_a_voice_still_speaking_at_the_end(play):
    said = await play(
        "EXEC BackgroundDetect /s/two,40,60",
        "GET VARIABLE TALK_DETECTED",
        "EXEC BackgroundDetect /s/none,40,60",
        caller=[(1.0, Speak(5.0))],
    )
    assert said.heard[1:4] == ["200 result=0"] * 3
    assert said.lines[3].at == 1.5


# ---------------------------------------------------------------- recording


def recorded(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        return memoryview(file.readframes(file.getnframes())).cast("h")


async def test_a_recording_ends_by_time_and_holds_what_was_said(play, tmp_path):
    said = await play(
        f'RECORD FILE "{tmp_path}/m" wav "#" 4000 BEEP', caller=[(1.0, Speak(1.0))], spool=tmp_path
    )
    assert said.heard[1] == "200 result=0 (timeout) endpos=32000"
    samples = recorded(tmp_path / "m.wav")
    assert len(samples) == 32000
    assert max(samples[:8000]) == 0
    assert max(samples[8000:16000]) > 3000
    assert max(samples[16000:]) == 0
    assert (0.0, "beep", "") in kinds(play.side)


async def test_a_recording_ends_by_key_and_by_hanging_up(play, tmp_path):
    said = await play(
        'RECORD FILE a wav "#" 9000',
        'RECORD FILE b wav "#" 9000',
        caller=[(0.5, Press("1")), (1.0, Press("#")), (3.1, HangUpAct())],
        spool=tmp_path,
    )
    assert said.heard[1:3] == [
        "200 result=35 (dtmf) endpos=8800",
        "200 result=-1 (hangup) endpos=16000",
    ]
    assert len(recorded(tmp_path / "b.wav")) == 16000


async def test_a_recording_ends_by_silence_and_says_the_milliseconds_left(play):
    said = await play('RECORD FILE m wav "#" 10000 s=2', caller=[(1.0, Speak(3.0))])
    assert said.heard[1] == "200 result=4000 (timeout) endpos=48000"


async def test_without_rtp_silence_does_not_end_a_recording(play):
    said = await play('RECORD FILE m wav "#" 5000 s=2', rtp=False)
    assert said.heard[1] == "200 result=0 (timeout) endpos=40000"


@pytest.mark.parametrize("wanted", ["fine", "quiet", "noisy", "clipped", "silent"])
async def test_a_recording_is_worth_what_the_caller_made_of_it(play, tmp_path, wanted):
    def speak() -> None:
        if wanted != "silent":
            play.side.clock.call_later(1.0, lambda: play.side.channel.speak(3.0, wanted))

    await play(Do(speak), 'RECORD FILE m wav "#" 5000', spool=tmp_path)
    assert quality(read_sound(tmp_path / "m.wav")) == wanted


async def test_a_voice_that_began_before_the_recording_is_cut_off(play, tmp_path):
    await play(Pause(1.0), 'RECORD FILE m wav "#" 3000', caller=[(0.0, Speak(2.0))], spool=tmp_path)
    samples = recorded(tmp_path / "m.wav")
    assert max(samples[:8000]) > 3000
    assert max(samples[8000:]) == 0


async def test_nothing_is_written_outside_the_spool(play, tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    await play(f'RECORD FILE "{tmp_path}/m" wav "#" 1000', spool=spool)
    await play('RECORD FILE "../m" wav "#" 1000', spool=spool)
    assert list(tmp_path.rglob("*.wav")) == []


# ---------------------------------------------------------------- scripted callers


async def test_a_scripted_caller_acts_on_what_is_heard(play):
    caller = ScriptedCaller(
        [
            Step("one", True, 0.5, Press("2")),
            Step("two", False, 1.0, Speak(0.5)),
            Step("two", True, 0.5, HangUpAct()),
        ]
    )
    said = await play(
        f"STREAM FILE /s/one {KEYS}",
        'STREAM FILE /s/two ""',
        "WAIT FOR DIGIT 2000",
        'STREAM FILE /s/two ""',
        script=caller,
    )
    assert said.heard[1:5] == [
        "200 result=50 endpos=4800",
        "200 result=0 endpos=12000",
        "200 result=0",
        "200 result=-1 endpos=4000",
    ]
    assert play.side.channel.voices == [Uttered(pytest.approx(3.1), pytest.approx(3.6))]
    assert play.side.channel.ears.prompts == ["one", "two", "two"]
    assert [kind for _, kind, _ in kinds(play.side)][-3:] == ["began", "cut", "left"]


async def test_what_only_ops_or_an_analyst_can_know_is_handed_over(play):
    told: list[object] = []
    caller = ScriptedCaller(
        [Step("one", False, 0.3, Hum(2.0)), Step("two", False, 0.3, OpsHangUp())]
    )
    await play(
        'STREAM FILE /s/one ""',
        'STREAM FILE /s/two ""',
        "WAIT FOR DIGIT 1000",
        script=caller,
        on_hum=lambda channel, seconds: told.append(seconds),
        on_ops=lambda channel: told.append(channel.number),
    )
    assert told == [2.0, "11185"]


# ---------------------------------------------------------------- the manager


class AmiClient(asyncio.Protocol):
    """A manager client without threads; `events_seen` and `pending` are what the fake watches."""

    def __init__(self):
        self.packets: list[dict[str, str]] = []
        self.greeting = ""
        self.pending = 0
        self.events_seen = 0
        self.closed = False
        self._buffer = ""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.closed = True

    def data_received(self, data):
        self._buffer += data.decode()
        if not self.greeting:
            self.greeting, _, self._buffer = self._buffer.partition("\r\n")
        *packets, self._buffer = self._buffer.split("\r\n\r\n")
        for packet in packets:
            fields = dict(line.split(": ", 1) for line in packet.split("\r\n") if ": " in line)
            self.packets.append(fields)
            if "Event" in fields:
                self.events_seen += 1
            else:
                self.pending -= 1

    def action(self, name, **headers):
        self.pending += 1
        lines = [f"Action: {name}", *(f"{key}: {value}" for key, value in headers.items())]
        self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    @property
    def events(self):
        return [packet for packet in self.packets if "Event" in packet]


@pytest.fixture
async def ami(clock):
    """A fake without a service, and clients of its manager interface."""
    fake = FakeAsterisk(
        clock,
        ("127.0.0.1", 1),
        seconds=SOUNDS.get,
        accounts={"lab": Account("lab"), "all": Account("x", frozenset(), None)},
    )
    port = await fake.listen()

    async def client(user="lab", secret="lab"):
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(AmiClient, "127.0.0.1", port)
        fake.watch(made)
        if user:
            made.action("Login", ActionID="1", Username=user, Secret=secret)
        await clock.settle()
        return made

    client.fake = fake
    client.port = port
    yield client
    await fake.close()


async def test_login_ping_and_logoff(ami, clock):
    client = await ami()
    assert client.greeting.startswith("Asterisk Call Manager/")
    assert client.packets[-1] == {
        "Response": "Success",
        "ActionID": "1",
        "Message": "Authentication accepted",
    }
    client.action("Ping", ActionID="2")
    await clock.settle()
    assert client.packets[-1]["Ping"] == "Pong"
    assert client.packets[-1]["ActionID"] == "2"
    client.action("Logoff")
    await clock.settle()
    assert client.packets[-1]["Response"] == "Goodbye"
    assert client.closed


async def test_a_wrong_secret_is_refused_and_the_connection_closed(ami):
    client = await ami(secret="wrong")
    assert client.packets[-1]["Message"] == "Authentication failed"
    assert client.closed


async def test_login_by_challenge(ami, clock):
    client = await ami(user="")
    client.action("Challenge", AuthType="MD5")
    await clock.settle()
    key = hashlib.md5((client.packets[-1]["Challenge"] + "lab").encode()).hexdigest()
    client.action("Login", AuthType="MD5", Username="lab", Key=key)
    await clock.settle()
    assert client.packets[-1]["Response"] == "Success"


async def test_nothing_is_permitted_before_login_or_outside_ones_classes(ami, clock):
    client = await ami(user="")
    client.action("Ping")
    await clock.settle()
    assert client.packets[-1]["Message"] == "Permission denied"
    client = await ami("all", "x")
    client.action("PlayDTMF", Channel="PJSIP/x", Digit="D", Receive="true")
    await clock.settle()
    assert client.packets[-1]["Message"] == "Permission denied"


async def test_errors_are_told_as_asterisk_tells_them(ami, clock):
    client = await ami()
    for headers in ({}, {"Channel": "PJSIP/x"}, {"Channel": "PJSIP/x", "Digit": "D"}):
        client.action("PlayDTMF", **headers)
    client.action("Dance")
    client.action("Hangup", Channel="PJSIP/x")
    await clock.settle()
    assert [packet["Message"].split(":")[0] for packet in client.packets[1:]] == [
        "Channel not specified",
        "No digit specified",
        "Channel not found",
        "Invalid/unknown command",
        "No such channel",
    ]


async def test_a_frozen_asterisk_takes_actions_and_never_answers(ami, clock):
    client = await ami()
    ami.fake.ami.frozen = True
    client.action("Ping")
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.pending == 1
    assert not clock.idle()
    ami.fake.ami.cut()
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.closed


async def test_pyst2_logs_in_and_pings(ami, clock):
    def session() -> list[str]:
        manager = Manager()
        manager.connect("127.0.0.1", ami.port)
        said = [manager.login("lab", "lab").headers["Message"], manager.ping().headers["Ping"]]
        manager.close()
        return said

    task = asyncio.create_task(clock.in_executor(session))
    await clock.run(task.done)
    assert task.result() == ["Authentication accepted", "Pong"]


class WithAmi(FakeSide):
    """The fake with a manager client that rings the doorbell on the first voice."""

    def __init__(self, clock, user="lab", secret="lab", **call):
        super().__init__(clock, **call)
        self.user, self.secret = user, secret

    async def ring(self, port):
        await super().ring(port)
        loop = asyncio.get_running_loop()
        _, self.client = await loop.create_connection(AmiClient, "127.0.0.1", self.ami)
        self.fake.ami.accounts["all"] = Account("x", events=None)
        self.client.action("Login", Username=self.user, Secret=self.secret)
        self.fake.watch(self.client)


async def test_events_carry_the_headers_of_asterisk_22(clock):
    side = WithAmi(clock, "all", "x", system="box")
    await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', "WAIT FOR DIGIT 2000"],
        [(1.0, Speak(0.5))],
    )
    names = [event["Event"] for event in side.client.events]
    assert names == ["Newstate", "ChannelTalkingStart", "ChannelTalkingStop", "Hangup"]
    stop = side.client.events[2]
    assert list(stop) == [
        "Event",
        "Privilege",
        "SystemName",
        "Channel",
        "ChannelState",
        "ChannelStateDesc",
        "CallerIDNum",
        "CallerIDName",
        "ConnectedLineNum",
        "ConnectedLineName",
        "Language",
        "AccountCode",
        "Context",
        "Exten",
        "Priority",
        "Uniqueid",
        "Linkedid",
        "Duration",
    ]
    assert stop["Channel"] == side.channel.name
    assert stop["Uniqueid"].startswith("box-")
    assert side.client.events[3]["Cause"] == "16"


async def test_an_account_sees_only_the_events_of_its_filter(clock):
    side = WithAmi(clock)
    await transcript(side, ["ANSWER", "WAIT FOR DIGIT 5000"], [(1.0, HangUpAct())])
    assert [event["Event"] for event in side.client.events] == ["HangupRequest", "Hangup"]


async def test_a_voice_becomes_an_interruption_through_the_manager(clock):
    side = WithAmi(clock)
    rung: list[float] = []

    def hears(data: bytes) -> None:
        AmiClient.data_received(side.client, data)
        if b"ChannelTalkingStart" in data and not rung:
            rung.append(clock.now())
            side.client.action("PlayDTMF", Channel=side.channel.name, Digit="D", Receive="true")

    ring = side.ring

    async def ring_and_listen(port: int) -> None:
        await ring(port)
        side.client.data_received = hears

    side.ring = ring_and_listen
    said = await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', f"STREAM FILE /s/one {KEYS}"],
        [(1.0, Speak(0.5))],
    )
    assert said.heard[2] == "200 result=68 endpos=8000"
    assert rung == [1.0]


async def test_time_stands_still_until_the_manager_has_seen_every_event(clock):
    """A manager with a slow thread: the event is counted only some turns of the loop later."""
    side = WithAmi(clock)
    seen_at: list[float] = []

    async def count_later() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        side.client.events_seen += 1
        seen_at.append(clock.now())

    ring = side.ring

    async def ring_slowly(port: int) -> None:
        await ring(port)
        tasks = []

        def slow(data: bytes) -> None:
            before = side.client.events_seen
            AmiClient.data_received(side.client, data)
            for _ in range(side.client.events_seen - before):
                tasks.append(asyncio.create_task(count_later()))
            side.client.events_seen = before

        side.client.data_received = slow

    side.ring = ring_slowly
    said = await transcript(
        side,
        ["ANSWER", 'SET VARIABLE "TALK_DETECT(set)" "160,256"', "WAIT FOR DIGIT 2000"],
        [(1.0, Speak(0.5))],
    )
    assert seen_at == [1.0, 1.66, 2.0]
    assert said.heard[2] == "200 result=0"


async def test_ops_hang_up_through_the_manager(clock):
    side = WithAmi(clock)
    said = await transcript(
        side,
        [
            "ANSWER",
            Do(lambda: side.client.action("Hangup", Channel=side.channel.uniqueid)),
            "WAIT FOR DIGIT 5000",
            "NOOP",
        ],
    )
    assert "HANGUP" in said.heard
    assert side.channel.ended_by == "us"


# ---------------------------------------------------------------- time


async def test_time_stands_still_while_the_service_thinks(clock):
    """A service that does not answer holds time for ever, and the run says who waits."""

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    clock.patience = 0.05
    server = await asyncio.start_server(service, "127.0.0.1", 0)
    fake = FakeAsterisk(clock, server.sockets[0].getsockname(), seconds=SOUNDS.get)
    channel = fake.place_call("1")
    with pytest.raises(Stuck, match=r"PJSIP/caller-00000001 waits for a command"):
        await clock.run(lambda: channel.over)
    assert clock.now() == 0.0
    await fake.close()
    server.close()


async def test_many_calls_share_one_fake_and_one_clock(clock):
    """A hundred calls of a minute each: no one disturbs another."""

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n\n")
        for command in (b"ANSWER", b'STREAM FILE /s/one ""', b"WAIT FOR DIGIT 57000", b"HANGUP"):
            writer.write(command + b"\n")
            await reader.readline()
        writer.close()

    server = await asyncio.start_server(service, "127.0.0.1", 0, backlog=200)
    fake = FakeAsterisk(clock, server.sockets[0].getsockname(), seconds=SOUNDS.get)
    channels = []
    for n in range(100):
        clock.call_later(n * 0.01, lambda: channels.append(fake.place_call("1", absolute=0)))
    await clock.run(lambda: len(channels) == 100 and not fake.channels)
    assert {channel.ended_by for channel in channels} == {"us"}
    lengths = {round(channel.ears.heard[-1].at - channel.began, 6) for channel in channels}
    assert lengths == {60.0}
    assert fake.commands == 400
    await fake.close()
    server.close()


async def test_the_fake_also_works_in_real_time():
    class RealSide(FakeSide):
        async def until(self, done):
            over = asyncio.Event()
            self.channel.ears.listeners.append(
                lambda heard: heard.kind == "fallback" and over.set()
            )
            await over.wait()
            await self.clock.sleep(0.05)
            assert done()
            await self.fake.close()

    SOUNDS["/s/short"] = 0.05
    side = RealSide(SystemClock())
    said = await transcript(side, ["ANSWER", 'STREAM FILE /s/short ""', "WAIT FOR DIGIT 50"])
    assert said.heard[2] == "200 result=0"
    assert 0.09 < said.at("<< 200 result=0") < 0.5


async def many_calls() -> list[object]:
    """Thirty calls at once, with voices that ring the doorbell, keys and hang-ups; all of it."""
    clock = VirtualClock(START)
    writers: list[asyncio.StreamWriter] = []
    commands = [b"ANSWER", b'SET VARIABLE "TALK_DETECT(set)" "160,256"']
    commands += [b"STREAM FILE /s/one 0123456789*#D", b"WAIT FOR DIGIT 700"] * 4 + [b"HANGUP"]

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\n\n")
        for command in commands:
            writer.write(command + b"\n")
            if (await reader.readline()).startswith(b"HANGUP"):
                break
            with clock.parked("the service"):
                await clock.sleep(0.013)
        writer.close()

    class Bell(AmiClient):
        def data_received(self, data):
            super().data_received(data)
            while self.rung < len(self.events):
                event = self.events[self.rung]
                self.rung += 1
                if event["Event"] == "ChannelTalkingStart":
                    clock.call_later(0.25, lambda name=event["Channel"]: self.ring(name))

        def ring(self, name):
            self.action("PlayDTMF", Channel=name, Digit="D", Receive="true")

        rung = 0

    server = await asyncio.start_server(service, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    fake = FakeAsterisk(clock, address, seconds=SOUNDS.get, accounts=LAB)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Bell, "127.0.0.1", await fake.listen())
    client.action("Login", Username="lab", Secret="lab")
    fake.watch(client)
    channels = []
    for n in range(30):
        caller = ScriptedCaller(
            [
                Step("/s/one", True, 0.1 * (n % 7), Speak(0.3)),
                Step("/s/one", False, 0.2, Press("12")),
                Step("/s/one", n % 2 == 0, 0.3, HangUpAct()),
            ][: 2 + n % 2]
        )
        clock.call_later(
            n * 0.0537,
            lambda caller=caller: channels.append(
                fake.place_call("1", script=caller, absolute=0, transcript=True)
            ),
        )
    await clock.run(lambda: len(channels) == 30 and not fake.channels, limit=600.0)
    told = [
        (c.name, c.ears.heard, [line for line in c.transcript if "agi_" not in line[1]])
        for c in channels
    ]
    assert all(writer.is_closing() for writer in writers)
    await fake.close()
    server.close()
    await server.wait_closed()
    clock.close()
    return told


def test_the_same_calls_go_the_same_way_on_every_run_and_every_event_loop():
    first = asyncio.run(many_calls())
    assert any(">> HANGUP" in str(call) for call in first)
    assert any("result=68" in str(call) for call in first)
    assert asyncio.run(many_calls()) == first
    assert uvloop.run(many_calls()) == first
