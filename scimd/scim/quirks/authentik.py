"""authentik's SCIM provider: its client's source, checked 2026-11.

It reads ServiceProviderConfig first, and where PATCH is supported sends members one by one, removals
as a list of values without a filter. Users it always PUTs, whole.
"""

from __future__ import annotations

import json
from datetime import date

from scim2_models.path import FilterNode

from scimd.core.unquoted import unquoted
from scimd.scim import filters
from scimd.scim.quirks import Quirk, okta

#: A changed group comes as one ``replace`` without path whose value is the whole resource.
WHOLE_GROUP_IN_PATCH = Quirk(
    "authentik.whole-group-in-patch",
    date(2026, 11, 1),
    "https://github.com/goauthentik/authentik/blob/main/authentik/providers/scim/clients/groups.py",
    frozenset(("Group",)),
    frozenset(("patch",)),
    okta.drop_ids,
)

QUIRKS = (WHOLE_GROUP_IN_PATCH,)


def quoted(text: str) -> str:
    """A filter whose one value has no quotes, with them; any other as it is.

    So it looks up whom a 409 says to be there, up to version 2025.8.1: goauthentik/authentik#16455, #16677.
    WSO2 Identity Server looks up so before each change (``AbstractOperations.java`` of its SCIM 2 client).
    """
    found = unquoted(text) if len(text) <= filters.MAX_CHARS else None
    return text if found is None else f"{found.path} eq {json.dumps(found.value, ensure_ascii=False)}"


def read_filter(text: str) -> FilterNode:
    """A filter's syntax tree. Raises invalidFilter."""
    return filters.parse(quoted(text))
