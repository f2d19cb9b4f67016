"""Prepared statements say what SQLAlchemy's own execution says, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from scimd.db.among import one_of
from scimd.db.engine import Database
from scimd.db.locks import insert_ignore
from scimd.db.prepared import Locking, Prepared, ahead
from scimd.db.tables import metadata, people

_p = people.c
_MOMENT = datetime(2026, 3, 2, 9, 0, 0, 7, tzinfo=UTC)
_ONE = Prepared(select(people).where(_p.org_id == bindparam("org_id"), _p.id == bindparam("id")))
_SOME = Locking(
    select(_p.id, _p.accepted).where(_p.org_id == "o", one_of(_p.id), _p.status == "active").order_by(_p.id)
)
_INSERT = Prepared(people.insert())
_ADD = Prepared(lambda conn: insert_ignore(conn, people))
_RENAME = Prepared(
    update(people)
    .where(_p.org_id == "o", _p.id == bindparam("_id"))
    .values(display_name=bindparam("_name"), sign_in_address=None, rest=_p.rest + 1)
)


def _person(person_id: str, **more: Any) -> dict[str, Any]:
    return {
        "org_id": "o",
        "id": person_id,
        "kind": "person",
        "local_user_name": person_id,
        "display_name": "Ann % O'Neill",
        "display_name_key": "ann % o'neill",
        "sign_in_address": "ann@acme.example",
        "accepted": True,
        "profile": {"a": [1, None, "ä"]},
        "status": "active",
        "causes": [],
        "primary_role": "user",
        "roles": ["user"],
        "rules_version": 0,
        "extension": b"\x00{}",
        "created_by": "x",
        "created_at": _MOMENT,
        "changed_at": _MOMENT,
        **more,
    }


@pytest.fixture
async def db(database_url: str) -> Any:
    opened = Database.open(database_url)
    await opened.write(metadata.create_all)
    yield opened
    await opened.aclose()


async def test_rows_are_those_of_sqlalchemy(db: Database) -> None:
    def body(conn: Connection) -> None:
        _INSERT.many(conn, [_person("a"), _person("b", accepted=False, extension=None)])
        _INSERT.many(conn, [_person("c")])
        for each in ("a", "b", "c"):
            plain = conn.execute(select(people).where(_p.id == each)).one()
            row = _ONE.first(conn, {"org_id": "o", "id": each})
            assert row == tuple(plain)
            assert row._fields == tuple(plain._fields)
        assert _ONE.first(conn, {"org_id": "o", "id": "z"}) is None
        assert _SOME.all(conn, {"keys": ["b", "a", "z"]}) == [("a", True), ("b", False)]
        assert _SOME.all(conn, {"keys": []}) == []

    await db.write(body)


async def test_writes_are_those_of_sqlalchemy(db: Database) -> None:
    def body(conn: Connection) -> None:
        _ADD.many(conn, [_person("a"), _person("b")])
        _ADD.many(conn, [_person("a", display_name="another")])
        _INSERT.many(conn, [])
        assert _RENAME.run(conn, {"_id": "a", "_name": "%(x)s ? :y"}) == 1
        assert _RENAME.run(conn, {"_id": "z", "_name": "nobody"}) == 0
        _RENAME.many(conn, [{"_id": each, "_name": each} for each in ("b", "z")])
        row = _ONE.first(conn, {"org_id": "o", "id": "a"})
        assert (row.display_name, row.sign_in_address, row.rest) == ("%(x)s ? :y", None, 2)
        assert _ONE.first(conn, {"org_id": "o", "id": "b"}).display_name == "b"

    await db.write(body)


async def test_errors_are_those_of_sqlalchemy_without_what_was_typed(db: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        await db.write(lambda conn: _INSERT.many(conn, [_person("a"), _person("a")]))
    assert "O'Neill" not in str(caught.value)


async def test_time_without_a_zone_is_refused(db: Database) -> None:
    naive = _MOMENT.replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        await db.write(lambda conn: _INSERT.many(conn, [_person("a", created_at=naive)]))


async def test_glance_sees_what_was_committed_and_cannot_write(db: Database) -> None:
    await db.write(lambda conn: _INSERT.many(conn, [_person("a")]))
    found = await db.glance(lambda conn: _ONE.first(conn, {"org_id": "o", "id": "a"}))
    assert found.id == "a"
    with pytest.raises(Exception, match="read"):
        await db.glance(lambda conn: _INSERT.many(conn, [_person("b")]))
    assert await db.glance(lambda conn: _ONE.first(conn, {"org_id": "o", "id": "b"}), one=True) is None


async def test_a_write_that_is_not_waited_for_is_seen_by_what_follows(db: Database) -> None:
    def body(conn: Connection) -> list[Any]:
        ahead(conn, (_SOME, {"keys": ["a"]}))  # made void by the write
        _INSERT.many(conn, [_person("a")])
        _RENAME.post(conn, {"_id": "a", "_name": "later"})
        return [
            _SOME.column(conn, {"keys": ["a"]}),
            _ONE.first(conn, {"org_id": "o", "id": "a"}).display_name,
        ]

    assert await db.write(body) == [["a"], "later"]


async def test_a_late_error_comes_in_its_place_when_the_body_is_run_again(db: Database) -> None:
    met: list[str] = []

    def body(conn: Connection) -> None:
        try:
            _INSERT.many(conn, [_person("b")])
        except IntegrityError:
            met.append("in its place")
            raise
        _INSERT.many(conn, [_person("c")])

    await db.write(lambda conn: _INSERT.many(conn, [_person("b")]))
    with pytest.raises(IntegrityError):
        await db.write(body)
    assert met == ["in its place"]
    assert await db.read(lambda conn: _ONE.first(conn, {"org_id": "o", "id": "c"})) is None


async def test_text_that_cannot_be_sent_harms_no_other_statement(db: Database) -> None:
    with pytest.raises((DBAPIError, UnicodeEncodeError)):
        await db.write(lambda conn: _INSERT.many(conn, [_person("a"), _person("b", display_name="\ud800")]))
    await db.write(lambda conn: _INSERT.many(conn, [_person("a")]))
    assert (await db.glance(lambda conn: _ONE.first(conn, {"org_id": "o", "id": "a"}))).id == "a"


async def test_many_rows_come_back_as_one_row_does(db: Database) -> None:
    """Times, bytes, JSON, null and every kind of text, by whatever way rows travel."""
    strange = ['"\\', "\x01\n", "ß\u2028🙂", "", "\\x41", "{}", "NULL"]
    rows = [
        _person(f"p{n}", display_name=text, causes=[text, None, 1.5, True], profile={text: None},
                extension=bytes(range(n, 256)), approved=n % 2 == 0, deleted_at=_MOMENT if n % 3 else None,
                sign_in_key=None)
        for n, text in enumerate(strange)
    ]  # fmt: skip
    alone = [row | {"id": f"{row['id']}-alone", "local_user_name": f"{row['id']}-alone"} for row in rows]

    def body(conn: Connection) -> None:
        _INSERT.many(conn, rows)
        for row in alone:
            _INSERT.many(conn, [row])

    await db.write(body)
    for row in rows:
        found = [
            await db.glance(lambda conn, key=key: _ONE.first(conn, {"org_id": "o", "id": key}))
            for key in (row["id"], f"{row['id']}-alone")
        ]
        told = [each._asdict() for each in found]
        for name, value in row.items():
            stored = told[0][name]
            assert (bytes(stored) if name == "extension" else stored) == value, name
            assert name in ("id", "local_user_name") or stored == told[1][name]


async def test_of_many_rows_none_is_left_where_one_is_refused(db: Database) -> None:
    """SQLite is handed several at a time, and takes those before the wrong one."""
    await db.write(lambda conn: _INSERT.many(conn, [_person("a")]))
    for wrong in (1, 16, 20, 37):

        def body(conn: Connection, wrong: int = wrong) -> None:
            names = [f"p{n:02}" for n in range(38)]
            _INSERT.many(conn, [_person("a" if n == wrong else name) for n, name in enumerate(names)])

        with pytest.raises(IntegrityError):
            await db.write(body)
        assert await db.read(lambda conn: conn.execute(select(_p.id)).scalars().all()) == ["a"]


@pytest.mark.parametrize("count", [1, 2, 3, 16, 31, 50])
async def test_many_rows_are_written_as_each_alone(db: Database, count: int) -> None:
    rows = [_person(f"p{n:02}", accepted=n % 2 == 0, profile={"n": n}) for n in range(count)]
    await db.write(lambda conn: _INSERT.many(conn, rows))
    found = await db.read(lambda conn: conn.execute(select(people).order_by(_p.id)).all())
    assert [(row.id, row.accepted, row.profile) for row in found] == [
        (row["id"], row["accepted"], row["profile"]) for row in rows
    ]
