"""What names one resource twice, by ``value`` and by ``$ref``: somebody's manager (RFC 7643 §4.3)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from scimd.core.attributes import Resolved
from scimd.core.people import Document

_REF = "$ref"


class References:
    """During one PATCH. It may say ``value`` and ``$ref`` in two operations, in either order."""

    def __init__(self) -> None:
        self._said: set[tuple[str, ...]] = set()

    def kept(
        self, found: Resolved, before: Mapping[str, Any], after: Document, said: Container[str]
    ) -> Document | None:
        """The value of an attribute without a ``$ref`` that nobody said of the ``value`` that it has now.

        None where nothing is left. ``said``: the parts that the operation gives.
        """
        if _REF in said:
            self._said.add(found.keys)
        if _REF not in after or found.keys in self._said or after.get("value") == before.get("value"):
            return after or None
        return {name: part for name, part in after.items() if name != _REF} or None
