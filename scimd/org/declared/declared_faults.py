"""What a file cannot know of itself: what of it is somebody else's here, and what it names and nobody has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from sqlalchemy import Connection, select

from scimd import config
from scimd.core.people import domain_key
from scimd.core.roles import BUILT_IN
from scimd.db.tables import organizations, roles, sources
from scimd.org.declared.declared_held import DOMAINS
from scimd.org.organizations.domains import proven
from scimd.org.organizations.organizations import find
from scimd.org.tokens import jwt_issuers


def contradictions(
    conn: Connection, wanted: config.Organization, before: Sequence[config.Organization] = ()
) -> dict[str, str]:
    """Why it cannot be as the file declares it, by what is held of it: a sentence for each, with the keys.

    ``before``: those that are brought to what the file says before this one.
    """
    # What one of these has now, the file gives to somebody else.
    mine = {f"{each.name}/{source.name}" for each in (*before, wanted) for source in each.source}
    found: dict[str, str] = {}
    for part, fault in chain(
        _domains_of_others(conn, wanted),
        _ended(conn, wanted),
        _priorities_of_others(conn, wanted),
        _issuers_of_others(conn, wanted, mine),
    ):
        found[part] = f"{found[part]} {fault}." if part in found else f"{fault}."
    return found


#: What of an organization it is about, named as what is held, and why.
_Fault: TypeAlias = tuple[str, str]


def _domains_of_others(conn: Connection, wanted: config.Organization) -> Iterator[_Fault]:
    held = proven(conn, [domain_key(each) for each in wanted.domains])
    slugs = select(organizations.c.id, organizations.c.slug).where(organizations.c.id.in_(held.values()))
    names = {row.id: row.slug for row in conn.execute(slugs)}
    for domain, holder in sorted(held.items()):
        if names[holder] != wanted.name:
            way = f"Take it out here, or there first (scimd domain remove {domain} --org {names[holder]})"
            yield DOMAINS, f"domains: {domain} is the organization {names[holder]}'s. {way}"


def _ended(conn: Connection, wanted: config.Organization) -> Iterator[_Fault]:
    query = (
        select(sources.c.name)
        .join(organizations, organizations.c.id == sources.c.org_id)
        .where(
            organizations.c.slug == wanted.name,
            sources.c.ended_at.is_not(None) | sources.c.ending.is_not(None),
        )
    )
    gone = set(conn.execute(query).scalars())
    for source in wanted.source:
        if source.name in gone:
            yield source.name, "a source of this name was ended; names are not given again. Take another"


def _priorities_of_others(conn: Connection, wanted: config.Organization) -> Iterator[_Fault]:
    stated = {source.name: source.priority for source in wanted.source if source.priority is not None}
    query = (
        select(sources.c.name, sources.c.priority)
        .join(organizations, organizations.c.id == sources.c.org_id)
        .where(organizations.c.slug == wanted.name, sources.c.ended_at.is_(None))
    )
    others = {row.priority: row.name for row in conn.execute(query) if row.name not in stated}
    for name, priority in stated.items():
        if priority in others:
            yield name, f"priority: {priority} is that of the source {others[priority]}. Give another"


def _issuers_of_others(
    conn: Connection, wanted: config.Organization, mine: Collection[str]
) -> Iterator[_Fault]:
    for source in wanted.source:
        if source.jwt is None:
            continue
        holder = jwt_issuers.holder(conn, source.jwt.issuer, source.jwt.audience)
        if holder is not None and holder not in mine:
            fault = f"jwt: issuer and audience are those of {holder}, and a pair belongs to one"
            yield (
                source.name,
                f"{fault}. Give others here, or there first; or end it: scimd source end {holder}",
            )


def leads_nowhere(conn: Connection | None, wanted: config.Organization) -> list[str]:
    """Names of roles and sources that nobody bears: a sentence each, with the key and what follows.

    ``conn`` None: before there is a database. An admin may make them later.
    """
    there = find(conn, wanted.name) if conn is not None else None
    known: Collection[str] = BUILT_IN
    named = {source.name for source in wanted.source}
    if conn is not None and there is not None:
        known = set(conn.execute(select(roles.c.name).where(roles.c.org_id == there.id)).scalars())
        live = select(sources.c.name).where(sources.c.org_id == there.id, sources.c.ended_at.is_(None))
        named |= set(conn.execute(live).scalars())
    return [f"organization {wanted.name}{fault}" for fault in _missing(wanted, known, named)]


def _missing(wanted: config.Organization, known: Collection[str], named: Collection[str]) -> Iterator[str]:
    there = ", ".join(sorted(known))
    for source in wanted.source:
        if source.ceiling not in known:
            yield (
                f", source {source.name}: ceiling: there is no role {source.ceiling!r} here; "
                f"there are {there}. The source gives nobody a role with permissions"
            )
        for rule in source.rule:
            if rule.role is not None and rule.role not in known:
                yield (
                    f", source {source.name}: rule {rule.number}: role: there is no role {rule.role!r} here; "
                    f"there are {there}. The rule gives nobody a role"
                )
    if wanted.oidc is not None and wanted.oidc.source is not None and wanted.oidc.source not in named:
        yield (
            f": oidc.source: there is no source {wanted.oidc.source!r}; there are "
            f"{', '.join(sorted(named)) or 'none'}. Nobody is found by {wanted.oidc.subject_claim}"
        )
