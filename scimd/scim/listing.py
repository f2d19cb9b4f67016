"""The query parameters of a list → what to read (RFC 7644 §3.4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial

import orjson
from scim2_models.path import CompareOperator, Comparison, FilterNode

from scimd.core.attributes import GROUP, Resolved, ResourceKind
from scimd.core.resource import Projection, Resources, StoredUser, render_list, render_user
from scimd.org.reading.keyset import Position
from scimd.org.reading.reads import ListQuery
from scimd.scim import cursors
from scimd.scim.cursors import Cursor, opened, seal
from scimd.scim.errors import invalid_count, invalid_path, invalid_value, shown
from scimd.scim.exchange import Exchange
from scimd.scim.filter_local import bounds
from scimd.scim.filter_sql import filtered, sort
from scimd.scim.filter_values import Scope
from scimd.scim.filters import Evaluator

# No escapes, no controls, and short: what needs judging goes to the parser.
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f\ud800-\udfff]{1,256}')
_BY_NAME = re.compile(rf'[uU]ser[nN]ame [eE][qQ] "({_NAME.pattern})"')
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
            raise invalid_value("sortOrder", f"must be ascending or descending, not {shown(order)}")
        return cls(_sortable(path, kind), order.lower() == "descending")


class Pages:
    """How a list is paged: by index, or by cursor where the request has that parameter (RFC 9865).

    By index, a page that begins where one ended or began a moment ago goes on from there, as long as
    nobody came into the list or left it since; else, and where it is filtered or sorted, it is counted out.
    """

    def __init__(self, ex: Exchange, endpoint: str) -> None:
        self.ex = ex
        self._endpoint = endpoint
        self.by_cursor = "cursor" in ex.query
        self.cursor: Cursor | None = None
        settings = ex.settings
        if self.by_cursor:
            self.paging = self._from_cursor()
        else:
            self.paging = Paging.parse(ex.query, default=settings.default_page, at_most=settings.max_page)

    @cached_property
    def digest(self) -> str:
        """What the pages are pages of; a look-up of one is never asked."""
        return cursors.digest(self._endpoint, self.ex.query)

    def _from_cursor(self) -> Paging:
        ex = self.ex
        if "startIndex" in ex.query:
            raise invalid_value("startIndex", "a list is paged by index or by cursor, not by both")
        if ex.query["cursor"]:
            door = ex.door
            self.cursor = opened(ex.query["cursor"], self.digest, door.clock(), door.keys, self._owner)
        count = ex.query.get("count")
        if count is None:
            return Paging(1, self.cursor.count if self.cursor else ex.settings.default_page)
        if not _INTEGER.fullmatch(count) or int(count) < 0:
            raise invalid_count(f"must be from 0 to {ex.settings.max_page}, not {shown(count)}")
        wanted = min(int(count), ex.settings.max_page)
        if self.cursor is not None and wanted != self.cursor.count:
            raise invalid_count("it must stay as it was in the first query of this cursor")
        return Paging(1, wanted)

    @property
    def _owner(self) -> str:
        return f"{self.ex.holder.org_id}/{self.ex.holder.source_id}"

    def of(self, query: ListQuery, kind: ResourceKind) -> ListQuery:
        """The query with the place from which it goes on."""
        ex = self.ex
        if self.cursor is not None:
            here = self.cursor.kind == kind.name
            return replace(query, after=self.cursor.position if here else None, total=self.cursor.total)
        if self.by_cursor or self.paging.start_index == 1:
            return query
        known = ex.ends.get((self._owner, self.digest, self.paging.start_index))
        return query if known is None else replace(query, after=known[0], if_moves=known[1])

    def answer(
        self,
        resources: Resources,
        total: int,
        end: Position | None,
        kind: ResourceKind,
        before: Position | None = None,
        moves: int | None = None,
    ) -> bytes:
        """The ListResponse, with the cursor of the next page where there is one.

        ``moves``: how many came into the list or left it so far; None where places in it do not last.
        """
        if not self.by_cursor:
            start = self.paging.start_index
            if before is not None and moves is not None:
                self.ex.ends.put((self._owner, self.digest, start), (before, moves))
            if end is not None and moves is not None:
                self.ex.ends.put((self._owner, self.digest, start + resources.count), (end, moves))
            return render_list(resources, total, self.paging.start_index)
        return render_list(resources, total, None, self.following(kind.name, end, total) if end else None)

    def following(self, kind: str, end: Position | None, total: int) -> str:
        """A cursor for what comes behind ``end``."""
        ex = self.ex
        expires = ex.door.clock() + timedelta(seconds=ex.settings.cursor_valid_s)
        cursor = Cursor(kind, end, self.paging.count, total)
        return seal(cursor, self.digest, expires, ex.door.keys, self._owner)


def list_query(
    ex: Exchange,
    kind: ResourceKind,
    paging: Paging,
    meant: Callable[[FilterNode], FilterNode] = lambda node: node,
) -> ListQuery:
    """What the request asks to be listed.

    ``meant``: from the filter as it was sent to what it means for this kind.
    """
    sorting = Sorting.parse(ex.query, kind)
    text = ex.query.get("filter")
    name = looked_up(kind, text) if text is not None and sorting is None else None
    node = meant(ex.profile.read_filter(text)) if text is not None and name is None else None
    if node is not None and sorting is None:
        name = _named(kind, node)
    if name is not None:
        return ListQuery(user_name=name, start_index=paging.start_index, count=paging.count)
    scope = Scope(
        kind,
        ex.holder.org_id,
        ex.holder.source_id,
        ex.door.db.dialect,
        ex.settings.base_url,
        tolerant=ex.rules.tolerant,
    )
    asked = filtered(node, scope) if node is not None else None
    return ListQuery(
        where=asked.where if asked is not None else None,
        any_of=asked.any_of if asked is not None else (),
        nested=asked.nested if asked is not None else (),
        local=partial(bounds, node, scope, partial(_matches, ex, node)) if node is not None else None,
        sort=sort(sorting.by, sorting.descending, scope) if sorting else None,
        start_index=paging.start_index,
        count=paging.count,
    )


def _matches(ex: Exchange, node: FilterNode, stored: StoredUser) -> bool:
    """The filter on one whom no source asserts, and whose document therefore stands in no column."""
    everything = Projection(ex.users, only=frozenset(_everything(ex.users)))
    resource = orjson.loads(render_user(stored, ex.settings.base_url, everything))
    return Evaluator(ex.users, resource, tolerant=ex.rules.tolerant).visit(node)


def _everything(kind: ResourceKind) -> Iterable[tuple[str, ...]]:
    return (tuple(key.lower() for key in each.keys) for each in kind.attributes())


def looked_up(kind: ResourceKind, text: str) -> str | None:
    """The name in ``userName eq "…"``, which IdPs ask before each create; else None.

    The common path of ``condition``: the same answer without a parser and without building SQL.
    """
    match = _BY_NAME.fullmatch(text) if kind is not GROUP else None
    return match[1] if match is not None else None


def _named(kind: ResourceKind, node: FilterNode) -> str | None:
    """The same of a filter that is written in another way: with the URN, say, or without quotes."""
    if kind is GROUP or not isinstance(node, Comparison) or node.op is not CompareOperator.eq:
        return None
    path, value = node.attr_path, node.value
    found = kind.resolve(path.uri, path.attr, path.sub_attr)
    if str(found) != "userName" or not isinstance(value, str):
        return None
    return value if _NAME.fullmatch(value) else None


def sorted_by(path: str, kind: ResourceKind) -> Resolved | None:
    """What a sortBy names of this type, which may be nothing."""
    uri, _, rest = path.rpartition(":")
    name, dot, sub = rest.partition(".")
    return kind.resolve(uri or None, name, sub if dot else None)


def _sortable(path: str, kind: ResourceKind) -> Resolved:
    found = sorted_by(path, kind)
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
        raise invalid_value(name, f"must be a whole number, not {shown(text)}")
    return int(text)
