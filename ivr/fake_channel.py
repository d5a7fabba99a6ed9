"""One call on the fake Asterisk: the channel, and the caller at its other end.

Rules this module keeps:

- What was measured on Asterisk 22 is modelled, and the measured number stands beside it.
- A key is heard 0.1 s after it was pressed, and only by a command that listens for keys; else it
  is lost. The doorbell (a key queued through the manager) is heard at once by such a command, and
  0.08 s later if none is running, again only by one that listens then: so one rung 50 ms before a
  command ends that command, and one rung 100 ms before it is lost.
- The caller acts by the clock, whatever the service does.
- Times and lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from ivr.clock import Clock, Timer
from ivr.fake_ears import Ears, Part, Script
from ivr.fake_sound import Uttered
from ivr.scenario import Act, HangUpAct, Hum, OpsHangUp, Press, Speak

if TYPE_CHECKING:
    from ivr.fake_agi import AgiSession

KEY_HEARD = 0.1
"""Seconds from pressing a key to its being heard (measured 0.100 with a key of 120 ms)."""

DOORBELL_IDLE = 0.08
"""Seconds until a doorbell that nobody waits for is heard (measured between 0.05 and 0.1)."""

RINGING, UP = 4, 6
"""What CHANNEL STATUS says before and after the call is answered."""


class Switch(Protocol):
    """What a channel needs of its Asterisk."""

    @property
    def clock(self) -> Clock: ...

    database: dict[tuple[str, str], str]
    system: str
    epoch: float

    def event(self, name: str, channel: Channel, extra: Mapping[str, str]) -> None: ...

    def seconds(self, path: str) -> float | None: ...

    def gone(self, channel: Channel) -> None: ...

    def record(self, channel: Channel, name: str, form: str, began: float) -> None: ...


class Channel:
    """One call, from its first ring to its end.

    `ended_by` is "" while it lasts, then "caller", "us" (our HANGUP, or our script ended with the
    variable set that says all is done), or "dialplan" (the script failed, never began, or its
    time was up: the caller hears the maintenance apology). `status` is what AGISTATUS says.
    """

    def __init__(
        self,
        switch: Switch,
        name: str,
        uniqueid: str,
        number: str,
        caller: str,
        *,
        rung: float,
        rtp: bool,
        name_of: Callable[[str], Part | None],
        script: Script | None,
        on_ops: Callable[[], None] | None,
        on_hum: Callable[[float], None] | None,
    ) -> None:
        self.switch: Switch = switch
        self.clock: Clock = switch.clock
        self.name: str = name
        self.uniqueid: str = uniqueid
        self.number: str = number
        self.caller: str = caller
        self.rtp = rtp
        self.variables: dict[str, str] = {}
        self.arguments: list[str] = []
        self.language: str = "en"
        self.context: str = "incoming"
        self.began: float = self.clock.now() - rung
        self.state = RINGING
        self.early = False
        self.dead = False
        self.ended_by = ""
        self.status = ""
        self.session: AgiSession | None = None
        self.voices: list[Uttered] = []
        self.hums: list[Uttered] = []
        self.lost: list[str] = []
        self.transcript: list[tuple[float, str]] = []
        self.ears = Ears(self.clock, name_of, script, self.after)
        self._on_ops = on_ops
        self._on_hum = on_hum
        self._absolute: Timer | None = None
        self._absolute_at = 0.0
        self._detect: float | None = None  # TALK_DETECT's silence threshold in seconds
        self._talking_since: float | None = None
        self._talk_timer: Timer | None = None

    @property
    def over(self) -> bool:
        return bool(self.ended_by)

    @property
    def up(self) -> bool:
        return self.state == UP

    @property
    def audible(self) -> bool:
        """Whether the caller hears what is played."""
        return not self.dead and (self.up or self.early)

    # ------------------------------------------------------------ what the caller does

    def after(self, wait: float, act: Act) -> None:
        """The caller will do this in so many seconds."""
        self.clock.call_later(wait, lambda: self.do(act))

    def do(self, act: Act) -> None:
        """The caller does this now."""
        if self.dead:
            return
        if isinstance(act, Press):
            self.press(act.keys)
        elif isinstance(act, Speak):
            self.speak(act.seconds, getattr(act, "quality", "fine"))
        elif isinstance(act, Hum):
            self.hum(act.seconds)
        elif isinstance(act, HangUpAct):
            self.hang_up()
        elif isinstance(act, OpsHangUp) and self._on_ops is not None:
            self._on_ops()

    def press(self, key: str) -> None:
        """Press one key."""
        self.clock.call_later(KEY_HEARD, lambda: self._key(key))

    def speak(self, seconds: float, quality: str = "fine") -> None:
        """Speak from now on; `quality` is how it comes over when it is recorded."""
        now = self.clock.now()
        self.voices.append(Uttered(now, now + seconds, quality))
        self._voice()

    def hum(self, seconds: float) -> None:
        """Steady noise below the threshold of a voice (256): no talking event comes of it."""
        now = self.clock.now()
        self.hums.append(Uttered(now, now + seconds))
        if self._on_hum is not None:
            self._on_hum(seconds)

    def hang_up(self) -> None:
        """The caller hangs up."""
        if not self.dead:
            self.ears.over("left")
            self.switch.event("HangupRequest", self, {"Cause": "16"})
            self._die("caller")

    def doorbell(self, key: str) -> None:
        """AMI PlayDTMF with Receive."""
        session = self.session
        if session is not None and session.running is not None and session.running.listens:
            session.running.key(key)
        else:
            self.clock.call_later(DOORBELL_IDLE, lambda: self._key(key))

    def _key(self, key: str) -> None:
        session = self.session
        running = session.running if session is not None else None
        if self.dead or (not self.up and not self.early):
            return
        if running is None or not running.listens or not running.key(key):
            self.lost.append(key)

    # ------------------------------------------------------------ the voice

    @property
    def voice_until(self) -> float:
        """When the caller stops to speak; in the past if they do not speak now."""
        return max((voice.end for voice in self.voices), default=float("-inf"))

    def detect(self, settings: str | None) -> None:
        """TALK_DETECT(set)=silence_ms,threshold, or None to remove it."""
        if settings is None:
            self._detect = None
            return
        first = settings.split(",", maxsplit=1)[0]
        self._detect = float(first) / 1000 if first else 2.5
        self._voice()

    def _voice(self) -> None:
        now = self.clock.now()
        if self.session is not None and self.session.running is not None:
            self.session.running.voice()
        if self._detect is None or not self.up or self.dead or now >= self.voice_until:
            return
        if self._talking_since is None:
            self._talking_since = now
            self.switch.event("ChannelTalkingStart", self, {})
        if self._talk_timer is not None:
            self._talk_timer.cancel()
        wait = self.voice_until + self._detect - now
        self._talk_timer = self.clock.call_later(wait, self._quiet)

    def _quiet(self) -> None:
        if self._talking_since is None or self.dead or self._detect is None:
            return
        # Asterisk takes the silence that it waited for off the length
        length = round((self.voice_until - self._talking_since) * 1000)
        self._talking_since = None
        self.switch.event("ChannelTalkingStop", self, {"Duration": str(length)})

    # ------------------------------------------------------------ what the service does

    def answer(self) -> None:
        if self.state != UP:
            self.state = UP
            self.ears.answered()
            self.switch.event("Newstate", self, {})
            self._voice()

    def play(self, path: str, offset: float = 0.0) -> float | None:
        """A file begins to play; how many seconds are left of it, None if it is missing."""
        length = self.switch.seconds(path)
        if length is None:
            if self.audible:
                self.ears.attend()
                self.ears.tell("missing", path)
            return None
        self.music_off()
        if self.audible:
            self.ears.file_began(path, offset)
        return max(0.0, length - offset)

    def play_over(self, how: str) -> None:
        if self.audible:
            self.ears.file_over(how)

    def music(self, name: str) -> None:
        if self.audible:
            self.ears.music_on(name)
        self.switch.event("MusicOnHoldStart", self, {"Class": name})

    def music_off(self) -> None:
        if self.ears.music:
            self.ears.music_off()
            self.switch.event("MusicOnHoldStop", self, {})

    def absolute(self, seconds: float) -> None:
        """TIMEOUT(absolute): the call is taken away from the script after this; 0: never."""
        if self._absolute is not None:
            self._absolute.cancel()
            self._absolute = None
        if seconds > 0:
            self._absolute_at = self.clock.now() + seconds
            self._absolute = self.clock.call_later(seconds, self._time_is_up)

    def absolute_left(self) -> float:
        return self._absolute_at - self.clock.now() if self._absolute is not None else 0.0

    def _time_is_up(self) -> None:
        if not self.dead:
            self.ears.over("fallback")
            self._die("dialplan")

    def hang_up_by_us(self) -> None:
        """Our HANGUP command, or ops through the manager."""
        if not self.dead:
            self.ears.over("hung up")
            self._die("us")

    def script_over(self, status: str, done: bool) -> None:
        """The AGI application returned to the dialplan."""
        self.status = "HANGUP" if self.dead else status
        if not self.dead:
            # whatever is being said stops with the script
            self.ears.over("hung up" if done else "fallback")
            self._die("us" if done else "dialplan")
        self.switch.event("Hangup", self, {"Cause": "16", "Cause-txt": "Normal Clearing"})
        self.switch.gone(self)

    def _die(self, who: str) -> None:
        self.dead = True
        self.ended_by = who
        self.absolute(0)
        if self._talk_timer is not None:
            self._talk_timer.cancel()
        if self.session is not None:
            self.session.hung_up()
