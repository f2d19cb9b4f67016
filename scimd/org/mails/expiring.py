"""Credentials that end soon, of every kind: what a notification is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.sql import ColumnElement

from scimd.core.people import OrgId, PersonId, TokenId
from scimd.db.tables import api_tokens, oauth_clients, oauth_secrets, sources, tokens
from scimd.org.tx import Door

Kind = Literal["token", "client_secret", "api_token"]


@dataclass(frozen=True, slots=True)
class Expiring:
    """``source_name`` is None of API tokens, ``person_id`` of everything but personal ones."""

    org_id: OrgId
    kind: Kind
    id: TokenId
    name: str
    source_name: str | None
    person_id: PersonId | None
    expires_at: datetime


async def within(door: Door, lead: timedelta, org_id: OrgId | None = None) -> list[Expiring]:
    """What is alive and ends within ``lead``, the soonest first: of one organization, or of all."""
    now = door.clock()
    queries = _queries(now, now + lead)

    def body(conn: Connection) -> list[Expiring]:
        found = []
        for kind, query in queries.items():
            rows = conn.execute(query if org_id is None else query.where(_table(kind).c.org_id == org_id))
            found += [_record(kind, row) for row in rows]
        return sorted(found, key=lambda each: (each.expires_at, each.id))

    return await door.read(body)


def _table(kind: Kind) -> Table:
    return {"token": tokens, "client_secret": oauth_secrets, "api_token": api_tokens}[kind]


def _queries(now: datetime, until: datetime) -> dict[Kind, Select[Any]]:
    def ends(table: Table) -> ColumnElement[bool]:
        at = table.c.expires_at
        return table.c.revoked_at.is_(None) & (at > now) & (at <= until)

    def of_source(table: Table) -> ColumnElement[bool]:
        return (sources.c.org_id == table.c.org_id) & (sources.c.id == table.c.source_id)

    token, secret, client, key = tokens.c, oauth_secrets.c, oauth_clients.c, api_tokens.c
    name = sources.c.name.label("source_name")
    return {
        "token": select(token.org_id, token.id, token.name, token.expires_at, name)
        .join(sources, of_source(tokens))
        .where(ends(tokens), sources.c.ended_at.is_(None)),
        "client_secret": select(secret.org_id, secret.id, client.name, secret.expires_at, name)
        .join(oauth_clients, (client.org_id == secret.org_id) & (client.id == secret.client_id))
        .join(sources, of_source(oauth_clients))
        .where(ends(oauth_secrets), sources.c.ended_at.is_(None)),
        "api_token": select(key.org_id, key.id, key.name, key.expires_at, key.person_id).where(
            ends(api_tokens)
        ),
    }


def _record(kind: Kind, row: Any) -> Expiring:
    person_id = getattr(row, "person_id", None)
    return Expiring(
        org_id=OrgId(row.org_id),
        kind=kind,
        id=TokenId(row.id),
        name=row.name,
        source_name=getattr(row, "source_name", None),
        person_id=PersonId(person_id) if person_id else None,
        expires_at=row.expires_at,
    )
