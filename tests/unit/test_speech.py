"""The voices: the default one really speaks here; Kokoro where its model is in the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ivr import sound, speech


@pytest.fixture(scope="module")
def default() -> speech.Pyttsx3Engine:
    return speech.Pyttsx3Engine()


@pytest.fixture(scope="module")
def kokoro() -> speech.KokoroEngine:
    try:
        speech.kokoro_files(fetch=False)
        return speech.KokoroEngine(threads=1)
    except speech.EngineMissing as missing:
        pytest.skip(f"KOKORO IS NOT TESTED HERE: {missing}")


def test_the_default_voice_speaks_a_sentence_of_plausible_length(
    default: speech.Pyttsx3Engine,
) -> None:
    spoken = default.speak("您好,请问有什么可以帮您?", "zf_xiaoyi", 1.0)
    assert 2.0 < sound.trimmed(spoken).seconds < 6.0


def test_the_default_voice_speaks_slower_when_asked(default: speech.Pyttsx3Engine) -> None:
    text = "我无法听到您的声音。"
    usual, slow = (default.speak(text, "", rate).seconds for rate in (1.0, 0.7))
    assert slow > usual * 1.15


def test_the_default_voice_says_one_text_after_another_without_mixing_them(
    default: speech.Pyttsx3Engine,
) -> None:
    alone = default.speak("二", "", 1.0).seconds
    default.speak("请您根据语音提示进行操作,感谢您的来电。", "", 1.0)
    assert default.speak("二", "", 1.0).seconds == pytest.approx(alone, abs=0.1)


def test_the_default_voice_says_letters_one_by_one(default: speech.Pyttsx3Engine) -> None:
    one, three = (default.speak(text, "", 1.0).seconds for text in ("E", "EMS"))
    assert three > one * 1.4


def test_a_number_to_note_is_read_digit_by_digit_and_a_quantity_is_not() -> None:
    assert speech.readable("请拨打11185") == "请拨打幺幺幺八五"
    assert speech.readable("24小时") == "24小时"


def test_signs_on_the_telephone_have_chinese_names() -> None:
    assert speech.readable("按#号键,按*") == "按井号键，按星号"


def test_an_unknown_engine_is_told() -> None:
    with pytest.raises(ValueError, match="choose kokoro or pyttsx3"):
        speech.engine("festival")


def test_without_the_model_kokoro_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(speech.EngineMissing, match="make prompts"):
        speech.kokoro_files(tmp_path, fetch=False)


def test_kokoro_speaks(kokoro: speech.KokoroEngine) -> None:
    spoken = kokoro.speak("请稍等。", "zf_xiaoyi", 1.0)
    assert 0.5 < spoken.seconds < 2.0
    assert np.abs(spoken.samples).max() > 0.1


def test_kokoro_reads_letters_by_name_and_leaves_none_out(kokoro: speech.KokoroEngine) -> None:
    assert kokoro.phonemes("CA") == "si→ ei→"
    assert kokoro.phonemes("EMS详情单").startswith("i→ ɛ→m ɛ→s ")


def test_kokoro_refuses_what_it_would_leave_out(kokoro: speech.KokoroEngine) -> None:
    with pytest.raises(speech.SpeechError, match="give `spoken`"):
        kokoro.speak("请打开website", "zf_xiaoyi", 1.0)
    with pytest.raises(speech.SpeechError, match="no voice"):
        kokoro.speak("请稍等。", "zf_nobody", 1.0)
