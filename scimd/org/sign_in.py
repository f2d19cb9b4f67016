"""Signing in by password or by a one-time link, and setting one's password.

Every attempt is a row, written before the password is looked at, so that attempts made at once count
too. Limits are per account and address together, and per address: somebody who guesses locks
himself out, never the owner of the account who comes from elsewhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from scimd.core.errors import MayNotSignIn, NotAllowedNow, TooManyRequests, WrongCredentials
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, fold
from scimd.db.tables import login_attempts, organizations, people
from scimd.org import admission, credentials, links, notices, passwords, sessions
from scimd.org.sessions import SessionHolder
from scimd.org.tx import Actor, Context, Door, Tx, uuid7

WINDOW = timedelta(minutes=15)
#: An address (a whole office behind one NAT) may fail so many times as often as one account from it.
_PER_ADDRESS = 5
_TEXT_AT_MOST = 512


@dataclass(frozen=True, slots=True)
class SignedIn:
    """``session`` is the cookie's text. ``has_password``: False asks them to set one now."""

    org_slug: str
    person_id: PersonId
    session: str
    has_password: bool


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    person_id: PersonId | None
    address: str
    ip: str
    success: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _Account:
    org_id: OrgId
    person_id: PersonId | None
    name: str
    secret: str | None


def _context(door: Door, org_id: OrgId, person_id: str, name: str) -> Context:
    return Context(
        org_id, Actor("person", person_id, name), "web", uuid7(door.clock(), secrets.token_bytes(10))
    )


# ------------------------------------------------------------------------------ by password


async def by_password(
    door: Door, org_slug: str, address: str, password: str, *, ip: str, user_agent: str
) -> SignedIn:
    """Sign in by address and password.

    The same answer, after the same work, for an unknown organization, an unknown address and a wrong
    password: WrongCredentials. MayNotSignIn, with the cause, only when the password was right.
    TooManyRequests beyond the limits.
    """
    address = as_text(address)
    account = await door.read(lambda conn: _find(conn, org_slug, address))
    if account is None:
        await passwords.fits(password, None)
        raise WrongCredentials
    ctx = _context(door, account.org_id, account.person_id or "", account.name)
    attempt_id = await door.run(ctx, lambda tx: _begin(tx, account, address, ip))
    right = await passwords.fits(password, account.secret)
    outcome = await door.run(ctx, lambda tx: _finish(tx, account, attempt_id, right, ip, user_agent))
    if isinstance(outcome, SignedIn):
        return SignedIn(org_slug, outcome.person_id, outcome.session, has_password=True)
    if outcome is None:
        raise WrongCredentials
    raise MayNotSignIn(outcome)


def as_text(sent: str) -> str:
    """What was sent as an address, as text that any database holds: no NUL, no half characters."""
    return sent.strip()[:_TEXT_AT_MOST].replace("\x00", "").encode("utf-8", "replace").decode()


def _find(conn: Connection, org_slug: str, address: str) -> _Account | None:
    """The account that the address means; one without a person where nobody has it."""
    org = conn.execute(select(organizations.c.id).where(organizations.c.slug == org_slug)).first()
    if org is None:
        return None
    org_id = OrgId(org.id)
    person = conn.execute(
        select(people.c.id).where(
            people.c.org_id == org_id, people.c.sign_in_key == fold(address), people.c.deleted_at.is_(None)
        )
    ).first()
    if person is None:
        return _Account(org_id, None, address, None)
    person_id = PersonId(person.id)
    return _Account(org_id, person_id, address, credentials.password_of(conn, org_id, person_id))


def _begin(tx: Tx, account: _Account, address: str, ip: str) -> str:
    """Count, then write the attempt as a failed one: it is counted while its password is checked."""
    _hold_back(tx, address, ip)
    attempt_id = tx.new_id()
    tx.conn.execute(
        login_attempts.insert().values(
            org_id=tx.org_id,
            id=attempt_id,
            person_id=account.person_id,
            address=address,
            address_key=fold(address),
            ip=ip,
            success=False,
            reason="not finished",
            at=tx.now,
        )
    )
    return attempt_id


def _hold_back(tx: Tx, address: str, ip: str) -> None:
    attempt = login_attempts.c
    # What applications report is theirs to hold back: counted here, it would be a way to lock people out.
    ours = attempt.origin.is_(None) & ~attempt.success
    since = (attempt.ip == ip) & (attempt.at > tx.now - WINDOW) & ours
    mine = (attempt.org_id == tx.org_id) & (attempt.address_key == fold(address))
    limit = tx.settings.sign_in_attempts
    row = tx.conn.execute(
        select(
            func.count().label("all"),
            func.count().filter(mine).label("mine"),
            func.min(attempt.at).label("oldest"),
        ).where(since)
    ).one()
    if row.mine >= limit or row.all >= limit * _PER_ADDRESS:
        raise TooManyRequests(max(1.0, (row.oldest + WINDOW - tx.now).total_seconds()))


