"""People: who they are, what shuts them out, what they were given, and how they stood."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, text

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Id, Json, KeyText

people = Table(
    "people",
    metadata,
    columns.org(),
    columns.ident(),
    columns.key("kind"),  # person | service
    columns.key("local_user_name"),
    columns.text("display_name"),
    columns.key("display_name_key"),
    columns.text("sign_in_address", null=True),
    columns.key("sign_in_key", null=True),
    columns.time("address_verified_at", null=True),
    columns.flag("approved", True),
    columns.flag("accepted"),
    # How a local person comes in: invitation | set_password | set_password_expired.
    Column("welcome", KeyText, nullable=False, server_default=text("'invitation'")),
    # The local profile: a document like an assertion's, the person's own while no source owns it.
    Column("profile", Json, nullable=False),
    # Standing as stored.
    columns.key("status"),
    Column("causes", Json, nullable=False),  # ["deprovisioned:okta", …], the strongest first
    columns.ref("owner_source_id", null=True),
    columns.key("primary_role"),
    Column("roles", Json, nullable=False),  # the whole set, primary first
    columns.ref("team_id", null=True),
    columns.flag("wants_seat"),
    columns.flag("has_seat"),
    columns.flag("lapsed"),  # here only by an invitation that is over: not listed
    columns.counter("rules_version"),
    # scimd's SCIM extension, ready to splice; and the counter behind the ETag's second half.
    Column("extension", Bytes, nullable=True),
    columns.counter("rest", 1),
    columns.text("created_by"),
    columns.time("created_at"),
    columns.time("changed_at"),
    columns.time("expires_at", null=True),  # of a service account
    columns.time("deleted_at", null=True),  # tombstoned: hidden, restorable for 30 days
    CheckConstraint("status IN ('active','pending','inactive')", name="status"),
    CheckConstraint("NOT has_seat OR status <> 'inactive'", name="seat"),
    # With the seat: how many of those who hold one have not come in yet is told to whoever finds none.
    Index("ix_people_status", "org_id", "status", "has_seat"),
)
columns.keep_room(people)
# Those whom a source may link: few beside those who are asserted, and never there while they are made.
LOCAL = people.c.owner_source_id.is_(None) & people.c.sign_in_key.is_not(None) & people.c.deleted_at.is_(None)
columns.partial_index("ix_people_local", people.c.org_id, people.c.created_at, people.c.id, where=LOCAL)
# Unique among the living (V6).
columns.partial_index(
    "uq_people_local_user_name",
    people.c.org_id,
    people.c.local_user_name,
    unique=True,
    where=people.c.deleted_at.is_(None),
)
columns.partial_index(
    "uq_people_sign_in_key",
    people.c.org_id,
    people.c.sign_in_key,
    unique=True,
    where=people.c.deleted_at.is_(None) & people.c.sign_in_key.is_not(None),
)

# What time brings is looked for among few: who has not come in yet, whose time ends, and who is to be purged.
#: As the index says it, word by word, or it is not found.
NOT_IN_YET = text("welcome = 'set_password' AND NOT accepted")
columns.partial_index("ix_people_not_in_yet", people.c.org_id, people.c.id, where=NOT_IN_YET)
columns.partial_index("ix_people_expires", people.c.expires_at, where=people.c.expires_at.is_not(None))
#: Of whom no list of people tells. As the index says it, too.
UNLISTED = text("(deleted_at IS NOT NULL OR lapsed)")
columns.partial_index("ix_people_unlisted", people.c.org_id, people.c.id, where=UNLISTED)
columns.partial_index("ix_people_deleted", people.c.deleted_at, where=people.c.deleted_at.is_not(None))

columns.tell_sqlite(
    people,
    primary="100000000 1000000 1",
    ix_people_status="100000000 1000000 500000 250000",
    ix_people_local="1000000 10000 10 1",
    uq_people_local_user_name="100000000 1000000 1",
    uq_people_sign_in_key="100000000 1000000 1",
    ix_people_not_in_yet="10000 1000 1",
    ix_people_unlisted="10000 1000 1",
    ix_people_deleted="10000 10",
    ix_people_expires="10000 10",
)

# Ids of people who were merged, and of those into whom they went: both answer.
merged_people = Table(
    "merged_people",
    metadata,
    columns.org(),
    columns.ident(),  # of who was merged
    columns.ref("person_id"),  # of who was kept
    columns.time("since"),
    # What went over, to be taken back: source ids, grants by hand, gates, ids merged into them before.
    Column("moved", Json, nullable=False),
    Index("ix_merged_people_person", "org_id", "person_id"),
)

gates = Table(
    "gates",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    Column("kind", KeyText, primary_key=True),  # deactivated | disabled | deleted | reinstated
    Column("source_id", Id, primary_key=True, server_default=text("''")),  # of a reinstatement
    columns.text("by"),
    columns.time("at"),
    columns.time("until", null=True),
)

grants = Table(
    "grants",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    columns.key("kind"),  # role | project | team | licence
    columns.key("target"),
    columns.key("project_role", null=True),
    columns.key("origin"),  # manual | group | value | default
    columns.text("origin_by"),
    columns.ref("source_id", null=True),
    columns.ref("group_id", null=True),
    Column("rule", Integer, nullable=True),
    columns.flag("dormant"),
    columns.counter("rules_version"),
    columns.time("since"),
    columns.time("until", null=True),
    Index("ix_grants_person", "org_id", "person_id", "until"),
    Index("ix_grants_target", "org_id", "kind", "target", "until"),
)
columns.tell_sqlite(
    grants,
    primary="100000000 1000000 1",
    ix_grants_person="100000000 1000000 10 10",
    ix_grants_target="100000000 1000000 1000000 1000 1000",
)

status_spans = Table(
    "status_spans",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    columns.ident(),
    columns.key("status"),
    Column("causes", Json, nullable=False),
    columns.counter("rules_version"),
    columns.time("since"),
    columns.time("until", null=True),
)

pictures = Table(
    "pictures",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    columns.key("kind"),  # image/png | image/jpeg | image/webp
    Column("image", Bytes, nullable=False),
    columns.time("changed_at"),
)
