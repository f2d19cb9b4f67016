"""What a push means (docs/semantics.md), as a client sees it."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import SCIMD_URN
from scimd.scim.quirks.profiles import PROFILES
from tests.scim.serving import Client, Installation


async def says(client: Client, user_id: str) -> dict[str, Any]:
    """scimd's extension."""
    return dict((await client.get(f"/Users/{user_id}", params={"attributes": SCIMD_URN})).json[SCIMD_URN])


def person(n: int) -> dict[str, Any]:
    return {
        "userName": f"u{n}@example.com",
        "externalId": f"e{n}",
        "emails": [{"value": f"u{n}@example.com"}],
    }


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


async def test_deleted_user_comes_back_by_the_same_external_id_only(idp: Client) -> None:
    user = await idp.user(**_as_user(person(1)))
    await idp.delete(f"/Users/{user['id']}")
    assert (await idp.post("/Users", person(1))).json["id"] == user["id"]
    await idp.delete(f"/Users/{user['id']}")
    stranger = await idp.post("/Users", {**person(1), "externalId": "another"})
    assert stranger.status == 201
    assert stranger.json["id"] != user["id"]


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
