"""One call on the fake Asterisk: the channel, and the person at its other end.

Rules this module keeps:

- What was measured on Asterisk 22 is modelled, and the measured number stands beside it.
- A key is heard 0.1 s after it was pressed, and only by a command that listens for keys; else it
  is lost. The doorbell (a key queued through the manager) is heard at once by such a command, and
  0.08 s later if none is running, again only by one that listens then: so one rung 50 ms before a
  command ends that command, and one rung 100 ms before it is lost.
- The person acts by the clock, whatever the service does.
- A channel may have several sessions: while it is bridged from one, a feature code opens another
  on it. The newest has the ear; the others wait until it is over.
- Times and lengths are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ivr.clock import Clock, Timer
from ivr.fake_ears import Ears, Part, Script
from ivr.fake_sound import Uttered
from ivr.scenario import Act, HangUpAct, Hum, OpsHangUp, Press, Speak

if TYPE_CHECKING:
    from ivr.fake_agi import AgiSession
    from ivr.fake_bridge import Bridged

KEY_HEARD = 0.1
"""Seconds from pressing a key to its being heard (measured 0.100 with a key of 120 ms)."""

DOORBELL_IDLE = 0.08
"""Seconds until a doorbell that nobody waits for is heard (measured between 0.05 and 0.1)."""

DOWN, RINGING, CALLED, UP = 0, 4, 5, 6
"""What CHANNEL STATUS says: not rung yet, the caller's before it is answered, the same of a phone
that we ring, and answered."""

STATES = {DOWN: "Down", RINGING: "Ring", CALLED: "Ringing", UP: "Up"}
"""What events call these."""

CAUSES = {16: "Normal Clearing", 17: "User busy", 19: "User alerting, no answer"}
CAUSES |= {0: "Unknown", 3: "No route to destination", 21: "Call Rejected"}


class Switch(Protocol):
    """What a channel needs of its Asterisk."""

    @property
    def clock(self) -> Clock: ...

    database: dict[tuple[str, str], str]
    system: str
    epoch: float

    def event(self, name: str, channel: Channel, extra: Mapping[str, str]) -> None: ...

    def run_script(
        self,
        channel: Channel,
        path: str,
        arguments: Sequence[str],
        then: Callable[[str], None],
    ) -> None: ...

    def seconds(self, path: str) -> float | None: ...

    def gone(self, channel: Channel) -> None: ...

    def record(self, channel: Channel, name: str, form: str, began: float) -> None: ...


class Channel:
    """One call, from its first ring to its end.

    `ended_by` is "" while it lasts, then "caller" (the person at the other end), "us" (our HANGUP,
    or our script ended with the variable set that says all is done), or "dialplan" (the script
    failed, never began, or its time was up: the caller hears the maintenance apology). `status` is
    what AGISTATUS says. `scripts` counts the scripts that run on it or are about to; `sessions`
    are those that are connected, the newest last. `bridge` is the conversation it is in.

    `on_dead` is called when it is hung up, `on_bridged` when a conversation begins, `on_parted`
    when one has ended for the channel that was fetched into it.
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
        incoming: bool = True,
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
        self.incoming = incoming
        self.variables: dict[str, str] = {}
        self.arguments: list[str] = []
        self.language: str = "en"
        self.context: str = "incoming"
        self.began: float = self.clock.now() - rung
        self.state = RINGING if incoming else DOWN
        self.early = False
        self.dead = False
        self.ended_by = ""
        self.status = ""
        self.cause = 16
        self.scripts = 0
        self.sessions: list[AgiSession] = []
        self.bridge: Bridged | None = None
        self.exten = number
        self.on_dead: Callable[[], None] = lambda: None
        self.on_bridged: Callable[[], None] = lambda: None
        self.on_parted: Callable[[], None] = lambda: None
        self.voices: list[Uttered] = []
        self.hums: list[Uttered] = []
        self.lost: list[str] = []
        self.transcript: list[tuple[float, str]] | None = None
        self.ears = Ears(self.clock, name_of, script, self.after)
        self._on_ops = on_ops
        self._on_hum = on_hum
        self._absolute: Timer | None = None
        self._absolute_at = 0.0
        self._detect: float | None = None  # TALK_DETECT's silence threshold in seconds
        self._talking_since: float | None = None
        self._talk_timer: Timer | None = None

    @property
    def session(self) -> AgiSession | None:
        """The session that has the ear now."""
        return self.sessions[-1] if self.sessions else None

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
        """The person at the other end hangs up. (Measured: a cause only in a conversation, and
        told twice while a feature's script runs in it.)"""
        if not self.dead:
            for _ in range(2 if self.bridge is not None and self.scripts == 2 else 1):
                self.switch.event("HangupRequest", self, {})
            self.drop("caller", 0 if self.bridge is None else 16)

    def drop(self, who: str, cause: int = 16) -> None:
        """The call ends; `who` ended it, as in `ended_by`."""
        if not self.dead:
            self.cause = cause
            self.ears.over("left" if who == "caller" else "hung up")
            self._die(who)

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
        if running is not None and running.listens:
            if not running.key(key):
                self.lost.append(key)
        elif self.bridge is None or not self.bridge.key(self, key):
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
        session = self.session
        if session is not None and session.running is not None:
            session.running.voice()
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
            self.ears.over("fallback" if self.incoming else "hung up")
            self._die("dialplan")

    def hang_up_by_us(self) -> None:
        """Our HANGUP command, or ops through the manager."""
        self.drop("us")

    def script_over(self, status: str, done: bool) -> None:
        """The AGI application returned to a caller's dialplan."""
        self.status = "HANGUP" if self.dead else status
        if not self.dead:
            # whatever is being said stops with the script
            self.ears.over("hung up" if done else "fallback")
            self._die("us" if done else "dialplan")
        else:
            self.finish()

    def finish(self) -> None:
        """It is no more."""
        extra = {"Cause": str(self.cause), "Cause-txt": CAUSES[self.cause]}
        self.switch.event("Hangup", self, extra)
        self.switch.gone(self)

    def _die(self, who: str) -> None:
        self.dead = True
        self.ended_by = who
        self.on_dead()
        self.absolute(0)
        if self._talk_timer is not None:
            self._talk_timer.cancel()
        if self.session is not None:
            self.session.hung_up()
        elif not self.scripts:
            self.leave()

    def leave(self) -> None:
        """The call has ended, and so has the last script."""
        if self.bridge is not None:
            self.bridge.left(self)
        self.finish()
