"""What is said, as written in `prompts/*.yaml`: read, checked, and cut into parts to record.

Rules this module keeps:

- A text is cut at its slots; what stands between two slots is one recorded part. Slots are
  filled with other recorded parts (digits, small numbers, letters, times, dates, a person of
  the line's directory), so that nothing is synthesised while a caller waits.
- Constants are part of the sentence: they are filled in before it is recorded.
- `{addressee}` may be empty; it then takes the comma beside it along, so that every text with it
  also works without. Every other slot must have a value.
- A file that cannot be used is told by line (F51x, F52x); nothing is guessed.
- No sound here, and no engine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ivr.files import BadFile, Map, Problem, Seq, Text, known_keys, problem, seconds, truth
from ivr.files import read as read_file
from ivr.slots import ADDRESSEE, COMMAS, KINDS, STOPS, Piece, Slot

COMMON = "common"

FILE_KEYS = ("hotline", "language", "voice", "rate", "constants", "texts")
TEXT_KEYS = ("text", "spoken", "rate", "clauses", "joined", "tail", "tone")

ALONE = (0.10, 0.25)
"""Seconds of silence before and after a text that stands alone."""
JOINED = (0.02, 0.04)
"""The same where a part is joined to another inside a sentence."""
COMMA = 0.15
"""Seconds of silence where the cut is at a comma."""

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_SLOT = re.compile(r"\{([^{}]*)\}")
_SPEAKABLE = re.compile(r"[0-9A-Z#*\u4e00-\u9fff]")
_READABLE = re.compile(r"[0-9A-Z#*\u4e00-\u9fff\s,，、;；:：。.！!？?“”\"()（）《》—…%-]*")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One part to record: its base name, what to say and how.

    `spoken` is what the engine is given. `lead` and `tail` are seconds of silence around it.
    `tone` is (Hz, seconds) where the part is a tone and nothing is said.
    """

    base: str
    language: str
    hotline: str
    text: str
    spoken: str
    voice: str
    rate: float
    lead: float
    tail: float
    tone: tuple[float, float] | None = None

    @property
    def path(self) -> str:
        """Where it lies under the sounds folder, without extension."""
        return f"{self.language}/{self.hotline}/{self.base}"

    def estimate(self) -> float:
        """Roughly how many seconds it takes to say, for a part that has no audio yet."""
        if self.tone:
            return self.lead + self.tone[1] + self.tail
        signs = len(_SPEAKABLE.findall(self.spoken))
        pauses = sum(sign in COMMAS + STOPS for sign in self.spoken.rstrip(COMMAS + STOPS))
        return round(self.lead + (0.18 * signs + 0.17 * pauses) / self.rate + self.tail, 2)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One text of a line: its pieces in order, and the recipe of each piece that is recorded.

    A piece of text with nothing to say in it (a full stop after a slot) has no recipe.
    """

    name: str
    line: int
    pieces: tuple[Piece, ...]
    recipes: tuple[Recipe | None, ...]
    clauses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """All that one line says: its texts by name, and its people by how they are addressed."""

    hotline: str
    language: str
    sentences: Mapping[str, Sentence]
    people: Mapping[str, Recipe]

    def recipes(self) -> Iterator[Recipe]:
        for sentence in self.sentences.values():
            yield from (recipe for recipe in sentence.recipes if recipe)
        yield from self.people.values()


def read_lines(root: Path) -> dict[str, Line]:
    """Every line that has a file in `prompts/` under the root, by hotline. Raises BadFile."""
    problems: list[Problem] = []
    lines: dict[str, Line] = {}
    bases: set[str] = set()
    for path in sorted((root / "prompts").glob("*.yaml")):
        try:
            people = _people(root, path.stem)
            line = _Reader(read_file(path, root), path.stem, people).line()
        except BadFile as error:
            problems += error.problems
            continue
        lines[line.hotline] = line
        where = str(path.relative_to(root))
        for sentence in line.sentences.values():
            for base in (recipe.base for recipe in sentence.recipes if recipe):
                if base in bases:
                    what = f"'{base}' would name two recordings"
                    problems.append(
                        Problem(where, sentence.line, "F517", what, "rename one of the texts")
                    )
                bases.add(base)
    for line in lines.values():
        problems += _uncommon(line, lines.get(COMMON))
    if problems:
        raise BadFile(problems)
    return lines


# ---------------------------------------------------------------- reading a file


def _uncommon(line: Line, common: Line | None) -> list[Problem]:
    """What the slots of a line need and the common file does not have."""
    have = common.sentences if common else {}
    kinds = {
        piece.kind
        for sentence in line.sentences.values()
        for piece in sentence.pieces
        if isinstance(piece, Slot) and piece.kind != ADDRESSEE
    }
    needed = {name for kind in kinds for name in KINDS[kind]}
    if "time" in kinds:
        needed |= set(KINDS["count"])
    if "letters" in kinds:
        needed |= {f"digit.{n}" for n in range(10)}
    missing = sorted(needed - set(have))
    if not missing:
        return []
    sentence = f"{line.hotline} has slots that need '{missing[0]}' ({len(missing)} in all)"
    return [Problem(f"prompts/{COMMON}.yaml", 1, "F520", sentence, "add it")]


def _people(root: Path, hotline: str) -> frozenset[str]:
    """How the people of a line's directory are addressed.

    The file is another module's to check; here what is not there or not as expected is skipped.
    """
    path = root / "flows" / "hotlines" / f"{hotline}.yaml"
    if not path.exists():
        return frozenset()
    directory = read_file(path, root).get("directory")
    people = directory.get("people") if isinstance(directory, Map) else None
    addressees = {
        str(person.get("addressee", ""))
        for person in (people if isinstance(people, Seq) else ())
        if isinstance(person, Map)
    }
    return frozenset(addressees - {""})


def _short(addressee: str) -> str:
    """A name for a person's recording that tells neither the person nor the number."""
    return hashlib.sha256(addressee.encode()).hexdigest()[:8]


