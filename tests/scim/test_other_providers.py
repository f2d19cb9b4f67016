"""What the other providers send, each in its own profile and in the default (2026-11).

JumpCloud: jumpcloud.com, "Identity Management using a Custom SCIM Integration". PingOne:
docs.pingidentity.com, "SCIM provisioning features". OneLogin: developers.onelogin.com, "SCIM", and the
bodies that public servers take from it (15five/django-scim2). Google: support.google.com/a, "Automated
user provisioning". authentik: its provider's source, authentik/providers/scim/clients. Keycloak: the
issues of its plugins, mitodl/keycloak-scim and Captain-P-Goldfish/scim-for-keycloak.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.scim.serving import Client, Installation

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


def profiles(name: str) -> Any:
    return pytest.mark.parametrize("profile", [name, "default"])


async def client_of(scimd: Installation, profile: str) -> Client:
    return await scimd.client(await scimd.organization("acme"), profile=profile)


def person(name: str, **more: Any) -> dict[str, Any]:
    return {
        "schemas": [USER],
        "userName": f"{name}@example.com",
        "name": {"givenName": name.title(), "familyName": "Doe"},
        "emails": [{"value": f"{name}@example.com", "type": "work", "primary": True}],
        "active": True,
        **more,
    }


async def members_of(client: Client, group_id: str) -> list[str]:
    return [each["value"] for each in (await client.get(f"/Groups/{group_id}")).json.get("members", [])]


async def look_up(client: Client, path: str, text: str) -> dict[str, Any]:
    found = await client.get(path, params={"filter": text, "startIndex": "1", "count": "1"})
    assert found.status == 200
    return dict(found.json)


@profiles("jumpcloud")
async def test_jumpcloud_tries_a_user_and_a_group_and_removes_members_by_value(
    scimd: Installation, profile: str
) -> None:
    client = await client_of(scimd, profile)
    assert (await client.get("/Users", params={"startIndex": "1", "count": "1"})).status == 200
    assert (await look_up(client, "/Users", 'userName eq "test@example.com"'))["totalResults"] == 0
    test = (await client.post("/Users", person("test", externalId="5f0c7b3e6f0e4f519a0e2f4a"))).json
    group = (await client.post("/Groups", {"schemas": [GROUP], "displayName": "test", "members": []})).json
    for path in (f"/Groups/{group['id']}", f"/Users/{test['id']}"):
        assert (await client.delete(path)).status == 204
    dana = (await client.post("/Users", person("dana"))).json
    erin = (await client.post("/Users", person("erin"))).json
    team = (await client.post("/Groups", {"schemas": [GROUP], "displayName": "Team"})).json["id"]
    for each in (dana, erin):
        added = await client.patch(
            f"/Groups/{team}", {"op": "add", "path": "members", "value": [{"value": each["id"]}]}
        )
        assert added.status == 204
    removed = await client.patch(
        f"/Groups/{team}", {"op": "remove", "path": "members", "value": [{"value": dana["id"]}]}
    )
    assert removed.status == 204
    assert await members_of(client, team) == [erin["id"]]
    fields = await client.patch(
        f"/Users/{erin['id']}",
        {"op": "replace", "path": "name.givenName", "value": "John"},
        {"op": "replace", "path": "name.familyName", "value": "Smith"},
        {"op": "replace", "path": "active", "value": False},
    )
    assert (fields.json["name"], fields.json["active"]) == (
        {"givenName": "John", "familyName": "Smith"},
        False,
    )


@profiles("ping")
async def test_pingone_overwrites_by_put_and_merges_by_patch(scimd: Installation, profile: str) -> None:
    client = await client_of(scimd, profile)
    text = 'userName eq "dana@example.com" or emails.value eq "dana@example.com"'
    assert (await look_up(client, "/Users", text))["totalResults"] == 0
    dana = (await client.post("/Users", person("dana", title="Engineer"))).json
    assert (await look_up(client, "/Users", text))["Resources"][0]["id"] == dana["id"]
    put = await client.put(f"/Users/{dana['id']}", {**person("dana"), "id": dana["id"]})
    assert (put.status, "title" in put.json) == (200, False)
    erin = (await client.post("/Users", person("erin"))).json
    team = (await client.group("Team", dana["id"]))["id"]
    merged = {"op": "add", "path": "members", "value": [{"value": erin["id"]}]}
    assert (await client.patch(f"/Groups/{team}", merged)).status == 204
    assert set(await members_of(client, team)) == {dana["id"], erin["id"]}
    overwritten = {"schemas": [GROUP], "displayName": "Team", "members": [{"value": erin["id"]}]}
    assert (await client.put(f"/Groups/{team}", overwritten)).status == 200
    assert await members_of(client, team) == [erin["id"]]
    off = await client.put(f"/Users/{erin['id']}", person("erin", active=False))
    assert off.json["active"] is False


@profiles("onelogin")
async def test_onelogin_sends_one_mail_as_an_object_and_replaces_by_patch(
    scimd: Installation, profile: str
) -> None:
    client = await client_of(scimd, profile)
    body = {**person("dana"), "emails": {"value": "dana@example.com", "primary": True}}
    made = await client.post("/Users", body)
    assert (made.status, made.json["emails"]) == (201, [{"value": "dana@example.com", "primary": True}])
    path = f"/Users/{made.json['id']}"
    changed = await client.patch(
        path, {"op": "replace", "value": {"userName": "d@example.com", "active": True}}
    )
    assert changed.json["userName"] == "d@example.com"
    team = (await client.group("Team"))["id"]
    for op, wanted in (("add", [made.json["id"]]), ("remove", [])):
        path_ = "members" if op == "add" else f'members[value eq "{made.json["id"]}"]'
        value = {"value": [{"value": made.json["id"]}]} if op == "add" else {}
        assert (await client.patch(f"/Groups/{team}", {"op": op, "path": path_, **value})).status == 204
        assert await members_of(client, team) == wanted
    assert (await client.delete(path)).status == 204


@profiles("google")
async def test_google_probes_creates_suspends_and_deletes(scimd: Installation, profile: str) -> None:
    client = await client_of(scimd, profile)
    assert (await client.get("/Users", params={"count": "1"})).status == 200
    assert (await look_up(client, "/Users", 'userName eq "dana@example.com"'))["Resources"] == []
    dana = (await client.post("/Users", person("dana", externalId="117"))).json
    path = f"/Users/{dana['id']}"
    suspended = await client.patch(path, {"op": "replace", "path": "active", "value": False})
    assert suspended.json["active"] is False
    again = await client.put(path, person("dana", externalId="117"))
    assert again.json["active"] is True
    assert (await client.delete(path)).status == 204


@profiles("onelogin")
async def test_onelogins_template_as_its_customers_paste_it(scimd: Installation, profile: str) -> None:
    """``onelogin.manager-id``: SCIM 1.1's manager; active as text, no id, fields without a value."""
    client = await client_of(scimd, profile)
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    body = {
        **person("dana", active="true", id=None, meta={"resourceType": "User"}, title=""),
        enterprise: {"department": "R&D", "manager": {"managerId": "26118915", "displayName": "Boss B"}},
    }
    made = (await client.post("/Users", body)).json
    assert (made["active"], made[enterprise]["manager"]["value"]) == (True, "26118915")
    body[enterprise]["manager"] = {"managerId": "", "displayName": " "}
    put = await client.put(f"/Users/{made['id']}", body)
    assert (put.status, put.json[enterprise]) == (200, {"department": "R&D"})
    old = {"schemas": ["urn:scim:schemas:core:1.0"], "userName": "erin", "name": {"givenName": "Erin"}}
    assert (await client.post("/Users", old)).status == 201


