"""Tickets: their rows, their history that nobody can change, and what was announced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    """CREATE TRIGGER ticket_history_is_never_changed BEFORE UPDATE ON ticket_history
    BEGIN SELECT RAISE(ABORT, 'the history of tickets is append-only'); END""",
    """CREATE TRIGGER ticket_history_is_never_deleted BEFORE DELETE ON ticket_history
    BEGIN SELECT RAISE(ABORT, 'the history of tickets is append-only'); END""",
    # INSERT OR REPLACE deletes behind the triggers' back where recursive_triggers is off
    """CREATE TRIGGER ticket_history_is_only_continued BEFORE INSERT ON ticket_history
    WHEN NEW.seq <> (SELECT length + 1 FROM ticket_head)
    BEGIN SELECT RAISE(ABORT, 'the history of tickets is append-only'); END""",
    """CREATE TRIGGER ticket_head_only_grows BEFORE UPDATE ON ticket_head
    WHEN NEW.length <> OLD.length + 1
    BEGIN SELECT RAISE(ABORT, 'the history of tickets is append-only'); END""",
    """CREATE TRIGGER ticket_head_is_never_deleted BEFORE DELETE ON ticket_head
    BEGIN SELECT RAISE(ABORT, 'the history of tickets is append-only'); END""",
    """CREATE TRIGGER tickets_are_never_deleted BEFORE DELETE ON tickets
    BEGIN SELECT RAISE(ABORT, 'a ticket is never deleted'); END""",
    """CREATE TRIGGER disclosures_are_never_changed BEFORE UPDATE ON disclosures
    BEGIN SELECT RAISE(ABORT, 'disclosures are append-only'); END""",
    """CREATE TRIGGER disclosures_are_never_deleted BEFORE DELETE ON disclosures
    BEGIN SELECT RAISE(ABORT, 'disclosures are append-only'); END""",
)

POSTGRESQL_GUARDS = (
    """CREATE FUNCTION ticket_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$""",
    """CREATE FUNCTION ticket_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.length <> OLD.length + 1 THEN
            RAISE EXCEPTION 'the history of tickets is append-only';
        END IF;
        RETURN NEW;
    END $$""",
    """CREATE TRIGGER ticket_history_is_append_only BEFORE UPDATE OR DELETE ON ticket_history
    FOR EACH ROW EXECUTE FUNCTION ticket_guard()""",
    """CREATE TRIGGER ticket_history_is_never_emptied BEFORE TRUNCATE ON ticket_history
    FOR EACH STATEMENT EXECUTE FUNCTION ticket_guard()""",
    """CREATE TRIGGER ticket_head_only_grows BEFORE UPDATE ON ticket_head
    FOR EACH ROW EXECUTE FUNCTION ticket_head_guard()""",
    """CREATE TRIGGER ticket_head_is_never_deleted BEFORE DELETE ON ticket_head
    FOR EACH ROW EXECUTE FUNCTION ticket_guard()""",
    """CREATE TRIGGER ticket_head_is_never_emptied BEFORE TRUNCATE ON ticket_head
    FOR EACH STATEMENT EXECUTE FUNCTION ticket_guard()""",
    """CREATE TRIGGER tickets_are_never_deleted BEFORE DELETE ON tickets
    FOR EACH ROW EXECUTE FUNCTION ticket_guard()""",
    """CREATE TRIGGER disclosures_are_append_only BEFORE UPDATE OR DELETE ON disclosures
    FOR EACH ROW EXECUTE FUNCTION ticket_guard()""",
)


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.create_table(
        "tickets",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("message_id", sa.String(64)),
        sa.Column("call_id", sa.String(200)),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("urgency", sa.String(16), nullable=False),
        sa.Column("complexity", sa.String(16), nullable=False),
        sa.Column("grade", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("taken_by", sa.String(32), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("contact", sa.String(200), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.Column("recording", sa.String(80), nullable=False),
        sa.Column("surname_recording", sa.String(80), nullable=False),
        sa.Column("promised", sa.String(32), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="tickets_pk"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="tickets_message_id_fk"),
        sa.UniqueConstraint("message_id", name="tickets_message_id_unique"),
    )
    op.create_index("tickets_state_due_at", "tickets", ["state", "due_at"])
    op.create_index("tickets_call_id", "tickets", ["call_id"])
    op.create_table(
        "ticket_history",
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("ticket", sa.String(16), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="ticket_history_pk"),
    )
    op.create_index("ticket_history_ticket_seq", "ticket_history", ["ticket", "seq"])
    head = op.create_table(
        "ticket_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="ticket_head_pk"),
        sa.CheckConstraint("id = 1", name="ticket_head_single"),
    )
    op.bulk_insert(head, [{"id": 1, "length": 0, "hash": ""}])
    op.create_table(
        "ticket_announcements",
        sa.Column("ticket", sa.String(16), nullable=False),
        sa.Column("threshold", sa.String(16), nullable=False),
        sa.Column("claimed_at", moment, nullable=False),
        sa.Column("told_at", moment),
        sa.Column("webhook", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", moment),
        sa.PrimaryKeyConstraint("ticket", "threshold", name="ticket_announcements_pk"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.id"], name="ticket_announcements_ticket_fk"),
        sa.CheckConstraint(
            "webhook IN ('none', 'owed', 'done', 'given_up')", name="ticket_announcements_webhook"
        ),
    )
    op.create_table(
        "disclosures",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("who", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="disclosures_pk"),
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_GUARDS if postgresql else SQLITE_GUARDS:
        op.execute(statement)
