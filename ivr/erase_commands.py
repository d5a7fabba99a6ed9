"""The commands `sansheng erase`, `sansheng erasures` and `sansheng retention`.

Rules this module keeps:

- The rules of `ivr.cli`: a command reads its options, calls one module and shows the result.
- Nothing is erased without the staff number of who does it, and a reason; both are kept for good.
- No command erases what somebody still needs: it says what that is, and how that work is ended.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ivr.document import Text
from ivr.moments import YEAR
from ivr.options import (
    HERE,
    By,
    Json,
    Limit,
    LineOption,
    known_line,
    looking_back,
    moments,
    staff_number,
)
from ivr.showing import Refused, count, err, out, printable, show

if TYPE_CHECKING:
    from ivr.retention_rules import Rules
    from ivr.spool import Spool
    from ivr.store import Store

Days = typer.Option(help="As if this were written in the lines' files, such as '90 days'.")


def erase(
    call: Annotated[str, typer.Argument(help="The call's id, from `calls`.")],
    by: By,
    reason: Annotated[str, typer.Option(help="Why; it is kept with --by for good.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
) -> None:
    """Erase a call, its recordings, and what it says of its caller, for good (删除)."""
    from ivr import erasing
    from ivr.redact import masked

    staff_number(by)
    reason = " ".join(reason.split())
    if not reason:
        raise Refused("a call is erased for a reason: --reason TEXT")
    if masked(reason) != reason:
        raise Refused("the reason is kept for good: leave out numbers of seven digits and more")
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"{call} and its recordings will be gone for good. Erase them?", abort=True)
    store = looking_back()
    trace = erasing.Trace(by, datetime.now(UTC), reason)
    try:
        done = erasing.erase(store, _spool(store), call, trace)
    except (erasing.NoCall, erasing.Needed) as error:
        raise Refused(str(error)) from error
    except erasing.NotGone as error:
        err.print(
            f"{call} is erased, but not all files of its recordings: {error}; "
            "the service tries again within the hour, or give this command again"
        )
        raise typer.Exit(1) from error
    except OSError as error:
        raise Refused(f"nothing of {call} is erased: {error.strerror or error}") from error
    more = f"{count(done.calls, 'call')} and {count(done.recordings, 'recording')}"
    if done.before is None:
        _said(f"{call} is erased: {more} are gone for good")
        return
    who, at = done.before.who or "somebody", f"{done.before.at.astimezone():{YEAR} %Z}"
    _said(f"{call} was erased already, by {who}, {at}: {masked(done.before.reason)}")
    if done.calls or done.recordings:
        _said(f"what was left of it is gone now, too: {more}")
    if done.why:
        _said(f"what is left of it stays, it is needed: {'; '.join(done.why)}")


def erasures(line: LineOption = None, limit: Limit = 100, as_json: Json = False) -> None:
    """What was erased, by whom and why, the latest first (删除记录)."""
    from ivr import erasing
    from ivr.redact import masked

    known_line(line)
    rows = erasing.listed(looking_back(), line, limit)
    for row in rows:
        row["reason"] = masked(row["reason"])
    times = moments()
    brief = [
        {
            "id": row["id"],
            "what": row["what"],
            "line": row["line"],
            "at": times(row["at"], row["line"], YEAR),
            "by": row["by"],
            "reason": row["reason"] if row["gone"] else f"{row['reason']} (file still there)",
        }
        for row in rows
    ]
    show(brief, as_json, "erasures", whole=rows, times=times)


def retention(
    line: LineOption = None,
    recordings: Annotated[str | None, Days] = None,
    calls: Annotated[str | None, Days] = None,
    as_json: Json = False,
) -> None:
    """How long each line keeps what, and what would be erased now; erases nothing (留存期限)."""
    from ivr import retention as keeping
    from ivr.retention_rules import spoken

    known_line(line)
    store, now = looking_back(), datetime.now(UTC)
    spool = _spool(store)
    rows: list[dict[str, Any]] = []
    for name, rules in _rules(recordings, calls).items():
        if line in (None, name):
            due = keeping.due(store, spool, name, rules, now)
            rows.append(
                {
                    "line": name,
                    "keeps_recordings": spoken(rules.recordings),
                    "keeps_calls": spoken(rules.calls),
                    "recordings": due.recordings,
                    "calls": due.calls,
                    "messages": due.messages,
                    "needed": due.needed,
                }
            )
    brief = [
        {
            "line": row["line"],
            "keeps recordings": row["keeps_recordings"],
            "keeps calls": row["keeps_calls"],
            "recordings to go": row["recordings"],
            "calls to go": row["calls"],
            "messages of no call": row["messages"],
            "needed still": row["needed"],
        }
        for row in rows
    ]
    show(brief, as_json, "lines", whole=rows)
    if not as_json and (recordings or calls):
        err.print(
            "nothing is erased, and nothing set: that is what `retention:` would do "
            "in flows/hotlines/NAME.yaml (docs/ops.md)"
        )


def _rules(recordings: str | None, calls: str | None) -> dict[str, Rules]:
    """The lines' rules, as written or as they would be. Raises BadFile, Refused."""
    from ivr import hotlines
    from ivr.document import BadFile, Map
    from ivr.retention_rules import parse

    given = {"recordings": recordings, "calls": calls}
    asked = {key: Text.at(value, f"--{key}", 0) for key, value in given.items() if value}
    lines = {}
    for name, document in sorted(hotlines.documents(HERE.root)[1].items()):
        rules = parse(document)  # a mistake in the file is told as one
        if asked:
            written = document.get("retention", Map())
            try:
                rules = parse(Map({"retention": Map({**written, **asked})}))
            except BadFile as error:
                first = error.problems[0]
                raise Refused(f"{name}: {first.sentence}: {first.fix}") from error
        lines[name] = rules
    return lines


def _spool(store: Store) -> Spool:
    """The folder of recordings, and the spool as this process calls it."""
    from ivr import place
    from ivr.spool import Spool

    spool, folder = place.service_spool(HERE.root), place.recordings(HERE.root)
    return Spool(store, spool=spool, folder=folder, utc=lambda: datetime.now(UTC))


def _said(what: str) -> None:
    out.print(printable(what), highlight=False, markup=False, soft_wrap=True)
