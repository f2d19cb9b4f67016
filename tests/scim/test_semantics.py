"""What a push means (docs/semantics.md), as a client sees it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Row, Table, select, update

from scimd.core.attributes import ENTERPRISE_URN, SCIMD_URN
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.org.grants import manual_grants
from scimd.org.tx import Context
from scimd.scim.quirks.profiles import PROFILES
from tests.scim.serving import OPERATOR, Client, Installation


async def says(client: Client, user_id: str) -> dict[str, Any]:
    """scimd's extension."""
    return dict((await client.get(f"/Users/{user_id}", params={"attributes": SCIMD_URN})).json[SCIMD_URN])


def person(n: int) -> dict[str, Any]:
    return {
        "userName": f"u{n}@example.com",
        "externalId": f"e{n}",
        "emails": [{"value": f"u{n}@example.com"}],
    }


def employee(number: str) -> dict[str, Any]:
    return {ENTERPRISE_URN: {"employeeNumber": number}}


async def rows(scimd: Installation, table: Table, **where: str) -> list[Row[Any]]:
    query = select(table).where(*(table.c[name] == value for name, value in where.items()))
    return await scimd.door.read(lambda conn: list(conn.execute(query)))


async def by_hand(scimd: Installation, client: Client, user_id: str) -> None:
    """An admin made the person, who has accepted, an Auditor."""
    accepted = update(t.people).where(t.people.c.id == user_id).values(accepted=True)
    await scimd.door.db.write(lambda conn: conn.execute(accepted).close())
    ctx = Context(client.org_id, OPERATOR, "cli", "tests")
    await scimd.door.run(
        ctx, lambda tx: manual_grants.give(tx, PersonId(user_id), "role", "auditor", "admin")
    )


# ------------------------------------------------------------------------------ coming back


async def test_inactive_user_posted_again_is_the_same_person(idp: Client) -> None:
    """C11; Return."""
    user = await idp.user(**_as_user(person(1)))
    await idp.patch(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": False})
    again = await idp.post("/Users", person(1))
    assert again.status == 201
    assert again.json["id"] == user["id"]
    assert again.json["active"] is True
    live = await idp.post("/Users", person(1))
    assert (live.status, live.scim_type) == (409, "uniqueness")


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "active"},
        {"op": "replace", "path": "active", "value": None},
        {"op": "replace", "value": {"active": None, "title": "Clerk"}},
    ],
)
async def test_whoever_was_deactivated_is_not_back_because_active_is_unassigned(
    idp: Client, operation: dict[str, Any]
) -> None:
    """RFC 7643 §2.5: what is unassigned is neither true nor false."""
    user = await idp.user(**_as_user(person(1)))
    path = f"/Users/{user['id']}"
    await idp.patch(path, {"op": "replace", "path": "active", "value": False})
    unassigned = await idp.patch(path, operation)
    assert (unassigned.status, "active" in unassigned.json) == (200, False)
    assert (await says(idp, user["id"]))["status"] == "inactive"
    await idp.patch(path, {"op": "replace", "path": "title", "value": "Chief"})
    put = await idp.put(path, person(1))
    assert put.status == 200
    assert (await says(idp, user["id"]))["status"] == "inactive"
    await idp.patch(path, {"op": "add", "path": "active", "value": True})
    assert (await says(idp, user["id"]))["status"] != "inactive"


async def test_address_that_does_not_say_primary_is_not_the_primary_one(idp: Client) -> None:
    """RFC 7643 §2.4."""
    emails = [{"value": "a@x.org", "primary": True}, {"value": "b@x.org", "type": "home"}]
    path = f"/Users/{(await idp.user('dana', emails=emails))['id']}"
    other = "emails[primary eq false]"
    for text in (other, "emails.primary eq false"):
        assert (await idp.get("/Users", params={"filter": text})).json["totalResults"] == 1
    named = await idp.patch(path, {"op": "replace", "path": f"{other}.display", "value": "B"})
    assert named.json["emails"] == [emails[0], {**emails[1], "display": "B"}]
    removed = await idp.patch(path, {"op": "remove", "path": other})
    assert removed.json["emails"] == emails[:1]
    for value, part in (("B", ".display"), ({"display": "B"}, "")):
        nobody = await idp.patch(path, {"op": "replace", "path": f"{other}{part}", "value": value})
        assert (nobody.status, nobody.scim_type) == (400, "noTarget")
    made = await idp.patch(path, {"op": "replace", "path": f"{other}.value", "value": "c@x.org"})
    assert made.json["emails"] == [emails[0], {"value": "c@x.org", "primary": False}]
    marked = await idp.patch(
        path, {"op": "replace", "path": 'emails[type eq "work"].primary', "value": False}
    )
    assert marked.json["emails"][2] == {"type": "work", "primary": False}, "the filter describes it"


