"""Calls that overtake each other in two replicas: what they leave is what they would leave in turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

import pytest

from scimd.core.errors import NotAllowedNow, NotUnique
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.db.engine import Database
from scimd.org.audit import audit
from scimd.org.authentication import access, sessions
from scimd.org.grants import promotion
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.identities import merging
from scimd.org.settling.settle import settle
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import rule_changes
from scimd.org.sources.rule_changes import add
from scimd.org.tokens import api_tokens, oauth, tokens
from scimd.org.tx import Door, Tx
from scimd.org.users import admin_reads
from tests.org.house import House, group, house, user
from tests.org.looks import member_ids, projects_of
from tests.org.test_two_sources import local_person
from tests.support.patience import AT_MOST_S, PATIENT

#: Where the first call stands while the second comes: before it settles anybody, or before it commits.
Point: TypeAlias = Literal["written", "settled"]
POINTS: tuple[Point, ...] = ("written", "settled")
#: By name, each of a replica.
Calls: TypeAlias = dict[str, Callable[[House], Awaitable[Any]]]


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[House, House]]:
    """One organization in two replicas."""
    async with house(url) as acme:
        database = Database.open(url, PATIENT)
        door = Door(
            database,
            acme.door.keys,
            acme.door.settings,
            settle=settle,
            write_events=audit.write_events,
            promote=promotion.promote,
            clock=acme.clock,
        )
        try:
            yield acme, replace(acme, door=door)
        finally:
            await database.aclose()


async def overtaken(
    acme: House, at: Point, first: Callable[[], Awaitable[Any]], second: Callable[[], Awaitable[Any]]
) -> list[Any]:
    """Stop the first call, of ``acme``, in its transaction until the second has ended or waits for it."""
    there, go_on, tries = threading.Event(), threading.Event(), iter(range(100))

    def stop(tx: Tx) -> None:
        if next(tries) == 0:
            tx.conn.exec_driver_sql("SELECT 1")  # what was not sent yet is
            there.set()
            go_on.wait(AT_MOST_S)

    def stopping(tx: Tx) -> None:
        if at == "written":
            stop(tx)
        settle(tx)
        if at == "settled":
            stop(tx)

    acme.door._settle = stopping
    try:
        one = asyncio.ensure_future(first())
        assert await asyncio.to_thread(there.wait, AT_MOST_S)
        other = asyncio.ensure_future(second())
        await asyncio.wait({other}, timeout=0.5)
        go_on.set()
        return await asyncio.gather(one, other, return_exceptions=True)
    finally:
        go_on.set()
        acme.door._settle = settle


async def meeting(acme: House, other: House, at: Point, first: str, calls: Calls) -> list[Any]:
    """What came of the call of the name ``first``, which is stopped, and of the one that overtakes it."""
    (second,) = calls.keys() - {first}
    return await overtaken(acme, at, lambda: calls[first](acme), lambda: calls[second](other))


async def _in_group(acme: House, group_id: str) -> set[str | None]:
    """Everybody in it by their row, and None for each name of nobody; and no other is shown."""
    rows = await acme.rows(t.group_members, group_id=group_id)
    found = {row.person_id or row.child_id for row in rows}
    assert await member_ids(acme, group_id) == found - {None}
    return found


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["user", "member"])
async def test_a_member_named_while_the_user_is_made_becomes_one(
    database_url: str, at: Point, first: str
) -> None:
    async with two(database_url) as (acme, other):
        group_id = await acme.group("Sales")
        change = GroupChange(add=("x-ann",))
        calls: Calls = {
            "user": lambda here: here.create("ann"),
            "member": lambda here: scim_groups.change_group(here.door, here.as_scim(), group_id, change),
        }
        made = await meeting(acme, other, at, first, calls)
        (ann,) = {each.person_id for each in made if hasattr(each, "person_id")}
        assert await _in_group(acme, group_id) == {ann}
        assert await projects_of(acme, ann) == {"Sales"}


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["user", "group"])
async def test_a_group_made_while_its_member_is_has_them(database_url: str, at: Point, first: str) -> None:
    async with two(database_url) as (acme, other):
        calls: Calls = {
            "user": lambda here: here.push(user("ann")),
            "group": lambda here: here.group("Sales", "x-ann", "x-nobody"),
        }
        await meeting(acme, other, at, first, calls)
        (row,) = await acme.rows(t.groups)
        (ann,) = await acme.rows(t.people, display_name="Ann")
        assert await _in_group(acme, row.id) == {ann.id, None}


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["child", "member"])
async def test_a_group_named_while_it_is_made_is_in_the_other(
    database_url: str, at: Point, first: str
) -> None:
    async with two(database_url) as (acme, other):
        parent = await acme.group("All")
        ann = (await acme.create("ann")).person_id
        calls: Calls = {
            "child": lambda here: here.push_groups(group("Sales", ann, external_id="g-sales")),
            "member": lambda here: here.members(parent, add=["g-sales"]),
        }
        await meeting(acme, other, at, first, calls)
        (child,) = await acme.rows(t.groups, external_id="g-sales")
        assert await _in_group(acme, parent) == {child.id}
        assert await projects_of(acme, ann) == {"All", "Sales"}


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["user", "member"])
async def test_a_member_named_while_the_user_is_given_that_name_becomes_one(
    database_url: str, at: Point, first: str
) -> None:
    async with two(database_url) as (acme, other):
        group_id = await acme.group("Sales")
        ann = (await acme.create("ann")).person_id
        calls: Calls = {
            "user": lambda here: here.change(ann, externalId="x-new"),
            "member": lambda here: here.members(group_id, add=["x-new"]),
        }
        await meeting(acme, other, at, first, calls)
        assert await _in_group(acme, group_id) == {ann}


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["user", "removal"])
@pytest.mark.parametrize("how", ["remove", "replace"])
async def test_a_member_taken_out_while_the_user_is_made_is_none(
    database_url: str, at: Point, first: str, how: str
) -> None:
    async with two(database_url) as (acme, other):
        bob = (await acme.create("bob")).person_id
        group_id = await acme.group("Sales", "x-ann", bob)
        change = GroupChange(remove=("x-ann",)) if how == "remove" else GroupChange(replace=(bob,))
        calls: Calls = {
            "user": lambda here: here.push(user("ann")),
            "removal": lambda here: scim_groups.change_group(here.door, here.as_scim(), group_id, change),
        }
        done = await meeting(acme, other, at, first, calls)
        assert not [each for each in done if isinstance(each, Exception)]
        assert await _in_group(acme, group_id) == {bob}
        (ann,) = await acme.rows(t.people, display_name="Ann")
        assert await projects_of(acme, ann.id) == {"General"}


async def _gone(acme: House) -> str:
    ann = (await acme.create("ann")).person_id
    await acme.delete(ann)
    return ann


async def _inactive(acme: House) -> str:
    ann = (await acme.create("ann")).person_id
    await acme.change(ann, active=False)
    return ann


async def _invited(acme: House) -> str:
    return await local_person(acme, "ann")


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("who", [_gone, _inactive, _invited])
@pytest.mark.parametrize("external_id", ["x-ann", "x-other"])
async def test_of_two_who_bring_somebody_back_one_is_told_that_they_are_there(
    database_url: str, at: Point, who: Callable[[House], Awaitable[str]], external_id: str
) -> None:
    async with two(database_url) as (acme, other):
        ann = await who(acme)
        returned, refused = await overtaken(
            acme,
            at,
            lambda: acme.create("ann", title="One"),
            lambda: other.create("ann", title="Two", external_id=external_id),
        )
        assert returned.person_id == ann
        assert isinstance(refused, NotUnique)
        seen = await acme.seen(ann)
        assert seen is not None
        assert (seen["title"], seen["externalId"]) == ("One", "x-ann")


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["merge", "member"])
@pytest.mark.parametrize("how", ["add", "replace", "remove"])
async def test_a_membership_changed_during_a_merge_is_that_of_the_person_who_is_kept(
    database_url: str, at: Point, first: str, how: str
) -> None:
    async with two(database_url) as (acme, other):
        inviting = other.scim = await acme.source("inv")
        ann = (await acme.create("ann")).person_id
        as_inviting = acme.as_scim(inviting)
        twin = (await acme.create("twin", as_inviting)).person_id
        members = [twin] if how == "remove" else []
        group_id = await acme.group("Sales", *members, ctx=as_inviting)
        change = GroupChange(**{how: (twin,)})
        calls: Calls = {
            "merge": lambda here: merging.merge(here.door, here.as_admin(), PersonId(ann), PersonId(twin)),
            "member": lambda here: scim_groups.change_group(here.door, as_inviting, group_id, change),
        }
        done = await meeting(acme, other, at, first, calls)
        assert not [each for each in done if isinstance(each, Exception)]
        rows = await acme.rows(t.group_members, group_id=group_id)
        assert {row.person_id for row in rows} == (set() if how == "remove" else {ann})
        assert await projects_of(acme, ann) == ({"General"} if how == "remove" else {"Sales"})


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("first", ["rules", "push"])
@pytest.mark.parametrize("what", ["member", "value"])
async def test_whoever_is_pushed_while_the_rules_change_is_given_what_these_give(
    database_url: str, at: Point, first: str, what: str
) -> None:
    async with two(database_url) as (acme, other):
        ann = (await acme.create("ann")).person_id
        group_id = await acme.group("Sales", (await acme.create("ben")).person_id)
        change = GroupChange(add=(ann,))
        rule = add(
            {"project": "Engine", **({"pattern": "Sales"} if what == "member" else {"scim_role": "lead"})}
        )
        calls: Calls = {
            "rules": lambda here: rule_changes.apply(here.door, here.as_admin(), "okta", rule, sure=True),
            "push": (
                (lambda here: scim_groups.change_group(here.door, here.as_scim(), group_id, change))
                if what == "member"
                else (lambda here: here.change(ann, roles=[{"value": "lead"}]))
            ),
        }
        done = await meeting(acme, other, at, first, calls)
        assert not [each for each in done if isinstance(each, Exception)]
        await settle_marked(acme.door, acme.org_id, budget_s=AT_MOST_S)
        assert await projects_of(acme, ann) == {"Engine"}
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_groups_of_one_call_name_each_other_before_they_are_there(database_url: str) -> None:
    async with house(database_url) as acme:
        outer, inner = await acme.push_groups(
            group("All", "g-in", "g-nobody", external_id="g-out"),
            group("Few", "g-out", external_id="g-in"),
        )
        assert await _in_group(acme, str(outer.group_id)) == {inner.group_id, None}
        assert await _in_group(acme, str(inner.group_id)) == {outer.group_id}


async def test_a_refused_user_whom_a_group_waits_for_is_refused_once(database_url: str) -> None:
    async with two(database_url) as (acme, other):
        await acme.create("ann")
        group_id = await acme.group("Sales", "x-new")
        refused, _ = await overtaken(
            acme,
            "written",
            lambda: acme.push(user("ann", external_id="x-new")),
            lambda: other.members(group_id, add=["x-other"]),
        )
        assert [each.outcome for each in refused] == ["refused"]
        assert await _in_group(acme, group_id) == {None}


@pytest.mark.parametrize("kind", ["token", "client", "api token"])
async def test_a_credential_that_two_revoke_at_once_is_revoked_once(database_url: str, kind: str) -> None:
    async with two(database_url) as (acme, other):
        door, ctx = acme.door, acme.as_admin()
        revoke: Callable[..., Awaitable[None]]
        if kind == "token":
            made, revoke = (await tokens.create(door, ctx, acme.scim, "one")).id, tokens.revoke
        elif kind == "client":
            made, revoke = (
                (await oauth.create_client(door, ctx, acme.scim, "one")).client_id,
                oauth.revoke_client,
            )
        else:
            made = (await api_tokens.create_service(door, ctx, "one", ["users.read"])).id
            revoke = api_tokens.revoke
        await overtaken(acme, "settled", *(partial(revoke, each.door, ctx, made) for each in (acme, other)))
        told = [row.kind for row in await acme.rows(t.events, target_id=made)]
        assert [each.rpartition(".")[2] for each in told].count("revoked") == 1


async def test_a_session_that_two_end_at_once_ends_once(database_url: str) -> None:
    async with two(database_url) as (acme, other):
        ctx, ann = acme.as_admin(), PersonId(await local_person(acme, "ann", accepted=True))
        until = acme.clock() + timedelta(hours=1)
        begun = await access.begin_session(acme.door, ctx, ann, "192.0.2.1", "", until)
        await overtaken(
            acme,
            "settled",
            lambda: access.end_session(acme.door, ctx, begun.id),
            lambda: sessions.end(other.door, ctx, begun.id),
        )
        told = [row.kind for row in await acme.rows(t.events, target_id=ann)]
        assert told.count("session.ended") == 1


async def test_a_token_that_is_revoked_while_it_is_rotated_elsewhere_has_no_successor(
    database_url: str,
) -> None:
    async with two(database_url) as (acme, other):
        ctx = acme.as_admin()
        made = (await tokens.create(acme.door, ctx, acme.scim, "one")).id
        ended = partial(tokens.revoke, acme.door, ctx, made)
        rotated = partial(tokens.rotate, other.door, ctx, made, timedelta(hours=1))
        said = await overtaken(acme, "settled", ended, rotated)
        assert [type(each) for each in said] == [type(None), NotAllowedNow]
        assert len(await acme.rows(t.tokens)) == 1
