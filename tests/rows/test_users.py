"""Rows U1-U20 of the feature table: what is done through one door is looked at through another."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

from scimd.admin.table import TABLE
from tests.support.installation import ADMIN, PASSWORD, Installation, text_of, user_document

#: One transparent pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def _untimed(row: dict[str, Any]) -> dict[str, Any]:
    """Both doors give times, each in its own form of RFC 3339."""
    return {name: value for name, value in row.items() if not name.endswith("_at")}


async def _listed(acme: Installation, who: str, *words: str) -> dict[str, Any]:
    """The line of the CLI's list."""
    (row,) = await acme.cli("user", "list", "--search", who, *words)
    found: dict[str, Any] = row
    return found


async def _causes(acme: Installation, who: str) -> tuple[str, list[str]]:
    """Status and kinds of causes, by the CLI, which the API must say as well."""
    row = await _listed(acme, who, "--org", "acme")
    said = await acme.api.get(f"/users/{row['id']}")
    assert (row["status"], row["causes"]) == (said["status"], said["causes"])
    return row["status"], [cause.partition(":")[0] for cause in row["causes"]]


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_u1_the_list_has_every_column_and_the_admin_chooses(acme: Installation) -> None:
    team = await acme.api.post("/teams", {"name": "Ops"})
    licence = await acme.api.post("/licences", {"name": "Studio"})
    ann = await acme.add("ann", team=team["id"])
    await acme.api.put(f"/users/{ann['id']}/licences/{licence['id']}")
    okta = await acme.idp()
    await okta.post("/scim/v2/Users", user_document("dana"))
    async with acme.signed_in("ann@acme.example"):
        row = await acme.user("ann@")
    assert _untimed(row) == {
        "id": ann["id"], "kind": "person", "display_name": "Ann", "user_name": "ann",
        "email": "ann@acme.example", "email_verified": True, "status": "active", "causes": [],
        "primary_role": "user", "roles": ["user"], "has_seat": True, "approved": True, "accepted": True,
        "partners": [], "team": {"id": team["id"], "name": "Ops"},
        "projects": [{"id": row["projects"][0]["id"], "name": "General", "role": "member"}],
        "licences": [{"id": licence["id"], "name": "Studio"}], "source": None,
        "created_by": f"{ADMIN} (token rows)",
    }  # fmt: skip
    assert row["last_login_at"] >= row["created_at"]
    assert _untimed(await _listed(acme, "ann@")) == _untimed(row)
    dana = await acme.user("dana")
    assert (dana["source"]["name"], dana["last_login_at"]) == ("okta", None)
    everything = (
        "name,user-name,id,email,roles,status,approved,partner,team,projects,licences,created,created-by,"
        "last-login,source"
    )
    head, *lines = (await acme.said("user", "list", "--columns", everything)).splitlines()[1:]
    for title in ("Name", "User name", "Id", "Address", "Roles", "Status", "Approved", "Partner", "Team",
                  "Projects", "Licences", "Created", "Created by", "Last login", "Source"):  # fmt: skip
        assert title in head
    (line,) = [line for line in lines if "ann@acme.example" in line]
    for value in (ann["id"], "Ann", "user", "active", "yes", "Ops", "General (member)", "Studio", ADMIN):
        assert value in line
    chosen = (await acme.said("user", "list", "--columns", "name,last-login")).splitlines()[1]
    assert chosen.split() == ["Name", "Last", "login"]
    assert "is none of name" in (await acme._command("user", "list", "--columns", "shoe-size")).stderr


