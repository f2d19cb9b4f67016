"""Okta's documented sequence: developer.okta.com, SCIM 2.0 protocol reference and FAQ (2026-11)."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import SCIMD_URN
from tests.scim.serving import Client, Installation

USER_AGENT = {"User-Agent": "Okta SCIM Client 1.0.0", "Content-Type": "application/scim+json; charset=utf-8"}
NEW: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "test.user@okta.local",
    "name": {"givenName": "Test", "familyName": "User"},
    "emails": [{"primary": True, "value": "test.user@okta.local", "type": "work"}],
    "displayName": "Test User",
    "locale": "en-US",
    "externalId": "00ujl29u0le5T6Aj10h7",
    "groups": [],
    "password": "1mz050nq",
    "active": True,
}


@pytest.fixture
async def okta(scimd: Installation) -> Client:
    client = await scimd.client(await scimd.organization("acme"), "okta", profile="okta")
    client.headers = USER_AGENT
    return client


async def status_of(client: Client, user_id: str) -> dict[str, Any]:
    return dict((await client.get(f"/Users/{user_id}", params={"attributes": SCIMD_URN})).json[SCIMD_URN])


async def look_up(client: Client, user_name: str) -> dict[str, Any]:
    reply = await client.get(
        "/Users", params={"filter": f'userName eq "{user_name}"', "startIndex": "1", "count": "100"}
    )
    assert reply.status == 200
    return dict(reply.json)


async def test_user_of_a_custom_app_lives_by_put(okta: Client) -> None:
    none = await look_up(okta, NEW["userName"])
    assert none == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0,
        "startIndex": 1,
        "itemsPerPage": 0,
        "Resources": [],
    }
    made = await okta.post("/Users", NEW)
    assert made.status == 201
    created = made.json
    kept = {key: value for key, value in NEW.items() if key not in ("groups", "password")}
    assert {key: created[key] for key in kept} == kept
    assert "password" not in made.raw.decode()
    assert made.headers["Location"] == created["meta"]["location"]
    assert (await look_up(okta, "TEST.user@okta.local"))["Resources"][0]["id"] == created["id"]

    again = await okta.post("/Users", NEW)
    assert (again.status, again.scim_type) == (409, "uniqueness")

    # Okta reads the whole resource, changes it, and sends it back with id, meta and groups.
    whole = (await okta.get(f"/Users/{created['id']}")).json
    whole["name"] = {"givenName": "Another", "middleName": "Excited", "familyName": "User"}
    changed = await okta.put(f"/Users/{created['id']}", whole)
    assert changed.status == 200
    assert changed.json["name"]["middleName"] == "Excited"
    assert changed.json["id"] == created["id"]

    gone = await okta.put(f"/Users/{created['id']}", {**changed.json, "active": False})
    assert gone.json["active"] is False
    assert (await status_of(okta, created["id"]))["status"] == "inactive"
    assert (await look_up(okta, NEW["userName"]))["totalResults"] == 1
    back = await okta.put(f"/Users/{created['id']}", {**gone.json, "active": True})
    assert back.json["active"] is True
    assert (await status_of(okta, created["id"]))["status"] != "inactive"


async def test_user_of_a_catalogue_app_is_deactivated_by_patch_without_path(okta: Client) -> None:
    created = (await okta.post("/Users", NEW)).json
    off = await okta.patch(f"/Users/{created['id']}", {"op": "replace", "value": {"active": False}})
    assert off.status == 200
    assert off.json["active"] is False
    assert (await okta.get(f"/Users/{created['id']}")).json["active"] is False
    on = await okta.patch(f"/Users/{created['id']}", {"op": "replace", "value": {"active": True}})
    assert on.json["active"] is True
    password = await okta.patch(
        f"/Users/{created['id']}", {"op": "replace", "value": {"password": "new-one"}}
    )
    assert password.status == 200
    assert "new-one" not in password.raw.decode()


async def test_pages_count_in_integers_and_keep_their_order(okta: Client) -> None:
    for n in range(5):
        await okta.user(f"user{n}@okta.local")
    seen = []
    for start in ("1", "3", "5"):
        page = (await okta.get("/Users", params={"startIndex": start, "count": "2"})).json
        assert (page["totalResults"], page["startIndex"]) == (5, int(start))
        assert page["itemsPerPage"] == len(page["Resources"])
        seen += [each["userName"] for each in page["Resources"]]
    assert seen == [f"user{n}@okta.local" for n in range(5)]


async def test_group_is_pushed_renamed_emptied_and_unlinked(okta: Client) -> None:
    first, second = await okta.user("a@okta.local"), await okta.user("b@okta.local")
    assert (await okta.get("/Groups", params={"filter": 'displayName eq "Test SCIMv2"'})).json[
        "totalResults"
    ] == 0
    pushed = await okta.post(
        "/Groups",
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "Test SCIMv2",
            "members": [{"value": first["id"], "display": "a@okta.local"}],
        },
    )
    assert pushed.status == 201
    path = f"/Groups/{pushed.json['id']}"
    assert [each["value"] for each in pushed.json["members"]] == [first["id"]]

    # The name comes with every update of memberships.
    renamed = await okta.patch(
        path, {"op": "replace", "value": {"id": pushed.json["id"], "displayName": "Test SCIMv0"}}
    )
    assert renamed.status in (200, 204)
    read = (await okta.get(path)).json
    assert read["displayName"] == "Test SCIMv0"
    assert [each["value"] for each in read["members"]] == [first["id"]]

    moved = await okta.patch(
        path,
        {"op": "remove", "path": f'members[value eq "{first["id"]}"]'},
        {"op": "add", "path": "members", "value": [{"value": second["id"], "display": "b@okta.local"}]},
    )
    assert moved.status in (200, 204)
    assert [each["value"] for each in (await okta.get(path)).json["members"]] == [second["id"]]

    both = [{"value": each["id"]} for each in (first, second)]
    await okta.patch(path, {"op": "replace", "path": "members", "value": both})
    assert len((await okta.get(path)).json["members"]) == 2
    # "Push now" of an empty group.
    await okta.patch(path, {"op": "replace", "path": "members", "value": []})
    assert not (await okta.get(path)).json.get("members")

    whole = {**(await okta.get(path)).json, "members": both}
    assert len((await okta.put(path, whole)).json["members"]) == 2

    assert (await okta.delete(path)).status == 204
    assert (await okta.get(path)).status == 404
    assert (await okta.get(f"/Users/{first['id']}")).status == 200
