"""Lookups against a real SQL database, in files and on a server, by whatever callers key in."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from back_ends import ITEMS, ROOT, asked, lookups
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from ivr.actions import LookUp
from ivr.clock import SystemClock, VirtualClock
from ivr.events import Found, LookupFailed, NotFound
from ivr.files import read
from ivr.lookup import Lookups, samples
from ivr.lookup import parse as parse_lookups

pytest_plugins = ["databases"]

LINES = sorted((ROOT / "flows" / "hotlines").glob("*.yaml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root of its own, with the sample data."""
    folder = tmp_path / "flows" / "samples"
    folder.mkdir(parents=True)
    (folder / "business.sql").write_text(
        (ROOT / "flows" / "samples" / "business.sql").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return tmp_path


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
    await back.close()  # waits for the question: the query has been interrupted
    clock.close()


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
    await back.close()  # waits for the question: the server has ended the query by itself
    clock.close()
    gc.collect()  # would complain of a connection that nobody has closed
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


async def test_a_lookup_that_is_cancelled_is_over(root: Path) -> None:
    back = lookups(ITEMS + "delay: 60 s", root)
    task = asyncio.ensure_future(back.ask(asked("123456785")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await back.close()


async def test_an_unknown_lookup_is_a_failure() -> None:
    back = Lookups({}, clock=SystemClock(), root=ROOT, environment={})
    assert await back.ask(LookUp(3, "nothing")) == LookupFailed(3, "there is no lookup 'nothing'")
