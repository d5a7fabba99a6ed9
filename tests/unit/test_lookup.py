"""Lookups against a real SQL database and a real HTTP server, kind ones and hostile ones."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from ivr.actions import LookUp
from ivr.clock import SystemClock, VirtualClock
from ivr.document import BadFile
from ivr.events import Found, LookupFailed, NotFound
from ivr.files import parse, read
from ivr.lookup import Lookups, samples
from ivr.lookup import parse as parse_lookups

pytest_plugins = ["databases"]

ROOT = Path(__file__).parents[2]
LINES = sorted((ROOT / "flows" / "hotlines").glob("*.yaml"))


def lookups(
    yaml: str, root: Path = ROOT, clock: object = None, environment: dict[str, str] | None = None
) -> Lookups:
    body = "".join(f"    {row}\n" for row in yaml.strip().splitlines())
    made = parse_lookups(parse(f"lookups:\n  item:\n{body}", "line.yaml"))
    return Lookups(
        made,
        clock=clock or SystemClock(),  # type: ignore[arg-type]
        root=root,
        environment=environment or {},
    )


def asked(value: str, number: int = 7) -> LookUp:
    return LookUp(number, "item", (("item", value), ("unused", "x")))


# ---------------------------------------------------------------- SQL


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root of its own, with the sample data."""
    folder = tmp_path / "flows" / "samples"
    folder.mkdir(parents=True)
    (folder / "business.sql").write_text(
        (ROOT / "flows" / "samples" / "business.sql").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return tmp_path


ITEMS = """
kind: sql
database: samples
query: "SELECT letters, status FROM ems_items WHERE digits = :item ORDER BY letters"
fields: [letters, status]
several: yes
results: {status: [collected, in_transit, delivering, delivered, held]}
"""


async def test_an_item_of_the_sample_database_is_found(root: Path) -> None:
    back = lookups(ITEMS, root)
    assert await back.ask(asked("123456785")) == Found(
        7, (("letters", "EA"), ("status", "in_transit"))
    )
    assert await back.ask(asked("999999999", 8)) == NotFound(8)
    await back.close()


async def test_items_that_share_their_digits_come_numbered(root: Path) -> None:
    back = lookups(ITEMS, root)
    assert await back.ask(asked("555555555")) == Found(
        7,
        (
            ("letters_1", "EA"),
            ("status_1", "in_transit"),
            ("letters_2", "LX"),
            ("status_2", "delivered"),
        ),
    )
    await back.close()


@pytest.mark.parametrize("path", LINES, ids=lambda path: path.stem)
async def test_every_line_finds_its_samples_and_every_result_has_one(
    path: Path, root: Path
) -> None:
    made = parse_lookups(read(path, ROOT))
    back = Lookups(made, clock=SystemClock(), root=root, environment={})
    table = made["item"].query.split("FROM ")[1].split()[0]
    column = "digits" if "digits" in made["item"].query else "number"
    with closing(sqlite3.connect(samples(root))) as database:
        numbers = [row[0] for row in database.execute(f"SELECT DISTINCT {column} FROM {table}")]
    met = set()
    for number in numbers:
        found = await back.ask(asked(number))
        assert isinstance(found, Found), (number, found)
        met |= {value for name, value in found.values if name.startswith("status")}
    assert met == set(made["item"].results["status"])
    await back.close()


def test_sample_items_have_right_check_digits(root: Path) -> None:
    with closing(sqlite3.connect(samples(root))) as database:
        for (digits,) in database.execute("SELECT digits FROM ems_items"):
            total = sum(int(d) * w for d, w in zip(digits, (8, 6, 4, 2, 3, 5, 9, 7), strict=False))
            check = 11 - total % 11
            assert int(digits[8]) == {10: 0, 11: 5}.get(check, check), digits


def test_the_sample_database_is_built_once_and_again_when_its_source_changes(root: Path) -> None:
    path = samples(root)
    before = path.stat()
    assert samples(root).stat().st_ino == before.st_ino
    source = root / "flows" / "samples" / "business.sql"
    source.write_text(source.read_text(encoding="utf-8") + "-- changed\n", encoding="utf-8")
    assert samples(root).stat().st_ino != before.st_ino
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    samples(root)
    assert [entry.name for entry in path.parent.iterdir()] == ["samples.db"]


@given(st.text(max_size=70))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_nothing_a_caller_keys_in_is_more_than_a_value(root: Path, value: str) -> None:
    async def one() -> None:
        back = lookups(ITEMS, root)
        answer = await back.ask(asked(value))
        assert isinstance(answer, NotFound | LookupFailed)
        await back.close()

    asyncio.run(one())


async def test_sql_in_a_value_finds_nothing_and_does_nothing(root: Path) -> None:
    back = lookups(ITEMS, root)
    assert await back.ask(asked("' OR 1=1 --")) == NotFound(7)
    await back.close()


async def test_a_query_cannot_write(root: Path) -> None:
    back = lookups(
        ITEMS.replace(
            "SELECT letters, status FROM ems_items WHERE digits = :item ORDER BY letters",
            "WITH x AS (SELECT :item) DELETE FROM ems_items RETURNING letters, status",
        ),
        root,
    )
    assert isinstance(await back.ask(asked("1")), LookupFailed)
    await back.close()
    with closing(sqlite3.connect(samples(root))) as database:
        assert database.execute("SELECT count(*) FROM ems_items").fetchone()[0] > 0


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT 'EA' AS letters, 'lost' AS status, :item", "'status' is none of collected"),
        ("SELECT 'EA' AS letters, :item", "'status' is missing"),
        ("SELECT NULL AS letters, 'held' AS status, :item", "'letters' is no plain value"),
        ("SELECT '' AS letters, 'held' AS status, :item", "no short plain text"),
        ("SELECT 'a' || char(10) AS letters, 'held' AS status, :item", "no short plain text"),
        (
            "SELECT 'EA' AS letters, 'held' AS status, :item, a.* FROM ems_items a, ems_items b",
            "more than 1 rows",
        ),
        ("SELECT nothing FROM nowhere WHERE :item", "the back end does not work"),
        ("SELECT :other AS letters", "the call has no value for 'other'"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_failure(root: Path, query: str, why: str) -> None:
    back = lookups(
        f'kind: sql\ndatabase: samples\nquery: "{query}"\nfields: [letters, status]\n'
        "results: {status: [collected, held]}",
        root,
    )
    answer = await back.ask(asked("1"))
    assert isinstance(answer, LookupFailed)
    assert why in answer.reason
    assert answer.id == 7
    await back.close()


async def test_a_database_nobody_named_an_address_for_is_a_failure(root: Path) -> None:
    back = lookups(ITEMS.replace("samples", "crm"), root)
    answer = await back.ask(asked("1"))
    assert isinstance(answer, LookupFailed)
    back = lookups(ITEMS.replace("samples", "crm"), root, environment={"SANSHENG_LOOKUP_CRM": "?"})
    assert isinstance(await back.ask(asked("1")), LookupFailed)


async def test_a_query_that_runs_too_long_ends_at_its_limit_and_stops_working(root: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
        "SELECT max(i) AS status, :item FROM n"
    )
    clock = SystemClock()
    back = lookups(
        f'kind: sql\ndatabase: samples\nquery: "{endless}"\nfields: [status]\nlimit: 0.3 s',
        root,
        clock,
    )
    answer = await back.ask(asked("1"))
    assert answer == LookupFailed(7, "no answer within 0.3 s")
    await back.close()
    clock.close()  # waits for the executor's jobs: the query has been interrupted


async def test_a_database_on_postgresql_is_read_and_not_written(postgresql: str) -> None:
    admin = create_engine(f"{postgresql}/postgres")
    with admin.begin() as connection:
        connection.execute(text("CREATE TABLE orders (number text, status text)"))
        connection.execute(text("INSERT INTO orders VALUES ('1', 'done')"))
    clock, environment = SystemClock(), {"SANSHENG_LOOKUP_CRM": f"{postgresql}/postgres"}
    yaml = 'kind: sql\ndatabase: crm\nfields: [status]\nlimit: 0.4 s\nquery: "{}"'
    back = lookups(
        yaml.format("SELECT status FROM orders WHERE number = :item"), environment=environment
    )
    assert await back.ask(asked("1")) == Found(7, (("status", "done"),))
    assert await back.ask(asked("2")) == NotFound(7)
    await back.close()
    back = lookups(
        yaml.format(
            "WITH x AS (DELETE FROM orders WHERE number = :item RETURNING status) SELECT * FROM x"
        ),
        environment=environment,
    )
    assert isinstance(await back.ask(asked("1")), LookupFailed)
    await back.close()
    back = lookups(
        yaml.format("SELECT pg_sleep(30)::text AS status WHERE :item <> ''"),
        clock=clock,
        environment=environment,
    )
    assert isinstance(await back.ask(asked("1")), LookupFailed)
    clock.close()  # waits for the executor's jobs: the server has ended the query by itself
    await back.close()
    with admin.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM orders")).scalar() == 1
        connection.execute(text("DROP TABLE orders"))
    admin.dispose()


async def test_the_delay_shows_the_hold_and_costs_no_real_time(root: Path) -> None:
    clock = VirtualClock(datetime(2026, 11, 23, 4, 0, tzinfo=UTC))
    back = lookups(ITEMS + "delay: 75 s\nlimit: 120 s", root, clock)
    task = asyncio.ensure_future(back.ask(asked("123456785")))
    await clock.run(task.done)
    assert isinstance(task.result(), Found)
    assert clock.now() == pytest.approx(75.0)
    back = lookups(ITEMS + "delay: 75 s\nlimit: 60 s", root, clock)
    began = clock.now()
    task = asyncio.ensure_future(back.ask(asked("123456785")))
    await clock.run(task.done)
    assert task.result() == LookupFailed(7, "no answer within 60 s")
    assert clock.now() - began == pytest.approx(60.0)


# ---------------------------------------------------------------- HTTP


@dataclass
class Server:
    """A small HTTP server that answers as it is told, and remembers what it was asked."""

    port: int = 0
    answer: Callable[[str], bytes] = lambda target: b""
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split(" ")[1])
        self.headers.append(head)
        try:
            writer.write(self.answer(head.split(" ")[1]))
            await writer.drain()
        except ConnectionError:
            pass  # the client had enough
        writer.close()

    def says(self, body: object, status: str = "200 OK", more: str = "") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{more}Connection: close\r\n\r\n"
        )
        self.answer = lambda target: head.encode() + data


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()


