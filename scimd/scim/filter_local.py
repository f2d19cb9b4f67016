"""Filters on local people whom a source could link: nobody stored their documents, nor folded them.

The third visitor over the tree: what SQL can tell of ``people`` and their profiles, as bounds. What lies
between them is judged in memory, and is little: texts that are not ASCII, which no database folds as
``people.fold`` does, and attributes that local profiles seldom have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    and_,
    case,
    cast,
    collate,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from scimd.core.attributes import ENTERPRISE_URN, Resolved
from scimd.core.resource import StoredUser
from scimd.db.tables import people
from scimd.org.identities.linkable import Bounds
from scimd.scim.filter_values import Condition, Scope, Values
from scimd.scim.filters import Binder, Test, alternatives

_p = people.c
#: The key of the address is in another form than the address, which is what a filter is about.
_OTHER_FORM = func.lower(_p.sign_in_address).is_distinct_from(_p.sign_in_key)


def bounds(node: FilterNode, scope: Scope, fits: Callable[[StoredUser], bool]) -> Bounds:
    """A filter that ``filter_sql.condition`` takes, on ``people``; ``fits``: its evaluation in memory."""
    found = _Local(scope).visit(node)
    return Bounds(found.surely, found.maybe, fits)


@dataclass(frozen=True, slots=True)
class _Known:
    """Whoever is ``surely`` fits, whoever fits is ``maybe``; neither is ever NULL."""

    surely: Condition
    maybe: Condition

    @classmethod
    def exactly(cls, condition: Condition) -> _Known:
        return cls(condition, condition)

    @property
    def exact(self) -> bool:
        return self.surely is self.maybe

    def __invert__(self) -> _Known:
        surely = not_(self.maybe)
        return _Known(surely, surely if self.exact else not_(self.surely))


_NOTHING_KNOWN = _Known(false(), true())
_NEVER = _Known.exactly(false())


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of the document: ``key`` is folded, but where it is ``open`` in which form it is."""

    key: ColumnElement[Any]
    open: Condition


class _Local(FilterVisitor[_Known]):
    def __init__(self, scope: Scope) -> None:
        self.binder = Binder(scope.kind, tolerant=scope.tolerant)
        self.one = Values(scope)

    def visit_comparison(self, node: Comparison) -> _Known:
        test = self.binder.comparison(node)
        if test.value is None:
            present = self._present(test.found)
            return present if test.op is CompareOperator.ne else ~present
        if test.op is CompareOperator.ne:
            return ~self._holds(Test(test.found, CompareOperator.eq, test.value))
        return self._holds(test)

    def visit_present(self, node: Present) -> _Known:
        return self._present(self.binder.attribute(node.attr_path))

    def _present(self, found: Resolved) -> _Known:
        if _is_empty(found):
            return _NEVER
        text = self._text(found)
        if text is None:
            return self._if_there(found)
        return _Known.exactly(self.one.present(text.key, found.target))

    def visit_not(self, node: Not) -> _Known:
        return ~self.visit(node.expr)

    def visit_logical_expr(self, node: LogicalExpr) -> _Known:
        is_and = node.op == LogicalOperator.and_
        combine: Callable[..., Condition] = and_ if is_and else or_
        every = node.terms if is_and else alternatives(node, self.binder.comparison)
        terms = [self._holds(each) if isinstance(each, Test) else self.visit(each) for each in every]
        surely = combine(*(each.surely for each in terms))
        exact = all(each.exact for each in terms)
        return _Known(surely, surely if exact else combine(*(each.maybe for each in terms)))

    def visit_value_path(self, node: ValuePath) -> _Known:
        return self._if_there(self.binder.selection(node))

    def _holds(self, test: Test) -> _Known:
        found = test.found
        if _is_empty(found):
            return _NEVER
        column = self._column(found)
        if column is not None:
            return _Known.exactly(self.one.compare(column, test))
        if found.target.name == "active":
            return _Known.exactly(true() if test.value else false())
        text = self._text(found)
        if text is None:
            return self._if_there(found)
        compared = self.one.compare(text.key, test)
        return _Known(and_(compared, not_(text.open)), or_(compared, text.open))

    def _column(self, found: Resolved) -> ColumnElement[Any] | None:
        match str(found):
            case "id":
                return _p.id
            case "meta.created":
                return _p.created_at
            case "meta.lastModified":
                return _p.changed_at
        return None

    def _text(self, found: Resolved) -> _Text | None:
        """What a single text of the profile is, and the address, of which emails mostly is the only one."""
        if str(found) == "userName":
            other = self._of_profile(found)
            differs = and_(other.is_not(None), other != _p.sign_in_address)
            return _Text(_p.sign_in_key, or_(differs, _OTHER_FORM))
        if str(found) == "emails.value":
            return _Text(_p.sign_in_key, or_(self._has_other_addresses(), _OTHER_FORM))
        if found.target.type != "string" or found.attribute.multi or not self._stored(found):
            return None
        have = self._of_profile(found)
        if str(found) == "displayName":
            have = func.coalesce(have, _p.display_name)
        if not found.target.folds:
            return _Text(have, false())
        if self.one.json.sqlite:
            plain = func.length(cast(have, LargeBinary)) == func.length(have)
            return _Text(func.lower(have), and_(have.is_not(None), not_(plain)))
        plain = func.octet_length(have) == func.char_length(have)
        return _Text(func.lower(collate(have, "C")), and_(have.is_not(None), not_(plain)))

    def _if_there(self, found: Resolved) -> _Known:
        """Nobody matches who has not the attribute at all."""
        if not self._stored(found) or found.attribute.name == "emails":
            return _NOTHING_KNOWN
        return _Known(false(), self._of_profile(Resolved(found.extension, found.attribute)).is_not(None))

    def _stored(self, found: Resolved) -> bool:
        """It is the profile's, if it is there."""
        own = found.extension in (None, ENTERPRISE_URN)
        return own and found.attribute.name not in ("meta", "id", "schemas", "active")

    def _of_profile(self, found: Resolved) -> ColumnElement[Any]:
        names = (*found.keys, found.sub.name) if found.sub else found.keys
        return self.one.json.text(_p.profile, *names)

    def _has_other_addresses(self) -> Condition:
        rows = self.one.json.rows(_p.profile, "emails")
        same = self.one.json.part(rows, "value") == _p.sign_in_address
        all_same = select(func.min(case((same, 1), else_=0))).select_from(rows).scalar_subquery()
        there = self.one.json.text(_p.profile, "emails").is_not(None)
        return and_(there, func.coalesce(all_same, 0) == 0)


def _is_empty(found: Resolved) -> bool:
    """No local person has it: a source says it of them, or its groups hold them."""
    return found.extension is None and found.attribute.name in ("externalId", "groups")