async def test_deleted_user_comes_back_by_the_same_external_id_only(idp: Client) -> None:
    user = await idp.user(**_as_user(person(1)))
    await idp.delete(f"/Users/{user['id']}")
    assert (await idp.post("/Users", person(1))).json["id"] == user["id"]
    await idp.delete(f"/Users/{user['id']}")
    stranger = await idp.post("/Users", {**person(1), "externalId": "another"})
    assert stranger.status == 201
    assert stranger.json["id"] != user["id"]


async def two_sources(scimd: Installation) -> tuple[Client, Client]:
    """The owner's and another's, which meet by employee number."""
    org = await scimd.organization("acme")
    join = {"join": ["employeeNumber"]}
    one = await scimd.client(org, "one", config=join, invite="never")
    return one, await scimd.client(org, "two", config=join, invite="never")


async def test_recycled_name_takes_nobody_over_whom_another_source_has(scimd: Installation) -> None:
    one, two = await two_sources(scimd)
    john = (await one.user("jsmith", externalId="A-1", **employee("1")))["id"]
    assert (await two.user("john.smith", externalId="B-1", **employee("1")))["id"] == john
    await one.delete(f"/Users/{john}")
    jane = (await one.user("jsmith", externalId="A-2", **employee("2")))["id"]
    assert jane != john
    await one.patch(f"/Users/{jane}", {"op": "replace", "path": "active", "value": False})
    assert (await says(two, john))["status"] == "active"
    back = await one.post("/Users", {"userName": "jsmith", "externalId": "A-1", **employee("1")})
    assert (back.status, back.scim_type) == (409, "uniqueness")
    assert (await one.user("john", externalId="A-1", **employee("1")))["id"] == john


async def test_name_that_a_source_asserts_as_inactive_is_taken_where_the_owner_says_active(
    scimd: Installation,
) -> None:
    one, two = await two_sources(scimd)
    john = (await one.user("john.smith", externalId="A-1", **employee("1")))["id"]
    await two.user("jsmith", externalId="B-1", **employee("1"))
    await two.patch(f"/Users/{john}", {"op": "replace", "path": "active", "value": False})
    jane = await two.post("/Users", {"userName": "jsmith", "externalId": "B-2", **employee("2")})
    assert (jane.status, jane.scim_type) == (409, "uniqueness")
    assert (await says(one, john))["status"] == "active"


@pytest.mark.parametrize("way", ["PUT", "PATCH", "in two steps"])
async def test_recycled_name_begins_anew_also_where_the_provider_writes_its_own_external_id(
    scimd: Installation, way: str
) -> None:
    """As Entra does, which looks up by userName before it creates."""
    idp = await scimd.client(await scimd.organization("acme"), invite="never")
    user_id = (await idp.user(**_as_user(person(1))))["id"]
    path = f"/Users/{user_id}"
    await by_hand(scimd, idp, user_id)
    await idp.patch(path, {"op": "replace", "path": "active", "value": False})
    changes = {"externalId": "another", "displayName": "Jane", "active": True}
    if way == "PUT":
        back = await idp.put(path, {**person(1), **changes})
    elif way == "PATCH":
        back = await idp.patch(path, {"op": "replace", "value": changes})
    else:
        await idp.patch(path, {"op": "replace", "path": "externalId", "value": "another"})
        back = await idp.patch(path, {"op": "replace", "path": "active", "value": True})
    assert (back.status, back.json["id"], back.json["active"]) == (200, user_id, True)
    (row,) = await rows(scimd, t.people, id=user_id)
    assert (row.primary_role, row.accepted, row.address_verified_at) == ("user", False, None)
    assert [each.kind for each in await rows(scimd, t.decisions)] == ["return"]


