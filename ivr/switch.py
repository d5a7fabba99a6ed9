"""Our own Asterisk on loopback, without root: found or fetched, configured, started, stopped.

For trying things out and for tests. Whoever has an Asterisk already includes our dialplan
there (docs/asterisk.md) and does not need this.

Rules this module keeps:

- One folder, one Asterisk: everything it writes lies below the folder given, except its
  control socket where that folder's name is too long for one. Several run side by side on
  ports of their own.
- It listens on 127.0.0.1 only.
- Only a process that runs with our configuration is ever stopped.
- Every error is one sentence for the person at the terminal (`SwitchError`).

Everything here blocks; a service calls it from an executor.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ivr import debian, dialplan, tones
from ivr.program import Program, installed, unpacked

BOOT = 30.0
"""Seconds it may take to start (0.4 s measured)."""
STOP = 5.0
"""Seconds it may take to stop before it is killed."""
SOCKET_PATH = 107
"""Longest path of a unix socket, in bytes."""


class SwitchError(Exception):
    """Asterisk could not be found, started or asked; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where an Asterisk listens on 127.0.0.1: SIP and RTP over UDP, the manager over TCP."""

    sip: int = 5060
    manager: int = 5038
    rtp_first: int = 20000
    rtp_last: int = 20999


class Switch:
    """One Asterisk.

    `directory` is its folder, `root` the data root (`asterisk/` in it holds the templates,
    `var/` what is fetched). `agi` is the service's HOST:PORT. `sounds` are the prompts and
    `spool` takes the recordings, both made if missing. `desks` are phones of our own people:
    a name for `PJSIP/name`, and the loopback port where that phone is, or 0 if it registers.
    `name` is the system name in every call's identity. Without `secret` the manager's
    password is made at random and kept in the folder.
    """

    def __init__(
        self,
        directory: Path,
        root: Path,
        *,
        lines: Sequence[dialplan.Line] = (),
        agi: str = "127.0.0.1:4573",
        ports: Ports | None = None,
        sounds: Path | None = None,
        spool: Path | None = None,
        desks: Mapping[str, int] | None = None,
        name: str = "sansheng",
        secret: str | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.root = root.absolute()
        self.lines = tuple(lines)
        self.agi = agi
        self.ports = ports or Ports()
        self.sounds = (sounds or self.root / "var/sounds").absolute()
        self.spool = (spool or self.root / "var/recordings/spool").absolute()
        self.desks = dict(desks or {})
        self.name = name
        self.user = "sansheng"
        """The manager account's name; `secret` is its password."""
        self.secret = secret or self._kept_secret()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    # ------------------------------------------------------------ setting up

    def fetch(self, progress: debian.Progress = lambda sentence: None) -> None:
        """Make sure there is an Asterisk: this machine's, or Debian's below `var/asterisk`.

        Raises SwitchError or `debian.FetchError`.
        """
        if installed() is None:
            debian.fetch(self._tree, progress)

    def configure(self) -> None:
        """Write the configuration. Raises SwitchError, or ValueError for a value not allowed."""
        if not re.fullmatch(r"[A-Za-z0-9-]{1,40}", self.name):
            raise ValueError(f"system name {self.name!r} may not stand in a configuration")
        if not re.fullmatch(r"[A-Za-z0-9]+", self.secret):
            raise ValueError("the manager's password may hold letters and digits only")
        program = self._program()
        for folder in ("etc", "var", "log", "cache", "spool", "data"):
            self._folder(self.directory / folder)
        self._folder(self._run)
        self.sounds.mkdir(parents=True, exist_ok=True)
        self.spool.mkdir(parents=True, exist_ok=True)
        music = self.root / "var/asterisk/music"
        if not (music / "music.ulaw").exists():
            tones.write(tones.music(), music, "music")
        self._data(program)
        values = {
            **{n: dialplan.path(self.directory / n) for n in ("etc", "var", "log", "cache")},
            "spool": dialplan.path(self.directory / "spool"),
            "data": dialplan.path(self.directory / "data"),
            "run": dialplan.path(self._run),
            "modules": dialplan.path(program.modules),
            "music": dialplan.path(music),
            "name": self.name,
            "sip": str(self.ports.sip),
            "manager": str(self.ports.manager),
            "rtp_first": str(self.ports.rtp_first),
            "rtp_last": str(self.ports.rtp_last),
            "desks": "".join(_desk(name, port) for name, port in self.desks.items()),
        }
        account = (self.root / "asterisk/manager.conf").read_text()
        values["account"] = dialplan.fill(account, {"secret": self.secret})
        for template in sorted((self.root / "asterisk/standalone").glob("*.conf")):
            self._write(template.name, dialplan.fill(template.read_text(), values))
        self._write_lines()

    def reload(self, lines: Sequence[dialplan.Line]) -> None:
        """Put other lines into the running dialplan; calls that are up keep theirs."""
        self.lines = tuple(lines)
        self._write_lines()
        self.cli("dialplan reload")
        self.cli("module reload features")

    # ------------------------------------------------------------ running

    def start(self) -> None:
        """Start it and wait until it has booted. Raises SwitchError.

        One that was left over from a process that died is stopped first.
        """
        self._take()
        try:
            self._end(self._pid())
            self._free()
            console = self.directory / "log/console.log"
            with console.open("wb") as output:
                self._process = subprocess.Popen(
                    [*self._command(), "-f", "-n"],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C at the terminal is for us, not for it
                )
            (self.directory / "asterisk.pid").write_text(f"{self._process.pid}\n")
            self._booted(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it; calls end. Nothing happens if it does not run."""
        self._end(self._pid())
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def running(self) -> bool:
        """Does the process live? Also true for one that another process of ours started."""
        return self._pid() is not None

    @property
    def pid(self) -> int:
        """Its process id. Raises SwitchError if it does not run."""
        pid = self._pid()
        if pid is None:
            raise SwitchError(f"no Asterisk runs in {self.directory}: start it first")
        return pid

    def cli(self, command: str) -> str:
        """What Asterisk's command line answers. Raises SwitchError if it does not run."""
        done = subprocess.run(
            [*self._command(), "-n", "-rx", command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=BOOT,
            check=False,
        )
        if done.returncode:
            raise SwitchError(f"Asterisk does not answer: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    # ------------------------------------------------------------ where things are

    @property
    def _tree(self) -> Path:
        return self.root / "var/asterisk/root"

    @property
    def _run(self) -> Path:
        """The folder of the control socket, with a name short enough for one."""
        near = self.directory / "run"
        if len(os.fsencode(near / "asterisk.ctl")) <= SOCKET_PATH:
            return near
        short = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sansheng-{os.getuid()}-{short}"

    def _program(self) -> Program:
        found = installed() or unpacked(self._tree)
        if found is None:
            raise SwitchError("there is no Asterisk 20 or newer here yet: fetch it first")
        return found

    def _command(self) -> list[str]:
        return [*self._program().command, "-C", str(self.directory / "etc/asterisk.conf")]

    def _kept_secret(self) -> str:
        file = self.directory / "secret"
        if not file.exists():
            self._folder(self.directory)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as kept:
                kept.write(secrets.token_hex(16))
        return file.read_text()

    # ------------------------------------------------------------ writing

    def _write(self, name: str, text: str) -> None:
        """A configuration file, readable by us alone: one holds a password."""
        file = self.directory / "etc" / name
        file.touch(mode=0o600)
        file.write_text(text)

    def _write_lines(self) -> None:
        text = dialplan.generate(
            self.lines, agi=self.agi, sounds=self.sounds, spool=self.spool, root=self.root
        )
        self._write("sansheng.conf", text)
        self._write("sansheng-features.conf", dialplan.features(self.lines))

    def _folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise SwitchError(f"{folder} belongs to somebody else: remove it or choose another")

    def _data(self, program: Program) -> None:
        """Asterisk's own documentation as it is; of its sounds only the beep, which is ours."""
        link = self.directory / "data/documentation"
        link.unlink(missing_ok=True)
        link.symlink_to(program.data / "documentation")
        tones.write(tones.beep(), self.directory / "data/sounds", "beep")

    # ------------------------------------------------------------ processes

    def _take(self) -> None:
        """Hold the folder for as long as our Asterisk runs."""
        if self._lock is not None:
            raise SwitchError(f"Asterisk runs in {self.directory} already")
        lock = (self.directory / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise SwitchError(
                f"another process runs an Asterisk in {self.directory}: stop that one first"
            ) from None
        self._lock = lock

    def _free(self) -> None:
        """Raises SwitchError if a port is in use."""
        for port, kind, what in (
            (self.ports.sip, socket.SOCK_DGRAM, "SIP (UDP)"),
            (self.ports.manager, socket.SOCK_STREAM, "the manager (TCP)"),
        ):
            if why := unusable(port, kind, what):
                raise SwitchError(why)

    def _booted(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it has booted. Raises SwitchError if it ends, or takes too long."""
        deadline = time.monotonic() + BOOT
        control = self._run / "asterisk.ctl"
        while time.monotonic() < deadline:
            if control.exists():
                try:
                    if "fully booted" in self.cli("core waitfullybooted"):
                        return
                except SwitchError:
                    pass  # the socket is there, but nobody listens yet
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        log = (self.directory / "log/console.log").read_text(errors="replace")
        last = log.strip().splitlines()[-3:]
        raise SwitchError(f"Asterisk did not start; it said: {' | '.join(last) or 'nothing'}")

    def _pid(self) -> int | None:
        """The process that runs with our configuration, if there is one."""
        try:
            pid = int((self.directory / "asterisk.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        ours = os.fsencode(self.directory / "etc/asterisk.conf") in words
        return pid if ours and _lives(pid) else None

    def _end(self, pid: int | None) -> None:
        """Stop this process and wait until it is gone."""
        if pid is not None:
            for order in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
                    os.kill(pid, order)
                if self._gone(pid):
                    break
        (self.directory / "asterisk.pid").unlink(missing_ok=True)

    def _gone(self, pid: int) -> bool:
        """Wait for its end, at most STOP seconds. Is it gone, and are its ports free?"""
        if self._process is not None and self._process.pid == pid:
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                return False
            return True
        deadline = time.monotonic() + STOP
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.02)  # not our child: nothing tells us when it ends
        return not _lives(pid)


def _lives(pid: int) -> bool:
    """Does this process still hold its files and ports?

    Its command line is gone before they are; only a zombie has given up everything, and that
    only when its last thread is gone.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def unusable(port: int, kind: socket.SocketKind, what: str) -> str:
    """Why a port on 127.0.0.1, wanted for `what`, cannot be used, as a sentence; "" if it can."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return (
                f"port {port} on 127.0.0.1, wanted for {what}, cannot be used "
                f"({error.strerror}): stop what uses it, or choose another"
            )
    return ""


def _desk(name: str, port: int) -> str:
    """A phone of one of our people. It is rung, and dials what a seat may."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
        raise ValueError(f"name of a desk {name!r} may not stand in a configuration")
    where = f"contact = sip:{name}@127.0.0.1:{port:d}" if port else "max_contacts = 1"
    return (
        f"\n[{name}](phone)\ncontext = sansheng-seats\naors = {name}\n"
        f"\n[{name}]\ntype = aor\nremove_existing = yes\n{where}\n"
    )
