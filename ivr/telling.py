"""What other programs on the switch are told of us: manager events of our own (`UserEvent`).

Rules this module keeps:

- It holds nobody up and is never tried again: without the manager nobody is told, and what
  Asterisk refuses is logged. Whoever must not miss it has the line's webhook.
- Header names are in capitals and small letters without `_`, as Asterisk's own are; a header
  without a value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog

from ivr.ami import Headers, ManagerError, Message

log = structlog.get_logger("telling")


class Bell(Protocol):
    """What is needed of the manager."""

    @property
    def connected(self) -> bool: ...
    async def action(self, name: str, headers: Headers | None = None) -> Message: ...


async def tell(bell: Bell | None, event: str, told: Mapping[str, str]) -> None:
    """Send the manager event of this name, if the manager is there."""
    if bell is None or not bell.connected:
        return
    headers = {_header(name): value for name, value in told.items() if value}
    try:
        await bell.action("UserEvent", {"UserEvent": event, **headers})
    except ManagerError as error:
        log.warning("other programs are not told", name=event, why=str(error))


def _header(name: str) -> str:
    return name.title().replace("_", "")
