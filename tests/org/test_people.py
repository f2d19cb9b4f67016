"""What becomes of users whom sources push: identity, matching, return, two sources, last admin."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.attributes import ENTERPRISE_URN, ResourceKind
from scimd.core.errors import (
    InvalidValue,
    LinkInvalid,
    NotFound,
    NotUnique,
    Protected,
    VersionMismatch,
)
from scimd.core.people import PersonId
from scimd.core.resource import unpack
from scimd.db import tables as t
from scimd.org.authentication import forgotten, links, sign_in
from scimd.org.grants import manual_grants
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.settling.unsettled import settle_marked
from scimd.org.tx import Actor
from scimd.org.users import people
from tests.org.house import House, house, user

# ------------------------------------------------------------------------------ identity


async def test_pushed_user_is_active_with_seat_address_and_default_project(database_url: str) -> None:
    async with house(database_url, seats_=10) as acme:
        stored = await acme.create("ann")
        row = await acme.person(stored.person_id)
        assert (row.status, row.has_seat, row.local_user_name) == ("active", True, "ann")
        assert row.sign_in_address == "ann@acme.example"
        assert [span.status for span in await acme.rows(t.status_spans)] == ["active"]
        assert [(g.kind, g.origin) for g in await acme.rows(t.grants)] == [("project", "default")]
        assert [s.user_count for s in await acme.rows(t.sources)] == [1]


async def test_local_user_names_are_numbered_and_do_not_follow(database_url: str) -> None:
    async with house(database_url) as acme:
        made = [await acme.create(name) for name in ("Ann", "ann@b", "ANN@c", "Änn")]
        rows = [await acme.person(each.person_id) for each in made]
        assert [row.local_user_name for row in rows] == ["ann", "ann-2", "ann-3", "ann-4"]
        await acme.change(made[0].person_id, userName="bea@acme.example")
        assert (await acme.person(made[0].person_id)).local_user_name == "ann"


async def test_second_user_with_a_user_name_is_refused_and_leaves_nothing(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.create("ann")
        with pytest.raises(NotUnique) as refusal:
            await acme.create("ANN", external_id="other")
        assert refusal.value.attribute == "userName"
        assert len(await acme.rows(t.people)) == 1


async def test_one_bad_row_is_refused_alone(database_url: str) -> None:
    async with house(database_url) as acme:
        asserted = await acme.push(
            user("ann"), user("bob", userName=""), user("cid", nickName="a\x00b"), user("dan")
        )
        assert [each.outcome for each in asserted] == ["created", "refused", "refused", "created"]
        assert isinstance(asserted[1].refusal, InvalidValue)
        assert isinstance(asserted[2].refusal, InvalidValue)


_LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 4_000)))  # and nothing that a database could compress


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("userName", {"userName": _LONG}),
        ("externalId", {"external_id": _LONG}),
        ("emails", {"emails": [{"value": "a@acme.example"}, {"value": f"{_LONG}@acme.example"}]}),
        ("employeeNumber", {ENTERPRISE_URN: {"employeeNumber": _LONG}}),
    ],
)
async def test_what_no_index_takes_is_refused_alone_and_by_name(
    database_url: str, name: str, more: dict[str, Any]
) -> None:
    async with house(database_url) as acme:
        refused, created = await acme.push(user("ann", **more), user("bob"))
        assert (refused.outcome, created.outcome) == ("refused", "created")
        assert isinstance(refused.refusal, InvalidValue)
        assert refused.refusal.detail == f"{name}: it is longer than 500 characters"


async def test_a_name_to_show_may_be_longer_than_its_key(database_url: str) -> None:
    async with house(database_url) as acme:
        refused, created = await acme.push(user("ann", displayName=_LONG * 3), user("bob", displayName=_LONG))
        assert (refused.outcome, created.outcome) == ("refused", "created")
        assert isinstance(refused.refusal, InvalidValue)
        assert refused.refusal.detail == "displayName: it is longer than 10000 characters"
        assert created.person_id is not None
        assert (await acme.person(created.person_id)).display_name == _LONG


async def test_two_rows_with_one_user_name_the_first_wins(database_url: str) -> None:
    async with house(database_url) as acme:
        first, second = await acme.push(user("ann"), user("ann", external_id="other"))
        assert (first.outcome, second.outcome) == ("created", "refused")


async def test_names_and_addresses_swap_and_ring_in_one_call(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.push(user("ann"), user("bob"), user("cid"))
        ring = [
            user("bob", external_id="x-ann"),
            user("cid", external_id="x-bob"),
            user("ann", external_id="x-cid"),
        ]
        asserted = await acme.push(*ring)
        assert [each.outcome for each in asserted] == ["updated"] * 3
        rows = {row.external_id: row.user_name for row in await acme.rows(t.assertions)}
        moved = (("ann", "bob"), ("bob", "cid"), ("cid", "ann"))
        assert rows == {f"x-{old}": f"{new}@acme.example" for old, new in moved}
        addresses = {row.local_user_name: row.sign_in_address for row in await acme.rows(t.people)}
        assert addresses == {"ann": "bob@acme.example", "bob": "cid@acme.example", "cid": "ann@acme.example"}


async def test_external_ids_swap_in_one_call(database_url: str) -> None:
    async with house(database_url) as acme:
        ann, bob = await acme.create("ann"), await acme.create("bob")
        await acme.push(
            user("ann", external_id="x-bob", person_id=PersonId(ann.person_id)),
            user("bob", external_id="x-ann", person_id=PersonId(bob.person_id)),
        )
        rows = {row.user_name: row.external_id for row in await acme.rows(t.assertions)}
        assert rows == {"ann@acme.example": "x-bob", "bob@acme.example": "x-ann"}


async def test_address_of_two_is_the_firsts_and_passes_on_when_free(database_url: str) -> None:
    async with house(database_url) as acme:
        first = await acme.create("ann", mail="shared@acme.example")
        second = await acme.create("bob", mail="Shared@acme.example")
        assert (await acme.person(first.person_id)).sign_in_address == "shared@acme.example"
        assert (await acme.person(second.person_id)).sign_in_address is None
        (item,) = await acme.rows(t.decisions)
        assert item.kind == "shared_address"
        await acme.change(second.person_id, title="Engineer")
        assert len(await acme.rows(t.decisions)) == 1, "asked once, however often it is pushed"
        await acme.change(first.person_id, emails=[{"value": "ann@acme.example"}])
        await settle_marked(acme.door, acme.org_id, budget_s=5)
        assert (await acme.person(second.person_id)).sign_in_address == "Shared@acme.example"


async def test_new_address_is_not_a_proven_one(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        await acme.execute(update(t.people).values(address_verified_at=acme.clock.now))
        await acme.change(made.person_id, title="Engineer")
        assert (await acme.person(made.person_id)).address_verified_at is not None
        await acme.change(made.person_id, emails=[{"value": "new@acme.example"}])
        row = await acme.person(made.person_id)
        assert (row.sign_in_address, row.address_verified_at) == ("new@acme.example", None)


# ------------------------------------------------------------------------------ versions


async def test_link_to_set_the_password_dies_with_the_address_it_was_mailed_to(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = (await acme.create("ann")).person_id
        await forgotten.ask(acme.door, "ann@acme.example", org_slug="acme", ip="")
        (mail,) = await acme.rows(t.deliveries, template="set_password")
        text = await acme.run(lambda tx: links.token(tx, "set_password", mail.link_id, "mail"))
        await acme.change(ann, emails=[{"value": "new@acme.example", "primary": True}])
        with pytest.raises(LinkInvalid):
            await sign_in.set_password_by_link(acme.door, text, "seven quiet lanterns", ip="", user_agent="")
        assert (await acme.person(ann)).address_verified_at is None


async def test_equal_document_writes_nothing(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann", title="Boss")
        before = len(await acme.rows(t.events))
        again = await acme.change(made.person_id, title="Boss")
        assert (again.version, again.rest) == (made.version, made.rest)
        assert len(await acme.rows(t.events)) == before
        assert [a.outcome for a in await acme.push(user("ann", title="Boss"))] == ["unchanged"]


async def test_if_match_lets_one_writer_through(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")

        async def write(n: int) -> object:
            return await people.change_user(
                acme.door, acme.as_scim(), PersonId(made.person_id),
                lambda document, _: {**document, "title": str(n)},
                if_match=lambda version: version == made.version,
            )  # fmt: skip

        results = await asyncio.gather(*(write(n) for n in range(8)), return_exceptions=True)
        assert sum(isinstance(each, VersionMismatch) for each in results) == 7


@pytest.mark.usefixtures("by_ones")
async def test_parallel_changes_of_one_user_are_all_there(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")

        async def add(n: int) -> None:
            def change(document: dict[str, Any], _: ResourceKind) -> dict[str, Any]:
                phones = [*document.get("phoneNumbers", []), {"value": str(n)}]
                return {**document, "phoneNumbers": phones}

            await people.change_user(acme.door, acme.as_scim(), PersonId(made.person_id), change)

        await asyncio.gather(*(add(n) for n in range(20)))
        (row,) = await acme.rows(t.assertions)
        assert len(unpack(row.document)["phoneNumbers"]) == 20
        assert row.version == 21


async def test_32_parallel_creates_of_one_user_name_make_one(database_url: str) -> None:
    async with house(database_url) as acme:
        calls = (acme.create("ann", external_id=f"x{n}") for n in range(32))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, NotUnique) for each in results) == 31
        assert len(await acme.rows(t.people)) == 1


# ------------------------------------------------------------------------------ active, delete, return


async def test_active_false_ends_what_true_brings_back(database_url: str) -> None:
    async with house(database_url, seats_=1) as acme:
        made = await acme.create("ann")
        await acme.grant(made.person_id, "role", "auditor")
        await acme.change(made.person_id, active=False)
        row = await acme.person(made.person_id)
        assert (row.status, row.causes, row.has_seat) == ("inactive", ["deprovisioned:okta"], False)
        live = [g for g in await acme.rows(t.grants) if g.until is None]
        assert {(g.target, g.dormant) for g in live if g.kind == "role"} == {("auditor", True)}
        await acme.change(made.person_id, active=True)
        row = await acme.person(made.person_id)
        assert (row.status, row.has_seat, row.primary_role) == ("active", True, "auditor")


async def test_deleted_user_is_gone_and_returns_by_external_id_within_30_days(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        await acme.grant(made.person_id, "role", "auditor")
        await acme.delete(made.person_id)
        with pytest.raises(NotFound):
            await acme.change(made.person_id, title="x")
        assert (await acme.person(made.person_id)).deleted_at is not None
        acme.clock.forward(days=29)
        again = await acme.create("ann")
        assert again.person_id == made.person_id
        assert (await acme.person(made.person_id)).primary_role == "auditor"
        assert await acme.rows(t.decisions) == []


async def test_deleted_user_is_a_new_person_after_30_days_or_by_another_id(
    database_url: str,
) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        await acme.delete(made.person_id)
        other = await acme.create("ann", external_id="another")
        assert other.person_id != made.person_id
        assert (await acme.person(other.person_id)).local_user_name == "ann"
        await acme.delete(other.person_id)
        acme.clock.forward(days=31)
        third = await acme.create("ann")
        assert third.person_id not in (made.person_id, other.person_id)


async def test_return_by_name_alone_begins_anew_and_asks(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        await acme.grant(made.person_id, "role", "auditor")
        await acme.execute(
            t.credentials.insert().values(
                org_id=acme.org_id,
                person_id=made.person_id,
                kind="password",
                secret="x",
                changed_at=acme.clock.now,
            )
        )
        await acme.execute(update(t.people).values(accepted=True, address_verified_at=acme.clock.now))
        await acme.change(made.person_id, active=False)
        again = await acme.create("ann", external_id="recycled")
        assert again.person_id == made.person_id
        row = await acme.person(made.person_id)
        assert (row.primary_role, row.accepted, row.address_verified_at) == ("user", False, None)
        assert await acme.rows(t.credentials) == []
        (item,) = await acme.rows(t.decisions)
        assert item.kind == "return"
        assert item.facts["grants"] == [
            {"kind": "role", "target": "auditor", "project_role": None, "by": "admin"}
        ]
        given, kept_since = item.facts["grants"], item.opened_at
        await acme.run(
            lambda tx: manual_grants.give_back(tx, PersonId(made.person_id), given, kept_since),
            acme.as_admin(),
        )
        assert (await acme.person(made.person_id)).primary_role == "auditor"


async def test_post_of_a_live_user_is_refused(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.create("ann")
        with pytest.raises(NotUnique):
            await acme.create("ann")
        with pytest.raises(NotUnique) as refusal:
            await acme.create("other", external_id="x-ann")
        assert refusal.value.attribute == "externalId"


# ------------------------------------------------------------------------------ gates, shadow, last admin


async def test_gate_of_an_admin_survives_every_push(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")

        def deactivate(tx: Any) -> None:
            tx.conn.execute(
                t.gates.insert().values(
                    org_id=tx.org_id,
                    person_id=made.person_id,
                    kind="deactivated",
                    source_id="",
                    by="eve",
                    at=tx.now,
                )
            )
            tx.touch([PersonId(made.person_id)])

        await acme.run(deactivate, acme.as_admin())
        stored = await acme.change(made.person_id, active=True, title="x")
        row = await acme.person(made.person_id)
        assert (row.status, row.causes) == ("inactive", ["deactivated:eve"])
        assert unpack(stored.document)["active"] is True


async def test_source_in_shadow_gives_nothing(database_url: str) -> None:
    async with house(database_url, seats_=5) as acme:
        shadow = await acme.source("trial", state="shadow")
        made = await acme.create("ann", ctx=acme.as_scim(shadow))
        row = await acme.person(made.person_id)
        assert (row.status, row.has_seat, row.causes[0]) == ("pending", False, "shadow:trial")


async def test_last_account_admin_is_kept(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        await acme.grant(made.person_id, "role", "account-admin")
        with pytest.raises(Protected):
            await acme.change(made.person_id, active=False)
        with pytest.raises(Protected):
            await acme.delete(made.person_id)
        hr = await acme.source(
            "hr", kind="connector", connector="ldap", config={"join": ["mail"]}, priority=1
        )
        sync = acme.as_sync(hr)
        await acme.push(user("ann", external_id="hr1"), user("bob"), ctx=sync)
        off, other = await acme.push(
            user("ann", external_id="hr1", active=False), user("bob", title="x"), ctx=sync
        )
        assert isinstance(off.refusal, Protected)
        assert other.outcome == "updated"
        bob = (await acme.rows(t.people, local_user_name="bob"))[0].id
        await acme.grant(bob, "role", "account-admin")
        await acme.push(user("ann", external_id="hr1", active=False), ctx=sync)
        assert (await acme.person(made.person_id)).status == "inactive"


async def test_two_admins_cannot_take_each_other_away_at_once(database_url: str) -> None:
    async with house(database_url) as acme:
        made = [await acme.create("ann"), await acme.create("bob")]
        for each in made:
            await acme.grant(each.person_id, "role", "account-admin")
        calls = (acme.change(each.person_id, active=False) for each in made)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, Protected) for each in results) == 1


async def test_another_organizations_person_is_not_there(database_url: str) -> None:
    async with house(database_url) as acme:
        made = await acme.create("ann")
        other = await organizations.create(acme.door, NewOrganization("other"), Actor("system", "", "test"))
        there = House(acme.door, acme.clock, other.id, acme.scim)
        there.scim = await there.source("okta")
        with pytest.raises(NotFound):
            await there.change(made.person_id, title="x")
        with pytest.raises(NotFound):
            await there.delete(made.person_id)
        with pytest.raises(NotFound):
            await acme.change(made.person_id, ctx=replace(there.as_scim(), source_id=acme.scim), title="x")
