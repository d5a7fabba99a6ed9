"""Promises to call somebody back, and attempts to keep them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ivr import attempts, promise_news, promises
from ivr.actions import Keep
from ivr.attempts import Attempt
from ivr.callback_rules import Rules
from ivr.hours import Hours
from ivr.messages import Kept, keep
from ivr.promises import Promise, listed
from ivr.store import Call, Store, write_rows

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOURS = Hours(ZoneInfo("Asia/Shanghai"))
RULES = Rules(through="carrier", shows="1001")
OWN = ("1001", "11183")
PERSON = "13912345678"


def left(store: Store, number: int = 1, contact: str = PERSON, at: datetime = NOON) -> Kept:
    """A caller leaves a message and is promised an answer, or not."""
    call = Call(f"pbx-{number}", "pbx", str(number), "xjca", "1001", "", at)
    with store.write() as connection:
        write_rows(connection, Call, [call])
    wish = Keep(9, "message", (("contact", contact),) if contact else (), "24 h")
    return keep(store, call, wish, HOURS, at, None, OWN)


def only(store: Store) -> Promise:
    (one,) = listed(store, states=promises.STATES)
    return one


def begun(store: Store, at: datetime = NOON, owner: str = "one") -> Attempt:
    attempt = attempts.begin(store, only(store).id, owner, "pbx", at, RULES.attempts)
    assert attempt is not None
    return attempt


def ended(store: Store, result: str, at: datetime = NOON) -> Promise:
    """One attempt that rang the person and came to this."""
    attempt = begun(store, at)
    assert attempts.dialling(store, attempt.id, "801", at)
    after = attempts.end(store, attempt.id, result, at, RULES)
    assert after is not None
    return after


def news(store: Store, at: datetime, say: bool = True) -> list[str]:
    """What is said of promises at this time."""
    found = promise_news.claim(store, {"xjca": 7200.0}, at)
    for one in found if say else []:
        promise_news.said(store, one, at)
    return [one.what for one in found]
