"""Signing in without naming the organization: which ones an address fits is told after a password fits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sqlalchemy import select

from scimd.core.errors import MayNotSignIn, SecondFactorAsked, TooManyRequests, WrongCredentials
from scimd.core.people import fold
from scimd.db.tables import organizations, people
from scimd.org import sessions, sign_in
from scimd.org.sign_in import SignedIn
from scimd.org.tx import Door

_AT_MOST = 5
_NOWHERE = "-"  # no slug: by_password does for it what it does for an unknown organization
#: A refusal takes this long: the work behind it takes a fraction, and more for an address in several.
_TAKES_S = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """An organization that the address and the password fit."""

    slug: str
    name: str


#: What came of the password in one organization; SecondFactorAsked, too, says that it fits.
_Outcome: TypeAlias = SignedIn | BaseException


async def by_password(
    door: Door, address: str, password: str, *, ip: str, user_agent: str
) -> SignedIn | list[Choice]:
    """Sign in where the password fits; the organizations to choose from where it fits in several.

    Of several none is entered, and no second step is asked before the choice. Raises what
    ``sign_in.by_password`` raises, as if there were one organization.
    """
    loop = asyncio.get_running_loop()
    told_at = loop.time() + _TAKES_S
    found = await _organizations_with(door, address) or [Choice(_NOWHERE, "")]

    async def tried(choice: Choice) -> SignedIn:
        return await sign_in.by_password(door, choice.slug, address, password, ip=ip, user_agent=user_agent)

    outcomes: list[_Outcome] = await asyncio.gather(*map(tried, found), return_exceptions=True)
    fits = [
        (choice, outcome)
        for choice, outcome in zip(found, outcomes, strict=True)
        if isinstance(outcome, SignedIn | SecondFactorAsked)
    ]
    entered = [outcome for _, outcome in fits if isinstance(outcome, SignedIn)]
    if fault := _fault(outcomes):
        await _end(door, entered)
        raise fault
    if not fits:
        await asyncio.sleep(told_at - loop.time())
        raise _refusal(outcomes)
    if len(fits) > 1:
        await _end(door, entered)
        return [choice for choice, _ in fits]
    ((_, outcome),) = fits
    if isinstance(outcome, SignedIn):
        return outcome
    raise outcome


def _fault(outcomes: Sequence[_Outcome]) -> BaseException | None:
    """What is no answer to the password: the whole sign-in fails with it."""
    answers = SignedIn | SecondFactorAsked | MayNotSignIn | TooManyRequests | WrongCredentials
    return next((outcome for outcome in outcomes if not isinstance(outcome, answers)), None)


def _refusal(outcomes: Sequence[_Outcome]) -> BaseException:
    """The last that says more than that the password was wrong."""
    more = [outcome for outcome in outcomes if isinstance(outcome, MayNotSignIn | TooManyRequests)]
    return more[-1] if more else WrongCredentials()


async def _organizations_with(door: Door, address: str) -> list[Choice]:
    query = (
        select(organizations.c.slug, organizations.c.name)
        .join(people, people.c.org_id == organizations.c.id)
        .where(people.c.sign_in_key == fold(sign_in.as_text(address)), people.c.deleted_at.is_(None))
        .order_by(organizations.c.slug)
        .limit(_AT_MOST)
    )
    return await door.read(lambda conn: [Choice(row.slug, row.name) for row in conn.execute(query)])


async def _end(door: Door, entered: Sequence[SignedIn]) -> None:
    """No session is left that nobody holds."""
    for signed in entered:
        holder = await sessions.by_cookie(door, signed.session)
        if holder is not None:
            ctx = replace(holder.context(door), permissions=frozenset())
            await sessions.end(door, ctx, holder.session_id)
