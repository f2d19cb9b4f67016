"""Promises of the threat model about whatever is done by hand, over REST (A3, A4, A29, A45-A47, F24)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import structlog
from sqlalchemy import Engine, event, select
from yarl import URL

from scimd import log
from scimd.admin import manual, problems, serving
from scimd.admin.endpoints import Endpoint
from scimd.admin.table import TABLE
from scimd.core.people import PersonId, RoleName
from scimd.core.roles import MANAGER, USER
from scimd.db.engine import Database
from scimd.db.prepared import Prepared, ahead
from scimd.db.tables import events, metadata
from scimd.http import guard, request_id
from scimd.org.authentication import sessions
from scimd.org.grants import assignments, custom_roles
from scimd.org.tx import Door
from scimd.org.users import admin_reads, local_people
from scimd.org.users.local_people import NewPerson
from tests.admin.client import Answer, Client, form_token_of
from tests.support.patience import PATIENT
from tests.web.site import Site


async def _manager(acme: Site, session: aiohttp.ClientSession) -> tuple[PersonId, Client]:
    """Dana, a manager who came in by a link."""
    okta = await acme.source("okta", invite="never")
    (dana,) = await acme.push(okta, {"userName": "dana@acme.example", "externalId": "x-dana"})
    await assignments.set_role(acme.door, acme.ctx, dana, MANAGER)
    async with session.post(f"/sign-in/{await acme.sign_in_link_of(dana)}") as answer:
        assert answer.status == 200
    return dana, Client(session, acme.url, await form_token_of(acme, session))


def _cookie(acme: Site, session: aiohttp.ClientSession) -> str:
    cookies = session.cookie_jar.filter_cookies(URL(acme.url))
    return next(morsel.value for name, morsel in cookies.items() if name.endswith("scimd"))


async def _replica(acme: Site, database_url: str) -> Door:
    """Another process' door on the same database, with memories of its own."""
    door = acme.door
    other = Database.open(database_url, PATIENT)
    return Door(
        other,
        door.keys,
        door.settings,
        settle=door._settle,
        write_events=door._write_events,
        clock=door.clock,
    )


async def test_a4_a_changed_permission_counts_at_the_next_request(
    acme: Site, api: Client, database_url: str
) -> None:
    """And on another replica, which knew them with more a moment ago."""
    replica = await _replica(acme, database_url)
    try:
        async with acme.browser() as session:
            dana, client = await _manager(acme, session)
            cookie = _cookie(acme, session)

            async def may() -> tuple[int, bool]:
                holder = await sessions.by_cookie(replica, cookie)
                assert holder is not None
                return (await client.get("/users")).status, "users.read" in holder.permissions

            assert await may() == (200, True)
            assert (await api.send("PUT", f"/users/{dana}/role", {"role": USER})).status == 200
            assert await may() == (403, False)
            made = {"name": "helpdesk", "label": "Help desk", "permissions": ["users.read"]}
            assert (await api.post("/roles", made)).status == 200
            assert (await api.send("PUT", f"/users/{dana}/role", {"role": "helpdesk"})).status == 200
            assert await may() == (200, True)
            role = await custom_roles.get(acme.door, acme.org_id, RoleName("helpdesk"))
            less = {"label": role.label, "permissions": ["audit.read"]}
            assert (await api.send("PUT", "/roles/helpdesk", less, {"If-Match": "*"})).status == 200
            assert await may() == (403, False)
    finally:
        await replica.db.aclose()


@pytest.mark.parametrize("act", ["deactivate", "disable", "delete", "reset-password"])
async def test_a29_whatever_shuts_somebody_out_ends_their_sessions_everywhere(
    acme: Site, api: Client, database_url: str, act: str
) -> None:
    """V11: here and on another replica, at the next request."""
    replica = await _replica(acme, database_url)
    try:
        async with acme.signed_in("bo@acme.example") as session:
            client, cookie = Client(session, acme.url, ""), _cookie(acme, session)
            bo = (await client.get("/me")).json["id"]
            assert (await api.send("PUT", f"/users/{bo}/role", {"role": USER})).status == 200
            assert (await client.get("/me")).status == 200
            assert await sessions.by_cookie(replica, cookie) is not None
            method, path = ("DELETE", "") if act == "delete" else ("POST", f"/{act}")
            assert (await api.send(method, f"/users/{bo}{path}")).status in (200, 204)
            assert (await client.get("/me")).status == 401
            assert await sessions.by_cookie(replica, cookie) is None
    finally:
        await replica.db.aclose()


# ------------------------------------------------------------------------------ A3


