"""A telephone in the terminal: what `sansheng call LINE` (`make call`) does.

A real SIP call to a running line, or, with `--fake`, a call over the fake Asterisk in real time.
What is being said is shown as text while it plays; keys go to the line.

Keys: 0-9 * # are pressed, `s` speaks for two seconds, `h` hangs up. `--keys` presses by itself,
one every 0.4 s, and `.` waits a second more; so does what is piped in.

Rules this module keeps:

- What is shown is what `ivr.screen` watches; where the service is out of reach (another machine)
  the texts are recognised in the audio afterwards.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape

from ivr import hotlines, place, stimuli, watching
from ivr.directory import normal
from ivr.ear import Ear
from ivr.hotlines import Hotlines
from ivr.keyboard import by_hand, typed
from ivr.phone import NotAnswered, Phone, PhoneCall
from ivr.screen import Screen, watched
from ivr.settings import address

SPEAK = 2.0
"""Seconds that `s` speaks."""
CALLER = "13800138000"
"""Who calls, if nobody else is wished for."""
PATIENCE = 60.0
"""Seconds to ring until we give up."""
KEYS = "0123456789*#sh."
"""What may be typed."""
SOON = 6.0
"""Seconds within which a line must at least ring."""
NOBODY = "nobody answers there: is `make run` running? (--server says where)"
OURS = ("Key", "Voice", "HungUp")
"""What we did ourselves, and have shown already."""


class CannotCall(Exception):
    """The call cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person at the terminal asked for. `line` is a name or a number; `server` is
    HOST:PORT of SIP, or "" for the line that runs here; `keys` "" means the keyboard; `caller` ""
    means `CALLER`, unless the number is `withheld`."""

    root: Path
    line: str
    server: str = ""
    caller: str = ""
    keys: str = ""
    wav: Path | None = None
    withheld: bool = False

    @property
    def number(self) -> str:
        """The number to call from, "" if it is withheld."""
        return "" if self.withheld else self.caller or CALLER

    def check(self) -> None:
        """Raises CannotCall for what cannot be done."""
        unknown = sorted(set(self.keys) - set(KEYS))
        if unknown:
            signs = " ".join(map(repr, unknown))
            raise CannotCall(
                f"--keys knows no {signs}: 0-9 * # are keys, s speaks, h hangs up, . waits 1 s"
            )
        if self.withheld and self.caller:
            raise CannotCall("a number is shown (--caller) or withheld (--withheld), not both")


class Telephone(Protocol):
    """A call as this module needs it."""

    @property
    def ended_by(self) -> str:
        """`us` (the caller), `them` (the line), "" while it lasts."""
        ...

    def press(self, key: str) -> None: ...
    def speak(self, seconds: float) -> None: ...
    async def hang_up(self) -> None: ...
    async def ended(self) -> None: ...


class SipTelephone:
    """A real call."""

    def __init__(self, call: PhoneCall) -> None:
        self.call = call

    @property
    def ended_by(self) -> str:
        return self.call.ended_by

    def press(self, key: str) -> None:
        self.call.press(key)

    def speak(self, seconds: float) -> None:
        self.call.speak(seconds)

    async def hang_up(self) -> None:
        await self.call.hang_up()

    async def ended(self) -> None:
        await self.call.ended(24 * 3600)


def number_of(loaded: Hotlines, line: str) -> tuple[str, str]:
    """Name and number of a line given by either. Raises CannotCall."""
    if line in loaded.numbers:
        return loaded.numbers[line].name, line
    if line in loaded.lines:
        numbers = loaded.lines[line].numbers
        plain = next((number for number, entry in numbers.items() if not entry), None)
        return line, plain or next(iter(numbers))
    known = ", ".join(f"{one.name} ({' '.join(one.numbers)})" for one in loaded.lines.values())
    raise CannotCall(f"there is no line '{line}': choose one of {known}")


# ---------------------------------------------------------------- the two ways to call


def real(wish: Wish, out: Console) -> bool:
    """Call over SIP; False if the line did not answer. Raises CannotCall, BadFile."""
    wish.check()
    loaded = hotlines.load(wish.root)
    name, number = number_of(loaded, wish.line)
    running = place.running(wish.root)
    try:
        server = address(wish.server) if wish.server else ("127.0.0.1", 0)
    except ValueError as error:
        raise CannotCall(str(error)) from None
    if not wish.server:
        server = ("127.0.0.1", running.sip if running is not None else 5060)
    return asyncio.run(_real(wish, loaded, name, number, server, out))


async def _real(
    wish: Wish, loaded: Hotlines, name: str, number: str, server: tuple[str, int], out: Console
) -> bool:
    screen = Screen(out)
    async with (
        await Phone.open(user="terminal") as phone,
        watched(place.control_socket(wish.root), _teller(wish.number, screen)) as seen,
    ):
        screen.show("", f"calling {number} ({name}) at {server[0]}:{server[1]}")
        call = await phone.dial(number, server, caller=wish.number)
        try:
            await call.ringing(SOON)
            await call.answered(PATIENCE)
        except NotAnswered as error:
            why = {408: NOBODY, 404: "there is no such number"}
            screen.show("", f"[red]{why.get(error.status, f'refused with {error.status}')}[/]")
            return False
        except TimeoutError:
            rang = call.ringing_at is not None or call.progress_at is not None
            long = f"it rang for {PATIENCE:.0f} s, and nobody picked up"
            screen.show("", f"[red]{long if rang else NOBODY}[/]")
            hanging = asyncio.create_task(call.hang_up())
            await asyncio.wait([hanging], timeout=1)
            hanging.cancel()
            return False
        screen.show("", "answered" + ("" if seen else "; the texts come at the end"))
        await _converse(SipTelephone(call), wish.keys, screen)
    audio = wish.wav or wish.root / f"var/calls/{time.strftime('%Y%m%d-%H%M%S')}-{name}.wav"
    audio.parent.mkdir(parents=True, exist_ok=True)
    call.heard.wav(audio)
    if not seen:
        _recognise(call, loaded, name, wish.root, screen)
    screen.show("", f"what was heard: {escape(str(audio))}")
    return True


def fake(wish: Wish, out: Console) -> bool:
    """Call over a fake Asterisk in real time. Raises CannotCall, BadFile."""
    from ivr.fake_line import FakeLine

    wish.check()
    loaded = hotlines.load(wish.root)
    name, number = number_of(loaded, wish.line)

    async def talk() -> None:
        screen = Screen(out)
        async with (
            FakeLine(loaded, wish.root) as line,
            watched(line.socket, _teller(wish.number, screen)),
        ):
            screen.show("", f"calling {number} ({name}) over a fake Asterisk: no sound")
            await _converse(line.dial(number, wish.number), wish.keys, screen)

    asyncio.run(talk())
    return True


# ---------------------------------------------------------------- during the call


async def _converse(phone: Telephone, keys: str, screen: Screen) -> None:
    """Keys go out until the call is over."""

    async def type_() -> None:
        async for key in typed(keys):
            await _do(phone, key, screen)

    us = asyncio.current_task()
    assert us is not None
    for told in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: the line is not left alone
        asyncio.get_running_loop().add_signal_handler(told, us.cancel)
    screen.show("", "keys 0-9 * #, s speaks, h hangs up")
    with by_hand(bool(keys)):
        typing = asyncio.create_task(type_())
        over = asyncio.create_task(phone.ended())
        try:
            await asyncio.wait({typing, over}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                typing.result()  # raises what went wrong
            await over
        except asyncio.CancelledError:  # Ctrl-C
            await phone.hang_up()
        finally:
            typing.cancel()
            over.cancel()
            await asyncio.gather(typing, over, return_exceptions=True)
    await asyncio.sleep(0.3)  # what the service still has to say
    who = {"us": "you hung up", "them": "the line hung up"}
    screen.show("", f"[bold]{who.get(phone.ended_by, 'the call is over')}[/]")


async def _do(phone: Telephone, key: str, screen: Screen) -> None:
    if key in "0123456789*#":
        screen.show("you", f"[cyan]press {key}[/]")
        phone.press(key)
    elif key == "s":
        screen.show("you", f"[cyan]speak for {SPEAK:.0f} s[/]")
        phone.speak(SPEAK)
    elif key == "h":
        screen.show("you", "[cyan]hang up[/]")
        await phone.hang_up()


# ---------------------------------------------------------------- what is said


def _teller(caller: str, screen: Screen) -> Callable[[Mapping[str, Any]], None]:
    """Shows what the service does in our call."""
    ours, teller = "", watching.Teller(whole=True)

    def show(event: Mapping[str, Any]) -> None:
        nonlocal ours
        if not ours and event["what"] == "Offered" and event["caller"] == normal(caller):
            ours = event["call"]
        if event.get("call") == ours and ours:
            said = teller.words(event)
            if said and event["what"] not in OURS:
                screen.show("line", said)

    return show


def _recognise(call: PhoneCall, loaded: Hotlines, line: str, root: Path, screen: Screen) -> None:
    """What was said, by its sound."""
    parts = loaded.library.all_parts()
    folder = place.sounds(root)
    sounds = {
        base: stimuli.wav(folder / f"{part.path}.wav")
        for base, part in parts.items()
        if base.startswith((f"{line}.", "common.")) and (folder / f"{part.path}.wav").exists()
    }
    for heard in Ear(sounds).recognise(call.heard) if sounds else []:
        at = heard.start - (call.answered_at or call.heard.began)
        screen.show("line", f"{at:6.1f} s [green]{escape(parts[heard.name].text)}[/]")
