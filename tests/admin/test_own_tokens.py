"""One's own API tokens and second factors, over REST (L6, A30)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scimd.core.people import PersonId
from scimd.db.tables import api_tokens, deliveries, events, second_factors
from scimd.org import timekeeping
from scimd.org.tokens import api_tokens as api_tokens_door
from tests.admin.client import Client, signed_in
from tests.web.site import Site


async def test_a_token_is_shown_once_and_may_what_its_person_may(acme: Site, api: Client) -> None:
    """L6."""
    made = await api.post("/me/api-tokens", {"name": "laptop"}, Idempotency_Key="once")
    again = await api.post("/me/api-tokens", {"name": "laptop"}, Idempotency_Key="once")
    assert (made.status, again.json) == (201, made.json)
    narrow = (await api.post("/me/api-tokens", {"name": "n", "permissions": ["users.read"]})).json
    listed = await api.get("/me/api-tokens")
    assert [row["name"] for row in listed.json["items"]] == ["n", "laptop"]
    assert made.json["token"] not in listed.text
    async with acme.browser(Authorization=f"Bearer {narrow['token']}") as session:
        program = Client(session, acme.url, "")
        assert (await program.get("/users")).status == 200
        assert (await program.get("/audit")).status == 403
        me = (await program.get("/me")).json
        assert (me["address"], me["permissions"]) == ("ada@acme.example", ["users.read"])
        assert (await program.get("/me/second-factors")).json["items"] == []
        assert (await program.send("PATCH", "/me", {"phone": "+44 1"})).status == 403
        assert len((await program.get("/me/api-tokens")).json["items"]) == 2
        other = await program.post("/me/api-tokens", {"name": "another"})
        assert (other.status, other.json["code"]) == (409, "not_allowed_now")
        # Whoever finds it in the wrong hands ends it with itself.
        assert (await program.send("DELETE", f"/me/api-tokens/{narrow['id']}")).status == 204
        assert (await program.get("/users")).status == 401
    assert (await api.send("DELETE", f"/me/api-tokens/{made.json['id']}")).status == 204
    assert all(row["revoked_at"] for row in (await api.get("/me/api-tokens")).json["items"])
    kinds = await acme.door.read(
        lambda conn: [
            (row.kind, row.door)
            for row in conn.execute(events.select().where(events.c.kind.startswith("api_token.")))
        ]
    )
    assert kinds == [("api_token.created", "api")] * 2 + [("api_token.revoked", "api")] * 2


async def test_a_narrow_token_is_not_given_again_what_its_person_got(acme: Site, api: Client) -> None:
    """An answer may hold a secret: a key that was used in a session is not the token's."""
    body = {"name": "svc", "permissions": ["users.manage"]}
    assert (await api.post("/api-tokens", body, Idempotency_Key="deploy")).status == 200
    narrow = (await api.post("/me/api-tokens", {"name": "n", "permissions": ["organization.manage"]})).json
    async with acme.browser(Authorization=f"Bearer {narrow['token']}") as session:
        again = await Client(session, acme.url, "").post("/api-tokens", body, Idempotency_Key="deploy")
    assert (again.status, again.json["code"]) == (409, "not_allowed_now")


async def test_a_change_of_ones_own_phone_is_audited_with_both_values(api: Client) -> None:
    for phone in ("+49 30 1", "+49 30 2"):
        assert (await api.send("PATCH", "/me", {"phone": phone})).status == 200
    (last, *_) = (await api.get("/audit?kind=person.updated")).json["items"]
    assert [each["phoneNumbers"][0]["value"] for each in (last["before"], last["after"])] == [
        "+49 30 1",
        "+49 30 2",
    ]


async def test_somebody_elses_token_is_not_there_and_a_service_has_none(acme: Site, api: Client) -> None:
    async with signed_in(acme, "other@acme.example") as other:
        theirs = (await other.post("/me/api-tokens", {"name": "theirs"})).json
    assert (await api.get("/me/api-tokens")).json["items"] == []
    gone = await api.send("DELETE", f"/me/api-tokens/{theirs['id']}")
    assert (gone.status, gone.json["code"]) == (404, "not_found")
    service = (await api.post("/api-tokens", {"name": "svc", "permissions": ["users.read"]})).json["token"]
    async with acme.browser(Authorization=f"Bearer {service}") as session:
        assert (await Client(session, acme.url, "").get("/me/api-tokens")).status == 403
    rows = await acme.door.read(lambda conn: conn.execute(api_tokens.select()).all())
    assert all(row.revoked_at is None for row in rows)


async def test_a_token_outlives_the_session_and_so_wants_a_fresh_proof(acme: Site, api: Client) -> None:
    """A30."""
    acme.clock.ahead += timedelta(minutes=11)
    refused = await api.post("/me/api-tokens", {"name": "late"})
    assert (refused.status, refused.json["code"]) == (403, "proof_needed")
    assert (await api.get("/me/api-tokens")).json["items"] == []


