"""Prompts: texts as data, cut into parts and assembled again."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_texts import ROOT, write_line

from ivr.files import BadFile
from ivr.prompts import Library, SlotError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_line(tmp_path)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library.load(write_line(tmp_path_factory.mktemp("line")))


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


# ---------------------------------------------------------------- nothing recorded


def test_a_library_works_without_audio_and_says_so(library: Library) -> None:
    (part,) = library.parts("shop", "opening")
    assert not part.built
    assert 2.0 < part.seconds < 6.0
    assert library.seconds("shop", "hold.ask", {"minutes": "3"}) == pytest.approx(
        sum(p.seconds for p in library.parts("shop", "hold.ask", {"minutes": "3"})), abs=0.01
    )
