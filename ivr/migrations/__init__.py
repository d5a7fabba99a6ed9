"""Brings a database up to date, step by step, with Alembic run from code.

Rules this package keeps:

- A step, once released, is never changed; a change of the tables is a new step in `versions`.
- All steps of one upgrade are one transaction: an upgrade happens wholly or not at all.
- Two processes that start together do not race: the second waits and finds the work done.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ivr.store import NewerDatabase

LOCK = 0x5A45_4E47
"""The PostgreSQL advisory lock that upgrades take; any number that nobody else uses."""


def config() -> Config:
    """Alembic's settings: where the steps are."""
    settings = Config()
    here = str(Path(__file__).parent)
    settings.set_main_option("script_location", here.replace("%", "%%"))
    return settings


def upgrade(connection: Connection) -> None:
    """Apply all missing steps within the connection's transaction. Raises NewerDatabase."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    settings = config()
    script = ScriptDirectory.from_config(settings)
    known = {step.revision for step in script.walk_revisions()}
    found = set(MigrationContext.configure(connection).get_current_heads())
    newer = found - known
    if newer:
        raise NewerDatabase(
            f"the database {connection.engine.url.render_as_string(hide_password=True)} is at "
            f"step '{', '.join(sorted(newer))}', and this program knows steps up to "
            f"'{script.get_current_head()}': it was made by a newer version; update this program, "
            "or use another database"
        )
    if found == set(script.get_heads()):
        return
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
