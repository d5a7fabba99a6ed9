"""The command line: fixed names, options in any place, JSON for programs, sentences for people."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journalled import entries
from migrated import new
from rich.cells import cell_len
from typed import Sansheng, on

from ivr import cli
from ivr.actions import Say
from ivr.clock import SystemClock
from ivr.events import HungUp, Key, Offered
from ivr.hotlines import Hotlines
from ivr.journal import Entry
from ivr.journal_writer import Writer
from ivr.rehearsal import rehearse
from ivr.scenario_file import read
from ivr.store import Call, Message, Version

FIXED = {
    "serve",
    "lines",
    "prompts",
    "calls",
    "journal",
    "messages",
    "simulate",
    "check",
    "draw",
    "replay",
    "doctor",
    "live",
    "hangup",
    "dialplan",
    "install-sounds",
    "maintenance",
    "run",
    "call",
}
"""Names that other tools rely on."""

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALLER, CONTACT = "13800138000", "13911112222"


@pytest.fixture
def database(tmp_path: Path, lines: Hotlines) -> str:
    """A database that holds one call, journalled by the machine itself, and one message."""
    one = read(Path(__file__).parents[1] / "scenarios/xjca-agent-does-not-come-back.yaml")
    message = Message("m1", "call", "c1#1", "xjca", "message", NOON, "c1", CALLER, CONTACT)
    return kept(tmp_path / "x.db", lines, "xjca", entries(rehearse(one, lines)), message)


def kept(path: Path, lines: Hotlines, line: str, journal: list[Entry], *more: Message) -> str:
    """A new database with this call of the line, as a service writes it; its address."""
    store = new(path)
    writer = Writer(store, clock=SystemClock())
    version, name = lines.lines[line].version, journal[0].call_id
    writer.append(Version(version, line, lines.bodies[line], NOON))
    writer.append(Call(name, "fake", "1", line, "1001", CALLER, NOON, version))
    for row in (*journal, *more):
        writer.append(row)
    writer.close()
    store.close()
    return on(path)[1]


def test_every_fixed_name_is_a_command() -> None:
    names = {
        one.name or (one.callback.__name__ if one.callback else "")
        for one in cli.app.registered_commands
    }
    assert names >= FIXED


def test_options_of_every_command_may_stand_before_or_after() -> None:
    assert cli.hoisted(["calls", "--json", "--database", "sqlite://", "--root=/x"]) == [
        "--database", "sqlite://", "--root=/x", "calls", "--json",
    ]  # fmt: skip
    assert cli.hoisted(["--root", "/x", "lines"]) == ["--root", "/x", "lines"]
    assert cli.hoisted(["journal", "--", "--root"]) == ["journal", "--", "--root"]


def test_lines_are_json_for_a_program(sansheng: Sansheng, root: Path) -> None:
    code, out, _ = sansheng("lines", "--json", "--root", root)
    numbers = {row["line"]: row["numbers"] for row in json.loads(out)}
    assert code == 0
    assert numbers["ems"] == ["11185"]
    assert "1001" in numbers["xjca"]


def test_prompts_name_the_file_that_asterisk_plays(
    sansheng: Sansheng, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANSHENG_SOUNDS", "/srv/sounds")
    _, out, _ = sansheng("prompts", "--json", "--root", root)
    rows: dict[str, dict[str, Any]] = {row["id"]: row for row in json.loads(out)}
    opening = rows["ems.opening"]
    assert opening["file"] == "/srv/sounds/zh/ems/ems.opening"
    assert (opening["hotline"], opening["language"]) == ("ems", "zh")
    assert opening["text"].startswith("您好")


def test_calls_mask_numbers_everywhere(sansheng: Sansheng, root: Path, database: str) -> None:
    for words in (["calls", "--json"], ["calls"], ["journal", "c1", "--json"], ["messages"]):
        code, out, _ = sansheng(*words, "--root", root, "--database", database)
        assert code == 0
        assert "13800138000" not in out
        assert "13911112222" not in out


def test_messages_give_the_whole_number_to_a_program(
    sansheng: Sansheng, root: Path, database: str
) -> None:
    _, out, _ = sansheng("messages", "--json", "--root", root, "--database", database)
    (row,) = json.loads(out)
    assert (row["contact"], row["caller"]) == ("13911112222", "13800138000")


def test_the_journal_lists_events_and_actions_in_order(
    sansheng: Sansheng, root: Path, database: str
) -> None:
    _, out, _ = sansheng("journal", "c1", "--json", "--root", root, "--database", database)
    rows = json.loads(out)
    assert rows[0]["name"] == Offered.__name__
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert Say.__name__ in {row["name"] for row in rows}


def test_a_replay_of_what_the_machine_did_is_the_same(
    sansheng: Sansheng, root: Path, database: str
) -> None:
    code, out, _ = sansheng("replay", "c1", "--root", root, "--database", database)
    assert (code, out.split(":")[0]) == (0, "the same")


def test_a_replay_with_another_key_is_told_and_fails(
    sansheng: Sansheng, root: Path, tmp_path: Path, lines: Hotlines
) -> None:
    happened = (Offered("11185"), Say(1, "menu"), Key("1"), HungUp())
    journal = [Entry("c2", seq, seq, what) for seq, what in enumerate(happened)]
    url = kept(tmp_path / "y.db", lines, "ems", journal)
    code, out, _ = sansheng("replay", "c2", "--root", root, "--database", url)
    assert code == 1
    assert "the journal says Say" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["journal", "nobody"], "there is no journal of a call nobody"),
        (["messages", "--state", "foo"], "there is no state 'foo': choose one of new, taken, done"),
        (
            ["messages", "--line", "nosuch"],
            "there is no line 'nosuch': choose one of ems, infodesk",
        ),
        (["calls", "--line", "xcja"], "there is no line 'xcja': did you mean 'xjca'?"),
        (["prompts", "--line", "nosuch"], "there is no line 'nosuch': choose one of ems"),
        (["maintenance", "on", "lakal"], "there is no line 'lakal': did you mean 'lakala'?"),
        (["calls", "--limit", "0"], "Invalid value for '--limit'"),
        (["replay", "nobody"], "there is no call nobody"),
        (["live"], "start a line with `make run`"),
        (["hangup", "c1"], "start a line with `make run`"),
        (["maintenance", "on"], "start a line with `make run`"),
        (["maintenance", "perhaps"], "neither on nor off"),
        (["draw", "nothing"], "there is no flow 'nothing'"),
        (["draw", "--line", "nobody"], "there is no line 'nobody'"),
        (["call", "nobody"], "there is no line 'nobody'"),
        (["call", "ems", "--server", "here"], "'here' is no address"),
        (["serve", "--agi", "here"], "'here' is no address"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_and_code_2(
    sansheng: Sansheng,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.setenv("SANSHENG_CONTROL", str(tmp_path / "none.sock"))
    new(tmp_path / "z.db").close()
    code, _, err = sansheng(*words, "--root", root, *on(tmp_path / "z.db"))
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_wrong_root_is_told(sansheng: Sansheng, tmp_path: Path) -> None:
    code, _, err = sansheng("lines", "--root", tmp_path)
    assert code == 2
    assert "give the data root with --root" in err


def test_a_bad_file_is_told_by_line(sansheng: Sansheng, root: Path, tmp_path: Path) -> None:
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    hold = tmp_path / "flows/hold.yaml"
    hold.write_text(hold.read_text().replace("initial: choosing", "inital: choosing"))
    code, _, err = sansheng("lines", "--root", tmp_path)
    assert code == 2
    assert "flows/hold.yaml:4 F102 the key 'inital' is unknown: did you mean 'initial'?" in err


def test_the_dialplan_is_printed_written_and_judged(
    sansheng: Sansheng, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, printed, _ = sansheng("dialplan", "--root", root)
    sansheng("dialplan", "--into", tmp_path / "sansheng.conf", "--root", root)
    assert (tmp_path / "sansheng.conf").read_text() == printed
    assert "exten => 11185,1,Set(SANSHENG_START=${CDR(start,u)})" in printed
    code, _, err = sansheng("dialplan", "--lint", "--root", root)
    assert (code, err) == (0, "the dialplan is clean\n")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    code, _, err = sansheng("dialplan", "--lint", "--root", root)
    assert code == 2
    assert err.endswith("asterisklint, which judges it, is not installed: make install\n")


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_dialplan_knows_the_way_out_of_emergency_calls(
    sansheng: Sansheng, root: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    _, printed, _ = sansheng("dialplan", "--root", root)
    assert "exten => 110," not in printed
    if by == "environment":
        monkeypatch.setenv("SANSHENG_CARRIER", "trunk")
    option = ["--carrier", "trunk"] if by == "option" else []
    _, printed, _ = sansheng("dialplan", "--root", root, *option)
    assert "Dial(PJSIP/110@trunk)" in printed


LOOKING_BACK = (
    ["calls"],
    ["journal", "c1"],
    ["replay", "c1"],
    ["messages"],
    ["tickets"],
    ["offenders"],
    ["agents"],
)


@pytest.mark.parametrize("words", LOOKING_BACK, ids=" ".join)
def test_looking_back_makes_no_database(
    sansheng: Sansheng, root: Path, tmp_path: Path, words: list[str]
) -> None:
    missing = tmp_path / "deep/wrong.db"
    code, out, err = sansheng(*words, "--root", root, *on(missing))
    assert (code, out) == (2, "")
    assert f"there is no database {missing}: give the right one with --database" in err
    assert "make run" in err
    assert not missing.parent.exists()


@pytest.mark.parametrize("words", LOOKING_BACK, ids=" ".join)
def test_somebody_elses_database_is_left_alone(
    sansheng: Sansheng, root: Path, tmp_path: Path, words: list[str]
) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE calls (id)")
    connection.close()
    code, _, err = sansheng(*words, "--root", root, *on(other))
    assert code == 2
    assert "is no database of a service" in err
    with sqlite3.connect(other) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("calls",)]
    connection.close()


def piped(root: Path, database: str, *words: str) -> str:
    """What a process of its own writes, which is told by its environment where things are."""
    where = {"SANSHENG_ROOT": str(root), "SANSHENG_DATABASE": database, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "ivr.cli", *words]
    return subprocess.run(command, env=where, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_the_environment_says_where_things_are(root: Path, database: str) -> None:
    told = piped(root, database, "calls", "--json")
    assert [row["call"] for row in json.loads(told)] == ["c1"]


@pytest.mark.parametrize("name", ["calls", "messages", "lines"])
def test_a_piped_table_fits_eighty_columns(root: Path, database: str, name: str) -> None:
    table = piped(root, database, name).splitlines()
    assert all(cell_len(line) <= 80 for line in table), table
    assert name != "calls" or "caller" in table[0]


def test_a_simulation_tells_each_thing_on_one_line(
    sansheng: Sansheng, root: Path, tmp_path: Path
) -> None:
    shipped = root / "tests/scenarios/ems-late.yaml"
    code, out, _ = sansheng("simulate", shipped, "--root", root)
    assert code == 0
    assert out.startswith("1 call, 0 wrong; ")
    assert out.count("\n") == 1
    deep = tmp_path / ("d" * 60) / shipped.name
    deep.parent.mkdir()
    deep.write_text(shipped.read_text().replace("ends: caller", "ends: us"))
    code, out, _ = sansheng("simulate", deep, "--root", root)
    assert code == 1
    complaint, total = out.splitlines()
    assert complaint.startswith(f"{deep}: ")
    assert total.startswith("1 call, 1 wrong; ")


def test_a_simulated_play_is_a_line_for_each_sentence(sansheng: Sansheng, root: Path) -> None:
    scenario = root / "tests/scenarios/ems-silent-throughout.yaml"
    _, out, _ = sansheng("simulate", scenario, "--script", "--root", root)
    *play, total = out.splitlines()
    assert all(re.match(r" *\d+\.\d\d  \S", line) for line in play[1:]), play
    assert any(cell_len(line) > 80 for line in play)
    assert total.startswith("1 call, ")


def test_a_cue_for_a_prompt_that_the_line_does_not_have_is_told_by_its_line(
    sansheng: Sansheng, root: Path, tmp_path: Path
) -> None:
    shipped = root / "tests/scenarios/ems-late.yaml"
    wrong = tmp_path / shipped.name
    wrong.write_text(shipped.read_text().replace("after: opening", "after: openings"))
    code, out, _ = sansheng("simulate", wrong, "--root", root)
    assert code == 1
    assert f"{wrong}:7 F908 the line has no prompt 'openings.late'" in out


def test_the_command_itself_loads_neither_the_service_nor_sound_libraries() -> None:
    loads = "import sys, ivr.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "ivr.cli" in loaded
    assert not loaded & {"ivr.driver", "ivr.server", "ivr.flow", "ivr.sound", "numpy", "asterisk"}
