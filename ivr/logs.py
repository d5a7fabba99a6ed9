"""How the service writes its log: one line an event, machine-readable on demand.

Rules this module keeps:

- No secret, no whole number of a caller and no local variable of a traceback is ever written.
- Logs go to standard error; what a command prints for people goes to standard output.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(*, level: str = "info", as_json: bool = False) -> None:
    """Set up logging for this process. `level` is debug, info, warning or error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        ending = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    structlog.configure(
        processors=shared + ending,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # standard error as it is when something is logged: what it was now may be closed by then
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
