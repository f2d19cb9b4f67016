"""OAuth clients of SCIM sources (RFC 6749 §4.4): client credentials in, short-lived access tokens out.

Secrets and access tokens are 256 random bits, stored as SHA-256 and found by it. An access token is
alive while its client, the secret that fetched it and its source are: ending one of them counts at
the next request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from scimd.core.bearer import SCOPES, check_profile, scopes_of
from scimd.core.errors import NotAllowedNow
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.db.prepared import Prepared
from scimd.db.tables import access_tokens, oauth_clients, oauth_secrets, organizations, sources
from scimd.org import permissions
from scimd.org.generation import bump
from scimd.org.tokens.secrets import ACCESS_TOKEN, CLIENT_SECRET, is_secret, new_secret, token_hash
from scimd.org.tokens.tokens import (
    HOLDER_COLUMNS,
    SOURCE_COLUMNS,
    TokenHolder,
    has_ended,
    holder_of,
    lives,
    locked,
    scim_source,
    source_opens,
)
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand

#: So that a secret is changed without a gap, and no forgotten third one is left behind.
LIVE_SECRETS = 2
_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """``secret`` is shown this once. ``client_id`` is no secret."""

    client_id: TokenId
    secret_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class SecretRecord:
    id: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """``secrets``: those that work, the oldest first."""

    id: TokenId
    source_id: SourceId
    source_name: str
    name: str
    profile: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    secrets: tuple[SecretRecord, ...]


@dataclass(frozen=True, slots=True)
class ClientHolder:
    """A client that proved itself by its secret, as of this request."""

    org_id: OrgId
    client_id: TokenId
    secret_id: str
    name: str
    source_id: SourceId
    source_name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    token: str
    expires_at: datetime
    scopes: tuple[str, ...]


# ------------------------------------------------------------------------------ making, ending


async def create_client(
    door: Door,
    ctx: Context,
    source_id: SourceId,
    name: str,
    profile: str = "default",
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> NewSecret:
    """Make a client of a source and its first secret; ``scopes`` None: all, ``expires_at`` of the secret.

    Raises NotFound, InvalidValue, and Forbidden for whoever lacks what the source can give.
    """
    permissions.require(ctx, "sources.manage")
    check_profile(profile)
    allowed = scopes_of(scopes)

    def body(tx: Tx) -> NewSecret:
        source = scim_source(tx, source_id)
        by_hand.must_hold_what_it_gives(tx, source.id)
        client_id = TokenId(tx.new_id())
        tx.conn.execute(
            oauth_clients.insert().values(
                org_id=tx.org_id,
                id=client_id,
                source_id=source.id,
                name=name,
                profile=profile,
                scopes=allowed,
                created_at=tx.now,
            )
        )
        bump(tx)
        after = {"source": source.name, "name": name, "profile": profile, "scopes": allowed}
        tx.record(Event(EventKind.OAUTH_CLIENT_CREATED, "oauth_client", client_id, after=after))
        return _add_secret(tx, client_id, expires_at)

    return await door.run(ctx, body)


def _add_secret(tx: Tx, client_id: TokenId, expires_at: datetime | None) -> NewSecret:
    """Raises InvalidValue for one that would be dead from the first."""
    by_hand.must_lie_ahead(tx, expires_at)
    text, secret_id = new_secret(CLIENT_SECRET, tx.chance.bytes(32)), tx.new_id()
    tx.conn.execute(
        oauth_secrets.insert().values(
            org_id=tx.org_id,
            id=secret_id,
            client_id=client_id,
            hash=token_hash(text),
            created_at=tx.now,
            expires_at=expires_at,
        )
    )
    return NewSecret(client_id, secret_id, text)


async def rotate_secret(
    door: Door, ctx: Context, client_id: TokenId, overlap: timedelta, expires_at: datetime | None = None
) -> NewSecret:
    """Make a second secret; the first works for ``overlap`` longer. Access tokens live on to their end.

    Raises NotFound, NotAllowedNow where two are alive already: ``overlap`` zero ends them at once,
    InvalidValue for a past expiry, Forbidden as ``create_client`` does.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> NewSecret:
        row = locked(tx, oauth_clients, client_id, "client")
        by_hand.must_hold_what_it_gives(tx, SourceId(row.source_id))
        if row.revoked_at is not None:
            raise NotAllowedNow(f"The client {row.name} is revoked. Make a new one.")
        until, secret = tx.now + overlap, oauth_secrets.c
        theirs = (secret.org_id == tx.org_id) & (secret.client_id == client_id)
        lasting = lives(oauth_secrets, until)
        tx.conn.execute(update(oauth_secrets).where(theirs, lasting).values(expires_at=until))
        alive = select(secret.id).where(theirs, lives(oauth_secrets, tx.now))
        if len(tx.conn.execute(alive).all()) >= LIVE_SECRETS:
            raise NotAllowedNow(
                f"Two secrets of {row.name} still work. Wait for the end of the older one, or rotate with "
                "overlap 0, which ends both at once."
            )
        made = _add_secret(tx, client_id, expires_at)
        after = {"name": row.name, "old_ones_work_until": until.isoformat()}
        tx.record(Event(EventKind.OAUTH_CLIENT_ROTATED, "oauth_client", client_id, after=after))
        return made

    return await door.run(ctx, body)