_ROWS = {
    name: Prepared(table.select())
    for name, table in metadata.tables.items()
    if name not in ("sessions", "leases")
}


async def _stored(acme: Site) -> dict[str, list[str]]:
    """All but what moves by being looked at."""

    def rows(conn: Any) -> dict[str, list[str]]:
        ahead(conn, *((each, {}) for each in _ROWS.values()))
        return {name: sorted(map(repr, each.all(conn, {}))) for name, each in _ROWS.items()}

    return await acme.door.read(rows)


def _shown(row: Endpoint) -> set[str]:
    """What the noun's answers hold and this body does not take."""
    assert row.body is not None
    nouns = [each for each in TABLE if each.tag == row.tag and each.answer is not None]
    fields = {name for each in nouns if each.answer for name in each.answer.model_fields}
    return fields - set(row.body.model_fields)


async def test_a3_nothing_but_the_documented_fields_is_written(acme: Site, api: Client) -> None:
    """Of each write: every field that its noun shows and the write does not document is refused by name."""
    before = await _stored(acme)
    for row in (row for row in TABLE if row.body is not None and row.tag not in ("access",)):
        assert row.body is not None
        schema = row.body.model_json_schema()
        plain = manual.sample(schema, schema.get("$defs", {}))
        hidden = sorted(_shown(row) - {"items", "results", "next", "total", "preview"})
        path = re.sub(r"{\w+}", "nothing", row.path)
        for name in hidden or ["permissions"]:
            answer = await api.send(row.method, path, {**plain, name: "x"}, {"If-Match": "*"})
            if row.needs == ("partner.approve",):
                assert answer.status == 403, row.name
                continue
            assert answer.status == 422, (row.name, name, answer.text)
            assert f"/{name}" in {each["field"] for each in answer.json["errors"]}, (row.name, name)
    assert await _stored(acme) == before


async def test_a3_who_may_write_which_field_of_whom(acme: Site, api: Client) -> None:
    """The table of docs/semantics.md: a source's fields are the source's, whoever asks."""
    async with acme.browser() as session:
        dana, client = await _manager(acme, session)
        local = await local_people.add(acme.door, acme.ctx, NewPerson("loc@acme.example"))
        table = [
            # who, of whom, field, value, status
            (api, dana, "display_name", "D", 403),
            (api, dana, "email", "d@acme.example", 403),
            (api, dana, "user_name", "dany", 200),
            (api, local, "display_name", "L", 200),
            (api, local, "user_name", "locke", 200),
            (api, local, "email", "locke@acme.example", 200),
            (client, local, "display_name", "X", 403),
            (client, local, "user_name", "x", 403),
            (client, local, "email", "x@acme.example", 403),
        ]
        for who, whom, field, value, status in table:
            answer = await who.send("PATCH", f"/users/{whom}", {field: value})
            assert answer.status == status, (whom, field, answer.text)
            if status == 403:
                assert answer.json["code"] == ("owned_by_source" if who is api else "forbidden")
        for field, value in (("display_name", "Me"), ("phone", "1")):
            own = await client.send("PATCH", "/me", {field: value})
            assert (own.status, own.json["code"]) == (403, "owned_by_source")


# ------------------------------------------------------------------------------ A45


_SECURITY: tuple[tuple[str, str, Any, str], ...] = (
    # method, path ({x}: the id that the call named so before gave), body, event
    ("POST", "/api-tokens", {"name": "svc", "permissions": ["users.read"]}, "api_token.created"),
    ("DELETE", "/api-tokens/{api_token.created}", None, "api_token.revoked"),
    ("POST", "/me/api-tokens", {"name": "mine"}, "api_token.created"),
    ("DELETE", "/me/api-tokens/{api_token.created}", None, "api_token.revoked"),
    ("POST", "/source-tokens", {"source": "{source}", "name": "t"}, "token.created"),
    ("POST", "/source-tokens/{token.created}/rotate", {}, "token.rotated"),
    ("POST", "/source-tokens/{token.created}/trace", {}, "token.traced"),
    ("DELETE", "/source-tokens/{token.created}", None, "token.revoked"),
    ("POST", "/oauth-clients", {"source": "{source}", "name": "c"}, "oauth_client.created"),
    ("POST", "/oauth-clients/{oauth_client.created}/rotate", {}, "oauth_client.rotated"),
    ("DELETE", "/oauth-clients/{oauth_client.created}", None, "oauth_client.revoked"),
    ("POST", "/roles", {"name": "desk", "label": "Desk", "permissions": []}, "role.created"),
    ("PUT", "/roles/desk", {"label": "Desk", "permissions": ["audit.read"]}, "role.changed"),
    ("DELETE", "/roles/desk", None, "role.deleted"),
    ("POST", "/sources/{source}/rules", {"pattern": "x*", "team": "Red"}, "rules.changed"),
    ("PATCH", "/sources/{source}/rules/1", {"team": "Blue"}, "rules.changed"),
    ("DELETE", "/sources/{source}/rules/1", None, "rules.changed"),
    ("POST", "/sources/{source}/state", {"state": "shadow"}, "source.changed"),
    ("POST", "/domains", {"domain": "new.example"}, "domain.claimed"),
    ("DELETE", "/domains/new.example", None, "domain.removed"),
    ("PUT", "/seats", {"limit": 60}, "seats.limit_changed"),
    ("PATCH", "/organization", {"display_name": "Acme Inc"}, "organization.changed"),
    ("PUT", "/users/{person}/role", {"role": "manager"}, "person.roles_changed"),
    ("POST", "/users/{person}/reset-password", None, "link.created"),
    ("POST", "/users/{person}/disable", None, "person.disabled"),
    ("POST", "/users/{person}/enable", None, "person.enabled"),
    ("POST", "/users/{person}/deactivate", None, "person.deactivated"),
    ("POST", "/users/{person}/reactivate", None, "person.reactivated"),
    ("DELETE", "/users/{person}", None, "person.deleted"),
    ("POST", "/users/{person}/restore", None, "person.restored"),
)


