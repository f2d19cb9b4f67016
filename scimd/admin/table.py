"""The whole table: the endpoints of each noun, in the order in which the manual shows them."""

from __future__ import annotations

from types import ModuleType

from scimd.admin import (
    access,
    audit,
    credentials,
    decisions,
    domains,
    groups,
    imports,
    invitations,
    licences,
    me,
    me_tokens,
    organization,
    partners,
    projects,
    roles,
    rules,
    runs,
    scim_requests,
    seats,
    sessions,
    source_ends,
    sources,
    teams,
    user_grants,
    user_links,
    user_status,
    users,
)
from scimd.admin.endpoints import Endpoint

_NOUNS: tuple[ModuleType, ...] = (
    users,
    user_grants,
    user_status,
    user_links,
    invitations,
    imports,
    groups,
    projects,
    teams,
    licences,
    roles,
    seats,
    organization,
    domains,
    partners,
    decisions,
    sources,
    rules,
    source_ends,
    credentials,
    scim_requests,
    runs,
    sessions,
    me,
    me_tokens,
    access,
    audit,
)


def rows_of(*nouns: ModuleType) -> tuple[Endpoint, ...]:
    """The rows that these modules define, in their order."""
    return tuple(each for noun in nouns for each in vars(noun).values() if isinstance(each, Endpoint))


TABLE = rows_of(*_NOUNS)
