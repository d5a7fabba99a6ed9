"""Fetching a real Asterisk: once for everybody, and without a network the second time."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from ivr import debian

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("apt-get"), reason="only Debian's packages are fetched"),
]


def test_a_second_clone_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian.fetch(tmp_path / "first")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    said: list[str] = []
    debian.fetch(tmp_path / "second", said.append)
    assert said == [f"unpacking Asterisk into {tmp_path}/second"]
    for clone in ("first", "second"):
        assert (tmp_path / clone / "usr/sbin/asterisk").exists()
    debian.fetch(tmp_path / "second", said.append)
    assert len(said) == 1


def test_of_two_that_fetch_at_once_one_works_and_one_waits(tmp_path: Path) -> None:
    debian.fetch(tmp_path / "before")  # fills the cache
    said: list[str] = []
    both = [
        threading.Thread(target=debian.fetch, args=(tmp_path / "tree", said.append))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sum(sentence.startswith("unpacking") for sentence in said) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "before",
        "before.lock",
        "tree",
        "tree.lock",
    ]
