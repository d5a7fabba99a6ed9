"""Which process has a call, so that only the calls of one that died are closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("owner", sa.String(80), nullable=False, server_default=""))
