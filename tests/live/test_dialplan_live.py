"""The dialplan in a real Asterisk: rung by a real phone, with the service there, gone or dying.

The prompts are tones of one frequency each, so that what a caller heard is read off the sound.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from ivr import tones
from ivr.dialplan import Line
from ivr.lengths import BEEP
from ivr.phone import Phone
from ivr.phone_call import PhoneCall
from ivr.switch import Ports, Switch, SwitchError

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
SORRY, LEAVE, KEPT, GOODBYE = 500, 700, 1300, 1700
"""Hz of the prompts; the beep is 1000."""
TONES = (SORRY, LEAVE, 1000, KEPT, GOODBYE)
SECONDS = 0.6

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]


def line(name: str, *numbers: str, people: tuple[str, ...] = (), ring: int = 8) -> Line:
    prompts = (f"zh/{name}/{name}.{what}" for what in ("sorry", "leave", "kept", "goodbye"))
    return Line(name, numbers, *prompts, people=people, ring_people=ring)


LINES = (
    line("office", "1001", "+8610#1001"),
    line("counter", "1002", people=("PJSIP/8001",), ring=2),
)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def a_switch(directory: Path, desk: int = 0) -> Switch:
    """An Asterisk in a folder and on ports of its own, for LINES."""
    sip = free_port(socket.SOCK_DGRAM)
    rtp = 20000 + sip % 100 * 100
    return Switch(
        directory,
        ROOT,
        lines=LINES,
        agi=f"127.0.0.1:{free_port(socket.SOCK_STREAM)}",
        ports=Ports(sip, free_port(socket.SOCK_STREAM), rtp, rtp + 99),
        sounds=directory / "sounds",
        spool=directory / "recordings",
        desks={"8001": desk},
        name="first",
    )


def make_prompts(sounds: Path) -> None:
    when = np.arange(round(SECONDS * tones.RATE)) / tones.RATE
    for own in LINES:
        for prompt, pitch in zip(
            (own.sorry, own.leave, own.kept, own.goodbye),
            (SORRY, LEAVE, KEPT, GOODBYE),
            strict=True,
        ):
            file = sounds / prompt
            tones.write(0.3 * np.sin(2 * np.pi * pitch * when), file.parent, file.name)


@pytest.fixture(scope="module")
def desk() -> int:
    """The port of our own people's phone."""
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory, desk: int) -> Iterator[Switch]:
    own = a_switch(tmp_path_factory.mktemp("switch"), desk)
    own.fetch()
    own.configure()
    make_prompts(own.sounds)
    own.start()
    yield own
    own.stop()


async def dial(phone: Phone, switch: Switch, number: str, caller: str = "13800138000") -> PhoneCall:
    return await phone.dial(number, ("127.0.0.1", switch.ports.sip), caller)