@profiles("ping")
async def test_pings_two_primaries_are_one_and_its_filters_are_read(
    scimd: Installation, profile: str
) -> None:
    """Both of two addresses marked as primary; the look-ups that its connectors begin with."""
    client = await client_of(scimd, profile)
    mails = [
        {"value": "dana@example.com", "type": kind, "primary": primary}
        for kind, primary in (("work", True), ("home", "true"))
    ]
    made = (await client.post("/Users", {**person("dana"), "emails": mails})).json
    assert [each.get("primary") for each in made["emails"]] == [True, None]
    assert [each["value"] for each in made["emails"]] == ["dana@example.com"] * 2
    for text in ('username Eq "dana@example.com"', 'emails eq "dana@example.com"'):
        assert (await look_up(client, "/Users", text))["Resources"][0]["id"] == made["id"]


@profiles("ping")
async def test_pings_sdk_names_members_within_members(scimd: Installation, profile: str) -> None:
    """``ping.members-within-members``: ``setRemoveOpValue(members, true)`` of pingidentity/scim2."""
    client = await client_of(scimd, profile)
    dana, erin = [(await client.user(name))["id"] for name in ("dana", "erin")]
    team = f"/Groups/{(await client.group('Team', dana, erin))['id']}"
    steps: list[tuple[str, str, Any, set[str]]] = [
        ("remove", "members", [], {dana, erin}),
        ("remove", "members", [{"value": dana}], {erin}),
        ("add", "Members", {"value": dana}, {dana, erin}),
        ("replace", f"{GROUP}:members", [{"value": dana}], {dana}),
    ]
    for op, path, within, wanted in steps:
        reply = await client.patch(team, {"op": op, "path": path, "value": {"members": within}})
        assert (reply.status, set(await members_of(client, team[8:]))) == (204, wanted)
    strict = await scimd.client(await scimd.organization("other"), profile="rfc")
    other = (await strict.post("/Groups", {"schemas": [GROUP], "displayName": "T"})).json["id"]
    for one, path, within in ((client, team, None), (strict, f"/Groups/{other}", [{"value": dana}])):
        refused = await one.patch(path, {"op": "remove", "path": "members", "value": {"members": within}})
        assert (refused.status, refused.scim_type) == (400, "invalidValue")
    assert await members_of(client, team[8:]) == [dana]


