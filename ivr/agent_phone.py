"""An agent's telephone in the terminal: what `sansheng phone 801` (`make phone AGENT=801`) does.

It registers as that agent's phone, dials *81 (示闲), rings when a caller is to be put through, and
dials *82 (示忙) and takes leave at the end.

Keys: Enter (or `a`) picks up; 0-9 * # are pressed; `s` speaks for two seconds, `h` hangs up or
refuses, `q` leaves. When no call is up, a number and Enter dials it (*81, *82). `--keys` presses by
itself as `sansheng call` does, and `r` waits until it rings; so does what is piped in.

Rules this module keeps:

- Only a phone that stands in a hotline's file is one; nothing else registers.
- What the agent hears is shown from the service's `watch` stream, the note from the agent's own
  leg; while the two talk, what the service does with the caller is shown as well, as `call`, and
  the codes that may be keyed.
- One terminal at a time is a phone (`ivr.handset`).
- However it ends (q, Ctrl-C, the end of the keys, a signal), the agent is signed out.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ivr import handset, hotlines, place, plan, stimuli, watching
from ivr.ear import Ear
from ivr.hotlines import Hotlines
from ivr.keyboard import by_hand, typed
from ivr.phone import NotAnswered, Phone, PhoneCall, State
from ivr.registration import NotRegistered, Registration
from ivr.screen import Screen, watched
from ivr.settings import address
from ivr.terminal import SPEAK, CannotCall
from ivr.udp import Address

READY, BUSY = "*81", "*82"
"""What an agent dials to be rung from now on (示闲), and not any more (示忙)."""
SAID: Mapping[str, str] = {READY: "agent.ready", BUSY: "agent.busy"}
"""What the service says then."""
MAY_NOT = "agent.refused"
"""What it says of a number that may not be dialled from here."""
KEYS = "0123456789*#sharq.\n"
"""What may be typed."""
SOON = 3.0
"""Seconds within which a switch on this machine answers."""
SIGN_IN = 15.0
"""Seconds that *81 and *82 may take."""
SHORT = 750
"""Packets of sound (20 ms) in a call in which the service alone has spoken, at most."""
LONG = 24 * 3600.0
HELP = "Enter picks up, 0-9 * # are keys, s speaks, h hangs up or refuses, q leaves"
NO_SWITCH = "no Asterisk answers at {}:{}: start one with `make run`, in a terminal of its own"
REFUSED: Mapping[int, str] = {
    401: "it wants a password, and this telephone has none: it is for the Asterisk of `make run`",
    404: "it knows no such phone: start it anew, it was started before the phone stood in the file",
    408: "it does not answer",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person at the terminal asked for. `agent` is a phone or a staff number; `server` is
    HOST:PORT of SIP, or "" for the line that runs here; `port` is ours on 127.0.0.1, 0 any."""

    root: Path
    agent: str
    server: str = ""
    keys: str = ""
    port: int = 0

    def check(self) -> None:
        """Raises CannotCall for what cannot be done."""
        if unknown := sorted(set(self.keys) - set(KEYS)):
            raise CannotCall(
                f"--keys knows no {' '.join(map(repr, unknown))}: r waits until it rings, a picks "
                "up, 0-9 * # are keys, s speaks, h hangs up, q leaves, . waits 1 s"
            )


def phone_of(loaded: Hotlines, agent: str) -> str:
    """The phone of this name, or of the agent with this staff number. Raises CannotCall."""
    if agent in plan.phones(loaded):
        return agent
    everybody = [one for line in loaded.lines.values() for one in line.staff.agents.values()]
    for one in everybody:
        if one.staff_number == agent and one.phone:
            return one.phone
    known = "; ".join(
        f"{line.name}: {' '.join(one.phone for one in line.staff.agents.values())}"
        for line in loaded.lines.values()
        if line.staff.agents
    )
    raise CannotCall(f"nobody has the phone '{agent}': choose one of {known}")


def run(wish: Wish, out: Console) -> None:
    """Be this agent's phone until it is left. Raises CannotCall, BadFile."""
    wish.check()
    loaded = hotlines.load(wish.root)
    number = phone_of(loaded, wish.agent)
    running = place.running(wish.root)
    try:
        server = address(wish.server) if wish.server else ("127.0.0.1", 0)
    except ValueError as error:
        raise CannotCall(str(error)) from None
    if not wish.server:
        server = ("127.0.0.1", running.sip if running is not None else 5060)
    try:
        with (
            handset.held(wish.root / "var/phones", number, server),
            contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt),
        ):
            asyncio.run(_run(wish, loaded, number, server, Screen(out)))
    except handset.InUse as error:
        raise CannotCall(str(error)) from None


