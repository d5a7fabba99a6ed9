"""`sansheng promises`, as ops type it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from migrated import new
from owed import PERSON, left, only
from typed import Sansheng, on

from ivr import promises


class Ops(Sansheng):
    """The command line, over a database with one promise."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(capsys, *on(folder / "x.db"), "promises")
        self.store = new(folder / "x.db")
        left(self.store)
        self.promise = only(self.store).id


@pytest.fixture
def ops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Ops]:
    made = Ops(tmp_path, capsys)
    yield made
    made.store.close()


def test_the_command_lists_shows_and_reports(ops: Ops) -> None:
    (row,) = ops.json()
    assert (row["contact"], row["state"]) == ("*******5678", "open")
    assert ops.json("show", row["promise"])["contact"] == PERSON
    assert ops.json("report", "--days", "3650")[0]["made"] == 1


def test_what_people_say_is_confirmed_one_line_and_shown_without_numbers(ops: Ops) -> None:
    text = "she rang us\nfrom 13800138000"
    code, _, err = ops("drop", ops.promise, "--by", "802", "--text", text)
    assert (code, f"promise {ops.promise} is dropped" in err) == (0, True)
    assert only(ops.store).reason == "802: she rang us from 13800138000"
    assert "13800138000" not in promises.told(only(ops.store))["reason"]
    code, shown, _ = ops("--state", "dropped", "--json")
    assert (code, "13800138000" in shown, '"dropped"' in shown) == (0, False, True)
    assert ops("report", "--days", "3650")[0] == 0
    code, _, err = ops("again", ops.promise, "--by", "802")
    assert (code, "tried again from now on" in err) == (0, True)


def test_a_promise_is_shown_by_its_id_at_the_time_of_the_machine(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        code, shown, _ = ops("show", ops.promise)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert code == 0
    assert "made_at    2026-11-23 12:00" in shown
    code, _, err = ops("show", "p0")
    assert (code, "there is no promise p0" in err) == (2, True)


def test_a_length_that_is_none_is_told_in_a_sentence(ops: Ops) -> None:
    code, _, err = ops("--due", "abc")
    assert code == 2
    assert "'abc' is no length of time: write e.g. 30 min or 2 h" in err
