"""The tables.

Rules this module keeps:

- Declarations only, the same on SQLite and PostgreSQL; the types of columns are `ivr.columns`.
- What the tables were at each release stands in `ivr.migrations`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ivr.columns import Json, Utc, Words

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)

versions = Table(
    "versions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("hotline", Words(64), nullable=False),
    Column("body", Json, nullable=False),
    Column("created", Utc, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Words(200), primary_key=True),
    Column("system", Words(200), nullable=False),
    Column("uniqueid", Words(200), nullable=False),
    Column("hotline", Words(64), nullable=False),
    Column("number", Words(200), nullable=False),
    Column("caller", Words(200), nullable=False),
    Column("version", String(64), ForeignKey("versions.hash"), nullable=True),
    Column("offered_at", Utc, nullable=False),
    Column("answered_at", Utc),
    Column("ended_at", Utc),
    Column("rung_ms", Integer, nullable=False),
    Column("ended_by", Words(32), nullable=False),
    Column("record", Json, nullable=False),
    Column("problem", Words, nullable=False),
    # the call for whose sake one of our own phones was rung; empty for a caller's own call
    Column("leg_of", Words(200), nullable=False, server_default=""),
    # the process that has the call; empty for calls from before there were several
    Column("owner", Words(80), nullable=False, server_default=""),
    UniqueConstraint("system", "uniqueid"),
    Index(None, "offered_at"),
    Index(None, "hotline", "offered_at"),
    Index(None, "leg_of"),
)

journal = Table(
    "journal",
    metadata,
    Column("call_id", Words(200), ForeignKey("calls.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("side", String(6), nullable=False),
    Column("name", String(64), nullable=False),
    Column("data", Text, nullable=False),
    CheckConstraint("side IN ('event', 'action')", name="side"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("call_id", Words(200), ForeignKey("calls.id"), primary_key=True),
    Column("erased_at", Utc, nullable=False),
    Column("reason", Words, nullable=False),
    # a staff number, or `service` for what its time took; empty for those of an older version
    Column("who", Words(32), nullable=False, server_default=""),
)

recordings = Table(
    "recordings",
    metadata,
    Column("key", Words(200), primary_key=True),
    # no foreign key: a recording may be taken before its call's first row is committed
    Column("call_id", Words(200)),
    Column("what", Words(32), nullable=False),
    Column("reference", String(80), unique=True),
    Column("seconds", Float, nullable=False),
    Column("quality", Words(16), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("erased_at", Utc),
    Index(None, "call_id"),
)

# committed before the file goes; when it has gone, the recording's own row says so
erased_recordings = Table(
    "erased_recordings",
    metadata,
    Column("key", Words(200), ForeignKey("recordings.key"), primary_key=True),
    Column("hotline", Words(64), nullable=False),
    Column("erased_at", Utc, nullable=False),
    Column("reason", Words, nullable=False),
    Column("who", Words(32), nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("source", String(16), nullable=False),
    Column("source_key", Words(400), nullable=False, unique=True),
    Column("call_id", Words(200), ForeignKey("calls.id")),
    Column("hotline", Words(64), nullable=False),
    Column("kind", Words(32), nullable=False),
    Column("caller", Words(200), nullable=False),
    Column("contact", Words(200), nullable=False),
    Column("surname_recording", Words(80), nullable=False),
    Column("recording", Words(80), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("quality", Words(16), nullable=False),
    Column("staff_number", Words(32), nullable=False),
    Column("item", Words(64), nullable=False),
    Column("fields", Json, nullable=False),
    Column("within", Words(32), nullable=False),
    Column("due_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("state", String(16), nullable=False),
    CheckConstraint("source IN ('call', 'fallback')", name="source"),
    CheckConstraint("state IN ('new', 'taken', 'done')", name="state"),
    Index(None, "state", "due_at"),
    Index(None, "call_id"),
    Index(None, "recording"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("hotline", Words(64), primary_key=True),
    Column("number", Words(200), primary_key=True),
    Column("fields", Json, nullable=False),
    Column("updated_at", Utc, nullable=False),
)

# ---------------------------------------------------------------- people (see ivr.agents)

agents = Table(
    "agents",
    metadata,
    # one person's one phone, whichever lines it serves: what is claimed is the phone
    Column("phone", Words(32), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("since", Utc, nullable=False),
    Column("reason", Words(200), nullable=False),
    Column("idle_since", Utc, nullable=False),
    Column("misses", Integer, nullable=False),
    Column("until", Utc),  # when wrapping up ends
    Column("after", String(16), nullable=False),  # the state asked for once the call is over
    Column("after_reason", Words(200), nullable=False),
    # the claim. No foreign keys: a call's row may be committed later than its claim
    Column("call_id", Words(200), unique=True),
    Column("place_id", Words(240), unique=True),
    Column("owner", Words(80)),
    Column("hotline", Words(64), nullable=False),
    Column("department", Words(64), nullable=False),
    Column("staff_number", Words(32), nullable=False),
    CheckConstraint(
        "state IN ('ready', 'busy', 'ringing', 'talking', 'wrap_up', 'unreachable')", name="state"
    ),
    CheckConstraint(
        "(state IN ('ringing', 'talking')) = (call_id IS NOT NULL AND owner IS NOT NULL)",
        name="claimed",
    ),
    CheckConstraint("place_id IS NULL OR call_id IS NOT NULL", name="placed"),
)

seats = Table(
    "seats",
    metadata,
    Column("hotline", Words(64), primary_key=True),
    Column("staff_number", Words(32), primary_key=True),
    Column("phone", Words(32), ForeignKey("agents.phone"), nullable=False),
    Column("departments", Json, nullable=False),
    Column("title", Words(64), nullable=False),
    Index(None, "phone"),
)

owners = Table(
    "owners",
    metadata,
    Column("name", Words(80), primary_key=True),
    Column("seen_at", Utc, nullable=False),
)

places = Table(
    "places",
    metadata,
    Column("id", Words(240), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("hotline", Words(64), nullable=False),
    Column("department", Words(64), nullable=False),
    Column("staff_number", Words(32), nullable=False),
    Column("call_id", Words(200)),
    Column("ticket", Words(64), unique=True),
    Column("owner", Words(80)),
    Column("joined_at", Utc, nullable=False),
    Column("not_before", Utc),  # a call-back that is not to be tried yet
    Column("passed", Json, nullable=False),  # phone -> when it was rung for this place in vain
    Column("avoid", Words(32), nullable=False, server_default=""),  # never rung for this place
    CheckConstraint("kind IN ('caller', 'callback')", name="kind"),
    CheckConstraint("kind = 'callback' OR owner IS NOT NULL", name="owned"),
    CheckConstraint("(kind = 'callback') = (ticket IS NOT NULL)", name="ticket"),
    Index(None, "joined_at"),
    Index(None, "call_id"),
)

agent_log = Table(
    "agent_log",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("phone", Words(32), nullable=False),
    Column("staff_number", Words(32), nullable=False),
    Column("hotline", Words(64), nullable=False),
    Column("department", Words(64), nullable=False),
    Column("call_id", Words(200), nullable=False),
    Column("before", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("seconds", Float, nullable=False),  # how long the state before had lasted
    Column("reason", Words(200), nullable=False),
    Index(None, "phone", "at"),
    Index(None, "before", "at"),
)

# ---------------------------------------------------------------- tickets (see ivr.tickets)

tickets = Table(
    "tickets",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("message_id", String(64), ForeignKey("messages.id"), unique=True),
    Column("call_id", Words(200)),
    Column("hotline", Words(64), nullable=False),
    Column("kind", Words(32), nullable=False),
    Column("urgency", String(16), nullable=False),
    Column("complexity", String(16), nullable=False),
    Column("grade", String(16), nullable=False),
    Column("owner", Words(32), nullable=False),
    Column("taken_by", Words(32), nullable=False),
    Column("state", String(24), nullable=False),
    Column("asked", Json, nullable=False),
    Column("caller", Words(200), nullable=False),
    Column("contact", Words(200), nullable=False),
    Column("staff_number", Words(32), nullable=False),
    Column("recording", Words(80), nullable=False),
    Column("surname_recording", Words(80), nullable=False),
    Column("promised", Words(32), nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Index(None, "state", "due_at"),
    Index(None, "call_id"),
)

# text is what is hashed, so every column is text as it stands, times included
ticket_history = Table(
    "ticket_history",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("ticket", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("what", String(32), nullable=False),
    Column("who", String(64), nullable=False),
    Column("data", Text, nullable=False),
    Column("before", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "ticket", "seq"),
)

ticket_head = Table(
    "ticket_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("length", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    CheckConstraint("id = 1", name="single"),
)

ticket_announcements = Table(
    "ticket_announcements",
    metadata,
    Column("ticket", String(16), ForeignKey("tickets.id"), primary_key=True),
    Column("threshold", String(16), primary_key=True),
    Column("claimed_at", Utc, nullable=False),
    Column("told_at", Utc),
    Column("webhook", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Utc),
    CheckConstraint("webhook IN ('none', 'owed', 'done', 'given_up')", name="webhook"),
)

disclosures = Table(
    "disclosures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("what", Words(64), nullable=False),
    Column("who", Words(32), nullable=False),
    Column("reason", Words(200), nullable=False),
    Column("rows", Integer, nullable=False),
)

# ---------------------------------------------------------------- promises (see ivr.promises)

promises = Table(
    "promises",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("message_id", String(64), ForeignKey("messages.id"), nullable=False, unique=True),
    Column(
        "place", Words(64), nullable=False, unique=True
    ),  # under this its turn is kept in a line
    Column("call_id", Words(200)),
    Column("hotline", Words(64), nullable=False),
    Column("kind", Words(32), nullable=False),
    Column("contact", Words(32), nullable=False),
    Column("owner", Words(32), nullable=False),
    Column("promised", Words(32), nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("next_at", Utc, nullable=False),  # not called before
    Column("state", String(16), nullable=False),
    Column("reason", Words(200), nullable=False),
    Column("tries", Integer, nullable=False),  # calls made to the person
    Column("kept_at", Utc),
    Column("broken_at", Utc),  # stays when a late call keeps the promise after all
    Column("dropped_at", Utc),  # people have given it up, on purpose
    CheckConstraint("state IN ('open', 'calling', 'kept', 'broken', 'given_up')", name="state"),
    Index(None, "state", "next_at"),
    Index(None, "contact", "made_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("promise", String(20), ForeignKey("promises.id"), nullable=False),
    Column("contact", Words(32), nullable=False),
    Column("channel_id", Words(64), nullable=False, unique=True),
    Column("call_id", Words(200), nullable=False),
    Column("owner", Words(80), nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("agent", Words(32), nullable=False),
    Column("dialled_at", Utc),  # committed before the person is rung; empty: never rung
    Column("ended_at", Utc),
    Column("result", String(16), nullable=False),
    Column("talked", Float, nullable=False),
    Index(None, "promise", "made_at"),
)

# one call at a time to one person: an attempt that runs holds its number
Index(
    "attempts_running",
    attempts.c.contact,
    unique=True,
    sqlite_where=attempts.c.ended_at.is_(None),
    postgresql_where=attempts.c.ended_at.is_(None),
)

promise_announcements = Table(
    "promise_announcements",
    metadata,
    Column("promise", String(20), ForeignKey("promises.id"), primary_key=True),
    Column("what", String(16), primary_key=True),
    Column("claimed_at", Utc, nullable=False),
    Column("told_at", Utc),
)
