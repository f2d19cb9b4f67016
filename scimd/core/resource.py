"""Stored SCIM resources, and their rendering: bytes spliced, nothing parsed on a plain read.

What is stored is the source's own attributes as JSON bytes that begin with ``schemas``. A read adds
groups or members, id and meta behind them; of an object, order means nothing. Only a projection
(``attributes``, ``excludedAttributes``; RFC 7644 §3.9) parses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from scimd.core.attributes import COMMON, SCIMD_URN, USER, Attribute, ResourceKind, moment
from scimd.core.people import Document
from scimd.core.travelling import travels

#: The parameters of a query (RFC 7644 §3.4.2, §3.9; RFC 9865 §2).
PARAMETERS = frozenset(
    ("filter", "sortBy", "sortOrder", "startIndex", "count", "attributes", "excludedAttributes", "cursor")
)
_NAMES = re.compile(r"[a-z$][\w-]*")
_ID_AT = len(b',"id":"')
_ADDED = ("schemas", "id", "meta", "groups", "members")


@travels
@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group in which a person is, directly or through another group."""

    group_id: str
    display: str
    direct: bool


@travels
@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the database has it. ``extension``: what scimd says of them, as a JSON object."""

    person_id: str
    document: bytes
    version: int
    rest: int
    created_at: datetime
    changed_at: datetime
    groups: tuple[GroupRef, ...] = ()
    extension: bytes | None = None


@travels
@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as the database has it, without members."""

    group_id: str
    document: bytes
    version: int
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A resource as it is answered, with its entity tag and its id."""

    tag: str
    body: bytes
    id: str


#: A user as a read finds them: document, ``meta_part``, rest, and what their groups are known by.
UserRow: TypeAlias = tuple[bytes, bytes, int, str | None]


# ------------------------------------------------------------------------------ stored form


def pack(document: Mapping[str, Any], kind: ResourceKind = USER) -> bytes:
    """A document as the bytes that are stored: ``schemas`` first, without what a read adds."""
    used = [extension.id for extension in kind.extensions if extension.id in document]
    rest = {key: value for key, value in document.items() if key not in _ADDED}
    return orjson.dumps({"schemas": [kind.schema.id, *used], **rest})


def as_stored(stored: bytes, packed: bytes) -> bytes:
    """``stored``, where ``packed`` is the same document: the order of keys says nothing (RFC 8259 §4).

    It changes no length either, so that most are told apart by that.
    """
    if len(stored) != len(packed) or stored == packed:
        return packed
    return stored if orjson.loads(stored) == orjson.loads(packed) else packed


def unpack(stored: bytes) -> Document:
    """The document that ``pack`` stored, without ``schemas``."""
    document: Document = orjson.loads(stored)
    document.pop("schemas", None)
    return document


# ------------------------------------------------------------------------------ rendering


def etag(version: int, rest: int = 0) -> str:
    """A weak entity tag: the document's version, then what scimd adds to it (docs/decisions/0007)."""
    return f'W/"{version}-{rest}"'


def user_location(person_id: str, base_url: str) -> str:
    return f"{base_url}/Users/{person_id}"


def group_location(group_id: str, base_url: str) -> str:
    return f"{base_url}/Groups/{group_id}"


def render_user(stored: StoredUser, base_url: str, projection: Projection | None = None) -> bytes:
    """The resource as JSON. ``base_url``: the configured address up to ``/scim/v2``.

    What scimd itself says of the person is shown where the projection asks for it.
    """
    meta = meta_part(stored.person_id, stored.created_at, stored.changed_at, stored.version)
    row = (stored.document, meta, stored.rest, None)
    spliced = splice_users((row,), {None: groups_part(stored.groups, base_url)}, base_url)
    return projected(b"".join(spliced.pieces), projection, stored.extension)


def meta_part(person_id: str, created_at: datetime, changed_at: datetime, version: int) -> bytes:
    """A user's id and meta as far as the document's last writing decides them: up to the version.

    Ids hold nothing that JSON would escape.
    """
    began = moment(created_at)
    ended = began if changed_at == created_at else moment(changed_at)
    return (
        f',"id":"{person_id}","meta":{{"resourceType":"User","created":"{began}","lastModified":"{ended}",'
        f'"version":"W/\\"{version}-'
    ).encode()


def id_in(meta: bytes) -> bytes:
    """The person's id in a ``meta_part``."""
    return meta[_ID_AT : meta.index(b'"', _ID_AT)]


def created_in(meta: bytes) -> datetime:
    """When the resource was made, in a ``meta_part``."""
    begin = meta.index(b'"created":"') + len(b'"created":"')
    return datetime.fromisoformat(meta[begin : meta.index(b'"', begin)].decode())