def _finish(
    tx: Tx, account: _Account, attempt_id: str, right: bool, ip: str, user_agent: str
) -> SignedIn | str | None:
    """A session; the cause that keeps the person out; or None for a wrong password."""
    person_id = account.person_id
    if not right or person_id is None:
        _close_attempt(tx, attempt_id, success=False, reason="unknown address or wrong password")
        _tell_failed(tx, account, ip, "wrong credentials")
        return None
    # What was proved must still be so: the password may have been changed in the meantime.
    if credentials.password_of(tx.conn, tx.org_id, person_id) != account.secret:
        _close_attempt(tx, attempt_id, success=False, reason="the password was changed meanwhile")
        return None
    cause = admission.why_not(tx.conn, tx.org_id, person_id)
    if cause is not None:
        _close_attempt(tx, attempt_id, success=False, reason=cause)
        _tell_failed(tx, account, ip, cause)
        return cause
    _close_attempt(tx, attempt_id, success=True, reason="password")
    return _enter(tx, person_id, "", ip, user_agent, "password")


def _close_attempt(tx: Tx, attempt_id: str, *, success: bool, reason: str) -> None:
    tx.conn.execute(
        update(login_attempts)
        .where(login_attempts.c.org_id == tx.org_id, login_attempts.c.id == attempt_id)
        .values(success=success, reason=reason)
    )


def _tell_failed(tx: Tx, account: _Account, ip: str, why: str) -> None:
    if account.person_id is not None:
        after = {"ip": ip, "why": why}
        tx.record(Event(EventKind.SIGN_IN_FAILED, "person", account.person_id, after=after))


def _enter(tx: Tx, person_id: PersonId, org_slug: str, ip: str, user_agent: str, how: str) -> SignedIn:
    text = sessions.start(tx, person_id, ip, user_agent)
    after = {"ip": ip, "how": how}
    tx.record(Event(EventKind.SIGN_IN_SUCCEEDED, "person", person_id, after=after))
    has_password = credentials.password_of(tx.conn, tx.org_id, person_id) is not None
    return SignedIn(org_slug, person_id, text, has_password)


# ------------------------------------------------------------------------------ by link


async def by_link(door: Door, token: str, *, ip: str, user_agent: str) -> SignedIn:
    """Spend a one-time sign-in link. Raises LinkInvalid; MayNotSignIn, and then the link is kept."""
    link = links.opened(token, "sign_in", door.keys)
    page = await links.look(door, token, "sign_in")

    def body(tx: Tx) -> SignedIn:
        person_id = links.spend(tx, link)
        cause = admission.why_not(tx.conn, tx.org_id, person_id)
        if cause is not None:
            raise MayNotSignIn(cause)
        _note_link(tx, page, ip)
        tx.record(Event(EventKind.LINK_USED, "person", person_id, after={"purpose": "sign_in"}))
        return _enter(tx, person_id, page.org_slug, ip, user_agent, "link")

    return await door.run(_context(door, page.org_id, page.person_id, _name(page)), body)


def _name(page: links.LinkPage) -> str:
    return page.address or page.display_name


def _note_link(tx: Tx, page: links.LinkPage, ip: str) -> None:
    tx.conn.execute(
        login_attempts.insert().values(
            org_id=tx.org_id,
            id=tx.new_id(),
            person_id=page.person_id,
            address=_name(page),
            address_key=fold(_name(page)),
            ip=ip,
            success=True,
            reason="link",
            at=tx.now,
        )
    )


# ------------------------------------------------------------------------------ passwords


