"""Bearer tokens of SCIM sources: shown once, stored as a hash, proved in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, Table, bindparam, select, update
from sqlalchemy.sql import ColumnElement

from scimd.core.bearer import check_profile, scopes_of
from scimd.core.errors import InvalidValue, NotAllowedNow, NotAuthenticated, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.core.seats import Policy
from scimd.core.travelling import travels
from scimd.db.kept import kept
from scimd.db.locks import lock_rows
from scimd.db.prepared import Prepared
from scimd.db.tables import jwt_issuers, oauth_clients, organizations, sources, tokens
from scimd.org import lately, permissions
from scimd.org.generation import bump
from scimd.org.sources.sources import SourceRecord, find
from scimd.org.tokens.secrets import is_token, new_token, token_hash
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand
from scimd.org.windows import Slice, Window, cut, narrowed

_TOUCH_EVERY = timedelta(minutes=1)
#: What a holder's ``token_id`` is the id of: a token, an OAuth client, an issuer of JWTs.
CredentialKind = Literal["token", "client", "issuer"]


@dataclass(frozen=True, slots=True)
class NewToken:
    """``token`` is shown this once."""

    id: TokenId
    token: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    id: TokenId
    source_id: SourceId
    source_name: str
    name: str
    profile: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    #: Until then the request log has this token's successful reads too.
    trace_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """For whom a token speaks, as of the request."""

    org_id: OrgId
    org_slug: str
    source_id: SourceId
    source_name: str
    token_id: TokenId
    token_name: str
    profile: str
    seats_on_scim: Policy
    generation: int
    scopes: frozenset[str]
    last_used_at: datetime | None = None
    kind: CredentialKind = "token"
    trace_until: datetime | None = None


# ------------------------------------------------------------------------------ making, revoking


async def create(
    door: Door,
    ctx: Context,
    source_id: SourceId,
    name: str,
    profile: str = "default",
    expires_at: datetime | None = None,
    scopes: Sequence[str] | None = None,
) -> NewToken:
    """Make a token for a source; ``scopes`` None: all.

    Raises NotFound, InvalidValue for an unknown profile or scope, or a past expiry, and Forbidden for
    whoever lacks what the source can give.
    """
    permissions.require(ctx, "sources.manage")
    check_profile(profile)
    allowed = scopes_of(scopes)

    def body(tx: Tx) -> NewToken:
        source = scim_source(tx, source_id)
        by_hand.must_hold_what_it_gives(tx, source.id)
        by_hand.must_lie_ahead(tx, expires_at)
        made = _insert(tx, source.id, name, profile, allowed, expires_at)
        after = {"source": source.name, "name": name, "profile": profile, "scopes": allowed}
        tx.record(Event(EventKind.TOKEN_CREATED, "token", made.id, after=after))
        return made

    return await door.run(ctx, body)


def scim_source(tx: Tx, source_id: SourceId) -> SourceRecord:
    """The source, which must be one that is pushed to. Raises NotFound, InvalidValue."""
    source = find(tx.conn, tx.org_id, source_id)
    if source.kind != "scim":
        raise InvalidValue("source", f"{source.name} is read by a connector; only SCIM sources have tokens")
    return source


def _insert(
    tx: Tx, source_id: SourceId, name: str, profile: str, scopes: list[str], expires_at: datetime | None
) -> NewToken:
    token_id, text = TokenId(tx.new_id()), new_token(tx.chance.bytes(32))
    tx.conn.execute(
        tokens.insert().values(
            org_id=tx.org_id,
            id=token_id,
            source_id=source_id,
            name=name,
            hash=token_hash(text),
            profile=profile,
            scopes=scopes,
            created_at=tx.now,
            expires_at=expires_at,
            given_until=expires_at,
        )
    )
    bump(tx)
    return NewToken(token_id, text)


async def rotate(door: Door, ctx: Context, token_id: TokenId, overlap: timedelta) -> NewToken:
    """Make the token's successor, which may do the same; the old one works for ``overlap`` longer at most.

    The successor lives as long as the old one was given when it was made, counted from now, though it was
    rotated before. Raises NotFound, NotAllowedNow for a token that is dead already, Forbidden as ``create``
    does.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> NewToken:
        old = locked(tx, tokens, token_id)
        by_hand.must_hold_what_it_gives(tx, SourceId(old.source_id))
        if has_ended(old, tx.now):
            raise NotAllowedNow(f"The token {old.name} has ended already. Make a new one: scimd token create")
        ends = old.given_until and tx.now + (old.given_until - old.created_at)
        until = min(old.expires_at or tx.now + overlap, tx.now + overlap)
        _write(tx, token_id, expires_at=until)
        made = _insert(tx, SourceId(old.source_id), old.name, old.profile, list(old.scopes), ends)
        after = {"name": old.name, "successor": made.id, "works_until": until.isoformat()}
        tx.record(Event(EventKind.TOKEN_ROTATED, "token", token_id, after=after))
        return made

    return await door.run(ctx, body)


