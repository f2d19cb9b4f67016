"""Who is in nested groups is found along these groups, whatever else there is, and each is come to once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, event

from scimd.core.people import GroupId, OrgId, SourceId
from scimd.db.tables import metadata
from scimd.org.groups import group_nesting
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


class _Asked(dict[GroupId, Any]):
    """Counts how often it is asked for a group."""

    times = 0

    def __contains__(self, key: object) -> bool:
        self.times += 1
        return super().__contains__(key)


def test_what_is_above_a_group_is_looked_at_once() -> None:
    """V19: a page of people took 1.3 s, in 200 groups that are all in each other, and 3 with 300 of them."""
    ids = [GroupId(f"g{n:02}") for n in range(40)]
    known = _Asked({each: group_nesting._Group(SourceId("s"), each, ()) for each in ids})
    parents = {each: {other for other in ids if other != each} for each in ids}
    found = group_nesting._above(ids[0], known, parents)
    assert [(each.group_id, each.path) for each in found] == [(each, (ids[0],)) for each in ids[1:]]
    assert known.times < len(ids)
