"""Organizations, and what they say of themselves."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, UniqueConstraint

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Id, Json, KeyText

organizations = Table(
    "organizations",
    metadata,
    columns.ident(),
    columns.key("slug"),
    columns.text("name"),
    columns.key("kind"),  # customer | partner | system
    # Raised by each change of tokens, roles, rules, sources: whatever is cached is cached by it.
    columns.counter("generation", 1),
    columns.ref("default_project_id", null=True),
    columns.key("seats_on_scim"),  # hold | reject | allow
    columns.text("get_more_seats_url", null=True),
    columns.flag("approval_required"),
    Column("settings", Json, nullable=False),
    columns.time("created_at"),
    UniqueConstraint("slug"),
)

domains = Table(
    "domains",
    metadata,
    columns.org(),
    Column("domain_key", KeyText, primary_key=True),
    columns.key("verified_by"),  # operator | dns
    columns.time("verified_at", null=True),
)
# One domain, one organization; a claim that is not proven stands in nobody's way.
columns.partial_index(
    "uq_domains_domain_key",
    domains.c.domain_key,
    unique=True,
    where=domains.c.verified_at.is_not(None),
)

# A partner's organization, and one whose approval queue its people see.
partner_queues = Table(
    "partner_queues",
    metadata,
    columns.org(),  # the partner's
    Column("customer_id", Id, primary_key=True),
    columns.time("since"),
    Index("ix_partner_queues_customer", "customer_id"),
)
