"""Heads of the chain that are written down elsewhere tell what the database alone cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from ticketed import edited, found_in, heads, sealed_anew

from ivr.chain import Head, Witness


@pytest.mark.parametrize("seq", [1, 5, 8, 12])
def test_a_chain_sealed_anew_is_found_by_a_head_that_was_written_down_elsewhere(
    tmp_path: Path, seq: int
) -> None:
    known = heads(tmp_path)
    with edited(tmp_path) as database:
        database.execute("UPDATE ticket_history SET who = '899' WHERE seq = ?", (seq,))
        sealed_anew(database)
    assert found_in(tmp_path).findings == ()  # nothing within the database can tell
    assert found_in(tmp_path, (known[4], known[8], known[12])).first_bad_row in {
        1: (1,), 5: (5,), 8: (5,), 12: (9,),
    }[seq]  # fmt: skip


def test_a_tail_cut_off_and_the_head_put_back_is_found_by_a_head_written_down_elsewhere(
    tmp_path: Path,
) -> None:
    known = heads(tmp_path)
    with edited(tmp_path) as database:
        database.execute("DELETE FROM ticket_history WHERE seq > 9")
        sealed_anew(database)
        database.execute("UPDATE ticket_head SET length = 9")
    assert found_in(tmp_path, (known[12],)).first_bad_row == 10


def test_what_was_never_written_is_found_also_if_it_is_sealed_well(tmp_path: Path) -> None:
    for data in ("", "[]", '{"set":{"nothing":1}}', '{"set":{"due_at":"x"}}', '{"set":[1]}'):
        with edited(tmp_path) as database:
            database.execute("UPDATE ticket_history SET data = ? WHERE seq = 6", (data,))
            sealed_anew(database)
        assert found_in(tmp_path).first_bad_row == 6, data


def test_a_witness_writes_each_head_down_once_and_survives_a_line_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = Witness.of(tmp_path, f"sqlite:///{tmp_path}/x.db")
    assert witness.path == tmp_path / "x.db.heads"
    one, two = Head(1, "a" * 64), Head(2, "b" * 64)
    assert not witness.note(Head())
    assert [witness.note(one), witness.note(one)] == [True, False]
    with witness.path.open("a") as file:
        file.write("2:bbb")
    assert witness.note(two)
    assert list(witness.heads()) == [one, two]
    assert witness.path.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SANSHENG_TICKET_HEADS", str(tmp_path / "far"))
    server = Witness.of(tmp_path, "postgresql://me:secret@h/x")
    assert server.path.parent == tmp_path / "far"
    assert Witness.of(tmp_path, "postgresql://me:other@h/x").path == server.path
    assert Witness.of(tmp_path, "postgresql://me:secret@h/y").path != server.path


def test_a_witness_reads_only_the_end_of_its_file(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "x.heads")
    assert witness.last() is None
    known = [Head(n, f"{n:064x}") for n in range(1, 61)]
    witness.path.write_text("".join(f"\n{one}\n" for one in known))
    assert witness.last() == known[-1]
    assert not witness.note(known[-1])
    with witness.path.open("r+b") as file:
        file.write(b"\xff" * 100)  # what is long past is not looked at
        file.seek(0, 2)
        file.write(b"\n61:00")  # cut short by a crash
    assert witness.last() == known[-1]
    assert witness.note(Head(61, "1" * 64))
    assert witness.last() == Head(61, "1" * 64)
