"""Roles, projects and teams (U6, P2 to P5)."""

from __future__ import annotations

from collections import Counter

import pytest

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, OwnedBySource
from scimd.core.people import LicenceId, ProjectId, RoleName, TeamId
from scimd.core.roles import MANAGER, MEMBER, OWNER, USER, VIEWER
from scimd.db.tables import grants, projects
from scimd.org.authentication import access
from scimd.org.grants import assignments, named, project_upkeep
from scimd.org.grants import projects as project_rows
from scimd.org.invitations import invitations
from scimd.org.users import gates as hand
from scimd.org.users import my_profile, user_reads
from tests.org.by_hand.local import active, clean, kinds, let_in
from tests.org.house import House, house


async def test_a_managers_projects_go_dormant_and_come_back_with_the_role(acme: House) -> None:
    ann = await active(acme)
    await assignments.set_role(acme.door, acme.as_admin(), ann, MANAGER)
    assert (await acme.person(ann)).roles == [MANAGER]
    await assignments.set_role(acme.door, acme.as_admin(), ann, USER)
    live = await acme.rows(grants, person_id=ann, kind="project", until=None)
    assert [row.dormant for row in live] == [False]
    await clean(acme)


async def test_further_roles_join_and_leave_the_set(acme: House) -> None:
    ann = await active(acme, role=MANAGER)
    await assignments.add_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))
    assert (await acme.person(ann)).roles == ["manager", "auditor"]
    await assignments.remove_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))
    assert (await acme.person(ann)).roles == ["manager"]
    with pytest.raises(NotFound):
        await assignments.remove_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))


async def test_an_unknown_role_is_refused_with_those_that_there_are(acme: House) -> None:
    ann = await active(acme)
    with pytest.raises(InvalidValue, match="account-admin, auditor, manager, user"):
        await assignments.set_role(acme.door, acme.as_admin(), ann, RoleName("boss"))


async def project(acme: House, name: str) -> ProjectId:
    return await acme.run(lambda tx: project_rows.make(tx, name), acme.as_admin())


async def test_a_project_role_by_hand_is_given_changed_and_taken_back(acme: House) -> None:
    ann, alpha, beta = await active(acme), await project(acme, "Alpha"), await project(acme, "Beta")
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha)
    await assignments.set_project(acme.door, acme.as_admin(), ann, beta, VIEWER)
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha, VIEWER)
    held = await acme.rows(grants, person_id=ann, kind="project", until=None)
    assert {(row.target, row.project_role) for row in held} == {(alpha, "viewer"), (beta, "viewer")}
    await assignments.remove_project(acme.door, acme.as_admin(), ann, alpha)
    with pytest.raises(NotAllowedNow, match="at least one project"):
        await assignments.remove_project(acme.door, acme.as_admin(), ann, beta)
    await clean(acme)


async def test_a_project_that_several_give_is_listed_once_at_every_door_with_the_strongest_role(
    acme: House,
) -> None:
    ann = (await acme.create("ann")).person_id
    await acme.group("Alpha", ann)
    await let_in(acme, ann)
    (alpha,) = await acme.rows(projects, name="Alpha")
    for by_hand, strongest in ((VIEWER, MEMBER), (OWNER, OWNER)):
        await assignments.set_project(acme.door, acme.as_admin(), ann, alpha.id, by_hand)
        invited = await acme.door.read(lambda conn: invitations.projects_of(conn, acme.org_id, ann))
        assert [(each.name, each.role) for each in invited] == [("Alpha", strongest)]
        lists = [
            (await my_profile.show(acme.door, acme.org_id, ann)).projects,
            (await user_reads.get_user(acme.door, acme.org_id, ann)).projects,
            (await access.of_person(acme.door, acme.as_admin(), ann)).projects,
        ]
        assert [[(each.name, each.role) for each in found] for found in lists] == [[("Alpha", strongest)]] * 3


