"""Rows U5-U7, U14, U15 and U20: accounts, and who may edit them."""

from __future__ import annotations

import base64

from tests.rows.looking import PNG, causes_of, listed
from tests.support.installation import PASSWORD, Installation, text_of, user_document


async def test_u5_a_user_is_added_and_sets_a_password_within_three_hours(acme: Installation) -> None:
    bad = await acme.api.refused("POST", "/users", {"email": "ann@acme.example", "user_name": "Ann O."})
    assert (bad["status"], bad["errors"][0]["field"]) == (422, "/user_name")
    assert "small letters, digits and dashes" in bad["errors"][0]["why"]
    made = await acme.api.post(
        "/users", {"email": "ann@acme.example", "user_name": "ann-o", "display_name": "Ann Ó Dálaigh"}
    )
    assert (made["user_name"], made["display_name"], made["primary_role"]) == (
        "ann-o", "Ann Ó Dálaigh", "user",
    )  # fmt: skip
    await acme.cli("user", "add", "max@acme.example", "--role", "manager", "--display-name", "Max Q")
    assert (await acme.user("max"))["primary_role"] == "manager"
    link = await acme.link("set-password", to="ann@acme.example")
    (mail,) = await acme.mails("ann@acme.example")
    assert "You were added to Acme" in text_of(mail)
    async with acme.browser() as browser:
        assert "ann@acme.example" in await browser.get(link)
        await browser.post(link, password="short")
        assert browser.status == 422
        await browser.post(link, password=PASSWORD)
        assert browser.status == 200
        await browser.post(link, password=PASSWORD)
        assert browser.status == 404  # it works once
    assert (await listed(acme, "ann-o"))["status"] == "active"
    async with acme.signed_in("ann@acme.example") as browser:
        assert "Ann Ó Dálaigh" in await browser.get("/")
    late = await acme.link("set-password", to="max@acme.example")
    await acme.minutes_pass(181)
    async with acme.browser() as browser:
        await browser.post(late, password=PASSWORD)
        assert browser.status == 404
    assert await causes_of(acme, "max") == ("pending", ["invitation_expired"])
    await acme.cli("org", "create", "globex")
    operator = await acme.operator()
    gil = await operator.post("/users?organization=globex", {"email": "gil@globex.example"})
    assert [row["id"] for row in await acme.cli("user", "list", "--org", "globex")] == [gil["id"]]


async def test_u6_edits_count_at_once_and_a_new_address_is_confirmed(acme: Installation) -> None:
    ann = await acme.add("ann")
    path = f"/users/{ann['id']}"
    async with acme.signed_in("ann@acme.example") as browser:
        await acme.api.put(f"{path}/role", {"role": "manager"})
        assert "users.read" in (await (await browser.api()).get("/me"))["permissions"]
        await acme.cli("user", "role", "ann", "--add", "auditor")
        assert "audit.read" in (await (await browser.api()).get("/me"))["permissions"]
        await acme.api.delete(f"{path}/roles/auditor")
        await acme.cli("user", "role", "ann", "--set", "user")
        assert (await (await browser.api()).get("/me"))["permissions"] == []
    await acme.cli("user", "edit", "ann", "--user-name", "annie", "--display-name", "Annie")
    changed = await acme.api.patch(path, {"email": "annie@new.example"})
    assert (changed["user_name"], changed["display_name"]) == ("annie", "Annie")
    assert (changed["email"], changed["email_verified"]) == ("annie@new.example", False)
    async with acme.signed_in("annie@new.example") as browser:
        me = await browser.api()
        assert (await me.get("/me"))["address_verified"] is False
        await me.post("/me/address", {"address": "annie@new.example"})
        await browser.post(await acme.link("confirm-address", to="annie@new.example"))
    assert (await listed(acme, "annie"))["email_verified"] is True
    assert any("address" in text_of(mail) for mail in await acme.mails("ann@acme.example"))