@profiles("jumpcloud")
async def test_jumpcloud_adds_again_whoever_is_there(scimd: Installation, profile: str) -> None:
    """Infisical/infisical#2138: repeated adds are no fault, and no change."""
    client = await client_of(scimd, profile)
    dana = await client.user("dana")
    team = (await client.group("Team"))["id"]
    add = {"op": "add", "path": "members", "value": [{"value": dana["id"]}]}
    tags = [(await client.patch(f"/Groups/{team}", add)).headers["ETag"] for _ in range(3)]
    assert (len(set(tags)), await members_of(client, team)) == (1, [dana["id"]])


@profiles("google")
async def test_google_looks_up_without_a_count(scimd: Installation, profile: str) -> None:
    """grokability/snipe-it#12642: a filter and startIndex, no count."""
    client = await client_of(scimd, profile)
    dana = await client.user("dana@example.com")
    query = {"filter": 'userName eq "dana@example.com"', "startIndex": "1"}
    found = (await client.get("/Users", params=query)).json
    assert (found["totalResults"], found["Resources"][0]["id"]) == (1, dana["id"])


@profiles("authentik")
async def test_authentik_patches_whole_groups_and_members_one_by_one(
    scimd: Installation, profile: str
) -> None:
    client = await client_of(scimd, profile)
    config = (await client.get("/ServiceProviderConfig")).json
    assert config["patch"]["supported"]
    chunk = config["bulk"]["maxOperations"]
    dana = (await client.post("/Users", person("dana", externalId="7c1f"))).json
    put = await client.put(
        f"/Users/{dana['id']}", person("dana", externalId="7c1f", id=dana["id"], title="x")
    )
    assert (put.status, put.json["title"]) == (200, "x")
    body = {"schemas": [GROUP], "displayName": "Team", "externalId": "e0d3bf3b"}
    made = await client.post("/Groups", body)
    twice = await client.post("/Groups", body)
    assert (made.status, twice.status) == (201, 409)
    assert (await look_up(client, "/Groups", 'displayName eq "Team"'))["Resources"][0]["id"] == made.json[
        "id"
    ]
    team = made.json["id"]
    add = {"op": "add", "path": "members", "value": [{"value": dana["id"]}]}
    assert (await client.patch(f"/Groups/{team}", *[add] * chunk)).status == 204
    whole = {**body, "displayName": "Crew", "id": team}
    renamed = await client.patch(f"/Groups/{team}", {"op": "replace", "path": None, "value": whole})
    assert renamed.status == 204
    read = (await client.get(f"/Groups/{team}")).json
    assert (read["displayName"], read["externalId"]) == ("Crew", "e0d3bf3b")
    assert await members_of(client, team) == [dana["id"]]
    gone = {"op": "remove", "path": "members", "value": [{"value": dana["id"]}]}
    assert (await client.patch(f"/Groups/{team}", gone)).status == 204
    assert await members_of(client, team) == []


