"""A test that was skipped is shouted about, and fails the run unless its reason is allowed.

A plugin of `make test` (`-p skips`); a plain `pytest` while working is not disturbed by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

ALLOWED = (
    r"NOT TESTED on PostgreSQL: no initdb and pg_ctl here",  # needs a system package
    r"KOKORO IS NOT TESTED HERE: ",  # an optional extra with a large model
)
"""Reasons for which a test may be skipped on a bare machine."""

reasons: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what is skipped; under xdist this runs where the summary is made."""
    if report.skipped and not hasattr(report, "wasxfail"):
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reasons.append((report.nodeid, reason.removeprefix("Skipped: ")))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note modules that are skipped as a whole."""
    if report.skipped:
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reasons.append((report.nodeid, reason.removeprefix("Skipped: ")))


def not_allowed() -> Iterator[tuple[str, str]]:
    """Skipped tests whose reason is not on the list."""
    for test, reason in reasons:
        if not any(re.match(allowed, reason) for allowed in ALLOWED):
            yield test, reason


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that would have passed."""
    if list(not_allowed()) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last word."""
    bad = list(not_allowed())
    for test, reason in bad:
        terminalreporter.write_line(
            f"SKIPPED WITHOUT AN ALLOWED REASON: {test}: {reason}", red=True
        )
    counted = f"{len(reasons)} skipped, {len(bad)} of them without an allowed reason"
    terminalreporter.write_line(f"== {counted}", red=bool(bad), yellow=bool(reasons) and not bad)
