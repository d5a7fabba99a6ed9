"""The types of columns.

Rules this module keeps:

- The same on SQLite and PostgreSQL.
- Times are stored in UTC and come back aware; a time without a zone is refused. JSON is stored
  as canonical text (see `ivr.codec`), so that the same value is always the same bytes.
- Text from outside may hold anything. What a database would refuse (NUL, bytes that are no
  UTF-8) is stored visibly and harmlessly; the journal itself stays exact.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from ivr.codec import canonical


class Words(TypeDecorator[str]):
    """Text from outside. What no database takes becomes visible (`\\x00`, `\\udcff`), and what is
    longer than its column is cut."""

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not value.isascii() or "\x00" in value:
            value = value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
        return value[: self.length]


class Json(TypeDecorator[Any]):
    """A JSON value, stored as its canonical text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Utc(TypeDecorator[datetime]):
    """An aware time, stored in UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value}")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
