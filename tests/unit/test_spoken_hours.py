"""What is said of a line's opening hours is when its people are at work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ivr import checking, hours, spoken_hours
from ivr.files import parse


def said(line: str) -> str:
    return spoken_hours.spoken(hours.parse(parse(line, "line.yaml")))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('{open: {mon-sun: "08:00-20:00"}, holidays: none}', "每天8点到20点"),
        ('{open: {mon-fri: "09:30-18:30"}}', "周一至周五9点半到18点半,法定节假日除外"),
        (
            '{open: {mon-fri: ["09:00-12:00", "13:15-17:05"], sat: "09:00-12:00"}, holidays: none}',
            "周一至周五9点到12点、13点15分到17点05分,周六9点到12点",
        ),
        ('{open: {fri-sun: "22:00-06:00"}, holidays: none}', "周五至周日22点到次日6点"),
        ('{open: {mon-sun: "08:00-24:00"}, holidays: none}', "每天8点到24点"),
        ("{open: always}", "每天全天"),
        (
            '{open: {mon: "09:00-12:00", wed: "09:00-12:00"}, holidays: none}',
            "周一9点到12点,周三9点到12点",
        ),
    ],
)
def test_hours_are_said_as_people_say_them(written: str, words: str) -> None:
    assert said(f"hours: {written}") == words


def test_signs_that_nobody_hears_do_not_count() -> None:
    texts = parse("constants: {hours: 周一至周五 9点半到18点半，法定节假日除外。}", "texts.yaml")
    open_ = hours.parse(parse('hours: {open: {mon-fri: "09:30-18:30"}}', "line.yaml"))
    assert spoken_hours.check(texts, open_) == []


def test_texts_in_another_language_are_not_compared() -> None:
    texts = parse("language: en\nconstants: {hours: eight to eight}", "texts.yaml")
    assert spoken_hours.check(texts, hours.parse(parse("hours: {}", "line.yaml"))) == []


def test_hours_that_are_changed_in_the_data_alone_are_told_by_check(
    root: Path, tmp_path: Path
) -> None:
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    assert [one for one in checking.everything(tmp_path) if one.code == "F653"] == []
    line = tmp_path / "flows/hotlines/xjca.yaml"
    line.write_text(line.read_text().replace("09:30-18:30", "09:00-18:00"))
    (told,) = checking.everything(tmp_path)
    rows = (tmp_path / "prompts/xjca.yaml").read_text().splitlines()
    number = 1 + next(at for at, row in enumerate(rows) if row.strip().startswith("hours:"))
    assert str(told) == (
        f"prompts/xjca.yaml:{number} F653 'hours' says 周一至周五9点半到18点半,法定节假日除外, and "
        "the line's file has other hours: write 周一至周五9点到18点,法定节假日除外, or mend "
        "`hours:` there"
    )
