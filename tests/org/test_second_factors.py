"""Second factors (A24), proving oneself anew (A30), and who must have one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pyotp
import pytest

from scimd.core import second_factors as rules
from scimd.core.errors import (
    Forbidden,
    LinkInvalid,
    MayNotSignIn,
    NotAllowedNow,
    NotUnique,
    OwnAccount,
    ProofNeeded,
    SecondFactorAsked,
    TooManyRequests,
    WeakPassword,
    WrongCredentials,
)
from scimd.core.people import PersonId
from scimd.db.tables import recovery_codes
from scimd.db.tables import second_factors as factor_rows
from scimd.org.authentication import second_factors, second_step, sessions, sign_in, tickets
from scimd.org.authentication.second_step import Proof
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.tokens.sealing import NotSealedHere, unseal
from scimd.org.tx import Actor, Context
from scimd.org.users import first_admins, gates
from tests.org.acme import OPERATOR, PASSWORD, House, house
from tests.org.looks import attempts_of
from tests.support.sign_in_links import sign_in_link

ADDRESS, HERE, ELSEWHERE = "dana@acme.example", "127.0.0.1", "127.0.0.2"


async def attempt(acme: House, password: str = PASSWORD, ip: str = HERE) -> SignedIn:
    return await sign_in.by_password(acme.door, "acme", ADDRESS, password, ip=ip, user_agent="tests")


async def dana(acme: House) -> PersonId:
    person = await acme.push(await acme.source(), ADDRESS)
    await acme.accepted(person)
    return person


async def holder_of(acme: House, cookie: str) -> SessionHolder:
    found = await sessions.by_cookie(acme.door, cookie)
    assert found is not None
    return found


def code_of(secret: str, at: datetime) -> str:
    return pyotp.TOTP(secret).at(int(at.timestamp()))


async def enrolled(acme: House) -> tuple[PersonId, str, second_factors.Renewed]:
    """Dana with an authenticator app; the app's secret, and what enrolling gave."""
    person = await dana(acme)
    holder = await holder_of(acme, (await attempt(acme)).session)
    app = second_factors.new_app(acme.door, holder)
    renewed = await second_factors.add_app(acme.door, holder, app.ticket, code_of(app.secret, acme.clock.now))
    acme.clock.pass_by(seconds=60)
    return person, app.secret, renewed


async def first_step(acme: House, ip: str = HERE) -> str:
    with pytest.raises(SecondFactorAsked) as asked:
        await attempt(acme, ip=ip)
    return asked.value.ticket


async def second(acme: House, ticket: str, code: str, by: Any = "totp", ip: str = HERE) -> SignedIn:
    return await second_step.complete(acme.door, ticket, Proof(by, code), ip=ip, user_agent="tests")


async def test_password_alone_opens_no_session_beside_a_second_factor(acme: House) -> None:
    person, secret, _ = await enrolled(acme)
    before = len(await sessions.list_sessions(acme.door, acme.org.id))
    ticket = await first_step(acme)
    assert len(await sessions.list_sessions(acme.door, acme.org.id)) == before
    done = await second(acme, ticket, code_of(secret, acme.clock.now))
    assert (await holder_of(acme, done.session)).person_id == person
    attempts = (await attempts_of(acme.door, acme.org.id))[:2]
    assert {(row.success, row.reason) for row in attempts} == {
        (True, "password"), (True, "authenticator app"),
    }  # fmt: skip


async def test_a_one_time_link_asks_for_the_second_factor_too(acme: House) -> None:
    person, secret, _ = await enrolled(acme)
    token = await sign_in_link(acme.door, acme.ctx, person)
    with pytest.raises(SecondFactorAsked) as asked:
        await sign_in.by_link(acme.door, token, ip=HERE, user_agent="tests")
    assert asked.value.kinds == ("totp",)
    await second(acme, asked.value.ticket, code_of(secret, acme.clock.now))


