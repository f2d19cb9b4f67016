"""/Bulk over HTTP: RFC 7644 §3.7."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, USER_URN
from scimd.scim import bulk as endpoint
from scimd.scim import users
from scimd.scim.bulk import in_order, read, tell_rings
from scimd.scim.documents import PATCH_URN
from scimd.scim.exchange import Exchange
from tests.scim.serving import BASE, Client, Installation, Reply, installed

REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"


def body(*operations: Any, stop: int | None = None) -> dict[str, Any]:
    more = {} if stop is None else {"failOnErrors": stop}
    return {"schemas": [REQUEST], "Operations": list(operations), **more}


def post(bulk_id: str, kind: str = "Users", **data: Any) -> dict[str, Any]:
    named = {"userName": bulk_id} if kind == "Users" else {"displayName": bulk_id}
    return {"method": "POST", "path": f"/{kind}", "bulkId": bulk_id, "data": {**named, **data}}


def group(bulk_id: str, *members: str) -> dict[str, Any]:
    return post(bulk_id, "Groups", members=[{"value": f"bulkId:{each}"} for each in members])


async def bulk(client: Client, *operations: Any, stop: int | None = None) -> list[dict[str, Any]]:
    reply = await client.post("/Bulk", body(*operations, stop=stop))
    assert reply.status == 200, reply.raw
    assert reply.json["schemas"] == [RESPONSE]
    return list(reply.json["Operations"])


def statuses(results: list[dict[str, Any]]) -> list[str]:
    return [each["status"] for each in results]


def ids(results: list[dict[str, Any]]) -> dict[str, str]:
    return {each["bulkId"]: each["location"].rpartition("/")[2] for each in results if "location" in each}


async def members(client: Client, group_id: str) -> set[str]:
    found = (await client.get(f"/Groups/{group_id}")).json
    return {each["value"] for each in found.get("members", ())}


async def test_each_method_is_done_and_told_as_alone(idp: Client) -> None:
    one, two, three = [await idp.user(name) for name in ("one", "two", "three")]
    results = await bulk(
        idp,
        post("new"),
        {"method": "PUT", "path": f"/Users/{one['id']}", "data": {"userName": "uno"}},
        {
            "method": "PATCH",
            "path": f"/Users/{two['id']}",
            "data": {"Operations": [{"op": "replace", "path": "title", "value": "CTO"}]},
        },
        {"method": "DELETE", "path": f"/Users/{three['id']}", "bulkId": "gone"},
    )
    assert statuses(results) == ["201", "200", "200", "204"]
    assert [each["method"] for each in results] == ["POST", "PUT", "PATCH", "DELETE"]
    made = (await idp.get(f"/Users/{ids(results[:1])['new']}")).json
    assert results[0] == {
        "method": "POST",
        "bulkId": "new",
        "version": made["meta"]["version"],
        "location": made["meta"]["location"],
        "status": "201",
    }
    assert results[1]["location"] == f"{BASE}/Users/{one['id']}"
    assert results[3]["bulkId"] == "gone"
    assert (await idp.get(f"/Users/{one['id']}")).json["userName"] == "uno"
    assert (await idp.get(f"/Users/{two['id']}")).json["title"] == "CTO"
    assert (await idp.get(f"/Users/{three['id']}")).status == 404


async def test_bulk_ids_resolve_in_any_order(idp: Client) -> None:
    """§3.7.2: also before what they name, in a path, in the filter of a PATCH's path."""
    patch = {"Operations": [{"op": "add", "path": "members", "value": [{"value": "bulkId:late"}]}]}
    shrink = {"Operations": [{"op": "remove", "path": 'members[value eq "bulkId:ann"]'}]}
    results = await bulk(
        idp,
        group("team", "ann", "bob"),
        {"method": "PATCH", "path": "/Groups/bulkId:team", "data": patch},
        {"method": "PATCH", "path": "/Groups/bulkId:team", "data": shrink},
        post("bob", **{ENTERPRISE_URN: {"manager": {"value": "bulkId:ann"}}}),
        post("ann"),
        post("late"),
    )
    assert statuses(results) == ["201", "204", "204", "201", "201", "201"]
    made = ids([each for each in results if "bulkId" in each])
    assert await members(idp, made["team"]) == {made["bob"], made["late"]}
    bob = (await idp.get(f"/Users/{made['bob']}")).json
    assert bob[ENTERPRISE_URN]["manager"]["value"] == made["ann"]


