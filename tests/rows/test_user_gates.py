"""Rows U8-U12: disabled, deactivated, deleted, and back."""

from __future__ import annotations

from tests.rows.looking import causes_of, listed, patch_of
from tests.support.installation import PASSWORD, Installation, user_document


async def test_u8_disabled_is_a_local_gate_that_no_push_undoes(acme: Installation) -> None:
    okta = await acme.idp()
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    await acme.api.post(f"/users/{dana}/disable")
    for change in (
        {"op": "replace", "path": "active", "value": True},
        {"op": "replace", "path": "displayName", "value": "Dana D."},
    ):
        answer = await okta.patch(f"/scim/v2/Users/{dana}", patch_of(change))
        assert answer["active"] is True  # SCIM echoes what the source said
    assert await causes_of(acme, "dana") == ("inactive", ["disabled"])
    assert (await acme.api.get(f"/users/{dana}"))["has_seat"] is False
    ann = await acme.add("ann")
    async with acme.signed_in("ann@acme.example") as browser:
        await acme.cli("user", "disable", "ann")
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
        await browser.sign_in("ann@acme.example")
        assert browser.status != 200
    await acme.api.post(f"/users/{ann['id']}/enable")
    async with acme.signed_in("ann@acme.example"):
        pass
    await acme.cli("user", "enable", "dana")
    assert await causes_of(acme, "dana") == ("active", [])


async def test_u9_deactivated_after_a_question_and_restorable(acme: Installation) -> None:
    ann = await acme.add("ann")
    before = (await acme.api.get("/seats"))["used"]
    await acme.said("user", "deactivate", "ann", code=1, answer="n\n")
    assert await causes_of(acme, "ann") == ("active", [])
    await acme.said("user", "deactivate", "ann", answer="y\n")
    assert await causes_of(acme, "ann") == ("inactive", ["deactivated"])
    found = await acme.api.get(f"/users/{ann['id']}")
    assert (found["has_seat"], found["projects"]) == (False, [])
    assert (await acme.cli("seats", "show"))["used"] == before - 1
    explained = await acme.api.get(f"/users/{ann['id']}/explain")
    assert [(grant["name"], grant["dormant"]) for grant in explained["grants"]] == [("General", True)]
    back = await acme.api.post(f"/users/{ann['id']}/reactivate")
    assert (back["status"], [each["name"] for each in back["projects"]]) == ("active", ["General"])
    async with acme.signed_in("ann@acme.example"):
        assert (await acme.cli("seats", "show"))["used"] == before


async def test_u10_deleted_restored_and_purged(acme: Installation) -> None:
    ann, bob = await acme.add("ann"), await acme.add("bob", role="account-admin")
    await acme.said("user", "delete", "ann", code=1, answer="n\n")
    assert (await listed(acme, "ann"))["status"] == "active"
    refused = await acme.api.refused("DELETE", f"/users/{bob['id']}")
    assert (refused["status"], refused["code"]) == (409, "not_allowed_now")
    assert "Account Admin" in await acme.cli_refused_row("user", "delete", "bob", "--yes")
    await acme.cli("user", "role", "bob", "--set", "user")
    used = (await acme.cli("seats", "show"))["used"]
    await acme.api.delete(f"/users/{bob['id']}")
    await acme.said("user", "delete", "ann", answer="y\n")
    assert (await acme.api.get("/seats"))["used"] == used - 2
    assert {row["id"] for row in await acme.api.items("/users?deleted=true")} == {ann["id"], bob["id"]}
    await acme.minutes_pass(29 * 24 * 60)
    await acme.cli("user", "restore", "ann@acme.example")
    assert (await acme.api.get(f"/users/{ann['id']}"))["status"] == "active"
    await acme.minutes_pass(2 * 24 * 60)
    assert (await acme.api.refused("POST", f"/users/{bob['id']}/restore"))["status"] == 404
    assert (await acme.api.refused("GET", f"/users/{bob['id']}"))["status"] == 404
    kept = [row["kind"] for row in await acme.cli("audit", "list", "--target", bob["id"])]
    assert {"person.created", "person.deleted", "person.purged"} <= set(kept)


async def test_u11_nobody_ends_their_own_account_nor_the_last_admin(acme: Installation) -> None:
    mine = f"/users/{acme.admin_id}"
    for method, path, body in (
        ("POST", f"{mine}/deactivate", None),
        ("POST", f"{mine}/disable", None),
        ("DELETE", mine, None),
        ("PUT", f"{mine}/role", {"role": "user"}),
    ):
        refused = await acme.api.refused(method, path, body)
        assert (refused["status"], refused["code"]) == (403, "own_account"), path
    (row,) = await acme.api.many("/users/delete", [{"id": acme.admin_id}])
    assert row["problem"]["code"] == "own_account"
    for words in (
        ("user", "deactivate", "ada", "--yes"),
        ("user", "disable", "ada"),
        ("user", "role", "ada", "--set", "user"),
    ):
        assert "left without an Account Admin" in await acme.cli_refused_row(*words), words
    assert "Account Admin" in await acme.cli_refused_row("user", "delete", "ada", "--yes")
    okta = await acme.idp()
    await acme.cli("user", "link", "ada", "--source", "okta", "--entry", "x-ada")
    ada = await okta.post("/scim/v2/Users", user_document("ada"))
    assert ada["id"] == acme.admin_id
    for send in (
        okta.refused("PATCH", f"/scim/v2/Users/{ada['id']}",
                     patch_of({"op": "replace", "path": "active", "value": False})),
        okta.refused("DELETE", f"/scim/v2/Users/{ada['id']}"),
    ):  # fmt: skip
        refused = await send
        assert refused["status"] == "403"
        assert "Account Admin" in refused["detail"]
    assert await causes_of(acme, "ada") == ("active", [])


async def test_u12_reinvited_after_a_deactivation_and_never_after_a_deprovisioning(
    acme: Installation,
) -> None:
    await acme.add("ann")
    await acme.cli("user", "deactivate", "ann", "--yes")
    await acme.cli("invitation", "create", "ann@acme.example")
    assert (await causes_of(acme, "ann"))[0] == "inactive"
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="ann@acme.example"), password=PASSWORD)
    assert await causes_of(acme, "ann") == ("active", [])
    okta = await acme.idp()
    dana = await okta.post("/scim/v2/Users", user_document("dana"))
    await okta.patch(
        f"/scim/v2/Users/{dana['id']}", patch_of({"op": "replace", "path": "active", "value": False})
    )
    (row,) = (await acme.api.post("/invitations", {"emails": ["dana@acme.example"]}))["results"]
    assert row["status"] == 409
    assert "okta" in row["problem"]["detail"]
    said = await acme.cli_refused_row("invitation", "create", "dana@acme.example")
    assert "okta" in said
    assert "detach" in said.lower()
    await acme.cli("user", "detach", "dana", "--source", "okta")  # which invites them
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="dana@acme.example"), password=PASSWORD)
    assert await causes_of(acme, "dana") == ("active", [])
