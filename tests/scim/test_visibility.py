"""What a token sees (docs/semantics.md; X2): its source's people, and local ones whom it could link now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Executable, Row, update

from scimd.core.attributes import USER_URN
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN
from scimd.db import tables as t
from scimd.org.identities import linking
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.tx import Context
from scimd.org.users import local_people
from scimd.org.users.local_people import Edit, NewPerson
from tests.scim.serving import Client, Installation

ADDRESS = "lee@acme.example"


async def company(scimd: Installation) -> Client:
    """An organization whose domain is verified, and its identity provider."""
    return await scimd.client(await scimd.organization("acme", domains=("acme.example",)))


async def local(scimd: Installation, client: Client, address: str = ADDRESS, **columns: Any) -> str:
    """A local person who proved the address."""
    ctx = as_admin(scimd, await _org(scimd))
    person_id = await local_people.add(scimd.door, ctx, NewPerson(email=address, display_name="Lee"))
    values = {"address_verified_at": scimd.door.clock(), "accepted": True} | columns
    mine = (t.people.c.org_id == client.org_id) & (t.people.c.id == person_id)
    await execute(scimd, update(t.people).where(mine).values(**values))
    return person_id


def as_admin(scimd: Installation, org: OrganizationRecord) -> Context:
    """The context of an Account Admin."""
    return replace(scimd.context(org), permissions=BUILT_IN[ACCOUNT_ADMIN].permissions)


async def execute(scimd: Installation, statement: Executable) -> None:
    await scimd.door.db.write(lambda conn: conn.execute(statement).close())


async def person(scimd: Installation, person_id: str) -> Row[Any]:
    query = t.people.select().where(t.people.c.id == person_id)
    (row,) = await scimd.door.read(lambda conn: list(conn.execute(query)))
    return row


async def _org(scimd: Installation) -> OrganizationRecord:
    return await organizations.by_slug(scimd.door, "acme")


async def seen(client: Client, **params: str) -> list[str]:
    listed = (await client.get("/Users", params=params)).json
    assert len(listed["Resources"]) == listed["itemsPerPage"]
    if "count" not in params:
        assert listed["totalResults"] == len(listed["Resources"])
    return [each["id"] for each in listed["Resources"]]


async def test_local_person_whom_the_source_could_link_is_seen_everywhere(scimd: Installation) -> None:
    idp = await company(scimd)
    dana = (await idp.user("dana@acme.example"))["id"]
    lee = await local(scimd, idp)
    document = (await idp.get(f"/Users/{lee}")).json
    assert (document["userName"], document["displayName"], document["active"]) == (ADDRESS, "Lee", True)
    assert await seen(idp) == [dana, lee]
    for text in (f'userName eq "{ADDRESS.upper()}"', f'emails.value eq "{ADDRESS}"', 'displayName sw "le"'):
        assert await seen(idp, filter=text) == [lee], text
    assert await seen(idp, filter=f'userName eq "{ADDRESS}" and active eq true') == [lee]
    assert await seen(idp, filter="externalId pr") == []
    assert await seen(idp, filter="userName pr", sortBy="userName", sortOrder="descending") == [dana, lee]
    for query in ({"filter": "userName pr"}, {}):
        found = await idp.post("/Users/.search", query)
        assert [each["id"] for each in found.json["Resources"]] == [dana, lee]


@pytest.mark.parametrize("by_cursor", [False, True])
async def test_pages_go_on_from_the_source_to_the_local_people(scimd: Installation, by_cursor: bool) -> None:
    idp = await company(scimd)
    asserted = [(await idp.user(f"u{n}@acme.example"))["id"] for n in range(3)]
    locals_ = [await local(scimd, idp, f"l{n}@acme.example") for n in range(3)]
    for count in (1, 2, 3, 4, 6):
        for filtered in ({}, {"filter": "userName pr"}, {"sortBy": "userName"}):
            found: list[str] = []
            params = {"count": str(count), **filtered, **({"cursor": ""} if by_cursor else {})}
            while True:
                page = (await idp.get("/Users", params=params)).json
                assert page["totalResults"] == 6
                found += [each["id"] for each in page["Resources"]]
                if by_cursor and "nextCursor" in page:
                    params["cursor"] = page["nextCursor"]
                elif by_cursor or len(found) >= 6 or not page["Resources"]:
                    break
                else:
                    params["startIndex"] = str(len(found) + 1)
            assert found == [*asserted, *locals_], (count, filtered)
    assert (await idp.get("/Users", params={"count": "0"})).json["totalResults"] == 6


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_what_was_looked_up_is_linked_and_not_a_collision(scimd: Installation, method: str) -> None:
    """An IdP looks up by userName before it creates."""
    idp = await company(scimd)
    lee = await local(scimd, idp)
    body = {"userName": ADDRESS, "externalId": "x-lee", "title": "Smith"}
    if method == "PATCH":
        linked = await idp.patch(
            f"/Users/{lee}", {"op": "replace", "value": {"externalId": "x-lee", "title": "Smith"}}
        )
    else:
        linked = await idp.send(method, "/Users" if method == "POST" else f"/Users/{lee}", body)
    assert (linked.status, linked.json["id"]) == (201 if method == "POST" else 200, lee)
    assert (linked.json["userName"], linked.json["externalId"]) == (ADDRESS, "x-lee")
    assert await seen(idp) == await seen(idp, filter='externalId eq "x-lee"') == [lee]
    row = await person(scimd, lee)
    assert (row.sign_in_address, row.local_user_name) == (ADDRESS, "lee"), "linking writes neither"


async def test_a_local_person_is_looked_up_in_either_form_of_the_domain(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme", domains=("straße.example",)))
    lee = await local(scimd, idp, "lee@Straße.example")
    for name in ("LEE@straße.example", "lee@xn--strae-oqa.example"):
        for text in (f'userName eq "{name}"', f'{USER_URN}:USERNAME eq  "{name}"', f"userName eq {name}"):
            assert await seen(idp, filter=text) == [lee], text


async def test_delete_of_a_local_person_is_refused(scimd: Installation) -> None:
    idp = await company(scimd)
    lee = await local(scimd, idp)
    assert (await idp.delete(f"/Users/{lee}")).status == 403
    assert await seen(idp) == [lee]


@pytest.mark.parametrize(
    ("address", "columns"),
    [
        ("lee@elsewhere.example", {}),
        (ADDRESS, {"address_verified_at": None}),
    ],
)
async def test_local_person_who_may_not_be_linked_is_not_there(
    scimd: Installation, address: str, columns: dict[str, Any]
) -> None:
    """Another domain; or came in without ever proving the address."""
    idp = await company(scimd)
    lee = await local(scimd, idp, address, **columns)
    assert await seen(idp) == await seen(idp, filter=f'userName eq "{address}"') == []
    assert await seen(idp, filter="userName pr") == []
    for reply in (
        await idp.get(f"/Users/{lee}"),
        await idp.put(f"/Users/{lee}", {"userName": address}),
        await idp.patch(f"/Users/{lee}", {"op": "replace", "value": {"title": "x"}}),
        await idp.delete(f"/Users/{lee}"),
    ):
        assert reply.status == 404


async def test_privileged_local_person_is_not_there_and_collides(scimd: Installation) -> None:
    """A directory must not take over an admin."""
    idp = await company(scimd)
    lee = await local(scimd, idp)
    grant = {
        "org_id": idp.org_id, "id": "g-1", "person_id": lee, "kind": "role", "target": "manager",
        "origin": "manual", "origin_by": "test", "dormant": True, "since": scimd.door.clock(),
    }  # fmt: skip
    await execute(scimd, t.grants.insert().values(grant))
    assert (await idp.get(f"/Users/{lee}")).status == 404
    assert await seen(idp) == await seen(idp, filter=f'userName eq "{ADDRESS}"') == []
    refused = await idp.post("/Users", {"userName": ADDRESS})
    assert (refused.status, refused.scim_type) == (409, "uniqueness")


async def test_people_of_another_source_are_not_there(scimd: Installation) -> None:
    idp = await company(scimd)
    org = await _org(scimd)
    other = await scimd.client(org, "other")
    dana = (await other.user("dana@acme.example"))["id"]
    assert await seen(idp) == await seen(idp, filter='userName eq "dana@acme.example"') == []
    assert (await idp.get(f"/Users/{dana}")).status == 404


async def test_two_tokens_of_one_source_see_the_same(scimd: Installation) -> None:
    idp = await company(scimd)
    twin = await scimd.client(await _org(scimd), "idp", profile="okta")
    assert twin.source_id == idp.source_id
    dana = await idp.user("dana@acme.example")
    lee = await local(scimd, idp)
    assert await seen(twin) == await seen(idp) == [dana["id"], lee]
    assert (await twin.get(f"/Users/{dana['id']}")).json == (await idp.get(f"/Users/{dana['id']}")).json


async def test_two_sources_that_assert_one_person_share_the_id_and_read_their_own(
    scimd: Installation,
) -> None:
    idp = await company(scimd)
    second = await scimd.client(await _org(scimd), "hr", config={"join": ["mail"]})
    one = await idp.user("dana@acme.example", title="Engineer")
    two = await second.user("d.dana", emails=[{"value": "dana@acme.example"}], title="Employee 7")
    assert two["id"] == one["id"]
    assert (await idp.get(f"/Users/{one['id']}")).json["title"] == "Engineer"
    assert (await second.get(f"/Users/{one['id']}")).json["userName"] == "d.dana"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "emails", "value": [{"value": "evil@elsewhere.example", "primary": True}]},
        {"op": "remove", "path": "emails"},
        {"op": "replace", "value": {"emails": [{"value": "other@acme.example"}]}},
    ],
)
async def test_linking_by_another_address_is_refused_and_changes_nothing(
    scimd: Installation, operation: dict[str, Any]
) -> None:
    """Lesson 2: reset mail would go there."""
    idp = await company(scimd)
    lee = await local(scimd, idp)
    before = await person(scimd, lee)
    name = {"op": "replace", "path": "userName", "value": "evil"}
    emails = operation.get("value", [])
    body = {"userName": "evil", "emails": emails["emails"] if isinstance(emails, dict) else emails}
    for refused in (
        await idp.patch(f"/Users/{lee}", name, operation),
        await idp.put(f"/Users/{lee}", body),
    ):
        assert (refused.status, refused.scim_type) == (409, "uniqueness")
        assert "evil" not in refused.json["detail"]
    assert await person(scimd, lee) == before


async def test_linking_on_an_admins_word_writes_no_address(scimd: Installation) -> None:
    idp = await company(scimd)
    lee = await local(scimd, idp)
    await linking.link(scimd.door, as_admin(scimd, await _org(scimd)), PersonId(lee), "idp", "x-lee")
    linked = await idp.user("lee", externalId="x-lee", emails=[{"value": "lee@elsewhere.example"}])
    assert linked["id"] == lee
    row = await person(scimd, lee)
    assert (row.sign_in_address, row.owner_source_id) == (ADDRESS, idp.source_id)
    assert row.address_verified_at is not None


async def test_the_entity_tag_of_a_local_person_changes_with_what_an_admin_changes(
    scimd: Installation,
) -> None:
    idp = await company(scimd)
    lee = await local(scimd, idp)
    before = await idp.get(f"/Users/{lee}")
    tag = before.headers["ETag"]
    assert tag == before.json["meta"]["version"]
    admin = as_admin(scimd, await _org(scimd))
    await local_people.edit(scimd.door, admin, PersonId(lee), Edit(display_name="Renamed"))
    after = await idp.get(f"/Users/{lee}", headers={"If-None-Match": tag})
    assert (after.status, after.json["displayName"]) == (200, "Renamed")
    again = await idp.get(f"/Users/{lee}", headers={"If-None-Match": after.headers["ETag"]})
    assert again.status == 304
    (listed,) = (await idp.get("/Users")).json["Resources"]
    assert listed["meta"]["version"] == after.headers["ETag"]
    late = await idp.put(f"/Users/{lee}", before.json, headers={"If-Match": tag})
    assert late.status == 412
    assert (await person(scimd, lee)).owner_source_id is None
    linked = await idp.put(f"/Users/{lee}", after.json, headers={"If-Match": after.headers["ETag"]})
    assert (linked.status, linked.json["displayName"]) == (200, "Renamed")
