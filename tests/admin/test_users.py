"""The users' list over REST (U1, U2, U19), one user, and why (design, section 1)."""

from __future__ import annotations

import csv
import io

import pytest

from scimd.core.people import PersonId
from scimd.org.grants import named
from scimd.org.grants.assignments import set_project, set_team
from scimd.org.users import gates
from tests.admin.client import Client
from tests.web.site import Site

NAMES = ["dana", "Émile", "bo", "Zoë", "ann"]


async def _people(acme: Site) -> list[PersonId]:
    source = await acme.source("okta", invite="never")
    return await acme.push(
        source,
        *(
            {
                "userName": f"{name}@acme.example",
                "displayName": name,
                "externalId": f"e-{name}",
                "emails": [{"value": f"{name}@acme.example", "primary": True}],
            }
            for name in NAMES
        ),
    )


async def test_list_has_the_columns_that_an_admin_chooses_from(acme: Site, api: Client) -> None:
    (dana, *_) = await _people(acme)
    team = await named.create(acme.door, acme.ctx, "team", "Ops")
    await set_team(acme.door, acme.ctx, dana, named.TeamId(team.id))
    (row,) = (await api.get("/users?q=dana")).json["items"]
    source = (await api.get("/sources")).json["items"][0]
    assert row | {"created_at": "", "changed_at": "", "projects": [p["name"] for p in row["projects"]]} == {
        "id": dana, "kind": "person", "display_name": "dana", "user_name": "dana",
        "email": "dana@acme.example", "email_verified": False, "status": "active", "causes": [],
        "primary_role": "user", "roles": ["user"], "has_seat": True, "approved": True, "accepted": False,
        "partners": [], "team": {"id": team.id, "name": "Ops"}, "projects": ["General"], "licences": [],
        "source": {"id": source["id"], "name": "okta"}, "created_at": "", "created_by": row["created_by"],
        "changed_at": "", "owner": None, "expires_at": None, "deleted_at": None, "last_login_at": None,
    }  # fmt: skip
    assert row["projects"][0]["role"] == "member"


async def test_list_is_searched_and_filtered(acme: Site, api: Client) -> None:
    people = await _people(acme)
    team = await named.create(acme.door, acme.ctx, "team", "Ops")
    await set_team(acme.door, acme.ctx, people[2], named.TeamId(team.id))
    await gates.disable(acme.door, acme.ctx, people[1])
    source = (await api.get("/sources")).json["items"][0]["id"]
    projects = (await api.get("/projects")).json["items"]

    async def names(query: str) -> list[str]:
        page = (await api.get(f"/users?sort=created&{query}")).json
        assert page["next"] is None
        return sorted(row["display_name"] for row in page["items"])

    assert await names("q=ÉMILE") == ["Émile"]
    assert await names("q=bo@ACME") == ["bo"]
    assert await names("q=%25") == []
    assert await names("status=inactive") == ["Émile"]
    assert await names(f"team={team.id}") == ["bo"]
    assert await names(f"source={source}&status=active") == ["Zoë", "ann", "bo", "dana"]
    assert len(await names("local=true")) == 1
    assert await names("role=account-admin") == await names("local=true")
    assert await names("role=auditor") == []
    assert await names(f"project={projects[0]['id']}") == ["Zoë", "ann", "bo", "dana"]
    assert await names("has_seat=false&kind=person&local=false") == ["Émile"]
    assert await names("kind=service") == []
    assert await names("deleted=true") == []


