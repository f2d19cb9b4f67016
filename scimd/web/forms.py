"""Reading forms: what was typed, as text, and nothing else."""

from __future__ import annotations

from collections.abc import Container

from aiohttp import web

from scimd.core.printable import spelled_out
from scimd.http import peers
from scimd.http.reading import form_of


async def fields(request: web.Request, *names: str) -> dict[str, str]:
    """The named fields; absent counts as empty."""
    form = await form_of(request)
    return {name: form.get(name, "") for name in names}


def is_spelled_out(sent: str, kept: str) -> bool:
    """Whether a field came back as the page spelled a value out (``printable``): nobody typed that."""
    return sent != kept and sent == spelled_out(kept)


def chosen(request: web.Request, name: str, allowed: Container[str]) -> str | None:
    """A filter of the query, where it is one of those allowed; else none."""
    value = request.query.get(name)
    return value if value and value in allowed else None


def client(request: web.Request) -> dict[str, str]:
    """The address that the request comes from, and the browser."""
    return {"ip": peers.address_of(request), "user_agent": request.headers.get("User-Agent", "")}
