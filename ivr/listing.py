"""What is there, as rows for a table or for another program: lines, prompts, calls, messages.

Rules this module keeps:

- Plain values in a fixed order; times are ISO 8601 in UTC.
- Numbers of callers are masked to their last four digits, but for one place: the contact and the
  caller of a message are whole in `messages --json`, as somebody must ring them back.
- What looks back makes no database: where there is none, it says so, and what to do.
- What reads the database blocks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ivr import hotlines, line_compiler, messages, replay
from ivr.call import Call, step
from ivr.codec import CodecError, encode
from ivr.moments import SECONDS, Moments
from ivr.prompts import Library
from ivr.redact import mask, masked, redacted
from ivr.store import Message, StorageFailed, Store

Row = dict[str, Any]


WITHHELD = "withheld"
"""How a table shows a caller without a number."""
ERASED = "(erased)"
"""How it shows the caller of a call that was erased."""
MADE = frozenset({"alembic_version", "calls", "journal"})
"""Tables by which a database of ours is known, whatever its age."""
MENDED = (
    "give the right one with --database or SANSHENG_DATABASE; "
    "a line makes its own when it is started (`make run`, `sansheng serve`)"
)


OTHER = "another version of this program may have written it"


class NoCall(Exception):
    """There is no call of this id, or nothing of it that can be read."""


FIXES = {
    "file is not a database": MENDED,
    "unable to open database file": (
        "is it there, and may this user read and write it and its folder? if not, run the command "
        "as the service's user"
    ),
    "readonly database": "to look back is to write, too: run the command as the service's user",
}
"""What SQLite says when a file cannot be used, and what to do."""


class NoDatabase(StorageFailed):
    """There is no database to look back into."""


def lines(root: Path) -> list[Row]:
    """The lines. Raises BadFile."""
    return [
        {
            "line": line.name,
            "title": line.title,
            "numbers": list(line.numbers),
            "language": line.language,
            "answer_after": line.answer_at,
            "version": line.version,
        }
        for line in hotlines.load(root).lines.values()
    ]


def lines_brief(rows: Sequence[Row]) -> list[Row]:
    """The same for a table on a screen."""
    return [
        {
            "line": row["line"],
            "title": row["title"],
            "numbers": row["numbers"],
            "language": row["language"],
            "rings": f"{row['answer_after']:g} s",
            "version": row["version"],
        }
        for row in rows
    ]


def line_names(root: Path) -> list[str]:
    """The lines there are, also while a mistake in a file keeps them from being used."""
    return sorted(path.stem for path in (root / "flows/hotlines").glob("*.yaml"))


def prompts(root: Path, sounds: Path, hotline: str = "") -> list[Row]:
    """Every recorded part: `file` is how Asterisk plays it (without extension), `hotline` is
    `common` for what all lines say. Raises BadFile."""
    library = Library.load(root)
    parts = library.all_parts()
    return [
        {
            "id": recipe.base,
            "hotline": recipe.hotline,
            "language": recipe.language,
            "text": recipe.text,
            "file": str(sounds / recipe.path),
            "seconds": parts[recipe.base].seconds,
            "recorded": parts[recipe.base].built,
        }
        for recipe in library.recipes()
        if hotline in ("", recipe.hotline)
    ]


def look_back(url: str) -> Store:
    """The database that a service has made, brought up to date; none is made here.

    Raises NoDatabase, StorageFailed.
    """
    path = _file(url)
    if path is not None and not path.exists():
        raise NoDatabase(f"there is no database {path}: {MENDED}")
    store = Store(url)
    try:
        with store.read() as connection:
            ours = set(inspect(connection).get_table_names()) >= MADE
        if not ours:
            raise NoDatabase(f"{store} is no database of a service: {MENDED}")
        store.upgrade()
    except StorageFailed as error:
        store.close()
        for what, fix in FIXES.items():
            if what in str(error):
                raise StorageFailed(f"{error}: {fix}") from error
        raise
    return store


def _file(url: str) -> Path | None:
    """The file of a SQLite database; None for any other, and for what is no address."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None  # which Store says better
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def calls(store: Store, hotline: str | None, limit: int) -> list[Row]:
    """Calls, the latest first. Raises StorageFailed."""
    found = replay.calls(store, hotline=hotline, limit=limit)
    if not found:
        return []
    gone = replay.erased(store, found[-1].offered_at, found[0].offered_at)
    return [
        {
            "call": row.id,
            "line": row.hotline,
            "number": row.number,
            "caller": mask(row.caller),
            "offered_at": _time(row.offered_at),
            "answered_at": _time(row.answered_at),
            "ended_at": _time(row.ended_at),
            "rung": row.rung_ms / 1000,
            "ended_by": row.ended_by,
            "record": {key: masked(value) for key, value in row.record.items()},
            "problem": row.problem,
            "version": row.version,
            "erased": row.id in gone,
        }
        for row in found
    ]


