"""Somebody was known by every door; thirty days after they were deleted no table knows who that was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from scimd.core.people import OrgId
from scimd.db.tables import metadata, organizations
from scimd.org.audit import verifying
from scimd.org.decisions import moot
from scimd.org.users import erasing
from tests.support.installation import PASSWORD, Installation, user_document

FAMILY, FORMER = "Quisenberry", "Zwickelmeier"
NAME = "zebulon"
ADDRESS = f"{NAME}@acme.example"
PRIVATE = f"{NAME}.private@home.example"
ENTRY = "hr-7731-zq"
#: Everything that is theirs alone: addresses, user names, family names, external ids.
WORDS = (NAME, FAMILY, FORMER, ENTRY)
#: The name that somebody acted under: the audit's chain is over it.
KEPT = {("events", "actor_name")}


def hr(folder: Path, *lines: str, members: str = "") -> None:
    header = "id,userName,email,givenName,familyName,displayName,title"
    (folder / "users.csv").write_text("\n".join([header, *OTHERS, *lines, ""]), encoding="utf-8")
    (folder / "groups.csv").write_text(f"id,displayName,members\ns,Staff,{members}\n", encoding="utf-8")


def entry(title: str) -> str:
    return f"{ENTRY},{ADDRESS},{ADDRESS},Zebulon,{FAMILY},Zebulon {FAMILY},{title}"


OTHERS = [f"hr-{n},eva{n}@acme.example,eva{n}@acme.example,Eva,Example,Eva {n},Boss" for n in range(30)]


async def known_by_every_door(acme: Installation, folder: Path) -> tuple[str, Any]:
    """Signed in, pushed, invited, renamed, imported, asked about, synced; gives their id."""
    async with acme.browser() as browser:
        await browser.sign_in(ADDRESS)
    okta = await acme.idp(invite=True)
    named = {"name": {"givenName": "Zebulon", "familyName": FORMER}, "displayName": f"Zebulon {FORMER}"}
    document = user_document(NAME, externalId="ext-0815") | named
    known: str = (await okta.post("/scim/v2/Users", document))["id"]
    members = [{"value": known}]
    await okta.post("/scim/v2/Groups", {"displayName": "Push", "externalId": "g", "members": members})
    async with acme.browser() as browser:
        await browser.post(await acme.link("invitation", to=ADDRESS), password=PASSWORD)
    async with acme.signed_in(ADDRESS) as browser:
        await browser.sign_in(ADDRESS, "not that one, but another")
    named = {"name": {"givenName": "Zebulon", "familyName": FAMILY}, "displayName": f"Zebulon {FAMILY}"}
    emails = [*document["emails"], {"value": PRIVATE, "type": "home"}]
    await okta.put(f"/scim/v2/Users/{known}", document | named | {"emails": emails})
    await acme.api.post(f"/users/{known}/roles", {"role": "auditor"})
    plan = await acme.api.post("/imports", {"csv": f"email,display_name\n{ADDRESS},Zebulon\n"})
    await acme.api.post("/imports/apply", {"plan": plan["sealed"]})

    acme.configure(
        f'[[organization.source]]\nname = "hr"\nconnector = "file"\nstate = "active"\ninvite = "never"\n'
        f'priority = 9\n[organization.source.settings]\npath = "{folder}"\n'
    )
    hr(folder, entry("Clerk"), members=f"{ENTRY};hr-1")
    await acme.cli("sync", "hr", code=4)
    (question,) = [row for row in await acme.api.items("/decisions") if row["state"] == "open"]
    await acme.api.post(f"/decisions/{question['id']}/answer", {"answer": "link"})
    await acme.cli("sync", "hr")
    hr(folder, entry("Captain"), members=f"{ENTRY};hr-1")
    await acme.cli("sync", "hr")
    hr(folder, entry("Major"), members=f"{ENTRY};hr-1")
    await acme.cli("plan", "hr", code=2)
    return known, okta


async def found(acme: Installation) -> dict[tuple[str, str], set[str]]:
    """By table and column, which of the words stand in it."""
    rows: dict[tuple[str, str], set[str]] = {}
    for table in metadata.sorted_tables:
        for row in await acme.door.read(lambda conn, table=table: list(conn.execute(select(table)))):  # type: ignore[misc]
            for column, value in row._mapping.items():
                text = str(as_text(value)).casefold()
                if here := {word for word in WORDS if word.casefold() in text}:
                    rows.setdefault((table.name, column), set()).update(here)
    return rows


def as_text(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


async def test_a_purge_leaves_no_name_of_theirs_in_any_table(
    acme: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_LOOKED_AT", 7)
    monkeypatch.setattr(erasing, "_AT_ONCE", 3)
    folder = tmp_path / "directory"
    folder.mkdir()
    known, okta = await known_by_every_door(acme, folder)
    before = await found(acme)
    query = select(organizations.c.id).where(organizations.c.slug == "acme")
    org_id = OrgId(await acme.door.read(lambda conn: conn.execute(query).scalar_one()))
    tables = {table for table, _ in before}
    assert {
        "people",
        "assertions",
        "run_changes",
        "decisions",
        "deliveries",
        "invitations",
        "events",
    } <= tables
    assert {"login_attempts"} <= tables

    hr(folder, members="hr-1")
    await acme.cli("sync", "hr")
    await okta.delete(f"/scim/v2/Users/{known}")
    await moot.close_due(acme.door, org_id)
    await acme.minutes_pass(31 * 24 * 60)
    assert {place: words for place, words in (await found(acme)).items() if place not in KEPT} == {}

    verified = await verifying.verify(acme.door, org_id)
    assert verified.ok
    assert verified.erased > 0
    kept = [row["kind"] for row in await acme.cli("audit", "list", "--target", known)]
    assert {"person.created", "grant.given", "person.deleted", "person.purged"} <= set(kept)
    assert (await acme.user("eva7@"))["display_name"] == "Eva 7"
    (run, *_) = await acme.api.items("/runs")
    changes = await acme.api.items(f"/runs/{run['id']}/changes")
    assert "erased" in {change["name"] for change in changes}