async def test_code_is_refused_when_it_is_used_again(acme: House) -> None:
    _, secret, _ = await enrolled(acme)
    code = code_of(secret, acme.clock.now)
    await second(acme, await first_step(acme), code)
    with pytest.raises(WrongCredentials):
        await second(acme, await first_step(acme), code)
    acme.clock.pass_by(seconds=30)
    with pytest.raises(WrongCredentials):  # the window before counts for late clocks, not for replays
        await second(acme, await first_step(acme), code)
    await second(acme, await first_step(acme), code_of(secret, acme.clock.now))


async def test_code_of_enrolment_does_not_sign_in(acme: House) -> None:
    await dana(acme)
    holder = await holder_of(acme, (await attempt(acme)).session)
    app = second_factors.new_app(acme.door, holder)
    code = code_of(app.secret, acme.clock.now)
    await second_factors.add_app(acme.door, holder, app.ticket, code)
    with pytest.raises(WrongCredentials):
        await second(acme, await first_step(acme), code)


async def test_one_of_many_at_once_wins_with_one_code(acme: House) -> None:
    _, secret, _ = await enrolled(acme)
    code = code_of(secret, acme.clock.now)
    waiting = [await first_step(acme) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(second(acme, ticket, code) for ticket in waiting), return_exceptions=True
    )
    assert sum(isinstance(each, SignedIn) for each in outcomes) == 1


async def test_ticket_is_good_for_one_success_and_five_minutes(acme: House) -> None:
    _, secret, renewed = await enrolled(acme)
    ticket = await first_step(acme)
    await second(acme, ticket, code_of(secret, acme.clock.now))
    with pytest.raises(LinkInvalid):
        await second(acme, ticket, renewed.codes[0], "recovery")
    late = await first_step(acme)
    acme.clock.pass_by(minutes=5)
    with pytest.raises(LinkInvalid):
        await second(acme, late, code_of(secret, acme.clock.now))
    for wrong in ("", "x", late[:-2], late + "x", "\udc80"):
        with pytest.raises(LinkInvalid):
            tickets.opened(acme.door, "second_step", wrong)
    with pytest.raises(LinkInvalid):
        tickets.opened(acme.door, "passkey", await first_step(acme))


async def test_ticket_of_an_older_password_is_dead(acme: House) -> None:
    person, secret, _ = await enrolled(acme)
    ticket = await first_step(acme)
    old = second_step.waiting(acme.door, ticket)
    assert old == (acme.org.id, person)
    link = await sign_in_link(acme.door, acme.ctx, person)
    with pytest.raises(SecondFactorAsked) as asked:
        await sign_in.by_link(acme.door, link, ip=HERE, user_agent="tests")
    inside = await second(acme, asked.value.ticket, code_of(secret, acme.clock.now))
    holder = await holder_of(acme, inside.session)
    await sign_in.set_own_password(acme.door, holder, "nine slow harbours wait", current=PASSWORD, ip=HERE)
    acme.clock.pass_by(seconds=30)
    with pytest.raises(MayNotSignIn, match="password was changed"):
        await second(acme, ticket, code_of(secret, acme.clock.now))


async def test_whoever_was_disabled_in_between_stays_out(acme: House) -> None:
    person, secret, _ = await enrolled(acme)
    ticket = await first_step(acme)
    acme.clock.pass_by(seconds=1)
    await gates.disable(acme.door, acme.ctx, person)
    with pytest.raises(MayNotSignIn, match="disabled"):
        await second(acme, ticket, code_of(secret, acme.clock.now))
    (newest, *_) = await attempts_of(acme.door, acme.org.id)
    assert (newest.success, newest.reason.partition(":")[0]) == (False, "disabled")


async def test_guessing_codes_is_held_back_wherever_it_comes_from(database_url: str) -> None:
    async with house(database_url, sign_in_attempts=3) as acme:
        _, secret, _ = await enrolled(acme)
        for place in range(3):
            ip = f"127.0.1.{place}"
            with pytest.raises(WrongCredentials):
                await second(acme, await first_step(acme, ip), "000000", ip=ip)
        with pytest.raises(TooManyRequests):
            await second(acme, await first_step(acme, ELSEWHERE), "000000", ip=ELSEWHERE)
        acme.clock.pass_by(minutes=16)
        await second(acme, await first_step(acme), code_of(secret, acme.clock.now))


