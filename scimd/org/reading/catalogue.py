"""What a source may put into its users' ``roles`` and ``entitlements``."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, select

from scimd.core import catalogue
from scimd.core.attributes import ResourceKind
from scimd.core.catalogue import Offered
from scimd.core.extensions import users_with
from scimd.core.people import OrgId, SourceId
from scimd.db.tables import licences, sources
from scimd.org.reading.reads import source_of
from scimd.org.rulebook import rules_of
from scimd.org.tx import Context, Door


async def offered(door: Door, ctx: Context, what: Literal["Role", "Entitlement"]) -> list[Offered]:
    """The values, in the order of their names. Raises NotFound where the source has ended."""
    source_id = source_of(ctx)

    def body(conn: Connection) -> list[Offered]:
        book = door.books.of(conn, ctx.org_id)
        ruled = book.source(source_id).rules
        if what == "Role":
            return catalogue.roles(book.rules, source_id, ruled)
        names = select(licences.c.name).where(licences.c.org_id == ctx.org_id)
        return catalogue.entitlements(conn.execute(names).scalars(), ruled)

    return await door.read(body)


async def served_to(door: Door, org_id: OrgId, source_id: SourceId) -> tuple[ResourceKind, bool]:
    """What a user of this source may have, and whether a rule names a value of roles or entitlements."""
    query = select(sources.c.config).where(sources.c.org_id == org_id, sources.c.id == source_id)

    def body(conn: Connection) -> tuple[ResourceKind, bool]:
        config = conn.execute(query).scalar() or {}
        return users_with(config.get("extension") or ()), any(
            rule.value is not None for rule in rules_of(conn, org_id, source_id)
        )

    return await door.read(body)
