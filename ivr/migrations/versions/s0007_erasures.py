"""Who erased a call, which recordings were erased by whom, and that nobody can change either."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("erasures", "erased_recordings")

SQLITE_GUARDS = tuple(
    f"""CREATE TRIGGER {table}_are_never_{done} BEFORE {how} ON {table}
    BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
    for table in TABLES
    for how, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
)

POSTGRESQL_GUARDS = (
    """CREATE FUNCTION erasure_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$""",
    *(
        f"""CREATE TRIGGER {table}_are_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION erasure_guard()"""
        for table in TABLES
    ),
    *(
        f"""CREATE TRIGGER {table}_are_never_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION erasure_guard()"""
        for table in TABLES
    ),
)


def upgrade() -> None:
    moment = sa.DateTime().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
    op.add_column("erasures", sa.Column("who", sa.String(32), nullable=False, server_default=""))
    op.create_table(
        "erased_recordings",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("hotline", sa.String(64), nullable=False),
        sa.Column("erased_at", moment, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("who", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("key", name="erased_recordings_pk"),
        sa.ForeignKeyConstraint(["key"], ["recordings.key"], name="erased_recordings_key_fk"),
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_GUARDS if postgresql else SQLITE_GUARDS:
        op.execute(statement)
