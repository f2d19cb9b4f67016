"""Bytes on a socket that no HTTP client would send. TOKEN and USER are filled in."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD = "Host: x\r\nAuthorization: Bearer TOKEN\r\n"
_JSON = "Content-Type: application/scim+json\r\n"
_GET = "GET /scim/v2/Users HTTP/1.1\r\n"
_AUTH = "Authorization: Bearer TOKEN\r\n\r\n"
_DELETE = f"DELETE /scim/v2/Users/USER HTTP/1.1\r\n{_HEAD}\r\n"


@dataclass(frozen=True, slots=True)
class Wire:
    """``answers``: how many answers may come at most; what lies behind a broken request is never one."""

    name: str
    raw: bytes
    answers: int = 1
    #: Nothing is wrong with the request itself: any status but 5xx will do.
    sound: bool = False


def _post(headers: str, body: str) -> str:
    return f"POST /scim/v2/Users HTTP/1.1\r\n{_HEAD}{_JSON}{headers}\r\n{body}"


#: A body that one reader ends here and another there, with a DELETE behind it that nobody may obey.
_SMUGGLED = {
    "cl-te": _post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-cl": _post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", f"0\r\n\r\n{_DELETE}"),
    "cl-cl": _post("Content-Length: 2\r\nContent-Length: 100\r\n", f"{{}}{_DELETE}"),
    "cl-list": _post("Content-Length: 2, 100\r\n", f"{{}}{_DELETE}"),
    "cl-plus": _post("Content-Length: +2\r\n", f"{{}}{_DELETE}"),
    "cl-minus": _post("Content-Length: -1\r\n", f"{{}}{_DELETE}"),
    "cl-hex": _post("Content-Length: 0x2\r\n", f"{{}}{_DELETE}"),
    "cl-float": _post("Content-Length: 2.0\r\n", f"{{}}{_DELETE}"),
    "cl-space": _post("Content-Length : 2\r\n", f"{{}}{_DELETE}"),
    "cl-under": _post("Content_Length: 2\r\nContent-Length: 2 2\r\n", f"{{}}{_DELETE}"),
    "cl-huge": _post("Content-Length: 99999999999999999999999\r\n", f"{{}}{_DELETE}"),
    "cl-unicode": _post("Content-Length: \u0662\r\n", f"{{}}{_DELETE}"),
    "cl-empty": _post("Content-Length:\r\n", f"{{}}{_DELETE}"),
    "te-te": _post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-unknown": _post("Transfer-Encoding: xchunked\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-space": _post("Transfer-Encoding : chunked\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-tab": _post("Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-fold": _post("Transfer-Encoding:\r\n chunked\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-list": _post("Transfer-Encoding: chunked, identity\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-twice": _post("Transfer-Encoding: chunked, chunked\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-null": _post("Transfer-Encoding: chunked\0\r\n", f"0\r\n\r\n{_DELETE}"),
    "te-old": _post("Transfer-Encoding: chunked\r\n", f"0\r\n\r\n{_DELETE}").replace(
        "HTTP/1.1", "HTTP/1.0", 1
    ),
    "chunk-minus": _post("Transfer-Encoding: chunked\r\n", f"-1\r\n\r\n{_DELETE}"),
    "chunk-hex": _post("Transfer-Encoding: chunked\r\n", f"0x2\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-huge": _post("Transfer-Encoding: chunked\r\n", f"{'f' * 40}\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-space": _post("Transfer-Encoding: chunked\r\n", f" 2\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-lf": _post("Transfer-Encoding: chunked\r\n", f"2\n{{}}\n0\n\n{_DELETE}"),
    "chunk-short": _post("Transfer-Encoding: chunked\r\n", f"2\r\n{{}}xx\r\n0\r\n\r\n{_DELETE}"),
    "chunk-extension": _post("Transfer-Encoding: chunked\r\n", f"2;{'x' * 20_000}\r\n{{}}\r\n0\r\n\r\n"),
    "chunk-extension-lf": _post("Transfer-Encoding: chunked\r\n", f"2;x\nx\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-word": _post("Transfer-Encoding: chunked\r\n", f"zz\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-empty": _post("Transfer-Encoding: chunked\r\n", f"\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-plus": _post("Transfer-Encoding: chunked\r\n", f"+2\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "chunk-under": _post("Transfer-Encoding: chunked\r\n", f"0_2\r\n{{}}\r\n0\r\n\r\n{_DELETE}"),
    "header-lf": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X: y\n\n{_DELETE}",
    "header-cr": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X: y\rZ: z\r\n\r\n{_DELETE}",
    "header-null": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X: y\0z\r\n\r\n{_DELETE}",
    "header-fold": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X: y\r\n z\r\n\r\n{_DELETE}",
    "trailer": _post(
        "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n" + "X: y\r\n" * 5_000 + f"\r\n{_DELETE}"
    ),
    "trailer-long": _post(
        "Transfer-Encoding: chunked\r\n", f"2\r\n{{}}\r\n0\r\nX: {'y' * 100_000}\r\n\r\n{_DELETE}"
    ),
}

_LINES = {
    "empty": "\r\n\r\n",
    "nul": "\0" * 100,
    "junk": "x" * 100 + "\r\n\r\n",
    "word": "GET\r\n\r\n",
    "no-version": "GET /scim/v2/Users\r\n\r\n",
    "old": "GET /scim/v2/Users HTTP/0.9\r\n\r\n",
    "next": "GET /scim/v2/Users HTTP/2.0\r\n\r\n",
    "far": "GET /scim/v2/Users HTTP/9.9\r\n\r\n",
    "version-long": "GET /scim/v2/Users HTTP/1.1111111\r\n\r\n",
    "version-word": "GET /scim/v2/Users HTTP/x.y\r\n\r\n",
    "version-lower": "GET /scim/v2/Users http/1.1\r\n\r\n",
    "preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "ssh": "SSH-2.0-OpenSSH_9.2\r\n",
    "proxy": "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    "tabs": f"GET\t/scim/v2/Users\tHTTP/1.1\r\n{_HEAD}\r\n",
    "lead": f" GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "space-path": f"GET /scim/v2/Us ers HTTP/1.1\r\n{_HEAD}\r\n",
    "nul-path": f"GET /scim/v2/Us\0ers HTTP/1.1\r\n{_HEAD}\r\n",
    "method-bad": f"GE(T /scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "method-nul": f"GE\0T /scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "method-long": f"{'G' * 20_000} /scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "path-long": f"GET /{'x' * 100_000} HTTP/1.1\r\n{_HEAD}\r\n",
    "name-empty": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}: x\r\n\r\n",
    "name-space": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X Y: x\r\n\r\n",
    "name-only": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X\r\n\r\n",
    "name-nul": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}X\0Y: x\r\n\r\n",
    "name-long": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}{'X' * 100_000}: x\r\n\r\n",
    "headers-many": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}{f'X: y{chr(13) + chr(10)}' * 50_000}\r\n",
    "cr-only": "GET /scim/v2/Users HTTP/1.1\rHost: x\r\r",
}

#: Sound HTTP, if odd: answered, but never with another's words, and never by a crash.
_SOUND = {
    "spaces": f"GET  /scim/v2/Users  HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute": f"GET http://evil.example/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute-https": f"GET https://evil.example:99999/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute-user": f"GET http://a:b@evil.example/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute-ipv6": f"GET http://[::1/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute-puny": f"GET http://xn--a/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "absolute-port": f"GET http://x:port/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "asterisk": f"OPTIONS * HTTP/1.1\r\n{_HEAD}\r\n",
    "connect": f"CONNECT evil.example:443 HTTP/1.1\r\n{_HEAD}\r\n",
    "no-slash": f"GET scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "slashes": f"GET //evil.example/scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n",
    "fragment": f"GET /scim/v2/Users#/x HTTP/1.1\r\n{_HEAD}\r\n",
    "raw-utf8": f"GET /scim/v2/Users/é HTTP/1.1\r\n{_HEAD}\r\n",
    "raw-quotes": f'GET /scim/v2/Users?filter=userName+eq+"x" HTTP/1.1\r\n{_HEAD}\r\n',
    "percent": f"GET /scim/v2/Users?filter=%zz%1 HTTP/1.1\r\n{_HEAD}\r\n",
    "no-host": "GET /scim/v2/Users HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "two-hosts": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}Host: evil.example\r\n\r\n",
    "host-empty": "GET /scim/v2/Users HTTP/1.1\r\nHost:\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "host-odd": "GET /scim/v2/Users HTTP/1.1\r\nHost: [::1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "host-port": "GET /scim/v2/Users HTTP/1.1\r\nHost: x:99999999\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "host-path": f"{_GET}Host: evil.example/x?y#z\r\n{_AUTH}",
    "host-user": "GET /scim/v2/Users HTTP/1.1\r\nHost: a@evil.example\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "host-long": f"GET /scim/v2/Users HTTP/1.1\r\nHost: {'x' * 7_000}\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "http-1.0": "GET /scim/v2/Users HTTP/1.0\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "two-tokens": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}Authorization: Bearer TOKEN\r\n\r\n",
    "token-case": "GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAUTHORIZATION: bearer TOKEN\r\n\r\n",
    "get-body": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}Content-Length: 2\r\n\r\n{{}}",
    "delete-body": f"DELETE /scim/v2/Users/x HTTP/1.1\r\n{_HEAD}Content-Length: 2\r\n\r\n{{}}",
    "upgrade": f"{_GET}{_HEAD}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "websocket": f"{_GET}{_HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expect": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}Expect: 100-continue\r\n\r\n",
    "expect-odd": f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}Expect: the unexpected\r\n\r\n",
}


def wire() -> list[Wire]:
    """All of them. A smuggled DELETE may be answered as a request of its own only where it is one."""
    pipelined = f"GET /scim/v2/Users HTTP/1.1\r\n{_HEAD}\r\n" * 20
    many = [Wire(f"smuggled-{name}", raw.encode()) for name, raw in _SMUGGLED.items()]
    many += [Wire(f"line-{name}", raw.encode("latin-1", "replace")) for name, raw in _LINES.items()]
    many += [Wire(f"sound-{name}", raw.encode(), answers=2, sound=True) for name, raw in _SOUND.items()]
    many.append(Wire("pipelined", pipelined.encode(), answers=20, sound=True))
    many.append(
        Wire("pipelined-broken", (pipelined + "x\r\n\r\n" + _DELETE).encode(), answers=21, sound=True)
    )
    return many
