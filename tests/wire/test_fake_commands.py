"""The fake Asterisk does what Asterisk 22 was seen to do: the handshake, words and replies,
ringing and answering."""

from __future__ import annotations

import pytest
from faked import START, FakeSide, kinds
from transcript import Interrupt, transcript

from ivr.fake_agi import arguments

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


async def test_how_long_it_has_rung_is_one_variable(play):
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
