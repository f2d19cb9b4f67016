"""Queries: filters, order, pages, cursors, projections."""

from __future__ import annotations

from collections.abc import Iterator

from scimd.core.attributes import ENTERPRISE_URN
from scimd.core.attributes import SCIMD_URN as SCIMD
from tests.scim.hostile import GROUP, USER, Hostile, Victims, json, numbered, query
from tests.scim.hostile_bodies import UNKNOWN

SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

#: No filter of the grammar (RFC 7644 §3.4.2.2, figure 1).
BROKEN = [
    "", " ", "(", ")", "()", "((", "))", ")(", "[", "]", "[]", '"', "'", "\\", ",", ";", "=", "!", "&", "|",
    "not", "and", "or", "eq", "pr", "a", "userName", "userName eq", "userName eq ", 'userName eq "',
    'userName eq "x', "userName eq 'x'", "userName ne x", "userName eq `x`", "userName eq “x”",
    'userNameeq "x"', 'userName "x"', 'eq "x"', '"x" eq userName', 'userName = "x"', 'userName == "x"',
    'userName != "x"', 'userName <> "x"', 'userName > "x"', 'userName like "x"', 'userName in ("x")',
    'userName contains "x"', 'userName eqq "x"', 'userName regex ".*"', 'userName eq "x" and',
    'and userName eq "x"', 'userName eq "x" or', 'userName eq "x" and and active pr',
    'userName eq "x" not active pr', 'userName eq "x" garbage', 'userName eq "x" userName eq "y"',
    'userName eq "x", active pr', 'userName eq "x" && active pr', 'userName eq "x" || active pr',
    "not active pr", "not not (active pr)", "!(active pr)", "not ()", "(not)", "(active pr", "active pr)",
    "((active pr)", "(active pr))", "active pr pr", "pr active", 'active pr "x"', "userName ne {}",
    "userName ne []", 'userName eq ["x"]', 'userName eq ("x")', "userName ne $1", "userName ne ?",
    "userName ne :x", "userName eq x and", "userName eq x or title pr", "userName eq x, title eq y",
    "userName ne NaN", "userName ne undefined", "userName ne 0x1", "userName ne 01",
    "userName ne .5", "userName ne 1.", "userName ne +1", "userName ne 1e999", "userName ne --1",
    'userName eq "\\q"', 'userName eq "\\u12"', 'userName eq "\\uZZZZ"', 'userName eq "a\nb"',
    'userName eq "a\tb"', 'userName eq "\x00"', 'userName eq "x"\x00', "userName\x00 pr", "emails[",
    "emails[]", "emails[ ]", "emails]", "emails[type]", "emails[type eq]", 'emails[type eq "work"',
    'emails[type eq "work"]]', 'emails[[type eq "work"]]', 'emails[type eq "work"] pr', 'emails["work"]',
    "emails[0]", "emails[*]", "emails[-1]", "emails[value[x pr]]", 'emails.[type eq "work"]',
    'emails[type eq "work"]value eq "x"', ".userName pr", "userName. pr", "userName..x pr", "a.b.c pr",
    "emails.value.x pr", ":userName pr", "urn: pr", "urn:: pr", f"{USER}: pr", f"{USER}:.userName pr",
    f"{USER} userName pr", "1 eq 1", "true", "true eq true", "null", "null pr", '"x" eq "x"', "-title pr",
    "1title pr", "_title pr", "𝕏 pr", "user\u200bName pr", "\ufefftitle pr", "title\u00a0pr",
    "title\u2028pr", "ｔitle pr", "# pr", "/* */ title pr", "title pr -- x", "title pr; x", "title pr\x00",
    "%(title)s pr", "{0} pr", "${title} pr", "*", "* pr", "*.* pr", "title.* pr",
]  # fmt: skip