async def test_new_external_id_of_somebody_who_is_there_is_an_update(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"), invite="never")
    user_id = (await idp.user(**_as_user(person(1))))["id"]
    await by_hand(scimd, idp, user_id)
    await idp.put(f"/Users/{user_id}", {**person(1), "externalId": "another"})
    (row,) = await rows(scimd, t.people, id=user_id)
    assert (row.primary_role, row.accepted) == ("auditor", True)
    assert await rows(scimd, t.decisions) == []


# ------------------------------------------------------------------------------ groups


@pytest.mark.parametrize("way", ["PUT", "PATCH", "POST"])
async def test_member_named_before_is_resolved_when_somebody_gets_that_external_id(
    idp: Client, way: str
) -> None:
    """C11."""
    user = await idp.user("u1@example.com", externalId="first")
    path = f"/Users/{user['id']}"
    group = await idp.group("Sales", "late")
    if way == "PATCH":
        got = await idp.patch(path, {"op": "add", "path": "externalId", "value": "late"})
    elif way == "PUT":
        got = await idp.put(path, {"userName": "u1@example.com", "externalId": "late"})
    else:
        await idp.patch(path, {"op": "replace", "path": "active", "value": False})
        got = await idp.post("/Users", {"userName": "u1@example.com", "externalId": "late"})
    shown = await idp.get(f"/Groups/{group['id']}")
    assert [each["value"] for each in shown.json["members"]] == [user["id"]]
    assert shown.headers["ETag"] != group["meta"]["version"]
    assert [each["value"] for each in got.json["groups"]] == [group["id"]]
    assert (await idp.get(path)).headers["ETag"] == got.headers["ETag"]
    assert (await says(idp, user["id"]))["projects"], "which the group gives"


async def test_nested_group_is_resolved_when_it_gets_that_external_id(idp: Client) -> None:
    user = await idp.user("u1@example.com")
    inner = await idp.group("Inner", user["id"])
    outer = await idp.group("Outer", "late")
    await idp.patch(f"/Groups/{inner['id']}", {"op": "add", "path": "externalId", "value": "late"})
    shown = (await idp.get(f"/Groups/{outer['id']}")).json
    assert [each["value"] for each in shown["members"]] == [inner["id"]]
    shown = (await idp.get(f"/Users/{user['id']}")).json
    assert [(each["display"], each["type"]) for each in shown["groups"]] == [
        ("Inner", "direct"),
        ("Outer", "indirect"),
    ]
    assert len((await says(idp, user["id"]))["projects"]) == 2


async def test_group_is_another_when_a_member_comes_back_through_a_join(scimd: Installation) -> None:
    one, two = await two_sources(scimd)
    user = await one.user("u1", externalId="A-1", **employee("1"))
    await two.user("v1", externalId="B-1", **employee("1"))
    group = await one.group("Sales", user["id"])
    await one.delete(f"/Users/{user['id']}")
    empty = await one.get(f"/Groups/{group['id']}")
    assert empty.json["members"] == []
    assert (await one.user("u2", externalId="A-2", **employee("1")))["id"] == user["id"]
    full = await one.get(f"/Groups/{group['id']}", headers={"If-None-Match": empty.headers["ETag"]})
    assert (full.status, len(full.json["members"])) == (200, 1)


# ------------------------------------------------------------------------------ names


async def test_swapped_names_are_updates_in_place(idp: Client) -> None:
    first, second = await idp.user(**_as_user(person(1))), await idp.user(**_as_user(person(2)))
    taken = await idp.put(f"/Users/{first['id']}", {**person(2), "externalId": "e1"})
    assert (taken.status, taken.scim_type) == (409, "uniqueness")
    moved = await idp.put(f"/Users/{second['id']}", {**person(3), "externalId": "e2"})
    assert moved.status == 200
    swapped = await idp.put(f"/Users/{first['id']}", {**person(2), "externalId": "e1"})
    assert (swapped.status, swapped.json["id"]) == (200, first["id"])


async def test_address_held_by_another_source_collides_and_names_the_holder(scimd: Installation) -> None:
    """Lesson 2."""
    org = await scimd.organization("acme")
    one, two = await scimd.client(org, "one"), await scimd.client(org, "two")
    held = await one.user(**_as_user(person(1)))
    body = {**person(1), "userName": "other-name", "externalId": "x"}
    for _ in range(2):
        refused = await two.post("/Users", body)
        assert (refused.status, refused.scim_type) == (409, "uniqueness")
    assert (await one.get(f"/Users/{held['id']}")).json == held
    assert (await two.get("/Users")).json["totalResults"] == 0


# ------------------------------------------------------------------------------ seats


async def test_hold_keeps_whoever_finds_no_seat_waiting(scimd: Installation) -> None:
    client = await scimd.client(await scimd.organization("acme", seats=2))
    users = [await client.user(**_as_user(person(n))) for n in range(3)]
    told = [await says(client, each["id"]) for each in users]
    assert [each["seat"] for each in told] == [True, True, False]
    assert "waiting_for_seat" in told[2]["causes"]
    assert users[2]["active"] is True


async def test_reject_refuses_with_the_figures_and_changes_nothing(scimd: Installation) -> None:
    client = await scimd.client(await scimd.organization("acme", seats=1, seats_on_scim="reject"))
    first = await client.user(**_as_user(person(1)))
    refused = await client.post("/Users", person(2))
    assert refused.status == 403
    assert "scimType" not in refused.json
    assert "1 of 1 used" in refused.json["detail"]
    assert (await client.get("/Users")).json["totalResults"] == 1
    await client.patch(f"/Users/{first['id']}", {"op": "replace", "value": {"active": False}})
    assert (await client.post("/Users", person(2))).status == 201
    back = await client.patch(f"/Users/{first['id']}", {"op": "replace", "value": {"active": True}})
    assert back.status == 403
    assert (await client.get(f"/Users/{first['id']}")).json["active"] is False


# ------------------------------------------------------------------------------ profiles


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_every_profile_creates_changes_and_deletes(scimd: Installation, name: str) -> None:
    client = await scimd.client(await scimd.organization("acme"), profile=name)
    schemas = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}
    user = await client.user(**_as_user({**schemas, **person(1)}))
    path = f"/Users/{user['id']}"
    off = await client.patch(path, {"op": "replace", "path": "active", "value": False})
    assert (off.status, off.json["active"]) == (200, False)
    assert (await client.delete(path)).status == 204


