"""Prompts: texts as data, cut into parts, assembled again, recorded once and installed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ivr import masters, masters_command, prompts, sound, speech
from ivr.files import BadFile
from ivr.manifest import read_manifest
from ivr.prompts import Library, SlotError

ROOT = Path(__file__).parents[2]

COMMON = (ROOT / "prompts/common.yaml").read_text(encoding="utf-8")

LINE = """\
hotline: shop
constants: {name: 南山书店, within: 24小时}
texts:
  opening:      {text: "您好,{name},请问有什么可以帮您?", clauses: [EMS-1]}
  hold.ask:     {text: "可能需要您等待{minutes:count}分钟,可以吗?"}
  read_back:    {text: "您的号码是{number:digits},对吗?"}
  back:         {text: "{addressee},让您久等了。"}
  sorry:        {text: "对不起,{addressee},请您稍等。"}
  letters:      {text: "字母是{letters:letters}。"}
  promise:      {text: "我们会在{day:date}{at:time}以前给您答复。"}
  ca:           {text: "请登录CA网站。", spoken: "请登录C A网站。", rate: 0.85}
"""

DIRECTORY = """\
hotline: shop
directory:
  people:
    - {number: "8001", addressee: 王总, role: manager}
    - {number: "13900000001", addressee: 李女士}
"""


@dataclass
class Whistle:
    """A voice that whistles: as quick as none other, and as long as the words ask for."""

    name: str = "pyttsx3"
    seconds_a_sign: float = 0.2
    spoken: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda text: None

    def speak(self, text: str, voice: str, rate: float) -> sound.Sound:
        self.before(text)
        self.spoken.append(text)
        t = np.arange(round(max(1, len(text)) * self.seconds_a_sign / rate * 16_000)) / 16_000
        return sound.Sound((0.3 * np.sin(2 * np.pi * 900 * t)).astype(np.float32), 16_000)


def write_line(root: Path) -> Path:
    (root / "prompts").mkdir()
    (root / "flows/hotlines").mkdir(parents=True)
    (root / "prompts/common.yaml").write_text(COMMON, encoding="utf-8")
    (root / "prompts/shop.yaml").write_text(LINE, encoding="utf-8")
    (root / "flows/hotlines/shop.yaml").write_text(DIRECTORY, encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_line(tmp_path)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library.load(write_line(tmp_path_factory.mktemp("line")))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two texts and no slots, for what takes a build."""
    (tmp_path / "prompts").mkdir()
    rewrite(tmp_path, "请您稍等。")
    return tmp_path


def rewrite(root: Path, wait: str) -> None:
    text = f'hotline: shop\ntexts:\n  hello: {{text: "您好。"}}\n  wait:  {{text: "{wait}"}}\n'
    (root / "prompts/shop.yaml").write_text(text, encoding="utf-8")


def said(library: Library, name: str, **slots: str) -> list[str]:
    return [part.text for part in library.parts("shop", name, slots)]


# ---------------------------------------------------------------- texts


def test_what_we_ship_can_be_read() -> None:
    library = Library.load(ROOT)
    assert {"xjca", "ems", "lakala", "infodesk"} <= library.hotlines()
    assert all("hint.agree" in library.names(hotline) for hotline in library.hotlines())


def test_a_constant_is_part_of_the_sentence_and_recorded_with_it(library: Library) -> None:
    assert library.text("shop", "opening") == "您好,南山书店,请问有什么可以帮您?"
    (part,) = library.parts("shop", "opening")
    assert part.base == "shop.opening"
    assert part.path == "zh/shop/shop.opening"
    assert library.clauses("shop", "opening") == ("EMS-1",)


def test_the_own_text_of_a_line_goes_before_the_common_one(root: Path) -> None:
    with (root / "prompts/shop.yaml").open("a", encoding="utf-8") as file:
        file.write('  hint.agree: {text: "好的请按1。"}\n')
    library = Library.load(root)
    assert library.text("shop", "hint.agree") == "好的请按1。"
    assert library.text("shop", "hint.done") == "输入完毕请按井号键。"
    assert library.text("elsewhere", "hint.agree") == "同意请按1,不同意请按2。"


def test_a_text_is_cut_at_its_slots(library: Library) -> None:
    parts = library.parts("shop", "hold.ask", {"minutes": "3"})
    assert [part.base for part in parts] == [
        "shop.hold.ask.1",
        "common.count.3",
        "shop.hold.ask.2",
    ]
    assert [part.text for part in parts] == ["可能需要您等待", "三", "分钟,可以吗?"]


def test_an_unknown_name_is_a_key_error(library: Library) -> None:
    with pytest.raises(KeyError, match=r"no text 'nothing\.here'"):
        library.text("shop", "nothing.here")


