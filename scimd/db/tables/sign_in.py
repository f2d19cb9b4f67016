"""How people sign in: links, credentials, second factors, sessions, attempts."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Table, text

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Id, KeyText, UtcDateTime

# One-time links other than invitations: sign-in, set-password. Spent by one conditional UPDATE.
links = Table(
    "links",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    columns.key("purpose"),  # sign_in | set_password | confirm_address
    columns.text("address", null=True),  # of confirm_address: the one to confirm
    columns.integer("generation", 1),
    columns.time("created_at"),
    columns.time("expires_at"),
    columns.time("used_at", null=True),
    Index("ix_links_person", "org_id", "person_id"),
)

# Since when links are signed with which of the installation's keys (org/tokens/rekeying.py): ids, no keys.
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("since", UtcDateTime, primary_key=True),
    columns.key("key_id"),
)

credentials = Table(
    "credentials",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    Column("kind", KeyText, primary_key=True),  # password
    columns.text("secret"),  # an Argon2id hash
    columns.flag("short"),  # good enough beside a second factor only
    columns.time("changed_at"),
)

# What a person proves themselves with beside the password.
second_factors = Table(
    "second_factors",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    columns.key("kind"),  # totp | passkey
    columns.text("name"),
    Column("secret", Bytes, nullable=False),  # of totp: sealed; of a passkey: its public key (COSE)
    Column("credential_id", Bytes, nullable=True),  # of a passkey
    columns.integer("counter"),  # of totp: the last window that was used; of a passkey: its signature counter
    columns.time("created_at"),
    columns.time("last_used_at", null=True),
    CheckConstraint("(kind = 'passkey') = (credential_id IS NOT NULL)", name="credential"),
    Index("ix_second_factors_person", "org_id", "person_id"),
    Index("uq_second_factors_credential", "credential_id", unique=True),
)
# One authenticator app per person.
columns.partial_index(
    "uq_second_factors_totp",
    second_factors.c.org_id,
    second_factors.c.person_id,
    unique=True,
    where=second_factors.c.kind == "totp",
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    Column("sealed", Bytes, nullable=False),  # a digest of the code
    columns.time("created_at"),
    columns.time("used_at", null=True),
    Index("ix_recovery_codes_person", "org_id", "person_id"),
)

# Tickets (org/authentication/tickets.py) that were used, until they would have expired anyway.
spent_tickets = Table(
    "spent_tickets",
    metadata,
    columns.org(),
    Column("hash", Bytes, primary_key=True),
    columns.time("until"),
    Index("ix_spent_tickets_until", "org_id", "until"),
)

sessions = Table(
    "sessions",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    Column("hash", Bytes, nullable=False),
    columns.text("user_agent"),
    columns.text("ip"),
    Column("how", KeyText, nullable=False, server_default=text("'password'")),  # sessions.How
    columns.flag("strong"),  # proved by more than a password or a link
    columns.time("proved_at"),  # when they last proved who they are
    columns.time("started_at"),
    columns.time("last_active_at"),
    columns.time("expires_at"),
    columns.time("ended_at", null=True),
    columns.text("ended_by", null=True),
    columns.text("origin", null=True),  # the application that reported it; its own hash opens nothing
    Index("uq_sessions_hash", "hash", unique=True),
    Index("ix_sessions_person", "org_id", "person_id", "ended_at"),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id", null=True),
    columns.text("address"),
    columns.key("address_key"),
    columns.text("ip"),
    columns.text("network"),  # by which it is counted: core.addresses, or the session
    columns.flag("success"),
    columns.text("reason"),
    columns.text("origin", null=True),  # the application that reported it
    columns.time("at"),
    Index("ix_login_attempts_at", "org_id", "at"),
    Index("ix_login_attempts_address", "org_id", "address_key", "at"),
    Index("ix_login_attempts_network", "network", "at"),
)
