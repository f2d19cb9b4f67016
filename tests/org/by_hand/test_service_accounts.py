"""Service accounts (U20): nobody's entry, with an owner, until their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scimd.core.errors import InvalidValue, NotAllowedNow
from scimd.core.people import PersonId
from scimd.db.tables import assertions, decisions, events, links, people
from scimd.org.authentication import access
from scimd.org.decisions import decisions as items
from scimd.org.identities import detaching, linking
from scimd.org.tokens import api_tokens
from scimd.org.tx import Actor
from scimd.org.users import gates as hand
from scimd.org.users import local_people, user_reads
from scimd.org.users.local_people import Edit, NewServiceAccount
from tests.org.by_hand.local import added, clean
from tests.org.house import House


async def robot(acme: House, **more: timedelta) -> PersonId:
    expires_at = acme.clock.now + more["lives"] if more else None
    new = NewServiceAccount("robot", "Robot", owner="Ann", expires_at=expires_at)
    return await local_people.add_service_account(acme.door, acme.as_admin(), new)


async def test_no_entry_of_a_source_is_linked_to_it(acme: House) -> None:
    bot = await robot(acme)
    await acme.create("annie")
    for entry in ("x-annie", "x-later"):
        with pytest.raises(NotAllowedNow, match="Robot is a service account: no entry"):
            await linking.link(acme.door, acme.as_admin(), bot, "okta", entry)
    assert await acme.rows(decisions) == []
    assert await acme.rows(assertions, person_id=bot) == []


async def test_what_an_earlier_version_linked_ahead_is_void(acme: House) -> None:
    bot = await robot(acme)
    await linking.link(acme.door, acme.as_admin(), await added(acme), "okta", "x-annie")
    facts = {"person_id": bot, "entry": "x-annie"}
    await acme.execute(decisions.update().where(decisions.c.kind == "link").values(facts=facts))
    assert (await acme.create("annie")).person_id != bot
    await clean(acme)


@pytest.mark.parametrize("how", ["detached", "unlinked"])
async def test_one_that_was_linked_is_let_go_of_and_is_itself_again(acme: House, how: str) -> None:
    bot = await robot(acme)
    as_person = people.update().where(people.c.id == bot)
    await acme.execute(as_person.values(kind="person"))
    await linking.link(acme.door, acme.as_admin(), bot, "okta", "x-annie")
    assert (await acme.create("annie")).person_id == bot
    await acme.execute(as_person.values(kind="service"))
    with pytest.raises(NotAllowedNow, match="it has no password"):
        await local_people.reset_password(acme.door, acme.as_admin(), [bot])
    assert await acme.rows(links, person_id=bot) == []
    if how == "detached":
        await detaching.detach(acme.door, acme.as_admin(), bot, "okta")
    else:
        await linking.unlink(acme.door, acme.as_admin(), bot, "okta")
    row = await acme.person(bot)
    assert (row.sign_in_address, row.owner_source_id, row.profile) == (None, None, {"owner": "Ann"})
    await clean(acme)


async def test_no_answer_makes_it_the_same_person(acme: House) -> None:
    bot = await robot(acme)
    question = items.NewDecision(
        kind="collision",
        subject=items.subject_of(acme.scim, "x-annie"),
        question="Is it the same person?",
        options=(items.Option("link", "The same person", ""),),
        facts={"person_id": bot},
        source_id=acme.scim,
    )
    item = await acme.run(lambda tx: items.open_item(tx, question))
    with pytest.raises(NotAllowedNow, match="service account"):
        await items.answer(acme.door, acme.as_admin(), item, "link")
    assert [row.state for row in await acme.rows(decisions)] == ["open"]


async def test_its_owner_is_shown_changed_and_audited(acme: House) -> None:
    bot = await robot(acme)
    await local_people.edit(acme.door, acme.as_admin(), bot, Edit(owner=" Bob "))
    await local_people.edit(acme.door, acme.as_admin(), bot, Edit(owner="Bob"))
    assert (await user_reads.get_user(acme.door, acme.org_id, bot)).owner == "Bob"
    (made,), (changed,) = [
        [row.body for row in await acme.rows(events, target_id=bot, kind=kind)]
        for kind in ("person.created", "person.updated")
    ]
    assert made["after"]["service_owner"] == "Ann"
    assert (changed["before"], changed["after"]) == (
        {"service_owner": "Ann"},
        {"service_owner": "Bob"},
    )
    with pytest.raises(InvalidValue, match="answers for it"):
        await local_people.edit(acme.door, acme.as_admin(), bot, Edit(owner=" "))
    pushed = PersonId((await acme.create("ann")).person_id)
    with pytest.raises(NotAllowedNow, match="Ann is a person"):
        await local_people.edit(acme.door, acme.as_admin(), pushed, Edit(owner="Bob"))


async def test_one_whose_end_has_come_is_not_reactivated_before_it_has_a_later_one(acme: House) -> None:
    bot = await robot(acme, lives=timedelta(hours=1))
    acme.clock.forward(hours=2)
    with pytest.raises(NotAllowedNow, match="may not sign in"):
        await api_tokens.create_personal(
            acme.door, replace(acme.as_admin(), actor=Actor("operator", "", "root")), bot, "deploy"
        )
    assert await hand.end_expired(acme.door, acme.org_id) == 1
    with pytest.raises(NotAllowedNow, match="The time of Robot is over"):
        await hand.reactivate(acme.door, acme.as_admin(), bot)
    await local_people.edit(acme.door, acme.as_admin(), bot, Edit(expires_at=None))
    await hand.reactivate(acme.door, acme.as_admin(), bot)
    assert (await acme.person(bot)).status == "active"
    await clean(acme)


async def test_one_whose_end_has_come_does_not_come_in_before_that_is_written_down(acme: House) -> None:
    """Whatever asks whether somebody may come in, a session of an application among them."""
    bot = await robot(acme, lives=timedelta(hours=1))
    app = replace(acme.as_admin(), permissions=frozenset({access.REPORT, access.READ}))
    until = acme.clock.now + timedelta(days=1)
    begun = await access.begin_session(acme.door, app, bot, "::1", "robot", until)
    assert (await access.session(acme.door, app, begun.id)).live
    acme.clock.forward(hours=1)
    assert (await acme.person(bot)).status == "active"
    assert not (await access.session(acme.door, app, begun.id)).live
    with pytest.raises(NotAllowedNow, match="deactivated:expiry"):
        await access.begin_session(acme.door, app, bot, "::1", "robot", until)
    assert await hand.end_expired(acme.door, acme.org_id) == 1
    assert (await acme.person(bot)).causes == ["deactivated:expiry"]