async def test_a_bulk_id_goes_to_the_end_of_its_path(idp: Client) -> None:
    """Nextcloud makes them of names: ``Group:R&D/Lab``."""
    add = {"Operations": [{"op": "add", "path": "members", "value": [{"value": "bulkId:User:a/b"}]}]}
    results = await bulk(
        idp,
        group("Group:R&D/Lab/2"),
        post("User:a/b", userName="ann"),
        {"method": "PATCH", "path": "/Groups/bulkId:Group:R&D/Lab/2", "data": add},
        {"method": "PATCH", "path": "Groups/bulkId:Group:R%26D%2FLab%2F2", "data": add},
        {"method": "DELETE", "path": "/Users/bulkId:User:a/c"},
    )
    assert statuses(results) == ["201", "201", "204", "204", "400"]
    made = ids(results[:2])
    assert await members(idp, made["Group:R&D/Lab/2"]) == {made["User:a/b"]}


@pytest.mark.parametrize("name", ["dana%40x.org", "50%ff", "a%2Fb", "100%", "Why? #1"])
async def test_a_bulk_id_is_found_as_it_was_made_and_percent_encoded(idp: Client, name: str) -> None:
    rename = {"Operations": [{"op": "replace", "path": "title", "value": "Boss"}]}
    paths = (
        f"/Users/bulkId:{name}",
        f"/Users/bulkId:{quote(name, safe='')}",
        f"Users/bulkId%3A{quote(name)}",
    )
    results = await bulk(
        idp,
        post(name, userName="ann"),
        *({"method": "PATCH", "path": path, "data": rename} for path in paths),
    )
    assert statuses(results) == ["201", "200", "200", "200"]


async def test_rings_of_bulk_ids_are_closed(idp: Client) -> None:
    """§3.7.1: groups that hold each other, people who manage each other."""
    results = await bulk(
        idp,
        group("a", "b", "ann"),
        group("b", "a", "bob"),
        post("ann", **{ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "bulkId:bob"}}}),
        post("bob", **{ENTERPRISE_URN: {"manager": {"value": "bulkId:ann"}}}),
    )
    assert statuses(results) == ["201"] * 4
    made = ids(results)
    assert await members(idp, made["a"]) == {made["b"], made["ann"]}
    assert await members(idp, made["b"]) == {made["a"], made["bob"]}
    ann, bob = [(await idp.get(f"/Users/{made[name]}")).json for name in ("ann", "bob")]
    assert ann[ENTERPRISE_URN] == {"department": "R&D", "manager": {"value": made["bob"]}}
    assert bob[ENTERPRISE_URN]["manager"]["value"] == made["ann"]
    for each, found in zip(results[2:], (ann, bob), strict=True):
        assert each["version"].partition("-")[0] == found["meta"]["version"].partition("-")[0]


async def test_what_names_a_failed_or_missing_bulk_id_fails_by_name(idp: Client) -> None:
    results = await bulk(idp, group("g", "bad"), post("bad", userName=""), group("h", "nobody"), post("ok"))
    assert statuses(results) == ["409", "400", "400", "201"]
    assert "'bad'" in results[0]["response"]["detail"]
    assert "'nobody'" in results[2]["response"]["detail"]
    assert [each["response"]["status"] for each in results[:3]] == statuses(results[:3])
    assert (await idp.get("/Groups")).json["totalResults"] == 0


@pytest.mark.parametrize("turn", [1, -1])
async def test_ring_is_made_without_what_of_it_fails(idp: Client, turn: int) -> None:
    """§3.7.1. The answer does not depend on the order; what is in no ring is not made (409)."""
    broken = post("a", "Groups", displayName="", members=[{"value": "bulkId:b"}])
    results = await bulk(idp, *[broken, group("b", "a", "c"), group("c", "b"), group("d", "a")][::turn])
    assert statuses(results[::turn]) == ["400", "201", "201", "409"]
    made = ids(results)
    assert made.keys() == {"b", "c"}
    assert await members(idp, made["b"]) == {made["c"]}
    assert await members(idp, made["c"]) == {made["b"]}
    assert (await idp.get("/Groups")).json["totalResults"] == 2


def manager(bulk_id: str, **more: Any) -> dict[str, Any]:
    return {ENTERPRISE_URN: {"manager": {"value": f"bulkId:{bulk_id}", **more}}}


