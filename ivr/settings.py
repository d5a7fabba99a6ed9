"""Where everything is that a service needs: from the command line and the environment.

Rules this module keeps:

- What cannot be is refused before anything is touched, in one sentence.
- Nothing here is opened or asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivr import place
from ivr.listening import ANY_PORT
from ivr.staff import PHONE

DRAIN = 600.0
"""Seconds that calls may go on after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. `sounds` and `spool` are as Asterisk calls them; `service_spool` is
    the spool as this process calls it. `manager` is None to run without. `carrier` is the endpoint
    of Asterisk by which people are called back, empty for none. `own_ports` are those of which one
    becomes this worker's own."""

    root: Path
    database: str
    agi: tuple[str, int]
    manager: tuple[str, int] | None
    manager_user: str
    manager_secret: str
    sounds: Path
    spool: Path
    service_spool: Path
    recordings: Path
    system: str
    most: int
    drain: float = DRAIN
    carrier: str = ""
    own_ports: Sequence[int] = ANY_PORT


def settings_from(
    root: Path, database: str, agi: str, manager: str, most: int, environment: Mapping[str, str]
) -> Settings:
    """Settings from the command line and the environment. Raises ValueError with a sentence."""
    return Settings(
        root=root,
        database=database,
        agi=address(agi),
        manager=None if manager == "none" else address(manager),
        manager_user=environment.get("SANSHENG_MANAGER_USER", "sansheng"),
        manager_secret=environment.get("SANSHENG_MANAGER_SECRET", ""),
        sounds=place.sounds(root, environment),
        spool=place.spool(root, environment),
        service_spool=place.service_spool(root, environment),
        recordings=place.recordings(root, environment),
        system=environment.get("SANSHENG_SYSTEM", "sansheng"),
        most=most,
        carrier=_carrier(environment.get("SANSHENG_CARRIER", "")),
        own_ports=_ports(environment.get("SANSHENG_OWN_PORTS", "")),
    )


def _ports(text: str) -> Sequence[int]:
    """Ports as FIRST-LAST, or one; any if nothing is said."""
    if not text:
        return ANY_PORT
    first, dash, last = text.partition("-")
    found = [int(one) for one in (first, last if dash else first) if one.isdecimal()]
    if len(found) < 2 or not 0 < found[0] <= found[1] < 65536:
        what = f"SANSHENG_OWN_PORTS are no ports: '{text}'"
        raise ValueError(f"{what}; write FIRST-LAST, e.g. 4574-4577")
    return range(found[0], found[1] + 1)


def _carrier(name: str) -> str:
    if name and not PHONE.fullmatch(name):
        raise ValueError(f"SANSHENG_CARRIER is no endpoint of Asterisk: '{name}'")
    return name


def address(text: str) -> tuple[str, int]:
    """HOST:PORT as a pair. Raises ValueError with a sentence."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is no address: write HOST:PORT, e.g. 127.0.0.1:4573")
    return host.strip("[]"), int(port)
