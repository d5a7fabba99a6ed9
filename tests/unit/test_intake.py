"""What callers said when nobody could keep it becomes messages, once, whatever is killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from house import Killed, Killer
from migrated import new
from spooled import (
    CALL,
    FALLBACK,
    HOURS,
    NAME,
    NOON,
    NOTE,
    OTHER,
    later,
    places,
    record,
    spool,
)

from ivr.actions import Keep
from ivr.intake import LATE, Intake, Taken
from ivr.messages import keep, listed
from ivr.store import Call, Recording, Store, write_rows

pytest_plugins = ["databases"]


def test_slices_of_a_call_whose_service_died_become_its_message(
    store: Store, folders: tuple[Path, Path]
) -> None:
    with store.write() as connection:
        write_rows(connection, Call, [replace(CALL, record={"kind": "complaint"}, ended_at=NOON)])
        begun = [
            Recording(NAME, "message", NOON, "pbx-1.1"),
            Recording(OTHER, "surname", NOON, "pbx-1.1"),
        ]
        write_rows(connection, Recording, begun)
    for number in range(2):
        record(folders[0], f"{NAME}-{number:02d}")
    one = spool(store, folders)
    first = Intake(one).run({})
    [message] = listed(store)
    assert first.messages == (message.id,)
    assert (message.kind, message.hotline, message.call_id) == ("complaint", "ems", "pbx-1.1")
    assert message.contact == "13800138000"
    assert message.seconds == pytest.approx(2.0)
    assert Intake(one).run({}).messages == ()
    assert len(listed(store)) == 1


def test_slices_of_a_call_that_is_still_up_are_left_to_it(
    store: Store, folders: tuple[Path, Path]
) -> None:
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
        write_rows(connection, Recording, [Recording(NAME, "message", NOON, "pbx-1.1")])
    record(folders[0], f"{NAME}-00")
    one = spool(store, folders)
    assert Intake(one).run({}) == Taken(waiting=1)
    assert len(list(folders[0].iterdir())) == 1
    with store.write() as connection:
        write_rows(connection, Call, [replace(CALL, ended_at=NOON)])
    assert len(Intake(one).run({}).messages) == 1


def test_slices_of_nobody_we_know_are_a_message_all_the_same(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    record(folders[0], f"{NAME}-00")
    Intake(spool(sqlite_store, folders)).run({})
    [message] = listed(sqlite_store)
    assert (message.kind, message.call_id, message.hotline) == ("message", None, "")


def test_what_is_still_being_recorded_is_left_for_the_next_time(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    record(folders[0], f"{NAME}-00")
    record(folders[0], FALLBACK)
    now = spool(sqlite_store, folders, datetime.now(UTC))
    assert Intake(now).run({FALLBACK: NOTE}).waiting == 2
    assert len(list(folders[0].iterdir())) == 2
    assert len(Intake(spool(sqlite_store, folders)).run({FALLBACK: NOTE}).messages) == 2


def test_a_recording_whose_message_is_kept_makes_no_second_one(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    """The service died after the message was kept, before the slices were gone."""
    names = [f"{NAME}-00"]
    path = record(folders[0], names[0])
    data = path.read_bytes()
    one = spool(sqlite_store, folders)
    made = one.take(names, call_id="pbx-1.1", what="message")
    with sqlite_store.write() as connection:
        write_rows(connection, Call, [replace(CALL, ended_at=NOON)])
    keep(
        sqlite_store, CALL, Keep(9, "message", (("recording", made.reference or ""),)), HOURS, NOON
    )
    path.write_bytes(data)
    assert Intake(one).run({}).messages == ()
    assert len(listed(sqlite_store)) == 1
    assert list(folders[0].iterdir()) == []


def test_a_call_that_died_between_recording_and_keeping_has_left_a_message(
    store: Store, folders: tuple[Path, Path]
) -> None:
    with store.write() as connection:
        write_rows(
            connection, Call, [CALL, Call("c2", "pbx", "2", "ems", "1", "", NOON, ended_at=NOON)]
        )
    for name, call_id, what in (
        (NAME, CALL.id, "message"),
        (OTHER, CALL.id, "surname"),
        ("a" * 32, "c2", "message"),  # that call ended as it should: its flow did not keep it
    ):
        record(folders[0], f"{name}-00")
        now = spool(store, folders, datetime.now(UTC))
        now.take([f"{name}-00"], call_id=call_id, what=what)
    assert Intake(spool(store, folders)).run({}).messages == ()
    assert len(Intake(spool(store, folders, later(LATE))).run({}).messages) == 1
    [message] = listed(store)
    assert message.call_id == CALL.id
    assert message.recording
    assert message.surname_recording
    assert Intake(spool(store, folders, later(LATE))).run({}).messages == ()


def test_what_the_dialplan_recorded_without_us_is_taken_in_once(
    store: Store, folders: tuple[Path, Path]
) -> None:
    record(folders[0], FALLBACK, 2.0)
    with store.write() as connection:
        row = Call("pbx-2.2", "pbx", "pbx-2.2", "xjca", "1001", "13900139000", NOON)
        write_rows(connection, Call, [row])
    one = spool(store, folders)
    first = Intake(one).run({FALLBACK: NOTE})
    assert first.done == (FALLBACK,)
    [message] = listed(store)
    assert first.messages == (message.id,)
    assert (message.source, message.source_key) == ("fallback", f"pbx/pbx-2.2/{FALLBACK}")
    assert (message.hotline, message.caller, message.fields) == (
        "xjca", "13900139000", {"number": "1001"},
    )  # fmt: skip
    assert message.created_at == datetime.fromtimestamp(1763870400, UTC)
    assert message.call_id == "pbx-2.2"
    assert message.seconds == pytest.approx(2.0)
    second = Intake(one).run({FALLBACK: NOTE})
    assert (second.messages, second.done) == ((), (FALLBACK,))
    assert len(listed(store)) == 1


def test_a_caller_who_left_no_word_is_noted_all_the_same(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    one = spool(sqlite_store, folders, datetime.fromtimestamp(1763870500, UTC))
    silent = {key: value for key, value in NOTE.items() if key != "ended"}
    assert Intake(one).run({FALLBACK: silent}).waiting == 1  # it may be recording this very moment
    assert Intake(one).run({FALLBACK: NOTE}).done == (FALLBACK,)
    [message] = listed(sqlite_store)
    assert (message.quality, message.recording, message.caller) == ("missing", "", "13900139000")


def test_a_recording_without_a_note_is_taken_later_and_learns_when_the_note_is_found(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    record(folders[0], FALLBACK)
    assert Intake(spool(sqlite_store, folders)).run({}).waiting == 1
    assert len(Intake(spool(sqlite_store, folders, later(LATE))).run({}).messages) == 1
    [before] = listed(sqlite_store)
    assert (before.hotline, before.caller) == ("", "")
    assert Intake(spool(sqlite_store, folders)).run({FALLBACK: NOTE}).messages == ()
    [after] = listed(sqlite_store)
    assert (after.id, after.recording) == (before.id, before.recording)
    assert (after.hotline, after.caller, after.source_key) == (
        "xjca", "13900139000", f"pbx/pbx-2.2/{FALLBACK}",
    )  # fmt: skip


def test_hostile_notes_do_no_harm(store: Store, folders: tuple[Path, Path]) -> None:
    notes = {
        "../../etc/passwd": NOTE,
        "a\x00b": NOTE,
        "plain": {"caller": "\udcff'; DROP TABLE messages", "began": "9" * 40, "hotline": "\x00"},
    }
    taken = Intake(spool(store, folders)).run(notes)
    assert taken.done == ("plain",)
    [message] = listed(store)
    assert message.caller == "\\udcff'; DROP TABLE messages"


DYING = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ivr.intake import Intake
from ivr.spool import Spool
from ivr.store import Store

url, spool, folder, die_at = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
notes = {sys.argv[5]: dict(pair.split("=") for pair in sys.argv[6:])}
steps = 0

def between(step):
    global steps
    steps += 1
    if steps == die_at:
        os._exit(9)

moment = datetime.now(UTC) + timedelta(seconds=10)
one = Spool(Store(url), spool=spool, folder=folder, utc=lambda: moment, between=between)
Intake(one).run(notes)
print(steps)
"""


