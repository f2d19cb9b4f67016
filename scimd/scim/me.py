"""/Me (RFC 7644 §3.11): the resource of the person whose API token it is, to read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aiohttp import hdrs, web

from scimd.core.errors import NotFound
from scimd.core.resource import etag, render_user, user_location
from scimd.org.reading import own_resource
from scimd.org.tokens.api_tokens import ApiTokenHolder
from scimd.org.tx import Door
from scimd.scim.errors import ScimError
from scimd.scim.etag import is_unchanged
from scimd.scim.exchange import Exchange, ScimSettings, answer, projection_of, query_of

_WRITES = (hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE)
_ALLOW = "GET, HEAD, OPTIONS"


async def nobody(ex: Exchange) -> web.Response:
    """/Me with a source's token."""
    raise ScimError(501, "A source's token belongs to no one person, so it has no /Me.")


async def answer_person(
    request: web.Request, door: Door, settings: ScimSettings, holder: ApiTokenHolder, segments: Sequence[str]
) -> web.Response:
    """What an API token is answered. Raises ScimError."""
    if tuple(segments) != ("Me",):
        raise ScimError(403, "An API token opens /Me alone. Identity providers push with a source's token.")
    if holder.person_id is None:
        raise ScimError(501, "A service's token belongs to no one person, so it has no /Me.")
    if request.method in _WRITES:
        raise ScimError(403, "People are changed where they come from, or by an admin; /Me can only be read.")
    if request.method == hdrs.METH_OPTIONS:
        return answer(204, headers={"Allow": _ALLOW})
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        raise ScimError(405, f"Use one of {_ALLOW} here.", None, (("Allow", _ALLOW),))
    return await _read(request, door, settings, holder)


async def _read(
    request: web.Request, door: Door, settings: ScimSettings, holder: ApiTokenHolder
) -> web.Response:
    query = query_of(request)
    try:
        own = await own_resource.read(door, holder.org_id, holder.person_id or "")
    except NotFound as exc:
        raise ScimError(404, "There is no resource for this person.") from exc
    projection = projection_of(own.kind, query, both=False)
    tag = etag(own.user.version, own.user.rest)
    if is_unchanged(partial(_header, request), tag):
        return answer(304, headers={"ETag": tag})
    body = render_user(own.user, settings.base_url, projection)
    # The address under which the resource stands for good (§3.11).
    return answer(200, body, {"ETag": tag, "Location": user_location(own.user.person_id, settings.base_url)})


def _header(request: web.Request, name: str) -> str | None:
    values = request.headers.getall(name, None)
    return None if values is None else ",".join(values)