async def _run(wish: Wish, loaded: Hotlines, number: str, server: Address, screen: Screen) -> None:
    try:
        phone = await Phone.open(port=wish.port, user=number)
    except OSError as error:
        raise CannotCall(
            f"port {wish.port} on 127.0.0.1 cannot be used ({error.strerror}): leave --port out, "
            "and any free one is taken"
        ) from None
    async with phone:
        one = AgentPhone(phone, number, server, Voices(wish.root, loaded, number), screen)
        one.codes = {
            name: ", ".join(f"{of.code} {of.name}" for of in line.staff.features.values())
            for name, line in loaded.lines.items()
        }
        socket = place.control_socket(wish.root)
        async with watched(socket, one.overhear) as seen:
            with _signals():
                await one.serve(wish.keys, seen=seen)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A terminal that is closed, and a polite kill, are ends like Ctrl-C."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    ends = (signal.SIGTERM, signal.SIGHUP)
    for one in ends:
        loop.add_signal_handler(one, lambda: task.cancel() if task is not None else None)
    try:
        yield
    finally:
        for one in ends:
            loop.remove_signal_handler(one)


class Voices:
    """What the service says when an agent dials *81, *82 or what may not be dialled, by its
    sound."""

    def __init__(self, root: Path, loaded: Hotlines, phone: str) -> None:
        self._folder, self._library = place.sounds(root), loaded.library
        self._lines = [
            line.name
            for line in loaded.lines.values()
            if any(one.phone == phone for one in line.staff.agents.values())
        ]

    def heard(self, call: PhoneCall) -> list[str]:
        """The texts heard in this call."""
        texts, sounds = {}, {}
        for prompt in (*SAID.values(), MAY_NOT):
            for line in self._lines:
                (part, *_) = self._library.parts(line, prompt)
                file = self._folder / f"{part.path}.wav"
                if file.exists():
                    texts[part.path] = self._library.text(line, prompt)
                    sounds[part.path] = stimuli.wav(file)
        return [texts[one.name] for one in Ear(sounds).recognise(call.heard)] if sounds else []


