"""The fake Asterisk does what Asterisk 22 was seen to do: the voice, recordings, callers."""

from __future__ import annotations

import wave

import pytest
from faked import KEYS, kinds
from transcript import Do, Pause

from ivr.fake_sound import Uttered
from ivr.scenario import HangUpAct, Hum, OpsHangUp, Press, Speak, Step
from ivr.scripted_caller import ScriptedCaller
from ivr.sound import quality
from ivr.sound import read as read_sound

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
