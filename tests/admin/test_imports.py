"""U19: people from a CSV file, as a plan that somebody approves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from tests.admin.client import Client, signed_in
from tests.web.site import OPERATOR, Site

FILE = """\
email,display_name,user_name,role,projects
ann@acme.example,Ann Ó,annie,,Alpha;General=viewer
ada@acme.example,Ada,,,
no address,,,,
bo@acme.example,Bo,,king,
ANN@acme.example,Ann again,,,
cy@acme.example,Cy,,,Nowhere
"""


@pytest.fixture
async def api(acme: Site) -> AsyncIterator[Client]:
    async with signed_in(acme) as client:
        assert (await client.post("/projects", {"name": "Alpha"})).status == 201
        yield client


@pytest.mark.parametrize("how", ["invite", "add"])
async def test_u19_plan_changes_nothing_and_is_applied_once_approved(api: Client, how: str) -> None:
    plan = (await api.post("/imports", {"csv": FILE, "how": how})).json
    assert [row["action"] for row in plan["rows"]] == [
        how,
        "unchanged",
        "refused",
        "refused",
        "refused",
        "refused",
    ]
    assert [row["line"] for row in plan["rows"]] == [2, 3, 4, 5, 6, 7]
    assert "king" in plan["rows"][3]["why"]
    assert (plan["seats_wanted"], plan["seats_free"]) == (1, 49)
    assert (await api.get("/users?q=ann")).json["items"] == []
    (row,) = (await api.post("/imports/apply", {"plan": plan["sealed"]})).json["results"]
    assert (row["status"], row["answer"]["line"]) == (201, 2)
    ann = (await api.get(f"/users/{row['answer']['person_id']}")).json
    assert (ann["display_name"], ann["user_name"]) == ("Ann Ó", "annie")
    assert {each["name"]: each["role"] for each in ann["projects"]} == {
        "Alpha": "member",
        "General": "viewer",
    }
    (again,) = (await api.post("/imports/apply", {"plan": plan["sealed"]})).json["results"]
    assert again["status"] == 409


async def test_u19_who_waits_for_an_approval_wants_no_seat_yet(api: Client) -> None:
    assert (await api.send("PATCH", "/organization", {"approval_required": True})).status == 200
    plan = (await api.post("/imports", {"csv": FILE})).json
    assert (plan["rows"][0]["action"], plan["seats_wanted"], plan["seats_free"]) == ("invite", 0, 49)
    (row,) = (await api.post("/imports/apply", {"plan": plan["sealed"]})).json["results"]
    assert row["status"] == 201
    assert (await api.get("/seats")).json["used"] == 1


async def test_u19_plan_is_its_makers_and_lasts_an_hour(acme: Site, api: Client) -> None:
    plan = (await api.post("/imports", {"csv": FILE})).json["sealed"]
    async with signed_in(acme, "other@acme.example") as other:
        refused = await other.post("/imports/apply", {"plan": plan})
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, "/plan")
        mine = (await other.post("/imports", {"csv": FILE})).json["sealed"]
    assert (await api.post("/imports/apply", {"plan": mine})).status == 422
    assert (await api.post("/imports/apply", {"plan": plan[:-4]})).status == 422
    acme.clock.ahead += timedelta(minutes=25)
    await api.get("/users")
    acme.clock.ahead += timedelta(minutes=25)
    await api.get("/users")
    acme.clock.ahead += timedelta(minutes=11)
    late = await api.post("/imports/apply", {"plan": plan})
    assert (late.status, late.json["code"]) == (409, "state_moved")
    assert (await api.get("/users?q=ann")).json["items"] == []


async def test_u19_plan_refuses_what_the_file_and_those_who_are_here_rule_out(api: Client) -> None:
    taken = {"email": "bob@acme.example", "user_name": "bob", "display_name": "Bob"}
    assert (await api.post("/users", taken)).status == 201
    file = (
        "email,user_name,display_name,projects\n"
        "a@acme.example,,,General=boss\n"
        "b@acme.example,dup,,\n"
        "c@acme.example,dup,,\n"
        "d@acme.example,bob,,\n"
        f"e@acme.example,,{'x' * 257},\n"
        "f@acme.example,Not A Name,,\n"
    )
    plan = (await api.post("/imports", {"csv": file})).json
    assert plan["seats_wanted"] == 1
    assert [(row["line"], row["action"], (row["why"] or "").partition(" ")[0]) for row in plan["rows"]] == [
        (2, "refused", "projects:"),
        (3, "invite", ""),
        (4, "refused", "user_name:"),
        (5, "refused", "user_name"),
        (6, "refused", "display_name:"),
        (7, "refused", "user_name:"),
    ]


@pytest.mark.parametrize("how", ["invite", "add"])
async def test_u19_plan_refuses_what_applying_it_would(acme: Site, api: Client, how: str) -> None:
    await organizations.create(acme.door, NewOrganization("beta"), OPERATOR)
    file = "email,team,projects\nann@beta.example,Red,Alpha\nbob@x.example,,Alpha\ncy@x.example,Red,\n"
    assert (await api.post("/teams", {"name": "Red"})).status == 201
    assert (await api.send("PATCH", "/organization", {"default_project_id": None})).status == 200
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        declared = await operator.post("/domains/declare?organization=beta", {"domain": "beta.example"})
        assert declared.status == 200
        plan = (await operator.post("/imports", {"csv": "email\neve@x.example", "how": how})).json
    assert [row["action"] for row in plan["rows"]] == ["refused"]
    assert "operators are made there alone" in plan["rows"][0]["why"]
    foreign, teamless, homeless = (await api.post("/imports", {"csv": file, "how": how})).json["rows"]
    assert (foreign["action"], foreign["why"][:7]) == ("refused", "email: ")
    assert teamless["action"] == {"invite": "refused", "add": "add"}[how]
    assert (homeless["action"], homeless["why"].partition(" ")[2]) == (
        "refused",
        "takes part in at least one project. Give them one.",
    )


@pytest.mark.parametrize("how", ["invite", "add"])
async def test_u19_plan_counts_the_places_in_limited_projects_as_applying_it_does(
    api: Client, how: str
) -> None:
    small = (await api.post("/projects", {"name": "Small", "limit": 1})).json["id"]
    (general,) = (await api.get("/projects?q=General")).json["items"]
    assert (await api.send("PATCH", f"/projects/{general['id']}", {"limit": 1})).status == 200
    file = "email,projects,role\na@x.example,Small,\nb@x.example,Small,\nc@x.example,,\nd@x.example,,\n"
    plan = (await api.post("/imports", {"csv": f"{file}m@x.example,Small,manager", "how": how})).json
    assert [row["action"] for row in plan["rows"]] == [how, "refused", how, "refused", how]
    applied = (await api.post("/imports/apply", {"plan": plan["sealed"]})).json["results"]
    assert [row["status"] for row in applied] == [201, 201, 201]
    for email, projects, row in ("b@x.example", [small], 1), ("d@x.example", None, 3):
        new = {"email": email} | ({"projects": [{"id": small}]} if projects else {})
        assert (await api.post("/users", new)).json["detail"] == plan["rows"][row]["why"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name\nx", "email among them"),
        ("email,colour\nx,red", "'colour'"),
        ("email,email\nx,y", "'email'"),
        ("email", "no row"),
        ("email,role\nann@acme.example", "line 2"),
        ('email\n"ann@acme.example', "line 2"),
        ('"email', "line 1"),
        ("email,user_name\nann@acme.example,ann\nb\0b@acme.example,bob", "line 3"),
        ("email\n" + "x@acme.example\n" * 1001, "more than 1000"),
    ],
)
async def test_u19_file_that_cannot_be_read_is_refused_whole(api: Client, text: str, why: str) -> None:
    refused = await api.post("/imports", {"csv": text})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "/csv")
    assert why in refused.json["detail"]


async def test_header_without_end_is_refused_by_its_beginning(api: Client) -> None:
    """V19: each name was counted among all of them, which took an hour."""
    reply = await api.post("/imports", {"csv": ",".join(["email"] * 150_000) + "\nx\n", "how": "add"})
    assert (reply.status, "is there twice" in reply.text) == (422, True)
