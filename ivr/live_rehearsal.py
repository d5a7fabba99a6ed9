"""Rehearses scenarios as real calls: a real Asterisk, a real service, a telephone over SIP.

Rules this module keeps:

- What was heard is what is recognised in the recorded sound, among all prompts of all lines;
  what the service says it said only tells the caller when to act.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ivr import stimuli
from ivr.hotlines import Hotlines
from ivr.rtp import Samples


def templates(hotlines: Hotlines, sounds: Path) -> Mapping[str, Samples]:
    """The sound of every part of every line that is installed in `sounds`, by base name.

    Raises ValueError if one is no 8 kHz mono wav file.
    """
    files = {
        base: sounds / f"{part.path}.wav" for base, part in hotlines.library.all_parts().items()
    }
    return {base: stimuli.wav(file) for base, file in files.items() if file.exists()}
