"""Events that an Asterisk keeps from our manager account are found in its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivr import doctor
from ivr.doctor import Finding
from ivr.manager_account import NoAccount, NotWeighed, account, dropped, needed
from ivr.settings import settings_from

OLD = (
    "Event: (ChannelTalkingStart|ChannelTalkingStop|Hangup|OriginateResponse|"
    "DialBegin|DialEnd|DialState)"
)
"""As it stood in what we shipped before it was heard where agents' phones are."""


@pytest.fixture
def shipped(root: Path) -> str:
    return (root / "asterisk/manager.conf").read_text()


def keeps(folder: Path, text: str, *events: str, user: str = "sansheng") -> list[str]:
    (folder / "manager.conf").write_text(text)
    return dropped(account(folder, user), events)


def test_the_account_that_ships_hears_all_that_it_needs(tmp_path: Path, shipped: str) -> None:
    events = needed(shipped)
    assert {"Hangup", "PeerStatus", "FullyBooted"} <= set(events)
    assert keeps(tmp_path, shipped, *events) == []


def test_an_old_filter_keeps_from_us_where_phones_are(tmp_path: Path, shipped: str) -> None:
    new = next(row for row in shipped.splitlines() if row.startswith("eventfilter"))
    old = shipped.replace(new, f"eventfilter = {OLD}")
    away = keeps(tmp_path, old, *needed(shipped))
    assert away == ["PeerStatus", "ContactStatus", "FullyBooted"]


@pytest.mark.parametrize(
    ("filters", "away"),
    [
        ("", []),
        ("eventfilter = Event: Hangup", ["PeerStatus"]),
        ("eventfilter = Event: Hangup\neventfilter => Event: Peer.*", []),
        ("eventfilter = !Event: Hangup", ["Hangup"]),
        ("eventfilter = !Channel: Local", []),
        ("; eventfilter = Event: Hangup", []),
        ("eventfilter(name(Hangup)) =", ["PeerStatus"]),
        ("eventfilter(action(exclude),name(Hangup)) =", ["Hangup"]),
    ],
)
def test_filters_count_as_asterisk_counts_them(
    tmp_path: Path, filters: str, away: list[str]
) -> None:
    assert keeps(tmp_path, f"[sansheng]\n{filters}\n", "Hangup", "PeerStatus") == away


@pytest.mark.parametrize(
    "filters", ["eventfilter = (", "eventfilter(name(Hangup),header(Channel)) = x"]
)
def test_a_filter_that_cannot_be_weighed_is_not_judged(tmp_path: Path, filters: str) -> None:
    with pytest.raises(NotWeighed):
        keeps(tmp_path, f"[sansheng]\n{filters}\n", "Hangup")


def test_templates_additions_and_other_files_belong_to_an_account(tmp_path: Path) -> None:
    (tmp_path / "manager.d").mkdir()
    (tmp_path / "manager.d/more.conf").write_text("[sansheng](+)\neventfilter = Event: Peer\n")
    text = (
        "[general]\nenabled = yes\n[base](!)\neventfilter = Event: Hangup\n"
        '[sansheng](base)\nsecret = x\n#include "manager.d/*.conf"\n'
    )
    assert keeps(tmp_path, text, "Hangup", "PeerStatus", "DialEnd") == ["DialEnd"]
    with pytest.raises(NoAccount, match=r"there is no account \[other\] in .*manager\.conf"):
        keeps(tmp_path, text, user="other")


def test_a_file_that_includes_itself_is_read_to_an_end(tmp_path: Path) -> None:
    text = "[sansheng]\neventfilter = Event: Hangup\n#include manager.conf\n"
    assert keeps(tmp_path, text, "Hangup", "DialEnd") == ["DialEnd"]


@pytest.mark.parametrize(
    ("filters", "state", "told"),
    [
        (OLD, "note", "is not told of PeerStatus, ContactStatus, FullyBooted"),
        ("Event: (PeerStatus|ContactStatus)", "wrong", "is not told of ChannelTalkingStart"),
        ("Event: .*", "fine", "lets all 10 events through"),
        ("(", "note", "is not known"),
    ],
)
def test_the_doctor_names_them(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    filters: str,
    state: str,
    told: str,
) -> None:
    (tmp_path / "manager.conf").write_text(f"[sansheng]\neventfilter = {filters}\n")
    answers = {"core show settings": f"  Configuration directory:     {tmp_path}\n"}
    monkeypatch.setattr(doctor, "console", lambda root: lambda said: answers.get(said, ""))
    settings = settings_from(root, "sqlite://", "127.0.0.1:4573", "127.0.0.1:5038", 1, {})
    findings: dict[str, Finding] = {one.name: one for one in doctor._asterisk(root, settings)}
    finding = findings["eventfilter"]
    assert (finding.state, told in finding.what) == (state, True)
