"""The fake Asterisk does what Asterisk 22 was seen to do: playing, waiting, keys, doorbell."""

from __future__ import annotations

import pytest
from faked import KEYS, kinds, ring_doorbell
from transcript import Do, Interrupt, Pause

from ivr.scenario import Press

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
