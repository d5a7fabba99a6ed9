"""A whole line on a stage: an Asterisk, a service and its database, all of them our own.

Rules this module keeps:

- Every stage has ports, a folder and a data root of its own: a copy of this checkout's flows and
  prompts, so that a test may change them, and so that nobody else's work changes a test.
- On a stage people are always at work, whatever the clock says.
- Everything is stopped at the end, also after a failure or Ctrl-C, and nothing else is.
- What cannot be set up is told in one sentence (`StageError`).

Starting and stopping blocks: within a running call use `asyncio.to_thread`.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import stage_dialplan
import stage_root
from places import ROOT, short
from stage_root import StageError
from switches import a_switch, started

from ivr import control, hotlines, messages, replay, scenario_file
from ivr.ear import Ear
from ivr.hotlines import Hotlines
from ivr.journal import Entry
from ivr.live_caller import BackEnd
from ivr.live_rehearsal import Performance, Place, Unwritten
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.recognition import Voices, templates
from ivr.scenario import Scenario
from ivr.store import Call, Message, Store
from ivr.switch import Switch, SwitchError

SCENES = Path(__file__).parent / "scenes"
FAILED = ROOT / "var/live/failed"
"""Where the sound of calls is kept that went wrong."""

Performed = Callable[[str], Performance]
"""The live call of a scenario; raises what went wrong with it."""
Done = Mapping[str, Performance | TimeoutError | Unwritten]

READY = 30.0
"""Seconds that the service may take until it is ready (1.5 s measured)."""
STOP = 5.0
"""Seconds that the service may take to end after each signal."""


class Stage:
    """One Asterisk with one service. Use as a context manager.

    `directory` is the stage's folder. `people` are rung first, by hotline, as Asterisk dials
    them, when `people_first(number)` is dialled; `desks` are their phones, by name, with the
    loopback port of each. `back_end` is the
    address (http://…) that all lookups are sent to, as `{back_end}/{line}/{item}/{caller}`;
    without it the sample database answers. `change` may edit the data root it is given before
    anything starts. `environment` is added to the service's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        people: Mapping[str, tuple[str, ...]] | None = None,
        desks: Mapping[str, int] | None = None,
        back_end: str = "",
        change: Callable[[Path], None] | None = None,
        environment: Mapping[str, str] | None = None,
        with_manager: bool = True,
        name: str = "stage",
    ) -> None:
        self.directory = directory
        self.name = name
        self.people = dict(people or {})
        self.desks = dict(desks or {})
        self.environment = dict(environment or {})
        self.with_manager = with_manager
        self.back_end = back_end
        self._change = change
        self._control = short(directory / "control.sock")
        self._service: subprocess.Popen[bytes] | None = None
        self._relieved: list[subprocess.Popen[bytes]] = []
        self._store: Store | None = None
        self.log = directory / "service.log"
        self.root = directory / "root"
        self.sounds = directory / "sounds"
        self.spool = directory / "spool"
        self.recordings = directory / "kept"

    def __enter__(self) -> Self:
        try:
            self._set_up()
            self.start_service()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop whatever runs."""
        try:
            self.stop_service()
        finally:
            for service in self._relieved:
                service.kill()
                service.wait()
            switch: Switch | None = getattr(self, "switch", None)
            if switch is not None:
                switch.stop()
            if self._store is not None:
                self._store.close()
                self._store = None
            if self._control.parent != self.directory:
                shutil.rmtree(self._control.parent, ignore_errors=True)

    # ------------------------------------------------------------ setting up

    def _set_up(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        stage_root.sounds(self.sounds)
        stage_root.copy(self.root, self.people, self.back_end)
        if self._change is not None:
            self._change(self.root)
        self.hotlines: Hotlines = hotlines.load(self.root)
        try:
            self.switch = started(self._a_switch, self._more_extensions)
        except SwitchError as error:
            raise StageError(f"no Asterisk for this stage: {error}") from error
        self.agi = self.switch.agi

    def _a_switch(self) -> Switch:
        return a_switch(
            self.directory / "asterisk",
            self.name,
            lines=list(stage_dialplan.lines(self.hotlines, self.people)),
            sounds=self.sounds,
            spool=self.spool,
            desks=self.desks,
        )

    def _more_extensions(self, switch: Switch) -> None:
        with (switch.directory / "etc/sansheng.conf").open("a") as file:
            file.write(stage_dialplan.extensions(self.hotlines))

    # ------------------------------------------------------------ the service

    @property
    def pid(self) -> int:
        """The service's process id. Raises StageError if it does not run."""
        if self._service is None:
            raise StageError("the service of this stage does not run")
        return self._service.pid

    def start_service(self) -> None:
        """Start it and wait until it is ready. Raises StageError."""
        if self._service is not None:
            raise StageError("the service of this stage runs already")
        command = [sys.executable, "-m", "ivr.cli", "--root", str(self.root), "serve"]
        command += ["--agi", self.agi, "--database", self.database, "--manager"]
        command.append(f"127.0.0.1:{self.switch.ports.manager}" if self.with_manager else "none")
        with self.log.open("ab") as log:
            before = log.tell()
            self._service = subprocess.Popen(
                command,
                env={**os.environ, **self._environment(), **self.environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is for the tests, not for it
            )
        deadline = time.monotonic() + READY
        while '"event": "ready"' not in self.said(before):
            try:
                self._service.wait(0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            last = self.said(before).strip().splitlines()[-5:]
            self.kill_service()
            raise StageError(f"the service did not start: {' | '.join(last) or 'it said nothing'}")

    def relieve_service(self, *, first: bool = False) -> subprocess.Popen[bytes]:
        """The service is told to stop, and another one begins while it drains; with `first` that
        one begins before. Returns the one that drains. Raises StageError."""
        relieved = self._service
        if relieved is None:
            raise StageError("the service of this stage does not run")
        self._relieved.append(relieved)
        self._service = None
        if first:
            self.start_service()
        relieved.send_signal(signal.SIGTERM)
        if not first:
            self.start_service()
        return relieved

    def _environment(self) -> dict[str, str]:
        return {
            "SANSHENG_MANAGER_SECRET": self.switch.secret,
            "SANSHENG_SOUNDS": str(self.sounds),
            "SANSHENG_SPOOL": str(self.spool),
            "SANSHENG_RECORDINGS": str(self.recordings),
            "SANSHENG_SYSTEM": self.name,
            "SANSHENG_CONTROL": str(self._control),
        }

    def said(self, after: int = 0) -> str:
        """What the service has logged, from this byte on."""
        with self.log.open("rb") as log:
            log.seek(after)
            return log.read().decode("utf-8", "replace")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's rows of this event, as far as they are whole."""
        whole, _, _ = self.said().rpartition("\n")
        rows = (json.loads(row) for row in whole.splitlines() if row.startswith("{"))
        return [row for row in rows if row.get("event") == event]

    def stop_service(self) -> None:
        """End it as ops do, then without mercy. Nothing happens if it does not run."""
        if self._service is None:
            return
        for order in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self._service.send_signal(signal.SIGCONT)
            self._service.send_signal(order)
            try:
                self._service.wait(STOP)
            except subprocess.TimeoutExpired:
                continue
            break
        self._service = None

    def kill_service(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()
            self._service = None

    def freeze_service(self) -> None:
        """It stops in the middle of whatever it does (SIGSTOP), until `thaw_service`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw_service(self) -> None:
        """It goes on where it stopped."""
        os.kill(self.pid, signal.SIGCONT)

    # ------------------------------------------------------------ ringing and watching

    @property
    def sip(self) -> tuple[str, int]:
        """Where to ring the lines."""
        return "127.0.0.1", self.switch.ports.sip

    async def dial(
        self, phone: Phone, number: str, caller: str = "13800138000", rung: float = 0.0
    ) -> PhoneCall:
        """Ring a line; it has rung `rung` seconds (to a tenth) when the service hears of it."""
        return await phone.dial(stage_dialplan.late(number, rung), self.sip, caller)

    @property
    def control(self) -> Path:
        """The service's control socket."""
        return self._control

    def watch(self) -> AsyncIterator[Any]:
        """What happens in calls, as it happens."""
        return control.ask(self._control, {"ask": "watch"})

    async def ask(self, **request: Any) -> Any:
        """Ask the service over its control socket; its first answer."""
        async for answer in control.ask(self._control, request):
            return answer
        raise StageError(f"the service does not answer {request}")

    def place(self, back_end: BackEnd) -> Place:
        """Where scenarios are rehearsed."""
        return Place(
            self.sip,
            self.control,
            self.store,
            self.hotlines,
            self.voices,
            back_end,
            stage_dialplan.late,
            FAILED,
        )

    # ------------------------------------------------------------ what was written down

    @property
    def database(self) -> str:
        """The database's address."""
        return f"sqlite:///{self.directory / 'calls.db'}"

    @property
    def store(self) -> Store:
        """The database."""
        if self._store is None:
            self._store = Store(self.database)
        return self._store

    def call_of(self, caller: str) -> Call:
        """The latest call from this number. Raises StageError if there was none."""
        found = [call for call in replay.calls(self.store, limit=1000) if call.caller == caller]
        if not found:
            last = " | ".join(self.said().splitlines()[-5:])
            raise StageError(f"no call from {caller} was written down; the service said: {last}")
        return found[0]

    def entries(self, call: Call) -> list[Entry]:
        """The journal of a call."""
        return replay.entries(self.store, call.id)

    def messages(self) -> list[Message]:
        """Everything that was left."""
        return messages.listed(self.store, limit=1000)

    def at(self, call: Call, entry: Entry) -> float:
        """When an entry was written, on the clock of `time.monotonic()`."""
        moment = call.offered_at + timedelta(milliseconds=entry.at_ms)
        return time.monotonic() - (datetime.now(UTC) - moment).total_seconds()

    # ------------------------------------------------------------ what was heard

    @property
    def ear(self) -> Ear:
        """An ear for every prompt of every line."""
        return self.voices.ear

    @property
    def voices(self) -> Voices:
        """Every prompt of every line by its sound, as it was when first asked for."""
        return _voices((self.sounds / ".installed.json").read_text(), self.root, self.sounds)


@functools.lru_cache(maxsize=4)
def _voices(stamp: str, root: Path, sounds: Path) -> Voices:
    """`stamp` says which sounds these are."""
    return Voices(templates(hotlines.load(root), sounds))


def scene(name: str) -> Scenario:
    """A scenario by its name. Raises FileNotFoundError."""
    own = SCENES / f"{name}.yaml"
    return scenario_file.read(own if own.exists() else ROOT / f"tests/scenarios/{name}.yaml", ROOT)
