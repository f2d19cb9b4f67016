"""What of SCIM's requests an admin finds again: page by page, by filter, by person."""

from __future__ import annotations

from scimd.org.request_log import request_log, request_people
from scimd.org.request_log.request_log import Wanted
from tests.scim.serving import Client, Installation
from tests.scim.test_request_log import logged


async def test_list_pages_and_filters(scimd: Installation, idp: Client) -> None:
    for number in range(5):
        await idp.user(f"user{number}")
    await idp.user("other")
    await idp.post("/Users", {"userName": "other"})
    await idp.post("/Groups", {})
    entries = await logged(scimd, idp)
    first = await request_log.list_requests(scimd.door, idp.org_id, limit=3)
    rest = await request_log.list_requests(scimd.door, idp.org_id, before=first.older, limit=50)
    assert [*first.requests, *rest.requests] == entries[::-1]
    assert rest.older is None
    for wanted, number in (
        (Wanted(only="errors"), 2), (Wanted(status=409), 1), (Wanted(status=4), 2),
        (Wanted(method="post"), 8),
        (Wanted(source_id=idp.source_id), 8), (Wanted(resource_id=entries[0].resource_id), 1),
        (Wanted(since=entries[6].at), 2), (Wanted(correlation_id=entries[3].correlation_id), 1),
        (Wanted(method="PUT"), 0), (Wanted(only="writes"), 8),
    ):  # fmt: skip
        assert len(await logged(scimd, idp, wanted)) == number, wanted


async def test_requests_of_a_person_are_found_by_what_they_are_called(
    scimd: Installation, idp: Client
) -> None:
    ann = await idp.user("Ann.Lee@acme.example", externalId="E-77")
    await idp.user("ann")
    await idp.patch(f"/Users/{ann['id']}", {"op": "replace", "path": "title", "value": "Dr"})
    await idp.post("/Users", {"userName": "ann.lee@ACME.example"})
    await idp.post("/Groups", {"displayName": "Eng", "members": [{"value": ann["id"]}]})
    await idp.get("/Users", params={"filter": 'userName eq "ann.lee@acme.example" and nosuch pr'})
    await idp.post("/Users/.search", {"filter": 'externalId eq "E-77" and nosuch pr'})
    await idp.post("/Users", {"userName": "ghost@acme.example", "active": "perhaps"})
    entries = await logged(scimd, idp)

    async def found(who: str) -> list[int]:
        wanted = Wanted(person=await request_people.sought(scimd.door, idp.org_id, who))
        return [entries.index(each) for each in await logged(scimd, idp, wanted)]

    for who in ("ann.lee@acme.example", "E-77", ann["id"]):
        assert await found(who) == [0, 2, 3, 4, 5, 6], who
    assert await found("ann") == [1]
    assert await found("ghost@acme.example") == [7], "who never arrived"
    assert await found("nobody") == await found("") == []
    await idp.delete(f"/Users/{ann['id']}")
    entries = await logged(scimd, idp)
    assert await found("E-77") == [0, 2, 3, 4, 5, 6, 8], "who is gone"
