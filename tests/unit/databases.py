"""Real databases for tests: SQLite files, and a PostgreSQL server of the tests' own.

The server runs on a free loopback port in a folder of its own, as another user if we are root
(PostgreSQL refuses root), and is stopped at the end of the session. Where its programs are not
installed the tests that need it are skipped, and say so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from migrated import new
from sqlalchemy import create_engine, text

from ivr.store import Store


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found is not None:
        return found
    paths = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(paths[-1]) if paths else None


def _user() -> str | None:
    """The user that runs the server, None for ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of our own."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("NOT TESTED on PostgreSQL: no initdb and pg_ctl here (apt install postgresql)")
    user = _user()
    home = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if user is not None:
            shutil.chown(home, user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        data, log = home / "data", home / "log"
        quiet = {"stdout": subprocess.DEVNULL, "user": user, "cwd": home, "check": True}
        subprocess.run(
            [initdb, "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            **quiet,
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -c fsync=off"
        subprocess.run(
            [pg_ctl, "-D", data, "-l", log, "-w", "-t", "30", "-o", options, "start"], **quiet
        )
        server = f"postgresql+psycopg://tester@127.0.0.1:{port}"
        try:
            yield server
        finally:
            subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "-w", "stop"], **quiet)
    finally:
        shutil.rmtree(home)


def _statement(server: str, *statements: str) -> None:
    admin = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    admin.dispose()


def _new(server: str, template: str) -> str:
    """The address of a new copy of this database; the one before it is gone."""
    _statement(
        server,
        "DROP DATABASE IF EXISTS test WITH (FORCE)",
        f"CREATE DATABASE test TEMPLATE {template} STRATEGY FILE_COPY",
    )
    return f"{server}/test"


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """The name of a database with its tables, of which others are copies."""
    _statement(postgresql, "CREATE DATABASE migrated")
    store = Store(f"{postgresql}/migrated")
    store.upgrade()
    store.close()
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new, empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    return _new(request.getfixturevalue("postgresql"), "template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database with its tables, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        new(tmp_path / "test.db").close()
        return f"sqlite:///{tmp_path}/test.db"
    template = request.getfixturevalue("migrated_postgresql")
    return _new(request.getfixturevalue("postgresql"), template)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new database with its tables, on SQLite and on PostgreSQL."""
    opened = Store(url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """A new database with its tables, on SQLite alone."""
    opened = new(tmp_path / "test.db")
    yield opened
    opened.close()
