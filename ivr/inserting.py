"""Inserting rows that may be there already, in SQLite and PostgreSQL alike.

Rules this module keeps:

- What a row says that is there already stays, or is written over: who inserts says which.
- The statement for a table is made once: to think it up takes SQLAlchemy longer than to carry it
  out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows; one whose key is there already is left as it is. Returns how many are new."""
    statement = _new(table, connection.dialect.name)
    return sum(len(connection.execute(statement, row).all()) for row in rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or write them over those with the same primary key."""
    connection.execute(_over(table, connection.dialect.name), list(rows))


def _insert(table: Table, dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


@cache
def _new(table: Table, dialect: str) -> Executable:
    key = next(iter(table.primary_key))
    statement: Executable = _insert(table, dialect).on_conflict_do_nothing().returning(key)
    return statement


@cache
def _over(table: Table, dialect: str) -> Executable:
    keys = [column.name for column in table.primary_key]
    statement = _insert(table, dialect)
    changes = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    changed: Executable = statement.on_conflict_do_update(index_elements=keys, set_=changes)
    return changed
