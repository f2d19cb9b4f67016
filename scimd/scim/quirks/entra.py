"""Microsoft Entra ID: learn.microsoft.com, use-scim-to-provision-users-and-groups, checked 2026-11.

What else it needs are switches of the profile: ``"False"`` as a boolean (``Rules.tolerant``), a value
filter that matches nothing creates (``PatchRules.create_missing``), a single value comes in a list
(``PatchRules.out_of_list``), 204 for a group's PATCH.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from operator import is_
from typing import Any

from scim2_models.path import (
    AttrPath,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    Not,
    Present,
    ValuePath,
)

from scimd.core.attributes import ENTERPRISE_URN, USER_URN
from scimd.core.catalogue import ENTRA_APP_ROLE
from scimd.core.people import Document
from scimd.scim import filters
from scimd.scim.nesting import unpacked
from scimd.scim.quirks import Quirk, each_operation, naming
from scimd.scim.quirks.places import OWN, values_of

_SOURCE = "https://learn.microsoft.com/entra/identity/app-provisioning/"
_ROLES_SOURCE = f"{_SOURCE}customize-application-attributes#provisioning-a-role-to-a-scim-app"
_GROUP_SCHEMA = "http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/2.0/group"
_DOTTED = re.compile(rf"({re.escape(ENTERPRISE_URN)}|{re.escape(USER_URN)})\.(?=.)", re.IGNORECASE)
_ROLES_NAME = re.compile(
    rf"((?:{re.escape(USER_URN)}:)?roles(?:\[.*\])?)\.displayName", re.IGNORECASE | re.DOTALL
)
#: Keys and paths that are names already, as most clients spell them.
_NAMES = OWN[USER_URN] | {ENTERPRISE_URN}
_names_display = naming("displayName")


def _group_schema(body: Document) -> Document:
    """Microsoft's own schema of groups, which holds no attribute, is left out of ``schemas``."""
    schemas = body.get("schemas")
    if not isinstance(schemas, list):
        return body
    kept = [each for each in schemas if not (isinstance(each, str) and each.lower() == _GROUP_SCHEMA)]
    return body if len(kept) == len(schemas) else {**body, "schemas": kept}


def _names(body: Document) -> Document:
    """``manager`` without its URN, a dot after a URN, a role's ``displayName``: the attribute's own name."""
    return each_operation(body, _named_operation) if "Operations" in body else _named_keys(body)


def _named_operation(operation: Any) -> Any:
    if not isinstance(operation, Mapping):
        return operation
    path, value = operation.get("path"), operation.get("value")
    if path and isinstance(path, str):
        name = _name(path)
        return operation if name is path else {**operation, "path": name}
    if not path and isinstance(value, Mapping):
        named = _named_keys(value)
        return operation if named is value else {**operation, "value": named}
    return operation


def _named_keys(given: Mapping[str, Any]) -> Any:
    """An object with its attributes' names as keys; where both are there, the name itself stands."""
    if _NAMES.issuperset(given):
        return given
    names = {key: name for key in given if (name := _name(key)) is not key}
    if not names:
        return given
    return {names.get(key, key): value for key, value in given.items() if names.get(key) not in given}


def _name(path: str) -> str:
    """What a path or a key names; the very same where it says so itself."""
    if path in _NAMES:
        return path
    lowered = path.lower()
    if lowered == "manager" or lowered.startswith("manager."):
        return f"{ENTERPRISE_URN}:{path}"
    if lowered.startswith("urn:") and (dotted := _DOTTED.match(path)):
        return f"{dotted[1]}:{path[dotted.end() :]}"
    if "roles" in lowered and (named := _ROLES_NAME.fullmatch(path)):
        return f"{named[1]}.display"
    return path


def _manager(value: Any, behind: str) -> Any:
    """The manager as a bare string, as ``""``, as a list: an object, or null where there is none."""
    if behind:
        return None if value == "" and behind.lower() == ".value" else value
    value = unpacked(value)
    if isinstance(value, list):
        value = unpacked(value[0]) if value else None
    if isinstance(value, str):
        return {"value": value} if value else None
    if isinstance(value, Mapping) and value.get("value") == "":
        return None
    return value


