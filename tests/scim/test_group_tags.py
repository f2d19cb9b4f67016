"""A group's entity tag changes with all that it shows, the names of its members too (RFC 7644 §3.14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scim.serving import Client, Installation


async def shown(idp: Client, group_id: str) -> tuple[str, dict[str, Any]]:
    """A group's tag, and its members' names by their ids."""
    reply = await idp.get(f"/Groups/{group_id}")
    assert reply.json["meta"]["version"] == reply.headers["ETag"]
    return reply.headers["ETag"], {each["value"]: each.get("display") for each in reply.json["members"]}


async def is_as_it_was(idp: Client, group_id: str, tag: str) -> bool:
    reply = await idp.get(f"/Groups/{group_id}", headers={"If-None-Match": tag})
    return reply.status == 304


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


async def test_group_shows_a_members_new_name_under_a_new_tag(idp: Client) -> None:
    dana = await idp.user("dana", displayName="Dana")
    await idp.user("erik", displayName="Erik")
    team, other = await idp.group("Team", dana["id"]), await idp.group("Other")
    tag, empty = team["meta"]["version"], other["meta"]["version"]
    path = f"/Users/{dana['id']}"
    for change in (replace("title", "Engineer"), replace("displayName", "Dana"), replace("userName", "dd")):
        await idp.patch(path, change)
        assert await is_as_it_was(idp, team["id"], tag), change
    await idp.patch(path, replace("displayName", "Dana D."))
    assert not await is_as_it_was(idp, team["id"], tag)
    tag, members = await shown(idp, team["id"])
    assert members == {dana["id"]: "Dana D."}
    await idp.put(path, {"userName": "dd", "displayName": "D. Dana"})
    assert not await is_as_it_was(idp, team["id"], tag)
    assert await is_as_it_was(idp, other["id"], empty)


async def test_name_that_is_no_longer_the_user_name_is_shown_under_a_new_tag(idp: Client) -> None:
    """What is but the userName is not shown as a name."""
    dana = await idp.user("dana", displayName="dana")
    team = await idp.group("Team", dana["id"])
    assert (await shown(idp, team["id"]))[1] == {dana["id"]: None}
    await idp.patch(f"/Users/{dana['id']}", replace("userName", "dd"))
    assert not await is_as_it_was(idp, team["id"], team["meta"]["version"])
    assert (await shown(idp, team["id"]))[1] == {dana["id"]: "dana"}


@pytest.mark.usefixtures("by_ones")
async def test_members_renamed_at_once_leave_the_tag_of_one_after_the_other(idp: Client) -> None:
    people = [(await idp.user(f"p{n}", displayName=f"P{n}"))["id"] for n in range(8)]
    team = await idp.group("Team", *people)
    changes = (idp.patch(f"/Users/{each}", replace("displayName", f"new {each}")) for each in people)
    assert {reply.status for reply in await asyncio.gather(*changes)} == {200}
    tag, members = await shown(idp, team["id"])
    assert (tag, members) == ('W/"9-0"', {each: f"new {each}" for each in people})


async def test_members_are_renamed_while_their_groups_change_and_nobody_waits_in_a_ring(idp: Client) -> None:
    """One holds a person and wants their groups, the other a group and wants its people."""
    people = [(await idp.user(f"p{n}", displayName=f"P{n}"))["id"] for n in range(12)]
    groups = [(await idp.group(f"G{n}", *people))["id"] for n in range(4)]

    async def rename(person_id: str) -> set[int]:
        path = f"/Users/{person_id}"
        changes = [await idp.patch(path, replace("displayName", f"{n} {person_id}")) for n in range(12)]
        return {reply.status for reply in changes}

    async def move(group_id: str) -> set[int]:
        path, found = f"/Groups/{group_id}", set()
        for each in people:
            remove = {"op": "remove", "path": f'members[value eq "{each}"]'}
            add = {"op": "add", "path": "members", "value": [{"value": each}]}
            found |= {(await idp.patch(path, change)).status for change in (remove, add)}
        return found

    said = await asyncio.gather(*map(rename, people), *map(move, groups))
    assert set().union(*said) == {200, 204}
    for each in groups:
        assert (await shown(idp, each))[1] == {person_id: f"11 {person_id}" for person_id in people}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_parent_shows_a_childs_new_name_under_a_new_tag(idp: Client, method: str) -> None:
    child = await idp.group("Child")
    parents = [await idp.group(f"Parent {n}", child["id"]) for n in range(2)]
    path = f"/Groups/{child['id']}"
    await idp.patch(path, replace("externalId", "c-1"))
    for each in parents:
        assert await is_as_it_was(idp, each["id"], each["meta"]["version"])
    if method == "PUT":
        await idp.put(path, {"displayName": "Team"})
    else:
        await idp.patch(path, replace("displayName", "Team"))
    for each in parents:
        assert not await is_as_it_was(idp, each["id"], each["meta"]["version"])
        assert (await shown(idp, each["id"]))[1] == {child["id"]: "Team"}


async def test_groups_of_both_sources_show_somebody_who_passes_on_under_new_tags(scimd: Installation) -> None:
    """The name is the owner's: a source that does not own somebody shows none."""
    org = await scimd.organization("acme", domains=("acme.example",))
    first = await scimd.client(org)
    second = await scimd.client(org, "hr", config={"join": ["mail"]})
    dana = await first.user("dana@acme.example", displayName="Dana")
    again = await second.user("d.dana", displayName="D", emails=[{"value": "dana@acme.example"}])
    assert again["id"] == dana["id"]
    team = await second.group("Team", dana["id"])
    tag, members = await shown(second, team["id"])
    assert members == {dana["id"]: None}
    await first.delete(f"/Users/{dana['id']}")
    assert not await is_as_it_was(second, team["id"], tag)
    assert (await shown(second, team["id"]))[1] == {dana["id"]: "D"}
