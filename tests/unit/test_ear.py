"""The ear tells prompts apart by their sound, and says when each was heard."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from ivr import rtp, stimuli
from ivr.ear import Ear, Heard, music, pauses, silences
from ivr.recording import Recording
from ivr.rtp import RATE, Packet, Samples

LEAD, TAIL = 0.10, 0.25
"""Seconds of silence at the ends of every prompt."""

VOWELS = ((800, 1200), (350, 2200), (500, 900), (320, 750), (500, 1800), (650, 1700))


@cache
def syllable(kind: int, seconds: float, pitch: float) -> Samples:
    """One syllable: a hiss, then a vowel whose pitch glides."""
    random = np.random.default_rng(kind)
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    first, second = VOWELS[kind % len(VOWELS)]
    glide = pitch * (1 + random.uniform(-0.2, 0.2) * t / seconds)
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    sound = np.zeros(count)
    for harmonic in range(2, int(3300 / pitch)):
        frequency = harmonic * glide
        weight = np.exp(-(((frequency - first) / 150) ** 2))
        weight += 0.4 * np.exp(-(((frequency - second) / 200) ** 2)) + 0.01
        sound += weight * np.sin(harmonic * phase + random.uniform(0, 6))
    hiss = random.standard_normal(count) * np.exp(-t / 0.02) * random.uniform(0.1, 0.6)
    edge = np.minimum(1, np.minimum(t, seconds - t) / 0.02)
    return ((sound + hiss) * edge * 4000).astype(np.int16)


def sentence(words: str, speed: float = 1.0) -> Samples:
    """A prompt: one syllable a letter, pitch by its place, silence at both ends."""
    parts = [np.zeros(round(LEAD * RATE), np.int16)]
    for place, letter in enumerate(words):
        if letter == " ":
            parts.append(np.zeros(round(0.08 * RATE), np.int16))
        else:
            parts.append(syllable(ord(letter), 0.19 / speed, 205 - 3 * (place % 9)))
    parts.append(np.zeros(round(TAIL * RATE), np.int16))
    return np.concatenate(parts)


PROMPTS = {
    "help": sentence("nihao qingwen youshenme keyi bangnin"),
    "help_you": sentence("nihao qingwen youshenme keyi bangzhunin"),
    "help_more": sentence("nihao qingwen haiyou shenme keyi bangnin"),
    "hello": sentence("nihao"),
    "slow": sentence("nihao qingwen youshenme keyi bangnin", speed=0.85),
    "bye": sentence("ganxie laidian zaijian"),
    "wait": sentence("qing shaodeng"),
    "one": sentence("y"),
    "seven": sentence("q"),
    "eight": sentence("b"),
}

EAR = Ear(PROMPTS)


def line(*parts: Samples | float | str) -> Samples:
    """A recording: prompts by name, silences in seconds, and sound as it is."""
    return np.concatenate(
        [
            np.zeros(round(part * RATE), np.int16)
            if isinstance(part, float)
            else PROMPTS[part]
            if isinstance(part, str)
            else part
            for part in parts
        ]
    )


def names(heard: list[Heard]) -> list[str]:
    return [one.name for one in heard]


def seconds(name: str) -> float:
    return len(PROMPTS[name]) / RATE


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_is_known_from_all_others_also_from_those_it_shares_words_with(
    name: str,
) -> None:
    heard = EAR.recognise(line(0.7, name, 1.0))
    assert names(heard) == [name]
    assert heard[0].start == pytest.approx(0.7, abs=0.002)
    assert heard[0].end == pytest.approx(0.7 + seconds(name), abs=0.002)
    assert heard[0].score > 0.99
    assert not heard[0].cut


@pytest.mark.parametrize("codec", [rtp.ALAW, rtp.ULAW])
def test_g711_and_noise_thirty_decibels_below_change_nothing(codec: rtp.Codec) -> None:
    clean = line(0.5, "help_you", 2.0, "one", "seven", "one", 0.5, "bye", 1.0)
    level = 3276 * 10 ** (-30 / 20)
    noisy = clean + np.random.default_rng(3).standard_normal(len(clean)) * level
    sound = codec.decode(codec.encode(np.clip(noisy, -32768, 32767).astype(np.int16)))
    heard = EAR.recognise(sound)
    assert names(heard) == ["help_you", "one", "seven", "one", "bye"]
    assert pauses(heard) == pytest.approx([2.0, 0.0, 0.0, 0.5], abs=0.005)


def test_another_level_is_the_same_prompt() -> None:
    quiet = (line(0.5, "help_more", 0.5) * 0.3).astype(np.int16)
    assert names(EAR.recognise(quiet)) == ["help_more"]


def test_pauses_are_counted_between_files_or_between_sounds() -> None:
    heard = EAR.recognise(line(1.0, "hello", 2.0, "bye", 0.5, "wait", 5.0, "bye", 1.0))
    assert names(heard) == ["hello", "bye", "wait", "bye"]
    assert pauses(heard) == pytest.approx([2.0, 0.5, 5.0], abs=0.01)
    with_ends = [pause + LEAD + TAIL for pause in (2.0, 0.5, 5.0)]
    assert pauses(heard, sounds=True) == pytest.approx(with_ends, abs=0.03)


@pytest.mark.parametrize("cut", [0.6, 1.0, 3.0])
def test_a_prompt_cut_short_is_known_by_its_beginning_and_ends_where_it_was_cut(
    cut: float,
) -> None:
    part = PROMPTS["bye"][: round(cut * RATE)]
    heard = EAR.recognise(line(0.4, part, 0.3, "wait", 0.5))
    assert names(heard) == ["bye", "wait"]
    assert heard[0].cut
    assert heard[0].end == pytest.approx(0.4 + cut, abs=0.04)
    assert not heard[1].cut


def test_too_short_a_beginning_is_no_prompt() -> None:
    assert EAR.recognise(line(0.4, PROMPTS["bye"][: round(0.4 * RATE)], 1.0)) == []


def test_half_a_digit_is_no_digit() -> None:
    assert EAR.recognise(line(0.4, PROMPTS["seven"][: round(0.2 * RATE)], 1.0)) == []


@pytest.mark.parametrize("likeness", [0.83, 0.88])
@pytest.mark.parametrize("name", ["seven", "bye"])
def test_what_resembles_a_prompt_for_two_syllables_is_not_that_prompt(
    name: str, likeness: float
) -> None:
    """As the number 12 resembles the word for number, in the voice of the shipped prompts."""
    own = PROMPTS[name][: round(0.7 * RATE)].astype(float)
    other = np.where(own == 0, 0, np.random.default_rng(4).standard_normal(len(own)))
    other *= np.sqrt(likeness**-2 - 1) * np.linalg.norm(own) / np.linalg.norm(other)
    ear = Ear({name: PROMPTS[name]})
    assert ear.recognise(line(0.4, (own + other).astype(np.int16), 1.0)) == []
    assert names(ear.recognise(line(0.4, (own + other / 4).astype(np.int16), 1.0))) == [name]


def test_a_prompt_taken_up_where_it_was_interrupted_is_one_prompt() -> None:
    stop = round(2.0 * RATE)
    heard = EAR.recognise(line(0.5, PROMPTS["bye"][:stop], 0.25, PROMPTS["bye"][stop:], 0.5))
    assert names(heard) == ["bye"]
    assert not heard[0].cut
    assert heard[0].end == pytest.approx(0.5 + seconds("bye") + 0.25, abs=0.01)


def test_lost_packets_do_not_make_a_prompt_unknown() -> None:
    sound = line(0.5, "help_you", 0.5)
    sound[3 * RATE : 3 * RATE + 480] = 0
    slipped = np.delete(sound, np.arange(2 * RATE, 2 * RATE + 160))
    for damaged in (sound, slipped):
        heard = EAR.recognise(damaged)
        assert names(heard) == ["help_you"]
        assert not heard[0].cut


def test_a_prompt_that_a_busy_line_tore_apart_is_still_one_prompt() -> None:
    sound = PROMPTS["help_you"]
    cuts = [round(at * RATE) for at in (1.0, 1.5, 1.75, 3.2)]
    torn = [part for piece in np.split(sound, cuts) for part in (piece, 0.12)]
    heard = EAR.recognise(line(0.5, *torn, 0.5))
    assert names(heard) == ["help_you"]
    assert not heard[0].cut
    assert heard[0].end == pytest.approx(0.5 + seconds("help_you") + 0.48, abs=0.01)


def test_prompts_with_the_very_same_sound_are_named_together() -> None:
    ear = Ear({"ems.bye": PROMPTS["bye"], "xjca.bye": PROMPTS["bye"], "wait": PROMPTS["wait"]})
    (heard,) = ear.recognise(line(0.3, "bye", 0.3))
    assert heard.names == ("ems.bye", "xjca.bye")


def test_prompts_that_differ_only_in_the_silence_after_are_named_together() -> None:
    longer = np.concatenate([PROMPTS["one"], np.zeros(1440, np.int16)])
    ear = Ear({"digit.1.end": longer, "digit.1": PROMPTS["one"]})
    (heard,) = ear.recognise(line(0.3, longer, 0.3))
    assert heard.names == ("digit.1.end", "digit.1")
    assert heard.end == pytest.approx(0.3 + seconds("one"), abs=0.002)


@pytest.mark.parametrize("letter", list("acdefghijklmnop"))
def test_the_shortest_prompts_are_found_at_the_right_period_of_the_voice(letter: str) -> None:
    short = sentence(letter)
    short[: round(0.2 * RATE)] //= 4  # a soft beginning, as of a nasal
    heard = Ear({**PROMPTS, letter: short}).recognise(line(0.3, short, 0.3))
    assert [one.name for one in heard] == [letter]
    assert heard[0].start == pytest.approx(0.3, abs=0.0005)


def test_speech_noise_and_silence_are_no_prompts() -> None:
    assert EAR.recognise(line(stimuli.speech(3.0), stimuli.hum(3.0), 1.0)) == []
    assert EAR.recognise(np.zeros(0, np.int16)) == []
    assert EAR.recognise(np.zeros(50, np.int16)) == []


def test_a_prompt_without_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="still"):
        Ear({"still": np.zeros(4000, np.int16)})


def test_music_is_what_sounds_and_is_no_prompt() -> None:
    t = np.arange(4 * RATE) / RATE
    tune = (3000 * np.sin(2 * np.pi * 440 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype(np.int16)
    sound = line(0.5, "wait", 0.8, tune, 0.6, "bye", 0.7)
    heard = EAR.recognise(sound)
    assert names(heard) == ["wait", "bye"]
    (stretch,) = music(sound, heard)
    begin = 0.5 + seconds("wait") + 0.8
    assert stretch.start == pytest.approx(begin, abs=0.02)
    assert stretch.end == pytest.approx(begin + 4, abs=0.3)


def test_silences_are_found_to_ten_milliseconds() -> None:
    sound = line(stimuli.hum(1.0), 0.5, stimuli.hum(1.0), 0.1, stimuli.hum(0.5), 2.0)
    found = silences(sound, 100.0)
    assert [one.start for one in found] == pytest.approx([101.0, 103.1], abs=0.011)
    assert [one.seconds for one in found] == pytest.approx([0.5, 2.0], abs=0.011)


def test_a_recording_has_the_times_of_its_own_clock() -> None:
    recording = Recording(500.0)
    sound = line("hello", 0.5)
    for number in range(len(sound) // 160):
        packet = Packet(8, number, number * 160, 1, b"")
        delay = 0.03 * (number % 5 == 3)
        part = sound[number * 160 : number * 160 + 160]
        recording.add(501.0 + number * 0.02 + delay, packet, part)
    (heard,) = EAR.recognise(recording)
    assert heard.start == pytest.approx(501.0, abs=0.001)


def test_a_minute_against_three_hundred_prompts_takes_seconds() -> None:
    random = np.random.default_rng(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    many = {"".join(random.choice(list(letters), random.integers(1, 12))): 0 for _ in range(330)}
    prompts = {words: sentence(words) for words in list(many)[:300]}
    wanted = list(prompts)[:20]
    sound = np.concatenate([np.concatenate([prompts[w], np.zeros(RATE, np.int16)]) for w in wanted])
    sound = np.concatenate([sound, np.zeros(max(0, 60 * RATE - len(sound)), np.int16)])
    ear = Ear(prompts)
    began = time.process_time()
    assert names(ear.recognise(sound)) == wanted
    assert time.process_time() - began < 6