async def test_keycloak_sends_its_own_id_as_id(scimd: Installation) -> None:
    """scim-for-keycloak#132, before 2.4.1; scimd gives an id of its own and matches by Keycloak's."""
    client = await client_of(scimd, "keycloak")
    own = "48ac54b1-d582-493e-95d1-4c077dd57e9c"
    made = (await client.post("/Groups", {"schemas": [GROUP], "id": own, "displayName": "Engineering"})).json
    assert (made["externalId"], made["id"] == own) == (own, False)
    named = (await client.post("/Users", person("dana", id=own, externalId="x-1"))).json
    assert named["externalId"] == "x-1", "an externalId that is sent stands"


@profiles("keycloak")
async def test_keycloak_puts_whole_objects_with_id_and_members(scimd: Installation, profile: str) -> None:
    """mitodl/keycloak-scim: PUT with id, externalId and members, for users and groups."""
    client = await client_of(scimd, profile)
    dana = (await client.post("/Users", person("dana", externalId="4affcc8f"))).json
    team = (
        await client.post("/Groups", {"schemas": [GROUP], "externalId": "bbaf", "displayName": "foo"})
    ).json
    body = {"schemas": [GROUP], "id": team["id"], "externalId": "bbaf", "displayName": "foo2"}
    put = await client.put(f"/Groups/{team['id']}", {**body, "members": [{"value": dana["id"]}]})
    assert (put.status, put.json["displayName"]) == (200, "foo2")
    assert await members_of(client, team["id"]) == [dana["id"]]
    bare = await client.put(f"/Groups/{team['id']}", body)
    assert (bare.status, bare.json["members"]) == (200, []), "absent is cleared (RFC 7644 §3.5.1)"


async def test_keycloaks_plugins_are_answered_with_the_group(scimd: Installation) -> None:
    """Captain-P-Goldfish/SCIM-SDK#519: 204 was a failure to it; keycloak-scim2-storage reads a body."""
    client = await client_of(scimd, "keycloak")
    dana, team = await client.user("dana"), await client.group("Team")
    add = {"op": "add", "path": "members", "value": [{"value": dana["id"]}]}
    reply = await client.patch(f"/Groups/{team['id']}", add)
    assert (reply.status, [each["value"] for each in reply.json["members"]]) == (200, [dana["id"]])


@pytest.mark.parametrize(
    "name",
    [
        "ak473785003",
        "007",
        "4711",
        "1e5",
        "dana.d-d_d+x@example.com",
        "Jürgen",
        "o'brien@x.org",
        "Dana Scully",
        "'t Hart",
        "Or Cohen",
        "true story",
        "R&D (EMEA) [x] / # = ! % : , ;",
        "x\\y",
        "Research and Development",
        "Sales and (EMEA) or none",
        "dana ",
        "  dana\t",
    ],
)
async def test_authentik_looks_up_without_quotes(scimd: Installation, name: str) -> None:
    """goauthentik/authentik#16455, #16677: after a 409, up to version 2025.8.1."""
    client = await client_of(scimd, "authentik")
    dana = await client.user(name)
    # Two may differ by a space at an end alone; to find the other one would be to take them over.
    for other in ("other", f"{name} ", f" {name}"):
        await client.user(other)
    assert (await client.post("/Users", person("x", userName=name))).status == 409
    written = name.replace("\\", "\\\\").replace("\t", "\\t")
    for text in (f"userName eq {name}", f"{USER}:userName  EQ {name}", f'userName eq "{written}"'):
        found = (await client.get("/Users", params={"filter": text})).json
        assert [each["id"] for each in found["Resources"]] == [dana["id"]], text
        found = (await client.post("/Users/.search", {"filter": text})).json
        assert [each["id"] for each in found["Resources"]] == [dana["id"]], text


