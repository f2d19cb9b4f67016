"""Rules changed by hand: who gains and who loses, what is held, what the audit says."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, Refusal, StateMoved
from scimd.db.tables import events, grants, groups, rules, sources, unsettled
from scimd.org import rulebook
from scimd.org.organizations import organizations
from scimd.org.runs import plan_ground
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import rule_changes, rule_previews
from scimd.org.sources.rule_changes import Edit, add, change, remove
from scimd.org.sources.rule_previews import Preview
from scimd.org.users import admin_reads
from tests.org.house import House, house, standings_worked_out
from tests.support.patience import AT_MOST_S


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
    assert (wanted.concerned, wanted.gaining, wanted.losing, wanted.moving) == (2, 1, 1, 1)
    assert (wanted.seats["before"], wanted.seats["after"]) == (2, 2)
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
    with pytest.raises(NotAllowedNow, match="1 person would become an Account Admin; the limit is 0"):
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
        assert (gone.losing, gone.seats["freed"], gone.seats["after"]) == (8, 8, 0)
        with pytest.raises(NotAllowedNow, match="8 of 8 people"):
            await applied(acme, remove(1))
        assert (await organizations.by_slug(acme.door, "acme")).seats_used == 8
        await applied(acme, remove(1), sure=True)
        assert (await organizations.by_slug(acme.door, "acme")).seats_used == 0


async def test_a_preview_seats_nobody_for_whom_there_is_no_seat(database_url: str) -> None:
    async with house(database_url, default_project=None, seats_=3) as acme:
        await acme.execute(
            update(sources).values(config={"rule": [], "groups": {"default": "none"}, "name": "okta"})
        )
        await acme.run(_bump, acme.as_admin())
        people = [(await acme.create(f"p{n}")).person_id for n in range(5)]
        await acme.group("eng-core", *people)
        more = await previewed(acme, add({"pattern": "eng-*", "project": "Engine"}))
        assert more.seats == {
            "limit": 3, "before": 0, "freed": 0, "wanted": 5, "after": 3, "waiting": 2,
        }  # fmt: skip


async def test_losing_a_project_counts_like_leaving_a_group(acme: House) -> None:
    """P8: people who keep their seat lose something all the same, and a preview says what would be held."""
    people = [(await acme.create(f"p{n}")).person_id for n in range(12)]
    await acme.group("research", *people)
    given = {"group": "x-research", "project": "Lab", "project_role": "owner"}
    await acme.execute(
        groups.update().where(groups.c.display_name == "research").values(external_id="x-research")
    )
    await applied(acme, add({**given, "licence": "Studio"}), sure=True)
    await settle_marked(acme.door, acme.org_id, budget_s=30)
    weaker = await previewed(acme, change(1, {"project_role": "viewer"}))
    assert weaker.seats["freed"] == 0
    assert [each.partition(": ")[2] for each in weaker.held] == [
        "the project Lab would lose 12 of 12 members; the limit is 50 %."
    ]
    gone = await previewed(acme, change(1, {"licence": None}))
    assert "the licence Studio would lose 12 of 12 members" in gone.held[0]
    with pytest.raises(NotAllowedNow, match=r"the licence Studio would lose 12 of 12 .* It is held"):
        await applied(acme, change(1, {"licence": None}))
    assert len(await acme.rows(events, kind="rules.changed")) == 1
    assert (await previewed(acme, change(1, {"team": "Red"}))).held == ()
    await applied(acme, change(1, {"licence": None}), sure=True)
    assert len(await acme.rows(events, kind="rules.changed")) == 2


async def test_nobody_waits_for_a_preview_and_it_waits_for_nobody(acme: House) -> None:
    """A writer holds the database; the preview is worked out beside it."""
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(conn: Connection) -> None:
        conn.execute(update(sources).values(failures=1))
        loop.call_soon_threadsafe(begun.set)
        over.wait(AT_MOST_S)

    writing = asyncio.create_task(acme.door.db.write(hold, timeout_s=2 * AT_MOST_S))
    try:
        await begun.wait()
        assert told(await previewed(acme, add(TEAM)))["Ann"][0] == ("project Engine as member", "team Red")
    finally:
        over.set()
        await writing


async def test_a_change_rests_on_what_was_looked_at(acme: House, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look(*given: Any) -> Preview:
        looks.append(await real(*given))
        if len(looks) <= moving:
            await acme.run(_bump, acme.as_admin())
        return looks[-1]

    real, moving = rule_previews.look, 1
    monkeypatch.setattr(rule_previews, "look", look)
    assert (await applied(acme, add(TEAM))).gaining == 1
    assert len(looks) == 2
    moving = 99
    with pytest.raises(StateMoved):
        await applied(acme, remove(1))
    assert len(await acme.rows(events, kind="rules.changed")) == 1


async def test_rules_of_the_file_are_changed_there(acme: House) -> None:
    await acme.execute(update(sources).values(declared_in="file"))
    with pytest.raises(NotAllowedNow, match=r"stand in scimd\.toml"):
        await applied(acme, add(TEAM))
    assert (await previewed(acme, add(TEAM))).gaining == 1


async def test_what_follows_for_people_who_are_alike_is_worked_out_once(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of a preview's time was the same standing, over and over."""
    await acme.group("eng-all", *[(await acme.create(f"p{n}")).person_id for n in range(9)])
    worked_out = standings_worked_out(monkeypatch)
    wanted = await previewed(acme, add(TEAM))
    assert (wanted.looked_at, wanted.gaining, len(worked_out)) == (11, 10, 2)
    monkeypatch.setattr(rulebook, "_DECISIONS_KEPT", 1)
    assert await previewed(acme, add(TEAM)) == wanted


async def test_of_all_who_move_no_more_are_kept_than_are_named(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100,000 it was 100 MB; who is named is the first of them, over all portions."""
    others = [(await acme.create(f"p{n}")).person_id for n in range(9)]
    await acme.group("eng-all", *others)
    everybody = (await previewed(acme, add(TEAM))).people
    monkeypatch.setattr(rule_previews, "_AT_ONCE", 2)
    monkeypatch.setattr(rule_previews, "NAMED", 3)
    kept, figures = list[int](), plan_ground.seats

    def counted(*args: Any) -> Any:
        kept.append(sum(isinstance(each, rule_previews._Difference) for each in gc.get_objects()))
        return figures(*args)

    monkeypatch.setattr(plan_ground, "seats", counted)
    told = await previewed(acme, add(TEAM))
    assert (told.moving, told.gaining, told.losing) == (10, 10, 10)
    assert told.people == everybody[:3]
    assert max(kept) <= 3 + 2  # with the last portion


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


@pytest.mark.parametrize(
    "edit", [remove(1), change(1, {"role": None, "team": "Red"})], ids=["remove", "change"]
)
async def test_nobody_takes_by_a_rule_what_they_lack(acme: House, edit: Edit) -> None:
    await applied(acme, add({"pattern": "eng-*", "role": "manager"}))
    ctx = replace(acme.as_admin(), permissions=frozenset({"sources.manage"}), door="api")
    with pytest.raises(Forbidden, match=r"invitations\.manage"):
        await rule_changes.preview(acme.door, ctx, "okta", edit)
    with pytest.raises(Forbidden, match=r"invitations\.manage"):
        await rule_changes.apply(acme.door, ctx, "okta", edit, sure=True)
    (rule,) = await rule_changes.list_rules(acme.door, acme.org_id, "okta")
    assert rule["role"] == "manager"
    await applied(acme, edit, sure=True)
