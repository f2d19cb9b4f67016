"""What is derived from a document by the table: comparison keys, and times as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from scimd.core.attributes.common import COMMON
from scimd.core.attributes.kinds import ResourceKind
from scimd.core.attributes.rows import INDEXED, Attribute
from scimd.core.attributes.table import USER
from scimd.core.people import OBJECT, Document, fold

_NO_ROWS: Mapping[str, Attribute] = {}
#: Of XML Schema's dateTime (§3.2.7) what a ``datetime`` holds; its zones end 14 hours from UTC.
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,12})?(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))?",
    re.ASCII,
)
#: RFC 822's form of a zone.
_ZONE = re.compile(r"([+-]\d\d)(\d\d)$", re.ASCII)


def date_time(value: str, *, tolerant: bool = True) -> datetime | None:
    """A SCIM dateTime (RFC 7643 §2.3.5), in UTC where it names no zone; None for what is none.

    ``tolerant``: its letters may be small, and its zone may be without a colon, as Java's ``Z`` writes it.
    """
    if tolerant:
        value = _ZONE.sub(r"\1:\2", value.upper())
    if not _DATE_TIME.fullmatch(value):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=512)  # a transaction writes one moment into many documents
def moment(at: datetime) -> str:
    """A SCIM dateTime, in UTC: of one length, so that their order as text is their order in time."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:26] + "Z"


def fold_document(document: Mapping[str, Any], kind: ResourceKind = USER) -> Document:
    """The document with every case-insensitive string as its comparison key.

    Strings that no row describes (an extension that nobody declared) count as case-insensitive, as
    RFC 7643 §2.2 has it for attributes that say nothing.
    """
    known = kind.rows
    folded: Document = {}
    for key, value in document.items():
        row = known.get(key)
        if row is None:
            folded[key] = _fold_top(kind, key, value)
        elif type(value) is str and row.folds:
            folded[key] = value.lower() if value.isascii() else fold(value)  # fold, without a call for most
        elif type(value) is list:
            parts = row.by_name
            folded[key] = [
                _fold_parts(parts, each) if type(each) is dict else _fold_value(row, each) for each in value
            ]
        else:
            folded[key] = _fold_value(row, value)
    return folded


def _fold_top(kind: ResourceKind, key: str, value: Any) -> Any:
    schema = kind.schema_of(key) if ":" in key else None
    if schema is not None and isinstance(value, OBJECT):
        return _fold_parts(schema.by_name, value)
    return _fold_value(kind.schema.find(key) or COMMON.find(key), value)


def _fold_value(row: Attribute | None, value: Any) -> Any:
    if isinstance(value, str):
        if row is None or row.folds:
            return value.lower() if value.isascii() else fold(value)
        if row.type == "dateTime":
            at = date_time(value)
            return value if at is None else moment(at)
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_fold_value(row, each) for each in value]
    if isinstance(value, OBJECT):
        return _fold_parts(row.by_name if row is not None else _NO_ROWS, value)
    return value


def _fold_parts(rows: Mapping[str, Attribute], value: Mapping[str, Any]) -> Document:
    folded: Document = {}
    find = rows.get
    for name, each in value.items():
        if type(each) is bool:
            folded[name] = each
            continue
        row = find(name) or find(name.lower())
        if type(each) is str and (row is None or row.folds):
            folded[name] = each.lower() if each.isascii() else fold(each)
        else:
            folded[name] = _fold_value(row, each)
    return folded


#: What ``other_email_key`` has of a person with three addresses or more. None is ever written so.
SEVERAL = "*"


def columns_of(document: Mapping[str, Any]) -> dict[str, str | None]:
    """The comparison keys that ``assertions`` keeps beside the folded document.

    ``email_key`` is the primary address, else the first: what sorting by e-mail goes by
    (RFC 7644 §3.4.2.3). ``other_email_key`` is the other one of two; see ``SEVERAL``.
    """
    name = document.get("name")
    name = name if isinstance(name, OBJECT) else {}
    emails = [row for row in document.get("emails") or () if isinstance(row, OBJECT)]
    email = _key(_preferred(emails))
    return {
        "display_name_key": _shown_key(document.get("displayName")),
        "family_name_key": _key(name.get("familyName")),
        "given_name_key": _key(name.get("givenName")),
        "email_key": email,
        "other_email_key": _other(emails, email) if len(emails) > 1 else None,
    }


def _shown_key(value: Any) -> str | None:
    """As much of a name's comparison key as an index takes: names of that length may be equal in it alone."""
    key = _key(value)
    return None if key is None else key[:INDEXED]


def _key(value: Any) -> str | None:
    return fold(value) if isinstance(value, str) else None


def _preferred(rows: Sequence[Mapping[str, Any]]) -> Any:
    for row in rows:
        if row.get("primary") is True:
            return row.get("value")
    return rows[0].get("value") if rows else None


def _other(rows: Sequence[Mapping[str, Any]], email: str | None) -> str | None:
    others = {_key(row.get("value")) for row in rows} - {None, email}
    return SEVERAL if len(others) > 1 else next(iter(others), None)
