"""An organization with sources on a real database, and short ways to push to it and look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import pytest
from sqlalchemy import Connection, Row, Table, select

from scimd.core import standing as core_standing
from scimd.core.attributes import GROUP, USER
from scimd.core.people import GroupId, OrgId, PersonId, RoleName, SourceId
from scimd.core.resource import Projection, StoredUser, View
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN, EffectKind
from scimd.db.engine import Database, Tuning
from scimd.db.tables import people
from scimd.org.audit import audit
from scimd.org.grants import manual_grants, promotion
from scimd.org.groups import groups
from scimd.org.groups.groups import AssertedGroup, AssertGroup
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.reading import reads
from scimd.org.reading.reads import ListQuery
from scimd.org.settling.settle import settle
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings, Tx
from scimd.org.users import people as door_people
from scimd.org.users.incoming import Asserted, AssertUser
from scimd.org.users.leaving import Dropped, DropUser
from tests.support.database import ready
from tests.support.patience import PATIENT

T = TypeVar("T")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BASE = "https://scimd.example.com/scim/v2"
VIEW = View(BASE, Projection.parse(USER, None, None))
GROUP_VIEW = View(BASE, Projection.parse(GROUP, None, None))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass
class House:
    """``as_*`` give the context of a caller; ``push`` and so on run in one transaction each."""

    door: Door
    clock: Clock
    org_id: OrgId
    scim: SourceId

    def as_scim(self, source_id: SourceId | None = None) -> Context:
        actor = Actor("token", "t1", "Okta")
        return Context(self.org_id, actor, "scim", "c1", source_id or self.scim)

    def as_sync(self, source_id: SourceId) -> Context:
        return replace(self.as_scim(source_id), door="sync", actor=Actor("source", source_id, "ldap"))

    def as_admin(self) -> Context:
        actor = Actor("person", "a", "admin@acme.example")
        permissions = BUILT_IN[ACCOUNT_ADMIN].permissions
        return Context(self.org_id, actor, "cli", "c2", permissions=permissions)

    async def source(self, name: str, **more: Any) -> SourceId:
        new = NewSource(name=name, **{"state": "active", "invite": "never", **more})
        return (await sources.create(self.door, self.as_admin(), new)).id

    async def run(self, body: Callable[[Tx], T], ctx: Context | None = None) -> T:
        return await self.door.run(ctx or self.as_scim(), body)

    async def push(self, *many: AssertUser, ctx: Context | None = None) -> list[Asserted]:
        return await self.run(lambda tx: door_people.record_users(tx, many), ctx)

    async def seen(
        self, person_id: str, ctx: Context | None = None, view: View = VIEW
    ) -> dict[str, Any] | None:
        """A user as a read shows them."""
        shown = await reads.scim_user(self.door, ctx or self.as_scim(), person_id, view)
        return None if shown is None else orjson.loads(shown.body)

    async def listed(
        self, query: ListQuery, ctx: Context | None = None, view: View = VIEW
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many there are, and those of the page."""
        found = await reads.scim_users(self.door, ctx or self.as_scim(), query, view)
        page = orjson.loads(b"[%b]" % b"".join(found.resources.pieces))
        assert len(page) == found.resources.count
        return found.total, page

    async def shown_members(self, group_id: str, ctx: Context | None = None) -> list[dict[str, str]]:
        """The members of a group as its source's client reads them."""
        found = await reads.scim_group(self.door, ctx or self.as_scim(), group_id, GROUP_VIEW)
        assert found is not None
        members: list[dict[str, str]] = orjson.loads(found.body).get("members", [])
        return members

    async def create(self, name: str, /, ctx: Context | None = None, **more: Any) -> StoredUser:
        return await door_people.create_user(self.door, ctx or self.as_scim(), user(name, **more))

    async def change(self, person_id: str, ctx: Context | None = None, **more: Any) -> StoredUser:
        return await door_people.change_user(
            self.door, ctx or self.as_scim(), PersonId(person_id), lambda document, _: {**document, **more}
        )

    async def delete(self, person_id: str, ctx: Context | None = None) -> None:
        await door_people.delete_user(self.door, ctx or self.as_scim(), PersonId(person_id))

    async def drop(self, *many: str, ctx: Context, deleted: bool = False) -> list[Dropped]:
        drops = [DropUser(PersonId(each), deleted) for each in many]
        return await self.run(lambda tx: door_people.drop_users(tx, drops), ctx)

    async def push_groups(self, *many: AssertGroup, ctx: Context | None = None) -> list[AssertedGroup]:
        return await self.run(lambda tx: groups.record_groups(tx, many), ctx)

    async def grant(
        self, person_id: str, kind: EffectKind, target: str, project_role: RoleName | None = None
    ) -> None:
        """An admin gives them that by hand."""
        given = PersonId(person_id), kind, target, "admin", project_role
        await self.run(lambda tx: manual_grants.give(tx, *given), self.as_admin())

    async def group(self, name: str, *members: str, ctx: Context | None = None) -> GroupId:
        (made,) = await self.push_groups(group(name, *members), ctx=ctx)
        if made.refusal:
            raise made.refusal
        assert made.group_id is not None
        return made.group_id

    async def members(
        self,
        group_id: GroupId,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        ctx: Context | None = None,
    ) -> bool:
        return await self.run(lambda tx: groups.change_members(tx, group_id, add, remove), ctx)

    async def rows(self, table: Table, **where: Any) -> list[Row[Any]]:
        query = select(table)
        if "org_id" in table.c:
            query = query.where(table.c.org_id == self.org_id)
        for name, value in where.items():
            query = query.where(table.c[name] == value)
        return await self.door.read(lambda conn: list(conn.execute(query)))

    async def person(self, person_id: str) -> Row[Any]:
        (row,) = await self.rows(people, id=person_id)
        return row

    async def execute(self, statement: Any) -> None:
        def body(conn: Connection) -> None:
            conn.execute(statement)

        await self.door.db.write(body)


