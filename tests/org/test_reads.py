"""What SCIM, syncs and admins read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from scimd.core.attributes import GROUP
from scimd.core.people import PersonId, keys_of
from scimd.core.resource import Projection, View, unpack
from scimd.core.sync.match import Linked, New
from scimd.db import tables as t
from scimd.org.reading import reads
from scimd.org.reading.keyset import Sort
from scimd.org.reading.reads import ListQuery
from scimd.org.runs import sync_reads
from scimd.org.users import admin_reads, user_reads
from scimd.org.users.user_reads import UserFilter, UserRow
from scimd.org.windows import Place, Window
from tests.org.house import BASE, GROUP_VIEW, House, group, house, user
from tests.support.patience import promptly

_ALL = Window()


async def test_pages_are_stable_and_totals_are_those_of_the_source(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.push(*(user(f"p{n:02}") for n in range(25)))
        other = acme.as_scim(await acme.source("entra"))
        await acme.create("elsewhere", ctx=other)
        seen: list[str] = []
        for start in (1, 11, 21):
            total, page = await acme.listed(ListQuery(start_index=start, count=10))
            assert total == 25
            seen += [each["id"] for each in page]
        assert len(set(seen)) == 25
        assert (await acme.listed(ListQuery(), other))[0] == 1
        assert await acme.listed(ListQuery(count=0), other) == (1, [])


async def test_filter_order_and_inactive_users(database_url: str) -> None:
    async with house(database_url) as acme:
        made = [await acme.create(name) for name in ("ann", "bob", "cid")]
        await acme.change(made[1].person_id, active=False)
        await acme.delete(made[2].person_id)
        query = ListQuery(
            where=t.assertions.c.user_name_key.in_(
                ["ann@acme.example", "bob@acme.example", "cid@acme.example"]
            ),
            sort=Sort(t.assertions.c.user_name_key, True),
        )
        total, page = await acme.listed(query)
        assert total == 2
        assert [each["userName"][:3] for each in page] == ["bob", "ann"]


async def test_list_of_users_tells_their_groups_and_list_of_groups_their_members(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob = await acme.create("ann"), await acme.create("bob")
        inner = await acme.group("Inner", ann.person_id)
        outer = await acme.group("Outer", inner, bob.person_id)
        _, page = await acme.listed(ListQuery())
        shown = {each["id"]: [(g["display"], g["type"]) for g in each["groups"]] for each in page}
        assert shown[ann.person_id] == [("Inner", "direct"), ("Outer", "indirect")]
        assert shown[bob.person_id] == [("Outer", "direct")]
        members = {
            each["id"]: [(m["type"], m["display"]) for m in each["members"]]
            for each in await listed_groups(acme)
        }
        assert members == {inner: [("User", "Ann")], outer: [("User", "Bob"), ("Group", "Inner")]}
        bare = await listed_groups(acme, without="members")
        assert ["members" in each for each in bare] == [False, False]


async def test_groups_that_are_all_in_each_other_are_each_come_to_once(database_url: str) -> None:
    """V19: whoever read one person waited while all ways through them were walked."""
    async with house(database_url) as acme:
        ann = await acme.create("ann")
        ids = await acme.push_groups(*(group(f"G{n:03}", ann.person_id) for n in range(120)))
        (row, *_) = await acme.rows(t.group_members)
        mesh = [
            {**row._mapping, "group_id": a.group_id, "member_key": b.group_id, "person_id": None}
            | {"child_id": b.group_id}
            for a in ids
            for b in ids
        ]
        for n in range(0, len(mesh), 1000):
            await acme.execute(t.group_members.insert().values(mesh[n : n + 1000]))
        # A fiftieth of that on an idle machine; else many times it.
        (page,) = (await promptly(lambda: acme.listed(ListQuery()), 5))[1]
        assert sorted((g["display"], g["type"]) for g in page["groups"]) == [
            (f"G{n:03}", "direct") for n in range(120)
        ]


async def listed_groups(acme: House, without: str | None = None) -> list[dict[str, Any]]:
    view = View(BASE, Projection.parse(GROUP, None, without))
    found = await reads.scim_groups(acme.door, acme.as_scim(), ListQuery(), view)
    page: list[dict[str, Any]] = orjson.loads(b"[%b]" % b"".join(found.resources.pieces))
    return page


#: What JSON escapes, what it may, what looks as if it had to, and what is no ASCII.
NAMES = (
    '"',
    "\\",
    "\\u0041",
    "a/b",
    "\b\f\n\r\t",
    "\x01\x1f",
    "\x7f",
    "\u2028",
    "Zoë",
    "名",
    "😀",
    "%s :x $1",
    "'",
)


async def test_members_are_rendered_by_the_database_as_json_has_them(database_url: str) -> None:
    """Whatever their names hold; nested groups behind the people, each by their id."""
    async with house(database_url) as acme:
        people = [
            (await acme.create(f"p{n}", displayName=f"-{name}-")).person_id for n, name in enumerate(NAMES)
        ]
        nested = [await acme.group(f"{name}-") for name in NAMES]
        plain = await acme.create("plain", displayName="plain@acme.example")
        gone = await acme.create("gone")
        whole = await acme.group("Whole", *nested, gone.person_id, plain.person_id, *people, "not known yet")
        await acme.delete(gone.person_id)
        users = {one: {"display": f"-{name}-"} for one, name in zip(people, NAMES, strict=True)}
        users[plain.person_id] = {}  # whoever is called as they log in has no name to show
        groups = {one: {"display": f"{name}-"} for one, name in zip(nested, NAMES, strict=True)}
        told = [
            {"value": one, "$ref": f"{BASE}/{kind}s/{one}", "type": kind, **named}
            for kind, many in (("User", users), ("Group", groups))
            for one, named in sorted(many.items())
        ]
        found = await reads.scim_group(acme.door, acme.as_scim(), whole, GROUP_VIEW)
        assert found is not None
        assert b',"members":' + orjson.dumps(told) + b',"id":' in found.body


async def test_second_source_reads_its_own_document_and_its_own_groups(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"join": ["mail"]})
        ann = await acme.create("ann", title="of Okta")
        await acme.group("Okta's", ann.person_id)
        await acme.push(user("ann", external_id="hr1", title="of HR"), ctx=acme.as_sync(hr))
        mine = await acme.seen(ann.person_id, acme.as_sync(hr))
        assert mine is not None
        assert mine["title"] == "of HR"
        assert "groups" not in mine


async def test_sync_reads_what_its_source_said(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        sync = acme.as_sync(hr)
        await acme.push(*(user(f"p{n}", digest=bytes([n])) for n in range(5)), ctx=sync)
        found = await sync_reads.known_users(acme.door, sync, ["x-p1", "x-none"])
        assert list(found) == ["x-p1"]
        assert (found["x-p1"].digest, unpack(found["x-p1"].document)["userName"]) == (
            b"\x01",
            "p1@acme.example",
        )
        live, after = [], None
        while page := await sync_reads.live_users(acme.door, sync, after, 2):
            live += page
            after = page[-1].key
        assert sorted(each.external_id or "" for each in live) == [f"x-p{n}" for n in range(5)]
        members = ("x-p0", "x-p1", "x-later", "g-none")
        (made,) = await acme.push_groups(group("G", *members, external_id="g1"), ctx=sync)
        assert made.group_id is not None
        assert await sync_reads.group_member_keys(acme.door, sync, made.group_id) == sorted(members)
        groups = await sync_reads.live_groups(acme.door, sync, None, 10)
        assert [(each.group_id, each.display_name) for each in groups] == [(made.group_id, "G")]
        await acme.drop(found["x-p1"].person_id, ctx=sync)
        # Their row is hidden and kept: a directory that lists them no longer has to be able to take it.
        assert await sync_reads.group_member_keys(acme.door, sync, made.group_id) == sorted(members)


async def test_plan_asks_whose_entries_are(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"join": ["mail"]})
        ann = await acme.create("ann")
        keys = [keys_of(user(name).document) for name in ("ann", "bob")]
        assert await sync_reads.identified(acme.door, acme.as_sync(hr), keys) == [
            Linked(PersonId(ann.person_id), "join"),
            New(),
        ]


async def listed(acme: House, window: Window = _ALL, **only: str) -> Sequence[UserRow]:
    return (await user_reads.list_users(acme.door, acme.org_id, UserFilter(**only), window)).rows


async def test_admin_finds_people_and_reads_every_reason(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = await acme.create("ann", displayName="Ännchen")
        acme.clock.forward(seconds=1)
        bob = await acme.create("bob")
        await acme.group("Sales", ann.person_id)
        await acme.change(bob.person_id, active=False)
        rows = await listed(acme)
        told = [(row.status, [each.name for each in row.projects]) for row in rows]
        assert told == [("active", ["Sales"]), ("inactive", [])]
        for asked, found in (({"q": "nnchen"}, ann), ({"status": "inactive"}, bob)):
            assert [row.id for row in await listed(acme, **asked)] == [found.person_id]
        behind = Window(1, Place(None, rows[0].id))
        assert [row.id for row in await listed(acme, behind)] == [bob.person_id]
        for who in (ann.person_id, "ann", "ANN@acme.example"):
            page = await admin_reads.show_person(acme.door, acme.org_id, who)
            assert page.person.id == ann.person_id
        assert any("Sales" in reason.fact for reason in page.standing.reasons)
        assert page.assertions[0].source_name == "okta"


async def test_an_address_of_another_script_is_found_by_any_part_of_it(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.create("bob")
        ida = (await acme.create("ida", mail="Ida@exämple.example")).person_id
        for part in ("exämp", "mple.ex", "@EXÄMPLE.example", "xn--exmple-cua", "ida@"):
            assert [row.id for row in await listed(acme, q=part)] == [ida], part


async def test_check_finds_a_standing_that_was_tampered_with(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = await acme.create("ann")
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []
        await acme.execute(t.people.update().values(status="pending"))
        (difference,) = await admin_reads.check_standing(acme.door, acme.org_id)
        assert (difference.person_id, difference.what) == (ann.person_id, "status")
        assert "pending" in str(difference)