async def test_u7_a_forced_reset_signs_out_everywhere_and_mails_a_link(acme: Installation) -> None:
    ann = await acme.add("ann")
    async with acme.signed_in("ann@acme.example") as browser:
        await acme.cli("user", "reset-password", "ann")
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
        await browser.sign_in("ann@acme.example")
        assert browser.status == 401  # the old password is dead
        await browser.post(await acme.link("set-password", to="ann@acme.example"), password=PASSWORD + "s")
        await browser.sign_in("ann@acme.example", PASSWORD + "s")
        assert browser.status == 200
        await acme.api.post(f"/users/{ann['id']}/reset-password")
        assert await acme.cli("session", "list", "--user", "ann") == []
    kinds = [row["kind"] for row in await acme.cli("audit", "list", "--target", ann["id"])]
    assert kinds.count("link.created") == 3


async def test_u14_people_look_after_their_own_profile(acme: Installation) -> None:
    ann = await acme.add("ann")
    async with acme.signed_in("ann@acme.example") as browser:
        me = await browser.api()
        await me.patch("/me", {"display_name": "Ann Ó", "phone": "+49 30 1"})
        await me.put("/me/picture", {"image": base64.b64encode(PNG).decode()})
        assert (await me.refused("PUT", "/me/picture", {"image": "bm8="}))["status"] == 422
        mine = await me.get("/me")
        assert (mine["display_name"], mine["phone"], mine["has_picture"]) == ("Ann Ó", "+49 30 1", True)
        assert [(each["name"], each["role"]) for each in mine["projects"]] == [("General", "member")]
        await me.post("/me/address", {"address": "annie@acme.example"})
        assert (await me.get("/me"))["address"] == "ann@acme.example"  # until it is confirmed
        own = await me.items("/me/sessions")
        assert {row["person_id"] for row in own} == {ann["id"]}
        assert (await me.refused("GET", "/sessions"))["status"] == 403
        page = await browser.get("/my")
        for words in ("Ann Ó", "+49 30 1", "General"):
            assert words in page
        assert (await me.get("/me/second-factors"))["items"] == []
        await browser.post(await acme.link("confirm-address", to="annie@acme.example"))
    async with acme.signed_in("annie@acme.example") as browser:
        await browser.post("/password", current=PASSWORD, password="another nine lanterns drift")
        assert browser.status == 200
    assert (await listed(acme, "ann"))["display_name"] == "Ann Ó"
    async with acme.signed_in("annie@acme.example", "another nine lanterns drift"):
        pass
    assert (await listed(acme, "annie"))["email_verified"] is True


async def test_u15_what_a_directory_owns_is_locked_with_its_name(acme: Installation) -> None:
    okta = await acme.idp()
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    for body in ({"display_name": "D."}, {"email": "d@acme.example"}):
        refused = await acme.api.refused("PATCH", f"/users/{dana}", body)
        assert (refused["status"], refused["code"]) == (403, "owned_by_source")
        assert "okta" in refused["detail"]
    assert "okta" in await acme.cli_refused_row("user", "edit", "dana", "--display-name", "D.")
    assert "okta" in await acme.cli_refused_row("user", "delete", "dana", "--yes")
    await acme.api.patch(f"/users/{dana}", {"user_name": "dee"})  # scimd's own name is nobody else's
    row = await listed(acme, "dana@")
    assert (row["user_name"], row["source"]["name"]) == ("dee", "okta")


async def test_u20_service_accounts_have_an_owner_and_take_nothing(acme: Installation) -> None:
    used = (await acme.api.get("/seats"))["used"]
    made = await acme.api.post(
        "/service-accounts", {"user_name": "backup", "display_name": "Backup", "owner": "Ada"}
    )
    assert (made["kind"], made["email"], made["has_seat"], made["status"]) == (
        "service", None, False, "active",
    )  # fmt: skip
    await acme.cli("user", "add-service", "deploy", "--owner", "ada@acme.example", "--role", "auditor")
    assert {row["user_name"] for row in await acme.api.items("/users?kind=service")} == {"backup", "deploy"}
    assert (await acme.cli("seats", "show"))["used"] == used
    assert "no password" in await acme.cli_refused_row("user", "reset-password", "deploy")
    okta = await acme.idp()
    pushed = await okta.post("/scim/v2/Users", user_document("deploy", userName="deploy"))
    assert pushed["id"] not in {row["id"] for row in await acme.api.items("/users?kind=service")}
    assert (await acme.api.refused("POST", "/service-accounts", {
        "user_name": "x", "display_name": "X", "owner": " "}))["errors"][0]["field"] == "/owner"  # fmt: skip
