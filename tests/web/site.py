"""The whole application on a real socket, with the real door behind it, and a company in it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

from scimd.admin import app as admin_app
from scimd.admin.endpoints import Endpoint
from scimd.admin.table import TABLE
from scimd.config import Config, Organization, Server
from scimd.core.people import OrgId, PersonId, RunId
from scimd.core.sync.limits import Trip, TripKind
from scimd.core.sync.plan import Change, Plan
from scimd.core.sync.policy import Action, Situation
from scimd.db.engine import Database
from scimd.db.tables import invitations as invitation_rows
from scimd.http import app as http_app
from scimd.org.audit import audit
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import NewDecision, Option
from scimd.org.groups import groups
from scimd.org.groups.groups import AssertGroup
from scimd.org.invitations import invitation_changes
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.runs import plan_ground, run_changes, runs
from scimd.org.settling import settle
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource, SourceRecord
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings, Tx
from scimd.org.users import first_admins, people
from scimd.org.users.people import AssertUser
from scimd.scim import app as scim_app
from scimd.web import app as web_app
from tests.support.database import ready
from tests.support.patience import AT_MOST_S, LINGERS_S, PATIENT
from tests.support.sign_in_links import sign_in_link

OPERATOR = Actor("operator", "cli", "root (CLI)")
PASSWORD = "seven quiet lanterns drift"
ADMIN = "ada@acme.example"


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Site:
    door: Door
    clock: Clock
    url: str
    org_id: OrgId
    app: web.Application

    @property
    def ctx(self) -> Context:
        return Context(self.org_id, OPERATOR, "cli", "c-1")

    @asynccontextmanager
    async def browser(self, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A client with a cookie jar that says of itself what a browser says of a form on our page."""
        said = {"Sec-Fetch-Site": "same-origin"} | {k.replace("_", "-"): v for k, v in headers.items()}
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self.url, headers=said, cookie_jar=jar) as session:
            yield session

    @asynccontextmanager
    async def signed_in(
        self, email: str = ADMIN, *, org: str = "acme"
    ) -> AsyncIterator[aiohttp.ClientSession]:
        token = await self.sign_in_link(email, org=org)
        async with self.browser() as session:
            async with session.post(f"/sign-in/{token}") as answer:
                assert answer.status == 200, await answer.text()
            yield session

    async def sign_in_link(self, email: str = ADMIN, *, org: str = "acme") -> str:
        return await first_admins.create_admin(self.door, org, email, OPERATOR)

    async def sign_in_link_of(self, person_id: PersonId) -> str:
        return await sign_in_link(self.door, self.ctx, person_id)

    async def source(self, name: str, **more: Any) -> SourceRecord:
        where: dict[str, Any] = {"declared_in": "file"} if more.get("kind") == "connector" else {}
        return await sources.create(
            self.door, self.ctx, NewSource(name, **({"state": "active"} | where | more))
        )

    async def push(self, source: SourceRecord, *documents: Mapping[str, Any]) -> list[PersonId]:
        """People as a push leaves them."""
        ctx = self._of(source)
        many = [AssertUser(dict(document), document.get("externalId")) for document in documents]
        asserted = await self.door.run(ctx, lambda tx: people.record_users(tx, many))
        return [row.person_id for row in asserted if row.person_id]

    async def group(self, source: SourceRecord, name: str, *members: PersonId) -> None:
        """A group as a push leaves it."""
        wanted = AssertGroup({"displayName": name}, None, members)
        await self.door.run(self._of(source), lambda tx: groups.record_groups(tx, [wanted]))

    def _of(self, source: SourceRecord) -> Context:
        return replace(self.ctx, source_id=source.id, actor=Actor("token", "t", "a token"), door="scim")

    async def invitation_link(self, person_id: PersonId) -> str:
        query = invitation_rows.select().where(invitation_rows.c.person_id == person_id)
        row = await self.door.read(lambda conn: conn.execute(query).one())
        return await invitation_changes.copy_link(self.door, self.ctx, row.id)

    async def decision(self, **facts: Any) -> str:
        item = NewDecision(
            "collision",
            f"subject {facts}",
            "Is the entry uid=dana the person Dana Ortiz?",
            (
                Option("link", "Link them", "They become one."),
                Option("separate", "Two people", "They stay two."),
            ),
            {"person_id": "dana"}
            | (
                facts
                or {
                    "entry": {"name": "Dana Ortiz"},
                    "person": {"name": "D. Ortiz"},
                    "address": "dana@acme.example",
                }
            ),
        )
        return await self.door.run(self.ctx, lambda tx: decisions.open_item(tx, item))

    async def run(self, source: SourceRecord, state: Any, *changes: Change, **more: Any) -> RunId:
        """A run that was planned with these changes, and left in that state."""
        plan = Plan(
            changes=changes,
            counts={"situations": {"user.linked-unchanged": 254}, "actions": {}, "outcomes": {}},
            seats={"limit": 50, "before": 47, "freed": 4, "wanted": 5, "after": 48, "waiting": 0},
            mails=3,
            trips=more.get("trips", ()),
            fingerprint="f",
        )

        def body(tx: Tx) -> RunId:
            run_id = runs.begin(tx, source.id, "manual", "ada", source.config_version, full=True)
            if state in ("reading", "failed"):
                if state == "failed":
                    runs.fail(tx, run_id, "unreachable", "ldaps://dir.acme.example: no route to host")
                return run_id
            run_changes.add(tx, run_id, 1, changes)
            runs.planned(tx, run_id, plan, state, plan_ground.rules_version(tx.conn, tx.org_id, source.id))
            if state in ("done", "partial"):
                runs.finish(tx, run_id, state)
            return run_id

        return await self.door.run(self.ctx, body)

    async def finish(self, run_id: RunId) -> None:
        await self.door.run(self.ctx, lambda tx: runs.finish(tx, run_id, "done"))


