"""Lists: pages, order, filters, projection, search by POST (RFC 7644 §3.4, §3.9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scim.serving import Client


async def names(client: Client, **params: str) -> list[str]:
    page = (await client.get("/Users", params=params)).json
    assert page["itemsPerPage"] == len(page["Resources"])
    return [each["userName"] for each in page["Resources"]]


async def test_lists_are_paged_sorted_filtered(idp: Client) -> None:
    """§3.4.2."""
    for n, name in enumerate(["b", "C", "a", "d"]):
        await idp.user(
            name, title="x" if n else "y", emails=[{"value": f"{name}@example.com", "type": "work"}]
        )
    assert await names(idp) == ["b", "C", "a", "d"]
    assert await names(idp, sortBy="userName") == ["a", "b", "C", "d"]
    assert await names(idp, sortBy="emails.value", sortOrder="descending") == ["d", "C", "b", "a"]
    assert await names(idp, startIndex="2", count="2", sortBy="userName") == ["b", "C"]
    assert await names(idp, startIndex="9") == []
    assert await names(idp, filter='title eq "X" and userName ne "c"') == ["a", "d"]
    assert await names(idp, filter='emails[type eq "work" and value sw "A@"]') == ["a"]
    assert await names(idp, filter=f'meta.created ge "{"2026-01-01T00:00:00Z"}"', count="1") == ["b"]
    only_total = (await idp.get("/Users", params={"count": "0"})).json
    assert (only_total["totalResults"], only_total["Resources"]) == (4, [])
    assert (await idp.get("/Users", params={"filter": "title pr", "count": "1"})).json["totalResults"] == 4


@pytest.mark.parametrize("asked", [{}, {"sortBy": "userName"}, {"filter": 'userName sw "u"'}])
async def test_a_page_holds_who_stands_there_now_whoever_came_and_went(
    idp: Client, asked: dict[str, str]
) -> None:
    """RFC 7644 §3.4.2.4: the index is that of the query's result, also where as many came as went."""
    made = [await idp.user(f"u{n}") for n in range(6)]
    assert await names(idp, startIndex="3", count="2", **asked) == ["u2", "u3"]
    assert await names(idp, startIndex="5", count="2", **asked) == ["u4", "u5"]
    for user in made[:2]:
        await idp.delete(f"/Users/{user['id']}")
    await idp.user("u6")
    await idp.user("u7")
    assert await names(idp, startIndex="3", count="2", **asked) == ["u4", "u5"]
    assert await names(idp, startIndex="5", count="2", **asked) == ["u6", "u7"]
    assert await names(idp, startIndex="7", **asked) == []


async def test_a_page_of_groups_holds_which_stand_there_now(idp: Client) -> None:
    made = [(await idp.post("/Groups", {"displayName": f"g{n}"})).json["id"] for n in range(6)]

    async def page(start: int) -> list[str]:
        found = await idp.get("/Groups", params={"startIndex": str(start), "count": "2"})
        return [each["displayName"] for each in found.json["Resources"]]

    assert (await page(3), await page(5)) == (["g2", "g3"], ["g4", "g5"])
    for group_id in made[:2]:
        await idp.delete(f"/Groups/{group_id}")
        await idp.post("/Groups", {"displayName": f"new {group_id}"})
    assert await page(3) == ["g4", "g5"]


async def test_a_sorted_page_holds_who_stands_there_after_a_change_of_name(idp: Client) -> None:
    made = [await idp.user(f"u{n}") for n in range(6)]
    assert await names(idp, startIndex="3", count="2", sortBy="userName") == ["u2", "u3"]
    await idp.patch(f"/Users/{made[0]['id']}", {"op": "replace", "path": "userName", "value": "z"})
    assert await names(idp, startIndex="3", count="2", sortBy="userName") == ["u3", "u4"]


async def test_page_size_is_bounded_as_announced(idp: Client) -> None:
    config = (await idp.get("/ServiceProviderConfig")).json
    assert config["filter"]["maxResults"] == 200
    for n in range(5):
        await idp.user(f"u{n}")
    assert len(await names(idp, count="100000")) == 5


async def test_projection_is_honoured_wherever_a_resource_comes_back(idp: Client) -> None:
    """§3.9."""
    ask = {"params": {"attributes": "userName"}}
    made = await idp.post("/Users", {"userName": "dana", "title": "CTO"}, **ask)
    path = f"/Users/{made.json['id']}"
    replies = [
        made,
        await idp.get(path, **ask),
        await idp.put(path, {"userName": "dana", "title": "CEO"}, **ask),
        await idp.patch(path, {"op": "add", "path": "title", "value": "CFO"}, **ask),
    ]
    for reply in replies:
        assert set(reply.json) == {"schemas", "id", "userName"}
    page = (await idp.get("/Users", params={"excludedAttributes": "title,meta,active"})).json
    assert set(page["Resources"][0]) == {"schemas", "id", "userName"}
    group = await idp.group("Ops", made.json["id"])
    told = await idp.patch(
        f"/Groups/{group['id']}",
        {"op": "replace", "path": "displayName", "value": "Ops 2"},
        params={"attributes": "displayName"},
    )
    assert (told.status, set(told.json)) == (200, {"schemas", "id", "displayName"})


async def test_search_by_post_is_a_list(idp: Client) -> None:
    """§3.4.3."""
    user = await idp.user("dana", displayName="Same")
    await idp.user("erik")
    group = await idp.group("Same", user["id"])
    body: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": 'displayName eq "same"',
        "attributes": ["displayName"],
    }
    found = await idp.post("/.search", body)
    assert found.status == 200
    assert [each["id"] for each in found.json["Resources"]] == [user["id"], group["id"]]
    assert set(found.json["Resources"][0]) == {"schemas", "id", "displayName"}
    assert (await idp.post("/Users/.search", body)).json["totalResults"] == 1
    assert (await idp.post("/Groups/.search", body)).json["totalResults"] == 1
    second = (await idp.post("/.search", {"startIndex": 3, "count": 5})).json
    assert (second["totalResults"], [each["id"] for each in second["Resources"]]) == (3, [group["id"]])
    only_users = (await idp.post("/.search", {"filter": "userName pr"})).json
    assert only_users["totalResults"] == 2
    for bad in ({"filter": "nosuch pr"}, {"count": "5x"}, {"attributes": [1]}, {"filter": 1}):
        assert (await idp.post("/.search", bad)).status == 400
