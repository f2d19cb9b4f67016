"""Second factors of people as rows: authenticator apps, passkeys, recovery codes.

The secret of an authenticator app lies sealed; of a recovery code only the digest, sealed as well, so that
``org/tokens/rekeying.py`` can carry both to a new key. Adding or
removing one's own needs a fresh proof (``sessions.require_proof``) and gives the session a new cookie.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyotp
from sqlalchemy import delete, func, select, update

from scimd.core import second_factors as rules
from scimd.core.errors import (
    LinkInvalid,
    NotAllowedNow,
    NotFound,
    NotUnique,
    SecondFactorUnreadable,
    WrongCredentials,
)
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId
from scimd.db.tables import recovery_codes, second_factors
from scimd.org import permissions
from scimd.org.authentication import credentials, links, sessions, tickets
from scimd.org.authentication.sessions import Holder, SessionHolder
from scimd.org.mails import notices
from scimd.org.tokens.sealing import NotSealedHere, seal, unseal
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand

#: What the secrets of apps, and the digests of recovery codes, are sealed for.
SECRETS, CODES = "second factor", "recovery codes"
_NAME_AT_MOST = 100
_WORDS: dict[str, str] = {"totp": "an authenticator app", "passkey": "a passkey"}


@dataclass(frozen=True, slots=True)
class FactorRecord:
    id: str
    kind: rules.Kind
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Renewed:
    """``cookie``: the session's new text. ``codes``: new recovery codes, shown this once."""

    cookie: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewApp:
    """An authenticator app that is being set up: nothing is stored until a code of it was typed."""

    ticket: str
    secret: str
    uri: str


# ------------------------------------------------------------------------------ what there is


async def list_own(door: Door, holder: Holder) -> list[FactorRecord]:
    factor = second_factors.c
    query = select(second_factors).where(factor.org_id == holder.org_id, factor.person_id == holder.person_id)
    query = query.order_by(factor.created_at, factor.id)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _record(row: Any) -> FactorRecord:
    return FactorRecord(row.id, row.kind, row.name, row.created_at, row.last_used_at)


async def codes_left(door: Door, holder: Holder) -> int:
    """How many recovery codes were not used yet."""
    code = recovery_codes.c
    query = select(func.count()).where(
        code.org_id == holder.org_id, code.person_id == holder.person_id, code.used_at.is_(None)
    )
    return await door.read(lambda conn: conn.execute(query).scalar_one())


# ------------------------------------------------------------------------------ an authenticator app


def new_app(door: Door, holder: SessionHolder) -> NewApp:
    """A new secret to set up. Raises ProofNeeded."""
    sessions.require_proof(door, holder)
    secret = pyotp.random_base32()
    ticket = tickets.issue(door, "new_totp", {"secret": secret, "session": holder.session_id}, valid_s=900)
    return _shown(ticket, secret, holder)


def same_app(door: Door, holder: SessionHolder, ticket: str) -> NewApp:
    """The one that is being set up, to show it again. Raises LinkInvalid."""
    said = tickets.opened(door, "new_totp", ticket).said
    return _shown(ticket, said["secret"], holder)


def _shown(ticket: str, secret: str, holder: SessionHolder) -> NewApp:
    account = holder.address or holder.display_name
    return NewApp(ticket, secret, rules.provisioning_uri(secret, account, f"scimd {holder.organization}"))


async def add_app(door: Door, holder: SessionHolder, ticket: str, code: str) -> Renewed:
    """Add the authenticator app, proved by a code of it.

    Raises WrongCredentials for a code that does not fit, LinkInvalid for a ticket that is over or of
    another session, NotUnique where there is one, ProofNeeded.
    """
    sessions.require_proof(door, holder)
    opened = tickets.opened(door, "new_totp", ticket)
    secret = str(opened.said["secret"])
    if opened.said["session"] != holder.session_id:
        raise LinkInvalid
    window = rules.fitting_window(secret, code, door.clock(), after=0)
    if window is None:
        raise WrongCredentials

    def body(tx: Tx) -> Renewed:
        tickets.spend(tx, opened)
        if "totp" in credentials.kinds_of(tx.conn, tx.org_id, holder.person_id):
            raise NotUnique("second_factor", "authenticator app", holder.display_name)
        factor_id = tx.new_id()
        sealed = seal(tx.keys, SECRETS, secret.encode(), owner(tx.org_id, factor_id))
        return added(tx, holder, factor_id, "totp", "Authenticator app", sealed, counter=window)

    return await door.run(holder.context(door), body)


