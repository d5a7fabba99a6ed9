"""The database: how it is opened, brought up to date, written, read and erased.

Rules this module keeps:

- SQLAlchemy Core on SQLite (the default: one file, WAL, every commit synced) or PostgreSQL.
  The same rows and the same errors on both.
- The journal is append-only, and the database itself refuses to change it. There is one door:
  `erase_call`, which leaves a row in `erasures` that says who, when and why.
- A write transaction on SQLite begins with BEGIN IMMEDIATE, so that two processes wait for each
  other (5 s at most) and never fail half way.
- Everything here blocks: on an event loop it goes through `clock.in_executor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ivr.inserting import insert_new, upsert
from ivr.tables import (
    attempts,
    calls,
    contacts,
    erasures,
    journal,
    messages,
    promises,
    recordings,
    versions,
)

BUSY = 5000
"""How long one writer waits for another, in milliseconds."""
CONNECT = 5
"""How long PostgreSQL may take to answer, in seconds: so long does a caller wait in silence."""

KEPT_AFTER_ERASURE = frozenset(
    {"kind", "kinds", "result", "rating", "ended_by", "consent", "verdict"}
)
"""What a call's record still says when the call has been erased; it names nobody."""


class StorageFailed(Exception):
    """The database did not take what it was given; nothing may be promised on it."""


class NewerDatabase(StorageFailed):
    """The database was made by a newer version of this program."""


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class Version:
    """One merged flow version (flow, hotline, texts, settings) under its hash."""

    hash: str
    hotline: str
    body: Any
    created: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who, when, what came of it. Written again whenever it changes.

    `id` comes from `ivr.journal.call_id`. `rung_ms` is how long the caller heard it ringing,
    in milliseconds. `ended_by` is caller, us or ops, empty while the call lasts. `record` is
    what the flow noted. `problem` says in words what went wrong with us, empty if nothing did.
    `leg_of` is the id of the call for whose sake we rang one of our own phones, or the place in a
    line of the promise for whose sake we did; empty for a call of a caller. `owner` is the
    process that has the call, written by its journal.
    """

    id: str
    system: str
    uniqueid: str
    hotline: str
    number: str
    caller: str
    offered_at: datetime
    version: str | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    rung_ms: int = 0
    ended_by: str = ""
    record: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    leg_of: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Something left for the people of a line, that must not get lost.

    `source` is call or fallback; `source_key` names where it came from and makes it unique.
    `kind` is message, complaint, agent_complaint, suggestion, query, person … Recordings are
    references into the recordings folder, empty if there are none; `seconds` and `quality` are
    those of `recording`. `within` is the promise as written in the settings, `due_at` what
    that came to. `state` is new, taken or done.
    """

    id: str
    source: str
    source_key: str
    hotline: str
    kind: str
    created_at: datetime
    call_id: str | None = None
    caller: str = ""
    contact: str = ""
    surname_recording: str = ""
    recording: str = ""
    seconds: float = 0.0
    quality: str = ""
    staff_number: str = ""
    item: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    within: str = ""
    due_at: datetime | None = None
    state: str = "new"


@dataclass(frozen=True, slots=True)
class Contact:
    """What a line knows of a caller's number (INF-4)."""

    hotline: str
    number: str
    fields: Mapping[str, str]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: `key` is its name in the spool, `reference` its file in the recordings
    folder, None as long as it is being made. `what` says what was recorded (message, surname,
    company, fallback). `quality` is one of `ivr.sound`'s, or cut, empty, broken (`ivr.spool`)."""

    key: str
    what: str
    created_at: datetime
    call_id: str | None = None
    reference: str | None = None
    seconds: float = 0.0
    quality: str = ""
    erased_at: datetime | None = None


# ---------------------------------------------------------------- the database


