"""S3: users are added directly, approved by a partner, made Managers, disabled, reset, moved, deleted."""

from __future__ import annotations

from tests.support.installation import PASSWORD, Installation


async def test_users_live_under_a_partners_approval(acme: Installation) -> None:
    # The installation: a partner approves the newcomers of acme; globex is another organization.
    await acme.cli("partner", "create", "reseller", "--display-name", "Reseller Ltd")
    await acme.cli("admin", "create", "pat@reseller.example", "--org", "reseller")
    await acme.cli("user", "role", "pat", "--add", "approver", "--org", "reseller")
    partner = await acme.api_of("pat@reseller.example", org="reseller")
    operator = await acme.operator()
    await operator.post("/organizations", {"slug": "globex", "display_name": "Globex", "seats": 5})
    await operator.post("/organization/partners?organization=acme", {"partner": "reseller"})
    await acme.api.patch("/organization", {"approval_required": True})

    # Add user: letters, digits and dashes; a display name of any kind; organization and role have defaults.
    wrong = await acme.api.refused("POST", "/users", {"email": "zoe@acme.example", "user_name": "zoe_1"})
    assert wrong["errors"][0]["field"] == "/user_name"
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    zoe = await acme.api.post(
        "/users", {"email": "zoe@acme.example", "user_name": "zoe-1", "display_name": "Zoë van Dijk"}
    )
    assert (zoe["primary_role"], zoe["approved"], zoe["has_seat"]) == ("user", False, False)
    assert zoe["causes"][0] == "not_approved"
    assert await acme.mails("zoe@acme.example") == []

    # The partner sees name, address and source, and nothing else of acme; the admin cannot approve.
    (waiting,) = await partner.items("/approvals")
    assert (waiting["display_name"], waiting["address"]) == ("Zoë van Dijk", "zoe@acme.example")
    assert (await partner.refused("GET", "/users?organization=acme"))["status"] == 404
    assert (await acme.api.refused("POST", f"/users/{zoe['id']}/approve"))["code"] == "forbidden"
    (row,) = await partner.many(
        "/approvals/approve", [{"organization": waiting["organization"], "id": zoe["id"]}]
    )
    assert row["status"] == 204

    # The token works once, for three hours, and leads to the page where the password is set.
    async with acme.browser() as browser:
        link = await acme.link("set-password", to="zoe@acme.example")
        assert "zoe@acme.example" in await browser.get(link)
        await browser.post(link, password=PASSWORD)
        await browser.get(link)
        assert browser.status == 404
    zoe = await acme.user("zoe")
    assert (zoe["status"], zoe["has_seat"]) == ("active", True)

    # Projects from the user's row; a Manager holds none, and gets them back as a User.
    await acme.cli("user", "project", "zoe-1", "--add", "Alpha", "--role", "owner", "--org", "acme")
    await acme.api.put(f"/users/{zoe['id']}/role", {"role": "manager"})
    assert (await acme.user("zoe"))["projects"] == []
    await acme.api.put(f"/users/{zoe['id']}/role", {"role": "user"})
    assert [each["name"] for each in (await acme.user("zoe"))["projects"]] == ["Alpha"]
    assert [row["user_name"] for row in await acme.api.items(f"/users?project={alpha['id']}")] == ["zoe-1"]
    assert len(await acme.cli("user", "list", "--approved", "--org", "acme")) == 2

    # Force password reset, disable, enable.
    async with acme.signed_in("zoe@acme.example") as browser:
        await acme.api.post(f"/users/{zoe['id']}/reset-password")
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
        await browser.post(await acme.link("set-password", to="zoe@acme.example"), password=PASSWORD + "s")
        await acme.cli("user", "disable", "zoe-1", "--org", "acme")
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
        await browser.sign_in("zoe@acme.example", PASSWORD + "s")
        assert browser.status == 403
    await acme.cli("user", "enable", "zoe-1", "--org", "acme")

    # My Profile: own name, and the address that signs in.
    async with acme.signed_in("zoe@acme.example", PASSWORD + "s") as browser:
        await browser.post("/my", display_name="Zoë", phone="+31 20 1")
        assert "Zoë" in await browser.get("/my")

    # Change organization: an operator, a seat there; projects stay behind.
    moved = await operator.post(f"/users/{zoe['id']}/move?organization=acme", {"to": "globex"})
    there = await operator.get(f"/users/{moved['id']}?organization=globex")
    assert [each["name"] for each in there["projects"]] == ["General"]
    assert await acme.api.items("/users?q=zoe") == []

    # Delete: an Account Admin is demoted first; X cancels.
    await acme.cli("admin", "create", "max@globex.example", "--org", "globex")
    words = ("user", "delete", "max", "--org", "globex")
    await acme.said(*words, code=1, answer="n\n")
    assert "Account Admin" in await acme.cli_refused_row(*words, "--yes")
    await acme.cli("admin", "create", "mo@globex.example", "--org", "globex")
    await acme.cli("user", "role", "max", "--set", "user", "--org", "globex")
    await acme.said(*words, answer="y\n")
    assert [row["user_name"] for row in await acme.cli("user", "list", "--deleted", "--org", "globex")] == [
        "max"
    ]
