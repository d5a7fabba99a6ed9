"""Lookups: a line's own back ends, asked over HTTP or SQL, with a time limit.

Rules this module keeps:

- A lookup always ends, with Found, NotFound or LookupFailed, within its `limit`; it raises only
  when it is cancelled. Back end down, too slow, an answer that makes no sense: LookupFailed,
  with a reason for the journal.
- What comes from the caller is a bound parameter of SQL or a percent-encoded part of an address's
  path or query, never more. The host is fixed by the file; redirects are not followed.
- What comes from the back end is data of limited size. Where `results` lists what a value may
  be, nothing else passes; other values are short plain text.
- Each database is asked in threads of its own (`THREADS`): one that does not answer keeps nobody
  waiting but those who ask it, and never our own work.
- Databases are opened for reading only. Their addresses hold passwords and come from the
  environment: `database: crm` is SANSHENG_LOOKUP_CRM. `samples` is the sample database, built
  from flows/samples/business.sql.

Written in a hotline's file as:

    lookups:
      item:
        kind: sql
        database: samples
        query: "SELECT letters, status FROM ems_items WHERE digits = :item ORDER BY letters"
        fields: [letters, status]
        results: {status: [collected, in_transit, delivering, delivered, held]}
        expected: 8 s        # decides what the caller is told of the wait
        limit: 60 s
        delay: 0 s           # waits before it asks, to show the hold
      order:
        kind: http
        url: "https://orders.example.com/api/orders/{item}"
        fields: {status: data.state}     # name: where in the JSON
        token: ORDERS_TOKEN  # environment variable whose value is sent as a bearer token

With `several: yes` there may be up to nine rows (or a JSON list); two or more give their values
numbered: `status_1`, `letters_1`, `status_2` …
Serves EMS-6, EMS-8 to EMS-10, LKL-3.1, LKL-3.4, XJCA-6.3a, XJCA-6.3b, TEL-2.3.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import structlog
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ivr.actions import LookUp
from ivr.clock import Clock
from ivr.events import Found, LookupFailed, NotFound, Values
from ivr.lookup_settings import PLACE, Setting, parse
from ivr.store import address, limits
from ivr.web import Client

__all__ = ["Answer", "Lookups", "Setting", "parse"]

THREADS = 4
"""Questions of one line to one database at once; more wait for these."""

MOST_BYTES = 64 * 1024
"""Size of an HTTP answer, at most."""

MOST_ROWS = 9
"""Rows that a caller can choose among; more is an answer that makes no sense."""

MOST_CHARACTERS = 64
"""Length of one value, to and from a back end, at most."""

Answer = Found | NotFound | LookupFailed

log = structlog.get_logger("lookup")


class _Senseless(Exception):
    """The back end answered, and the answer makes no sense."""


class Lookups:
    """The back ends of one line. `root` is the data root; `environment` holds addresses of
    databases and tokens. `client` can be given by tests; else one is made."""

    def __init__(
        self,
        settings: Mapping[str, Setting],
        *,
        clock: Clock,
        root: Path,
        environment: Mapping[str, str] = os.environ,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._settings = dict(settings)
        self._clock = clock
        self._root = root
        self._environment = environment
        self._client = Client(client)
        self._engines: dict[str, Engine] = {}
        self._threads = {
            one.database: ThreadPoolExecutor(THREADS, thread_name_prefix=f"lookup-{one.database}")
            for one in settings.values()
            if one.kind == "sql"
        }

    async def ask(self, action: LookUp) -> Answer:
        """Ask a back end. Never raises but when cancelled."""
        setting = self._settings.get(action.name)
        if setting is None:
            return LookupFailed(action.id, f"there is no lookup '{action.name}'")
        task = asyncio.ensure_future(self._ask(setting, dict(action.arguments)))
        late = False

        def too_late() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = self._clock.call_later(setting.limit, too_late)
        try:
            answer = await task
        except asyncio.CancelledError:
            if not late:
                task.cancel()
                raise
            answer = LookupFailed(0, f"no answer within {setting.limit:g} s")
        except _Senseless as error:
            answer = LookupFailed(0, f"an answer that makes no sense: {error}")
        except (SQLAlchemyError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            answer = LookupFailed(0, f"{type(error).__name__}: the back end does not work")
            log.warning("a lookup failed", lookup=action.name, reason=_brief(error))
        except Exception as error:
            # a bug of ours, or of a database's driver: the caller is told of a failure all the same
            answer = LookupFailed(0, f"{type(error).__name__}: a fault of ours")
            log.exception("a lookup failed in a way of its own", lookup=action.name)
        finally:
            timer.cancel()
        return replace(answer, id=action.id)

    async def _ask(self, setting: Setting, arguments: dict[str, str]) -> Answer:
        missing = [name for name in setting.needs if name not in arguments]
        if missing:
            return LookupFailed(0, f"the call has no value for '{missing[0]}'")
        given = {name: arguments[name] for name in setting.needs}
        for name, value in given.items():
            if len(value) > MOST_CHARACTERS or not value.isprintable():
                return LookupFailed(0, f"the value of '{name}' is nothing that can be asked for")
        if setting.delay:
            await self._clock.sleep(setting.delay)
        if setting.kind == "sql":
            loop, threads = asyncio.get_running_loop(), self._threads[setting.database]
            with self._clock.busy("lookup"):
                rows = await loop.run_in_executor(threads, self._rows, setting, given)
        else:
            with self._clock.busy("lookup"):
                found = await self._get(setting, given)
            rows = found if isinstance(found, list) else [found] if found is not None else []
            rows = [_picked(row, setting) for row in rows]
        if not rows:
            return NotFound(0)
        return Found(0, _values(rows, setting))

    # ---- SQL

    def _rows(self, setting: Setting, given: dict[str, str]) -> list[Mapping[str, Any]]:
        engine = self._engine(setting.database)
        deadline = self._clock.now() + setting.limit
        with engine.connect() as connection:
            _restrict(connection, setting.limit, lambda: self._clock.now() > deadline)
            rows = (
                connection.execute(text(setting.query), given).mappings().fetchmany(MOST_ROWS + 1)
            )
            return [dict(row) for row in rows]

    def _engine(self, database: str) -> Engine:
        if database == "samples":
            url = f"sqlite:///{samples(self._root)}"
        else:
            name = f"SANSHENG_LOOKUP_{database.upper()}"
            url = self._environment.get(name, "")
            if not url:
                raise OSError(f"the environment has no {name}")
        engine = self._engines.get(url)
        if engine is None:
            try:
                parsed = address(url)
                engine = create_engine(parsed, pool_pre_ping=True, connect_args=limits(parsed))
            except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
                raise OSError(f"the address of '{database}' makes no sense") from None
            self._engines[url] = engine
        return engine

    # ---- HTTP

    async def _get(self, setting: Setting, given: dict[str, str]) -> Any:
        encoded = {name: quote(value, safe="") for name, value in given.items()}
        if any(value.strip(".") == "" for value in given.values()):
            raise _Senseless("a value that would change the address")  # empty, '.' or '..'
        url = PLACE.sub(lambda match: encoded[match[1]], setting.url)
        headers = {"Accept": "application/json"}
        if setting.token:
            headers["Authorization"] = f"Bearer {self._environment.get(setting.token, '')}"
        client = await self._client.get()
        request = client.stream(
            "GET", url, headers=headers, timeout=setting.limit, follow_redirects=False
        )
        async with request as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            if response.status_code != httpx.codes.OK:
                raise _Senseless(f"HTTP status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _Senseless(f"more than {MOST_BYTES} bytes")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _Senseless("no JSON") from None

    async def close(self) -> None:
        """Close what is open. A question that still runs, which ends by its own limits, is waited
        for: its connection could be closed by nobody after this."""
        await self._client.close()
        for threads in self._threads.values():
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        for engine in self._engines.values():
            engine.dispose()


def _brief(error: Exception) -> str:
    """What went wrong, without addresses and the values in them."""
    cause = getattr(error, "orig", None) or error
    return type(cause).__name__ if isinstance(cause, httpx.HTTPError) else str(cause)[:200]


def _restrict(connection: Connection, limit: float, late: Callable[[], bool]) -> None:
    """Reading only, and no longer than the limit, also when nobody waits for it any more."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA query_only=ON")
        raw.set_progress_handler(lambda: int(late()), 100_000)
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(limit * 1000))}")


