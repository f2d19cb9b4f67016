"""Made from the table: who may call what (A2, X2), and that another organization's is not there (V7, X1)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from scimd.admin import manual
from scimd.admin.endpoints import Endpoint
from scimd.admin.table import TABLE
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN, OrgRole
from scimd.db.tables import metadata, people
from scimd.org.organizations.organizations import NewOrganization, create
from tests.admin.client import Answer, Client, signed_in
from tests.web.site import OPERATOR, Site, change


@asynccontextmanager
async def _as(acme: Site, role: str) -> AsyncIterator[Client]:
    """Somebody with this role and no other."""
    async with signed_in(acme, f"{role}@acme.example") as client:
        values = {"roles": [role], "primary_role": role}
        mine = (people.c.org_id == acme.org_id) & (people.c.sign_in_key == f"{role}@acme.example")
        await acme.door.db.write(lambda conn: conn.execute(people.update().where(mine).values(**values)))
        yield client


async def _call(client: Client, row: Endpoint, given: str = "nothing", query: str = "") -> Answer:
    """With a body as in the manual's example, and this for each name in the path."""
    path = re.sub(r"{\w+}", given, row.path) + query
    body = None
    if row.body is not None:
        schema = row.body.model_json_schema()
        body = manual.sample(schema, schema.get("$defs", {}))
    return await client.send(row.method, path, body, {"If-Match": "*"} if row.needs_if_match else None)


ADMIN_ROLE = BUILT_IN[ACCOUNT_ADMIN]


def _may(role: OrgRole, row: Endpoint) -> bool:
    return not row.operators_only and (not row.needs or bool(role.permissions & set(row.needs)))


async def test_each_role_may_what_its_permissions_say_and_nothing_else(acme: Site) -> None:
    # One's own account last: a change of it settles the person, and ends the role that the test wrote.
    rows = sorted(TABLE, key=lambda row: row.tag == "me")
    for role in BUILT_IN.values():
        async with _as(acme, role.name) as client:
            for row in rows:
                answer = await _call(client, row)
                refused = answer.status == 403 and answer.json["code"] == "forbidden"
                if row.needs or row.operators_only:
                    assert refused == (not _may(role, row)), (role.name, row.name, answer.text[:200])
                assert answer.status < 500, (role.name, row.name)


async def test_nothing_is_told_without_a_credential(acme: Site) -> None:
    async with acme.browser() as session:
        client = Client(session, acme.url, "")
        for row in TABLE:
            assert (await _call(client, row)).status == 401, row.name


async def _full(acme: Site) -> set[str]:
    """An organization with one of each thing; gives all ids that its rows hold."""
    beta = await create(acme.door, NewOrganization("beta", "Beta", seats=5), OPERATOR)
    site = replace(acme, org_id=beta.id)
    okta = await site.source("okta")
    (person,) = await site.push(okta, {"userName": "dana@beta.example", "emails": [{"value": "d@b.example"}]})
    directory = await site.source("directory", kind="connector", connector="file")
    await site.run(directory, "held", change())
    await site.decision()
    await site.sign_in_link("bo@beta.example", org="beta")
    async with signed_in(acme, "bo@beta.example", org="beta"):
        pass
    return {person} | await acme.door.read(lambda conn: _ids(conn, beta.id))


def _ids(conn: Any, org_id: str) -> set[str]:
    found: set[str] = set()
    for table in metadata.tables.values():
        if "org_id" in table.c and "id" in table.c and table.name not in ("events", "deliveries", "roles"):
            found |= set(conn.execute(select(table.c.id).where(table.c.org_id == org_id)).scalars().all())
    return found


async def test_what_another_organization_has_is_not_there(acme: Site) -> None:
    ids = await _full(acme)
    async with signed_in(acme) as client:
        before = await acme.door.read(_rows)
        for row in TABLE:
            if not row.parameters:
                answer = await _call(client, row) if not row.is_write else None
                for each in ids:
                    assert answer is None or each not in answer.text, row.name
                continue
            nowhere = await _call(client, row)
            assert nowhere.status == (404 if _may(ADMIN_ROLE, row) else 403), (row.name, nowhere.text)
            for each in ids:
                answer = await _call(client, row, each)
                assert _told(answer, each) == _told(nowhere, "nothing"), row.name
                there = await _call(client, row, each, "?organization=beta")
                assert there.status in (404, nowhere.status), row.name
    assert await acme.door.read(_rows) == before


def _told(answer: Answer, named: str) -> tuple[int, str]:
    return answer.status, re.sub("urn:request:[0-9a-f]+", "", answer.text).replace(named, "…")


def _rows(conn: Any) -> dict[str, list[Any]]:
    """All that is stored of organizations; sessions move by themselves."""
    return {
        name: sorted(map(repr, conn.execute(table.select()).all()))
        for name, table in metadata.tables.items()
        if name not in ("sessions", "leases")
    }