def heard(call: PhoneCall) -> list[int]:
    """Which tones the caller heard, in order."""
    found: list[int] = []
    sound = call.heard.samples().astype(float)
    step = tones.RATE // 10
    pitches = np.fft.rfftfreq(step, 1 / tones.RATE)
    for start in range(0, len(sound) - step, step // 2):  # a beep is hardly longer than one
        spectrum = np.abs(np.fft.rfft(sound[start : start + step] * np.hanning(step)))
        loudest = pitches[int(spectrum.argmax())]
        near = [tone for tone in TONES if abs(tone - loudest) <= 10]
        if spectrum.max() > 50 * (np.median(spectrum) + 1000) and near and found[-1:] != near:
            found += near
    return found


def first(call: PhoneCall, tone: int) -> float:
    """When a tone was first heard, in monotonic seconds."""
    sound = call.heard.samples().astype(float)
    step = tones.RATE // 50
    wave_ = np.exp(-2j * np.pi * tone * np.arange(step) / tones.RATE)
    for start in range(0, len(sound) - step, step):
        if abs(sound[start : start + step] @ wave_) > step * 1000:
            return call.heard.began + start / tones.RATE
    raise AssertionError(f"{tone} Hz was never heard")


def entries(switch: Switch) -> dict[str, dict[str, str]]:
    """What the fallback has put into Asterisk's database, by recording."""
    found: dict[str, dict[str, str]] = {}
    for row in switch.cli("database show sansheng/fallback").splitlines():
        key, colon, value = row.partition(":")
        if colon and key.startswith("/sansheng/fallback/"):
            name, field = key.strip().split("/")[3:]
            found.setdefault(name, {})[field] = value.strip()
    return found


async def eventually(true: Callable[[], bool], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  # files and sound tell nobody when they change
            await asyncio.sleep(0.05)


@pytest.fixture
def left(switch: Switch) -> Iterator[Callable[[], dict[str, dict[str, str]]]]:
    """What this test's callers left, taken away afterwards."""
    switch.cli("database deltree sansheng/fallback")
    yield lambda: entries(switch)
    switch.cli("database deltree sansheng/fallback")


def length(file: Path) -> float:
    with wave.open(str(file)) as sound:
        return sound.getnframes() / sound.getframerate()


@asynccontextmanager
async def service(switch: Switch, serve: Serve) -> AsyncIterator[None]:
    """Something that answers FastAGI; `serve` gets the dialled number's handshake as text."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            greeting = (await reader.readuntil(b"\n\n")).decode()
            await serve(reader, writer, greeting)
        finally:
            writer.close()

    host, _, port = switch.agi.partition(":")
    server = await asyncio.start_server(connected, host, int(port))
    async with server:
        yield


def environment(greeting: str) -> dict[str, str]:
    rows = (row.partition(": ") for row in greeting.splitlines())
    return {name: value for name, _, value in rows}


async def command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> str:
    writer.write(text.encode() + b"\n")
    return (await reader.readline()).decode().strip()


# ---------------------------------------------------------------- the switch itself


def test_it_boots_without_a_complaint_and_with_every_module(switch: Switch) -> None:
    log = (switch.directory / "log/messages.log").read_text()
    assert [row for row in log.splitlines() if " ERROR[" in row or " WARNING[" in row] == []
    wanted = {
        row.partition("=")[2].strip()
        for row in (ROOT / "asterisk/standalone/modules.conf").read_text().splitlines()
        if row.startswith("load")
    }
    modules = [row.split() for row in switch.cli("module show").splitlines()]
    running = {row[0] for row in modules if "Running" in row and "Not" not in row}
    assert wanted - running == set()
    assert {name for name in running if name.endswith(".so")} == wanted


def sockets(pid: int) -> list[tuple[str, str, int]]:
    """What a process has bound: table, address as the kernel writes it, and port."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = row.split()
            address, _, port = words[1].partition(":")
            if words[9] in own:
                found.append((table, address, int(port, 16)))
    return found


async def test_it_listens_on_loopback_only(switch: Switch, phone: Phone) -> None:
    call = await dial(phone, switch, "1001")
    await call.answered(3)
    ports = switch.ports
    voice = range(ports.rtp_first, ports.rtp_last + 1)
    bound = sockets(switch.pid)
    await call.hang_up()
    # PJSIP asks name servers from a UDP port of its own, on which it serves nobody
    serving = [s for s in bound if s[0].startswith("tcp") or s[2] in (ports.sip, *voice)]
    assert {address for _, address, _ in serving} == {"0100007F"}
    assert ("tcp", "0100007F", ports.manager) in serving
    assert ("udp", "0100007F", ports.sip) in serving
    assert any(port in voice for _, _, port in serving)


def test_the_password_is_for_our_eyes_only(switch: Switch) -> None:
    file = switch.directory / "etc/manager.conf"
    assert file.stat().st_mode & 0o077 == 0
    assert f"secret = {switch.secret}" in file.read_text()


def test_a_port_in_use_is_named(tmp_path: Path, switch: Switch) -> None:
    other = a_switch(tmp_path / "other")
    other.ports = Ports(switch.ports.sip, other.ports.manager, 21000, 21099)
    other.configure()
    with pytest.raises(SwitchError, match=rf"port {switch.ports.sip} .* SIP"):
        other.start()
    assert not other.running


def test_a_second_one_in_the_same_folder_is_refused(switch: Switch) -> None:
    again = Switch(switch.directory, ROOT, ports=switch.ports)
    assert again.running
    with pytest.raises(SwitchError, match="another process runs an Asterisk"):
        again.start()
    assert switch.running


def test_one_left_over_from_a_process_that_died_is_replaced(tmp_path: Path) -> None:
    ports = a_switch(tmp_path).ports
    start = (
        "import os; from pathlib import Path; from ivr.switch import Ports, Switch;"
        f"own = Switch(Path({str(tmp_path)!r}), Path({str(ROOT)!r}), ports={ports});"
        "own.configure(); own.start(); print(own.pid, flush=True); os.abort()"
    )
    died = subprocess.run([sys.executable, "-c", start], capture_output=True, cwd=ROOT, check=False)
    heir = Switch(tmp_path, ROOT, ports=ports)
    assert heir.pid == int(died.stdout)
    heir.start()
    try:
        assert heir.pid != int(died.stdout)
    finally:
        heir.stop()
    assert not heir.running


def test_a_folder_whose_name_is_too_long_for_a_socket_will_do(tmp_path: Path) -> None:
    deep = a_switch(tmp_path / ("a" * 60) / ("b" * 60))
    deep.configure()
    deep.start()
    try:
        assert "uptime" in deep.cli("core show uptime").lower()
    finally:
        deep.stop()


def test_a_reload_brings_a_new_line_and_keeps_the_others(switch: Switch) -> None:
    assert "no existence" in switch.cli("dialplan show sansheng-line-annex")
    switch.reload([*LINES, line("annex", "1009")])
    assert "Set(SANSHENG_LINE=annex)" in switch.cli("dialplan show sansheng-line-annex")
    contexts = ("call", "after", "fallback", "collect", "line-office", "line-counter")
    for context in contexts:
        assert f"Context 'sansheng-{context}'" in switch.cli(f"dialplan show sansheng-{context}")
    switch.reload(LINES)
    assert "no existence" in switch.cli("dialplan show sansheng-line-annex")


# ---------------------------------------------------------------- the service is there


async def test_the_service_learns_the_number_and_when_the_call_began(
    switch: Switch, phone: Phone
) -> None:
    greetings: list[str] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        greetings.append(greeting)
        await command(r, w, "ANSWER")
        await command(r, w, "SET VARIABLE SANSHENG_DONE 1")

    async with service(switch, serve):
        rang = time.time()
        call = await dial(phone, switch, "+8610#1001")
        await call.ended(10)
    asked = environment(greetings[0])
    assert asked["agi_request"].endswith("/call")
    assert asked["agi_arg_1"] == "+8610#1001"
    assert float(asked["agi_arg_2"]) == pytest.approx(rang, abs=0.1)
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


async def test_the_service_is_rung_up_to_collect_what_was_left(
    switch: Switch, left: Callable[[], dict[str, dict[str, str]]]
) -> None:
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
        await eventually(lambda: "0 active channels" in switch.cli("core show channels count"))
    assert answers == [
        "200 result=1 (one,two)",
        "200 result=1 (first-2.0)",
        "200 result=0",  # of DELTREE: taken away
        "200 result=1 (one)",
    ]


# ---------------------------------------------------------------- the service is not there

Left = Callable[[], dict[str, dict[str, str]]]


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
    assert int(entry["ended"]) - int(entry["began"]) in (2, 3)
    recording = switch.spool / f"{name}.wav"
    (pressed,) = (when for when, what in call.marks if what == "press #")
    spoken = pressed - first(call, 1000) - BEEP
    assert length(recording) == pytest.approx(spoken, abs=0.4)  # the key itself is cut off


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
    await eventually(lambda: "0 active channels" in switch.cli("core show channels count"))
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


# ---------------------------------------------------------------- the manager account

Ask = Callable[..., Awaitable[Mapping[str, str]]]


@asynccontextmanager
async def manager(
    switch: Switch, events: list[Mapping[str, str]] | None = None
) -> AsyncIterator[Ask]:
    """The service's manager account: `await ask("Ping")` gives the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", switch.ports.manager)
    assert (await reader.readline()).startswith(b"Asterisk Call Manager/")
    replies: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async def listen() -> None:
        while block := await reader.readuntil(b"\r\n\r\n"):
            rows = (row.partition(": ") for row in block.decode().splitlines() if row)
            message = {key: value for key, _, value in rows}
            if "Event" not in message:
                replies.put_nowait(message)
            elif events is not None:
                events.append(message)

    listener = asyncio.create_task(listen())

    async def ask(action: str, **headers: str) -> Mapping[str, str]:
        rows = {"Action": action, **headers}
        writer.write("".join(f"{k}: {v}\r\n" for k, v in rows.items()).encode() + b"\r\n")
        return await asyncio.wait_for(replies.get(), 5)

    try:
        answer = await ask("Login", Username=switch.user, Secret=switch.secret)
        assert answer["Response"] == "Success"
        yield ask
    finally:
        listener.cancel()
        writer.close()


async def test_the_account_hears_what_it_needs_and_nothing_else(
    switch: Switch, phone: Phone
) -> None:
    events: list[Mapping[str, str]] = []
    woken: list[str] = []

    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter, greeting: str) -> None:
        await command(r, w, "ANSWER")
        await command(r, w, 'SET VARIABLE TALK_DETECT(set) "160,256"')
        woken.append(await command(r, w, "WAIT FOR DIGIT 10000"))
        await command(r, w, "SET VARIABLE SANSHENG_DONE 1")

    def seen(name: str) -> list[Mapping[str, str]]:
        return [event for event in events if event["Event"] == name]

    async with manager(switch, events) as ask, service(switch, serve):
        call = await dial(phone, switch, "1001")
        await call.answered(3)
        await call.speak(0.6).done()
        await eventually(lambda: bool(seen("ChannelTalkingStop")))
        assert seen("ChannelTalkingStart")
        channel = seen("ChannelTalkingStart")[0]["Channel"]
        answer = await ask("PlayDTMF", Channel=channel, Digit="D", Duration="20", Receive="true")
        assert answer["Response"] == "Success"
        await call.ended(5)
        answer = await ask(
            "Originate",
            Channel="PJSIP/8001",
            Context="sansheng-collect",
            Exten="wait",
            Priority="1",
            Timeout="200",
            Async="true",
        )
        assert answer["Response"] == "Success"
        await eventually(lambda: bool(seen("OriginateResponse")))
    assert woken == ["200 result=68"]
    assert seen("Hangup")
    assert {event["Event"] for event in events} <= {
        "ChannelTalkingStart",
        "ChannelTalkingStop",
        "Hangup",
        "OriginateResponse",
        "DialBegin",
        "DialEnd",
        "DialState",
        "PeerStatus",
        "ContactStatus",
        "FullyBooted",
    }


@pytest.mark.parametrize(
    ("action", "headers"),
    [
        ("Command", {"Command": "core show channels"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("UpdateConfig", {"SrcFilename": "a.conf", "DstFilename": "a.conf"}),
        ("Originate", {"Channel": "Local/s@x", "Application": "System", "Data": "id"}),
        ("ModuleLoad", {"LoadType": "reload"}),
        ("DBPut", {"Family": "sansheng", "Key": "a", "Val": "b"}),
    ],
)
async def test_the_account_may_do_nothing_else(
    switch: Switch, action: str, headers: dict[str, str]
) -> None:
    async with manager(switch) as ask:
        answer = await ask(action, **headers)
    assert answer["Response"] == "Error"
