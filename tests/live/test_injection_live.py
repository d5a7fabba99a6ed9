"""Hostile values through a real Asterisk and back: byte for byte, and never obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moments import eventually
from places import ROOT
from switches import a_switch, started
from toned import entries

from ivr.agi import Session, UnsafeArgument
from ivr.clock import SystemClock
from ivr.dialplan import Line
from ivr.phone import Phone
from ivr.switch import Switch

pytestmark = pytest.mark.live

HOSTILE = [
    '"',
    '""',
    'a"b',
    '"; SYSTEM id',
    "\\",
    "\\\\",
    '\\"',
    "ends in \\",
    "${SYSTEM(id)}",
    "${SHELL(id)}",
    "${EXTEN}",
    "$[1+1]",
    "$(id)",
    "`id`",
    "a,b,c",
    "a&b",
    "a|b",
    "a;b",
    "a^b",
    "(a)",
    ")",
    "(",
    "[a]",
    "{a}",
    "hangup",
    "-1",
    "200 result=0",
    "HANGUP",
    "510 Invalid or unknown command",
    "result=1 (x)",
    "%0a",
    "%0aHANGUP",
    "%00",
    "\\n",
    "\\x0aHANGUP",
    "&lt;x&gt;",
    "<sip:x@y>",
    "'; DROP TABLE calls; --",
    "../../../etc/passwd",
    "/dev/null",
    "C:\\x",
    " ",
    "  leading",
    "trailing  ",
    "\t",
    "a\tb",
    "\x01\x02\x1b[31m",
    "\x7f",
    "\x85\u2028\u2029",
    "王女士",
    "＋８６",
    "😀",
    "e\u0301",
    "\u202eevil",
    "\ufeff",
    b"\xff\xfe".decode("utf-8", "surrogateescape"),
    b"\xc3".decode("utf-8", "surrogateescape"),
    b"a\xe4\xb8".decode("utf-8", "surrogateescape"),
    "x" * 900,
    "王" * 300,
]
"""Values that mean something to a shell, a dialplan, a manager, SIP, SQL, a path or AGI itself."""

UNSAYABLE = ["a\nHANGUP", "a\rb", "\n", "\0", "a\0b", "x" * 9000]
"""AGI cannot carry these at all."""

Serve = Callable[[Session], object]


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    office = Line("office", ("1001",), *(f"zh/office/{n}" for n in "abcd"))
    folder = tmp_path_factory.mktemp("switch")
    own = started(lambda: a_switch(folder, "injection", lines=[office]))
    yield own
    own.stop()


async def one_call(
    switch: Switch, phone: Phone, serve: Serve, caller: str = "13800138000", display: str = ""
) -> None:
    """A call whose AGI session is served by us; raises what that raised."""
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    done: asyncio.Future[None] = loop.create_future()

    async def script(session: Session) -> None:
        try:
            await serve(session)  # type: ignore[misc]
            await session.command("SET VARIABLE", "SANSHENG_DONE", "1")
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        finally:
            session.close()

    tasks = []
    host, _, port = switch.agi.partition(":")
    server = await loop.create_server(
        lambda: Session(lambda one: tasks.append(asyncio.create_task(script(one))), clock=clock),
        host,
        int(port),
    )
    async with server:
        call = await phone.dial("1001", ("127.0.0.1", switch.ports.sip), caller, display)
        async with asyncio.timeout(60):
            await done
            await call.hang_up()
    await asyncio.gather(*tasks)
    clock.close()


async def test_values_go_through_asterisk_and_back_byte_for_byte(
    switch: Switch, phone: Phone
) -> None:
    """By SET VARIABLE and GET VARIABLE, and by DATABASE PUT and GET, as we send all of them."""
    back: dict[str, tuple[str | None, str | None]] = {}

    async def serve(session: Session) -> None:
        for value in HOSTILE:
            await session.command("SET VARIABLE", "CARRIED", value)
            carried = await session.command("GET VARIABLE", "CARRIED")
            await session.command("DATABASE PUT", "carried", "value", value)
            kept = await session.command("DATABASE GET", "carried", "value")
            back[value] = (carried.data, kept.data)
        for value in UNSAYABLE:
            with pytest.raises(UnsafeArgument):
                await session.command("SET VARIABLE", "CARRIED", value)
        # and the session still agrees on which reply is whose
        await session.command("SET VARIABLE", "CARRIED", "sound")
        assert (await session.command("GET VARIABLE", "CARRIED")).data == "sound"
        assert await session.alive()

    await one_call(switch, phone, serve)
    assert {v: b for v, b in back.items() if b != (v, v)} == {}


@pytest.mark.parametrize(
    "value",
    [
        "${SHELL(touch PWNED)}",
        "$(touch PWNED)",
        "`touch PWNED`",
        '"; System(touch PWNED)',
        "a\\",
        "\\\\\\",
        "a,b&c|d",
        "1);System(touch PWNED",
        "王女士",
        "x" * 200,
        "%0d%0aHANGUP",
        "138'--",
        "<b>&\"'",
    ],
)
async def test_what_the_caller_calls_himself_stays_a_value(
    switch: Switch, phone: Phone, value: str, tmp_path: Path
) -> None:
    """Number and name of the caller, through SIP into the handshake, and by GET VARIABLE."""
    seen: dict[str, str | None] = {}

    async def serve(session: Session) -> None:
        seen["number"] = session.environment["callerid"]
        seen["arguments"] = "|".join(session.arguments[:1])
        for name in ("CALLERID(num)", "CALLERID(name)"):
            reply = await session.command("GET VARIABLE", name)
            seen[name] = reply.data
            # what we say back to Asterisk is a value again
            await session.command("SET VARIABLE", "CARRIED", reply.data or "")
            carried = await session.command("GET VARIABLE", "CARRIED")
            assert (carried.data or "") == (reply.data or "")

    await one_call(switch, phone, serve, value, value)
    assert seen["arguments"] == "1001"
    assert seen["CALLERID(num)"] == seen["number"]
    assert seen["number"]
    everywhere = [p for p in (ROOT, switch.directory, Path.cwd()) if (p / "PWNED").exists()]
    assert everywhere == []
    assert "PWNED" not in {p.name for p in switch.directory.rglob("*")}


@pytest.mark.parametrize("caller", HOSTILE[:48:3])
async def test_the_fallback_takes_a_hostile_caller_for_a_number_or_nobody(
    switch: Switch, phone: Phone, caller: str
) -> None:
    """The service is not there; the dialplan alone deals with the value."""
    switch.cli("database deltree sansheng/fallback")
    call = await phone.dial("1001", ("127.0.0.1", switch.ports.sip), caller, caller)
    await call.answered(5)
    rows = await eventually(lambda: _kept(switch))
    await asyncio.sleep(0.6)
    await call.hang_up()
    ((name, entry),) = rows.items()
    assert set(name) <= set("0123456789-")
    assert set(entry.get("caller", "")) <= set("0123456789*#+")
    assert entry["number"] == "1001"
    assert entry["hotline"] == "office"


def _kept(switch: Switch) -> dict[str, dict[str, str]]:
    return {name: entry for name, entry in entries(switch).items() if "began" in entry}
