"""The doctor: what is wrong is found, and how to mend it is said."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from migrated import new

from ivr import doctor
from ivr.doctor import Finding, examine
from ivr.settings import Settings


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A data root without audio, to be broken."""
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    return tmp_path


def found(root: Path, **environment: str) -> dict[str, Finding]:
    """The last finding of each name."""
    own = {"SANSHENG_CONTROL": str(root / "c.sock"), **environment}
    findings = examine(root, f"sqlite:///{root / 'x.db'}", own)
    return {finding.name: finding for finding in findings}


def test_a_bare_root_has_no_audio_and_no_service(copy: Path) -> None:
    findings = found(copy)
    assert findings["flows and texts"].state == "fine"
    assert findings["prompts"].state == "wrong"
    assert "make prompts" in findings["prompts"].fix
    assert findings["spool"].state == "fine"


def test_where_no_database_is_yet_none_is_made(copy: Path) -> None:
    finding = found(copy)["database"]
    assert finding.state == "note"
    assert f"there is no database {copy / 'x.db'}" in finding.what
    assert "make run" in finding.fix
    assert not (copy / "x.db").exists()
    new(copy / "x.db").close()
    assert found(copy)["database"].state == "fine"


def test_a_mistake_in_a_flow_is_named(copy: Path) -> None:
    hold = copy / "flows/hold.yaml"
    hold.write_text(hold.read_text().replace("dest: declined", "dest: refused"))
    finding = found(copy)["flows and texts"]
    assert finding.state == "wrong"
    assert finding.what.startswith("flows/hold.yaml:")


def test_a_database_that_makes_no_sense_is_named(copy: Path) -> None:
    findings = examine(copy, "oracle://x", {"SANSHENG_CONTROL": str(copy / "c.sock")})
    assert {f.name: f.state for f in findings}["database"] == "wrong"


def test_a_spool_that_is_a_file_is_named(copy: Path) -> None:
    spool = copy / "spool"
    spool.write_text("no folder")
    finding = found(copy, SANSHENG_SPOOL=str(spool))["spool"]
    assert finding.state == "wrong"
    assert str(spool) in finding.what


def test_a_service_that_only_listens_is_doubted(copy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = doctor.settings_from(
            copy, "sqlite://", f"127.0.0.1:{listener.getsockname()[1]}", "none", 1, {}
        )
        (finding,) = doctor._service(copy, settings)
    assert finding.state == "note"
    assert "another program" in finding.fix


def test_lines_that_can_call_nobody_back_are_named(copy: Path) -> None:
    def settings(**environment: str) -> Settings:
        return doctor.settings_from(copy, "sqlite://", "127.0.0.1:1", "none", 1, environment)

    (finding,) = doctor._callbacks(copy, settings())
    assert finding.state == "note"
    assert "nobody is called back by ems, infodesk, lakala, xjca" in finding.what
    assert "SANSHENG_CARRIER" in finding.fix
    (finding,) = doctor._callbacks(copy, settings(SANSHENG_CARRIER="trunk"))
    assert finding.state == "fine"


def test_nobody_at_the_service_port_is_wrong(copy: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it either
        agi = f"127.0.0.1:{taken.getsockname()[1]}"
        (finding,) = doctor._service(
            copy, doctor.settings_from(copy, "sqlite://", agi, "none", 1, {})
        )
    assert finding.state == "wrong"
    assert "make run" in finding.fix


def test_where_no_asterisk_runs_the_advice_is_to_start_one(copy: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it either
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = doctor.settings_from(copy, "sqlite://", "127.0.0.1:4573", at, 1, {})
        (finding,) = doctor._manager(settings)
    assert "nobody listens" in finding.what
    assert "make run" in finding.fix
    assert "password" not in finding.fix


@contextlib.contextmanager
def manager(answer: Callable[[str, str], str]) -> Iterator[str]:
    """A manager that answers an action and its ActionID so; its address."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        listener.settimeout(0.1)
        while not done.is_set():
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(2)
                    peer.sendall(b"Asterisk Call Manager/11.0.0\r\n")
                    while action := peer.recv(4096).decode():
                        name = action.partition("Action: ")[2].partition("\r\n")[0]
                        number = action.partition("ActionID: ")[2].partition("\r\n")[0]
                        peer.sendall(answer(name, number).encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            serving.join()


@pytest.mark.parametrize("hears", [True, False])
def test_an_account_that_hears_of_no_phone_is_named(copy: Path, hears: bool) -> None:
    def answer(name: str, number: str) -> str:
        said = f"Response: Success\r\nActionID: {number}\r\nChallenge: 1\r\n\r\n"
        booted = "Event: FullyBooted\r\nPrivilege: system,all\r\n\r\n"
        return said + booted if hears and name.lower() == "login" else said

    with manager(answer) as at:
        settings = doctor.settings_from(copy, "sqlite://", "127.0.0.1:4573", at, 1, {})
        findings = {finding.name: finding for finding in doctor._manager(settings)}
    finding = findings["agents' phones"]
    assert finding.state == ("fine" if hears else "note")
    assert ("read = call,system" in finding.fix) is not hears
    assert findings["manager (AMI)"].state == "fine"


def test_a_manager_that_refuses_us_wants_a_password(copy: Path) -> None:
    def refuse(name: str, number: str) -> str:
        answer = f"Response: Error\r\nActionID: {number}\r\n"
        return f"{answer}Message: Authentication failed\r\n\r\n"

    with manager(refuse) as at:
        settings = doctor.settings_from(copy, "sqlite://", "127.0.0.1:4573", at, 1, {})
        (finding,) = doctor._manager(settings)
    assert "Authentication failed" in finding.what
    assert "password" in finding.fix


def test_a_finding_shows_its_mending() -> None:
    finding = Finding("x", "wrong", "it is broken", "mend it")
    assert "✗" in finding.sentence()
    assert finding.sentence().endswith("→ mend it")
    assert finding.row() == {
        "name": "x",
        "state": "wrong",
        "what": "it is broken",
        "fix": "mend it",
    }


def test_heads_that_cannot_be_written_down_are_told_before_a_ticket_needs_it(copy: Path) -> None:
    assert found(copy)["heads of tickets"].state == "fine"
    assert not (copy / "x.db.heads").exists()
    (copy / "x.db.heads").mkdir()
    finding = found(copy)["heads of tickets"]
    assert (finding.state, str(copy / "x.db.heads") in finding.what) == ("wrong", True)
    (copy / "file").touch()
    finding = found(copy, SANSHENG_TICKET_HEADS=str(copy / "file"))["heads of tickets"]
    assert (finding.state, "SANSHENG_TICKET_HEADS" in finding.fix) == ("wrong", True)
