"""What is served below ``/scim/v2``: the endpoints by name, how a path names one, how a query is read."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

ENDPOINTS = (
    "Users",
    "Groups",
    "Roles",
    "Entitlements",
    "Bulk",
    "Me",
    "Schemas",
    "ResourceTypes",
    "ServiceProviderConfig",
)
#: As clients spell the endpoints → as they are served. Microsoft's own collection asks for ``/users``.
_SPELLED = {name.lower(): name for name in ENDPOINTS}


BASE_PATH = "/scim/v2"
#: What a reference starts with that stands for the id of what a bulk request makes (RFC 7644 §3.7.2).
BULK_ID = "bulkId:"


def below_base(path: str) -> str | None:
    """What of a raw path, query or not, stands below the base; None for one that is elsewhere."""
    below = path.removeprefix(BASE_PATH)
    return below if below != path and below[:1] in ("", "/", "?") else None


def segments_of(path: str) -> tuple[str, ...] | None:
    """A path below the base address in segments, each decoded once; None for what is not UTF-8.

    The root has none. The endpoint's name counts whatever its case; who asks has shown a token by then.
    So it does behind several slashes: clients put ``/Users`` behind a base address that ends in one.
    """
    if path in ("", "/"):
        return ()
    parts = path.lstrip("/").removesuffix("/").split("/")
    if "%" in path:
        try:
            parts = [unquote_to_bytes(part).decode() for part in parts]
        except UnicodeDecodeError:
            return None
    parts[0] = _SPELLED.get(parts[0].lower(), parts[0])
    return tuple(parts)


def segments_in_bulk(path: str) -> tuple[str, ...] | None:
    """The same of an operation of a bulk request, which many write without the first slash.

    What stands for an id, ``bulkId:…``, goes to the end, and is not decoded: whoever makes one of a name may
    have a slash in it, or a percent sign.
    """
    head, mark, bulk_id = path.strip("/").partition(BULK_ID)
    return segments_of("/" + head + mark + quote(bulk_id, safe=""))


def plus_as_meant(raw_query: str) -> str:
    """The raw query with each plus that is one as ``%2B``, so that those left are spaces, as in a form.

    Who writes a space as ``%20`` writes a plus as itself (RFC 3986 §3.4); a form's encoder, as Go's
    ``url.Values`` is one, writes no ``%20``. Each parameter shows for itself who has written it.
    """
    if "+" not in raw_query or "%20" not in raw_query:
        return raw_query
    parts = raw_query.split("&")
    return "&".join(part.replace("+", "%2B") if "%20" in part else part for part in parts)
