"""For which source a signed token would speak: asked by its claims, before they are proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from scimd.core.people import TokenId
from scimd.db.among import one_of
from scimd.db.prepared import Prepared
from scimd.db.tables import jwt_issuers, organizations, sources
from scimd.org.tokens.tokens import HOLDER_COLUMNS, TokenHolder, holder_of, source_opens
from scimd.org.tx import Door


@dataclass(frozen=True, slots=True)
class Speaker:
    """The source for which such tokens speak. ``config``: a ``config.Jwt`` as JSON.

    ``holder`` is what a token's holder becomes, once the token is proved by that config; ``open``: whether
    the source takes pushes.
    """

    config: Mapping[str, Any]
    holder: TokenHolder
    open: bool


_SPEAKER = Prepared(
    select(
        jwt_issuers.c.id,
        jwt_issuers.c.config,
        jwt_issuers.c.last_used_at,
        *HOLDER_COLUMNS,
    )
    .join(sources, (sources.c.org_id == jwt_issuers.c.org_id) & (sources.c.id == jwt_issuers.c.source_id))
    .join(organizations, organizations.c.id == jwt_issuers.c.org_id)
    .where(jwt_issuers.c.issuer == bindparam("issuer"), one_of(jwt_issuers.c.audience))
)


async def speaker_of(door: Door, issuer: str, audiences: Sequence[str]) -> Speaker | None:
    """The one source that these claims name; None where there is none, several, or one that has ended.

    The claims are not proved yet: this only says by which keys they would have to be.
    """
    wanted = {"issuer": issuer, "keys": list(audiences)}

    def body(conn: Connection) -> Speaker | None:
        rows = _SPEAKER.all(conn, wanted)
        return _speaker(rows[0]) if len(rows) == 1 and rows[0].ended_at is None else None

    return await door.glance(body, one=True)


def _speaker(row: Any) -> Speaker:
    holder = holder_of(
        row,
        token_id=TokenId(row.id),
        token_name=row.config["issuer"],
        profile=row.config["profile"],
        scopes=frozenset(row.config["scopes"]),
        kind="issuer",
    )
    return Speaker(row.config, holder, source_opens(row))
