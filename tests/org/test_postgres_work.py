"""How much PostgreSQL reads for what is asked of a few, in tables that hold many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Table, select, text

from scimd.core.roles import BUILT_IN, MANAGER
from scimd.db.statistics import look_at_new_tables
from scimd.db.tables import assertions, event, grants, group_members, people, projects
from scimd.org.audit import audit, verifying
from scimd.org.grants import catalogue_reads
from scimd.org.groups.group_nesting import people_below
from scimd.org.mails import notifications
from scimd.org.request_log import request_log
from scimd.org.settling.unsettled import NEXT
from scimd.org.tx import Tx
from scimd.org.users import by_hand
from tests.org.house import house, user
from tests.support.patience import eventually

_MANY = 20_000
_READ = text(
    "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_xact_user_tables "
    "WHERE relname = ANY(:tables)"
)


#: What its helpers read is not counted.
_ALONE = text("SET LOCAL max_parallel_workers_per_gather TO 0")


def _read(conn: Connection, *tables: str) -> int:
    """How many rows of these the transaction has read so far."""
    return int(conn.execute(_READ, {"tables": list(tables)}).scalar_one())


def _do(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for each in statements:
            connection.execute(each)  # type: ignore[call-overload]


def _copies(table: Table, count: int, **values: str) -> str:
    """So many rows like the first one of a table; ``values`` are SQL, with ``n``."""
    columns = [column.name for column in table.c if column.computed is None]
    made = ", ".join(values.get(name, f"one.{name}") for name in columns)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {made} "
        f"FROM (SELECT * FROM {table.name} LIMIT 1) AS one, generate_series(1, {count}) AS n"
    )


async def test_who_is_in_a_small_group_is_found_without_the_members_of_others(postgres_url: str) -> None:
    """Each rename or deletion of a group asks; of 150,000 memberships all were read and sorted."""
    async with house(postgres_url) as acme:
        ann, ben = await acme.push(user("ann"), user("ben"))
        small = await acme.group("Small", ann.person_id or "", ben.person_id or "")
        person = "'p' || lpad(n::text, 35, '0')"
        others = _copies(group_members, _MANY, group_id="'g' || n % 200", person_id=person, member_key=person)
        _do(postgres_url, others, "ANALYZE")

        def asked(conn: Connection) -> tuple[int, int]:
            query = people_below(conn, acme.org_id, [small]).limit(201)
            return len(conn.execute(query).all()), _read(conn, "group_members")

        assert await acme.door.db.write(asked) == (2, 2)


async def test_what_a_source_can_give_is_asked_of_those_who_hold_more_than_the_caller(
    postgres_url: str,
) -> None:
    """Each merge, link and token asks; the roles of all people were read, under the writer."""
    async with house(postgres_url) as acme:
        await acme.push(user("ann"))
        number = "lpad(n::text, 36, '0')"
        given = {
            "kind": "CASE n % 10 WHEN 0 THEN 'role' ELSE 'project' END",
            "target": "CASE n % 10 WHEN 0 THEN 'manager' ELSE 'p' || n % 50 END",
        }
        keys = dict.fromkeys(("person_id", "external_id", "user_name_key"), number)
        _do(
            postgres_url,
            _copies(grants, _MANY, id=number, person_id=number, **given),
            _copies(assertions, _MANY, **keys),
            "ANALYZE",
        )
        ctx = replace(acme.as_admin(), door="api", permissions=BUILT_IN[MANAGER].permissions)

        def asked(tx: Tx) -> int:
            tx.conn.execute(_ALONE)
            by_hand.must_hold_what_it_gives(tx, acme.scim)
            return _read(tx.conn, "grants", "assertions")

        assert await acme.run(asked, ctx) <= 10


async def test_how_many_are_in_projects_is_told_without_a_look_at_each_of_them(postgres_url: str) -> None:
    """A list of projects took half a second where 100,000 people are in one."""
    async with house(postgres_url) as acme:
        ann, ben = await acme.push(user("ann"), user("ben"))
        await acme.group("All", ann.person_id or "", ben.person_id or "")
        await acme.execute(people.update().where(people.c.id == ben.person_id).values(lapsed=True))
        number = "'n' || lpad(n::text, 35, '0')"
        keys = dict.fromkeys(("id", "local_user_name", "sign_in_key"), number)
        given = {"kind": "'project'", "target": "(SELECT id FROM projects WHERE name = 'All')"}
        _do(
            postgres_url,
            _copies(people, _MANY, **keys, lapsed="false"),
            _copies(grants, _MANY, **given, id=number, person_id=number, until="NULL", dormant="false"),
            "ANALYZE",
        )

        def asked(conn: Connection) -> tuple[list[int], int]:
            each = catalogue_reads.how_many_each("project", projects, acme.org_id)
            query = select(each).where(projects.c.org_id == acme.org_id, projects.c.name == "All")
            return list(conn.execute(query).scalars()), _read(conn, "people")

        assert await acme.door.db.write(asked) == ([_MANY + 1], 1)


async def test_the_oldest_requests_go_without_a_walk_through_the_log(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        _do(
            postgres_url,
            "INSERT INTO scim_requests (org_id, id, at, token_name, source_name, profile, scopes, "
            "correlation_id, method, pattern, path, headers, transforms, ignored, omitted, bytes) "
            f"SELECT '{acme.org_id}', lpad(n::text, 36, '0'), now(), '', '', '', '[]', '', 'GET', '', '', "
            f"'{{}}', '[]', '[]', '[]', 10 FROM generate_series(1, {_MANY}) AS n",
            "ANALYZE scim_requests",
        )

        def drop(conn: Connection) -> tuple[int, int]:
            gone = request_log._drop_oldest(acme.org_id, "", _MANY, 0, conn)
            return len(gone), _read(conn, "scim_requests")

        gone, read = await acme.door.db.write(drop)
        assert gone == 500
        assert read <= 2 * gone


async def test_of_what_is_in_the_chain_a_portion_is_looked_at_in_one_statement(postgres_url: str) -> None:
    """In an hour of a first sync all that was chained was read and sorted for each thousand that followed."""
    async with house(postgres_url) as acme:
        await acme.push(user("ann"))
        _do(
            postgres_url,
            "DELETE FROM events WHERE id <> (SELECT min(id) FROM events)",
            _copies(event.events, _MANY, id="substr(one.id, 1, 24) || lpad(n::text, 12, '0')"),
            "INSERT INTO published (org_id, seq, event_id, chain) "
            "SELECT org_id, row_number() OVER (ORDER BY id), id, digest FROM events",
            "ANALYZE",
        )

        def looked(conn: Connection) -> tuple[int, int]:
            audit._next(conn, acme.org_id, acme.clock(), timedelta(hours=1), "")
            return _read(conn, "events"), _read(conn, "published")

        of_events, of_published = await acme.door.db.write(looked)
        assert of_events <= 2 * audit._LOOKED + 2
        assert of_published <= audit._LOOKED + 2


async def test_all_portions_are_looked_at(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_LOOKED", 7)
    async with house(database_url) as acme:
        await acme.push(*(user(f"p{n}") for n in range(20)))
        first = await audit.publish(acme.door, acme.org_id)
        await acme.push(*(user(f"q{n}") for n in range(20)))
        second = await audit.publish(acme.door, acme.org_id)
        assert first + second == len(await acme.rows(event.events))
        assert await audit.publish(acme.door, acme.org_id) == 0
        assert (await verifying.verify(acme.door, acme.org_id)).ok


async def test_events_that_admins_are_told_of_are_found_among_themselves(database_url: str) -> None:
    """They were looked for among all events of a week, each minute."""
    async with house(database_url) as acme:
        await acme.push(user("ann"))
        plans: list[str] = []

        def explained(conn: Connection) -> None:
            query = notifications._to_note(acme.org_id, acme.clock())
            text_ = str(query.compile(conn, compile_kwargs={"literal_binds": True}))
            head = "EXPLAIN QUERY PLAN" if conn.dialect.name == "sqlite" else "EXPLAIN"
            if conn.dialect.name == "postgresql":
                conn.execute(text("SET LOCAL enable_seqscan TO off"))
            plans.extend(str(row) for row in conn.exec_driver_sql(f"{head} {text_}"))

        await acme.door.read(explained)
        assert "ix_events_told" in " ".join(plans)


async def test_a_queue_that_was_empty_is_looked_at_once_it_holds_many(postgres_url: str) -> None:
    """PostgreSQL takes it for a table of one row, and each of 100,000 was looked for among all others."""
    async with house(postgres_url) as acme:
        _do(
            postgres_url,
            "ALTER TABLE unsettled SET (autovacuum_enabled = false)",
            "INSERT INTO unsettled (org_id, person_id, turn, marked_at) "
            f"SELECT '{acme.org_id}', lpad(n::text, 36, '0'), 1, now() FROM generate_series(1, {_MANY}) AS n",
            "DELETE FROM unsettled",
            "ANALYZE unsettled",
            "INSERT INTO unsettled (org_id, person_id, turn, marked_at) "
            f"SELECT '{acme.org_id}', lpad(n::text, 36, '0'), 1, now() FROM generate_series(1, {_MANY}) AS n",
        )

        async def looked() -> bool:  # how many there are is counted a moment after they are committed
            return "unsettled" in await acme.door.db.write(
                lambda conn: look_at_new_tables(conn, ["unsettled"])
            )

        def first(conn: Connection) -> tuple[int, int]:
            ids = NEXT.column(conn, {"org_id": acme.org_id, "most": 10})
            return len(ids), _read(conn, "unsettled")

        await eventually(looked)
        assert await acme.door.db.write(first) == (10, 10)
        assert "unsettled" not in await acme.door.db.write(look_at_new_tables)


async def test_a_table_that_has_grown_tenfold_is_looked_at_again(postgres_url: str) -> None:
    async with house(postgres_url) as acme:
        made = "(value text) WITH (autovacuum_enabled = false)"
        rows = "INSERT INTO growing SELECT repeat('x', 99) FROM generate_series(1, {})"
        _do(postgres_url, f"CREATE TABLE growing {made}", rows.format(1000), "ANALYZE growing")

        async def looked() -> dict[str, Any]:
            return await acme.door.db.write(look_at_new_tables)

        async def counted() -> bool:
            return await acme.door.read(lambda conn: bool(conn.execute(_GROWING).scalar()))

        assert "growing" not in await looked()
        _do(postgres_url, rows.format(10_000))
        await eventually(counted)
        assert "growing" in await looked()
        assert "growing" not in await looked()


_GROWING = text("SELECT pg_stat_get_live_tuples('growing'::regclass) > 10000")
