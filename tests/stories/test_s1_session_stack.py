"""S1: an Account Admin with few seats invites the team, gives projects, resends, deletes, buys seats."""

from __future__ import annotations

from tests.support.installation import PASSWORD, Installation, text_of


async def test_an_account_admin_fills_and_frees_the_seats(acme: Installation) -> None:
    # Users & seats: "1 of 3 seats used", and where to get more.
    await acme.cli("seats", "set", "3")
    await acme.cli("org", "set", "acme", "--get-more-seats-url", "https://shop.example/more")
    shop = await acme.api.post("/projects", {"name": "Web shop"})
    await acme.api.post("/projects", {"name": "Mobile"})
    assert "1 seats used, of 3" in await acme.said("seats", "show")

    # Add user: an address and at least one project; the person appears at once, Pending, with a seat.
    sent = await acme.api.post(
        "/invitations",
        {"emails": ["maya@acme.example", "noah@acme.example"], "projects": [{"id": shop["id"]}]},
    )
    assert [row["status"] for row in sent["results"]] == [201, 201]
    pending = {row["email"]: row for row in await acme.api.items("/users?status=pending")}
    maya, noah = pending["maya@acme.example"], pending["noah@acme.example"]
    assert (maya["causes"], maya["has_seat"]) == (["invited"], True)
    assert [each["name"] for each in maya["projects"]] == ["Web shop"]

    # All seats are taken: the next one is refused, with the figures and the link; nothing was changed.
    refused = await acme.cli_refused_row("invitation", "create", "olga@acme.example")
    for words in ("3 of 3 used (1 active, 2 invited)", "olga@acme.example", "https://shop.example/more"):
        assert words in refused
    assert await acme.api.items("/users?q=olga") == []

    # The mail leads to registration; one person, one seat, however many projects.
    (mail,) = await acme.mails("maya@acme.example")
    assert "Web shop" in text_of(mail)
    async with acme.browser() as browser:
        page = await browser.get(await acme.link("invitation", to="maya@acme.example"))
        assert "Join Acme" in page
        await browser.post(
            await acme.link("invitation", to="maya@acme.example"), name="Maya Lin", password=PASSWORD
        )
        assert browser.path == "/welcome"
    await acme.cli("user", "project", "maya", "--add", "Mobile")
    assert (await acme.api.get("/seats"))["used"] == 3

    # Not received? Sent again, and the older link is dead.
    old = await acme.link("invitation", to="noah@acme.example")
    (invitation,) = await acme.api.items("/invitations?status=pending")
    await acme.api.post(f"/invitations/{invitation['id']}/resend")
    async with acme.browser() as browser:
        assert await acme.link("invitation", to="noah@acme.example") != old
        await browser.get(old)
        assert browser.status == 404

    # The projects of somebody who has not accepted are edited; the address is not.
    await acme.cli("invitation", "edit", invitation["id"], "--project", "Mobile=viewer")
    noah = await acme.api.get(f"/users/{noah['id']}")
    assert [(each["name"], each["role"]) for each in noah["projects"]] == [("Mobile", "viewer")]
    fixed = await acme.cli_refused_row("user", "edit", "noah", "--email", "n@acme.example")
    assert "The address of an invitation is fixed" in fixed

    # A user keeps at least one project, and nobody deletes the own account.
    last = await acme.api.refused("DELETE", f"/users/{noah['id']}/projects/{noah['projects'][0]['id']}")
    assert last["code"] == "not_allowed_now"
    assert (await acme.api.refused("DELETE", f"/users/{acme.admin_id}"))["code"] == "own_account"

    # Delete asks, frees the seat, and can be taken back for 30 days.
    assert "30 days" in (await acme._command("user", "delete", "noah", answer="n\n")).output
    await acme.said("user", "delete", "noah", answer="y\n")
    assert (await acme.api.get("/seats"))["free"] == 1
    async with acme.browser() as browser:
        await browser.get(await acme.link("invitation", to="noah@acme.example"))
        assert browser.status == 410
    await acme.cli("invitation", "create", "olga@acme.example")
    full = await acme.cli_refused_row("user", "restore", "noah@acme.example")
    assert "3 of 3" in full
    await acme.api.put("/seats", {"limit": 10})
    await acme.cli("user", "restore", "noah@acme.example")
    assert (await acme.api.get("/seats"))["used"] == 4
