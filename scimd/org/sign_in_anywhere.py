"""Signing in without naming the organization: which ones an address fits is told after a password fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import select

from scimd.core.errors import MayNotSignIn, TooManyRequests, WrongCredentials
from scimd.core.people import fold
from scimd.db.tables import organizations, people
from scimd.org import sessions, sign_in
from scimd.org.sign_in import SignedIn
from scimd.org.tx import Door

_AT_MOST = 5
_NOWHERE = "-"  # no slug: by_password does for it what it does for an unknown organization


@dataclass(frozen=True, slots=True)
class Choice:
    """An organization that the address and the password fit."""

    slug: str
    name: str


async def by_password(
    door: Door, address: str, password: str, *, ip: str, user_agent: str
) -> SignedIn | list[Choice]:
    """Sign in where the password fits; the organizations to choose from where it fits in several.

    Raises what ``sign_in.by_password`` raises, as if there were one organization.
    """
    found = await _organizations_with(door, address) or [Choice(_NOWHERE, "")]
    fits: list[tuple[Choice, SignedIn]] = []
    refusal: Exception = WrongCredentials()
    for choice in found:
        try:
            signed = await sign_in.by_password(
                door, choice.slug, address, password, ip=ip, user_agent=user_agent
            )
        except (MayNotSignIn, TooManyRequests) as exc:
            refusal = exc
        except WrongCredentials:
            continue
        else:
            fits.append((choice, signed))
    if not fits:
        raise refusal
    if len(fits) == 1:
        return fits[0][1]
    for _, signed in fits:
        await _end(door, signed)
    return [choice for choice, _ in fits]


async def _organizations_with(door: Door, address: str) -> list[Choice]:
    query = (
        select(organizations.c.slug, organizations.c.name)
        .join(people, people.c.org_id == organizations.c.id)
        .where(people.c.sign_in_key == fold(sign_in.as_text(address)), people.c.deleted_at.is_(None))
        .order_by(organizations.c.slug)
        .limit(_AT_MOST)
    )
    return await door.read(lambda conn: [Choice(row.slug, row.name) for row in conn.execute(query)])


async def _end(door: Door, signed: SignedIn) -> None:
    holder = await sessions.by_cookie(door, signed.session)
    if holder is not None:
        ctx = replace(holder.context(door), permissions=frozenset())
        await sessions.end(door, ctx, holder.session_id)
