"""A whole hotline on this machine with one command: what `sansheng run` (`make run`) does.

Prompts, Asterisk, the service, and one call to prove that it works; then every call that comes
in is shown as it goes, until Ctrl-C.

Rules this module keeps:

- No root, loopback only, everything under `var/`.
- What cannot be done is said in one sentence with the way out (`CannotRun`); what was started is
  stopped again, whatever happened. Calls that are up may end first; a second Ctrl-C ends them.
- The proof is a real SIP call, and the opening must be recognised in the audio that was heard.
- Every step is timed, and the times are shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ivr import control, dialplan, hotlines, masters, place, plan, stimuli, watching
from ivr.ear import Ear
from ivr.hotlines import Hotlines
from ivr.obstacles import CannotRun, ports_free, sentences
from ivr.phone import NotAnswered, Phone
from ivr.showing import table
from ivr.switch import Ports, Switch

READY = 60.0
"""Seconds the service may take until it answers."""
ANSWER = 30.0
"""Seconds within which the proof call must be answered."""
STOP = 8.0
"""Seconds the service may take to stop when no call is up."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the terminal asked for; ports are on 127.0.0.1."""

    root: Path
    database: str
    sip: int = 5060
    agi: int = 4573
    manager: int = 5038
    rtp: int = 20000
    once: bool = False


