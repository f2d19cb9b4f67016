"""Projects, teams, licences and roles as admins make, rename and end them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnedBySource,
)
from scimd.core.people import LicenceId, PersonId, RoleName, TeamId
from scimd.core.roles import MANAGER, OrgRole
from scimd.db.tables import events
from scimd.org.grants import assignments, custom_roles, named, project_upkeep
from scimd.org.settling.unsettled import settle_marked
from scimd.org.users import admin_reads, gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house

HELPDESK = OrgRole(RoleName("helpdesk"), "Help desk", frozenset({"users.read"}), may_hold_projects=True)


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def added(acme: House, name: str = "ann", **more: object) -> PersonId:
    return await local_people.add(acme.door, acme.as_admin(), NewPerson(f"{name}@home.example", **more))  # type: ignore[arg-type]


async def settled(acme: House) -> None:
    await settle_marked(acme.door, acme.org_id, budget_s=10)
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


# ------------------------------------------------------------------------------ projects (P1)


async def test_a_project_is_made_renamed_archived_and_brought_back(acme: House) -> None:
    alpha = await project_upkeep.create(acme.door, acme.as_admin(), "  Alpha ")
    ann = await added(acme, projects={alpha: RoleName("owner")})
    await project_upkeep.rename(acme.door, acme.as_admin(), alpha, "Älpha")
    found = await project_upkeep.by_name(acme.door, acme.org_id, "älpha")
    assert (found.id, found.people) == (alpha, 1)
    await project_upkeep.archive(acme.door, acme.as_admin(), alpha)
    await settled(acme)
    page = await admin_reads.show_person(acme.door, acme.org_id, ann)
    assert [each.name for each in page.person.projects] == ["General"]
    assert [p.name for p in await project_upkeep.list_projects(acme.door, acme.org_id)] == ["General"]
    await project_upkeep.unarchive(acme.door, acme.as_admin(), alpha)
    await settled(acme)
    page = await admin_reads.show_person(acme.door, acme.org_id, ann)
    assert [each.name for each in page.person.projects] == ["Älpha"]


async def test_project_names_are_unique_among_the_living(acme: House) -> None:
    alpha = await project_upkeep.create(acme.door, acme.as_admin(), "Alpha")
    with pytest.raises(NotUnique):
        await project_upkeep.create(acme.door, acme.as_admin(), "ALPHA")
    await project_upkeep.archive(acme.door, acme.as_admin(), alpha)
    await project_upkeep.create(acme.door, acme.as_admin(), "ALPHA")
    with pytest.raises(NotUnique):
        await project_upkeep.unarchive(acme.door, acme.as_admin(), alpha)


async def test_a_project_that_bears_a_groups_name_is_renamed_there(acme: House) -> None:
    await acme.group("Research")
    found = await project_upkeep.by_name(acme.door, acme.org_id, "Research")
    assert (found.group, found.source) == ("Research", "okta")
    with pytest.raises(OwnedBySource, match="okta"):
        await project_upkeep.rename(acme.door, acme.as_admin(), found.id, "Lab")


async def test_the_default_project_is_not_archived(acme: House) -> None:
    found = await project_upkeep.by_name(acme.door, acme.org_id, "General")
    with pytest.raises(NotAllowedNow, match="default project"):
        await project_upkeep.archive(acme.door, acme.as_admin(), found.id)


async def test_members_come_with_the_origin_of_each_grant(acme: House) -> None:
    pushed = await acme.create("bob")
    await acme.group("Research", pushed.person_id)
    lab = (await project_upkeep.by_name(acme.door, acme.org_id, "Research")).id
    ann = await added(acme, projects={lab: RoleName("viewer")})
    rows = await project_upkeep.members(acme.door, acme.org_id, lab)
    assert {(r.person_id, r.origin, r.by, r.source, r.project_role) for r in rows} == {
        (pushed.person_id, "group", "Research", "okta", "member"),
        (ann, "manual", "admin@acme.example", None, "viewer"),
    }
    first = await project_upkeep.members(acme.door, acme.org_id, lab, limit=1)
    rest = await project_upkeep.members(acme.door, acme.org_id, lab, after=first[-1].person_id)
    assert {r.person_id for r in (*first, *rest)} == {ann, pushed.person_id}
    assert len(rest) == 1


async def test_pages_of_members_go_on_behind_those_who_are_in_no_list(acme: House) -> None:
    lab = await project_upkeep.create(acme.door, acme.as_admin(), "Lab")
    made = [await added(acme, name, projects={lab: RoleName("viewer")}) for name in ("ann", "bob")]
    gone, there = sorted(made)
    await gates.delete(acme.door, acme.as_admin(), gone)
    (row,) = await project_upkeep.members(acme.door, acme.org_id, lab, limit=1)
    assert row.person_id == there


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "a\x00"])
async def test_a_name_is_one_line_of_text(acme: House, name: str) -> None:
    with pytest.raises(InvalidValue):
        await project_upkeep.create(acme.door, acme.as_admin(), name)


# ------------------------------------------------------------------------------ teams, licences


@pytest.mark.parametrize("kind", ["team", "licence"])
async def test_a_named_thing_is_deleted_only_when_nobody_has_it(acme: House, kind: named.Kind) -> None:
    ann = await added(acme)
    thing = await named.create(acme.door, acme.as_admin(), kind, "Red")
    with pytest.raises(NotUnique):
        await named.create(acme.door, acme.as_admin(), kind, "red")
    if kind == "team":
        await assignments.set_team(acme.door, acme.as_admin(), ann, TeamId(thing.id))
    else:
        await assignments.give_licence(acme.door, acme.as_admin(), ann, LicenceId(thing.id))
    renamed = await named.rename(acme.door, acme.as_admin(), kind, thing.id, "Crimson")
    assert (renamed.name, renamed.people) == ("Crimson", 1)
    with pytest.raises(NotAllowedNow, match=r"^1 person has the "):
        await named.delete(acme.door, acme.as_admin(), kind, thing.id)
    if kind == "team":
        await assignments.set_team(acme.door, acme.as_admin(), ann, None)
    else:
        await assignments.take_licence(acme.door, acme.as_admin(), ann, LicenceId(thing.id))
    await named.delete(acme.door, acme.as_admin(), kind, thing.id)
    assert await named.list_all(acme.door, acme.org_id, kind) == []
    kinds = [row.kind for row in await acme.rows(events, target_id=thing.id)]
    assert sorted(kinds) == [f"{kind}.created", f"{kind}.deleted", f"{kind}.renamed"]


# ------------------------------------------------------------------------------ roles (P5)


async def test_a_custom_role_is_made_given_changed_and_deleted(acme: House) -> None:
    await custom_roles.create(acme.door, acme.as_admin(), HELPDESK)
    ann = await added(acme)
    await assignments.set_role(acme.door, acme.as_admin(), ann, HELPDESK.name)
    with pytest.raises(NotAllowedNow, match=r"^1 person holds the role"):
        await custom_roles.delete(acme.door, acme.as_admin(), HELPDESK.name)
    changed = replace(HELPDESK, may_hold_projects=False)
    await custom_roles.change(acme.door, acme.as_admin(), changed)
    await settled(acme)
    page = await admin_reads.show_person(acme.door, acme.org_id, ann)
    assert (page.person.primary_role, page.person.projects) == ("helpdesk", ())
    await assignments.set_role(acme.door, acme.as_admin(), ann, RoleName("user"))
    await custom_roles.delete(acme.door, acme.as_admin(), HELPDESK.name)
    names = [role.name for role in await custom_roles.list_roles(acme.door, acme.org_id)]
    assert names == ["account-admin", "auditor", "manager", "user"]


async def test_a_role_that_is_a_sources_ceiling_is_not_deleted(acme: House) -> None:
    await custom_roles.create(acme.door, acme.as_admin(), HELPDESK)
    await acme.source("hr", ceiling=HELPDESK.name)
    with pytest.raises(NotAllowedNow, match="helpdesk is the ceiling of the source hr"):
        await custom_roles.delete(acme.door, acme.as_admin(), HELPDESK.name)


async def test_nobody_makes_a_role_with_permissions_that_they_lack(acme: House) -> None:
    ctx = replace(acme.as_admin(), permissions=frozenset({"organization.manage"}))
    with pytest.raises(Forbidden, match=r"users\.read"):
        await custom_roles.create(acme.door, ctx, HELPDESK)


async def test_built_in_roles_and_unknown_permissions_are_refused(acme: House) -> None:
    with pytest.raises(NotAllowedNow, match="built in"):
        await custom_roles.delete(acme.door, acme.as_admin(), MANAGER)
    with pytest.raises(NotFound):
        await custom_roles.delete(acme.door, acme.as_admin(), RoleName("nothing"))
    with pytest.raises(InvalidValue, match=r"there is no 'everything'"):
        await custom_roles.create(
            acme.door, acme.as_admin(), replace(HELPDESK, permissions=frozenset({"everything"}))
        )
