"""Signing in by password or by a one-time link, and setting one's password.

Every attempt is a row, written before the password is looked at, so that attempts made at once count
too (``attempts`` has the limits). Of somebody with a second factor neither opens a session: what is
raised, SecondFactorAsked, carries the ticket to the second step (``second_step``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, select, update

from scimd.core.errors import MayNotSignIn, NotAllowedNow, SecondFactorAsked, WrongCredentials
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, address_key
from scimd.db.tables import organizations, people
from scimd.org import lately
from scimd.org.authentication import attempts, credentials, links, passwords, sessions, tickets
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.mails import notices
from scimd.org.settling import admission
from scimd.org.tx import Context, Door, Tx

_TEXT_AT_MOST = 512


@dataclass(frozen=True, slots=True)
class SignedIn:
    """``session`` is the cookie's text. ``asks_password``: they have none, and are to set one now."""

    org_slug: str
    person_id: PersonId
    session: str
    asks_password: bool = False


@dataclass(frozen=True, slots=True)
class _Account:
    org_id: OrgId
    person_id: PersonId | None
    name: str
    secret: str | None


# ------------------------------------------------------------------------------ by password


async def by_password(
    door: Door, org_slug: str, address: str, password: str, *, ip: str, user_agent: str
) -> SignedIn:
    """Sign in by address and password.

    The same answer, after the same work, for an unknown organization, an unknown address and a wrong
    password: WrongCredentials. MayNotSignIn, with the cause, only when the password was right.
    SecondFactorAsked where they have one. TooManyRequests beyond the limits.
    """
    tried = await try_password(door, org_slug, address, password, ip=ip)
    return await conclude(door, tried, ip=ip, user_agent=user_agent)


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt whose row is written, and whose password was looked at. ``conclude`` or ``withdraw`` it."""

    account: _Account
    ctx: Context
    org_slug: str
    attempt_id: str
    right: bool


async def try_password(door: Door, org_slug: str, address: str, password: str, *, ip: str) -> Tried:
    """Look whether the password fits; nobody comes in by that.

    Raises WrongCredentials where nothing could, and TooManyRequests.
    """
    address = as_text(address)
    account = await door.read(lambda conn: _find(conn, org_slug, address))
    if account is None:
        await passwords.fits(password, None)
        raise WrongCredentials
    ctx = sessions.arriving(door, account.org_id, account.person_id or "", account.name)
    attempt_id = await door.run(ctx, lambda tx: attempts.begin(tx, account.person_id, address, ip))
    right = await passwords.fits(password, account.secret)
    return Tried(account, ctx, org_slug, attempt_id, right)


async def conclude(door: Door, tried: Tried, *, ip: str, user_agent: str) -> SignedIn:
    """Come in, or have it written that it failed. Raises as ``by_password``."""
    outcome = await door.run(
        tried.ctx, lambda tx: _finish(tx, tried.account, tried.attempt_id, tried.right, ip, user_agent)
    )
    if isinstance(outcome, Entered):
        return entered(door, tried.org_slug, outcome)
    if outcome is None:
        raise WrongCredentials
    raise MayNotSignIn(outcome)


async def withdraw(door: Door, tried: Tried, set_at: datetime) -> bool:
    """It was an attempt at another organization, whose password, set then, it fits: nothing of it is left.

    False, and it stays, for the first with a password that is as new as attempts are counted: whoever
    changes their own there could try out any number here.
    """

    def body(tx: Tx) -> bool:
        new = lately.is_within(set_at, tx.now, attempts.WINDOW)
        if new and attempts.is_first(tx, tried.attempt_id, set_at):
            return False
        attempts.withdraw(tx, tried.attempt_id)
        return True

    return await door.run(tried.ctx, body)


def as_text(sent: str) -> str:
    """What was sent as an address, as text that any database holds: no NUL, no half characters."""
    return sent.strip()[:_TEXT_AT_MOST].replace("\x00", "").encode("utf-8", "replace").decode()


def _find(conn: Connection, org_slug: str, address: str) -> _Account | None:
    """The account that the address means; one without a person where nobody has it.

    Attempts at an organization that there is not are counted by the operators' own, so that the limit, too,
    tells nobody which ones there are.
    """
    named = organizations.c.slug == org_slug
    rank = case((named, 0), else_=1)
    query = select(organizations.c.id, named.label("is_it")).where(named | (organizations.c.kind == "system"))
    org = conn.execute(query.order_by(rank).limit(1)).first()
    if org is None or not org.is_it:
        return None if org is None else _Account(OrgId(org.id), None, address, None)
    org_id = OrgId(org.id)
    person = conn.execute(
        select(people.c.id).where(
            people.c.org_id == org_id,
            people.c.sign_in_key == address_key(address),
            people.c.deleted_at.is_(None),
        )
    ).first()
    if person is None:
        return _Account(org_id, None, address, None)
    person_id = PersonId(person.id)
    return _Account(org_id, person_id, address, credentials.password_of(conn, org_id, person_id))


def _finish(
    tx: Tx, account: _Account, attempt_id: str, right: bool, ip: str, user_agent: str
) -> Entered | str | None:
    """How they came in; the cause that keeps the person out; or None for a wrong password."""
    person_id = account.person_id
    if not right or person_id is None:
        attempts.close(tx, attempt_id, success=False, reason="unknown address or wrong password")
        _tell_failed(tx, account, ip, "wrong credentials")
        return None
    # What was proved must still be so: the password may have been changed in the meantime.
    if credentials.password_of(tx.conn, tx.org_id, person_id) != account.secret:
        attempts.close(tx, attempt_id, success=False, reason="the password was changed meanwhile")
        return None
    cause = admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now)
    if cause is not None:
        attempts.close(tx, attempt_id, success=False, reason=cause)
        _tell_failed(tx, account, ip, cause)
        return cause
    return enter(tx, person_id, attempt_id, ip, user_agent, "password")


def _tell_failed(tx: Tx, account: _Account, ip: str, why: str) -> None:
    if account.person_id is not None:
        after = {"ip": ip, "why": why}
        tx.record(Event(EventKind.SIGN_IN_FAILED, "person", account.person_id, after=after))


@dataclass(frozen=True, slots=True)
class Entered:
    """What a first step leads to: ``session``, or ``kinds`` of second factors and no session.

    ``mark`` stands for the password as it was (``mark_of``), ``attempt_id`` for the attempt's row.
    """

    org_id: OrgId
    person_id: PersonId
    how: sessions.How
    attempt_id: str
    session: str | None
    kinds: tuple[str, ...]
    has_password: bool
    mark: str


def enter(
    tx: Tx, person_id: PersonId, attempt_id: str, ip: str, user_agent: str, how: sessions.How
) -> Entered:
    """Start a session, or leave that to the second step of whoever has a second factor."""
    stored = credentials.password_of(tx.conn, tx.org_id, person_id)
    kinds = credentials.kinds_of(tx.conn, tx.org_id, person_id)
    text = None if kinds else open_session(tx, person_id, ip, user_agent, how)
    attempts.close(tx, attempt_id, success=not kinds, reason="second factor asked" if kinds else how)
    return Entered(tx.org_id, person_id, how, attempt_id, text, kinds, stored is not None, mark_of(stored))


def open_session(
    tx: Tx, person_id: PersonId, ip: str, user_agent: str, how: sessions.How, *, strong: bool = False
) -> str:
    """A session of somebody who proved who they are; gives the text of its cookie."""
    text = sessions.start(tx, person_id, ip, user_agent, how=how, strong=strong)
    after = {"ip": ip, "how": how}
    tx.record(Event(EventKind.SIGN_IN_SUCCEEDED, "person", person_id, after=after))
    return text


def mark_of(stored: str | None) -> str:
    """What a ticket says of the password as it was: another one makes the ticket worthless."""
    return hashlib.sha256((stored or "").encode()).hexdigest()[:32]


def entered(door: Door, org_slug: str, come: Entered) -> SignedIn:
    """The session. Raises SecondFactorAsked, with the ticket to the second step."""
    if come.session is not None:
        return SignedIn(org_slug, come.person_id, come.session, asks_password=not come.has_password)
    said = {
        "org": come.org_id,
        "slug": org_slug,
        "person": come.person_id,
        "how": come.how,
        "attempt": come.attempt_id,
        "mark": come.mark,
    }
    raise SecondFactorAsked(tickets.issue(door, "second_step", said), come.kinds)


# ------------------------------------------------------------------------------ by link


async def by_link(door: Door, token: str, *, ip: str, user_agent: str) -> SignedIn:
    """Spend a one-time sign-in link.

    Raises LinkInvalid; MayNotSignIn, and then the link is kept; SecondFactorAsked, and then it is spent.
    """
    link = links.opened(token, "sign_in", door.keys)
    page = await links.look(door, token, "sign_in")

    def body(tx: Tx) -> Entered:
        person_id = links.spend(tx, link)
        cause = admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now)
        if cause is not None:
            raise MayNotSignIn(cause)
        attempt_id = attempts.note(tx, person_id, _name(page), ip, reason="link")
        tx.record(Event(EventKind.LINK_USED, "person", person_id, after={"purpose": "sign_in"}))
        return enter(tx, person_id, attempt_id, ip, user_agent, "link")

    come = await door.run(sessions.arriving(door, page.org_id, page.person_id, _name(page)), body)
    return entered(door, page.org_slug, come)


def _name(page: links.LinkPage) -> str:
    return page.address or page.display_name


# ------------------------------------------------------------------------------ passwords


async def set_password_by_link(
    door: Door, token: str, password: str, *, ip: str, user_agent: str
) -> SignedIn:
    """Spend a set-password link: the new password is stored, every older session ends, and they are
    signed in. Raises LinkInvalid, WeakPassword, MayNotSignIn; then nothing was changed. With a second
    factor SecondFactorAsked, and then the password is set."""
    link = links.opened(token, "set_password", door.keys)
    page = await links.look(door, token, "set_password")
    words = (_name(page), page.display_name, page.organization, page.org_slug, "scimd")
    kinds = await door.read(lambda conn: credentials.kinds_of(conn, page.org_id, page.person_id))
    passwords.check(password, words, at_least=least(kinds))
    hashed = await passwords.hashed(password)

    def body(tx: Tx) -> Entered | None:
        person_id = links.spend(tx, link)
        _welcome(tx, person_id)
        sessions.end_for(tx, [person_id], "password changed")
        _store(tx, person_id, password, hashed)
        notices.password_changed(tx, person_id)
        if page.address is not None:
            links.verified(tx, person_id, page.address)
        tx.record(Event(EventKind.LINK_USED, "person", person_id, after={"purpose": "set_password"}))
        return None

    def then(tx: Tx, _: Entered | None) -> Entered:
        cause = admission.why_not(tx.conn, tx.books, tx.org_id, page.person_id, tx.now)
        if cause is not None:
            raise MayNotSignIn(cause)
        attempt_id = attempts.note(tx, page.person_id, _name(page), ip, reason="link")
        return enter(tx, page.person_id, attempt_id, ip, user_agent, "link")

    ctx = sessions.arriving(door, page.org_id, page.person_id, _name(page))
    come = await door.run(ctx, body, then=then)
    assert come is not None  # noqa: S101 - ``then`` gives it or raises
    return entered(door, page.org_slug, come)


def least(kinds: Sequence[str]) -> int:
    """How many characters a password needs, alone or beside these second factors."""
    return passwords.AT_LEAST_BESIDE if kinds else passwords.AT_LEAST


def _store(tx: Tx, person_id: PersonId, password: str, hashed: str) -> None:
    """Store the password. Raises WeakPassword where the second factor that it needs has gone since."""
    short = passwords.is_short(password)
    if short and not credentials.kinds_of(tx.conn, tx.org_id, person_id):
        passwords.check(password)
    credentials.set_password(tx, person_id, hashed, short=short)


def _welcome(tx: Tx, person_id: PersonId) -> None:
    """Whoever was added with this link in place of an invitation comes in by it."""
    mine = (people.c.org_id == tx.org_id) & (people.c.id == person_id)
    row = tx.conn.execute(select(people.c.welcome, people.c.accepted).where(mine)).one()
    if row.welcome != "invitation" and not row.accepted:
        tx.conn.execute(update(people).where(mine).values(accepted=True))
        tx.touch([person_id])


async def set_own_password(
    door: Door, holder: SessionHolder, new: str, *, current: str | None = None, ip: str
) -> str:
    """Set the signed-in person's password; one that is there must be given as ``current``.

    A first one proves them from then on, so it asks for a proof itself. Their other sessions end; gives the
    new cookie of this one. Raises ProofNeeded, WeakPassword, WrongCredentials, TooManyRequests.
    """
    name = holder.address or holder.display_name
    words = (name, holder.display_name, holder.organization, holder.org_slug, "scimd")
    kinds = await door.read(lambda conn: credentials.kinds_of(conn, holder.org_id, holder.person_id))
    passwords.check(new, words, at_least=least(kinds))
    ctx = holder.context(door)
    stored = await door.read(lambda conn: credentials.password_of(conn, holder.org_id, holder.person_id))
    if stored is None:
        sessions.require_proof(door, holder)
    else:
        await _prove_current(door, ctx, holder, stored, current or "", ip)
    hashed = await passwords.hashed(new)

    def body(tx: Tx) -> str:
        if credentials.password_of(tx.conn, tx.org_id, holder.person_id) != stored:
            raise NotAllowedNow("The password was changed at the same time. Open the page again.")
        _store(tx, holder.person_id, new, hashed)
        notices.password_changed(tx, holder.person_id)
        sessions.end_for(tx, [holder.person_id], "password changed", but=holder.session_id)
        return sessions.renew(tx, holder.session_id, strong=False)

    return await door.run(ctx, body)


async def prove_password(door: Door, holder: SessionHolder, password: str, *, ip: str) -> None:
    """Raise WrongCredentials unless it is the signed-in person's. TooManyRequests beyond the limits."""
    stored = await door.read(lambda conn: credentials.password_of(conn, holder.org_id, holder.person_id))
    await _prove_current(door, holder.context(door), holder, stored, password, ip)


async def _prove_current(
    door: Door, ctx: Context, holder: SessionHolder, stored: str | None, current: str, ip: str
) -> None:
    """Guessing through a stolen session is held back like guessing at the door."""
    person_id, name, session = holder.person_id, holder.address or holder.display_name, holder.session_id
    attempt_id = await door.run(ctx, lambda tx: attempts.begin(tx, person_id, name, ip, session=session))
    right = await passwords.fits(current, stored)
    reason = "current password" if right else "wrong current password"
    await door.run(ctx, lambda tx: attempts.close(tx, attempt_id, success=right, reason=reason))
    if not right:
        raise WrongCredentials


async def has_password(door: Door, holder: SessionHolder) -> bool:
    """Whether the signed-in person can come back by password."""
    stored = await door.read(lambda conn: credentials.password_of(conn, holder.org_id, holder.person_id))
    return stored is not None