async def test_u2_the_list_is_searched_narrowed_and_sorted_by_both_doors(acme: Installation) -> None:
    team = await acme.api.post("/teams", {"name": "Ops"})
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    for name, more in (
        ("cleo", {"team": team["id"], "projects": [{"id": alpha["id"]}]}),
        ("bo", {"role": "manager", "display_name": "Zoë"}),
    ):
        await acme.api.post("/users", {"email": f"{name}@acme.example", **more})
    okta = await acme.idp()
    await okta.post("/scim/v2/Users", user_document("dana"))
    source = (await acme.api.items("/sources"))[0]["id"]

    async def names(query: str, *words: str) -> list[str]:
        over_rest = [row["user_name"] for row in await acme.api.items(f"/users?{query}")]
        assert [row["user_name"] for row in await acme.cli("user", "list", *words)] == over_rest
        return over_rest

    assert await names("q=ZOË", "--search", "ZOË") == ["bo"]
    assert await names("q=cleo@ACME", "--search", "cleo@ACME") == ["cleo"]
    assert await names("status=pending", "--status", "pending") == ["cleo", "bo"]
    assert await names("role=manager", "--role", "manager") == ["bo"]
    assert await names(f"team={team['id']}", "--team", "ops") == ["cleo"]
    assert await names(f"project={alpha['id']}", "--project", "alpha") == ["cleo"]
    assert await names(f"source={source}", "--source", "okta") == ["dana"]
    assert await names("local=true", "--source", "local") == ["ada", "cleo", "bo"]
    assert await names("sort=user_name", "--sort", "user-name") == ["ada", "bo", "cleo", "dana"]
    assert await names("sort=-role", "--sort", "-role") == ["dana", "cleo", "bo", "ada"]
    for column in ("display_name", "email", "status", "team", "source", "last_login", "created", "changed"):
        assert len(await names(f"sort={column}", "--sort", column.replace("_", "-"))) == 4
    page = await acme.api.get("/users?limit=3&sort=user_name")
    rest = await acme.api.get(f"/users?limit=3&sort=user_name&cursor={page['next']}")
    assert [row["user_name"] for row in page["items"] + rest["items"]] == ["ada", "bo", "cleo", "dana"]
    first = (await acme.cli("user", "list", "--limit", "3"))[-1]
    assert [row["user_name"] for row in await acme.cli("user", "list", "--after", first["id"])] == ["dana"]
    assert "There is more: --after" in await acme.said("user", "list", "--limit", "3")
    assert "no source 'nowhere'" in await acme.cli_refused("user", "list", "--source", "nowhere")

    await acme.cli("org", "create", "globex", "--display-name", "Globex")
    operator = await acme.operator()
    assert await operator.items("/users?organization=globex") == []
    assert len(await operator.items("/users?organization=acme")) == 4
    assert await acme.cli("user", "list", "--org", "globex") == []
    slugs = [row["slug"] for row in await operator.items("/organizations?sort=-slug&partner=false")]
    assert slugs == sorted(slugs, reverse=True)
    assert {"acme", "globex"} <= set(slugs)


