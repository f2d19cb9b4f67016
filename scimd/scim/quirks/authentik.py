"""authentik's SCIM provider: its client's source, checked 2026-11.

It reads ServiceProviderConfig first, and where PATCH is supported sends members one by one, removals
as a list of values without a filter. Users it always PUTs, whole.
"""

from __future__ import annotations

from datetime import date

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
