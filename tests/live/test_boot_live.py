"""An Asterisk of our own: it boots whole and without a complaint, listens on loopback only, takes
nobody's port or folder, and reads its lines again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from toned import LINES, a_switch, dial, line

from ivr.phone import Phone
from ivr.switch import Ports, Switch, SwitchError

pytestmark = pytest.mark.live


def test_it_boots_without_a_complaint_and_with_every_module(
    booted: tuple[Switch, str],
) -> None:
    switch, log = booted
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
