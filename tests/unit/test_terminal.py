"""The telephone in the terminal, over the fake Asterisk in real time."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ivr import terminal
from ivr.hotlines import Hotlines
from ivr.terminal import CannotCall, Wish, number_of
from ivr.watching import Teller, words


def test_a_line_is_known_by_its_name_and_by_every_number(lines: Hotlines) -> None:
    assert number_of(lines, "xjca") == ("xjca", "1001")
    assert number_of(lines, "1010") == ("xjca", "1010")
    assert number_of(lines, "11185") == ("ems", "11185")
    with pytest.raises(CannotCall, match="choose one of ems"):
        number_of(lines, "11186")


def test_a_fake_call_shows_what_is_said_and_who_hung_up(root: Path) -> None:
    told = io.StringIO()
    out = Console(file=told, width=200)
    assert terminal.fake(Wish(root, "ems", keys=".............h"), out)
    text = told.getvalue()
    assert "calling 11185 (ems) over a fake Asterisk" in text
    assert "您好,邮政客服,请问有什么可以帮您?" in text
    assert "you   hang up" in text
    assert text.rstrip().endswith("you hung up")


def test_a_withheld_number_arrives_as_nobodys(root: Path) -> None:
    told = io.StringIO()
    assert terminal.fake(Wish(root, "ems", keys="......h", withheld=True), Console(file=told))
    assert "rings" in told.getvalue()  # it is our call that is shown
    assert "13800138000" not in told.getvalue()


def test_signs_that_are_no_keys_are_refused(root: Path) -> None:
    for call in (terminal.fake, terminal.real):
        with pytest.raises(
            CannotCall, match=r"--keys knows no ' ' 'x': 0-9 \* # are keys, s speaks"
        ):
            call(Wish(root, "ems", keys="1x 2#sh."), Console(file=io.StringIO()))
        with pytest.raises(CannotCall, match="not both"):
            call(Wish(root, "ems", caller="8001", withheld=True), Console(file=io.StringIO()))


def test_keys_that_are_piped_in_are_pressed(root: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "ivr.cli", "--root", str(root), "call", "1004", "--fake"],
        input="...............1..h",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "press 1" in done.stdout
    assert "you hung up" in done.stdout
    # the end of what is piped in is not read again and again meanwhile
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_telephone_that_is_told_to_end_hangs_up_first(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "ivr.cli", "--root", str(root), "call", "1004", "--fake"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as told:
        assert told.stdout is not None
        assert any("keys 0-9" in line for line in told.stdout)  # the call is up
        told.terminate()
        rest = told.stdout.read()
    assert "you hung up" in rest
    assert told.returncode == 0


def test_numbers_are_masked_for_ops_and_whole_for_the_caller() -> None:
    event = {
        "what": "Say", "call": "c", "line": "xjca", "caller": "13800138000", "at": 12.34,
        "prompt": "contact.own", "text": "您的来电号码是13800138000,对吗?",
    }  # fmt: skip
    shown = Teller().sentence(event)
    assert "13800138000" not in shown
    assert "   12.3 s  xjca *******8000  " in shown
    assert "13800138000" in words(event, whole=True)


def test_that_the_caller_is_gone_after_we_hung_up_is_not_told() -> None:
    def told(*names: str) -> list[str]:
        teller = Teller()
        events = [{"what": what, "call": call} for what, call in (one.split() for one in names)]
        return [said for event in events if (said := teller.sentence(event))]

    assert [line.strip() for line in told("HangUp a", "HungUp a")] == [
        "0.0 s   withheld  [yellow]we hang up[/]"
    ]
    assert len(told("HungUp a", "HangUp b", "HungUp b")) == 2
    assert len(told("HangUp b", "HungUp a")) == 2


def test_what_tells_nothing_is_left_out_and_markup_is_no_markup() -> None:
    assert Teller().sentence({"what": "SetTimer", "at": 1.0}) == ""
    assert "\\[bold]" in words({"what": "Say", "text": "[bold]x", "prompt": "p"})
