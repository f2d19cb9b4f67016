"""S2: the console of an admin: users, invitations, sessions, login attempts."""

from __future__ import annotations

from tests.support.installation import PASSWORD, Installation, text_of


async def test_an_admin_runs_the_console_for_a_day(acme: Installation) -> None:
    # Invitations: with a role, a personal message and an expiry.
    await acme.cli(
        "invitation", "create", "lee@acme.example", "mia@acme.example", "--role", "manager",
        "--message", "Welcome aboard", "--valid-for", "2d",
    )  # fmt: skip
    rows = {row["address"]: row for row in await acme.api.items("/invitations?status=pending")}
    assert {row["role"] for row in rows.values()} == {"manager"}
    (mail,) = await acme.mails("lee@acme.example")
    assert "Welcome aboard" in text_of(mail)
    listed = await acme.said("invitation", "list")
    for words in ("lee@acme.example", "manager", "Welcome aboard", "pending", "sent"):
        assert words in listed

    # Lee accepts; Mia's link is copied and handed over after it expired, which renews it.
    async with acme.browser() as browser:
        await browser.post(
            await acme.link("invitation", to="lee@acme.example"), name="Lee Park", password=PASSWORD
        )
    await acme.minutes_pass(2 * 24 * 60 + 1)
    mia = rows["mia@acme.example"]["id"]
    assert (await acme.api.get(f"/invitations/{mia}"))["status"] == "expired"
    link = (await acme.cli("invitation", "copy-link", mia))["link"]
    async with acme.browser() as browser:
        await browser.post(f"{link}/decline")
    assert [row["id"] for row in await acme.api.items("/invitations?status=declined")] == [mia]

    # Users: roles as badges, a change counts at the next click.
    lee = await acme.user("lee")
    assert (lee["status"], lee["roles"], lee["accepted"]) == ("active", ["manager"], True)
    async with acme.signed_in("lee@acme.example") as browser:
        page = await browser.get("/people")
        assert browser.status == 200
        assert "Lee Park" in page
        await acme.api.put(f"/users/{lee['id']}/role", {"role": "user"})
        await browser.get("/people")
        assert browser.status == 403
        await acme.cli("user", "role", "lee", "--add", "auditor")
        await browser.get("/people")
        assert browser.status == 200

        # Sessions: device, address, last active; a revoked one ends at its next click.
        live = await acme.api.items(f"/sessions?person={lee['id']}")
        assert {row["ip"] for row in live} == {"127.0.0.1"}
        rows_ended = await acme.api.many("/sessions/end", [{"id": row["id"]} for row in live])
        assert {row["status"] for row in rows_ended} == {204}
        await browser.get("/people")
        assert browser.path.startswith("/sign-in")
    assert "Nobody is signed in" in await acme.said("session", "list", "--user", "lee")

    # Login attempts: who, from where, how it ended and why.
    async with acme.browser() as browser:
        await browser.sign_in("lee@acme.example", "seven quiet lanterns drown")
        await browser.sign_in("lee@acme.example")
    newest, before = (await acme.api.items("/login-attempts?address=lee@acme.example"))[:2]
    assert (newest["success"], before["success"]) == (True, False)
    assert before["reason"] == "unknown address or wrong password"

    # Deactivate asks first; the account stays, access is gone, a second invitation brings it back.
    await acme.said("user", "deactivate", "lee", answer="y\n")
    async with acme.browser() as browser:
        page = await browser.sign_in("lee@acme.example")
        assert browser.status == 403
        assert "deactivated" in page.lower()
    assert (await acme.api.items("/login-attempts?success=false"))[0]["reason"].startswith("deactivated")
    await acme.api.post("/invitations", {"emails": ["lee@acme.example"]})
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="lee@acme.example"), password=PASSWORD)
    assert (await acme.user("lee"))["status"] == "active"

    # Edit: a new address signs in, and the person confirms it in My Profile.
    await acme.api.patch(f"/users/{lee['id']}", {"email": "lee.park@acme.example"})
    async with acme.signed_in("lee.park@acme.example") as browser:
        assert "not confirmed" in await browser.get("/my")
        await browser.post("/my/address", address="lee.park@acme.example")
        await browser.post(await acme.link("confirm-address", to="lee.park@acme.example"))
    assert (await acme.user("lee.park"))["email_verified"] is True

    # What was done stands in the history of the user, with who did it.
    kinds = [row["kind"] for row in await acme.api.items(f"/users/{lee['id']}/history")]
    assert {"person.created", "person.deactivated", "person.updated"} <= set(kinds)
    assert (await acme.cli("audit", "verify"))["faults"] == []
