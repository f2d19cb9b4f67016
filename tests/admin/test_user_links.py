"""Whose an entry is, over REST (R16), and who answers by which id (P10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scimd.core.people import PersonId
from scimd.db.tables import events, metadata, people
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Tx
from scimd.org.users import local_people
from scimd.org.users.local_people import NewPerson
from tests.admin.client import Client
from tests.web.site import Site


async def _two(acme: Site) -> tuple[PersonId, PersonId, SourceRecord]:
    """Ann, whom a hand added, and Annie, whom okta asserts by the external id x-annie."""
    okta = await acme.source("okta", invite="never")
    ann = await local_people.add(acme.door, acme.ctx, NewPerson("ann@home.example", display_name="Ann"))
    (annie,) = await acme.push(
        okta, {"userName": "annie@acme.example", "displayName": "Annie", "externalId": "x-annie"}
    )
    return ann, annie, okta


async def _stored(acme: Site) -> dict[str, list[str]]:
    tables = {name: table for name, table in metadata.tables.items() if name != "sessions"}

    def rows(conn: Any) -> dict[str, list[str]]:
        return {name: sorted(map(repr, conn.execute(each.select()).all())) for name, each in tables.items()}

    return await acme.door.read(rows)


async def _kinds(acme: Site, target: str) -> list[str]:
    query = events.select().where(events.c.target_id == target).order_by(events.c.id)
    return [row.kind for row in await acme.door.read(lambda conn: conn.execute(query).all())]


async def test_a_preview_of_each_tells_what_the_audit_would_and_changes_nothing(
    acme: Site, api: Client
) -> None:
    """R16: each a plan."""
    ann, annie, _ = await _two(acme)
    before = await _stored(acme)
    for verb, body, kind in (
        ("merge", {"other": annie}, "person.merged"),
        ("link", {"source": "okta", "entry": "x-annie"}, "person.linked"),
        ("link", {"source": "okta", "entry": "x-later"}, "person.linked"),
    ):
        told = await api.post(f"/users/{ann}/{verb}?preview=true", body, Idempotency_Key="never-kept")
        assert (told.status, told.json["done"]) == (200, False), told.text
        assert kind in [each["kind"] for each in told.json["changes"]]
        assert await _stored(acme) == before
    wrong = await api.post(f"/users/{ann}/unlink?preview=true", {"source": "okta"})
    assert (wrong.status, wrong.json["code"]) == (404, "not_found")
    merged = await api.post(f"/users/{ann}/merge", {"other": annie})
    assert (merged.json["done"], merged.json["changes"]) == (True, [])
    assert (await _kinds(acme, ann)).count("person.merged") == 1


async def test_link_moves_the_entry_over_and_unlink_takes_it_back(acme: Site, api: Client) -> None:
    """R16: with undo."""
    ann, _, _ = await _two(acme)
    linked = await api.post(f"/users/{ann}/link", {"source": "okta", "entry": "x-annie"})
    assert linked.json == {"id": ann, "done": True, "linked": True, "changes": []}
    assert (await api.get(f"/users/{ann}")).json["source"]["name"] == "okta"
    back = await api.post(f"/users/{ann}/unlink", {"source": "okta"})
    assert (await api.get(f"/users/{ann}")).json["source"] is None
    again = await api.get(f"/users/{back.json['new_id']}")
    assert (again.json["display_name"], again.json["source"]["name"]) == ("Annie", "okta")
    refused = await api.post(f"/users/{ann}/link", {"source": "nowhere", "entry": "x"})
    assert (refused.status, refused.json["code"]) == (404, "not_found")


async def test_both_ids_answer_after_a_merge(acme: Site, api: Client) -> None:
    """R16, P10."""
    ann, annie, _ = await _two(acme)
    assert (await api.post(f"/users/{ann}/merge", {"other": annie})).status == 200
    for path in ("", "/explain"):
        by_old, by_new = [await api.get(f"/users/{each}{path}") for each in (annie, ann)]
        assert (by_old.status, by_old.json) == (200, by_new.json)
        assert by_old.json["id"] == ann
    history = (await api.get(f"/users/{annie}/history")).json["items"]
    assert "person.merged" in [each["kind"] for each in history]
    token = (await api.post("/api-tokens", {"name": "app", "permissions": ["access.read"]})).json["token"]
    async with acme.browser(Authorization=f"Bearer {token}") as session:
        app = Client(session, acme.url, "")
        assert (await app.get(f"/access/{annie}")).json == (await app.get(f"/access/{ann}")).json
        assert (await app.get("/access/nobody")).status == 404
    twice = await api.post(f"/users/{ann}/merge", {"other": annie})
    assert (twice.status, twice.json["detail"]) == (409, "That is one and the same person.")
    told = await api.post(f"/users/{annie}/unmerge?preview=true")
    assert "person.unmerged" in [each["kind"] for each in told.json["changes"]]
    assert (await api.post(f"/users/{annie}/unmerge")).json["id"] == ann
    assert (await api.get(f"/users/{annie}")).json["id"] == annie


async def test_the_old_id_is_the_kept_users_at_every_door(acme: Site, api: Client) -> None:
    ann, annie, _ = await _two(acme)
    await acme.door.run(acme.ctx, lambda tx: _accept(tx, ann))
    assert (await api.post(f"/users/{ann}/merge", {"other": annie})).status == 200
    named = await api.send("PATCH", f"/users/{annie}", {"user_name": "anna"})
    assert (named.status, named.json["id"], named.json["user_name"]) == (200, ann, "anna")
    given = await api.post(f"/users/{annie}/roles", {"role": "auditor"})
    assert (given.status, given.json["id"]) == (200, ann)
    (taken,) = (await api.post("/users/remove-role", {"items": [{"id": annie, "role": "auditor"}]})).json[
        "results"
    ]
    assert (taken["status"], taken["answer"]["id"]) == (200, ann)
    permissions = ["access.read", "sign_ins.report"]
    token = (await api.post("/api-tokens", {"name": "app", "permissions": permissions})).json["token"]
    async with acme.browser(Authorization=f"Bearer {token}") as session:
        expires = (acme.clock() + timedelta(days=1)).isoformat()
        body = {"person": annie, "ip": "192.0.2.1", "expires_at": expires}
        begun = await Client(session, acme.url, "").post("/access/sessions", body)
    assert (begun.status, begun.json["person_id"]) == (201, ann)
    for noun in ("sessions", "login-attempts", "invitations"):
        by_old, by_new = [await api.get(f"/{noun}?person={each}") for each in (annie, ann)]
        assert (by_old.status, by_old.json) == (200, by_new.json)
    assert len((await api.get(f"/sessions?person={annie}")).json["items"]) == 1
    for verb in ("deactivate", "reactivate"):
        assert (await api.post(f"/users/{annie}/{verb}")).status == 200
    missing = await api.post("/users/nobody/deactivate")
    assert (missing.status, missing.json["code"]) == (404, "not_found")


def _accept(tx: Tx, person_id: PersonId) -> None:
    tx.conn.execute(people.update().where(people.c.id == person_id).values(accepted=True))
    tx.touch([person_id])


async def test_what_each_needs_and_refuses(acme: Site, api: Client) -> None:
    ann, annie, okta = await _two(acme)
    (bob,) = await acme.push(okta, {"userName": "bob@acme.example", "externalId": "x-bob"})
    two = await api.post(f"/users/{annie}/merge", {"other": bob})
    assert (two.status, two.json["code"]) == (409, "not_allowed_now")
    assert "okta asserts both" in two.json["detail"]
    me = (await api.get("/me")).json["id"]
    own = await api.post(f"/users/{me}/merge", {"other": ann})
    assert (own.status, own.json["code"]) == (403, "own_account")
    taken = await api.post(f"/users/{annie}/link", {"source": "okta", "entry": "x-bob"})
    assert "asserts Annie already" in taken.json["detail"]