def patch(path: str, *operations: dict[str, Any]) -> dict[str, Any]:
    return {"method": "PATCH", "path": path, "data": {"schemas": [PATCH_URN], "Operations": list(operations)}}


@pytest.mark.parametrize("profile", ["default", "rfc"])
async def test_what_follows_a_ring_is_done_to_it_whole(scimd: Installation, profile: str) -> None:
    """Deactivations, new names and members stand, wherever in the request they were sent."""
    client = await scimd.client(await scimd.organization("acme"), profile=profile)
    user, group_ = {"schemas": [USER_URN, ENTERPRISE_URN]}, {"schemas": [GROUP_URN]}
    off = {"op": "replace", "path": "active", "value": False}
    rename = {"op": "replace", "path": "displayName", "value": "Renamed"}
    more = {"op": "add", "path": "members", "value": [{"value": "bulkId:1"}]}
    operations = [
        patch("/Users/bulkId:2", off),
        post("1", **user, **manager("2")),
        post("2", **user, **manager("1")),
        post("self", **user, **manager("self")),
        patch("/Users/bulkId:self", {"op": "add", "path": "title", "value": "CEO"}),
        group("a", "b"),
        group("b", "a"),
        patch("/Groups/bulkId:b", rename, more),
        group("x", "y"),
        group("y", "x"),
        {"method": "DELETE", "path": "/Groups/bulkId:y"},
    ]
    for each in operations:
        if each["path"] == "/Groups":
            each["data"] |= group_
        elif each["method"] == "PATCH":
            each["data"]["schemas"] = [PATCH_URN]
    reply = await client.post("/Bulk", body(*operations))
    results = reply.json["Operations"]
    assert {each["status"] for each in results if each["method"] == "POST"} == {"201"}
    assert results[-1]["status"] == "204"
    made = ids([each for each in results if "bulkId" in each])
    one, two, own = [(await client.get(f"/Users/{made[name]}")).json for name in ("1", "2", "self")]
    assert (one["active"], two["active"], own["title"]) == (True, False, "CEO")
    managers = [each[ENTERPRISE_URN]["manager"]["value"] for each in (one, two, own)]
    assert managers == [made["2"], made["1"], made["self"]]
    renamed = (await client.get(f"/Groups/{made['b']}")).json
    assert renamed["displayName"] == "Renamed"
    assert await members(client, made["b"]) == {made["a"], made["1"]}
    assert await members(client, made["a"]) == {made["b"]}
    assert await members(client, made["x"]) == set()


