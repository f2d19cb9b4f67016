"""What was counted while the clock was ahead holds nobody longer than its window (F16, A21)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from scimd.core import notifications
from scimd.core.errors import AnswerLost, TooManyRequests
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.org import idempotency, lately
from scimd.org.authentication import attempts, forgotten, sessions, sign_in
from scimd.org.invitations import inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.tokens import api_tokens, tokens
from scimd.org.tx import DoorSettings, Tx
from scimd.org.users import first_admins
from tests.org import acme as company
from tests.org.house import house

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def until_refused(do: Callable[[], Awaitable[object]]) -> tuple[int, float]:
    """How often it went, and what was told then."""
    for n in range(100):
        try:
            await do()
        except TooManyRequests as refused:
            return n, refused.retry_after_s
    raise AssertionError


@pytest.mark.parametrize("step", ["first", "second"])
async def test_failures_while_the_clock_was_ahead_lock_nobody_out(database_url: str, step: str) -> None:
    async with house(database_url) as acme:
        ann = PersonId((await acme.create("ann")).person_id)

        async def fail() -> None:
            def body(tx: Tx) -> None:
                attempts.begin(tx, ann, "ann@acme.example", "203.0.113.9", second=step == "second")

            await acme.run(body, acme.as_admin())

        acme.clock.forward(hours=5)
        assert await until_refused(fail) == (10, 15 * 60)
        acme.clock.forward(hours=-5)
        assert await until_refused(fail) == (10, 15 * 60), "as if nobody had tried before, and no more"
        acme.clock.forward(minutes=15)
        await fail()


async def test_mails_and_invitations_while_the_clock_was_ahead_are_not_those_of_this_hour(
    database_url: str,
) -> None:
    settings = DoorSettings(invitations_per_actor=2)
    async with house(database_url, settings=settings) as acme:
        await acme.create("ann")

        async def invite() -> None:
            address = f"p{acme.clock.now.timestamp():.0f}@acme.example"
            (invited,) = await inviting.invite(acme.door, acme.as_admin(), [address], Wish())
            acme.clock.forward(seconds=1)
            if invited.refusal is not None:
                raise invited.refusal

        async def asked() -> int:
            for _ in range(5):
                await forgotten.ask(acme.door, "ann@acme.example", org_slug="acme", ip="")
            return len(await acme.rows(t.deliveries, template="set_password"))

        acme.clock.forward(hours=5)
        assert ((await until_refused(invite))[0], await asked()) == (2, 3)
        acme.clock.forward(hours=-5)
        n, wait_s = await until_refused(invite)
        assert (n, wait_s <= 3600, await asked()) == (2, True, 6)


async def test_the_hour_of_those_who_leave_ends_though_it_began_while_the_clock_was_ahead(
    database_url: str,
) -> None:
    async with house(database_url) as acme:
        people = [(await acme.create(f"p{n}")).person_id for n in range(20)]
        acme.clock.forward(hours=5)
        for each in people[:4]:
            await acme.change(each, active=False)
        acme.clock.forward(hours=-5)
        for each in people[4:8]:
            await acme.change(each, active=False)
        assert await acme.rows(t.events, kind="source.alarm") == []


async def test_an_answer_that_was_lost_while_the_clock_was_ahead_is_not_waited_for(database_url: str) -> None:
    async with house(database_url) as acme:
        once = idempotency.Once(acme.org_id, "a", "key", b"digest", "attempt")
        acme.clock.forward(hours=5)
        await acme.run(once.claim, acme.as_admin())
        acme.clock.forward(hours=-5)
        with pytest.raises(AnswerLost):
            await idempotency.answered(acme.door, once)


async def test_what_is_used_after_the_clock_was_ahead_was_used_now(database_url: str) -> None:
    """Else nobody learns when it was, nor that a source is silent, until that time has come."""
    async with company.house(database_url) as acme:
        pushed = await tokens.create(acme.door, acme.ctx, (await acme.source()).id, "t")
        service = await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"])
        link = await first_admins.create_admin(acme.door, "acme", "ada@acme.example", company.OPERATOR)
        signed_in = await sign_in.by_link(acme.door, link, ip="", user_agent="")
        last = tokens.LastUsed(acme.door)

        async def used() -> set[datetime | None]:
            holder = await tokens.authenticate(acme.door, pushed.token)
            assert holder is not None
            last.note(holder)
            await last.flush()
            assert await api_tokens.authenticate(acme.door, service.token)
            assert await sessions.by_cookie(acme.door, signed_in.session)
            (push,), (call,) = await acme.rows(t.tokens), await acme.rows(t.api_tokens)
            (session,) = await acme.rows(t.sessions)
            return {push.last_used_at, call.last_used_at, session.last_active_at}

        began = acme.clock.now
        acme.clock.pass_by(hours=5)
        await acme.write(lambda conn: conn.execute(t.sessions.update().values(last_active_at=acme.clock.now)))
        assert await used() == {acme.clock.now}
        acme.clock.now = began
        assert await used() == {began}
        acme.clock.pass_by(seconds=59)
        assert await used() == {began}, "once a minute at most"


@pytest.mark.parametrize(
    ("since_s", "counts"), [(-3600, False), (-3599, True), (0, True), (1, True), (60, False), (7200, False)]
)
def test_what_counts_as_lately(since_s: float, counts: bool) -> None:
    """Clocks of two processes differ by little."""
    moment = NOW + timedelta(seconds=since_s)
    assert lately.is_within(moment, NOW, HOUR) is counts
    assert not counts or 1 <= lately.over_in_s(moment, NOW, HOUR) <= 3600


def test_no_weeks_have_passed_since_a_quarantine_that_began_while_the_clock_was_ahead() -> None:
    assert notifications.weeks(NOW + HOUR, NOW) == 0
