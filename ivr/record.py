"""What is known of a call when it is over: how its notes add up.

Rules this module keeps:

- Pure. The same sum while the call lasts, in a replay, and in every simulation.
- A note is written over by a later one of the same name; but of what the call was about nothing
  is lost: `kind` is the last, and where there were several, `kinds` names each once, in the order
  in which they first came up.
"""

from __future__ import annotations

from collections.abc import Mapping


def noted(record: Mapping[str, str], key: str, value: str) -> dict[str, str]:
    """The record after one more note."""
    after = {**record, key: value}
    before = record.get("kind", value)
    if key == "kind" and before != value:
        kinds = record.get("kinds", before).split()
        after["kinds"] = " ".join(kinds if value in kinds else [*kinds, value])
    return after
