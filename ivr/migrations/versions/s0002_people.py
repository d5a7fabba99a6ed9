"""People: agents, their seats and what became of them, waiting lines, owners, legs of calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    """CREATE TRIGGER agent_log_is_never_changed BEFORE UPDATE ON agent_log
    BEGIN SELECT RAISE(ABORT, 'the log of agents is append-only'); END""",
    """CREATE TRIGGER agent_log_is_never_deleted BEFORE DELETE ON agent_log
    BEGIN SELECT RAISE(ABORT, 'the log of agents is append-only'); END""",
)

POSTGRESQL_GUARDS = (
    """CREATE FUNCTION agent_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the log of agents is append-only';
    END $$""",
    """CREATE TRIGGER agent_log_is_append_only BEFORE UPDATE OR DELETE ON agent_log
    FOR EACH ROW EXECUTE FUNCTION agent_log_guard()""",
    """CREATE TRIGGER agent_log_is_never_emptied BEFORE TRUNCATE ON agent_log
    FOR EACH STATEMENT EXECUTE FUNCTION agent_log_guard()""",
)


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.add_column("calls", sa.Column("leg_of", sa.String(200), nullable=False, server_default=""))
    op.create_index("calls_leg_of", "calls", ["leg_of"])
    op.create_table(
        "agents",
        sa.Column("phone", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("idle_since", moment, nullable=False),
        sa.Column("misses", sa.Integer, nullable=False),
        sa.Column("until", moment),
        sa.Column("after", sa.String(16), nullable=False),
        sa.Column("after_reason", sa.String(200), nullable=False),
        sa.Column("call_id", sa.String(200)),
        sa.Column("place_id", sa.String(240)),
        sa.Column("owner", sa.String(80)),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("phone", name="agents_pk"),
        sa.UniqueConstraint("call_id", name="agents_call_id_unique"),
        sa.UniqueConstraint("place_id", name="agents_place_id_unique"),
        sa.CheckConstraint(
            "state IN ('ready', 'busy', 'ringing', 'talking', 'wrap_up', 'unreachable')",
            name="agents_state",
        ),
        sa.CheckConstraint(
            "(state IN ('ringing', 'talking')) = (call_id IS NOT NULL AND owner IS NOT NULL)",
            name="agents_claimed",
        ),
        sa.CheckConstraint("place_id IS NULL OR call_id IS NOT NULL", name="agents_placed"),
    )
    op.create_table(
        "seats",
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.Column("phone", sa.String(32), nullable=False),
        sa.Column("departments", sa.Text, nullable=False),
        sa.Column("title", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("hotline", "staff_number", name="seats_pk"),
        sa.ForeignKeyConstraint(["phone"], ["agents.phone"], name="seats_phone_fk"),
    )
    op.create_index("seats_phone", "seats", ["phone"])
    op.create_table(
        "owners",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="owners_pk"),
    )
    op.create_table(
        "places",
        sa.Column("id", sa.String(240), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.Column("call_id", sa.String(200)),
        sa.Column("ticket", sa.String(64)),
        sa.Column("owner", sa.String(80)),
        sa.Column("joined_at", moment, nullable=False),
        sa.Column("not_before", moment),
        sa.Column("passed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="places_pk"),
        sa.UniqueConstraint("ticket", name="places_ticket_unique"),
        sa.CheckConstraint("kind IN ('caller', 'callback')", name="places_kind"),
        sa.CheckConstraint("kind = 'callback' OR owner IS NOT NULL", name="places_owned"),
        sa.CheckConstraint("(kind = 'callback') = (ticket IS NOT NULL)", name="places_ticket"),
    )
    op.create_index("places_joined_at", "places", ["joined_at"])
    op.create_index("places_call_id", "places", ["call_id"])
    op.create_table(
        "agent_log",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("phone", sa.String(32), nullable=False),
        sa.Column("staff_number", sa.String(32), nullable=False),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("before", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="agent_log_pk"),
    )
    op.create_index("agent_log_phone_at", "agent_log", ["phone", "at"])
    op.create_index("agent_log_before_at", "agent_log", ["before", "at"])
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_GUARDS if postgresql else SQLITE_GUARDS:
        op.execute(statement)
