"""An organization with a scripted directory, on a real database, and short ways to run and to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Row, Table, func, select

from scimd.config import Source
from scimd.connector_api import (
    BadEntry,
    Capabilities,
    Checked,
    Deadline,
    DirectoryGroup,
    DirectoryUser,
    End,
    Log,
    OpenSource,
    Page,
)
from scimd.core.people import OrgId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN
from scimd.db.engine import Database
from scimd.db.tables import assertions, deliveries, events, group_members, groups, people
from scimd.org.audit import audit
from scimd.org.grants import promotion
from scimd.org.ids import uuid7
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.runs import run_changes
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.settling import settle
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource, SourceRecord, as_json
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings
from scimd.sync import registry
from scimd.sync import run as sync_run
from tests.support.database import ready
from tests.support.patience import PATIENT

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass
class Person:
    """One entry of the scripted directory; ``attributes`` speak SCIM, as the file connector's do."""

    user_name: str
    mail: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        found = {"userName": self.user_name, **self.more}
        return found | ({"email": self.mail} if self.mail else {})


class Script:
    """A directory that a test holds in its hands. ``faults`` are raised before page number n."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.groups: dict[str, tuple[str, list[str]]] = {}
        self.doubled_groups: list[DirectoryGroup] = []
        self.bad: list[BadEntry] = []
        self.extra: list[DirectoryUser] = []
        self.extra_first = False
        self.fault: Exception | None = None
        self.fault_at_page = 0
        self.page = 100
        self.end: End | None = End(full=True)
        self.last: list[Page] = []
        self.pause_s = 0.0
        self.closed = 0
        self.closing: Callable[[], Awaitable[object]] | None = None
        self.checked: Callable[[], Checked] = lambda: Checked("works")

    def fill(self, n: int, first: int = 0) -> None:
        for i in range(first, first + n):
            self.people[f"x{i:04}"] = Person(f"user{i:04}", f"user{i:04}@acme.example")

    def pages(self) -> list[Page]:
        users = [
            DirectoryUser(key, f"cn={one.user_name}", one.attributes(), (f"CN={one.user_name}",))
            for key, one in self.people.items()
        ]
        users = self.extra + users if self.extra_first else users + self.extra
        pages = [Page(users=tuple(users[i : i + self.page])) for i in range(0, len(users), self.page)]
        found = tuple(
            DirectoryGroup(key, f"cn={name}", name, tuple(members))
            for key, (name, members) in self.groups.items()
        )
        # Groups first: their members are not known yet.
        return [
            Page(groups=found + tuple(self.doubled_groups)),
            *pages,
            Page(bad=tuple(self.bad), end=self.end),
            *self.last,
        ]


SCRIPTS: dict[str, Script] = {}


class ScriptedSource:
    def __init__(self, script: Script) -> None:
        self._script = script

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(groups=True, nested_groups=True)

    async def check(self) -> Checked:
        return self._script.checked()

    async def read(self, cursor: str | None) -> AsyncIterator[Page]:
        assert cursor is None
        for number, page in enumerate(self._script.pages()):
            if self._script.fault is not None and number == self._script.fault_at_page:
                raise self._script.fault
            await asyncio.sleep(self._script.pause_s)
            yield page

    async def aclose(self) -> None:
        self._script.closed += 1
        if self._script.closing is not None:
            await self._script.closing()


class ScriptedConnector:
    """What a connector's entry point names."""

    @staticmethod
    def parse(settings: Mapping[str, Any]) -> Script:
        return SCRIPTS[settings["script"]]

    @staticmethod
    def open(config: Script, log: Log, deadline: Deadline) -> OpenSource:
        return ScriptedSource(config)


class Point:
    """An entry point, as far as the registry asks."""

    def load(self) -> type[ScriptedConnector]:
        return ScriptedConnector


#: SCIM-spelt attributes need expressions here: the scripted connector has no defaults.
MAPPING = {
    "userName": "entry.userName[0]",
    "displayName": "entry.?displayName[?0]",
    "title": "entry.?title[?0]",
    "emails": "entry.?email",
    "active": "entry.?active[?0]",
}


