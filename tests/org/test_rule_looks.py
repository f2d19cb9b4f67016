"""A change of rules looks at those for whom something else may follow, and has them settled first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from scimd.core.errors import NotAllowedNow, Protected
from scimd.core.people import ProjectId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.db.tables import assertions, grants, people, projects, sources, unsettled
from scimd.org.generation import bump
from scimd.org.grants import project_upkeep
from scimd.org.identities import detaching
from scimd.org.settling.unsettled import JOINERS, LEAVERS, mark_all, settle_marked
from scimd.org.sources import rule_changes, rule_previews
from scimd.org.sources.held_changes import Tally
from scimd.org.sources.rule_changes import Edit, add, change, remove
from scimd.org.users import admin_reads
from tests.org.house import House, house, user
from tests.support.patience import AT_MOST_S

CORE, CLERKS = 4, 12


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    """Clerks, and a core in a group that is in another one; one has a value, one left, one is another's."""
    async with house(database_url) as found:
        clerks = [(await found.create(f"c{n}")).person_id for n in range(CLERKS)]
        core = [(await found.create(f"p{n}")).person_id for n in range(CORE)]
        await found.change(clerks[0], roles=[{"value": "Lead"}])
        await found.change(clerks[1], active=False)
        await found.group("clerks", *clerks)
        await found.group("eng-all", await found.group("core", *core), clerks[2])
        first = found.as_scim(await found.source("hr", priority=1, config={"join": ["mail"]}))
        await found.create("p0", first, mail="p0@acme.example")
        boss = await found.create("boss", first)
        await found.grant(boss.person_id, "role", ACCOUNT_ADMIN)
        await settle_marked(found.door, found.org_id, budget_s=AT_MOST_S)
        yield found


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those whom previews look at from here on."""
    seen, gather = list[str](), rule_previews.gather

    def noted(conn: Connection, book: Any, rows: Any) -> Any:
        seen.extend(row.display_name for row in rows)
        return gather(conn, book, rows)

    monkeypatch.setattr(rule_previews, "gather", noted)
    return seen


def looks_at_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have previews look at all whom the source knows."""
    wished = rule_previews.wished

    def everybody(conn: Connection, *given: Any) -> rule_previews.Wish:
        wish = wished(conn, *given)
        return replace(wish, touched=rule_previews._concerned(conn, wish.source))

    monkeypatch.setattr(rule_previews, "wished", everybody)


TEAM = {"pattern": "eng-*", "team": "Red"}
LEAD = {"scim_role": "lead", "licence": "Pro"}


async def applied(acme: House, edit: Edit, *, sure: bool = True) -> rule_previews.Preview:
    return await rule_changes.apply(acme.door, acme.as_admin(), "okta", edit, sure=sure)


