"""Who is in nested groups is found along these groups, whatever else there is (SQLite)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, event

from scimd.core.people import GroupId, OrgId
from scimd.db.tables import metadata
from scimd.org.groups.group_nesting import people_below


def test_people_in_nested_groups_are_found_along_each_group() -> None:
    """V19: for each of 500 nested groups all memberships were gone through, which took 3 s with 60,000."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    steps: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps.extend(row[3] for row in cursor.fetchall())

    with engine.connect() as conn:
        conn.execute(people_below(conn, OrgId("o"), [GroupId("g")]))
    engine.dispose()
    members = [step for step in steps if "SEARCH group_members" in step]
    assert members
    assert all("org_id=? AND group_id=?" in step for step in members), members