async def revoke_client(door: Door, ctx: Context, client_id: TokenId) -> None:
    """End the client, its secrets and its access tokens at once. Revoking twice changes nothing."""
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> None:
        row = locked(tx, oauth_clients, client_id, "client")
        if row.revoked_at is not None:
            return
        for table, column in (
            (oauth_clients, oauth_clients.c.id),
            (oauth_secrets, oauth_secrets.c.client_id),
        ):
            tx.conn.execute(
                update(table)
                .where(table.c.org_id == tx.org_id, column == client_id, table.c.revoked_at.is_(None))
                .values(revoked_at=tx.now)
            )
        bump(tx)
        before = {"name": row.name}
        tx.record(Event(EventKind.OAUTH_CLIENT_REVOKED, "oauth_client", client_id, before=before))

    await door.run(ctx, body)


async def list_clients(door: Door, org_id: OrgId) -> list[ClientRecord]:
    """Live and dead ones, the newest first."""
    client, secret = oauth_clients.c, oauth_secrets.c
    query = (
        select(oauth_clients, sources.c.name.label("source_name"))
        .join(sources, (sources.c.org_id == client.org_id) & (sources.c.id == client.source_id))
        .where(client.org_id == org_id)
        .order_by(client.created_at.desc(), client.id.desc())
    )
    alive = select(oauth_secrets).where(secret.org_id == org_id, lives(oauth_secrets, door.clock()))

    def body(conn: Connection) -> list[ClientRecord]:
        by_client: dict[str, list[SecretRecord]] = {}
        for row in conn.execute(alive.order_by(secret.created_at, secret.id)):
            found = SecretRecord(row.id, row.created_at, row.expires_at, row.revoked_at)
            by_client.setdefault(row.client_id, []).append(found)
        return [_record(row, by_client.get(row.id, [])) for row in conn.execute(query)]

    return await door.read(body)


def _record(row: Any, secrets: Sequence[SecretRecord]) -> ClientRecord:
    return ClientRecord(
        id=TokenId(row.id),
        source_id=SourceId(row.source_id),
        source_name=row.source_name,
        name=row.name,
        profile=row.profile,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        secrets=tuple(secrets),
    )


# ------------------------------------------------------------------------------ fetching a token

_client_of = oauth_clients.c
_SECRET_PROOF = Prepared(
    select(
        oauth_secrets.c.org_id,
        oauth_secrets.c.id,
        oauth_secrets.c.expires_at,
        oauth_secrets.c.revoked_at,
        oauth_secrets.c.client_id,
        _client_of.name,
        _client_of.scopes,
        _client_of.revoked_at.label("client_revoked_at"),
        *SOURCE_COLUMNS,
    )
    .join(
        oauth_clients,
        (_client_of.org_id == oauth_secrets.c.org_id) & (_client_of.id == oauth_secrets.c.client_id),
    )
    .join(sources, (sources.c.org_id == _client_of.org_id) & (sources.c.id == _client_of.source_id))
    .where(oauth_secrets.c.hash == bindparam("hash"))
)


