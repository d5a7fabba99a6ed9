"""An Asterisk of a test's own: on ports that nobody uses, and started on others if somebody took
them first.

A switch is made, configured and started by whoever needs it; `started` does the last two.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from places import ROOT, free_port

from ivr.dialplan import Line
from ivr.switch import Ports, Switch, SwitchError

TRIES = 3
"""How often ports are looked for: between finding and taking one, another may take it."""
RTP_PORTS = 200
"""Ports of one Asterisk for sound: two a call."""


def a_switch(
    directory: Path,
    name: str,
    *,
    lines: Sequence[Line] = (),
    agi: str = "",
    sounds: Path | None = None,
    spool: Path | None = None,
    desks: Mapping[str, int] | None = None,
) -> Switch:
    """An Asterisk that does not run yet; everything it writes lies in `directory`. Without `agi`
    (HOST:PORT) the service's address is one that nobody has; `desks` are as for `Switch`."""
    rtp = 11000 + secrets.randbelow(100) * RTP_PORTS
    return Switch(
        directory,
        ROOT,
        lines=lines,
        agi=agi or f"127.0.0.1:{free_port(socket.SOCK_STREAM)}",
        ports=Ports(
            free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM), rtp, rtp + RTP_PORTS - 1
        ),
        sounds=sounds or directory / "sounds",
        spool=spool or directory / "recordings",
        desks=desks,
        name=name,
    )


def started(
    make: Callable[[], Switch], change: Callable[[Switch], None] = lambda own: None
) -> Switch:
    """The switch that `make` gives, running; `change` may edit its configuration. Blocks. Raises
    SwitchError."""
    for attempt in range(TRIES):
        own = make()
        own.fetch()
        own.configure()
        change(own)
        try:
            own.start()
        except SwitchError as error:
            if attempt == TRIES - 1 or "cannot be used" not in str(error):
                raise
        else:
            break
    return own


def channels(switch: Switch) -> int:
    """How many channels are up. Blocks. (`core show channels` without `count` is another list, of
    what was last told of each; it keeps a channel for ever whose last two changes were told in the
    wrong order.)"""
    said = switch.cli("core show channels count")
    found = re.search(r"(\d+) active channel", said)
    assert found is not None, said
    return int(found[1])