class _Reader:
    """Reads one file of texts, collecting all that is wrong with it."""

    def __init__(self, file: Map, hotline: str, people: frozenset[str]) -> None:
        self.file = file
        self.hotline = hotline
        self.people = people
        self.problems = known_keys(file, FILE_KEYS)

    def line(self) -> Line:
        if self.file.get("hotline") != self.hotline:
            fix = f"write `hotline: {self.hotline}`"
            self.blame(
                self.file.get("hotline", self.file), "F511", "the file is named otherwise", fix
            )
        self.language = self.word("language", r"[a-z]{2}(-[A-Z]{2})?", "zh")
        self.voice = self.word("voice", r"[a-z]{2}_[a-z]+", "zf_xiaoyi")
        self.rate = self.pace(self.file, 1.0)
        self.constants = self.mapping("constants", required=False)
        sentences = {}
        for name, entry in self.mapping("texts", required=True).items():
            if not _NAME.fullmatch(name) or name.startswith(f"{ADDRESSEE}."):
                fix = "use small letters, digits, _ and dots, such as hold.ask"
                self.blame(name, "F512", f"'{name}' cannot name a text", fix)
            elif not isinstance(entry, Map):
                self.blame(name, "F513", f"'{name}' has no text", "write {text: …}")
            else:
                sentence = self.sentence(str(name), entry)
                if sentence:
                    sentences[str(name)] = sentence
        people = {
            addressee: Recipe(
                f"{self.hotline}.{ADDRESSEE}.{_short(addressee)}",
                self.language,
                self.hotline,
                addressee,
                addressee,
                self.voice,
                self.rate,
                0.08,
                COMMA,
            )
            for addressee in sorted(self.people)
        }
        if self.problems:
            raise BadFile(self.problems)
        return Line(self.hotline, self.language, sentences, people)

    def sentence(self, name: str, entry: Map) -> Sentence | None:
        self.problems += known_keys(entry, TEXT_KEYS)
        text = entry.get("text")
        if not isinstance(text, Text) or not text.strip():
            self.blame(entry, "F513", f"'{name}' has no text", "write {text: …}")
            return None
        spoken = entry.get("spoken", text)
        if not isinstance(spoken, Text) or not spoken.strip():
            self.blame(entry, "F513", f"'{name}' has an empty `spoken`", "leave it out")
            return None
        pieces, said = self.cut(text), self.cut(spoken)
        if pieces is None or said is None:
            return None
        slots = [piece for piece in pieces if isinstance(piece, Slot)]
        if slots != [piece for piece in said if isinstance(piece, Slot)]:
            fix = "give both the same slots in the same order"
            self.blame(spoken, "F516", f"'{name}' is spoken with other slots", fix)
            return None
        if len(pieces) != len(said):
            fix = "begin and end `spoken` with a slot just where `text` does"
            self.blame(spoken, "F516", f"'{name}' is spoken in other parts", fix)
            return None
        for piece in said:
            if isinstance(piece, str) and not _READABLE.fullmatch(piece):
                odd = "".join(dict.fromkeys(s for s in piece if not _READABLE.fullmatch(s)))
                fix = "write it as it is said in `spoken`"
                self.blame(spoken, "F518", f"'{name}' has signs no voice can read ({odd})", fix)
        return Sentence(
            name, text.line, pieces, self.recipes(name, entry, pieces, said), self.clauses(entry)
        )

    def cut(self, text: Text) -> tuple[Piece, ...] | None:
        """The text in pieces, with constants filled in; None if a slot is wrong."""
        pieces: list[Piece] = [""]
        for at, found in enumerate(_SLOT.split(text)):
            name, colon, kind = found.partition(":")
            if at % 2 == 0:
                filled: Piece = found
                if "{" in found or "}" in found:
                    self.blame(text, "F514", "a brace stands alone", "close it: {name:kind}")
                    return None
            elif found == ADDRESSEE:
                filled = Slot(ADDRESSEE, ADDRESSEE)
            elif not colon and isinstance(self.constants.get(name), Text):
                filled = str(self.constants[name])
            elif not colon:
                fix = "add it to `constants`, or give its kind: {name:digits}"
                self.blame(text, "F515", f"'{{{found}}}' is no constant of this file", fix)
                return None
            elif kind not in KINDS or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                fix = f"the kinds are {', '.join(KINDS)}"
                self.blame(text, "F514", f"'{{{found}}}' is no slot", fix)
                return None
            else:
                filled = Slot(name, kind)
            if isinstance(filled, str) and isinstance(pieces[-1], str):
                pieces[-1] += filled
            else:
                pieces.append(filled)
        return tuple(piece for piece in pieces if piece != "")

    def recipes(
        self, name: str, entry: Map, pieces: tuple[Piece, ...], said: tuple[Piece, ...]
    ) -> tuple[Recipe | None, ...]:
        rate, tone = self.pace(entry, self.rate), self.tone(entry)
        alone = JOINED if self.truth(entry, "joined") else ALONE
        numbered = any(isinstance(piece, Slot) for piece in pieces)
        recipes: list[Recipe | None] = []
        number = 0
        for at, (piece, spoken) in enumerate(zip(pieces, said, strict=True)):
            if not (isinstance(piece, str) and isinstance(spoken, str)):
                recipes.append(None)
                continue
            words = spoken.lstrip(COMMAS + STOPS).strip()
            if not _SPEAKABLE.search(words):
                recipes.append(None)
                continue
            number += 1
            lead = alone[0] if at == 0 else COMMA if spoken[0] in COMMAS else JOINED[0]
            if at == len(pieces) - 1:
                tail = self.length(entry, "tail", alone[1])
            else:
                tail = COMMA if spoken.rstrip()[-1] in COMMAS + STOPS else JOINED[1]
            base = f"{self.hotline}.{name}" + (f".{number}" if numbered else "")
            part = (piece, words, self.voice, rate, lead, tail, tone)
            recipes.append(Recipe(base, self.language, self.hotline, *part))
        return tuple(recipes)

    # -------- single values

    def blame(self, at: object, code: str, sentence: str, fix: str) -> None:
        self.problems.append(problem(at, code, sentence, fix))

    def mapping(self, key: str, *, required: bool) -> Map:
        value = self.file.get(key)
        if isinstance(value, Map):
            return value
        if required or value is not None:
            fix = f"write `{key}:` with one name a line under it"
            self.blame(value if value is not None else self.file, "F521", f"no {key}", fix)
        return Map()

    def word(self, key: str, pattern: str, default: str) -> str:
        value = self.file.get(key, default)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.blame(value, "F521", f"'{value}' is no {key}", f"write e.g. {default}")
            return default
        return str(value)

    def pace(self, entry: Map, default: float) -> float:
        value = entry.get("rate")
        if value is None:
            return default
        if not isinstance(value, Text) or not re.fullmatch(r"\d(\.\d+)?", value):
            self.blame(value, "F519", f"'{value}' is no rate", "write e.g. 0.85")
        elif not 0.5 <= float(value) <= 1.5:
            self.blame(value, "F519", f"the rate {value} is out of range", "choose 0.5 to 1.5")
        else:
            return float(value)
        return default

    def length(self, entry: Map, key: str, default: float) -> float:
        try:
            return seconds(entry[key]) if key in entry else default
        except BadFile as error:
            self.problems += error.problems
            return default

    def truth(self, entry: Map, key: str) -> bool:
        try:
            return truth(entry[key]) if key in entry else False
        except BadFile as error:
            self.problems += error.problems
            return False

    def tone(self, entry: Map) -> tuple[float, float] | None:
        value = entry.get("tone")
        if value is None:
            return None
        match = re.fullmatch(r"(\d{3,4}) Hz (.+)", value) if isinstance(value, Text) else None
        if not match or not 300 <= int(match[1]) <= 3400:
            self.blame(value, "F522", f"'{value}' is no tone", "write e.g. 1000 Hz 0.25 s")
            return None
        length = Text.at(match[2], value.path, value.line)
        return float(match[1]), self.length(Map({"tone": length}), "tone", 0.25)

    def clauses(self, entry: Map) -> tuple[str, ...]:
        value = entry.get("clauses", Seq())
        if not isinstance(value, Seq) or not all(isinstance(each, Text) for each in value):
            self.blame(value, "F523", "the clauses are no list", "write e.g. [EMS-1]")
            return ()
        return tuple(map(str, value))
