"""What many tests need: the shipped lines, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivr import hotlines
from ivr.hotlines import Hotlines

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, which is the data root."""
    return ROOT


@pytest.fixture(scope="session")
def lines() -> Hotlines:
    """The four lines as they ship. Immutable."""
    return hotlines.load(ROOT)
