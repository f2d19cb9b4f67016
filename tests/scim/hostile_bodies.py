"""Bodies: what is no JSON, values of a wrong type, texts that no database or reader likes, sizes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

import orjson

from scimd.config import Extension
from scimd.core.attributes import ENTERPRISE_URN, Attribute, Resolved, ResourceKind
from scimd.core.extensions import users_with
from tests.scim.declared import DOORS, HR
from tests.scim.hostile import GROUP, USER, Hostile, Victims, json, numbered, patch_of, user_with

# ------------------------------------------------------------------------------ JSON

NO_JSON: list[bytes] = [
    b"",
    b" ",
    b"\n\n\n",
    b"null",
    b"true",
    b"1",
    b'"x"',
    b"[]",
    b"[{}]",
    b'[{"userName":"x"}]',
    b"{",
    b"}",
    b"{]",
    b"[}",
    b'{"a"}',
    b'{"a":}',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a" 1}',
    b'{"a":1 "b":2}',
    b'{"userName":"x"',
    b'{"userName":"x"}}',
    b'{"userName":"x',
    b'{"userName":"x\\"}',
    b"{'userName':'x'}",
    b'{userName:"x"}',
    b'{"userName":undefined}',
    b'{"userName":NaN}',
    b'{"userName":-Infinity}',
    b'{"userName":Infinity}',
    b'{"userName":-}',
    b'{"userName":+1}',
    b'{"userName":01}',
    b'{"userName":.5}',
    b'{"userName":1.}',
    b'{"userName":0x10}',
    b'{"userName":1e}',
    b'{"userName":1e999}',
    b'{"userName":-1e999}',
    b'{"userName":' + b"9" * 5000 + b"}",
    b'{"userName":0.' + b"0" * 50_000 + b"1}",
    b'{"userName":TRUE}',
    b'{"userName":nul}',
    b'{"userName":"x"}{"userName":"y"}',
    b'{"userName":"x"}\x00',
    b'{"userName":"x"} garbage',
    b"\x00",
    b'\x00{"userName":"x"}',
    b'{"userName":"\x00"}',
    b'{"userName":"a\x01b"}',
    b'{"userName":"a\nb"}',
    b'{"userName":"a\tb"}',
    b'{"userName":"\\x41"}',
    b'{"userName":"\\u12"}',
    b'{"userName":"\\uZZZZ"}',
    b'{"userName":"\\ud800"}',
    b'{"userName":"\\udc00"}',
    b'{"userName":"\\udc00\\ud800"}',
    b'{"userName":"\\ud83d\\u0041"}',
    b'{"\\ud800":1,"userName":"x"}',
    b'{"userName":"\xff\xfe"}',
    b'{"userName":"\xc0\xaf"}',
    b'{"userName":"\xed\xa0\x80"}',
    b'{"userName":"\xf5\x80\x80\x80"}',
    b'{"userName":"\xe2\x82"}',
    b'{"userName":"\x80"}',
    b"\xef\xbb\xbf",
    b'\xef\xbb\xbf\xef\xbb\xbf{"userName":"x"}',
    '{"userName":"x"}'.encode("utf-16"),
    '{"userName":"x"}'.encode("utf-16-be"),
    '{"userName":"x"}'.encode("utf-32"),
    '{"userName":"é"}'.encode("latin-1"),
    '{"userName":"x"}'.encode("cp037"),
    b"[" * 100_000,
    b"{" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":[' * 500 + b"]}" * 500,
    b'{"userName":"x","a":' + b"[" * 33 + b"]" * 33 + b"}",
    b'{"userName":"x","a":' + b'{"b":' * 32 + b"1" + b"}" * 32 + b"}",
    b"[" * 1_000_000,
    b'"' * 100_000,
    b"\\" * 100_000,
    b'{"' + b"k" * 500_000 + b'":1}',
    b'{"a":1,' + b'"b":2,' * 100_000 + b'"c":3}',
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>",
    b"userName=x&active=true",
    b"--x\r\nContent-Disposition: form-data; name=userName\r\n\r\nx\r\n--x--",
    b"/* c */ {}",
    b'// c\n{"userName":"x"}',
    b"!!python/object/apply:os.system ['id']",
    b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00",
    b"bplist00\xd1\x01\x02",
    b")]}',\n{}",
    b'{"__proto__":{"userName":"x"}}',
    b'{"constructor":{"prototype":{"userName":"x"}}}',
    b'{"userName":{"$gt":""}}',
    b'{"userName":{"$ne":null}}',
    b'{"userName":["a","b"]}',
]


def _syntax(victims: Victims) -> Iterator[Hostile]:
    for name, body in numbered("json", NO_JSON):
        yield Hostile(f"{name}-post", "POST", "/Users", body)
    for name, body in numbered("json", NO_JSON[::3]):
        yield Hostile(f"{name}-put", "PUT", f"/Groups/{victims.group}", body)
        yield Hostile(f"{name}-patch", "PATCH", f"/Users/{victims.user}", body)
    for name, body in numbered("json", NO_JSON[::6]):
        yield Hostile(f"{name}-bulk", "POST", "/Bulk", body)
        # As a search, an object without parameters is a list of everything.
        yield Hostile(f"{name}-search", "POST", "/.search", body, fate="either")


_TWICE = [
    {"userName": "x", "USERNAME": "y"},
    {"userName": "x", "username": None},
    {"userName": "x", "title": "a", "Title": "b"},
    {"userName": "x", "name": {"givenName": "a", "GIVENNAME": "b"}},
    {"userName": "x", "emails": [{"value": "a@b.example", "Value": "c@d.example"}]},
    {"userName": "x", ENTERPRISE_URN: {"department": "a"}, ENTERPRISE_URN.lower(): {"department": "b"}},
    {"userName": "x", ENTERPRISE_URN: {"department": "a", "Department": "b"}},
]


def _twice(victims: Victims) -> Iterator[Hostile]:
    """One attribute in two spellings: which would count?"""
    for name, body in numbered("twice", _TWICE):
        yield Hostile(f"{name}-post", "POST", "/Users", json(body))
        yield Hostile(f"{name}-put", "PUT", f"/Users/{victims.user}", json(body))


# ------------------------------------------------------------------------------ types

_WRONG: dict[str, list[Any]] = {
    "string": [1, True, ["x"], {"x": 1}, 1.5],
    "reference": [1, False, ["x"], {"value": "x"}],
    "boolean": [1, 0, "yes", "true", [True], {}],
    "integer": [1.5, "1", True, [1], {}, 2**53, -(10**300), 1e308],
    "decimal": ["1.5", True, [1.5], {}, 10**30],
    "dateTime": [1, "yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "", True, "2026-01-01T25:00:00Z",
                 "0000-00-00T00:00:00Z", "2026-01-01T00:00:00+14:01", "２０２６-01-01T00:00:00Z"],
    "binary": [1, "not base64!", True, {}, "====", "QUJDR", "QUJ-", "QQ="],
    "complex": [1, True, "x", [1], [["x"]]],
}  # fmt: skip
_NO_LIST: list[Any] = [1, True, "x", {"0": "x"}]


def declared() -> ResourceKind:
    """The users of the source that the suite attacks: two extensions of its own."""
    return users_with([Extension.model_validate(each).model_dump() for each in (HR, DOORS)])


def _wrong_values(found: Resolved) -> Iterator[tuple[str, Any]]:
    """Values that do not fit an attribute, at it and at each of its parts."""
    row = found.attribute
    if row.multi:
        for value in _NO_LIST:
            yield str(found), value
    for value in _WRONG[row.type]:
        yield str(found), [value] if row.multi else value
    for part in row.sub:
        if part.mutability != "readOnly":
            for value in _WRONG[part.type]:
                yield f"{found}.{part.name}", [{part.name: value}] if row.multi else {part.name: value}


def _body(found: Resolved, value: Any) -> bytes:
    if found.extension is None:
        return user_with(**{found.attribute.name: value})
    return json({"schemas": [USER], "userName": "hostile", found.extension: {found.attribute.name: value}})


def _types(victims: Victims) -> Iterator[Hostile]:
    for found in declared().attributes():
        if not _is_taken(found.attribute):
            continue
        for n, (where, value) in enumerate(_wrong_values(found)):
            name = f"type-{where}-{n}"
            if n % 2:
                operation = {"op": ("add", "replace")[n % 4 // 2], "path": str(found), "value": value}
                yield Hostile(name, "PATCH", f"/Users/{victims.user}", patch_of(operation), profile="rfc")
            else:
                yield Hostile(name, "POST", "/Users", _body(found, value), profile="rfc")
    for where, value in _wrong_group_values():
        body = json({"schemas": [GROUP], "displayName": "Hostile", **value})
        yield Hostile(f"type-group-{where}", "POST", "/Groups", body, profile="rfc")
        yield Hostile(f"type-group-{where}-put", "PUT", f"/Groups/{victims.group}", body, profile="rfc")


def _is_taken(row: Attribute) -> bool:
    # schemas has its own rules; a password is dropped whatever it is, if it is a string.
    return row.mutability != "readOnly" and row.name != "schemas"


def _wrong_group_values() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in numbered("displayName", [None, "", " ", 1, True, [], {}, ["x"], "a\0b", "x" * 501]):
        yield name, {"displayName": value}
    for name, value in numbered("externalId", [1, True, ["x"], {"a": 1}, "a\0b", "x" * 501]):
        yield name, {"externalId": value}
    wrong: list[Any] = [
        1,
        True,
        "x",
        {},
        [1],
        [True],
        [None],
        [[]],
        [{}],
        ["x"],
        [{"value": 1}],
        [{"value": None}],
    ]
    wrong += [
        [{"value": ""}],
        [{"value": " "}],
        [{"value": ["x"]}],
        [{"value": "a\0b"}],
        [{"value": "x" * 501}],
    ]
    wrong += [[{"display": "x"}], [{"type": "User"}], [{"$ref": "https://evil.example/Users/1"}]]
    for name, value in numbered("members", wrong):
        yield name, {"members": value}


_SCHEMAS: list[Any] = ["x", 1, True, {}, [1], [None], [[USER]], ["urn:x"], [], [GROUP], [USER[:-1]], None]


def _schemas(victims: Victims) -> Iterator[Hostile]:
    for name, value in numbered("schemas", _SCHEMAS):
        body = json({"schemas": value, "userName": "hostile"})
        yield Hostile(f"{name}-post", "POST", "/Users", body, profile="rfc")
        yield Hostile(f"{name}-put", "PUT", f"/Users/{victims.user}", body, profile="rfc")


UNKNOWN = [
    "nosuch", "password2", "Passw0rd", "isAdmin", "is_admin", "admin", "role", "org_id", "orgId",
    "source_id", "person_id", "document", "folded", "status", "seat", "token", "__class__", "__proto__",
    "constructor", "toString", "self", "user_name", "user-name", "userName.", ".userName", "userName\u200b",
    "userName\u0000", "ｕserName", "uѕerName", "urn:x:y", "urn:ietf:params:scim:schemas:core:2.0:User:nosuch",
    "urn:ietf:params:scim:schemas:core:2.0:Group:displayName", f"{ENTERPRISE_URN}:nosuch", "name.nosuch",
    "emails.nosuch", "manager", "department", "members", "$ref", "@odata.type", "a" * 300, "", " ", "*", "%",
    "?",
]  # fmt: skip


def _unknown(victims: Victims) -> Iterator[Hostile]:
    for name, key in numbered("unknown", UNKNOWN):
        yield Hostile(f"{name}-post", "POST", "/Users", user_with(**{key: "x"}), profile="rfc")


# ------------------------------------------------------------------------------ texts


#: Odd, but texts: each comes back as it was sent (V20), and is found by a filter.
TEXTS = [
    "' OR 1=1 --", '"; DROP TABLE people; --', "${7*7}", "{{7*7}}", "<script>alert(1)</script>",
    "../../etc/passwd", "%00", "%s%s%n", "\u202e", "\u202euser\u202c", "\u2066x\u2069", "\ufeff", "\ufffe",
    "\uffff", "\u200b", "\u200d", "\u00ad", "\ud7ff", "\ue000", "𝕏" * 100, "\U0010ffff", "👩‍👩‍👧‍👦",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a" * 490, "İ" * 400, "ı", "ﬃ" * 400, "ẞ", "ß" * 400, "ς", "Σ", "e\u0301", "é",
    "\u1e9b\u0323", "Å", "\u212b", "A\u030a", "한", "\u1112\u1161\u11ab", "Z" + "\u0301\u0322" * 200,
    "\n\r\t", "a\x01b", "\x7f", "\x1b[31m", "\x85", "\u2028", "*)(uid=*))(|(uid=*", "=cmd|' /C calc'!A0",
    "Ａ", "ⓐ", "١٢٣", "عربي", "ไทย", "\\", '"', "\\\\u0041", "null", "true", "[]", "{}", "bulkId:x",
]  # fmt: skip
#: No value may hold these: NUL fits into no text of PostgreSQL, half a pair is no character.
NO_TEXT = ["\0", "a\0b", "a\0", "\0" * 100, "\ud800", "\udfff", "a\ud800b", "\udc00\ud800"]
#: No address may be one of these (lesson 18); each is a fine text elsewhere.
NO_ADDRESS = [
    "a@b.example,c@d.example",
    "a@b.example;c@d.example",
    "a@b.example c@d.example",
    "a@b@c.example",
    "<a@b.example>",
    "Dana <a@b.example>",
    "a@b.example\r\nBcc: c@d.example",
    "a@b.example\nBcc: c@d.example",
    "a@b.example\x00",
    "a@b.example\x1b[31m",
    "a@b.example\x7f",
    "x" * 501 + "@b.example",
    ["a@b.example", "c@d.example"],
    {"value": "a@b.example"},
]


def _texts(victims: Victims) -> Iterator[Hostile]:
    for name, text in numbered("text", NO_TEXT):
        for where in ("userName", "displayName", "title", "externalId", "profileUrl"):
            yield Hostile(f"{name}-{where}", "POST", "/Users", json({"userName": "hostile", where: text}))
        body = patch_of({"op": "replace", "path": "name.givenName", "value": text})
        yield Hostile(f"{name}-patch", "PATCH", f"/Users/{victims.user}", body)
        yield Hostile(f"{name}-group", "PUT", f"/Groups/{victims.group}", json({"displayName": text}))
    for name, value in numbered("address", NO_ADDRESS):
        emails = [{"value": value, "type": "work"}]
        yield Hostile(f"{name}-post", "POST", "/Users", json({"userName": "hostile", "emails": emails}))
        body = patch_of({"op": "replace", "path": 'emails[type eq "work"].value', "value": value})
        yield Hostile(f"{name}-patch", "PATCH", f"/Users/{victims.user}", body)
    for name, text in numbered("empty", ["", " ", "\t", "\n", "\u00a0", "\u2003", "\u3000"]):
        yield Hostile(f"{name}-post", "POST", "/Users", json({"userName": text}))
        yield Hostile(f"{name}-put", "PUT", f"/Groups/{victims.group}", json({"displayName": text}))
    for name, text in numbered(
        "long", ["x" * 501, "e\u0301" * 251, "\u0301" * 501, "𝕏" * 501, "x" * 100_000]
    ):
        yield Hostile(f"{name}-post", "POST", "/Users", json({"userName": text}))
        yield Hostile(f"{name}-group", "POST", "/Groups", json({"displayName": text}))


# ------------------------------------------------------------------------------ sizes

_BOMB = b'{"userName":"' + b"x" * 50_000_000 + b'"}'
_GOOD = user_with()


def _sizes(victims: Victims) -> Iterator[Hostile]:
    too_large = frozenset((413,))
    for name, body in numbered(
        "size", [_BOMB[:3_000_000] + b'"}', b" " * 3_000_000 + _GOOD, _GOOD + b" " * 3_000_000]
    ):
        yield Hostile(f"{name}-post", "POST", "/Users", body, statuses=too_large)
        yield Hostile(f"{name}-bulk", "POST", "/Bulk", body, statuses=too_large)
        yield Hostile(f"{name}-patch", "PATCH", f"/Users/{victims.user}", body, statuses=too_large)
        yield Hostile(f"{name}-search", "POST", "/Groups/.search", body, statuses=too_large)
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": [gzip.compress(_BOMB), gzip.compress(_GOOD) * 100_000],
        "deflate": [zlib.compress(_BOMB), raw.compress(_BOMB) + raw.flush()],
    }
    for encoding, bodies in packed.items():
        for n, body in enumerate(bodies):
            header = (("Content-Encoding", encoding),)
            yield Hostile(f"bomb-{encoding}-{n}-post", "POST", "/Users", body, header)
            yield Hostile(f"bomb-{encoding}-{n}-put", "PUT", f"/Users/{victims.user}", body, header)
            yield Hostile(f"bomb-{encoding}-{n}-bulk", "POST", "/Bulk", body, header)
    lies = [("gzip", _GOOD), ("deflate", _GOOD), ("gzip", gzip.compress(_GOOD)[:-9]), ("gzip", b"\x1f\x8b"),
            ("gzip", gzip.compress(_GOOD)[:12] + b"\xff" * 50), ("deflate", gzip.compress(_GOOD)),
            ("gzip", zlib.compress(_GOOD)), ("gzip", b""), ("deflate", b"")]  # fmt: skip
    for name, (encoding, body) in numbered("lie", lies):
        yield Hostile(name, "POST", "/Users", body, (("Content-Encoding", encoding),))
    for name, encoding in numbered(
        "encoding",
        ["br", "zstd", "compress", "gzip, gzip", "gzip, deflate", "zstd, br", "x-gzip", "bzip2", "aes128gcm",
         "GZIP;q=1", "identity, gzip", "\xff", "gzip" * 100],
    ):  # fmt: skip
        yield Hostile(
            name, "POST", "/Users", _GOOD, (("Content-Encoding", encoding),), statuses=frozenset((415,))
        )
    many = [{"value": f"a{n}@b.example"} for n in range(501)]
    yield Hostile("values-post", "POST", "/Users", user_with(emails=many))
    yield Hostile(
        "values-patch",
        "PATCH",
        f"/Users/{victims.user}",
        patch_of(*({"op": "add", "path": "phoneNumbers", "value": [{"value": str(n)}]} for n in range(501))),
    )
    full = {"op": "replace", "path": "ims", "value": many[:500]}
    each = [
        {"op": "add", "path": "ims.display", "value": "x"},
        {"op": "add", "path": "ims", "value": [{"value": "x", "primary": True}]},
        {"op": "remove", "path": "ims", "value": [{"value": "x"}]},
        {"op": "replace", "path": 'ims[not(value eq "x")]', "value": {"display": "x"}},
    ]
    for name, again in numbered("values-all", each):
        yield Hostile(name, "PATCH", f"/Users/{victims.user}", patch_of(full, *[again] * 999))
    same = {"op": "replace", "path": "ims", "value": ["x"] * 500}
    yield Hostile("values-given", "PATCH", f"/Users/{victims.user}", patch_of(*[same] * 800))


def _dear(victims: Victims) -> Iterator[Hostile]:
    """What is looked at again and again: each took minutes, or hours."""
    marks = "\u0315\u0300" * 200_000
    ims = [{"value": "x", "type": marks}, {"value": "y"}]
    raw = orjson.dumps({"userName": "", "ims": ims})
    yield Hostile("dear-marks-post", "POST", "/Users", raw)
    yield Hostile("dear-marks-put", "PUT", f"/Users/{victims.user}", raw)
    spelled = map("".join, product(*zip("name.givenname", "NAME.GIVENNAME", strict=True)))
    paths = dict.fromkeys(islice(dict.fromkeys(spelled), 25_000), "x")
    body = {"userName": "", **{f"x{n}": 0 for n in range(60_000)}, "nAmE": {}, **paths}
    yield Hostile("dear-keys", "POST", "/Users", orjson.dumps(body))
    many = orjson.dumps({"userName": "hostile", **{f"{n:x}": 0 for n in range(180_000)}})
    yield Hostile("dear-unknown", "PUT", f"/Users/{victims.user}", many, statuses=frozenset((413,)))
    for parameter in ("attributes", "excludedAttributes"):
        raw = orjson.dumps({parameter: "[" * 2_000_000, "filter": "title eq"})
        yield Hostile(f"dear-{parameter}", "POST", "/Users/.search", raw)
    yield Hostile(
        "dear-brackets", "POST", "/.search", orjson.dumps({"attributes": "[" * 2_000_000}), fate="harmless"
    )
    hundred = {"op": "remove", "path": "members[" + " or ".join(['value eq "a"'] * 100) + "]"}
    group = f"/Groups/{victims.group}"
    yield Hostile("dear-paths", "PATCH", group, patch_of(*[hundred] * 1_000), statuses=frozenset((413,)))


def bodies(victims: Victims) -> dict[str, list[Hostile]]:
    """The sections of this module, by name."""
    return {
        "json": [*_syntax(victims), *_twice(victims), *_schemas(victims)],
        "types": [*_types(victims), *_unknown(victims)],
        "texts": list(_texts(victims)),
        "sizes": [*_sizes(victims), *_dear(victims)],
    }
