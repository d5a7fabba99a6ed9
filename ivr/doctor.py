"""Is everything there that a line needs? What `sansheng doctor` asks, and how to mend it.

Rules this module keeps:

- Every finding is one sentence, with the way to mend it where something is wrong.
- `wrong` means that callers would notice; `note` that something is missing which a line can do
  without, or that could not be asked from here.
- Nothing is changed; a file written to try a folder is removed again.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import ArgumentError

from ivr import checking, control, hotlines, listing, manager_account, place, sound
from ivr.chain import Witness
from ivr.clock import SystemClock
from ivr.console import console
from ivr.document import BadFile
from ivr.manager import Manager, ManagerDown, ManagerRefused
from ivr.prompts import Library
from ivr.settings import Settings, settings_from
from ivr.showing import not_reloaded
from ivr.store import StorageFailed

State = Literal["fine", "note", "wrong"]

MODULES = (
    ("res_agi", "asks the service what to do"),
    ("app_record", "records messages"),
    ("app_playback", "plays the apology without the service"),
    ("app_dial", "rings people"),
    ("app_originate", "asks for a sign of life before an agent's code"),
    ("app_senddtmf", "wakes a waiting call (PlayDTMF)"),
    ("func_talkdetect", "hears that somebody speaks (TALK_DETECT)"),
    ("func_timeout", "frees calls of a frozen service"),
    ("func_cdr", "knows how long it has rung"),
    ("func_db", "keeps notes of messages left without the service"),
    ("func_devstate", "says whether agents' phones are there"),
    ("func_channel", "sets the language"),
    ("func_strings", "filters the caller's number"),
    ("res_musiconhold", "plays music on hold"),
    ("format_pcm", "plays a-law and mu-law"),
    ("format_wav", "writes recordings"),
)
"""Modules of Asterisk that are needed, and what for."""
PHONES = frozenset({"PeerStatus", "ContactStatus", "FullyBooted"})
"""Events that tell where agents' phones are; without them, ringing shows it."""
DESCRIPTORS = 8192
"""Open files that 2,000 calls may need."""
DRIFT = 2.0
"""Seconds that the clocks of Asterisk and the service may be apart without a note."""
ROOM = 1_000_000_000
"""Bytes that should be free for recordings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do about it."""

    name: str
    state: State
    what: str
    fix: str = ""

    def sentence(self) -> str:
        """For a terminal, with rich's markup."""
        mark = {"fine": "[green]✓[/]", "note": "[yellow]•[/]", "wrong": "[red]✗[/]"}[self.state]
        return f" {mark} {self.name}: {self.what}" + (f"\n     → {self.fix}" if self.fix else "")

    def row(self) -> dict[str, str]:
        """For `--json`."""
        return {"name": self.name, "state": self.state, "what": self.what, "fix": self.fix}


def examine(root: Path, database: str, environment: Mapping[str, str]) -> list[Finding]:
    """Look at everything, for a service with this environment. Blocks for a few seconds."""
    settings = _settings(root, database, environment)
    looks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _files(root),
        lambda: _prompts(root, settings.sounds),
        lambda: _database(database),
        lambda: _heads(root, database, environment),
        lambda: _folders(settings),
        _limits,
        lambda: _service(root, settings),
        lambda: _callbacks(root, settings),
        lambda: _manager(settings),
        lambda: _asterisk(root, settings),
    ]
    return [finding for look in looks for finding in look()]


def _settings(root: Path, database: str, environment: Mapping[str, str]) -> Settings:
    """As `sansheng serve` would be started here, or as the line that runs here was."""
    running = place.running(root)
    agi = f"127.0.0.1:{running.agi if running else 4573}"
    manager = f"127.0.0.1:{running.manager if running else 5038}"
    own = dict(environment)
    secret = root / "var/asterisk/secret"
    if "SANSHENG_MANAGER_SECRET" not in own and os.access(secret, os.R_OK):
        own["SANSHENG_MANAGER_SECRET"] = secret.read_text()
    return settings_from(root, database, agi, manager, 2000, own)


# ---------------------------------------------------------------- what is on the disk


def _files(root: Path) -> Iterator[Finding]:
    problems = checking.everything(root)
    if problems:
        first = f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if problems[1:] else "")
        yield Finding("flows and texts", "wrong", first, "run `sansheng check` and mend them")
        return
    loaded = hotlines.load(root)
    yield Finding("flows and texts", "fine", f"{len(loaded.lines)} lines, no problems")
    warnings = {hours.warning(datetime.now(UTC)) for hours in loaded.hours.values()} - {""}
    for warning in sorted(warnings):
        yield Finding("holidays", "note", warning, "update the package chinesecalendar")
    if not warnings:
        yield Finding("holidays", "fine", "known for every day that a promise can reach")


