"""One terminal at a time is an agent's phone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ivr import agent_phone, handset
from ivr.agent_phone import Wish
from ivr.terminal import CannotCall

SERVER = ("127.0.0.1", 9)


def test_a_second_terminal_is_told_who_has_the_phone(root: Path, tmp_path: Path) -> None:
    for name in ("flows", "prompts"):
        (tmp_path / name).symlink_to(root / name)
    wish = Wish(tmp_path, "801", "127.0.0.1:9")
    with (
        handset.held(tmp_path / "var/phones", "801", SERVER),
        pytest.raises(CannotCall, match="another terminal is the phone 801") as told,
    ):
        agent_phone.run(wish, Console(file=io.StringIO()))
    assert f"(process {os.getpid()})" in str(told.value)


def test_another_phone_and_the_same_at_another_switch_are_free(tmp_path: Path) -> None:
    with (
        handset.held(tmp_path, "801", SERVER),
        handset.held(tmp_path, "802", SERVER),
        handset.held(tmp_path, "801", ("127.0.0.1", 10)),
    ):
        pass
    with handset.held(tmp_path, "801", SERVER):
        pass


def test_where_that_cannot_be_seen_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(handset.InUse, match=r"cannot be seen: .*File exists"),
        handset.held(tmp_path / "file", "801", SERVER),
    ):
        pass


def test_a_terminal_that_was_killed_leaves_the_phone_free(tmp_path: Path) -> None:
    dies = (
        "import os, pathlib, sys; from ivr import handset\n"
        "with handset.held(pathlib.Path(sys.argv[1]), '801', ('127.0.0.1', 9)): os.abort()"
    )
    done = subprocess.run([sys.executable, "-c", dies, str(tmp_path)], check=False)
    assert done.returncode < 0
    assert list(tmp_path.iterdir())
    with handset.held(tmp_path, "801", SERVER):
        pass
