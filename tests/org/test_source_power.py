"""Who may make what speaks for a source, link its entries, or say whether it counts: whoever holds all
that the source can give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from scimd.core.errors import Forbidden
from scimd.core.people import PersonId, SourceId
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN, MANAGER
from scimd.core.standing import SourceState
from scimd.db.tables import oauth_clients
from scimd.db.tables import sources as source_rows
from scimd.db.tables import tokens as token_rows
from scimd.org.identities import linking, merging
from scimd.org.sources import source_states
from scimd.org.tokens import oauth, tokens
from scimd.org.tx import Actor, Context
from scimd.org.users import local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house

Make: TypeAlias = Callable[[House, Context, SourceId], Awaitable[object]]
FOR_ADMINS = {"number": 1, "group": "g", "role": "account-admin", "may_give_account_admin": True}


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


def sven(acme: House, *more: str, **as_else: Any) -> Context:
    """Somebody who manages sources, and holds what else is named."""
    ctx = replace(acme.as_admin(), actor=Actor("person", "s", "sven"), door="api", **as_else)
    return replace(ctx, permissions=frozenset({"sources.manage", *more}))


async def make_token(acme: House, ctx: Context, source: SourceId) -> object:
    return await tokens.create(acme.door, ctx, source, "mine")


async def rotate_token(acme: House, ctx: Context, source: SourceId) -> object:
    made = await tokens.create(acme.door, acme.as_admin(), source, "ours")
    return await tokens.rotate(acme.door, ctx, made.id, timedelta(hours=1))


async def make_client(acme: House, ctx: Context, source: SourceId) -> object:
    return await oauth.create_client(acme.door, ctx, source, "mine")


async def rotate_client(acme: House, ctx: Context, source: SourceId) -> object:
    made = await oauth.create_client(acme.door, acme.as_admin(), source, "ours")
    return await oauth.rotate_secret(acme.door, ctx, made.client_id, timedelta(hours=1))


MAKES = [make_token, rotate_token, make_client, rotate_client]
OF_MANAGERS = BUILT_IN[MANAGER].permissions


@pytest.mark.parametrize("make", MAKES)
async def test_nobody_makes_a_token_that_gives_more_than_they_hold(acme: House, make: Make) -> None:
    source = await acme.source("idp")  # its ceiling: Manager
    with pytest.raises(Forbidden, match="role Manager"):
        await make(acme, sven(acme), source)
    assert [row.name for row in await acme.rows(token_rows) if row.name == "mine"] == []
    assert [row.name for row in await acme.rows(oauth_clients) if row.name == "mine"] == []
    await make(acme, sven(acme, *OF_MANAGERS), source)


@pytest.mark.parametrize("make", MAKES)
async def test_a_rule_that_may_give_account_admin_counts_above_the_ceiling(acme: House, make: Make) -> None:
    source = await acme.source("idp", config={"rule": [FOR_ADMINS]})
    with pytest.raises(Forbidden, match="role Account Admin"):
        await make(acme, sven(acme, *OF_MANAGERS), source)
    await make(acme, sven(acme, *BUILT_IN[ACCOUNT_ADMIN].permissions), source)


@pytest.mark.parametrize("make", MAKES)
async def test_what_the_sources_people_hold_counts_too(acme: House, make: Make) -> None:
    """By a token their addresses and external ids are changed, and with these who signs in as them."""
    source = await acme.source("idp", ceiling="user")
    ann = await acme.create("ann", acme.as_scim(source))
    await make(acme, sven(acme), source)
    await acme.grant(ann.person_id, "role", MANAGER)
    with pytest.raises(Forbidden, match="role Manager"):
        await make(acme, sven(acme), source)
    await acme.delete(ann.person_id, acme.as_scim(source))
    await make(acme, sven(acme), source)


async def test_the_host_may_everything_and_an_operators_narrow_token_what_it_holds(acme: House) -> None:
    source = await acme.source("idp", config={"rule": [FOR_ADMINS]})
    operator = Actor("operator", "o", "op")
    await make_token(acme, replace(acme.as_admin(), actor=operator, permissions=frozenset()), source)
    by_token = replace(sven(acme), actor=operator, api_token_id="t")
    with pytest.raises(Forbidden):
        await make_token(acme, by_token, source)


@pytest.mark.parametrize("entry", ["x-ceo", "x-late"])
async def test_linking_an_entry_is_worth_what_its_source_can_give(acme: House, entry: str) -> None:
    """Else an account of one's own making waits for the groups of somebody who may more."""
    source = await acme.source("idp", config={"rule": [FOR_ADMINS]})
    await acme.create("ceo", acme.as_scim(source))
    helpdesk = sven(acme, *OF_MANAGERS, "users.read", "users.manage")
    puppet = await local_people.add(acme.door, helpdesk, NewPerson(email="puppet@home.example"))
    with pytest.raises(Forbidden, match="role Account Admin"):
        await linking.link(acme.door, helpdesk, puppet, "idp", entry)
    assert (await acme.create("late", acme.as_scim(source))).person_id != puppet
    chief = sven(acme, *BUILT_IN[ACCOUNT_ADMIN].permissions)
    assert await linking.link(acme.door, chief, puppet, "idp", entry)


async def test_merging_is_worth_what_the_sources_of_both_can_give(acme: House) -> None:
    source = await acme.source("idp", config={"rule": [FOR_ADMINS]})
    ceo = PersonId((await acme.create("ceo", acme.as_scim(source))).person_id)
    helpdesk = sven(acme, *OF_MANAGERS, "users.read", "users.manage")
    puppet = await local_people.add(acme.door, helpdesk, NewPerson(email="puppet@home.example"))
    for kept, other in ((puppet, ceo), (ceo, puppet)):
        with pytest.raises(Forbidden, match="role Account Admin"):
            await merging.merge(acme.door, helpdesk, kept, other)
    chief = sven(acme, *BUILT_IN[ACCOUNT_ADMIN].permissions)
    await merging.merge(acme.door, chief, puppet, ceo)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("active", "shadow"),
        ("staged", "shadow"),
        ("paused", "shadow"),
        ("shadow", "active"),
    ],
)
async def test_nobody_takes_or_gives_by_shadow_what_they_lack(
    acme: House, before: SourceState, after: SourceState
) -> None:
    source = await acme.source("idp", state=before, config={"rule": [FOR_ADMINS]})
    with pytest.raises(Forbidden, match="role Account Admin"):
        await source_states.set_state(acme.door, sven(acme, *OF_MANAGERS), source, after)
    (row,) = await acme.rows(source_rows, id=source)
    assert row.state == before
    chief = sven(acme, *BUILT_IN[ACCOUNT_ADMIN].permissions)
    assert (await source_states.set_state(acme.door, chief, source, after)).state == after


async def test_whoever_manages_sources_releases_and_pauses_them_whatever_they_give(acme: House) -> None:
    source = await acme.source("idp", state="staged", config={"rule": [FOR_ADMINS]})
    for state in ("active", "paused", "active"):
        assert (await source_states.set_state(acme.door, sven(acme), source, state)).state == state
