"""Questions that no longer stand are closed by a job; those that do stay open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import NotAllowedNow, NotUnique
from scimd.core.people import PersonId, ProjectId
from scimd.db import tables
from scimd.db.tables import decisions, events, grants, people, sources
from scimd.org import timekeeping
from scimd.org.decisions import decisions as items
from scimd.org.decisions import moot
from scimd.org.grants import project_upkeep, projects
from scimd.org.identities import detaching, merging
from scimd.org.users import first_admins, gates, local_people, purging
from scimd.org.users.local_people import Edit, NewPerson
from tests.org.acme import OPERATOR
from tests.org.house import House, group, house, user


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def closed(acme: House) -> list[str]:
    """Why the job closes what it closes: as the audit has it."""
    before = len(await acme.rows(events, kind="decision.closed"))
    done = await moot.close_due(acme.door, acme.org_id)
    told = sorted(await acme.rows(events, kind="decision.closed"), key=lambda row: row.id)[before:]
    assert len(told) == done
    assert await moot.close_due(acme.door, acme.org_id) == 0
    return [str(row.body["note"]) for row in told]


async def states(acme: House) -> list[str]:
    return sorted(row.state for row in await acme.rows(decisions))


# ------------------------------------------------------------------------------ collision


async def collision(acme: House) -> PersonId:
    """Of okta's entry ann with a local person, who keeps the address until they are changed."""
    ann = await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@acme.example"))
    await acme.execute(update(people).values(accepted=True))  # without a proof of the address
    with pytest.raises(NotUnique):
        await acme.create("ann")
    assert await closed(acme) == []
    return ann


async def test_a_collision_ends_when_the_entry_is_recorded(acme: House) -> None:
    await collision(acme)
    await acme.create("ann", mail="other@acme.example")
    assert await closed(acme) == ["The source asserts the entry by now."]


async def test_a_collision_ends_when_the_address_is_anothers(acme: House) -> None:
    ann = await collision(acme)
    await local_people.edit(acme.door, acme.as_admin(), ann, Edit(email="ann@home.example"))
    assert await closed(acme) == ["Whom the entry met has another address by now."]
    (item,) = await acme.rows(decisions)
    assert (item.state, item.answer) == ("moot", None)
    with pytest.raises(NotAllowedNow, match="no longer in question"):
        await items.answer(acme.door, acme.as_admin(), item.id, "link")


async def test_a_collision_ends_when_its_person_is_deleted(acme: House) -> None:
    await gates.delete(acme.door, acme.as_admin(), await collision(acme))
    assert await closed(acme) == ["The person is gone."]


async def test_a_collision_with_somebody_merged_is_one_with_who_was_kept(acme: House) -> None:
    ann = await collision(acme)
    bob = await local_people.add(acme.door, acme.as_admin(), NewPerson("bob@home.example"))
    await merging.merge(acme.door, acme.as_admin(), ann, bob)
    assert await closed(acme) == []
    eve = await local_people.add(acme.door, acme.as_admin(), NewPerson("eve@home.example"))
    await merging.merge(acme.door, acme.as_admin(), eve, ann)
    assert await closed(acme) == ["Whom the entry met has another address by now."]


async def test_what_a_source_asks_ends_with_the_source(acme: House) -> None:
    await collision(acme)
    await acme.execute(update(sources).values(ended_at=acme.clock.now))
    assert await closed(acme) == ["Its source is gone."]


# ------------------------------------------------------------------------------ ambiguous


async def ambiguous(acme: House) -> tuple[PersonId, PersonId]:
    """Two of HR with one employee number, and an entry of okta that joins by it."""
    number = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "7"}}
    hr = await acme.source("hr", kind="connector", connector="ldap")
    acme.scim = await acme.source("entra", config={"join": ["employeeNumber"]})
    made = await acme.push(user("ann", **number), user("anna", **number), ctx=acme.as_sync(hr))
    with pytest.raises(NotUnique):
        await acme.create("annie", **number)
    assert await closed(acme) == []
    return PersonId(str(made[0].person_id)), PersonId(str(made[1].person_id))


async def test_several_that_fit_are_a_question_no_more_when_one_is_left(acme: House) -> None:
    ann, _ = await ambiguous(acme)
    (hr,) = await acme.rows(sources, name="hr")
    await acme.drop(ann, ctx=acme.as_sync(hr.id), deleted=True)
    assert await closed(acme) == ["Fewer than two of those people are left."]


async def test_several_that_fit_are_a_question_no_more_when_the_entry_is_recorded(acme: House) -> None:
    await ambiguous(acme)
    await acme.create("annie")
    assert await closed(acme) == ["The source asserts the entry by now."]


# ------------------------------------------------------------------------------ return