async def set_password_by_link(
    door: Door, token: str, password: str, *, ip: str, user_agent: str
) -> SignedIn:
    """Spend a set-password link: the new password is stored, every older session ends, and they are
    signed in. Raises LinkInvalid, WeakPassword, MayNotSignIn; then nothing was changed."""
    link = links.opened(token, "set_password", door.keys)
    page = await links.look(door, token, "set_password")
    passwords.check(password, (_name(page), page.display_name, page.organization, page.org_slug, "scimd"))
    hashed = await passwords.hashed(password)

    def body(tx: Tx) -> SignedIn | None:
        person_id = links.spend(tx, link)
        _welcome(tx, person_id)
        sessions.end_for(tx, [person_id], "password changed")
        credentials.set_password(tx, person_id, hashed)
        notices.password_changed(tx, person_id)
        _verify_address(tx, page)
        _note_link(tx, page, ip)
        tx.record(Event(EventKind.LINK_USED, "person", person_id, after={"purpose": "set_password"}))
        return None

    def then(tx: Tx, _: SignedIn | None) -> SignedIn:
        cause = admission.why_not(tx.conn, tx.org_id, page.person_id)
        if cause is not None:
            raise MayNotSignIn(cause)
        return _enter(tx, page.person_id, page.org_slug, ip, user_agent, "set-password link")

    ctx = _context(door, page.org_id, page.person_id, _name(page))
    entered = await door.run(ctx, body, then=then)
    assert entered is not None  # noqa: S101 - ``then`` gives it or raises
    return entered


def _welcome(tx: Tx, person_id: PersonId) -> None:
    """Whoever was added with this link in place of an invitation comes in by it."""
    mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
    row = tx.conn.execute(select(people.c.welcome, people.c.accepted).where(mine)).one()
    if row.welcome != "invitation" and not row.accepted:
        tx.conn.execute(update(people).where(mine).values(accepted=True))
        tx.touch([person_id])


def _verify_address(tx: Tx, page: links.LinkPage) -> None:
    """The link went by mail to the stored address, and nowhere else."""
    if page.address is not None:
        tx.conn.execute(
            update(people)
            .where(
                people.c.org_id == tx.org_id,
                people.c.id == page.person_id,
                people.c.sign_in_key == fold(page.address),
            )
            .values(address_verified_at=tx.now)
        )


async def set_own_password(
    door: Door, holder: SessionHolder, new: str, *, current: str | None = None
) -> None:
    """Set the signed-in person's password; one that is there must be given as ``current``.

    Their other sessions end. Raises WeakPassword, WrongCredentials, TooManyRequests.
    """
    name = holder.address or holder.display_name
    passwords.check(new, (name, holder.display_name, holder.organization, holder.org_slug, "scimd"))
    ctx = holder.context(door)
    stored = await door.read(lambda conn: credentials.password_of(conn, holder.org_id, holder.person_id))
    if stored is not None:
        await _prove_current(door, ctx, holder, stored, current or "")
    hashed = await passwords.hashed(new)

    def body(tx: Tx) -> None:
        if credentials.password_of(tx.conn, tx.org_id, holder.person_id) != stored:
            raise NotAllowedNow("The password was changed at the same time. Open the page again.")
        credentials.set_password(tx, holder.person_id, hashed)
        notices.password_changed(tx, holder.person_id)
        sessions.end_for(tx, [holder.person_id], "password changed", but=holder.session_id)

    await door.run(ctx, body)


async def _prove_current(door: Door, ctx: Context, holder: SessionHolder, stored: str, current: str) -> None:
    """Guessing through a stolen session is held back like guessing at the door."""
    account = _Account(holder.org_id, holder.person_id, holder.address or holder.display_name, stored)
    # Counted by session, not by address: nobody else's failures come into it.
    origin = f"session {holder.session_id}"
    attempt_id = await door.run(ctx, lambda tx: _begin(tx, account, account.name, origin))
    right = await passwords.fits(current, stored)
    reason = "current password" if right else "wrong current password"
    await door.run(ctx, lambda tx: _close_attempt(tx, attempt_id, success=right, reason=reason))
    if not right:
        raise WrongCredentials


# ------------------------------------------------------------------------------ the list


async def list_attempts(door: Door, org_id: OrgId, *, limit: int = 200) -> list[AttemptRecord]:
    """The newest first."""
    attempt = login_attempts.c
    query = select(login_attempts).where(attempt.org_id == org_id)
    query = query.order_by(attempt.at.desc(), attempt.id.desc()).limit(limit)
    return await door.read(lambda conn: [_attempt(row) for row in conn.execute(query)])


def _attempt(row: Any) -> AttemptRecord:
    return AttemptRecord(
        person_id=PersonId(row.person_id) if row.person_id else None,
        address=row.address,
        ip=row.ip,
        success=row.success,
        reason=row.reason,
        at=row.at,
    )


async def has_password(door: Door, holder: SessionHolder) -> bool:
    """Whether the signed-in person can come back by password."""
    stored = await door.read(lambda conn: credentials.password_of(conn, holder.org_id, holder.person_id))
    return stored is not None
