"""How much work a filter is for the database, counted by itself: with more people it grows as they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Select, event, insert, select

from scimd.core.attributes import GROUP, USER, ResourceKind
from scimd.core.people import OrgId, SourceId
from scimd.db import tables
from scimd.org.groups.group_nesting import NestedIds, nested_ids
from scimd.scim.filter_sql import filtered, sort
from scimd.scim.filter_values import Scope
from scimd.scim.filters import parse
from tests.scim.population import BASE, ORG, SOURCE, add_group, add_person, filled, moment_of

_GROUPS = 6
_FEW, _MANY = 50, 200
#: What grows with the square of the people comes to 16 times as much.
_AT_MOST = 1.6 * _MANY / _FEW


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with filled(database_url, lambda conn: tables.metadata.create_all(conn)) as conn:
        yield conn


def _fill(conn: Connection, begin: int, end: int) -> None:
    """People, each of whom is in all groups: in the first one through the last, in all others directly."""
    keys = [f"u{n:04}" for n in range(begin, end)]
    for key in keys:
        add_person(conn, ORG, key, {"userName": key, "active": True})
    rows = [{"member_key": key, "person_id": key, "child_id": None} for key in keys]
    last = f"g{_GROUPS}"
    nested = [{"member_key": last, "person_id": None, "child_id": last}]
    of_all = {"org_id": ORG, "source_id": SOURCE, "since": moment_of("p0")}
    for group in [f"g{n + 1}" for n in range(_GROUPS)]:
        if begin == 0:
            add_group(conn, ORG, group, {"displayName": f"Group {group}"})
        if group != "g1" or begin == 0:
            members = nested if group == "g1" else rows
            conn.execute(
                insert(tables.group_members), [{**of_all, "group_id": group, **row} for row in members]
            )
    _settle(conn)


def _settle(conn: Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("ANALYZE")  # as it does by itself within a minute


def _work(conn: Connection, asked: Select[Any], nested: Sequence[NestedIds] = ()) -> int:
    """Steps of SQLite's machine; on PostgreSQL the rows that all parts of the plans gave or passed over."""
    work = [0]

    def step() -> None:
        work[0] += 1

    def explained(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        work[0] += _rows(cursor.fetchone()[0][0]["Plan"])

    driver: Any = conn.connection.driver_connection
    if conn.dialect.name == "sqlite":
        driver.set_progress_handler(step, 10)
    else:
        event.listen(conn, "before_cursor_execute", explained)
    conn.execute(asked, nested_ids(conn, OrgId(ORG), SourceId(SOURCE), nested)).all()
    if conn.dialect.name == "sqlite":
        driver.set_progress_handler(None, 0)
    else:
        event.remove(conn, "before_cursor_execute", explained)
    return work[0]


def _rows(plan: dict[str, Any]) -> int:
    seen = (
        plan["Actual Rows"]
        + plan.get("Rows Removed by Filter", 0)
        + plan.get("Rows Removed by Join Filter", 0)
    )
    return int(seen * plan["Actual Loops"]) + sum(map(_rows, plan.get("Plans", ())))


def _all(term: str, how_many: int, joint: str = "and") -> str:
    return f" {joint} ".join(term.replace("?", str(n)) for n in range(how_many))


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (USER, 'groups[type eq "direct" and display co "a"] and groups[type eq "direct" and display co "b"]'),
        (USER, _all('not (groups[type eq "direct" and display co "x?"])', 5)),
        (USER, _all('groups[type eq "indirect" and display co "x?"]', 5, "or")),
        (USER, _all('groups.type ne "x?"', 5)),
        (USER, "sorted by groups.display"),
        (USER, "sorted by groups.type"),
        (GROUP, _all('members.display co "none-?"', 5, "or")),
        (GROUP, _all('members[type eq "User" and display co "0"]', 5)),
    ],
)
def test_work_grows_as_the_people_do(conn: Connection, kind: ResourceKind, asked: str) -> None:
    """V19: with 30 groups of 2,000 these took from 6 s to minutes."""
    scope = Scope(kind, ORG, SOURCE, conn.dialect.name, BASE)  # type: ignore[arg-type]
    table = scope.table
    query = select(scope.key).where(
        table.c.org_id == ORG, table.c.source_id == SOURCE, table.c.state == "live"
    )
    nested: Sequence[NestedIds] = ()
    if asked.startswith("sorted by "):
        name, _, part = asked.removeprefix("sorted by ").partition(".")
        found = kind.resolve(None, name, part)
        assert found is not None
        query = query.order_by(sort(found, False, scope).by)
    else:
        whole = filtered(parse(asked), scope)
        query, nested = query.where(whole.where), whole.nested
    _fill(conn, 0, _FEW)
    few = _work(conn, query, nested)
    _fill(conn, _FEW, _MANY)
    assert _work(conn, query, nested) < few * _AT_MOST


_IN_EACH_OTHER = 24
#: For each membership, of which those between groups are the most: to read it, and to look it up.
_FOR_EACH = 10


@pytest.mark.parametrize(
    "asked",
    [
        'groups.type eq "indirect"',
        'groups[type eq "indirect" and display co "e"]',
        _all('groups.display co "?"', 6, "or"),
        "not (groups pr)",
    ],
)
def test_groups_that_are_all_in_each_other_are_work_as_their_memberships_are(
    conn: Connection, asked: str
) -> None:
    """V19: with 60 of them these took from 2 s to 30, with 200 minutes: no way among them was left out."""
    names = [f"e{n}" for n in range(_IN_EACH_OTHER)]
    rows = []
    for n, name in enumerate(names):
        add_group(conn, ORG, name, {"displayName": f"Group {name}"})
        add_person(conn, ORG, f"u{n}", {"userName": f"u{n}", "active": True})
        inside = [{"member_key": each, "child_id": each, "person_id": None} for each in names if each != name]
        inside.append({"member_key": f"u{n}", "child_id": None, "person_id": f"u{n}"})
        rows += [{"group_id": name, **row} for row in inside]
    of_all = {"org_id": ORG, "source_id": SOURCE, "since": moment_of("p0")}
    conn.execute(insert(tables.group_members), [{**of_all, **row} for row in rows])
    _settle(conn)
    scope = Scope(USER, ORG, SOURCE, conn.dialect.name, BASE)  # type: ignore[arg-type]
    whole = filtered(parse(asked), scope)
    query = select(scope.key).where(scope.table.c.org_id == ORG, whole.where)
    assert _work(conn, query, whole.nested) < _FOR_EACH * len(rows)
