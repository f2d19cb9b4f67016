"""``lastModified`` after the clock was put right: clients read on from it (RFC 7643 §3.1)."""

from __future__ import annotations

from typing import Any

import orjson

from scimd.core.people import GroupId
from scimd.db import tables as t
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.reading import reads
from tests.org.house import GROUP_VIEW, House, house


async def user_meta(acme: House, person_id: str) -> dict[str, Any]:
    found = await acme.seen(person_id)
    assert found is not None
    meta: dict[str, Any] = found["meta"]
    return meta


async def group_meta(acme: House, group_id: GroupId) -> dict[str, Any]:
    found = await reads.scim_group(acme.door, acme.as_scim(), group_id, GROUP_VIEW)
    assert found is not None
    meta: dict[str, Any] = orjson.loads(found.body)["meta"]
    return meta


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "displayName": "Sellers"}


async def test_nothing_was_changed_before_it_was_made_or_changed_the_time_before(database_url: str) -> None:
    async with house(database_url) as acme:
        bob = (await acme.create("bob")).person_id
        acme.clock.forward(hours=5)
        ann, team = (await acme.create("ann")).person_id, await acme.group("Team")
        users, groups = await user_meta(acme, ann), await group_meta(acme, team)
        everybody = {row.id: row.changed_at for row in await acme.rows(t.people)}
        acme.clock.forward(hours=-5)
        changed = await acme.change(ann, title="Cook", displayName="Anna")
        assert changed.changed_at == changed.created_at
        add = GroupChange(add=[ann])
        for change in (add, GroupChange(remove=[ann]), GroupChange(document=renamed)):
            stored = await scim_groups.change_group(acme.door, acme.as_scim(), team, change)
            assert stored.changed_at == stored.created_at
        await acme.members(team, add=[ann])
        assert (await user_meta(acme, ann))["lastModified"] == users["lastModified"] == users["created"]
        assert (await group_meta(acme, team))["lastModified"] == groups["lastModified"] == groups["created"]
        await acme.change(ann, active=False)
        assert all(row.changed_at >= everybody[row.id] for row in await acme.rows(t.people))
        acme.clock.forward(hours=1)
        assert (await acme.change(bob, title="Cook")).changed_at == acme.clock.now
        acme.clock.forward(hours=5)
        assert (await acme.change(ann, title="Chef")).changed_at == acme.clock.now
        await acme.members(team, add=[bob])
        (row,) = await acme.rows(t.groups, id=team)
        assert row.changed_at == acme.clock.now
