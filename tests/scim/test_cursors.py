"""Paging by cursor (RFC 9865) and by index, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scimd.scim.exchange import PageEnds
from tests.scim.declared import DOORS, HR, HR_URN, source_with
from tests.scim.serving import Client, Installation, Reply

URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


async def people(client: Client, how_many: int, **more: Any) -> list[str]:
    made = []
    for n in range(how_many):
        given = {name: value(n) for name, value in more.items()}
        given = {name: value for name, value in given.items() if value is not None}
        made.append((await client.user(f"user{n:02}", **given))["id"])
    return made


async def pages(client: Client, path: str = "/Users", **params: str) -> list[dict[str, Any]]:
    """All pages of a list, by cursor, each read once."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await client.get(path, params={**params, "cursor": cursor})
        assert reply.status == 200, reply.raw
        found.append(reply.json)
        cursor = reply.json.get("nextCursor")
        assert len(found) < 50
    return found


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for page in found for each in page["Resources"]]


async def test_cursor_pages_partition_the_list(idp: Client) -> None:
    """§2.1, §2.2."""
    made = await people(idp, 7)
    found = await pages(idp, count="3")
    assert ids(found) == made
    assert [page["itemsPerPage"] for page in found] == [3, 3, 1]
    assert {page["totalResults"] for page in found} == {7}
    assert all("startIndex" not in page for page in found)
    assert ids(await pages(idp, count="7")) == made
    assert len(await pages(idp)) == 1


@pytest.mark.parametrize("direction", ["ascending", "descending"])
async def test_cursor_pages_go_on_by_whatever_is_sorted_by(scimd: Installation, direction: str) -> None:
    """Doubles, unassigned values, every type; the same rows in the same order as one whole page has."""
    client = await scimd.client(await scimd.organization("acme"), config=source_with(HR, DOORS))
    long = "x" * 600
    await people(
        client,
        9,
        title=lambda n: [None, "b", "B", "a", long + str(n)][n % 5],
        active=lambda n: [True, False][n % 2],
        emails=lambda n: [{"value": f"{n % 3}@x.org", "type": "work"}] if n % 4 else None,
        **{
            HR_URN: lambda n: (
                {"grade": n % 4 - 2, "hired": f"2026-01-0{n % 3 + 1}T00:00:00Z"} if n % 5 else None
            )
        },
    )
    for by in ("title", "active", "emails", "userName", "meta.created", "meta.lastModified", "id",
               f"{HR_URN}:grade", f"{HR_URN}:hired"):  # fmt: skip
        order = {"sortBy": by, "sortOrder": direction}
        whole = ids([(await client.get("/Users", params=order)).json])
        assert len(whole) == 9
        assert ids(await pages(client, count="2", **order)) == whole, by
        found = [
            (await client.get("/Users", params={**order, "count": "2", "startIndex": str(start)})).json
            for start in (1, 3, 5, 7, 9)
        ]
        assert ids(found) == whole, by


async def test_list_that_changes_between_pages_neither_skips_nor_doubles(idp: Client) -> None:
    made = await people(idp, 6)
    first = (await idp.get("/Users", params={"cursor": "", "count": "3"})).json
    await idp.delete(f"/Users/{made[0]}")
    await idp.delete(f"/Users/{made[3]}")
    new = (await idp.user("late"))["id"]
    second = (await idp.get("/Users", params={"cursor": first["nextCursor"]})).json
    assert ids([first, second]) == [*made[:3], *made[4:], new]


async def test_filtered_groups_and_searches_page_by_cursor(idp: Client) -> None:
    for n in range(5):
        await idp.group(f"Group {n}")
    wanted = {"filter": 'displayName sw "group"', "sortBy": "displayName", "sortOrder": "descending"}
    found = await pages(idp, "/Groups", count="2", **wanted)
    assert [each["displayName"] for page in found for each in page["Resources"]] == [
        f"Group {n}" for n in (4, 3, 2, 1, 0)
    ]
    body = {"schemas": [URN], "count": 2, "cursor": "", **wanted}
    first = (await idp.post("/Groups/.search", body)).json
    second = (await idp.post("/Groups/.search", {**body, "cursor": first["nextCursor"]})).json
    assert ids([first, second]) == ids(found[:2])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
