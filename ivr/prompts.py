"""What a line says, as parts that can be played: the library of texts and their recordings.

Rules this module keeps:

- A name is looked up in the line's own texts first, then in the common ones.
- The library is read once and never changes. It works without any audio: a part that is not
  recorded as it is written now says so (`built`), and its length is an estimate.
- Recordings are kept as masters (FLAC, 8 kHz, mono) with a manifest beside them. Two places are
  read: `prompts/audio`, which is committed, and `var/audio`, where a line without audio gets the
  default voice; the first that has the part as it is written now counts.
- Building and installing masters is `ivr.masters`; `python -m ivr.prompts` does it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ivr.manifest import MADE_HERE, SHIPPED, Master, Report, read_manifest
from ivr.slots import ADDRESSEE, Slot, SlotError, render, spell
from ivr.texts import COMMON, Line, Recipe, Sentence, read_lines

if TYPE_CHECKING:
    from ivr.speech import Engine

__all__ = ["Library", "Part", "Report", "SlotError", "build", "install"]


@dataclass(frozen=True, slots=True)
class Part:
    """One recorded piece of what is said.

    `base` is its name, unique over all lines; `text` its words; `seconds` its length, silence at
    the edges included. `path` is the file under the sounds folder, without extension. `built`
    says that the recording exists and says just this; else `seconds` is an estimate.
    """

    base: str
    text: str
    seconds: float
    path: str
    built: bool


class Library:
    """All texts of all lines, and which of them are recorded. Immutable once loaded."""

    def __init__(self, lines: Mapping[str, Line], masters: Mapping[str, Master]) -> None:
        self._lines = MappingProxyType(dict(lines))
        self._parts = MappingProxyType(
            {
                recipe.base: _part(recipe, masters.get(recipe.base))
                for line in lines.values()
                for recipe in line.recipes()
            }
        )

    @classmethod
    def load(cls, root: Path) -> Library:
        """The library of the files under the root. Raises BadFile."""
        lines = read_lines(root)
        masters: dict[str, Master] = {}
        shipped, made_here = read_manifest(root / SHIPPED), read_manifest(root / MADE_HERE)
        for recipe in (recipe for line in lines.values() for recipe in line.recipes()):
            for manifest in (shipped, made_here):
                master = manifest.get(recipe.base)
                if master and master.spoken == recipe.spoken:
                    masters.setdefault(recipe.base, master)
        return cls(lines, masters)

    def hotlines(self) -> frozenset[str]:
        """The lines that have texts, the common one left out."""
        return frozenset(self._lines) - {COMMON}

    def names(self, hotline: str) -> frozenset[str]:
        """The names a line can say: its own and the common ones."""
        own = self._lines[hotline].sentences if hotline in self._lines else {}
        common = self._lines[COMMON].sentences if COMMON in self._lines else {}
        return frozenset(own) | frozenset(common)

    def slots(self, hotline: str, name: str) -> Mapping[str, str]:
        """The slots of a text: name and kind. Raises KeyError if the line has no such text."""
        sentence = self._sentence(hotline, name)
        return {piece.name: piece.kind for piece in sentence.pieces if isinstance(piece, Slot)}

    def clauses(self, hotline: str, name: str) -> tuple[str, ...]:
        """The clauses a text serves. Raises KeyError if the line has no such text."""
        return self._sentence(hotline, name).clauses

    def text(self, hotline: str, name: str, slots: Mapping[str, str] | None = None) -> str:
        """The text as a person reads it, with its slots filled.

        Raises KeyError if the line has no such text, SlotError if a slot cannot be filled.
        """
        sentence = self._sentence(hotline, name)
        values = self._values(hotline, sentence, slots or {})
        for piece in sentence.pieces:
            if isinstance(piece, Slot) and piece.kind in ("time", "date"):
                said = [
                    self._parts[f"{COMMON}.{n}"].text for n in spell(piece.kind, values[piece.name])
                ]
                values[piece.name] = "".join(said)
        return render(sentence.pieces, values)

    def parts(
        self, hotline: str, name: str, slots: Mapping[str, str] | None = None
    ) -> tuple[Part, ...]:
        """The parts to play one after the other.

        An addressee who is in no directory has no recording and is left out.
        Raises KeyError if the line has no such text, SlotError if a slot cannot be filled.
        """
        sentence = self._sentence(hotline, name)
        values = self._values(hotline, sentence, slots or {})
        parts: list[Part] = []
        for piece, recipe in zip(sentence.pieces, sentence.recipes, strict=True):
            if recipe:
                parts.append(self._parts[recipe.base])
            elif not isinstance(piece, Slot):
                continue
            elif piece.kind == ADDRESSEE:
                person = self._people(hotline).get(values[piece.name])
                parts += [self._parts[person.base]] if person else []
            else:
                said = spell(piece.kind, values[piece.name])
                parts += [self._parts[f"{COMMON}.{name}"] for name in said]
        return tuple(parts)

    def seconds(self, hotline: str, name: str, slots: Mapping[str, str] | None = None) -> float:
        """How long it takes to say, in seconds. Raises as `parts` does."""
        return round(sum(part.seconds for part in self.parts(hotline, name, slots)), 3)

    def own_seconds(self, hotline: str, name: str) -> float:
        """How long a text takes without what fills its slots, in seconds; 0 if there is none."""
        line = self._lines.get(hotline)
        sentence = line.sentences.get(name) if line else None
        recipes = sentence.recipes if sentence else ()
        return round(sum(self._parts[one.base].seconds for one in recipes if one), 3)

    def all_parts(self) -> Mapping[str, Part]:
        """Every part of every line, by base name."""
        return self._parts

    def recorded(self, hotline: str, name: str) -> tuple[str | None, ...]:
        """The paths of a text's own recordings in order; None where a slot is filled in.

        Raises KeyError if the line has no such text.
        """
        sentence = self._sentence(hotline, name)
        pieces = zip(sentence.pieces, sentence.recipes, strict=True)
        return tuple(
            recipe.path if recipe else None
            for piece, recipe in pieces
            if recipe or isinstance(piece, Slot)
        )

    def recipes(self) -> tuple[Recipe, ...]:
        """How every part is to be recorded, the common ones first."""
        order = sorted(self._lines, key=lambda hotline: (hotline != COMMON, hotline))
        return tuple(recipe for name in order for recipe in self._lines[name].recipes())

    def _sentence(self, hotline: str, name: str) -> Sentence:
        for key in (hotline, COMMON):
            line = self._lines.get(key)
            if line and name in line.sentences:
                return line.sentences[name]
        raise KeyError(f"'{hotline}' has no text '{name}'")

    def _people(self, hotline: str) -> Mapping[str, Recipe]:
        return self._lines[hotline].people if hotline in self._lines else {}

    def _values(self, hotline: str, sentence: Sentence, slots: Mapping[str, str]) -> dict[str, str]:
        values = {}
        for piece in sentence.pieces:
            if not isinstance(piece, Slot):
                continue
            value = slots.get(piece.name, "").strip()
            if piece.kind == ADDRESSEE:
                value = value if value in self._people(hotline) else ""
            elif not value:
                raise SlotError(f"'{sentence.name}' needs a value for '{piece.name}'")
            else:
                spell(piece.kind, value)
            values[piece.name] = value
        return values


def _part(recipe: Recipe, master: Master | None) -> Part:
    built = master is not None and master.spoken == recipe.spoken
    seconds = master.seconds if master and built else recipe.estimate()
    return Part(recipe.base, recipe.text, seconds, recipe.path, built)


def build(
    root: Path,
    engine: Engine,
    *,
    only_missing: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Record what changed into `prompts/audio`; see `ivr.masters.build`."""
    from ivr import masters  # engines and filters take a second to load; a call needs neither

    return masters.build(root, engine, only_missing=only_missing, progress=progress)


def install(root: Path, sounds: Path) -> Report:
    """Derive what Asterisk plays from the masters; see `ivr.masters.install`."""
    from ivr import masters

    return masters.install(root, sounds)


if __name__ == "__main__":
    from ivr.masters_command import main

    raise SystemExit(main())
