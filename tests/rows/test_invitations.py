"""Rows I1-I8: invitations, from the first address to the last mail."""

from __future__ import annotations

from typing import Any

from tests.rows.looking import patch_of
from tests.support.installation import PASSWORD, Installation, text_of, user_document

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


async def _invite(acme: Installation, *names: str, **more: Any) -> list[str]:
    """Invite by the API; the ids of the invitations."""
    emails = [f"{name}@acme.example" for name in names]
    sent = await acme.api.post("/invitations", {"emails": emails, **more})
    assert [row["status"] for row in sent["results"]] == [201] * len(names)
    return [row["answer"]["invitation_id"] for row in sent["results"]]


async def _status(acme: Installation, invitation: str) -> str:
    """By both doors."""
    rows = {row["id"]: row["status"] for row in await acme.cli("invitation", "list")}
    status = str((await acme.api.get(f"/invitations/{invitation}"))["status"])
    assert rows[invitation] == status
    return status


async def test_i1_one_or_many_with_team_role_projects_message_and_expiry(acme: Installation) -> None:
    team = await acme.api.post("/teams", {"name": "Ops"})
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    await acme.cli("project", "create", "Beta")
    sent = await acme.api.post("/invitations", {"emails": ["ann@acme.example"]})
    (row,) = sent["results"]
    assert (row["status"], row["problem"]["errors"][0]["field"]) == (422, "/team")  # teams are used here
    wish = {
        "emails": ["ann@acme.example", "no address", "bob@acme.example", "ann@acme.example"],
        "team": team["id"],
        "projects": [{"id": alpha["id"], "role": "viewer"}],
        "message": "Come in!\nWe start on Monday.",
        "valid_for_s": 86400,
    }
    sent = await acme.api.post("/invitations", wish)
    assert [row["status"] for row in sent["results"]] == [201, 422, 201, 409]
    words = ("invitation", "create", "cat@acme.example", "--role", "manager", "--team", "ops")
    await acme.cli(*words, "--project", "Alpha=owner", "--project", "Beta", "--valid-for", "2d")
    listed = {row["address"]: row for row in await acme.cli("invitation", "list")}
    ann, cat = listed["ann@acme.example"], listed["cat@acme.example"]
    assert (ann["role"], ann["team"], ann["message"]) == ("user", "Ops", wish["message"])
    assert [(each["name"], each["role"]) for each in ann["projects"]] == [("Alpha", "viewer")]
    assert (cat["role"], cat["team"]) == ("manager", "Ops")
    (mail,) = await acme.mails("ann@acme.example")
    for said in ("Come in!", "We start on Monday.", "Ops", "Alpha", "Acme"):
        assert said in text_of(mail)
    link = await acme.link("invitation", to="bob@acme.example")
    await acme.minutes_pass(24 * 60)
    async with acme.browser() as browser:
        assert "expired" in await browser.get(link)
    assert await _status(acme, ann["id"]) == "expired"
    assert await _status(acme, cat["id"]) == "pending"
    bad = await acme.api.refused("POST", "/invitations", {"emails": ["x@acme.example"], "valid_for_s": 5})
    assert bad["errors"][0]["field"] == "/valid_for_s"


async def test_i2_the_mail_leads_to_registration_and_to_declining(acme: Installation) -> None:
    first, second = await _invite(acme, "ann", "bob")
    (mail,) = await acme.mails("ann@acme.example")
    html = mail.get_body(("html",))
    assert html is not None
    assert acme.url in html.get_content()
    link = await acme.link("invitation", to="ann@acme.example")
    async with acme.browser() as browser:
        page = await browser.get(link)
        assert "Join Acme" in page
        assert "ann@acme.example" in page
        await browser.post(link, name="Ann Ó", password=PASSWORD)
        assert browser.path == "/welcome"
        assert "Ann Ó" in await browser.get("/")
    assert (await acme.user("ann"))["email_verified"] is True
    assert await _status(acme, first) == "accepted"
    async with acme.browser() as browser:
        declined = f"{await acme.link('invitation', to='bob@acme.example')}/decline"
        assert "Decline" in await browser.get(declined)
        assert await _status(acme, second) == "pending"  # looking changes nothing
        await browser.post(declined)
    assert await _status(acme, second) == "declined"


async def test_i3_each_transition_is_dated_and_attributed(acme: Installation) -> None:
    accepted, declined, cancelled, expired = await _invite(acme, "ann", "bob", "cat", "dot")
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="ann@acme.example"), password=PASSWORD)
    async with acme.browser() as browser:
        await browser.post(f"{await acme.link('invitation', to='bob@acme.example')}/decline")
    await acme.cli("invitation", "withdraw", cancelled)
    await acme.minutes_pass(7 * 24 * 60 + 1)
    for invitation, status, by in (
        (accepted, "accepted", "ann@acme.example"),
        (declined, "declined", "bob@acme.example"),
        (cancelled, "cancelled", "(CLI)"),
        (expired, "expired", ""),
    ):
        assert await _status(acme, invitation) == status
        row = await acme.api.get(f"/invitations/{invitation}")
        assert row["ended_at"] >= row["created_at"]
        assert by in (row["ended_by"] or ""), (status, row["ended_by"])
        kinds = [entry["kind"] for entry in await acme.cli("audit", "list", "--target", invitation)]
        assert kinds.count(f"invitation.{status}") == 1


