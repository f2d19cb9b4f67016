"""Sentences of docs/semantics.md as a provider meets them, one test each."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import SCIMD_URN
from scimd.core.people import PersonId, keys_of
from scimd.db import tables as t
from scimd.org.organizations import organizations
from scimd.org.sources import source_states
from scimd.org.users import gates
from tests.scim.serving import Client, Installation
from tests.scim.test_visibility import as_admin, company, local

DANA: dict[str, Any] = {
    "userName": "Dana.Øst@acme.example",
    "externalId": "x-1",
    "emails": [{"value": "dana@acme.example", "type": "work"}],
}


async def says(client: Client, user_id: str) -> dict[str, Any]:
    return dict((await client.get(f"/Users/{user_id}", params={"attributes": SCIMD_URN})).json[SCIMD_URN])


async def events(scimd: Installation, client: Client, kind: str) -> list[str]:
    query = t.events.select().where(t.events.c.org_id == client.org_id, t.events.c.kind == kind)
    return [row.target_id for row in await scimd.door.read(lambda conn: list(conn.execute(query)))]


async def person_row(scimd: Installation, person_id: str) -> Any:
    query = t.people.select().where(t.people.c.id == person_id)
    return (await scimd.door.read(lambda conn: list(conn.execute(query))))[0]


# ------------------------------------------------------------------------------ identity


async def test_two_accounts_with_one_address_in_two_organizations_are_two_people(scimd: Installation) -> None:
    one = await scimd.client(await scimd.organization("acme"))
    two = await scimd.client(await scimd.organization("beta"))
    made = [(await each.post("/Users", DANA)) for each in (one, two)]
    assert [each.status for each in made] == [201, 201]
    assert made[0].json["id"] != made[1].json["id"]
    assert (await two.get(f"/Users/{made[0].json['id']}")).status == 404


async def test_user_name_is_echoed_and_the_local_one_is_derived_and_stays(
    scimd: Installation,
) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    made = (await idp.post("/Users", DANA)).json
    assert made["userName"] == "Dana.Øst@acme.example"
    derived = (await person_row(scimd, made["id"])).local_user_name
    assert derived.isascii()
    assert derived == derived.lower()
    renamed = await idp.put(f"/Users/{made['id']}", {**DANA, "userName": "d.berg@acme.example"})
    assert renamed.json["userName"] == "d.berg@acme.example"
    assert (await person_row(scimd, made["id"])).local_user_name == derived


async def test_two_may_carry_one_address_and_the_first_keeps_it(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    first = (await idp.post("/Users", DANA)).json["id"]
    second = (await idp.post("/Users", {**DANA, "userName": "other", "externalId": "x-2"})).json
    assert second["emails"] == DANA["emails"], "as data it is not unique"
    rows = [(await person_row(scimd, each)).sign_in_address for each in (first, second["id"])]
    assert rows == ["dana@acme.example", None]
    assert len(await events(scimd, idp, "decision.opened")) == 1


@pytest.mark.parametrize(
    ("emails", "wanted"),
    [
        (
            [{"value": "a@x.test", "type": "work"}, {"value": "b@x.test", "primary": True}],
            "b@x.test",
        ),
        ([{"value": "a@x.test", "type": "home"}, {"value": "b@x.test", "type": "work"}], "b@x.test"),
        ([{"value": "a@x.test"}, {"value": "b@x.test", "type": "home"}], "a@x.test"),
        (None, "u@x.test"),
    ],
)
def test_sign_in_address_is_primary_else_work_else_first_else_the_user_name(emails: Any, wanted: str) -> None:
    document = {"userName": "u@x.test", **({"emails": emails} if emails else {})}
    assert keys_of(document).sign_in_address == wanted


# ------------------------------------------------------------------------------ matching, collisions


async def test_collision_names_who_manages_the_person_and_where_to_link_and_asks_once(
    scimd: Installation,
) -> None:
    org = await scimd.organization("acme")
    hr, okta = await scimd.client(org, "hr"), await scimd.client(org, "okta")
    await hr.post("/Users", DANA)
    for _ in range(3):
        refused = await okta.post("/Users", {**DANA, "userName": "dana"})
        assert (refused.status, refused.scim_type) == (409, "uniqueness")
        assert "hr" in refused.json["detail"]
        assert "decide" in refused.json["detail"].lower()
    assert len(await events(scimd, okta, "decision.opened")) == 1


async def test_linking_is_audited(scimd: Installation) -> None:
    idp = await company(scimd)
    lee = await local(scimd, idp)
    await idp.put(f"/Users/{lee}", {"userName": "lee@acme.example"})
    assert await events(scimd, idp, "person.linked") == [lee]


async def test_changed_user_name_and_mail_are_an_update_in_place(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    made = (await idp.post("/Users", DANA)).json["id"]
    again = await idp.put(
        f"/Users/{made}",
        {**DANA, "userName": "new@acme.example", "emails": [{"value": "new@acme.example"}]},
    )
    assert (again.status, again.json["id"]) == (200, made)
    assert (await person_row(scimd, made)).sign_in_address == "new@acme.example"
    assert await events(scimd, idp, "person.created") == [made]


# ------------------------------------------------------------------------------ leaving


async def test_active_false_keeps_the_resource_frees_the_seat_and_gives_all_back(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    made = (await idp.post("/Users", DANA)).json["id"]
    await idp.group("Sales", made)
    before = await says(idp, made)
    off = await idp.patch(f"/Users/{made}", {"op": "replace", "path": "active", "value": False})
    assert off.json["active"] is False
    told = await says(idp, made)
    assert (told["status"], told["causes"], told["seat"]) == ("inactive", ["deprovisioned:idp"], False)
    assert "projects" not in told
    assert [each["id"] for each in (await idp.get("/Users")).json["Resources"]] == [made]
    await idp.patch(f"/Users/{made}", {"op": "replace", "path": "active", "value": True})
    assert await says(idp, made) == before, "memberships are not sent again, and count again"


async def test_deleted_user_is_not_there_and_not_in_groups_and_back_in_both(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    made = (await idp.post("/Users", DANA)).json["id"]
    sales = (await idp.group("Sales", made))["id"]
    assert (await idp.delete(f"/Users/{made}")).status == 204
    assert (await idp.get(f"/Users/{made}")).status == 404
    assert (await idp.get("/Users")).json["totalResults"] == 0
    assert (await idp.get(f"/Groups/{sales}")).json["members"] == []
    assert (await idp.post("/Users", DANA)).json["id"] == made
    assert [each["value"] for each in (await idp.get(f"/Groups/{sales}")).json["members"]] == [made]


# ------------------------------------------------------------------------------ gates


async def test_push_says_active_and_an_admins_gate_stands(scimd: Installation) -> None:
    """SCIM's active echoes the source; access needs all."""
    idp = await scimd.client(await scimd.organization("acme"))
    made = (await idp.post("/Users", DANA)).json["id"]
    admin = as_admin(scimd, await organizations.by_slug(scimd.door, "acme"))
    await gates.deactivate(scimd.door, admin, PersonId(made))
    pushed = await idp.put(f"/Users/{made}", {**DANA, "active": True, "title": "Edited"})
    assert (pushed.status, pushed.json["active"]) == (200, True)
    told = await says(idp, made)
    assert told["status"] == "inactive"
    assert told["causes"][0].startswith("deactivated")


# ------------------------------------------------------------------------------ projects, source states


async def test_provider_is_never_refused_for_a_project_that_is_missing(scimd: Installation) -> None:
    org = await scimd.organization("acme", default_project=None)
    idp = await scimd.client(org)
    made = await idp.post("/Users", DANA)
    assert made.status == 201
    told = await says(idp, made.json["id"])
    assert (told["status"], told["causes"], told["seat"]) == ("pending", ["no_project"], False)
    await idp.group("Sales", made.json["id"])
    told = await says(idp, made.json["id"])
    assert (told["causes"], told["seat"]) == (["invited"], True)


async def test_source_in_shadow_is_stored_and_answered_and_counts_for_nothing(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    shadow = await scimd.client(org, "shadow")
    await source_states.set_state(scimd.door, as_admin(scimd, org), shadow.source_id, "shadow")
    made = await shadow.post("/Users", DANA)
    assert made.status == 201
    group = await shadow.group("Sales", made.json["id"])
    read = (await shadow.get(f"/Users/{made.json['id']}")).json
    assert [each["value"] for each in read["groups"]] == [group["id"]]
    told = await says(shadow, made.json["id"])
    assert (told["status"], told["causes"][0], told["seat"]) == ("pending", "shadow:shadow", False)
