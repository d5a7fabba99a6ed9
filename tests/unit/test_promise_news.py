"""What is said of promises to the people who owe them: each thing once, and by whoever lives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alembic import command as steps
from owed import NOON, ended, left, news, only
from sqlalchemy import text

from ivr import migrations, promise_news, promises
from ivr.promises import listed
from ivr.store import Message, Store, write_rows

pytest_plugins = ["databases"]

OLDER = (
    "INSERT INTO promises (id, message_id, place, hotline, kind, contact, owner, promised, made_at,"
    " due_at, next_at, state, reason, tries, soon_told_at, broken_at) VALUES (:id, :message_id,"
    " :place, 'xjca', 'message', '13912345678', '', '24 h', :now, :now, :now, :state, '', 0,"
    " :soon_told_at, :broken_at)"
)


def test_a_promise_is_said_to_be_due_soon_once(store: Store) -> None:
    left(store)
    due = only(store).due_at
    assert news(store, due - timedelta(hours=3)) == []
    assert news(store, due - timedelta(hours=2)) == ["due_soon"]
    assert news(store, due - timedelta(hours=1)) == []


def test_what_a_process_that_died_did_not_come_to_say_is_said_by_another(store: Store) -> None:
    left(store)
    due = only(store).due_at
    promises.passed(store, due)
    assert news(store, due, say=False) == ["broken"]
    assert news(store, due + timedelta(seconds=30)) == []  # it may be about to
    assert news(store, due + timedelta(seconds=90)) == ["broken"]
    assert news(store, due + timedelta(days=1)) == []


def test_a_promise_given_up_again_is_said_again(store: Store) -> None:
    left(store)
    for _ in range(2):
        ended(store, "wrong_person")
        assert news(store, NOON) == ["given_up"]
        promises.settle(store, only(store).id, "open", "801", "", NOON)
        assert news(store, NOON) == []


def test_what_was_said_of_promises_in_an_older_database_is_not_said_again(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/older.db")
    settings = migrations.config()
    with store.write() as connection:
        settings.attributes["connection"] = connection
        steps.upgrade(settings, "0005")
        for number, state, soon, broken in [
            (1, "given_up", None, None),
            (2, "broken", NOON, NOON),
            (3, "open", None, None),
        ]:
            message = Message(
                id=f"m{number}",
                source="call",
                source_key=str(number),
                hotline="xjca",
                kind="message",
                created_at=NOON,
            )
            write_rows(connection, Message, [message])
            values = {
                "id": f"p{number}",
                "message_id": f"m{number}",
                "place": f"m{number}",
                "state": state,
                "soon_told_at": soon and soon.isoformat(sep=" "),
                "broken_at": broken and broken.isoformat(sep=" "),
                "now": NOON.isoformat(sep=" "),
            }
            connection.execute(text(OLDER), values)
    store.upgrade()
    assert len(listed(store)) == 3
    promises.passed(store, NOON)
    assert [(one.what, one.promise.id) for one in promise_news.claim(store, {}, NOON)] == [
        ("broken", "p1"),  # its time has passed only now
        ("broken", "p3"),
    ]
    store.close()
