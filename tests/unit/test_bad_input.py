"""Whatever is typed, and wherever the database is, is answered by a sentence with what to do."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from house import CALLER, House
from migrated import new
from typed import Sansheng, on

from ivr import listing
from ivr.store import StorageFailed

HUGE = "99999999999999999999"


@pytest.fixture
def typed(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sansheng:
    """The command line, over a database with one call whose journal makes no sense."""
    house = House(new(tmp_path / "x.db"), tmp_path)
    house.message(house.call("c1", 1))
    house.store.close()
    return Sansheng(capsys, "--root", root, *on(tmp_path / "x.db"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["calls", "--limit", HUGE], "'--limit'"),
        (["promises", "report", "--days", HUGE], "'--days'"),
        (["offenders", "--least", HUGE], "'--least'"),
        (["serve", "--most", "0"], "'--most'"),
        (["run", "--sip-port", "99999"], "'--sip-port'"),
        (["run", "--rtp-port", "0"], "'--rtp-port'"),
        (["simulate", "x", "--jobs", "0"], "'--jobs'"),
        (["simulate", "x", "--times", "0"], "'--times'"),
        (["journal", "c1"], "the journal of c1 cannot be read: "),
        (["replay", "c1"], "c1 cannot be replayed: "),
        (["replay", "c3"], "there is no call c3: `sansheng calls` lists them"),
        (["maintenance", "of"], "'of' is neither on nor off: `sansheng maintenance on LINE`"),
        (["explore", "ems", "nope"], "there is no flow 'nope': choose from advice, "),
        (["dialplan", "--into", "/nope/x"], "/nope/x: No such file or directory"),
        (["install-sounds", "/dev/null/x"], "nothing is written: /dev/null/x"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(typed: Sansheng, words: list[str], told: str) -> None:
    code, out, err = typed(*words)
    assert code == 2
    assert told in err
    assert "Traceback" not in out + err


def test_a_number_that_was_noted_is_masked_in_the_list_of_calls(typed: Sansheng) -> None:
    assert "13911112222" not in typed("calls")[1]
    assert typed.json("calls")[0]["record"]["contact"] == "*******2222"


# ---------------------------------------------------------------- the database


def test_a_database_that_cannot_be_used_is_told_with_what_to_do(
    sansheng: Sansheng, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text("hello" * 1000)
    for database, told in (
        (f"sqlite:///{tmp_path / 'x.txt'}", "file is not a database: give the right one with"),
        (f"sqlite:///{tmp_path}", "unable to open database file: is it there, and may this user"),
        ("nonsense", "write e.g. sqlite:////path or postgresql://user@host/name"),
        ("postgresql://me:word@127.0.0.1:1/x", "Connection refused"),
    ):
        code, out, err = sansheng("--root", root, "--database", database, "calls")
        assert (code, out) == (2, "")
        assert told in err, database
        assert err.count("\n") == 1, err
        assert "word" not in err


def test_a_database_that_may_not_be_written_is_told(
    sansheng: Sansheng, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object) -> None:
        raise StorageFailed("x.db: attempt to write a readonly database")

    new(tmp_path / "x.db").close()
    monkeypatch.setattr(listing.Store, "upgrade", fails)
    code, _, err = sansheng("--root", root, *on(tmp_path / "x.db"), "calls")
    assert code == 2
    assert "run the command as the service's user" in err


def test_a_database_of_a_newer_version_is_left_alone(
    sansheng: Sansheng, root: Path, tmp_path: Path
) -> None:
    new(tmp_path / "x.db").close()
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (["calls"], ["tickets"], ["erase", "c1", "--by", "1", "--reason", "x"]):
        code, _, err = sansheng("--root", root, *on(tmp_path / "x.db"), *words)
        assert code == 2
        assert "it was made by a newer version" in err


def test_an_error_of_the_database_names_no_caller(tmp_path: Path) -> None:
    """It is logged with what led to it."""
    house = House(new(tmp_path / "x.db"), tmp_path)
    with pytest.raises(StorageFailed) as told:
        house.call("c1", 1, version="of no row")
    assert told.value.__cause__ is not None
    assert CALLER not in f"{told.value}{told.value.__cause__}"
    house.store.close()


# ---------------------------------------------------------------- a line's file


def test_what_is_owed_is_shown_also_while_a_line_s_file_is_broken(
    typed: Sansheng, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "flows", tmp_path / "flows")
    (tmp_path / "flows/hotlines/ems.yaml").write_text("hotline: [")
    broken = Sansheng(typed.capsys, "--root", tmp_path, *on(tmp_path / "x.db"))
    for words, told in ((["tickets"], "T1"), (["line"], "no callers"), (["promises"], "message")):
        code, out, err = broken(*words)
        assert code == 0
        assert told in out
    code, _, err = broken("tickets")
    assert "flows/hotlines/ems.yaml:1 F101" in err
    assert "as if nothing were written" in err
