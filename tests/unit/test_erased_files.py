"""Files of recordings are gone when it is said so, wherever they are looked for; and who erases
takes locks in the same order as who changes what is erased."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_once import after
from house import NOON, House
from sqlalchemy import Connection, select
from test_erasing import TRACE, full

from ivr import tables
from ivr.erasing import Needed, NotGone, erase, finish, listed
from ivr.retention import apply
from ivr.retention_rules import Rules
from ivr.spool import Spool
from ivr.store import Store

pytest_plugins = ["databases"]


@pytest.fixture
def house(sqlite_store: Store, tmp_path: Path) -> House:
    return House(sqlite_store, tmp_path)


def somewhere(house: House, folder: str = "recordings", spool: str = "spool") -> Spool:
    """The folders as a process with another environment calls them."""
    home = house.home
    return Spool(house.store, spool=home / spool, folder=home / folder, utc=lambda: NOON)


def gone(house: House) -> int:
    return sum(row["erased_at"] is not None for row in house.rows(tables.recordings))


@pytest.mark.parametrize("made", [True, False])
def test_who_looks_in_another_folder_does_not_say_that_a_file_is_gone(
    house: House, made: bool
) -> None:
    house.solve(full(house))
    if made:
        (house.home / "elsewhere").mkdir()
    with pytest.raises(NotGone, match=r"2 files .*elsewhere/\w+\.wav.*SANSHENG_RECORDINGS"):
        erase(house.store, somewhere(house, "elsewhere"), "c1", TRACE)
    assert len(house.files()) == 3
    assert gone(house) == 0
    assert house.journals() == {"c2"}, "what is in the database goes at once"
    assert {row["gone"] for row in listed(house.store) if row["what"] == "recording"} == {False}
    assert finish(house.store, house.spool) == 2  # the service, in its own folder
    assert len(house.files()) == 1


def test_what_is_not_in_the_service_s_own_folder_is_gone(house: House) -> None:
    """It died after the file had gone, or somebody has deleted the file by hand."""
    house.solve(full(house))
    with pytest.raises(NotGone):
        erase(house.store, somewhere(house, "elsewhere"), "c1", TRACE)
    for path in (house.home / "recordings").iterdir():
        path.unlink()
    with pytest.raises(NotGone, match="there is no such file"):
        erase(house.store, house.spool, "c1", TRACE)  # a command cannot know
    assert finish(house.store, house.spool) == 2
    assert gone(house) == 2


def test_a_folder_that_is_not_there_holds_nothing_that_is_gone(house: House) -> None:
    """A disk that is not mounted."""
    house.solve(full(house))
    (house.home / "recordings").rename(house.home / "away")
    for _ in range(2):
        with pytest.raises(NotGone):
            erase(house.store, house.spool, "c1", TRACE)
        with pytest.raises(NotGone):
            finish(house.store, house.spool)
    assert gone(house) == 0
    (house.home / "away").rename(house.home / "recordings")
    assert finish(house.store, house.spool) == 2


def test_without_its_spool_a_recording_that_is_not_taken_in_keeps_its_call(house: House) -> None:
    house.solve(full(house))
    house.recording("d" * 32, "c1", 2, reference=None, quality="")
    with pytest.raises(Needed, match=r"d+ may still lie in the spool.*elsewhere.*SANSHENG_SPOOL"):
        erase(house.store, somewhere(house, spool="elsewhere"), "c1", TRACE)
    assert erase(house.store, house.spool, "c1", TRACE).calls == 4


def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(house: House) -> None:
    house.solve(full(house))
    for row in house.rows(tables.recordings):
        if row["key"] in ("a" * 32, "c" * 32):
            path = house.home / "recordings" / row["reference"]
            path.unlink()
            path.mkdir()
    with pytest.raises(NotGone, match="1 file of"):
        erase(house.store, house.spool, "c1", TRACE)  # that of c2 is not asked for
    assert gone(house) == 1
    with house.store.write() as connection:
        rows = [row for row in house.rows(tables.recordings) if row["key"] == "c" * 32]
        trace = {"key": rows[0]["key"], "hotline": "ems", "who": "812", "reason": "asked"}
        connection.execute(tables.erased_recordings.insert(), [{**trace, "erased_at": NOON}])
    with pytest.raises(NotGone, match="2 files of"):
        finish(house.store, house.spool)


class DeadDisk(Spool):
    """Whose folder cannot be read."""

    def left(self) -> dict[str, list[str]]:
        raise OSError(5, "Input/output error")


def test_an_error_before_anything_is_erased_is_not_told_as_a_file_that_is_left(
    house: House,
) -> None:
    house.solve(full(house))
    house.recording("d" * 32, "c1", 2, reference=None, quality="")
    dead = DeadDisk(house.store, spool=house.home / "spool", folder=house.home, utc=lambda: NOON)
    with pytest.raises(OSError, match="Input/output") as error:
        erase(house.store, dead, "c1", TRACE)
    assert not isinstance(error.value, NotGone)
    assert len(house.journals()) == 5
    assert listed(house.store) == []


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
