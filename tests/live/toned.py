"""An Asterisk with our dialplan and no service, for the tests of the dialplan.

Its prompts are tones of one frequency each, so that what a caller heard is read off the sound.

One serves all these tests (`switch`, a fixture that conftest.py hands out). Instead of the service,
a test answers itself (answering.py), or nobody does.
"""

from __future__ import annotations

import socket
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import switches
from places import free_port

from ivr import tones
from ivr.dialplan import Line
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.switch import Switch

SORRY, LEAVE, KEPT, GOODBYE = 500, 700, 1300, 1700
"""Hz of the prompts; the beep is 1000."""
TONES = (SORRY, LEAVE, 1000, KEPT, GOODBYE)
SECONDS = 0.6

Left = Callable[[], dict[str, dict[str, str]]]
"""What callers have left with the fallback, by recording."""


def line(name: str, *numbers: str, people: tuple[str, ...] = (), ring: int = 8) -> Line:
    prompts = (f"zh/{name}/{name}.{what}" for what in ("sorry", "leave", "kept", "goodbye"))
    return Line(name, numbers, *prompts, people=people, ring_people=ring)


LINES = (
    line("office", "1001", "+8610#1001"),
    line("counter", "1002", people=("PJSIP/8001",), ring=2),
)


def a_switch(directory: Path, desk: int = 0) -> Switch:
    """An Asterisk in a folder and on ports of its own, for LINES; `desk` is where our own people's
    phone is. It does not run yet."""
    return switches.a_switch(directory, "first", lines=LINES, desks={"8001": desk})


def make_prompts(sounds: Path) -> None:
    when = np.arange(round(SECONDS * tones.RATE)) / tones.RATE
    for own in LINES:
        for prompt, pitch in zip(
            (own.sorry, own.leave, own.kept, own.goodbye),
            (SORRY, LEAVE, KEPT, GOODBYE),
            strict=True,
        ):
            file = sounds / prompt
            tones.write(0.3 * np.sin(2 * np.pi * pitch * when), file.parent, file.name)


@pytest.fixture(scope="session")
def desk() -> int:
    """The port of our own people's phone."""
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory, desk: int) -> Iterator[tuple[Switch, str]]:
    """The one that serves all tests of the dialplan, and what it had logged when it was up."""
    directory = tmp_path_factory.mktemp("switch")
    make_prompts(directory / "sounds")
    own = switches.started(lambda: a_switch(directory, desk))
    yield own, (directory / "log/messages.log").read_text()
    own.stop()


@pytest.fixture(scope="session")
def switch(booted: tuple[Switch, str]) -> Switch:
    """The one that serves all tests of the dialplan."""
    return booted[0]


@pytest.fixture
def left(switch: Switch) -> Iterator[Left]:
    """What this test's callers left, taken away afterwards."""
    switch.cli("database deltree sansheng/fallback")
    yield lambda: entries(switch)
    switch.cli("database deltree sansheng/fallback")


async def dial(phone: Phone, switch: Switch, number: str, caller: str = "13800138000") -> PhoneCall:
    return await phone.dial(number, ("127.0.0.1", switch.ports.sip), caller)


def heard(call: PhoneCall) -> list[int]:
    """Which tones the caller heard, in order."""
    found: list[int] = []
    sound = call.heard.samples().astype(float)
    step = tones.RATE // 10
    pitches = np.fft.rfftfreq(step, 1 / tones.RATE)
    for start in range(0, len(sound) - step, step // 2):  # a beep is hardly longer than one
        spectrum = np.abs(np.fft.rfft(sound[start : start + step] * np.hanning(step)))
        loudest = pitches[int(spectrum.argmax())]
        near = [tone for tone in TONES if abs(tone - loudest) <= 10]
        if spectrum.max() > 50 * (np.median(spectrum) + 1000) and near and found[-1:] != near:
            found += near
    return found


def first(call: PhoneCall, tone: int) -> float:
    """When a tone was first heard, in monotonic seconds."""
    sound = call.heard.samples().astype(float)
    step = tones.RATE // 50
    wave_ = np.exp(-2j * np.pi * tone * np.arange(step) / tones.RATE)
    for start in range(0, len(sound) - step, step):
        if abs(sound[start : start + step] @ wave_) > step * 1000:
            return call.heard.began + start / tones.RATE
    raise AssertionError(f"{tone} Hz was never heard")


def entries(switch: Switch) -> dict[str, dict[str, str]]:
    """What the fallback has put into Asterisk's database, by recording."""
    found: dict[str, dict[str, str]] = {}
    for row in switch.cli("database show sansheng/fallback").splitlines():
        key, colon, value = row.partition(":")
        if colon and key.startswith("/sansheng/fallback/"):
            name, field = key.strip().split("/")[3:]
            found.setdefault(name, {})[field] = value.strip()
    return found


def length(file: Path) -> float:
    with wave.open(str(file)) as sound:
        return sound.getnframes() / sound.getframerate()
