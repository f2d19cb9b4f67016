"""Microsoft Entra ID: learn.microsoft.com, use-scim-to-provision-users-and-groups, checked 2026-11.

What else it needs are switches of the profile: ``"False"`` as a boolean (``Rules.tolerant``), a value
filter that matches nothing creates (``PatchRules.create_missing``), 204 for a group's PATCH.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import orjson

from scimd.core.attributes import ENTERPRISE_URN, USER
from scimd.core.people import Document
from scimd.scim.quirks import Quirk, each_operation, naming

_SOURCE = "https://learn.microsoft.com/entra/identity/app-provisioning/"
_GROUP_SCHEMA = "http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/2.0/group"
_ENTERPRISE = ENTERPRISE_URN.lower()
_MANAGER = f"{ENTERPRISE_URN}:manager".lower()
_names_manager = naming("manager")
_may_tell_manager = naming(ENTERPRISE_URN, _MANAGER, "Operations")
_may_tell_roles = naming("roles", "Operations")


def _group_schema(body: Document) -> Document:
    """Microsoft's own schema of groups, which holds no attribute, is left out of ``schemas``."""
    schemas = body.get("schemas")
    if not isinstance(schemas, list):
        return body
    kept = [each for each in schemas if not (isinstance(each, str) and each.lower() == _GROUP_SCHEMA)]
    return body if len(kept) == len(schemas) else {**body, "schemas": kept}


def _managers(body: Document) -> Document:
    """The manager as a bare string, as ``""``, as a list: an object, or null where there is none."""
    if not _may_tell_manager(body) or _only_without_manager(body):
        return body
    changed: Document = {}
    for key, value in body.items():
        if key.lower() == _ENTERPRISE and isinstance(value, Mapping):
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


def _only_without_manager(body: Document) -> bool:
    """Whether the extension is all that could tell of a manager, spelled as it is, and does not."""
    given = body.get(ENTERPRISE_URN)
    if not isinstance(given, Mapping) or _names_manager(given):
        return False
    return not _may_tell_manager([key for key in body if key != ENTERPRISE_URN])


def _manager_operation(operation: Any) -> Any:
    if not isinstance(operation, dict | Mapping) or "value" not in operation:
        return operation
    path, value = operation.get("path"), operation["value"]
    if isinstance(path, str) and path.lower() in (_MANAGER, "manager"):
        return {**operation, "path": _canonical(path), "value": _manager(value)}
    if path is None and isinstance(value, Mapping):
        return {**operation, "value": _managers(dict(value))}
    return operation


def _roles(body: Document) -> Document:
    """A role as JSON within a string: ``{"value": "{\\"id\\":…,\\"value\\":\\"25\\"}"}``."""
    if not _may_tell_roles(body):
        return body
    changed: Document = {}
    for key, value in body.items():
        if key.lower() == "roles":
            changed[key] = _unpacked_roles(value)
        elif key == "Operations" and isinstance(value, list):
            changed[key] = [_role_operation(each) for each in value]
        else:
            changed[key] = value
    return body if changed == body else changed


def _role_operation(operation: Any) -> Any:
    if not isinstance(operation, dict | Mapping) or "value" not in operation:
        return operation
    path, value = operation.get("path"), operation["value"]
    if isinstance(path, str) and path.lower() == "roles":
        return {**operation, "value": _unpacked_roles(value)}
    if path is None and isinstance(value, Mapping):
        return {**operation, "value": _roles(dict(value))}
    return operation


def _unpacked_roles(value: Any) -> Any:
    return [_unpacked_role(each) for each in value] if isinstance(value, list) else _unpacked_role(value)


def _unpacked_role(role: Any) -> Any:
    text = role.get("value") if isinstance(role, Mapping) else role
    if not isinstance(text, str) or not text.startswith("{"):
        return role
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return role
    if not isinstance(told, dict) or not isinstance(told.get("value"), str):
        return role
    given = dict(role) if isinstance(role, Mapping) else {}
    name = told.get("displayName")
    shown = {"display": name} if isinstance(name, str) and name else {}
    return {**shown, **given, "value": told["value"]}


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


def _values_in_lists(body: Document) -> Document:
    """A single value as a list of one, ``[{"$ref": null, "value": "User X"}]``: the value."""
    return each_operation(body, _out_of_list)


def _out_of_list(operation: Any) -> Any:
    if not isinstance(operation, dict | Mapping):
        return operation
    path, value = operation.get("path"), operation.get("value")
    if not (isinstance(path, str) and isinstance(value, list) and len(value) == 1 and _is_single(path)):
        return operation
    if not isinstance(value[0], Mapping) or set(value[0]) != {"$ref", "value"}:
        return operation
    return {**operation, "value": value[0]["value"]}


def _is_single(path: str) -> bool:
    """Whether it names one plain value: ``displayName``, ``urn:…:User:department``, ``name.givenName``."""
    uri, _, name = path.rpartition(":")
    top, _, part = name.partition(".")
    found = USER.resolve(uri or None, top, part or None)
    return found is not None and not found.attribute.multi and found.target.type != "complex"


VALUE_IN_LIST = Quirk(
    "entra.value-in-list",
    date(2026, 11, 1),
    "https://github.com/MicrosoftDocs/azure-docs/issues/42220",
    frozenset(("User",)),
    frozenset(("patch",)),
    _values_in_lists,
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

ROLES_AS_JSON = Quirk(
    "entra.roles-as-json",
    date(2026, 11, 1),
    f"{_SOURCE}customize-application-attributes#provisioning-a-role-to-a-scim-app",
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    _roles,
)

QUIRKS = (EXTRA_GROUP_SCHEMA, MANAGER_FORMS, ROLES_AS_JSON, VALUE_IN_LIST)
