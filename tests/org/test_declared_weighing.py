"""An edit of the file is weighed beside the transaction that makes it, so that nobody waits for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from scimd import config
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.standing import Standing
from scimd.org.declared import declared_organizations
from scimd.org.generation import bump
from scimd.org.grants import assignments
from scimd.org.organizations import settings
from scimd.org.settling import unsettled
from scimd.org.sources import held_changes, rule_changes, sources
from scimd.org.sources.held_changes import Change
from scimd.org.tx import Context, Door, Tx
from tests.org.house import House, house, user

IDP = {"name": "idp", "state": "active", "invite": "never", "groups": {"default": "none"}}
WORK = {"number": 1, "pattern": "All", "project": "Work"}
PLAY = {"number": 2, "pattern": "A*", "project": "{name}", "team": "Blue", "licence": "CAD"}


def file(*others: dict[str, Any], **of: Any) -> config.Organization:
    """``of``: what it says of the source "idp"."""
    values = {"name": "acme", "default_project": "none", "source": [{**IDP, "rule": [WORK], **of}, *others]}
    return config.Organization.model_validate(values)


async def speaker(acme: House, name: str = "idp") -> Context:
    return acme.as_scim((await sources.get_source(acme.door, acme.org_id, name)).id)


async def with_people(acme: House) -> list[str]:
    """Twelve, whom the group and its rule let in."""
    await declared_organizations.declare(acme.door, [file()])
    ctx = await speaker(acme)
    people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(12)]
    await acme.group("All", *people, ctx=ctx)
    return people


def first(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Awaitable[Any]]) -> list[Change]:
    """Have this done each time before an edit is weighed; gives the changes that were."""
    over, weighed = held_changes.over, list[Change]()

    async def later(door: Door, change: Change) -> Sequence[str]:
        weighed.append(change)
        await do()
        return await over(door, change)

    monkeypatch.setattr(held_changes, "over", later)
    return weighed


def never(*_: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize("pattern", ["A*", "Nobody"])
async def test_while_an_edit_is_weighed_others_write(
    database_url: str, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        people = await with_people(acme)
        ctx = await speaker(acme)

        async def others_write() -> None:
            beside.append((await acme.create(f"beside{len(beside)}", ctx)).person_id)
            await acme.change(people[0], ctx, title="CTO")
            assert [row.name for row in await sources.list_sources(acme.door, acme.org_id)] == known

        beside, known = list[str](), [row.name for row in await sources.list_sources(acme.door, acme.org_id)]
        weighed = first(monkeypatch, others_write)
        monkeypatch.setattr(held_changes, "over_at_once", never)
        edit = file(rule=[{**WORK, "pattern": pattern}])
        (done,) = await declared_organizations.declare(acme.door, [edit])
        assert (done.outcome, list(done.held)) == (("updated", []) if pattern == "A*" else ("held", ["idp"]))
        assert [change.concerned for change in weighed] == [tuple(sorted(people))]
        assert len(beside) == 1


async def _everybody(acme: House, monkeypatch: pytest.MonkeyPatch, edit: config.Organization) -> int:
    """Look at the edit; gives how many were weighed, whose standing is the same within it and beside it."""
    made_by, over = held_changes.made_by, held_changes.over
    within, beside = dict[str, Standing](), dict[str, Standing]()

    def ids_and_standings(found: Sequence[Any]) -> dict[str, Standing]:
        return {row.id: after for row, _, after in found}

    def made(tx: Tx) -> Change | None:
        change = made_by(tx)
        if change is not None:
            found = held_changes.standings_after(tx.conn, change=change, portion=change.concerned)
            within.update(ids_and_standings(found))
        return change

    async def looked(door: Door, change: Change) -> Sequence[str]:
        found = await door.read(
            lambda conn: held_changes.standings_after(conn, change=change, portion=change.concerned)
        )
        beside.update(ids_and_standings(found))
        return await over(door, change)

    with monkeypatch.context() as patch:
        patch.setattr(held_changes, "made_by", made)
        patch.setattr(held_changes, "over", looked)
        await declared_organizations.look(acme.door, acme.as_admin(), edit)
    assert beside == within
    return len(beside)


async def test_beside_the_transaction_everybody_stands_as_within_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        people = await with_people(acme)
        hr = {**IDP, "name": "hr", "state": "shadow", "auto_approve": "domains"}
        await settings.change(acme.door, acme.as_admin(), settings.Change(approval_required=True))
        await declared_organizations.declare(acme.door, [file(hr)])
        shadow = await speaker(acme, "hr")
        inside = (await acme.create("inside", shadow)).person_id
        outside = (await acme.create("outside", shadow, mail="o@elsewhere.example")).person_id
        await acme.group("Above", inside, outside, ctx=shadow)
        await acme.group("Also", people[0], ctx=await speaker(acme))
        for edit, concerned in (
            (file(hr, rule=[WORK, PLAY]), 12),
            (file(hr, rule=[PLAY]), 12),
            (file(hr, rule=[]), 12),
            (file(hr, groups={"default": "project"}, rule=[]), 12),
            (file(hr, ceiling="user"), 12),
            (file(hr, invite="immediate"), 12),
            (file(hr, state="shadow"), 12),
            (file({**hr, "state": "active"}), 2),
            (file({**hr, "state": "active", "rule": [PLAY]}, rule=[]), 14),
            (file({**hr, "priority": 1}, priority=2), 14),
            (file(hr).model_copy(update={"default_project": "General"}), 14),
        ):
            acme.clock.forward(minutes=1)  # whom something else marked at this moment counts, too
            assert await _everybody(acme, monkeypatch, edit) == concerned, edit


async def test_who_changes_the_rules_meanwhile_has_an_edit_weighed_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have the project by two sources' rules; while the file's is looked at, the other one goes."""
    async with house(database_url, default_project=None) as acme:
        people = await with_people(acme)
        await acme.source("other", config={"rule": [WORK], "groups": {"default": "none"}})
        other = await speaker(acme, "other")
        await acme.push(*(user(f"p{n}", person_id=each) for n, each in enumerate(people)), ctx=other)
        await acme.group("All", *people, ctx=other)

        async def once() -> None:
            if len(weighed) == 1:
                remove = rule_changes.remove(1)
                await rule_changes.apply(acme.door, acme.as_admin(), "other", remove, sure=True)

        weighed = first(monkeypatch, once)
        monkeypatch.setattr(held_changes, "over_at_once", never)
        (done,) = await declared_organizations.declare(acme.door, [file(rule=[])])
        assert list(done.held) == ["idp"]
        await unsettled.settle_marked(acme.door, acme.org_id, budget_s=5)
        assert {(await acme.person(each)).status for each in people} == {"active"}


