"""Promises to call back, and the attempts made to keep them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.create_table(
        "promises",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(200)),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("contact", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("promised", sa.String(32), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("next_at", moment, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("kept_at", moment),
        sa.Column("soon_told_at", moment),
        sa.Column("broken_at", moment),
        sa.PrimaryKeyConstraint("id", name="promises_pk"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="promises_message_id_fk"),
        sa.UniqueConstraint("message_id", name="promises_message_id_unique"),
        sa.UniqueConstraint("place", name="promises_place_unique"),
        sa.CheckConstraint(
            "state IN ('open', 'calling', 'kept', 'broken', 'given_up')", name="promises_state"
        ),
    )
    op.create_index("promises_state_next_at", "promises", ["state", "next_at"])
    op.create_index("promises_contact_made_at", "promises", ["contact", "made_at"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("promise", sa.String(20), nullable=False),
        sa.Column("contact", sa.String(32), nullable=False),
        sa.Column("channel_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("dialled_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("talked", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="attempts_pk"),
        sa.ForeignKeyConstraint(["promise"], ["promises.id"], name="attempts_promise_fk"),
        sa.UniqueConstraint("channel_id", name="attempts_channel_id_unique"),
    )
    op.create_index("attempts_promise_made_at", "attempts", ["promise", "made_at"])
    running = sa.text("ended_at IS NULL")
    op.create_index(
        "attempts_running",
        "attempts",
        ["contact"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