def version_in(meta: bytes) -> int:
    """The document's version, in a ``meta_part``."""
    return int(meta[meta.rindex(b'"') + 1 : -1])


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources one behind the other with commas between: ``count`` of them, in pieces to be joined once.

    A page is 140 kB: each further copy of it costs as much as a look-up.
    """

    count: int
    pieces: Sequence[bytes]

    @classmethod
    def of(cls, rendered: Sequence[bytes]) -> Resources:
        """Of whole ones."""
        return cls(len(rendered), (b",".join(rendered),))

    def __add__(self, other: Resources) -> Resources:
        between = (b",",) if self.count and other.count else ()
        return Resources(self.count + other.count, (*self.pieces, *between, *other.pieces))


def splice_users(rows: Sequence[UserRow], groups: Mapping[str | None, bytes], base_url: str) -> Resources:
    """Users as JSON, at half a microsecond each. ``groups``: made by ``groups_part``.

    ``base_url`` holds nothing that JSON would escape.
    """
    pieces: list[bytes] = []
    add = pieces.extend
    located = f'\\"","location":"{base_url}/Users/'.encode()
    tails: dict[int, bytes] = {}
    for document, meta, rest, known_by in rows:
        tail = tails.get(rest)
        if tail is None:
            tail = tails[rest] = b"%d%b" % (rest, located)
        add((document[:-1], groups[known_by], meta, tail, meta[_ID_AT : meta.index(b'"', _ID_AT)], b'"}},'))
    if pieces:
        pieces[-1] = b'"}}'
    return Resources(len(rows), pieces)


def groups_part(groups: Sequence[GroupRef], base_url: str) -> bytes:
    """A user's groups as a piece of the resource; nothing where there are none."""
    if not groups:
        return b""
    return b',"groups":' + orjson.dumps([_group_ref(each, base_url) for each in groups])


def render_group(
    stored: StoredGroup, base_url: str, projection: Projection | None = None, members: str | None = None
) -> bytes:
    """The resource as JSON. ``members``: as JSON, with commas between (``org.reading.reads``); None: without.

    No members are shown as an empty array, which RFC 7643 §2.5 lets stand for none: authentik's sync adds
    nobody to a group that has none to compare with (goauthentik/authentik#23950, 2026-11).
    """
    parts = [stored.document[:-1]]
    if members is not None:
        parts += (b',"members":[', members.encode(), b"]")
    location = group_location(stored.group_id, base_url)
    parts += (
        b',"id":"%s"' % stored.group_id.encode(),
        _group_meta(stored.created_at, stored.changed_at, location, etag(stored.version)),
    )
    return projected(b"".join(parts), projection)


def projected(resource: bytes, projection: Projection | None, extension: bytes | None = None) -> bytes:
    """The resource with what the projection asks for; only where it asks for something is it parsed."""
    if projection is None or projection.plain:
        return resource
    document = orjson.loads(resource)
    if extension is not None and projection.asks_for(SCIMD_URN):
        document[SCIMD_URN] = {**document.get(SCIMD_URN, {}), **orjson.loads(extension)}
        document["schemas"] = list(dict.fromkeys((*document["schemas"], SCIMD_URN)))
    return orjson.dumps(projection.select(document))


def render_list(
    resources: Resources, total: int, start_index: int | None, next_cursor: str | None = None
) -> bytes:
    """A ListResponse around resources that are rendered already (RFC 7644 §3.4.2, RFC 9865 §2)."""
    paging = b"" if start_index is None else b'"startIndex":%d,' % start_index
    if next_cursor is not None:
        paging = b'"nextCursor":%s,' % orjson.dumps(next_cursor)
    head = (
        b'{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],'
        b'"totalResults":%d,%s"itemsPerPage":%d,"Resources":[' % (total, paging, resources.count)
    )
    return b"".join((head, *resources.pieces, b"]}"))


def _group_meta(created: datetime, changed: datetime, location: str, version: str) -> bytes:
    began = moment(created).encode()
    return (
        b',"meta":{"resourceType":"Group","created":"%s","lastModified":"%s","location":%s,"version":%s}}'
        % (
            began,
            began if changed == created else moment(changed).encode(),
            orjson.dumps(location),
            orjson.dumps(version),
        )
    )


def _group_ref(group: GroupRef, base_url: str) -> dict[str, str]:
    return {
        "value": group.group_id,
        "$ref": group_location(group.group_id, base_url),
        "display": group.display,
        "type": "direct" if group.direct else "indirect",
    }


# ------------------------------------------------------------------------------ projection