async def test_i4_the_list_has_its_columns_and_filters(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    ann, bob = await _invite(acme, "ann", "bob", projects=[{"id": alpha["id"]}], message="Hello")
    acme.smtp.refuse("550 5.1.1 No such user")
    await acme.minutes_pass()
    acme.smtp.accept()
    cat, *_ = await _invite(acme, "cat")
    row = await acme.api.get(f"/invitations/{ann}")
    assert (row["delivery"], "550" in row["why"], row["sent_at"]) == ("refused", True, None)
    assert (row["address"], row["role"], row["team"], row["message"], row["status"]) == (
        "ann@acme.example", "user", None, "Hello", "pending",
    )  # fmt: skip
    assert [(each["name"], each["role"]) for each in row["projects"]] == [("Alpha", "member")]
    assert row["invited_by"] == "ada@acme.example (token rows)"
    assert (await acme.api.get(f"/invitations/{cat}"))["delivery"] == "due"
    await acme.minutes_pass()
    sent = await acme.api.get(f"/invitations/{cat}")
    assert (sent["delivery"], sent["sent_at"] is not None) == ("sent", True)
    printed = await acme.said("invitation", "list")
    for title in ("Address", "Role", "Team", "Projects", "Message", "Status", "Expires", "Sent", "Delivery",
                  "Invited by"):  # fmt: skip
        assert title in printed
    assert "refused: " in printed
    await acme.cli("invitation", "withdraw", bob)

    async def ids(query: str, *words: str) -> list[str]:
        over_rest = [each["id"] for each in await acme.api.items(f"/invitations?{query}")]
        assert [each["id"] for each in await acme.cli("invitation", "list", *words)] == over_rest
        return over_rest

    assert await ids("", "--limit", "50") == [cat, bob, ann]
    assert await ids("status=cancelled", "--status", "cancelled") == [bob]
    assert await ids("q=CAT@", "--search", "CAT@") == [cat]
    assert await ids(f"person={row['person_id']}", "--user", "ann") == [ann]
    assert "There is more: --after" in await acme.said("invitation", "list", "--limit", "1")


async def test_i5_resend_copy_link_and_edit(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    await acme.cli("project", "create", "Beta")
    (ann,) = await _invite(acme, "ann", projects=[{"id": alpha["id"]}])
    old = await acme.link("invitation", to="ann@acme.example")
    await acme.api.post(f"/invitations/{ann}/resend")
    new = await acme.link("invitation", to="ann@acme.example")
    async with acme.browser() as browser:
        await browser.get(old)
        assert browser.status == 404 or browser.status == 410
        await browser.get(new)
        assert browser.status == 200
    await acme.cli("invitation", "edit", ann, "--project", "Beta=owner", "--role", "user", "--message", "Hi")
    row = await acme.api.get(f"/invitations/{ann}")
    assert [(each["name"], each["role"]) for each in row["projects"]] == [("Beta", "owner")]
    assert row["message"] == "Hi"
    await acme.api.patch(f"/invitations/{ann}", {"role": "manager"})
    (row,) = await acme.cli("invitation", "list")
    assert (row["role"], row["projects"]) == ("manager", [])
    fixed = await acme.api.refused("PATCH", f"/invitations/{ann}", {"email": "x@acme.example"})
    assert fixed["errors"][0]["field"] == "/email"
    fixed = await acme.api.refused("PATCH", f"/users/{row['person_id']}", {"email": "x@acme.example"})
    assert "The address of an invitation is fixed" in fixed["detail"]
    await acme.minutes_pass(8 * 24 * 60)
    assert await _status(acme, ann) == "expired"
    link = (await acme.cli("invitation", "copy-link", ann))["link"]
    assert await _status(acme, ann) == "pending"  # renewed
    url = (await acme.api.post(f"/invitations/{ann}/copy-link"))["url"]
    async with acme.browser() as browser:
        assert "ann@acme.example" in await browser.get(url)
        await browser.post(link, password=PASSWORD)
        assert browser.path == "/welcome"
    ann_now = await acme.user("ann")
    assert (ann_now["status"], ann_now["email_verified"]) == ("active", False)  # no mail proved it
    over = await acme.api.refused("POST", f"/invitations/{ann}/resend")
    assert (over["status"], over["code"]) == (410, "invitation_closed")
    kinds = [entry["kind"] for entry in await acme.cli("audit", "list", "--target", ann)]
    assert kinds.count("invitation.link_copied") == 2


async def test_i5_whoever_declined_is_invited_again_also_where_a_source_has_them(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    await okta.post("/scim/v2/Users", user_document("dana"))
    async with acme.browser() as browser:
        await browser.post(f"{await acme.link('invitation', to='dana@acme.example')}/decline")
    (old,) = await acme.api.items("/invitations")
    over = await acme.api.refused("POST", f"/invitations/{old['id']}/resend")
    assert over["code"] == "invitation_closed"
    (row,) = await acme.cli("invitation", "create", "dana@acme.example")
    assert row["done"]
    assert await _status(acme, row["invitation_id"]) == "pending"
    assert row["person_id"] == (await acme.user("dana"))["id"]
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="dana@acme.example"), password=PASSWORD)
    assert (await acme.user("dana"))["status"] == "active"


async def test_i6_withdraw_delete_and_resend_in_bulk(acme: Installation) -> None:
    ids = await _invite(acme, "ann", "bob", "cat", "dot")
    rows = await acme.api.many("/invitations/withdraw", [{"id": each} for each in (*ids[:2], "none")])
    assert [row["status"] for row in rows] == [200, 200, 404]
    assert {row["id"] for row in await acme.cli("invitation", "list", "--status", "cancelled")} == set(
        ids[:2]
    )
    rows = await acme.cli("invitation", "withdraw", ids[0], ids[2], code=1)
    assert [row["done"] for row in rows] == [False, True]
    rows = await acme.api.many("/invitations/delete", [{"id": each} for each in ids[:2]])
    assert [row["status"] for row in rows] == [204, 204]
    assert {row["id"] for row in await acme.cli("invitation", "list")} == set(ids[2:])
    await acme.cli("invitation", "delete", ids[3])  # pending: withdrawn by it
    assert [row["id"] for row in await acme.api.items("/invitations")] == [ids[2]]
    for each in ids[:2]:
        kinds = [entry["kind"] for entry in await acme.cli("audit", "list", "--target", each)]
        assert "invitation.cancelled" in kinds
    again = await _invite(acme, "eve", "fay")
    assert all(row["done"] for row in await acme.cli("invitation", "resend", *again))


async def test_i7_mails_wait_while_a_source_is_staged(acme: Installation) -> None:
    made = await acme.cli("token", "create", "--source", "entra")
    entra = acme.client(made["token"])
    for name in ("ann", "bob"):
        await entra.post("/scim/v2/Users", user_document(name))
    assert await acme.mails("ann@acme.example") == []
    rows = await acme.api.items("/invitations")
    assert [(row["staged"], row["status"]) for row in rows] == [(True, "pending")] * 2
    (source,) = await acme.api.items("/sources")
    told = await acme.api.get(f"/sources/{source['id']}/release")
    assert (told["people"], told["mails"]) == (2, 2)
    assert await acme.cli("source", "release", "entra", "--yes") == {
        "source": "entra",
        "people": 2,
        "mails": 2,
    }
    assert len(await acme.mails("ann@acme.example")) == 1
    assert len(await acme.mails("bob@acme.example")) == 1
    never = await acme.idp("okta")
    await never.post("/scim/v2/Users", user_document("cat"))
    assert (await acme.user("cat"))["status"] == "active"
    assert await acme.mails("cat@acme.example") == []


async def test_i8_one_mail_per_event_and_nobody_is_revived(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    group = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Ops"}
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    await okta.post("/scim/v2/Groups", group | {"members": [{"value": dana}]})
    for _ in range(3):
        await acme.minutes_pass()
    (mail,) = await acme.mails("dana@acme.example")
    assert "Ops" in text_of(mail)  # the mail waited for what came after
    link = await acme.link("invitation", to="dana@acme.example")
    off = patch_of({"op": "replace", "path": "active", "value": False})
    await okta.patch(f"/scim/v2/Users/{dana}", off)
    async with acme.browser() as browser:
        await browser.post(link, password=PASSWORD)
        assert browser.status == 410
    (row,) = await acme.api.items("/invitations")
    assert row["status"] == "cancelled"
    await okta.patch(
        f"/scim/v2/Users/{dana}",
        patch_of({"op": "replace", "path": "active", "value": True}),
    )
    assert len(await acme.mails("dana@acme.example")) == 2
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="dana@acme.example"), password=PASSWORD)
        assert browser.path == "/welcome"
    async with acme.browser() as browser:
        await browser.post(link, password=PASSWORD)
        assert browser.status in (404, 410)  # used is used
    for row in await acme.cli("invitation", "list"):
        assert link.rpartition("/")[2] not in str(row)
    export = (await acme.api.send("GET", "/audit?format=json")).text
    assert link.rpartition("/")[2] not in export