async def test_whether_somebody_is_back_is_asked_until_they_are_purged(acme: House) -> None:
    ann = PersonId((await acme.create("ann")).person_id)
    await acme.grant(ann, "role", "auditor")
    await acme.change(ann, active=False)
    await acme.push(user("ann", external_id="x-other"))
    await acme.delete(ann)
    assert (await closed(acme), await states(acme)) == ([], ["open"])
    acme.clock.forward(days=30)
    assert await purging.purge_due(acme.door, acme.org_id) == 1
    (told,) = await acme.rows(events, kind="decision.closed")
    assert (told.body["note"], await closed(acme)) == ("The person is gone.", [])


# ------------------------------------------------------------------------------ shared address


async def shared(acme: House) -> tuple[PersonId, PersonId]:
    ann, bob = [
        PersonId((await acme.create(each, mail="one@acme.example")).person_id) for each in ("ann", "bob")
    ]
    assert await closed(acme) == []
    return ann, bob


async def test_a_shared_address_is_none_once_each_has_one(acme: House) -> None:
    _, bob = await shared(acme)
    await acme.change(bob, emails=[{"value": "bob@acme.example", "primary": True}])
    assert await closed(acme) == ["The person has a sign-in address by now."]
    # Shared again, it is asked again.
    await acme.change(bob, emails=[{"value": "one@acme.example", "primary": True}])
    assert await states(acme) == ["moot", "open"]


async def test_a_shared_address_is_none_once_the_document_brings_no_such(acme: House) -> None:
    _, bob = await shared(acme)
    await acme.create("eve", mail="two@acme.example")
    await acme.change(bob, emails=[{"value": "two@acme.example", "primary": True}])
    assert await closed(acme) == ["What the address came from brings another one by now."]
    assert await states(acme) == ["moot", "open"]


async def test_a_shared_address_is_none_once_who_lacks_it_is_deleted(acme: House) -> None:
    _, bob = await shared(acme)
    await acme.delete(bob)
    assert await closed(acme) == ["The person is gone."]


# ------------------------------------------------------------------------------ group name


async def named_alike(acme: House) -> tuple[str, ProjectId]:
    project: Any = await acme.run(lambda tx: projects.make(tx, "Payroll"), acme.as_admin())
    group_id = await acme.group("Payroll")
    assert await closed(acme) == []
    return group_id, project


async def test_a_groups_name_is_asked_no_more_once_the_group_is_called_otherwise(acme: House) -> None:
    group_id, _ = await named_alike(acme)
    await acme.push_groups(group("Wages", group_id=group_id))
    assert await closed(acme) == ["The group is gone, or called otherwise."]


async def test_a_groups_name_is_asked_no_more_once_the_project_is_archived(acme: House) -> None:
    _, project = await named_alike(acme)
    await project_upkeep.archive(acme.door, acme.as_admin(), project)
    assert await closed(acme) == ["The project is gone, or called otherwise."]
    assert [row.orphaned for row in await acme.rows(tables.projects, name="Payroll", archived_at=None)] == [
        False
    ]


async def test_a_group_that_is_renamed_to_a_projects_name_asks_for_that_project(acme: House) -> None:
    """Not for the one that is the group's already."""
    ann = await acme.create("ann")
    project: Any = await acme.run(lambda tx: projects.make(tx, "Payroll"), acme.as_admin())
    group_id = await acme.group("Wages", ann.person_id)
    await acme.push_groups(group("Payroll", ann.person_id, group_id=group_id))
    (item,) = await acme.rows(decisions, kind="group_name")
    assert (item.facts["project_id"], await closed(acme)) == (project, [])
    await items.answer(acme.door, acme.as_admin(), item.id, "use")
    assert project in {row.target for row in await acme.rows(grants, person_id=ann.person_id)}


# ------------------------------------------------------------------------------ the job


async def test_all_organizations_are_looked_at_and_many_items(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moot, "_AT_ONCE", 2)
    for name in ("ann", "bob", "eve"):
        await first_admins.create_admin(acme.door, "acme", f"{name}@acme.example", OPERATOR)
        with pytest.raises(NotUnique):
            await acme.create(name)
    assert await timekeeping.close_moot_questions(acme.door) == 0
    await acme.execute(update(people).values(sign_in_key="x" + people.c.sign_in_key))
    assert await timekeeping.close_moot_questions(acme.door) == 3
    assert await states(acme) == ["moot"] * 3


async def test_whoever_is_detached_without_an_address_is_in_question_still(acme: House) -> None:
    """What their own profile brings now is the same address."""
    ann, bob = await shared(acme)
    await detaching.detach(acme.door, acme.as_admin(), bob, "okta")
    await closed(acme)
    (item,) = await acme.rows(decisions, kind="shared_address", state="open")
    await acme.change(ann, emails=[{"value": "ann@acme.example", "primary": True}])
    await items.answer(acme.door, acme.as_admin(), item.id, "again")
    assert (await acme.person(bob)).sign_in_address == "one@acme.example"