async def test_whom_a_change_does_not_concern_is_not_looked_at_and_counts_all_the_same(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = looked_at(monkeypatch)
    told = await applied(acme, add(TEAM), sure=False)
    assert sorted(seen) == ["C2", *(f"P{n}" for n in range(CORE))]
    assert (told.concerned, told.looked_at) == (CLERKS + CORE, CLERKS + CORE)
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    seen.clear()
    assert (await applied(acme, add(LEAD))).gaining == 1
    assert seen == ["C0"]


async def test_a_preview_that_looks_at_some_tells_of_them_and_of_those_who_are_not_concerned(
    acme: House,
) -> None:
    told = await rule_changes.preview(acme.door, acme.as_admin(), "okta", add(TEAM), at_most=2)
    assert (told.concerned, told.looked_at, told.moving) == (CLERKS + CORE, CLERKS + 1, 2)


async def test_those_whom_a_change_concerns_are_settled_first(acme: House) -> None:
    """A rule for a few had all of a large source settled anew. Where others write meanwhile they are
    still, later: one of them may come into a group, or get a value, at that moment."""
    others = 0 if acme.door.db.dialect == "sqlite" else CLERKS + CORE - 1
    for edit in (add(LEAD), change(1, {"team": "Red"})):
        await applied(acme, edit)
        turns = Counter(row.turn for row in await acme.rows(unsettled))
        assert (turns[LEAVERS], turns[JOINERS]) == (1, others)
        await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    await applied(acme, add(TEAM))
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_a_rule_on_a_value_that_may_give_account_admin_from_now_on_gives_it(acme: House) -> None:
    """What it gives is the same, and nobody had it."""
    told = await applied(acme, add({"scim_role": "lead", "role": ACCOUNT_ADMIN}))
    assert (told.gaining, told.new_admins) == (0, 0)
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    told = await applied(acme, change(1, {"may_give_account_admin": True}))
    assert (told.gaining, told.new_admins) == (1, 1)
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


def figures(tally: Tally) -> dict[Any, int]:
    """All that it counted, by what and whose."""
    flat = {
        (name, owner): count
        for name in ("_linked", "_losing", "_new_admins")
        for owner, count in getattr(tally, name).items()
    }
    nested = {
        (name, owner, thing): count
        for name in ("_before", "_lost", "_left")
        for owner, counts in getattr(tally, name).items()
        for thing, count in counts.items()
    }
    return {key: count for key, count in (flat | nested).items() if count}


async def test_what_counts_is_what_a_look_at_each_alone_counts(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is alike is counted once with their number, and whom the change does not touch by sums."""
    inviting = acme.as_scim(
        await acme.source("it", priority=2, invite="immediate", config={"join": ["mail"]})
    )
    for name in ("p1", "c3"):
        await acme.create(name, inviting, mail=f"{name}@acme.example")
    ids = {row.display_name: row.id for row in await acme.rows(people)}
    await detaching.detach(acme.door, acme.as_admin(), ids["C4"], "okta")
    await acme.grant(ids["C9"], "team", "blue")
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    # Of these something else is stored than follows.
    await acme.execute(people.update().where(people.c.id == ids["C7"]).values(owner_source_id=None))
    await acme.execute(grants.update().where(grants.c.person_id == ids["C8"]).values(dormant=True))
    stale = select(people.c.id).where(people.c.display_name.in_(["C7", "C8"]))
    await acme.run(lambda tx: mark_all(tx, stale, 0))
    tallies = list[Tally]()

    class Noted(Tally):
        def __init__(self) -> None:
            super().__init__()
            tallies.append(self)

    monkeypatch.setattr(rule_previews, "Tally", Noted)
    for edit in (
        add(TEAM),
        add({"pattern": "clerks", "licence": "Pro"}),
        add({"pattern": "*", "team": "Red"}),
    ):
        told = await rule_changes.preview(acme.door, acme.as_admin(), "okta", edit)
        with monkeypatch.context() as patch:
            looks_at_everybody(patch)
            patch.setattr(rule_previews, "_AT_ONCE", 1)
            assert told == await rule_changes.preview(acme.door, acme.as_admin(), "okta", edit)
        some, each = tallies
        assert some.takes
        assert figures(some) == figures(each)
        tallies.clear()


BOSS = {"pattern": "core", "role": "account-admin"}
EDITS: list[Edit] = [
    add(TEAM),
    add(LEAD),
    change(2, {"scim_role": "LEAD"}),  # grants say by which value, as it is spelled
    change(1, {"project": "Engine"}),
    change(2, {"team": "Blue", "role": "manager"}),
    add(BOSS),
    change(3, {"may_give_account_admin": True}),
    add({"pattern": "*", "project": "All {name}"}),
    change(4, {"project_role": "viewer"}),
    change(1, {"pattern": None, "entitlement": "lead"}),
    remove(4),
    remove(3),
    remove(2),
]


async def test_what_is_told_is_what_a_look_at_everybody_tells(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the limits, of people of other sources, and of those who are still to be settled."""
    await acme.execute(sources.update().values(ceiling="account-admin"))
    for edit in EDITS:
        narrow = await rule_changes.preview(acme.door, acme.as_admin(), "okta", edit)
        with monkeypatch.context() as patch:
            looks_at_everybody(patch)
            assert narrow == await rule_changes.preview(acme.door, acme.as_admin(), "okta", edit)
        if narrow.held:
            with pytest.raises(NotAllowedNow):
                await applied(acme, edit, sure=False)
        assert await applied(acme, edit) == narrow
        if edit is not EDITS[0]:
            await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_who_is_still_to_be_settled_is_looked_at(acme: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored of them is not what follows."""
    known = select(assertions.c.person_id).where(assertions.c.external_id == "x-c5")
    await acme.run(lambda tx: mark_all(tx, known, 0))
    seen = looked_at(monkeypatch)
    await rule_changes.preview(acme.door, acme.as_admin(), "okta", add(TEAM))
    assert "C5" in seen


async def test_rules_that_are_as_they_were_bind_nothing_anew(acme: House) -> None:
    """The project that a rule names is archived: another is made once the rules change."""
    await applied(acme, add({"pattern": "eng-*", "project": "Engine"}))
    (engine,) = await acme.rows(projects, name="Engine")
    await project_upkeep.archive(acme.door, acme.as_admin(), ProjectId(engine.id))
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
    assert (await applied(acme, change(1, {}))).moving == 0
    assert len(await acme.rows(projects, name="Engine")) == 1
    assert (await applied(acme, change(1, {"team": "Red"}))).moving == CORE + 1
    assert len(await acme.rows(projects, name="Engine")) == 2


async def _pushed(acme: House, **sizes: int) -> None:
    """A group of each name, with so many people of its own."""
    for name, many in sizes.items():
        people = await acme.push(*(user(f"{name}-{n}") for n in range(many)))
        await acme.group(name, *(str(each.person_id) for each in people))


async def _ruled(acme: House, *given: dict[str, str]) -> None:
    """The source gives by these rules alone."""
    await acme.execute(sources.update().values(config={"name": "okta", "groups": {"default": "none"}}))
    await acme.run(lambda tx: bump(tx), acme.as_admin())
    for rule in given:
        await applied(acme, add(rule))
    await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)


async def test_who_loses_access_is_a_share_of_all_who_have_it(database_url: str) -> None:
    """Also of those whom the change does not concern: 6 of 66 are within the limits, 6 of 6 would not be."""
    async with house(database_url, default_project=None) as acme:
        await _pushed(acme, few=6, many=60)
        await _ruled(acme, {"pattern": "few", "project": "Few"}, {"pattern": "many", "project": "Many"})
        told = await applied(acme, remove(1), sure=False)
        assert (told.losing, told.seats["freed"], told.held) == (6, 6, ())


async def test_a_project_that_others_have_too_loses_a_share_of_all_its_people(database_url: str) -> None:
    """And is not one that nobody would have any more."""
    async with house(database_url) as acme:
        await _pushed(acme, x1=10, x2=1, x3=1, x4=1, y1=12, y2=2, y3=2, y4=2)
        others = ({"pattern": f"y{n}", "project": f"x{n}"} for n in range(1, 5))
        await _ruled(acme, {"pattern": "x*", "project": "{name}"}, *others)
        told = await applied(acme, remove(1), sure=False)
        assert (told.losing, told.held) == (13, ())


@pytest.mark.parametrize("edit", [remove(1), change(1, {"may_give_account_admin": False})])
async def test_the_last_account_admin_keeps_what_a_value_gives(database_url: str, edit: Edit) -> None:
    """Whoever has it is settled with the change itself, not later."""
    async with house(database_url) as acme:
        boss = await acme.create("boss", roles=[{"value": "Lead"}])
        giving = {"scim_role": "lead", "role": ACCOUNT_ADMIN, "may_give_account_admin": True}
        await applied(acme, add(giving))
        await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
        with pytest.raises(Protected):
            await applied(acme, edit)
        await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
        assert (await acme.person(boss.person_id)).primary_role == ACCOUNT_ADMIN
