"""The schema: one for both databases.

Every table of an organization leads its key with ``org_id``, so that the database can be split by
it, and so that no statement can forget it. Ids are UUIDv7 as text. Foreign keys stay inside one
organization. Nothing here leaves ``scimd.org``; ``scimd.scim.filter_sql`` alone looks in.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.schema import ExecutableDDLElement

from scimd.db.types import Bytes, Id, Json, KeyText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id", **kw: Any) -> Column[str]:
    return Column(name, Id, primary_key=True, **kw)


def _org() -> Column[str]:
    return Column("org_id", Id, primary_key=True)


def _ref(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Id, nullable=null)


def _time(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=null)


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def _flag(name: str, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def _key(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, KeyText, nullable=null)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _trigger(text: str, dialect: str) -> ExecutableDDLElement:
    made: ExecutableDDLElement = DDL(text)  # type: ignore[no-untyped-call]
    return made.execute_if(dialect=dialect)


# ------------------------------------------------------------------------------ organizations

organizations = Table(
    "organizations",
    metadata,
    _id(),
    _key("slug"),
    _text("name"),
    _key("kind"),  # customer | partner | system
    # Raised by each change of tokens, roles, rules, sources: whatever is cached is cached by it.
    _int("generation", 1),
    _ref("default_project_id", null=True),
    _key("seats_on_scim"),  # hold | reject | allow
    _text("get_more_seats_url", null=True),
    _flag("approval_required"),
    Column("settings", Json, nullable=False),
    _time("created_at"),
    UniqueConstraint("slug"),
)

domains = Table(
    "domains",
    metadata,
    _org(),
    Column("domain_key", KeyText, primary_key=True),
    _key("verified_by"),  # operator | dns
    _time("verified_at", null=True),
)
# One domain, one organization; a claim that is not proven stands in nobody's way.
Index(
    "uq_domains_domain_key",
    domains.c.domain_key,
    unique=True,
    sqlite_where=domains.c.verified_at.is_not(None),
    postgresql_where=domains.c.verified_at.is_not(None),
)

# A partner's organization, and one whose approval queue its people see.
partner_queues = Table(
    "partner_queues",
    metadata,
    _org(),  # the partner's
    Column("customer_id", Id, primary_key=True),
    _time("since"),
    Index("ix_partner_queues_customer", "customer_id"),
)

sources = Table(
    "sources",
    metadata,
    _org(),
    _id(),
    _key("name"),
    _key("kind"),  # scim | connector
    _key("connector", null=True),  # the entry point's name
    _int("priority"),
    _key("state"),  # shadow | staged | active | paused
    _key("invite"),  # immediate | never
    _key("ceiling"),  # an org role
    _key("declared_in"),  # file | database
    Column("config", Json, nullable=False),  # settings without secrets' values, mapping, limits, schedule
    _int("config_version", 1),  # raised when mapping, scope or joins change: digests are void
    # Counters of live assertions and groups: totals without a filter are read, not counted.
    _int("user_count"),
    _int("group_count"),
    # SCIM deactivations of an hour: since when, how many, of how many people. Only for the alarm.
    _time("leaving_since", null=True),
    _int("leaving_count"),
    _int("leaving_of"),
    # How the last runs went.
    _int("failures"),  # in a row
    _time("last_success_at", null=True),
    _time("last_full_at", null=True),
    _time("next_run_at", null=True),
    _time("quarantined_since", null=True),
    _text("quarantine_cause", null=True),
    _key("paused_from", null=True),  # the state before a quarantine of 28 days paused it
    _text("cursor", null=True),
    _time("released_at", null=True),
    _time("ended_at", null=True),
    _time("created_at"),
    UniqueConstraint("org_id", "name"),
)

tokens = Table(
    "tokens",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    _text("name"),
    Column("hash", Bytes, nullable=False),  # SHA-256 of 256 random bits
    _key("profile"),
    Column("scopes", Json, nullable=False),
    _time("created_at"),
    _time("expires_at", null=True),
    _time("revoked_at", null=True),
    _time("last_used_at", null=True),
    _time("trace_until", null=True),  # until then its successful reads are in scim_requests too
    Index("uq_tokens_hash", "hash", unique=True),
    Index("ix_tokens_source", "org_id", "source_id"),
)

# Who may fetch access tokens (RFC 6749 §4.4). The id is the client_id.
oauth_clients = Table(
    "oauth_clients",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    _text("name"),
    _key("profile"),
    Column("scopes", Json, nullable=False),
    _time("created_at"),
    _time("revoked_at", null=True),
    _time("last_used_at", null=True),
    Index("ix_oauth_clients_source", "org_id", "source_id"),
)

# A client's secrets: two live ones at most, so that one can be changed without a gap.
oauth_secrets = Table(
    "oauth_secrets",
    metadata,
    _org(),
    _id(),
    _ref("client_id"),
    Column("hash", Bytes, nullable=False),
    _time("created_at"),
    _time("expires_at", null=True),
    _time("revoked_at", null=True),
    Index("uq_oauth_secrets_hash", "hash", unique=True),
    Index("ix_oauth_secrets_client", "org_id", "client_id"),
)

# Alive while its client and the secret that fetched it are.
access_tokens = Table(
    "access_tokens",
    metadata,
    _org(),
    _id(),
    _ref("client_id"),
    _ref("secret_id"),
    Column("hash", Bytes, nullable=False),
    Column("scopes", Json, nullable=False),
    _time("created_at"),
    _time("expires_at"),
    Index("uq_access_tokens_hash", "hash", unique=True),
    Index("ix_access_tokens_expires", "expires_at"),
)

# Whose signed tokens speak for a source: (issuer, audience) is one source's, over all organizations.
jwt_issuers = Table(
    "jwt_issuers",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    _key("issuer"),
    _key("audience"),
    Column("config", Json, nullable=False),  # config.Jwt
    _time("created_at"),
    _time("last_used_at", null=True),
    Index("uq_jwt_issuers_issuer_audience", "issuer", "audience", unique=True),
    Index("uq_jwt_issuers_source", "org_id", "source_id", unique=True),
)

# Of a person (at most what the person may), or of a service (what stands in permissions).
api_tokens = Table(
    "api_tokens",
    metadata,
    _org(),
    _id(),
    _key("kind"),  # personal | service
    _ref("person_id", null=True),
    _text("name"),
    Column("hash", Bytes, nullable=False),
    Column("permissions", Json, nullable=True),  # NULL, of a personal one: whatever the person may
    _text("created_by"),
    _time("created_at"),
    _time("expires_at", null=True),
    _time("revoked_at", null=True),
    _text("revoked_by", null=True),
    _time("last_used_at", null=True),
    Index("uq_api_tokens_hash", "hash", unique=True),
    Index("ix_api_tokens_person", "org_id", "person_id"),
)

scim_requests = Table(
    "scim_requests",
    metadata,
    _org(),
    _id(),  # by time: the order of the log, and what pruning goes by
    _time("at"),
    _ref("token_id", null=True),
    _text("token_name"),
    _ref("source_id", null=True),
    _text("source_name"),
    _key("profile"),
    _key("correlation_id"),
    _key("method"),
    _key("pattern"),  # the path with {id} for ids
    _text("path"),  # from here on values are pseudonyms: core/request_pseudonyms
    _text("query", null=True),
    _int("status"),
    _key("scim_type", null=True),
    _text("detail", null=True),
    _int("duration_us"),
    Column("headers", Json, nullable=False),  # what a replay needs: If-Match, ETag, Content-Type
    Column("transforms", Json, nullable=False),  # [{"name": "entra.manager-forms", "did": …}]
    Column("ignored", Json, nullable=False),  # [{"name": "shoeSize", "why": …}]
    _key("resource_kind", null=True),  # User | Group
    _ref("resource_id", null=True),  # scimd's own id, where there is such a resource
    _text("request", null=True),  # JSON; text, since the order of keys is part of it
    _text("response", null=True),
    Column("omitted", Json, nullable=False),  # bodies that were too large: ["response"]
    _int("bytes"),
    _int("dropped"),  # entries before this one for which there was no room
    Index("ix_scim_requests_correlation", "org_id", "correlation_id"),
)

# ------------------------------------------------------------------------------ people

people = Table(
    "people",
    metadata,
    _org(),
    _id(),
    _key("kind"),  # person | service
    _key("local_user_name"),
    _text("display_name"),
    _text("sign_in_address", null=True),
    _key("sign_in_key", null=True),
    _time("address_verified_at", null=True),
    _flag("approved", True),
    _flag("accepted"),
    # How a local person comes in: invitation | set_password | set_password_expired.
    Column("welcome", KeyText, nullable=False, server_default=text("'invitation'")),
    # The local profile: a document like an assertion's, the person's own while no source owns it.
    Column("profile", Json, nullable=False),
    # Standing as stored.
    _key("status"),
    Column("causes", Json, nullable=False),  # ["deprovisioned:okta", …], the strongest first
    _ref("owner_source_id", null=True),
    _key("primary_role"),
    Column("roles", Json, nullable=False),  # the whole set, primary first
    _ref("team_id", null=True),
    _flag("wants_seat"),
    _flag("has_seat"),
    _int("rules_version"),
    # scimd's SCIM extension, ready to splice; and the counter behind the ETag's second half.
    Column("extension", Bytes, nullable=True),
    _int("rest", 1),
    _text("created_by"),
    _time("created_at"),
    _time("changed_at"),
    _time("deleted_at", null=True),  # tombstoned: hidden, restorable for 30 days
    CheckConstraint("status IN ('active','pending','inactive')", name="status"),
    CheckConstraint("NOT has_seat OR status <> 'inactive'", name="seat"),
    Index("ix_people_status", "org_id", "status"),
    Index("ix_people_created", "org_id", "created_at", "id"),
)
_LOCAL = (
    people.c.owner_source_id.is_(None) & people.c.sign_in_key.is_not(None) & people.c.deleted_at.is_(None)
)
# Those whom a source may link: few beside those who are asserted, and never there while they are made.
Index(
    "ix_people_local",
    people.c.org_id,
    people.c.created_at,
    people.c.id,
    sqlite_where=_LOCAL,
    postgresql_where=_LOCAL,
)
# Unique among the living (V6).
Index(
    "uq_people_local_user_name",
    people.c.org_id,
    people.c.local_user_name,
    unique=True,
    sqlite_where=people.c.deleted_at.is_(None),
    postgresql_where=people.c.deleted_at.is_(None),
)
Index(
    "uq_people_sign_in_key",
    people.c.org_id,
    people.c.sign_in_key,
    unique=True,
    sqlite_where=people.c.deleted_at.is_(None) & people.c.sign_in_key.is_not(None),
    postgresql_where=people.c.deleted_at.is_(None) & people.c.sign_in_key.is_not(None),
)

# What time brings is looked for among few: who has not come in yet, and who is to be purged.
#: As the index says it, word by word, or it is not found.
NOT_IN_YET = text("welcome = 'set_password' AND NOT accepted")
Index(
    "ix_people_not_in_yet",
    people.c.org_id,
    people.c.id,
    sqlite_where=NOT_IN_YET,
    postgresql_where=NOT_IN_YET,
)
Index(
    "ix_people_deleted",
    people.c.deleted_at,
    sqlite_where=people.c.deleted_at.is_not(None),
    postgresql_where=people.c.deleted_at.is_not(None),
)

assertions = Table(
    "assertions",
    metadata,
    _org(),
    Column("source_id", Id, primary_key=True),
    Column("person_id", Id, primary_key=True),
    _key("external_id", null=True),
    _text("user_name"),
    _key("user_name_key"),
    _flag("active", True),
    _key("state"),  # live | gone | history
    _flag("deleted"),  # gone because the source said delete
    # The source's document as bytes ready to answer, without id, meta and groups.
    Column("document", Bytes, nullable=False),
    # The same, folded: every case-insensitive string as its comparison key. Filters look here.
    Column("folded", Json, nullable=False),
    # Columns for what is sorted and filtered most (core/attributes.py names them).
    _key("display_name_key", null=True),
    _key("family_name_key", null=True),
    _key("given_name_key", null=True),
    _key("email_key", null=True),  # the primary address
    # What joins meet by, beside email_key (core/sync/match.py).
    _key("sign_in_key", null=True),
    _key("employee_number_key", null=True),
    _int("version", 1),
    Column("digest", Bytes, nullable=True),  # of the raw entry and the config's version; NULL: look again
    _text("entry_name", null=True),  # what the directory calls it (a DN)
    _ref("seen_run_id", null=True),  # the last full read that saw it
    _time("created_at"),
    _time("changed_at"),
    _time("gone_at", null=True),
    Index("ix_assertions_person", "org_id", "person_id", "source_id", "state"),
    # All that a page without a filter passes over: no row of the table is read for it.
    Index("ix_assertions_page", "org_id", "source_id", "created_at", "person_id", "state"),
    Index("ix_assertions_email", "org_id", "source_id", "email_key"),
    Index("ix_assertions_display_name", "org_id", "source_id", "display_name_key"),
    Index("ix_assertions_external", "org_id", "source_id", "external_id"),  # the dead ones too
    Index("ix_assertions_user_name", "org_id", "source_id", "user_name_key"),
    Index("ix_assertions_sign_in", "org_id", "sign_in_key"),
    Index("ix_assertions_employee_number", "org_id", "employee_number_key"),
)
_living = assertions.c.state == "live"
Index(
    "uq_assertions_external_id",
    assertions.c.org_id,
    assertions.c.source_id,
    assertions.c.external_id,
    unique=True,
    sqlite_where=_living & assertions.c.external_id.is_not(None),
    postgresql_where=_living & assertions.c.external_id.is_not(None),
)
Index(
    "uq_assertions_user_name_key",
    assertions.c.org_id,
    assertions.c.source_id,
    assertions.c.user_name_key,
    unique=True,
    sqlite_where=_living,
    postgresql_where=_living,
)

# Ids of people who were merged, and of those into whom they went: both answer.
merged_people = Table(
    "merged_people",
    metadata,
    _org(),
    _id(),  # of who was merged
    _ref("person_id"),  # of who was kept
    _time("since"),
    Index("ix_merged_people_person", "org_id", "person_id"),
)

gates = Table(
    "gates",
    metadata,
    _org(),
    Column("person_id", Id, primary_key=True),
    Column("kind", KeyText, primary_key=True),  # deactivated | disabled | deleted | reinstated
    Column("source_id", Id, primary_key=True, server_default=text("''")),  # of a reinstatement
    _text("by"),
    _time("at"),
    _time("until", null=True),
)

grants = Table(
    "grants",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    _key("kind"),  # role | project | team | licence
    _key("target"),
    _key("project_role", null=True),
    _key("origin"),  # manual | group | value | default
    _text("origin_by"),
    _ref("source_id", null=True),
    _ref("group_id", null=True),
    Column("rule", Integer, nullable=True),
    _flag("dormant"),
    _int("rules_version"),
    _time("since"),
    _time("until", null=True),
    Index("ix_grants_person", "org_id", "person_id", "until"),
    Index("ix_grants_target", "org_id", "kind", "target", "until"),
)

status_spans = Table(
    "status_spans",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    _key("status"),
    Column("causes", Json, nullable=False),
    _int("rules_version"),
    _time("since"),
    _time("until", null=True),
    Index("ix_status_spans_person", "org_id", "person_id", "until"),
)

# ------------------------------------------------------------------------------ groups, rules, targets

groups = Table(
    "groups",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    _key("external_id", null=True),
    _text("display_name"),
    _key("display_name_key"),
    # Its name again where the source may give a name only once (SCIM); NULL where names may repeat.
    _key("unique_name_key", null=True),
    Column("document", Bytes, nullable=False),  # without members
    Column("folded", Json, nullable=False),
    _int("version", 1),
    _key("state"),  # live | gone
    Column("digest", Bytes, nullable=True),
    _text("entry_name", null=True),
    _ref("seen_run_id", null=True),
    _time("created_at"),
    _time("changed_at"),
    _time("gone_at", null=True),
    Index("ix_groups_page", "org_id", "source_id", "created_at", "id"),
    Index("ix_groups_display_name", "org_id", "source_id", "display_name_key"),
)
_living_group = groups.c.state == "live"
Index(
    "uq_groups_external_id",
    groups.c.org_id,
    groups.c.source_id,
    groups.c.external_id,
    unique=True,
    sqlite_where=_living_group & groups.c.external_id.is_not(None),
    postgresql_where=_living_group & groups.c.external_id.is_not(None),
)
Index(
    "uq_groups_unique_name_key",
    groups.c.org_id,
    groups.c.source_id,
    groups.c.unique_name_key,
    unique=True,
    sqlite_where=_living_group & groups.c.unique_name_key.is_not(None),
    postgresql_where=_living_group & groups.c.unique_name_key.is_not(None),
)

group_members = Table(
    "group_members",
    metadata,
    _org(),
    Column("group_id", Id, primary_key=True),
    # What the source calls the member: a SCIM id or an external id, as sent. Once resolved it is the
    # person's or group's id, so that two names of one member are one row.
    Column("member_key", KeyText, primary_key=True),
    _ref("source_id"),
    _ref("person_id", null=True),  # one of these two once resolved, neither before
    _ref("child_id", null=True),
    _time("since"),
    # With the group, so that a page of people finds their groups in the index alone.
    Index("ix_group_members_person", "org_id", "person_id", "group_id"),
    Index("ix_group_members_child", "org_id", "child_id"),
    Index("ix_group_members_key", "org_id", "source_id", "member_key"),
)

# What a group gives, bound to ids: made from the source's rules when the group appears or the rules
# change; from then on a rename of the group changes nothing here (docs/semantics.md).
group_effects = Table(
    "group_effects",
    metadata,
    _org(),
    Column("group_id", Id, primary_key=True),
    Column("rule", Integer, primary_key=True, autoincrement=False),  # 0: the source's default
    Column("kind", KeyText, primary_key=True),
    _key("target"),
    _key("project_role", null=True),
    Index("ix_group_effects_target", "org_id", "kind", "target"),
)

value_effects = Table(
    "value_effects",  # what a value of roles or entitlements gives; the rule names the value
    metadata,
    _org(),
    Column("source_id", Id, primary_key=True),
    Column("rule", Integer, primary_key=True, autoincrement=False),
    Column("kind", KeyText, primary_key=True),
    _key("target"),
    _key("project_role", null=True),
)

rules = Table(
    "rules",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    Column("number", Integer, nullable=False),
    Column("body", Json, nullable=False),
    _int("since_generation"),
    Column("until_generation", Integer, nullable=True),
    Index("ix_rules_source", "org_id", "source_id", "until_generation"),
)

projects = Table(
    "projects",
    metadata,
    _org(),
    _id(),
    _text("name"),
    _key("name_key"),
    _ref("made_by_group_id", null=True),  # its name follows that group's
    _flag("orphaned"),
    _time("archived_at", null=True),
    _time("created_at"),
)
Index(
    "uq_projects_name_key",
    projects.c.org_id,
    projects.c.name_key,
    unique=True,
    sqlite_where=projects.c.archived_at.is_(None),
    postgresql_where=projects.c.archived_at.is_(None),
)

teams = Table(
    "teams", metadata, _org(), _id(), _text("name"), _key("name_key"), _time("created_at"),
    UniqueConstraint("org_id", "name_key"),
)  # fmt: skip

licences = Table(
    "licences", metadata, _org(), _id(), _text("name"), _key("name_key"), _time("created_at"),
    UniqueConstraint("org_id", "name_key"),
)  # fmt: skip

roles = Table(
    "roles",
    metadata,
    _org(),
    Column("name", KeyText, primary_key=True),
    _text("label"),
    Column("permissions", Json, nullable=False),
    _flag("may_hold_projects"),
    _flag("built_in"),
)

# ------------------------------------------------------------------------------ seats, settling

seat_pools = Table(
    "seat_pools",
    metadata,
    _org(),
    Column("seat_limit", Integer, nullable=True),  # NULL: no limit
    _int("used"),
    _flag("allow_overage"),
    CheckConstraint("used >= 0", name="used"),
)
# V1 at every commit, whoever writes: used may not grow above the limit unless the row says so.
for _ddl in (
    _trigger(
        """CREATE TRIGGER seats_never_overbooked BEFORE UPDATE OF used ON seat_pools
        WHEN NEW.used > OLD.used AND NEW.seat_limit IS NOT NULL AND NEW.used > NEW.seat_limit
         AND NOT NEW.allow_overage
        BEGIN SELECT RAISE(ABORT, 'seats_never_overbooked'); END""",
        "sqlite",
    ),
    _trigger(
        """CREATE FUNCTION seats_never_overbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.used > OLD.used AND NEW.seat_limit IS NOT NULL AND NEW.used > NEW.seat_limit
             AND NOT NEW.allow_overage THEN
            RAISE EXCEPTION 'seats_never_overbooked'
              USING ERRCODE = '23514', CONSTRAINT = 'seats_never_overbooked';
          END IF;
          RETURN NEW;
        END $$""",
        "postgresql",
    ),
    _trigger(
        "CREATE TRIGGER seats_never_overbooked BEFORE UPDATE OF used ON seat_pools "
        "FOR EACH ROW EXECUTE FUNCTION seats_never_overbooked()",
        "postgresql",
    ),
):
    event.listen(seat_pools, "after_create", _ddl)

# How many seats were used at most on a day, and how many people waited; written every few minutes.
seat_days = Table(
    "seat_days",
    metadata,
    _org(),
    Column("day", KeyText, primary_key=True),  # 2026-11-21, UTC
    _int("used"),
    Column("seat_limit", Integer, nullable=True),
    _int("waited_for"),
)

waiting = Table(
    "waiting",
    metadata,
    _org(),
    Column("person_id", Id, primary_key=True),
    _time("since"),
    _key("place"),  # orders those who came in one transaction: source priority, rule, external id
    Index("ix_waiting_order", "org_id", "since", "place", "person_id"),
)

unsettled = Table(
    "unsettled",
    metadata,
    _org(),
    Column("person_id", Id, primary_key=True),
    _int("turn"),  # 0 leavers, 1 joiners
    _time("marked_at"),
    Index("ix_unsettled_turn", "org_id", "turn", "marked_at"),
)

# ------------------------------------------------------------------------------ invitations, sign-in

invitations = Table(
    "invitations",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    _text("address"),
    _key("status"),  # pending | accepted | declined | expired | cancelled
    _flag("staged"),  # its mail waits for the source's release
    _flag("reactivates"),  # of somebody whom an admin deactivated: accepting lifts that
    _int("generation", 1),
    _text("message", null=True),
    _text("invited_by"),
    _ref("source_id", null=True),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", null=True),
    _time("ended_at", null=True),
    _text("ended_by", null=True),
    _time("sent_at", null=True),
    _time("hidden_at", null=True),
    Index("ix_invitations_person", "org_id", "person_id", "created_at"),
    Index("ix_invitations_status", "org_id", "status", "expires_at"),
    Index("ix_invitations_created", "created_at", "org_id"),
)
# One at a time; and what a settled person may have is found without reading all that are pending.
Index(
    "uq_invitations_pending",
    invitations.c.org_id,
    invitations.c.person_id,
    unique=True,
    sqlite_where=invitations.c.status == "pending",
    postgresql_where=invitations.c.status == "pending",
)

# One-time links other than invitations: sign-in, set-password. Spent by one conditional UPDATE.
links = Table(
    "links",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    _key("purpose"),  # sign_in | set_password | confirm_address
    _text("address", null=True),  # of confirm_address: the one to confirm
    _int("generation", 1),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", null=True),
    Index("ix_links_person", "org_id", "person_id"),
)

credentials = Table(
    "credentials",
    metadata,
    _org(),
    Column("person_id", Id, primary_key=True),
    Column("kind", KeyText, primary_key=True),  # password
    _text("secret"),  # an Argon2id hash
    _flag("short"),  # good enough beside a second factor only
    _time("changed_at"),
)

# What a person proves themselves with beside the password.
second_factors = Table(
    "second_factors",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    _key("kind"),  # totp | passkey
    _text("name"),
    Column("secret", Bytes, nullable=False),  # of totp: sealed; of a passkey: its public key (COSE)
    Column("credential_id", Bytes, nullable=True),  # of a passkey
    _int("counter"),  # of totp: the last window that was used; of a passkey: its signature counter
    _time("created_at"),
    _time("last_used_at", null=True),
    CheckConstraint("(kind = 'passkey') = (credential_id IS NOT NULL)", name="credential"),
    Index("ix_second_factors_person", "org_id", "person_id"),
    Index("uq_second_factors_credential", "credential_id", unique=True),
)
# One authenticator app per person.
Index(
    "uq_second_factors_totp",
    second_factors.c.org_id,
    second_factors.c.person_id,
    unique=True,
    sqlite_where=second_factors.c.kind == "totp",
    postgresql_where=second_factors.c.kind == "totp",
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    Column("hash", Bytes, nullable=False),
    _time("created_at"),
    _time("used_at", null=True),
    Index("uq_recovery_codes_hash", "org_id", "person_id", "hash", unique=True),
)

# Tickets (org/tickets.py) that were used, until they would have expired anyway.
spent_tickets = Table(
    "spent_tickets",
    metadata,
    _org(),
    Column("hash", Bytes, primary_key=True),
    _time("until"),
    Index("ix_spent_tickets_until", "org_id", "until"),
)

pictures = Table(
    "pictures",
    metadata,
    _org(),
    Column("person_id", Id, primary_key=True),
    _key("kind"),  # image/png | image/jpeg | image/webp
    Column("image", Bytes, nullable=False),
    _time("changed_at"),
)

sessions = Table(
    "sessions",
    metadata,
    _org(),
    _id(),
    _ref("person_id"),
    Column("hash", Bytes, nullable=False),
    _text("user_agent"),
    _text("ip"),
    Column("how", KeyText, nullable=False, server_default=text("'password'")),  # sessions.How
    _flag("strong"),  # proved by more than a password or a link
    _time("proved_at"),  # when they last proved who they are
    _time("started_at"),
    _time("last_active_at"),
    _time("expires_at"),
    _time("ended_at", null=True),
    _text("ended_by", null=True),
    _text("origin", null=True),  # the application that reported it; its own hash opens nothing
    Index("uq_sessions_hash", "hash", unique=True),
    Index("ix_sessions_person", "org_id", "person_id", "ended_at"),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    _org(),
    _id(),
    _ref("person_id", null=True),
    _text("address"),
    _key("address_key"),
    _text("ip"),
    _flag("success"),
    _text("reason"),
    _text("origin", null=True),  # the application that reported it
    _time("at"),
    Index("ix_login_attempts_at", "org_id", "at"),
    Index("ix_login_attempts_address", "org_id", "address_key", "at"),
    Index("ix_login_attempts_ip", "ip", "at"),
)

# ------------------------------------------------------------------------------ the REST API

# Made in the transaction of the write itself; the answer follows, sealed (org/idempotency.py).
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _org(),
    Column("actor_id", KeyText, primary_key=True),
    Column("key", KeyText, primary_key=True),
    Column("digest", Bytes, nullable=False),  # of method, address and body
    _key("attempt"),  # the sending that carried it out
    Column("status", Integer, nullable=True),
    Column("answer", Bytes, nullable=True),
    _time("at"),
    _time("until"),
    Index("ix_idempotency_keys_until", "until"),
)

# ------------------------------------------------------------------------------ runs, decisions, leases

runs = Table(
    "runs",
    metadata,
    _org(),
    _id(),
    _ref("source_id"),
    _key("trigger"),  # schedule | manual | cli
    # reading | planned | held | applying | done | partial | failed | refused | expired
    _key("state"),
    _text("started_by"),
    _time("started_at"),
    _time("planned_at", null=True),
    _time("finished_at", null=True),
    _time("expires_at", null=True),
    _flag("full", True),
    _flag("complete"),
    Column("counts", Json, nullable=False),  # by situation, by action and by outcome
    Column("trips", Json, nullable=False),  # the limits that tripped, each with its figures
    Column("seats", Json, nullable=False),  # before, freed, wanted, after, waiting
    _key("fingerprint", null=True),
    _int("config_version"),
    _int("rules_version"),
    _int("place"),  # changes applied so far
    _text("cursor", null=True),
    _text("error", null=True),
    _key("error_kind", null=True),
    _text("approved_by", null=True),
    _time("approved_at", null=True),
    Index("ix_runs_source", "org_id", "source_id", "started_at"),
    Index("ix_runs_state", "org_id", "state"),
)

run_changes = Table(
    "run_changes",
    metadata,
    _org(),
    Column("run_id", Id, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    _key("kind"),  # user | group
    _key("situation"),
    _key("action"),  # create update link deactivate delete rename members skip fail wait
    _flag("removal"),
    _key("external_id", null=True),
    _text("name"),
    _ref("target_id", null=True),  # a person or a group
    Column("old", Json, nullable=True),
    Column("new", Json, nullable=True),
    Column("payload", Json, nullable=True),  # what apply needs beyond old and new
    _text("reason"),
    _key("outcome"),  # planned | staged | applied | waiting | skipped | failed
    _text("detail", null=True),
    Column("inverse", Json, nullable=True),
    _time("applied_at", null=True),
    Index("ix_run_changes_outcome", "org_id", "run_id", "outcome"),
)

decisions = Table(
    "decisions",
    metadata,
    _org(),
    _id(),
    _key("kind"),  # collision | ambiguous | return | shared_address | group_name | link
    _key("subject"),  # one item however often it comes up: unique among the open ones
    _text("question"),
    Column("options", Json, nullable=False),  # [{"answer": "link", "label": …, "effect": …}]
    Column("facts", Json, nullable=False),
    _ref("source_id", null=True),
    _key("state"),  # open | answered | moot
    _key("answer", null=True),
    _text("answered_by", null=True),
    _time("opened_at"),
    _time("answered_at", null=True),
    Index("ix_decisions_state", "org_id", "state", "opened_at"),
)
Index(
    "uq_decisions_open",
    decisions.c.org_id,
    decisions.c.kind,
    decisions.c.subject,
    unique=True,
    sqlite_where=decisions.c.state == "open",
    postgresql_where=decisions.c.state == "open",
)

leases = Table(
    "leases",
    metadata,
    _org(),
    Column("name", KeyText, primary_key=True),  # source:<id>, outbox, publisher, settling
    _key("holder"),
    _int("fence"),
    _time("until"),
)

# ------------------------------------------------------------------------------ events, outbox

events = Table(
    "events",
    metadata,
    _org(),
    _id(),
    _time("at"),
    _key("actor_kind"),
    _key("actor_id"),
    _text("actor_name"),
    _key("door"),
    _key("kind"),
    _key("target_kind"),
    _key("target_id"),
    _key("correlation_id"),
    _key("audience"),  # audit | feed
    Column("digest", Bytes, nullable=False),  # SHA-256 over the salt and the values
    Index("ix_events_target", "org_id", "target_id", "at"),
    Index("ix_events_correlation", "org_id", "correlation_id"),
    Index("ix_events_at", "org_id", "at"),
)

event_values = Table(
    "event_values",
    metadata,
    _org(),
    Column("event_id", Id, primary_key=True),
    Column("salt", Bytes, nullable=False),
    Column("body", Json, nullable=False),  # {"before": …, "after": …, "note": …}
)

published = Table(
    "published",
    metadata,
    _org(),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _ref("event_id"),
    Column("chain", Bytes, nullable=False),
    Index("uq_published_event", "org_id", "event_id", unique=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    _org(),
    _id(),
    _key("kind"),  # mail
    _key("template"),
    _ref("person_id", null=True),
    _ref("invitation_id", null=True),
    _ref("link_id", null=True),
    _text("address"),
    Column("params", Json, nullable=False),  # never a token: links are derived when the mail is made
    _key("state"),  # staged | due | sent | refused | cancelled
    _time("first_change_at"),
    _time("due_at"),
    _int("attempts"),
    _text("last_error", null=True),
    _time("sent_at", null=True),
    _time("created_at"),
    Index("ix_deliveries_due", "state", "due_at"),
    Index("ix_deliveries_invitation", "org_id", "invitation_id"),
    Index("ix_deliveries_person", "org_id", "person_id"),
)

# What the organization's own people were told of. A row outlives the mail, so that nothing is told twice.
notifications = Table(
    "notifications",
    metadata,
    _org(),
    Column("key", KeyText, primary_key=True),
    _key("what"),
    _key("subject"),
    _flag("holds"),  # a state that still is so; one that ends may begin again
    _time("noted_at"),
    _time("told_at", null=True),  # NULL: nobody wants to know, or the subject was written about that day
    Index("ix_notifications_subject", "org_id", "subject", "told_at"),
)