async def test_a45_each_security_event_is_recorded_once_with_who_when_and_in_which_request(
    acme: Site, api: Client
) -> None:
    """V17 too: one entry of its kind for each call."""
    person = await local_people.add(acme.door, acme.ctx, NewPerson("bo@acme.example"))
    known = {"source": (await acme.source("okta")).id, "person": person}
    for method, path, body, kind in _SECURITY:
        fitted = json.loads(_filled(json.dumps(body), known))
        answer = await api.send(method, _filled(path, known), fitted, {"If-Match": "*"})
        assert answer.status < 300, (method, path, answer.text)
        recorded = await _of_request(acme, answer)
        (entry,) = [each for each in recorded if each.kind == kind] or [None]
        assert entry is not None, (path, [each.kind for each in recorded])
        assert (entry.actor_name, entry.door) == ("ada@acme.example", "api"), path
        assert entry.at.tzinfo is not None
        assert abs((datetime.now(UTC) - entry.at).total_seconds()) < 600
        if kind.endswith(".created") and answer.raw:
            made = answer.json
            known[kind] = made.get("id") or made.get("client_id") or ""


def _filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"{([\w.]+)}", lambda found: known[found[1]], text)


async def _of_request(acme: Site, answer: Answer) -> list[Any]:
    query = select(events).where(events.c.correlation_id == answer.headers["X-Request-Id"])
    return list(await acme.door.read(lambda conn: conn.execute(query).all()))


# ------------------------------------------------------------------------------ A46

_HOSTILE = 'canary\r\n{"event": "forged"}\x1b[31m\u2028\u202e'


@contextmanager
def _json_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    log.configure("debug", "json")
    try:
        yield
    finally:
        structlog.reset_defaults()


async def test_a46_no_input_writes_a_line_of_the_log_and_no_secret_is_in_it(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """V18: the canary through every field of every write, and secrets where secrets are shown."""
    secrets = {"password": "canary-secret-password", "token": "scimd_api_canarysecrettoken"}
    with _json_log(monkeypatch):
        for row in (row for row in TABLE if row.is_write):
            body = None
            if row.body is not None:
                schema = row.body.model_json_schema()
                body = _poisoned(manual.sample(schema, schema.get("$defs", {})))
            path = re.sub(r"{\w+}", "canary%0d%0aforged", row.path)
            answer = await api.send(row.method, path, body, {"If-Match": "*", "Idempotency-Key": row.name})
            assert answer.status < 500, (row.name, answer.text)
        async with acme.browser(User_Agent="canary forged", X_Request_Id="canary-id") as session:
            form = {"email": _HOSTILE, "password": secrets["password"]}
            await (await session.post("/o/acme/sign-in", data=form)).read()
            bearer = {"Authorization": f"Bearer {secrets['token']}"}
            for path in ("/api/v1/users", "/scim/v2/Users", f"/sign-in/{secrets['token']}"):
                await (await session.get(path, headers=bearer)).read()
        monkeypatch.setattr(sessions, "by_cookie", _broken)
        assert (await api.get(f"/users/{secrets['token']}")).status == 500
    lines = capsys.readouterr().err.splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)["event"] != "forged", line
        assert "\x1b" not in line
    for secret in secrets.values():
        assert secret not in "\n".join(lines)
        assert secret not in repr(await _stored(acme))