@profiles("authentik")
async def test_authentik_looks_up_groups_without_quotes(scimd: Installation, profile: str) -> None:
    client = await client_of(scimd, profile)
    admins = await client.group("authentik Admins")
    await client.group("authentik")
    for text in ("displayName eq authentik Admins", f"{GROUP}:displayName eq authentik Admins"):
        for found in (
            await client.get("/Groups", params={"filter": text}),
            await client.post("/Groups/.search", {"filter": text}),
            await client.post("/.search", {"filter": text}),
        ):
            assert [each["id"] for each in found.json["Resources"]] == [admins["id"]], text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("active eq true", (200, 1)),
        ("active eq  true ", (200, 1)),
        ("userName eq null", (200, 0)),
        ("userName eq null or title pr", (200, 0)),
        ("userName eq a b", (200, 0)),
        ("userName eq dana or dana", (200, 0)),
        ('userName eq dana"', (400, "invalidFilter")),
        ('userName eq "dana" scully', (400, "invalidFilter")),
        ("userName eq 'dana'", (400, "invalidFilter")),
        ("userName co dana", (400, "invalidFilter")),
        ("(userName eq dana)", (400, "invalidFilter")),
        ("userName eq dana or active eq true", (400, "invalidFilter")),
        ("userName eq dana Or\t(active eq true)", (400, "invalidFilter")),
        ("userName eq dana and(title pr)", (400, "invalidFilter")),
        ("userName eq dana && active eq true", (400, "invalidFilter")),
        ("userName eq dana and", (400, "invalidFilter")),
        ("userName eq dana or not (title pr)", (400, "invalidFilter")),
        ("userName eq Research and dana or emails[type pr]", (400, "invalidFilter")),
        ("userName eq true", (400, "invalidFilter")),
        ("active eq dana scully", (400, "invalidFilter")),
        ("nosuch eq dana", (400, "invalidFilter")),
    ],
)
async def test_authentiks_other_filters_are_read_as_they_are(
    scimd: Installation, text: str, answer: tuple[int, Any]
) -> None:
    client = await client_of(scimd, "authentik")
    await client.user("dana")
    reply = await client.get("/Users", params={"filter": text})
    told = reply.json["totalResults"] if reply.status == 200 else reply.scim_type
    assert (reply.status, told) == answer


@pytest.mark.parametrize("profile", ["authentik", "default", "rfc"])
async def test_group_without_members_has_an_empty_list(scimd: Installation, profile: str) -> None:
    """goauthentik/authentik#23950: its sync compares with ``members``; without them it adds nobody."""
    client = await client_of(scimd, profile)
    body = {"schemas": [GROUP], "displayName": "Team"}
    made = (await client.post("/Groups", body)).json
    path = f"/Groups/{made['id']}"
    shown = [made, (await client.put(path, body)).json, (await client.get(path)).json]
    shown += (await client.get("/Groups")).json["Resources"]
    shown += [
        (await client.get(path, params={"attributes": name})).json for name in ("members", "members.value")
    ]
    shown += [(await client.get(path, params={"excludedAttributes": "displayName"})).json]
    assert [each.get("members") for each in shown] == [[]] * 7
    for query in ({"excludedAttributes": "members"}, {"attributes": "displayName"}):
        assert "members" not in (await client.get(path, params=query)).json
        assert "members" not in (await client.get("/Groups", params=query)).json["Resources"][0]