async def test_u3_a_status_always_comes_with_its_causes(acme: Installation) -> None:
    await acme.cli("seats", "set", "9")

    async def invited(name: str) -> str:
        (row,) = (await acme.api.post("/invitations", {"emails": [f"{name}@acme.example"]}))["results"]
        return str(row["answer"]["invitation_id"])

    for name in ("ivy", "dec"):
        await invited(name)
    assert await _causes(acme, "ivy") == ("pending", ["invited"])
    okta = await acme.idp(invite=True)
    for name in ("ora", "eli", "sue"):
        await okta.post("/scim/v2/Users", user_document(name))
    async with acme.browser() as browser:
        await browser.post(f"{await acme.link('invitation', to='ora@acme.example')}/decline")
    assert await _causes(acme, "ora") == ("pending", ["invitation_declined"])
    (sue,) = [row for row in await acme.api.items("/invitations") if "sue" in row["address"]]
    await acme.cli("invitation", "withdraw", sue["id"])
    assert await _causes(acme, "sue") == ("pending", ["invitation_withdrawn"])
    await acme.minutes_pass(7 * 24 * 60)
    assert await _causes(acme, "eli") == ("pending", ["invitation_expired"])
    for name in ("ivy", "dec"):  # here by nothing but an invitation that is over: off the list
        assert await acme.api.items(f"/users?q={name}") == []
        (row,) = await acme.api.items(f"/users?q={name}&lapsed=true")
        assert (row["status"], row["causes"]) == ("pending", ["invitation_expired"])
        assert [each["id"] for each in await acme.cli("user", "list", "--lapsed", "--search", name)] == [
            row["id"]
        ]

    used = (await acme.api.get("/seats"))["used"]
    await acme.api.put("/seats", {"limit": used})
    await okta.post("/scim/v2/Users", user_document("wim"))
    assert await _causes(acme, "wim") == ("pending", ["waiting_for_seat", "invited"])
    await acme.cli("seats", "set", "unlimited")

    bob = await acme.add("bob")
    assert await _causes(acme, "bob") == ("active", [])
    for doing, undoing, cause in (
        ("deactivate", "reactivate", "deactivated"),
        ("disable", "enable", "disabled"),
    ):
        await acme.cli("user", doing, "bob")
        row = await _listed(acme, "bob")
        assert (row["status"], row["causes"][0].partition(":")[0]) == ("inactive", cause)
        assert row["causes"][0].partition(":")[2].endswith("(CLI)")  # the admin's name
        await acme.api.post(f"/users/{bob['id']}/{undoing}")
        assert await _causes(acme, "bob") == ("active", [])
    await acme.api.delete(f"/users/{bob['id']}")
    (gone,) = await acme.cli("user", "list", "--deleted")
    assert (gone["id"], gone["status"]) == (bob["id"], "inactive")
    assert gone["causes"][0].startswith("deleted:")

    (wim,) = (await okta.get('/scim/v2/Users?filter=userName eq "wim@acme.example"'))["Resources"]
    active = [{"op": "replace", "path": "active", "value": False}]
    await okta.patch(f"/scim/v2/Users/{wim['id']}", _patch(*active))
    assert (await _listed(acme, "wim"))["causes"][0] == "deprovisioned:okta"

    await acme.cli("org", "set", "acme", "--default-project", "none")
    await okta.post("/scim/v2/Users", user_document("nop"))
    assert await _causes(acme, "nop") == ("pending", ["no_project"])
    await acme.cli("partner", "create", "reseller")
    await acme.cli("partner", "assign", "reseller", "--org", "acme")
    await acme.api.patch("/organization", {"approval_required": True})
    await okta.post("/scim/v2/Users", user_document("una"))
    assert (await _causes(acme, "una"))[1][0] == "not_approved"


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


async def test_u3_active_has_the_label_that_the_organization_gives_it(acme: Installation) -> None:
    assert (await acme.api.get("/organization"))["active_label"] is None
    await acme.api.patch("/organization", {"active_label": "Participating"})
    assert (await acme.cli("org", "show", "acme"))["active_label"] == "Participating"
    ada = await acme.user("ada")
    assert ada["status"] == "active"  # the label is for eyes; programs go by the status
    assert "Participating" in await acme.said("user", "list")
    assert "Participating" in await acme.said("user", "show", "ada")
    async with acme.browser() as browser:
        link = (await acme.cli("admin", "create", ADMIN, "--org", "acme"))["link"]
        await browser.post(link)
        assert "Participating" in await browser.get("/people")
        assert "Participating" in await browser.get(f"/people/{ada['id']}")
    await acme.cli("org", "set", "acme", "--active-label", "")
    assert (await acme.api.get("/organization"))["active_label"] is None
    assert "Participating" not in await acme.said("user", "list")
    long = await acme.api.refused("PATCH", "/organization", {"active_label": "x" * 41})
    assert long["errors"][0]["field"] == "/active_label"


