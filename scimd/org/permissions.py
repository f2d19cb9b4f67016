"""Who may call a function of the door: permissions, never the names of roles."""

from __future__ import annotations

from scimd.core import access
from scimd.org.tx import Context

#: Whoever can run a command on the host, and scimd itself, may everything.
_TRUSTED = frozenset({"operator", "job", "system"})
#: An operator who comes by these is a person of the organization ``system``, with a person's permissions.
_BY_REQUEST = frozenset({"web", "api"})


def require(ctx: Context, permission: str) -> None:
    """Raise Forbidden unless the caller holds the permission."""
    if ctx.actor.kind not in _TRUSTED or ctx.door in _BY_REQUEST:
        access.require(ctx.permissions, permission)
