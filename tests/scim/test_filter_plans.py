"""What identity providers look up by is found by an index, however many there are (SQLite)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select, create_engine, event

from scimd.core.attributes import ENTERPRISE_URN, GROUP, USER
from scimd.core.people import OrgId, SourceId
from scimd.db.tables import assertions, metadata
from scimd.org.reading import list_query, reads, scim_reads
from scimd.org.reading.keyset import Sort
from scimd.org.reading.reads import ListQuery
from scimd.scim.filter_sql import Scope, SqlFilter, filtered
from scimd.scim.filters import parse

_NUMBER = f"{ENTERPRISE_URN}:employeeNumber"
_WALKS = re.compile(
    r"SCAN (?:assertions|groups|people|group_members)\b"
    r"|\((?:org_id=\?)?(?: AND source_id=\?)?(?: AND \w+>\?)?\)"
)
#: Which groups are in which is read for all: the index has these alone.
_NESTED = re.compile(r"group_members USING COVERING INDEX ix_group_members_child \(org_id=\?")


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (USER, 'externalId eq "x"'),
        (USER, 'id eq "x"'),
        (USER, 'displayName eq "x"'),
        (USER, 'userName eq "x" and active eq true'),
        (GROUP, 'displayName eq "x"'),
        (GROUP, 'externalId eq "x"'),
        (GROUP, 'id eq "x" and members eq "y"'),
        (GROUP, 'members eq "y"'),
        (GROUP, 'members.value eq "y"'),
        (GROUP, 'members[value eq "y"]'),
        (GROUP, 'members[type eq "User" and (value eq "y" or value eq "z")]'),
        (GROUP, 'displayName sw "x"'),
        (USER, 'userName sw "x"'),
        (USER, 'displayName sw "x"'),
        (USER, f'{_NUMBER} eq "17"'),
        (USER, 'emails.value eq "x"'),
        (USER, 'emails eq "x"'),
        (USER, 'emails[type eq "work"].value eq "x"'),
        (USER, 'emails[type eq "work" and value eq "x"]'),
        (USER, 'emails[type eq "work" and value eq "x"] and active eq true'),
        (USER, 'groups.value eq "y"'),
        (USER, 'groups[value eq "y"]'),
        (USER, 'groups.display eq "y"'),
        *(
            (kind, f'{name} eq "x" or ({name} eq "y" or {name} eq "z")')
            for kind, names in {
                USER: (
                    "id",
                    "externalId",
                    "userName",
                    "displayName",
                    "emails.value",
                    "groups.value",
                    _NUMBER,
                ),
                GROUP: ("id", "externalId", "displayName", "members.value"),
            }.items()
            for name in names
        ),
    ],
)
def test_a_look_up_walks_through_nobody_else(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, kind: Any, text: str
) -> None:
    org, source = OrgId("o"), SourceId("s")
    scope = Scope(kind, org, source, "sqlite", "https://scimd.example.com/scim/v2")
    asked = filtered(parse(text), scope)
    found: Select[Any] = (reads._groups if kind is GROUP else scim_reads._users)(org, source)
    columns = (reads._g.created_at, reads._g.id) if kind is GROUP else scim_reads.PLACE
    plans = _plans(conn)

    def seek(**more: Any) -> None:
        query = ListQuery(where=asked.where, any_of=asked.any_of, nested=asked.nested, **more)
        list_query.sought(conn, org, source, "user_count", query, found, columns)

    seek()  # all of a page
    seek(start_index=2)  # who they are
    seek(total=1)  # a page of few that are known to be so many
    monkeypatch.setattr(list_query, "_few", lambda *_: (1, ["x"]))
    seek(start_index=2)
    seek(sort=Sort(columns[0], descending=False))  # pages by their ids
    assert len(plans) == 5 * (3 if asked.nested else 1)
    steps = [step for plan in plans for step in plan if not _NESTED.search(step)]
    assert not [step for step in steps if _WALKS.search(step)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (USER, 'userName eq "x" or emails.value eq "x"'),
        (USER, 'externalId eq "x" or (userName eq "y" and active eq true) or emails[value eq "z"]'),
        (GROUP, 'displayName eq "x" or members.value eq "y"'),
        (GROUP, 'id eq "x" or members[value eq "y"]'),
    ],
)
def test_each_of_several_look_ups_walks_through_nobody_else(conn: Connection, kind: Any, text: str) -> None:
    org, source = OrgId("o"), SourceId("s")
    scope = Scope(kind, org, source, "sqlite", "https://scimd.example.com/scim/v2")
    asked = filtered(parse(text), scope)
    query = ListQuery(where=asked.where, any_of=asked.any_of)
    found: Select[Any] = (reads._groups if kind is GROUP else scim_reads._users)(org, source)
    columns = (reads._g.created_at, reads._g.id) if kind is GROUP else scim_reads.PLACE
    plans = _plans(conn)
    list_query.sought(conn, org, source, "user_count", query, found, columns)
    assert len(plans) == 1
    assert len(asked.any_of) > 1
    assert not [step for step in plans[0] if _WALKS.search(step)]


def test_many_values_are_looked_up_where_sqlite_was_told_of_no_sizes(conn: Connection) -> None:
    conn.exec_driver_sql("DELETE FROM sqlite_stat1")
    conn.exec_driver_sql("ANALYZE sqlite_master")
    scope = Scope(GROUP, OrgId("o"), SourceId("s"), "sqlite", "https://scimd.example.com/scim/v2")
    where = filtered(parse(" or ".join(f'externalId eq "{n}"' for n in range(40))), scope).where
    plans = _plans(conn)
    conn.execute(reads._groups(OrgId("o"), SourceId("s")).where(where))
    assert not [step for step in plans[0] if _WALKS.search(step)]


def test_what_no_index_finds_is_looked_for_in_one_walk(conn: Connection) -> None:
    scope = Scope(USER, OrgId("o"), SourceId("s"), "sqlite", "https://scimd.example.com/scim/v2")
    for text in (
        'userName eq "x" or title eq "y"',
        'userName ne "x" or id eq "y"',
        'id eq "x" or not (id eq "y")',
        'id eq "x" or emails[type eq "work"]',
        'phoneNumbers.value eq "x"',
    ):
        assert not filtered(parse(text), scope).any_of, text


@pytest.mark.parametrize("name", ["userName", "displayName"])
def test_a_key_is_sorted_by_as_it_is(name: str) -> None:
    """To cut each of a source's keys anew would double what a sorted page costs."""
    found = USER.resolve(None, name)
    assert found is not None
    scope = Scope(USER, OrgId("o"), SourceId("s"), "sqlite", "https://scimd.example.com/scim/v2")
    assert SqlFilter(scope).sort_value(found) is assertions.c[str(found.target.column)]


def _plans(conn: Connection) -> list[list[str]]:
    """What SQLite says of each statement that is run from now on."""
    said: list[list[str]] = []

    @event.listens_for(conn, "before_cursor_execute")
    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        said.append([row[3] for row in cursor.fetchall()])

    return said


def test_the_pattern_knows_a_walk() -> None:
    assert _WALKS.search("SEARCH assertions USING INDEX ix_assertions_page (org_id=? AND source_id=?)")
    assert not _WALKS.search("SEARCH groups USING INDEX x (org_id=? AND source_id=? AND external_id=?)")