#: Of the grammar, but of no meaning here.
MEANINGLESS = [
    "password pr", 'password eq "x"', 'password sw "a"', 'not (password co "a")', f'{USER}:password eq "x"',
    'userName gt null',
    "userName co null", "userName co 5", "userName ne 5", "userName eq true", "userName sw false",
    "active gt true", "active co true", "active eq 1", 'active eq "maybe"', 'active eq ""',
    'meta.created gt "x"', 'meta.created eq ""', "meta.created eq 1", 'meta.created co "2026"',
    'meta.created gt "2026-99-99T00:00:00Z"', "meta eq 1", 'meta eq "x"', "meta gt null", 'name eq "x"',
    'name co "x"', f'{ENTERPRISE_URN}:manager.nosuch eq "x"', "id ne 5", "userName[value pr]",
    'name[familyName eq "x"]', 'emails[nosuch eq "x"]', "emails[emails pr]", 'emails[type.x eq "work"]',
    f'emails[{USER}:type eq "work"]', 'x509Certificates.value gt "x"', "x509Certificates.value co \"x\"",
    'emails.primary gt true', "emails.primary eq 1", 'addresses eq "x"', 'userName eq "\\u0000"',
    'userName eq "\\ud800"', 'title eq "\\udc00\\ud800"', "members pr", f'{GROUP}:displayName eq "x"',
    f'{ENTERPRISE_URN} eq "x"', f'{ENTERPRISE_URN}:userName eq "x"', 'urn:x:y:z:title eq "x"',
    'emails[value[type eq "x"]]',
]  # fmt: skip

#: Equal to one value without quotes, which the default profile reads as its text.
UNQUOTED = [
    "userName eq x", "userName eq NaN", "userName eq undefined", "userName eq 0x1", "userName eq 01",
    "userName eq .5", "userName eq 1.", "userName eq +1", "userName eq 1e999", "userName eq --1",
    "userName eq 5", "id eq 5", "title eq " + "9" * 4_000, "title eq " + "1e" * 1_900, "title eq --;--",
    "userName eq {}", "userName eq []", "userName eq $1", "userName eq ?", "userName eq :x",
    "title eq " + "(" * 2_000,
    "userName eq ' 1=1 --", "title eq " + "a " * 2_000, "title eq " + "\\" * 2_000,
    "title eq x" + " \n" * 1_000 + "y",
]  # fmt: skip

#: Longer, deeper, or of more terms than scimd reads.
ENDLESS = [
    "x" * 5_000, '"' * 4_000, "\\" * 4_000, 'userName eq "' + "x" * 5_000 + '"',
    "(" * 21 + "title pr" + ")" * 21, "(" * 1_000 + "title pr" + ")" * 1_000, "(" * 4_000, ")" * 4_000,
    "[" * 4_000, "not (" * 21 + "title pr" + ")" * 21, "not (" * 800 + "title pr" + ")" * 800,
    "not(" * 400 + "title pr" + ")" * 400, "emails[" * 500,
    "emails[not (" + "(" * 20 + "type pr" + ")" * 20 + ")]", " or ".join(["title pr"] * 101),
    " and ".join(["title pr"] * 101), "and".join(["(title pr)"] * 101), "or".join(["(title pr)"] * 200),
    "\tor\t".join(["title pr"] * 101), " OR ".join(["title pr"] * 101),
    "emails[" + " or ".join(["type pr"] * 101) + "]", " " * 5_000 + "title pr", " " * 4_000 + "x",
    "title" + " " * 4_000 + "x", "a." * 2_000, "a:" * 2_000, "urn:" * 1_000,
    'title eq "' + "\\" * 3_999 + '"', "not " * 1_000, "title pr or " * 340, '"' + "(" * 4_000 + '"',
    "1" * 4_000, "title ne " + "9" * 4_000, "title ne 1" + "0" * 4_000, "title ne 0." + "0" * 4_000 + "1",
    "title ne " + "1e" * 1_900,
]  # fmt: skip

#: Of terms that each are looked for in every resource, more than are taken.
DEAR = [
    " and ".join(f'not (phoneNumbers.value co "{n}")' for n in range(90)),
    " or ".join(f'emails.value co "{n}"' for n in range(100)),
    " and ".join(f'schemas ne "{n}"' for n in range(100)),
    " or ".join(f'meta.version ew "{n}"' for n in range(100)),
    " or ".join(f'{SCIMD}:projects.role sw "{n}"' for n in range(40)),
    " and ".join(f'title co "{n}"' for n in range(100)),
    " and ".join(["name pr"] * 100), " or ".join(["not (addresses pr)"] * 100),
    "ims[" + " and ".join(f'value ne "{n}"' for n in range(100)) + "]",
    " or ".join(f'groups[display co "{n}" and type eq "direct"]' for n in range(50)),
]  # fmt: skip
DEAR_OF_GROUPS = [
    " or ".join(f'members[display co "{n}" and type eq "User"]' for n in range(50)),
    " and ".join(f'members.display ne "{n}"' for n in range(100)),
    " or ".join(["members pr"] * 100),
]