@dataclass
class World:
    door: Door
    clock: Clock
    org_id: OrgId
    script: Script
    source_name: str = "hr"

    async def source(self) -> SourceRecord:
        return await sources.get_source(self.door, self.org_id, self.source_name)

    async def cut_off(self) -> None:
        """A sync whose process dies between its plan and the first change."""

        async def die(*_: object) -> None:
            raise ConnectionAbortedError("the process died")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sync_run, "_applied", die)
            with pytest.raises(ConnectionAbortedError):
                await self.sync()

    async def sync(self, **more: Any) -> RunRecord:
        self.clock.forward(seconds=1)
        return await sync_run.sync_source(self.door, await self.source(), **more)

    async def plan(self) -> RunRecord:
        self.clock.forward(seconds=1)
        return await sync_run.plan_source(self.door, await self.source())

    async def approve(self, run: RunRecord) -> RunRecord:
        return await sync_run.apply_run(self.door, self.as_admin(), run.id)

    def as_admin(self) -> Context:
        actor = Actor("person", "a", "admin@acme.example")
        return Context(self.org_id, actor, "cli", "c", permissions=BUILT_IN[ACCOUNT_ADMIN].permissions)

    async def changes(self, run: RunRecord) -> list[ChangeRecord]:
        return [change async for change in run_changes.every(self.door, self.org_id, run.id)]

    async def said(self, run: RunRecord) -> dict[str, tuple[str, str]]:
        """Action and outcome by name."""
        return {change.name: (change.action, change.outcome) for change in await self.changes(run)}

    async def rows(self, table: Table) -> Sequence[Row[Any]]:
        return await self.door.read(
            lambda conn: conn.execute(select(table).where(table.c.org_id == self.org_id)).all()
        )

    async def count(self, table: Table) -> int:
        query = select(func.count()).select_from(table).where(table.c.org_id == self.org_id)
        return await self.door.read(lambda conn: conn.execute(query).scalar_one())

    async def written(self) -> dict[str, int]:
        return {table.name: await self.count(table) for table in (events, deliveries)}

    async def state(self) -> Any:
        """What the organization has come to, without ids and times: two histories can be compared."""
        return await self.door.read(lambda conn: state_of(conn, self.org_id))

    async def active(self) -> set[str]:
        """userNames of people whom the source asserts as active."""
        return {row.user_name for row in await self.rows(assertions) if row.state == "live" and row.active}


def state_of(conn: Connection, org_id: OrgId) -> Any:
    a, p, g, m = assertions.c, people.c, groups.c, group_members.c
    persons = conn.execute(
        select(
            a.external_id,
            a.user_name,
            a.active,
            a.state,
            a.document,
            p.status,
            p.has_seat,
            p.sign_in_address,
            p.display_name,
        )
        .join_from(assertions, people, (p.org_id == a.org_id) & (p.id == a.person_id))
        .where(a.org_id == org_id)
        .order_by(a.external_id, a.state, a.user_name)
    ).all()
    members = conn.execute(
        select(g.external_id, g.display_name, g.state, a.external_id)
        .select_from(
            groups.outerjoin(group_members, (m.org_id == g.org_id) & (m.group_id == g.id)).outerjoin(
                assertions, (a.org_id == m.org_id) & (a.person_id == m.person_id)
            )
        )
        .where(g.org_id == org_id)
        .order_by(g.external_id, a.external_id)
    ).all()
    return [tuple(row) for row in persons], [tuple(row) for row in members]


def source_config(**more: Any) -> Source:
    base: dict[str, Any] = {
        "name": "hr",
        "connector": "scripted",
        "state": "active",
        "schedule": "15m",
        "mapping": {"user": MAPPING},
        "settings": {"script": "hr"},
        "groups": {"default": "project"},
    }
    return Source.model_validate(base | more)


@asynccontextmanager
async def opened(url: str, clock: Callable[[], datetime] | None = None) -> AsyncIterator[Door]:
    database = Database.open(url, PATIENT)
    door = Door(
        database,
        Keyring([b"k" * 32]),
        DoorSettings(),
        settle=settle.settle,
        write_events=audit.write_events,
        promote=promotion.promote,
        clock=clock or (lambda: datetime.now(UTC)),
    )
    try:
        yield door
    finally:
        await database.aclose()


async def organization(door: Door, source: Source, *, seats_: int | None = None) -> OrgId:
    """An organization ``acme`` with one source."""
    actor = Actor("operator", "test", "test")
    record = await organizations.create(
        door, NewOrganization("acme", seats=seats_, domains=("acme.example",)), actor
    )
    permissions = BUILT_IN[ACCOUNT_ADMIN].permissions
    ctx = Context(record.id, actor, "cli", uuid7(door.clock(), b"0" * 10), permissions=permissions)
    new = NewSource(
        source.name,
        "connector",
        source.connector,
        state=source.state,
        invite=source.invite,
        ceiling=RoleName(source.ceiling),
        config=as_json(source),
        declared_in="file",
    )
    await sources.create(door, ctx, new)
    return record.id


@asynccontextmanager
async def world(url: str, *, seats_: int | None = None, **config: Any) -> AsyncIterator[World]:
    """There is a connector ``scripted`` meanwhile, beside those that are installed."""
    ready(url)
    clock = Clock()
    SCRIPTS["hr"] = Script()
    with pytest.MonkeyPatch.context() as patch:
        installed = registry._found()
        patch.setattr(registry, "_found", lambda: {**installed, "scripted": Point()})
        async with opened(url, clock) as door:
            org_id = await organization(door, source_config(**config), seats_=seats_)
            yield World(door, clock, org_id, SCRIPTS["hr"])
