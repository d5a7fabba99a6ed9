"""What was said of promises, which were dropped on purpose, and whom a call-back is not for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SAID = (
    ("due_soon", "soon_told_at", "soon_told_at IS NOT NULL"),
    ("broken", "broken_at", "broken_at IS NOT NULL"),
    ("given_up", "next_at", "state = 'given_up'"),
)
"""What has been said of the promises that there are, and when."""


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.create_table(
        "promise_announcements",
        sa.Column("promise", sa.String(20), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("claimed_at", moment, nullable=False),
        sa.Column("told_at", moment),
        sa.PrimaryKeyConstraint("promise", "what", name="promise_announcements_pk"),
        sa.ForeignKeyConstraint(
            ["promise"], ["promises.id"], name="promise_announcements_promise_fk"
        ),
    )
    for what, at, condition in SAID:
        op.execute(
            "INSERT INTO promise_announcements (promise, what, claimed_at, told_at) "
            f"SELECT id, '{what}', {at}, {at} FROM promises WHERE {condition}"
        )
    op.drop_column("promises", "soon_told_at")
    op.add_column("promises", sa.Column("dropped_at", moment))
    op.add_column("places", sa.Column("avoid", sa.String(32), nullable=False, server_default=""))
