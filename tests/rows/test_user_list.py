"""Rows U1-U4 and U19: what is seen of people, and taken out."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from scimd.admin.table import TABLE
from tests.rows.looking import PNG, causes_of, csv_rows, listed, patch_of, untimed
from tests.support.installation import ADMIN, Installation, user_document


async def test_u1_the_list_has_every_column_and_the_admin_chooses(acme: Installation) -> None:
    team = await acme.api.post("/teams", {"name": "Ops"})
    licence = await acme.api.post("/licences", {"name": "Studio"})
    ann = await acme.add("ann", team=team["id"])
    await acme.api.put(f"/users/{ann['id']}/licences/{licence['id']}")
    okta = await acme.idp()
    await okta.post("/scim/v2/Users", user_document("dana"))
    async with acme.signed_in("ann@acme.example"):
        row = await acme.user("ann@")
    assert untimed(row) == {
        "id": ann["id"], "kind": "person", "owner": None, "display_name": "Ann", "user_name": "ann",
        "email": "ann@acme.example", "email_verified": True, "status": "active", "causes": [],
        "primary_role": "user", "roles": ["user"], "has_seat": True, "approved": True, "accepted": True,
        "partners": [], "team": {"id": team["id"], "name": "Ops"},
        "projects": [{"id": row["projects"][0]["id"], "name": "General", "role": "member"}],
        "licences": [{"id": licence["id"], "name": "Studio"}], "source": None,
        "created_by": f"{ADMIN} (token rows)",
    }  # fmt: skip
    assert row["last_login_at"] >= row["created_at"]
    assert untimed(await listed(acme, "ann@")) == untimed(row)
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
    assert await causes_of(acme, "ivy") == ("pending", ["invited"])
    okta = await acme.idp(invite=True)
    for name in ("ora", "eli", "sue"):
        await okta.post("/scim/v2/Users", user_document(name))
    async with acme.browser() as browser:
        await browser.post(f"{await acme.link('invitation', to='ora@acme.example')}/decline")
    assert await causes_of(acme, "ora") == ("pending", ["invitation_declined"])
    (sue,) = [row for row in await acme.api.items("/invitations") if "sue" in row["address"]]
    await acme.cli("invitation", "withdraw", sue["id"])
    assert await causes_of(acme, "sue") == ("pending", ["invitation_withdrawn"])
    await acme.minutes_pass(7 * 24 * 60)
    assert await causes_of(acme, "eli") == ("pending", ["invitation_expired"])
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
    assert await causes_of(acme, "wim") == ("pending", ["waiting_for_seat", "invited"])
    await acme.cli("seats", "set", "unlimited")

    bob = await acme.add("bob")
    assert await causes_of(acme, "bob") == ("active", [])
    for doing, undoing, cause in (
        ("deactivate --yes", "reactivate", "deactivated"),
        ("disable", "enable", "disabled"),
    ):
        await acme.cli("user", *doing.split(), "bob")
        row = await listed(acme, "bob")
        assert (row["status"], row["causes"][0].partition(":")[0]) == ("inactive", cause)
        assert row["causes"][0].partition(":")[2].endswith("(CLI)")  # the admin's name
        await acme.api.post(f"/users/{bob['id']}/{undoing}")
        assert await causes_of(acme, "bob") == ("active", [])
    await acme.api.delete(f"/users/{bob['id']}")
    (gone,) = await acme.cli("user", "list", "--deleted")
    assert (gone["id"], gone["status"]) == (bob["id"], "inactive")
    assert gone["causes"][0].startswith("deleted:")

    (wim,) = (await okta.get('/scim/v2/Users?filter=userName eq "wim@acme.example"'))["Resources"]
    active = [{"op": "replace", "path": "active", "value": False}]
    await okta.patch(f"/scim/v2/Users/{wim['id']}", patch_of(*active))
    assert (await listed(acme, "wim"))["causes"][0] == "deprovisioned:okta"

    await acme.cli("org", "set", "acme", "--default-project", "none")
    await okta.post("/scim/v2/Users", user_document("nop"))
    assert await causes_of(acme, "nop") == ("pending", ["no_project"])
    await acme.cli("partner", "create", "reseller")
    await acme.cli("partner", "assign", "reseller", "--org", "acme")
    await acme.api.patch("/organization", {"approval_required": True})
    await okta.post("/scim/v2/Users", user_document("una"))
    assert (await causes_of(acme, "una"))[1][0] == "not_approved"


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
    assert (await listed(acme, "ann"))["display_name"] == "Ann"
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
