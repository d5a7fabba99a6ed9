"""AGI commands that take time, as the fake Asterisk carries them out.

Rules this module keeps:

- A command that runs is an object; it ends by itself, by a key, by a voice, by hanging up, or by
  the next command. It tells its session the reply exactly once, or never (measured: STREAM FILE
  and GET DATA that are interrupted by a command give no reply; WAIT FOR DIGIT says `result=1`).
- `listens` says whether it hears keys; those it hears but does not want are lost.
- Lengths are in seconds; positions in replies in samples at 8 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivr.clock import Timer
from ivr.fake_channel import Channel
from ivr.rtp import RATE

if TYPE_CHECKING:
    from ivr.fake_agi import AgiSession


class Running:
    """A command that is being carried out."""

    listens = False
    interruptible = False
    interrupted: str | None = None
    """The reply when the next command ends this one; None: no reply at all."""

    def __init__(self, session: AgiSession) -> None:
        self.session = session
        self.channel: Channel = session.channel
        self.clock = session.channel.clock
        self.began = self.clock.now()
        self.timer: Timer | None = None

    def start(self) -> None:
        """Begin; may end at once."""

    def later(self, seconds: float) -> None:
        """`time_over` is called in so many seconds, and only then."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.clock.call_later(seconds, self.time_over)

    def time_over(self) -> None:
        """The time that was asked for is over."""

    def key(self, key: str) -> bool:
        """A key is heard; whether it was wanted."""
        return False

    def voice(self) -> None:
        """The caller begins to speak."""

    def stop(self) -> None:
        """The caller hung up, or the next command came."""
        if self.timer is not None:
            self.timer.cancel()

    def dead_reply(self) -> str:
        """The reply when the caller hangs up."""
        return "200 result=-1"

    def end(self, reply: str) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.session.finish(reply)

    def passed(self) -> float:
        return self.clock.now() - self.began

    def samples(self, offset: float = 0.0) -> int:
        return round((self.passed() + offset) * RATE)


class StreamFile(Running):
    """STREAM FILE path digits [offset]."""

    listens = True
    interruptible = True

    def __init__(self, session: AgiSession, path: str, digits: str, offset: int) -> None:
        super().__init__(session)
        self.path = path
        self.digits = digits
        self.offset = offset / RATE

    def start(self) -> None:
        left = self.channel.play(self.path, self.offset)
        if left is None:
            self.end("200 result=-1 endpos=0")
        else:
            self.later(left)

    def time_over(self) -> None:
        self.channel.play_over("ended")
        self.end(f"200 result=0 endpos={self.samples(self.offset)}")

    def key(self, key: str) -> bool:
        if key not in self.digits:
            return False
        self.channel.play_over("cut")
        self.end(f"200 result={ord(key)} endpos={self.samples(self.offset)}")
        return True

    def stop(self) -> None:
        super().stop()
        self.channel.play_over("cut")

    def dead_reply(self) -> str:
        return f"200 result=-1 endpos={self.samples(self.offset)}"


class WaitForDigit(Running):
    """WAIT FOR DIGIT ms; below 0: for ever."""

    listens = True
    interruptible = True
    interrupted = "200 result=1"

    def __init__(self, session: AgiSession, seconds: float) -> None:
        super().__init__(session)
        self.seconds = seconds

    def start(self) -> None:
        self.channel.ears.attend()
        if self.seconds >= 0:
            self.later(self.seconds)

    def time_over(self) -> None:
        self.end("200 result=0")

    def key(self, key: str) -> bool:
        self.end(f"200 result={ord(key)}")
        return True


class GetData(Running):
    """GET DATA path [ms] [max digits]: plays, then collects; `#` ends it."""

    listens = True
    interruptible = True

    def __init__(self, session: AgiSession, path: str, seconds: float, most: int) -> None:
        super().__init__(session)
        self.path = path
        self.seconds = seconds
        self.most = most
        self.keys = ""
        self.playing = True

    def start(self) -> None:
        left = self.channel.play(self.path)
        if left is None:
            self.end("200 result=-1")
        else:
            self.later(left)

    def time_over(self) -> None:
        if self.playing:
            self.playing = False
            self.channel.play_over("ended")
            self.later(self.seconds)
        else:
            self.end(f"200 result={self.keys} (timeout)")

    def key(self, key: str) -> bool:
        if self.playing:
            self.playing = False
            self.channel.play_over("cut")
        if key != "#":
            self.keys += key
        if key == "#" or len(self.keys) == self.most:
            self.end(f"200 result={self.keys}")
        else:
            self.later(self.seconds)
        return True

    def stop(self) -> None:
        super().stop()
        if self.playing:
            self.channel.play_over("cut")


