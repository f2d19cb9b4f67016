"""Partner approval: who gives it, and how long it lasts.

It is a local fact, a partner's word. No identity provider gives it by anything that it sends; an admin
may decide, source by source, that whoever *arrives* by that source counts as approved.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

#: Of a source: nobody who arrives by it, whoever has an address in a domain of the organization, everybody.
AutoApprove = Literal["never", "domains", "always"]
#: So long it survives that a person is Inactive.
SURVIVES = timedelta(days=90)


def on_arrival(auto: AutoApprove, sign_in_key: str | None, own_domains: Collection[str]) -> bool:
    """Whether somebody with this folded address, who arrives by such a source, counts as approved."""
    if auto == "domains":
        return sign_in_key is not None and sign_in_key.rpartition("@")[2] in own_domains
    return auto == "always"


def survives(same_external_id: bool, left: datetime | None, now: datetime) -> bool:
    """Whether the approval of somebody who returns still counts. ``left`` None: they never did."""
    return same_external_id and (left is None or now - left <= SURVIVES)