def test_every_quirk_says_when_it_was_seen_and_where() -> None:
    quirks = {quirk for profile in PROFILES.values() for quirk in profile.quirks}
    assert quirks
    for quirk in quirks:
        assert quirk.name.count(".") == 1
        assert quirk.seen.year >= 2026
        assert quirk.source.startswith("https://")
        nothing: dict[str, Any] = {"schemas": [], "Operations": []}
        assert quirk.apply(nothing) is nothing, "a body without the habit is left as it is"


def _as_user(body: dict[str, Any]) -> dict[str, Any]:
    return {"user_name": body["userName"], **{key: value for key, value in body.items() if key != "userName"}}


async def test_filters_find_in_a_group_whom_reading_shows_in_it(idp: Client) -> None:
    """Up to ten levels, and not through a group that was deleted."""
    user_id = (await idp.user("u1"))["id"]
    chain = [(await idp.group("g0", user_id))["id"]]
    for level in range(1, 12):
        chain.append((await idp.group(f"g{level}", chain[-1]))["id"])

    async def shown() -> set[str]:
        return {each["value"] for each in (await idp.get(f"/Users/{user_id}")).json.get("groups", ())}

    async def found(of: str) -> set[str]:
        by = {each: of.format(each, f"g{level}") for level, each in enumerate(chain)}
        totals = {
            each: (await idp.get("/Users", params={"filter": text, "count": "0"})).json["totalResults"]
            for each, text in by.items()
        }
        return {each for each, total in totals.items() if total}

    filters = ('groups.value eq "{0}"', 'groups.display eq "{1}"', 'groups[value eq "{0}" and type pr]')
    for there in (chain[:10], chain[:4]):
        assert await shown() == set(there)
        for text in filters:
            assert await found(text) == set(there), text
        await idp.delete(f"/Groups/{chain[4]}")


# ------------------------------------------------------------------------------ what a conflict says


async def test_conflict_in_one_source_names_the_attribute_and_the_other_resource(idp: Client) -> None:
    """C7."""
    one, two = await idp.user("one", externalId="e-1"), await idp.user("two", externalId="e-2")
    of_one = f"It is held by the user {one['id']}."
    for refused, attribute in (
        (await idp.post("/Users", {"userName": "ONE", "externalId": "e-1"}), "userName 'ONE'"),
        (await idp.post("/Users", {"userName": "One", "externalId": "other"}), "userName 'One'"),
        (await idp.post("/Users", {"userName": "other", "externalId": "e-1"}), "externalId 'e-1'"),
        (await idp.put(f"/Users/{two['id']}", {"userName": "one", "externalId": "e-2"}), "userName 'one'"),
        (await idp.put(f"/Users/{two['id']}", {"userName": "two", "externalId": "e-1"}), "externalId 'e-1'"),
    ):
        assert (refused.status, refused.json["detail"]) == (409, f"{attribute} is taken. {of_one}")
    group = await idp.group("Sales")
    again = (await idp.post("/Groups", {"displayName": "sales"})).json["detail"]
    assert again == f"displayName 'sales' is taken. It is held by the group {group['id']}."


async def test_conflict_between_sources_names_what_was_sent(scimd: Installation) -> None:
    org = await scimd.organization("acme", domains=("acme.example",))
    one = await scimd.client(org, "one")
    two = await scimd.client(org, "two", config={"join": ["employeeNumber", "mail"]})
    for number in ("1", "2"):
        mail = [{"value": "same@acme.example"}]
        await one.user(f"u{number}", externalId=number, emails=mail, **employee("7"))
    await one.user("dana@elsewhere.example")
    ways: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"userName": "x"} | employee("7"), "employeeNumber '7'", "several people"),
        ({"userName": "y", "emails": mail}, "emails 'same@acme.example'", "several people"),
        ({"userName": "dana@elsewhere.example"}, "userName 'dana@elsewhere.example'", "one"),
    )
    for body, attribute, holder in ways:
        detail = (await two.post("/Users", body)).json["detail"]
        assert detail.startswith(f"{attribute} is taken. It is held by {holder}."), detail
