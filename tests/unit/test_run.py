"""`sansheng run` where it cannot run: one clear sentence, early, and nothing is left running."""

from __future__ import annotations

import io
import os
import shutil
import socket
from pathlib import Path

import pytest
from rich.console import Console

from ivr import place
from ivr.obstacles import CannotRun
from ivr.run import Run, Wishes


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    """A data root of our own, without audio and without an Asterisk."""
    for name in ("flows", "prompts", "asterisk"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    return tmp_path


def free(kind: socket.SocketKind) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (socket.SOCK_DGRAM, "--sip-port"),
        (socket.SOCK_STREAM, "--agi-port"),
        (socket.SOCK_STREAM, "--manager-port"),
    ],
)
def test_a_port_in_use_is_named_with_its_option_before_anything_is_done(
    data: Path, kind: socket.SocketKind, option: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = int(taken.getsockname()[1])
        ports = {
            "--sip-port": free(socket.SOCK_DGRAM),
            "--agi-port": free(socket.SOCK_STREAM),
            "--manager-port": free(socket.SOCK_STREAM),
            option: port,
        }
        wishes = Wishes(
            data, place.database(data), ports["--sip-port"], ports["--agi-port"],
            ports["--manager-port"],
        )  # fmt: skip
        told = io.StringIO()
        with Run(wishes, Console(file=told)) as line, pytest.raises(CannotRun) as refused:
            line.start()
    assert f"port {port} on 127.0.0.1" in str(refused.value)
    assert str(refused.value).endswith(f"with {option}")
    assert not (data / "var/sounds").exists()


def test_a_line_leaves_another_process_note_alone(data: Path) -> None:
    theirs = place.Running(os.getppid(), 5060, 4573, 5038, "/x.sock")
    place.note(data, theirs)
    place.forget(data)
    assert place.running(data) == theirs


def test_a_note_of_a_process_that_is_gone_is_no_line(data: Path) -> None:
    place.note(data, place.Running(2**22 + 1, 5060, 4573, 5038, "/x.sock"))
    assert place.running(data) is None


def test_a_control_socket_with_too_long_a_path_moves(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "control.sock"
    assert len(os.fsencode(place.short(deep))) <= place.SOCKET_PATH
    assert place.short(deep) == place.short(deep)
    assert place.short(tmp_path / "c") == tmp_path / "c"
