"""Rules changed by hand: who gains and who loses, what is held, what the audit says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, Refusal
from scimd.db.tables import events, grants, rules, sources, unsettled
from scimd.org import admin_reads, organizations, rule_changes
from scimd.org.rule_changes import Edit, Preview, add, change, remove
from tests.org.house import House, house


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        ann, bob = await found.create("ann"), await found.create("bob")
        await found.group("eng-core", ann.person_id)
        await found.group("sales", bob.person_id)
        yield found


async def previewed(acme: House, edit: Edit) -> Preview:
    return await rule_changes.preview(acme.door, acme.as_admin(), "okta", edit)


async def applied(acme: House, edit: Edit, *, sure: bool = False) -> Preview:
    return await rule_changes.apply(acme.door, acme.as_admin(), "okta", edit, sure=sure, file="scimd.toml")


def told(preview: Preview) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {each.display_name: (each.gains, each.loses) for each in preview.people}


TEAM = {"pattern": "eng-*", "team": "Red", "project": "Engine"}


async def test_a_preview_says_what_the_change_does_and_changes_nothing(acme: House) -> None:
    """P11."""
    before = [await acme.rows(table) for table in (events, grants, rules, sources, unsettled)]
    wanted = await previewed(acme, add(TEAM))
    assert told(wanted) == {
        "Ann": (("project Engine as member", "team Red"), ("project eng-core as member",))
    }
    assert (wanted.concerned, wanted.gaining, wanted.losing, wanted.seats_more) == (2, 1, 1, 0)
    assert [await acme.rows(table) for table in (events, grants, rules, sources, unsettled)] == before
    assert await applied(acme, add(TEAM)) == wanted
    held = {row.kind for row in await acme.rows(grants, until=None, dormant=False)}
    assert "team" in held or await acme.rows(unsettled)
    (entry,) = await acme.rows(events, kind="rules.changed")
    assert entry.target_id == acme.scim


async def test_what_follows_from_the_rules_is_stored_when_it_is_settled(acme: House) -> None:
    await applied(acme, add(TEAM))
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []
    (first,) = await rule_changes.list_rules(acme.door, acme.org_id, "okta")
    assert (first["number"], first["pattern"], first["team"]) == (1, "eng-*", "Red")
    back = await applied(acme, remove(1))
    assert told(back)["Ann"][0] == ("project eng-core as member",)
    assert await rule_changes.list_rules(acme.door, acme.org_id, "okta") == []


async def test_a_changed_rule_keeps_what_is_not_said(acme: House) -> None:
    await applied(acme, add(TEAM))
    moved = await applied(acme, change(1, {"group": None, "pattern": "sales", "team": None}))
    assert told(moved)["Bob"] == (("project Engine as member",), ("project sales as member",))
    (rule,) = await rule_changes.list_rules(acme.door, acme.org_id, "okta")
    assert (rule["pattern"], rule["team"], rule["project"]) == ("sales", None, "Engine")


async def test_new_admins_are_held_until_somebody_confirms(acme: House) -> None:
    await acme.execute(update(sources).values(ceiling="account-admin"))
    await acme.run(lambda tx: _bump(tx), acme.as_admin())
    boss = {"pattern": "eng-*", "role": "account-admin", "may_give_account_admin": True}
    with pytest.raises(NotAllowedNow, match="1 new Account Admins, and the limit is 0"):
        await applied(acme, add(boss))
    assert await acme.rows(rules) == []
    assert (await applied(acme, add(boss), sure=True)).new_admins == 1
    assert len(await acme.rows(events, kind="rules.changed")) == 1


def _bump(tx: object) -> None:
    from scimd.org.generation import bump

    bump(tx)  # type: ignore[arg-type]


async def test_a_loss_of_access_over_the_limits_is_held(database_url: str) -> None:
    """Without a default project, whose rule goes has none, and no seat."""
    async with house(database_url, default_project=None) as acme:
        people = [(await acme.create(f"p{n}")).person_id for n in range(8)]
        await acme.group("eng-core", *people)
        await acme.execute(
            update(sources).values(config={"rule": [], "groups": {"default": "none"}, "name": "okta"})
        )
        await acme.run(_bump, acme.as_admin())
        gained = await applied(acme, add({"pattern": "eng-*", "project": "Engine"}))
        assert gained.concerned == 8
        gone = await previewed(acme, remove(1))
        assert (gone.losing, gone.seats_fewer) == (8, 8)
        with pytest.raises(NotAllowedNow, match="8 of 8 people"):
            await applied(acme, remove(1))
        assert (await organizations.by_slug(acme.door, "acme")).seats_used == 8
        await applied(acme, remove(1), sure=True)
        assert (await organizations.by_slug(acme.door, "acme")).seats_used == 0


async def test_rules_of_the_file_are_changed_there(acme: House) -> None:
    await acme.execute(update(sources).values(declared_in="file"))
    with pytest.raises(NotAllowedNow, match=r"stand in scimd\.toml"):
        await applied(acme, add(TEAM))
    assert (await previewed(acme, add(TEAM))).gaining == 1


@pytest.mark.parametrize(
    ("edit", "refusal"),
    [
        (add({"pattern": "x"}), InvalidValue),
        (add({"pattern": "x", "group": "y", "team": "Red"}), InvalidValue),
        (add({"pattern": "x", "role": "boss"}), InvalidValue),
        (add({"pattern": "x", "project": "P", "project_role": "king"}), InvalidValue),
        (change(7, {"team": "Red"}), NotFound),
        (remove(7), NotFound),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(acme: House, edit: Edit, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        await applied(acme, edit)
    assert await acme.rows(rules) == []


async def test_nobody_gives_by_a_rule_what_they_lack(acme: House) -> None:
    ctx = replace(acme.as_admin(), permissions=frozenset({"sources.manage"}), door="api")
    with pytest.raises(Forbidden):
        await rule_changes.apply(acme.door, ctx, "okta", add({"pattern": "x", "role": "manager"}))
    with pytest.raises(Forbidden):
        await rule_changes.preview(acme.door, replace(ctx, permissions=frozenset()), "okta", add(TEAM))