async def test_an_admin_resets_second_factors_of_others_alone(acme: Site, api: Client) -> None:
    """Recovery: audited, told by mail, signed out."""
    async with signed_in(acme, "dana@acme.example") as dana:
        her = PersonId((await dana.get("/me")).json["id"])
        factor = {"org_id": acme.org_id, "id": "f1", "person_id": her, "kind": "totp", "name": "app"}
        row = factor | {"secret": b"x", "counter": 0, "created_at": acme.clock()}
        await acme.door.db.write(lambda conn: conn.execute(second_factors.insert().values(row)))
        items = [{"id": her}, {"id": (await api.get("/me")).json["id"]}, {"id": "nobody"}]
        results = (await api.post("/users/reset-second-factors", {"items": items})).json["results"]
        assert [each["status"] for each in results] == [204, 403, 404]
        assert (await dana.get("/me")).status == 401
    twice = await api.post(f"/users/{her}/reset-second-factors")
    assert (twice.status, twice.json["code"]) == (409, "not_allowed_now")
    assert "has no second factor" in twice.json["detail"]
    mails = await acme.door.read(lambda conn: conn.execute(deliveries.select()).all())
    assert [mail.address for mail in mails if mail.template == "second_factor_changed"] == [
        "dana@acme.example"
    ]
    query = events.select().where(events.c.kind == "second_factor.removed")
    (event,) = await acme.door.read(lambda conn: conn.execute(query).all())
    assert (event.target_id, event.actor_name) == (her, "ada@acme.example")


async def test_a_service_account_ends_when_it_says(acme: Site, api: Client) -> None:
    """U20: its token is dead at that moment, with the job off; the job writes it down."""
    soon = (acme.clock() + timedelta(hours=1)).isoformat()
    new = {"user_name": "deploy", "display_name": "Deploy", "owner": "Ada", "expires_at": soon}
    made = (await api.post("/service-accounts", new)).json
    assert (made["status"], made["kind"], made["has_seat"]) == ("active", "service", False)
    one = PersonId(made["id"])
    token = await api_tokens_door.create_personal(acme.door, acme.ctx, one, "ci")
    reads = {"name": "app", "permissions": ["access.read"]}
    app = (await api.post("/api-tokens", reads)).json["token"]
    assert await api_tokens_door.authenticate(acme.door, token.token) is not None
    acme.clock.ahead += timedelta(hours=1)
    assert await api_tokens_door.authenticate(acme.door, token.token) is None
    async with acme.browser(Authorization=f"Bearer {app}") as session:
        assert (await Client(session, acme.url, "").get(f"/access/{one}")).json["may_enter"] is False
    assert await timekeeping.end_expired_accounts(acme.door) == 1
    assert await timekeeping.end_expired_accounts(acme.door) == 0
    async with signed_in(acme) as later:
        over = (await later.get(f"/users/{one}")).json
        assert (over["status"], over["causes"]) == ("inactive", ["deactivated:expiry"])
        past = {"expires_at": "2026-01-01T00:00:00Z"}
        assert (await later.send("PATCH", f"/users/{one}", past)).status == 422
        longer = await later.send("PATCH", f"/users/{one}", {"expires_at": None})
        assert (longer.status, longer.json["expires_at"]) == (200, None)
        assert (await later.post(f"/users/{one}/reactivate")).json["status"] == "active"
        me = (await later.get("/me")).json["id"]
        person = await later.send("PATCH", f"/users/{me}", {"expires_at": None})
        assert person.json["code"] == "not_allowed_now"


async def test_a_narrow_token_does_not_reach_all_of_its_person(acme: Site, api: Client) -> None:
    """Not by their own account either: a new address would open a new password, and with it a session."""
    may = ["users.read", "users.manage"]
    narrow = (await api.post("/me/api-tokens", {"name": "n", "permissions": may})).json["token"]
    whole = (await api.post("/me/api-tokens", {"name": "w"})).json["token"]
    me = (await api.get("/me")).json["id"]
    mine, new = f"/users/{me}", {"email": "thief@acme.example"}
    async with acme.browser(Authorization=f"Bearer {narrow}") as session:
        program = Client(session, acme.url, "")
        assert (await program.send("PATCH", mine, new)).json["code"] == "forbidden"
        assert (await program.post(f"{mine}/reset-password")).json["code"] == "forbidden"
    async with acme.browser(Authorization=f"Bearer {whole}") as session:
        program = Client(session, acme.url, "")
        assert (await program.send("PATCH", mine, {"display_name": "Ada"})).status == 200
        assert (await program.send("PATCH", mine, new)).json["code"] == "not_allowed_now"
    refused = await api.send("PATCH", mine, new)
    assert (refused.status, refused.json["code"]) == (409, "not_allowed_now")
    same = {"email": (await api.get("/me")).json["address"]}
    assert (await api.send("PATCH", mine, same)).status == 200


@pytest.mark.parametrize("path", ["/api-tokens", "/source-tokens", "/oauth-clients"])
async def test_whatever_outlives_the_session_wants_a_fresh_proof(acme: Site, api: Client, path: str) -> None:
    """A30."""
    okta = await acme.source("okta")
    new = (
        {"name": "n", "permissions": ["users.read"]}
        if path == "/api-tokens"
        else {"name": "n", "source": okta.id}
    )
    made = await api.post(path, new)
    assert made.status == 200, made.text
    acme.clock.ahead += timedelta(minutes=11)
    again = [path] if path == "/api-tokens" else [path, f"{path}/{next(iter(made.json.values()))}/rotate"]
    for each in again:
        refused = await api.post(each, {} if each.endswith("rotate") else new)
        assert (refused.status, refused.json["code"]) == (403, "proof_needed")
