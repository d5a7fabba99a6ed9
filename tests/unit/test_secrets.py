"""What must not be written down anywhere: passwords, and in logs whole numbers of callers.

The service runs as a process of its own, as ops run it, with passwords in every place where one
can be given; a call comes in; then everything it wrote is searched.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from realtime import until

from ivr import logs, store
from ivr.clock import SystemClock
from ivr.fake import FakeAsterisk
from ivr.fake_ami import Account
from ivr.manager import Manager, ManagerRefused

ROOT = Path(__file__).parents[2]
SECRET = "Xk7qManagerSecretXk7q"
PASSWORD = "Zw9vDatabasePasswordZw9v"
CALLER = "13812345678"
KEYED = "4731248290571"
"""Digits that a caller keyed."""


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below this folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "SANSHENG_ROOT": str(folder / "root"),
        "SANSHENG_MANAGER_SECRET": SECRET,
        "SANSHENG_SOUNDS": str(folder / "sounds"),
        "SANSHENG_SPOOL": str(folder / "spool"),
        "SANSHENG_RECORDINGS": str(folder / "kept"),
        "SANSHENG_CONTROL": str(folder / "c.sock"),
        "SANSHENG_LOG": "debug",
        **more,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root of our own: the lines, and no recordings to derive first."""
    made = tmp_path / "root"
    made.mkdir()
    for name in ("flows", "prompts", "asterisk"):
        (made / name).symlink_to(ROOT / name)
    (made / "var").mkdir()
    audio = ROOT / "var/audio"
    if audio.is_dir():
        (made / "var/audio").symlink_to(audio)
    (tmp_path / "spool").mkdir()
    return tmp_path


@asynccontextmanager
async def service(
    folder: Path, agi: int, manager: int, database: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "out.log").open("wb") as out, (folder / "err.log").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ivr.cli", "serve"),
            *("--agi", f"127.0.0.1:{agi}", "--manager", f"127.0.0.1:{manager}"),
            *("--database", database),
            env=environment(folder),
            cwd=ROOT,
            stdout=out,
            stderr=err,
        )
    try:
        log = folder / "err.log"
        await until(lambda: b'"ready"' in log.read_bytes() or process.returncode is not None, 60)
        assert process.returncode is None, log.read_text()
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@pytest.mark.parametrize("right", [True, False])
async def test_nothing_the_service_writes_holds_a_password_or_a_whole_number(
    root: Path, right: bool
) -> None:
    """Also when the manager refuses the password."""
    clock = SystemClock()
    agi = port()
    database = root / "calls.db"
    fake = FakeAsterisk(
        clock,
        ("127.0.0.1", agi),
        seconds=lambda path: 0.3,
        accounts={"sansheng": Account(SECRET if right else "another")},
    )
    manager = await fake.listen()
    # a password where SQLite would take one, as in the address of a PostgreSQL
    url = f"sqlite:///file:{database}?uri=true&key={PASSWORD}"
    async with service(root, agi, manager, url):
        call = fake.place_call("11185", CALLER, rung=9.0)
        await until(lambda: call.up, 30)
        call.press("2")
        for key in KEYED:
            await asyncio.sleep(0.35)  # as fast as a person keys: real time, a real process
            call.press(key)
        call.hang_up()
        await until(lambda: b'"a call ends"' in (root / "err.log").read_bytes())
    await fake.close()
    clock.close()
    written = everything(root)
    logged = {name: text for name, text in written.items() if name.endswith(".log")}
    assert {name for name, text in written.items() if SECRET.encode() in text} == set()
    assert {name for name, text in logged.items() if PASSWORD.encode() in text} == set()
    assert {name for name, text in logged.items() if CALLER.encode() in text} == set()
    assert {name for name, text in logged.items() if KEYED[:9].encode() in text} == set()
    rows = [json.loads(row) for row in logged["err.log"].decode().splitlines()]
    begins = [row for row in rows if row["event"] == "a call begins"]
    assert [row["caller"] for row in begins] == ["*" * 7 + CALLER[-4:]]
    with sqlite3.connect(database) as connection:  # the journal itself is exact
        assert connection.execute("select caller from calls").fetchall() == [(CALLER,)]
    connection.close()


def test_the_password_of_a_database_that_cannot_be_reached_is_not_told(root: Path) -> None:
    address = f"postgresql://me:{PASSWORD}@127.0.0.1:{port()}/x"
    command = [sys.executable, "-m", "ivr.cli", "serve", "--agi", f"127.0.0.1:{port()}"]
    done = subprocess.run(
        [*command, "--manager", "none", "--database", address],
        env=environment(root),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert PASSWORD.encode() not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql+psycopg://me:{PASSWORD}@[::1/x",
        f"oracle://me:{PASSWORD}@h/x",
        f"sqlite://me:{PASSWORD}@/x",
        f"me:{PASSWORD}@h",
        f"postgresql://me:{PASSWORD}@h:port/x",
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(store.StorageFailed) as refused:
        store.Store(address)
    assert PASSWORD not in f"{refused.value} {refused.value.__cause__!r}"


def test_a_database_is_shown_without_its_password() -> None:
    shown = store.Store(f"postgresql://me:{PASSWORD}@h/x")
    assert str(shown) == "postgresql+psycopg://me:***@h/x"
    assert PASSWORD not in f"{shown!r} {shown.engine!r}"


async def test_a_manager_does_not_show_its_password() -> None:
    clock = SystemClock()
    fake = FakeAsterisk(
        clock, ("127.0.0.1", 1), seconds=lambda path: None, accounts={"sansheng": Account("other")}
    )
    at = await fake.listen()
    manager = Manager("127.0.0.1", at, "sansheng", SECRET, clock=clock, on_event=lambda _: None)
    await manager.start()
    told = [repr(manager), manager.problem, str(ManagerRefused(manager.problem))]
    await manager.stop()
    await fake.close()
    clock.close()
    assert not manager.connected
    assert [one for one in told if SECRET in one] == []


def test_a_traceback_in_the_log_shows_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    for as_json in (True, False):
        logs.configure(as_json=as_json)
        secret = SECRET + CALLER
        try:
            raise ValueError(len(secret))
        except ValueError:
            structlog.get_logger("test").exception("an error of ours")
    logs.configure(level="warning")
    told = capfd.readouterr().err
    assert "ValueError" in told
    assert SECRET not in told
    assert CALLER not in told


def test_the_log_goes_where_standard_error_goes_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with io.StringIO() as gone, monkeypatch.context() as then:
        then.setattr(sys, "stderr", gone)
        logs.configure()
    structlog.get_logger("test").warning("still heard")
    assert "still heard" in capsys.readouterr().err
