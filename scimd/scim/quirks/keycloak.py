"""Keycloak as a client, by its plugins (it has none of its own): their issues, checked 2026-11.

What else they send (PUT of whole objects with ``id``, members as ``{"value": …}``) the generic code
takes. A PUT of a group without ``members`` empties it, as RFC 7644 §3.5.1 has it: a plugin that leaves
them out when it lost its own mapping (mitodl/keycloak-scim#134) cannot be told from one whose last
member left, and access that stays is the worse mistake.
"""

from __future__ import annotations

from datetime import date

from scimd.core.people import Document
from scimd.scim.quirks import Quirk


def _id_as_external_id(body: Document) -> Document:
    """Keycloak's own id comes as ``id``, which is the server's to give: it is what externalId is for."""
    given = body.get("id")
    if not isinstance(given, str) or not given or any(key.lower() == "externalid" for key in body):
        return body
    return {**{key: value for key, value in body.items() if key != "id"}, "externalId": given}


ID_AS_EXTERNAL_ID = Quirk(
    "keycloak.id-as-external-id",
    date(2026, 11, 1),
    "https://github.com/Captain-P-Goldfish/scim-for-keycloak/issues/132",
    frozenset(("User", "Group")),
    frozenset(("create",)),
    _id_as_external_id,
)

QUIRKS = (ID_AS_EXTERNAL_ID,)
