"""OneLogin: developers.onelogin.com, "SCIM", and the templates that its customers paste, checked 2026-11.

A user is whatever the app's *SCIM JSON Template* spells: ``"active": "true"`` as text, ``"id": null`` and
SCIM 1.1's schema URN the generic code takes. Users come by PUT, members one by one by PATCH.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.attributes import ENTERPRISE_URN
from scimd.core.people import Document
from scimd.scim.quirks import Quirk, naming

_MANAGER = "manager"
_SCIM_1 = "managerid"
_names_extension, _names_manager = naming(ENTERPRISE_URN), naming(_MANAGER)


def _manager_id(body: Document) -> Document:
    """The manager as SCIM 1.1 has it, ``{"managerId": …}``: their id is ``value``."""
    if not _names_extension(body):
        return body
    changed = {
        key: _enterprise(value) if key.lower() == ENTERPRISE_URN.lower() else value
        for key, value in body.items()
    }
    return body if all(changed[key] is body[key] for key in body) else changed


def _enterprise(value: Any) -> Any:
    if not isinstance(value, Mapping) or not _names_manager(value):
        return value
    changed = {name: _manager(each) if name.lower() == _MANAGER else each for name, each in value.items()}
    return value if all(changed[name] is value[name] for name in value) else changed


def _manager(manager: Any) -> Any:
    if not isinstance(manager, Mapping) or any(name.lower() == "value" for name in manager):
        return manager
    given = next((each for name, each in manager.items() if name.lower() == _SCIM_1), None)
    if given is None:
        return manager
    # The template has a field for it, and this person has no manager.
    return {"value": given} if given != "" else None


MANAGER_ID = Quirk(
    "onelogin.manager-id",
    date(2026, 11, 1),
    "https://developers.onelogin.com/scim/define-user-schema",
    frozenset(("User",)),
    frozenset(("create", "replace")),
    _manager_id,
)

QUIRKS = (MANAGER_ID,)
