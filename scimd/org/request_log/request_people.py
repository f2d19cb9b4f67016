"""Whose requests: from what a person is called to what the request log has of them.

The log holds no name (docs/request-log.md). A request is somebody's by scimd's id of the resource, or by a
pseudonym: that of their id, or of what they are or were called, where it stands as a whole value in what was
asked. So are those of somebody who never arrived.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import orjson
from sqlalchemy import ColumnElement, Connection, false, func, or_, select

from scimd.core.people import OrgId, address_key, fold
from scimd.db.among import among
from scimd.db.tables import assertions, merged_people, people, scim_requests, sources
from scimd.org.request_log.request_entries import every_pseudonyms_of
from scimd.org.tx import Door

#: So many people may go by one text: an external id is a source's own.
_AT_MOST = 20
_a, _p, _m = assertions.c, people.c, merged_people.c


@dataclass(frozen=True, slots=True)
class Sought:
    """``ids`` of resources; ``of_ids`` and ``of_names`` are their pseudonyms, under each key that may have
    made them.
    """

    ids: frozenset[str]
    of_ids: frozenset[str]
    of_names: frozenset[str]


async def sought(door: Door, org_id: OrgId, who: str) -> Sought:
    """Whom an id, user name, external id or address means, or meant; nobody need be there."""

    def body(conn: Connection) -> tuple[set[str], set[str]]:
        ids = _ids(conn, org_id, who)
        return ids, {*_names(conn, org_id, ids), who} - {"", *ids}

    ids, names = await door.read(body)
    made = list(every_pseudonyms_of(door.keys, org_id))
    return Sought(
        frozenset(ids),
        frozenset(each.text(one) for each in made for one in ids),
        frozenset(each.text(one) for each in made for one in names),
    )


def _ids(conn: Connection, org_id: OrgId, who: str) -> set[str]:
    """Also of people who are gone, and those that were merged into each."""
    called = or_(_p.id == who, _p.local_user_name == who, _p.sign_in_key == address_key(who))
    mine = _a.source_id.in_(select(sources.c.id).where(sources.c.org_id == org_id))
    queries = (
        select(_p.id).where(_p.org_id == org_id, called),
        select(_a.person_id).where(_a.org_id == org_id, mine, _a.user_name_key == fold(who)),
        select(_a.person_id).where(_a.org_id == org_id, mine, _a.external_id == who),
        select(_m.person_id).where(_m.org_id == org_id, _m.id == who),
    )
    found = {each for query in queries for each in conn.execute(query.limit(_AT_MOST)).scalars()}
    gone = select(_m.id).where(_m.org_id == org_id, among(conn, _m.person_id, sorted(found)))
    return found | set(conn.execute(gone.limit(_AT_MOST)).scalars())


def _names(conn: Connection, org_id: OrgId, ids: Iterable[str]) -> Iterator[str]:
    wanted = sorted(ids)
    said = select(_a.user_name, _a.external_id).where(_a.org_id == org_id, among(conn, _a.person_id, wanted))
    own = select(_p.local_user_name, _p.sign_in_address).where(
        _p.org_id == org_id, among(conn, _p.id, wanted)
    )
    for query in (said, own):
        for row in conn.execute(query):
            yield from filter(None, row)


def concerns(person: Sought) -> ColumnElement[bool]:
    """Whether an entry is about them; of nobody none is.

    What was done to another user, which is most of the log, is not looked into.
    """
    of = scim_requests.c
    anothers = of.resource_id.is_not(None) & (of.resource_kind == "User") & (of.status < 400)
    return or_(of.resource_id.in_(sorted(person.ids)), ~anothers & or_(false(), *_said(person)))


def _said(person: Sought) -> Iterator[ColumnElement[bool]]:
    """An id wherever it stands; a name as a whole value, quoted, in a filter too."""
    request, query, path = (func.lower(each) for each in _TEXTS)
    for word in sorted(person.of_ids):
        for text in (request, query, path):
            yield text.contains(word.lower(), autoescape=True)
    for word in sorted(person.of_names):
        value = _in_json(word.lower())
        # How both begin is looked for first: hardly a body goes further.
        begins, within = _UNESCAPED.match(value), _in_json(value)[1:-1]
        yield request.contains(begins[0] if begins else "", autoescape=True) & or_(
            *(request.contains(text, autoescape=True) for text in (value, within))
        )
        yield query.contains(quote(value, safe="").lower(), autoescape=True)
        yield query.endswith(quote(f" {word}", safe="").lower(), autoescape=True)


_UNESCAPED = re.compile(r'"[^"\\]*')
_TEXTS = (scim_requests.c.request, scim_requests.c.query, scim_requests.c.path)


def _in_json(text: str) -> str:
    return orjson.dumps(text).decode()
