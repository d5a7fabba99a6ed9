"""The dialplan in a real Asterisk: rung by a real phone, with the service there, gone or dying."""

from __future__ import annotations

import asyncio
import time

import pytest
from answering import command, environment, manager, service
from moments import eventually
from switches import channels
from toned import GOODBYE, KEPT, LEAVE, SORRY, Left, dial, first, heard, length

from ivr.lengths import BEEP
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.switch import Switch

pytestmark = pytest.mark.live


# ---------------------------------------------------------------- the service is there


async def test_the_service_learns_the_number_and_when_the_call_began(
    switch: Switch, phone: Phone
) -> None:
    greetings: list[tuple[float, str]] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        greetings.append((time.time(), greeting))
        await command(r, w, "ANSWER")
        await command(r, w, "SET VARIABLE SANSHENG_DONE 1")

    async with service(switch, serve):
        rang = time.time()
        call = await dial(phone, switch, "+8610#1001")
        await call.ended(10)
    ((heard_of, greeting),) = greetings
    asked = environment(greeting)
    assert asked["agi_request"].endswith("/call")
    assert asked["agi_arg_1"] == "+8610#1001"
    assert rang <= float(asked["agi_arg_2"]) <= heard_of
    assert asked["agi_uniqueid"].startswith("first-")
    assert asked["agi_language"] == "zh"
    assert call.ended_by == "them"
    assert heard(call) == []


async def test_people_are_rung_first_and_the_ring_clock_goes_on(
    switch: Switch, phone: Phone, desk: int
) -> None:
    began: list[float] = []
    rung_at_desk = asyncio.Event()

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        asked = environment(greeting)
        began.append(time.time() - float(asked["agi_arg_2"]))
        await command(r, w, "SET VARIABLE SANSHENG_DONE 1")

    async def nobody_picks_up(call: PhoneCall) -> None:
        call.ring()
        rung_at_desk.set()
        await call.ended(10)

    async with service(switch, serve), await Phone.open(port=desk) as people:
        people.on_invite = nobody_picks_up
        call = await dial(phone, switch, "1002")
        await call.ringing()
        await call.ended(10)
    assert rung_at_desk.is_set()
    assert began[0] == pytest.approx(2.0, abs=0.1)


async def test_the_service_is_rung_up_to_collect_what_was_left(switch: Switch, left: Left) -> None:
    switch.cli("database put sansheng/fallback/one call first-1.0")
    switch.cli("database put sansheng/fallback/two call first-2.0")
    answers: list[str] = []
    done = asyncio.Event()

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        assert "/collect" in greeting
        answers.append(await command(r, w, "GET VARIABLE DB_KEYS(sansheng/fallback)"))
        answers.append(await command(r, w, "DATABASE GET sansheng/fallback/two call"))
        answers.append(await command(r, w, "DATABASE DELTREE sansheng/fallback/two"))
        answers.append(await command(r, w, "GET VARIABLE DB_KEYS(sansheng/fallback)"))
        done.set()

    async with service(switch, serve):
        async with manager(switch) as ask:
            answer = await ask(
                "Originate",
                Channel="Local/s@sansheng-collect/n",
                Context="sansheng-collect",
                Exten="wait",
                Priority="1",
                Async="true",
            )
            assert answer["Response"] == "Success"
            await asyncio.wait_for(done.wait(), 5)
        await eventually(lambda: channels(switch) == 0)
    assert answers == [
        "200 result=1 (one,two)",
        "200 result=1 (first-2.0)",
        "200 result=0",  # of DELTREE: taken away
        "200 result=1 (one)",
    ]


# ---------------------------------------------------------------- the service is not there


async def test_without_the_service_a_caller_hears_why_and_leaves_a_message(
    switch: Switch, phone: Phone, left: Left
) -> None:
    call = await dial(phone, switch, "1001")
    await call.answered(3)
    await eventually(lambda: heard(call)[-1:] == [1000])
    await call.speak(2.0).done()
    call.press("#")
    await call.ended(10)
    assert heard(call) == [SORRY, LEAVE, 1000, KEPT]
    assert call.answered_at is not None
    assert first(call, SORRY) - call.answered_at < 1.0
    ((name, entry),) = left().items()
    assert entry["hotline"] == "office"
    assert entry["number"] == "1001"
    assert entry["caller"] == "13800138000"
    assert entry["system"] == "first"
    assert entry["call"].startswith("first-")
    (pressed,) = (when for when, what in call.marks if what == "press #")
    lasted = pressed - first(call, 1000)
    assert int(entry["ended"]) - int(entry["began"]) == pytest.approx(lasted, abs=1.1)
    recording = switch.spool / f"{name}.wav"
    assert length(recording) == pytest.approx(lasted - BEEP, abs=0.4)  # the key itself is cut off


async def test_who_hangs_up_while_speaking_has_left_a_message(
    switch: Switch, phone: Phone, left: Left
) -> None:
    call = await dial(phone, switch, "1001")
    await call.answered(3)
    await eventually(lambda: heard(call)[-1:] == [1000])
    call.speak(30.0)
    await asyncio.sleep(1.5)
    left_at = time.monotonic()
    await call.hang_up()
    await eventually(lambda: any("ended" in entry for entry in left().values()))
    ((name, entry),) = left().items()
    assert entry["caller"] == "13800138000"
    spoken = left_at - first(call, 1000) - BEEP
    assert length(switch.spool / f"{name}.wav") == pytest.approx(spoken, abs=0.3)