async def test_recovery_code_counts_once_and_lies_sealed(acme: House) -> None:
    _, _, renewed = await enrolled(acme)
    assert len(set(renewed.codes)) == 10
    stored = await acme.rows(recovery_codes)
    assert not any(code.encode() in bytes(row.sealed) for row in stored for code in renewed.codes)
    typed = renewed.codes[3].upper().replace("-", " ")
    await second(acme, await first_step(acme), typed, "recovery")
    with pytest.raises(WrongCredentials):
        await second(acme, await first_step(acme), typed, "recovery")


async def test_new_recovery_codes_kill_the_old(acme: House) -> None:
    _, _, renewed = await enrolled(acme)
    holder = await holder_of(acme, renewed.cookie)
    fresh = await second_factors.new_codes(acme.door, holder)
    assert not set(fresh) & set(renewed.codes)
    with pytest.raises(WrongCredentials):
        await second(acme, await first_step(acme), renewed.codes[0], "recovery")
    await second(acme, await first_step(acme), fresh[0], "recovery")
    assert await second_factors.codes_left(acme.door, holder) == 9


async def test_secret_lies_sealed_and_bound_to_its_row(acme: House) -> None:
    _, secret, _ = await enrolled(acme)
    (row,) = await acme.rows(factor_rows)
    assert secret.encode() not in bytes(row.secret)
    with pytest.raises(NotSealedHere):
        unseal(acme.door.keys, "second factor", bytes(row.secret), "another/row")


async def test_enrolment_needs_a_code_a_fresh_proof_and_its_own_session(acme: House) -> None:
    await dana(acme)
    one, other = [await holder_of(acme, (await attempt(acme)).session) for _ in range(2)]
    app = second_factors.new_app(acme.door, one)
    code = code_of(app.secret, acme.clock.now)
    with pytest.raises(WrongCredentials):
        await second_factors.add_app(acme.door, one, app.ticket, "000000")
    with pytest.raises(LinkInvalid):
        await second_factors.add_app(acme.door, other, app.ticket, code)
    await second_factors.add_app(acme.door, one, app.ticket, code)
    with pytest.raises(LinkInvalid):
        await second_factors.add_app(acme.door, one, app.ticket, code)
    again = second_factors.new_app(acme.door, one)
    with pytest.raises(NotUnique):
        await second_factors.add_app(acme.door, one, again.ticket, code_of(again.secret, acme.clock.now))
    acme.clock.pass_by(minutes=11)
    with pytest.raises(ProofNeeded):
        second_factors.new_app(acme.door, one)


async def test_proof_gives_a_new_cookie_and_kills_the_old(acme: House) -> None:
    await dana(acme)
    old = (await attempt(acme)).session
    holder = await holder_of(acme, old)
    acme.clock.pass_by(minutes=11)
    with pytest.raises(WrongCredentials):
        await second_step.prove_by_password(acme.door, holder, "wrong wrong wrong wrong", ip=HERE)
    with pytest.raises(ProofNeeded):
        sessions.require_proof(acme.door, await holder_of(acme, old))
    new = await second_step.prove_by_password(acme.door, holder, PASSWORD, ip=HERE)
    assert await sessions.by_cookie(acme.door, old) is None
    fresh = await holder_of(acme, new)
    sessions.require_proof(acme.door, fresh)
    assert (fresh.session_id, fresh.expires_at) == (holder.session_id, holder.expires_at)


async def test_what_is_tried_within_a_session_has_the_address_that_it_came_from(acme: House) -> None:
    _, _, renewed = await enrolled(acme)
    holder = await holder_of(acme, renewed.cookie)
    with pytest.raises(WrongCredentials):
        await second_step.prove_by_password(acme.door, holder, "wrong wrong wrong", ip=ELSEWHERE)
    with pytest.raises(WrongCredentials):
        await second_step.prove(acme.door, holder, Proof("totp", "000000"), ip=ELSEWHERE)
    assert [row.ip for row in (await attempts_of(acme.door, acme.org.id))[:2]] == [ELSEWHERE] * 2


