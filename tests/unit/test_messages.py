"""What callers leave is kept, once, whatever is killed and whenever."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import wave
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from migrated import new
from sqlalchemy import select

from ivr import tables
from ivr.actions import Keep
from ivr.hours import Hours
from ivr.intake import LATE, SETTLED, Intake, Taken
from ivr.messages import keep, kept, listed
from ivr.spool import Spool
from ivr.store import Call, Contact, Message, Recording, Store, write_rows

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
CALL = Call("pbx-1.1", "pbx", "pbx-1.1", "ems", "11185", "+8613800138000", NOON)
NAME = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
FALLBACK = "1763870400-123456789-987654321"
NOTE = {
    "system": "pbx",
    "call": "pbx-2.2",
    "hotline": "xjca",
    "number": "1001",
    "caller": "13900139000",
    "began": "1763870400",
    "ended": "1763870430",
}


def later(of: timedelta = SETTLED) -> datetime:
    return datetime.now(UTC) + of + timedelta(seconds=1)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("spool", "recordings"):
        (tmp_path / name).mkdir()
    return tmp_path / "spool", tmp_path / "recordings"


def spool(store: Store, folders: tuple[Path, Path], at: datetime | None = None) -> Spool:
    moment = at or later()
    return Spool(store, spool=folders[0], folder=folders[1], utc=lambda: moment)


def record(folder: Path, name: str, seconds: float = 1.0, hz: float = 300.0) -> Path:
    path = folder / f"{name}.wav"
    samples = np.sin(np.arange(int(seconds * 8000)) * 2 * np.pi * hz / 8000) * 9000
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(samples.astype("<i2").tobytes())
    return path


def all_recordings(store: Store) -> list[Recording]:
    with store.read() as connection:
        return [Recording(**row._mapping) for row in connection.execute(select(tables.recordings))]


# ---------------------------------------------------------------- what a flow keeps


def test_a_message_is_made_of_what_the_flow_wishes() -> None:
    wish = Keep(
        9,
        "agent_complaint",
        (
            ("contact", "13800138000"),
            ("recording", "r.wav"),
            ("surname", "s.wav"),
            ("staff_number", "12"),
            ("item", "123456785"),
            ("quality", "fine"),
            ("extension", "8001"),
            ("company", ""),
        ),
        "24 h",
    )
    made = kept(CALL, wish, HOURS, NOON, 12.5)
    assert isinstance(made, Message)
    assert (made.source, made.source_key) == ("call", "pbx-1.1#9")
    assert (made.kind, made.hotline, made.call_id) == ("agent_complaint", "ems", "pbx-1.1")
    assert (made.caller, made.contact) == ("+8613800138000", "13800138000")
    assert (made.recording, made.surname_recording, made.seconds) == ("r.wav", "s.wav", 12.5)
    assert (made.staff_number, made.item, made.quality) == ("12", "123456785", "fine")
    assert made.fields == {"extension": "8001"}
    assert (made.within, made.due_at) == ("24 h", NOON + timedelta(hours=24))
    assert made == kept(CALL, wish, HOURS, NOON, 12.5)


def test_nothing_promised_is_nothing_due() -> None:
    made = kept(CALL, Keep(1, "suggestion"), HOURS, NOON)
    assert isinstance(made, Message)
    assert made.due_at is None


def test_who_a_caller_is_is_kept_under_the_number_they_call_from(store: Store) -> None:
    wish = Keep(3, "caller", (("contact", "010-12345678"), ("company", "c.wav"), ("surname", "")))
    made = kept(CALL, wish, HOURS, NOON)
    assert made == Contact(
        "ems", "13800138000", {"contact": "010-12345678", "company": "c.wav"}, NOON
    )
    withheld = Call("x", "pbx", "x", "ems", "11185", "", NOON)
    assert isinstance(kept(withheld, Keep(3, "caller"), HOURS, NOON), Message)
    assert keep(store, CALL, wish, HOURS, NOON).reference == "ems/13800138000"
    assert store.contact("ems", "13800138000") == {"contact": "010-12345678", "company": "c.wav"}


def test_the_same_wish_tried_twice_is_one_message(store: Store) -> None:
    with store.write() as connection:
        write_rows(connection, Call, [CALL])
        write_rows(connection, Recording, [Recording("k", "message", NOON, None, "r.wav", 7.5)])
    wish = Keep(9, "message", (("recording", "r.wav"),), "2 working hours")
    first = keep(store, CALL, wish, HOURS, NOON)
    assert keep(store, CALL, wish, HOURS, NOON) == first
    [message] = listed(store, hotline="ems", state="new", call_id="pbx-1.1")
    assert (message.id, message.seconds) == (first.reference, 7.5)
    assert message.due_at == NOON + timedelta(hours=2)


# ---------------------------------------------------------------- recordings of a call


def test_slices_become_one_file_of_our_own(sqlite_store: Store, folders: tuple[Path, Path]) -> None:
    names = [f"{NAME}-{number:02d}" for number in range(3)]
    for name in names:
        record(folders[0], name, 1.5)
    made = spool(sqlite_store, folders).take(names, call_id="pbx-1.1", what="message")
    assert made.reference is not None
    path = folders[1] / made.reference
    assert made.seconds == pytest.approx(4.5)
    assert path.stat().st_mode & 0o777 == 0o600
    with wave.open(str(path)) as joined:
        assert joined.getnframes() == 36_000
    assert NAME not in path.name
    assert list(folders[0].iterdir()) == []
    assert [one.name for one in folders[1].iterdir()] == [made.reference]
    again = spool(sqlite_store, folders).take(names, call_id="pbx-1.1", what="message")
    assert again == made


def test_a_recording_that_never_began_is_empty(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    one = spool(sqlite_store, folders)
    assert one.take([], call_id=None, what="message").reference is None
    assert one.take([f"{NAME}-00"], call_id=None, what="message").quality == "empty"
    assert all_recordings(sqlite_store) == []


def test_links_and_strange_names_are_left_alone(
    sqlite_store: Store, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    secret = record(tmp_path, "secret")
    (folders[0] / f"{NAME}-00.wav").symlink_to(secret)
    (folders[0] / "a folder.wav").mkdir()
    one = spool(sqlite_store, folders, later(LATE))
    for name in (f"{NAME}-00", "../secret", "", ".hidden", "a folder"):
        assert one.take([name], call_id=None, what="message").reference is None
    assert Intake(one).run({"../secret": NOTE}).done == ()
    assert secret.exists()
    assert listed(sqlite_store) == []
    with pytest.raises(ValueError, match="is no recording"):
        one.path("../secret.wav")


@pytest.mark.parametrize(
    ("damage", "quality", "seconds"),
    [
        (lambda data: data, "noisy", 1.0),
        (lambda data: data[:44], "empty", 0.0),
        (
            lambda data: data[:4] + bytes(4) + data[8:40] + struct.pack("<I", 0) + data[44:],
            "cut",
            1.0,
        ),
        (lambda data: data[:5000], "cut", (5000 - 44) / 16_000),
        (lambda data: b"", "broken", 0.0),
        (lambda data: b"garbage" * 99, "broken", 0.0),
    ],
    ids=["whole", "empty", "length never written", "half written", "no byte", "no sound"],
)
def test_a_damaged_recording_is_noted_and_its_bytes_are_kept(
    sqlite_store: Store, folders: tuple[Path, Path], damage: object, quality: str, seconds: float
) -> None:
    path = record(folders[0], f"{NAME}-00", hz=1000.0)
    data = damage(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(data)
    made = spool(sqlite_store, folders).take([f"{NAME}-00"], call_id=None, what="message")
    assert made.quality == quality
    assert made.seconds == pytest.approx(seconds, abs=0.01)
    assert made.reference is not None
    file = spool(sqlite_store, folders).path(made.reference)
    assert file.exists()
    if quality == "broken":
        assert file.read_bytes() == data
    assert list(folders[0].iterdir()) == []


# ---------------------------------------------------------------- what is left over


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


def test_an_intake_killed_between_any_two_steps_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    """Each run stops one step later and is begun again; the next test does it with processes."""

    class Killed(BaseException):
        pass

    def run(die_at: int, home: Path) -> tuple[int, Store]:
        for name in ("spool", "recordings"):
            (home / name).mkdir(parents=True)
        store = new(home / "x.db")
        for number in range(2):
            record(home / "spool", f"{NAME}-{number:02d}")
        record(home / "spool", FALLBACK)
        steps = 0

        def between(step: str) -> None:
            nonlocal steps
            steps += 1
            if steps == die_at:
                raise Killed(step)

        moment = later()
        one = Spool(
            store,
            spool=home / "spool",
            folder=home / "recordings",
            utc=lambda: moment,
            between=between,
        )
        try:
            Intake(one).run({FALLBACK: NOTE})
        except Killed:
            steps = 0
            die_at = 0
            Intake(one).run({FALLBACK: NOTE})
        return steps, store

    total, store = run(0, tmp_path / "whole")
    store.close()
    assert total >= 10
    for die_at in range(1, total + 1):
        home = tmp_path / f"at{die_at}"
        _, store = run(die_at, home)
        check(store, home)
        store.close()


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
    for number in range(2):
        record(folders[0], f"{NAME}-{number:02d}")
    record(folders[0], FALLBACK)
    note = [f"{key}={value}" for key, value in NOTE.items()]
    command = [sys.executable, "-c", DYING, f"sqlite:///{tmp_path}/test.db", *map(str, folders)]
    killed = subprocess.run([*command, str(die_at), FALLBACK, *note], check=False)
    assert killed.returncode == 9
    Intake(spool(sqlite_store, folders)).run({FALLBACK: NOTE})
    check(sqlite_store, tmp_path)


def test_a_recording_is_erased_and_its_row_says_so(
    sqlite_store: Store, folders: tuple[Path, Path]
) -> None:
    """After which time, and unless who needs it: test_retention, test_erasing."""
    record(folders[0], f"{NAME}-00")
    made = spool(sqlite_store, folders, NOON).take([f"{NAME}-00"], call_id=None, what="message")
    one = spool(sqlite_store, folders)
    assert one.erase(made)
    assert list(folders[1].iterdir()) == []
    [row] = all_recordings(sqlite_store)
    assert row.reference == made.reference
    assert row.erased_at is not None
    assert not one.erase(made)
    assert os.listdir(folders[0]) == []