def _prompts(root: Path, sounds: Path) -> Iterator[Finding]:
    try:
        parts = Library.load(root).all_parts()
    except BadFile:
        return  # said already
    silent = sorted(base for base, part in parts.items() if not part.built)
    if silent:
        what = f"{len(silent)} of {len(parts)} have no audio ({', '.join(silent[:3])} …)"
        yield Finding("prompts", "wrong", what, "run `make prompts`, or let `sansheng serve` do it")
    missing = [
        path
        for part in parts.values()
        if part.built
        for kind in sound.FORMATS
        if not (path := sounds / f"{part.path}.{kind}").exists()
    ]
    if missing:
        what = f"{len(missing)} files are not in {sounds} ({missing[0].name} …)"
        fix = f"run `sansheng install-sounds {sounds}` (`make run` and `sansheng serve` do it too)"
        yield Finding("prompts", "wrong", what, fix)
    elif not silent:
        yield Finding("prompts", "fine", f"{len(parts)}, all playable in {sounds}")


def _database(url: str) -> Iterator[Finding]:
    try:
        store = listing.look_back(url)
        count = len(listing.calls(store, None, 1000))
    except listing.NoDatabase as error:
        what, _, fix = str(error).partition(": ")
        yield Finding("database", "note", what, fix)
        return
    except (StorageFailed, OSError) as error:
        yield Finding("database", "wrong", str(error), "see docs/data.md; is the address right?")
        return
    yield Finding(
        "database", "fine", f"{store} answers, {count if count < 1000 else '1000+'} calls"
    )
    store.close()


