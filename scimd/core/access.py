"""What a standing lets a person do in scimd, and whom a change may not take it from."""

from __future__ import annotations

from collections.abc import Collection

from scimd.core.errors import Forbidden, Protected
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN, above_ceiling
from scimd.core.standing import Rules, Standing

__all__ = [
    "above_ceiling",
    "is_account_admin",
    "is_privileged",
    "permissions",
    "protect_last_account_admin",
    "require",
]


def permissions(standing: Standing, rules: Rules) -> frozenset[str]:
    """All permissions of the role set; none for whoever may not come in."""
    if not standing.may_enter:
        return frozenset()
    held = (rules.roles[name].permissions for name in standing.roles if name in rules.roles)
    return frozenset().union(*held)


def require(held: Collection[str], needed: str) -> None:
    """Raise Forbidden unless the permission is among those held."""
    if needed not in held:
        raise Forbidden(needed)


def is_privileged(standing: Standing, rules: Rules) -> bool:
    """Whether any role of the person, live or dormant, has a permission.

    Dormant ones count: a source that takes over a disabled admin would hold an admin once they are
    enabled again.
    """
    names = [grant.target for grant in standing.grants if grant.kind == "role"]
    return any(role.permissions for name, role in rules.roles.items() if name in names)


def is_account_admin(standing: Standing) -> bool:
    """Whether the person can act as an Account Admin now, as far as their standing goes."""
    return standing.may_enter and ACCOUNT_ADMIN in standing.roles


def protect_last_account_admin(before: Collection[PersonId], after: Collection[PersonId], who: str) -> None:
    """Raise Protected, naming ``who``, if a change leaves no Account Admin who can sign in.

    ``before`` and ``after`` are those who can without the change and with it. An organization that
    had none already is not kept from changing.
    """
    if before and not after:
        raise Protected(who, "the organization would be left without an Account Admin who can sign in")