async def test_root_search_goes_from_users_to_groups(idp: Client, count: int) -> None:
    users = await people(idp, 3)
    groups = [(await idp.group(f"g{n}"))["id"] for n in range(3)]
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await idp.post("/.search", {"schemas": [URN], "count": count, "cursor": cursor})
        assert reply.status == 200, reply.raw
        found.append(reply.json)
        cursor = reply.json.get("nextCursor")
        assert len(found) < 10
    assert ids(found) == users + groups
    assert {page["totalResults"] for page in found} == {6}
    assert len(found) == -(-6 // count)


async def refused(reply: Reply, scim_type: str) -> None:
    assert (reply.status, reply.scim_type) == (400, scim_type), reply.raw


async def test_cursor_is_good_for_its_query_alone(idp: Client, scimd: Installation) -> None:
    """§2.4, §5: sealed, and bound to the source, the endpoint, the filter and the order."""
    await people(idp, 4)
    cursor = (await idp.get("/Users", params={"cursor": "", "count": "2"})).json["nextCursor"]
    assert "user" not in cursor
    for more in ({"filter": "userName pr"}, {"sortBy": "userName"}):
        await refused(await idp.get("/Users", params={"cursor": cursor, **more}), "invalidCursor")
    await refused(await idp.get("/Groups", params={"cursor": cursor}), "invalidCursor")
    other = await scimd.client(await scimd.organization("other"))
    await refused(await other.get("/Users", params={"cursor": cursor}), "invalidCursor")
    bent = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for made_up in (bent, cursor[:30], "x", "00000000", "%", cursor + "A", "é"):
        await refused(await idp.get("/Users", params={"cursor": made_up}), "invalidCursor")
    again = await idp.get("/Users", params={"cursor": cursor, "attributes": "userName"})
    assert [each["userName"] for each in again.json["Resources"]] == ["user02", "user03"]


async def test_cursor_expires(idp: Client, scimd: Installation) -> None:
    await people(idp, 3)
    told = (await idp.get("/ServiceProviderConfig")).json["pagination"]
    assert told == {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": 100,
        "maxPageSize": 200,
        "cursorTimeout": 3600,
    }
    cursor = (await idp.get("/Users", params={"cursor": "", "count": "2"})).json["nextCursor"]
    clock = scimd.door.clock
    scimd.door.clock = lambda: clock() + timedelta(seconds=3599)
    assert (await idp.get("/Users", params={"cursor": cursor})).status == 200
    scimd.door.clock = lambda: clock() + timedelta(seconds=3601)
    await refused(await idp.get("/Users", params={"cursor": cursor}), "expiredCursor")


async def test_count_of_a_cursor_stays(idp: Client) -> None:
    """§2.4: from 0 to maxPageSize, and the same on each page; more than the most is the most."""
    await people(idp, 3)
    for wrong in ("-1", "two", "1.5"):
        await refused(await idp.get("/Users", params={"cursor": "", "count": wrong}), "invalidCount")
    none = (await idp.get("/Users", params={"cursor": "", "count": "0"})).json
    assert (none["totalResults"], none["Resources"], "nextCursor" in none) == (3, [], False)
    cursor = (await idp.get("/Users", params={"cursor": "", "count": "2"})).json["nextCursor"]
    await refused(await idp.get("/Users", params={"cursor": cursor, "count": "1"}), "invalidCount")
    both = await idp.get("/Users", params={"cursor": cursor, "startIndex": "1"})
    await refused(both, "invalidValue")
    assert (await idp.get("/Users", params={"cursor": "", "count": "100000"})).json["itemsPerPage"] == 3


async def test_index_page_is_counted_out_where_the_list_changed(idp: Client) -> None:
    """A remembered end is used only while the total is what it was."""
    made = await people(idp, 6)
    first = (await idp.get("/Users", params={"count": "2"})).json
    assert ids([first]) == made[:2]
    for each in made[:4]:
        await idp.delete(f"/Users/{each}")
    second = (await idp.get("/Users", params={"count": "2", "startIndex": "3"})).json
    assert (second["totalResults"], second["startIndex"], second["Resources"]) == (2, 3, [])


def test_page_ends_are_bounded_and_the_oldest_go() -> None:
    ends = PageEnds(at_most=2)
    for n in (1, 2, 1, 3):
        ends.put(("o", "q", n), (None, n))  # type: ignore[arg-type]
    assert [ends.get(("o", "q", n)) is not None for n in (1, 2, 3)] == [True, False, True]
