"""What the machine of all doors found, or looking for it, each as small as it gets."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.org.identities import merging
from scimd.org.users import gates, purging
from tests.doors.company import Company, Organization

ALL_OF_ONES_OWN = (t.credentials, t.second_factors, t.recovery_codes, t.pictures)


async def rows(doors: Company, table: Any, org: Organization, **where: Any) -> list[Any]:
    query = table.select().where(table.c.org_id == org.id)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    return await doors.door.read(lambda conn: list(conn.execute(query)))


async def told(doors: Company, org: Organization, person_id: str) -> Counter[str]:
    return Counter(row.kind for row in await rows(doors, t.events, org, target_id=person_id))


async def with_everything(doors: Company, org: Organization, person_id: str) -> None:
    """A password, a passkey, a recovery code, a picture."""
    mine = {"org_id": org.id, "person_id": person_id}
    now = doors.clock()
    given: dict[Any, dict[str, Any]] = {
        t.credentials: {"kind": "password", "secret": "x", "changed_at": now},
        t.second_factors: {
            "id": f"f-{person_id[-8:]}",
            "kind": "passkey",
            "name": "key",
            "secret": b"k",
            "credential_id": person_id.encode(),
            "created_at": now,
        },
        t.recovery_codes: {"id": f"r-{person_id[-8:]}", "sealed": b"h", "created_at": now},
        t.pictures: {"kind": "image/png", "image": b"i", "changed_at": now},
    }

    def body(conn: Any) -> None:
        for table, values in given.items():
            conn.execute(table.insert().values({**mine, **values}))

    await doors.door.db.write(body)


async def left(doors: Company, org: Organization, person_id: str) -> list[str]:
    return [table.name for table in ALL_OF_ONES_OWN if await rows(doors, table, org, person_id=person_id)]


@pytest.mark.parametrize("way", ["invited", "added"])
async def test_somebody_new_comes_in_by_one_entry_and_one_for_each_grant(
    open_doors: Company, way: str
) -> None:
    """V17: what a hand gave, and the seat, stood there twice."""
    org = await open_doors.organization(seats_limit=5)
    if way == "invited":
        body = {"emails": ["ann@home.example"], "role": "manager"}
        answer = await open_doors.api(org, "POST", "/invitations", body)
        ann = answer.json["results"][0]["answer"]["person_id"]
    else:
        answer = await open_doors.api(org, "POST", "/users", {"email": "ann@home.example", "role": "manager"})
        ann = answer.json["id"]
    found = await told(open_doors, org, ann)
    assert (found["person.created"], found["grant.given"], found["seat.taken"]) == (1, 1, 0)
    (made,) = await rows(open_doors, t.events, org, target_id=ann, kind="person.created")
    said = made.body["after"]
    assert (said["status"], said["roles"], said["seat"]) == ("pending", ["manager"], True)


async def test_entry_of_a_first_admin_says_what_they_are(open_doors: Company) -> None:
    org = await open_doors.organization()
    (made,) = await rows(open_doors, t.events, org, kind="admin.created")
    after = made.body["after"]
    assert (after["status"], after["roles"], after["seat"]) == ("active", ["account-admin"], True)
    assert (await told(open_doors, org, made.target_id))["grant.given"] == 1


async def test_merge_tells_each_grant_and_the_seat_that_moved(open_doors: Company) -> None:
    org = await open_doors.organization(seats_limit=2)
    kept, other = [
        (await open_doors.api(org, "POST", "/users", {"email": f"{name}@home.example"})).json.get("id")
        for name in ("ann", "eva")
    ]
    assert other is None, "the seats are taken: the admin's, and Ann's"
    assert (await open_doors.api(org, "PUT", "/seats", {"limit": 3})).done
    other = (await open_doors.api(org, "POST", "/users", {"email": "eva@home.example"})).json["id"]
    await open_doors.api(org, "POST", f"/users/{other}/roles", {"role": "auditor"})
    before = await told(open_doors, org, kept)
    await merging.merge(open_doors.door, org.context(), PersonId(kept), PersonId(other))
    # The role, and the default project with it.
    given = (await told(open_doors, org, kept)) - before
    taken = await told(open_doors, org, other)
    assert (given["grant.given"], taken["grant.taken"], taken["seat.freed"]) == (1, 2, 1)


async def test_whoever_comes_back_under_a_recycled_name_has_no_passkey_of_the_one_before(
    open_doors: Company,
) -> None:
    org = await open_doors.organization()
    body = {"userName": f"ann@{org.slug}.example", "externalId": "x-1"}
    ann = (await open_doors.scim(org, "POST", "/Users", body)).json["id"]
    await with_everything(open_doors, org, ann)
    off = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    assert (await open_doors.scim(org, "PATCH", f"/Users/{ann}", off)).done
    assert len(await left(open_doors, org, ann)) == 4, "the same person keeps what is theirs"
    again = await open_doors.scim(org, "POST", "/Users", {**body, "externalId": "x-2"})
    assert again.json["id"] == ann
    assert await left(open_doors, org, ann) == []
    found = await told(open_doors, org, ann)
    assert (found["password.dropped"], found["second_factor.removed"]) == (1, 1)


async def test_merged_and_purged_people_leave_no_way_in_behind(open_doors: Company) -> None:
    org = await open_doors.organization()
    kept, other, third = [
        (await open_doors.api(org, "POST", "/users", {"email": f"{name}@home.example"})).json["id"]
        for name in ("ann", "eva", "cem")
    ]
    for person_id in (other, third):
        await with_everything(open_doors, org, person_id)
    await merging.merge(open_doors.door, org.context(), PersonId(kept), PersonId(other))
    assert await left(open_doors, org, other) == ["pictures"], "which goes with the purge"
    assert (await open_doors.api(org, "DELETE", f"/users/{third}")).done
    open_doors.clock.now += gates.RESTORABLE_FOR + timedelta(seconds=1)
    assert await purging.purge_due(open_doors.door, org.id) == 2
    assert [await left(open_doors, org, each) for each in (other, third)] == [[], []]