async def test_who_hangs_up_before_the_beep_leaves_nothing(
    switch: Switch, phone: Phone, left: Left
) -> None:
    call = await dial(phone, switch, "1001")
    await call.answered(3)
    await call.hang_up()
    await eventually(lambda: channels(switch) == 0)
    assert left() == {}


async def test_who_says_nothing_is_thanked_all_the_same(
    switch: Switch, phone: Phone, left: Left
) -> None:
    call = await dial(phone, switch, "1001", caller="")
    await call.answered(3)
    await call.ended(15)
    assert heard(call) == [SORRY, LEAVE, 1000, KEPT]
    ((_, entry),) = left().items()
    assert entry["caller"] == ""
    assert "ended" in entry


@pytest.mark.parametrize(
    ("caller", "kept"),
    [
        ("138;rm -rf", "138"),
        ("${SHELL(id)}13,1", "131"),
        ("../../etc/passwd", ""),
        ('1"),System(1', "11"),
        ("＋８６138", "138"),
    ],
)
async def test_a_hostile_caller_id_is_filtered_and_names_no_file(
    switch: Switch, phone: Phone, left: Left, caller: str, kept: str
) -> None:
    call = await dial(phone, switch, "1001", caller)
    await call.answered(3)
    await eventually(lambda: heard(call)[-1:] == [1000])
    await asyncio.sleep(0.5)  # for the beep to end
    await call.hang_up()
    await eventually(lambda: any("ended" in entry for entry in left().values()))
    ((name, entry),) = left().items()
    assert entry["caller"] == kept
    assert set(name) <= set("0123456789-")
    assert (switch.spool / f"{name}.wav").exists()


async def test_a_frozen_service_is_given_eight_seconds(
    switch: Switch, phone: Phone, left: Left
) -> None:
    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await r.read()  # says nothing until Asterisk gives up

    async with service(switch, serve):
        call = await dial(phone, switch, "1001")
        assert call.invited_at is not None
        await call.answered(12)
        assert call.answered_at is not None
        assert call.answered_at - call.invited_at == pytest.approx(8.0, abs=0.5)
        await eventually(lambda: SORRY in heard(call))
        await call.hang_up()


async def test_a_service_that_dies_in_a_prompt_is_followed_by_the_apology(
    switch: Switch, phone: Phone, left: Left
) -> None:
    died: list[float] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await command(r, w, "ANSWER")
        await command(r, w, "SET MUSIC ON default")
        w.write(b"WAIT FOR DIGIT 60000\n")
        await asyncio.sleep(0.5)
        died.append(time.monotonic())
        w.transport.abort()

    async with service(switch, serve):
        call = await dial(phone, switch, "1001")
        await call.answered(3)
        await eventually(lambda: LEAVE in heard(call))
        await call.hang_up()
    assert first(call, SORRY) - died[0] < 1.0


async def test_a_service_that_freezes_later_is_noticed_by_the_clock_it_armed(
    switch: Switch, phone: Phone, left: Left
) -> None:
    frozen: list[float] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await command(r, w, "ANSWER")
        await command(r, w, "SET VARIABLE TIMEOUT(absolute) 2")
        frozen.append(time.monotonic())
        await r.read()

    async with service(switch, serve):
        call = await dial(phone, switch, "1001")
        await call.answered(3)
        await eventually(lambda: SORRY in heard(call))
        await call.hang_up()
    assert first(call, SORRY) - frozen[0] == pytest.approx(2.2, abs=0.5)


async def test_after_a_conversation_a_lost_service_means_goodbye_and_no_apology(
    switch: Switch, phone: Phone, left: Left
) -> None:
    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await command(r, w, "ANSWER")
        await command(r, w, "SET VARIABLE SANSHENG_STAGE bridged")

    async with service(switch, serve):
        call = await dial(phone, switch, "1001")
        await call.ended(10)
    assert heard(call) == [GOODBYE]
    assert left() == {}


async def test_a_missing_apology_does_not_keep_anybody_from_leaving_a_message(
    switch: Switch, phone: Phone, left: Left
) -> None:
    prompts = list((switch.sounds / "zh/counter").glob("counter.sorry.*"))
    for prompt in prompts:
        prompt.rename(prompt.with_suffix(prompt.suffix + "-away"))
    try:
        call = await dial(phone, switch, "1002")  # nobody is at the desk: no phone there
        await call.answered(5)
        await eventually(lambda: heard(call)[-1:] == [1000])
        await call.hang_up()
    finally:
        for prompt in prompts:
            prompt.with_suffix(prompt.suffix + "-away").rename(prompt)
    assert heard(call) == [LEAVE, 1000]
    await eventually(lambda: any("ended" in entry for entry in left().values()))
    log = (switch.directory / "log/messages.log").read_text()
    assert f"sansheng: no {switch.sounds}/zh/counter/counter.sorry" in log