async def test_u4_one_user_with_all_that_is_known(acme: Installation) -> None:
    okta = await acme.idp()
    extension = "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    document = user_document(
        "dana",
        title="Engineer",
        phoneNumbers=[{"value": "+49 30 1234", "type": "work", "primary": True}],
        addresses=[{"locality": "Berlin", "country": "DE", "type": "work"}],
        photos=[{"value": "https://pictures.acme.example/dana.png", "type": "photo"}],
    )
    document[extension] = {"employmentStart": "2024-02-01"}
    document[enterprise] = {"department": "Research", "employeeNumber": "42"}
    dana = (await okta.post("/scim/v2/Users", document))["id"]
    found = await acme.api.get(f"/users/{dana}")
    assert found["profile"] == {
        "given_name": "Dana", "family_name": "Example", "title": "Engineer", "department": "Research",
        "employee_number": "42", "employment_start": "2024-02-01",
        "phones": ["+49 30 1234"], "emails": ["dana@acme.example"], "addresses": ["Berlin, DE"],
        "picture_url": "https://pictures.acme.example/dana.png",
    }  # fmt: skip
    assert (found["primary_role"], found["source"]["name"]) == ("user", "okta")
    assert [(each["name"], each["role"]) for each in found["projects"]] == [("General", "member")]
    shown = await acme.cli("user", "show", "dana")
    assert (shown["person"]["id"], shown["profile"]) == (dana, found["profile"])
    printed = await acme.said("user", "show", "dana")
    for words in ("Dana Example", "Engineer", "Research", "+49 30 1234", "Berlin, DE", "2024-02-01", "okta"):
        assert words in printed

    ann = await acme.add("ann")
    async with acme.signed_in("ann@acme.example") as browser:
        me = await browser.api()
        await me.patch("/me", {"phone": "+1 555"})
        await me.put("/me/picture", {"image": base64.b64encode(PNG).decode()})
        found = await acme.api.get(f"/users/{ann['id']}")
        assert found["profile"]["phones"] == ["+1 555"]
        assert found["has_picture"] is True
        assert await acme.api.get(f"/users/{ann['id']}/picture") == {
            "kind": "image/png", "image": base64.b64encode(PNG).decode(),
        }  # fmt: skip
        live = await acme.api.items(f"/sessions?person={ann['id']}")
        shown = await acme.cli("user", "show", "ann")
        assert [row["id"] for row in shown["sessions"]] == [row["id"] for row in live]
    assert found["last_login_at"] is not None
    kinds = [row["kind"] for row in await acme.api.items(f"/users/{ann['id']}/history")]
    assert "person.created" in kinds
    assert (await acme.cli("audit", "list", "--target", ann["id"]))[-1]["kind"] == "person.created"
    (row,) = (await acme.api.post("/invitations", {"emails": ["ivy@acme.example"]}))["results"]
    (invitation,) = await acme.api.items(f"/invitations?person={row['answer']['person_id']}")
    shown = await acme.cli("user", "show", "ivy")
    assert [each["id"] for each in shown["invitations"]] == [invitation["id"]]


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
    assert (await _listed(acme, "ann-o"))["status"] == "active"
    async with acme.signed_in("ann@acme.example") as browser:
        assert "Ann Ó Dálaigh" in await browser.get("/")
    late = await acme.link("set-password", to="max@acme.example")
    await acme.minutes_pass(181)
    async with acme.browser() as browser:
        await browser.post(late, password=PASSWORD)
        assert browser.status == 404
    assert await _causes(acme, "max") == ("pending", ["invitation_expired"])
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
    assert (await _listed(acme, "annie"))["email_verified"] is True
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


async def test_u8_disabled_is_a_local_gate_that_no_push_undoes(acme: Installation) -> None:
    okta = await acme.idp()
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    await acme.api.post(f"/users/{dana}/disable")
    for change in (
        {"op": "replace", "path": "active", "value": True},
        {"op": "replace", "path": "displayName", "value": "Dana D."},
    ):
        answer = await okta.patch(f"/scim/v2/Users/{dana}", _patch(change))
        assert answer["active"] is True  # SCIM echoes what the source said
    assert await _causes(acme, "dana") == ("inactive", ["disabled"])
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
    assert await _causes(acme, "dana") == ("active", [])


async def test_u9_deactivated_after_a_question_and_restorable(acme: Installation) -> None:
    ann = await acme.add("ann")
    before = (await acme.api.get("/seats"))["used"]
    await acme.said("user", "deactivate", "ann", code=1, answer="n\n")
    assert await _causes(acme, "ann") == ("active", [])
    await acme.said("user", "deactivate", "ann", answer="y\n")
    assert await _causes(acme, "ann") == ("inactive", ["deactivated"])
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
    assert (await _listed(acme, "ann"))["status"] == "active"
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
                     _patch({"op": "replace", "path": "active", "value": False})),
        okta.refused("DELETE", f"/scim/v2/Users/{ada['id']}"),
    ):  # fmt: skip
        refused = await send
        assert refused["status"] == "403"
        assert "Account Admin" in refused["detail"]
    assert await _causes(acme, "ada") == ("active", [])


