"""Prompts are recorded once, kept, and installed for Asterisk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import soundfile
from shop_texts import ROOT, Whistle

from ivr import masters, masters_command, prompts, sound, speech
from ivr.files import BadFile
from ivr.manifest import read_manifest
from ivr.prompts import Library


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two texts and no slots, for what takes a build."""
    (tmp_path / "prompts").mkdir()
    rewrite(tmp_path, "请您稍等。")
    return tmp_path


def rewrite(root: Path, wait: str) -> None:
    text = f'hotline: shop\ntexts:\n  hello: {{text: "您好。"}}\n  wait:  {{text: "{wait}"}}\n'
    (root / "prompts/shop.yaml").write_text(text, encoding="utf-8")


def test_the_default_voice_builds_a_line(small: Path) -> None:
    report = prompts.build(small, speech.Pyttsx3Engine())
    assert report.made == ("shop.hello", "shop.wait")
    part = Library.load(small).parts("shop", "wait")[0]
    info = soundfile.info(small / "prompts/audio" / f"{part.path}.flac")
    assert part.built
    assert part.seconds == pytest.approx(info.duration, abs=0.001)
    assert (info.samplerate, info.channels, info.subtype) == (8_000, 1, "PCM_16")


def test_only_what_changed_is_made_again(small: Path) -> None:
    voice = Whistle()
    prompts.build(small, voice)
    assert prompts.build(small, voice).made == ()
    rewrite(small, "请您再等一下。")
    assert not Library.load(small).parts("shop", "wait")[0].built
    assert Library.load(small).parts("shop", "hello")[0].built
    report = prompts.build(small, voice)
    assert (report.made, report.kept) == (("shop.wait",), 1)
    assert voice.spoken == ["您好。", "请您稍等。", "请您再等一下。"]


def test_a_change_of_pace_or_voice_makes_it_again_unless_only_missing_is_asked(
    small: Path,
) -> None:
    prompts.build(small, Whistle())
    path = small / "prompts/shop.yaml"
    path.write_text(path.read_text() + "rate: 0.9\n", encoding="utf-8")
    assert prompts.build(small, Whistle(), only_missing=True).made == ()
    assert len(prompts.build(small, Whistle()).made) == 2
    assert len(prompts.build(small, Whistle("kokoro")).made) == 2


def test_a_better_voice_is_not_replaced_by_a_worse_one(small: Path) -> None:
    prompts.build(small, Whistle("kokoro"))
    assert prompts.build(small, Whistle("pyttsx3")).made == ()
    rewrite(small, "请您再等一下。")
    assert prompts.build(small, Whistle("pyttsx3")).made == ("shop.wait",)


def test_a_broken_off_build_goes_on_where_it_stopped(small: Path) -> None:
    def break_off(text: str) -> None:
        if text != "您好。":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prompts.build(small, Whistle(before=break_off))
    files = [path.name for path in (small / "prompts/audio").rglob("*") if path.is_file()]
    assert sorted(files) == ["manifest.json", "shop.hello.flac"]
    assert prompts.build(small, Whistle()).made == ("shop.wait",)


def test_the_same_short_words_are_spoken_once_and_kept_with_their_own_silence(
    small: Path,
) -> None:
    (small / "prompts/shop.yaml").write_text(
        "hotline: shop\ntexts: {a: {text: 三。, joined: yes}, b: {text: 三。, tail: 0.5 s}}\n",
        encoding="utf-8",
    )
    voice = Whistle()
    prompts.build(small, voice)
    assert voice.spoken == ["三。"]
    library = Library.load(small)
    assert library.seconds("shop", "b") - library.seconds("shop", "a") == pytest.approx(0.54)


def test_what_nobody_says_any_more_is_removed(small: Path) -> None:
    prompts.build(small, Whistle())
    (small / "prompts/shop.yaml").write_text("hotline: shop\ntexts: {hello: {text: 您好。}}\n")
    assert prompts.build(small, Whistle()).removed == ("shop.wait",)
    left = [path.name for path in (small / "prompts/audio").rglob("*.flac")]
    assert left == ["shop.hello.flac"]


