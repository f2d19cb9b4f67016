"""One address in several organizations: signing in, and a forgotten password, without naming one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scimd.core.errors import NotUnique, TooManyRequests, WrongCredentials
from scimd.db.tables import deliveries, events, login_attempts
from scimd.org.authentication import credentials, forgotten, passwords, sign_in_anywhere
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.authentication.sign_in_anywhere import Choice
from scimd.org.invitations import inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor
from scimd.org.users import local_people
from scimd.org.users.local_people import NewPerson
from tests.org.by_hand.local import PASSWORD, active, let_in
from tests.org.house import House, house

ADDRESS = "ann@home.example"
OTHER = "walnut river candle drum"


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        await organizations.ensure_system(found.door)
        yield found


async def other(acme: House, slug: str) -> House:
    await organizations.create(acme.door, NewOrganization(slug), Actor("operator", "", "root"))
    return replace(acme, org_id=(await organizations.by_slug(acme.door, slug)).id)


async def with_password(acme: House, password: str = PASSWORD) -> None:
    ann, hashed = await active(acme), await passwords.hashed(password)
    await acme.run(lambda tx: credentials.set_password(tx, ann, hashed), acme.as_admin())


async def invited(acme: House) -> None:
    (found,) = await inviting.invite(acme.door, acme.as_admin(), [ADDRESS], Wish())
    assert found.refusal is None


async def enter(acme: House, password: str = PASSWORD) -> SignedIn | list[Choice]:
    return await sign_in_anywhere.by_password(acme.door, ADDRESS, password, ip="192.0.2.1", user_agent="")


async def test_invitations_stand_in_nobodys_way(acme: House) -> None:
    for n in range(5):
        await invited(await other(acme, f"aaa{n}"))
    zeta = await other(acme, "zeta")
    await with_password(zeta)
    acme.clock.forward(hours=1)
    found = await enter(acme)
    assert isinstance(found, SignedIn)
    assert found.org_slug == "zeta"
    await forgotten.ask(acme.door, ADDRESS, org_slug=None, ip="192.0.2.1")
    assert len(await zeta.rows(deliveries, template="set_password")) == 2


async def test_whoever_is_in_more_than_are_tried_chooses(acme: House) -> None:
    for n in range(6):
        await with_password(await other(acme, f"aaa{n}"), PASSWORD if n == 2 else OTHER)
    acme.clock.forward(hours=1)
    assert await enter(acme) == [Choice("aaa2", "aaa2")]


async def test_a_password_that_fits_somewhere_is_no_failure_elsewhere(acme: House) -> None:
    beta = await other(acme, "beta")
    await with_password(acme)
    await with_password(beta, OTHER)
    acme.clock.forward(hours=1)
    for _ in range(11):
        found = await enter(acme)
        assert isinstance(found, SignedIn)
    assert await beta.rows(login_attempts) == []
    assert await beta.rows(events, kind="sign_in.failed") == []
    assert isinstance(await enter(acme, OTHER), SignedIn)


async def test_whoever_changes_their_own_password_tries_out_none_elsewhere_by_it(acme: House) -> None:
    beta = await other(acme, "beta")
    await with_password(beta, OTHER)
    ann = await active(acme)
    for n in range(1, 4):
        acme.clock.forward(seconds=1)
        hashed = await passwords.hashed(f"{PASSWORD} {n}")
        await acme.run(lambda tx, text=hashed: credentials.set_password(tx, ann, text), acme.as_admin())
        for _ in range(2):  # the same one once more tells nothing new
            assert isinstance(await enter(acme, f"{PASSWORD} {n}"), SignedIn)
        assert [row.success for row in await beta.rows(login_attempts)] == [False] * n


async def test_a_password_that_was_set_while_the_clock_was_ahead_locks_nobody_out(acme: House) -> None:
    """Nor does it let anybody guess elsewhere: another guess takes another password, which is set now."""
    beta = await other(acme, "beta")
    await with_password(beta, OTHER)
    acme.clock.forward(hours=5)
    await with_password(acme)
    acme.clock.forward(hours=-5)
    for _ in range(acme.door.settings.sign_in_attempts + 1):
        assert isinstance(await enter(acme), SignedIn)
    assert await beta.rows(login_attempts) == []


async def test_a_wrong_one_is_a_failure_wherever_it_was_tried(acme: House) -> None:
    beta = await other(acme, "beta")
    await with_password(acme)
    await with_password(beta, OTHER)
    acme.clock.forward(hours=1)
    for _ in range(acme.door.settings.sign_in_attempts):
        with pytest.raises(WrongCredentials):
            await enter(acme, "wrong wrong wrong wrong")
    with pytest.raises(TooManyRequests):
        await enter(acme)


async def test_an_address_of_another_script_is_one_however_a_browser_writes_it(acme: House) -> None:
    """What is typed into a field for an address arrives with its domain as DNS has it."""
    typed, sent = "ida@exämple.example", "IDA@xn--exmple-cua.example"
    ida = await local_people.add(acme.door, acme.as_admin(), NewPerson(typed))
    await let_in(acme, ida)
    hashed = await passwords.hashed(PASSWORD)
    await acme.run(lambda tx: credentials.set_password(tx, ida, hashed), acme.as_admin())
    with pytest.raises(NotUnique):
        await local_people.add(acme.door, acme.as_admin(), NewPerson(sent))
    for address in (typed, sent):
        found = await sign_in_anywhere.by_password(
            acme.door, address, PASSWORD, ip="192.0.2.1", user_agent=""
        )
        assert isinstance(found, SignedIn)
    acme.clock.forward(hours=1)
    await forgotten.ask(acme.door, sent, org_slug=None, ip="192.0.2.1")
    assert [row.address for row in await acme.rows(deliveries, template="set_password")][-1:] == [typed]
