"""Mail domains of an organization: declared by an operator, or proven by a DNS TXT record.

A proven domain lets sources link local people by address, and keeps its addresses from other
organizations. One domain belongs to one organization: whoever proves it first. A claim that is not
proven holds nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, domain_key
from scimd.db.locks import insert_ignore
from scimd.db.tables import domains
from scimd.org import permissions
from scimd.org.declared import declared_keys
from scimd.org.generation import bump
from scimd.org.organizations.dns_txt import LookUp
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Context, Door, Tx

PURPOSE = "domain"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}\Z){_LABEL}(?:\.{_LABEL})+")


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """``record``, ``value``: the TXT record that proves it; the same as long as the key lives."""

    domain: str
    verified_by: str  # operator | dns
    verified_at: datetime | None
    record: str
    value: str


def one_domain(text: str) -> str:
    """The domain as it is kept: small letters, names of other scripts as DNS has them.

    Raises InvalidValue for what is none, or is a whole top level.
    """
    name = domain_key(text.strip().removeprefix("@"))
    if not _DOMAIN.fullmatch(name):
        raise InvalidValue("domain", f"{text!r} is not a domain such as acme.example")
    return name


async def list_domains(door: Door, org_id: OrgId) -> list[DomainRecord]:
    """Proven and claimed ones, by name."""
    query = select(domains).where(domains.c.org_id == org_id).order_by(domains.c.domain_key)
    rows = await door.read(lambda conn: conn.execute(query).all())
    return [_record(door.keys, org_id, row.domain_key, row.verified_by, row.verified_at) for row in rows]


def _record(
    keys: Keyring, org_id: OrgId, domain: str, verified_by: str, verified_at: datetime | None
) -> DomainRecord:
    return DomainRecord(
        domain, verified_by, verified_at, f"_scimd.{domain}", _values(keys, org_id, domain)[0]
    )


def _values(keys: Keyring, org_id: OrgId, domain: str) -> list[str]:
    """What the record may say, by each live key: bound to this organization, and nobody's to guess."""
    said = f"{org_id}\n{domain}".encode()
    proofs = [hmac.new(key, said, hashlib.sha256).hexdigest()[:40] for key in keys.live(PURPOSE).values()]
    return [f"scimd-verification={proof}" for proof in proofs]


async def declare(door: Door, ctx: Context, text: str) -> DomainRecord:
    """An operator's word that the domain is the organization's. Raises Forbidden, NotUnique."""
    permissions.require_operator(ctx, "organization.manage")
    return await _write(door, ctx, one_domain(text), "operator", verified=True)


async def claim(door: Door, ctx: Context, text: str) -> DomainRecord:
    """Begin to prove a domain: gives the TXT record to publish. Claiming twice changes nothing."""
    permissions.require(ctx, "organization.manage")
    return await _write(door, ctx, one_domain(text), "dns", verified=False)


async def _write(door: Door, ctx: Context, domain: str, by: str, *, verified: bool) -> DomainRecord:
    def body(tx: Tx) -> DomainRecord:
        _must_be_free(tx, domain)
        row = {"org_id": tx.org_id, "domain_key": domain, "verified_by": by}
        made = tx.conn.execute(insert_ignore(tx.conn, domains), row).rowcount
        held = _get(tx.conn, tx.org_id, domain)
        if verified and held is None:
            return _prove(tx, domain, by)
        if made:
            tx.record(Event(EventKind.DOMAIN_CLAIMED, "domain", domain))
        return _record(tx.keys, tx.org_id, domain, by, held)

    return await door.run(ctx, body)


def _get(conn: Connection, org_id: OrgId, domain: str) -> datetime | None:
    """When it was proven; None for a claim. Raises NotFound."""
    row = conn.execute(
        select(domains.c.verified_at).where(domains.c.org_id == org_id, domains.c.domain_key == domain)
    ).first()
    if row is None:
        raise NotFound("domain", domain)
    proven: datetime | None = row.verified_at
    return proven


