"""Projects and licences that only so many people may have: the limits, who has one, and who waits."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, event

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Id, KeyText

# Projects and licences that only so many people may have; without a row here there is no limit.
pools = Table(
    "pools",
    metadata,
    columns.org(),
    Column("target", Id, primary_key=True),
    Column("kind", KeyText, primary_key=True),  # project | licence
    Column("pool_limit", Integer, nullable=False),
    columns.integer("used"),
    CheckConstraint("used >= 0", name="used"),
)
# V1 for these as for seats; a limit below what is used already evicts nobody.
for _ddl in (
    columns.ddl(
        """CREATE TRIGGER pools_never_overbooked BEFORE UPDATE OF used ON pools
        WHEN NEW.used > OLD.used AND NEW.used > NEW.pool_limit
        BEGIN SELECT RAISE(ABORT, 'pools_never_overbooked'); END""",
        "sqlite",
    ),
    columns.ddl(
        """CREATE FUNCTION pools_never_overbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.used > OLD.used AND NEW.used > NEW.pool_limit THEN
            RAISE EXCEPTION 'pools_never_overbooked'
              USING ERRCODE = '23514', CONSTRAINT = 'pools_never_overbooked';
          END IF;
          RETURN NEW;
        END $$""",
        "postgresql",
    ),
    columns.ddl(
        "CREATE TRIGGER pools_never_overbooked BEFORE UPDATE OF used ON pools "
        "FOR EACH ROW EXECUTE FUNCTION pools_never_overbooked()",
        "postgresql",
    ),
):
    event.listen(pools, "after_create", _ddl)

# Who has one of them, and who waits for one.
slots = Table(
    "slots",
    metadata,
    columns.org(),
    Column("kind", KeyText, primary_key=True),
    Column("target", Id, primary_key=True),
    Column("person_id", Id, primary_key=True),
    columns.flag("held"),  # if not: waits
    columns.time("since"),
    columns.key("place"),  # the fair order, as of those who wait for a seat
    Index("ix_slots_person", "org_id", "person_id", "kind", "target", "held"),
    Index("ix_slots_order", "org_id", "kind", "target", "held", "since", "place", "person_id"),
)
