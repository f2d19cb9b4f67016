"""What sources say of people."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Id, Json

assertions = Table(
    "assertions",
    metadata,
    columns.org(),
    Column("source_id", Id, primary_key=True),
    Column("person_id", Id, primary_key=True),
    columns.key("external_id", null=True),
    columns.text("user_name"),
    columns.key("user_name_key"),
    columns.flag("active", True),
    columns.key("state"),  # live | gone | history
    columns.one_where("is_live", "state = 'live'"),
    columns.flag("deleted"),  # gone because the source said delete
    # The source's document as bytes ready to answer, without id, meta and groups.
    Column("document", Bytes, nullable=False),
    # What a read puts behind it: id and meta as ``core.resource.meta_part`` has them, then the person's
    # ``rest``, and the ids of the groups in which the person is directly, with commas between. The
    # last two are as of the person's last settling: while there are marks, the members' rows say more.
    Column("meta", Bytes, nullable=False),
    columns.counter("person_rest", 1),
    columns.text("in_groups", null=True),
    # The same, folded: every case-insensitive string as its comparison key. Filters look here.
    Column("folded", Json, nullable=False),
    # Columns for what is sorted and filtered most (core/attributes names them).
    columns.key("display_name_key", null=True),
    columns.key("family_name_key", null=True),
    columns.key("given_name_key", null=True),
    columns.key("email_key", null=True),  # the primary address
    columns.key("other_email_key", null=True),  # where there is one; of three and more see core/attributes
    # What joins meet by, beside email_key (core/sync/match.py).
    columns.key("sign_in_key", null=True),
    columns.key("employee_number_key", null=True),
    columns.counter("version", 1),
    Column("digest", Bytes, nullable=True),  # of the raw entry and the config's version; NULL: look again
    columns.text("entry_name", null=True),  # what the directory calls it (a DN)
    columns.ref("seen_run_id", null=True),  # the last full read that saw it
    columns.time("created_at"),
    columns.time("changed_at"),
    columns.time("gone_at", null=True),
    # With the user name, which a group's members are shown by: no row of the table is read for each.
    Index("ix_assertions_person", "org_id", "person_id", "source_id", "state", "user_name"),
    # All that a page without a filter passes over: no row of the table is read for it.
    Index("ix_assertions_page", "org_id", "source_id", "created_at", "person_id", "state"),
    Index("ix_assertions_email", "org_id", "source_id", "email_key"),
    Index("ix_assertions_display_name", "org_id", "source_id", "display_name_key"),
    # Unique among the living; the dead are found by them too.
    Index("uq_assertions_external_id", "org_id", "source_id", "external_id", "is_live", unique=True),
    Index("uq_assertions_user_name_key", "org_id", "source_id", "user_name_key", "is_live", unique=True),
    Index("ix_assertions_sign_in", "org_id", "sign_in_key"),
    Index("ix_assertions_employee_number", "org_id", "employee_number_key"),
)
columns.keep_room(assertions)
# With ix_assertions_email all addresses: most people have one, and are not in it.
columns.partial_index(
    "ix_assertions_other_email",
    assertions.c.org_id,
    assertions.c.source_id,
    assertions.c.other_email_key,
    where=assertions.c.other_email_key.is_not(None),
)
columns.tell_sqlite(
    assertions,
    primary="100000000 1000000 500000 1",
    ix_assertions_person="100000000 1000000 2 1 1 1",
    ix_assertions_page="100000000 1000000 500000 10 1 1",
    ix_assertions_email="100000000 1000000 500000 2",
    ix_assertions_display_name="100000000 1000000 500000 10",
    uq_assertions_external_id="100000000 1000000 500000 2 1",
    uq_assertions_user_name_key="100000000 1000000 500000 2 1",
    ix_assertions_sign_in="100000000 1000000 2",
    ix_assertions_employee_number="100000000 1000000 2",
    ix_assertions_other_email="1000000 10000 10000 2",
)
