"""The whole table: the endpoints of each noun, in the order in which the manual shows them."""

from __future__ import annotations

from types import ModuleType

from scimd.admin import (
    audit,
    decisions,
    groups,
    invitations,
    licences,
    me,
    projects,
    roles,
    runs,
    seats,
    sessions,
    sources,
    teams,
    users,
)
from scimd.admin.endpoints import Endpoint

_NOUNS: tuple[ModuleType, ...] = (
    users,
    invitations,
    groups,
    projects,
    teams,
    licences,
    roles,
    seats,
    decisions,
    sources,
    runs,
    sessions,
    me,
    audit,
)


def rows_of(*nouns: ModuleType) -> tuple[Endpoint, ...]:
    """The rows that these modules define, in their order."""
    return tuple(each for noun in nouns for each in vars(noun).values() if isinstance(each, Endpoint))


TABLE = rows_of(*_NOUNS)
