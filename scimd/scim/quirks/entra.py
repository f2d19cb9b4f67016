"""Microsoft Entra ID: learn.microsoft.com, use-scim-to-provision-users-and-groups, checked 2026-11."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.attributes import ENTERPRISE_URN
from scimd.core.people import Document
from scimd.scim.quirks import Quirk

_SOURCE = "https://learn.microsoft.com/entra/identity/app-provisioning/"
_BOOLEANS = {"true": True, "false": False}
_FLAGS = ("active", "primary")
_GROUP_SCHEMA = "http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/2.0/group"
_MANAGER = f"{ENTERPRISE_URN}:manager".lower()


def _booleans(body: Document) -> Document:
    """``"active": "False"`` and ``"path": "active", "value": "True"``."""
    changed: Document = _flags(body)
    return body if changed == body else changed


def _flags(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        path = value.get("path")
        named = _last(path) if isinstance(path, str) else ""
        return {
            key: _flags(each, named if key == "value" and named else _last(key))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_flags(each, name) for each in value]
    if isinstance(value, str) and name in _FLAGS:
        return _BOOLEANS.get(value.lower(), value)
    return value


def _last(path: str) -> str:
    """``emails[type eq "work"].primary`` → ``primary``; ``urn:…:User:active`` → ``active``."""
    return path.rpartition(".")[2].rpartition(":")[2].lower()


def _group_schema(body: Document) -> Document:
    schemas = body.get("schemas")
    if not isinstance(schemas, list):
        return body
    kept = [each for each in schemas if not (isinstance(each, str) and each.lower() == _GROUP_SCHEMA)]
    return body if len(kept) == len(schemas) else {**body, "schemas": kept}


def _managers(body: Document) -> Document:
    """The manager as a bare string, as ``""``, as a list: an object, or null where there is none."""
    changed: Document = {}
    for key, value in body.items():
        if key.lower() == ENTERPRISE_URN.lower() and isinstance(value, Mapping):
            changed[key] = {
                name: _manager(each) if name.lower() == "manager" else each for name, each in value.items()
            }
        elif key.lower() == _MANAGER:
            changed[key] = _manager(value)
        elif key == "Operations" and isinstance(value, list):
            changed[key] = [_manager_operation(each) for each in value]
        else:
            changed[key] = value
    return body if changed == body else changed


def _manager_operation(operation: Any) -> Any:
    if not isinstance(operation, Mapping) or "value" not in operation:
        return operation
    path, value = operation.get("path"), operation["value"]
    if isinstance(path, str) and path.lower() in (_MANAGER, "manager"):
        return {**operation, "path": _canonical(path), "value": _manager(value)}
    if path is None and isinstance(value, Mapping):
        return {**operation, "value": _managers(dict(value))}
    return operation


def _canonical(path: str) -> str:
    return f"{ENTERPRISE_URN}:manager" if path.lower() == "manager" else path


def _manager(value: Any) -> Any:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return {"value": value} if value else None
    if isinstance(value, Mapping) and value.get("value") == "":
        return None
    return value


BOOLEANS_AS_TEXT = Quirk(
    "entra.booleans-as-text",
    date(2026, 11, 1),
    f"{_SOURCE}application-provisioning-config-problem-scim-compatibility",
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    _booleans,
)
EXTRA_GROUP_SCHEMA = Quirk(
    "entra.extra-group-schema",
    date(2026, 11, 1),
    f"{_SOURCE}use-scim-to-provision-users-and-groups",
    frozenset(("Group",)),
    frozenset(("create", "replace")),
    _group_schema,
)
MANAGER_FORMS = Quirk(
    "entra.manager-forms",
    date(2026, 11, 1),
    f"{_SOURCE}use-scim-to-provision-users-and-groups",
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    _managers,
)

QUIRKS = (BOOLEANS_AS_TEXT, EXTRA_GROUP_SCHEMA, MANAGER_FORMS)
