"""The fast reads of users say, byte for byte, what the careful ones say."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import update

from scimd.core.attributes import SCIMD_URN, USER
from scimd.core.people import PersonId
from scimd.core.resource import Projection, View, etag, projected, render_user
from scimd.db.tables import assertions
from scimd.org.groups import groups
from scimd.org.reading import reads
from scimd.org.reading.reads import ListQuery
from scimd.org.settling import unsettled
from tests.org.house import BASE, VIEW, House, house, user

_PROJECTIONS = (
    (None, None),
    (None, "groups"),
    ("userName,groups.display", None),
    (SCIMD_URN, None),
    ("emails.value,meta", None),
    (None, "emails.type,meta,name"),
)


async def _careful(acme: House, person_id: str, projection: Projection) -> tuple[str, bytes]:
    stored = await acme.door.read(
        lambda conn: reads.load_user(conn, acme.org_id, acme.scim, PersonId(person_id))
    )
    assert stored is not None
    whole = render_user(stored, BASE)
    if not projection.wants("groups"):
        document = orjson.loads(whole)
        document.pop("groups", None)
        whole = orjson.dumps(document)
    return etag(stored.version, stored.rest), projected(whole, projection, stored.extension)


@pytest.mark.parametrize(("only", "without"), _PROJECTIONS)
async def test_fast_reads_equal_careful_ones(
    database_url: str, only: str | None, without: str | None
) -> None:
    async with house(database_url) as acme:
        pushed = await acme.push(*(user(f"p{n}") for n in range(5)))
        ids = sorted(each.person_id or "" for each in pushed)  # made in one moment: the order of pages
        names = [(await acme.seen(each) or {})["userName"] for each in ids]
        inner = await acme.group('Inner \u00e9"', ids[0], ids[1])
        middle = await acme.group("Middle", inner, ids[1])
        await acme.group("Outer", middle, ids[2])
        await acme.members(inner, add=[middle])  # a cycle
        gone = await acme.group("Gone", ids[0], ids[3])
        await acme.run(lambda tx: groups.drop_groups(tx, [gone]))
        other = acme.as_scim(await acme.source("entra"))
        await acme.group("Theirs", ids[0], ctx=other)
        view = View(BASE, Projection.parse(USER, only, without))
        careful = [await _careful(acme, each, view.projection) for each in ids]
        for _ in range(2):  # the second time with what was kept
            shown = [await reads.scim_user(acme.door, acme.as_scim(), each, view) for each in ids]
            assert [(each.tag, each.body) for each in shown if each] == careful
            found = [
                await reads.scim_users(acme.door, acme.as_scim(), ListQuery(user_name=name), view)
                for name in names
            ]
            assert [b"".join(each.resources.pieces) for each in found] == [body for _, body in careful]
            for page in (ListQuery(), ListQuery(count=300), ListQuery(start_index=1, count=5)):
                listed = await reads.scim_users(acme.door, acme.as_scim(), page, view)
                assert b"".join(listed.resources.pieces) == b",".join(body for _, body in careful)


async def test_pages_go_on_behind_an_end_and_come_again_by_their_beginning(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.push(*(user(f"p{n}") for n in range(7)))
        everybody = [each["id"] for each in (await acme.listed(ListQuery()))[1]]
        ctx = acme.as_scim()
        first = await reads.scim_users(acme.door, ctx, ListQuery(count=3), VIEW)
        assert first.before is None
        middle = await reads.scim_users(acme.door, ctx, ListQuery(start_index=4, count=3), VIEW)
        assert middle.before == first.end
        for after in (first.end, middle.before):
            query = ListQuery(start_index=4, count=3, after=after, if_moves=first.moves)
            assert [each["id"] for each in (await acme.listed(query))[1]] == everybody[3:6]
            stale = ListQuery(start_index=2, count=2, after=after, if_moves=6)
            assert [each["id"] for each in (await acme.listed(stale))[1]] == everybody[1:3]
        beyond = await reads.scim_users(acme.door, ctx, ListQuery(start_index=9, count=3), VIEW)
        assert (beyond.total, beyond.resources.count, beyond.end) == (7, 0, None)


async def test_groups_of_a_page_are_found_though_others_stand_between(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scimd.org.reading.scim_reads._MEMBERSHIPS", 1)
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        other = acme.as_scim(await acme.source("entra"))
        between = [(await acme.create(f"x{n}", ctx=other)).person_id for n in range(3)]
        bob = (await acme.create("bob")).person_id
        sales = await acme.group("Sales", ann, bob)
        await acme.group("Theirs", *between, ctx=other)
        # Somebody waits to be settled: what the rows say of groups may be old.
        await acme.door.db.write(lambda conn: conn.execute(update(assertions).values(in_groups=None)))
        await acme.run(lambda tx: unsettled.mark(tx, [PersonId(ann)]))
        _, page = await acme.listed(ListQuery())
        assert [[ref["value"] for ref in each["groups"]] for each in page] == [[sales], [sales]]


async def test_a_page_is_as_its_rows_say_where_only_others_are_to_be_settled(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        sales = await acme.group("Sales", ann)
        await acme.door.db.write(lambda conn: conn.execute(update(assertions).values(in_groups=None)))
        later = PersonId("ffffffff-ffff-7fff-bfff-ffffffffffff")
        await acme.run(lambda tx: unsettled.mark(tx, [later]))
        _, page = await acme.listed(ListQuery())
        assert "groups" not in page[0]
        await acme.run(lambda tx: unsettled.mark(tx, [PersonId(ann)]))
        _, page = await acme.listed(ListQuery())
        assert [ref["value"] for ref in page[0]["groups"]] == [sales]
