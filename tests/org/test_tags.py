"""Entity tags over a restore, or a fail-over to a server that lacks the last transactions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from scimd.core.people import GroupId
from scimd.db import tables as t
from tests.org.house import House, house


async def _counters(acme: House, person_id: str, group_id: GroupId) -> dict[str, Any]:
    """Both parts of a user's tag, and a group's."""
    (asserted,) = await acme.rows(t.assertions, person_id=person_id, source_id=acme.scim)
    (team,) = await acme.rows(t.groups, id=group_id)
    found = await acme.seen(person_id)
    assert found is not None
    assert found["meta"]["version"] == f'W/"{asserted.version}-{asserted.person_rest}"'
    return {"document": asserted.version, "rest": asserted.person_rest, "group": team.version}


async def test_a_tag_that_a_restore_lost_is_not_given_again(database_url: str) -> None:
    """Else If-None-Match and If-Match would take what is there now for what was lost."""
    async with house(database_url) as acme:
        ann, team = (await acme.create("ann")).person_id, await acme.group("Team")
        (person,) = await acme.rows(t.people, id=ann)
        (asserted,) = await acme.rows(t.assertions, person_id=ann)

        async def another(title: str) -> dict[str, Any]:
            await acme.change(ann, title=title)
            await acme.members(team, add=[ann])
            return await _counters(acme, ann, team)

        before, lost = await _counters(acme, ann, team), await another("Lost")
        await acme.members(team, remove=[ann])
        await acme.execute(update(t.people).values(rest=person.rest))
        stored = {"version": 1, "person_rest": person.rest, "meta": asserted.meta}
        await acme.execute(update(t.assertions).values(stored))
        await acme.execute(update(t.groups).values(version=1))
        assert await _counters(acme, ann, team) == before
        after = await another("Again")
        assert [name for name in lost if after[name] in (before[name], lost[name])] == []


async def test_what_a_source_begins_to_say_of_somebody_has_a_tag_by_chance(database_url: str) -> None:
    """A restore may have lost that it said something else of them before."""
    async with house(database_url) as acme:
        hr = await acme.source("hr", config={"join": ["mail"]})
        await acme.create("ann")
        await acme.create("ann", acme.as_scim(hr))
        (first,) = await acme.rows(t.assertions, source_id=acme.scim)
        (second,) = await acme.rows(t.assertions, source_id=hr)
        assert first.version == 1
        assert second.version > 1
        assert second.meta.endswith(b'"version":"W/\\"%d-' % second.version)