def _role_values(value: Any, behind: str) -> Any:
    """A role as JSON within a string, ``{"value": "{\\"id\\":…,\\"value\\":\\"25\\"}"}``, its name."""
    part = behind.rpartition("]")[2].lower()
    if part == ".value":
        told = _told(value)
        return value if told is None else told["value"]
    if part:
        return value
    if not isinstance(value, list):
        return _role(value, behind)
    roles = [_role(each, behind) for each in value]
    return value if all(map(is_, roles, value)) else roles


def _role(given: Any, behind: str) -> Any:
    """One role as the schema has it."""
    role = _displayed(given) if isinstance(given, Mapping) else given
    told = _told(role.get("value") if isinstance(role, Mapping) else role)
    if told is None:
        return role
    name = told.get("displayName")
    shown = {"display": name} if isinstance(name, str) and name else {}
    of_type = {} if behind else {"type": ENTRA_APP_ROLE}
    return {**of_type, **shown, **(role if isinstance(role, Mapping) else {}), "value": told["value"]}


def _displayed(role: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _names_display(role) or "display" in role:
        return role
    return {"display" if key.lower() == "displayname" else key: each for key, each in role.items()}


def _told(text: Any) -> Any:
    """The role within a string of JSON; None for any other string."""
    told = unpacked(text) if isinstance(text, str) else None
    return told if isinstance(told, dict) and isinstance(told.get("value"), str) else None


EXTRA_GROUP_SCHEMA = Quirk(
    "entra.extra-group-schema",
    date(2026, 11, 1),
    f"{_SOURCE}use-scim-to-provision-users-and-groups",
    frozenset(("Group",)),
    frozenset(("create", "replace")),
    _group_schema,
)
ATTRIBUTE_NAMES = Quirk(
    "entra.attribute-names",
    date(2026, 11, 1),
    f"{_SOURCE}application-provisioning-config-problem-scim-compatibility",
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    _names,
)
MANAGER_FORMS = Quirk(
    "entra.manager-forms",
    date(2026, 11, 1),
    f"{_SOURCE}use-scim-to-provision-users-and-groups",
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    values_of(ENTERPRISE_URN, "manager", _manager),
)
ROLES_AS_JSON = Quirk(
    "entra.roles-as-json",
    date(2026, 11, 1),
    _ROLES_SOURCE,
    frozenset(("User",)),
    frozenset(("create", "replace", "patch")),
    values_of(USER_URN, "roles", _role_values),
)

QUIRKS = (EXTRA_GROUP_SCHEMA, ATTRIBUTE_NAMES, MANAGER_FORMS, ROLES_AS_JSON)


def read_filter(text: str) -> FilterNode:
    """A filter's syntax tree. Raises invalidFilter.

    The look-up of whom somebody manages is documented as ``id eq "…" and manager eq "…"``
    (use-scim-to-provision-users-and-groups, checked 2026-11): without the extension's URN.
    """
    node = filters.parse(text)
    return _WithUrn().visit(node) if "manager" in text.lower() else node


class _WithUrn(FilterVisitor[FilterNode]):
    """The filter with ``manager`` as the extension's attribute."""

    def visit_comparison(self, node: Comparison) -> FilterNode:
        return Comparison(_path(node.attr_path), node.op, node.value)

    def visit_present(self, node: Present) -> FilterNode:
        return Present(_path(node.attr_path))

    def visit_not(self, node: Not) -> FilterNode:
        return Not(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> FilterNode:
        return LogicalExpr(node.op, tuple(map(self.visit, node.terms)))

    def visit_value_path(self, node: ValuePath) -> FilterNode:
        return node


def _path(path: AttrPath) -> AttrPath:
    bare = path.uri is None and path.attr.lower() == "manager"
    return AttrPath(path.attr, path.sub_attr, ENTERPRISE_URN) if bare else path
