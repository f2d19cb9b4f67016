"""Passkeys (WebAuthn level 3): registered by their owner, used as a second factor or alone.

A passkey signs in alone where the authenticator verified its user by fingerprint, face or PIN: then it is
two factors in one. The relying party's id and origin come from ``server.public_url`` and nothing else.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, select, update

from scimd.core.errors import InvalidValue, LinkInvalid, MayNotSignIn, NotUnique, WrongCredentials
from scimd.core.people import OrgId, PersonId
from scimd.db.tables import organizations, people, second_factors
from scimd.org.authentication import attempts, sessions, sign_in, tickets
from scimd.org.authentication.second_factors import Renewed, added
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.authentication.tickets import Ticket
from scimd.org.settling import admission
from scimd.org.tx import Door, Tx

_COUNTER_AT_MOST = 2**31 - 1  # the column's; the signature counter has 32 bits without a sign


@dataclass(frozen=True, slots=True)
class RelyingParty:
    id: str
    origin: str

    @classmethod
    def of(cls, public_url: str) -> RelyingParty:
        """The one that ``server.public_url`` names."""
        parts = urlsplit(public_url)
        return cls(parts.hostname or "", f"{parts.scheme}://{parts.netloc}")

    @property
    def is_domain(self) -> bool:
        """Whether browsers keep passkeys for it: for no IP address (WebAuthn §5.1.3, "valid domain")."""
        try:
            ipaddress.ip_address(self.id)
        except ValueError:
            return bool(self.id)
        return False


@dataclass(frozen=True, slots=True)
class Challenge:
    """``options``: JSON for ``navigator.credentials``; ``ticket`` comes back with the answer."""

    ticket: str
    options: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``navigator.credentials.get`` gave, each part in base64url."""

    ticket: str
    id: str
    client_data: str
    authenticator_data: str
    signature: str


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What ``navigator.credentials.create`` gave, and what its owner calls it."""

    ticket: str
    id: str
    client_data: str
    attestation: str
    name: str


@dataclass(frozen=True, slots=True)
class Used:
    person_id: PersonId
    user_verified: bool


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(f"{text}===")


# ------------------------------------------------------------------------------ registering


async def new(door: Door, holder: SessionHolder, party: RelyingParty) -> Challenge:
    """What the browser needs to make a passkey. Raises ProofNeeded."""
    sessions.require_proof(door, holder)
    challenge = secrets.token_bytes(32)
    known = await door.read(lambda conn: _ids_of(conn, holder.org_id, holder.person_id))
    # Here and not above, as in all that follows: it takes pyasn1 and much of cryptography along, 6 MB
    # that most processes never have a use for.
    import webauthn
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name="scimd",
        user_id=_handle(holder.org_id, holder.person_id),
        user_name=holder.address or holder.display_name,
        user_display_name=holder.display_name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
    )
    said = {"challenge": _text(challenge), "session": holder.session_id}
    ticket = tickets.issue(door, "new_passkey", said)
    return Challenge(ticket, webauthn.options_to_json(options))


def _handle(org_id: str, person_id: str) -> bytes:
    """The user handle: 32 bytes that say nothing to anybody else (WebAuthn §14.6.1)."""
    return bytes.fromhex((org_id + person_id).replace("-", ""))


def _ids_of(conn: Connection, org_id: OrgId, person_id: PersonId) -> list[bytes]:
    factor = second_factors.c
    query = select(factor.credential_id).where(
        factor.org_id == org_id, factor.person_id == person_id, factor.kind == "passkey"
    )
    return [bytes(raw) for raw in conn.execute(query).scalars()]


async def add(door: Door, holder: SessionHolder, made: NewPasskey, party: RelyingParty) -> Renewed:
    """Add the passkey that the browser made.

    Raises LinkInvalid for a challenge that is over or of another session, InvalidValue for what is no
    answer to it, NotUnique for one that is known, ProofNeeded.
    """
    sessions.require_proof(door, holder)
    ticket = tickets.opened(door, "new_passkey", made.ticket)
    if ticket.said["session"] != holder.session_id:
        raise LinkInvalid
    response = {"clientDataJSON": made.client_data, "attestationObject": made.attestation}
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        verified = webauthn.verify_registration_response(
            credential=_credential(made.id, response),
            expected_challenge=_decoded(ticket.said["challenge"]),
            expected_rp_id=party.id,
            expected_origin=party.origin,
        )
    except (WebAuthnException, ValueError) as exc:
        raise InvalidValue("passkey", "the browser's answer does not match the request. Try again.") from exc
    name = " ".join(made.name.split()) or "Passkey"

    def body(tx: Tx) -> Renewed:
        tickets.spend(tx, ticket)
        known = select(second_factors.c.id).where(second_factors.c.credential_id == verified.credential_id)
        if tx.conn.execute(known).first() is not None:
            raise NotUnique("second_factor", "this passkey")
        return added(
            tx,
            holder,
            tx.new_id(),
            "passkey",
            name if name.isprintable() else "Passkey",
            verified.credential_public_key,
            counter=min(verified.sign_count, _COUNTER_AT_MOST),
            credential_id=verified.credential_id,
        )

    return await door.run(holder.context(door), body)


def _credential(credential_id: str, response: dict[str, str]) -> dict[str, Any]:
    return {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}


# ------------------------------------------------------------------------------ using


async def challenge(door: Door, party: RelyingParty, of: tuple[OrgId, PersonId] | None = None) -> Challenge:
    """What the browser needs to use a passkey: of that person, or to sign in alone any that it has."""
    raw = secrets.token_bytes(32)
    allowed: Sequence[bytes] = ()
    if of is not None:
        org_id, person_id = of
        allowed = await door.read(lambda conn: _ids_of(conn, org_id, person_id))
    import webauthn
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=raw,
        allow_credentials=[PublicKeyCredentialDescriptor(id=each) for each in allowed],
        user_verification=UserVerificationRequirement.PREFERRED
        if of is not None
        else UserVerificationRequirement.REQUIRED,
    )
    ticket = tickets.issue(door, "passkey", {"challenge": _text(raw)})
    return Challenge(ticket, webauthn.options_to_json(options))


def use(tx: Tx, challenge: Ticket, answer: Answer, party: RelyingParty) -> Used | None:
    """Whose passkey answered the challenge; None where none of this organization did.

    A signature counter that does not grow, as that of a copied authenticator, proves nothing.
    """
    factor = second_factors.c
    mine = (factor.org_id == tx.org_id) & (factor.credential_id == _bytes(answer.id))
    row = tx.conn.execute(select(second_factors).where(mine)).first()
    if row is None:
        return None
    response = {
        "clientDataJSON": answer.client_data,
        "authenticatorData": answer.authenticator_data,
        "signature": answer.signature,
    }
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        verified = webauthn.verify_authentication_response(
            credential=_credential(answer.id, response),
            expected_challenge=_decoded(challenge.said["challenge"]),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=bytes(row.secret),
            credential_current_sign_count=row.counter,
        )
    except (WebAuthnException, ValueError):
        return None
    counter = min(verified.new_sign_count, _COUNTER_AT_MOST)
    tx.conn.execute(update(second_factors).where(mine).values(counter=counter, last_used_at=tx.now))
    return Used(PersonId(row.person_id), verified.user_verified)


def _bytes(text: str) -> bytes:
    try:
        return _decoded(text)
    except ValueError:
        return b""


@dataclass(frozen=True, slots=True)
class _Owner:
    org_id: OrgId
    slug: str
    person_id: PersonId
    name: str


async def sign_in_alone(
    door: Door, answer: Answer, party: RelyingParty, *, ip: str, user_agent: str
) -> SignedIn:
    """Sign in by a passkey and nothing else; it names the account.

    Raises WrongCredentials for one that is unknown, did not verify its user, or answers wrongly;
    LinkInvalid for a challenge that is over; TooManyRequests; MayNotSignIn.
    """
    ticket = tickets.opened(door, "passkey", answer.ticket)
    owner = await door.read(lambda conn: _owner_of(conn, _bytes(answer.id)))
    if owner is None:
        raise WrongCredentials
    ctx = sessions.arriving(door, owner.org_id, owner.person_id, owner.name)
    attempt_id = await door.run(ctx, lambda tx: attempts.begin(tx, owner.person_id, owner.name, ip))

    def body(tx: Tx) -> SignedIn | str | None:
        tickets.spend(tx, ticket)
        used = use(tx, ticket, answer, party)
        if used is None or not used.user_verified:
            attempts.close(tx, attempt_id, success=False, reason="wrong passkey")
            return None
        cause = admission.why_not(tx.conn, tx.books, tx.org_id, owner.person_id, tx.now)
        attempts.close(tx, attempt_id, success=cause is None, reason=cause or "passkey")
        if cause is not None:
            return cause
        text = sign_in.open_session(tx, owner.person_id, ip, user_agent, "passkey", strong=True)
        return SignedIn(owner.slug, owner.person_id, text)

    outcome = await door.run(ctx, body)
    if isinstance(outcome, SignedIn):
        return outcome
    if outcome is None:
        raise WrongCredentials
    raise MayNotSignIn(outcome)


def _owner_of(conn: Connection, credential_id: bytes) -> _Owner | None:
    factor = second_factors.c
    query = (
        select(factor.org_id, factor.person_id, organizations.c.slug, people.c.sign_in_address)
        .add_columns(people.c.display_name)
        .join(people, (people.c.org_id == factor.org_id) & (people.c.id == factor.person_id))
        .join(organizations, organizations.c.id == factor.org_id)
        .where(factor.credential_id == credential_id, people.c.deleted_at.is_(None))
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    name = row.sign_in_address or row.display_name
    return _Owner(OrgId(row.org_id), row.slug, PersonId(row.person_id), name)
