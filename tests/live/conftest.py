"""Live calls: one stage, on which all calls that the tests of this run ask for are placed side by
side, once; each test then looks at its own.

A test says which call it looks at: `@pytest.mark.performs("xjca-silent")` names a scenario of
tests/scenarios or of tests/live/scenes. With SANSHENG_LIVE=all every scenario is performed; what
went well at this commit already is not done again, and docs/live.md is written.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import standing
from faulted import line, port  # noqa: F401  # fixtures of the tests of faults
from harness import Done, Performed, Stage, scene
from places import ROOT, free_port
from stage_dialplan import people_first
from toned import booted, desk, left, switch  # noqa: F401  # fixtures of the dialplan's tests

from ivr import hotlines
from ivr.live_caller import BackEnd
from ivr.live_rehearsal import Performance, Rehearsal, Variant, left_out
from ivr.phone import Phone
from ivr.phone_call import PhoneCall

sys.path.append(str(ROOT / "tests/wire"))  # transcript.py serves both

LONGEST = 180.0
"""Seconds that the longest of the special calls lasts at most."""

told: list[str] = []
"""Figures for the end of the run."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "performs(scenario): looks at this scenario's live call")


PEOPLE = (
    "people",
    "bridged",
    "ringing",
    "phone",
    "callbacks",
    "presence",
    "frozen",
    "told",
)
"""Modules whose tests put callers through to our own people: a third of the live calls."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the shared stage, and those with people, are marked so, that one process can take
    all of a kind."""
    for item in items:
        if isinstance(item, pytest.Function) and "stage" in item.fixturenames:
            item.add_marker("stage")
        elif item.path.name in {f"test_{name}_live.py" for name in PEOPLE}:
            item.add_marker("people")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for row in told:
        terminalreporter.write_line(row)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    """A telephone of the test's own."""
    async with await Phone.open() as own:
        yield own


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """What is measured goes here, one line each, and is shown at the end of the run."""
    return told


@pytest.fixture(scope="session")
def desk_port() -> int:
    """Where the phone of xjca's own people is."""
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, desk_port: int) -> Iterator[Stage]:
    """A line with everything that ordinary calls need."""
    with Stage(
        tmp_path_factory.mktemp("stage"),
        people={"xjca": ("PJSIP/8001",)},
        desks={"8001": desk_port},
        back_end=f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}",
    ) as own:
        yield own


@pytest.fixture(scope="session")
def back_end() -> BackEnd:
    """The back ends of all lines."""
    return BackEnd()


@pytest.fixture(scope="session")
def answered(back_end: BackEnd) -> Mapping[str, float]:
    """When each caller's lookup was answered, in monotonic seconds."""
    return back_end.answered


@pytest.fixture(scope="session")
def performed(
    request: pytest.FixtureRequest, stage: Stage, back_end: BackEnd, desk_port: int
) -> Performed:
    """The call of a scenario; raises what went wrong with it."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("performs")]
    wanted = {mark.args[0]: scene(mark.args[0]) for mark in marks}
    names = [
        name for name, one in wanted.items() if not left_out(one, stage.hotlines, longest=LONGEST)
    ]
    began = time.monotonic()
    done = asyncio.run(_perform(stage, names, back_end, desk_port))
    told.append(f"{len(done)} live calls in {time.monotonic() - began:.0f} s")
    if os.environ.get("SANSHENG_LIVE") == "all":
        standing.remember({name: _complaint(result) for name, result in done.items()})
        standing.write(hotlines.load(ROOT))

    def of(name: str) -> Performance:
        result = done[name]
        if isinstance(result, Exception):
            raise result
        return result

    return of


def _complaint(result: Performance | Exception) -> str:
    if isinstance(result, Exception):
        return str(result) or type(result).__name__
    return "; ".join(result.complaints)


async def _perform(stage: Stage, names: list[str], back_end: BackEnd, desk_port: int) -> Done:
    await back_end.open(int(stage.back_end.rpartition(":")[2]))
    ours = await Phone.open(port=desk_port, user="8001")
    ours.on_invite = _let_it_ring
    try:
        async with Rehearsal(stage.place(back_end)) as company:
            done = await company.play_all([scene(name) for name in names], VARIANTS)
            if company.repeated:
                told.append(f"torn by a busy machine, so repeated: {', '.join(company.repeated)}")
    finally:
        await back_end.close()
        await ours.close()
    return dict(zip(names, done, strict=True))


async def _let_it_ring(call: PhoneCall) -> None:
    call.ring()


def _echo(call: PhoneCall) -> None:
    call.echo(0.08, -20.0)


VARIANTS: Mapping[str, Variant] = {
    "echo": Variant(prepare=_echo),
    "people-ring-first": Variant(number=people_first("1001")),
}
"""What is special about some calls, by scene."""
