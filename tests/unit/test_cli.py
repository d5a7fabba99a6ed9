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
from migrated import new
from rich.cells import cell_len

from ivr import cli
from ivr.actions import Say
from ivr.events import HungUp, Key, Offered
from ivr.hotlines import Hotlines
from ivr.journal import Entry
from ivr.rehearsal import offered
from ivr.scenario_file import read
from ivr.simulate import run
from ivr.store import Call, Message, Version, write_rows

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


def sansheng(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run a command; its exit code, standard output and standard error."""
    capsys.readouterr()
    code = 0
    try:
        cli.main([str(word) for word in words])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def database(tmp_path: Path, lines: Hotlines) -> str:
    """A database that holds one call, journalled by the machine itself, and one message."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    store = new(tmp_path / "x.db")
    one = read(Path(__file__).parents[1] / "scenarios/xjca-agent-does-not-come-back.yaml")
    line = lines.lines["xjca"]
    outcome = run(
        one, line, lambda prompt, slots: lines.library.seconds("xjca", prompt, slots),
        offered(one, lines),
    )  # fmt: skip
    at = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    with store.write() as connection:
        body = lines.bodies["xjca"]
        write_rows(connection, Version, [Version(line.version, "xjca", body, at)])
        call = Call("c1", "fake", "1", "xjca", "1001", "13800138000", at, line.version)
        write_rows(connection, Call, [call])
        message = Message(
            "m1", "call", "c1#1", "xjca", "message", at, "c1", "13800138000", "13911112222"
        )
        write_rows(connection, Message, [message])
    with store.write() as connection:
        from ivr.codec import encode
        from ivr.tables import journal

        rows = [
            Entry("c1", seq, round(moment.at * 1000), moment.what)
            for seq, moment in enumerate(outcome.moments)
        ]
        connection.execute(
            journal.insert(),
            [
                {
                    "call_id": "c1", "seq": row.seq, "at_ms": row.at_ms, "side": row.side,
                    "name": row.name, "data": encode(row.what),
                }
                for row in rows
            ],
        )  # fmt: skip
    store.close()
    return url


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


def test_lines_are_json_for_a_program(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    code, out, _ = sansheng(capsys, "lines", "--json", "--root", root)
    numbers = {row["line"]: row["numbers"] for row in json.loads(out)}
    assert code == 0
    assert numbers["ems"] == ["11185"]
    assert "1001" in numbers["xjca"]


def test_prompts_name_the_file_that_asterisk_plays(
    capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANSHENG_SOUNDS", "/srv/sounds")
    _, out, _ = sansheng(capsys, "prompts", "--json", "--root", root)
    rows: dict[str, dict[str, Any]] = {row["id"]: row for row in json.loads(out)}
    opening = rows["ems.opening"]
    assert opening["file"] == "/srv/sounds/zh/ems/ems.opening"
    assert (opening["hotline"], opening["language"]) == ("ems", "zh")
    assert opening["text"].startswith("您好")


def test_calls_mask_numbers_everywhere(
    capsys: pytest.CaptureFixture[str], root: Path, database: str
) -> None:
    for words in (["calls", "--json"], ["calls"], ["journal", "c1", "--json"], ["messages"]):
        code, out, _ = sansheng(capsys, *words, "--root", root, "--database", database)
        assert code == 0
        assert "13800138000" not in out
        assert "13911112222" not in out


def test_messages_give_the_whole_number_to_a_program(
    capsys: pytest.CaptureFixture[str], root: Path, database: str
) -> None:
    _, out, _ = sansheng(capsys, "messages", "--json", "--root", root, "--database", database)
    (row,) = json.loads(out)
    assert (row["contact"], row["caller"]) == ("13911112222", "13800138000")


def test_the_journal_lists_events_and_actions_in_order(
    capsys: pytest.CaptureFixture[str], root: Path, database: str
) -> None:
    _, out, _ = sansheng(capsys, "journal", "c1", "--json", "--root", root, "--database", database)
    rows = json.loads(out)
    assert rows[0]["name"] == Offered.__name__
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert Say.__name__ in {row["name"] for row in rows}


def test_a_replay_of_what_the_machine_did_is_the_same(
    capsys: pytest.CaptureFixture[str], root: Path, database: str
) -> None:
    code, out, _ = sansheng(capsys, "replay", "c1", "--root", root, "--database", database)
    assert (code, out.split(":")[0]) == (0, "the same")


def test_a_replay_with_another_key_is_told_and_fails(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, lines: Hotlines
) -> None:
    from ivr.codec import encode
    from ivr.tables import journal

    url = f"sqlite:///{tmp_path / 'y.db'}"
    store = new(tmp_path / "y.db")
    line, at = lines.lines["ems"], datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    with store.write() as connection:
        write_rows(connection, Version, [Version(line.version, "ems", lines.bodies["ems"], at)])
        write_rows(connection, Call, [Call("c2", "f", "2", "ems", "11185", "", at, line.version)])
        for seq, what in enumerate((Offered("11185"), Say(1, "menu"), Key("1"), HungUp())):
            entry = Entry("c2", seq, seq, what)
            values = {"call_id": "c2", "seq": seq, "at_ms": seq, "side": entry.side}
            connection.execute(
                journal.insert().values(**values, name=entry.name, data=encode(what))
            )
    store.close()
    code, out, _ = sansheng(capsys, "replay", "c2", "--root", root, "--database", url)
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
    capsys: pytest.CaptureFixture[str],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.setenv("SANSHENG_CONTROL", str(tmp_path / "none.sock"))
    url = f"sqlite:///{tmp_path / 'z.db'}"
    new(tmp_path / "z.db").close()
    code, _, err = sansheng(capsys, *words, "--root", root, "--database", url)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_a_wrong_root_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = sansheng(capsys, "lines", "--root", tmp_path)
    assert code == 2
    assert "give the data root with --root" in err


def test_a_bad_file_is_told_by_line(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    for name in ("flows", "prompts"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("audio"))
    hold = tmp_path / "flows/hold.yaml"
    hold.write_text(hold.read_text().replace("initial: choosing", "inital: choosing"))
    code, _, err = sansheng(capsys, "lines", "--root", tmp_path)
    assert code == 2
    assert "flows/hold.yaml:4 F102 the key 'inital' is unknown: did you mean 'initial'?" in err


def test_the_dialplan_is_printed_written_and_judged(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    _, printed, _ = sansheng(capsys, "dialplan", "--root", root)
    sansheng(capsys, "dialplan", "--into", tmp_path / "sansheng.conf", "--root", root)
    assert (tmp_path / "sansheng.conf").read_text() == printed
    assert "exten => 11185,1,Set(SANSHENG_START=${CDR(start,u)})" in printed
    code, _, err = sansheng(capsys, "dialplan", "--lint", "--root", root)
    assert (code, err) == (0, "the dialplan is clean\n")


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
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, words: list[str]
) -> None:
    missing = tmp_path / "deep/wrong.db"
    url = f"sqlite:///{missing}"
    code, out, err = sansheng(capsys, *words, "--root", root, "--database", url)
    assert (code, out) == (2, "")
    assert f"there is no database {missing}: give the right one with --database" in err
    assert "make run" in err
    assert not missing.parent.exists()


@pytest.mark.parametrize("words", LOOKING_BACK, ids=" ".join)
def test_somebody_elses_database_is_left_alone(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, words: list[str]
) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE calls (id)")
    connection.close()
    url = f"sqlite:///{other}"
    code, _, err = sansheng(capsys, *words, "--root", root, "--database", url)
    assert code == 2
    assert "is no database of a service" in err
    with sqlite3.connect(other) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("calls",)]
    connection.close()


def test_the_environment_says_where_things_are(root: Path, tmp_path: Path, database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ivr.cli", "calls", "--json"],
        env={
            "SANSHENG_ROOT": str(root),
            "SANSHENG_DATABASE": database,
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert [row["call"] for row in json.loads(done.stdout)] == ["c1"]


def test_a_piped_table_fits_eighty_columns(root: Path, database: str) -> None:
    for name in ("calls", "messages", "lines"):
        done = subprocess.run(
            [sys.executable, "-m", "ivr.cli", name],
            env={
                "SANSHENG_ROOT": str(root),
                "SANSHENG_DATABASE": database,
                "PATH": "/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert all(cell_len(line) <= 80 for line in done.stdout.splitlines()), done.stdout
        assert "caller" in done.stdout.splitlines()[0] or name != "calls"


def test_a_simulation_tells_each_thing_on_one_line(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    shipped = root / "tests/scenarios/ems-late.yaml"
    code, out, _ = sansheng(capsys, "simulate", shipped, "--root", root)
    assert code == 0
    assert out.startswith("1 call, 0 wrong; ")
    assert out.count("\n") == 1
    deep = tmp_path / ("d" * 60) / shipped.name
    deep.parent.mkdir()
    deep.write_text(shipped.read_text().replace("ends: caller", "ends: us"))
    code, out, _ = sansheng(capsys, "simulate", deep, "--root", root)
    assert code == 1
    complaint, total = out.splitlines()
    assert complaint.startswith(f"{deep}: ")
    assert total.startswith("1 call, 1 wrong; ")


def test_a_simulated_play_is_a_line_for_each_sentence(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    scenario = root / "tests/scenarios/ems-silent-throughout.yaml"
    _, out, _ = sansheng(capsys, "simulate", scenario, "--script", "--root", root)
    *play, total = out.splitlines()
    assert all(re.match(r" *\d+\.\d\d  \S", line) for line in play[1:]), play
    assert any(cell_len(line) > 80 for line in play)
    assert total.startswith("1 call, ")


def test_a_cue_for_a_prompt_that_the_line_does_not_have_is_told_by_its_line(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    shipped = root / "tests/scenarios/ems-late.yaml"
    wrong = tmp_path / shipped.name
    wrong.write_text(shipped.read_text().replace("after: opening", "after: openings"))
    code, out, _ = sansheng(capsys, "simulate", wrong, "--root", root)
    assert code == 1
    assert f"{wrong}:7 F908 the line has no prompt 'openings.late'" in out