#: As many look-ups as fit, which are one.
LOOK_UPS = [
    " or ".join(f'{name} eq "{n}"' for n in range(100))
    for name in ("id", "userName", "externalId", "displayName", "emails.value", "groups.value", "schemas")
]

INJECTIONS = [
    "' OR 1=1 --", "' OR '1'='1", "'; DROP TABLE people; --", "') OR 1=1 --",
    "x' UNION SELECT token FROM tokens --", "'||'", "' AND pg_sleep(5) --",
    "' AND randomblob(1000000000) --", "\\' OR 1=1 --", "%", "_", "%%", "%_%", "\\%", "*", "?", "$1",
    ":param_1", "%(param_1)s", "%s", "${7*7}", "{{7*7}}", "../../etc/passwd", "*)(uid=*))(|(uid=*",
    "\u02bc OR 1=1", "\uff07 OR 1=1", "x\u0301", "\u202euser",
]  # fmt: skip
_PLACES = ["userName", "title", "emails.value", 'emails[value eq "{}"]', f"{ENTERPRISE_URN}:department"]


def _filters() -> Iterator[Hostile]:
    for kind, many in (("broken", BROKEN), ("meaningless", MEANINGLESS), ("endless", ENDLESS)):
        for name, text in numbered(kind, many):
            yield Hostile(f"filter-{name}", "GET", query("Users", filter=text))
    for name, text in numbered("filter-unquoted", UNQUOTED):
        yield Hostile(name, "GET", query("Users", filter=text), fate="none")
    for name, text in numbered("filter-dear", DEAR):
        yield Hostile(name, "GET", query("Users", filter=text))
        yield Hostile(f"{name}-search", "POST", "/.search", json({"schemas": [SEARCH], "filter": text}))
    for name, text in numbered("filter-dear-group", DEAR_OF_GROUPS):
        yield Hostile(name, "GET", query("Groups", filter=text))
    for name, text in numbered("filter-look-ups", LOOK_UPS):
        yield Hostile(name, "GET", query("Users", filter=text), fate="none")
    for name, text in numbered("filter-group", [*BROKEN[1::8], *ENDLESS[::4]]):
        yield Hostile(name, "GET", query("Groups", filter=text))
    for name, text in numbered("filter-search", [*BROKEN[::8], *MEANINGLESS[::4], *ENDLESS[1::4]]):
        yield Hostile(name, "POST", "/Users/.search", json({"schemas": [SEARCH], "filter": text}))
    # The default profile knows a manager without its URN.
    unknown = [each for each in UNKNOWN if each not in ("", "manager")]
    for name, path in numbered("filter-unknown", unknown):
        yield Hostile(name, "GET", query("Users", filter=f'{path} eq "x"'))
    for name, text in numbered(
        "filter-bytes", ["%FF%FE", "%C0%AF", "userName%20eq%20%22%ED%A0%80%22", "%E2%82"]
    ):
        yield Hostile(name, "GET", f"/Users?filter={text}")


def _injections() -> Iterator[Hostile]:
    """Each is a text like any other: nobody bears it, so nobody is found, and nothing fails."""
    for n, text in enumerate(INJECTIONS):
        quoted = '"' + text.replace("\\", "\\\\") + '"'
        for m, place in enumerate(_PLACES):
            op = ("eq", "co", "sw", "ew")[(n + m) % 4]
            written = (
                place.replace('eq "{}"', f"{op} {quoted}") if "{}" in place else f"{place} {op} {quoted}"
            )
            yield Hostile(f"injection-{n}-{m}", "GET", query("Users", filter=written), fate="none")
        for parameter in ("sortBy", "startIndex", "count", "cursor"):
            yield Hostile(f"injection-{n}-{parameter}", "GET", query("Users", **{parameter: text}))
        order = query("Users", sortBy="userName", sortOrder=text)
        yield Hostile(f"injection-{n}-sortOrder", "GET", order)
        yield Hostile(f"injection-{n}-attributes", "GET", query("Users", attributes=text), fate="either")


