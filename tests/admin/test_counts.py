"""How many have a team, a licence or a role: one way of counting, and refusals that can be followed."""

from __future__ import annotations

import pytest

from scimd.core.people import PersonId
from scimd.org.users import admin_reads, gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.admin.client import Client
from tests.web.site import Site


async def _given(acme: Site, api: Client, noun: str) -> tuple[PersonId, str]:
    """Ann, who has a new one, and its path."""
    ann = await local_people.add(acme.door, acme.ctx, NewPerson("ann@home.example", display_name="Ann"))
    if noun == "role":
        await api.post("/roles", {"name": "desk", "label": "Desk", "permissions": ["users.read"]})
        assert (await api.post(f"/users/{ann}/roles", {"role": "desk"})).status == 200
        return ann, "/roles/desk"
    made = (await api.post(f"/{noun}s", {"name": "Red"})).json["id"]
    if noun == "team":
        given = await api.send("PUT", f"/users/{ann}/team", {"team": made})
    else:
        given = await api.send("PUT", f"/users/{ann}/licences/{made}")
    assert given.status == 200, given.text
    return ann, f"/{noun}s/{made}"


@pytest.mark.parametrize("noun", ["team", "licence", "role"])
async def test_whoever_was_deleted_stands_in_nobodys_way(acme: Site, api: Client, noun: str) -> None:
    ann, path = await _given(acme, api, noun)
    await gates.deactivate(acme.door, acme.ctx, ann)
    refused = await api.send("DELETE", path)
    assert refused.status == 409
    assert ": Ann. " in refused.json["detail"]
    await gates.reactivate(acme.door, acme.ctx, ann)
    await gates.delete(acme.door, acme.ctx, ann)
    assert (await api.get(path)).json["people"] == 0
    assert (await api.send("DELETE", path)).status == 204
    await gates.restore(acme.door, acme.ctx, ann)
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_a_team_that_rests_with_somebody_is_changed_by_its_version(acme: Site, api: Client) -> None:
    ann, path = await _given(acme, api, "team")
    await gates.deactivate(acme.door, acme.ctx, ann)
    tag = (await api.get(path)).headers["ETag"]
    assert (await api.send("PATCH", path, {"name": "Blue"}, {"If-Match": tag})).status == 200


@pytest.mark.parametrize("noun", ["projects", "teams", "licences"])
async def test_a_name_that_is_taken_is_the_field_that_was_sent(api: Client, noun: str) -> None:
    await api.post(f"/{noun}", {"name": "Ops"})
    refused = await api.post(f"/{noun}", {"name": "Ops"})
    assert (refused.status, refused.json["errors"][0]["field"]) == (409, "/name")
    assert refused.json["detail"] == "name 'Ops' is taken."


async def test_what_is_no_web_address_and_no_object_is_told_in_words(api: Client) -> None:
    refused = await api.send("PATCH", "/organization", {"get_more_seats_url": "javascript:alert(1)"})
    assert refused.json["errors"][0]["why"] == "must be a web address that begins with https:// or http://"
    refused = await api.send("PATCH", "/organization", [])
    assert refused.json["detail"].startswith("The body must be an object")


async def test_the_plan_of_an_import_refuses_a_role_above_the_importers(acme: Site, api: Client) -> None:
    may = ["users.read", "users.manage"]
    token = (await api.post("/me/api-tokens", {"name": "n", "permissions": may})).json["token"]
    async with acme.browser(Authorization=f"Bearer {token}") as session:
        body = {"csv": "email,role\na@home.example,account-admin\nb@home.example,user", "how": "add"}
        plan = await Client(session, acme.url, "").post("/imports", body)
    assert [row["action"] for row in plan.json["rows"]] == ["refused", "add"]
    assert "Account Admin" in plan.json["rows"][0]["why"]
