"""The operations of a PATCH as they are sent: read from its message, not yet applied (RFC 7644 §3.5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from scimd.core.attributes import GROUP_URN, USER_URN
from scimd.core.travelling import travels
from scimd.scim.errors import ScimError, invalid_path, invalid_syntax, shown
from scimd.scim.single import object_of
from scimd.scim.values import Rules

Op = Literal["add", "remove", "replace"]


class _Absent(Enum):
    """The value of an operation without one: a singleton, also after a way through ``pickle``."""

    ABSENT = 0


_ABSENT = _Absent.ABSENT
_OPS: Mapping[str, Op] = {"add": "add", "remove": "remove", "replace": "replace"}
_CORE = frozenset((USER_URN.lower(), GROUP_URN.lower()))


@travels
@dataclass(frozen=True, slots=True)
class PatchRules:
    """How a profile wants PATCH done.

    ``create_missing``: a value filter that matches nothing creates what it describes, instead of
    noTarget. ``remove_listed``: a remove with a value takes away the listed values, instead of being
    refused. ``out_of_list``: a list of one where one plain value belongs, ``["X"]``, ``[{"value": "X"}]`` or
    ``[{"$ref": null, "value": "X"}]``, is that value (Entra ID: MicrosoftDocs/azure-docs#42220, and
    ``OperationValue.cs`` of AzureAD/SCIMReferenceCode, which leaves out a null ``$ref``; Keycloak's plugins:
    ``PatchRequestOperation.java`` of Captain-P-Goldfish/SCIM-SDK; checked 2026-11), and the object of an
    operation without path likewise. ``allow_none``: a message without any operation changes nothing, instead
    of invalidSyntax.
    """

    values: Rules = field(default_factory=Rules)
    create_missing: bool = True
    remove_listed: bool = True
    out_of_list: bool = True
    allow_none: bool = False

    def object_in(self, value: Any, *, may_be_value: bool = True) -> Any:
        """The value where an object belongs, out of what it may be wrapped in."""
        tolerant, listed = self.values.tolerant, self.out_of_list
        return object_of(value, packed=tolerant, listed=listed, may_be_value=may_be_value)


@travels
@dataclass(frozen=True, slots=True)
class Operation:
    """``value`` is the sentinel ABSENT where none was sent; null is a value."""

    op: Op
    path: str | None
    value: Any = _ABSENT

    @property
    def has_value(self) -> bool:
        return self.value is not _ABSENT


_LENIENT = PatchRules()


def operations_of(
    body: Mapping[str, Any], at_most: int, rules: PatchRules = _LENIENT
) -> tuple[Operation, ...]:
    """The operations of a PatchOp message; its keys and ``op`` in any case."""
    keys = {key.lower(): value for key, value in body.items()}
    many = keys.get("operations")
    if not isinstance(many, list) or not (many or rules.allow_none):
        raise invalid_syntax("Operations must be an array with at least one operation.")
    check_number(many, at_most)
    return tuple(_operation(each, rules) for each in many)


def check_number(operations: Any, at_most: int) -> None:
    """Refuse more operations than are allowed, before anybody looks at each."""
    if isinstance(operations, list) and len(operations) > at_most:
        raise ScimError(413, f"Operations: more than the {at_most} that are allowed.")


def _operation(each: Any, rules: PatchRules) -> Operation:
    if not isinstance(each, dict | Mapping):
        raise invalid_syntax("Operations: each must be an object.")
    keys = {key.lower(): value for key, value in each.items()}
    op, path = keys.get("op"), keys.get("path")
    if not isinstance(op, str) or op.lower() not in _OPS:
        raise invalid_syntax(f"op must be add, remove or replace, not {shown(op)}.")
    if path is not None and not isinstance(path, str):
        raise invalid_path(str(path), "it must be a string")
    value = keys.get("value", _ABSENT)
    if not path or path.lower() in _CORE:
        value = rules.object_in(value, may_be_value=False)
    return Operation(_OPS[op.lower()], path or None, value)
