"""Setting up an Asterisk, as far as it goes without one: the errors, the cache, the sounds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ivr import debian, tones
from ivr.program import installed
from ivr.switch import Switch, SwitchError, _lives

ROOT = Path(__file__).parents[2]
DEPENDS = """\
Package: asterisk
Version: 1:22.10.1
Depends: adduser, asterisk-config (= 1:22) | other, libc6 (>= 2.38), libxml2-16 (>= 2.14.1)
Description: x

Package: asterisk
Depends: liboldthing
"""
PLAN = """\
Reading package lists...
The following NEW packages will be installed:
'http://mirror/pool/libc6_2.43-7_amd64.deb' libc6_2.43-7_amd64.deb 1866392 SHA256:1
'http://mirror/pool/zlib1g_1%3a1.3_amd64.deb' zlib1g_1%3a1.3_amd64.deb 90912 SHA256:2
"""


def program(folder: Path, name: str, script: str) -> None:
    """A program of this name that does only this."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder programs are found in, and an empty home."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return programs


def debian_machine(programs: Path, apt: str) -> None:
    program(programs, "dpkg", "echo arm64")
    program(programs, "dpkg-deb", "exit 0")
    program(programs, "apt-get", apt)
    program(programs, "apt-cache", "exit 0")


def test_without_apt_the_sentence_says_what_to_do(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(debian.FetchError, match=r"apt-get and dpkg-deb .* install it with"):
        debian.fetch(tmp_path / "tree")


def test_without_a_debian_source_the_sentence_says_so(bare: Path, tmp_path: Path) -> None:
    debian_machine(bare, "exit 0")
    with pytest.raises(debian.FetchError, match="no Debian package source"):
        debian.fetch(tmp_path / "tree")


def test_without_a_network_the_sentence_asks_for_one(bare: Path, tmp_path: Path) -> None:
    debian_machine(bare, 'echo "E: Failed to fetch x  Could not resolve y" >&2; exit 100')
    with pytest.raises(debian.FetchError, match=r"is there a network\?.*apt-get said: E: Failed"):
        debian.fetch(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_without_room_the_sentence_says_how_much_is_wanted(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian_machine(bare, "exit 0")
    monkeypatch.setattr(debian, "ROOM", 10**18)
    with pytest.raises(debian.FetchError, match=r"MB free under .* make room"):
        debian.fetch(tmp_path / "tree")


def test_where_nothing_may_be_written_the_sentence_says_where(bare: Path, tmp_path: Path) -> None:
    debian_machine(bare, "exit 0")
    (tmp_path / "file").touch()
    with pytest.raises(debian.FetchError, match=r"could not be unpacked under .*file/tree"):
        debian.fetch(tmp_path / "file/tree")


def test_a_damaged_package_in_the_cache_is_not_used(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"whole").hexdigest()
    (tmp_path / "list").write_text(f"{digest}  one.deb\n")
    assert debian._kept(tmp_path) == []
    (tmp_path / "one.deb").write_bytes(b"whole")
    assert debian._kept(tmp_path) == [tmp_path / "one.deb"]
    (tmp_path / "one.deb").write_bytes(b"who")
    assert debian._kept(tmp_path) == []


def test_only_the_libraries_that_asterisk_itself_needs_are_asked_for() -> None:
    assert debian.libraries(DEPENDS) == ["libc6", "libxml2-16"]
    assert debian.planned(PLAN) == ["libc6", "zlib1g"]


def test_an_asterisk_too_old_is_not_used(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib/asterisk/modules").mkdir(parents=True)
    (tmp_path / "lib/asterisk/modules/res_agi.so").touch()
    (tmp_path / "share/asterisk/documentation").mkdir(parents=True)
    program(bare, "asterisk", "echo Asterisk 18.26.1")
    assert installed() is None
    program(bare, "asterisk", "echo Asterisk 20.9.3")
    found = installed()
    assert found is not None
    assert found.modules == tmp_path / "lib/asterisk/modules"
    program(bare, "asterisk", "echo Asterisk certified-20.7-cert3")
    assert installed() is not None


def test_before_anything_is_fetched_the_sentence_says_so(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "asterisk").symlink_to(ROOT / "asterisk")
    with pytest.raises(SwitchError, match="fetch it first"):
        Switch(tmp_path / "run", tmp_path).configure()


@pytest.mark.parametrize("values", [{"name": "a b"}, {"name": "a\n"}, {"secret": "a;b"}])
def test_a_name_or_password_that_says_more_is_refused(
    tmp_path: Path, values: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="may"):
        Switch(tmp_path, ROOT, **values).configure()


def test_what_does_not_run_is_not_running_and_can_be_stopped(tmp_path: Path) -> None:
    own = Switch(tmp_path, ROOT)
    assert not own.running
    own.stop()
    with pytest.raises(SwitchError, match="start it first"):
        _ = own.pid


def test_a_process_that_is_not_ours_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "asterisk.pid").write_text(f"{os.getpid()}\n")
    own = Switch(tmp_path, ROOT)
    assert not own.running
    own.stop()  # would end this test


def test_the_password_outlives_the_object_and_is_nobody_elses(tmp_path: Path) -> None:
    secret = Switch(tmp_path / "a", ROOT).secret
    assert Switch(tmp_path / "a", ROOT).secret == secret
    assert Switch(tmp_path / "b", ROOT).secret != secret
    assert len(secret) == 32
    assert (tmp_path / "a/secret").stat().st_mode & 0o777 == 0o600


def test_the_music_is_the_same_every_time_and_begins_where_it_ends() -> None:
    music = tones.music()
    assert np.array_equal(music, tones.music())
    assert len(music) == 48 * tones.RATE
    assert np.abs(music).max() < 0.3
    assert 20 * np.log10(np.sqrt((music**2).mean())) == pytest.approx(-25, abs=1)
    steps = np.abs(np.diff(np.concatenate([music, music[:1]])))
    assert steps[-1] <= steps.max()
    tenths = music.reshape(-1, tones.RATE // 10)
    assert np.sqrt((tenths**2).mean(axis=1)).min() > 0.005  # never silent: -46 dBFS


def test_a_tone_is_written_in_every_form_asterisk_can_send_as_it_is(tmp_path: Path) -> None:
    tones.write(tones.beep(), tmp_path, "beep")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "beep.alaw",
        "beep.ulaw",
        "beep.wav",
    ]
    sound, rate = soundfile.read(tmp_path / "beep.wav")
    assert rate == 8000
    assert sound.shape == (2000,)
    for coded in ("alaw", "ulaw"):
        assert (tmp_path / f"beep.{coded}").stat().st_size == 2000


def test_a_process_whose_first_thread_has_ended_lives_as_long_as_another() -> None:
    work = (
        "import ctypes, threading; threading.Thread(target=input).start();"
        "print('begun', flush=True); ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdin is not None
        one.stdout.readline()
        state = Path(f"/proc/{one.pid}/stat")
        late = time.monotonic() + 10
        while " Z " not in state.read_text():
            assert time.monotonic() < late
        assert _lives(one.pid)
        one.stdin.write("\n")
        one.stdin.flush()
        assert os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT) is not None
        assert not _lives(one.pid)
