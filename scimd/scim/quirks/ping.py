"""PingOne and PingFederate as clients: docs.pingidentity.com, "SCIM provisioning known limitations" and
the SCIM connector's settings, checked 2026-11.

Users come by PUT, whole; groups by PUT (*overwrite*) or PATCH (*merge*). The look-up is a filter that an
admin types, ``userName Eq "…"`` or ``emails eq "…"`` to begin with: the generic filters take both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from scimd.core.attributes import USER
from scimd.core.people import Document
from scimd.scim.quirks import Quirk

_LISTS = frozenset(
    row.name.lower() for row in USER.schema.attributes if row.multi and row.find("primary") is not None
)


def _one_primary(body: Document) -> Document:
    """Of several values that are all marked as primary, the first stays it (RFC 7643 §2.4)."""
    # One value alone is the only primary one, if it is.
    lists = [key for key, value in body.items() if isinstance(value, list) and len(value) > 1]
    if _LISTS.isdisjoint([key.lower() for key in lists]):
        return body
    changed = {
        key: _first_primary(value) if key.lower() in _LISTS and isinstance(value, list) else value
        for key, value in body.items()
    }
    return body if all(changed[key] is body[key] for key in body) else changed


def _first_primary(values: list[Any]) -> list[Any]:
    primaries = [n for n, each in enumerate(values) if _is_primary(each)]
    if len(primaries) < 2:
        return values
    return [
        {name: each for name, each in value.items() if name.lower() != "primary"}
        if n in primaries[1:]
        else value
        for n, value in enumerate(values)
    ]


def _is_primary(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    said = next((each for name, each in value.items() if name.lower() == "primary"), None)
    return said is True or (isinstance(said, str) and said.lower() == "true")


TWO_PRIMARIES = Quirk(
    "ping.two-primaries",
    date(2026, 11, 1),
    "https://docs.pingidentity.com/pingone/integrations/p1_scim_provisioning_limitations.html",
    frozenset(("User",)),
    frozenset(("create", "replace")),
    _one_primary,
)

QUIRKS = (TWO_PRIMARIES,)