async def test_filling_in_leaves_what_another_request_said(
    idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed between a POST and the end of its ring stays so."""
    urn = f"{ENTERPRISE_URN}:manager"
    changes = iter([
        {"op": "add", "value": {"active": False, f"{ENTERPRISE_URN}:department": "R&D"}},
        {"op": "add", "path": urn, "value": {"value": "another"}},
    ])  # fmt: skip

    async def after_another(ex: Exchange) -> web.Response:
        assert (await idp.patch(f"/Users/{ex.id}", next(changes))).status == 200
        return await users.fill_in(ex)

    monkeypatch.setitem(endpoint._FILL_IN, "Users", after_another)
    results = await bulk(idp, *(post(one, **manager(other)) for one, other in ("ab", "ba", "cd", "dc")))
    assert statuses(results) == ["201"] * 4
    made = ids(results)
    found = {name: (await idp.get(f"/Users/{made[name]}")).json for name in "abcd"}
    assert found["b"]["active"] is False
    assert found["b"][ENTERPRISE_URN] == {"department": "R&D", "manager": {"value": made["a"]}}
    assert found["d"][ENTERPRISE_URN] == {"manager": {"value": "another"}}
    versions = [each["version"].partition("-")[0] for each in results]
    assert versions == [each["meta"]["version"].partition("-")[0] for each in found.values()]


async def test_refused_filling_in_tells_what_was_made(idp: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def after_its_end(ex: Exchange) -> web.Response:
        assert (await idp.delete(f"/Users/{ex.id}")).status == 204
        return await users.fill_in(ex)

    monkeypatch.setitem(endpoint._FILL_IN, "Users", after_its_end)
    (result,) = await bulk(idp, post("a", **manager("a")))
    assert (result["status"], result["response"]["status"]) == ("404", "404")
    assert result["location"].startswith(f"{BASE}/Users/")
    assert result["response"]["detail"].startswith("It was made without what it names of this request. ")


async def test_version_of_a_post_asks_for_nothing(idp: Client) -> None:
    """In a ring as without one: there is no version yet."""
    (result,) = await bulk(idp, {**post("a", **manager("a")), "version": 'W/"7"'})
    user = (await idp.get(f"/Users/{ids([result])['a']}")).json
    assert (result["status"], user[ENTERPRISE_URN]["manager"]["value"]) == ("201", user["id"])


async def test_bulk_ids_stand_only_where_resources_are_named(idp: Client) -> None:
    """§3.7.2: in ``$ref`` too, and in paths; any other text is as it was sent, and named by nobody."""
    title = {"op": "replace", "path": "title", "value": "bulkId:nobody"}
    bare = {"op": "add", "value": {f"{ENTERPRISE_URN}:manager.value": "bulkId:m"}}
    results = await bulk(
        idp,
        post("e", title="bulkId:m", nickName="bulkId:none", **manager("m", **{"$ref": "../Users/bulkId:m"})),
        post("m", **manager("e", **{"$ref": "../Users/bulkId:e"})),
        post("p"),
        patch("/Users/bulkId:p", title, bare, {"op": "add", "path": "nickName", "value": "bulkId:m"}),
        group("g", "e", "m", "p"),
        patch("/Groups/bulkId:g", {"op": "remove", "path": f'members[$ref eq "{BASE}/Users/bulkId:e"]'}),
        patch("/Groups/bulkId:g", {"op": "remove", "path": 'members[value eq "bulkId:m"]'}),
    )
    assert statuses(results) == ["201", "201", "201", "200", "201", "204", "204"]
    made = ids([each for each in results if "bulkId" in each])
    e, m, p = [(await idp.get(f"/Users/{made[name]}")).json for name in "emp"]
    assert (e["title"], e["nickName"]) == ("bulkId:m", "bulkId:none")
    assert e[ENTERPRISE_URN]["manager"] == {"value": made["m"], "$ref": f"../Users/{made['m']}"}
    assert m[ENTERPRISE_URN]["manager"] == {"value": made["e"], "$ref": f"../Users/{made['e']}"}
    assert (p["title"], p["nickName"]) == ("bulkId:nobody", "bulkId:m")
    assert p[ENTERPRISE_URN]["manager"]["value"] == made["m"]
    assert await members(idp, made["g"]) == {made["p"]}


async def test_bulk_ids_stand_in_other_forms_of_members_and_managers(idp: Client) -> None:
    """``ping.members-within-members``, ``onelogin.manager-id``."""
    within = {"op": "add", "path": "members", "value": {"members": [{"value": "bulkId:m"}]}}
    boss = {ENTERPRISE_URN: {"manager": {"managerId": "bulkId:m"}}}
    results = await bulk(idp, post("m"), post("e", **boss), group("g"), patch("/Groups/bulkId:g", within))
    assert statuses(results) == ["201", "201", "201", "204"]
    made = ids(results[:3])
    assert await members(idp, made["g"]) == {made["m"]}
    found = (await idp.get(f"/Users/{made['e']}")).json
    assert found[ENTERPRISE_URN]["manager"]["value"] == made["m"]


async def test_path_is_read_as_that_of_a_request(idp: Client) -> None:
    there = (await idp.user("there"))["id"]
    made = [{**post(f"u{n}"), "path": path} for n, path in enumerate(("/users", "USERS/", "%55sers"))]
    results = await bulk(
        idp,
        *made,
        {"method": "DELETE", "path": f"/users/%{ord(there[0]):x}{there[1:]}"},
        {"method": "DELETE", "path": "/users/a%2Fb"},
        {"method": "DELETE", "path": "/Users/%ff"},
    )
    assert statuses(results) == ["201", "201", "201", "204", "404", "400"]
    told = [f"{BASE}/Users/{there}", f"{BASE}/Users/a%2Fb", None]
    assert [each.get("location") for each in results[3:]] == told


async def test_location_is_told_of_what_names_a_resource_alone(idp: Client) -> None:
    """§3.7: a path is relative to the base; an absolute one is refused, and is no part of an address."""
    there = (await idp.user("there"))["id"]
    paths = (f"/Users/{there}", f"{BASE}/Users/{there}", "/Users", "/Users/.search", f"/Users/{there}/name")
    sent = ({"method": "PUT", "path": path, "data": {"userName": ""}} for path in paths)
    results = await bulk(idp, *sent)
    assert statuses(results) == ["400", "400", "405", "400", "404"]
    assert [each.get("location") for each in results] == [f"{BASE}/Users/{there}", None, None, None, None]


async def test_error_is_told_whole_and_the_rest_goes_on(idp: Client) -> None:
    """§3.7.3, without failOnErrors."""
    await idp.user("taken")
    results = await bulk(idp, post("x", userName="taken"), post("y"))
    assert statuses(results) == ["409", "201"]
    assert "location" not in results[0]
    assert results[0]["response"]["scimType"] == "uniqueness"
    assert results[0]["response"]["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


@pytest.mark.parametrize(("stop", "told"), [(1, 2), (2, 4), (9, 5), (0, 5)])
async def test_fail_on_errors_leaves_the_rest_undone(idp: Client, stop: int, told: int) -> None:
    """§3.7.3."""
    bad = {"method": "DELETE", "path": "/Users/nobody"}
    results = await bulk(idp, post("a"), bad, post("b"), bad, post("c"), stop=stop)
    assert len(results) == told
    there = (await idp.get("/Users")).json["totalResults"]
    assert there == sum(each["status"] == "201" for each in results)


async def test_version_of_an_operation_is_its_if_match(idp: Client) -> None:
    user = await idp.user("dana")
    path = f"/Users/{user['id']}"
    put = {"method": "PUT", "path": path, "data": {"userName": "dana", "title": "CTO"}}
    stale = {"method": "DELETE", "path": path, "version": user["meta"]["version"]}
    results = await bulk(idp, {**put, "version": user["meta"]["version"]}, stale)
    assert statuses(results) == ["200", "412"]
    assert results[1]["location"] == f"{BASE}{path}"
    # What the request's own header says is about the bulk request, and so about none of these.
    reply = await idp.post("/Bulk", body({**put}), headers={"If-Match": 'W/"0"'})
    assert statuses(reply.json["Operations"]) == ["200"]


MALFORMED: list[tuple[Any, str]] = [
    ("text", "400"),
    ({}, "400"),
    ({"method": "GET", "path": "/Users"}, "400"),
    ({"method": "POST", "path": "/Users", "data": {"userName": "x"}}, "400"),
    ({"method": "POST", "path": "/Users", "bulkId": "x"}, "400"),
    ({"method": "POST", "path": "/Users", "bulkId": "y", "data": []}, "400"),
    ({"method": "POST", "bulkId": "z", "data": {}}, "400"),
    ({"method": "POST", "path": "/Bulk", "bulkId": "x0", "data": {"Operations": []}}, "400"),
    ({"method": "POST", "path": "/Users/.search", "bulkId": "x1", "data": {}}, "400"),
    ({"method": "POST", "path": "/Schemas", "bulkId": "x2", "data": {}}, "400"),
    ({"method": "PUT", "path": "/Users", "data": {}}, "405"),
    ({"method": "DELETE", "path": "/Users/a/b"}, "404"),
    ({"method": "DELETE", "path": "/Users/bulkId:none"}, "400"),
    ({"method": "PATCH", "path": "/Users/x", "data": {"Operations": []}}, "404"),
    ({"method": "DELETE", "path": "/Users/x", "version": 7}, "400"),
]


async def test_operation_that_cannot_be_read_fails_alone(idp: Client) -> None:
    """§3.7; a bulk request inside a bulk request is refused."""
    results = await bulk(idp, *(each for each, _ in MALFORMED), post("good"))
    assert statuses(results) == [status for _, status in MALFORMED] + ["201"]
    assert all(each["response"]["detail"] for each in results[:-1])


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"Operations": {}},
        body(post("a"), post("a")),
        body(post("a"), stop=-1),
        {**body(post("a")), "failOnErrors": "one"},
        {**body(post("a")), "failOnErrors": True},
    ],
)
async def test_request_that_cannot_be_read_changes_nothing(idp: Client, whole: dict[str, Any]) -> None:
    reply = await idp.post("/Bulk", whole)
    assert (reply.status, reply.scim_type in ("invalidSyntax", "invalidValue")) == (400, True)
    assert (await idp.get("/Users")).json["totalResults"] == 0


async def test_announced_limits_are_kept(database_url: str) -> None:
    """§3.7.4, whose example has no scimType; lesson 12: 413, and nothing is done."""
    limits = {"scim": {"max_bulk_operations": 3}, "server": {"max_body_bytes": 4096, "public_url": BASE[:-8]}}
    async with installed(database_url, **limits) as running:
        client = await running.client(await running.organization("acme"))
        told = (await client.get("/ServiceProviderConfig")).json["bulk"]
        assert told == {"supported": True, "maxOperations": 3, "maxPayloadSize": 4096}
        many: Reply = await client.post("/Bulk", body(*(post(f"u{n}") for n in range(4))))
        long: Reply = await client.post("/Bulk", body(post("a", title="x" * 4096)))
        assert (many.status, long.status) == (413, 413)
        assert (many.scim_type, long.scim_type) == (None, None)
        assert (await client.get("/Users")).json["totalResults"] == 0
        assert statuses(await bulk(client, *(post(f"u{n}") for n in range(3)))) == ["201"] * 3


async def test_bulk_needs_a_token_and_post(idp: Client) -> None:
    assert (await idp.get("/Bulk")).status == 405
    anonymous = await idp.send("POST", "/Bulk", body(), headers={"Authorization": "Bearer x"})
    assert anonymous.status == 401


def test_long_chain_is_ordered_in_linear_time() -> None:
    """Each refers to the one after it: the last is made first."""
    chain = [group(str(n), str(n + 1)) for n in range(999)] + [group("999")]
    operations, _ = read(orjson.loads(orjson.dumps(body(*chain))), 1000)
    ordered = in_order(operations)
    assert [each.place for each in ordered] == list(range(999, -1, -1))
    tell_rings(ordered)
    assert {len(each.ring) for each in ordered} == {1}


async def test_patch_is_taken_as_the_rfcs_example_has_it(scimd: Installation) -> None:
    """§3.7.3: ``data`` of a PATCH is the array of operations."""
    org = await scimd.organization("acme")
    for profile in ("default", "rfc"):
        client = await scimd.client(org, source=profile, profile=profile)
        user = await client.post("/Users", {"schemas": [USER_URN], "userName": "dana", "nickName": "D"})
        path = f"/Users/{user.json['id']}"
        operations = [
            {"op": "remove", "path": "nickName"},
            {"op": "replace", "path": "userName", "value": "dave"},
        ]
        results = await bulk(client, {"method": "patch", "path": path, "data": operations})
        assert (statuses(results), results[0]["method"]) == (["200"], "PATCH")
        assert results[0]["location"] == user.json["meta"]["location"]
        now = (await client.get(path)).json
        assert (now["userName"], "nickName" in now) == ("dave", False)
        listed = {"method": "PUT", "path": path, "data": operations}
        assert statuses(await bulk(client, listed)) == ["400"]


@pytest.mark.parametrize("profile", ["entra", "rfc"])
async def test_bulk_ids_resolve_in_what_is_written_as_json_within_a_string(
    scimd: Installation, profile: str
) -> None:
    """Where such a string is taken: elsewhere it is refused as ever, and any other text is that text."""
    client = await scimd.client(await scimd.organization("acme"), source=profile, profile=profile)

    def named(bulk_id: str) -> str:
        return orjson.dumps([{"value": f"bulkId:{bulk_id}"}]).decode()

    results = await bulk(
        client,
        post("g", "Groups", schemas=[GROUP_URN]),
        patch("/Groups/bulkId:g", {"op": "add", "path": "members", "value": named("ann")}),
        patch("/Groups/bulkId:g", {"op": "add", "path": "members", "value": [named("bob")[1:-1]]}),
        patch("/Groups/bulkId:g", {"op": "add", "value": f'{{"members":{named("cyd")}}}'}),
        patch("/Groups/bulkId:g", {"op": "replace", "path": "displayName", "value": named("nobody")}),
        *(post(name, schemas=[USER_URN]) for name in ("ann", "bob", "cyd")),
    )
    made = ids([each for each in results if "bulkId" in each])
    tolerant = profile != "rfc"
    assert [status[0] for status in statuses(results[1:5])] == ["2" if tolerant else "4"] * 3 + ["2"]
    wanted = {made[name] for name in ("ann", "bob", "cyd")} if tolerant else set()
    assert await members(client, made["g"]) == wanted
    assert (await client.get(f"/Groups/{made['g']}")).json["displayName"] == named("nobody")
