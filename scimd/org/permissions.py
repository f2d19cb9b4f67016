"""Who may call a function of the door: permissions, never the names of roles."""

from __future__ import annotations

from scimd.core import access
from scimd.core.errors import Forbidden
from scimd.core.people import PersonId
from scimd.org.tx import Context

#: Whoever can run a command on the host, and scimd itself, may everything.
_TRUSTED = frozenset({"operator", "job", "system"})
#: An operator who comes by these is a person of the organization ``system``, with a person's permissions.
_BY_REQUEST = frozenset({"web", "api"})


def require(ctx: Context, permission: str) -> None:
    """Raise Forbidden unless the caller holds the permission."""
    if not is_trusted(ctx):
        access.require(ctx.permissions, permission)


def require_operator(ctx: Context, permission: str) -> None:
    """Raise Forbidden for whoever is no operator, or one without the permission."""
    if ctx.actor.kind not in _TRUSTED:
        raise Forbidden("of an operator")
    require(ctx, permission)


def require_self(ctx: Context, person_id: PersonId) -> None:
    """Raise Forbidden unless the caller is that person, or trusted to act as anybody."""
    if ctx.actor.id != person_id and not is_trusted(ctx):
        raise Forbidden("to act as that person")


def is_trusted(ctx: Context) -> bool:
    """Whether the caller may everything, whatever permissions they hold.

    Nobody is by an API token: an operator's may be narrower than the operator.
    """
    return ctx.actor.kind in _TRUSTED and not is_by_request(ctx) and ctx.api_token_id is None


def is_by_request(ctx: Context) -> bool:
    """Whether the call comes by the page or the REST API, whoever makes it."""
    return ctx.door in _BY_REQUEST
