"""Recording: from texts to masters, and from masters to what Asterisk plays.

Rules this module keeps:

- Only what changed is made again: a master knows the hash of all that shaped it.
- A recording is made whole or not at all, and the manifest follows it; a build that was broken
  off goes on where it stopped. Two builds never run in one folder at a time.
- A better voice is not replaced by a worse one while the words stay the same, and a studio
  recording not at all.
- What is far too short or too long for its words is made again a little slower or faster, and
  reported if that does not help.
- Installed files are derived from the masters in seconds and never edited: a file that changed is
  a new one under the old name, so that who is hearing the old one hears it to its end.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ivr import sound
from ivr.manifest import MADE_HERE, MANIFEST, SHIPPED, Master, Report, dump_manifest, read_manifest
from ivr.prompts import Library
from ivr.slots import COMMAS, STOPS
from ivr.speech import Engine, Pyttsx3Engine, SpeechError
from ivr.texts import Recipe

Progress = Callable[[str, int, int], None]
"""Told before each part: its base name, how many are done, how many there are."""

STUDIO = "studio"
_RANK = {"pyttsx3": 0, "kokoro": 1, STUDIO: 2}
_STAMP = ".installed.json"
_PACES = (1.0, 0.96, 1.04, 0.92)


class BuildRuns(Exception):
    """Another build works in this folder."""


def build(
    root: Path,
    voice: Engine,
    *,
    only_missing: bool = False,
    progress: Progress | None = None,
    into: Path = SHIPPED,
) -> Report:
    """Record every part whose words, voice or treatment changed; remove what nobody says.

    With `only_missing`, just what has no recording of today's words. `into` is the folder of
    masters under the root. Raises BadFile, BuildRuns, OSError.
    """
    library = Library.load(root)
    recipes = {recipe.base: recipe for recipe in library.recipes()}
    if into != SHIPPED:  # there only what the committed masters lack
        shipped = read_manifest(root / SHIPPED)
        recipes = {b: r for b, r in recipes.items() if not _says(shipped.get(b), r)}
    folder = root / into
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        masters = read_manifest(folder)
        removed = _remove_orphans(folder, masters, recipes)
        todo = [
            recipe
            for recipe in recipes.values()
            if _due(folder, recipe, masters.get(recipe.base), voice, only_missing)
        ]
        made: list[str] = []
        failed: list[tuple[str, str]] = []
        sparing = _Sparing(voice)
        try:
            for at, recipe in enumerate(todo):
                if progress:
                    progress(recipe.base, at, len(todo))
                try:
                    masters[recipe.base] = _record(folder, recipe, sparing)
                except (SpeechError, ValueError) as error:
                    failed.append((recipe.base, str(error)))
                    continue
                made.append(recipe.base)
                _save(folder, masters)
        finally:
            _save(folder, masters)
    missing = [
        base
        for base, recipe in recipes.items()
        if not _says(masters.get(base), recipe) or not (folder / masters[base].file).exists()
    ]
    return Report(
        tuple(sorted(made)),
        len(recipes) - len(todo),
        tuple(sorted(removed)),
        tuple(sorted(missing)),
        tuple(sorted(failed)),
    )


def install(
    root: Path, sounds: Path, *, keep_unsaid: bool = False, keep_unmade: bool = False
) -> Report:
    """Write each part as a-law, µ-law and wav under `sounds`, where its master changed.

    Removed is what nobody says any more, unless `keep_unsaid`, and what has no recording of
    today's words, unless `keep_unmade`. Raises BadFile, and OSError if the disk refuses.
    """
    library = Library.load(root)
    stamp = sounds / _STAMP
    before: dict[str, str] = {}
    if stamp.exists():
        before = json.loads(stamp.read_text(encoding="utf-8"))
    now: dict[str, str] = {}
    made: list[str] = []
    missing: list[str] = []
    failed: list[tuple[str, str]] = []
    found = _masters(root)
    for recipe in library.recipes():
        source = next((m for m in found.get(recipe.base, []) if _says(m[1], recipe)), None)
        if source is None:
            missing.append(recipe.base)
            continue
        folder, master = source
        place = sounds / recipe.path
        now[recipe.path] = master.sha256
        names = [place.with_name(f"{place.name}.{kind}") for kind in sound.FORMATS]
        if before.get(recipe.path) == master.sha256 and all(name.exists() for name in names):
            continue
        try:
            if _sha256(folder / master.file) != master.sha256:
                raise OSError("the master is not the one in the manifest")
            played = sound.read(folder / master.file)
        except OSError as error:
            failed.append((recipe.base, str(error)))
            del now[recipe.path]
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            sound.write(name, played)
        made.append(recipe.base)
    removed = []
    wanted = {recipe.path for recipe in library.recipes()}
    kept = len(now) - len(made)
    for path in sorted(set(before) - set(now)):
        if keep_unmade if path in wanted else keep_unsaid:
            now[path] = before[path]
            continue
        for kind in sound.FORMATS:
            (sounds / f"{path}.{kind}").unlink(missing_ok=True)
        removed.append(path.rpartition("/")[2])
    sounds.mkdir(parents=True, exist_ok=True)
    _write(stamp, json.dumps(now, indent=0, sort_keys=True))
    return Report(
        tuple(sorted(made)),
        kept,
        tuple(removed),
        tuple(sorted(missing)),
        tuple(sorted(failed)),
    )


def prepare(
    root: Path, sounds: Path, progress: Progress | None = None, *, calls: bool = False
) -> Report:
    """Make every text playable: what has no audio is spoken by the default voice, then installed.

    For the start of a line; the default voice's masters go to `var/audio`, never among those
    that are committed. With `calls` there are calls up, which may still say what nobody else
    says: that is removed at the next start. Raises BadFile, BuildRuns, EngineMissing, OSError.
    """
    report = install(root, sounds, keep_unsaid=calls, keep_unmade=True)
    if not report.missing:
        return report
    spoken = build(root, Pyttsx3Engine(), only_missing=True, progress=progress, into=MADE_HERE)
    again = install(root, sounds, keep_unsaid=calls)
    return Report(
        tuple(sorted({*report.made, *again.made})),
        report.kept,
        report.removed,
        again.missing,
        (*spoken.failed, *again.failed),
    )


def adopt(root: Path, base: str, recording: Path) -> Master:
    """Take a studio recording for a part; it stays until the part's words change.

    Raises KeyError if there is no such part, ValueError if the recording is silent, OSError.
    """
    recipe = {recipe.base: recipe for recipe in Library.load(root).recipes()}[base]
    folder = root / SHIPPED
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        masters = read_manifest(folder)
        made = sound.master(sound.read(recording), recipe.lead, recipe.tail)
        masters[base] = _keep(folder, recipe, made, STUDIO)
        _save(folder, masters)
    return masters[base]


def implausible(recipe: Recipe, seconds: float) -> bool:
    """Whether so many seconds of speech (without the silence around) cannot be these words."""
    signs = len(re.findall(r"[0-9A-Z\u4e00-\u9fff]", recipe.spoken))
    pauses = sum(sign in COMMAS + STOPS for sign in recipe.spoken.rstrip(COMMAS + STOPS))
    letters = len(re.findall(r"[A-Z]", recipe.spoken))  # up to three syllables each
    usual = seconds * recipe.rate
    longest = 0.30 * (signs + letters) + 0.6 * pauses + 0.25
    return not 0.12 * signs + 0.02 <= usual <= longest


# ---------------------------------------------------------------- inside


def _says(master: Master | None, recipe: Recipe) -> bool:
    return master is not None and master.spoken == recipe.spoken


def _due(
    folder: Path, recipe: Recipe, master: Master | None, voice: Engine, only_missing: bool
) -> bool:
    if master is None or not _says(master, recipe) or not (folder / master.file).exists():
        return True
    if only_missing or master.engine == STUDIO:
        return False
    if recipe.tone is None and _RANK.get(voice.name, 0) < _RANK.get(master.engine, 0):
        return False
    return master.made_from != _made_from(recipe, voice.name)


def _made_from(recipe: Recipe, engine_name: str) -> str:
    shape = [
        sound.PIPELINE,
        "tone" if recipe.tone else engine_name,
        recipe.voice,
        recipe.rate,
        recipe.spoken,
        recipe.lead,
        recipe.tail,
        recipe.tone,
    ]
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]


class _Sparing:
    """An engine that says a short text once, though it is kept with different silence after."""

    SIGNS = 6

    def __init__(self, voice: Engine) -> None:
        self.name = voice.name
        self._voice = voice
        self._said: dict[tuple[str, str, float], sound.Sound] = {}

    def speak(self, text: str, voice: str, rate: float) -> sound.Sound:
        if len(text) > self.SIGNS:
            return self._voice.speak(text, voice, rate)
        key = (text, voice, rate)
        if key not in self._said:
            self._said[key] = self._voice.speak(text, voice, rate)
        return self._said[key]


def _record(folder: Path, recipe: Recipe, voice: Engine) -> Master:
    if recipe.tone:
        made = sound.master(sound.tone(*recipe.tone), recipe.lead, recipe.tail)
        return _keep(folder, recipe, made, "tone")
    for pace in _PACES:
        spoken = voice.speak(recipe.spoken, recipe.voice, recipe.rate * pace)
        made = sound.master(spoken, recipe.lead, recipe.tail)
        seconds = made.seconds - recipe.lead - recipe.tail
        if not implausible(recipe, seconds):
            return _keep(folder, recipe, made, voice.name)
    raise SpeechError(f"{seconds:.1f} s cannot be '{recipe.spoken}': reword it or give `spoken`")


def _keep(folder: Path, recipe: Recipe, made: sound.Sound, engine_name: str) -> Master:
    path = folder / f"{recipe.path}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    sound.write(path, made)
    return Master(
        file=f"{recipe.path}.flac",
        spoken=recipe.spoken,
        engine=engine_name,
        voice=recipe.voice,
        rate=recipe.rate,
        seconds=round(made.seconds, 3),
        made_from=_made_from(recipe, engine_name),
        sha256=_sha256(path),
    )


def _remove_orphans(
    folder: Path, masters: dict[str, Master], recipes: Mapping[str, Recipe]
) -> list[str]:
    removed = [base for base in masters if base not in recipes]
    for base in removed:
        del masters[base]
    wanted = {f"{recipe.path}.flac" for recipe in recipes.values()}
    for path in folder.rglob("*.flac"):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    return removed


def _masters(root: Path) -> dict[str, list[tuple[Path, Master]]]:
    found: dict[str, list[tuple[Path, Master]]] = {}
    for folder in (root / SHIPPED, root / MADE_HERE):
        for base, master in read_manifest(folder).items():
            found.setdefault(base, []).append((folder, master))
    return found


def _save(folder: Path, masters: Mapping[str, Master]) -> None:
    _write(folder / MANIFEST, dump_manifest(masters))


def _write(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BuildRuns(f"another build works in {folder}") from None
    else:
        yield
    finally:
        os.close(handle)
