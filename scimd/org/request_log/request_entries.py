"""From a request as it was seen to its entry in the request log: pseudonyms for values, and what scimd did.

The making of an entry costs some hundred microseconds, so the edge only keeps a ``Seen`` and goes on;
entries are made behind, in a thread. Nothing but ``Seen`` ever holds a value as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import unquote

import orjson

from scimd import log
from scimd.core import request_headers
from scimd.core.attributes import COMMON, GROUP, Attribute, Resolved, ResourceKind, Schema
from scimd.core.endpoints import plus_as_meant, segments_in_bulk, segments_of
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.core.pseudonyms import Pseudonyms
from scimd.core.request_pseudonyms import RequestPseudonyms, canonical_words
from scimd.core.request_texts import without_selections
from scimd.core.travelling import travels
from scimd.org.tokens.secrets import Keyring
from scimd.org.tokens.tokens import TokenHolder

logger = log.get(__name__)

#: By transform, the names that mean something once it was applied (``scim/quirks``): ``manager`` without its
#: URN, members within members.
_KNOWN_BY: Mapping[str, re.Pattern[str]] = {
    "entra.attribute-names": re.compile(r"manager(?:\..*)?", re.IGNORECASE | re.DOTALL),
    "ping.members-within-members": re.compile(r"(?:.*:)?members\.members", re.IGNORECASE | re.DOTALL),
}
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_KINDS = {"/Users": "User", "/Groups": "Group"}
_FIXED = frozenset(("ServiceProviderConfig", "ResourceTypes", "Schemas"))
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@travels
@dataclass(slots=True)  # not frozen, whose making costs twice as much: there is one of each request
class Seen:
    """A request as it came and what was answered. ``target``: path and query below ``/scim/v2``, or all of
    them where they are elsewhere.

    ``holder`` is None, and ``token_hash`` set, where the token opened nothing. ``users``: what a user
    of the source may have. Bodies are None where there was none, or it was never read.
    """

    at: datetime
    holder: TokenHolder | None
    token_hash: bytes | None
    correlation_id: str
    method: str
    target: str
    status: int
    duration_us: int
    request: bytes | None
    response: bytes | None
    headers: Mapping[str, str]
    transforms: tuple[tuple[str, str], ...]
    users: ResourceKind | None

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + len(self.request or b"") + len(self.response or b"") + len(self.target)


@travels
@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose request it is, as the log shows it."""

    org_id: OrgId
    token_id: TokenId
    token_name: str
    source_id: SourceId
    source_name: str
    profile: str
    scopes: tuple[str, ...] = ()