def owner(org_id: str, factor_id: str) -> str:
    """To whom the sealed value of a row belongs."""
    return f"{org_id}/{factor_id}"


def added(
    tx: Tx,
    holder: SessionHolder,
    factor_id: str,
    kind: rules.Kind,
    name: str,
    secret: bytes,
    *,
    counter: int,
    credential_id: bytes | None = None,
) -> Renewed:
    """Write a factor that was proved. The first one comes with recovery codes."""
    is_first = not credentials.kinds_of(tx.conn, tx.org_id, holder.person_id)
    tx.conn.execute(
        second_factors.insert().values(
            org_id=tx.org_id,
            id=factor_id,
            person_id=holder.person_id,
            kind=kind,
            name=name[:_NAME_AT_MOST],
            secret=secret,
            credential_id=credential_id,
            counter=counter,
            created_at=tx.now,
        )
    )
    after = {"kind": kind, "name": name[:_NAME_AT_MOST]}
    tx.record(Event(EventKind.SECOND_FACTOR_ADDED, "person", holder.person_id, after=after))
    notices.second_factor_changed(tx, holder.person_id, f"{_WORDS[kind]} was added")
    codes = _make_codes(tx, holder.person_id) if is_first else ()
    return Renewed(sessions.renew(tx, holder.session_id, strong=True), codes)


def use_app(tx: Tx, person_id: PersonId, code: str) -> bool:
    """Whether the code is the app's, now, and was not used before (A24): one UPDATE decides.

    Raises SecondFactorUnreadable where the key is gone that its secret was sealed under.
    """
    factor = second_factors.c
    mine = (factor.org_id == tx.org_id) & (factor.person_id == person_id) & (factor.kind == "totp")
    row = tx.conn.execute(select(factor.id, factor.secret, factor.counter).where(mine)).first()
    if row is None:
        return False
    try:
        secret = unseal(tx.keys, SECRETS, bytes(row.secret), owner(tx.org_id, row.id)).decode()
    except NotSealedHere as exc:
        raise SecondFactorUnreadable from exc
    window = rules.fitting_window(secret, code, tx.now, after=row.counter)
    if window is None:
        return False
    won = tx.conn.execute(
        update(second_factors)
        .where(mine, factor.counter < window)
        .values(counter=window, last_used_at=tx.now)
    )
    return won.rowcount == 1


# ------------------------------------------------------------------------------ recovery codes


def _digest(person_id: PersonId, code: str) -> bytes:
    """It is sealed as well, since 57 bits alone could be tried through."""
    return hashlib.sha256(f"{person_id}/{rules.bare_code(code)}".encode()).digest()


def _make_codes(tx: Tx, person_id: PersonId) -> tuple[str, ...]:
    code = recovery_codes.c
    tx.conn.execute(delete(recovery_codes).where(code.org_id == tx.org_id, code.person_id == person_id))
    made = tuple(rules.recovery_code(tx.chance.bytes(16)) for _ in range(rules.RECOVERY_CODES))
    rows = [_code_row(tx, person_id, each) for each in made]
    tx.conn.execute(recovery_codes.insert(), rows)
    after = {"codes": len(made)}
    tx.record(Event(EventKind.RECOVERY_CODES_MADE, "person", person_id, after=after))
    return made


def _code_row(tx: Tx, person_id: PersonId, code: str) -> dict[str, Any]:
    code_id = tx.new_id()
    sealed = seal(tx.keys, CODES, _digest(person_id, code), owner(tx.org_id, code_id))
    return {
        "org_id": tx.org_id,
        "id": code_id,
        "person_id": person_id,
        "sealed": sealed,
        "created_at": tx.now,
    }


async def new_codes(door: Door, holder: SessionHolder) -> tuple[str, ...]:
    """Ten new recovery codes; the older ones are dead. Raises ProofNeeded, NotAllowedNow."""
    sessions.require_proof(door, holder)

    def body(tx: Tx) -> tuple[str, ...]:
        if not credentials.kinds_of(tx.conn, tx.org_id, holder.person_id):
            raise NotAllowedNow("Recovery codes stand in for a second factor. Set one up first.")
        return _make_codes(tx, holder.person_id)

    return await door.run(holder.context(door), body)


