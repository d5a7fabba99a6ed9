"""The agent's telephone in the terminal, as its user types it: it registers, signs in, rings, hears
the note, takes the call, talks, hangs up, and is signed out when its terminal is closed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from harness import Stage
from people import CALLER, Office, voice

from ivr import stimuli
from ivr.ear import Ear

pytestmark = pytest.mark.live

AGENT = "817"
WHO = "13700000817"


class Typist:
    """Somebody at the terminal of `sansheng phone`: reads what it says, types."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.read: list[str] = []

    @classmethod
    async def at(cls, stage: Stage) -> Typist:
        server = f"{stage.sip[0]}:{stage.sip[1]}"
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ivr.cli", "--root", str(stage.root)),
                *("phone", AGENT, "--server", server),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={
                    **os.environ,
                    "SANSHENG_CONTROL": str(stage.control),
                    "SANSHENG_SOUNDS": str(stage.sounds),
                },
            )
        )

    async def sees(self, words: str, within: float = 20.0) -> None:
        """Wait until it says this."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            while not self.read or words not in self.read[-1]:
                line = await self.process.stdout.readline()
                assert line, f"it never said '{words}': {''.join(self.read)}"
                self.read.append(line.decode())

    async def types(self, keys: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(keys.encode())
        await self.process.stdin.drain()

    async def leaves(self) -> int:
        """Close the terminal; what the command ends with."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGHUP)
        self.read.append((await self.process.stdout.read()).decode())
        return await self.process.wait()


async def test_a_call_is_put_through_to_a_telephone_in_the_terminal(tmp_path: Path) -> None:
    async with Office(tmp_path / "stage", desks=(), unplugged=(AGENT,)) as own:
        typist = await Typist.at(own.stage)
        try:
            await typist.sees("您好,您现在是示闲状态。")
            await typist.sees("waiting for callers")
            assert own.state(AGENT) == "ready"
            caller = await own.wants(WHO)
            await typist.sees(f"it rings: {WHO} 「您好 有客户要求人工服务。")
            await typist.types("\n")
            await typist.sees("有客户要求人工服务。  briefing.kind.person")
            await typist.sees("briefing.choose")
            await typist.types("1")
            await typist.sees("talks to the agent")
            caller.play(voice(CALLER, 2.0))
            await typist.types("s..h")
            await typist.sees("you hung up")
            await own.watch.until(WHO, "Say", "closing.anything_else")
            await own.watch.until(WHO, "Say", "hint.anything_else")
            await caller.hang_up()
            assert await typist.leaves() == 0
        finally:
            if typist.process.returncode is None:
                typist.process.kill()
                await typist.process.wait()
        said = "".join(typist.read)
        assert "您好,您现在是示忙状态。" in said, said
        assert f"phone {AGENT} has left" in said
        assert own.state(AGENT) == "busy"
        contacts = await asyncio.to_thread(own.stage.switch.cli, "pjsip show contacts")
        assert "No objects found" in contacts
        (question,) = own.stage.hotlines.library.parts("xjca", "closing.anything_else")
        sounds = {
            "the agent": stimuli.speech(2.0),
            "anything else?": stimuli.wav(own.stage.sounds / f"{question.path}.wav"),
        }
        heard = [one.name for one in Ear(sounds).recognise(caller.heard)]
        assert heard == ["the agent", "anything else?"]
        (leg,) = own.legs(own.stage.call_of(WHO))
        assert leg.record["verdict"] == "accepted"
