"""Files of recordings are gone when it is said so, wherever they are looked for; and who erases
takes locks in the same order as who changes what is erased."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_once import after
from house import NOON, TRACE, House, full
from sqlalchemy import Connection, select

from ivr import tables
from ivr.erasing import Needed, NotGone, erase, finish, listed
from ivr.retention import apply
from ivr.retention_rules import Rules
from ivr.spool import Spool
from ivr.store import Store

pytest_plugins = ["databases"]


def somewhere(house: House, folder: str = "recordings", spool: str = "spool") -> Spool:
    """The folders as a process with another environment calls them."""
    home = house.home
    return Spool(house.store, spool=home / spool, folder=home / folder, utc=lambda: NOON)


def gone(house: House) -> int:
    return sum(row["erased_at"] is not None for row in house.rows(tables.recordings))


@pytest.mark.parametrize("made", [True, False])
def test_who_looks_in_another_folder_does_not_say_that_a_file_is_gone(
    small: House, made: bool
) -> None:
    small.solve(full(small))
    if made:
        (small.home / "elsewhere").mkdir()
    with pytest.raises(NotGone, match=r"2 files .*elsewhere/\w+\.wav.*SANSHENG_RECORDINGS"):
        erase(small.store, somewhere(small, "elsewhere"), "c1", TRACE)
    assert len(small.files()) == 3
    assert gone(small) == 0
    assert small.journals() == {"c2"}, "what is in the database goes at once"
    assert {row["gone"] for row in listed(small.store) if row["what"] == "recording"} == {False}
    assert finish(small.store, small.spool) == 2  # the service, in its own folder
    assert len(small.files()) == 1


def test_what_is_not_in_the_service_s_own_folder_is_gone(small: House) -> None:
    """It died after the file had gone, or somebody has deleted the file by hand."""
    small.solve(full(small))
    with pytest.raises(NotGone):
        erase(small.store, somewhere(small, "elsewhere"), "c1", TRACE)
    for path in (small.home / "recordings").iterdir():
        path.unlink()
    with pytest.raises(NotGone, match="there is no such file"):
        erase(small.store, small.spool, "c1", TRACE)  # a command cannot know
    assert finish(small.store, small.spool) == 2
    assert gone(small) == 2


def test_a_folder_that_is_not_there_holds_nothing_that_is_gone(small: House) -> None:
    """A disk that is not mounted."""
    small.solve(full(small))
    (small.home / "recordings").rename(small.home / "away")
    for _ in range(2):
        with pytest.raises(NotGone):
            erase(small.store, small.spool, "c1", TRACE)
        with pytest.raises(NotGone):
            finish(small.store, small.spool)
    assert gone(small) == 0
    (small.home / "away").rename(small.home / "recordings")
    assert finish(small.store, small.spool) == 2


def test_without_its_spool_a_recording_that_is_not_taken_in_keeps_its_call(small: House) -> None:
    small.solve(full(small))
    small.recording("d" * 32, "c1", 2, reference=None, quality="")
    with pytest.raises(Needed, match=r"d+ may still lie in the spool.*elsewhere.*SANSHENG_SPOOL"):
        erase(small.store, somewhere(small, spool="elsewhere"), "c1", TRACE)
    assert erase(small.store, small.spool, "c1", TRACE).calls == 4


def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(small: House) -> None:
    small.solve(full(small))
    for row in small.rows(tables.recordings):
        if row["key"] in ("a" * 32, "c" * 32):
            path = small.home / "recordings" / row["reference"]
            path.unlink()
            path.mkdir()
    with pytest.raises(NotGone, match="1 file of"):
        erase(small.store, small.spool, "c1", TRACE)  # that of c2 is not asked for
    assert gone(small) == 1
    with small.store.write() as connection:
        rows = [row for row in small.rows(tables.recordings) if row["key"] == "c" * 32]
        trace = {"key": rows[0]["key"], "hotline": "ems", "who": "812", "reason": "asked"}
        connection.execute(tables.erased_recordings.insert(), [{**trace, "erased_at": NOON}])
    with pytest.raises(NotGone, match="2 files of"):
        finish(small.store, small.spool)


class DeadDisk(Spool):
    """Whose folder cannot be read."""

    def left(self) -> dict[str, list[str]]:
        raise OSError(5, "Input/output error")


def test_an_error_before_anything_is_erased_is_not_told_as_a_file_that_is_left(
    small: House,
) -> None:
    small.solve(full(small))
    small.recording("d" * 32, "c1", 2, reference=None, quality="")
    dead = DeadDisk(small.store, spool=small.home / "spool", folder=small.home, utc=lambda: NOON)
    with pytest.raises(OSError, match="Input/output") as error:
        erase(small.store, dead, "c1", TRACE)
    assert not isinstance(error.value, NotGone)
    assert len(small.journals()) == 5
    assert listed(small.store) == []


# ---------------------------------------------------------------- who waits for whom


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("by", ["a command", "the service"])
def test_erasing_waits_for_a_promise_before_it_keeps_the_history_from_others(
    store: Store, tmp_path: Path, by: str
) -> None:
    """Whoever settles a promise locks it, and then the history: the other order is a deadlock."""
    house = House(store, tmp_path)
    house.solve(full(house))
    [promise] = house.ids(tables.promises, tables.promises.c.call_id == "c1")

    def settles(connection: Connection) -> None:
        row = select(tables.promises).where(tables.promises.c.id == promise)
        connection.execute(row.with_for_update())

    def erasing() -> int:
        if by == "a command":
            return erase(store, house.spool, "c1", TRACE).calls
        return apply(store, house.spool, "ems", Rules(calls=1), NOON, "calls").calls

    def goes_on(connection: Connection) -> None:
        connection.execute(select(tables.ticket_head).with_for_update(nowait=True))

    assert after(store, settles, erasing, meanwhile=goes_on) == 4
