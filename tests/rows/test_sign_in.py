"""Rows L1-L6: signing in, sessions, attempts; what ends them; the application; API tokens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pyotp

from tests.rows.looking import patch_of
from tests.support.installation import PASSWORD, Browser, Installation, user_document

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def _value(page: str, name: str) -> str:
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]


async def _enrol(acme: Installation, browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """An authenticator app, and the recovery codes."""
    page = await browser.get("/my/app")
    app = pyotp.TOTP(page.partition("Key: <code>")[2].partition("<")[0])
    page = await browser.post("/my/app", ticket=_value(page, "ticket"), code=_code(acme, app))
    return app, re.findall(r"<code>([^<]*)</code>", page)


def _code(acme: Installation, app: pyotp.TOTP) -> str:
    return app.at(int(acme.clock().timestamp()))


async def test_l1_password_then_second_factor_or_recovery_code(acme: Installation) -> None:
    await acme.add("ann")
    async with acme.browser() as browser:
        wrong = await browser.sign_in("ann@acme.example", "seven quiet lanterns drown")
        assert browser.status == 401
        unknown = await browser.sign_in("nobody@acme.example", "seven quiet lanterns drown")
        assert browser.status == 401
        assert re.sub(r"\S+@acme\.example", "", wrong) == re.sub(r"\S+@acme\.example", "", unknown)
    async with acme.signed_in("ann@acme.example") as browser:
        app, codes = await _enrol(acme, browser)
        assert len(codes) == 10
        me = await browser.api()
        assert [row["kind"] for row in (await me.get("/me/second-factors"))["items"]] == ["totp"]
    acme.clock.pass_by(minutes=1)  # a code counts once
    async with acme.browser() as browser:
        page = await browser.sign_in("ann@acme.example")
        assert "One more step" in page
        step = {name: _value(page, name) for name in ("ticket", "kinds")} | {"next": "/my"}
        await browser.post("/second-step", **step, by="totp", code="000000")
        assert browser.status == 401
        await browser.post("/second-step", **step, by="totp", code=_code(acme, app))
        assert browser.path == "/my"
    async with acme.browser() as browser:
        page = await browser.sign_in("ann@acme.example")
        step = {name: _value(page, name) for name in ("ticket", "kinds")} | {"next": "/my"}
        await browser.post("/second-step", **step, by="recovery", code=codes[0])
        assert browser.path == "/my"
    reasons = [row["reason"] for row in await acme.cli("login-attempt", "list", "--user", "ann")]
    assert reasons[0] == "recovery code"
    assert "authenticator app" in reasons
    await acme.cli("user", "reset-second-factor", "ann")
    async with acme.signed_in("ann@acme.example") as browser:
        assert "One more step" not in await browser.get("/my")


async def test_l2_sessions_are_listed_and_a_revoked_one_is_dead_at_once(acme: Installation) -> None:
    ann = await acme.add("ann")
    async with acme._own_session({"Sec-Fetch-Site": "same-origin", "User-Agent": FIREFOX}) as session:
        browser = Browser(session, acme.url)
        await browser.sign_in("ann@acme.example")
        (row,) = [r for r in await acme.api.items(f"/sessions?person={ann['id']}") if "Fire" in r["device"]]
        assert (row["device"], row["display_name"], row["ip"]) == ("Firefox on Linux", "Ann", "127.0.0.1")
        assert row["started_at"] <= row["last_active_at"] < row["expires_at"]
        printed = await acme.said("session", "list", "--user", "ann")
        for words in ("User", "Device", "IP address", "Started", "Last active", "Firefox on Linux", "Ann"):
            assert words in printed
        await browser.get("/my")
        assert browser.path == "/my"
        await acme.api.delete(f"/sessions/{row['id']}")
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
        await browser.sign_in("ann@acme.example")
        live = await acme.cli("session", "list", "--user", "ann")
        assert row["id"] not in [each["id"] for each in live]
        await acme.cli("session", "revoke", *(each["id"] for each in live))
        await browser.get("/my")
        assert browser.path.startswith("/sign-in")
    ended = await acme.api.items(f"/sessions?person={ann['id']}&live=false")
    assert {each["ended_by"] for each in ended} >= {"ada@acme.example (token rows)"}


async def test_l3_attempts_with_their_reason(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    await acme.add("ann")

    async def tries(password: str = PASSWORD) -> dict[str, Any]:
        """Sign in, and look at what was noted by both doors."""
        async with acme.browser() as browser:
            await browser.sign_in("ann@acme.example", password)
        row = (await acme.api.items("/login-attempts?address=ANN@acme.example"))[0]
        newest = (await acme.cli("login-attempt", "list", "--address", "ann@acme.example"))[0]
        assert (newest["id"], newest["reason"]) == (row["id"], row["reason"])
        return row

    good = await tries()
    assert (good["success"], good["reason"], good["ip"]) == (True, "password", "127.0.0.1")
    bad = await tries("seven quiet lanterns drown")
    assert (bad["success"], bad["reason"]) == (False, "unknown address or wrong password")
    for doing, undoing, reason in (
        ("disable", "enable", "disabled"),
        ("deactivate --yes", "reactivate", "deactivated"),
    ):
        await acme.cli("user", *doing.split(), "ann")
        assert (await tries())["reason"].startswith(reason)
        await acme.cli("user", undoing, "ann")
    await acme.cli("user", "link", "ann", "--source", "okta", "--entry", "x-ann")
    ann = await okta.post("/scim/v2/Users", user_document("ann"))
    off = patch_of({"op": "replace", "path": "active", "value": False})
    await okta.patch(f"/scim/v2/Users/{ann['id']}", off)
    assert (await tries())["reason"] == "deprovisioned:okta"
    await acme.cli("seats", "set", "1")
    on = patch_of({"op": "replace", "path": "active", "value": True})
    await okta.patch(f"/scim/v2/Users/{ann['id']}", on)
    assert (await tries())["reason"] == "waiting_for_seat"
    failed = await acme.cli("login-attempt", "list", "--failed", "--user", "ann")
    assert {row["success"] for row in failed} == {False}
    assert await acme.api.items("/login-attempts?ip=203.0.113.9") == []
    printed = await acme.said("login-attempt", "list")
    for words in ("Timestamp", "User", "IP address", "Status", "Reason", "Success", "Failed"):
        assert words in printed


async def test_l4_whatever_ends_somebody_ends_sessions_and_keys_with_it(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    endings: dict[str, Any] = {
        "deactivate": lambda person: acme.cli("user", "deactivate", person, "--yes"),
        "disable": lambda person: acme.api.post(f"/users/{person}/disable"),
        "address": lambda person: acme.api.patch(
            f"/users/{person}", {"email": f"n{person[-6:]}@acme.example"}
        ),
        "reset": lambda person: acme.api.post(f"/users/{person}/reset-password"),
        "delete": lambda person: acme.api.delete(f"/users/{person}"),
        "push": lambda person: okta.patch(
            f"/scim/v2/Users/{person}",
            patch_of({"op": "replace", "path": "active", "value": False}),
        ),
    }
    for name, end in endings.items():
        person = (await acme.add(name, role="auditor"))["id"]
        if name == "push":
            await acme.cli("user", "link", name, "--source", "okta", "--entry", f"x-{name}")
            await okta.post("/scim/v2/Users", user_document(name))
        key = await acme.api_of(f"{name}@acme.example")
        assert len(await key.items("/users?limit=200")) >= 2
        async with acme.signed_in(f"{name}@acme.example") as browser:
            await end(person)
            await browser.get("/my")
            assert browser.path.startswith("/sign-in"), name
        if name != "reset":
            assert (await key.refused("GET", "/users"))["status"] == 401, name
        assert await acme.api.items(f"/sessions?person={person}") == []


async def test_l5_the_application_asks_and_reports(acme: Installation) -> None:
    made = await acme.cli(
        "token", "api", "create", "--service", "portal", "--permission", "access.read",
        "--permission", "sign_ins.report",
    )  # fmt: skip
    portal = acme.client(made["token"])
    ann = await acme.add("ann")
    found = await portal.get("/access?address=Ann@acme.example")
    assert (found["id"], found["may_enter"], found["causes"]) == (ann["id"], True, [])
    assert [(each["name"], each["role"]) for each in found["projects"]] == [("General", "member")]
    answer = await portal.send("GET", f"/access/{ann['id']}")
    again = await portal.send(
        "GET", f"/access/{ann['id']}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status, again.raw) == (304, b"")
    await portal.post(
        "/access/sign-ins",
        {"items": [{"address": "ann@acme.example", "ip": "203.0.113.7", "success": False, "reason": "no"}]},
    )
    attempts = await acme.cli("login-attempt", "list", "--ip", "203.0.113.7")
    assert [(row["origin"], row["reason"], row["person_id"]) for row in attempts] == [
        ("portal", "no", ann["id"])
    ]
    soon = (acme.clock() + timedelta(hours=8)).isoformat()
    session = await portal.post(
        "/access/sessions",
        {"person": ann["id"], "ip": "203.0.113.7", "user_agent": FIREFOX, "expires_at": soon},
    )
    (row,) = [each for each in await acme.cli("session", "list") if each["origin"] == "portal"]
    assert (row["id"], row["device"]) == (session["id"], "Firefox on Linux")
    await acme.cli("user", "disable", "ann")
    assert (await portal.get(f"/access/sessions/{session['id']}"))["live"] is False
    out = await portal.get(f"/access/{ann['id']}")
    assert (out["may_enter"], out["causes"][0].partition(":")[0]) == (False, "disabled")
    assert (await portal.refused("GET", "/users"))["status"] == 403


async def test_l6_api_tokens_personal_and_of_services(acme: Installation) -> None:
    ann = await acme.add("ann", role="auditor")
    made = await acme.cli("token", "api", "create", "--person", "ann@acme.example", "--expires", "30d")
    mine = acme.client(made["token"])
    assert len(await mine.items("/users")) == 2
    assert (await mine.refused("POST", "/projects", {"name": "X"}))["status"] == 403
    async with acme.signed_in("ann@acme.example") as browser:
        me = await browser.api()
        own = await me.post("/me/api-tokens", {"name": "laptop", "permissions": ["audit.read"]})
        narrow = acme.client(own["token"])
        assert await narrow.get("/audit")
        assert (await narrow.refused("GET", "/users"))["status"] == 403  # no more than it was given
        assert "laptop" in [row["name"] for row in await me.items("/me/api-tokens")]
        assert own["id"] in [row["id"] for row in await acme.cli("token", "api", "list")]
        await me.delete(f"/me/api-tokens/{own['id']}")
        assert (await narrow.refused("GET", "/audit"))["status"] == 401
    await acme.cli("user", "role", "ann", "--set", "user")
    assert (await mine.refused("GET", "/users"))["status"] == 403  # never more than the person
    bad = await acme.api.refused("POST", "/api-tokens", {"name": "x", "permissions": ["users.rule"]})
    assert bad["status"] == 422
    again = await acme.api.refused("POST", "/api-tokens", {"name": "x", "permissions": ["users.read"]})
    assert (again["status"], "API token" in again["detail"]) == (409, True)  # it makes no other
    service = await acme.cli(
        "token", "api", "create", "--service", "billing", "--permission", "users.read", "--expires", "1h"
    )
    billing = acme.client(service["token"])
    assert len(await billing.items("/users")) == 2
    listed = await acme.api.items("/api-tokens")
    assert {row["id"] for row in listed} >= {made["id"], service["id"]}
    for told in (str(listed), str(await acme.cli("token", "api", "list"))):
        assert service["token"] not in told  # shown once
    acme.clock.pass_by(hours=2)
    assert (await billing.refused("GET", "/users"))["status"] == 401
    await acme.api.delete(f"/api-tokens/{made['id']}")
    assert (await mine.refused("GET", "/users"))["status"] == 401
    assert ann["id"] == (await acme.user("ann"))["id"]
