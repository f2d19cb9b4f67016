"""What a bearer token may do: *scopes* of SCIM tokens, and the *profiles* in which they speak.

A scope names a type of resource and whether it is read or written. Whoever may write sees what was
written: the answer to a write is the resource as it is then (RFC 7644 §3.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from scimd.core.errors import InvalidValue

USERS_READ, USERS_WRITE = "users:read", "users:write"
GROUPS_READ, GROUPS_WRITE = "groups:read", "groups:write"
SCOPES = (USERS_READ, USERS_WRITE, GROUPS_READ, GROUPS_WRITE)

#: Where OAuth clients fetch access tokens, below the public address.
TOKEN_ENDPOINT = "/oauth/token"  # noqa: S105 - an address

#: Names of profiles, as tokens store them; what each does stands in ``scim/quirks/profiles.py``.
PROFILES = (
    "default",
    "rfc",
    "okta",
    "entra",
    "onelogin",
    "jumpcloud",
    "google",
    "ping",
    "keycloak",
    "authentik",
)


def scopes_of(names: Iterable[str] | None) -> list[str]:
    """The scopes in their own order, each once; None stands for all. Raises InvalidValue.

    An empty list is refused: a token that may do nothing is a mistake.
    """
    if names is None:
        return list(SCOPES)
    wanted = set(names)
    if not wanted or not wanted <= set(SCOPES):
        raise InvalidValue("scopes", f"must be some of {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in wanted]


def check_profile(name: str) -> str:
    """The name itself. Raises InvalidValue for one that no profile has."""
    if name not in PROFILES:
        raise InvalidValue("profile", f"must be one of {', '.join(PROFILES)}")
    return name


_EVERYTHING = (USERS_READ, GROUPS_READ)
#: By the first segment of a path, which the root has none of: the scopes for reading it, and for writing it.
_NEEDED = {
    "": (_EVERYTHING, _EVERYTHING),
    "Users": ((USERS_READ,), (USERS_WRITE,)),
    "Groups": ((GROUPS_READ,), (GROUPS_WRITE,)),
    ".search": (_EVERYTHING, _EVERYTHING),
}


def missing_scopes(held: Collection[str], method: str, segments: Sequence[str]) -> tuple[str, ...]:
    """The scopes that a request needs and its token lacks; discovery needs none.

    ``segments`` is the path below the base address. /Bulk needs none itself: each of its operations
    is asked about on its own.
    """
    reading, writing = _NEEDED.get(segments[0] if segments else "", ((), ()))
    reads = method in ("GET", "HEAD") or (bool(segments) and segments[-1] == ".search")
    needed = reading if reads else writing
    if len(needed) == 1 and needed[0] in held:
        return ()
    return tuple(scope for scope in needed if scope not in held)
