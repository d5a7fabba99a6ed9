"""`sansheng tickets` and `sansheng offenders`, as ops type them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from migrated import new
from sqlalchemy import select
from typed import Sansheng, on

from ivr import offenders, tables
from ivr.actions import Keep
from ivr.hotlines import Hotlines
from ivr.hours import Hours
from ivr.messages import keep
from ivr.store import Call, write_rows
from ivr.ticket_commands import app

CALLER, CONTACT = "13800138000", "13911112222"
NOW = datetime.now(UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))


class Desk(Sansheng):
    """A database and the command line."""

    def __init__(self, root: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "x.db"
        super().__init__(capsys, "--root", root, *on(self.path))
        self.store = new(self.path)


@pytest.fixture
def desk(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, lines: Hotlines,
) -> Any:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    made = Desk(root, tmp_path, capsys)
    call = Call("c1", "fake", "1", "ems", "11185", CALLER, NOW)
    values = (("contact", CONTACT), ("recording", "r.wav"), ("staff_number", "812"))
    with made.store.write() as connection:
        write_rows(connection, Call, [call])
    rules = lines.lines["ems"].tickets
    for number, (kind, ago) in enumerate(
        [("complaint", 25.0), ("agent_complaint", 23.0), ("message", 1.0)]
    ):
        at = NOW - timedelta(hours=ago)
        keep(made.store, call, Keep(number, kind, values, "24 h"), HOURS, at, rules)
    yield made
    made.store.close()


def test_open_tickets_are_listed_the_one_due_first_first_and_fit_a_terminal(desk: Desk) -> None:
    for words in (["tickets"], ["tickets", "list"]):
        code, out, _ = desk(*words)
        assert code == 0
        assert [line.split()[0] for line in out.splitlines() if line.startswith("T")] == [
            "T1", "T2", "T3",
        ]  # fmt: skip
        assert max(map(len, out.splitlines())) <= 80
        assert CONTACT not in out
        assert CALLER not in out


def test_what_is_overdue_and_due_soon_is_listed_by_itself(desk: Desk) -> None:
    assert [row["ticket"] for row in desk.json("tickets", "--overdue")] == ["T1"]
    assert [row["ticket"] for row in desk.json("tickets", "--due-soon")] == ["T2"]
    rows = desk.json("tickets", "list", "--overdue", "--due-soon")
    assert [(row["ticket"], row["stands"]) for row in rows] == [
        ("T1", "overdue"), ("T2", "due_soon"),
    ]  # fmt: skip


def test_a_list_for_programs_masks_numbers_and_show_gives_the_contact(desk: Desk) -> None:
    rows = desk.json("tickets", "--line", "ems")
    assert (rows[0]["contact"], rows[0]["caller"]) == ("*******2222", "*******8000")
    one = desk.json("tickets", "show", "T2")
    assert (one["contact"], one["caller"], one["staff_number"]) == (CONTACT, CALLER, "812")
    assert one["owner"] == "supervisor"
    assert CONTACT not in json.dumps(one["history"])
    code, out, _ = desk("tickets", "show", "T2")
    assert code == 0
    assert CONTACT in out
    assert "opened" in out


def test_a_number_in_a_remark_is_masked_in_the_history(desk: Desk) -> None:
    desk("tickets", "remark", "T1", "rang 13655556666, twice", "--by", "812")
    for told in (desk("tickets", "show", "T1")[1], json.dumps(desk.json("tickets", "show", "T1"))):
        assert "13655556666" not in told
        assert "rang *******6666, twice" in told


def test_a_ticket_is_followed_by_commands_until_it_is_closed(desk: Desk) -> None:
    for words, told in (
        (["take", "T1", "--by", "812"], "T1 is taken"),
        (["wait", "T1", "--for", "documents", "--by", "812"], "T1 is waiting for documents"),
        (["remark", "T1", "the fax is there", "--by", "812"], "T1 has a remark more"),
        (["assign", "T1", "--to", "expert", "--by", "812"], "T1 is owned by expert"),
        (["grade", "T1", "serious", "--by", "811"], "T1 is serious"),
        (["done", "T1", "--by", "813", "--text", "refunded"], "T1 is done"),
        (["close", "T1", "--by", "813"], "T1 is closed"),
    ):
        assert desk("tickets", *words) == (0, f"{told}\n", ""), words
    one = desk.json("tickets", "show", "T1")
    assert (one["state"], one["owner"], one["grade"]) == ("closed", "expert", "serious")
    assert [(step["what"], step["who"]) for step in one["history"]] == [
        ("opened", "call"), ("taken", "812"), ("waiting_documents", "812"), ("remark", "812"),
        ("assigned", "812"), ("graded", "811"), ("done", "813"), ("closed", "813"),
    ]  # fmt: skip
    assert [row["ticket"] for row in desk.json("tickets")] == ["T2", "T3"]
    assert [row["ticket"] for row in desk.json("tickets", "--state", "closed")] == ["T1"]
    assert len(desk.json("tickets", "--state", "all")) == 3
    assert desk("tickets", "verify")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "T9"], "there is no ticket T9: `sansheng tickets` lists them"),
        (["take", "T9", "--by", "812"], "there is no ticket T9"),
        (["take", "T1", "--by", "Wang"], "'Wang' is no staff number"),
        (["close", "T1", "--by", "812"], "T1 is new: it can become closed when it is done"),
        (["--state", "opne"], "there is no state 'opne'"),
        (["--state", "opne"], "choose one of new, taken, waiting_form"),
        (["--line", "emss"], "did you mean 'ems'?"),
        (["wait", "T1", "--for", "form1", "--by", "8"], "did you mean 'form'?"),
        (["remark", "T1", " ", "--by", "8"], "a remark says something"),
        (["remark", "T1", "x", "--as", "y", "--by", "8"], "remark, follow_up, report"),
        (["assign", "T1", "--to", "boss", "--by", "8"], "service, expert, supervisor"),
        (["grade", "T1", "mild", "--by", "8"], "light, serious, very_serious"),
        (["verify", "--head", "12"], "'12' is no head"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(desk: Desk, words: list[str], sentence: str) -> None:
    code, _, err = desk("tickets", *words)
    assert code == 2
    assert sentence in err


def test_no_command_edits_or_deletes() -> None:
    names = {one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands}
    assert names == {
        "list", "show", "take", "wait", "done", "close", "remark", "assign", "grade", "verify",
    }  # fmt: skip


# ---------------------------------------------------------------- verify


def changed(desk: Desk, statement: str) -> None:
    """As an editor of the database file does it."""
    with closing(sqlite3.connect(desk.path)) as database:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
        database.commit()


def test_an_empty_database_is_whole(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Desk(root, tmp_path, capsys)
    assert empty("tickets", "verify")[0] == 0
    assert empty.json("tickets", "verify")["findings"] == []
    assert empty("tickets")[1] == "no tickets\n"
    empty.store.close()


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE ticket_history SET who = '899' WHERE seq = 2", 2),
        ("DELETE FROM ticket_history WHERE seq = 2", 2),
        ("DELETE FROM ticket_history WHERE ticket = 'T3'", 3),
    ],
)
def test_what_was_changed_in_the_file_is_found_and_the_first_bad_row_is_named(
    desk: Desk, statement: str, row: int
) -> None:
    assert desk("tickets", "verify")[0] == 0
    changed(desk, statement)
    code, out, _ = desk("tickets", "verify")
    assert code == 1
    assert out.startswith(f"row {row}: ")
    assert desk.json("tickets", "verify", code=1)["first_bad_row"] == row


def test_a_command_writes_the_head_down_beside_the_database_and_verify_reads_it(
    desk: Desk,
) -> None:
    desk("tickets", "take", "T1", "--by", "812")
    head = desk.json("tickets", "verify")["head"]
    assert head in desk.path.with_name("x.db.heads").read_text()
    assert desk("tickets", "verify", "--head", head)[0] == 0
    code, out, _ = desk("tickets", "verify", "--head", "3:" + "0" * 64)
    assert code == 1
    assert "rows 1 to 3" in out


def test_a_head_that_cannot_be_written_down_is_told_and_the_ticket_is_taken_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SANSHENG_TICKET_HEADS", str(tmp_path / "file"))
    code, _, err = desk("tickets", "remark", "T1", "x", "--by", "812")
    assert code == 0
    assert "it is done, but the head" in err


def test_heads_that_cannot_be_read_are_no_proof_and_it_is_said(desk: Desk) -> None:
    desk.path.with_name("x.db.heads").mkdir()
    code, _, err = desk("tickets", "verify")
    assert code == 2
    assert "x.db.heads cannot be read" in err
    assert "Traceback" not in err


def test_a_database_that_is_broken_is_not_whole(desk: Desk) -> None:
    changed(desk, "DROP TABLE ticket_head")
    code, out, _ = desk("tickets", "verify")
    assert code == 1
    assert "the history cannot be read" in out


# ---------------------------------------------------------------- offenders


@pytest.fixture
def harassed(desk: Desk) -> Desk:
    calls = [
        Call(f"h{n}", "fake", f"h{n}", line, "1", caller, NOW + timedelta(minutes=n),
             record={"result": result})
        for n, (line, caller, result) in enumerate([
            ("ems", "13700000001", "harassment"), ("xjca", "+8613700000001", "harassment"),
            ("ems", "13700000002", "harassment"), ("ems", "13700000003", "message"),
            ("ems", "", "harassment"), ("ems", "", "harassment"),
        ])
    ]  # fmt: skip
    with desk.store.write() as connection:
        write_rows(connection, Call, calls)
    return desk


def test_offenders_are_listed_masked_the_worst_first(harassed: Desk) -> None:
    rows = harassed.json("offenders")
    assert [(row["number"], row["times"], row["calls"]) for row in rows] == [
        ("(withheld)", 2, ["h5", "h4"]), ("*******0001", 2, ["h1", "h0"]),
    ]  # fmt: skip
    assert rows[1]["lines"] == ["ems", "xjca"]
    assert len(harassed.json("offenders", "--least", "1")) == 3
    assert [row["times"] for row in harassed.json("offenders", "--line", "xjca")] == []
    code, out, _ = harassed("offenders")
    assert code == 0
    assert "13700000001" not in out
    assert "there is no line 'no'" in harassed("offenders", "--line", "no")[2]


def test_whole_numbers_are_given_for_a_reason_that_is_written_down(harassed: Desk) -> None:
    code, out, err = harassed("offenders", "--full")
    assert (code, "for a reason" in err, "1370" in out) == (2, True, False)
    code, out, err = harassed("offenders", "--full", "--reason", "police file 7")
    assert (code, "is no staff number" in err, "1370" in out) == (2, True, False)
    with harassed.store.read() as connection:
        assert connection.execute(select(tables.disclosures)).all() == []
    rows = harassed.json("offenders", "--full", "--by", "812", "--reason", "police file 7")
    assert rows[1]["number"] == "13700000001"
    with harassed.store.read() as connection:
        [row] = connection.execute(select(tables.disclosures)).all()
    assert (row.who, row.reason, row.what, row.rows) == ("812", "police file 7", "offenders", 2)


def test_a_disclosure_can_neither_be_changed_nor_deleted(harassed: Desk) -> None:
    offenders.disclosed(harassed.store, [], "812", "audit", NOW)
    with closing(sqlite3.connect(harassed.path)) as database:
        for statement in ("UPDATE disclosures SET who = '1'", "DELETE FROM disclosures"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)