@pytest.mark.parametrize(("rules", "held"), [([WORK, PLAY], []), ([], ["idp"])])
async def test_where_the_rules_never_rest_others_wait_while_an_edit_is_weighed(
    database_url: str, rules: list[Any], held: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        await with_people(acme)
        weighed = first(monkeypatch, lambda: acme.run(bump))
        over, at_once = held_changes.over_at_once, list[Change]()

        def within(tx: Tx, change: Change) -> Sequence[str]:
            at_once.append(change)
            return over(tx, change)

        monkeypatch.setattr(held_changes, "over_at_once", within)
        (done,) = await declared_organizations.declare(acme.door, [file(rule=rules)])
        assert list(done.held) == held
        assert len({change.book.rules.version for change in weighed}) == len(weighed) > 1
        assert len(at_once) == (0 if held else 1)  # of nobody's standing, it is not weighed


async def test_an_edit_that_came_to_take_the_last_account_admin_is_held(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        people = await with_people(acme)
        admins = {"number": 2, "pattern": "Admins", "role": ACCOUNT_ADMIN, "may_give_account_admin": True}
        await declared_organizations.declare(acme.door, [file(rule=[WORK, admins])])
        dana, eva = (PersonId(each) for each in people[:2])
        await acme.group("Admins", dana, ctx=await speaker(acme))
        await acme.grant(eva, "role", ACCOUNT_ADMIN)

        async def demote() -> None:
            if len(weighed) == 1:
                await assignments.remove_role(acme.door, acme.as_admin(), eva, ACCOUNT_ADMIN)

        weighed = first(monkeypatch, demote)
        (done,) = await declared_organizations.declare(acme.door, [file()])
        assert list(done.held) == ["idp"]
        assert done.held["idp"].endswith("No approval lets that through.")
        assert (await acme.person(dana)).primary_role == ACCOUNT_ADMIN
