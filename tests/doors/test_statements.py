"""A5: every statement on an organization's table binds the organization, on every table that it names.

A walk by all doors and every read of the REST API and of SCIM, with SQLite's driver telling each
statement as it runs it, values and all; PostgreSQL is given the same statements.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import select

from scimd.admin.table import TABLE
from scimd.db import sqlite
from scimd.db import tables as t
from scimd.db.sqlite_file import make
from scimd.org import timekeeping
from scimd.org.sources import source_upkeep
from scimd.org.tokens import api_tokens
from scimd.sync.schedule import following
from tests.doors.base import Running
from tests.doors.machine import Doors

OURS = {table.name for table in t.metadata.tables.values() if "org_id" in table.c}
#: What looks at several organizations, and why it must.
ACROSS = {
    r"\w+\.hash = x'": "a secret says with it whose it is",
    r"WHERE organizations\.slug = ": "an organization is found by its name",
    r"domains\.domain_key (IN \(|= )": "one domain, one organization",
    r"^SELECT (DISTINCT )?\w+\.org_id( AS \w+)?\s+FROM": "where a job has something to do",
    r"^SELECT organizations\.id\s+FROM": "where a job has something to do",
    r"^SELECT sources\.org_id, sources\.id\b": "which source is due",
}
_NAMED = re.compile(r'\b(?:FROM|JOIN|UPDATE|INTO)\s+"?(\w+)"?(?:\s+AS\s+"?(\w+)"?)?|,\s+(\w+)\s+AS\s+(\w+)\b')
READS = (
    "/Users", "/Groups", "/Roles", "/Entitlements", "/Users?sortBy=name.familyName", "/Users?count=1&cursor",
    "/Users?filter=emails.value%20co%20%22a%22%20and%20groups%20pr",
    "/Groups?filter=members.value%20eq%20%22x%22%20or%20displayName%20sw%20%22e%22",
)  # fmt: skip


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every statement that SQLite is given from here on."""
    statements: set[str] = set()
    connect = sqlite3.connect

    def listened_to(*place: Any, **more: Any) -> sqlite3.Connection:
        raw = connect(*place, **more)
        raw.set_trace_callback(statements.add)
        return raw

    monkeypatch.setattr(sqlite.sqlite3, "connect", listened_to)
    return statements


def walk(running: Running) -> None:
    class Bound(Doors):
        pass

    Bound.running = running
    few = settings(
        max_examples=2,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Bound, settings=few)
    doors = running.company
    org = running.wait(doors.organization())
    running.wait(doors.scim(org, "POST", "/Users", {"userName": "ann@acme.example"}))
    someone = running.wait(doors.api(org, "GET", "/users")).json["items"][0]["id"]
    for row in (each for each in TABLE if each.method == "GET"):
        path = re.sub(r"\{\w+\}", someone, row.path)
        for query in ("", "?q=a", "?limit=1&total=true", "?format=csv"):
            assert running.wait(doors.api(org, "GET", path + query)).status < 500
    for path in READS:
        assert running.wait(doors.scim(org, "GET", path)).done
    running.wait(jobs(running))


async def jobs(running: Running) -> None:
    """What goes through the organizations that have something to do."""
    door = running.company.door
    await timekeeping.expire_all(door)
    await timekeeping.expire_welcomes(door)
    await timekeeping.lapse_approvals(door)
    await timekeeping.purge_all(door)
    await timekeeping.publish_all(door)
    await source_upkeep.due_sources(door, following)
    await timekeeping.settle_all(door, budget_s=5)
    await timekeeping.promote_all(door)
    assert await api_tokens.authenticate(door, "nothing") is None


def names(statement: str) -> set[str]:
    """What its organization's tables are called in it."""
    found = set()
    for table, alias, comma_table, comma_alias in _NAMED.findall(statement):
        if (table or comma_table) in OURS:
            found.add(alias or comma_alias or table)
    return found - {"SELECT", "SET", "WHERE"}


def fault(statement: str, organizations: set[str]) -> str | None:
    """Why the statement might reach another organization; None: it cannot."""
    named = names(statement)
    if not named or any(re.search(pattern, statement) for pattern in ACROSS):
        return None
    if len({each for each in organizations if each in statement}) != 1:
        return "it binds not one organization"
    if re.match(r"\s*INSERT (OR FAIL )?INTO", statement):
        return None if "org_id" in statement.partition("VALUES")[0] else "it inserts without one"
    for name in named:
        compared = rf'"?\b{name}"?\.org_id\s*(=|IN)|=\s*"?{name}"?\.org_id\b'
        if not re.search(compared, statement):
            return f"{name} is of any organization"
    return None


def test_every_statement_binds_the_organization(heard: set[str], tmp_path: Path) -> None:
    make(tmp_path / "scimd.db")
    running = Running(f"sqlite:///{tmp_path / 'scimd.db'}")
    try:
        walk(running)
        ids = select(t.organizations.c.id)
        organizations = set(
            running.wait(running.company.door.read(lambda conn: list(conn.execute(ids).scalars())))
        )
    finally:
        running.close()
    assert len(heard) > 1000
    found = {why: each for each in heard if (why := fault(each, organizations))}
    assert found == {}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT people.id FROM people WHERE people.id = '7'",
        "SELECT p.id FROM people AS p JOIN grants ON grants.person_id = p.id WHERE p.org_id = 'o-1'",
        "SELECT p.id FROM people AS p JOIN grants ON grants.org_id = 'o-1'",
        "UPDATE people SET status = 'o-1' WHERE people.id = '7'",
        "DELETE FROM people WHERE people.id = '7'",
        "INSERT INTO people (id, name) VALUES ('7', 'o-1')",
        "INSERT OR FAIL INTO people (id, name) VALUES ('7', 'o-1')",
        "INSERT OR FAIL INTO people (org_id, id) VALUES ('o-1', '7'), ('o-2', '7')",
        "SELECT people.id FROM people WHERE people.org_id IN ('o-1', 'o-2')",
    ],
)
def test_a_statement_that_forgets_it_is_found(statement: str) -> None:
    assert fault(statement, {"o-1", "o-2"})