def test_an_intake_killed_between_any_two_steps_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Each run stops one step later and is begun again; the next test does it with processes."""
    for die_at in count(1):
        home, killer = tmp_path / f"at{die_at}", Killer(die_at)
        home.mkdir()
        folders = places(home)
        two_left(folders)
        store = new(home / "x.db")
        with suppress(Killed):
            Intake(spool(store, folders, between=killer)).run({FALLBACK: NOTE})
        Intake(spool(store, folders)).run({FALLBACK: NOTE})
        check(store, home)
        store.close()
        if killer.steps < die_at:
            break
    assert die_at > 10


def two_left(folders: tuple[Path, Path]) -> None:
    """Two slices of a call that died, and what the dialplan recorded without us."""
    for number in range(2):
        record(folders[0], f"{NAME}-{number:02d}")
    record(folders[0], FALLBACK)


def check(store: Store, home: Path) -> None:
    left = listed(store)
    assert sorted(one.source for one in left) == ["call", "fallback"]
    assert list((home / "spool").iterdir()) == []
    files = {path.name for path in (home / "recordings").iterdir()}
    assert files == {one.recording for one in left}
    lengths = {one.source: one.seconds for one in left}
    assert lengths == {"call": pytest.approx(2.0), "fallback": pytest.approx(1.0)}


@pytest.mark.parametrize("die_at", [2, 6])
def test_a_process_killed_in_the_middle_of_an_intake_is_finished_by_the_next(
    sqlite_store: Store, folders: tuple[Path, Path], tmp_path: Path, die_at: int
) -> None:
    two_left(folders)
    note = [f"{key}={value}" for key, value in NOTE.items()]
    command = [sys.executable, "-c", DYING, f"sqlite:///{tmp_path}/test.db", *map(str, folders)]
    killed = subprocess.run([*command, str(die_at), FALLBACK, *note], check=False)
    assert killed.returncode == 9
    Intake(spool(sqlite_store, folders)).run({FALLBACK: NOTE})
    check(sqlite_store, tmp_path)
