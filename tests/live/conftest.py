"""Live calls: one stage, on which all calls that the tests of this run ask for are placed side by
side, once; each test then looks at its own.

A test says which call it looks at: `@pytest.mark.performs("xjca-silent")` names a scenario of
tests/scenarios or of tests/live/scenes. With SANSHENG_LIVE=all every scenario is performed; what
passed at this commit already is not done again, and docs/live.md is written.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from harness import ROOT, Stage, free_port, late, people_first

from ivr import scenario
from ivr.live_rehearsal import BackEnd, Performance, Place, Rehearsal, Unwritten, Variant, left_out
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.scenario import Scenario

SCENES = Path(__file__).parent / "scenes"
FAILED = ROOT / "var/live/failed"
"""Where the sound of calls is kept that went wrong."""

HOLD = 180.0
"""Seconds that the longest of the special calls lasts at most."""

Performed = Callable[[str], Performance]
Done = Mapping[str, Performance | TimeoutError | Unwritten]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "performs(scenario): looks at this scenario's live call")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, the live calls of a run belong to one of them."""
    for item in items:
        if item.get_closest_marker("performs"):
            item.add_marker(pytest.mark.xdist_group("live calls"))


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
    wanted = {
        mark.args[0]: None
        for item in request.session.items
        for mark in item.iter_markers("performs")
    }
    played = [name for name in wanted if not left_out(found(name), stage.hotlines, longest=HOLD)]
    done = asyncio.run(_perform(stage, played, back_end, desk_port))

    def of(name: str) -> Performance:
        result = done[name]
        if isinstance(result, Exception):
            raise result
        return result

    return of


def found(name: str) -> Scenario:
    """A scenario by its name. Raises FileNotFoundError."""
    own = SCENES / f"{name}.yaml"
    return scenario.read(own if own.exists() else ROOT / f"tests/scenarios/{name}.yaml", ROOT)


async def _perform(stage: Stage, names: list[str], back_end: BackEnd, desk_port: int) -> Done:
    await back_end.open(int(stage.back_end.rpartition(":")[2]))
    desk = await Phone.open(port=desk_port, user="8001")
    desk.on_invite = _let_it_ring
    place = Place(
        stage.sip,
        stage.control,
        stage.store,
        stage.hotlines,
        stage.voices,
        back_end,
        late,
        FAILED,
    )
    try:
        async with Rehearsal(place) as company:
            scenarios = [found(name) for name in names]
            done = await company.play_all(scenarios, VARIANTS)
    finally:
        await back_end.close()
        await desk.close()
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