async def revoke(door: Door, ctx: Context, token_id: TokenId) -> None:
    """End the token at once. Revoking twice changes nothing. Raises NotFound."""
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> None:
        row = locked(tx, tokens, token_id)
        if row.revoked_at is None:
            _write(tx, token_id, revoked_at=tx.now)
            bump(tx)
            tx.record(Event(EventKind.TOKEN_REVOKED, "token", token_id, before={"name": row.name}))

    await door.run(ctx, body)


def locked(tx: Tx, table: Table, credential_id: TokenId, what: str = "token") -> Row[Any]:
    """The row of a credential of any kind, before it is changed: of two who end or rotate one at once, the
    second sees what the first did. Raises NotFound."""
    mine = (table.c.org_id == tx.org_id) & (table.c.id == credential_id)
    rows = lock_rows(tx.conn, select(table).where(mine))
    if not rows:
        raise NotFound(what, credential_id)
    return rows[0]


def _write(tx: Tx, token_id: TokenId, **values: Any) -> None:
    mine = (tokens.c.org_id == tx.org_id) & (tokens.c.id == token_id)
    tx.conn.execute(update(tokens).where(mine).values(**values))


async def list_tokens(door: Door, org_id: OrgId, *, source_id: SourceId | None = None) -> list[TokenRecord]:
    """Live and dead ones, the newest first."""
    query = _of(org_id, source_id).order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def window(
    door: Door, org_id: OrgId, part: Window, *, source_id: str | None = None, live: bool | None = None
) -> Slice[TokenRecord]:
    """Tokens by the time at which they were made, or by ``name``."""
    query, alive = _of(org_id, source_id), lives(tokens, door.clock())
    if live is not None:
        query = query.where(alive if live else ~alive)
    sorts = {"name": tokens.c.name}
    return await door.read(lambda conn: cut(conn, query, part, sorts, tokens.c.id).map(_record))


def _of(org_id: OrgId, source_id: str | None) -> Select[Any]:
    """The organization's tokens; None: of all its sources."""
    query: Select[Any] = (
        select(tokens, sources.c.name.label("source_name"))
        .join(sources, (sources.c.org_id == tokens.c.org_id) & (sources.c.id == tokens.c.source_id))
        .where(tokens.c.org_id == org_id)
    )
    return narrowed(query, (tokens.c.source_id, source_id))


def _record(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=TokenId(row.id),
        source_id=SourceId(row.source_id),
        source_name=row.source_name,
        name=row.name,
        profile=row.profile,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        trace_until=row.trace_until,
    )


# ------------------------------------------------------------------------------ proving

#: What ``source_opens`` asks of a credential's row.
SOURCE_COLUMNS = (
    sources.c.id.label("source_id"),
    sources.c.name.label("source_name"),
    sources.c.state,
    sources.c.ended_at,
)
#: What ``holder_of`` asks of it.
HOLDER_COLUMNS = (
    *SOURCE_COLUMNS,
    organizations.c.id.label("org_id"),
    organizations.c.slug,
    organizations.c.seats_on_scim,
    organizations.c.generation,
)
_PROOF = Prepared(
    select(
        tokens.c.id,
        tokens.c.name,
        tokens.c.profile,
        tokens.c.scopes,
        tokens.c.expires_at,
        tokens.c.revoked_at,
        tokens.c.last_used_at,
        tokens.c.trace_until,
        *HOLDER_COLUMNS,
    )
    .join(sources, (sources.c.org_id == tokens.c.org_id) & (sources.c.id == tokens.c.source_id))
    .join(organizations, organizations.c.id == tokens.c.org_id)
    .where(tokens.c.hash == bindparam("hash"))
)


@lru_cache(maxsize=256)
def _hash_of(text: str) -> bytes | None:
    """What the database would hold of a token; None for what cannot be one."""
    return token_hash(text) if is_token(text) else None


async def authenticate(door: Door, text: str) -> TokenHolder | None:
    """Whose token this is, by one statement; None for every token that opens nothing (any more).

    A mistyped one is found out by its checksum, without the database. Expiry, revocation and the
    source's state are checked here and now, against the clock, whatever any job has done.
    """
    wanted = _hash_of(text)
    if wanted is None:
        return None

    def body(conn: Connection) -> _Proof | None:
        known = kept(conn)
        proof: _Proof | None = known.values.get(("token", wanted))
        if proof is None and (row := _PROOF.first(conn, {"hash": wanted})) is not None:
            proof = _Proof(row, _holder(row))
            known.put(("token", wanted), proof, 1000)
        return proof

    proof = await door.db.glance(body, one=True)
    return proof.holder if proof is not None and _opens(proof.row, door.clock()) else None


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the database says of a token; kept as long as nothing at all is committed."""

    row: Any
    holder: TokenHolder


def _opens(row: Any, now: datetime) -> bool:
    """Whether a credential does, by its row with its source's."""
    return source_opens(row) and not has_ended(row, now)