class Store:
    """One database. `url` is SQLAlchemy's (`sqlite:////var/lib/x.db`,
    `postgresql+psycopg://user@host/name`). Nothing is opened until it is used.

    `synced=False` is for a database that is thrown away: SQLite then waits for no disk.

    Raises StorageFailed if the address makes no sense.
    """

    def __init__(self, url: str, *, synced: bool = True) -> None:
        try:
            parsed = address(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise StorageFailed(f"only sqlite and postgresql are known: {parsed.drivername}")
            self.engine: Engine = create_engine(
                parsed,
                pool_pre_ping=True,
                connect_args={**limits(parsed), **_patience(parsed)},
                hide_parameters=True,  # an error may be logged, and rows hold callers' numbers
            )
        except (ArgumentError, NoSuchModuleError) as error:
            like = "write e.g. sqlite:////path or postgresql://user@host/name"
            raise StorageFailed(f"this is no database address ({error}): {like}") from None
        except ValueError:  # a port that is no number; what it says may be part of a password
            raise StorageFailed("this is no database address: its port is no number") from None
        except ModuleNotFoundError as error:
            raise StorageFailed(
                f"{error}: install the extra, pip install 'sansheng[postgresql]'"
            ) from None
        self.sqlite = parsed.get_backend_name() == "sqlite"
        if self.sqlite:
            _prepare_sqlite(self.engine, synced=synced)

    def __str__(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, undone by an exception.

        Raises StorageFailed where the database fails.
        """
        with self._connection() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view for reading, as it is at the first statement; waits for no writer,
        and the database lets nothing be written in it on PostgreSQL. Raises StorageFailed."""
        with self._connection() as connection:
            options: dict[str, Any] = {"sansheng_reads": True}
            if not self.sqlite:  # its READ COMMITTED sees other rows in every statement
                options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageFailed(f"{self}: {' '.join(str(error.orig).split())}") from error

    def upgrade(self) -> None:
        """Make the tables, or bring them up to date. Safe from several processes at once.

        Raises NewerDatabase, StorageFailed.
        """
        from ivr import migrations  # it needs the types of this module

        with self.write() as connection:
            migrations.upgrade(connection)

    def version(self, digest: str) -> Any:
        """The body of the flow version with this hash. Raises KeyError."""
        with self.read() as connection:
            row = connection.execute(
                select(versions.c.body).where(versions.c.hash == digest)
            ).one_or_none()
        if row is None:
            raise KeyError(digest)
        return row[0]

    def contact(self, hotline: str, number: str) -> dict[str, str] | None:
        """What this line knows of a caller's number, None for a new caller (INF-4)."""
        with self.read() as connection:
            row = connection.execute(
                select(contacts.c.fields).where(
                    contacts.c.hotline == hotline, contacts.c.number == number
                )
            ).one_or_none()
        return None if row is None else row[0]

    def close(self) -> None:
        self.engine.dispose()


def for_the_sake_of(connection: Connection, call_id: str) -> list[str]:
    """A call and all that were made because of it: legs, calls back, and their legs."""
    found = [call_id]
    for one in found:  # grows
        legs = select(calls.c.id).where(calls.c.leg_of == one)
        back = (
            select(calls.c.id)
            .join(attempts, attempts.c.call_id == calls.c.id)
            .join(promises, promises.c.id == attempts.c.promise)
            .where(promises.c.call_id == one)
        )
        # agents are rung for a promise's place, before there is a call back: such a leg belongs to
        # the call that is answered, and to the call back that it came to
        placed = select(calls.c.id).join(promises, promises.c.place == calls.c.leg_of)
        rung = placed.where(promises.c.call_id == one)
        its_own = placed.join(attempts, attempts.c.promise == promises.c.id).where(
            attempts.c.call_id == one,
            calls.c.offered_at >= attempts.c.made_at,
            or_(attempts.c.ended_at.is_(None), calls.c.offered_at <= attempts.c.ended_at),
        )
        more = connection.execute(union(legs, back, rung, its_own)).scalars()
        found += [name for name in more if name not in found]
    return found


def erase_call(
    connection: Connection, call_id: str, reason: str, at: datetime, who: str = ""
) -> int:
    """Erase one call's journal, and what its row says of a person; the one door to the journal.

    The row stays for the statistics, without the caller's number and with only
    `KEPT_AFTER_ERASURE` of its record. One that was erased before keeps its first trace. Returns
    how many rows of its journal went. Raises KeyError.
    """
    row = connection.execute(select(calls.c.record).where(calls.c.id == call_id)).one_or_none()
    if row is None:
        raise KeyError(call_id)
    trace = {"call_id": call_id, "erased_at": at, "reason": reason, "who": who}
    insert_new(connection, erasures, [trace])
    gone = connection.execute(delete(journal).where(journal.c.call_id == call_id))
    kept = {key: value for key, value in row[0].items() if key in KEPT_AFTER_ERASURE}
    connection.execute(update(calls).where(calls.c.id == call_id).values(caller="", record=kept))
    return gone.rowcount


def address(url: str) -> URL:
    """A database's address as SQLAlchemy writes it; PostgreSQL is reached by psycopg. Raises
    ArgumentError, ValueError."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def limits(address: URL) -> dict[str, str]:
    """What keeps a PostgreSQL that is gone without a word from holding us up for ever; what the
    address itself says comes first. Nothing for other databases."""
    if address.get_backend_name() != "postgresql":
        return {}
    found = {
        "connect_timeout": str(CONNECT),
        "keepalives_idle": str(CONNECT),
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": str(2 * BUSY),
    }
    return {name: value for name, value in found.items() if name not in address.query}


def _patience(address: URL) -> dict[str, str]:
    """How long a PostgreSQL of ours may keep us waiting for a lock."""
    if address.get_backend_name() != "postgresql":
        return {}
    own = address.query.get("options", "")
    return {"options": f"-c lock_timeout={BUSY} {own}".strip()}


def _prepare_sqlite(engine: Engine, *, synced: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(dbapi: Any, _record: object) -> None:
        # the driver must not begin transactions by itself: it begins them too late
        dbapi.isolation_level = None
        dbapi.execute(f"PRAGMA busy_timeout={BUSY}")
        dbapi.execute("PRAGMA foreign_keys=ON")
        dbapi.execute(f"PRAGMA synchronous={'FULL' if synced else 'OFF'}")
        # what is erased is written over with zeros, not only forgotten
        dbapi.execute("PRAGMA secure_delete=ON")
        # INSERT OR REPLACE must not slip past the triggers of the journal
        dbapi.execute("PRAGMA recursive_triggers=ON")
        if dbapi.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            dbapi.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("sansheng_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


_TABLES: dict[type, Table] = {
    Version: versions,
    Call: calls,
    Recording: recordings,
    Contact: contacts,
    Message: messages,
}


def write_rows(connection: Connection, kind: type, rows: Sequence[Any]) -> None:
    """Write row values of one kind. A call or a contact is written over; anything else that is
    there already stays as it is."""
    if not rows:
        return
    values = [{name: getattr(row, name) for name in kind.__slots__} for row in rows]  # type: ignore[attr-defined]
    if kind in (Call, Contact):
        upsert(connection, _TABLES[kind], values)
    else:
        insert_new(connection, _TABLES[kind], values)