def http(server: Server, more: str = "", path: str = "/items/{item}") -> Lookups:
    return lookups(
        f'kind: http\nurl: "http://127.0.0.1:{server.port}{path}"\n'
        "fields: {status: data.state}\nresults: {status: [open, done]}\n" + more,
        environment={"TOKEN": "secret"},
    )


async def test_an_answer_over_http_is_mapped_by_its_fields(server: Server) -> None:
    server.says({"data": {"state": "open", "more": 1}})
    back = http(server, "token: TOKEN")
    assert await back.ask(asked("42")) == Found(7, (("status", "open"),))
    assert server.asked == ["/items/42"]
    assert "Authorization: Bearer secret" in server.headers[0]
    await back.close()


async def test_a_list_over_http_comes_numbered(server: Server) -> None:
    server.says([{"data": {"state": "open"}}, {"data": {"state": "done"}}])
    back = http(server, "several: yes")
    assert await back.ask(asked("42")) == Found(7, (("status_1", "open"), ("status_2", "done")))
    server.says([{"data": {"state": "open"}}] * 10)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert "more than 9 rows" in answer.reason
    await back.close()


@pytest.mark.parametrize(
    ("body", "status"), [({}, "404 Not Found"), ([], "200 OK"), (None, "200 OK")]
)
async def test_not_there_is_not_found(server: Server, body: object, status: str) -> None:
    server.says(body, status)
    back = http(server)
    assert await back.ask(asked("42")) == NotFound(7)
    await back.close()


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"data": {"state": "lost"}}, "200 OK", "is none of open, done"),
        ({"data": "open"}, "200 OK", "'data.state' is missing"),
        ({"data": {"state": ["open"]}}, "200 OK", "no plain value"),
        ({}, "200 OK", "is missing"),
        ("text", "200 OK", "is missing"),
        (b"<html>", "200 OK", "no JSON"),
        (b"[" * 50_000, "200 OK", "no JSON"),
        (b'{"data": {"state": "' + b"x" * 100_000, "200 OK", "more than 65536 bytes"),
        ({}, "500 Broken", "HTTP status 500"),
        ([{"data": {"state": "open"}}] * 10, "200 OK", "more than 1 rows"),
    ],
)
async def test_an_http_answer_that_makes_no_sense_is_a_failure(
    server: Server, body: object, status: str, why: str
) -> None:
    server.says(body, status)
    back = http(server)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert why in answer.reason
    await back.close()


