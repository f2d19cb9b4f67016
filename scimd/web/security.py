"""What guards a browser: policy headers, the session's cookie, where a sign-in may lead back to."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from aiohttp import web

from scimd.config import Config
from scimd.http import guard

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_LOCAL = re.compile(r"/[A-Za-z0-9._~/?=&%+:,-]*")
#: Those that send their forms to their own address; the forms of "/my" go to addresses below it.
_PAGES_OF_MINE = ("/my/app", "/my/passkey", "/my/proof")
_UNDONE = "said=undone"


def add_headers(response: web.StreamResponse) -> None:
    """Our pages load from here and nowhere else, and stay in no cache. The rest is the shell's."""
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"


def local_path(text: str | None) -> str:
    """The text where it is a plain path of this site, else the overview.

    An allow-list: what browsers make of ``//``, backslashes, dots and control characters, also under
    percent signs, differs from what is read here.
    """
    if not text or len(text) > 500 or not _LOCAL.fullmatch(text):
        return "/"
    path = unquote(unquote(text))
    odd = "//" in path or "\\" in path or any(ord(char) < 0x20 or ord(char) == 0x7F for char in path)
    dotted = any(part in (".", "..") for part in re.split(r"[/?]", path))
    return "/" if odd or dotted else text


def leading_to(page: str, follow: str) -> str:
    """The address of a page of the sign-in that goes on to ``follow``, a ``local_path``, in the end."""
    return page if follow == "/" else f"{page}?next={quote(follow, safe='/?=:,')}"


def page_of(request: web.Request) -> str:
    """The page that was asked for, or on which the form stands that was sent; a ``local_path``."""
    path, _, query = request.path_qs.partition("?")
    if request.method not in ("GET", "HEAD"):
        if path == "/sign-out":
            return "/"
        if path.startswith("/my/") and path not in _PAGES_OF_MINE:
            path = "/my"
        path = path.removesuffix("/approve")
    return local_path(f"{path}?{query}" if query else path)


def undone(page: str) -> str:
    """The page, with the word that what was sent from it came from nobody signed in, and was not done."""
    return f"{page}{'&' if '?' in page else '?'}{_UNDONE}"


def is_undone(page: str) -> bool:
    return page.endswith(_UNDONE)


def set_cookie(response: web.StreamResponse, config: Config, token: str) -> None:
    response.set_cookie(
        guard.cookie_name(config),
        token,
        max_age=int(config.sign_in.session_absolute.total_seconds()),
        path="/",
        secure=guard.is_secure(config),
        httponly=True,
        samesite="Lax",
    )


def drop_cookie(response: web.StreamResponse, config: Config) -> None:
    response.del_cookie(
        guard.cookie_name(config), path="/", secure=guard.is_secure(config), httponly=True, samesite="Lax"
    )
