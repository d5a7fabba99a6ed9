"""One caller's ear and mouth: carries out foreground actions through AGI, one command at a time.

Rules this module keeps:

- How commands are given, and ended by the doorbell (`D`), is `ivr.door`'s. A `D` with nothing
  else wanted is stale, or the caller's own key: what was cut goes on for the time left, a prompt
  from where it stopped.
- Without the doorbell, waiting is cut into slices of `SLICE`; then keys work and voices do not.
- In a conversation (`EXEC Bridge`) there is no doorbell and nothing is heard by us; it ends when
  one of the two leaves. What an agent's feature code asks for is done by a channel of its own
  (`visit`), while this one waits in its conversation.
- A key always becomes an event. If nobody wants anything else because of it, what it cut goes on.
- Nothing a caller controls becomes part of a path or a command.
- Lengths are in seconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import structlog

from ivr import actions, dialplan
from ivr.actions import Foreground
from ivr.agi import Gone, Reply, application_arguments
from ivr.door import BELL, GRACE, HALF_OPEN, KEYS, Door, Part, Surroundings, Taken
from ivr.events import (
    Answered,
    BridgeOver,
    Event,
    HeardOut,
    Recorded,
    Rung,
    Said,
    Silence,
    Unplayable,
)
from ivr.hearing import THRESHOLD
from ivr.lengths import DETECTOR_QUIET
from ivr.slots import SlotError

__all__ = ["GRACE", "HALF_OPEN", "Channel", "Part", "Surroundings", "Taken"]

SLICE = 0.23
"""Longest wait without a doorbell."""
RECORD_SLICE = 10.0
"""Longest single recording, so that a service that has died is noticed."""
MUSIC_WAIT = 10.0
"""Longest single wait under music: so late at most is a lookup's end heard when the doorbell is
lost meanwhile, and so much later a service that froze is noticed."""
SPEECH_WAIT = 2.0
"""Longest single wait while the caller speaks, for the same reason."""
LATE = 0.25
"""Seconds after a timer at which a wait ends by itself, if no doorbell ended it."""

log = structlog.get_logger("channel")


class Channel(Door):
    """Carries out foreground actions on one AGI session: `run` does what is wanted until the call
    is over, or the conversation that was interrupted goes on."""

    async def run(self) -> None:
        """Do what is wanted, one thing after another, until the call is over."""
        try:
            while not self._left:
                action = self._wanted
                if action is None or action is self._doing:
                    await self._parked()
                    continue
                self._doing = action
                await self._do(action)
                if isinstance(action, actions.HangUp | actions.HandOver | actions.Resume):
                    return
        except Gone:
            self._hung_up()
        finally:
            self._stop_bell()
            if self._watchdog is not None:
                self._watchdog.cancel()
            self.hearing.close()

    async def visit(self, asked: Event) -> None:
        """Have the caller's ear in the middle of a conversation, because of what was `asked`,
        until the machine resumes it. If the machine wants nothing, it is resumed at once."""
        try:
            await self._detect_talking()
            self._post(asked)
            await self._decided()
        except Gone:
            self._hung_up()
        if self._wanted is None:
            self.want(actions.Resume(0))
        await self.run()

    # -- what is done

    async def _do(self, action: Foreground) -> None:
        if self._music and not isinstance(action, actions.Music | actions.Say):
            await self._session.command("SET MUSIC OFF")
            self._music = False
        match action:
            case actions.Ring():
                await self._ring(action)
            case actions.PickUp():
                await self._pick_up(action)
            case actions.Say():
                await self._say(action)
            case actions.Listen():
                await self._listen(action)
            case actions.HearOut():
                await self._hear_out(action)
            case actions.Music():
                await self._play_music(action)
            case actions.Record():
                await self._record(action)
            case actions.PlayRecording():
                await self._play_recording(action)
            case actions.Bridge():
                await self._bridge(action)
            case actions.Resume():
                await self._resume()
            case actions.HandOver():
                await self._hand_over()
            case actions.HangUp():
                await self._hang_up()

    async def _ring(self, action: actions.Ring) -> None:
        await self._session.command("EXEC", "Ringing")
        await self._grace(action.until)
        while not (self._left or self._superseded(action)):
            left = action.until - self._around.rung()
            if left <= 0.0005:
                break
            await self._parked(left)
        if not (self._left or self._superseded(action)):
            self._post(Rung(action.id, round(self._around.rung(), 3)))

    async def _pick_up(self, action: actions.PickUp) -> None:
        await self._grace(0)
        await self._session.command("ANSWER")
        rung = round(self._around.rung(), 3)
        await self._detect_talking()
        self._post(Answered(action.id, rung))

    async def _detect_talking(self) -> None:
        detect = f"{round(1000 * DETECTOR_QUIET)},{self._around.threshold or THRESHOLD}"
        await self._session.command("SET VARIABLE", "TALK_DETECT(set)", detect)

    async def _say(self, action: actions.Say) -> None:
        try:
            parts = self._around.parts(action.prompt, dict(action.slots))
        except (KeyError, SlotError) as error:
            # others have written what fills its gaps: the caller's network, a back end
            log.error("a prompt cannot be said", prompt=action.prompt, why=str(error))
            await self._apologise()
            self._post(Unplayable(action.id))
            return
        await self._grace(sum(part.seconds for part in parts))
        self._music = False
        for part in parts:
            played = await self._play(action, str(self._around.sounds / part.path))
            if played is None:
                log.error("a prompt cannot be played", prompt=action.prompt, path=part.path)
                await self._apologise()
                self._post(Unplayable(action.id))
            if not played:
                return
        self._post(Said(action.id))

    async def _play(self, action: Foreground, path: str) -> bool | None:
        """Play one file to its end; False when something else is wanted, or nobody is there, by
        now; None if it cannot be played."""
        offset = 0
        while True:
            if self._superseded(action):
                return False
            reply = await self._command("STREAM FILE", path, KEYS + BELL, offset)
            if reply.result == 0:
                return not self._superseded(action)
            if reply.result == -1:
                return None if await self._session.alive() else False
            await self._key(reply)
            if self._superseded(action):
                return False
            offset = reply.endpos or 0

    async def _play_recording(self, action: actions.PlayRecording) -> None:
        lent = await self._around.lend(action.recording, action.seconds)
        if lent is None:
            self._post(Unplayable(action.id))
            return
        path, seconds = lent
        try:
            await self._grace(seconds)
            played = await self._play(action, path)
        finally:
            await self._around.give_back(path)
        if played is None:
            log.error("a recording cannot be played", path=path)
            self._post(Unplayable(action.id))
        elif played:
            self._post(Said(action.id))

    async def _apologise(self) -> None:
        """A caller never hears silence because of us."""
        parts = self._around.parts("sorry.trouble", {})
        await self._grace(sum(part.seconds for part in parts))
        for part in parts:
            path = str(self._around.sounds / part.path)
            reply = await self._command("STREAM FILE", path, KEYS + BELL, 0)
            await self._key(reply)

    async def _listen(self, action: actions.Listen) -> None:
        until = self._clock.now() + action.seconds
        await self._grace(action.seconds)
        while True:
            if await self._wait_for_key(action, until - self._clock.now()):
                return
            if self.hearing.judging:
                until = self._clock.now() + 0.05
            elif self._clock.now() >= until - 0.0005:
                self._post(Silence(action.id))
                return

    async def _hear_out(self, action: actions.HearOut) -> None:
        limit = self._clock.now() + action.limit
        await self._grace(action.limit)
        while True:
            self._bells_now()
            now = self._clock.now()
            quiet = self.hearing.quiet_since + action.quiet
            if now >= limit - 0.0005 or (not self.hearing.talking and now >= quiet - 0.0005):
                self._post(HeardOut(action.id))
                return
            due = limit if self.hearing.talking else min(limit, quiet)
            if await self._wait_for_key(action, min(due - now, SPEECH_WAIT)):
                return

    async def _play_music(self, action: actions.Music) -> None:
        await self._grace(MUSIC_WAIT)
        await self._session.command("SET MUSIC", "ON", action.name)
        self._music = True
        while not await self._wait_for_key(
            action, min(MUSIC_WAIT, self._around.next_timer() + LATE)
        ):
            await self._grace(MUSIC_WAIT)

    async def _wait_for_key(self, action: Foreground, seconds: float) -> bool:
        """Wait for a key or the doorbell; True when something else is wanted by now."""
        if self._superseded(action):
            return True
        if not self._bells_now():
            seconds = min(seconds, SLICE)
        reply = await self._command("WAIT FOR DIGIT", max(1, round(seconds * 1000)))
        await self._key(reply)
        return self._superseded(action)

    async def _record(self, action: actions.Record) -> None:
        """Record in slices; a caller who hangs up while speaking has left a message."""
        name = secrets.token_hex(16)
        self._around.recording_begins(name, action.what)
        slices: list[str] = []
        began = self._clock.now()
        ended_by = "limit"
        self._recording = True
        try:
            while (left := began + action.limit - self._clock.now()) > 0.05:
                length = min(RECORD_SLICE, left)
                await self._grace(length)
                if self._superseded(action):
                    self._recording = False
                    return
                slices.append(f"{name}-{len(slices):02d}")
                started = self._clock.now()
                reply = await self._record_slice(slices, length, action.quiet)
                took = self._clock.now() - started
                if reply.left:
                    ended_by = "hangup"
                elif reply.result == -1:
                    ended_by = await self._not_recorded()
                elif reply.digit == "#":
                    ended_by = "key"
                elif reply.digit == BELL:
                    if self._superseded(action):
                        self._recording = False
                        return
                    continue
                elif took < length - 0.3:
                    ended_by = "silence"
                else:
                    continue
                break
        except Gone:
            ended_by = "hangup"
        # a hang-up is not told before what was said has been: it would be lost
        try:
            await self._file_is_whole()
            taken = await self._around.take(action.what, slices)
        finally:
            self._recording = False
        self._post(
            Recorded(action.id, taken.reference, round(taken.seconds, 2), taken.quality, ended_by)
        )
        if ended_by == "hangup":
            await self._decided()
            self._hung_up()

    async def _file_is_whole(self) -> None:
        """Asterisk answers RECORD FILE before it writes the end of the file; it takes the next
        command, and leaves the session, only afterwards."""
        await self._session.alive()

    async def _not_recorded(self) -> str:
        """Nothing was recorded: nobody is there, or Asterisk cannot write."""
        if not await self._session.alive():
            return "hangup"
        log.error("a recording cannot be written", folder=str(self._around.spool))
        return "limit"

    async def _record_slice(self, slices: Sequence[str], length: float, quiet: float) -> Reply:
        path = str(self._around.spool / slices[-1])
        beep = ("BEEP",) if len(slices) == 1 else ()
        silence = f"s={max(1, round(quiet))}"
        return await self._command(
            "RECORD FILE", path, "wav", "#" + BELL, round(length * 1000), 0, *beep, silence
        )

    async def _bridge(self, action: actions.Bridge) -> None:
        """Let the caller and an agent talk, until one of them leaves."""
        await self._session.command("SET VARIABLE", "TALK_DETECT(remove)", "")
        self.hearing.forget()
        await self._session.command("SET VARIABLE", "SANSHENG_STAGE", "bridged")
        if self._around.own:
            # not sooner: only a code in a conversation opens another session on this channel, and
            # most calls have none; here it costs one command for each that does
            await self._session.command("SET VARIABLE", dialplan.OWN, self._around.own)
        await self._grace(dialplan.TALK)
        began = self._clock.now()
        # `x`: an agent whose caller has left is hung up
        whom = application_arguments(self._around.agent(action.leg), "x")
        await self._session.command("EXEC", "Bridge", whom)
        talked = self._clock.now() - began
        result = await self._session.command("GET VARIABLE", "BRIDGERESULT")
        if not await self._session.alive():
            self._hung_up()
            return
        await self._grace(0)
        stage = "talked" if result.data == "SUCCESS" else ""
        await self._session.command("SET VARIABLE", "SANSHENG_STAGE", stage)
        await self._detect_talking()
        if result.data == "SUCCESS":
            self._post(BridgeOver(action.id, "agent", round(talked, 3)))
        else:
            log.warning("a conversation did not begin", result=result.data)
            self._post(BridgeOver(action.id, "failed"))

    async def _hand_over(self) -> None:
        """An agent waits for the caller, with the codes that work in the conversation."""
        await self._session.command("SET VARIABLE", "DYNAMIC_FEATURES", self._around.features)
        await self._session.command("SET VARIABLE", "SANSHENG_ACCEPTED", "1")

    async def _resume(self) -> None:
        """Give the caller back to the conversation below."""
        await self._session.command("SET VARIABLE", "TALK_DETECT(remove)", "")
        await self._grace(dialplan.TALK)

    async def _hang_up(self) -> None:
        await self._session.command("SET VARIABLE", "SANSHENG_DONE", "1")
        await self._session.command("HANGUP")
