"""Other programs are told by the running service what an agent has heard, and of a ticket: as an
event of Asterisk's manager, and as a post. And a service that is told to stop while people talk and
wait lets all of them end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from conversations import in_conversation
from elsewhere import Elsewhere
from faked import AmiClient
from moments import eventually
from people import AGENT, at_work, staffed, talk

from ivr import tickets
from ivr.actions import Keep
from ivr.clock import SystemClock
from ivr.events import Stored
from ivr.hours import parse
from ivr.messages import keep

pytestmark = pytest.mark.live

TOKEN = "LiveDeskTokenLive"
LISTENER = """
[listener]
secret = listens
read = user
write =
"""
"""An account of somebody else's, who wants to hear what we tell."""
WHO, NEXT, LATE = "13800300001", "13800300002", "13800300003"


@pytest.mark.slow_live
async def test_what_the_agent_heard_and_a_ticket_that_alerts_are_told_to_other_programs(
    tmp_path: Path, figures: list[str]
) -> None:
    desk = Elsewhere()
    async with desk.listening() as address:

        def change(root: Path) -> None:
            staffed(root)
            file = root / "flows/hotlines/xjca.yaml"
            hook = f'webhook: {{url: "{address}", token: DESK_TOKEN}}'
            text = file.read_text("utf-8")
            text = text.replace("hold_limit: 5 min}", f"hold_limit: 5 min, {hook}}}")
            text = text.replace("\ntickets:\n", f"\ntickets:\n  {hook}\n")
            file.write_text(text, "utf-8")

        environment = {"DESK_TOKEN": TOKEN}
        async with at_work(tmp_path, "801", change=change, environment=environment) as own:
            switch = own.stage.switch
            with (switch.directory / "etc/manager.conf").open("a") as file:
                file.write(LISTENER)
            await asyncio.to_thread(switch.cli, "manager reload")
            loop = asyncio.get_running_loop()
            _, ami = await loop.create_connection(AmiClient, "127.0.0.1", switch.ports.manager)
            ami.action("Login", Username="listener", Secret="listens")
            call, _ = await in_conversation(own, WHO, "801")
            accepted = await own.watch.until(WHO, "AgentAccepted")
            row = own.stage.call_of(WHO)

            def told(name: str) -> list[dict[str, str]]:
                return [one for one in ami.events if one.get("UserEvent") == name]

            (event,) = await eventually(lambda: told("SanshengNote"), 5, "SanshengNote")
            (post,) = await eventually(lambda: list(desk.requests), 5, "a post")
            (note,) = desk.posted
            assert (event["Line"], event["Call"], event["Agent"]) == ("xjca", row.id, "801")
            assert (note["line"], note["call"], note["agent"]) == ("xjca", row.id, "801")
            stored = [one.what for one in own.stage.entries(row) if isinstance(one.what, Stored)]
            assert event["Reference"] == note["reference"] == stored[0].reference
            assert note["note"]["kind"] == "person"
            assert post.token == f"Bearer {TOKEN}"
            assert TOKEN not in own.stage.said()
            await call.hang_up()
            await own.at_rest()

            now = SystemClock().utc()
            line = own.stage.hotlines.lines["xjca"]
            wish = Keep(99, "complaint", (("contact", WHO),), "24 h")
            keep(own.stage.store, row, wish, parse(line.document), now, line.tickets)
            (ticket,) = tickets.listed(own.stage.store)  # a transfer by itself is none
            tickets.grade(own.stage.store, ticket.id, "serious", "the test", now)
            graded = time.monotonic()
            (event,) = await eventually(lambda: told("SanshengTicket"), 40, "SanshengTicket")
            alert = await eventually(
                lambda: desk.requests[1:] and desk.requests[1], 20, "a post of the ticket"
            )
            assert event["Ticket"] == desk.posted[1]["ticket"] == ticket.id
            assert alert.token == f"Bearer {TOKEN}"
            ami.transport.close()
            figures.append(
                f"the note: posted {post.at - accepted:.2f} s after it was accepted; "
                f"a grade that alerts: {alert.at - graded:.1f} s"
            )


@pytest.mark.slow_live
async def test_a_service_that_is_told_to_stop_lets_those_who_talk_and_wait_end(
    tmp_path: Path, figures: list[str]
) -> None:
    async with at_work(tmp_path, "817") as own:
        first = await own.wants(WHO)
        await own.watch.until(WHO, "Bridge")
        second = await own.waits(NEXT)
        os.kill(own.stage.pid, signal.SIGTERM)
        told = time.monotonic()
        await eventually(lambda: own.stage.logged("draining"), 2, "draining")
        late = await own.stage.dial(own.phone, "1001", LATE)
        await asyncio.sleep(4.0)
        assert talk(first, AGENT)[-1][1] > told + 3.5
        await own.agent_of(WHO).hang_up()
        await own.watch.until(WHO, "Say", "closing.anything_else")
        await own.watch.until(NEXT, "Bridge")  # whoever waited is still put through
        await asyncio.sleep(1.5)
        assert talk(second, AGENT)[-1][1] - talk(second, AGENT)[0][0] > 0.8
        assert (await own.heard(late))[0] == "maintenance.line"
        for call in (first, second, late):
            await call.hang_up()
        service = own.stage._service
        assert service is not None
        assert await asyncio.to_thread(service.wait, 15) == 0
        figures.append(f"drained {time.monotonic() - told:.1f} s after SIGTERM")
        assert own.stage.call_of(WHO).record["result"] == "transferred"
        assert own.stage.call_of(NEXT).record["result"] == "transferred"
        assert own.held() == []
        assert await own.channels() == 0