def _pages() -> Iterator[Hostile]:
    numbers = [
        "x",
        "1.5",
        "",
        "1e3",
        "0x10",
        "NaN",
        "Infinity",
        "9" * 400,
        "١",
        "１",
        "1;2",
        "1,2",
        "--1",
        "1 2",
        "1\x00",
        "²",
    ]
    for name, text in numbered("number", numbers):
        yield Hostile(f"{name}-start", "GET", query("Users", startIndex=text))
        yield Hostile(f"{name}-count", "GET", query("Groups", count=text))
    for name, value in numbered("number-search", ["1.0", 1.5, True, [], {}, 10**30]):
        yield Hostile(f"{name}-start", "POST", "/.search", json({"startIndex": value}))
        yield Hostile(f"{name}-count", "POST", "/Users/.search", json({"count": value}))
    for name, text in numbered("far", ["999999999999999999", "2147483648", "9007199254740993"]):
        yield Hostile(name, "GET", query("Users", startIndex=text), fate="harmless")
        yield Hostile(
            f"{name}-back", "GET", query("Groups", startIndex=f"-{text}", count=f"-{text}"), fate="harmless"
        )
    orders = [
        *(each for each in UNKNOWN if each),
        "password",
        "name",
        "meta",
        "addresses",
        ENTERPRISE_URN,
    ]
    for name, path in numbered("sort", orders):
        yield Hostile(name, "GET", query("Users", sortBy=path))
    for name, text in numbered("order", ["", "x", "asc", "desc", "1", "ascending ", "ascending,descending"]):
        yield Hostile(name, "GET", query("Users", sortBy="userName", sortOrder=text))
    for name in ("filter", "sortBy", "sortOrder", "startIndex", "count", "cursor"):
        value = "userName" if name != "filter" else "title%20pr"
        yield Hostile(f"twice-{name}", "GET", f"/Users?{name}={value}&{name}={value}")
    for name, parameter in numbered("names", ["attributes", "excludedAttributes"]):
        yield Hostile(name, "GET", query("Users", **{parameter: ",".join(["title"] * 300)}))
        yield Hostile(f"{name}-many", "GET", "/Users?" + "&".join([f"{parameter}=title"] * 300))
        yield Hostile(f"{name}-search", "POST", "/Users/.search", json({parameter: [1]}))
        yield Hostile(f"{name}-object", "POST", "/Users/.search", json({parameter: {"a": 1}}))
    for name, text in numbered("search-type", [1, True, [], {}, ["title pr"]]):
        for parameter in ("filter", "sortBy", "cursor"):
            yield Hostile(f"{name}-{parameter}", "POST", "/Users/.search", json({parameter: text}))
    for name, endpoint in numbered(
        "discovery", ["Schemas", "ResourceTypes", "ServiceProviderConfig", f"Schemas/{USER}"]
    ):
        yield Hostile(name, "GET", query(endpoint, filter='id eq "x"'))


def _cursors() -> Iterator[Hostile]:
    made_up = [
        "x", "0", "1", "null", "true", "{}", "[]", "../..", "eyJhbGciOiJub25lIn0.e30.", "0" * 8 + "A" * 38,
        "f" * 8 + "A" * 100, "deadbeef" + "_" * 60, "AAAA", "=" * 40, "a" * 9_000, "\x00", "\ud7ff", "MQ==",
        "bnVsbA==", "00000000" + "-" * 8_000,
    ]  # fmt: skip
    for name, text in numbered("cursor", made_up):
        yield Hostile(name, "GET", query("Users", cursor=text))
        yield Hostile(f"{name}-search", "POST", "/.search", json({"cursor": text}))
    for name, more in numbered(
        "cursor-with",
        [{"startIndex": "1"}, {"startIndex": "0"}, {"count": "-1"}, {"count": "x"}, {"count": ""}],
    ):
        yield Hostile(name, "GET", query("Groups", cursor="", **more))


def queries(victims: Victims) -> dict[str, list[Hostile]]:
    """The sections of this module, by name."""
    return {"filters": list(_filters()), "injections": list(_injections()), "pages": [*_pages(), *_cursors()]}