async def test_a_redirect_is_not_followed(server: Server) -> None:
    server.says(b"", "302 Found", f"Location: http://127.0.0.1:{server.port}/elsewhere\r\n")
    back = http(server)
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert "302" in answer.reason
    assert server.asked == ["/items/42"]
    await back.close()


async def test_a_back_end_that_is_down_or_says_nothing_is_a_failure(server: Server) -> None:
    server.answer = lambda target: b""
    back = http(server)
    assert isinstance(await back.ask(asked("42")), LookupFailed)
    await back.close()
    gone = lookups('kind: http\nurl: "http://127.0.0.1:1/{item}"\nfields: [status]', environment={})
    answer = await gone.ask(asked("42"))
    assert answer == LookupFailed(7, "ConnectError: the back end does not work")
    await gone.close()


async def test_a_back_end_that_is_too_slow_is_a_failure_at_its_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    back = lookups(
        f'kind: http\nurl: "http://127.0.0.1:{port}/{{item}}"\nfields: [status]\nlimit: 200 ms'
    )
    began = asyncio.get_running_loop().time()
    answer = await back.ask(asked("42"))
    assert isinstance(answer, LookupFailed)
    assert asyncio.get_running_loop().time() - began < 2
    await back.close()
    listening.close()
    await listening.wait_closed()


