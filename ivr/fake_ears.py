"""What the caller of the fake Asterisk hears, in order and with its times.

Rules this module keeps:

- Files are turned back into prompts: a prompt begins with its first part and is over after its
  last. A part that belongs to whatever is being said (a digit) has an empty prompt name.
- A prompt that was cut and is taken up again where it stopped was never over. That is known only
  when the next command comes, so the end of a prompt that might go on is told a moment later,
  with the time at which it was.
- Silence is told when it is over, with its length; it counts from the moment we picked up.
- Times are seconds on the fake's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ivr.clock import Clock, Timer
from ivr.scenario import Act

Part = tuple[str, bool, bool]
"""The prompt a file belongs to ("" for the one being said), is it its first, is it its last."""

PATIENCE = 0.02
"""Seconds after which a prompt that was cut, or might have another part, is over."""

SILENCE = 0.001
"""Seconds of silence that nobody hears."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing the caller hears: at what time, what, by which name, for how many seconds.

    Kinds: ringing; answered; began, ended, cut, resumed (prompts by name); file (by path, when
    it begins); missing (a file that is not there); beep; music (by class), music off; silence;
    fallback (the dialplan took over: maintenance); hung up (by us); left (the caller did).
    """

    at: float
    kind: str
    name: str = ""
    seconds: float = 0.0


class Script(Protocol):
    """What `ivr.scripted_caller.ScriptedCaller` does."""

    def began(self, prompt: str, now: float) -> list[tuple[float, Act]]: ...

    def ended(self, prompt: str, now: float) -> list[tuple[float, Act]]: ...


class Ears:
    """The ears of one caller. `listeners` are told each thing as it is heard."""

    def __init__(
        self,
        clock: Clock,
        name_of: Callable[[str], Part | None],
        script: Script | None,
        act: Callable[[float, Act], None],
    ) -> None:
        self.heard: list[Heard] = []
        self.listeners: list[Callable[[Heard], None]] = []
        self.music = ""
        self._clock = clock
        self._name_of = name_of
        self._script = script
        self._act = act
        self._prompt = ""
        self._path = ""
        self._playing = False
        self._over: tuple[str, float] | None = None  # how and when the prompt was over, if it was
        self._timer: Timer | None = None
        self._quiet_since: float | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts in the order in which they began."""
        return [heard.name for heard in self.heard if heard.kind == "began"]

    def tell(
        self, kind: str, name: str = "", seconds: float = 0.0, at: float | None = None
    ) -> None:
        """Something is heard now."""
        heard = Heard(self._clock.now() if at is None else at, kind, name, seconds)
        self.heard.append(heard)
        for listener in self.listeners:
            listener(heard)

    def answered(self) -> None:
        self.tell("answered")
        self._quiet_since = self._clock.now()

    def file_began(self, path: str, offset: float) -> None:
        """A file is played from `offset` seconds on."""
        part = self._name_of(path)
        prompt, first, _ = part if part is not None else ("", False, False)
        resumed = self._prompt and self._path == path and offset > 0
        goes_on = self._prompt and not first and part is not None and prompt in ("", self._prompt)
        if resumed or goes_on:
            self._cancel()
        else:
            self.attend()
        self._sound()
        self._path = path
        self._playing = True
        self.tell("file", path)
        if resumed:
            self.tell("resumed", self._prompt)
        elif not goes_on and prompt:
            self._prompt = prompt
            self.tell("began", prompt)
            self._ask("began", self._clock.now())

    def file_over(self, how: str) -> None:
        """The file that was playing "ended", or was "cut"."""
        self._playing = False
        self._hush()
        if not self._prompt:
            return
        self._over = (how, self._clock.now())
        part = self._name_of(self._path)
        if how == "ended" and part is not None and part[2]:
            self.attend()
        else:
            self._timer = self._clock.call_later(PATIENCE, self.attend)

    def attend(self) -> None:
        """What was being said does not go on."""
        if self._over is None:
            return
        (how, at), prompt = self._over, self._prompt
        self._cancel()
        self.tell(how, prompt, at=at)
        self._ask("ended", at)
        self._prompt = ""

    def music_on(self, name: str) -> None:
        self.attend()
        if not self.music:
            self._sound()
        self.music = name
        self.tell("music", name)

    def music_off(self) -> None:
        if self.music:
            self.music = ""
            self._hush()
            self.tell("music off")

    def beep(self) -> None:
        self.attend()
        self._sound()
        self.tell("beep")
        self._hush()

    def over(self, kind: str) -> None:
        """The call is over; `kind` says how."""
        if self._playing:
            self.file_over("cut")
        self.attend()
        self.music_off()
        self._sound()
        self.tell(kind)

    def _ask(self, what: str, at: float) -> None:
        if self._script is None:
            return
        cue = self._script.began if what == "began" else self._script.ended
        late = self._clock.now() - at
        for wait, act in cue(self._prompt, at):
            self._act(max(0.0, wait - late), act)

    def _cancel(self) -> None:
        self._over = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sound(self) -> None:
        since, self._quiet_since = self._quiet_since, None
        if since is not None and self._clock.now() - since > SILENCE:
            self.tell("silence", seconds=round(self._clock.now() - since, 6), at=since)

    def _hush(self) -> None:
        self._quiet_since = self._clock.now()
