"""What many tests need: the shipped lines, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivr import hotlines, logs
from ivr.hotlines import Hotlines

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def _logs() -> None:
    """As the service writes them: without rich tracebacks, which take seconds to draw."""
    logs.configure(level="warning")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, which is the data root."""
    return ROOT


@pytest.fixture(scope="session")
def lines() -> Hotlines:
    """The four lines as they ship. Immutable."""
    return hotlines.load(ROOT)
