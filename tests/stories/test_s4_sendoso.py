"""S4: teams first: many are invited to a team at once, filtered, moved between teams, withdrawn in bulk."""

from __future__ import annotations

from tests.support.installation import PASSWORD, Installation


async def test_an_admin_builds_the_teams(acme: Installation) -> None:
    # Teams come first, and are mandatory once they are used.
    sales = await acme.api.post("/teams", {"name": "Sales"})
    await acme.cli("team", "create", "Success")
    assert "team" in await acme.cli_refused_row("invitation", "create", "a@acme.example")

    # Invite many at once; what is wrong with one address stops none of the others.
    emails = [f"{name}@acme.example" for name in ("abe", "bea", "cy", "di", "ed")]
    sent = await acme.api.post("/invitations", {"emails": [*emails, "not an address"], "team": sales["id"]})
    assert [row["status"] for row in sent["results"]] == [201] * 5 + [422]
    ids = {row["answer"]["email"]: row["answer"]["invitation_id"] for row in sent["results"][:5]}
    assert {row["team"] for row in await acme.cli("invitation", "list")} == {"Sales"}
    for address in emails[:2]:
        async with acme.browser() as browser:
            await browser.post(await acme.link("invitation", to=address), password=PASSWORD)
            assert browser.path == "/welcome"

    # Pending or active, filtered and sorted.
    assert [row["email"] for row in await acme.api.items("/users?status=pending&sort=email")] == emails[2:]
    assert [
        row["email"] for row in await acme.cli("user", "list", "--team", "Sales", "--sort", "-email")
    ] == (emails[::-1])

    # Resend, withdraw and delete many; withdrawn ones are kept as cancelled until they are deleted.
    await acme.cli("invitation", "resend", *(ids[each] for each in emails[2:]))
    rows = await acme.api.many("/invitations/withdraw", [{"id": ids[each]} for each in emails[3:]])
    assert [(row["status"], row["answer"]["status"]) for row in rows] == [(200, "cancelled")] * 2
    rows = await acme.api.many("/invitations/resend", [{"id": ids[emails[3]]}])
    assert rows[0]["problem"]["code"] == "invitation_closed"
    await acme.cli("invitation", "delete", ids[emails[3]])
    left = {row["address"] for row in await acme.api.items("/invitations")}
    assert emails[3] not in left
    assert emails[4] in left
    assert (await acme.api.get("/seats"))["used"] == 4

    # Change team for one, and for many.
    abe, bea = [await acme.user(name) for name in ("abe", "bea")]
    await acme.cli("user", "team", "abe", "--set", "Success")
    assert (await acme.user("abe"))["team"]["name"] == "Success"
    success = next(row["id"] for row in await acme.api.items("/teams") if row["name"] == "Success")
    rows = await acme.api.many(
        "/users/set-team", [{"id": each["id"], "team": success} for each in (abe, bea)]
    )
    assert {row["answer"]["team"]["name"] for row in rows} == {"Success"}
    people = {row["name"]: row["people"] for row in await acme.cli("team", "list")}
    assert people["Success"] == 2

    # A team that is in use is not deleted; one that is empty is.
    held = await acme.api.refused("DELETE", f"/teams/{success}")
    assert held["code"] == "not_allowed_now"
    await acme.cli("team", "rename", "Success", "Customer success")

    # Roles and deletion for many, with a result per row.
    rows = await acme.api.many(
        "/users/set-role", [{"id": each, "role": "manager"} for each in (abe["id"], acme.admin_id)]
    )
    assert [row["status"] for row in rows] == [200, 403]
    rows = await acme.cli("user", "delete", "abe", "bea", "nobody", "--yes", code=1)
    assert [row["done"] for row in rows] == [True, True, False]
    assert (await acme.api.get("/seats"))["used"] == 2
    exported = (await acme.api.send("GET", "/users?format=csv&deleted=true")).text
    assert "abe@acme.example" in exported