@dataclass(frozen=True, slots=True)
class Projection:
    """Which attributes an answer carries (RFC 7644 §3.9, RFC 7643 §7 ``returned``).

    Both sets hold what ``Resolved.keys`` and a sub-attribute name, in lower case:
    ``("emails",)``, ``("emails", "value")``, ``("urn:…:user", "department")``.
    """

    kind: ResourceKind
    only: frozenset[tuple[str, ...]] | None = None
    without: frozenset[tuple[str, ...]] = frozenset()
    #: What the request itself wrote: shown, though it is else shown on request only (RFC 7643 §7).
    written: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, kind: ResourceKind, attributes: str | None, excluded: str | None) -> Projection:
        """From the two query parameters; names that scimd does not serve are passed over."""
        only = _paths(kind, attributes) if attributes and attributes.strip() else None
        return cls(kind, only, _paths(kind, excluded) if excluded else frozenset())

    @property
    def plain(self) -> bool:
        """Nothing to leave out but, perhaps, members or groups, which need not be read at all."""
        return self.only is None and not self.kind.hides and self.without <= {("members",), ("groups",)}

    def wants(self, name: str) -> bool:
        """Whether the answer may carry this top-level attribute."""
        if (name,) in self.without:
            return False
        return self.only is None or any(path[0] == name for path in self.only)

    def after(self, body: Any) -> Projection:
        """The same, in answer to a request that wrote this body."""
        return replace(self, written=frozenset(_mentioned(body))) if self.kind.hides else self

    def asks_for(self, urn: str) -> bool:
        """Whether something of an extension was asked for by name."""
        wanted = urn.lower()
        return self.only is not None and any(path[0] == wanted for path in self.only)

    def select(self, document: Mapping[str, Any]) -> Document:
        kept: Document = {}
        for key, value in document.items():
            schema = self.kind.schema_of(key) if ":" in key else None
            if schema is None:
                chosen = self._attribute((), self.kind.schema.find(key) or COMMON.find(key), key, value)
            else:
                chosen = self._extension(key, value)
            if chosen is not None:
                kept[key] = chosen
        return kept

    def _extension(self, urn: str, value: Mapping[str, Any]) -> Document | None:
        schema = self.kind.schema_of(urn)
        if schema is None:
            return None
        chosen = {
            name: part
            for name, each in value.items()
            if (part := self._attribute((urn.lower(),), schema.find(name), name, each)) is not None
        }
        return chosen or None

    def _attribute(self, above: tuple[str, ...], row: Attribute | None, name: str, value: Any) -> Any:
        if row is not None and row.returned == "always":
            return value
        path = (*above, name.lower())
        left_out = path in self.without or (above and above in self.without)
        if left_out or (row is not None and row.returned == "never"):
            return None
        if self.only is None:
            on_request = row is not None and row.returned == "request" and name.lower() not in self.written
            return None if on_request else self._parts(path, value, None)
        if path in self.only or (above and above in self.only):
            return self._parts(path, value, None)
        asked = frozenset(each[-1] for each in self.only if each[:-1] == path)
        return self._parts(path, value, asked) if asked else None

    def _parts(self, path: tuple[str, ...], value: Any, asked: frozenset[str] | None) -> Any:
        if isinstance(value, list):
            parts = [self._parts(path, each, asked) for each in value]
            return [part for part in parts if part not in (None, {})] or (None if value else [])
        if not isinstance(value, Mapping):
            return value if asked is None else None
        return {
            name: part
            for name, part in value.items()
            if (asked is None or name.lower() in asked) and (*path, name.lower()) not in self.without
        } or None


@dataclass(frozen=True, slots=True)
class View:
    """How resources are shown: under which address (up to ``/scim/v2``), with which attributes."""

    base_url: str
    projection: Projection


def _paths(kind: ResourceKind, text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(path for each in text.split(",") if (path := _path(kind, each.strip())) is not None)


def _mentioned(body: Any) -> Iterator[str]:
    """Every name in a body: its keys, and the words of the paths of a PATCH."""
    if isinstance(body, list):
        for each in body:
            yield from _mentioned(each)
    elif isinstance(body, Mapping):
        for key, value in body.items():
            text = value if key.lower() == "path" and isinstance(value, str) else key
            yield from _NAMES.findall(text.lower())
            yield from _mentioned(value)


def _path(kind: ResourceKind, text: str) -> tuple[str, ...] | None:
    schema = kind.schema_of(text)
    if schema is not None and schema is not kind.schema:
        return (schema.id.lower(),)
    uri, _, rest = text.rpartition(":")
    name, _, sub = rest.partition(".")
    found = kind.resolve(uri or None, name, sub or None) if name else None
    if found is None:
        return None
    return (*(key.lower() for key in found.keys), *((found.sub.name.lower(),) if found.sub else ()))
