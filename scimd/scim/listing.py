"""The query parameters of a list → what to read (RFC 7644 §3.4.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scimd.core.attributes import USER, Resolved, ResourceKind
from scimd.core.people import fold
from scimd.core.resource import Projection
from scimd.org.reads import ListQuery
from scimd.scim.errors import invalid_path, invalid_value, shown
from scimd.scim.exchange import Exchange
from scimd.scim.filter_sql import Scope, condition, order
from scimd.scim.filters import parse

# No escapes, no controls, and short: what needs judging goes to the parser.
_BY_NAME = re.compile(r'[uU]ser[nN]ame [eE][qQ] "([^"\\\x00-\x1f\x7f\ud800-\udfff]{1,256})"')
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FARTHEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Paging:
    start_index: int
    count: int

    @classmethod
    def parse(cls, query: Mapping[str, str], *, default: int, at_most: int) -> Paging:
        """startIndex below 1 is 1, count below 0 is 0 (§3.4.2.4); no number is an error."""
        start = _integer(query, "startIndex", 1)
        count = _integer(query, "count", default)
        return cls(min(max(start, 1), _FARTHEST), min(max(count, 0), at_most))


@dataclass(frozen=True, slots=True)
class Sorting:
    by: Resolved
    descending: bool

    @classmethod
    def parse(cls, query: Mapping[str, str], kind: ResourceKind) -> Sorting | None:
        """sortBy and sortOrder (§3.4.2.3); None where nothing is asked."""
        path = query.get("sortBy")
        if not path:
            return None
        order = query.get("sortOrder", "ascending")
        if order.lower() not in ("ascending", "descending"):
            raise invalid_value("sortOrder", f"ascending or descending is wanted, not {shown(order)}")
        return cls(_sortable(path, kind), order.lower() == "descending")


def list_query(ex: Exchange, kind: ResourceKind, projection: Projection) -> ListQuery:
    """What the request asks to be listed. Members and groups are read only where they are shown."""
    scope = Scope(
        kind,
        ex.holder.org_id,
        ex.holder.source_id,
        ex.door.db.dialect,
        ex.settings.base_url,
        tolerant=ex.rules.tolerant,
    )
    paging = Paging.parse(ex.query, default=ex.settings.default_page, at_most=ex.settings.max_page)
    sorting = Sorting.parse(ex.query, kind)
    text = ex.query.get("filter")
    key = looked_up(kind, text) if text is not None and sorting is None else None
    return ListQuery(
        where=condition(parse(text), scope) if text is not None and key is None else None,
        user_name_key=key,
        order=order(sorting.by, sorting.descending, scope) if sorting else (),
        start_index=paging.start_index,
        count=paging.count,
        with_groups=projection.wants("groups"),
        with_members=projection.wants("members"),
    )


def looked_up(kind: ResourceKind, text: str) -> str | None:
    """The folded name in ``userName eq "…"``, which IdPs ask before each create; else None.

    The common path of ``condition``: the same answer without a parser and without building SQL.
    """
    match = _BY_NAME.fullmatch(text) if kind is USER else None
    return fold(match[1]) if match is not None else None


def _sortable(path: str, kind: ResourceKind) -> Resolved:
    uri, _, rest = path.rpartition(":")
    name, _, sub = rest.partition(".")
    found = kind.resolve(uri or None, name, sub or None)
    if found is None:
        raise invalid_path(path, f"{kind.name} has no such attribute; see /Schemas")
    if found.target.type == "complex":
        # A complex attribute is sorted by its value, as it is filtered by it.
        value = found.attribute.find("value")
        if value is None:
            raise invalid_path(path, "it is complex: sort by one of its sub-attributes")
        found = Resolved(found.extension, found.attribute, value)
    if not found.attribute.filterable or not found.target.filterable:
        raise invalid_path(path, "it cannot be sorted by")
    return found


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise invalid_value(name, f"a whole number is wanted, not {shown(text)}")
    return int(text)
