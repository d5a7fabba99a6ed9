"""The caller of a scenario: told what is heard and when, it says what the caller does next.

Rules this module keeps:

- Pure, and the same at every level: the core, the wire and a real Asterisk.
- A cue names a prompt and means its next occurrence after the step before was done. A step is
  done when its last act was due (the last key pressed, the voice begun). The occurrence that
  cued one step never cues the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ivr.scenario import KEY_GAP, THEN_WAIT, Act, Hum, Press, Speak, Step


@dataclass(slots=True)
class ScriptedCaller:
    """Plays a caller: pure, the same at every level.

    Both methods are told what was heard and `now` (seconds on any clock, the same one for the
    whole call), and return what the caller will do, each with the seconds from now.
    """

    steps: Sequence[Step]
    next: int = 0
    _done_at: float = float("-inf")
    _cued: tuple[str, int] = ("", 0)
    _count: dict[str, int] = field(default_factory=dict)

    def began(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        """A prompt began to be heard."""
        self._count[prompt] = self._count.get(prompt, 0) + 1
        return self._cue(prompt, over=True, now=now)

    def ended(self, prompt: str, now: float) -> list[tuple[float, Act]]:
        """A prompt is over, played to its end or cut off."""
        return self._cue(prompt, over=False, now=now)

    def _cue(self, prompt: str, *, over: bool, now: float) -> list[tuple[float, Act]]:
        if self.next == len(self.steps):
            return []
        step = self.steps[self.next]
        occurrence = (prompt, self._count.get(prompt, 0))
        # a microsecond of tolerance, because times are sums of lengths
        early = now < self._done_at - 1e-6
        if early or step.prompt != prompt or step.over != over or occurrence == self._cued:
            return []
        self.next += 1
        self._cued = occurrence
        acts = _timed(step.wait, step.act)
        if step.then is not None:
            lasts = step.act.seconds if isinstance(step.act, Speak | Hum) else 0.0
            acts += _timed(acts[-1][0] + lasts + THEN_WAIT, step.then)
        self._done_at = now + acts[-1][0]
        return acts


def _timed(wait: float, act: Act) -> list[tuple[float, Act]]:
    """An act in so many seconds; keys are pressed one by one."""
    if not isinstance(act, Press):
        return [(round(wait, 6), act)]
    return [(round(wait + n * KEY_GAP, 6), Press(key)) for n, key in enumerate(act.keys)]
