"""Who may call a function of the door: permissions, never the names of roles."""

from __future__ import annotations

from scimd.core import access
from scimd.org.tx import Context

#: Whoever can run a command on the host, and scimd itself, may everything.
_TRUSTED = frozenset({"operator", "job", "system"})


def require(ctx: Context, permission: str) -> None:
    """Raise Forbidden unless the caller holds the permission."""
    if not is_trusted(ctx):
        access.require(ctx.permissions, permission)


def is_trusted(ctx: Context) -> bool:
    """Whether the caller may everything, whatever permissions they hold."""
    return ctx.actor.kind in _TRUSTED