def _heads(root: Path, database: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    """The file of heads of the history of tickets, without which a chain sealed anew passes."""
    try:
        path = Witness.of(root, database, environment).path
    except ArgumentError:
        return  # said already
    problem = _usable(path.parent)
    if not problem and path.exists():
        try:
            path.open("r+b").close()
        except OSError as error:
            problem = f"{path} cannot be used: {error.strerror}"
    if problem:
        fix = "let the service's user read and write it, or name a folder: SANSHENG_TICKET_HEADS"
        yield Finding("heads of tickets", "wrong", problem, fix)
    else:
        yield Finding("heads of tickets", "fine", f"are written down in {path}")


def _folders(settings: Settings) -> Iterator[Finding]:
    for name, folder in (
        ("spool", settings.service_spool),
        ("recordings", settings.recordings),
    ):
        problem = _usable(folder)
        if problem:
            fix = "make it, with a group that Asterisk's user and the service's share (chmod 2770)"
            yield Finding(name, "wrong", problem, fix)
            continue
        free = shutil.disk_usage(folder).free
        state: State = "fine" if free > ROOM else "note"
        fix = "" if free > ROOM else "make room: recordings need it"
        yield Finding(name, state, f"{folder} is usable, {free // 1_000_000} MB free", fix)


def _usable(folder: Path) -> str:
    """Why a folder cannot be read and written; "" if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"?")
            file.flush()
            if Path(file.name).read_bytes() != b"?":
                return f"{folder} does not give back what is written"
    except OSError as error:
        return f"{folder} cannot be used: {error.strerror}"
    return ""


def _limits() -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS:
        yield Finding("open files", "fine", f"up to {hard if hard > 0 else 'any number'}")
    else:
        what = f"only {hard} are allowed, {DESCRIPTORS} are wanted for 2,000 calls"
        yield Finding("open files", "note", what, "raise the hard limit (ulimit -Hn, LimitNOFILE)")


# ---------------------------------------------------------------- what runs


def _service(root: Path, settings: Settings) -> Iterator[Finding]:
    host, port = settings.agi
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        what = (
            f"nobody listens at {host}:{port} ({error.strerror or error}): callers hear the apology"
        )
        yield Finding("service", "wrong", what, "start it: `make run`, or `sansheng serve`")
        return
    try:
        calls = asyncio.run(asyncio.wait_for(place.asked(root, {"ask": "live"}), 5))
        yield Finding("service", "fine", f"listens at {host}:{port}, {len(calls)} calls up")
        answer = asyncio.run(asyncio.wait_for(place.asked(root, {"ask": "maintenance"}), 5))
        if closed := answer["maintenance"]:
            what = f"{', '.join(closed)}: callers hear the apology"
            yield Finding("maintenance", "note", what, "if it is over: `sansheng maintenance off`")
        files = asyncio.run(asyncio.wait_for(place.asked(root, {"ask": "files"}), 5))
        if files.get("problems"):
            fix = "mend them until `sansheng check` says nothing, then `sansheng reload`"
            yield Finding("reload", "wrong", not_reloaded(files), fix)
    except (control.NoService, TimeoutError, OSError) as error:
        fix = "is it another program, or another user's service? (SANSHENG_CONTROL)"
        yield Finding("service", "note", f"listens at {host}:{port}, but: {error}", fix)


def _callbacks(root: Path, settings: Settings) -> Iterator[Finding]:
    try:
        rules = hotlines.load(root).callbacks
    except BadFile:
        return  # told already
    without = [name for name, one in rules.items() if not (settings.carrier or one.through)]
    if without:
        what = f"nobody is called back by {', '.join(without)}: no trunk is named to call out by"
        fix = "set SANSHENG_CARRIER, or `callbacks: {through: …}` in the line's file"
        yield Finding("call-backs", "note", what, f"{fix} (docs/callbacks.md)")
    else:
        yield Finding("call-backs", "fine", "every line has a trunk to call out by")


def _manager(settings: Settings) -> Iterator[Finding]:
    if settings.manager is None:
        return
    host, port = settings.manager
    without = "without it: keys only, voices are heard late, nobody can be rung"
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        what = f"nobody listens at {host}:{port} ({error.strerror or error}); {without}"
        fix = "start Asterisk: `make run`, or your own (its manager.conf says where it listens)"
        yield Finding("manager (AMI)", "note", what, fix)
        return
    problem, apart, hears = asyncio.run(_login(settings, host, port))
    if problem:
        fix = "give the account in asterisk/manager.conf a password, and SANSHENG_MANAGER_SECRET"
        yield Finding("manager (AMI)", "note", f"{host}:{port}: {problem}; {without}", fix)
        return
    yield Finding("manager (AMI)", "fine", f"{host}:{port} takes our account")
    if hears:
        yield Finding("agents' phones", "fine", "our account hears whether they are there")
    else:
        what = "our account does not read class system: whether they are there is not heard"
        fix = "give the account `read = call,system` and the eventfilter of asterisk/manager.conf"
        yield Finding("agents' phones", "note", what, f"{fix}, then `manager reload`")
    state: State = "fine" if abs(apart) < DRIFT else "note"
    fix = "" if state == "fine" else "let both machines take their time from the same place (NTP)"
    yield Finding("clock", state, f"Asterisk's is {apart:+.2f} s from ours", fix)


async def _login(settings: Settings, host: str, port: int) -> tuple[str, float, bool]:
    """Why the manager cannot be used ("" if it can), how far its clock is ahead of ours, and
    whether we would hear of agents' phones."""
    clock = SystemClock()
    manager = Manager(
        host,
        port,
        settings.manager_user,
        settings.manager_secret or "none",
        clock=clock,
        on_event=lambda event: None,
    )
    try:
        await manager.start()
        if not manager.connected:
            return manager.problem, 0.0, False
        before = clock.utc().timestamp()
        answer = await manager.action("Ping")
        middle = (before + clock.utc().timestamp()) / 2
        apart = float(answer.get("Timestamp", middle)) - middle
        return "", apart, manager.hears_system
    except (ManagerDown, ManagerRefused, ValueError) as error:
        return str(error), 0.0, False
    finally:
        await manager.stop()
        clock.close()


def _asterisk(root: Path, settings: Settings) -> Iterator[Finding]:
    """The modules that are loaded, as far as we may ask."""
    ask = console(root)
    if ask is None:
        fix = (
            "start one with `make run`; if yours runs already, run doctor on its machine, "
            "as a user who may use `asterisk -rx`"
        )
        yield Finding("Asterisk", "note", "none runs here that we may ask", fix)
        return
    version = ask("core show version").split(" built ")[0].strip()
    loaded = ask("module show")
    missing = [f"{name} ({why})" for name, why in MODULES if f"{name}.so" not in loaded]
    yield Finding("Asterisk", "fine", version)
    if missing:
        fix = "load them: modules.conf, `module load NAME.so`"
        yield Finding("modules", "wrong", f"not loaded: {', '.join(missing)}", fix)
    else:
        yield Finding("modules", "fine", f"all {len(MODULES)} that are needed are loaded")
    if "TALK_DETECT" not in ask("core show function TALK_DETECT"):
        fix = "load func_talkdetect.so"
        yield Finding("TALK_DETECT", "wrong", "Asterisk does not know it: voices go unheard", fix)
    if "sansheng-call" not in ask("dialplan show sansheng-call"):
        fix = "include what `sansheng dialplan` writes in extensions.conf, then `dialplan reload`"
        yield Finding("dialplan", "wrong", "the lines are not in it", fix)
    else:
        yield Finding("dialplan", "fine", "the lines are in it")
    found = re.search(r"Configuration directory:\s+(\S.*)", ask("core show settings"))
    if found is not None and settings.manager is not None:
        yield from _account(root, Path(found[1].strip()), settings.manager_user)


def _account(root: Path, folder: Path, user: str) -> Iterator[Finding]:
    """Whether events that we need are kept from our account by its `eventfilter`."""
    ours = root / "asterisk/manager.conf"
    try:
        events = manager_account.needed(ours.read_text(encoding="utf-8"))
        away = manager_account.dropped(manager_account.account(folder, user), events)
    except (manager_account.NoAccount, manager_account.NotWeighed, ValueError, OSError) as error:
        what = f"what it lets through to our account is not known: {error}"
        yield Finding("eventfilter", "note", what, f"compare the account with {ours}")
        return
    if away:
        state: State = "note" if PHONES.issuperset(away) else "wrong"
        what = f"our account in {folder}/manager.conf is not told of {', '.join(away)}"
        fix = f"take over the eventfilter of {ours}, then `manager reload`, and start the service"
        yield Finding("eventfilter", state, what, f"{fix} anew")
    else:
        yield Finding("eventfilter", "fine", f"lets all {len(events)} events through that we need")
