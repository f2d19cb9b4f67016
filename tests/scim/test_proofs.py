"""A credential that dies after it was shown, before the work is done: nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from scimd.db import tables as t
from scimd.org.lines import AT_ONCE
from scimd.org.sources import source_states
from scimd.org.tokens import oauth, tokens
from scimd.org.tx import Door
from tests.scim.serving import Client, Installation
from tests.scim.test_lessons import audited

Verb = Callable[[Client, str, str], Awaitable[Any]]
MEMBERS = {"op": "add", "path": "members"}
NAMED = {"Users": "userName", "Groups": "displayName"}
VERBS: dict[str, Verb] = {
    "POST": lambda idp, user, group: idp.post("/Users", {"userName": "late"}),
    "PUT": lambda idp, user, group: idp.put(f"/Users/{user}", {"userName": "ann", "title": "CTO"}),
    "PATCH": lambda idp, user, group: idp.patch(
        f"/Users/{user}", {"op": "add", "path": "title", "value": "CTO"}
    ),
    "DELETE": lambda idp, user, group: idp.delete(f"/Users/{user}"),
    "POST of a group": lambda idp, user, group: idp.post("/Groups", {"displayName": "Late"}),
    "PATCH of a group": lambda idp, user, group: idp.patch(
        f"/Groups/{group}", {**MEMBERS, "value": [{"value": user}]}
    ),
    "DELETE of a group": lambda idp, user, group: idp.delete(f"/Groups/{group}"),
}


class Before:
    """Has something happen between a request's proof and its first transaction, whichever process does it.

    Transactions of other requests wait for it too.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happens: Callable[[], Coroutine[Any, Any, Any]] | None = None
        happening: asyncio.Task[Any] | None = None
        run = Door.run

        async def later(door: Door, *args: Any, **more: Any) -> Any:
            nonlocal happening
            happens, self.happens = self.happens, None
            if happens is not None:
                happening = asyncio.create_task(happens())
            if happening is not None and asyncio.current_task() is not happening:
                await happening
            return await run(door, *args, **more)

        monkeypatch.setattr(Door, "run", later)


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    return Before(monkeypatch)


async def everything(scimd: Installation) -> list[int]:
    counted = (t.people, t.assertions, t.groups, t.group_members)
    return await scimd.door.read(
        lambda conn: [conn.execute(select(func.count()).select_from(each)).scalar_one() for each in counted]
    )


@pytest.mark.parametrize("verb", VERBS)
async def test_a_token_revoked_before_the_work_is_done_writes_nothing(
    scimd: Installation, before: Before, verb: str
) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    user, group = (await idp.user("ann"))["id"], (await idp.group("Ops"))["id"]
    there, ctx = await everything(scimd), scimd.context(org)
    (listed,) = await tokens.list_tokens(scimd.door, org.id)
    before.happens = lambda: tokens.revoke(scimd.door, ctx, listed.id)
    reply = await VERBS[verb](idp, user, group)
    assert (reply.status, reply.json["detail"]) == (401, "This token is unknown, expired or revoked.")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert await everything(scimd) == there
    assert await audited(scimd, reply) == []


async def test_a_source_paused_before_the_work_is_done_is_sent_nothing(
    scimd: Installation, before: Before
) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    before.happens = lambda: source_states.pause(scimd.door, scimd.context(org), idp.source_id)
    assert (await idp.post("/Users", {"userName": "late"})).status == 401
    assert await everything(scimd) == [0, 0, 0, 0]


async def test_a_client_revoked_before_the_work_is_done_writes_nothing(
    scimd: Installation, before: Before
) -> None:
    org = await scimd.organization("acme")
    idp, ctx = await scimd.client(org), scimd.context(org)
    made = await oauth.create_client(scimd.door, ctx, idp.source_id, "Okta")
    form = {
        "grant_type": "client_credentials",
        "client_id": made.client_id,
        "client_secret": made.secret,
    }
    async with scimd.http.post(f"{scimd.url}/oauth/token", data=form) as answer:
        by = replace(idp, token=(await answer.json())["access_token"])
    before.happens = lambda: oauth.revoke_client(scimd.door, ctx, made.client_id)
    assert (await by.post("/Users", {"userName": "late"})).status == 401
    assert await everything(scimd) == [0, 0, 0, 0]
    assert (await idp.post("/Users", {"userName": "ann"})).status == 201


async def test_a_token_that_lives_works_on_whatever_was_decided_meanwhile(
    scimd: Installation, before: Before
) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    before.happens = lambda: tokens.create(scimd.door, scimd.context(org), idp.source_id, "another")
    assert (await idp.post("/Users", {"userName": "ann"})).status == 201
    assert before.happens is None


async def test_a_token_that_has_expired_meanwhile_is_found_out_with_the_others(
    scimd: Installation, before: Before
) -> None:
    org = await scimd.organization("acme")
    idp, ctx = await scimd.client(org), scimd.context(org)
    at = scimd.door.clock() + timedelta(hours=1)
    made = await tokens.create(scimd.door, ctx, idp.source_id, "for an hour", expires_at=at)

    async def an_hour_later() -> None:
        await tokens.create(scimd.door, ctx, idp.source_id, "another")
        scimd.door.clock = lambda: at

    before.happens = an_hour_later
    assert (await replace(idp, token=made.token).post("/Users", {"userName": "late"})).status == 401
    assert await everything(scimd) == [0, 0, 0, 0]


async def test_of_calls_that_come_together_each_is_refused(scimd: Installation, before: Before) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    (listed,) = await tokens.list_tokens(scimd.door, org.id)
    before.happens = lambda: tokens.revoke(scimd.door, scimd.context(org), listed.id)
    replies = await asyncio.gather(*(idp.post("/Users", {"userName": f"p{n}"}) for n in range(8)))
    assert {reply.status for reply in replies} == {401}
    assert await everything(scimd) == [0, 0, 0, 0]


@pytest.mark.parametrize(("kinds", "done"), [(["Users", "Groups", "Users"], 1), (["Users"] * 40, AT_ONCE)])
async def test_a_bulk_ends_where_its_token_does(
    scimd: Installation, before: Before, kinds: list[str], done: int
) -> None:
    """What was done before is done, in a transaction that operations share too; those that follow are refused
    one by one."""
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    (listed,) = await tokens.list_tokens(scimd.door, org.id)
    operations = [
        {"method": "POST", "path": f"/{kind}", "bulkId": f"b{n}", "data": {NAMED[kind]: f"p{n}"}}
        for n, kind in enumerate(kinds)
    ]

    async def armed() -> None:
        before.happens = lambda: tokens.revoke(scimd.door, scimd.context(org), listed.id)

    before.happens = armed
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations}
    reply = await idp.post("/Bulk", body)
    statuses = [each["status"] for each in reply.json["Operations"]]
    assert statuses == ["201"] * done + ["401"] * (len(kinds) - done)
    assert (await everything(scimd))[:2] == [done, done]
