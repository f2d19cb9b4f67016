"""A source that leaves the file, and the end of one: its people removed, or kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from scimd import config
from scimd.core.errors import Forbidden, NotAllowedNow, NotFound, Protected
from scimd.core.people import PersonId, SourceId
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.db.tables import decisions, events, grants, groups
from scimd.org.declared import declared_organizations
from scimd.org.identities import detaching
from scimd.org.organizations import organizations
from scimd.org.sources import rule_changes, source_ends, source_states, source_upkeep
from scimd.org.sources import sources as org_sources
from scimd.org.sources.rule_previews import End, Preview
from scimd.org.users import admin_reads
from tests.org.house import House, house, user
from tests.support.patience import AT_MOST_S


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def end(acme: House, source: SourceId, people: End, *, sure: bool = True) -> Preview:
    return await source_ends.end(acme.door, acme.as_admin(), source, people, sure=sure)


async def is_consistent(acme: House) -> None:
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


def declared(*names: str) -> list[config.Organization]:
    source = [{"name": each, "connector": "file", "schedule": "1h", "state": "active"} for each in names]
    return [config.Organization.model_validate({"name": "made", "source": source})]


# ------------------------------------------------------------------------------ out of the file


def following(_: str, now: datetime) -> datetime:
    return now


@pytest.mark.parametrize("organization_too", [False, True])
async def test_a_source_that_left_the_file_is_read_no_more_and_the_hands_again(
    acme: House, *, organization_too: bool
) -> None:
    (made,) = await declared_organizations.declare(acme.door, declared("hr"))
    ctx = replace(acme.as_admin(), org_id=made.org_id)
    hr = await org_sources.resolve(acme.door, "made/hr")
    assert await source_upkeep.due_sources(acme.door, following) == [(made.org_id, hr.id)]
    with pytest.raises(NotAllowedNow, match=r"stands in the config file\. Take it out there and restart"):
        await source_ends.end(acme.door, ctx, hr.id, "remove")
    for _ in range(2):  # it is told at each start
        if organization_too:
            (done,) = await declared_organizations.release(acme.door, [])
        else:
            (done,) = await declared_organizations.declare(acme.door, declared())
        assert done.left_out == ("hr",)
    hr = await org_sources.resolve(acme.door, "made/hr")
    assert (hr.declared_in, hr.state, hr.next_run_at) == ("database", "active", None)
    assert hr.trouble is not None
    assert hr.trouble.startswith("not in the config file any more; nothing reads it")
    assert await source_upkeep.due_sources(acme.door, following) == []
    with pytest.raises(NotAllowedNow, match="hr is not in the config file any more"):
        await org_sources.run_soon(acme.door, ctx, hr.id)
    await rule_changes.apply(acme.door, ctx, "hr", rule_changes.add({"pattern": "x*", "project": "Y"}))
    await declared_organizations.declare(acme.door, declared("hr"))
    assert await source_upkeep.due_sources(acme.door, following) == [(made.org_id, hr.id)], "it is back"


async def test_the_name_of_a_source_that_was_ended_is_not_given_again(acme: House) -> None:
    (made,) = await declared_organizations.declare(acme.door, declared("hr"))
    await declared_organizations.declare(acme.door, declared())
    hr = await org_sources.resolve(acme.door, "made/hr")
    await source_ends.end(acme.door, replace(acme.as_admin(), org_id=made.org_id), hr.id, "remove")
    (done,) = await declared_organizations.declare(acme.door, declared("hr", "entra"))
    assert list(done.held) == ["hr"]
    assert done.held["hr"].startswith("a source of this name was ended")
    assert [row.name for row in await org_sources.list_sources(acme.door, made.org_id)] == ["entra"]


# ------------------------------------------------------------------------------ the end


async def test_removed_people_go_over_to_the_next_source_or_are_inactive(acme: House) -> None:
    hr = await acme.source("hr", kind="connector", connector="ldap", priority=1, config={"join": ["mail"]})
    sync = acme.as_sync(hr)
    both, alone = [
        each.person_id
        for each in await acme.push(user("ann", mail="ann@acme.example"), user("bob"), ctx=sync)
    ]
    await acme.push(user("ann", external_id="o1", person_id=both, link=True))
    team = await acme.group("team", str(alone), ctx=sync)
    told = await end(acme, hr, "remove")
    assert {each.display_name for each in told.people if each.loses} == {"Bob"}
    ann, bob = await acme.person(str(both)), await acme.person(str(alone))
    assert (ann.status, ann.owner_source_id) == ("active", acme.scim)
    assert (bob.status, bob.causes, bob.has_seat) == ("inactive", ["deprovisioned:hr"], False)
    assert [row.state for row in await acme.rows(groups, id=team)] == ["gone"]
    await is_consistent(acme)
    with pytest.raises(NotFound):
        await org_sources.get_source(acme.door, acme.org_id, "hr")
    assert len(await acme.rows(events, kind="source.ended")) == 1
    await detaching.detach(acme.door, acme.as_admin(), PersonId(str(alone)), "hr")
    assert (await acme.person(str(alone))).causes == ["invited"]
    await is_consistent(acme)


async def test_of_an_end_only_those_who_hold_a_seat_give_one_back(database_url: str) -> None:
    async with house(database_url, seats_=3) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        okta = [await acme.create(f"p{n}") for n in range(5)]
        (other,) = await acme.push(user("ann", external_id="h1"), ctx=acme.as_sync(hr))
        assert [(await acme.person(each.person_id)).has_seat for each in okta] == [True] * 3 + [False] * 2
        told = await source_ends.preview(acme.door, acme.as_admin(), acme.scim, "remove")
        assert told.seats == {
            "limit": 3, "before": 3, "freed": 3, "wanted": 0, "after": 1, "waiting": 0,
        }  # fmt: skip
        kept = await source_ends.preview(acme.door, acme.as_admin(), acme.scim, "keep")
        assert (kept.seats["freed"], kept.seats["after"]) == (0, 3)
        await end(acme, acme.scim, "remove")
        assert (await acme.person(str(other.person_id))).has_seat
        assert (await organizations.by_slug(acme.door, "acme")).seats_used == told.seats["after"]


async def test_kept_people_are_local_and_who_was_not_active_is_not_let_in(acme: House) -> None:
    ann, bob = await acme.create("ann"), await acme.create("bob")
    await acme.change(bob.person_id, active=False)
    await acme.group("team", ann.person_id)
    told = await end(acme, acme.scim, "keep")
    (lost,) = told.people
    assert (lost.display_name, lost.loses) == ("Ann", ("project team as member",))
    row = await acme.person(ann.person_id)
    assert (row.owner_source_id, row.display_name, row.has_seat) == (None, "Ann", True)
    assert row.causes == ["invited"], "who has no password yet is invited"
    assert (await acme.person(bob.person_id)).status == "inactive"
    await is_consistent(acme)


async def test_an_end_over_the_limits_is_confirmed_and_what_was_asked_of_it_is_moot(acme: House) -> None:
    made = [await acme.create(f"u{n}") for n in range(7)]
    hr = await acme.source("hr", kind="connector", connector="ldap")
    await acme.push(user("u1", external_id="h1"), ctx=acme.as_sync(hr))
    assert [row.state for row in await acme.rows(decisions, source_id=hr)] == ["open"]
    with pytest.raises(NotAllowedNow, match=r"7 of 7 people of the source okta.* Confirm it"):
        await end(acme, acme.scim, "remove", sure=False)
    assert {(await acme.person(each.person_id)).status for each in made} == {"active"}
    await end(acme, hr, "remove", sure=False)
    assert [row.state for row in await acme.rows(decisions, source_id=hr)] == ["moot"]
    await end(acme, acme.scim, "remove")
    assert {(await acme.person(each.person_id)).status for each in made} == {"inactive"}


@pytest.mark.parametrize("people", ["remove", "keep"])
async def test_the_last_account_admin_is_refused_before_anybody_goes(acme: House, people: End) -> None:
    rules = [{"number": 1, "pattern": "ops", "role": ACCOUNT_ADMIN, "may_give_account_admin": True}]
    hr = await acme.source("hr", kind="connector", connector="ldap", config={"rule": rules})
    bob, ann = await acme.push(user("bob"), user("ann"), ctx=acme.as_sync(hr))
    await acme.group("ops", str(ann.person_id), ctx=acme.as_sync(hr))
    assert await acme.rows(grants, person_id=str(ann.person_id), target=ACCOUNT_ADMIN, dormant=False)
    with pytest.raises(Protected, match="Ann"):
        await end(acme, hr, people)
    assert (await acme.person(str(bob.person_id))).owner_source_id == hr
    assert (await org_sources.get_source(acme.door, acme.org_id, "hr")).state == "active"


async def test_an_end_takes_what_the_source_gives(acme: House) -> None:
    weak = replace(acme.as_admin(), door="api", permissions=frozenset({"sources.manage"}))
    await acme.create("ann")
    with pytest.raises(Forbidden):
        await source_ends.end(acme.door, weak, acme.scim, "remove", sure=True)
    trial = await acme.source("trial", kind="connector", connector="ldap", state="shadow")
    with pytest.raises(NotAllowedNow, match="trial is shadow: it never let anybody in"):
        await end(acme, trial, "keep")


# ------------------------------------------------------------------------------ of a large source


@pytest.mark.parametrize("people", ["remove", "keep"])
async def test_a_large_end_goes_on_in_the_worker_as_whoever_began_it(
    acme: House, monkeypatch: pytest.MonkeyPatch, people: End
) -> None:
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 2)
    monkeypatch.setattr(source_ends, "_AT_ONCE", 2)
    made = [await acme.create(f"u{n}") for n in range(7)]
    for n in range(3):
        await acme.group(f"team {n}", *(each.person_id for each in made))
    await end(acme, acme.scim, people)
    source = await org_sources.get_source(acme.door, acme.org_id, "okta")
    assert (source.state, source.ending, source.user_count) == ("paused", people, 5)
    assert source.trouble == "it is being ended: 5 of its people are left"
    with pytest.raises(NotAllowedNow, match="okta is being ended"):
        await source_states.resume(acme.door, acme.as_admin(), acme.scim)
    other: End = "keep" if people == "remove" else "remove"
    with pytest.raises(NotAllowedNow, match=f"is being ended already, to {people} people"):
        await end(acme, acme.scim, other)
    await end(acme, acme.scim, people, sure=False)  # what was begun needs no word
    assert await source_ends.left(acme.door, acme.org_id, acme.scim) == 3
    assert await source_ends.go_on_all(acme.door, budget_s=AT_MOST_S) == 1
    assert await source_ends.left(acme.door, acme.org_id, acme.scim) is None
    rows = [await acme.person(each.person_id) for each in made]
    assert {row.status for row in rows} == ({"inactive"} if people == "remove" else {"pending"})
    assert {row.state for row in await acme.rows(groups)} == {"gone"}
    (over,) = await acme.rows(events, kind="source.ended")
    assert (over.actor_name, over.door, over.correlation_id) == ("admin@acme.example", "job", "c2")
    assert await source_ends.go_on_all(acme.door, budget_s=AT_MOST_S) == 0
    await is_consistent(acme)


async def test_several_who_go_on_with_one_end_do_no_harm(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 1)
    monkeypatch.setattr(source_ends, "_AT_ONCE", 1)
    made = [await acme.create(f"u{n}") for n in range(6)]
    await end(acme, acme.scim, "remove")
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 100)
    both = (source_ends.go_on(acme.door, acme.as_admin(), acme.scim) for _ in range(2))
    assert await asyncio.gather(*both) == [None, None]
    assert {(await acme.person(each.person_id)).status for each in made} == {"inactive"}
    assert len(await acme.rows(events, kind="source.ended")) == 1
    await is_consistent(acme)


async def test_an_end_goes_on_behind_its_place_and_leaves_nobody_before_it(acme: House) -> None:
    made = []
    for n in range(3):
        acme.clock.forward(seconds=1)
        made.append((await acme.create(f"u{n}")).person_id)
    source, walk = await org_sources.get_source(acme.door, acme.org_id, "okta"), source_ends._Walk()

    async def following(most: int) -> list[str]:
        return [each.id for each in await acme.run(lambda tx: walk.next(tx, source, most))]

    assert [await following(2), await following(2)] == [made[:2], made[2:]]
    assert await following(3) == made, "they are there still, or again"


async def test_nothing_goes_on_that_was_not_begun(acme: House) -> None:
    await acme.create("ann")
    with pytest.raises(NotAllowedNow, match="okta is not being ended"):
        await source_ends.go_on(acme.door, acme.as_admin(), acme.scim)


async def test_an_end_that_was_not_looked_at_whole_is_confirmed(acme: House) -> None:
    for n in range(3):
        await acme.create(f"u{n}")
    told = await source_ends.preview(acme.door, acme.as_admin(), acme.scim, "keep", 3)
    assert (told.looked_at, told.held) == (3, ())
    part = await source_ends.preview(acme.door, acme.as_admin(), acme.scim, "keep", 2)
    assert part.held == ("It concerns 3 people, and only the first 2 were looked at.",)
    with pytest.raises(NotAllowedNow, match=r"only the first 2 were looked at\. It is held"):
        await source_ends.end(acme.door, acme.as_admin(), acme.scim, "keep", at_most=2)
    assert (await org_sources.get_source(acme.door, acme.org_id, "okta")).state == "active"


async def test_the_file_does_not_take_back_a_source_that_is_being_ended(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = await declared_organizations.declare(acme.door, declared("hr"))
    await declared_organizations.declare(acme.door, declared())
    hr = await org_sources.resolve(acme.door, "made/hr")
    ctx = replace(acme.as_admin(), org_id=made.org_id)
    await acme.push(user("ann"), user("bob"), ctx=replace(acme.as_sync(hr.id), org_id=made.org_id))
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 1)
    monkeypatch.setattr(source_ends, "_AT_ONCE", 1)
    await source_ends.end(acme.door, ctx, hr.id, "remove", sure=True)
    (done,) = await declared_organizations.declare(acme.door, declared("hr"))
    assert done.held["hr"].startswith("a source of this name was ended")
    assert (await org_sources.resolve(acme.door, "made/hr")).declared_in == "database"
