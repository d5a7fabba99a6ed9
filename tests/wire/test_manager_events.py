"""Events of a manager are sorted out early, and none of them kills the reader."""

from __future__ import annotations

import asyncio

from manager_line import SECRET, line
from realtime import until

from ivr import ami


async def test_events_are_sorted_out_early_and_all_are_counted():
    ours = {"PJSIP/ours-1"}
    wants = lambda name, channel: channel in ours or name == "OriginateResponse"  # noqa: E731
    events = ["Hangup", "ChannelTalkingStart", "OriginateResponse"]
    async with line(events=events, wants=wants) as (manager, peer):
        peer.event("Hangup", "Channel: PJSIP/theirs-1")
        peer.event("Newexten", "Channel: PJSIP/ours-1")
        peer.event("ChannelTalkingStart", "Channel: PJSIP/ours-1")
        peer.event("OriginateResponse", "Response: Failure", "Reason: 0")
        peer.event("Hangup")
        await until(lambda: manager.events_seen == 5)
        assert [event["Event"] for event in manager.heard] == [
            "ChannelTalkingStart",
            "OriginateResponse",
        ]


async def test_what_a_caller_is_called_does_not_disturb_the_stream():
    names = ["status will follow", "Response: Follows", "--END COMMAND--", "a: b", "王\udcff"]
    async with line() as (manager, peer):
        for name in names:
            lines = f"Event: Newstate\r\nCallerIDName: {name}\r\nChannel: c\r\n\r\n"
            peer.writers[-1].write(lines.encode("utf-8", "surrogateescape"))
        await manager.action("Ping")
        await until(lambda: manager.events_seen == len(names))
        assert [event["CallerIDName"] for event in manager.heard] == names


async def test_channel_variables_in_an_event_do_not_kill_the_reader():
    async with line() as (manager, peer):
        peer.event("Hangup", "ChanVariable(PJSIP/a-1): X=1", "Channel: PJSIP/a-1")
        await until(lambda: manager.events_seen == 1)
        assert manager.heard[0]["Channel"] == "PJSIP/a-1"
        await manager.action("Ping")


async def test_an_event_in_pieces_is_one_event():
    async with line() as (manager, peer):
        for piece in (b"Event: Han", b"gup\r", b"\nChannel: c\r\n\r", b"\n"):
            peer.writers[-1].write(piece)
            await peer.writers[-1].drain()
            await asyncio.sleep(0.002)  # so that it is read by itself
        await until(lambda: manager.events_seen == 1)
        assert manager.heard == [{"Event": "Hangup", "Channel": "c"}]


async def test_events_that_nobody_takes_end_the_connection(monkeypatch):
    monkeypatch.setattr(ami, "EVENTS_WAITING", -1)
    async with line() as (manager, peer):
        peer.event("Hangup")
        await until(lambda: not manager.connected)
        assert manager.problem == "events come faster than they are taken"


async def test_an_event_without_end_ends_the_connection():
    async with line() as (manager, peer):
        peer.writers[-1].write(b"Event: X\r\n" + b"A: b\r\n" * 20_000)
        await until(lambda: not manager.connected)
        assert "65536 bytes" in manager.problem


async def test_an_error_in_taking_one_event_does_not_lose_the_next():
    taken, problems = [], []

    def take(event):
        taken.append(event["N"])
        if event["N"] == "1":
            raise LookupError("our bug")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
    async with line(on_event=take) as (manager, peer):
        for n in range(3):
            peer.event("Hangup", f"N: {n}")
        await until(lambda: manager.events_seen == 3)
        assert taken == ["0", "1", "2"]
        assert [str(problem) for problem in problems] == ["our bug"]


async def test_nothing_is_printed_and_the_secret_is_nowhere(capfd):
    async with line() as (manager, peer):
        await manager.action("Ping")
        peer.event("Strange")
        peer.say(peer.writers[-1], "no header at all")
        peer.hang_up()
        await until(lambda: manager.connections == 2)
        assert SECRET not in repr(manager)
    async with line("wrong-" + SECRET) as (manager, _):
        assert SECRET not in manager.problem
    assert capfd.readouterr() == ("", "")