async def _broken(*_: object, **__: object) -> Any:
    raise RuntimeError("secret internals")


def _poisoned(value: Any) -> Any:
    match value:
        case dict():
            return {name: _poisoned(each) for name, each in value.items()}
        case list():
            return [_poisoned(each) for each in value]
        case "…":
            return _HOSTILE
        case _:
            return value


# ------------------------------------------------------------------------------ A47

_LAYERS: tuple[tuple[Any, str], ...] = (
    (guard, "_admit"),
    (sessions, "by_cookie"),
    (serving, "query_of"),
    (serving, "visit_of"),
    (serving, "_body_bytes"),
    (serving, "_json"),
    (problems, "of_parameters"),
)


@pytest.mark.parametrize(("module", "name"), _LAYERS, ids=lambda value: getattr(value, "__name__", value))
async def test_a47_a_fault_in_any_layer_refuses_the_request_and_tells_nothing(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    before = await _stored(acme)
    with monkeypatch.context() as patch:

        def broken(*_: object, **__: object) -> Any:
            raise RuntimeError("secret internals")

        patch.setattr(module, name, broken)
        answer = await api.send("GET" if name == "_json" else "POST", "/teams?limit=odd", {"name": "Red"})
        if name == "_json":
            answer = await api.get("/teams")
        elif name != "of_parameters" and name != "query_of":
            answer = await api.post("/teams", {"name": "Red"})
        assert answer.status == 500, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["code"] == "internal"
        assert answer.headers["X-Request-Id"] in answer.json["instance"]
        assert "secret internals" not in answer.text
        assert "Traceback" not in answer.text
    assert await _stored(acme) == before
    assert (await api.post("/teams", {"name": "Red"})).status == 201


async def test_a47_a_fault_before_the_first_layer_is_one_too(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((request_id, "begin"), (guard, "access_of")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda _: 1 / 0)
            answer = await api.get("/teams")
            assert answer.status == 500
            assert "ZeroDivisionError" not in answer.text
            assert "division" not in answer.text
        assert (await api.get("/teams")).status == 200


# ------------------------------------------------------------------------------ F24


class _Nth:
    """Lets the N-th statement from now on fail, and those after it: a body may be run again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.fired = False
        prepared: Callable[..., Any] = Prepared._text

        def text(statement: Prepared, *given: Any) -> Any:
            self._count()
            return prepared(statement, *given)

        monkeypatch.setattr(Prepared, "_text", text)
        event.listen(Engine, "before_cursor_execute", self._before)

    def close(self) -> None:
        event.remove(Engine, "before_cursor_execute", self._before)

    def _before(self, *_: Any) -> None:
        self._count()

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.fired = True
                raise RuntimeError("the database said no")

    def after(self, n: int) -> None:
        self.left, self.fired = n, False


async def test_f24_whichever_statement_fails_a_write_is_whole_or_absent(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement of each of these in turn, until the call comes through."""
    bo = await local_people.add(acme.door, acme.ctx, NewPerson("bo@acme.example"))
    okta = await acme.source("okta", invite="never")
    (ann,) = await acme.push(okta, {"userName": "ann@acme.example", "externalId": "x"})
    calls: tuple[tuple[str, str, Any, set[str]], ...] = (
        ("POST", "/users", {"email": "cy@acme.example"}, {"person.created", "grant.given", "link.created"}),
        ("POST", f"/sources/{okta.id}/rules", {"pattern": "x*", "team": "Red"}, {"rules.changed"}),
        ("POST", f"/users/{bo}/merge", {"other": ann}, {"person.merged"}),
    )
    nth = _Nth(monkeypatch)
    try:
        with _json_log(monkeypatch):
            for call in calls:
                await _until_it_comes_through(acme, api, nth, *call)
    finally:
        nth.close()
    assert (await api.get("/users")).status == 200


async def _until_it_comes_through(
    acme: Site, api: Client, nth: _Nth, method: str, path: str, body: Any, kinds: set[str]
) -> None:
    """Or until it is done whole, and only the answer is lost."""
    before = await _stored(acme)
    for n in range(1, 1000):
        nth.after(n)
        answer = await api.send(method, path, body)
        nth.left = None
        assert (answer.status >= 500) is nth.fired, (path, n, answer.text)
        assert "the database said no" not in answer.text
        if await _stored(acme) != before:
            assert kinds <= {each.kind for each in await _of_request(acme, answer)}, (path, n)
            assert await admin_reads.check_standing(acme.door, acme.org_id) == []
            assert n > 5, path
            return
        assert nth.fired, path