@pytest.mark.parametrize(
    "key",
    [
        "created",
        "user_name",
        "display_name",
        "email",
        "status",
        "role",
        "team",
        "source",
        "changed",
        "last_login",
    ],
)
async def test_list_is_sorted_by_each_column_page_by_page(acme: Site, api: Client, key: str) -> None:
    people = await _people(acme)
    team = await named.create(acme.door, acme.ctx, "team", "Ops")
    await set_team(acme.door, acme.ctx, people[3], named.TeamId(team.id))
    whole = {
        sort: [row["id"] for row in (await api.get(f"/users?sort={sort}")).json["items"]]
        for sort in (key, f"-{key}")
    }
    assert len(set(whole[key])) == 6
    valued = {"team": 1, "source": 5, "last_login": 1}.get(key, 6)  # the others stand last in both directions
    assert whole[f"-{key}"] == whole[key][:valued][::-1] + whole[key][valued:][::-1]
    for sort, wanted in whole.items():
        found, cursor = [], ""
        while True:
            page = (await api.get(f"/users?limit=2&sort={sort}{cursor}")).json
            found += [row["id"] for row in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert found == wanted, sort
    if key == "user_name":
        assert whole[key][1:4] == [people[4], people[2], people[0]]
    if key == "team":
        assert whole[key][0] == people[3]


async def test_export_holds_every_user(acme: Site, api: Client) -> None:
    await _people(acme)
    rows = list(csv.DictReader(io.StringIO((await api.get("/users?format=csv&limit=1")).text)))
    assert {row["display_name"] for row in rows} >= set(NAMES)
    assert {row["status"] for row in rows} == {"active"}
    assert "General" in next(row["projects"] for row in rows if row["display_name"] == "dana")


async def test_user_is_shown_by_id_with_a_tag(acme: Site, api: Client) -> None:
    (dana, *_) = await _people(acme)
    shown = await api.get(f"/users/{dana}")
    assert shown.json["email"] == "dana@acme.example"
    await set_project(
        acme.door,
        acme.ctx,
        dana,
        shown.json["projects"][0]["id"],
        "owner",  # type: ignore[arg-type]
    )
    again = await api.get(f"/users/{dana}", If_None_Match=shown.headers["ETag"])
    assert (again.status, again.json["projects"][0]["role"]) == (200, "owner")
    for name in ("dana", "dana@acme.example"):
        assert (await api.get(f"/users/{name}")).status == 404
        assert (await api.get(f"/users/{name}/explain")).status == 404


async def test_explanation_names_facts_rules_and_gates(acme: Site, api: Client) -> None:
    (dana, *_) = await _people(acme)
    await gates.disable(acme.door, acme.ctx, dana)
    found = (await api.get(f"/users/{dana}/explain")).json
    assert (found["status"], found["causes"][0].partition(":")[0]) == ("inactive", "disabled")
    assert {reason["about"].partition(":")[0] for reason in found["reasons"]} >= {"status", "project"}
    assert all(reason["fact"] and reason["why"] for reason in found["reasons"])
    assert [(grant["kind"], grant["name"], grant["dormant"]) for grant in found["grants"]] == [
        ("project", "General", True)
    ]
    (said,) = found["assertions"]
    assert (said["external_id"], said["active"], said["document"]["displayName"]) == ("e-dana", True, "dana")
    assert (found["names"][found["owner"]], found["service_owner"]) == ("okta", None)
    bot = {"user_name": "bot", "display_name": "Bot", "owner": "ops@acme.example"}
    made = (await api.post("/service-accounts", bot)).json["id"]
    assert (await api.get(f"/users/{made}/explain")).json["service_owner"] == "ops@acme.example"


async def test_history_is_the_audit_of_one_user(acme: Site, api: Client) -> None:
    dana, bo, *_ = await _people(acme)
    await gates.disable(acme.door, acme.ctx, dana)
    await gates.disable(acme.door, acme.ctx, bo)
    entries = (await api.get(f"/users/{dana}/history")).json["items"]
    assert {entry["target_id"] for entry in entries} == {dana}
    kinds = [entry["kind"] for entry in entries]
    assert kinds.index("person.disabled") < kinds.index("person.created")
    assert (await api.get("/users/nothing/history")).status == 404


async def test_strangers_characters_find_nobody(api: Client) -> None:
    for odd in ("'", "%25", "_", "\\", "%f0%9f%98%80", "%e2%80%ae"):
        assert (await api.get(f"/users?q={odd}")).json["items"] == [], odd


async def test_a_long_name_leads_to_the_next_page_all_the_same(acme: Site, api: Client) -> None:
    """A cursor holds what is sorted by, and comes back in an address."""
    source = await acme.source("okta")
    people = [{"userName": name, "displayName": f"{'𠮷' * 9_000}{name}"} for name in ("a", "b")]
    members = await acme.push(source, *people)
    await acme.group(source, "Engineering", *members)
    (project,) = (await api.get("/projects?q=engin")).json["items"]
    for path in ("/users?sort=-display_name", f"/projects/{project['id']}/members?sort=name"):
        first = (await api.get(f"{path}&limit=1")).json
        second = await api.get(f"{path}&limit=1&cursor={first['next']}")
        assert second.status == 200, path
        rows = first["items"] + second.json["items"]
        assert {row["display_name"] for row in rows} == {each["displayName"] for each in people}