async def test_u12_reinvited_after_a_deactivation_and_never_after_a_deprovisioning(
    acme: Installation,
) -> None:
    await acme.add("ann")
    await acme.cli("user", "deactivate", "ann")
    await acme.cli("invitation", "create", "ann@acme.example")
    assert (await _causes(acme, "ann"))[0] == "inactive"
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="ann@acme.example"), password=PASSWORD)
    assert await _causes(acme, "ann") == ("active", [])
    okta = await acme.idp()
    dana = await okta.post("/scim/v2/Users", user_document("dana"))
    await okta.patch(
        f"/scim/v2/Users/{dana['id']}", _patch({"op": "replace", "path": "active", "value": False})
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
    assert await _causes(acme, "dana") == ("active", [])


async def test_u13_an_operator_moves_people_without_a_source(acme: Installation) -> None:
    await acme.cli("org", "create", "globex", "--seats", "1")
    operator = await acme.operator()
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    ann = await acme.add("ann", projects=[{"id": alpha["id"]}])
    bob = await acme.add("bob")
    okta = await acme.idp()
    dana = await okta.post("/scim/v2/Users", user_document("dana"))
    path = f"/users/{ann['id']}/move"
    assert (await acme.api.refused("POST", path, {"to": "globex"}))["status"] == 403
    moved = await operator.post(f"{path}?organization=acme", {"to": "globex"})
    (there,) = await acme.cli("user", "list", "--org", "globex")
    assert (there["id"], there["email"]) == (moved["id"], "ann@acme.example")
    assert (there["primary_role"], [each["name"] for each in there["projects"]]) == ("user", ["General"])
    assert [row["id"] for row in await acme.api.items("/users?deleted=true")] == [ann["id"]]
    full = await acme.cli_refused_row("user", "move", "bob", "--to", "globex", "--yes", "--org", "acme")
    assert "1 of 1" in full
    assert (await acme.api.get(f"/users/{bob['id']}"))["status"] == "active"
    owned = await operator.refused("POST", f"/users/{dana['id']}/move?organization=acme", {"to": "globex"})
    assert (owned["code"], "okta" in owned["detail"]) == ("owned_by_source", True)
    for org, target in (("acme", ann["id"]), ("globex", moved["id"])):
        kinds = [row["kind"] for row in await acme.cli("audit", "list", "--target", target, "--org", org)]
        assert any(kind.startswith("person.moved") for kind in kinds), (org, kinds)


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
    assert (await _listed(acme, "ann"))["display_name"] == "Ann Ó"
    async with acme.signed_in("annie@acme.example", "another nine lanterns drift"):
        pass
    assert (await _listed(acme, "annie"))["email_verified"] is True


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
    row = await _listed(acme, "dana@")
    assert (row["user_name"], row["source"]["name"]) == ("dee", "okta")


async def test_u16_each_person_is_in_one_team(acme: Installation) -> None:
    red = await acme.api.post("/teams", {"name": "Red"})
    await acme.cli("team", "create", "Blue")
    ann = await acme.api.post("/users", {"email": "ann@acme.example", "team": red["id"]})
    bob = await acme.api.post("/users", {"email": "bob@acme.example", "team": red["id"]})
    await acme.cli("user", "team", "ann", "bob", "--set", "blue")
    assert [row["user_name"] for row in await acme.cli("user", "list", "--team", "Blue")] == ["ann", "bob"]
    counts = {row["name"]: row["people"] for row in await acme.api.items("/teams")}
    assert counts == {"Red": 0, "Blue": 2}
    await acme.api.put(f"/users/{ann['id']}/team", {"team": red["id"]})
    rows = await acme.api.many(
        "/users/set-team", [{"id": bob["id"], "team": red["id"]}, {"id": "nobody", "team": red["id"]}]
    )
    assert [row["status"] for row in rows] == [200, 404]
    assert [row["user_name"] for row in await acme.cli("user", "list", "--team", "Red")] == ["ann", "bob"]
    await acme.cli("user", "team", "bob", "--none")
    assert (await acme.api.get(f"/users/{bob['id']}"))["team"] is None


async def test_u17_bulk_answers_with_a_result_per_row(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    beta = await acme.api.post("/projects", {"name": "Beta"})
    team = await acme.api.post("/teams", {"name": "Ops"})
    names = ("ann", "bob", "cat")
    ids = [(await acme.api.post("/users", {"email": f"{name}@acme.example"}))["id"] for name in names]
    for path, more in (
        ("set-role", {"role": "auditor"}),
        ("set-role", {"role": "user"}),
        ("set-team", {"team": team["id"]}),
        ("add-project", {"project": alpha["id"]}),
        ("add-project", {"project": beta["id"]}),
        ("remove-project", {"project": beta["id"]}),
        ("reset-password", {}),
        ("deactivate", {}),
    ):
        rows = await acme.api.many(f"/users/{path}", [{"id": each, **more} for each in [*ids, "nobody"]])
        assert [row["status"] // 100 for row in rows] == [2, 2, 2, 4], path
        assert rows[-1]["problem"]["code"] == "not_found"
    assert {row["user_name"] for row in await acme.cli("user", "list", "--status", "inactive")} == set(names)
    for words in (
        ("user", "reactivate"),
        ("user", "role", "--add", "auditor"),
        ("user", "project", "--add", "Beta", "--role", "viewer"),
        ("user", "project", "--remove", "Beta"),
        ("user", "delete"),
    ):
        rows = await acme.cli(*words, *names, "nobody", code=1)
        assert [(row["id"], row["done"]) for row in rows] == [
            ("ann", True), ("bob", True), ("cat", True), ("nobody", False),
        ], words  # fmt: skip
    assert len(await acme.api.items("/users?deleted=true")) == 3
    sent = await acme.api.post(
        "/invitations", {"emails": ["eve@acme.example", "fay@acme.example"], "team": team["id"]}
    )
    again = [{"id": row["answer"]["invitation_id"]} for row in sent["results"]]
    assert [row["status"] for row in await acme.api.many("/invitations/resend", again)] == [200, 200]


async def test_u18_a_partner_approves_and_nobody_else_does(acme: Installation) -> None:
    okta = await acme.idp()
    await acme.cli("partner", "create", "reseller")
    await acme.cli("partner", "assign", "reseller", "--org", "acme")
    await acme.cli("org", "set", "acme", "--approval")
    await acme.cli("admin", "create", "pat@reseller.example", "--org", "reseller")
    await acme.cli("user", "role", "pat", "--add", "approver", "--org", "reseller")
    partner = await acme.api_of("pat@reseller.example", org="reseller")
    used = (await acme.api.get("/seats"))["used"]
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    await okta.patch(f"/scim/v2/Users/{dana}", _patch({"op": "replace", "path": "active", "value": True}))
    ann = (await acme.api.post("/users", {"email": "ann@acme.example"}))["id"]
    assert await acme.mails("ann@acme.example") == []
    for who in ("dana", "ann"):
        assert (await _causes(acme, who))[1][0] == "not_approved"
        waiting = await _listed(acme, who, "--not-approved", "--org", "acme")
        assert (waiting["has_seat"], waiting["partners"]) == (False, ["reseller"])
    assert (await acme.api.get("/seats"))["used"] == used
    queue = await partner.items("/approvals")
    assert {row["person_id"] for row in queue} == {dana, ann}
    assert queue[0].keys() >= {"display_name", "address", "source", "organization"}
    assert {row["person_id"] for row in await acme.cli("partner", "queue", "reseller")} == {dana, ann}
    refused = await acme.api.refused("POST", f"/users/{dana}/approve")
    assert (refused["status"], refused["code"]) == (403, "forbidden")
    (other,) = [row for row in queue if row["person_id"] == dana]
    await partner.post(f"/approvals/{other['organization']}/{dana}/approve")
    await acme.cli("user", "approve", "ann", "--org", "acme")
    assert await partner.items("/approvals") == []
    assert await _causes(acme, "dana") == ("active", [])
    assert (await _listed(acme, "ann", "--approved", "--org", "acme"))["has_seat"] is True
    await acme.link("set-password", to="ann@acme.example")


async def test_u18_a_source_may_bring_its_approval_by_the_organizations_word(acme: Installation) -> None:
    await acme.cli("org", "set", "acme", "--approval")
    acme.configure('[[organization.source]]\nname = "hr"\nstate = "active"\ninvite = "never"\n')
    acme.configure('auto_approve = "always"\n')
    hr = acme.client((await acme.cli("token", "create", "--source", "hr"))["token"])
    (source,) = await acme.api.items("/sources")
    assert source["auto_approve"] == "always"
    dana = await hr.post("/scim/v2/Users", user_document("dana"))
    assert (await acme.api.get(f"/users/{dana['id']}"))["approved"] is True
    assert await _causes(acme, "dana") == ("active", [])


async def test_u19_people_come_from_a_file_as_a_plan(acme: Installation, tmp_path: Path) -> None:
    lines = ("email,display_name,role", "ann@acme.example,Ann,", "no address,Bo,", "cat@acme.example,C,king")
    plan = await acme.api.post("/imports", {"csv": "\n".join(lines), "how": "invite"})
    assert [(row["email"], row["action"]) for row in plan["rows"]] == [
        ("ann@acme.example", "invite"), ("no address", "refused"), ("cat@acme.example", "refused"),
    ]  # fmt: skip
    assert (plan["seats_wanted"], plan["seats_free"]) == (1, 49)
    assert len(await acme.cli("user", "list")) == 1
    (row,) = (await acme.api.post("/imports/apply", {"plan": plan["sealed"]}))["results"]
    assert row["status"] == 201
    assert (await _listed(acme, "ann"))["display_name"] == "Ann"
    file = tmp_path / "people.csv"
    file.write_text("email\nann@acme.example\ndot@acme.example\n")
    plan = await acme.cli("user", "import", str(file))
    assert [row["action"] for row in plan["rows"]] == ["unchanged", "invite"]
    await acme.cli("user", "import", str(file), "--yes")
    assert (await acme.user("dot"))["status"] == "pending"


async def test_u19_every_list_comes_as_csv_and_json(acme: Installation) -> None:
    await acme.api.post("/users", {"email": "ann@acme.example", "display_name": "=1+1"})
    lists = [row for row in TABLE if row.is_list and "{" not in row.path and not row.operators_only]
    assert len(lists) > 15
    for row in lists:
        if row.needs == ("partner.approve",):
            continue
        for kind in ("csv", "json"):
            answer = await acme.api.send("GET", f"{row.path}?format={kind}")
            assert answer.status == 200, (row.path, answer.text)
            assert f'.{kind}"' in answer.headers["Content-Disposition"], row.path
    lines = csv_rows((await acme.api.send("GET", "/users?format=csv")).text)
    assert {line["display_name"] for line in lines} == {ADMIN, "'=1+1"}  # no spreadsheet calculates it
    assert csv_rows(await acme.said("user", "export")) == lines
    exported = json.loads(await acme.said("user", "export", "--json", "--filter", "q=ann"))["items"]
    assert [row["user_name"] for row in exported] == ["ann"]
    (said,) = [row for row in await acme.cli("user", "list") if row["user_name"] == "ann"]
    assert said["display_name"] == "=1+1"


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
    assert "no mail address" in await acme.cli_refused_row("user", "reset-password", "deploy")
    okta = await acme.idp()
    pushed = await okta.post("/scim/v2/Users", user_document("deploy", userName="deploy"))
    assert pushed["id"] not in {row["id"] for row in await acme.api.items("/users?kind=service")}
    assert (await acme.api.refused("POST", "/service-accounts", {
        "user_name": "x", "display_name": "X", "owner": " "}))["errors"][0]["field"] == "/owner"  # fmt: skip
