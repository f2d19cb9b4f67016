"""OAuth 2.0 client credentials: RFC 6749 §4.4 and §5.2, RFC 6750, RFC 8414."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest

from scimd.core.bearer import SCOPES
from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.people import TokenId
from scimd.db import tables
from scimd.http.rates import SharedBuckets
from scimd.org.sources import source_states
from scimd.org.tokens import oauth
from scimd.org.tokens.oauth import NewSecret
from scimd.org.tx import Context
from scimd.scim.oauth import OAuthError, TokenEndpoint
from tests.scim.serving import Client, Installation, Reply
from tests.scim.test_request_log import logged

GRANT = {"grant_type": "client_credentials"}


@dataclass
class Fetcher:
    """A client of acme's source ``idp``, at the token endpoint."""

    scimd: Installation
    idp: Client
    made: NewSecret
    ctx: Context

    async def post(self, form: Any, headers: dict[str, str] | None = None, query: str = "") -> Reply:
        async with self.scimd.http.post(
            f"{self.scimd.url}/oauth/token{query}", data=form, headers=headers or {}
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    def in_body(self, **more: str) -> dict[str, str]:
        return {**GRANT, "client_id": self.made.client_id, "client_secret": self.made.secret, **more}

    def basic(self, client_id: str | None = None, secret: str | None = None) -> dict[str, str]:
        pair = f"{quote_plus(client_id or self.made.client_id)}:{quote_plus(secret or self.made.secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def client(self, **more: str) -> Client:
        reply = await self.post(self.in_body(**more))
        assert reply.status == 200, reply.raw
        return replace(self.idp, token=reply.json["access_token"])


@pytest.fixture
async def fetcher(scimd: Installation) -> Fetcher:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    made = await oauth.create_client(scimd.door, scimd.context(org), idp.source_id, "Okta", "okta")
    return Fetcher(scimd, idp, made, scimd.context(org))


async def test_a_client_gets_a_token_that_works_like_one_of_the_source(fetcher: Fetcher) -> None:
    reply = await fetcher.post(GRANT, fetcher.basic())
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"].startswith("application/json")
    told = reply.json
    token = told.pop("access_token")
    assert told == {"token_type": "Bearer", "expires_in": 3600, "scope": " ".join(SCOPES)}
    by = replace(fetcher.idp, token=token)
    user = await by.user("dana@acme.example")
    assert (await fetcher.idp.get(f"/Users/{user['id']}")).status == 200
    in_body = await fetcher.post(fetcher.in_body())
    assert in_body.json["access_token"] != token


async def test_a_form_may_end_in_a_line_break(fetcher: Fetcher) -> None:
    """As of a file that is sent by curl."""
    for end in ("\n", "\r\n"):
        form = f"grant_type=client_credentials&scope=users%3Aread{end}"
        typed = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await fetcher.post(form, fetcher.basic() | typed)
        assert (reply.status, reply.json["scope"]) == (200, "users:read")


async def test_a_token_has_the_scopes_that_were_asked_for(fetcher: Fetcher) -> None:
    by = await fetcher.client(scope="users:read groups:read")
    assert (await by.get("/Users")).status == 200
    assert (await by.post("/Users", {"userName": "x"})).status == 403
    ctx, source = fetcher.ctx, fetcher.idp.source_id
    narrow = await oauth.create_client(fetcher.scimd.door, ctx, source, "narrow", scopes=["users:read"])
    fetcher = replace(fetcher, made=narrow)
    for wrong in ("users:write", "users:read users:write", "openid", "users:read  ", 'a"b'):
        reply = await fetcher.post(fetcher.in_body(scope=wrong))
        assert (reply.status, reply.json["error"]) == (400, "invalid_scope"), wrong
    assert (await fetcher.post(fetcher.in_body())).json["scope"] == "users:read"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "unsupported_grant_type"),
    ],
)
async def test_the_grant_is_client_credentials(
    fetcher: Fetcher, form: dict[str, str], status: int, error: str
) -> None:
    reply = await fetcher.post(
        form or b"", {**fetcher.basic(), "Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.headers["Cache-Control"] == "no-store"


async def test_whoever_does_not_prove_itself_is_an_invalid_client(fetcher: Fetcher) -> None:
    secret = fetcher.made.secret
    another = await oauth.create_client(fetcher.scimd.door, fetcher.ctx, fetcher.idp.source_id, "other")
    attempts: list[tuple[Any, dict[str, str]]] = [
        (GRANT, {}),
        (GRANT, {"Authorization": f"Bearer {fetcher.idp.token}"}),
        (GRANT, {"Authorization": "Basic"}),
        (GRANT, {"Authorization": "Basic %%%"}),
        (GRANT, {"Authorization": f"Basic {base64.b64encode(b'no colon').decode()}"}),
        (GRANT, fetcher.basic(secret=secret[:-1])),
        (GRANT, fetcher.basic(secret=secret[:-1] + ("a" if secret[-1] != "a" else "b"))),
        (GRANT, fetcher.basic(secret=secret.swapcase())),
        (GRANT, fetcher.basic(secret=fetcher.idp.token)),
        (GRANT, fetcher.basic(client_id=another.client_id)),
        (GRANT, fetcher.basic(client_id="nobody")),
        ({**GRANT, "client_id": fetcher.made.client_id}, {}),
        ({**GRANT, "client_id": fetcher.made.client_id, "client_secret": "\x00"}, {}),
    ]
    texts = set()
    for form, headers in attempts:
        reply = await fetcher.post(form, headers)
        assert (reply.status, reply.json["error"]) == (401, "invalid_client"), (form, headers)
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="scimd"'
        assert secret.encode() not in reply.raw
        texts.add(reply.json["error_description"])
    # Of an unknown client and of a wrong secret the same is told.
    assert len([text for text in texts if "unknown or revoked" in text]) == 1


async def test_what_is_sent_twice_or_in_the_address_is_an_invalid_request(fetcher: Fetcher) -> None:
    form, basic = fetcher.in_body(), fetcher.basic()
    for given, headers, query in (
        (form, basic, ""),
        ({**GRANT, "client_id": "another"}, basic, ""),
        ([*form.items(), ("grant_type", "client_credentials")], {}, ""),
        ([*form.items(), ("scope", "users:read"), ("scope", "users:write")], {}, ""),
        (GRANT, basic, f"?client_secret={fetcher.made.secret}"),
        (GRANT, basic, "?grant_type=client_credentials"),
    ):
        reply = await fetcher.post(given, headers, query)
        assert (reply.status, reply.json["error"]) == (400, "invalid_request"), (given, query)


async def test_a_form_that_cannot_be_read_is_an_invalid_request(fetcher: Fetcher) -> None:
    """RFC 6749 §5.2, and appendix B: UTF-8."""
    form = "application/x-www-form-urlencoded"
    for body, headers in (
        (b"garbage", {"Content-Encoding": "gzip"}),
        (b"grant_type=client_credentials", {"Content-Encoding": "br"}),
        (b"grant_type=x", {"Content-Type": f"{form}; charset=bogus"}),
        (b"grant_type=+2AA-", {"Content-Type": f"{form}; charset=utf-7"}),
    ):
        reply = await fetcher.post(body, {"Content-Type": form, **headers})
        assert (reply.status, reply.json["error"]) == (400, "invalid_request"), headers


async def test_only_small_forms_by_post_are_read(fetcher: Fetcher) -> None:
    basic = fetcher.basic()
    json = await fetcher.post(
        b'{"grant_type": "client_credentials"}', {**basic, "Content-Type": "application/json"}
    )
    assert (json.status, json.json["error"]) == (400, "invalid_request")
    large = await fetcher.post({**GRANT, "more": "x" * 70_000}, basic)
    assert (large.status, large.json["error"]) == (413, "invalid_request")
    async with fetcher.scimd.http.get(f"{fetcher.scimd.url}/oauth/token") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await answer.json())["error"] == "invalid_request"


async def test_metadata_says_where_all_of_it_is(fetcher: Fetcher) -> None:
    async with fetcher.scimd.http.get(
        f"{fetcher.scimd.url}/.well-known/oauth-authorization-server", headers={"Host": "evil.example"}
    ) as answer:
        body = await answer.json()
    assert body["issuer"] == "https://scimd.example.com"
    assert body["token_endpoint"] == "https://scimd.example.com/oauth/token"
    assert body["grant_types_supported"] == ["client_credentials"]
    assert body["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    assert body["scopes_supported"] == list(SCOPES)


async def test_a_revoked_client_and_its_tokens_are_dead_at_the_next_request(fetcher: Fetcher) -> None:
    by = await fetcher.client()
    assert (await by.get("/Users")).status == 200
    await oauth.revoke_client(fetcher.scimd.door, fetcher.ctx, fetcher.made.client_id)
    reply = await by.get("/Users")
    assert (reply.status, 'error="invalid_token"' in reply.headers["WWW-Authenticate"]) == (401, True)
    assert (await fetcher.post(fetcher.in_body())).json["error"] == "invalid_client"
    await oauth.revoke_client(fetcher.scimd.door, fetcher.ctx, fetcher.made.client_id)  # changes nothing
    with pytest.raises(NotAllowedNow):
        await oauth.rotate_secret(fetcher.scimd.door, fetcher.ctx, fetcher.made.client_id, timedelta(0))


@pytest.mark.parametrize("end", ["revoked", "paused", "expired"])
async def test_a_refused_access_token_is_in_the_log_of_requests(
    fetcher: Fetcher, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by, door = await fetcher.client(scope="users:read"), fetcher.scimd.door
    if end == "revoked":
        await oauth.revoke_client(door, fetcher.ctx, fetcher.made.client_id)
    elif end == "paused":
        await source_states.pause(door, fetcher.ctx, fetcher.idp.source_id)
    else:
        monkeypatch.setattr(door, "clock", lambda: datetime.now(UTC) + timedelta(hours=2))
    assert (await by.post("/Users", {"userName": "late"})).status == 401
    assert (await replace(by, token=f"{by.token[:-1]}_").get("/Users")).status == 401
    [entry] = await logged(fetcher.scimd, by)
    assert (entry.status, entry.method, entry.token_id) == (401, "POST", fetcher.made.client_id)
    assert (entry.token_name, entry.source_name, entry.profile) == ("Okta", "idp", "okta")


async def test_of_a_paused_source_neither_client_nor_token_opens_anything(fetcher: Fetcher) -> None:
    by = await fetcher.client()
    await source_states.pause(fetcher.scimd.door, fetcher.ctx, fetcher.idp.source_id)
    assert (await by.get("/Users")).status == 401
    assert (await fetcher.post(fetcher.in_body())).status == 401
    await source_states.set_state(fetcher.scimd.door, fetcher.ctx, fetcher.idp.source_id, "active")
    assert (await by.get("/Users")).status == 200


async def test_two_secrets_overlap_and_no_third_is_made(fetcher: Fetcher) -> None:
    door, client_id = fetcher.scimd.door, fetcher.made.client_id
    second = replace(
        fetcher, made=await oauth.rotate_secret(door, fetcher.ctx, client_id, timedelta(hours=24))
    )
    for one in (fetcher, second):
        assert (await one.post(one.in_body())).status == 200
    with pytest.raises(NotAllowedNow, match="Two secrets of Okta still work"):
        await oauth.rotate_secret(door, fetcher.ctx, client_id, timedelta(hours=1))
    for one in (fetcher, second):
        assert (await one.post(one.in_body())).status == 200  # a refused rotation shortened nothing
    third = replace(fetcher, made=await oauth.rotate_secret(door, fetcher.ctx, client_id, timedelta(0)))
    assert [(await one.post(one.in_body())).status for one in (fetcher, second, third)] == [401, 401, 200]
    (listed,) = await oauth.list_clients(door, fetcher.idp.org_id)
    assert [secret.id for secret in listed.secrets] == [third.made.secret_id]


async def test_guessing_is_held_back_and_the_client_itself_never(fetcher: Fetcher) -> None:
    found = [(await fetcher.post(GRANT, fetcher.basic(secret=f"wrong{n}"))).status for n in range(40)]
    assert found[:30] == [401] * 30
    assert 429 in found
    reply = await fetcher.post(GRANT, fetcher.basic(secret="wrong"))
    assert (reply.json["error"], int(reply.headers["Retry-After"]) >= 1) == ("temporarily_unavailable", True)
    assert (await fetcher.post(fetcher.in_body())).status == 200


async def test_a_client_that_fetches_for_each_request_is_slowed(fetcher: Fetcher) -> None:
    other = await oauth.create_client(fetcher.scimd.door, fetcher.ctx, fetcher.idp.source_id, "other")
    found = {(await fetcher.post(fetcher.in_body())).status for _ in range(60)}
    assert found == {200, 429}
    other_fetcher = replace(fetcher, made=other)
    assert (await other_fetcher.post(other_fetcher.in_body())).status == 200


async def test_no_secret_is_stored_and_each_step_is_audited_once(fetcher: Fetcher) -> None:
    by = await fetcher.client()
    canaries = {fetcher.made.secret, by.token}

    def dump(conn: Any) -> tuple[str, list[str]]:
        texts = [repr(list(conn.execute(table.select()))) for table in tables.metadata.sorted_tables]
        kinds = [row.kind for row in conn.execute(tables.events.select().order_by(tables.events.c.id))]
        return "".join(texts), kinds

    text, kinds = await fetcher.scimd.door.read(dump)
    assert not any(secret in text for secret in canaries)
    assert [kind for kind in kinds if kind.startswith(("oauth", "access"))] == [
        "oauth_client.created",
        "access_token.issued",
    ]


async def test_the_audit_names_the_client(fetcher: Fetcher) -> None:
    by = await fetcher.client()
    await by.user("dana@acme.example")

    def actors(conn: Any) -> set[tuple[str, str]]:
        rows = conn.execute(tables.events.select().where(tables.events.c.kind == "person.created"))
        return {(row.actor_id, row.actor_name) for row in rows}

    assert await fetcher.scimd.door.read(actors) == {(fetcher.made.client_id, "Okta")}


async def test_service_provider_config_says_what_is_taken(fetcher: Fetcher) -> None:
    schemes = (await fetcher.idp.get("/ServiceProviderConfig")).json["authenticationSchemes"]
    assert [scheme["type"] for scheme in schemes] == ["oauthbearertoken", "oauth2"]
    assert [scheme["primary"] for scheme in schemes] == [True, False]


async def test_an_unknown_client_is_not_found(fetcher: Fetcher) -> None:
    with pytest.raises(NotFound):
        await oauth.revoke_client(fetcher.scimd.door, fetcher.ctx, TokenId("nobody"))


async def test_processes_that_answer_count_a_client_and_an_address_together(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_ISSUES", "_FAILURES"):  # as many, and none comes back however slow the machine is
        monkeypatch.setattr(f"scimd.scim.oauth.{name}", (1e-9, 30.0))
    door, valid_for = fetcher.scimd.door, timedelta(hours=1)
    client = await oauth.prove(door, fetcher.made.client_id, fetcher.made.secret)
    assert client is not None
    with SharedBuckets.shelf() as shelf:
        one, other = TokenEndpoint(door, valid_for, shelf), TokenEndpoint(door, valid_for, shelf)
        for _ in range(15):
            one._hold_back(client)
            other._hold_back(client)
            assert one._failures.take("192.0.2.1") == other._failures.take("192.0.2.1") == 0
        with pytest.raises(OAuthError, match="Too many"):
            other._hold_back(client)
        assert one._failures.take("192.0.2.1") > 0
