"""Signing in (L1, L2, L4; A21-A23)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    LinkInvalid,
    MayNotSignIn,
    NotAllowedNow,
    SeatLimitReached,
    TooManyRequests,
    WeakPassword,
    WrongCredentials,
)
from scimd.core.people import PersonId
from scimd.db.tables import credentials, gates, people, unsettled
from scimd.db.tables import sessions as session_rows
from scimd.org.authentication import forgotten, links, sessions, sign_in
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.organizations import organizations
from scimd.org.tx import Actor, Context
from scimd.org.users import first_admins, local_people
from tests.org.acme import OPERATOR, PASSWORD, House, house
from tests.org.looks import attempts_of
from tests.support.sign_in_links import sign_in_link

ADDRESS, HERE, ELSEWHERE = "dana@acme.example", "127.0.0.1", "127.0.0.2"
OTHER = "a grey heron waits below"


async def dana(acme: House) -> PersonId:
    person = await acme.push(await acme.source(), ADDRESS)
    await acme.accepted(person)
    return person


async def attempt(
    acme: House, password: str = PASSWORD, address: str = ADDRESS, ip: str = HERE, org: str = "acme"
) -> SignedIn:
    return await sign_in.by_password(acme.door, org, address, password, ip=ip, user_agent="tests")


async def test_the_right_password_starts_a_session(acme: House) -> None:
    person = await dana(acme)
    done = await attempt(acme, address="  DANA@Acme.Example ")
    holder = await sessions.by_cookie(acme.door, done.session)
    assert holder is not None
    assert (holder.person_id, holder.permissions, done.asks_password) == (person, frozenset(), False)
    (row, *_) = await attempts_of(acme.door, acme.org.id)
    assert (row.success, row.reason, row.ip, row.person_id) == (True, "password", HERE, person)


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": OTHER},
        {"password": "\udc80" * 20},
        {"password": "x" * 100_000},
        {"address": "nobody@acme.example"},
        {"address": ""},
        {"address": "dana\x00@acme.example\udc80"},
        {"address": "x" * 100_000},
        {"org": "nowhere"},
    ],
)
async def test_unknown_and_wrong_get_one_answer(acme: House, wrong: dict[str, Any]) -> None:
    await dana(acme)
    with pytest.raises(WrongCredentials) as refused:
        await attempt(acme, **wrong)
    assert str(refused.value) == "The address or the password is wrong."


async def test_a_browser_may_call_itself_anything(acme: House) -> None:
    await dana(acme)
    agent = "\x00\udc80" + "x" * 5000
    done = await sign_in.by_password(acme.door, "acme", ADDRESS, PASSWORD, ip=HERE, user_agent=agent)
    assert await sessions.by_cookie(acme.door, done.session) is not None


async def test_a_failed_attempt_is_listed_with_its_reason(acme: House) -> None:
    person = await dana(acme)
    with pytest.raises(WrongCredentials):
        await attempt(acme, OTHER)
    row = (await attempts_of(acme.door, acme.org.id))[0]
    assert (row.success, row.person_id, row.reason) == (False, person, "unknown address or wrong password")


async def test_guessing_is_held_back_and_the_owner_comes_in_from_elsewhere(acme: House) -> None:
    await dana(acme)
    for _ in range(10):
        with pytest.raises(WrongCredentials):
            await attempt(acme, OTHER)
    for password in (OTHER, PASSWORD):
        with pytest.raises(TooManyRequests) as refused:
            await attempt(acme, password)
    assert 0 < refused.value.retry_after_s <= 900
    assert isinstance(await attempt(acme, ip=ELSEWHERE), SignedIn)
    acme.clock.pass_by(minutes=15, seconds=1)
    assert isinstance(await attempt(acme), SignedIn)


async def test_guessing_many_accounts_from_one_address_is_held_back(acme: House) -> None:
    for n in range(50):
        with pytest.raises(WrongCredentials):
            await attempt(acme, OTHER, f"p{n}@acme.example")
    with pytest.raises(TooManyRequests):
        await attempt(acme, OTHER, "another@acme.example")


async def test_attempts_at_once_are_counted_too(database_url: str) -> None:
    async with house(database_url, sign_in_attempts=3) as acme:
        await dana(acme)
        outcomes = await asyncio.gather(*(attempt(acme, OTHER) for _ in range(20)), return_exceptions=True)
        # On PostgreSQL those that begin in one moment do not see each other; no more than the pool's.
        assert sum(isinstance(each, WrongCredentials) for each in outcomes) <= 3 + 8
        assert sum(isinstance(each, TooManyRequests) for each in outcomes) >= 20 - 11


async def test_whoever_may_not_come_in_is_told_why_only_with_the_right_password(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta, ADDRESS)
    await acme.accepted(person)
    await acme.assert_active(okta, person, False)
    with pytest.raises(MayNotSignIn, match=r"present: deprovisioned\."):
        await attempt(acme)
    with pytest.raises(WrongCredentials):
        await attempt(acme, OTHER)
    reasons = [row.reason for row in await attempts_of(acme.door, acme.org.id)]
    assert "deprovisioned:okta" in reasons


async def deactivated_without_settling(acme: House, person: PersonId) -> None:
    """The fact stands, the stored standing does not know it yet."""

    def body(conn: Any) -> None:
        at = acme.clock.now
        gate = {"org_id": acme.org.id, "person_id": person, "kind": "deactivated", "by": "an admin", "at": at}
        conn.execute(gates.insert().values(**gate))
        mark = {"org_id": acme.org.id, "person_id": person, "turn": 0, "marked_at": at}
        conn.execute(unsettled.insert().values(**mark))

    await acme.write(body)


async def test_of_an_unsettled_person_the_narrower_standing_counts(acme: House) -> None:
    person = await dana(acme)
    session = (await attempt(acme)).session
    await deactivated_without_settling(acme, person)
    assert (await acme.person(person)).status == "active"
    assert await sessions.by_cookie(acme.door, session) is None
    with pytest.raises(MayNotSignIn, match="deactivated"):
        await attempt(acme)


async def test_an_unsettled_person_without_news_stays_signed_in(acme: House) -> None:
    person = await dana(acme)
    session = (await attempt(acme)).session
    mark = {"org_id": acme.org.id, "person_id": person, "turn": 0, "marked_at": acme.clock.now}
    await acme.write(lambda conn: conn.execute(unsettled.insert().values(**mark)) and None)
    assert await sessions.by_cookie(acme.door, session) is not None


# ------------------------------------------------------------------------------ sessions


async def test_deprovisioning_ends_sessions_and_links_in_the_same_transaction(acme: House) -> None:
    okta = await acme.source()
    person = await acme.push(okta, ADDRESS)
    session = (await acme.accepted(person)).session or ""
    link = await sign_in_link(acme.door, acme.ctx, person)
    await acme.assert_active(okta, person, False)
    assert await sessions.by_cookie(acme.door, session) is None
    (row,) = await acme.rows(session_rows)
    assert row.ended_at == acme.clock.now
    await acme.assert_active(okta, person, True)
    assert await sessions.by_cookie(acme.door, session) is None
    with pytest.raises(LinkInvalid):
        await sign_in.by_link(acme.door, link, ip=HERE, user_agent="tests")


async def test_a_session_ends_after_thirty_idle_minutes(acme: House) -> None:
    await dana(acme)
    session = (await attempt(acme)).session
    for _ in range(4):
        acme.clock.pass_by(minutes=29)
        assert await sessions.by_cookie(acme.door, session) is not None
    acme.clock.pass_by(minutes=30)
    assert await sessions.by_cookie(acme.door, session) is None


async def test_a_session_ends_after_twelve_hours_however_busy(acme: House) -> None:
    await dana(acme)
    session = (await attempt(acme)).session
    for _ in range(12 * 3 - 1):
        acme.clock.pass_by(minutes=20)
        assert await sessions.by_cookie(acme.door, session) is not None
    acme.clock.pass_by(minutes=20)
    assert await sessions.by_cookie(acme.door, session) is None


async def test_last_active_is_written_once_a_minute_at_most(acme: House) -> None:
    await dana(acme)
    session = (await attempt(acme)).session
    began = acme.clock.now
    acme.clock.pass_by(seconds=59)
    await sessions.by_cookie(acme.door, session)
    assert {row.last_active_at for row in await acme.rows(session_rows)} == {began}
    acme.clock.pass_by(seconds=1)
    await sessions.by_cookie(acme.door, session)
    assert acme.clock.now in {row.last_active_at for row in await acme.rows(session_rows)}


async def test_a_session_in_use_stays_however_short_the_idle_time(database_url: str) -> None:
    async with house(database_url, session_idle_s=60.0) as acme:
        await dana(acme)
        session = (await attempt(acme)).session
        for _ in range(10):
            acme.clock.pass_by(seconds=20)
            assert await sessions.by_cookie(acme.door, session) is not None
        acme.clock.pass_by(seconds=60)
        assert await sessions.by_cookie(acme.door, session) is None


async def test_a_session_is_ended_by_its_owner_or_by_who_manages_users(acme: House) -> None:
    person = await dana(acme)
    session = (await attempt(acme)).session
    holder = await sessions.by_cookie(acme.door, session)
    assert holder is not None
    stranger = Context(acme.org.id, Actor("person", "somebody", "x@acme.example"), "web", "c")
    with pytest.raises(Forbidden):
        await sessions.end(acme.door, stranger, holder.session_id)
    assert {row.person_id for row in await sessions.list_sessions(acme.door, acme.org.id)} == {person}
    await sessions.end(acme.door, holder.context(acme.door), holder.session_id)
    assert await sessions.by_cookie(acme.door, session) is None


@pytest.mark.parametrize("cookie", ["", "x", "scimds_" + "0" * 71, "ü" * 78])
async def test_a_cookie_that_is_none_is_nobody(acme: House, cookie: str) -> None:
    assert await sessions.by_cookie(acme.door, cookie) is None


# ------------------------------------------------------------------------------ links, admins


async def test_the_first_admin_signs_in_by_link_once_and_sets_a_password(acme: House) -> None:
    token = await first_admins.create_admin(acme.door, "acme", "root@acme.example", OPERATOR)
    page = await links.look(acme.door, token, "sign_in")
    assert (page.organization, page.address) == ("Acme", "root@acme.example")
    done = await sign_in.by_link(acme.door, token, ip=HERE, user_agent="tests")
    assert done.asks_password is True
    holder = await sessions.by_cookie(acme.door, done.session)
    assert holder is not None
    assert "organization.manage" in holder.permissions
    with pytest.raises(LinkInvalid):
        await sign_in.by_link(acme.door, token, ip=HERE, user_agent="tests")
    cookie = await sign_in.set_own_password(acme.door, holder, PASSWORD, ip=HERE)
    assert await sessions.by_cookie(acme.door, cookie) is not None
    assert isinstance(await attempt(acme, address="root@acme.example"), SignedIn)


async def test_nobody_is_mailed_when_an_admin_is_made(acme: House) -> None:
    await first_admins.create_admin(acme.door, "acme", "root@acme.example", OPERATOR)
    assert await acme.mails() == []


async def test_an_operator_is_an_admin_of_the_system(acme: House) -> None:
    await organizations.ensure_system(acme.door)
    await organizations.ensure_system(acme.door)
    token = await first_admins.create_admin(acme.door, "system", "op@acme.example", OPERATOR)
    done = await sign_in.by_link(acme.door, token, ip=HERE, user_agent="tests")
    holder = await sessions.by_cookie(acme.door, done.session)
    assert holder is not None
    assert holder.is_operator


async def test_an_admin_needs_a_seat(database_url: str) -> None:
    async with house(database_url, seats=0) as acme:
        with pytest.raises(SeatLimitReached):
            await first_admins.create_admin(acme.door, "acme", "root@acme.example", OPERATOR)
        assert await acme.rows(people) == []


async def test_somebody_who_is_there_becomes_an_admin_once(acme: House) -> None:
    person = await dana(acme)
    for _ in range(2):
        await first_admins.create_admin(acme.door, "acme", ADDRESS, OPERATOR)
    assert (await acme.person(person)).roles[0] == "account-admin"
    assert len(await acme.rows(people)) == 1


@pytest.mark.parametrize("email", ["", "root", "a@b.example, c@d.example", "a@b.example\r\nBcc: x@y.example"])
async def test_an_admin_has_one_address(acme: House, email: str) -> None:
    with pytest.raises(InvalidValue):
        await first_admins.create_admin(acme.door, "acme", email, OPERATOR)


async def test_a_sign_in_link_lives_for_a_quarter_of_an_hour_and_the_newest_alone(acme: House) -> None:
    person = await dana(acme)
    older = await sign_in_link(acme.door, acme.ctx, person)
    newer = await sign_in_link(acme.door, acme.ctx, person)
    with pytest.raises(LinkInvalid):
        await sign_in.by_link(acme.door, older, ip=HERE, user_agent="tests")
    acme.clock.pass_by(minutes=15)
    with pytest.raises(LinkInvalid):
        await links.look(acme.door, newer, "sign_in")


async def test_a_link_used_by_many_at_once_lets_one_in(acme: House) -> None:
    person = await dana(acme)
    link = await sign_in_link(acme.door, acme.ctx, person)
    outcomes = await asyncio.gather(
        *(sign_in.by_link(acme.door, link, ip=HERE, user_agent="tests") for _ in range(16)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, SignedIn) for each in outcomes) == 1
    assert sum(isinstance(each, LinkInvalid) for each in outcomes) == 15


async def test_a_link_does_not_let_in_whom_the_standing_keeps_out(acme: House) -> None:
    person = await dana(acme)
    link = await sign_in_link(acme.door, acme.ctx, person)
    await deactivated_without_settling(acme, person)
    with pytest.raises(MayNotSignIn):
        await sign_in.by_link(acme.door, link, ip=HERE, user_agent="tests")


async def test_a_set_password_link_goes_by_mail_and_ends_older_sessions(acme: House) -> None:
    person = await dana(acme)
    session = (await attempt(acme)).session
    await forgotten.ask(acme.door, ADDRESS, org_slug="acme", ip=HERE)
    (mail,) = await acme.mails(template="set_password")
    assert (mail.address, mail.state) == (ADDRESS, "due")

    def token(tx: Any) -> str:
        return links.token(tx, "set_password", mail.link_id, "mail")

    text = await acme.door.run(acme.ctx, token)
    with pytest.raises(WeakPassword):
        await sign_in.set_password_by_link(acme.door, text, "short", ip=HERE, user_agent="tests")
    done = await sign_in.set_password_by_link(acme.door, text, OTHER, ip=HERE, user_agent="tests")
    assert await sessions.by_cookie(acme.door, session) is None
    assert await sessions.by_cookie(acme.door, done.session) is not None
    assert (await acme.person(person)).address_verified_at == acme.clock.now
    with pytest.raises(WrongCredentials):
        await attempt(acme)
    with pytest.raises(LinkInvalid):
        await sign_in.set_password_by_link(acme.door, text, OTHER, ip=HERE, user_agent="tests")


async def test_a_set_password_link_lives_for_three_hours(acme: House) -> None:
    await dana(acme)
    await forgotten.ask(acme.door, ADDRESS, org_slug="acme", ip=HERE)
    (mail,) = await acme.mails(template="set_password")
    text = await acme.door.run(acme.ctx, lambda tx: links.token(tx, "set_password", mail.link_id, "mail"))
    acme.clock.pass_by(hours=3)
    with pytest.raises(LinkInvalid):
        await sign_in.set_password_by_link(acme.door, text, OTHER, ip=HERE, user_agent="tests")


async def test_a_link_needs_an_address_to_go_to(acme: House) -> None:
    person = await dana(acme)
    await acme.write(
        lambda conn: conn.execute(update(people).values(sign_in_address=None, sign_in_key=None)) and None
    )
    with pytest.raises(NotAllowedNow, match="no mail address"):
        await local_people.reset_password(acme.door, acme.ctx, [person])


async def test_changing_the_password_wants_the_current_one_and_ends_every_cookie_but_a_new_one(
    acme: House,
) -> None:
    await dana(acme)
    mine, other = (await attempt(acme)).session, (await attempt(acme)).session
    holder = await sessions.by_cookie(acme.door, mine)
    assert holder is not None
    with pytest.raises(WrongCredentials):
        await sign_in.set_own_password(acme.door, holder, OTHER, ip=HERE)
    with pytest.raises(WrongCredentials):
        await sign_in.set_own_password(acme.door, holder, OTHER, current="wrong", ip=HERE)
    cookie = await sign_in.set_own_password(acme.door, holder, OTHER, current=PASSWORD, ip=HERE)
    assert await sessions.by_cookie(acme.door, mine) is None
    assert await sessions.by_cookie(acme.door, other) is None
    renewed = await sessions.by_cookie(acme.door, cookie)
    assert renewed is not None
    assert renewed.session_id == holder.session_id
    assert len(await acme.rows(credentials)) == 1


async def test_guessing_the_current_password_is_held_back_for_that_session_alone(acme: House) -> None:
    await dana(acme)
    stolen, own = (await attempt(acme)).session, (await attempt(acme)).session
    thief, owner = await sessions.by_cookie(acme.door, stolen), await sessions.by_cookie(acme.door, own)
    assert thief is not None
    assert owner is not None
    for _ in range(10):
        with pytest.raises(WrongCredentials):
            await sign_in.set_own_password(acme.door, thief, OTHER, current="wrong", ip=HERE)
    with pytest.raises(TooManyRequests):
        await sign_in.set_own_password(acme.door, thief, OTHER, current=PASSWORD, ip=HERE)
    await sign_in.set_own_password(acme.door, owner, OTHER, current=PASSWORD, ip=HERE)
    assert await sessions.by_cookie(acme.door, stolen) is None