def user(name: str, /, *, external_id: str | None = None, mail: str | None = None, **more: Any) -> AssertUser:
    """``ann`` has the userName and address ann@acme.example and the external id x-ann."""
    external_id = f"x-{name}" if external_id is None else external_id or None
    document: dict[str, Any] = {"userName": f"{name}@acme.example", "displayName": name.title()}
    if external_id:
        document["externalId"] = external_id
    if mail is not None:
        document["emails"] = [{"value": mail, "primary": True}]
    given = {key: more.pop(key) for key in ("person_id", "link", "digest", "place") if key in more}
    return AssertUser({**document, **more}, external_id, **given)


def group(name: str, *members: str, external_id: str | None = None, **more: Any) -> AssertGroup:
    return AssertGroup({"displayName": name}, external_id, tuple(members), **more)


@asynccontextmanager
async def house(
    url: str,
    *,
    seats_: int | None = None,
    seats_on_scim: Any = "hold",
    settings: DoorSettings | None = None,
    tuning: Tuning | None = None,
    default_project: str | None = "General",
) -> AsyncIterator[House]:
    ready(url)
    database = Database.open(url, tuning or PATIENT)
    clock = Clock()
    door = Door(
        database,
        Keyring([b"k" * 32]),
        settings or DoorSettings(),
        settle=settle,
        write_events=audit.write_events,
        promote=promotion.promote,
        clock=clock,
    )
    try:
        new = NewOrganization(
            "acme",
            seats=seats_,
            seats_on_scim=seats_on_scim,
            default_project=default_project,
            domains=("acme.example",),
        )
        org = await organizations.create(door, new, Actor("system", "", "test"))
        made = House(door, clock, org.id, SourceId(""))
        made.scim = await made.source("okta")
        yield made
    finally:
        await database.aclose()


def standings_worked_out(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The facts of each standing that is worked out from here on, by whoever asks for it."""
    seen, hear = list[Any](), core_standing._hear

    def heard(facts: Any, *given: Any) -> Any:
        seen.append(facts)
        return hear(facts, *given)

    monkeypatch.setattr(core_standing, "_hear", heard)
    return seen