def _picked(found: Any, setting: Setting) -> Mapping[str, Any]:
    """The configured fields of one JSON object, by their paths."""
    values = {}
    for name, path in setting.fields:
        value = found
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                raise _Senseless(f"'{path}' is missing")
            value = value[key]
        values[name] = value
    return values


def _values(rows: list[Mapping[str, Any]], setting: Setting) -> Values:
    most = MOST_ROWS if setting.several else 1
    if len(rows) > most:
        raise _Senseless(f"more than {most} rows")
    values = []
    for number, row in enumerate(rows, 1):
        suffix = f"_{number}" if len(rows) > 1 else ""
        for name, _ in setting.fields:
            if name not in row:
                raise _Senseless(f"'{name}' is missing")
            values.append((name + suffix, _value(name, row[name], setting)))
    return tuple(values)


def _value(name: str, value: Any, setting: Setting) -> str:
    if isinstance(value, bool):
        plain = "yes" if value else "no"
    elif isinstance(value, str | int | float):
        plain = str(value)
    else:
        raise _Senseless(f"'{name}' is no plain value")
    allowed = setting.results.get(name)
    if allowed is not None and plain not in allowed:
        raise _Senseless(f"'{name}' is none of {', '.join(allowed)}")
    if not plain or len(plain) > MOST_CHARACTERS or not plain.isprintable():
        raise _Senseless(f"'{name}' is no short plain text")
    return plain


# ---------------------------------------------------------------- the sample database


def samples(root: Path) -> Path:
    """The sample database; built when it is missing or its source has changed."""
    source = root / "flows" / "samples" / "business.sql"
    script = source.read_text(encoding="utf-8")
    # the number of a file is what SQLite keeps for its owner: here, what it was built from
    made_from = int.from_bytes(hashlib.sha256(script.encode()).digest()[:4], "big") >> 1
    path = root / "var" / "samples.db"
    if path.exists() and _owner_number(path) == made_from:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".samples-", suffix=".db", dir=path.parent)
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as database:
            database.executescript(script)
            database.execute(f"PRAGMA user_version={made_from}")
            database.commit()
        Path(name).replace(path)  # whoever reads the old one goes on reading it
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _owner_number(path: Path) -> int:
    """What a database was built from; 0 if it is none."""
    try:
        with closing(sqlite3.connect(path)) as found:
            return int(found.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
