"""Tables on any screen: headings and ids whole, nothing wider than the screen, nothing lost."""

from __future__ import annotations

import io

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ivr import listing, showing
from ivr.showing import Refused, complain, count, one_of

CALL = {
    "call": "sansheng-1795305919.1234",
    "line": "infodesk",
    "number": "1007",
    "caller": "*******8000",
    "offered_at": "2026-11-23T02:00:00.000+00:00",
    "ended_by": "caller",
    "rung": 5.0,
    "record": {"kind": "complaint", "result": "message", "rating": "unanswered", "due": "x" * 30},
    "problem": "",
}
MESSAGE = {
    "message": "m0123456789abcdef",
    "line": "infodesk",
    "kind": "agent_complaint",
    "created_at": "2026-11-23T02:00:00.000+00:00",
    "due_at": "2026-11-24T02:00:00.000+00:00",
    "contact": "13800138000",
    "caller": "",
    "seconds": 12.3,
    "quality": "clipped",
    "state": "taken",
}
LIVE = {
    "call": "sansheng-1795305919.1234",
    "line": "infodesk",
    "caller": "*******8000",
    "state": "call.query.holding.waiting",
    "seconds": 100.1,
    "since_sign_of_life": 12.3,
    "waits_for": "a back end or a person",
}
LINE = {
    "line": "infodesk",
    "title": "一个很长的客户服务中心的名字",
    "numbers": ["1001", "1000", "1010"],
    "language": "zh",
    "answer_after": 5.0,
    "version": "0123456789abcdef",
}
ENTRY = {"seq": 1234, "at": 1234.567, "side": "action", "name": "Say", "data": {"a": "b " * 60}}

TABLES = {
    "calls": listing.calls_brief([CALL]),
    "messages": listing.left_masked([MESSAGE]),
    "live": listing.live_brief([LIVE]),
    "lines": listing.lines_brief([LINE]),
    "journal": [ENTRY],
}


def printed(rows: list[dict[str, object]], width: int) -> list[str]:
    told = io.StringIO()
    showing.table(rows, Console(file=told, width=width))
    return told.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_heading_is_broken_and_nothing_is_wider_than_the_screen(name: str, width: int) -> None:
    rows = TABLES[name]
    lines = printed(rows, width)
    assert all(cell_len(line) <= width for line in lines), lines
    text = "\n".join(lines)
    for heading, value in rows[0].items():
        assert heading in text or value in ("", None), (heading, text)
    first = str(next(iter(rows[0].values())))
    assert any(line.startswith(first) for line in lines), text


def test_what_has_no_room_beside_the_others_stands_under_its_row() -> None:
    heading, row, *below = printed(TABLES["calls"], 80)
    assert heading.split() == ["call", "at", "line", "caller", "ended", "by", "rung"]
    assert row.split()[0] == "sansheng-1795305919.1234"
    assert below[0] == "    number: 1007"
    assert below[1].startswith("    record: kind=complaint result=message")


def test_a_withheld_number_is_named_as_such() -> None:
    (row,) = listing.calls_brief([{**CALL, "caller": ""}])
    (up,) = listing.live_brief([{**LIVE, "caller": ""}])
    assert (row["caller"], up["caller"]) == ("withheld", "withheld")


def test_one_long_column_is_folded_beside_the_others() -> None:
    lines = printed(TABLES["journal"], 80)
    assert lines[0].split() == ["seq", "at", "side", "name", "data"]
    assert len(lines) > 2
    assert "".join(lines[1:]).count("b") == 60


def test_words_of_others_do_nothing_to_the_terminal() -> None:
    told = "".join(printed([{"id": "a\x1b[2Jb\x00c\u202ed", "of": "客服,客户\u30001"}], 80))
    assert "a\\x1b[2Jb\\x00c\\u202ed" in told
    assert "客服,客户\u30001" in told
    assert "\x1b" not in told


def test_square_brackets_are_shown_as_they_are() -> None:
    for width in (8, 80):
        assert "[red]x[/]" in "".join(printed([{"id": "[red]x[/]", "of": "[bold]"}], width))


@given(
    st.lists(
        st.tuples(st.text("abc1", min_size=1, max_size=12), st.text()).map(
            lambda pair: {"id": pair[0], "甲": pair[1]}
        ),
        min_size=1,
    ),
    st.integers(12, 100),
)
def test_any_rows_can_be_shown(rows: list[dict[str, str]], width: int) -> None:
    lines = printed(rows, width)
    assert all(any(line.startswith(row["id"]) for line in lines) for row in rows)


def test_an_unknown_value_is_refused_with_the_known_ones() -> None:
    assert one_of("new", ("new", "taken"), "state") == "new"
    with pytest.raises(Refused, match=r"no state 'taked': did you mean 'taken'\? choose .* done"):
        one_of("taked", ("new", "taken", "done"), "state")
    with pytest.raises(Refused, match="there is no state 'xyz': choose one of new, taken"):
        one_of("xyz", ("new", "taken"), "state")


def test_one_thing_is_not_counted_as_several(capsys: pytest.CaptureFixture[str]) -> None:
    assert (count(1, "call"), count(0, "call"), count(2, "call")) == (
        "1 call",
        "0 calls",
        "2 calls",
    )
    with pytest.raises(typer.Exit):
        complain(["x:1 F1 y: z"], "fine")
    assert capsys.readouterr().err.startswith("1 problem\n")
