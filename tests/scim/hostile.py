"""Requests that mean harm, or are merely broken: (name, method, path, body, headers)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson

Request = tuple[str, str, str, bytes | None, dict[str, str]]

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
JSON: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"true",
    b"1",
    b'"x"',
    b"[]",
    b"[{}]",
    b"{",
    b"}",
    b"{]",
    b'{"a"}',
    b'{"a":}',
    b'{"a":1,}',
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-}',
    b'{"a":01}',
    b'{"a":1e999}',
    b'{"a":1}{"b":2}',
    b"\x00",
    b'{"a":"\x00"}',
    b'{"a":"\xff\xfe"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\u12"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"userName":' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":[' * 500 + b"]}" * 500,
    b'"' * 100_000,
    b'{"' + b"k" * 500_000 + b'":1}',
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>",
    b"userName=x&active=true",
    b'{"__proto__":{"admin":true}}',
    b"/* c */ {}",
]
#: None of these is a value for the attribute that it stands at.
TYPES: list[Any] = [0, 1, -1, 1.5, True, [], {}, [[]], [{}], {"value": "x"}, "a\0b", "\0", 10**18]
TEXTS = [
    "' OR 1=1 --",
    '"; DROP TABLE people; --',
    "${7*7}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "%00",
    "%s%s%n",
    "\u202e",
    "\ufeff",
    "\u0000",
    "\ud7ff",
    "𝕏" * 100,
    "a" * 490,
    "İ" * 400,
    "ﬃ" * 400,
    "\n\r\t",
    "*)(uid=*))(|(uid=*",
    "=cmd|' /C calc'!A0",
    "\x1b[31m",
    "Ａ",
    "ß" * 400,
]
FILTERS = [
    "",
    " ",
    "(",
    ")",
    "((",
    "not",
    "and",
    "a",
    "userName",
    "userName eq",
    'userName eq "',
    "userName eq 'x'",
    'userName eq "x" and',
    'userName eq "x" garbage',
    "userName eq x",
    'nosuch eq "x"',
    "password pr",
    'password sw "a"',
    "userName gt null",
    "active gt true",
    'active eq "maybe"',
    'meta.created gt "x"',
    "emails[",
    "emails[]",
    "emails[x pr]",
    "emails[value[x pr]]",
    "userName[value pr]",
    'userName eq "\\u0000"',
    'userName eq "\\ud800"',
    'userName eq "\x00"',
    "(" * 30 + "title pr" + ")" * 30,
    "not (" * 1000 + "title pr" + ")" * 1000,
    " or ".join(["title pr"] * 500),
    "x" * 5000,
    '"' * 4000,
    "\\" * 4000,
    'userName eq "' + "x" * 5000 + '"',
    "urn:x:y:z pr",
    "id eq 5",
    "meta pr and meta eq 1",
    'name eq "x"',
    "userName co 5",
    "userName eq {}",
    "userName eq []",
    "1 eq 1",
    'userName eq "x"; DROP TABLE people',
    'userName eq "x" UNION SELECT 1',
    'userName like "x"',
    "title ne",
    'x509Certificates.value gt "x"',
    "emails.value.x pr",
    "members pr",
    "𝕏 pr",
    "user\u200bName pr",
    "userName\x00 pr",
]
PATHS = [
    "",
    " ",
    "id",
    "meta",
    "meta.created",
    "groups",
    "groups[value pr]",
    "[",
    "]",
    "emails[",
    "emails[]",
    "emails[type eq]",
    'emails[type eq "work"',
    "emails[type eq 'work']",
    "emails.value.value",
    "..",
    ".",
    "a.b.c.d",
    'emails[type eq "work"].nosuch',
    'emails[nosuch eq "x"].value',
    "userName[value eq 1]",
    "urn:",
    "urn:x",
    ":userName",
    "x" * 5000,
    "[" * 1000,
    'emails[type eq "' + "x" * 5000 + '"]',
    "emails[" + "not (" * 100 + "type pr" + ")" * 100 + "]",
    'emails[type eq "\\u0000"].value',
    "userName; DROP TABLE people",
    "__class__.__mro__",
    "$ref",
    "emails.$ref",
    "userName eq",
]


def corpus(user: str, group: str) -> Iterator[Request]:
    """All of them; ``user`` and ``group`` are ids of resources that must not change."""
    yield from _json(user, group)
    yield from _types(user)
    yield from _filters()
    yield from _patches(user, group)
    yield from _paging()
    yield from _wire(user)
    yield from _places(user)


def _json(user: str, group: str) -> Iterator[Request]:
    for n, body in enumerate(JSON):
        yield f"json-{n}-post", "POST", "/Users", body, {}
        yield f"json-{n}-put", "PUT", f"/Users/{user}", body, {}
        yield f"json-{n}-patch", "PATCH", f"/Groups/{group}", body, {}


def _types(user: str) -> Iterator[Request]:
    for n, value in enumerate(TYPES):
        for attribute in ("userName", "displayName", "title"):
            body = orjson.dumps({"userName": "hostile", attribute: value})
            yield f"type-{attribute}-{n}", "POST", "/Users", body, {}
        if not isinstance(value, bool):
            body = orjson.dumps({"userName": "hostile", "active": value})
            yield f"type-active-{n}", "PUT", f"/Users/{user}", body, {}
        if isinstance(value, (int, float)) or value == [[]]:
            body = orjson.dumps({"userName": "hostile", "emails": [value]})
            yield f"type-emails-{n}", "POST", "/Users", body, {}


def _filters() -> Iterator[Request]:
    for n, text in enumerate(FILTERS):
        yield f"filter-{n}", "GET", f"/Users?filter={quote(text, safe='')}", None, {}
    yield "filter-bytes", "GET", "/Users?filter=%FF%FE", None, {}
    yield "filter-twice", "GET", "/Users?filter=title%20pr&filter=active%20pr", None, {}


def _patches(user: str, group: str) -> Iterator[Request]:
    for n, path in enumerate(PATHS):
        body = orjson.dumps(
            {"schemas": [PATCH], "Operations": [{"op": "replace", "path": path or "[", "value": 7}]}
        )
        yield f"patch-path-{n}", "PATCH", f"/Users/{user}", body, {}
    for n, operations in enumerate(
        [
            None,
            1,
            {},
            [],
            [1],
            [[]],
            [{}],
            [{"op": 1}],
            [{"op": "x", "path": "title"}],
            [{"op": "add"}],
            [{"op": "remove"}],
            [{"op": "replace", "value": []}],
            [{"op": "replace", "path": 1, "value": 1}],
            [{"op": "replace", "path": "userName", "value": None}],
            [{"op": "remove", "path": "userName"}],
            [{"op": "add", "path": "title", "value": "x"}] * 1001,
            [
                {"op": "replace", "path": "title", "value": "x"},
                {"op": "replace", "path": "userName", "value": ""},
            ],
            [{"op": "add", "path": "groups", "value": [{"value": group}]}],
            [{"op": "replace", "path": "emails", "value": [{"value": ["a@b.c", "d@e.f"]}]}],
            [{"op": "replace", "path": "emails", "value": [{"value": "a@b.c\r\nBcc: d@e.f"}]}],
        ]
    ):
        yield f"patch-ops-{n}", "PATCH", f"/Users/{user}", orjson.dumps({"Operations": operations}), {}
    for n, operation in enumerate(
        [
            {"op": "add", "path": "members", "value": [{"value": 1}]},
            {"op": "add", "path": "members", "value": [{"value": "a\0"}]},
            {"op": "add", "path": "members", "value": [{}]},
            {"op": "add", "path": "members"},
            {"op": "remove", "path": "members[display pr]"},
            {"op": "replace", "path": "members.value", "value": "x"},
            {"op": "replace", "path": "displayName", "value": ""},
            {"op": "remove", "path": "displayName"},
        ]
    ):
        yield f"patch-group-{n}", "PATCH", f"/Groups/{group}", orjson.dumps({"Operations": [operation]}), {}


def _paging() -> Iterator[Request]:
    for n, text in enumerate(["x", "1.5", "", "1e3", "0x10", "NaN", "9" * 400, "%D9%A1", "1;2"]):
        yield f"start-{n}", "GET", f"/Users?startIndex={text}", None, {}
        yield f"count-{n}", "GET", f"/Groups?count={text}", None, {}
    for n, query in enumerate(
        ["sortBy=nosuch", "sortBy=password", "sortBy=name", "sortBy=userName&sortOrder=x"]
    ):
        yield f"sort-{n}", "GET", f"/Users?{query}", None, {}


def _wire(user: str) -> Iterator[Request]:
    good = orjson.dumps({"userName": "hostile"})
    for n, kind in enumerate(
        [
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/scim+json; charset=utf-16",
            "x",
            "application/json; charset=latin-1",
        ]
    ):
        yield f"type-{n}", "POST", "/Users", good, {"Content-Type": kind}
    yield "size", "POST", "/Users", b'{"userName":"' + b"x" * 3_000_000 + b'"}', {}
    bomb = b'{"userName":"' + b"x" * 50_000_000 + b'"}'
    yield "gzip-bomb", "POST", "/Users", gzip.compress(bomb), {"Content-Encoding": "gzip"}
    yield "deflate-bomb", "POST", "/Users", zlib.compress(bomb), {"Content-Encoding": "deflate"}
    yield "gzip-lie", "POST", "/Users", good, {"Content-Encoding": "gzip"}
    yield "encoding", "POST", "/Users", good, {"Content-Encoding": "zstd, br"}
    yield "if-match", "PUT", f"/Users/{user}", good, {"If-Match": 'W/"999-1"'}
    yield "if-match-long", "PUT", f"/Users/{user}", good, {"If-Match": 'W/"1",' * 1000}
    yield "if-match-junk", "DELETE", f"/Users/{user}", None, {"If-Match": '"' * 500}


def _places(user: str) -> Iterator[Request]:
    nobody = "00000000-0000-0000-0000-000000000000"
    for n, place in enumerate(
        [
            "",
            "/",
            "/users",
            "/USERS",
            "/Users/x",
            "/Users/0",
            "/Users/-1",
            f"/Users/{nobody}",
            f"/Groups/{user}",
            "/Users/%00",
            "/Users/%FF",
            "/Users/..%2f..%2f",
            "/Users/'%20OR%201=1",
            f"/Users/{user}/x",
            f"/Users/{user.upper()}",
            "/Bulk",
            "/Nothing",
            "/Schemas/x",
            "/ResourceTypes/x",
            "/%2e%2e/",
            "/Users;x",
            "/Users%2F",
            f"/Users/{user}%00",
            "/" + "x" * 5000,
        ]
    ):
        yield f"place-{n}", "DELETE", place, None, {}
    for n, (method, place) in enumerate(
        [
            ("PUT", "/Users"),
            ("DELETE", "/Users"),
            ("PATCH", "/Groups"),
            ("POST", f"/Users/{user}"),
            ("POST", "/Schemas"),
            ("PUT", "/ServiceProviderConfig"),
            ("TRACE", "/Users"),
            ("BREW", "/Users"),
            ("GET", "/.search"),
        ]
    ):
        yield f"method-{n}", method, place, None, {}