async def test_no_hand_leaves_anybody_without_the_project_that_their_role_needs(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        ctx, alpha, beta = acme.as_admin(), await project(acme, "Alpha"), await project(acme, "Beta")
        ann, boss = await active(acme, projects={alpha: MEMBER}), await active(acme, "boss", role=MANAGER)
        for change in (
            assignments.set_role(acme.door, ctx, boss, USER),
            assignments.remove_role(acme.door, ctx, boss, MANAGER),
        ):
            with pytest.raises(NotAllowedNow, match="takes part in at least one project"):
                await change
        with pytest.raises(NotAllowedNow, match="'Alpha' is the only project of 1 person"):
            await project_upkeep.archive(acme.door, ctx, alpha)
        assert [(await acme.person(who)).status for who in (ann, boss)] == ["active", "active"]
        for who in (ann, boss):
            await assignments.set_project(acme.door, ctx, who, beta)
        await assignments.set_role(acme.door, ctx, boss, USER)
        await project_upkeep.archive(acme.door, ctx, alpha)
        assert [(await acme.person(who)).status for who in (ann, boss)] == ["active", "active"]
        await clean(acme)


async def test_a_project_that_a_group_gives_is_not_taken_by_hand(acme: House) -> None:
    pushed = await acme.create("ann")
    await acme.group("Research", pushed.person_id)
    (row,) = await acme.rows(projects, name="Research")
    with pytest.raises(OwnedBySource, match="The project 'Research' comes from the source okta"):
        await assignments.remove_project(acme.door, acme.as_admin(), pushed.person_id, ProjectId(row.id))


async def test_what_no_hand_gave_is_refused_by_its_name(acme: House) -> None:
    ctx, ann, alpha = acme.as_admin(), await active(acme), await project(acme, "Alpha")
    (general,) = await acme.rows(projects, name="General")
    gold = await named.create(acme.door, ctx, "licence", "Gold")
    for change, why in (
        (assignments.remove_project(acme.door, ctx, ann, alpha), "does not take part in 'Alpha'"),
        (assignments.remove_project(acme.door, ctx, ann, general.id), "in 'General' only by default"),
        (assignments.take_licence(acme.door, ctx, ann, LicenceId(gold.id)), "have the licence 'Gold'"),
        (assignments.remove_role(acme.door, ctx, ann, MANAGER), "have the role 'Manager'"),
        (assignments.remove_project(acme.door, ctx, ann, ProjectId("x")), "There is no project 'x' here"),
    ):
        with pytest.raises(NotFound, match=why):
            await change
    with pytest.raises(NotAllowedNow, match="is not deleted"):
        await hand.restore(acme.door, ctx, ann)


async def test_each_person_is_in_one_team(acme: House) -> None:
    ann = await active(acme)
    red = await acme.run(lambda tx: named.team_named(tx, "Red"), acme.as_admin())
    blue = await acme.run(lambda tx: named.team_named(tx, "Blue"), acme.as_admin())
    await assignments.set_team(acme.door, acme.as_admin(), ann, red)
    await assignments.set_team(acme.door, acme.as_admin(), ann, blue)
    assert (await acme.person(ann)).team_id == blue
    await assignments.set_team(acme.door, acme.as_admin(), ann, None)
    assert (await acme.person(ann)).team_id is None
    with pytest.raises(NotFound):
        await assignments.set_team(acme.door, acme.as_admin(), ann, TeamId("nowhere"))


async def test_each_change_by_hand_has_one_entry_of_its_own(acme: House) -> None:
    """V17."""
    ann = await active(acme)
    alpha = await project(acme, "Alpha")
    before = Counter(await kinds(acme, ann))
    await assignments.set_project(acme.door, acme.as_admin(), ann, alpha)
    assert (Counter(await kinds(acme, ann)) - before)["grant.given"] == 1
    await hand.deactivate(acme.door, acme.as_admin(), ann)
    assert (Counter(await kinds(acme, ann)) - before)["person.deactivated"] == 1
