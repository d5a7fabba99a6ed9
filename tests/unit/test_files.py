"""What people write is read once, with its places, and never changed by whoever uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ivr import files, hotlines
from ivr.document import Text, Value

SOURCE = "flow: call\nstates:\n  - {name: one}\n"


def places(value: Value) -> Any:
    """The value with all that it knows of itself."""
    at = (type(value), value.path, value.line)
    if isinstance(value, Text):
        return (*at, str(value), value.plain)
    if isinstance(value, dict):
        return (*at, [(places(key), places(one)) for key, one in value.items()])
    return (*at, [places(one) for one in value])


def test_the_same_text_of_the_same_file_is_parsed_once() -> None:
    assert files.parse(SOURCE, "a.yaml") is files.parse(SOURCE, "a.yaml")


def test_the_same_text_of_another_file_has_places_of_its_own() -> None:
    one, other = files.parse(SOURCE, "a.yaml"), files.parse(SOURCE, "b.yaml")
    assert (one["states"][0]["name"].path, other["states"][0]["name"].path) == ("a.yaml", "b.yaml")


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for name in ("one", "two"):
        file.write_text(SOURCE.replace("one", name))
        assert files.read(file)["states"][0]["name"] == name


def test_whoever_makes_lines_of_it_changes_nothing_of_what_was_read(root: Path) -> None:
    hotlines.load(root)
    hotlines.load(root)
    written = [*(root / "flows").rglob("*.yaml"), *(root / "prompts").rglob("*.yaml")]
    assert len(written) > 20
    for path in written:
        fresh = files.parse.__wrapped__(path.read_text("utf-8"), str(path.relative_to(root)))
        assert places(files.read(path, root)) == places(fresh)
