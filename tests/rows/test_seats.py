"""Rows K1-K6: seats and licences."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.rows.looking import patch_of
from tests.support.installation import PASSWORD, Client, Installation, user_document

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


async def _seats(acme: Installation) -> tuple[int, int | None, int]:
    """Used, limit, waiting: the same by both doors, and true: as many people hold one."""
    shown, told = await acme.api.get("/seats"), await acme.cli("seats", "show", "--org", "acme")
    found = (shown["used"], shown["limit"], shown["waiting"])
    assert found == (told["used"], told["limit"], told["waiting"])
    assert len(await acme.api.items("/users?has_seat=true")) == shown["used"]
    return found


async def _active(idp: Client, person_id: str, active: bool) -> None:
    change = patch_of({"op": "replace", "path": "active", "value": active})
    await idp.patch(f"/scim/v2/Users/{person_id}", change)


async def test_k1_used_and_total_one_per_person_and_where_to_get_more(acme: Installation) -> None:
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    beta = await acme.api.post("/projects", {"name": "Beta"})
    await acme.add("ann", projects=[{"id": alpha["id"]}, {"id": beta["id"]}])
    assert await _seats(acme) == (2, 50, 0)
    await acme.cli("seats", "set", "2")
    await acme.api.patch("/organization", {"get_more_seats_url": "https://shop.example/seats"})
    assert (await acme.api.get("/seats"))["get_more_url"] == "https://shop.example/seats"
    assert "Get more seats: https://shop.example/seats" in await acme.said("seats", "show")
    refused = await acme.api.refused("POST", "/users", {"email": "bob@acme.example"})
    assert (refused["status"], refused["code"]) == (409, "seat_limit_reached")
    assert refused["facts"] | {"limit": 2, "used": 2} == refused["facts"]
    for said in (refused["detail"], await acme.cli_refused("user", "add", "bob@acme.example")):
        assert "2 of 2 used (2 active" in said
        assert "bob@acme.example was not" in said
        assert "https://shop.example/seats" in said
    await acme.api.put("/seats", {"limit": None})
    assert (await acme.cli("seats", "show"))["limit"] is None
    assert "no limit" in await acme.said("seats", "show")
    bad = await acme.api.refused("PATCH", "/organization", {"get_more_seats_url": "javascript:alert(1)"})
    assert bad["status"] == 422


async def test_k2_no_door_overbooks(acme: Installation) -> None:
    okta = await acme.idp()
    off = (await okta.post("/scim/v2/Users", user_document("off")))["id"]
    await _active(okta, off, False)
    await acme.add("ann")
    gone = await acme.add("gone")
    await acme.cli("user", "delete", "gone", "--yes")
    await acme.cli("user", "deactivate", "ann", "--yes")
    await acme.cli("org", "create", "other", "--seats", "5")
    await acme.cli("user", "add", "mo@other.example", "--org", "other")
    await acme.cli("seats", "set", "5", "--org", "acme")
    used, _, _ = await _seats(acme)
    assert used == 1
    answers = await asyncio.gather(
        *(acme.api.send("POST", "/users", {"email": f"u{n}@acme.example"}) for n in range(6)),
        *(acme.api.send("POST", "/invitations", {"emails": [f"i{n}@acme.example"]}) for n in range(6)),
        *(okta.send("POST", "/scim/v2/Users", user_document(f"s{n}")) for n in range(6)),
    )
    assert {answer.status for answer in answers[:6]} <= {201, 409}
    assert {answer.status for answer in answers[12:]} == {201}  # held, not refused
    used, limit, waiting = await _seats(acme)
    assert (used, limit) == (5, 5)
    full = [row for answer in answers[6:12] for row in answer.json["results"] if row["problem"]]
    assert all(row["problem"]["code"] == "seat_limit_reached" for row in full)
    await _active(okta, off, True)
    assert (await acme.api.get(f"/users/{off}"))["status"] == "pending"
    for words in (
        ("user", "reactivate", "ann", "--org", "acme"),
        ("user", "restore", "gone@acme.example", "--org", "acme"),
        ("user", "move", "mo", "--to", "acme", "--org", "other", "--yes"),
    ):
        assert "5 of 5" in await acme.cli_refused_row(*words), words
    assert "5 of 5" in (await acme.api.refused("POST", f"/users/{gone['id']}/restore"))["detail"]
    csv = {"csv": "email\nfile@acme.example", "how": "add"}
    plan = await acme.api.post("/imports", csv)
    (row,) = (await acme.api.post("/imports/apply", {"plan": plan["sealed"]}))["results"]
    assert row["problem"]["code"] == "seat_limit_reached"
    assert (await _seats(acme))[:2] == (5, 5)
    assert (await _seats(acme))[2] == waiting + 1


async def test_k3_over_the_limit_by_scim_hold_reject_allow(acme: Installation) -> None:
    okta = await acme.idp()
    await acme.cli("seats", "set", "2")
    await okta.post("/scim/v2/Users", user_document("ann"))
    held = await okta.send("POST", "/scim/v2/Users", user_document("bob"))
    assert (held.status, held.json["active"]) == (201, True)
    await okta.post("/scim/v2/Users", user_document("cat"))
    for who in ("bob", "cat"):
        assert (await acme.user(who))["causes"] == ["waiting_for_seat"]
    assert await _seats(acme) == (2, 2, 2)
    await acme.cli("org", "set", "acme", "--seats-on-scim", "reject")
    refused = await okta.refused("POST", "/scim/v2/Users", user_document("dan"))
    assert (refused["status"], refused.get("scimType")) == ("403", None)
    assert "Seat limit reached: 2 of 2 used (2 active" in refused["detail"]
    assert "dan@acme.example was not created" in refused["detail"]
    await acme.api.patch("/organization", {"seats_on_scim": "allow"})
    await okta.post("/scim/v2/Users", user_document("eve"))
    assert (await acme.user("eve"))["status"] == "active"
    used, limit, waiting = await _seats(acme)
    assert used > (limit or 0)
    kinds = [row["kind"] for row in await acme.cli("audit", "list")]
    assert "seats.over_limit" in kinds
    await acme.api.patch("/organization", {"seats_on_scim": "hold"})
    await acme.cli("seats", "set", str(used + 1))
    waited = [row["user_name"] for row in await acme.cli("user", "list", "--status", "pending")]
    assert waited == (["cat"] if waiting else [])  # bob was first


async def test_k4_seats_freed_in_a_run_serve_its_additions(acme: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "directory"
    folder.mkdir()

    def write(*names: str) -> None:
        lines = [{"id": f"x{n}", "userName": f"{n}@acme.example", "displayName": n} for n in names]
        (folder / "users.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    write("ann", "bob", "cat")
    acme.configure(
        f'[[organization.source]]\nname = "hr"\nconnector = "file"\nstate = "active"\ninvite = "never"\n'
        f'[organization.source.settings]\npath = "{folder}"\n'
    )
    await acme.cli("seats", "set", "4")
    await acme.cli("sync", "hr")
    assert await _seats(acme) == (4, 4, 0)
    write("bob", "cat", "eve", "dan")
    plan = await acme.cli("plan", "hr", code=2)
    done = await acme.cli("apply", plan["id"], code=0)
    assert done["state"] == "done"
    rows = {row["user_name"]: row["status"] for row in await acme.api.items("/users?local=false")}
    assert rows["ann"] == "inactive"
    assert (rows["dan"], rows["eve"]) == ("active", "pending")  # by external id, not as they came
    assert await _seats(acme) == (4, 4, 1)


async def test_k6_what_takes_a_seat(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    used = 1

    async def counts(by: int) -> None:
        nonlocal used
        used += by
        assert (await _seats(acme))[0] == used

    await okta.post("/scim/v2/Users", user_document("dana"))
    await counts(+1)  # invited
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to="dana@acme.example"), password=PASSWORD)
    await counts(0)  # active
    dana = await acme.user("dana")
    await _active(okta, dana["id"], False)
    await counts(-1)
    await acme.add("ann")
    await counts(+1)
    await acme.cli("user", "disable", "ann")
    await counts(-1)
    await acme.cli("user", "enable", "ann")
    await counts(+1)
    await acme.cli("user", "add-service", "robot", "--owner", "ada@acme.example")
    await counts(0)
    rows = await acme.cli("invitation", "create", "ivy@acme.example")
    assert rows[0]["done"]
    await counts(+1)
    (row,) = await acme.api.items("/invitations?status=pending")
    await acme.api.post(f"/invitations/{row['id']}/withdraw")
    await counts(-1)
    await acme.cli("invitation", "create", "eli@acme.example")
    await counts(+1)
    await acme.minutes_pass(8 * 24 * 60)
    await counts(-1)  # expired
    await acme.cli("org", "set", "acme", "--approval")
    await acme.api.post("/users", {"email": "una@acme.example"})
    await counts(0)  # not approved
    await acme.cli("org", "set", "acme", "--no-approval", "--default-project", "none")
    await acme.settle()
    used = (await _seats(acme))[0]
    await okta.post("/scim/v2/Users", user_document("nop"))
    await counts(0)  # no project


async def test_k5_a_licence_may_have_a_pool(acme: Installation) -> None:
    okta = await acme.idp(invite=True)
    studio = await acme.api.post("/licences", {"name": "Studio", "limit": 1})
    ann, bob = await acme.add("ann"), await acme.add("bob")
    await acme.cli("user", "licence", "ann", "--give", "Studio")
    full = await acme.api.refused("PUT", f"/users/{bob['id']}/licences/{studio['id']}")
    assert (full["status"], full["code"], "1 of 1" in full["detail"]) == (409, "pool_limit_reached", True)
    assert "1 of 1" in await acme.cli_refused_row("user", "licence", "bob", "--give", "Studio")
    await acme.cli("rule", "add", "--source", "okta", "--pattern", "eng", "--licence", "Studio")
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    group = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "eng"}
    await okta.post("/scim/v2/Groups", group | {"members": [{"value": dana}]})
    (row,) = await acme.api.items("/licences")
    assert (row["people"], row["limit"], row["waiting"]) == (1, 1, 1)
    await acme.cli("user", "deactivate", "ann", "--yes")
    await acme.settle()
    assert [each["name"] for each in (await acme.api.get(f"/users/{dana}"))["licences"]] == ["Studio"]
    assert (await acme.api.get(f"/users/{ann['id']}"))["licences"] == []
    await acme.cli("licence", "limit", "Studio", "2")
    await acme.cli("user", "licence", "bob", "--give", "Studio")


async def test_k5_named_licences_several_per_user(acme: Installation) -> None:
    studio = await acme.api.post("/licences", {"name": "Studio"})
    await acme.cli("licence", "create", "Runner")
    ann = await acme.add("ann")
    await acme.api.put(f"/users/{ann['id']}/licences/{studio['id']}")
    await acme.cli("user", "licence", "ann", "--give", "Runner")
    names = {each["name"] for each in (await acme.api.get(f"/users/{ann['id']}"))["licences"]}
    assert names == {"Studio", "Runner"}
    people: dict[str, Any] = {row["name"]: row["people"] for row in await acme.cli("licence", "list")}
    assert people == {"Studio": 1, "Runner": 1}
    held = await acme.api.refused("DELETE", f"/licences/{studio['id']}")
    assert held["code"] == "not_allowed_now"
    await acme.cli("user", "licence", "ann", "--take", "Studio")
    await acme.api.delete(f"/licences/{studio['id']}")
    assert [row["name"] for row in await acme.cli("licence", "list")] == ["Runner"]
