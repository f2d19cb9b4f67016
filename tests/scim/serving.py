"""SCIM over real HTTP, on the real door: a server on loopback, organizations, sources, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from scimd.config import Config
from scimd.core.people import OrgId, SourceId
from scimd.db.engine import Database
from scimd.http import app as http_app
from scimd.http import limits
from scimd.http.app import Runner
from scimd.org.audit import audit
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization, OrganizationRecord
from scimd.org.settling import settle
from scimd.org.sources import sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens import tokens
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, DoorSettings, Promote
from scimd.scim import app as scim_app
from tests.support.database import ready
from tests.support.elsewhere import written_by
from tests.support.patience import LINGERS_S, PATIENT, patient

OPERATOR = Actor("operator", "tests", "tests")
PUBLIC_URL = "https://scimd.example.com"
BASE = f"{PUBLIC_URL}/scim/v2"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def scim_type(self) -> str | None:
        found: str | None = self.json.get("scimType")
        return found


@dataclass
class Client:
    """One token's view of the server."""

    http: ClientSession
    url: str
    token: str
    org_id: OrgId
    source_id: SourceId
    headers: dict[str, str] = field(default_factory=dict)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> Reply:
        """``body``: bytes as they are, else as JSON."""
        sent = {"Authorization": f"Bearer {self.token}", **self.headers}
        if body is not None:
            sent["Content-Type"] = "application/scim+json"
            body = body if isinstance(body, bytes) else orjson.dumps(body)
        sent.update(headers or {})
        async with self.http.request(
            method, f"{self.url}/scim/v2{path}", data=body, headers=sent, params=params, allow_redirects=False
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.send("GET", path, **more)

    async def post(self, path: str, body: Any, **more: Any) -> Reply:
        return await self.send("POST", path, body, **more)

    async def put(self, path: str, body: Any, **more: Any) -> Reply:
        return await self.send("PUT", path, body, **more)

    async def patch(self, path: str, *operations: dict[str, Any], **more: Any) -> Reply:
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}
        return await self.send("PATCH", path, body, **more)

    async def delete(self, path: str, **more: Any) -> Reply:
        return await self.send("DELETE", path, **more)

    async def user(self, user_name: str, **more: Any) -> dict[str, Any]:
        """Create a user; the resource."""
        reply = await self.post("/Users", {"userName": user_name, **more})
        assert reply.status == 201, reply.raw
        return dict(reply.json)

    async def group(self, name: str, *members: str) -> dict[str, Any]:
        reply = await self.post(
            "/Groups", {"displayName": name, "members": [{"value": each} for each in members]}
        )
        assert reply.status == 201, reply.raw
        return dict(reply.json)


@dataclass
class Installation:
    """A running scimd, without its worker."""

    door: Door
    url: str
    http: ClientSession
    app: web.Application

    async def organization(self, slug: str, **more: Any) -> OrganizationRecord:
        return await organizations.create(self.door, NewOrganization(slug=slug, **more), OPERATOR)

    def context(self, org: OrganizationRecord) -> Context:
        return Context(org.id, OPERATOR, "cli", "tests")

    async def client(
        self,
        org: OrganizationRecord,
        source: str = "idp",
        *,
        profile: str = "default",
        scopes: Sequence[str] | None = None,
        **more: Any,
    ) -> Client:
        """A source (made if it is new) and a token of it."""
        ctx = self.context(org)
        known = {each.name: each.id for each in await sources.list_sources(self.door, org.id)}
        if source not in known:
            new = await sources.create(self.door, ctx, NewSource(name=source, state="active", **more))
            known[source] = new.id
        name = f"{source}-{profile}"
        token = await tokens.create(self.door, ctx, known[source], name, profile, None, scopes)
        return Client(self.http, self.url, token.token, org.id, known[source])


class Served(TestServer):
    """A test server that knows shortcuts and cancels nobody whose client went away, as `serve` does."""

    async def _make_runner(self, **settings: Any) -> Runner:
        return Runner(self.app, **{**settings, "handler_cancellation": False, "lingering_time": LINGERS_S})


@asynccontextmanager
async def installed(
    url: str, *, promote: Promote | None = None, **settings: Any
) -> AsyncIterator[Installation]:
    """``settings``: sections of the config. On SQLite another door writes, as another process does."""
    ready(url)
    async with AsyncExitStack() as stack:
        door = _door(stack, url, promote)
        if door.db.dialect == "sqlite":
            writer = _door(stack, url, promote)
            writer.clock = lambda: door.clock()  # a test may set another one
            await stack.enter_async_context(written_by(writer, door))
        config = Config.model_validate(patient({"server": {"public_url": PUBLIC_URL}, **settings}))
        app: web.Application = http_app.make(config, door)
        scim_app.add(app, config, door)
        async with Served(app) as server, ClientSession() as http:
            yield Installation(door, str(server.make_url("")).rstrip("/"), http, app)


def _door(stack: AsyncExitStack, url: str, promote: Promote | None) -> Door:
    database = Database.open(url, PATIENT)
    stack.push_async_callback(database.aclose)
    keys = Keyring([b"k" * 32])
    return Door(
        database,
        keys,
        DoorSettings(),
        settle=settle.settle,
        write_events=audit.write_events,
        promote=promote,
    )


def reading(patch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once the body of a request is waited for."""
    begun, read_body = asyncio.Event(), limits.read_body

    async def noted(*args: Any) -> bytes:
        begun.set()
        return await read_body(*args)

    patch.setattr(limits, "read_body", noted)
    return begun
