"""Whether the caller is speaking: from Asterisk's talk detection to a voice that counts.

Rules this module keeps:

- A click is no voice: what lasts less than `SHORTEST` is forgotten, and a voice counts once it
  has gone on for `DEBOUNCE`.
- A voice still being judged when a pause ends is waited for: `judging` says so.
- We hear that somebody speaks, not what.
- Lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from ivr.clock import Clock, Timer
from ivr.lengths import DEBOUNCE, DETECTOR_QUIET, SHORTEST

THRESHOLD = 700
"""Mean level of 16-bit samples above which Asterisk takes a frame for talking. Our own prompt
coming back 20 dB down stays below it; a caller at -30 dBFS does not."""


class Hearing:
    """One caller's voice. `on_voice()` is called when one begins to count, `on_quiet()` when a
    voice that counted has stopped."""

    def __init__(
        self, clock: Clock, on_voice: Callable[[], None], on_quiet: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._on_voice = on_voice
        self._on_quiet = on_quiet
        self._judging: Timer | None = None
        self._counted = False
        self.talking = False
        self.quiet_since = clock.now()

    @property
    def judging(self) -> bool:
        """A sound has begun, and whether it is a voice is not decided yet."""
        return self._judging is not None

    def started(self) -> None:
        """Asterisk says that talking has started."""
        self.talking = True
        if self._judging is None and not self._counted:
            self._judging = self._clock.call_later(DEBOUNCE, self._judge)

    def stopped(self, seconds: float) -> None:
        """Asterisk says that talking has stopped, after so many seconds."""
        self.talking = False
        self.quiet_since = self._clock.now() - DETECTOR_QUIET
        if self._judging is not None and seconds < SHORTEST:
            self._judging.cancel()
            self._judging = None
        elif self._counted:
            self._counted = False
            self._on_quiet()

    def _judge(self) -> None:
        self._judging = None
        self._counted = self.talking
        self._on_voice()

    def forget(self) -> None:
        """Nothing is known any more of who is speaking: what tells us was lost, or is back."""
        self.close()
        self.talking = self._counted = False
        self.quiet_since = self._clock.now()

    def close(self) -> None:
        """Forget what is being judged."""
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None
