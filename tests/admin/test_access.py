"""L5: the application whose members scimd manages asks who may come in, and reports who did."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from scimd.core.people import PersonId
from scimd.db.tables import gates, sessions, unsettled
from scimd.org.authentication import access, sign_in_reads
from scimd.org.authentication import sessions as org_sessions
from scimd.org.tokens import api_tokens
from scimd.org.windows import Window
from tests.admin.client import Client, signed_in
from tests.web.site import Site


@pytest.fixture
async def portal(acme: Site) -> AsyncIterator[Client]:
    """The application, with a service's token that may this and nothing else."""
    made = await api_tokens.create_service(acme.door, acme.ctx, "portal", [access.READ, access.REPORT])
    async with acme.browser(Authorization=f"Bearer {made.token}") as session:
        yield Client(session, acme.url, "")


@pytest.fixture
async def dana(acme: Site) -> PersonId:
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(okta, {"userName": "dana", "emails": [{"value": "dana@acme.example"}]})
    return person


def _soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=8)).isoformat()


async def test_l5_access_is_told_with_its_causes(acme: Site, portal: Client, dana: PersonId) -> None:
    found = await portal.get(f"/access/{dana}")
    assert (found.status, found.json["may_enter"], found.json["causes"]) == (200, True, [])
    assert [(each["name"], each["role"]) for each in found.json["projects"]] == [("General", "member")]
    assert found.json["roles"] == ["user"]
    assert (await portal.get("/access?address=Dana@acme.example")).json == found.json
    unchanged = await portal.get(f"/access/{dana}", If_None_Match=found.headers["ETag"])
    assert (unchanged.status, unchanged.raw) == (304, b"")
    async with signed_in(acme) as api:
        licence = (await api.post("/licences", {"name": "Pro"})).json["id"]
        team = (await api.post("/teams", {"name": "Ops"})).json["id"]
        await api.send("PUT", f"/users/{dana}/licences/{licence}")
        await api.send("PUT", f"/users/{dana}/team", {"team": team})
        more = await portal.get(f"/access/{dana}", If_None_Match=found.headers["ETag"])
        assert (more.json["licences"], more.json["team"]["name"]) == ([{"id": licence, "name": "Pro"}], "Ops")
        await api.post(f"/users/{dana}/disable")
    out = (await portal.get(f"/access/{dana}")).json
    assert (out["may_enter"], out["status"], out["projects"]) == (False, "inactive", [])
    assert out["causes"][0].startswith("disabled")
    assert (await portal.get("/access/nobody")).status == 404
    assert (await portal.get("/access?address=nobody@acme.example")).status == 404


async def test_l5_of_somebody_unsettled_the_narrower_counts(
    acme: Site, portal: Client, dana: PersonId
) -> None:
    gate = {"org_id": acme.org_id, "person_id": dana, "kind": "disabled", "by": "ada", "at": acme.clock()}
    mark = {"org_id": acme.org_id, "person_id": dana, "turn": 0, "marked_at": acme.clock()}
    await acme.door.db.write(lambda conn: conn.execute(gates.insert().values(gate)))
    assert (await portal.get(f"/access/{dana}")).json["may_enter"] is True
    await acme.door.db.write(lambda conn: conn.execute(unsettled.insert().values(mark)))
    found = (await portal.get(f"/access/{dana}")).json
    assert (found["may_enter"], found["status"]) == (False, "inactive")


async def test_l5_the_application_may_nothing_else(acme: Site, portal: Client, dana: PersonId) -> None:
    for path in ("/users", f"/users/{dana}", "/sessions", "/audit", "/organization"):
        assert (await portal.get(path)).status == 403, path
    made = await api_tokens.create_service(acme.door, acme.ctx, "reader", [access.READ])
    async with acme.browser(Authorization=f"Bearer {made.token}") as session:
        reader = Client(session, acme.url, "")
        assert (await reader.get(f"/access/{dana}")).status == 200
        assert (await reader.post("/access/sign-ins", {"items": []})).status == 403


async def test_l5_its_sessions_live_as_long_as_it_says(acme: Site, portal: Client, dana: PersonId) -> None:
    body = {"person": dana, "ip": "203.0.113.7", "user_agent": "Mobile", "expires_at": _soon()}
    reported = (await portal.post("/access/sessions", body)).json["id"]
    rested = acme.clock() - timedelta(seconds=acme.door.settings.session_idle_s + 1)
    await acme.door.db.write(
        lambda conn: conn.execute(sessions.update().values(last_active_at=rested)) and None
    )
    (shown,) = await org_sessions.list_sessions(acme.door, acme.org_id, person_id=dana)
    listed = await sign_in_reads.list_sessions(acme.door, acme.org_id, Window(), live=True)
    assert [each.id for each in listed.rows] == [shown.id] == [reported]


