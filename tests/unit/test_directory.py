"""Who calls, and whom we may call back."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr import directory
from ivr.directory import NOBODY, may_call_back, normal, refusal
from ivr.document import BadFile
from ivr.files import parse

PEOPLE = """
directory:
  people:
    - {number: "8001", addressee: 王总, role: manager}
    - {number: "+86 138 0013 8000", addressee: 李女士}
"""


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("13800138000", "13800138000"),
        ("013800138000", "13800138000"),
        ("+8613800138000", "13800138000"),
        ("008613800138000", "13800138000"),
        ("8613800138000", "13800138000"),
        ("010-1234 5678", "01012345678"),
        ("+86 10 12345678", "01012345678"),
        ("8001", "8001"),
        ("11185", "11185"),
        ("+14155552671", "+14155552671"),
        ("", ""),
        ("anonymous", ""),
    ],
)
def test_a_number_has_one_form(written: str, dialled: str) -> None:
    assert normal(written) == dialled


@pytest.mark.parametrize(
    "number", ["13800138000", "+8617012345678", "01012345678", "0579-12345678"]
)
def test_domestic_fixed_and_mobile_numbers_may_be_called_back(number: str) -> None:
    assert may_call_back(number, own=["11185"])


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("", "there is no number"),
        ("unknown", "there is no number"),
        ("8001", "short or internal"),
        ("11185", "our own"),
        ("01012345678", "our own"),
        ("110", "short or internal"),
        ("95588", "short or internal"),
        ("4008001234", "service or premium"),
        ("8008101234", "service or premium"),
        ("16812345678", "no complete number"),
        ("1380013800", "no complete number"),
        ("+14155552671", "abroad"),
        ("0085252345678", "abroad"),
        ("138001380001380013800013800138000", "no complete number"),
    ],
)
def test_other_numbers_are_refused_with_the_reason(number: str, why: str) -> None:
    assert why in refusal(number, own=["11185", "12345678"])
    assert not may_call_back(number, own=["11185", "12345678"])


def test_a_number_of_any_country_is_judged_without_reading_a_file() -> None:
    program = (
        "import sys; from ivr import directory\n"
        "opened = []; sys.addaudithook(lambda what, _: opened.append(what == 'open'))\n"
        "for code in range(1, 999): directory.refusal(f'00{code}2025550123')\n"
        "directory.normal('13800138000'); sys.exit(sum(opened))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@given(st.text(max_size=60))
def test_whatever_the_network_sends_as_a_number_does_no_harm(number: str) -> None:
    assert set(normal(number)) <= set("+0123456789*#")
    assert isinstance(refusal(number), str)


def test_people_are_found_however_their_number_is_written() -> None:
    people = directory.parse(parse(PEOPLE, "line.yaml"))
    assert people.find("8001").addressee == "王总"
    assert people.find("8001").role == "manager"
    assert people.find("013800138000").addressee == "李女士"
    assert people.find("13900139000") == NOBODY
    assert people.find("") == NOBODY
    assert len(people) == 2


def test_a_line_without_a_directory_knows_nobody() -> None:
    assert directory.parse(parse("hotline: ems", "line.yaml")).find("8001") == NOBODY


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{number: "8001"}', "line.yaml:3 F107 a person needs 'addressee'"),
        ("{addressee: 王总}", "a person needs 'number'"),
        ('{number: "8001", addressee: 王总, rôle: x}', "the key 'rôle' is unknown"),
        ('{number: "none", addressee: 王总}', "'none' is no number"),
        ("王总", "a person takes settings"),
    ],
)
def test_a_mistake_in_the_directory_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(BadFile) as told:
        directory.parse(parse(f"directory:\n  people:\n  - {text}", "line.yaml"))
    assert sentence in str(told.value)


def test_a_number_may_stand_there_only_once() -> None:
    with pytest.raises(BadFile, match="stands here twice"):
        directory.parse(parse(PEOPLE + '    - {number: "8001", addressee: 张总}', "line.yaml"))
