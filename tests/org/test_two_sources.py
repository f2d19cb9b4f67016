"""People whom two sources assert, or whom none did: owners, collisions, links."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import (
    NotUnique,
    NotYours,
)
from scimd.db import tables as t
from scimd.org.users.names import shown_as
from tests.org.house import House, house, user


async def local_person(acme: House, name: str, **more: Any) -> str:
    """Somebody without a source, as an invitation would make them."""
    columns = {
        "local_user_name": name,
        **shown_as(name.title()),
        "sign_in_address": f"{name}@acme.example",
        "sign_in_key": f"{name}@acme.example",
        "profile": {},
        "accepted": False,
        **more,
    }

    def body(tx: Any) -> str:
        person_id: str = tx.new_id()
        tx.conn.execute(
            t.people.insert().values(
                org_id=tx.org_id, id=person_id, kind="person", status="pending", causes=[],
                primary_role="user", roles=["user"], created_by="test", created_at=tx.now, changed_at=tx.now,
                **columns,
            )
        )  # fmt: skip
        tx.touch([person_id])
        return person_id

    return await acme.run(body, acme.as_admin())


async def test_owner_decides_and_absence_hands_over(database_url: str) -> None:
    async with house(database_url, seats_=1) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap", config={"join": ["mail"]})
        sync = acme.as_sync(hr)
        made = await acme.create("ann", displayName="Ann of Okta")
        (linked,) = await acme.push(user("ann", external_id="hr1", displayName="Ann of HR"), ctx=sync)
        assert (linked.outcome, linked.person_id) == ("linked", made.person_id)
        row = await acme.person(made.person_id)
        assert (row.owner_source_id, row.display_name) == (acme.scim, "Ann of Okta")
        await acme.push(user("ann", external_id="hr1", active=False), ctx=sync)
        assert (await acme.person(made.person_id)).status == "active", (
            "a lower source's word takes only its own"
        )
        await acme.push(user("ann", external_id="hr1", displayName="Ann of HR"), ctx=sync)
        await acme.delete(made.person_id)
        row = await acme.person(made.person_id)
        assert (row.status, row.owner_source_id, row.display_name) == ("active", hr, "Ann of HR")
        assert (row.deleted_at, row.has_seat) == (None, True)


async def test_collision_asks_once_and_links_after_the_answer(database_url: str) -> None:
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap")
        (made,) = await acme.push(user("ann", external_id="hr1"), ctx=acme.as_sync(hr))
        for _ in range(3):
            with pytest.raises(NotUnique) as refusal:
                await acme.create("ann")
        assert refusal.value.holder == "hr"
        (item,) = await acme.rows(t.decisions)
        assert refusal.value.decision_id == item.id
        await acme.execute(
            update(t.decisions).values(state="answered", answer="link", answered_at=acme.clock.now)
        )
        assert (await acme.create("ann")).person_id == made.person_id


async def test_answer_about_one_person_links_nobody_else(database_url: str) -> None:
    """The address went to another since: of them nobody was asked."""
    async with house(database_url) as acme:
        hr = await acme.source("hr", kind="connector", connector="ldap", priority=1)
        sync = acme.as_sync(hr)
        await acme.push(user("ann"), ctx=sync)
        with pytest.raises(NotUnique) as first:
            await acme.create("ann")
        await acme.execute(
            update(t.decisions).values(state="answered", answer="link", answered_at=acme.clock.now)
        )
        await acme.push(user("ann", mail="a@acme.example"), user("bob", mail="ann@acme.example"), ctx=sync)
        with pytest.raises(NotUnique) as second:
            await acme.create("ann")
        assert second.value.decision_id not in (None, first.value.decision_id)
        assert {row.source_id for row in await acme.rows(t.assertions)} == {hr}


async def test_connector_entry_that_collides_waits_and_the_rest_goes_on(database_url: str) -> None:
    async with house(database_url) as acme:
        await acme.create("ann")
        hr = await acme.source("hr", kind="connector", connector="ldap")
        first, second = await acme.push(user("ann"), user("bob"), ctx=acme.as_sync(hr))
        assert (first.outcome, second.outcome) == ("refused", "created")
        assert first.decision_id is not None


async def test_local_person_is_linked_by_address_but_not_an_admin(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = await local_person(acme, "ann")
        assert (await acme.create("ann")).person_id == ann
        root = await local_person(acme, "root")
        await acme.grant(root, "role", "account-admin")
        with pytest.raises(NotUnique):
            await acme.create("root")


async def test_local_person_can_be_changed_by_the_token_but_not_deleted(database_url: str) -> None:
    async with house(database_url) as acme:
        ann = await local_person(acme, "ann")
        with pytest.raises(NotYours):
            await acme.delete(ann)
        linked = await acme.change(ann, title="Boss")
        assert linked.person_id == ann
        assert [row.source_id for row in await acme.rows(t.assertions)] == [acme.scim]