async def test_short_password_stands_only_beside_a_second_factor(acme: House) -> None:
    _, _, renewed = await enrolled(acme)
    holder = await holder_of(acme, renewed.cookie)
    with pytest.raises(WeakPassword):
        await sign_in.set_own_password(acme.door, holder, "zebra7q", current=PASSWORD, ip=HERE)
    await sign_in.set_own_password(acme.door, holder, "zebra7qu", current=PASSWORD, ip=HERE)
    (factor,) = await second_factors.list_own(acme.door, holder)
    with pytest.raises(NotAllowedNow, match="too short to be used alone"):
        await second_factors.remove(acme.door, holder, factor.id)
    await sign_in.set_own_password(acme.door, holder, PASSWORD, current="zebra7qu", ip=HERE)
    cookie = await second_factors.remove(acme.door, holder, factor.id)
    assert await acme.rows(recovery_codes) == []
    assert await second_factors.list_own(acme.door, await holder_of(acme, cookie)) == []
    assert isinstance(await attempt(acme), SignedIn)


async def test_admin_resets_a_lost_factor_and_its_short_password(acme: House) -> None:
    person, _, renewed = await enrolled(acme)
    holder = await holder_of(acme, renewed.cookie)
    await sign_in.set_own_password(acme.door, holder, "zebra7qu", current=PASSWORD, ip=HERE)
    await second_factors.reset(acme.door, acme.ctx, [person])
    assert await sessions.by_cookie(acme.door, renewed.cookie) is None
    with pytest.raises(WrongCredentials):
        await attempt(acme, "zebra7qu")
    assert [row.template for row in await acme.mails(template="set_password")] == ["set_password"]
    with pytest.raises(NotAllowedNow, match="no second factor"):
        await second_factors.reset(acme.door, acme.ctx, [person])


async def test_reset_is_for_admins_and_never_of_oneself(acme: House) -> None:
    person, _, _ = await enrolled(acme)
    stranger = Context(acme.org.id, Actor("person", "p", "p"), "web", "c")
    with pytest.raises(Forbidden):
        await second_factors.reset(acme.door, stranger, [person])
    own = Context(
        acme.org.id, Actor("person", person, "d"), "web", "c", permissions=frozenset({"users.manage"})
    )
    with pytest.raises(OwnAccount):
        await second_factors.reset(acme.door, own, [person])


# ------------------------------------------------------------------------------ who must have one


@pytest.mark.parametrize(
    ("policy", "permissions", "demanded"),
    [
        ("managers", {"users.manage"}, True),
        ("managers", {"users.read", "audit.read"}, False),
        ("managers", set(), False),
        ("everybody", set(), True),
        ("nobody", {"users.manage"}, False),
    ],
)
def test_who_must_have_a_second_factor(policy: Any, permissions: set[str], demanded: bool) -> None:
    assert rules.is_demanded(policy, permissions) is demanded


async def test_admin_without_a_second_factor_can_do_nothing_but_set_one_up(database_url: str) -> None:
    async with house(database_url, second_factor="managers") as acme:
        token = await first_admins.create_admin(acme.door, "acme", "root@acme.example", OPERATOR)
        done = await sign_in.by_link(acme.door, token, ip=HERE, user_agent="tests")
        holder = await holder_of(acme, done.session)
        assert (holder.must_enrol, holder.permissions) == (True, frozenset())
        app = second_factors.new_app(acme.door, holder)
        renewed = await second_factors.add_app(
            acme.door, holder, app.ticket, code_of(app.secret, acme.clock.now)
        )
        assert await sessions.by_cookie(acme.door, done.session) is None
        free = await holder_of(acme, renewed.cookie)
        assert not free.must_enrol
        assert "users.manage" in free.permissions
        (factor,) = await second_factors.list_own(acme.door, free)
        with pytest.raises(NotAllowedNow, match="Your role needs"):
            await second_factors.remove(acme.door, free, factor.id)


async def test_changed_second_factors_are_told_by_mail(acme: House) -> None:
    person, _, _ = await enrolled(acme)
    await second_factors.reset(acme.door, acme.ctx, [person])
    told = [row.params["what"] for row in await acme.mails(template="second_factor_changed")]
    assert told == ["an authenticator app was added", "an admin removed all of them"]
