"""Attempts to sign in: rows that are written before anything is proved, and counted.

Limits are per account and network address together, and per address (``network_of``): somebody who
guesses locks himself out, never the owner of the account who comes from elsewhere. Only the second step,
which nobody reaches without the first, is counted per account from wherever it comes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update

from scimd.core.addresses import network_of
from scimd.core.errors import TooManyRequests
from scimd.core.people import PersonId, SessionId, address_key
from scimd.db.tables import login_attempts
from scimd.org import lately
from scimd.org.tx import Tx

WINDOW = timedelta(minutes=15)
#: An address (a whole office behind one NAT) may fail so many times as often as one account from it.
_PER_ADDRESS = 5
_PENDING, _PENDING_SECOND, WRONG_SECOND = "not finished", "second step not finished", "wrong second factor"
UNREADABLE = "second factor kept under a key that is gone"


def begin(
    tx: Tx,
    person_id: PersonId | None,
    address: str,
    ip: str,
    *,
    second: bool = False,
    session: SessionId | None = None,
) -> str:
    """Count, then write the attempt as a failed one: it is counted while it is checked.

    What is tried within a session is counted by that session alone: nobody else's failures from the same
    network come into it. Gives the attempt's id. Raises TooManyRequests.
    """
    network = network_of(ip) if session is None else f"session {session}"
    _hold_back(tx, address, network)
    if second:
        _hold_back_second(tx, person_id)
    reason = _PENDING_SECOND if second else _PENDING
    return _write(tx, person_id, address, ip, network, success=False, reason=reason)


def note(
    tx: Tx,
    person_id: PersonId | None,
    address: str,
    ip: str,
    *,
    reason: str,
    success: bool = True,
    origin: str | None = None,
) -> str:
    """Write an attempt of which is known how it ended; ``origin``: the application that reported it."""
    network = network_of(ip)
    return _write(tx, person_id, address, ip, network, success=success, reason=reason, origin=origin)


def _write(
    tx: Tx,
    person_id: PersonId | None,
    address: str,
    ip: str,
    network: str,
    *,
    success: bool,
    reason: str,
    origin: str | None = None,
) -> str:
    attempt_id = tx.new_id()
    tx.conn.execute(
        login_attempts.insert().values(
            org_id=tx.org_id,
            id=attempt_id,
            person_id=person_id,
            address=address,
            address_key=address_key(address),
            ip=ip,
            network=network,
            success=success,
            reason=reason,
            origin=origin,
            at=tx.now,
        )
    )
    return attempt_id


def close(tx: Tx, attempt_id: str, *, success: bool, reason: str) -> None:
    """Write down how it ended."""
    tx.conn.execute(
        update(login_attempts)
        .where(login_attempts.c.org_id == tx.org_id, login_attempts.c.id == attempt_id)
        .values(success=success, reason=reason)
    )


def withdraw(tx: Tx, attempt_id: str) -> None:
    """It was none."""
    mine = (login_attempts.c.org_id == tx.org_id) & (login_attempts.c.id == attempt_id)
    tx.conn.execute(delete(login_attempts).where(mine))


def is_first(tx: Tx, attempt_id: str, since: datetime) -> bool:
    """Whether no other attempt at its account has failed since then.

    Of several that are under way one is the first: else each would leave the count to another.
    """
    attempt, this = login_attempts.c, login_attempts.alias("this").c
    key = select(this.address_key).where(this.org_id == tx.org_id, this.id == attempt_id).scalar_subquery()
    query = select(attempt.id).where(
        attempt.org_id == tx.org_id,
        attempt.address_key == key,
        attempt.at >= since,
        (attempt.id < attempt_id) | ((attempt.id != attempt_id) & (attempt.reason != _PENDING)),
        attempt.origin.is_(None),
        ~attempt.success,
    )
    return tx.conn.execute(query.limit(1)).first() is None


def _hold_back(tx: Tx, address: str, network: str) -> None:
    attempt = login_attempts.c
    # What applications report is theirs to hold back: counted here, it would be a way to lock people out.
    ours = attempt.origin.is_(None) & ~attempt.success
    since = (attempt.network == network) & lately.happened(attempt.at, tx.now, WINDOW) & ours
    mine = (attempt.org_id == tx.org_id) & (attempt.address_key == address_key(address))
    limit = tx.settings.sign_in_attempts
    row = tx.conn.execute(
        select(
            func.count().label("all"),
            func.count().filter(mine).label("mine"),
            func.min(attempt.at).label("oldest"),
            func.min(attempt.at).filter(mine).label("my_oldest"),
        ).where(since)
    ).one()
    # Until both limits allow another one.
    full = [row.oldest] if row.all >= limit * _PER_ADDRESS else []
    full += [row.my_oldest] if row.mine >= limit else []
    if full:
        raise TooManyRequests(lately.over_in_s(max(full), tx.now, WINDOW))


def _hold_back_second(tx: Tx, person_id: PersonId | None) -> None:
    attempt = login_attempts.c
    row = tx.conn.execute(
        select(func.count().label("all"), func.min(attempt.at).label("oldest")).where(
            attempt.org_id == tx.org_id,
            attempt.person_id == person_id,
            attempt.origin.is_(None),
            lately.happened(attempt.at, tx.now, WINDOW),
            attempt.reason.in_((_PENDING_SECOND, WRONG_SECOND, UNREADABLE)),
        )
    ).one()
    if row.all >= tx.settings.sign_in_attempts:
        raise TooManyRequests(lately.over_in_s(row.oldest, tx.now, WINDOW))
