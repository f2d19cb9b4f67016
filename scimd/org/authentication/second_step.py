"""The second step of a sign-in, and proving oneself anew within a session.

Until the second step is done there is no session: only a ticket, which is good for five minutes, for one
success, and for the password as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from scimd.core.errors import MayNotSignIn, Refusal, SecondFactorUnreadable, WrongCredentials
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId
from scimd.db.tables import people
from scimd.org.authentication import (
    attempts,
    credentials,
    passkeys,
    second_factors,
    sessions,
    sign_in,
    tickets,
)
from scimd.org.authentication.passkeys import Answer, RelyingParty
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.authentication.tickets import Ticket
from scimd.org.settling import admission
from scimd.org.tx import Context, Door, Tx

By = Literal["totp", "recovery", "passkey"]
_REASON = {"totp": "authenticator app", "recovery": "recovery code", "passkey": "passkey"}
_WHY: dict[type[Refusal], str] = {
    WrongCredentials: attempts.WRONG_SECOND,
    SecondFactorUnreadable: attempts.UNREADABLE,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What was given: a typed ``code``, or a passkey's ``answer`` to a challenge."""

    by: By
    code: str = ""
    answer: Answer | None = None
    party: RelyingParty | None = None


def waiting(door: Door, ticket: str) -> tuple[OrgId, PersonId]:
    """Whose second step the ticket is. Raises LinkInvalid."""
    said = tickets.opened(door, "second_step", ticket).said
    return OrgId(said["org"]), PersonId(said["person"])


async def complete(door: Door, ticket: str, proof: Proof, *, ip: str, user_agent: str) -> SignedIn:
    """Complete a sign-in.

    Raises WrongCredentials; SecondFactorUnreadable; TooManyRequests; LinkInvalid for a ticket that is
    over, was used, or is older than the password; MayNotSignIn for somebody who may no longer come in.
    """
    first = tickets.opened(door, "second_step", ticket)
    said = first.said
    org_id, person_id = OrgId(said["org"]), PersonId(said["person"])
    name = await door.read(lambda conn: _name(conn, org_id, person_id))
    ctx = sessions.arriving(door, org_id, person_id, name)
    challenge = _challenge(door, proof)
    attempt_id = await door.run(ctx, lambda tx: attempts.begin(tx, person_id, name, ip, second=True))

    def body(tx: Tx) -> SignedIn | Refusal:
        refusal = _refusal(tx, person_id, proof, challenge)
        if refusal is not None:
            _refuse(tx, person_id, attempt_id, ip, _WHY[type(refusal)])
            return refusal
        tickets.spend(tx, first)
        stored = credentials.password_of(tx.conn, tx.org_id, person_id)
        cause = admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now)
        if cause is None and sign_in.mark_of(stored) != said["mark"]:
            cause = "the password was changed meanwhile"
        if cause is not None:
            _refuse(tx, person_id, attempt_id, ip, cause)
            return MayNotSignIn(cause)
        attempts.close(tx, said["attempt"], success=True, reason=said["how"])
        attempts.close(tx, attempt_id, success=True, reason=_REASON[proof.by])
        text = sign_in.open_session(tx, person_id, ip, user_agent, said["how"], strong=True)
        return SignedIn(said["slug"], person_id, text, asks_password=stored is None and said["how"] == "link")

    outcome = await door.run(ctx, body)
    if isinstance(outcome, SignedIn):
        return outcome
    raise outcome


def _name(conn: Connection, org_id: OrgId, person_id: PersonId) -> str:
    query = select(people.c.sign_in_address, people.c.display_name).where(
        people.c.org_id == org_id, people.c.id == person_id
    )
    row = conn.execute(query).first()
    return "" if row is None else str(row.sign_in_address or row.display_name)


def _challenge(door: Door, proof: Proof) -> Ticket | None:
    return None if proof.answer is None else tickets.opened(door, "passkey", proof.answer.ticket)


def _refusal(tx: Tx, person_id: PersonId, proof: Proof, challenge: Ticket | None) -> Refusal | None:
    """Why the proof does not count, as a value: the attempt that failed is written all the same."""
    try:
        return None if _fits(tx, person_id, proof, challenge) else WrongCredentials()
    except SecondFactorUnreadable as exc:
        return exc


def _fits(tx: Tx, person_id: PersonId, proof: Proof, challenge: Ticket | None) -> bool:
    if proof.by == "totp":
        return second_factors.use_app(tx, person_id, proof.code)
    if proof.by == "recovery":
        return second_factors.use_code(tx, person_id, proof.code)
    if proof.answer is None or proof.party is None or challenge is None:
        return False
    tickets.spend(tx, challenge)
    used = passkeys.use(tx, challenge, proof.answer, proof.party)
    return used is not None and used.person_id == person_id


def _refuse(tx: Tx, person_id: PersonId, attempt_id: str, ip: str, why: str) -> None:
    attempts.close(tx, attempt_id, success=False, reason=why)
    after = {"ip": ip, "why": why}
    tx.record(Event(EventKind.SIGN_IN_FAILED, "person", person_id, after=after))


# ------------------------------------------------------------------------------ within a session


async def prove_by_password(door: Door, holder: SessionHolder, password: str, *, ip: str) -> str:
    """Prove oneself anew; gives the session's new cookie. Raises WrongCredentials, TooManyRequests."""
    await sign_in.prove_password(door, holder, password, ip=ip)
    return await door.run(
        holder.context(door), lambda tx: sessions.renew(tx, holder.session_id, strong=False)
    )


async def prove(door: Door, holder: SessionHolder, proof: Proof, *, ip: str) -> str:
    """As ``prove_by_password``, by a second factor."""
    ctx: Context = holder.context(door)
    name, session = holder.address or holder.display_name, holder.session_id
    challenge = _challenge(door, proof)
    attempt_id = await door.run(
        ctx, lambda tx: attempts.begin(tx, holder.person_id, name, ip, second=True, session=session)
    )

    def body(tx: Tx) -> str | Refusal:
        refusal = _refusal(tx, holder.person_id, proof, challenge)
        reason = _REASON[proof.by] if refusal is None else _WHY[type(refusal)]
        attempts.close(tx, attempt_id, success=refusal is None, reason=reason)
        return refusal or sessions.renew(tx, holder.session_id, strong=True)

    outcome = await door.run(ctx, body)
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