async def test_l5_its_sessions_are_listed_ended_and_answered(
    acme: Site, portal: Client, dana: PersonId
) -> None:
    body = {"person": dana, "ip": "203.0.113.7", "user_agent": "Mobile", "expires_at": _soon()}
    first, second = [(await portal.post("/access/sessions", body)).json["id"] for _ in range(2)]
    path = f"/access/sessions/{first}"
    assert (await portal.get(path)).json["live"] is True
    async with signed_in(acme) as api:
        rows = (await api.get(f"/sessions?person={dana}")).json["items"]
        assert {(row["id"], row["origin"], row["ip"]) for row in rows} == {
            (first, "portal", "203.0.113.7"),
            (second, "portal", "203.0.113.7"),
        }
        (own,) = (await api.get("/me/sessions")).json["items"]
        assert own["origin"] is None
        assert (await portal.get(f"/access/sessions/{own['id']}")).status == 404
        assert (await portal.send("DELETE", f"/access/sessions/{own['id']}")).status == 404
        assert (await api.send("DELETE", f"/sessions/{first}")).status == 204
        ended = (await portal.get(path)).json
        assert (ended["live"], ended["ended_by"]) == (False, "ada@acme.example")
        await api.post(f"/users/{dana}/disable")
        assert (await portal.get(f"/access/sessions/{second}")).json["live"] is False
        refused = await portal.post("/access/sessions", body)
        assert (refused.status, refused.json["code"]) == (409, "not_allowed_now")
    assert (await portal.post("/access/sessions", body | {"person": "nobody"})).status == 404
    late = await portal.post("/access/sessions", body | {"expires_at": "2020-01-01T00:00:00Z"})
    assert late.json["errors"][0]["field"] == "/expires_at"


async def test_l5_session_that_the_application_ends_is_over_once(
    acme: Site, portal: Client, dana: PersonId
) -> None:
    body = {"person": dana, "ip": "203.0.113.7", "expires_at": _soon()}
    made = await portal.post("/access/sessions", body)
    assert made.status == 201, made.text
    path = f"/access/sessions/{made.json['id']}"
    for _ in range(2):
        assert (await portal.send("DELETE", path)).status == 204
    assert (await portal.get(path)).json["ended_by"] == "portal"
    async with signed_in(acme) as api:
        events = (await api.get(f"/audit?target={dana}&kind=session.ended")).json["items"]
        assert len(events) == 1


async def test_l5_of_sessions_that_another_application_reported_nothing_is_told(
    acme: Site, portal: Client, dana: PersonId
) -> None:
    body = {"person": dana, "ip": "203.0.113.7", "expires_at": _soon()}
    path = f"/access/sessions/{(await portal.post('/access/sessions', body)).json['id']}"
    for name, status in (("shop", 404), ("portal", 200)):  # the portal's next token
        made = await api_tokens.create_service(acme.door, acme.ctx, name, [access.REPORT])
        async with acme.browser(Authorization=f"Bearer {made.token}") as session:
            other = Client(session, acme.url, "")
            assert (await other.get(path)).status == status
            if status == 404:
                assert (await other.send("DELETE", path)).status == 404
                assert (await portal.get(path)).json["live"] is True


async def test_l5_reported_attempts_are_listed_and_lock_nobody_out(
    acme: Site, portal: Client, dana: PersonId
) -> None:
    one = {"address": "Dana@acme.example", "ip": "127.0.0.1", "success": False, "reason": "wrong password"}
    unknown = one | {"address": "nobody@acme.example"}
    assert (await portal.post("/access/sign-ins", {"items": [one] * 60 + [unknown]})).status == 204
    async with signed_in(acme) as api:
        rows = (await api.get("/login-attempts?address=dana@acme.example")).json["items"]
        assert len(rows) == 60
        assert (rows[0]["person_id"], rows[0]["origin"], rows[0]["reason"]) == (
            dana,
            "portal",
            "wrong password",
        )
        (other,) = (await api.get("/login-attempts?address=nobody@acme.example")).json["items"]
        assert other["person_id"] is None
    async with acme.browser() as session:
        form = {"address": "dana@acme.example", "password": "wrong wrong wrong"}
        async with session.post("/o/acme/sign-in", data=form) as answer:
            assert answer.status != 429


@pytest.mark.long
async def test_l5_asking_costs_little(acme: Site, portal: Client, dana: PersonId) -> None:
    """CPU of the whole exchange, client included; printed, and bounded far above what is measured."""
    await portal.get(f"/access/{dana}")
    begun, times = time.process_time(), 300
    for _ in range(times):
        await portal.get(f"/access/{dana}")
    each_ms = (time.process_time() - begun) / times * 1000
    print(f"GET /access: {each_ms:.2f} ms CPU, client included")
    assert each_ms < 30
