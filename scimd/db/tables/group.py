"""Groups of sources, their members, and what they give."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Id, Json, KeyText

groups = Table(
    "groups",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    columns.key("external_id", null=True),
    columns.text("display_name"),
    columns.key("display_name_key"),
    # Its name again where the source may give a name only once (SCIM); NULL where names may repeat.
    columns.key("unique_name_key", null=True),
    Column("document", Bytes, nullable=False),  # without members
    Column("folded", Json, nullable=False),
    columns.counter("version", 1),
    columns.key("state"),  # live | gone
    Column("digest", Bytes, nullable=True),
    columns.text("entry_name", null=True),
    columns.ref("seen_run_id", null=True),
    columns.time("created_at"),
    columns.time("changed_at"),
    columns.time("gone_at", null=True),
    Index("ix_groups_page", "org_id", "source_id", "created_at", "id"),
    # For whoever asks which groups have a member: without statistics SQLite would walk all of the source's.
    Index("ix_groups_source", "org_id", "source_id", "id"),
    Index("ix_groups_display_name", "org_id", "source_id", "display_name_key"),
)
columns.keep_room(groups)
_living_group = groups.c.state == "live"
columns.partial_index(
    "uq_groups_external_id",
    groups.c.org_id,
    groups.c.source_id,
    groups.c.external_id,
    unique=True,
    where=_living_group & groups.c.external_id.is_not(None),
)
columns.partial_index(
    "uq_groups_unique_name_key",
    groups.c.org_id,
    groups.c.source_id,
    groups.c.unique_name_key,
    unique=True,
    where=_living_group & groups.c.unique_name_key.is_not(None),
)

columns.tell_sqlite(
    groups,
    primary="1000000 10000 1",
    ix_groups_page="1000000 10000 10000 10 1",
    ix_groups_source="1000000 10000 10000 1",
    ix_groups_display_name="1000000 10000 10000 2",
    uq_groups_external_id="1000000 10000 10000 1",
    uq_groups_unique_name_key="1000000 10000 10000 1",
)

group_members = Table(
    "group_members",
    metadata,
    columns.org(),
    Column("group_id", Id, primary_key=True),
    # What the source calls the member: a SCIM id or an external id, as sent. Once resolved it is the
    # person's or group's id, so that two names of one member are one row.
    Column("member_key", KeyText, primary_key=True),
    columns.ref("source_id"),
    columns.ref("person_id", null=True),  # one of these two once resolved, neither before
    columns.ref("child_id", null=True),
    columns.time("since"),
    # Where nobody is known of those who were named instead: true of whom was kept, false of who was named.
    # When one of the latter appears, the former leave.
    Column("kept", Boolean, nullable=True),
    # With the group, so that a page of people finds their groups in the index alone.
    Index("ix_group_members_person", "org_id", "person_id", "group_id"),
    # The rows are in the key's tree: what changes 50,000 of them writes one tree less.
    sqlite_with_rowid=False,
)
_m = group_members.c
# Few members are groups, or not known yet: whoever writes 100,000 people writes none of these.
_nested = _m.child_id.is_not(None)
columns.partial_index("ix_group_members_child", _m.org_id, _m.child_id, _m.group_id, where=_nested)
columns.partial_index("ix_group_members_nested", _m.org_id, _m.group_id, _m.child_id, where=_nested)
_unknown = _m.person_id.is_(None) & _m.child_id.is_(None)
_kept = _m.kept.is_not(None)
columns.partial_index("ix_group_members_kept", _m.org_id, _m.group_id, _m.member_key, where=_kept)
columns.partial_index("ix_group_members_unknown", _m.org_id, _m.source_id, _m.member_key, where=_unknown)
columns.tell_sqlite(
    group_members,
    # More than one would search for in a group, so that pairs of group and member are looked for as such.
    primary="100000000 1000000 100 1",
    ix_group_members_person="100000000 1000000 10 1",
    ix_group_members_child="1000 1000 10 1",
    ix_group_members_nested="1000 1000 10 1",
    ix_group_members_kept="1000 1000 10 1",
    ix_group_members_unknown="1000 1000 1000 10",
)

# What a group gives, bound to ids: made from the source's rules when the group appears or the rules
# change; from then on a rename of the group changes nothing here (docs/semantics.md).
group_effects = Table(
    "group_effects",
    metadata,
    columns.org(),
    Column("group_id", Id, primary_key=True),
    Column("rule", Integer, primary_key=True, autoincrement=False),  # 0: the source's default
    Column("kind", KeyText, primary_key=True),
    columns.key("target"),
    columns.key("project_role", null=True),
    Index("ix_group_effects_target", "org_id", "kind", "target"),
)

value_effects = Table(
    "value_effects",  # what a value of roles or entitlements gives; the rule names the value
    metadata,
    columns.org(),
    Column("source_id", Id, primary_key=True),
    Column("rule", Integer, primary_key=True, autoincrement=False),
    Column("kind", KeyText, primary_key=True),
    columns.key("target"),
    columns.key("project_role", null=True),
)
