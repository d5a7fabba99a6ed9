"""A back end that does not answer holds up nobody but those who ask it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from back_ends import ITEMS, asked, lookups

from ivr.clock import WORKERS, SystemClock
from ivr.events import Found, LookupFailed

CUSTOMERS = """
kind: sql
database: crm
query: "SELECT status FROM customers WHERE number = :item"
fields: [status]
limit: 20 s
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a PostgreSQL that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"postgresql://somebody@127.0.0.1:{listener.getsockname()[1]}/crm?connect_timeout=2"


async def test_our_own_work_goes_on_while_a_back_end_hangs(silent: str) -> None:
    clock = SystemClock()
    back = lookups(
        CUSTOMERS, clock=clock, letter=ITEMS, environment={"SANSHENG_LOOKUP_CRM": silent}
    )
    asking = [asyncio.create_task(back.ask(asked(str(n), n))) for n in range(4 * WORKERS)]
    await asyncio.sleep(0)  # each has begun
    kept = asyncio.create_task(clock.in_executor(lambda: "kept"))
    done, _ = await asyncio.wait({kept, *asking}, return_when=asyncio.FIRST_COMPLETED)
    assert done == {kept}
    sample = replace(asked("123456785"), name="letter")  # of another database of the line
    other = asyncio.create_task(back.ask(sample))
    done, _ = await asyncio.wait({other, *asking}, return_when=asyncio.FIRST_COMPLETED)
    assert done == {other}
    assert isinstance(await other, Found)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await back.close()
    clock.close()


async def test_a_back_end_that_takes_nobody_in_has_failed_before_the_lookup_s_limit(
    silent: str,
) -> None:
    clock = SystemClock()
    back = lookups(CUSTOMERS, clock=clock, environment={"SANSHENG_LOOKUP_CRM": silent})
    assert await back.ask(asked("1")) == LookupFailed(
        7, "OperationalError: the back end does not work"
    )
    await back.close()
    clock.close()