async def test_a_lookup_that_is_cancelled_is_over(server: Server, root: Path) -> None:
    back = lookups(ITEMS + "delay: 60 s", root)
    task = asyncio.ensure_future(back.ask(asked("123456785")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await back.close()


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("1/../../admin", "/items/1%2F..%2F..%2Fadmin"),
        ("1?x=2#y", "/items/1%3Fx%3D2%23y"),
        ("1 HTTP/1.1 王", "/items/1%20HTTP%2F1.1%20%E7%8E%8B"),
        ("%2e%2e", "/items/%252e%252e"),
    ],
)
async def test_a_value_never_leaves_its_place_in_the_address(
    server: Server, value: str, target: str
) -> None:
    server.says([])
    back = http(server)
    assert await back.ask(asked(value)) == NotFound(7)
    assert server.asked == [target]
    await back.close()


@pytest.mark.parametrize("value", ["", ".", "..", "1\r\nHost: evil", "\udcff", "9" * 65, "\x00"])
async def test_a_value_that_cannot_be_asked_for_is_not(server: Server, value: str) -> None:
    server.says([])
    back = http(server)
    assert isinstance(await back.ask(asked(value)), LookupFailed)
    assert server.asked == []
    await back.close()


async def test_an_unknown_lookup_is_a_failure() -> None:
    back = Lookups({}, clock=SystemClock(), root=ROOT, environment={})
    assert await back.ask(LookUp(3, "nothing")) == LookupFailed(3, "there is no lookup 'nothing'")


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("kind: ldap\nfields: [a]", "line.yaml:3 F621 'ldap' is no kind of lookup"),
        ("fields: [a]", "is no kind of lookup"),
        (
            "kind: sql\nfields: [a]\ndatabase: x",
            "line.yaml:3 F107 a lookup of kind sql needs 'query'",
        ),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\nquery: x',
            "the key 'query' is unknown",
        ),
        ('kind: sql\ndatabase: x\nquery: "DELETE FROM x"\nfields: [a]', "line.yaml:5 F625"),
        ('kind: sql\ndatabase: x\nquery: "SELECT 1"\nfields: [a]\nseveral: many', "F112"),
        ('kind: sql\ndatabase: "X Y"\nquery: "SELECT 1"\nfields: [a]', "is no database's name"),
        ('kind: http\nurl: "https://{item}/x"\nfields: [a]', "the host of a lookup is fixed"),
        ('kind: http\nurl: "https://me:pw@h/{item}"\nfields: [a]', "holds no password"),
        ('kind: http\nurl: "ftp://h/{item}"\nfields: [a]', "is no address"),
        ('kind: http\nurl: "https://h/{Item}"\nfields: [a]', "a brace in the address"),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\ntoken: s3cret',
            "no environment variable",
        ),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\nresults: {b: [x]}',
            "the key 'b' is unknown",
        ),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nresults: {a: x}', "is a list"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [A b]', "'A b' is no name for a value"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nlimit: soon', "line.yaml:6 F110"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nlimit: 0 s', "a limit of nothing"),
    ],
)
def test_a_mistake_in_a_lookup_is_told_with_its_place(yaml: str, sentence: str) -> None:
    with pytest.raises(BadFile) as told:
        lookups(yaml)
    assert sentence in str(told.value)
