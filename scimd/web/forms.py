"""Reading forms: what was typed, as text, and nothing else."""

from __future__ import annotations

from collections.abc import Container

from aiohttp import web

FORM = "application/x-www-form-urlencoded"
_LONG = 2000


async def fields(request: web.Request, *names: str) -> dict[str, str]:
    """The named fields; absent, too long, or a file counts as empty. 415 for what is no form."""
    if request.content_type not in (FORM, "multipart/form-data"):
        raise web.HTTPUnsupportedMediaType
    form = await request.post()
    found: dict[str, str] = {}
    for name in names:
        value = form.get(name)
        found[name] = value if isinstance(value, str) and len(value) <= _LONG else ""
    return found


def chosen(request: web.Request, name: str, allowed: Container[str]) -> str | None:
    """A filter of the query, where it is one of those allowed; else none."""
    value = request.query.get(name)
    return value if value and value in allowed else None


def client(request: web.Request) -> dict[str, str]:
    """The peer's address and browser. ``X-Forwarded-For`` is not believed: nobody vouches for it."""
    return {"ip": request.remote or "", "user_agent": request.headers.get("User-Agent", "")}
