"""People and their invitations are found by a part of a name, whatever its letters and their case."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import pytest
from sqlalchemy import select

from scimd.core.people import fold
from scimd.db.tables import people
from scimd.org.identities import detaching
from tests.admin.client import Client
from tests.web.site import Site

#: What was typed, and what of it is looked for.
NAMES = {
    "Ümit Öz": ["Ümit", "ümit", "ÜMIT", "t ö", "U\u0308MIT"],
    "Straße Ångström": ["STRASSE", "straße", "ÅNG", "a\u030angstr"],
    "Élodie %_": ["élo", "%_", "É"],
    "İlker IŞIK": ["işik", "i\u0307lker"],
    "Юлия Öz": ["юлия", "ЮЛИЯ"],
    "中村 優子": ["優"],
}


def _document(number: int, name: str) -> dict[str, object]:
    address = f"p{number}@acme.example"
    return {
        "userName": address,
        "externalId": f"e-{number}",
        "displayName": name,
        "emails": [{"value": address, "primary": True}],
    }


async def _found(api: Client, path: str, text: str) -> list[str]:
    answer = await api.get(f"{path}?q={quote(text)}")
    return [row["display_name"] for row in answer.json["items"]]


async def _keys_are_right(acme: Site) -> None:
    rows = await acme.door.db.read(
        lambda conn: conn.execute(select(people.c.display_name, people.c.display_name_key)).all()
    )
    assert [row.display_name_key for row in rows] == [fold(row.display_name) for row in rows]


@pytest.mark.parametrize("path", ["/users", "/invitations"])
async def test_a_name_is_found_by_any_part_of_it(acme: Site, api: Client, path: str) -> None:
    for number, name in enumerate(NAMES):
        made = await api.post("/invitations", {"emails": [f"p{number}@acme.example"]})
        person = made.json["results"][0]["answer"]["person_id"]
        renamed = await api.send("PATCH", f"/users/{person}", {"display_name": name})
        assert renamed.status == 200, renamed.json
    for name, parts in NAMES.items():
        for part in parts:
            assert name in await _found(api, path, part), part
    assert await _found(api, path, "ümitt") == []
    assert len(await _found(api, path, "P1@Acme")) == 1
    await _keys_are_right(acme)


async def test_the_page_finds_it_as_well(acme: Site) -> None:
    okta = await acme.source("okta")
    await acme.push(okta, *(_document(number, name) for number, name in enumerate(NAMES)))
    async with acme.signed_in() as session:
        for name, parts in NAMES.items():
            for part in parts:
                async with session.get("/people", params={"search": part}) as page:
                    assert escape(name) in await page.text(), part


async def test_a_name_is_found_by_whichever_way_it_came(acme: Site, api: Client) -> None:
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(okta, _document(1, "Ümit"))
    assert await _found(api, "/users", "ümit") == ["Ümit"]
    await acme.push(okta, _document(1, "Özge"))  # the short way: nothing but the name is another
    assert await _found(api, "/users", "özge") == ["Özge"]
    await _keys_are_right(acme)
    await detaching.detach(acme.door, acme.ctx, person, "okta")
    assert (await api.send("PATCH", f"/users/{person}", {"display_name": "Äsa"})).status == 200
    assert await _found(api, "/users", "äSA") == ["Äsa"]
    await acme.push(okta, _document(2, "Øyvind"))
    await _keys_are_right(acme)
