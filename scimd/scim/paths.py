"""Paths of PATCH (RFC 7644 §3.5.2): read by scim2-models' grammar, and what a filter in one selects."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from scim2_models import InvalidPathException
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    Not,
    Path,
    PathNode,
)

from scimd.core.attributes import Attribute, Resolved
from scimd.core.people import Document
from scimd.scim.errors import ScimError, invalid_path, shown
from scimd.scim.filters import Binder, Predicate, ValueFilter, check_bounds, is_present


def parse_path(text: str) -> PathNode:
    """The syntax tree of a path. Raises invalidPath."""
    # Providers send the same few paths all day; those with a value in them are kept by nobody.
    return _parsed(text) if '"' in text else _known_path(text)


@lru_cache(maxsize=1024)
def _known_path(text: str) -> PathNode:
    return _parsed(text)


def _parsed(text: str) -> PathNode:
    try:
        check_bounds(text)
        node = Path(text).ast
    except ScimError as exc:
        raise invalid_path(text, exc.detail) from exc
    except InvalidPathException as exc:
        raise invalid_path(text, f"it cannot be read: {exc.detail}") from exc
    if node is None:
        raise invalid_path(text, "it is empty")
    return node


def selection(node: PathNode, text: str) -> tuple[AttrPath, FilterNode]:
    """``emails.type eq "work"`` as a path (errata 7122): the attribute and what holds of its values."""
    if not isinstance(node, Comparison):
        raise invalid_path(text, "it must name an attribute")
    path = node.attr_path
    inner = Comparison(AttrPath(path.sub_attr or "value"), node.op, node.value)
    return AttrPath(path.attr, None, path.uri), inner


def chooser(binder: Binder, found: Resolved, chosen: FilterNode, text: str) -> Predicate:
    try:
        return ValueFilter(binder, found).visit(chosen)
    except ScimError as exc:
        # In a path, what is wrong with the filter is wrong with the path's filter (RFC 7644 §3.12).
        raise ScimError(400, f"The path {shown(text)}: {exc.detail}", "invalidFilter") from exc


def comparisons_in(chosen: FilterNode) -> int:
    """How many comparisons a filter makes of each value."""
    match chosen:
        case LogicalExpr():
            return sum(map(comparisons_in, chosen.terms))
        case Not():
            return comparisons_in(chosen.expr)
        case _:
            return 1


def described_by(chosen: FilterNode) -> Document | None:
    """The value that a filter of equalities describes: ``type eq "work"`` → {"type": "work"}."""
    terms = (
        chosen.terms if isinstance(chosen, LogicalExpr) and chosen.op == LogicalOperator.and_ else (chosen,)
    )
    described: Document = {}
    for term in terms:
        if not isinstance(term, Comparison) or term.op != CompareOperator.eq or term.value is None:
            return None
        described[term.attr_path.attr] = term.value
    return described


def is_any_other(row: Attribute, described: Document, made: Any) -> bool:
    """Not to be primary is all that describes it, as it does every value but one, and it has no ``value``."""
    if row.find("value") is None or [name.lower() for name in described] != ["primary"]:
        return False
    return made.get("primary") is False and not is_present(made.get("value"))
