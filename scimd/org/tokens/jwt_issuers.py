"""Whose signed tokens speak for which source: (issuer, audience) is one source's in the installation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotUnique
from scimd.core.people import OrgId, SourceId
from scimd.db.tables import jwt_issuers, organizations, sources
from scimd.org.tx import Door, Tx


def declare(tx: Tx, source_id: SourceId, wanted: Mapping[str, Any] | None) -> None:
    """Bring the source's issuer to what its config says; None takes it away.

    Raises NotUnique where another source has the same issuer and audience. One that has ended has
    nothing any more.
    """
    column = jwt_issuers.c
    mine = (column.org_id == tx.org_id) & (column.source_id == source_id)
    before = tx.conn.execute(select(column.id, column.last_used_at).where(mine)).first()
    tx.conn.execute(delete(jwt_issuers).where(mine))
    if wanted is None:
        return
    pair = (column.issuer == wanted["issuer"]) & (column.audience == wanted["audience"])
    _must_be_free(tx, pair, wanted)
    tx.conn.execute(
        jwt_issuers.insert().values(
            org_id=tx.org_id,
            id=before.id if before else tx.new_id(),
            source_id=source_id,
            issuer=wanted["issuer"],
            audience=wanted["audience"],
            config=dict(wanted),
            created_at=tx.now,
            last_used_at=before.last_used_at if before else None,
        )
    )


def _must_be_free(tx: Tx, pair: ColumnElement[bool], wanted: Mapping[str, Any]) -> None:
    if holder(tx.conn, wanted["issuer"], wanted["audience"]) is not None:
        other = "another source of the installation"
        raise NotUnique("jwt", f"{wanted['issuer']} for {wanted['audience']}", holder=other)
    tx.conn.execute(delete(jwt_issuers).where(pair))


def holder(conn: Connection, issuer: str, audience: str) -> str | None:
    """The source for which they speak, as ``organization/source``; none that has ended."""
    column = jwt_issuers.c
    query = (
        select(organizations.c.slug, sources.c.name)
        .join(sources, sources.c.org_id == organizations.c.id)
        .join(jwt_issuers, (sources.c.org_id == column.org_id) & (sources.c.id == column.source_id))
        .where(column.issuer == issuer, column.audience == audience, sources.c.ended_at.is_(None))
    )
    row = conn.execute(query).first()
    return f"{row.slug}/{row.name}" if row else None


async def has_issuer(door: Door, org_id: OrgId, source_id: SourceId) -> bool:
    """Whether signed tokens speak for the source."""
    column = jwt_issuers.c
    query = select(column.id).where(column.org_id == org_id, column.source_id == source_id)
    return await door.read(lambda conn: conn.execute(query).first() is not None)
