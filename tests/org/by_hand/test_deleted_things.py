"""What was deleted is not given back, and nothing is given while it is deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from scimd.core.errors import Refusal
from scimd.core.people import LicenceId, PersonId, RoleName, TeamId
from scimd.core.roles import OrgRole
from scimd.db.tables import grants
from scimd.org.decisions import decisions
from scimd.org.grants import assignments, custom_roles, manual_grants, named
from scimd.org.identities import merging, unmerging
from tests.org.by_hand.local import active, clean
from tests.org.house import House, user

HELPER = RoleName("helper")


async def role(acme: House) -> None:
    helper = OrgRole(HELPER, "Helper", frozenset({"users.read"}), may_hold_projects=True)
    await custom_roles.create(acme.door, acme.as_admin(), helper)


async def things(acme: House) -> tuple[TeamId, LicenceId]:
    await role(acme)
    team = await named.create(acme.door, acme.as_admin(), "team", "Red")
    licence = await named.create(acme.door, acme.as_admin(), "licence", "Gold")
    return TeamId(team.id), LicenceId(licence.id)


async def give(acme: House, person_id: PersonId, team: TeamId, licence: LicenceId) -> None:
    await assignments.add_role(acme.door, acme.as_admin(), person_id, HELPER)
    await assignments.set_team(acme.door, acme.as_admin(), person_id, team)
    await assignments.give_licence(acme.door, acme.as_admin(), person_id, licence)


async def delete(acme: House, team: TeamId, licence: LicenceId) -> None:
    """All three; and another role is called as the old one was."""
    await custom_roles.delete(acme.door, acme.as_admin(), HELPER)
    await named.delete(acme.door, acme.as_admin(), "team", team)
    await named.delete(acme.door, acme.as_admin(), "licence", licence)
    await role(acme)


async def held(acme: House, person_id: PersonId) -> set[str]:
    rows = await acme.rows(grants, person_id=person_id, until=None)
    return {row.target for row in rows if row.kind != "project"}


async def test_an_unmerge_does_not_give_back_what_was_deleted(acme: House) -> None:
    ann, twin = await active(acme), await active(acme, "twin")
    team, licence = await things(acme)
    await give(acme, twin, team, licence)
    await merging.merge(acme.door, acme.as_admin(), ann, twin)
    assert await held(acme, ann) >= {HELPER, team, licence}
    await assignments.remove_role(acme.door, acme.as_admin(), ann, HELPER)
    await assignments.set_team(acme.door, acme.as_admin(), ann, None)
    await assignments.take_licence(acme.door, acme.as_admin(), ann, licence)
    await delete(acme, team, licence)
    await unmerging.unmerge(acme.door, acme.as_admin(), twin)
    assert not await held(acme, twin) & {HELPER, team, licence}
    await clean(acme)


@pytest.mark.parametrize("deleted", [True, False])
async def test_an_answer_gives_back_what_is_still_there(acme: House, deleted: bool) -> None:
    ann = PersonId((await acme.create("ann")).person_id)
    team, licence = await things(acme)
    await give(acme, ann, team, licence)
    await acme.change(ann, active=False)
    await acme.push(user("ann", external_id="x-other"))
    if deleted:
        await delete(acme, team, licence)
    (item,) = await decisions.list_decisions(acme.door, acme.org_id)
    await decisions.answer(acme.door, acme.as_admin(), item.id, "give_back")
    assert (await held(acme, ann) >= {HELPER, team, licence}) is not deleted
    assert not (deleted and await held(acme, ann) & {HELPER, team, licence})
    await clean(acme)


async def test_an_answer_about_somebody_merged_is_about_who_was_kept(acme: House) -> None:
    ann, bob = PersonId((await acme.create("ann")).person_id), await active(acme, "bob")
    await assignments.add_role(acme.door, acme.as_admin(), ann, RoleName("auditor"))
    await acme.change(ann, active=False)
    await acme.push(user("ann", external_id="x-other"))
    await merging.merge(acme.door, acme.as_admin(), bob, ann)
    (item,) = await decisions.list_decisions(acme.door, acme.org_id)
    await decisions.answer(acme.door, acme.as_admin(), item.id, "give_back")
    assert "auditor" in await held(acme, bob)
    assert "auditor" not in await held(acme, ann)


Calls = Callable[[House, PersonId, TeamId, LicenceId], tuple[Awaitable[None], Awaitable[None]]]


@pytest.mark.parametrize(
    "calls",
    [
        lambda acme, ann, team, _: (
            assignments.set_team(acme.door, acme.as_admin(), ann, team),
            named.delete(acme.door, acme.as_admin(), "team", team),
        ),
        lambda acme, ann, _, licence: (
            assignments.give_licence(acme.door, acme.as_admin(), ann, licence),
            named.delete(acme.door, acme.as_admin(), "licence", licence),
        ),
        lambda acme, ann, *_: (
            assignments.add_role(acme.door, acme.as_admin(), ann, HELPER),
            custom_roles.delete(acme.door, acme.as_admin(), HELPER),
        ),
    ],
    ids=["team", "licence", "role"],
)
async def test_of_giving_and_deleting_at_once_one_is_refused(
    acme: House, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await active(acme)
    team, licence = await things(acme)
    there = manual_grants.is_there

    def slowly(*args: object) -> bool:
        found = there(*args)  # type: ignore[arg-type]
        time.sleep(0.3)  # so that the other one comes meanwhile
        return found

    monkeypatch.setattr(manual_grants, "is_there", slowly)
    giving, deleting = calls(acme, ann, team, licence)
    given = asyncio.ensure_future(giving)
    await asyncio.sleep(0.1)
    done = await asyncio.gather(given, deleting, return_exceptions=True)
    assert [type(each) for each in done if each is not None and not isinstance(each, Refusal)] == []
    assert sum(each is None for each in done) == 1
    await clean(acme)
