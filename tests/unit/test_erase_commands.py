"""`sansheng erase`, `erasures` and `retention`, as ops type them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from house import CALLER, CONTACT, NOON, Ops
from typed import Sansheng

from ivr import erasing
from ivr.store import erase_call

REASON = "asked in writing, letter 12-4711"
OLDER = "asked by 13655556666, in writing"
"""What a version that took any reason may have written."""


def age() -> float:
    """Days from NOON back to now, for calls that are so old by the clock of this machine."""
    return (NOON - datetime.now(UTC)) / timedelta(days=1)


def left(ops: Ops, name: str = "c1", days: float = 2) -> str:
    """A call with a message, so many days ago; returns the message's id."""
    call = ops.house.call(name, age() + days)
    said = ops.house.recording(f"of {name}", name, age() + days)
    return ops.house.message(call, said)


def test_a_call_is_erased_by_somebody_for_a_reason_and_is_said_to_be(ops: Ops) -> None:
    message = left(ops)
    code, out, err = ops("erase", "c1", "--by", "812", "--reason", REASON)
    assert (code, out) == (2, "")
    assert "c1 cannot be erased now: ticket T1 is new (`sansheng tickets done`, then" in err
    ops.house.solve(message)
    code, out, err = ops("erase", "c1", "--by", "812", "--reason", REASON)
    assert (code, out, err) == (0, "c1 is erased: 1 call and 1 recording are gone for good\n", "")
    assert ops.house.files() == set()
    assert ops("tickets", "verify")[0] == 0
    assert ops("journal", "c1")[0] == 2
    code, out, err = ops("erase", "c1", "--by", "801", "--reason", "again")
    assert code == 0
    assert out.startswith("c1 was erased already, by 812, ")
    assert "gone" not in out


def test_erasures_are_listed_by_line_and_hold_no_whole_number(ops: Ops) -> None:
    ops.house.solve(left(ops))
    spool = ops.house.spool
    erasing.erase(ops.house.store, spool, "c1", erasing.Trace("812", datetime.now(UTC), OLDER))
    rows = ops.json("erasures")
    assert [(row["what"], row["call"], row["line"], row["by"]) for row in rows] == [
        ("call", "c1", "ems", "812"), ("recording", "c1", "ems", "812"),
    ]  # fmt: skip
    code, out, _ = ops("erasures", "--line", "ems")
    assert code == 0
    assert "812" in out
    again = ops("erase", "c1", "--by", "812", "--reason", REASON)[1]
    for told in (out, json.dumps(rows), again):
        assert "asked by *******6666, in writing" in " ".join(told.split())
        for number in (CALLER, CONTACT, "13655556666"):
            assert number not in told
    assert ops.json("erasures", "--line", "xjca") == []


def test_what_was_erased_is_not_in_the_database_any_more_nor_in_its_file(
    ops: Ops, root: Path, tmp_path: Path
) -> None:
    """A call that opened no ticket: its number and what was keyed are nowhere."""
    ops.house.contact(ops.house.call("c1", age() + 2))
    ops.house.store.close()
    assert all(one.encode() in (tmp_path / "x.db").read_bytes() for one in (CALLER, CONTACT))
    words = [*map(str, ops.options), "erase", "c1", "--by", "812", "--reason", "asked"]
    # a process of its own, as ops run it: the last one out empties SQLite's log into the file
    command = [sys.executable, "-m", "ivr.cli", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=root)
    with ops.house.store.write() as connection:
        tables = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).scalars()
        told = {
            name: str(connection.exec_driver_sql(f"SELECT * FROM {name}").all()) for name in tables
        }
    for number in (CALLER, CONTACT, "甲"):
        assert [name for name, text in told.items() if number in text] == []
    ops.house.store.close()
    for path in tmp_path.glob("x.db*"):
        assert not [one for one in (CALLER, CONTACT, "甲") if one.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["erase", "c9", "--by", "812", "--reason", "x"], "there is no call c9: `sansheng calls`"),
        (["erase", "up", "--by", "812", "--reason", "x"], "up is up (`sansheng live`)"),
        (["erase", "c1", "--by", "me", "--reason", "x"], "'me' is no staff number"),
        (["erase", "c1", "--by", "812", "--reason", " "], "a call is erased for a reason"),
        (["erase", "c1", "--by", "812"], "--reason"),
        (
            ["erase", "c1", "--by", "812", "--reason", OLDER],
            "leave out numbers of seven",
        ),
        (["erasures", "--line", "emss"], "there is no line 'emss': did you mean 'ems'?"),
        (["retention", "--calls", "9"], "ems: '9' is no time to keep something: write e.g. 90"),
    ],
)
def test_a_mistake_is_told_and_ends_with_2(ops: Ops, words: list[str], sentence: str) -> None:
    ops.house.call("c1", age() + 2)
    ops.house.call("up", age(), up=True)
    code, out, err = ops(*words)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())
    assert ops.house.journals() == {"c1", "up"}