def use_code(tx: Tx, person_id: PersonId, typed: str) -> bool:
    """Whether it is a recovery code of theirs that was not used yet; it is used up by this.

    Raises SecondFactorUnreadable where it is none that can be read, and there are others.
    """
    code = recovery_codes.c
    mine = (code.org_id == tx.org_id) & (code.person_id == person_id) & code.used_at.is_(None)
    unreadable, wanted = None, _digest(person_id, typed)
    for row in tx.conn.execute(select(code.id, code.sealed).where(mine)).all():
        try:
            kept = unseal(tx.keys, CODES, bytes(row.sealed), owner(tx.org_id, row.id))
        except NotSealedHere as exc:
            unreadable = exc
            continue
        if hmac.compare_digest(kept, wanted):
            won = tx.conn.execute(
                update(recovery_codes).where(mine, code.id == row.id).values(used_at=tx.now)
            ).rowcount
            if won == 1:
                tx.record(Event(EventKind.RECOVERY_CODE_USED, "person", person_id))
            return won == 1
    if unreadable is not None:
        raise SecondFactorUnreadable from unreadable
    return False


# ------------------------------------------------------------------------------ taking away


async def remove(door: Door, holder: SessionHolder, factor_id: str) -> str:
    """Remove one of one's own; gives the session's new cookie.

    Raises ProofNeeded, NotFound, and NotAllowedNow for the last one of somebody who must have one, or
    whose password is too short without it.
    """
    sessions.require_proof(door, holder)

    def body(tx: Tx) -> str:
        factor = second_factors.c
        mine = (factor.org_id == tx.org_id) & (factor.person_id == holder.person_id)
        rows = {row.id: row for row in tx.conn.execute(select(second_factors).where(mine))}
        if factor_id not in rows:
            raise NotFound("second factor", factor_id)
        if len(rows) == 1:
            _may_be_without(tx, holder)
        tx.conn.execute(delete(second_factors).where(mine, factor.id == factor_id))
        if len(rows) == 1:
            _drop_codes(tx, holder.person_id)
        row = rows[factor_id]
        before = {"kind": row.kind, "name": row.name}
        tx.record(Event(EventKind.SECOND_FACTOR_REMOVED, "person", holder.person_id, before=before))
        notices.second_factor_changed(tx, holder.person_id, f"{_WORDS[row.kind]} was removed")
        return sessions.renew(tx, holder.session_id, strong=False)

    return await door.run(holder.context(door), body)


def _may_be_without(tx: Tx, holder: SessionHolder) -> None:
    if rules.is_demanded(tx.settings.second_factor, holder.permissions):
        raise NotAllowedNow("Your role needs a second factor. Add another one before you remove this one.")
    if credentials.has_short_password(tx.conn, tx.org_id, holder.person_id):
        raise NotAllowedNow(
            "Your password is too short to be used alone. Set one of at least 15 characters first."
        )


def _drop_codes(tx: Tx, person_id: PersonId) -> None:
    code = recovery_codes.c
    tx.conn.execute(delete(recovery_codes).where(code.org_id == tx.org_id, code.person_id == person_id))


async def reset(door: Door, ctx: Context, person_ids: Sequence[PersonId]) -> None:
    """Take all second factors from people who lost theirs: an admin's act, like a password reset.

    They are signed out everywhere. A password that was too short to stand alone is dead, and a mail
    with a link to set another goes out. Raises NotFound, Forbidden, OwnAccount, NotAllowedNow for
    somebody who has none, or who would be left without a way in.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        for person_id in person_ids:
            by_hand.not_oneself(tx, person_id, "reset the second factors of")
            _reset(tx, by_hand.person(tx, person_id))

    await door.run(ctx, body)


def _reset(tx: Tx, row: Any) -> None:
    person_id, factor = PersonId(row.id), second_factors.c
    mine = (factor.org_id == tx.org_id) & (factor.person_id == person_id)
    kinds = [gone.kind for gone in tx.conn.execute(delete(second_factors).where(mine).returning(factor.kind))]
    if not kinds:
        raise NotAllowedNow(f"{row.display_name} has no second factor.")
    _drop_codes(tx, person_id)
    sessions.end_for(tx, [person_id], "second factors reset")
    if credentials.has_short_password(tx.conn, tx.org_id, person_id):
        if not row.sign_in_address:
            raise NotAllowedNow(f"{row.display_name} has no mail address to send a link to.")
        credentials.drop_password(tx, person_id)
        if links.leads_in(row):
            links.owe_set_password(tx, person_id, row.sign_in_address)
    notices.second_factor_changed(tx, person_id, "an admin removed all of them")
    before = {"kinds": sorted(kinds)}
    tx.record(Event(EventKind.SECOND_FACTOR_REMOVED, "person", person_id, before=before))
