"""A line's lookups as its file says them, and what a call asks."""

from __future__ import annotations

from pathlib import Path

from ivr.actions import LookUp
from ivr.clock import Clock, SystemClock
from ivr.files import parse
from ivr.lookup import Lookups
from ivr.lookup import parse as parse_lookups

ROOT = Path(__file__).parents[2]
ITEMS = """
kind: sql
database: samples
query: "SELECT letters, status FROM ems_items WHERE digits = :item ORDER BY letters"
fields: [letters, status]
several: yes
results: {status: [collected, in_transit, delivering, delivered, held]}
"""


def lookups(
    yaml: str,
    root: Path = ROOT,
    clock: Clock | None = None,
    environment: dict[str, str] | None = None,
    **more: str,
) -> Lookups:
    """The lookup `item` of a line, and `more` by their names."""
    bodies = "".join(
        f"  {name}:\n" + "".join(f"    {row}\n" for row in text.strip().splitlines())
        for name, text in {"item": yaml, **more}.items()
    )
    made = parse_lookups(parse(f"lookups:\n{bodies}", "line.yaml"))
    return Lookups(
        made,
        clock=clock or SystemClock(),
        root=root,
        environment=environment or {},
    )


def asked(value: str, number: int = 7) -> LookUp:
    return LookUp(number, "item", (("item", value), ("unused", "x")))
