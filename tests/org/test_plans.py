"""Statements of the hot paths find their rows by a key, however large the organization is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Insert, create_engine

import scimd.org
from scimd.db.prepared import Prepared
from scimd.db.tables import metadata
from scimd.org.unsettled import NEXT

#: One row an organization, or read from the front of an index and bounded.
_MAY = {
    "seats._POOL",
    "seats._LOCKED_POOL",
    "seats._USED",
    "seats._QUEUE",
    "scim_reads._PAGE",
    "audit._TIP",
    "scim_reads._ANY_MARKED",
    "scim_reads._USER_COUNT",
    "unsettled.NEXT",
}
_WHOLE = re.compile(r"SEARCH \w+ USING (?:COVERING )?INDEX \w+ \((?:org_id=\?)?(?: AND source_id=\?)?\)")


def _prepared() -> Iterator[tuple[str, Prepared]]:
    for module in pkgutil.iter_modules(scimd.org.__path__):
        for name, value in vars(importlib.import_module(f"scimd.org.{module.name}")).items():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Prepared):
                    yield f"{module.name}.{name}", each


@pytest.fixture(scope="module")
def conn() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.mark.parametrize(("name", "prepared"), list(_prepared()))
def test_no_hot_statement_walks_through_an_organization(
    name: str, prepared: Prepared, conn: Connection
) -> None:
    if name in _MAY or isinstance(prepared.statement(conn), Insert):
        return
    steps = [step for text in prepared.texts(conn) for step in _plan(conn, text)]
    tables = set(metadata.tables)
    scans = [step for step in steps if step.partition("SCAN ")[2].partition(" ")[0] in tables]
    assert not scans
    assert not [step for step in steps if _WHOLE.search(step)]


def test_the_next_to_settle_are_read_from_the_front_of_an_index(conn: Connection) -> None:
    """A group of 100,000 marks as many at one moment: sorting them for each batch would never end."""
    (text,) = NEXT.texts(conn)
    (step,) = _plan(conn, text)
    assert "USING COVERING INDEX ix_unsettled_turn (org_id=?)" in step


def _plan(conn: Connection, text: str) -> list[str]:
    parameters = [None] * text.count("?")
    return [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(parameters))]
