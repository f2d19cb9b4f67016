"""The whole application with every door open: organizations, sources, an admin, letters, a clock."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import orjson
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from scimd.admin import app as admin_app
from scimd.config import Config
from scimd.core.people import OrgId
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN
from scimd.db import tables
from scimd.db.engine import Database
from scimd.http import app as http_app
from scimd.org.audit import audit
from scimd.org.authentication import sign_in
from scimd.org.grants import seats
from scimd.org.invitations import invitation_changes
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.settling import settle, unsettled
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource, SourceRecord, as_json
from scimd.org.tokens import api_tokens, tokens
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings
from scimd.org.users import first_admins, local_people, purging
from scimd.outbox import relay
from scimd.outbox.mail import HandOver
from scimd.scim import app as scim_app
from scimd.web import app as web_app
from tests.support.patience import PATIENT
from tests.sync.world import SCRIPTS, Script, source_config

OPERATOR = Actor("operator", "tests", "tests")
PUBLIC_URL = "https://scimd.example.com"
_TOKEN = re.compile(rf"{PUBLIC_URL}/(invitation|set-password|confirm-address)/([A-Za-z0-9_~.-]+)")


class Clock:
    """Moved by hand; each look at it is a millisecond after the one before, so events are in order."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass(frozen=True)
class Letter:
    """A mail that arrived: to whom, and the token of the link in it."""

    to: str
    purpose: str
    token: str


@dataclass
class Letters:
    """A mail server, and the mailboxes behind it."""

    sender: str = "scimd <scimd@example.com>"
    longest_s: float = 60.0
    arrived: list[Letter] = field(default_factory=list)
    #: All that was ever sent, as text.
    texts: list[str] = field(default_factory=list)

    async def send(self, message: EmailMessage, hand_over: HandOver) -> None:
        await hand_over()
        body = message.get_body(("plain",))
        assert body is not None
        self.texts.append(message.as_string())
        found = _TOKEN.search(body.get_content().replace("=\n", ""))
        if found is not None:
            self.arrived.append(Letter(message["To"].addresses[0].addr_spec, *found.groups()))

    async def rest(self) -> None:
        """Nothing to rest from."""


@dataclass(frozen=True)
class Answer:
    status: int
    raw: bytes
    correlation_id: str = ""

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw) if self.raw else None

    @property
    def done(self) -> bool:
        return self.status < 400


@dataclass
class Organization:
    """One organization: a SCIM source, a directory, a service token for the REST API, an admin."""

    id: OrgId
    slug: str
    scim_token: str
    api_token: str
    script: Script
    scim: SourceRecord
    admin_cookie: str

    def context(self) -> Context:
        permissions = BUILT_IN[ACCOUNT_ADMIN].permissions
        return Context(self.id, Actor("person", "a", "admin"), "cli", "c", permissions=permissions)


@dataclass
class Company:
    door: Door
    clock: Clock
    http: ClientSession
    url: str
    letters: Letters
    made: int = 0

    async def organization(
        self,
        *,
        seats_limit: int | None = None,
        seats_on_scim: Any = "hold",
        scim_first: bool = True,
        **more: Any,
    ) -> Organization:
        self.made += 1
        slug = f"org-{self.made}"
        new = NewOrganization(
            slug, seats=seats_limit, seats_on_scim=seats_on_scim, domains=(f"{slug}.example",)
        )
        org = await organizations.create(self.door, new, OPERATOR)
        ctx = Context(org.id, OPERATOR, "cli", "setup")
        SCRIPTS[slug] = Script()
        config = {"name": "hr", "join": ["mail"], "settings": {"script": slug}, **more}
        hr = as_json(source_config(**config))
        rules = {"rule": more.get("rule", [])}
        okta = NewSource("okta", state="active", priority=1 if scim_first else 3, config=rules)
        scim = await sources.create(self.door, ctx, okta)
        directory = NewSource(
            "hr", "connector", "scripted", "active", priority=2, config=hr, declared_in="file"
        )
        await sources.create(self.door, ctx, directory)
        token = await tokens.create(self.door, ctx, scim.id, "t", "default", None, None)
        api = await api_tokens.create_service(self.door, ctx, "robot", BUILT_IN[ACCOUNT_ADMIN].permissions)
        link = await first_admins.create_admin(self.door, slug, f"ada@{slug}.example", OPERATOR)
        admin = await sign_in.by_link(self.door, link, ip="127.0.0.1", user_agent="tests")
        return Organization(org.id, slug, token.token, api.token, SCRIPTS[slug], scim, admin.session)

    async def send(
        self, token: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        given = {"Authorization": f"Bearer {token}", **(headers or {})}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            given.setdefault("Content-Type", "application/json")
        async with self.http.request(method, self.url + path, data=data, headers=given) as answer:
            return Answer(answer.status, await answer.read(), answer.headers.get("X-Request-Id", ""))

    async def scim(self, org: Organization, method: str, path: str, body: Any = None) -> Answer:
        return await self.send(org.scim_token, method, f"/scim/v2{path}", body)

    async def api(self, org: Organization, method: str, path: str, body: Any = None) -> Answer:
        return await self.send(org.api_token, method, f"/api/v1{path}", body)

    async def jobs(self, org: Organization) -> None:
        """What runs by itself: for one organization, once."""
        await invitation_changes.expire_due(self.door, org.id)
        await local_people.expire_welcomes(self.door, org.id)
        await unsettled.settle_marked(self.door, org.id, budget_s=60)
        await seats.promote(self.door, org.id)
        await relay.run_once(self.door, self.letters, PUBLIC_URL, org.id)
        await purging.purge_due(self.door, org.id)
        await audit.publish(self.door, org.id)


@asynccontextmanager
async def company(url: str, settings: DoorSettings | None = None, **config: Any) -> AsyncIterator[Company]:
    """``config``: sections of the config."""
    database = Database.open(url, PATIENT)
    clock = Clock()
    door = Door(
        database,
        Keyring([b"a key of the tests, thirty-two bytes and more"]),
        settings or DoorSettings(),
        settle=settle.settle,
        write_events=audit.write_events,
        promote=seats.promote,
        clock=clock,
    )
    made = Config.model_validate({"server": {"public_url": PUBLIC_URL}, **config})
    app: web.Application = http_app.make(made, door)
    for edge in (scim_app, admin_app, web_app):
        edge.add(app, made, door)
    try:
        await database.write(tables.metadata.create_all)
        await organizations.ensure_system(door)
        async with TestServer(app) as server, ClientSession() as http:
            yield Company(door, clock, http, str(server.make_url("")).rstrip("/"), Letters())
    finally:
        await database.aclose()
