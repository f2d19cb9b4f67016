"""What an organization decided, remembered by each process, and never past its generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Update, update

from scimd.core.attributes import USER
from scimd.core.people import OrgId
from scimd.core.resource import Projection, View
from scimd.db.engine import Database
from scimd.db.tables import organizations, people
from scimd.org import rulebook
from scimd.org.audit import audit
from scimd.org.generation import bump
from scimd.org.reading import reads
from scimd.org.reading.scim_reads import ListQuery
from scimd.org.rulebook import RuleBooks
from scimd.org.settling import settle
from scimd.org.tx import Door
from tests.org.acme import House
from tests.support.patience import PATIENT

VIEW = View("https://scimd.example.com/scim/v2", Projection(USER))


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many books were loaded since."""
    loaded: list[Any] = []
    load = rulebook._load

    def counting(conn: Any, organization: Any) -> Any:
        book = load(conn, organization)  # a glance on PostgreSQL leaves it to a thread
        loaded.append(book)
        return book

    monkeypatch.setattr(rulebook, "_load", counting)
    return lambda: len(loaded)


def run(statement: Update, conn: Connection) -> None:
    conn.execute(statement)


async def test_a_process_that_only_reads_loads_a_book_once(
    acme: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await acme.source()
    person = await acme.push(source)
    ctx = replace(acme.ctx, source_id=source.id)
    db = Database.open(database_url, PATIENT)
    reader = Door(
        db, acme.door.keys, acme.door.settings, settle=settle.settle, write_events=audit.write_events
    )
    loaded = counted(monkeypatch)
    try:
        for number in range(3):
            # A commit ends what SQLite's connections keep, as every write of another process does.
            name = update(people).where(people.c.id == person).values(display_name=f"Dana {number}")
            await acme.write(partial(run, name))
            found = await reads.scim_users(reader, ctx, ListQuery(user_name="dana@acme.example"), VIEW)
            assert found.total == 1
        assert loaded() == 1
        await acme.door.run(acme.ctx, bump)
        await reads.scim_users(reader, ctx, ListQuery(), VIEW)
        assert loaded() == 2
    finally:
        await db.aclose()


async def test_a_book_that_changed_while_it_was_read_is_not_remembered(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, org_id = RuleBooks(), OrgId(acme.ctx.org_id)
    loaded = counted(monkeypatch)
    old = await acme.door.read(lambda conn: books.of(conn, org_id))
    await acme.door.run(acme.ctx, bump)
    with monkeypatch.context() as stale:
        stale.setattr(books, "of", lambda conn, org_id: old)
        assert await acme.door.read(lambda conn: books.seen(conn, org_id)) is old
    before = loaded()
    new = await acme.door.read(lambda conn: books.seen(conn, org_id))
    assert new.rules.version > old.rules.version
    assert await acme.door.read(lambda conn: books.seen(conn, org_id)) is new
    assert loaded() == before + 1


async def test_a_fail_over_that_lost_the_last_rules_makes_no_book_of_theirs_true_again(acme: House) -> None:
    async def seen() -> rulebook.RuleBook:
        return await acme.door.read(lambda conn: acme.door.books.seen(conn, acme.ctx.org_id))

    before = await seen()
    await acme.door.run(acme.ctx, bump)
    lost = await seen()
    at_the_standby = update(organizations).values(generation=before.rules.version)
    await acme.write(partial(run, at_the_standby.where(organizations.c.id == acme.ctx.org_id)))
    there = await seen()
    assert there.rules.version == before.rules.version
    assert await seen() is there
    await acme.door.run(acme.ctx, bump)
    assert (await seen()).rules.version not in (before.rules.version, lost.rules.version)
