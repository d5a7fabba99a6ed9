"""What has been recorded: one entry for each master, kept in a file beside them.

Rules this module keeps:

- The manifest says of every master which words it says, so that a text that changed is never
  played with its old words.
- One entry a line, in order, so that a change to one recording shows as one changed line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ivr.files import BadFile, Problem

SHIPPED = Path("prompts/audio")
"""Where committed masters lie, under the root."""
MADE_HERE = Path("var/audio")
"""Where masters lie that this machine made for texts without audio."""
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Master:
    """One line of a manifest: what was recorded and how.

    `made_from` is the hash of everything that shaped the recording, `sha256` that of the file.
    `file` is relative to the manifest's folder. An `engine` of `studio` was brought by a person.
    """

    file: str
    spoken: str
    engine: str
    voice: str
    rate: float
    seconds: float
    made_from: str
    sha256: str


def read_manifest(folder: Path) -> dict[str, Master]:
    """The masters in a folder, by base name; none if there is no manifest.

    Raises BadFile if the manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {base: Master(**entry) for base, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        fix = "take it back from version control, or delete it and run `make prompts`"
        raise BadFile([Problem(str(path), 1, "F530", f"no manifest ({error})", fix)]) from None


def dump_manifest(masters: Mapping[str, Master]) -> str:
    """A manifest as text: one master a line, in order, so that changes show."""
    lines = [
        f" {json.dumps(base)}: {json.dumps(asdict(masters[base]), ensure_ascii=False)}"
        for base in sorted(masters)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclass(frozen=True, slots=True)
class Report:
    """What a build or an installation did: base names, sorted.

    `made` anew, `kept` as they were, `removed` as nobody says them any more, `missing` without
    a recording of today's words, `failed` with the reason.
    """

    made: tuple[str, ...] = ()
    kept: int = 0
    removed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
