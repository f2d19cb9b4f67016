"""WSO2 Identity Server and Asgardeo: their documents, and clients written after them, checked 2026-11."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.people import Document
from scimd.core.unquoted import is_literal
from scimd.scim.quirks import Quirk, each_operation

#: An attribute and its part, one word without quotes or brackets, what follows.
_CHOSEN = re.compile(r"([\w:.$-]+\[\s*[\w$]+\s+eq\s+)([^\s\"'`\[\]()]+)(\s*\].*)", re.IGNORECASE | re.ASCII)


def _quoted(operation: Any) -> Any:
    path = operation.get("path") if isinstance(operation, Mapping) else None
    if not isinstance(path, str) or "[" not in path or '"' in path:
        return operation
    found = _CHOSEN.fullmatch(path)
    # No id that scimd gives is a number.
    if found is None or is_literal(found[2]):
        return operation
    return {**operation, "path": found[1] + json.dumps(found[2], ensure_ascii=False) + found[3]}


def _with_quotes(body: Document) -> Document:
    """The value by which a path selects, with quotes: ``members[value eq 75b62139-…]`` has none."""
    return each_operation(body, _quoted)


UNQUOTED_IN_PATH = Quirk(
    "wso2.unquoted-in-path",
    date(2026, 11, 23),
    "https://github.com/wso2/product-is/issues/19409",
    frozenset(("User", "Group")),
    frozenset(("patch",)),
    _with_quotes,
)

QUIRKS = (UNQUOTED_IN_PATH,)
