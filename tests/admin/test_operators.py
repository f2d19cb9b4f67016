"""Operators are made on the host: no request makes one, nor changes what one may."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from scimd.core.people import OrgId
from scimd.core.roles import AUDITOR
from scimd.db.tables import people
from scimd.org.organizations import organizations
from scimd.org.tx import Context
from scimd.org.users import gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.admin.client import Client, signed_in
from tests.web.site import OPERATOR, Site


@pytest.fixture
async def operator(acme: Site) -> AsyncIterator[Client]:
    async with signed_in(acme, "op@scimd.example", org="system") as client:
        yield client


async def _system(acme: Site) -> OrgId:
    return (await organizations.by_slug(acme.door, "system")).id


async def _on_the_host(acme: Site) -> Context:
    return Context(await _system(acme), OPERATOR, "cli", "c")


async def _operators(acme: Site) -> int:
    system = await _system(acme)
    query = people.select().where(people.c.org_id == system, people.c.deleted_at.is_(None))
    return len(await acme.door.read(lambda conn: conn.execute(query).all()))


async def test_no_request_makes_an_operator(acme: Site, operator: Client) -> None:
    new = {"email": "eve@scimd.example"}
    assert (await operator.post("/users", new)).status == 403
    service = {"user_name": "svc", "display_name": "Svc", "owner": "Op"}
    assert (await operator.post("/service-accounts", service)).status == 403
    invited = await operator.post("/invitations", {"emails": ["eve@scimd.example"]})
    assert [row["status"] for row in invited.json["results"]] == [403]
    for how in ("add", "invite"):
        plan = await operator.post("/imports", {"csv": "email\neve@scimd.example", "how": how})
        applied = await operator.post("/imports/apply", {"plan": plan.json["sealed"]})
        assert {row["status"] for row in applied.json["results"]} <= {403}
    ann = await local_people.add(acme.door, acme.ctx, NewPerson("ann@acme.example"))
    moved = await operator.post(f"/users/{ann}/move?organization=acme", {"to": "system"})
    assert (moved.status, moved.json["code"]) == (403, "forbidden")
    assert "on the host" in moved.json["detail"]
    assert await _operators(acme) == 1


async def test_no_request_restores_an_operator_or_changes_what_one_may(acme: Site, operator: Client) -> None:
    host = await _on_the_host(acme)
    bob = await local_people.add(acme.door, host, NewPerson("bob@scimd.example", role=AUDITOR))
    assert (await operator.send("PUT", f"/users/{bob}/role", {"role": "account-admin"})).status == 403
    assert (await operator.post(f"/users/{bob}/roles", {"role": "manager"})).status == 403
    await gates.delete(acme.door, host, bob)
    assert (await operator.post(f"/users/{bob}/restore")).status == 403
    assert await _operators(acme) == 1


async def test_what_an_operator_made_elsewhere_is_found_where_it_says(acme: Site, operator: Client) -> None:
    made = await operator.post("/teams?organization=acme", {"name": "Crew"})
    where = made.headers["Location"].removeprefix("/api/v1")
    assert (made.status, (await operator.get(where)).json["name"]) == (201, "Crew")
