"""S5: one page with all of a user; account role, project role; licences; re-invitation; projects by row."""

from __future__ import annotations

from tests.support.installation import PASSWORD, Installation, user_document

EXTENSION = "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"


async def test_an_owner_looks_after_users_projects_and_licences(acme: Installation) -> None:
    # The organization calls its active people participating, and has licences with pools.
    await acme.cli("org", "set", "acme", "--active-label", "Participating")
    studio = await acme.api.post("/licences", {"name": "Studio Enterprise", "limit": 1})
    engine = await acme.api.post("/licences", {"name": "Runtime Engine"})
    web = await acme.api.post("/projects", {"name": "Web"})
    mobile = await acme.api.post("/projects", {"name": "Mobile"})

    # Invite with an account role and projects; the projects of a pending invitation are edited.
    sent = await acme.api.post(
        "/invitations", {"emails": ["kim@acme.example"], "projects": [{"id": web["id"], "role": "owner"}]}
    )
    (row,) = sent["results"]
    kim = row["answer"]["person_id"]
    await acme.api.patch(
        f"/invitations/{row['answer']['invitation_id']}",
        {"projects": [{"id": web["id"], "role": "member"}, {"id": mobile["id"], "role": "viewer"}]},
    )
    async with acme.browser() as browser:
        page = await browser.get(await acme.link("invitation", to="kim@acme.example"))
        for words in ("Web", "Mobile"):
            assert words in page
        await browser.post(
            await acme.link("invitation", to="kim@acme.example"), name="Kim Tran", password=PASSWORD
        )

    # The user page: full name, contact, role, licences, joined projects with the role in each.
    for licence in (studio, engine):
        await acme.api.put(f"/users/{kim}/licences/{licence['id']}")
    async with acme.signed_in("kim@acme.example") as browser:
        await browser.post("/my", display_name="Kim Tran", phone="+84 24 1234")
    page = await acme.api.get(f"/users/{kim}")
    assert (page["display_name"], page["profile"]["phones"]) == ("Kim Tran", ["+84 24 1234"])
    assert {each["name"]: each["role"] for each in page["projects"]} == {"Mobile": "viewer", "Web": "member"}
    assert {each["name"] for each in page["licences"]} == {"Studio Enterprise", "Runtime Engine"}
    told = await acme.said("user", "show", "kim")
    for words in ("Kim Tran", "Participating", "+84 24 1234", "Web (member)", "Runtime Engine"):
        assert words in told

    # Each role in its own step; the last project stays.
    await acme.api.put(f"/users/{kim}/projects/{mobile['id']}", {"role": "owner"})
    await acme.cli("user", "project", "kim", "--remove", "Web")
    last = await acme.api.refused("DELETE", f"/users/{kim}/projects/{mobile['id']}")
    assert last["code"] == "not_allowed_now"
    await acme.api.post(f"/users/{kim}/roles", {"role": "auditor"})
    assert (await acme.user("kim"))["roles"] == ["auditor"]
    await acme.cli("user", "role", "kim", "--remove", "auditor")

    # A pool of one licence: the next one is refused, with the figures.
    lou = await acme.add("lou")
    full = await acme.api.refused("PUT", f"/users/{lou['id']}/licences/{studio['id']}")
    assert (full["code"], full["facts"]["limit"], full["facts"]["used"]) == ("pool_limit_reached", 1, 1)

    # Deactivate: projects and licences are kept, without effect; the pool is free; a re-invitation restores.
    await acme.api.post(f"/users/{kim}/deactivate")
    inactive = await acme.user("kim")
    assert (inactive["status"], inactive["projects"], inactive["licences"]) == ("inactive", [], [])
    assert (await acme.api.get(f"/licences/{studio['id']}"))["people"] == 0
    await acme.cli("invitation", "create", "kim@acme.example")
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="kim@acme.example"), password=PASSWORD)
    back = await acme.user("kim")
    assert (back["status"], [each["name"] for each in back["projects"]]) == ("active", ["Mobile"])
    assert {each["name"] for each in back["licences"]} == {"Studio Enterprise", "Runtime Engine"}

    # People of the directory: their start date is shown, and is the directory's; a re-invitation is refused.
    okta = await acme.idp()
    document = user_document("ana") | {EXTENSION: {"employmentStart": "2025-01-15"}}
    ana = (await okta.post("/scim/v2/Users", document))["id"]
    assert (await acme.api.get(f"/users/{ana}"))["profile"]["employment_start"] == "2025-01-15"
    await okta.put(f"/scim/v2/Users/{ana}", document | {"active": False})
    refused = await acme.cli_refused_row("invitation", "create", "ana@acme.example")
    assert "okta" in refused
    assert "detach" in refused.lower()
