"""What identity providers look up by is found by an index, however many there are (SQLite)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select, create_engine, event

from scimd.core.attributes import ENTERPRISE_URN, GROUP, USER
from scimd.core.people import OrgId, SourceId
from scimd.db.tables import metadata
from scimd.org import list_query, reads, scim_reads
from scimd.org.reads import ListQuery
from scimd.scim.filter_sql import Scope, condition
from scimd.scim.filters import parse

_WALKS = re.compile(
    r"SCAN (?:assertions|groups|people|group_members)\b"
    r"|\((?:org_id=\?)?(?: AND source_id=\?)?(?: AND \w+>\?)?\)"
)


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
        (USER, f'{ENTERPRISE_URN}:employeeNumber eq "17"'),
        (USER, 'groups.value eq "y"'),
        (USER, 'groups[value eq "y"]'),
        (USER, 'groups.display eq "y"'),
    ],
)
def test_a_look_up_walks_through_nobody_else(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, kind: Any, text: str
) -> None:
    org, source = OrgId("o"), SourceId("s")
    where = condition(parse(text), Scope(kind, org, source, "sqlite", "https://scimd.example.com/scim/v2"))
    found: Select[Any] = (reads._groups if kind is GROUP else scim_reads._users)(org, source)
    columns = (reads._g.created_at, reads._g.id) if kind is GROUP else scim_reads.PLACE
    said: list[list[str]] = []

    @event.listens_for(conn, "before_cursor_execute")
    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        said.append([row[3] for row in cursor.fetchall()])

    def seek(**more: Any) -> None:
        list_query.sought(conn, org, source, "user_count", ListQuery(where=where, **more), found, columns)

    seek()  # who they are
    seek(total=1)  # a page of few that are known to be so many
    monkeypatch.setattr(list_query, "_few", lambda *_: ["x"])
    seek()  # a page by their ids
    monkeypatch.setattr(list_query, "_few", lambda *_: None)
    seek()  # of many: how many
    assert len(said) == 4
    assert not [step for plan in said for step in plan if _WALKS.search(step)]


def test_the_pattern_knows_a_walk() -> None:
    assert _WALKS.search("SEARCH assertions USING INDEX ix_assertions_page (org_id=? AND source_id=?)")
    assert not _WALKS.search("SEARCH groups USING INDEX x (org_id=? AND source_id=? AND external_id=?)")