def test_what_is_spoken_may_differ_from_what_is_written(library: Library) -> None:
    recipe = next(r for r in library.recipes() if r.base == "shop.ca")
    assert (recipe.text, recipe.spoken, recipe.rate) == (
        "请登录CA网站。",
        "请登录C A网站。",
        0.85,
    )


# ---------------------------------------------------------------- slots


def test_a_number_is_read_in_groups_and_pairs_with_yao_for_one(library: Library) -> None:
    parts = library.parts("shop", "read_back", {"number": "138 0013-8000"})
    digits = [part.base.removeprefix("common.digit.") for part in parts[1:-1]]
    assert digits == ["13", "8.end", "00", "13.end", "80", "00.end"]
    assert "".join(part.text for part in parts) == "您的号码是幺三八零零幺三八零零零,对吗?"


@pytest.mark.parametrize(
    ("number", "groups"),
    [
        ("11185", [5]),
        ("123456", [3, 3]),
        ("1234567", [4, 3]),
        ("12345678", [4, 4]),
        ("123456785", [3, 3, 3]),
        ("1234567890", [4, 4, 2]),
        ("1234567890123", [4, 4, 5]),
    ],
)
def test_a_pause_parts_the_groups_of_a_number(
    library: Library, number: str, groups: list[int]
) -> None:
    parts = library.parts("shop", "read_back", {"number": number})[1:-1]
    lengths: list[int] = [0]
    for part in parts:
        lengths[-1] += len(part.text)
        if part.base.endswith(".end"):
            lengths.append(0)
    assert lengths == [*groups, 0]


def test_a_quantity_of_two_is_liang(library: Library) -> None:
    assert said(library, "hold.ask", minutes="2")[1] == "两"
    assert said(library, "hold.ask", minutes="22")[1] == "二十二"
    assert said(library, "hold.ask", minutes="60")[1] == "六十"
    assert library.text("shop", "hold.ask", {"minutes": "2"}) == "可能需要您等待2分钟,可以吗?"


def test_letters_are_read_one_by_one(library: Library) -> None:
    assert said(library, "letters", letters="EA") == ["字母是", "E", "A"]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("00:05", "凌晨零点零五分"),
        ("09:30", "上午九点半"),
        ("12:00", "中午十二点"),
        ("14:02", "下午两点零二分"),
        ("18:45", "晚上六点四十五分"),
    ],
)
def test_a_time_and_a_date_are_assembled(library: Library, at: str, words: str) -> None:
    slots = {"day": "2026-11-24", "at": at}
    sentence = f"我们会在十一月二十四号{words}以前给您答复。"
    assert library.text("shop", "promise", slots) == sentence
    assert "".join(part.text for part in library.parts("shop", "promise", slots)) == sentence


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("hold.ask", {}),
        ("hold.ask", {"minutes": "61"}),
        ("hold.ask", {"minutes": "-1"}),
        ("hold.ask", {"minutes": "²"}),
        ("read_back", {"number": ""}),
        ("read_back", {"number": "13a"}),
        ("read_back", {"number": "٣"}),
        ("letters", {"letters": "Ä"}),
        ("promise", {"day": "2026-13-01", "at": "10:00"}),
        ("promise", {"day": "2026-12-01", "at": "24:00"}),
    ],
)
def test_a_value_that_cannot_be_said_is_an_error_and_no_silence(
    library: Library, name: str, slots: dict[str, str]
) -> None:
    with pytest.raises(SlotError):
        library.parts("shop", name, slots)
    with pytest.raises(SlotError):
        library.text("shop", name, slots)


def test_the_slots_of_a_text_are_told_with_their_kinds(library: Library) -> None:
    assert library.slots("shop", "promise") == {"day": "date", "at": "time"}