class RecordFile(Running):
    """RECORD FILE path format digits ms [offset] [BEEP] [s=N].

    Silence counts only while sound arrives (measured: without RTP the whole time was recorded).
    """

    listens = True

    def __init__(
        self,
        session: AgiSession,
        path: str,
        form: str,
        digits: str,
        seconds: float,
        beep: bool,
        quiet: float,
    ) -> None:
        super().__init__(session)
        self.path = path
        self.form = form
        self.digits = digits
        self.limit = seconds if seconds >= 0 else float("inf")
        self.beep = beep
        self.quiet = quiet if quiet > 0 and self.channel.rtp else float("inf")

    def start(self) -> None:
        self.channel.ears.attend()
        if self.beep and self.channel.audible:
            self.channel.ears.beep()
        self._watch()

    def _watch(self) -> None:
        now = self.clock.now()
        wait = min(self.began + self.limit, self._silent_at()) - now
        if wait != float("inf"):
            self.later(wait)

    def _silent_at(self) -> float:
        return max(self.began, self.channel.voice_until) + self.quiet

    def time_over(self) -> None:
        now = self.clock.now()
        if now >= self.began + self.limit - 1e-6:
            self._finish("200 result=0 (timeout)")
        elif now >= self._silent_at() - 1e-6:
            left = self.began + self.limit - now if self.limit != float("inf") else 0
            self._finish(f"200 result={round(left * 1000)} (timeout)")
        else:
            self._watch()

    def voice(self) -> None:
        self._watch()

    def key(self, key: str) -> bool:
        if key not in self.digits:
            return False
        self._finish(f"200 result={ord(key)} (dtmf)")
        return True

    def _finish(self, how: str) -> None:
        self._save()
        self.end(f"{how} endpos={self.samples()}")

    def stop(self) -> None:
        super().stop()
        self._save()

    def dead_reply(self) -> str:
        return f"200 result=-1 (hangup) endpos={self.samples()}"

    def _save(self) -> None:
        self.channel.switch.record(self.channel, self.path, self.form, self.began)


class Wait(Running):
    """EXEC Wait: hears nothing."""

    def __init__(self, session: AgiSession, seconds: float) -> None:
        super().__init__(session)
        self.seconds = seconds

    def start(self) -> None:
        self.channel.ears.attend()
        self.later(self.seconds)

    def time_over(self) -> None:
        self.end("200 result=0")


class Playback(Running):
    """EXEC Playback: files one after the other, no keys. A missing file is no failure (result=0,
    PLAYBACKSTATUS=FAILED)."""

    def __init__(self, session: AgiSession, paths: Sequence[str]) -> None:
        super().__init__(session)
        self.paths = list(paths)
        self.playing = False

    def start(self) -> None:
        self.channel.variables["PLAYBACKSTATUS"] = "SUCCESS"
        self._next()

    def _next(self) -> None:
        while self.paths:
            left = self.channel.play(self.paths.pop(0))
            if left is not None:
                self.playing = True
                self.later(left)
                return
            self.channel.variables["PLAYBACKSTATUS"] = "FAILED"
        self.end("200 result=0")

    def time_over(self) -> None:
        self.playing = False
        self.channel.play_over("ended")
        self._next()

    def stop(self) -> None:
        super().stop()
        if self.playing:
            self.channel.play_over("cut")


class BackgroundDetect(Running):
    """EXEC BackgroundDetect file,silence,min,max: ends after speech and `silence` of quiet.

    Measured: result=0 for voice and for silence (a voice is told by TALK_DETECTED in ms only),
    a key ends it only if it is an extension of the context, a missing file looks like silence, and
    a voice still speaking at the end of the file is missed.
    """

    listens = True

    def __init__(
        self, session: AgiSession, path: str, quiet: float, least: float, most: float
    ) -> None:
        super().__init__(session)
        self.path = path
        self.quiet = quiet
        self.least = least
        self.most = most
        self.ends_at = 0.0

    def start(self) -> None:
        left = self.channel.play(self.path)
        if left is None:
            self.end("200 result=0")
            return
        self.ends_at = self.began + left
        self._watch()

    def _watch(self) -> None:
        heard = self.channel.voice_until + self.quiet
        now = self.clock.now()
        self.later((heard if now <= heard < self.ends_at else self.ends_at) - now)

    def voice(self) -> None:
        self._watch()

    def time_over(self) -> None:
        now = self.clock.now()
        if now >= self.ends_at - 1e-6:
            self.channel.play_over("ended")
            self.end("200 result=0")
            return
        last = self.channel.voices[-1]
        length = last.end - max(last.start, self.began)
        if self.least <= length <= self.most:
            self.channel.variables["TALK_DETECTED"] = str(round(length * 1000))
            self.channel.play_over("cut")
            self.end("200 result=0")
        else:
            self.later(self.ends_at - now)

    def key(self, key: str) -> bool:
        if key not in "0123456789*#":
            return False
        self.channel.play_over("cut")
        self.end(f"200 result={ord(key)}")
        return True

    def stop(self) -> None:
        super().stop()
        self.channel.play_over("cut")
