"""Whole resources as clients send them → documents as the door takes them (POST and PUT)."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from scimd.core.attributes import COMMON, Attribute, ResourceKind, Schema
from scimd.core.people import Document
from scimd.scim import plain
from scimd.scim.errors import ScimError, invalid_syntax, invalid_value
from scimd.scim.nesting import MAX_DEPTH, too_deep
from scimd.scim.values import DROPPED, Rules, refuse_unknown, taken

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
#: Of one document, without what a read adds: a page has two hundred, and who changes one writes all of it.
MAX_DOCUMENT_BYTES = 256 * 1024


def parse(body: bytes) -> Document:
    """A request's body as a JSON object, bounded in depth before it is parsed.

    A byte order mark before it is passed over (RFC 8259 §8.1): .NET's writers set one.
    """
    body = body.removeprefix(BOM_UTF8)
    if too_deep(body):
        raise invalid_syntax(f"The body nests deeper than {MAX_DEPTH} levels.")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        if "not valid UTF-8" in exc.msg:
            raise invalid_syntax("The body is not UTF-8, as JSON must be (RFC 8259 §8.1).") from exc
        if "surrogate" in exc.msg:
            raise invalid_value(
                "The body", "it contains half of a surrogate pair, which is not a character"
            ) from exc
        raise invalid_syntax(f"The body is not JSON: {exc.msg} at character {exc.pos}.") from exc
    if not isinstance(parsed, dict):
        raise invalid_syntax("The body must be a JSON object.")
    return parsed


def unfolded(kind: ResourceKind, body: Document) -> Document:
    """The body with the attributes of its main schema beside the others.

    Some send them below its URN, as an extension's (scim.dev's test suite does); what stands in both
    places is refused. Gives back the very body where there is nothing to do.
    """
    inner = body.get(kind.schema.id)
    if not isinstance(inner, Mapping):
        return body
    outer = {key: value for key, value in body.items() if key != kind.schema.id}
    for key in inner.keys() & outer.keys():
        raise invalid_value(key, "it was sent twice, beside the schema and below it")
    return {**outer, **inner}


def document_of(kind: ResourceKind, body: Mapping[str, Any], rules: Rules) -> Document:
    """The attributes that a client may write, checked, under their canonical names.

    Left out: what is read-only (RFC 7644 §3.5.1: ignored), ``password``, ``schemas``, members, which
    ``members_patch`` reads, and what is unassigned.
    """
    return bounded(_document(kind, body, rules, checked))


def replacement_of(kind: ResourceKind, body: Mapping[str, Any], rules: Rules) -> Document:
    """The same for a resource that is there: DROPPED stands where it keeps what it has; see ``settled``."""
    return _document(kind, body, rules, _looked_into)


def _document(
    kind: ResourceKind, body: Mapping[str, Any], rules: Rules, otherwise: Callable[..., Document]
) -> Document:
    _check_schemas(kind.schema.id, body, rules)
    plain_one = plain.document(kind, body)
    return require(kind, otherwise(kind, body, rules) if plain_one is None else plain_one)


def settled(fresh: Document, stored: Mapping[str, Any]) -> Document:
    """The replacement with what is stored in place of each DROPPED, in extensions too."""
    whole: Document = {}
    for name, value in fresh.items():
        if value is DROPPED:
            value = stored.get(name)
        elif ":" in name:
            value = settled(value, stored.get(name) or {})
        if value is not None and value != {}:
            whole[name] = value
    return whole


def checked(kind: ResourceKind, body: Mapping[str, Any], rules: Rules) -> Document:
    """The same as ``document_of`` without asking what is required."""
    return settled(_looked_into(kind, body, rules), {})


def _looked_into(kind: ResourceKind, body: Mapping[str, Any], rules: Rules) -> Document:
    kept: Document = {}
    for key, value in body.items():
        schema = kind.schema_of(key) if ":" in key else None
        if schema is not None and schema is not kind.schema:
            _put(kept, schema.id, _extension(schema, value, rules))
            continue
        row = kind.schema.find(key) or COMMON.find(key)
        if row is None:
            refuse_unknown(key, rules)
        elif row.name != "schemas":
            _put(kept, row.name, writable(row, value, row.name, rules))
    return kept


def writable(row: Attribute, value: Any, where: str, rules: Rules) -> Any:
    """The value to store or DROPPED; None for what is read-only, kept elsewhere (members), or never kept."""
    if row.mutability == "readOnly" or row.name == "members":
        return None
    value = taken(row, value, where, rules)
    # An empty externalId identifies nobody; two people would collide on it.
    if row.mutability == "writeOnly" or (row.name == "externalId" and value == ""):
        return None
    return value


def require(kind: ResourceKind, document: Document) -> Document:
    """Refuse a document that lacks what its schema requires."""
    for row in kind.schema.required:
        if not str(document.get(row.name) or "").strip():
            raise invalid_value(row.name, "it is required, and may not be empty")
    return document


def bounded(document: Document, before: int = 0) -> Document:
    """Refuse a document that is too long, unless it had as many bytes before."""
    size = len(orjson.dumps(document))
    if size > max(MAX_DOCUMENT_BYTES, before):
        raise ScimError(
            413,
            f"The resource would take {size} bytes without its members; more than {MAX_DOCUMENT_BYTES} are"
            " not kept. Send fewer or shorter values: a photo, say, as its address.",
        )
    return document


def _extension(schema: Schema, value: Any, rules: Rules) -> Document | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise invalid_value(schema.id, "must be an object")
    kept: Document = {}
    for key, each in value.items():
        row = schema.find(key)
        if row is not None:
            _put(kept, row.name, writable(row, each, f"{schema.id}:{row.name}", rules))
        elif key.lower() != "schemas":  # python-scim's clients put it inside extensions too
            refuse_unknown(f"{schema.id}:{key}", rules)
    return kept or None


def _put(kept: Document, name: str, value: Any) -> None:
    if name in kept:
        raise invalid_value(name, "it was sent twice, in different spellings")
    if value is not None:
        kept[name] = value


def check_message(urn: str, body: Mapping[str, Any], rules: Rules) -> None:
    """Refuse a message that does not say which it is; many clients leave that out (GitHub's of PATCH)."""
    if rules.refuse_unknown:
        _check_schemas(urn, body, rules)


def _check_schemas(urn: str, body: Mapping[str, Any], rules: Rules) -> None:
    schemas = body.get("schemas")
    if schemas is None or next(iter(body)) != "schemas":  # of two spellings, the first counts
        schemas = next((value for key, value in body.items() if key.lower() == "schemas"), None)
    if schemas is None:
        if rules.refuse_unknown:
            raise invalid_syntax(f"The body names no schemas; send {urn!r}.")
        return
    if not isinstance(schemas, list) or not all(isinstance(each, str) for each in schemas):
        raise invalid_syntax("schemas must be an array of strings.")
    if rules.refuse_unknown and urn.lower() not in (each.lower() for each in schemas):
        raise invalid_syntax(f"The body does not name the schema {urn!r}.")
