"""A scripted caller on a real telephone, and back ends that answer him as his scenario says.

Rules this module keeps:

- The caller is the `ScriptedCaller` of all levels; the service's `watch` stream cues him.
- A voice that is quiet, noisy or clipped is made so that a recording of it is measured so
  (`ivr.sound.quality`).
- Lengths are in seconds, levels dBFS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np

from ivr import actions, stimuli
from ivr.events import Values
from ivr.phone_call import PhoneCall
from ivr.rtp import Samples
from ivr.scenario import Act, HangUpAct, Hum, LookupWorld, OpsHangUp, Press, Speak
from ivr.scripted_caller import ScriptedCaller

TOO_QUIET = -44.0
DROWNED = -36.0
NOISE = -20.0
CLIPPED = -10.0
"""A voice too quiet to be understood, one drowned in noise, that noise, and a voice whose peaks
are cut off at `CLIP` of 32768."""
CLIP = 9000

FOREGROUND = frozenset(kind.__name__ for kind in actions.Foreground.__subclasses__())
"""Names of what can follow a prompt."""


def voice(act: Speak) -> Samples:
    """What a caller's voice sounds like, as good or bad as the scenario says."""
    match act.quality:
        case "quiet":
            return stimuli.speech(act.seconds, TOO_QUIET)
        case "clipped":
            return np.clip(stimuli.speech(act.seconds, CLIPPED), -CLIP, CLIP).astype(np.int16)
        case "noisy":
            both = stimuli.speech(act.seconds, DROWNED) + stimuli.hum(act.seconds, NOISE)
            return both.astype(np.int16)
    return stimuli.speech(act.seconds)


@dataclass(eq=False)
class Player:
    """Plays a scripted caller on a telephone, cued by what the service does.

    `id` is the call's id once the service has told it.
    """

    script: ScriptedCaller
    call: PhoneCall
    ops: Callable[[str], None]
    id: str = ""
    sounding: str = ""
    errands: set[asyncio.Task[None]] = field(default_factory=set)

    def told(self, what: Mapping[str, Any], now: float) -> None:
        """The service did something in this call."""
        self.id = what["call"]
        if what["what"] == "Said" or what["what"] in FOREGROUND:
            if self.sounding:
                self._later(self.script.ended(self.sounding, now))
            self.sounding = ""
        if what["what"] == "Say":
            self.sounding = what["prompt"]
            self._later(self.script.began(self.sounding, now))

    def _later(self, acts: Sequence[tuple[float, Act]]) -> None:
        loop = asyncio.get_running_loop()
        for wait, act in acts:
            loop.call_later(wait, self._do, act)

    def _do(self, act: Act) -> None:
        match act:
            case Press(keys=keys):
                self.call.press(keys)
            case Speak():
                self.call.play(voice(act), "speak")
            case Hum(seconds=length):
                self.call.hum(length)
            case HangUpAct():
                task = asyncio.get_running_loop().create_task(self.call.hang_up())
                self.errands.add(task)
                task.add_done_callback(self.errands.discard)
            case OpsHangUp():
                self.ops(self.id)


# ---------------------------------------------------------------- back ends


class BackEnd:
    """An HTTP server on loopback that answers each caller's lookups as his world says.

    Asked as `/{line}/{item}/{caller}`. Use with `async with`; `address` is where it is.
    """

    def __init__(self) -> None:
        self.worlds: dict[str, LookupWorld | None] = {}
        self.answered: dict[str, float] = {}
        """When each caller's lookup was last answered, in monotonic seconds."""
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                caller = unquote(head.split(" ")[1].rpartition("/")[2])
                status, body = await self._answer(self.worlds.get(caller))
                self.answered[caller] = asyncio.get_running_loop().time()
                text = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(text.encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self, world: LookupWorld | None) -> tuple[str, bytes]:
        if world is None:
            return "503 No Back End", b""
        await asyncio.sleep(world.after)
        if world.fails:
            return "500 Failed", b""
        if world.answer is None:
            return "404 Not Found", b""
        return "200 OK", json.dumps(rows(world.answer)).encode()


def rows(values: Values) -> dict[str, str] | list[dict[str, str]]:
    """The values of an answer as a back end gives them: numbered ones are rows of a list."""
    numbered: dict[str, dict[str, str]] = {}
    for name, value in values:
        found = re.fullmatch(r"(.+)_(\d)", name)
        if found is None:
            return dict(values)
        numbered.setdefault(found[2], {})[found[1]] = value
    return [numbered[number] for number in sorted(numbered)]