class Scribe:
    """Makes entries, one at a time. ``base_url``: the public address with ``/scim/v2``; ``at_most``: bytes
    of a body.
    """

    def __init__(self, keys: Keyring, base_url: str, at_most: int) -> None:
        self._keys = keys
        self._base_url = base_url
        self._at_most = at_most
        self._of: dict[tuple[OrgId, SourceId], tuple[ResourceKind | None, RequestPseudonyms]] = {}
        # Several threads share what is remembered.
        self._turn = Lock()

    def entry(self, seen: Seen, speaker: Speaker) -> dict[str, Any]:
        """The columns of ``scim_requests`` but for ``org_id``, ``id`` and ``dropped``."""
        with self._turn:
            return self._entry(seen, speaker)

    def _entry(self, seen: Seen, speaker: Speaker) -> dict[str, Any]:
        masks = self._masks(speaker, seen.users)
        masks.begin()
        raw_path, mark, raw_query = seen.target.encode("utf-8", "replace").decode().partition("?")
        segments = segments_of(raw_path)
        pattern = pattern_of(segments)
        masks.heard(unquote(raw_path), unquote(plus_as_meant(raw_query).replace("+", " ")))
        path, query = masks.address(raw_path), masks.query(raw_query) if mark else None
        message = seen.method == "PATCH" or pattern.endswith(("/.search", "/Bulk"))
        request, sent = self._body(masks, seen, seen.request, message=message)
        fixed = pattern.split("/")[1] in _FIXED
        response, answered = self._body(masks, seen, None if fixed else seen.response, answer=True)
        said: Mapping[str, Any] = answered if isinstance(answered, dict) and seen.status >= 400 else {}
        kind, resource_id = _touched(segments, pattern, seen.status, answered)
        omitted = [
            name
            for name, raw, kept in (("request", seen.request, request), ("response", seen.response, response))
            if raw and kept is None and not (fixed and name == "response")
        ]
        return {
            "at": seen.at,
            "token_id": speaker.token_id,
            "token_name": speaker.token_name,
            "source_id": speaker.source_id,
            "source_name": speaker.source_name,
            "profile": speaker.profile,
            "scopes": list(speaker.scopes),
            "correlation_id": seen.correlation_id,
            "method": seen.method if seen.method in METHODS else "?",
            "pattern": pattern,
            "path": _storable(path),
            "query": _storable(query) if query is not None else None,
            "status": seen.status,
            "scim_type": said.get("scimType"),
            "detail": _storable(masks.sentence(str(said["detail"]))) if "detail" in said else None,
            "duration_us": seen.duration_us,
            "headers": {
                name: _storable(value)
                for name, value in request_headers.kept(seen.headers, masks.url).items()
            },
            "transforms": [{"name": name, "did": did} for name, did in seen.transforms],
            "ignored": self._ignored(masks, seen, pattern, sent, answered),
            "resource_kind": kind,
            "resource_id": resource_id,
            "request": request,
            "response": response,
            "omitted": omitted,
            "bytes": 400 + len(request or "") + len(response or "") + len(path) + len(query or ""),
        }

    def _body(
        self,
        masks: RequestPseudonyms,
        seen: Seen,
        raw: bytes | None,
        *,
        message: bool = False,
        answer: bool = False,
    ) -> tuple[str | None, Any]:
        if not raw or len(raw) > self._at_most:
            return None, None
        try:
            made, parsed = masks.body(raw, message=message, answer=answer)
        except Exception:  # what nobody foresaw of a body must not keep its request out of the log
            logger.exception("request_body_not_logged", correlation_id=seen.correlation_id)
            return None, None
        return made.decode(), parsed

    def _ignored(
        self, masks: RequestPseudonyms, seen: Seen, pattern: str, sent: Any, answered: Any
    ) -> list[dict[str, str]]:
        if seen.status >= 400 or not isinstance(sent, dict):
            return []
        found: dict[str, str] = {}
        done = _operations(sent, answered) if pattern == "/Bulk" else [(seen.method, pattern, sent)]
        for method, at, body in done:
            kind = _kind_of(at, seen.users)
            if kind is not None:
                found.update(_patched(kind, body) if method == "PATCH" else ignored(kind, body))
        for transform, _ in seen.transforms:
            known = _KNOWN_BY.get(transform)
            if known is not None:
                found = {name: why for name, why in found.items() if not known.fullmatch(name)}
        return [{"name": _storable(masks.name(name)), "why": why} for name, why in found.items()]

    def _masks(self, speaker: Speaker, users: ResourceKind | None) -> RequestPseudonyms:
        key = speaker.org_id, speaker.source_id
        known = self._of.get(key)
        if known is not None and known[0] is users:
            return known[1]
        if len(self._of) >= 100:
            self._of.clear()
        kinds = (users, GROUP) if users is not None else None
        pseudonyms = pseudonyms_of(self._keys, speaker.org_id, users)
        made = RequestPseudonyms(pseudonyms, self._base_url, *(() if kinds is None else (kinds,)))
        self._of[key] = users, made
        return made


def pseudonyms_of(keys: Keyring, org_id: OrgId, users: ResourceKind | None = None) -> Pseudonyms:
    """The organization's own, under a key of its own that is made from ``secrets.key``."""
    key = next(iter(keys.live(_purpose(org_id)).values()))
    return Pseudonyms(key, canonical_words((users, GROUP)) if users is not None else canonical_words())


def every_pseudonyms_of(keys: Keyring, org_id: OrgId) -> Iterator[Pseudonyms]:
    """Under each key by which entries may have been made, the present one first."""
    for key in keys.live(_purpose(org_id)).values():
        yield Pseudonyms(key, canonical_words())


def _purpose(org_id: OrgId) -> str:
    return f"request-log/{org_id}"


# ------------------------------------------------------------------------------ what was asked for


def pattern_of(segments: Sequence[str] | None) -> str:
    """``/Users/{id}``, ``/`` for the root; ``/?`` for an address where nothing is."""
    match segments:
        case ():
            return "/"
        case [("Users" | "Groups" | "Roles" | "Entitlements" | "Bulk" | ".search" | "Me") as name]:
            return f"/{name}"
        case [name] if name in _FIXED:
            return f"/{name}"
        case [("Users" | "Groups" | "Roles" | "Entitlements") as name, ".search"]:
            return f"/{name}/.search"
        case [("Users" | "Groups" | "Roles" | "Entitlements" | "Schemas" | "ResourceTypes") as name, _]:
            return f"/{name}/{{id}}"
        case _:
            return "/?"