class AgentPhone:
    """One registered phone, and the call it is in."""

    def __init__(
        self, phone: Phone, number: str, server: Address, voices: Voices, screen: Screen
    ) -> None:
        self.call: PhoneCall | None = None
        self.codes: Mapping[str, str] = {}
        """What may be keyed in a conversation, as a sentence, by line."""
        self._phone, self._number, self._server = phone, number, server
        self._voices, self._screen = voices, screen
        self._rings = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dialled = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._teller = watching.Teller(whole=True)
        self._leg = self._caller = ""
        self._together = False
        phone.on_invite = self._rung
        self._registration = Registration(
            phone.endpoint,
            asyncio.get_running_loop().call_later,
            number,
            phone.address,
            phone.contact,
            server,
            self._registered,
        )

    async def serve(self, keys: str, *, seen: bool) -> None:
        """Register, sign in, do what is typed, sign out, take leave. Raises CannotCall."""
        show = self._screen.show
        await self._register()
        try:
            show("", f"phone {self._number} is registered at {self._server[0]}:{self._server[1]}")
            if not await self.dial(READY):
                raise CannotCall(
                    f"{READY} was not taken: the service is not there, or does not know the phone "
                    f"{self._number}; `sansheng doctor` says more"
                )
            texts = "" if seen else "; what is said cannot be shown: the service is not here"
            show("", f"waiting for callers: {HELP}{texts}")
            with by_hand(bool(keys)):
                async for key in typed(keys):
                    if key == "q":
                        break
                    await self._do(key)
                else:
                    await self._idle.wait()
        finally:
            await self._leave()

    async def _register(self) -> None:
        host, port = self._server
        try:
            async with asyncio.timeout(SOON):
                await self._registration.begin()
        except TimeoutError:
            raise CannotCall(NO_SWITCH.format(host, port)) from None
        except NotRegistered as error:
            why = REFUSED.get(error.status, f"it says {error.status}")
            raise CannotCall(
                f"the Asterisk at {host}:{port} does not register the phone {self._number}: {why}"
            ) from None

    def _registered(self, status: int) -> None:
        if status == 200:
            self._screen.show("", "Asterisk is back, and knows this phone again")
        else:
            why = REFUSED.get(status, f"it says {status}")
            self._screen.show("", f"[red]Asterisk is lost ({why}): trying again[/]")

    async def _leave(self) -> None:
        """Hang up, sign out, unregister; nothing of it keeps us for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SIGN_IN):
                if self.call is not None:
                    await self.call.hang_up()
                    await self._idle.wait()
                await self.dial(BUSY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                await self._registration.end()
        self._registration.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._screen.show("", f"phone {self._number} has left")

    # ------------------------------------------------------------ calls

    async def dial(self, number: str) -> bool:
        """Call somebody, until it is over; whether it was answered."""
        show = self._screen.show
        show("you", f"[cyan]dial {escape(number)}[/]")
        self._begins(call := await self._phone.dial(number, self._server, self._number))
        try:
            async with asyncio.timeout(SIGN_IN if number in SAID else LONG):
                await call.answered(LONG)
                await call.ended(LONG)
        except NotAnswered as error:
            show("", f"[red]{escape(number)} was not answered: {error.status}[/]")
        except TimeoutError:
            show("", f"[red]{escape(number)} was not answered[/]")
            await call.hang_up()
        finally:
            self._over(call)
        if call.answered_at is not None and call.heard.packets <= SHORT:
            for text in await asyncio.to_thread(self._voices.heard, call):
                show("line", f"[green]{escape(text)}[/]")
        return call.answered_at is not None

    async def _rung(self, call: PhoneCall) -> None:
        """Somebody rings (for `Phone.on_invite`)."""
        if self.call is not None:
            call.refuse(486)
            return
        self._begins(call)
        call.ring()
        display = f" 「{escape(call.display)}」" if call.display else ""
        caller = escape(call.caller) or "withheld"
        self._screen.ring()
        self._screen.show("", f"[bold]it rings: {caller}{display}; Enter picks up, h refuses[/]")
        self._rings.set()
        await call.ended(LONG)
        ended = {"us": "you hung up", "them": "the line hung up"}
        if call.answered_at is None:
            ended = {
                "us": "you refused",
                "them": f"it rings no more; if it stays silent: {READY} and Enter",
            }
        self._screen.show("", f"[bold]{ended.get(call.ended_by, 'the call is over')}[/]")
        self._over(call)

    def _begins(self, call: PhoneCall) -> None:
        self.call = call
        self._dialled = ""
        self._idle.clear()

    def _over(self, call: PhoneCall) -> None:
        if self.call is call:
            self.call = None
            self._rings.clear()
            self._together = False
            self._idle.set()

    # ------------------------------------------------------------ keys

    async def _do(self, key: str) -> None:
        call = self.call
        if key == "r":
            await self._rings.wait()
        elif call is None:
            self._at_rest(key)
        elif call.incoming and call.state is State.RINGING:
            if key in "\na":
                self._screen.show("you", "[cyan]pick up[/]")
                self._rings.clear()
                call.answer()
            elif key == "h":
                self._screen.show("you", "[cyan]refuse[/]")
                call.refuse(603)
        elif key == "h":
            self._screen.show("you", "[cyan]hang up[/]")
            await call.hang_up()
        elif call.state is State.UP and key in "0123456789*#":
            self._screen.show("you", f"[cyan]press {key}[/]")
            call.press(key)
        elif call.state is State.UP and key == "s":
            self._screen.show("you", f"[cyan]speak for {SPEAK:.0f} s[/]")
            call.speak(SPEAK)

    def _at_rest(self, key: str) -> None:
        """A key when no call is up: a number, then Enter."""
        if key in "0123456789*#":
            self._dialled += key
            self._screen.show("you", f"[cyan]{escape(self._dialled)}[/] [dim]Enter dials it[/]")
        elif key == "\n" and self._dialled:
            task = asyncio.create_task(self._dials(self._dialled))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif key == "h":
            self._dialled = ""

    async def _dials(self, number: str) -> None:
        if await self.dial(number):
            self._screen.show("", "[bold]the call is over[/]")

    # ------------------------------------------------------------ what is said

    def overhear(self, event: Mapping[str, Any]) -> None:
        """Something happened in a call: is it about the one that we are in?"""
        what, call = event["what"], event.get("call", "")
        if what == "Summoned" and event.get("phone") == self._number:
            self._leg, self._caller = call, event.get("leg_of", "")
            self._together = False
        elif call and call == self._leg:
            if what == "HandOver":
                self._together = True
            if (said := self._teller.words(event)) and what not in ("Key", "HungUp"):
                self._screen.show("line", said)
        elif call and call == self._caller and self._together:
            if said := self._teller.words(event):
                self._screen.show("call", said)
            if what == "Bridge" and (codes := self.codes.get(event["line"])):
                self._screen.show("", f"[dim]you may key: {escape(codes)}[/]")
            self._together = what not in ("BridgeOver", "AgentGone", "HungUp")