def change(name: str = "Dana Ortiz", action: Action = Action.UPDATE, **more: Any) -> Change:
    given: dict[str, Any] = {
        "kind": "user",
        "situation": Situation.LINKED_CHANGED,
        "external_id": "emp-0042",
        "reason": "The directory says something else now.",
        "old": {"title": "Engineer"},
        "new": {"title": "Principal Engineer"},
        "outcome": "applied",
    } | more
    return Change(action=action, name=name, **given)


REMOVALS = Trip(TripKind.REMOVALS, "Removals: 38 of 300 people (12.7 %), more than 10 %.", 38, 10.0)


@asynccontextmanager
async def site(
    database_url: str,
    *,
    public_url: str | None = None,
    extra_route: Any = None,
    api: Sequence[Endpoint] = TABLE,
    request_timeout: float = AT_MOST_S,
    declared: Sequence[Organization] = (),
    local_name: bool = False,
    trusted_proxies: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Site]:
    """Served on a free port of loopback, with the organization ``acme`` of 50 seats."""
    ready(database_url)
    database = Database.open(database_url, PATIENT)
    clock = Clock()
    keys = Keyring([b"a key of the tests, thirty-two bytes and more"])
    door = Door(
        database,
        keys,
        DoorSettings(**settings),
        settle=settle.settle,
        write_events=audit.write_events,
        clock=clock,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    # Passkeys belong to a name, never to an address.
    url = f"http://{'localhost' if local_name else '127.0.0.1'}:{listening.getsockname()[1]}"
    config = Config(
        server=Server(
            public_url=public_url or url,
            request_timeout=timedelta(seconds=request_timeout),
            trusted_proxies=list(trusted_proxies),
        ),
        organization=list(declared),
    )
    app = http_app.make(config, door)
    scim_app.add(app, config, door)
    admin_app.add(app, config, door, api)
    web_app.add(app, config, door)
    if extra_route is not None:
        app.router.add_get(*extra_route)
    runner = http_app.Runner(app, lingering_time=LINGERS_S)
    try:
        await organizations.ensure_system(door)
        org = await organizations.create(door, NewOrganization("acme", "Acme", seats=50), OPERATOR)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield Site(door, clock, url, org.id, app)
    finally:
        await runner.cleanup()
        listening.close()
        await database.aclose()