def _kind_of(pattern: str, users: ResourceKind | None) -> ResourceKind | None:
    if pattern in ("/Users", "/Users/{id}"):
        return users
    return GROUP if pattern in ("/Groups", "/Groups/{id}") else None


def _touched(
    segments: Sequence[str] | None, pattern: str, status: int, answered: Any
) -> tuple[str | None, str | None]:
    """The resource of an address, or the one that a POST made; no id where there is no such resource."""
    kind = _KINDS.get(pattern.removesuffix("/{id}"))
    if kind is None or segments is None:
        return None, None
    if len(segments) == 1:
        made = answered.get("id") if status == 201 and isinstance(answered, dict) else None
        return kind, made if isinstance(made, str) else None
    there = status not in (401, 404) and _ID.fullmatch(segments[1])
    return kind, segments[1] if there else None


def _storable(text: str) -> str:
    """Text that any database holds: no NUL, no half characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


# ------------------------------------------------------------------------------ what was ignored

_UNKNOWN = "scimd serves no such attribute"
_READ_ONLY = "it is read-only"
_NOT_KEPT = "scimd keeps no password"
_EXPECTED = frozenset(("schemas", "id", "meta"))  # every client sends them back; nobody wonders


def ignored(kind: ResourceKind, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of a resource that was sent has no effect, and why (docs/semantics.md)."""
    for name, value in body.items():
        schema = kind.schema_of(name) if ":" in name else None
        if schema is not None:
            yield from _within(schema, value)
        elif name.lower() not in _EXPECTED:
            row = kind.schema.find(name) or COMMON.find(name)
            found = _found(kind, name) if row is None else None
            if found is not None and not (found.attribute.multi and found.sub):
                row = found.target  # a key that is a path
            yield from _attribute(row, name, value)


def _within(schema: Schema, value: Any) -> Iterator[tuple[str, str]]:
    for name, each in value.items() if isinstance(value, Mapping) else ():
        if name.lower() != "schemas":
            yield from _attribute(schema.find(name), f"{schema.id}:{name}", each)


def _attribute(row: Attribute | None, name: str, value: Any) -> Iterator[tuple[str, str]]:
    if row is None:
        yield name, _UNKNOWN
    elif row.mutability == "readOnly":
        yield name, _READ_ONLY
    elif row.mutability == "writeOnly":
        yield name, _NOT_KEPT
    elif row.sub:
        for each in value if isinstance(value, list) else [value]:
            for part in each if isinstance(each, Mapping) else ():
                if row.find(part) is None:
                    yield f"{name}.{part}", _UNKNOWN


def _operations(sent: Mapping[str, Any], answered: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Of a bulk request, what was done: method, pattern and body of each operation.

    Which answer is whose is only known where there is one for each.
    """
    many, told = _under(sent, "operations"), _under(answered, "operations")
    if not isinstance(many, list) or not isinstance(told, list) or len(many) != len(told):
        return
    for each, result in zip(many, told, strict=True):
        method, path, data = (_under(each, name) for name in ("method", "path", "data"))
        if str(result.get("status")) < "4" and isinstance(path, str) and isinstance(method, str):
            body = {"Operations": data} if isinstance(data, list) else data
            if isinstance(body, Mapping):
                yield method.upper(), pattern_of(segments_in_bulk(path)), body


def _under(value: Any, name: str) -> Any:
    """What a JSON object has under a name, whatever its case."""
    items = value.items() if isinstance(value, Mapping) else ()
    return next((each for key, each in items if key.lower() == name), None)


def _patched(kind: ResourceKind, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    operations = _under(body, "operations")
    for each in operations if isinstance(operations, list) else ():
        given = {name.lower(): value for name, value in each.items()} if isinstance(each, Mapping) else {}
        path, value = given.get("path"), given.get("value")
        paths = [path] if isinstance(path, str) and path else [*value] if isinstance(value, Mapping) else []
        for one in paths:
            yield from _path(kind, one, value if one == path else (value or {})[one])


def _path(kind: ResourceKind, path: str, value: Any) -> Iterator[tuple[str, str]]:
    schema = kind.schema_of(path)
    if schema is not None:
        yield from _within(schema, value)
        return
    plain = without_selections(path)
    found = _found(kind, plain)
    if found is None:
        yield plain, _UNKNOWN
    elif found.attribute.name not in _EXPECTED:
        yield from _attribute(found.target, plain, value)


def _found(kind: ResourceKind, path: str) -> Resolved | None:
    uri, _, rest = path.rpartition(":")
    name, _, sub = rest.partition(".")
    return kind.resolve(uri or None, name, sub or None)


def parsed(text: str | None) -> Any:
    """A body of an entry as JSON."""
    return None if text is None else orjson.loads(text)
