"""The pool of seats, its days, and who waits for one."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, event

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Id, KeyText

seat_pools = Table(
    "seat_pools",
    metadata,
    columns.org(),
    Column("seat_limit", Integer, nullable=True),  # NULL: no limit
    columns.integer("used"),
    columns.flag("allow_overage"),
    CheckConstraint("used >= 0", name="used"),
)
# V1 at every commit, whoever writes: used may not grow above the limit unless the row says so.
for _ddl in (
    columns.ddl(
        """CREATE TRIGGER seats_never_overbooked BEFORE UPDATE OF used ON seat_pools
        WHEN NEW.used > OLD.used AND NEW.seat_limit IS NOT NULL AND NEW.used > NEW.seat_limit
         AND NOT NEW.allow_overage
        BEGIN SELECT RAISE(ABORT, 'seats_never_overbooked'); END""",
        "sqlite",
    ),
    columns.ddl(
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
    columns.ddl(
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
    columns.org(),
    Column("day", KeyText, primary_key=True),  # 2026-11-21, UTC
    columns.integer("used"),
    Column("seat_limit", Integer, nullable=True),
    columns.integer("waited_for"),
)

waiting = Table(
    "waiting",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    columns.time("since"),
    columns.key("place"),  # orders those who came in one transaction: source priority, rule, external id
    Index("ix_waiting_order", "org_id", "since", "place", "person_id"),
)
