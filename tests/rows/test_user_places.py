"""Rows U13 and U16-U18: organizations, teams, many at once, approval."""

from __future__ import annotations

from tests.rows.looking import causes_of, listed, patch_of
from tests.support.installation import Installation, user_document


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
        ("user", "delete", "--yes"),
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
    await okta.patch(f"/scim/v2/Users/{dana}", patch_of({"op": "replace", "path": "active", "value": True}))
    ann = (await acme.api.post("/users", {"email": "ann@acme.example"}))["id"]
    assert await acme.mails("ann@acme.example") == []
    for who in ("dana", "ann"):
        assert (await causes_of(acme, who))[1][0] == "not_approved"
        waiting = await listed(acme, who, "--not-approved", "--org", "acme")
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
    assert await causes_of(acme, "dana") == ("active", [])
    assert (await listed(acme, "ann", "--approved", "--org", "acme"))["has_seat"] is True
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
    assert await causes_of(acme, "dana") == ("active", [])