def has_ended(row: Any, now: datetime) -> bool:
    """Whether a credential was revoked or has expired; not every kind is, or does."""
    expires_at = getattr(row, "expires_at", None)
    return getattr(row, "revoked_at", None) is not None or (expires_at is not None and expires_at <= now)


def lives(table: Table, now: datetime) -> ColumnElement[bool]:
    """Rows of a table of credentials of which ``has_ended`` is not so."""
    at = table.c.expires_at
    return table.c.revoked_at.is_(None) & (at.is_(None) | (at > now))


def source_opens(row: Any) -> bool:
    """Whether the source of a credential, by its ``state`` and ``ended_at``, takes pushes."""
    return row.ended_at is None and row.state != "paused"


def _holder(row: Any) -> TokenHolder:
    return holder_of(
        row,
        token_id=TokenId(row.id),
        token_name=row.name,
        profile=row.profile,
        scopes=frozenset(row.scopes),
        trace_until=row.trace_until,
    )


def holder_of(row: Any, **credential: Any) -> TokenHolder:
    """Who is behind a credential of any kind: what its row says of organization and source, and the rest
    of ``TokenHolder`` as given."""
    return TokenHolder(
        org_id=OrgId(row.org_id),
        org_slug=row.slug,
        source_id=SourceId(row.source_id),
        source_name=row.source_name,
        seats_on_scim=row.seats_on_scim,
        generation=row.generation,
        last_used_at=row.last_used_at,
        **credential,
    )


@travels
@dataclass(frozen=True, slots=True)
class Shown:
    """A credential that opened when it was shown, under this generation of its organization.

    Whoever ends one raises the generation, so that nearly every transaction has nothing to look up.
    """

    kind: CredentialKind
    id: TokenId
    generation: int

    def check(self, tx: Tx) -> None:
        """Raises NotAuthenticated where it does not open any more: tokens end at once (threat model, V11)."""
        if tx.book.rules.version == self.generation:
            return
        table, source = _TABLES[self.kind], sources.c
        mine = (table.c.org_id == tx.org_id) & (table.c.id == self.id)
        here = (source.org_id == table.c.org_id) & (source.id == table.c.source_id)
        found = select(table, source.state, source.ended_at).join(sources, here).where(mine)
        row = tx.conn.execute(found).first()
        if row is None or not _opens(row, tx.now):
            raise NotAuthenticated


_Used = dict[tuple[CredentialKind, OrgId, TokenId], datetime]
_TABLES: dict[CredentialKind, Table] = {
    "token": tokens,
    "client": oauth_clients,
    "issuer": jwt_issuers,
}


class LastUsed:
    """When credentials were last used, collected in memory and written behind; one per process.

    Each is written once a minute at most. What a crash loses is under a minute of one column.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._noted: _Used = {}

    def note(self, holder: TokenHolder) -> None:
        """Cheap: called at each request."""
        now = self._door.clock()
        if is_to_be_touched(holder.last_used_at, now):
            self._noted[holder.kind, holder.org_id, holder.token_id] = now

    async def flush(self) -> int:
        """Write what was noted, in one transaction; gives how many."""
        noted, self._noted = self._noted, {}
        if noted:
            now = self._door.clock()
            await self._door.db.write(lambda conn: touch_last_used(conn, noted, now))
        return len(noted)


def touch_last_used(conn: Connection, noted: _Used, now: datetime) -> None:
    """Write the times, each as ``touch`` does."""
    for (kind, org_id, token_id), at in sorted(noted.items()):
        touch(conn, _TABLES[kind], org_id, token_id, at, now)


def is_to_be_touched(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether a use now is worth writing down."""
    return last_used_at is None or not lately.is_within(last_used_at, now, _TOUCH_EVERY)


def touch(
    conn: Connection, table: Table, org_id: OrgId, credential_id: TokenId, at: datetime, now: datetime
) -> None:
    """Write when a credential was last used, where what is stored is a minute old at least, or lies ahead
    of now."""
    used = table.c.last_used_at
    stale = used.is_(None) | ~lately.happened(used, now, _TOUCH_EVERY)
    mine = (table.c.org_id == org_id) & (table.c.id == credential_id)
    conn.execute(update(table).where(mine, stale).values(last_used_at=at))
