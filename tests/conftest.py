"""What many tests need: the shipped lines, loaded once."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from ivr import hotlines, logs
from ivr.hotlines import Hotlines

ROOT = Path(__file__).parents[1]


def pytest_collection_finish() -> None:
    """What is there before the first test stays: the garbage collector need not look at it again
    and again (a fifth of the time of tests that make many objects)."""
    gc.collect()
    gc.freeze()


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