def test_a_file_that_cannot_be_deleted_is_told_and_ends_with_1(ops: Ops, tmp_path: Path) -> None:
    ops.house.solve(left(ops))
    [name] = ops.house.files()
    path = tmp_path / "recordings" / name
    path.unlink()
    path.mkdir()
    code, out, err = ops("erase", "c1", "--by", "812", "--reason", "asked")
    assert (code, out) == (1, "")
    assert "c1 is erased, but not all files of its recordings" in err
    assert "(file still there)" in " ".join(ops("erasures")[1].split())
    path.rmdir()
    path.write_bytes(b"what was said")
    assert ops("erase", "c1", "--by", "812", "--reason", "asked")[0] == 0
    assert all(row["gone"] for row in ops.json("erasures"))


def test_a_command_without_the_service_s_environment_says_so(
    ops: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops.house.solve(left(ops))
    monkeypatch.setenv("SANSHENG_RECORDINGS", str(tmp_path / "elsewhere"))
    code, out, err = ops("erase", "c1", "--by", "812", "--reason", "asked")
    assert (code, out) == (1, "")
    assert "c1 is erased, but not all files of its recordings: 1 file" in err
    assert str(tmp_path / "elsewhere") in err
    assert "SANSHENG_RECORDINGS" in err
    assert len(ops.house.files()) == 1
    monkeypatch.setenv("SANSHENG_RECORDINGS", str(tmp_path / "recordings"))
    assert ops("erase", "c1", "--by", "812", "--reason", "asked")[0] == 0
    assert ops.house.files() == set()


def test_what_fails_before_anything_is_erased_is_told_so(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops.house.solve(left(ops))
    ops.house.recording("d" * 32, "c1", age() + 2, reference=None, quality="")
    monkeypatch.setenv("SANSHENG_SERVICE_SPOOL", "x" * 300)
    code, out, err = ops("erase", "c1", "--by", "812", "--reason", "asked")
    assert (code, out) == (2, "")
    assert "nothing of c1 is erased: File name too long" in err
    assert ops.house.journals() == {"c1"}


def test_a_second_time_says_why_nothing_more_goes(ops: Ops) -> None:
    message = left(ops)
    with ops.house.store.write() as connection:
        erase_call(connection, "c1", "asked", NOON, "812")
    code, out, _ = ops("erase", "c1", "--by", "801", "--reason", "again")
    assert code == 0
    assert "c1 was erased already, by 812, " in out
    assert "what is left of it stays, it is needed: ticket T1 is new (`sansheng tickets d" in out
    assert len(ops.house.files()) == 1
    ops.house.solve(message)
    code, out, _ = ops("erase", "c1", "--by", "801", "--reason", "again")
    assert "what was left of it is gone now, too: 0 calls and 1 recording" in out


def test_what_would_go_is_told_before_anything_is_written_into_a_file(ops: Ops) -> None:
    left(ops, "needed", 400)
    ops.house.solve(left(ops, "old", 399))
    ops.house.solve(left(ops, "young", 3))
    row = {"line": "ems", "keeps_recordings": "for ever", "keeps_calls": "for ever"}
    nothing = {"recordings": 0, "calls": 0, "messages": 0, "needed": 0}
    assert ops.json("retention", "--line", "ems") == [{**row, **nothing}]
    asked = ops.json("retention", "--recordings", "90 days", "--calls", "365 days")
    [ems] = [one for one in asked if one["line"] == "ems"]
    assert (ems["keeps_recordings"], ems["keeps_calls"]) == ("90 days", "365 days")
    assert (ems["recordings"], ems["calls"], ems["needed"]) == (1, 1, 2)
    code, out, err = ops("retention", "--calls", "1 day")
    assert code == 0
    assert "nothing is erased, and nothing set" in err
    assert "calls to go" in out
    assert ops.house.journals() == {"needed", "old", "young"}
    assert len(ops.house.files()) == 3


def test_a_wrong_time_in_a_line_s_file_is_told_by_check(
    sansheng: Sansheng, root: Path, tmp_path: Path
) -> None:
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("*.wav"))
    path = tmp_path / "flows/hotlines/ems.yaml"
    lines = path.read_text(encoding="utf-8").count("\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\nretention: {recordings: 3 months}\n")
    code, told, _ = sansheng("--root", tmp_path, "check")
    assert code == 1
    assert f"flows/hotlines/ems.yaml:{lines + 2} F671 '3 months' is no time to keep" in told
