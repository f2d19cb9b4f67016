"""Rows P1-P11: projects and roles; groups as projects; rules; explain."""

from __future__ import annotations

from typing import Any

from tests.rows.looking import patch_of
from tests.support.installation import PASSWORD, Client, Installation, user_document

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


async def _group(idp: Client, name: str, *members: str) -> str:
    made = await idp.post(
        "/scim/v2/Groups",
        {
            "schemas": [GROUP],
            "displayName": name,
            "externalId": f"g-{name}",
            "members": [{"value": each} for each in members],
        },
    )
    return str(made["id"])


async def _pushed(idp: Client, name: str, **more: Any) -> str:
    return str((await idp.post("/scim/v2/Users", user_document(name, **more)))["id"])


async def _projects(acme: Installation, who: str) -> dict[str, str]:
    """The role in each project, by the CLI, which the API must say as well."""
    person = (await acme.cli("user", "show", who))["person"]
    assert (await acme.api.get(f"/users/{person['id']}"))["projects"] == person["projects"]
    return {each["name"]: each["role"] for each in person["projects"]}


async def _members(acme: Installation, project: str) -> set[tuple[str, str, str]]:
    """Name, role and origin of each member, by both doors."""
    (found,) = [row for row in await acme.api.items("/projects") if row["name"] == project]
    rows = await acme.api.items(f"/projects/{found['id']}/members")
    shown = await acme.cli("project", "show", project)
    assert {row["person_id"] for row in shown} == {row["person_id"] for row in rows}
    return {(row["display_name"], row["project_role"], row["origin"]) for row in rows}


async def test_p1_projects_are_made_renamed_archived_and_show_their_members(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    await acme.cli("project", "create", "Beta")
    twice = await acme.api.refused("POST", "/projects", {"name": "BETA"})
    assert (twice["status"], twice["code"]) == (409, "uniqueness")
    await acme.api.patch(f"/projects/{alpha['id']}", {"name": "Aleph"})
    await acme.cli("project", "rename", "Beta", "Bet")
    assert [row["name"] for row in await acme.api.items("/projects")] == ["Aleph", "Bet", "General"]
    await acme.add("ann", projects=[{"id": alpha["id"], "role": "owner"}])
    okta = await acme.idp()
    dana = await _pushed(okta, "dana")
    await _group(okta, "Ops", dana)
    assert await _members(acme, "Aleph") == {("Ann", "owner", "manual")}
    assert await _members(acme, "Ops") == {("Dana", "member", "group")}
    (row,) = [row for row in await acme.api.items("/projects") if row["name"] == "Ops"]
    (member,) = await acme.api.items(f"/projects/{row['id']}/members")
    assert (member["source"], member["by"]) == ("okta", "Ops")
    await acme.cli("user", "project", "ann", "--add", "Bet")
    await acme.api.post(f"/projects/{alpha['id']}/archive")
    await acme.settle()
    assert await _projects(acme, "ann") == {"Bet": "member"}
    assert [row["name"] for row in await acme.cli("project", "list", "--archived")] == ["Aleph"]
    await acme.cli("project", "archive", alpha["id"], "--undo")
    await acme.settle()
    assert await _projects(acme, "ann") == {"Aleph": "owner", "Bet": "member"}


async def test_p2_projects_are_given_from_either_side_also_before_acceptance(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    beta = await acme.api.post("/projects", {"name": "Beta"})
    sent = await acme.api.post("/invitations", {"emails": ["ivy@acme.example", "joe@acme.example"]})
    ivy, joe = (row["answer"]["person_id"] for row in sent["results"])
    await acme.api.post(f"/users/{ivy}/projects", {"project": alpha["id"], "role": "viewer"})
    assert await _projects(acme, "ivy") == {"Alpha": "viewer"}
    rows = await acme.api.many(
        "/users/add-project", [{"id": each, "project": beta["id"]} for each in (ivy, joe)]
    )
    assert [row["status"] for row in rows] == [200, 200]
    await acme.cli("user", "project", "ivy", "joe", "--add", "Alpha", "--role", "owner")
    assert await _projects(acme, "joe") == {"Alpha": "owner", "Beta": "member"}
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="joe@acme.example"), password=PASSWORD)
    assert await _projects(acme, "joe") == {"Alpha": "owner", "Beta": "member"}