# ---------------------------------------------------------------- the addressee


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("{addressee},让您久等了。", "王总,让您久等了。", "让您久等了。"),
        ("{addressee}，让您久等了。", "王总，让您久等了。", "让您久等了。"),
        ("对不起,{addressee},请稍等。", "对不起,王总,请稍等。", "对不起,请稍等。"),
        ("对不起，{addressee}，请稍等。", "对不起，王总，请稍等。", "对不起，请稍等。"),
        ("您好。{addressee},请稍等。", "您好。王总,请稍等。", "您好。请稍等。"),
        ("谢谢您,{addressee}。", "谢谢您,王总。", "谢谢您。"),
        ("您好,{addressee}", "您好,王总", "您好"),
        ("好的{addressee},请稍等。", "好的王总,请稍等。", "好的,请稍等。"),
        ("请{addressee}稍等。", "请王总稍等。", "请稍等。"),
    ],
)
def test_an_empty_addressee_takes_its_comma_along(
    root: Path, text: str, known: str, unknown: str
) -> None:
    line = f'hotline: shop\ntexts:\n  back: {{text: "{text}"}}\n'
    (root / "prompts/shop.yaml").write_text(line, encoding="utf-8")
    library = Library.load(root)
    assert library.text("shop", "back", {"addressee": "王总"}) == known
    assert library.text("shop", "back", {"addressee": ""}) == unknown
    assert library.text("shop", "back") == unknown
    without = [part.base for part in library.parts("shop", "back")]
    with_name = [part.base for part in library.parts("shop", "back", {"addressee": "王总"})]
    assert len(with_name) == len(without) + 1
    assert not any("addressee" in base for base in without)


def test_a_person_has_one_recording_whose_name_tells_nothing(library: Library) -> None:
    person = library.parts("shop", "back", {"addressee": "李女士"})[0]
    assert person.text == "李女士"
    assert person.base.startswith("shop.addressee.")
    assert "139" not in person.base


def test_somebody_who_is_in_no_directory_is_not_named(library: Library) -> None:
    assert said(library, "sorry", addressee="赵老师") == ["对不起,", ",请您稍等。"]
    assert library.text("shop", "sorry", {"addressee": "赵老师"}) == "对不起,请您稍等。"


def test_a_line_without_a_hotline_file_has_no_people(root: Path) -> None:
    (root / "flows/hotlines/shop.yaml").unlink()
    assert said(Library.load(root), "back", addressee="王总") == [",让您久等了。"]


# ---------------------------------------------------------------- what is wrong in a file


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('x: {text: "您好。", rates: 1.0}', "F102"),
        ("Hello: {text: 您好。}", "F512"),
        ("addressee.x: {text: 您好。}", "F512"),
        ("x: 您好。", "F513"),
        ('x: {text: ""}', "F513"),
        ('x: {text: "号码{n:number}"}', "F514"),
        ('x: {text: "号码{n:digits"}', "F514"),
        ('x: {text: "{organisation},您好"}', "F515"),
        ('x: {text: "等{n:count}分", spoken: "等三分"}', "F516"),
        ('x: {text: "等{n:count}分", spoken: "{n:count}分"}', "F516"),
        ('x: {text: "请打开website。"}', "F518"),
        ('x: {text: "您好。", rate: fast}', "F519"),
        ('x: {text: "您好。", rate: 3.0}', "F519"),
        ('x: {text: 嘀, tone: "9000 Hz 0.2 s"}', "F522"),
        ("x: {text: 您好。, clauses: EMS-1}", "F523"),
        ("x: {text: 您好。, joined: maybe}", "F112"),
    ],
)
def test_a_mistake_in_a_text_is_told_with_its_line(root: Path, line: str, code: str) -> None:
    path = root / "prompts/shop.yaml"
    path.write_text(f"hotline: shop\ntexts:\n  a: {{text: 您好。}}\n  {line}\n", encoding="utf-8")
    with pytest.raises(BadFile) as caught:
        Library.load(root)
    assert [(p.path, p.line, p.code) for p in caught.value.problems] == [
        ("prompts/shop.yaml", 4, code)
    ]


def test_two_texts_that_would_share_a_recording_are_told(root: Path) -> None:
    with (root / "prompts/shop.yaml").open("a", encoding="utf-8") as file:
        file.write("  hold.ask.1: {text: 请稍等。}\n")
    with pytest.raises(BadFile, match=r"F517 'shop\.hold\.ask\.1' would name two recordings"):
        Library.load(root)


def test_a_file_named_otherwise_than_its_line_is_told(root: Path) -> None:
    (root / "prompts/shop.yaml").rename(root / "prompts/store.yaml")
    with pytest.raises(BadFile, match=r"prompts/store\.yaml:1 F511"):
        Library.load(root)


def test_numbers_without_recorded_digits_are_told(root: Path) -> None:
    (root / "prompts/common.yaml").unlink()
    with pytest.raises(BadFile, match=r"F520 shop has slots that need"):
        Library.load(root)


# ---------------------------------------------------------------- recording


def test_a_library_works_without_audio_and_says_so(library: Library) -> None:
    (part,) = library.parts("shop", "opening")
    assert not part.built
    assert 2.0 < part.seconds < 6.0
    assert library.seconds("shop", "hold.ask", {"minutes": "3"}) == pytest.approx(
        sum(p.seconds for p in library.parts("shop", "hold.ask", {"minutes": "3"})), abs=0.01
    )


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