def calls_brief(rows: Sequence[Row], times: Moments | None = None) -> list[Row]:
    """The same for a table on a screen: what one looks at first comes first."""
    times = times or Moments()
    return [
        {
            "call": row["call"],
            "at": times(row["offered_at"], row["line"], SECONDS),
            "line": row["line"],
            "caller": ERASED if row.get("erased") else row["caller"] or WITHHELD,
            "ended by": row["ended_by"] or "(is up)",
            "rung": f"{row['rung']:.1f}",
            "number": row["number"],
            "record": {k: v for k, v in row["record"].items() if k != "ended_by"},
            "problem": row["problem"],
        }
        for row in rows
    ]


def live_brief(rows: Sequence[Row]) -> list[Row]:
    """Calls that are up, for a table on a screen."""
    return [
        {
            "call": row["call"],
            "line": row["line"],
            "caller": row["caller"] or WITHHELD,
            "state": row["state"],
            "seconds": row["seconds"],
            "waits for": row["waits_for"],
            "since a sign of life": f"{row['since_sign_of_life']} s",
        }
        for row in rows
    ]


def journal(store: Store, call: str) -> list[Row]:
    """Everything that happened in a call, masked. Raises NoCall, StorageFailed."""
    try:
        entries = replay.entries(store, call)
    except CodecError as error:
        raise NoCall(f"the journal of {call} cannot be read: {error}; {OTHER}") from error
    if not entries:
        raise NoCall(f"there is no journal of a call {call}: `sansheng calls` lists them")
    return [
        {
            "seq": entry.seq,
            "at": entry.at_ms / 1000,
            "side": entry.side,
            "name": entry.name,
            "data": json.loads(encode(entry.what)),
        }
        for entry in redacted(entries)
    ]


def left(store: Store, hotline: str | None, state: str | None, limit: int) -> list[Row]:
    """Messages, the latest first, with whole numbers. Raises StorageFailed."""
    return [
        _message(row) for row in messages.listed(store, hotline=hotline, state=state, limit=limit)
    ]


def left_masked(rows: Sequence[Row], times: Moments | None = None) -> list[Row]:
    """The same for a table on a screen: masked, and only what one looks at first."""
    times = times or Moments()
    return [
        {
            "message": row["message"],
            "line": row["line"],
            "kind": row["kind"],
            "due": times(row["due_at"], row["line"], SECONDS),
            "contact": mask(row["contact"] or row["caller"]),
            "state": row["state"],
            "at": times(row["created_at"], row["line"], SECONDS),
            "seconds": round(row["seconds"], 1),
            "quality": row["quality"],
        }
        for row in rows
    ]


def _message(row: Message) -> Row:
    return {
        "message": row.id,
        "line": row.hotline,
        "kind": row.kind,
        "created_at": _time(row.created_at),
        "call": row.call_id,
        "caller": row.caller,
        "contact": row.contact,
        "recording": row.recording,
        "surname_recording": row.surname_recording,
        "seconds": row.seconds,
        "quality": row.quality,
        "staff_number": row.staff_number,
        "item": row.item,
        "fields": dict(row.fields),
        "within": row.within,
        "due_at": _time(row.due_at),
        "source": row.source,
        "state": row.state,
    }


def replayed(store: Store, call: str) -> replay.Replay:
    """Feed a call's journal to the flow version it began with. Raises NoCall, StorageFailed,
    BadFile for a version that this program cannot use any more."""
    try:
        row = replay.call(store, call)
    except KeyError:
        raise NoCall(f"there is no call {call}: `sansheng calls` lists them") from None
    try:
        entries = replay.entries(store, call)
        body = store.version(row.version or "")
    except CodecError as error:
        raise NoCall(f"{call} cannot be replayed: {error}; {OTHER}") from error
    except KeyError:
        raise NoCall(
            f"{call} cannot be replayed: its flow version is not in the database"
        ) from None
    if not entries:
        raise NoCall(f"the journal of {call} is empty: was it erased?")
    line = line_compiler.from_body(body)
    return replay.replay(entries, Call(), lambda state, event: step(line, state, event))


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")
