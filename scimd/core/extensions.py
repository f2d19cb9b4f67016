"""Custom extensions of users: declared in the config of a source, served like every other schema.

What is declared becomes rows of the same kind as those of the attribute table, so that Schemas,
validation, filters, sorting, PATCH and projection derive from it (RFC 7643 §3.3, §7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scimd.core.attributes import KINDS, USER, Attribute, ResourceKind, Schema

#: Both stand quoted in JSON paths of SQL, so neither may hold a quote, a bracket or a backslash.
URN = r"^urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9:._-]{1,200}$"
NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
#: Strings of an extension are in no index, but a person's attribute is no place for a file.
_MAX_CHARS = 8_000


def users_with(declared: Sequence[Mapping[str, Any]]) -> ResourceKind:
    """The users of a source with these extensions, each as ``config.Extension`` has it in JSON."""
    if not declared:
        return USER
    return replace(USER, extensions=(*USER.extensions, *map(_schema, declared)))


def clash(urns: Sequence[str]) -> str | None:
    """The first URN that scimd serves already, that stands twice, or that could be another's attribute."""
    taken = [each.id.lower() for kind in KINDS for each in (kind.schema, *kind.extensions)]
    for urn in urns:
        lowered = urn.lower()
        for other in taken:
            if lowered == other or re.match(f"{re.escape(other)}[:.]", lowered):
                return urn
            if re.match(f"{re.escape(lowered)}[:.]", other):
                return urn
        taken.append(lowered)
    return None


def _schema(declared: Mapping[str, Any]) -> Schema:
    rows = tuple(_attribute(each) for each in declared["attribute"])
    return Schema(declared["urn"], declared["name"], declared.get("description") or declared["name"], rows)


def _attribute(declared: Mapping[str, Any]) -> Attribute:
    of = declared["type"]
    return Attribute(
        declared["name"],
        declared.get("description") or declared["name"],
        of,
        multi=bool(declared.get("multi_valued")),
        case_exact=bool(declared.get("case_exact")),
        returned=declared.get("returned", "default"),
        canonical=tuple(declared.get("canonical_values") or ()),
        references=("external",) if of == "reference" else (),
        sub=tuple(_attribute(each) for each in declared.get("sub_attribute") or ()),
        max_chars=_MAX_CHARS if of in ("string", "reference") else None,
    )
