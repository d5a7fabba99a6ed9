"""Debian's Asterisk on a machine that has none, without root.

`fetch()` asks the machine's own Debian mirror for Asterisk and the few libraries it loads
(17 MB; everything else its packages depend on serves modules we never load), keeps the
packages in the user's cache, and unpacks them into a folder. Nothing is installed: no
maintainer script runs, no system file changes. Debian 12 itself has no Asterisk, so the
packages are a later release's; they bring their own C library and run with it.

Rules this module keeps:

- The mirror comes from the machine's apt configuration, never from here, and apt checks
  the signatures as always. apt's own state is private to the download.
- A full cache needs no network. What is in the cache is checked against its list first.
- Several processes may call this at once: one works, the others wait for it.
- Every error is one sentence for the person at the terminal (`FetchError`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITE = "forky"
"""The oldest Debian release that has Asterisk 20 or newer (22.10.1 when this was written)."""

PROGRAMS = ("asterisk", "asterisk-modules")
ROOM = 150_000_000
"""Bytes wanted free before unpacking (about 75 MB are used in the end)."""

Progress = Callable[[str], None]


class FetchError(Exception):
    """Asterisk could not be fetched; the message is a sentence that says why."""


def cache() -> Path:
    """Where packages are kept between clones: `${XDG_CACHE_HOME:-~/.cache}/sansheng/debs`."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "sansheng" / "debs"


def fetch(into: Path, progress: Progress = lambda sentence: None) -> None:
    """Make sure that `into` holds an unpacked Asterisk. Returns at once if it does.

    Raises FetchError: no apt, no network, no room, not Debian.
    """
    if into.is_dir():
        return
    if missing := [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]:
        raise FetchError(
            f"Asterisk 20 or newer is not on this machine, and without {' and '.join(missing)} "
            "it cannot be fetched: install it with your system's package manager"
        )
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with _alone(into.parent / f"{into.name}.lock", progress):
            if into.is_dir():
                return
            _room(into.parent)
            _unpack(_packages(progress), into, progress)
    except OSError as error:
        raise FetchError(f"Asterisk could not be unpacked under {into}: {error}") from error


# ---------------------------------------------------------------- the packages


def _packages(progress: Progress) -> list[Path]:
    """The .deb files, from the cache or from the network."""
    folder = cache() / _run(["dpkg", "--print-architecture"], "this machine's architecture").strip()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock", progress):
        if kept := _kept(folder):
            return kept
        with tempfile.TemporaryDirectory(dir=folder) as state:
            _download(Path(state), folder, progress)
        return _kept(folder)


def _kept(folder: Path) -> list[Path]:
    """The packages on the cache's list; none if there is no list or a file is damaged."""
    listing = folder / "list"
    if not listing.exists():
        return []
    files = []
    for line in listing.read_text().splitlines():
        digest, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            return []
        files.append(file)
    return files


def _download(state: Path, folder: Path, progress: Progress) -> None:
    """Fill the cache `folder`; `state` is a private folder for apt."""
    progress(f"asking Debian's mirror for Asterisk ({SUITE})")
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(_source())
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        # images for containers turn these off, and then every command reads all lists anew
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Acquire::GzipIndexes": "false",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "3",
        "APT::Update::Error-Mode": "any",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    what = "Asterisk's packages"
    _run(["apt-get", *apt, "update", "-q"], f"the list of {what}")
    about = _run(["apt-cache", *apt, "show", "asterisk"], what)
    plan = _run(["apt-get", *apt, "install", "-y", "--print-uris", *libraries(about)], what)
    names = [*PROGRAMS, *planned(plan)]
    progress(f"fetching {len(names)} packages")
    _run(["apt-get", *apt, "download", "-q", *names], what, cwd=state / "debs")
    for old in folder.glob("*.deb"):
        old.unlink()
    lines = []
    for file in sorted((state / "debs").glob("*.deb")):
        lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
        file.rename(folder / file.name)
    (state / "list").write_text("".join(lines))
    (state / "list").rename(folder / "list")


def libraries(about: str) -> list[str]:
    """Names of the libraries in the first `Depends:` of apt-cache's description."""
    depends = next((x for x in about.splitlines() if x.startswith("Depends: ")), "")
    names = [part.split()[0] for part in depends.removeprefix("Depends: ").split(", ") if part]
    return [name for name in names if name.startswith("lib")]


def planned(plan: str) -> list[str]:
    """Names of the packages in the output of `apt-get --print-uris`."""
    lines = [line.split() for line in plan.splitlines() if line.startswith("'")]
    return [line[1].partition("_")[0] for line in lines]


def _source() -> str:
    """One line of a sources.list: this machine's Debian mirror, our suite."""
    about = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]
    wanted = ["Identifier: Packages", "Component: main"]
    debian = ["Origin: Debian", "Label: Debian"]
    what = "this machine's package sources"
    release = _os_release().get("VERSION_CODENAME", "")
    # before the first `apt-get update` nothing has an origin yet; then the release's name tells
    lines = (_run([*about, *wanted, *debian], what) or _run([*about, *wanted], what)).splitlines()
    pairs = [(uri, name) for uri, _, name in (line.partition(" ") for line in lines)]
    mirrors = [uri for uri, name in pairs if name == release] or [uri for uri, _ in pairs]
    if not mirrors or _os_release().get("ID") != "debian":
        raise FetchError(
            "Asterisk can be fetched on Debian only, and this machine has no Debian package "
            "source: install Asterisk 20 or newer with your system's package manager"
        )
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f"[signed-by={keyring}] " if keyring.exists() else ""
    return f"deb {signed}{mirrors[0]} {SUITE} main\n"


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip('"') for key, _, value in pairs}


# ---------------------------------------------------------------- unpacking


def _unpack(packages: Sequence[Path], into: Path, progress: Progress) -> None:
    progress(f"unpacking Asterisk into {into}")
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f"{into.name}.") as unfinished:
        tree = Path(unfinished) / "tree"
        tree.mkdir()
        for package in packages:
            _run(["dpkg-deb", "-x", str(package), str(tree)], package.name)
        tree.rename(into)


def _room(folder: Path) -> None:
    for place in (folder, cache()):
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
        if free < ROOM:
            raise FetchError(
                f"Asterisk needs {ROOM // 1_000_000} MB free under {place}, "
                f"and there are {free // 1_000_000} MB: make room and try again"
            )


# ---------------------------------------------------------------- helpers


def _run(command: Sequence[str], what: str, cwd: Path | None = None) -> str:
    """Output of a program. Raises FetchError with the program's own last complaint."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    if done.returncode == 0:
        return done.stdout
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
    said = (complaints or done.stderr.splitlines() or ["nothing"])[0]
    hint = ""
    if any(sign in done.stderr for sign in ("resolve", "connect", "Failed to fetch")):
        hint = " (is there a network?)"
    raise FetchError(f"could not get {what}{hint}; {Path(command[0]).name} said: {said}")


@contextmanager
def _alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file; wait while another process holds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is fetching Asterisk: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
