"""PingOne, and what is built on Ping's SDK: docs.pingidentity.com, checked 2026-11.

Users come by PUT, whole, with two addresses that are both marked as primary, of which every lenient profile
takes the first; groups by PUT (*overwrite*) or PATCH (*merge*); it looks up by a filter that an admin types,
``userName Eq "…"`` or ``emails eq "…"`` to begin with ("SCIM provisioning known limitations").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.attributes import GROUP_URN
from scimd.core.people import Document
from scimd.scim.quirks import Quirk, each_operation

_MEMBERS = "members"
_PATHS = frozenset((_MEMBERS, f"{GROUP_URN}:{_MEMBERS}".lower()))


def _members_alone(body: Document) -> Document:
    """Members in an object that names them once more (``"value": {"members": [...]}``): the list itself."""
    return each_operation(body, _unwrapped)


def _unwrapped(operation: Any) -> Any:
    if not isinstance(operation, Mapping):
        return operation
    path, value = operation.get("path"), operation.get("value")
    if not isinstance(path, str) or path.lower() not in _PATHS or not isinstance(value, Mapping):
        return operation
    if len(value) != 1:
        return operation
    ((name, inner),) = value.items()
    # Null is no list: as the value of a remove it would stand for all members.
    if name.lower() != _MEMBERS or not isinstance(inner, list | Mapping):
        return operation
    return {**operation, "value": inner}


#: ``PatchOperation.setRemoveOpValue(path, value, true)``: the SDK's form for services that want a value.
MEMBERS_WITHIN_MEMBERS = Quirk(
    "ping.members-within-members",
    date(2026, 11, 1),
    "https://github.com/pingidentity/scim2/blob/master/scim2-sdk-common/src/main/java/com/unboundid/scim2/common"
    "/messages/PatchOperation.java",
    frozenset(("Group",)),
    frozenset(("patch",)),
    _members_alone,
)

QUIRKS = (MEMBERS_WITHIN_MEMBERS,)