def test_a_length_that_cannot_be_is_tried_at_other_paces_and_then_reported(small: Path) -> None:
    voice = Whistle(seconds_a_sign=0.03)
    report = prompts.build(small, voice)
    assert [base for base, _ in report.failed] == ["shop.hello", "shop.wait"]
    assert report.missing == ("shop.hello", "shop.wait")
    assert len(voice.spoken) == 2 * len(masters._PACES)
    assert not list((small / "prompts/audio").rglob("*.flac"))


def test_a_failing_text_does_not_stop_the_others(small: Path) -> None:
    def fail(text: str) -> None:
        if text == "您好。":
            raise speech.SpeechError("hoarse")

    report = prompts.build(small, Whistle(before=fail))
    assert report.failed == (("shop.hello", "hoarse"),)
    assert report.made == ("shop.wait",)


def test_two_builds_do_not_run_in_one_folder(small: Path) -> None:
    def again(text: str) -> None:
        with pytest.raises(masters.BuildRuns):
            prompts.build(small, Whistle())

    assert len(prompts.build(small, Whistle(before=again)).made) == 2


def test_progress_is_told_part_by_part(small: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prompts.build(small, Whistle(), progress=lambda *step: told.append(step))
    assert told == [("shop.hello", 0, 2), ("shop.wait", 1, 2)]


def test_a_studio_recording_stays_until_its_words_change(small: Path) -> None:
    prompts.build(small, Whistle())
    sound.write(small / "studio.wav", sound.tone(700, 1.2))
    masters.adopt(small, "shop.wait", small / "studio.wav")
    assert read_manifest(small / "prompts/audio")["shop.wait"].engine == "studio"
    assert prompts.build(small, Whistle("kokoro")).made == ("shop.hello",)
    rewrite(small, "请您再等一下。")
    assert prompts.build(small, Whistle("kokoro")).made == ("shop.wait",)


def test_a_damaged_manifest_is_told(small: Path) -> None:
    prompts.build(small, Whistle())
    (small / "prompts/audio/manifest.json").write_text("{")
    with pytest.raises(BadFile, match="F530"):
        Library.load(small)


# ---------------------------------------------------------------- installing


def test_installing_writes_what_asterisk_plays_and_only_what_changed(small: Path) -> None:
    prompts.build(small, Whistle())
    sounds = small / "var/sounds"
    assert prompts.install(small, sounds).made == ("shop.hello", "shop.wait")
    part = Library.load(small).parts("shop", "wait")[0]
    for kind, bytes_a_sample in (("alaw", 1), ("ulaw", 1), ("wav", 2)):
        size = (sounds / f"{part.path}.{kind}").stat().st_size
        header = 44 if kind == "wav" else 0
        assert size - header == round(part.seconds * 8_000) * bytes_a_sample
    assert prompts.install(small, sounds).made == ()
    rewrite(small, "请您再等一下。")
    prompts.build(small, Whistle())
    assert prompts.install(small, sounds).made == ("shop.wait",)


def test_a_deleted_file_is_installed_again(small: Path) -> None:
    prompts.build(small, Whistle())
    prompts.install(small, small / "sounds")
    (small / "sounds/zh/shop/shop.wait.ulaw").unlink()
    assert prompts.install(small, small / "sounds").made == ("shop.wait",)


def test_old_words_are_never_installed_for_new_ones(small: Path) -> None:
    prompts.build(small, Whistle())
    prompts.install(small, small / "sounds")
    rewrite(small, "请您再等一下。")
    report = prompts.install(small, small / "sounds")
    assert (report.missing, report.removed) == (("shop.wait",), ("shop.wait",))
    assert not (small / "sounds/zh/shop/shop.wait.alaw").exists()


def test_who_hears_a_prompt_while_it_is_installed_anew_hears_the_old_one_to_its_end(
    small: Path,
) -> None:
    prompts.build(small, Whistle())
    prompts.install(small, small / "sounds")
    path = small / "sounds/zh/shop/shop.wait.alaw"
    old = path.read_bytes()
    with path.open("rb", buffering=0) as playing:
        begun = playing.read(160)
        rewrite(small, "请您再等一下,马上就好。")
        prompts.build(small, Whistle())
        prompts.install(small, small / "sounds")
        assert begun + playing.read() == old
    assert path.read_bytes() != old


def test_what_only_the_calls_that_are_up_still_say_stays_until_the_next_start(small: Path) -> None:
    sounds = small / "sounds"
    masters.prepare(small, sounds)
    texts = small / "prompts/shop.yaml"
    lines = texts.read_text().splitlines(keepends=True)
    texts.write_text("".join(line for line in lines if not line.strip().startswith("wait:")))
    masters.prepare(small, sounds, calls=True)
    assert (sounds / "zh/shop/shop.wait.alaw").exists()
    masters.prepare(small, sounds, calls=True)  # however often
    assert (sounds / "zh/shop/shop.wait.alaw").exists()
    assert masters.prepare(small, sounds).removed == ("shop.wait",)
    assert not (sounds / "zh/shop/shop.wait.alaw").exists()


def test_new_words_are_spoken_before_the_old_ones_go(small: Path) -> None:
    sounds = small / "sounds"
    masters.prepare(small, sounds)
    path = sounds / "zh/shop/shop.wait.alaw"
    old = path.read_bytes()
    rewrite(small, "请您再等一下,马上就好。")
    there: list[bool] = []
    masters.prepare(small, sounds, lambda *_: there.append(path.exists()), calls=True)
    assert there == [True]
    assert path.read_bytes() != old


def test_a_damaged_master_is_reported_and_not_played(small: Path) -> None:
    prompts.build(small, Whistle())
    master = small / "prompts/audio/zh/shop/shop.wait.flac"
    master.write_bytes(master.read_bytes()[:-100])
    report = prompts.install(small, small / "sounds")
    assert [base for base, _ in report.failed] == ["shop.wait"]
    assert report.made == ("shop.hello",)


def test_a_line_without_audio_is_spoken_by_the_default_voice_outside_the_committed_folder(
    small: Path,
) -> None:
    report = masters.prepare(small, small / "var/sounds")
    assert (report.made, report.missing) == (("shop.hello", "shop.wait"), ())
    assert not (small / "prompts/audio").exists()
    assert (small / "var/sounds/zh/shop/shop.wait.alaw").exists()
    assert all(part.built for part in Library.load(small).all_parts().values())


def test_the_command_says_what_it_did(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert masters_command.main(["--root", str(small), "install", str(small / "sounds")]) == 1
    assert "2 missing" in capsys.readouterr().out


# ---------------------------------------------------------------- what we ship


def test_every_committed_master_is_as_the_manifest_says_and_as_loud_as_the_others() -> None:
    folder = ROOT / "prompts/audio"
    manifest = read_manifest(folder)
    assert manifest
    levels = {}
    for base, master in manifest.items():
        data = (folder / master.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == master.sha256, base
        info = soundfile.info(folder / master.file)
        assert (info.samplerate, info.channels, info.format) == (8_000, 1, "FLAC"), base
        assert info.duration == pytest.approx(master.seconds, abs=0.001)
        read = sound.read(folder / master.file)
        assert sound.peak(read) <= sound.CEILING + 0.05, base
        levels[base] = sound.loudness(read)
    assert max(levels.values()) - min(levels.values()) < 1.0


def test_no_master_lies_about_that_the_manifest_does_not_know() -> None:
    folder = ROOT / "prompts/audio"
    try:
        with masters._alone(folder):
            known = {master.file for master in read_manifest(folder).values()}
            assert {str(path.relative_to(folder)) for path in folder.rglob("*.flac")} == known
    except masters.BuildRuns as running:
        pytest.skip(f"NOT TESTED: {running}")
