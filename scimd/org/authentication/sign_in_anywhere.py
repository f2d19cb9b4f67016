"""Signing in without naming the organization: which ones an address fits is told after a password fits.

The password is tried in a few organizations at once, for each costs a hash: those where the address has one
come first. Whoever has more is never led past the others: they choose, and any organization has its own page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import select

from scimd.core.errors import MayNotSignIn, SecondFactorAsked, TooManyRequests, WrongCredentials
from scimd.core.people import address_key
from scimd.db.tables import credentials, organizations, people
from scimd.org.authentication import sessions, sign_in
from scimd.org.authentication.sign_in import SignedIn, Tried
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


@dataclass(frozen=True, slots=True)
class _Place:
    """An organization that has the address; ``set_at``: since when with this password, None: with none."""

    choice: Choice
    set_at: datetime | None


#: What came of the password in one organization; SecondFactorAsked, too, says that it fits.
_Outcome: TypeAlias = SignedIn | BaseException


async def by_password(
    door: Door, address: str, password: str, *, ip: str, user_agent: str
) -> SignedIn | list[Choice]:
    """Sign in where the password fits; the organizations to choose from where it may fit in several.

    Of several none is entered, and no second step is asked before the choice. Raises what
    ``sign_in.by_password`` raises, as if there were one organization.
    """
    loop = asyncio.get_running_loop()
    told_at = loop.time() + _TAKES_S
    known = await _organizations_with(door, address)
    found = known[:_AT_MOST] or [_Place(Choice(_NOWHERE, ""), None)]
    untried = any(place.set_at for place in known[_AT_MOST:])

    async def tried(place: _Place) -> Tried:
        return await sign_in.try_password(door, place.choice.slug, address, password, ip=ip)

    tries = await asyncio.gather(*map(tried, found), return_exceptions=True)
    right = [
        place.set_at
        for place, one in zip(found, tries, strict=True)
        if place.set_at and isinstance(one, Tried) and one.right
    ]

    async def concluded(one: Tried | BaseException) -> SignedIn:
        if isinstance(one, BaseException):
            raise one
        # What fits somewhere is no failure elsewhere.
        if right and not one.right and await sign_in.withdraw(door, one, min(right)):
            raise WrongCredentials
        return await sign_in.conclude(door, one, ip=ip, user_agent=user_agent)

    outcomes: list[_Outcome] = await asyncio.gather(*map(concluded, tries), return_exceptions=True)
    fits = [
        (place.choice, outcome)
        for place, outcome in zip(found, outcomes, strict=True)
        if isinstance(outcome, SignedIn | SecondFactorAsked)
    ]
    entered = [outcome for _, outcome in fits if isinstance(outcome, SignedIn)]
    if fault := _fault(outcomes):
        await _end(door, entered)
        raise fault
    if not fits:
        await asyncio.sleep(told_at - loop.time())
        raise _refusal(outcomes)
    if len(fits) > 1 or untried:
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


async def _organizations_with(door: Door, address: str) -> list[_Place]:
    """One more than are tried, if there are; those where the address has a password come first."""
    password = (
        (credentials.c.org_id == people.c.org_id)
        & (credentials.c.person_id == people.c.id)
        & (credentials.c.kind == "password")
    )
    query = (
        select(organizations.c.slug, organizations.c.name, credentials.c.changed_at)
        .join(people, people.c.org_id == organizations.c.id)
        .outerjoin(credentials, password)
        .where(people.c.sign_in_key == address_key(sign_in.as_text(address)), people.c.deleted_at.is_(None))
        .order_by(credentials.c.changed_at.is_(None), organizations.c.slug)
        .limit(_AT_MOST + 1)
    )
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [_Place(Choice(row.slug, row.name), row.changed_at) for row in rows]


async def _end(door: Door, entered: Sequence[SignedIn]) -> None:
    """No session is left that nobody holds."""
    for signed in entered:
        holder = await sessions.by_cookie(door, signed.session)
        if holder is not None:
            ctx = replace(holder.context(door), permissions=frozenset())
            await sessions.end(door, ctx, holder.session_id)
