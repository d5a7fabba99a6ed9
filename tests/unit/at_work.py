"""A shop and a bank with their agents, in a new database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from ivr import tables
from ivr.agents import Agents
from ivr.queueing import Matched
from ivr.staff import Agent, Department, Staff, Transfer
from ivr.store import Store

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
TRANSFER = Transfer("service", wrap_up=20.0, misses=2)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def staff(**agents: tuple[str, str]) -> Staff:
    """`a801=("801", "service expert")`: staff number 801 on phone 801, in two departments."""
    return Staff(
        {name: Department(name, name, 3) for name in ("service", "expert")},
        {
            name[1:]: Agent(name[1:], phone, tuple(departments.split()))
            for name, (phone, departments) in agents.items()
        },
        TRANSFER,
    )


SHOP = staff(a801=("801", "service expert"), a802=("802", "service"), a803=("803", "expert"))
BANK = staff(a901=("901", "service"), a902=("802", "service"))
"""802 is one phone that serves both lines."""


def ready(agents: Agents, *phones: str) -> None:
    """These phones are ready, the first one for longest."""
    for number, phone in enumerate(phones):
        agents.set_ready(phone, "phone", at(number - 50))


def join(
    agents: Agents, call: str, seconds: float = 0, department: str = "service", wish: str = ""
) -> str:
    return agents.join(call, 1, "shop", department, wish, at(seconds))


def rung(matched: Matched) -> dict[str, str]:
    """Who is rung for whom."""
    return {claim.call_id: claim.phone for claim in matched.claims}


def state(store: Store, phone: str) -> tuple[str, str]:
    columns = tables.agents.c
    with store.read() as connection:
        return tuple(
            connection.execute(
                select(columns.state, columns.reason).where(columns.phone == phone)
            ).one()
        )


def logged(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        rows = connection.execute(select(tables.agent_log).order_by(tables.agent_log.c.id)).all()
    return [(row.phone, row.before, row.state) for row in rows]


@contextmanager
def broken(store: Store) -> Iterator[None]:
    """A database that takes nothing."""
    with store.engine.connect() as connection:  # the one that the pool gives out next
        connection.exec_driver_sql("PRAGMA query_only=ON")
    yield
    store.engine.dispose()
