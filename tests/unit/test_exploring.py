"""The command that explores: what it is asked for, what it shows, what it writes down."""

from __future__ import annotations

import pytest

from ivr import exploring
from ivr.exploring import MARK, Wish


def test_an_exploration_from_a_flow_stops_where_the_call_goes_on_to_something_else():
    scope = exploring.scope(Wish("advice > transfer"))
    assert "menu" in scope.until
    assert "advice" not in scope.until
    assert exploring.scope(Wish()).until == frozenset()
    assert exploring.scope(Wish("callback")).begin == ""


def test_the_command_says_how_far_it_came_and_whether_anything_is_wrong(sansheng):
    code, told, _ = sansheng("explore", "xjca", "transfer", "--most", "300", "--plain")
    assert code == 0
    assert "xjca, from transfer: 30" in told
    assert "stopped at the bound, nothing is wrong" in told


@pytest.mark.parametrize(("words", "says"), [(["nowhere"], "no line"), (["ems", "x"], "no flow")])
def test_what_there_is_not_is_refused(sansheng, words, says):
    code, _, err = sansheng("explore", *words)
    assert code == 2
    assert says in err


def test_the_figures_go_between_the_marks_of_a_page_and_leave_the_rest(lines, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARK}\nold\n{MARK}\nafter\n", encoding="utf-8")
    heard: list[str] = []
    found = exploring.run(lines.lines["xjca"], Wish("callback", calls=2, plain=True), heard.append)
    exploring.write(page, [found])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| xjca | callback | 2 |" in text
    assert "| yes | none |" in text
    assert heard
