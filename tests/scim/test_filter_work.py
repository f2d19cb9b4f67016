"""How much work a filter is for the database, counted by itself: with more people it grows as they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select, insert, select
from sqlalchemy.dialects import postgresql

from scimd.core.attributes import GROUP, USER, ResourceKind
from scimd.db import tables
from scimd.scim.filter_sql import condition, sort
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
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("ANALYZE")  # as it does by itself within a minute


def _work(conn: Connection, asked: Select[Any]) -> int:
    """Steps of SQLite's machine; on PostgreSQL the rows that all parts of the plan gave or passed over."""
    if conn.dialect.name == "sqlite":
        steps = [0]

        def step() -> None:
            steps[0] += 1

        driver: Any = conn.connection.driver_connection
        driver.set_progress_handler(step, 10)
        conn.execute(asked).all()
        driver.set_progress_handler(None, 0)
        return steps[0]
    literal = asked.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {literal}".replace("%%", "%")
    (plan,) = conn.exec_driver_sql(explain).scalar_one()
    return _rows(plan["Plan"])


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
    if asked.startswith("sorted by "):
        name, _, part = asked.removeprefix("sorted by ").partition(".")
        found = kind.resolve(None, name, part)
        assert found is not None
        query = query.order_by(sort(found, False, scope).by)
    else:
        query = query.where(condition(parse(asked), scope))
    _fill(conn, 0, _FEW)
    few = _work(conn, query)
    _fill(conn, _FEW, _MANY)
    assert _work(conn, query) < few * _AT_MOST
