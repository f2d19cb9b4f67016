"""The schema: one for both databases.

Every table of an organization leads its key with ``org_id``, so that the database can be split by
it, and so that no statement can forget it. Ids are UUIDv7 as text. Foreign keys stay inside one
organization. Nothing here leaves ``scimd.org``; ``scimd.scim.filter_sql`` alone looks in.

A module per noun, in the singular, since ``from scimd.db.tables import people`` is the table. A new
table is named here too: what is not imported is in no migration.
"""

from scimd.db.tables.assertion import assertions
from scimd.db.tables.columns import metadata
from scimd.db.tables.event import TOLD, events, published
from scimd.db.tables.group import group_effects, group_members, groups, value_effects
from scimd.db.tables.invitation import NEWEST_LAST, invitations
from scimd.db.tables.organization import domains, organizations, partner_queues
from scimd.db.tables.outbox import deliveries, notifications
from scimd.db.tables.person import (
    LOCAL,
    NOT_IN_YET,
    UNLISTED,
    gates,
    grants,
    merged_people,
    people,
    pictures,
    status_spans,
)
from scimd.db.tables.pool import pools, slots
from scimd.db.tables.request import idempotency_keys, scim_requests
from scimd.db.tables.seat import seat_days, seat_pools, waiting
from scimd.db.tables.sign_in import (
    credentials,
    links,
    login_attempts,
    recovery_codes,
    second_factors,
    sessions,
    signing_keys,
    spent_tickets,
)
from scimd.db.tables.source import rules, run_changes, runs, sources
from scimd.db.tables.target import licences, projects, roles, teams
from scimd.db.tables.token import access_tokens, api_tokens, jwt_issuers, oauth_clients, oauth_secrets, tokens
from scimd.db.tables.work import decisions, leases, unsettled, walks

__all__ = [
    "LOCAL",
    "NEWEST_LAST",
    "NOT_IN_YET",
    "TOLD",
    "UNLISTED",
    "access_tokens",
    "api_tokens",
    "assertions",
    "credentials",
    "decisions",
    "deliveries",
    "domains",
    "events",
    "gates",
    "grants",
    "group_effects",
    "group_members",
    "groups",
    "idempotency_keys",
    "invitations",
    "jwt_issuers",
    "leases",
    "licences",
    "links",
    "login_attempts",
    "merged_people",
    "metadata",
    "notifications",
    "oauth_clients",
    "oauth_secrets",
    "organizations",
    "partner_queues",
    "people",
    "pictures",
    "pools",
    "projects",
    "published",
    "recovery_codes",
    "roles",
    "rules",
    "run_changes",
    "runs",
    "scim_requests",
    "seat_days",
    "seat_pools",
    "second_factors",
    "sessions",
    "signing_keys",
    "slots",
    "sources",
    "spent_tickets",
    "status_spans",
    "teams",
    "tokens",
    "unsettled",
    "value_effects",
    "waiting",
    "walks",
]