async def test_p3_one_project_at_least_binds_hands_and_no_identity_provider(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    ann = await acme.add("ann", projects=[{"id": alpha["id"]}])
    path = f"/users/{ann['id']}/projects/{alpha['id']}"
    assert (await acme.api.refused("DELETE", path))["code"] == "not_allowed_now"
    assert "project" in await acme.cli_refused_row("user", "project", "ann", "--remove", "Alpha")
    await acme.cli("org", "set", "acme", "--default-project", "none")
    refused = await acme.api.refused("POST", "/users", {"email": "bob@acme.example"})
    assert (refused["status"], refused["code"]) == (409, "not_allowed_now")
    assert "project" in refused["detail"]
    assert "project" in await acme.cli_refused_row("invitation", "create", "bob@acme.example")
    await acme.cli("invitation", "create", "bob@acme.example", "--project", "Alpha=viewer")
    await acme.api.post("/users", {"email": "max@acme.example", "role": "manager"})
    okta = await acme.idp()
    dana = await _pushed(okta, "dana")
    found = await acme.api.get(f"/users/{dana}")
    assert (found["status"], found["causes"], found["has_seat"]) == ("pending", ["no_project"], False)
    await acme.api.patch("/organization", {"default_project_id": alpha["id"]})
    await acme.settle()
    assert (await acme.cli("user", "show", "dana"))["person"]["status"] == "active"


async def test_p4_which_roles_hold_projects_is_a_rule_of_the_role(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    ann = await acme.add("ann", projects=[{"id": alpha["id"], "role": "owner"}])
    await acme.cli("user", "role", "ann", "--set", "manager")
    assert await _projects(acme, "ann") == {}
    (row,) = await acme.api.items(f"/projects/{alpha['id']}/members")
    assert (row["person_id"], row["dormant"]) == (ann["id"], True)
    await acme.api.put(f"/users/{ann['id']}/role", {"role": "user"})
    assert await _projects(acme, "ann") == {"Alpha": "owner"}
    await acme.api.post("/roles", {"name": "lead", "label": "Lead", "permissions": ["users.read"]})
    await acme.cli("user", "role", "ann", "--set", "lead")
    assert await _projects(acme, "ann") == {"Alpha": "owner"}
    await acme.cli("role", "change", "lead", "--no-projects")
    await acme.settle()
    assert await _projects(acme, "ann") == {}
    assert "built in" in await acme.cli_refused("role", "change", "manager", "--projects")


async def test_p5_account_role_and_project_role_are_two_things(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    ann = await acme.add("ann", projects=[{"id": alpha["id"]}])
    await acme.api.put(f"/users/{ann['id']}/projects/{alpha['id']}", {"role": "owner"})
    assert (await acme.api.get(f"/users/{ann['id']}"))["primary_role"] == "user"
    assert await _projects(acme, "ann") == {"Alpha": "owner"}
    await acme.cli("user", "project", "ann", "--add", "Alpha", "--role", "viewer")
    assert await _projects(acme, "ann") == {"Alpha": "viewer"}
    unknown = await acme.api.refused("PUT", f"/users/{ann['id']}/projects/{alpha['id']}", {"role": "king"})
    assert (unknown["status"], unknown["errors"][0]["field"]) == (422, "/role")
    assert "owner, member" in unknown["detail"] or "owner" in unknown["errors"][0]["why"]
    await acme.cli("role", "create", "helpdesk", "--permission", "users.read", "--permission", "audit.read")
    role = await acme.api.get("/roles/helpdesk")
    assert sorted(role["permissions"]) == ["audit.read", "users.read"]
    await acme.cli("user", "role", "ann", "--add", "helpdesk")
    helper = await acme.api_of("ann@acme.example")
    assert len(await helper.items("/users")) == 2
    assert (await helper.refused("POST", "/projects", {"name": "X"}))["code"] == "forbidden"
    wanted = {"label": "Help", "permissions": ["projects.manage"], "may_hold_projects": True}
    blind = await acme.api.refused("PUT", "/roles/helpdesk", wanted)
    assert (blind["status"], "If-Match" in blind["detail"]) == (428, True)
    tag = (await acme.api.send("GET", "/roles/helpdesk")).headers["ETag"]
    changed = await acme.api.send("PUT", "/roles/helpdesk", wanted, {"If-Match": tag})
    assert changed.status == 200
    await helper.post("/projects", {"name": "X"})
    assert (await helper.refused("GET", "/audit"))["status"] == 403
    bad = await acme.api.refused("POST", "/roles", {"name": "x", "label": "X", "permissions": ["all"]})
    assert bad["status"] == 422


async def test_p6_a_project_may_be_limited_at_every_door(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha", "limit": 1})
    okta = await acme.idp()
    await acme.add("ann", projects=[{"id": alpha["id"]}])
    bob = await acme.add("bob")
    full = await acme.api.refused("POST", f"/users/{bob['id']}/projects", {"project": alpha["id"]})
    assert (full["status"], full["code"]) == (409, "pool_limit_reached")
    for said in (
        full["detail"],
        await acme.cli_refused_row("user", "project", "bob", "--add", "Alpha"),
        await acme.cli_refused("user", "add", "cat@acme.example", "--project", "Alpha"),
        await acme.cli_refused_row("invitation", "create", "cat@acme.example", "--project", "Alpha"),
    ):
        assert "1 of 1" in said
        assert "Alpha" in said
    dana = await _pushed(okta, "dana")
    group = await _group(okta, "Ops", dana)
    ops = next(row for row in await acme.api.items("/projects") if row["name"] == "Ops")
    eve = await _pushed(okta, "eve")
    await acme.cli("project", "limit", "Ops", "1")
    more = patch_of({"op": "add", "path": "members", "value": [{"value": eve}]})
    await okta.patch(f"/scim/v2/Groups/{group}", more)  # a directory is never refused for it
    shown = await acme.api.get(f"/projects/{ops['id']}")
    assert (shown["people"], shown["limit"], shown["waiting"]) == (1, 1, 1)
    (row,) = [each for each in await acme.cli("project", "list") if each["name"] == "Ops"]
    assert (row["people"], row["limit"]) == (1, 1)
    assert await _projects(acme, "eve") == {"General": "member"} or await _projects(acme, "eve") == {}
    out = patch_of({"op": "remove", "path": f'members[value eq "{dana}"]'})
    await okta.patch(f"/scim/v2/Groups/{group}", out)
    await acme.settle()
    assert "Ops" in await _projects(acme, "eve")  # who waited longest
    await acme.api.patch(f"/projects/{alpha['id']}", {"limit": None})
    await acme.cli("user", "project", "bob", "--add", "Alpha")
    assert "Alpha" in await _projects(acme, "bob")


async def test_p7_groups_are_projects_bound_to_the_source_s_id(acme: Installation) -> None:
    okta = await acme.idp()
    await acme.cli("project", "create", "Sales")
    dana = await _pushed(okta, "dana")
    ops, sales = await _group(okta, "Ops", dana), await _group(okta, "Sales", dana)
    assert await _projects(acme, "dana") == {"Ops": "member"}
    (item,) = await acme.api.items("/decisions")
    assert (item["kind"], "Sales" in item["question"]) == ("group_name", True)
    renamed = patch_of({"op": "replace", "value": {"displayName": "Operations"}})
    await okta.patch(f"/scim/v2/Groups/{ops}", renamed)
    assert await _projects(acme, "dana") == {"Operations": "member"}
    await acme.cli("decide", "answer", item["id"], "use")
    assert await _projects(acme, "dana") == {"Operations": "member", "Sales": "member"}
    for group in (ops, sales):
        await okta.delete(f"/scim/v2/Groups/{group}")
    left = {row["name"]: row["orphaned"] for row in await acme.api.items("/projects")}
    assert left == {"General": False, "Operations": True, "Sales": False}
    assert await _projects(acme, "dana") == {"General": "member"}


async def test_p8_rules_by_number_give_role_project_role_team_and_licence(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    for words in (
        ("--pattern", "eng-lead*", "--role", "manager", "--team", "Leads"),
        ("--pattern", "eng-*", "--project", "Engine", "--project-role", "viewer", "--team", "Engineers"),
        ("--pattern", "*-core", "--project", "Engine", "--project-role", "owner", "--licence", "Studio"),
        ("--pattern", "eng-*", "--role", "auditor"),
        ("--pattern", "roots", "--role", "account-admin"),
    ):
        await acme.cli("rule", "add", "--source", "okta", *words)
    dana, lea = await _pushed(okta, "dana"), await _pushed(okta, "lea")
    await _group(okta, "eng-core", dana)
    found = await acme.api.get(f"/users/{dana}")
    assert (found["primary_role"], found["roles"]) == ("user", ["user"])  # auditor is above Manager
    assert (found["team"]["name"], [each["name"] for each in found["licences"]]) == ("Engineers", ["Studio"])
    assert await _projects(acme, "dana") == {"Engine": "owner"}  # the strongest, not the first
    await _group(okta, "eng-leads", lea)
    found = (await acme.cli("user", "show", "lea"))["person"]
    assert (found["primary_role"], found["team"]["name"]) == ("manager", "Leads")  # the first match
    await _group(okta, "roots", dana)
    assert "account-admin" not in (await acme.api.get(f"/users/{dana}"))["roles"]
    reasons = (await acme.api.get(f"/users/{dana}/explain"))["reasons"]
    assert any(row["about"] == "role:account-admin" and row["verdict"] != "counts" for row in reasons)


async def test_p9_a_source_takes_only_what_it_gave(acme: Installation) -> None:
    okta = await acme.idp()
    dana = await _pushed(okta, "dana")
    ops = await _group(okta, "Ops", dana)
    await acme.cli("user", "project", "dana", "--add", "Ops", "--role", "viewer")
    await acme.cli("user", "project", "dana", "--add", "General", "--role", "owner")
    assert await _members(acme, "Ops") == {("Dana", "viewer", "manual"), ("Dana", "member", "group")}
    assert await _projects(acme, "dana") == {"General": "owner", "Ops": "member"}
    out = patch_of({"op": "remove", "path": f'members[value eq "{dana}"]'})
    await okta.patch(f"/scim/v2/Groups/{ops}", out)
    assert await _members(acme, "Ops") == {("Dana", "viewer", "manual")}
    assert await _projects(acme, "dana") == {"General": "owner", "Ops": "viewer"}
    await okta.put(
        f"/scim/v2/Groups/{ops}", {"schemas": [GROUP], "displayName": "Ops", "members": [{"value": dana}]}
    )
    (project,) = [row["id"] for row in await acme.api.items("/projects") if row["name"] == "Ops"]
    await acme.api.delete(f"/users/{dana}/projects/{project}")
    refused = await acme.api.refused("DELETE", f"/users/{dana}/projects/{project}")
    assert "okta" in refused["detail"]  # what a source gives, no hand takes
    assert await _projects(acme, "dana") == {"General": "owner", "Ops": "member"}


async def test_p10_explain_names_facts_rules_losers_and_gates(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    await acme.cli(
        "rule", "add", "--source", "okta", "--pattern", "eng", "--team", "Red", "--project", "Engine"
    )
    await acme.cli("rule", "add", "--source", "okta", "--pattern", "all", "--team", "Blue")
    dana = await _pushed(okta, "dana")
    await _group(okta, "all", dana)
    await _group(okta, "eng", dana)
    await acme.cli("user", "disable", "dana")
    over_rest = await acme.api.get(f"/users/{dana}/explain")
    by_command = await acme.cli("user", "explain", "dana")
    assert over_rest["status"] == by_command["status"] == "inactive"
    assert over_rest["causes"] == by_command["causes"]
    about = {row["about"]: row for row in by_command["reasons"]}
    assert {"status", "project:Engine", "team:Red", "team:Blue"} <= set(about)
    assert "rule 1" in about["team:Red"]["fact"]
    assert about["team:Blue"]["verdict"] != about["team:Red"]["verdict"]
    printed = await acme.said("user", "explain", "dana")
    for words in ("disabled", "okta", "eng", "rule 1", "Engine"):
        assert words in printed
    assert len(over_rest["reasons"]) == len(by_command["reasons"])


async def test_p11_groups_with_members_and_rules_with_their_preview(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    dana = await _pushed(okta, "dana")
    made = await okta.post(
        "/scim/v2/Groups",
        {"schemas": [GROUP], "displayName": "eng", "externalId": "g1",
         "members": [{"value": dana}, {"value": "0 not known yet"}]},
    )  # fmt: skip
    source = (await acme.api.items("/sources"))[0]["id"]
    (group,) = await acme.api.items(f"/groups?source={source}&q=EN")
    assert (group["id"], group["members"], group["source_name"]) == (made["id"], 2, "okta")
    members = await acme.api.items(f"/groups/{made['id']}/members")
    assert {(row["kind"], row["id"]) for row in members} == {("user", dana), ("unknown", None)}
    shown = await acme.cli("group", "show", "eng")
    assert [(each["kind"], each["name"]) for each in shown["gives"]] == [("project", "eng")]
    first = await acme.said("group", "show", "eng", "--limit", "1")
    assert "There is more, of 2: --after '0 not known yet'" in first
    assert dana not in first
    rest = await acme.said("group", "show", "eng", "--after", "0 not known yet")
    assert dana in rest
    assert "There is more" not in rest
    new = ("--source", "okta", "--group", "g1", "--project", "Engine", "--team", "Red")
    preview = (await acme.cli("rule", "add", *new, "--dry-run"))["preview"]
    (who,) = preview["people"]
    assert who["person_id"] == dana
    assert any("Engine" in text for text in who["gains"])
    assert any("eng" in text for text in who["loses"])
    assert await _projects(acme, "dana") == {"eng": "member"}  # only looked at
    assert "would gain" in await acme.said("rule", "add", *new, "--dry-run")
    await acme.cli("rule", "add", *new)
    assert await _projects(acme, "dana") == {"Engine": "member"}
    assert "group g1" in await acme.said("rule", "list", "--source", "okta")
    (entry,) = await acme.cli("audit", "list", "--kind", "rules.changed")
    assert entry["actor_name"].endswith("(CLI)")
    await acme.cli("rule", "remove", "1", "--source", "okta")
    assert await _projects(acme, "dana") == {"eng": "member"}
    rules = f"/sources/{source}/rules"
    wanted = {"pattern": "e*", "project": "Motor"}
    looked_at = await acme.api.post(f"{rules}/preview", {"add": wanted})
    assert [who["person_id"] for who in looked_at["people"]] == [dana]
    await acme.api.post(rules, wanted)
    (rule,) = await acme.cli("rule", "list", "--source", "okta")
    assert (rule["pattern"], rule["project"]) == ("e*", "Motor")
    assert await _projects(acme, "dana") == {"Motor": "member"}
    await acme.api.delete(f"{rules}/1")
    assert await _projects(acme, "dana") == {"eng": "member"}
