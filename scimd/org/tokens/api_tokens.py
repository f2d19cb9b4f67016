"""API tokens: *personal* ones of a person, and *service* ones with a name of their own.

A personal one allows what its person may at the moment of use, or the narrower set that it was
given; it ends with the person's sessions. A service one allows what it was given. Both are 256
random bits, stored as SHA-256, and looked up at each request, so that ending one counts at the next.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, select, update

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, TokenId
from scimd.core.roles import Permission
from scimd.core.standing import Status
from scimd.core.words import proper_name
from scimd.db.prepared import Prepared
from scimd.db.tables import api_tokens, organizations, people, unsettled
from scimd.org import permissions as may
from scimd.org.authentication import sessions
from scimd.org.authentication.sessions import Holder, SessionHolder
from scimd.org.rulebook import RuleBooks
from scimd.org.settling import admission
from scimd.org.tokens.secrets import API_TOKEN, is_secret, new_secret, token_hash
from scimd.org.tokens.tokens import NewToken, has_ended, is_to_be_touched, locked, touch
from scimd.org.tx import Actor, Context, Door, DoorName, Tx
from scimd.org.users import by_hand

Kind = Literal["personal", "service"]
#: Whoever has this makes, sees and ends the tokens of services, and ends those of people.
MANAGE = "organization.manage"
PERMISSIONS = frozenset(get_args(Permission))


@dataclass(frozen=True, slots=True)
class ApiTokenHolder(Holder):
    """Who is behind an API token, as of this request."""

    token_id: TokenId
    token_name: str
    kind: Kind

    def actor(self) -> Actor:
        if self.kind == "service":
            return Actor("token", self.token_id, self.token_name)
        name = f"{self.address or self.display_name} (token {self.token_name})"
        return Actor("person", self.person_id or "", name)

    def context(self, door: Door, via: DoorName | None = None) -> Context:
        return replace(Holder.context(self, door, via or "api"), api_token_id=self.token_id)


@dataclass(frozen=True, slots=True)
class ApiTokenRecord:
    """``permissions`` None: whatever the person may. ``display_name`` is the person's, None of a service."""

    id: TokenId
    kind: Kind
    name: str
    person_id: PersonId | None
    display_name: str | None
    permissions: tuple[str, ...] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None


# ------------------------------------------------------------------------------ making