def proven(conn: Connection, names: Collection[str]) -> dict[str, OrgId]:
    """Which of these domains are proven, and by which organization."""
    query = select(domains.c.domain_key, domains.c.org_id).where(
        domains.c.domain_key.in_(names), domains.c.verified_at.is_not(None)
    )
    return {row.domain_key: OrgId(row.org_id) for row in conn.execute(query)}


def of_address(address: str) -> str:
    """The domain of a mail address, as it is compared."""
    return domain_key(address.rpartition("@")[2])


def anothers(conn: Connection, org_id: OrgId, names: Collection[str]) -> set[str]:
    """Which of these domains another organization has proven: their addresses are closed to this one."""
    return {name for name, owner in proven(conn, names).items() if owner != org_id}


def is_open(tx: Tx, address: str) -> bool:
    """Whether no other organization has proven the domain of this address."""
    return not anothers(tx.conn, tx.org_id, [of_address(address)])


def must_be_open(tx: Tx, address: str, field: str = "email") -> None:
    """Raise InvalidValue for an address, given as ``field``, whose domain another organization has proven."""
    refuse_closed(address, anothers(tx.conn, tx.org_id, [of_address(address)]), field)


def refuse_closed(address: str, closed: Collection[str], field: str = "email") -> None:
    """The same, of the domains that are ``closed`` (as ``anothers`` finds them)."""
    domain = of_address(address)
    if domain in closed:
        raise InvalidValue(field, f"the domain {domain} belongs to another organization")


def _must_be_free(tx: Tx, domain: str) -> None:
    if anothers(tx.conn, tx.org_id, [domain]):
        raise NotUnique("domain", domain, "another organization")


def _prove(tx: Tx, domain: str, by: str) -> DomainRecord:
    tx.conn.execute(
        update(domains)
        .where(domains.c.org_id == tx.org_id, domains.c.domain_key == domain)
        .values(verified_by=by, verified_at=tx.now)
    )
    bump(tx)
    tx.record(Event(EventKind.DOMAIN_VERIFIED, "domain", domain, after={"by": by}))
    return _record(tx.keys, tx.org_id, domain, by, tx.now)


async def verify(door: Door, ctx: Context, text: str, look_up: LookUp) -> DomainRecord:
    """Look whether the TXT record is there, and take the domain if it is.

    Raises NotFound for a domain that was not claimed, NotAllowedNow where the record is missing or
    says something else, NotUnique where another organization has proven it.
    """
    permissions.require(ctx, "organization.manage")
    domain = one_domain(text)
    proven = await door.read(lambda conn: _get(conn, ctx.org_id, domain))
    wanted = _record(door.keys, ctx.org_id, domain, "dns", proven)
    if proven is not None:
        return wanted
    found = [text.strip() for text in await look_up(wanted.record)]
    if not set(found) & set(_values(door.keys, ctx.org_id, domain)):
        said = f"it says {found[0][:80]!r}" if found else "there is none yet"
        raise NotAllowedNow(
            f"The TXT record {wanted.record} must say {wanted.value}; {said}. "
            "New records can take an hour to be seen everywhere."
        )

    def body(tx: Tx) -> DomainRecord:
        held = _get(tx.conn, tx.org_id, domain)
        _must_be_free(tx, domain)
        return _prove(tx, domain, "dns") if held is None else wanted

    return await door.run(ctx, body)


async def remove(door: Door, ctx: Context, text: str, *, file: str = declared_keys.THE_FILE) -> None:
    """Give a domain up: from now on it links nobody, and may be another organization's.

    Raises Forbidden, NotFound, NotAllowedNow for one that ``file`` declares.
    """
    permissions.require(ctx, "organization.manage")
    domain = one_domain(text)

    def body(tx: Tx) -> None:
        proven = _get(tx.conn, tx.org_id, domain)
        declared_keys.must_not_hold(tx, (declared_keys.of_domain(domain),), file)
        mine = (domains.c.org_id == tx.org_id) & (domains.c.domain_key == domain)
        tx.conn.execute(domains.delete().where(mine))
        if proven is not None:
            bump(tx)
        before = {"verified_at": proven.isoformat() if proven else None}
        tx.record(Event(EventKind.DOMAIN_REMOVED, "domain", domain, before=before))

    await door.run(ctx, body)