async def prove(door: Door, client_id: str, secret: str) -> ClientHolder | None:
    """Which client this is, by one statement; None, alike, for everything that is wrong.

    The secret is found by its hash, so there is no comparison whose time could tell anything.
    """
    if not is_secret(CLIENT_SECRET, secret):
        return None
    now, wanted = door.clock(), {"hash": token_hash(secret)}

    def body(conn: Connection) -> ClientHolder | None:
        row = _SECRET_PROOF.first(conn, wanted)
        if row is None or row.client_id != client_id or has_ended(row, now) or not source_opens(row):
            return None
        if row.client_revoked_at is not None:
            return None
        return ClientHolder(
            OrgId(row.org_id),
            TokenId(row.client_id),
            row.id,
            row.name,
            SourceId(row.source_id),
            row.source_name,
            tuple(row.scopes),
        )

    return await door.glance(body, one=True)


async def issue(
    door: Door, client: ClientHolder, scopes: Sequence[str], valid_for: timedelta, correlation_id: str
) -> IssuedToken:
    """An access token with these scopes, which the caller has found among the client's."""
    ctx = Context(
        client.org_id,
        Actor("token", client.client_id, client.name),
        "scim",
        correlation_id,
        source_id=client.source_id,
    )
    allowed = [scope for scope in SCOPES if scope in scopes and scope in client.scopes]

    def body(tx: Tx) -> IssuedToken:
        text, token_id, until = new_secret(ACCESS_TOKEN, tx.chance.bytes(32)), tx.new_id(), tx.now + valid_for
        tx.conn.execute(
            access_tokens.insert().values(
                org_id=tx.org_id,
                id=token_id,
                client_id=client.client_id,
                secret_id=client.secret_id,
                hash=token_hash(text),
                scopes=allowed,
                created_at=tx.now,
                expires_at=until,
            )
        )
        after = {"client": client.name, "scopes": allowed, "until": until.isoformat()}
        tx.record(Event(EventKind.ACCESS_TOKEN_ISSUED, "oauth_client", client.client_id, after=after))
        return IssuedToken(text, until, tuple(allowed))

    return await door.run(ctx, body)


# ------------------------------------------------------------------------------ using one

_PROOF = Prepared(
    select(
        access_tokens.c.scopes,
        access_tokens.c.expires_at,
        oauth_secrets.c.revoked_at.label("secret_revoked_at"),
        _client_of.id.label("client_id"),
        _client_of.name,
        _client_of.profile,
        _client_of.revoked_at,
        _client_of.last_used_at,
        *HOLDER_COLUMNS,
    )
    .join(
        oauth_clients,
        (_client_of.org_id == access_tokens.c.org_id) & (_client_of.id == access_tokens.c.client_id),
    )
    .join(
        oauth_secrets,
        (oauth_secrets.c.org_id == access_tokens.c.org_id)
        & (oauth_secrets.c.id == access_tokens.c.secret_id),
    )
    .join(sources, (sources.c.org_id == _client_of.org_id) & (sources.c.id == _client_of.source_id))
    .join(organizations, organizations.c.id == access_tokens.c.org_id)
    .where(access_tokens.c.hash == bindparam("hash"))
)


async def authenticate(door: Door, text: str) -> TokenHolder | None:
    """For whom an access token speaks, by one statement; None for one that opens nothing (any more).

    The holder's ``token_id`` is the client's: a new access token has no new rate, and the audit names
    who it was.
    """
    if not is_secret(ACCESS_TOKEN, text):
        return None
    now, wanted = door.clock(), {"hash": token_hash(text)}

    def body(conn: Connection) -> TokenHolder | None:
        row = _PROOF.first(conn, wanted)
        if row is None or has_ended(row, now) or not source_opens(row):
            return None
        if row.secret_revoked_at is not None:
            return None
        return _holder(row)

    return await door.glance(body, one=True)


def _holder(row: Any) -> TokenHolder:
    return holder_of(
        row,
        token_id=TokenId(row.client_id),
        token_name=row.name,
        profile=row.profile,
        scopes=frozenset(row.scopes),
        kind="client",
    )


async def forget_expired(door: Door) -> int:
    """Delete access tokens a day after their end. A job."""
    before = door.clock() - _KEPT

    def body(conn: Connection) -> int:
        return conn.execute(delete(access_tokens).where(access_tokens.c.expires_at < before)).rowcount

    return await door.db.write(body)