async def create_personal(
    door: Door,
    ctx: Context,
    person_id: PersonId,
    name: str,
    *,
    permissions: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """Make a token of a person: one's own, or by an operator. ``permissions`` narrow it.

    Raises NotFound, Forbidden for another's, InvalidValue, NotAllowedNow for whoever may not sign in.
    """
    _by_hand_only(ctx)
    may.require_self(ctx, person_id)
    allowed = None if permissions is None else _known(permissions)

    def body(tx: Tx) -> NewToken:
        query = select(people.c.status, people.c.display_name, people.c.expires_at).where(
            people.c.org_id == tx.org_id, people.c.id == person_id, people.c.deleted_at.is_(None)
        )
        person = tx.conn.execute(query).first()
        if person is None:
            raise NotFound("person", person_id)
        is_over = admission.is_over(person.expires_at, tx.now)
        if person.status != Status.ACTIVE or is_over:
            raise NotAllowedNow(
                f"{person.display_name} may not sign in at present, and so can have no token."
            )
        return _insert(tx, "personal", person_id, name, allowed, expires_at)

    return await door.run(ctx, body)


async def create_own(
    door: Door,
    holder: SessionHolder,
    name: str,
    *,
    permissions: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """Make a token of one's own: it outlives the session. Raises ProofNeeded, and as ``create_personal``."""
    sessions.require_proof(door, holder)
    return await create_personal(
        door,
        holder.context(door),
        holder.person_id,
        name,
        permissions=permissions,
        expires_at=expires_at,
    )


async def create_service(
    door: Door,
    ctx: Context,
    name: str,
    permissions: Collection[str],
    *,
    expires_at: datetime | None = None,
) -> NewToken:
    """Make a token of a service, which may do what stands in ``permissions``: nothing that its maker may not.

    Raises Forbidden, InvalidValue.
    """
    _by_hand_only(ctx)
    may.require(ctx, MANAGE)
    allowed = _known(permissions)
    for permission in allowed:
        may.require(ctx, permission)

    return await door.run(ctx, lambda tx: _insert(tx, "service", None, name, allowed, expires_at))


def _by_hand_only(ctx: Context) -> None:
    """A stolen token must not outlive its end by making another."""
    if ctx.api_token_id is not None:
        raise NotAllowedNow(
            "An API token cannot create another one. Sign in on the page, or use the command line."
        )


def _known(permissions: Collection[str]) -> list[str]:
    if not permissions or not PERMISSIONS.issuperset(permissions):
        raise InvalidValue("permissions", f"must be some of {', '.join(sorted(PERMISSIONS))}")
    return sorted(set(permissions))


def _insert(
    tx: Tx,
    kind: Kind,
    person_id: PersonId | None,
    name: str,
    allowed: list[str] | None,
    expires_at: datetime | None,
) -> NewToken:
    name = proper_name(name, "name")
    by_hand.must_lie_ahead(tx, expires_at)
    token_id, text = TokenId(tx.new_id()), new_secret(API_TOKEN, tx.chance.bytes(32))
    tx.conn.execute(
        api_tokens.insert().values(
            org_id=tx.org_id,
            id=token_id,
            kind=kind,
            person_id=person_id,
            name=name,
            hash=token_hash(text),
            permissions=allowed,
            created_by=tx.ctx.actor.name,
            created_at=tx.now,
            expires_at=expires_at,
        )
    )
    after = {"kind": kind, "name": name, "person": person_id, "permissions": allowed}
    tx.record(Event(EventKind.API_TOKEN_CREATED, "api_token", token_id, after=after))
    return NewToken(token_id, text)


# ------------------------------------------------------------------------------ listing, ending


async def list_tokens(door: Door, ctx: Context, *, person_id: PersonId | None = None) -> list[ApiTokenRecord]:
    """Live and dead ones, the newest first: of one person, or all of the organization.

    One's own need no permission. Raises Forbidden.
    """
    if person_id is None or ctx.actor.id != person_id:
        may.require(ctx, MANAGE)
    token = api_tokens.c
    query = (
        select(api_tokens, people.c.display_name)
        .outerjoin(people, (people.c.org_id == token.org_id) & (people.c.id == token.person_id))
        .where(token.org_id == ctx.org_id)
        .order_by(token.created_at.desc(), token.id.desc())
    )
    if person_id is not None:
        query = query.where(token.person_id == person_id)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _record(row: Any) -> ApiTokenRecord:
    return ApiTokenRecord(
        id=TokenId(row.id),
        kind=row.kind,
        name=row.name,
        person_id=PersonId(row.person_id) if row.person_id else None,
        display_name=row.display_name,
        permissions=None if row.permissions is None else tuple(row.permissions),
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        last_used_at=row.last_used_at,
    )


async def revoke(door: Door, ctx: Context, token_id: TokenId) -> None:
    """End a token at once: one's own, or any with the permission. Revoking twice changes nothing.

    Raises NotFound, Forbidden.
    """

    def body(tx: Tx) -> None:
        row = locked(tx, api_tokens, token_id)
        # A service may end itself: it is what to do with a token that has leaked.
        if tx.ctx.actor.id not in (row.person_id, row.id):
            may.require(tx.ctx, MANAGE)
        if row.revoked_at is None:
            mine = (api_tokens.c.org_id == tx.org_id) & (api_tokens.c.id == token_id)
            tx.conn.execute(
                update(api_tokens).where(mine).values(revoked_at=tx.now, revoked_by=tx.ctx.actor.name)
            )
            before = {"name": row.name, "person": row.person_id}
            tx.record(Event(EventKind.API_TOKEN_REVOKED, "api_token", token_id, before=before))

    await door.run(ctx, body)


async def revoke_own(door: Door, ctx: Context, token_id: TokenId) -> None:
    """End one of one's own tokens. Raises NotFound, also for somebody else's."""
    column = api_tokens.c
    mine = select(column.id).where(
        column.org_id == ctx.org_id, column.id == token_id, column.person_id == ctx.actor.id
    )
    if await door.read(lambda conn: conn.execute(mine).first()) is None:
        raise NotFound("token", token_id)
    await revoke(door, ctx, token_id)


# ------------------------------------------------------------------------------ using

_MARKED = (
    select(unsettled.c.person_id)
    .where(unsettled.c.org_id == api_tokens.c.org_id, unsettled.c.person_id == api_tokens.c.person_id)
    .exists()
)
_PROOF = Prepared(
    select(
        api_tokens,
        people.c.display_name,
        people.c.sign_in_address,
        people.c.status,
        people.c.roles,
        people.c.deleted_at,
        people.c.expires_at.label("person_expires_at"),
        organizations.c.slug,
        organizations.c.name.label("organization"),
        organizations.c.kind.label("org_kind"),
        organizations.c.generation,
        _MARKED.label("unsettled"),
    )
    .join(organizations, organizations.c.id == api_tokens.c.org_id)
    .outerjoin(people, (people.c.org_id == api_tokens.c.org_id) & (people.c.id == api_tokens.c.person_id))
    .where(api_tokens.c.hash == bindparam("hash"))
)


def is_api_token(text: str) -> bool:
    """Whether the text can be an API token at all."""
    return is_secret(API_TOKEN, text)


async def authenticate(door: Door, text: str) -> ApiTokenHolder | None:
    """Whose token this is and what it allows now; None for one that opens nothing (any more)."""
    if not is_api_token(text):
        return None
    now, wanted = door.clock(), {"hash": token_hash(text)}

    def body(conn: Connection) -> tuple[ApiTokenHolder | None, bool]:
        row = _PROOF.first(conn, wanted)
        if row is None or has_ended(row, now):
            return None, False
        holder = _of_service(row) if row.kind == "service" else _of_person(conn, door.books, row, now)
        return holder, is_to_be_touched(row.last_used_at, now)

    holder, stale = await door.read(body)
    if holder is not None and stale:
        await door.note(lambda conn: touch(conn, api_tokens, holder.org_id, holder.token_id, now, now))
    return holder


def _of_service(row: Any) -> ApiTokenHolder:
    return _holder(row, row.name, (), frozenset(row.permissions))


def _of_person(conn: Connection, books: RuleBooks, row: Any, now: datetime) -> ApiTokenHolder | None:
    if row.status != Status.ACTIVE or row.deleted_at is not None:
        return None
    if admission.is_over(row.person_expires_at, now):
        return None
    held = sessions.entitled(conn, books, row)
    if held is None:
        return None
    allowed = held[1] if row.permissions is None else held[1].intersection(row.permissions)
    return _holder(row, row.display_name, held[0], allowed)


def _holder(row: Any, display_name: str, roles: Any, allowed: frozenset[str]) -> ApiTokenHolder:
    return ApiTokenHolder(
        org_id=OrgId(row.org_id),
        org_slug=row.slug,
        organization=row.organization,
        org_kind=row.org_kind,
        generation=row.generation,
        person_id=PersonId(row.person_id) if row.person_id else None,
        display_name=display_name,
        address=row.sign_in_address,
        roles=roles,
        permissions=allowed,
        token_id=TokenId(row.id),
        token_name=row.name,
        kind=row.kind,
    )
