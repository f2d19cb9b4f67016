"""Okta: developer.okta.com, SCIM 2.0 protocol reference, checked 2026-11."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.people import Document
from scimd.scim.quirks import Quirk, each_operation

_READ_ONLY = frozenset(("id", "meta", "schemas"))


def drop_ids(body: Document) -> Document:
    """Without what no client may set: a rename carries the group's id (``"value": {"id": …}``)."""
    return each_operation(body, _without_ids)


def _without_ids(operation: Any) -> Any:
    if not isinstance(operation, dict | Mapping) or operation.get("path"):
        return operation
    value = operation.get("value")
    if not isinstance(value, dict | Mapping) or _READ_ONLY.isdisjoint(value):
        return operation
    return {**operation, "value": {key: each for key, each in value.items() if key not in _READ_ONLY}}


GROUP_ID_IN_RENAME = Quirk(
    "okta.id-in-rename",
    date(2026, 11, 1),
    "https://developer.okta.com/docs/api/openapi/okta-scim/guides/scim-20/#update-a-specific-group-name",
    frozenset(("User", "Group")),
    frozenset(("patch",)),
    drop_ids,
)

QUIRKS = (GROUP_ID_IN_RENAME,)