@dataclass(slots=True)
class Run:
    """One line, from nothing to taking calls. Use as a context manager."""

    wishes: Wishes
    out: Console
    times: list[tuple[str, float]] = field(default_factory=list)
    loaded: Hotlines = field(init=False)
    switch: Switch = field(init=False)
    service: subprocess.Popen[bytes] | None = None
    ours: bool = False
    """Whether the Asterisk in our folder is one that we have started."""

    @property
    def root(self) -> Path:
        return self.wishes.root

    @property
    def log(self) -> Path:
        """Where the service's log goes."""
        return self.root / "var/log/service.log"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # ------------------------------------------------------------ the steps

    def start(self) -> None:
        """Set everything up, start it, and prove it. Raises CannotRun."""
        with sentences(self.root):
            with self._step("flows and texts"):
                self.loaded = hotlines.load(self.root)
                lines = plan.lines(self.loaded, os.environ.get("SANSHENG_CARRIER", ""))
            # before anything else is done: nobody should wait for a no
            ports_free(self.wishes.sip, self.wishes.agi, self.wishes.manager)
            self.switch = self._made(lines)
            with ThreadPoolExecutor(1) as beside:
                # the network and the processor are busy at the same time
                fetching = beside.submit(self.switch.fetch, self._tell)
                with self._step("prompts"):
                    self._prompts()
                with self._step("Asterisk"):
                    fetching.result()
                    self.switch.configure()
                    self.switch.start()
                    self.ours = True
            with self._step("the service"):
                self._serve()
            with self._step("one call to prove it"):
                self._prove()

    def _made(self, lines: Sequence[dialplan.Line]) -> Switch:
        wishes = self.wishes
        return Switch(
            self.root / "var/asterisk",
            self.root,
            lines=lines,
            agi=f"127.0.0.1:{wishes.agi}",
            ports=Ports(wishes.sip, wishes.manager, wishes.rtp, wishes.rtp + 999),
            sounds=place.sounds(self.root),
            spool=place.spool(self.root),
            desks=dict.fromkeys(plan.phones(self.loaded), 0),
        )

    def _tell(self, sentence: str) -> None:
        self.out.print(f"    [dim]{escape(sentence)}[/]", highlight=False, soft_wrap=True)

    def _prompts(self) -> None:
        with self.out.status("prompts") as status:
            report = masters.prepare(
                self.root,
                place.sounds(self.root),
                lambda base, done, total: status.update(
                    f"recording what has no audio yet: {done} of {total} ({base})"
                ),
            )
        for base, why in report.failed[:3]:
            self._tell(f"{base}: {why}")
        if report.missing:
            self._tell(f"{len(report.missing)} prompts have no audio: `make prompts` records them")

    def _serve(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        socket_ = place.short(control.path(self.root))
        environment = {
            **os.environ,
            "SANSHENG_MANAGER_USER": self.switch.user,
            "SANSHENG_MANAGER_SECRET": self.switch.secret,
            "SANSHENG_SYSTEM": self.switch.name,
            "SANSHENG_SOUNDS": str(self.switch.sounds),
            "SANSHENG_SPOOL": str(self.switch.spool),
            "SANSHENG_CONTROL": str(socket_),
        }
        command = [sys.executable, "-m", "ivr.cli", "--root", str(self.root)]
        command += ["serve", "--agi", f"127.0.0.1:{self.wishes.agi}"]
        command += ["--manager", f"127.0.0.1:{self.wishes.manager}"]
        command += ["--database", self.wishes.database]
        with self.log.open("wb") as log:
            self.service = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for us, not for it
            )
        deadline = time.monotonic() + READY
        while not asyncio.run(_answers(socket_)):
            if self.service.poll() is not None or time.monotonic() > deadline:
                raise CannotRun(f"the service did not start; it said: {self._last_words()}")
            time.sleep(0.05)  # another process opens its socket: nothing tells us when
        place.note(
            self.root,
            place.Running(
                os.getpid(),
                self.wishes.sip,
                self.wishes.agi,
                self.wishes.manager,
                str(socket_),
                self.service.pid,
            ),
        )

    def _prove(self) -> None:
        line = next(iter(self.loaded.lines.values()))
        number = next((n for n, entry in line.numbers.items() if not entry), None)
        number = number or next(iter(line.numbers))
        told = asyncio.run(self._call(line.name, number))
        self.out.print(f"    {told}", soft_wrap=True)

    async def _call(self, line: str, number: str) -> str:
        """Ring the line, hear its opening, hang up; what was heard."""
        ear = Ear(_sounds_of(self.loaded, place.sounds(self.root), line))
        parts = self.loaded.library.all_parts()
        async with await Phone.open(user="proof") as phone:
            began = time.monotonic()
            call = await phone.dial(number, ("127.0.0.1", self.wishes.sip), caller="")
            try:
                await call.answered(ANSWER)
            except (NotAnswered, TimeoutError) as error:
                why = str(error) or f"nobody answered within {ANSWER:.0f} s"
                raise CannotRun(
                    f"the proof call to {number} failed: {why}; see {self.log}"
                ) from None
            rang = time.monotonic() - began
            self.times.append(("  of which ringing", rang))
            for _ in range(60):
                await asyncio.sleep(0.25)
                heard = [h for h in ear.recognise(call.heard) if ".opening" in h.name]
                if heard and (not heard[0].cut or call.ended_by):
                    break
            await call.hang_up()
        audio = self.root / "var/calls/proof.wav"
        audio.parent.mkdir(parents=True, exist_ok=True)
        call.heard.wav(audio)
        if not heard:
            raise CannotRun(
                f"{number} answered, but its opening was not heard: listen to {audio}, "
                f"and see {self.log} and {self.switch.directory / 'log/messages.log'}"
            )
        words = parts[heard[0].name].text
        return (
            f"{number} ({line}) answered after {rang:.1f} s of ringing and said "
            f"[green]{words}[/] (likeness {heard[0].score:.2f})"
        )

    # ------------------------------------------------------------ while it runs

    def show(self) -> None:
        """How long each step took, which numbers to ring, and how."""
        times = Table(title="time", show_header=False, box=None)
        times.add_column()
        times.add_column(justify="right")
        for name, seconds in self.times:
            times.add_row(name, f"{seconds:.1f} s")
        own = [seconds for name, seconds in self.times if not name.startswith(" ")]
        times.add_row("[bold]altogether[/]", f"[bold]{sum(own):.1f} s[/]")
        self.out.print(times)
        rows = [
            {
                "number": number,
                "line": line.name,
                "title": line.title,
                "from this terminal": f"make call LINE={number}",
            }
            for line in self.loaded.lines.values()
            for number in line.numbers
        ]
        table(rows, self.out)
        self.out.print(
            f"From a softphone (软电话): SIP server 127.0.0.1 port {self.wishes.sip} (UDP), any "
            "user name, no password, codec PCMA or PCMU; dial a number above."
        )
        if phones := plan.phones(self.loaded):
            self.out.print(
                f"To take calls as one of our own people (座席): make phone AGENT={phones[0]}; "
                f"there are {' '.join(phones)}."
            )
        self.out.print(f"[dim]The service's log: {self.log}. Ctrl-C stops everything.[/]")

    async def watch(self) -> None:
        """Show every call as it goes, until cancelled. Raises CannotRun if the service dies."""
        at, teller = place.control_socket(self.root), watching.Teller()
        with contextlib.suppress(control.NoService):
            async for event in control.ask(at, {"ask": "watch"}):
                sentence = teller.sentence(event)
                if sentence:
                    self.out.print(sentence, highlight=False, soft_wrap=True)
        raise CannotRun(f"the service has ended by itself; it said: {self._last_words()}")

    # ------------------------------------------------------------ the end

    def stop(self) -> None:
        """Stop the service and Asterisk; calls that are up may end first."""
        service, self.service = self.service, None
        if service is not None and service.poll() is None:
            service.send_signal(signal.SIGTERM)
            try:
                service.wait(STOP)
            except subprocess.TimeoutExpired:
                self.out.print("calls are up: waiting for them to end; Ctrl-C ends them now")
                with contextlib.suppress(KeyboardInterrupt):
                    service.wait()
                self._kill(service)
        if self.ours:
            self.switch.stop()
            self.ours = False
        place.forget(self.root)

    def _kill(self, service: subprocess.Popen[bytes]) -> None:
        if service.poll() is not None:
            return
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(STOP)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()

    # ------------------------------------------------------------ helpers

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began, before = time.monotonic(), len(self.times)
        yield
        took = time.monotonic() - began
        self.times.insert(before, (name, took))
        self.out.print(f"  [green]✓[/] {name} [dim]{took:.1f} s[/]", highlight=False)

    def _last_words(self) -> str:
        try:
            said = self.log.read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            said = []
        return f"{' | '.join(said[-2:]) or 'nothing'} (all of it: {self.log})"


def run(wishes: Wishes, out: Console) -> None:
    """Everything, until Ctrl-C (or once, if so wished). Raises CannotRun, BadFile."""
    # also where the shell had them ignored; a terminal that is closed stops everything, too
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with Run(wishes, out) as line:
        began = float(os.environ.get("SANSHENG_BEGAN") or time.time())
        if "SANSHENG_BEGAN" in os.environ:  # by `make run`, before it installed anything
            line.times.append(("packages", max(0.0, time.time() - began)))
        line.start()
        line.show()
        if wishes.once:
            return
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(line.watch())
        out.print("stopping")
    out.print("stopped")


# ---------------------------------------------------------------- parts


async def _answers(at: Path) -> bool:
    """Whether a service answers at its control socket."""
    try:
        async for _ in control.ask(at, {"ask": "live"}):
            return True
    except (control.NoService, OSError):
        pass
    return False


def _sounds_of(loaded: Hotlines, sounds: Path, line: str) -> dict[str, Any]:
    """The recorded parts of a line as the ear knows them, by name."""
    return {
        base: stimuli.wav(sounds / f"{part.path}.wav")
        for base, part in loaded.library.all_parts().items()
        if base.startswith(f"{line}.") and (sounds / f"{part.path}.wav").exists()
    }
