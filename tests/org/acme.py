"""A whole door on a fresh database: an organization, a clock that is moved by hand, people to push."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select, update

from scimd.core.attributes import columns_of, fold_document
from scimd.core.people import PersonId, SourceId, fold
from scimd.core.resource import meta_part, pack
from scimd.db.engine import Database
from scimd.db.tables import assertions, deliveries, events, invitations, people
from scimd.org.audit import audit
from scimd.org.invitations import invitation_changes
from scimd.org.invitations import invitations as invited
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization, OrganizationRecord
from scimd.org.settling import settle
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource, SourceRecord
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings, Tx
from scimd.org.users.names import shown_as
from tests.support.database import ready
from tests.support.patience import PATIENT

T = TypeVar("T")
OPERATOR = Actor("operator", "cli", "root (CLI)")
PASSWORD = "seven quiet lanterns drift"
MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@dataclass
class House:
    door: Door
    clock: Clock
    org: OrganizationRecord
    ctx: Context
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def source(self, name: str = "okta", **more: Any) -> SourceRecord:
        more = {"state": "active"} | more
        return await sources.create(self.door, self.ctx, NewSource(name, **more))

    async def push(
        self, source: SourceRecord, user_name: str = "dana@acme.example", *, active: bool = True
    ) -> PersonId:
        """What a push leaves: a person, and what the source asserts of them."""
        ctx = replace(self.ctx, source_id=source.id, actor=Actor("token", "t", "a token"))
        return await self.door.run(ctx, lambda tx: _push(tx, source.id, user_name, active))

    async def assert_active(self, source: SourceRecord, person_id: PersonId, active: bool) -> None:
        def body(tx: Tx) -> None:
            mine = (assertions.c.org_id == tx.org_id) & (assertions.c.person_id == person_id)
            tx.conn.execute(update(assertions).where(mine).values(active=active))
            tx.touch([person_id])

        await self.door.run(replace(self.ctx, source_id=source.id), body)

    async def touch(self, person_id: PersonId) -> None:
        await self.door.run(self.ctx, lambda tx: tx.touch([person_id]))

    async def rows(self, table: Table, **wanted: Any) -> list[Any]:
        query = select(table)
        for name, value in wanted.items():
            query = query.where(table.c[name] == value)
        if "created_at" in table.c:
            query = query.order_by(table.c.created_at)
        return await self.door.read(lambda conn: list(conn.execute(query)))

    async def person(self, person_id: PersonId) -> Any:
        (row,) = await self.rows(people, id=person_id)
        return row

    async def invitation(self, person_id: PersonId) -> Any:
        return (await self.rows(invitations, person_id=person_id))[-1]

    async def mails(self, **wanted: Any) -> list[Any]:
        return await self.rows(deliveries, **wanted)

    async def kinds(self) -> list[str]:
        return [row.kind for row in sorted(await self.rows(events), key=lambda row: row.id)]

    async def link(self, person_id: PersonId) -> str:
        row = await self.invitation(person_id)
        return await invitation_changes.copy_link(self.door, self.ctx, row.id)

    async def accepted(self, person_id: PersonId, **more: Any) -> invited.Accepted:
        link = await self.link(person_id)
        return await invited.accept(self.door, link, password=PASSWORD, **more)

    async def write(self, body: Callable[[Connection], T]) -> T:
        return await self.door.db.write(body)


def _push(tx: Tx, source_id: SourceId, user_name: str, active: bool) -> PersonId:
    person_id = PersonId(tx.new_id())
    document = {"userName": user_name, "displayName": user_name.partition("@")[0].title()}
    tx.conn.execute(
        people.insert().values(
            org_id=tx.org_id,
            id=person_id,
            kind="person",
            local_user_name=f"u-{person_id[-12:]}",
            **shown_as(document["displayName"]),
            profile={},
            status="pending",
            causes=[],
            primary_role="user",
            roles=["user"],
            created_by=tx.ctx.actor.name,
            created_at=tx.now,
            changed_at=tx.now,
        )
    )
    tx.conn.execute(
        assertions.insert().values(
            org_id=tx.org_id,
            source_id=source_id,
            person_id=person_id,
            user_name=user_name,
            user_name_key=fold(user_name),
            active=active,
            state="live",
            document=pack(document),
            meta=meta_part(person_id, tx.now, tx.now, 1),
            folded=fold_document(document),
            created_at=tx.now,
            changed_at=tx.now,
            **columns_of(document),
        )
    )
    tx.touch([person_id])
    return person_id


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[tuple[Door, Clock]]:
    ready(url)
    db = Database.open(url, PATIENT)
    clock = Clock()
    try:
        yield (
            Door(
                db,
                Keyring([b"a key of the tests, thirty-two bytes and more"]),
                DoorSettings(**settings),
                settle=settle.settle,
                write_events=audit.write_events,
                clock=clock,
            ),
            clock,
        )
    finally:
        await db.aclose()


@asynccontextmanager
async def house(url: str, *, seats: int | None = None, **settings: Any) -> AsyncIterator[House]:
    """A door and one organization, ``acme``."""
    async with opened(url, **settings) as (door, clock):
        org = await organizations.create(door, NewOrganization("acme", "Acme", seats=seats), OPERATOR)
        yield House(door, clock, org, Context(org.id, OPERATOR, "cli", "c-1"))
