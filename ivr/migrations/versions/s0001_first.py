"""The first tables: versions, calls, journal, erasures, recordings, messages, contacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    """CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_is_never_deleted BEFORE DELETE ON journal
    WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE call_id = OLD.call_id)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
)

POSTGRESQL_GUARDS = (
    """CREATE FUNCTION journal_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT 1 FROM erasures WHERE call_id = OLD.call_id) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'the journal is append-only';
    END $$""",
    """CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_guard()""",
    """CREATE TRIGGER journal_is_never_emptied BEFORE TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_guard()""",
)


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.create_table(
        "versions",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="versions_pk"),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("system", sa.String(200), nullable=False),
        sa.Column("uniqueid", sa.String(200), nullable=False),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("number", sa.String(200), nullable=False),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("version", sa.String(64)),
        sa.Column("offered_at", moment, nullable=False),
        sa.Column("answered_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("rung_ms", sa.Integer, nullable=False),
        sa.Column("ended_by", sa.String(32), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("problem", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="calls_pk"),
        sa.ForeignKeyConstraint(["version"], ["versions.hash"], name="calls_version_fk"),
        sa.UniqueConstraint("system", "uniqueid", name="calls_system_uniqueid_unique"),
    )
    op.create_index("calls_offered_at", "calls", ["offered_at"])
    op.create_index("calls_hotline_offered_at", "calls", ["hotline", "offered_at"])
    op.create_table(
        "journal",
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("side", sa.String(6), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "seq", name="journal_pk"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="journal_call_id_fk"),
        sa.CheckConstraint("side IN ('event', 'action')", name="journal_side"),
    )
    op.create_table(
        "erasures",
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("erased_at", moment, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="erasures_pk"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="erasures_call_id_fk"),
    )
    op.create_table(
        "recordings",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("call_id", sa.String(200)),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(80)),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("quality", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("erased_at", moment),
        sa.PrimaryKeyConstraint("key", name="recordings_pk"),
        sa.UniqueConstraint("reference", name="recordings_reference_unique"),
    )
    op.create_index("recordings_call_id", "recordings", ["call_id"])
    op.create_table(
        "messages",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("source_key", sa.String(400), nullable=False),
        sa.Column("call_id", sa.String(200)),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("contact", sa.String(200), nullable=False),
        sa.Column("surname_recording", sa.String(80), nullable=False),
        sa.Column("recording", sa.String(80), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("quality", sa.String(16), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("within", sa.String(32), nullable=False),
        sa.Column("due_at", moment),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="messages_pk"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="messages_call_id_fk"),
        sa.UniqueConstraint("source_key", name="messages_source_key_unique"),
        sa.CheckConstraint("source IN ('call', 'fallback')", name="messages_source"),
        sa.CheckConstraint("state IN ('new', 'taken', 'done')", name="messages_state"),
    )
    op.create_index("messages_state_due_at", "messages", ["state", "due_at"])
    op.create_index("messages_call_id", "messages", ["call_id"])
    op.create_index("messages_recording", "messages", ["recording"])
    op.create_table(
        "contacts",
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("number", sa.String(200), nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("hotline", "number", name="contacts_pk"),
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_GUARDS if postgresql else SQLITE_GUARDS:
        op.execute(statement)
