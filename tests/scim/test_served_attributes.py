"""Each attribute that discovery announces may be filtered by and sorted by, on both databases (C3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scim.declared import DOORS, HR, source_with
from tests.scim.serving import Client, Installation

_ORDER = ("gt", "ge", "lt", "le")
_TEXT = ("eq", "ne", "co", "sw", "ew", *_ORDER)
#: What each type may be compared by (RFC 7644 §3.4.2.2), and a value of it.
OPERATORS = {
    "string": (_TEXT, '"a"'),
    "reference": (_TEXT, '"a"'),
    "binary": (("eq", "ne"), '"QUJD"'),
    "boolean": (("eq", "ne"), "true"),
    "integer": (("eq", "ne", *_ORDER), "1"),
    "decimal": (("eq", "ne", *_ORDER), "1.5"),
    "dateTime": (("eq", "ne", *_ORDER), '"2026-01-03T00:00:00Z"'),
}
#: RFC 7643 §3.1; no schema lists them.
COMMON = [
    {"name": "schemas", "type": "reference"},
    {"name": "id", "type": "string"},
    {"name": "externalId", "type": "string"},
    *(
        {"name": f"meta.{name}", "type": "dateTime" if name in ("created", "lastModified") else "string"}
        for name in ("resourceType", "created", "lastModified", "location", "version")
    ),
]


def paths_of(rows: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, str]]:
    """Path and type of each attribute that is ever returned; of a complex one its parts."""
    for row in rows:
        if row.get("returned") == "never":
            continue
        path = above + row["name"]
        if row["type"] == "complex":
            yield from paths_of(row["subAttributes"], f"{path}.")
        else:
            yield path, row["type"]


async def announced(client: Client, name: str) -> list[tuple[str, str]]:
    """From /ResourceTypes and /Schemas alone."""
    kind = (await client.get(f"/ResourceTypes/{name}")).json
    schemas = {each["id"]: each["attributes"] for each in (await client.get("/Schemas")).json["Resources"]}
    found = [*paths_of(COMMON), *paths_of(schemas[kind["schema"]])]
    for extension in kind.get("schemaExtensions", ()):
        found += paths_of(schemas[extension["schema"]], f"{extension['schema']}:")
    return found


@pytest.mark.parametrize(("name", "at_least"), [("User", 75), ("Group", 12)])
async def test_every_served_attribute_is_filtered_by_each_operator_and_sorted_by(
    scimd: Installation, name: str, at_least: int
) -> None:
    org = await scimd.organization("acme")
    client = await scimd.client(org, config=source_with(HR, DOORS))
    dana = await client.user("dana@example.com", roles=[{"value": "a"}], emails=[{"value": "a@example.com"}])
    inner = await client.group("Inner", dana["id"])
    await client.group("Outer", inner["id"])
    served = await announced(client, name)
    assert len(served) >= at_least
    total = (await client.get(f"/{name}s")).json["totalResults"]
    for path, of in served:
        operators, value = OPERATORS[of]
        for text in (f"{path} pr", *(f"{path} {operator} {value}" for operator in operators)):
            reply = await client.get(f"/{name}s", params={"filter": text})
            assert reply.status == 200, (text, reply.raw)
            negated = await client.get(f"/{name}s", params={"filter": f"not ({text})"})
            assert reply.json["totalResults"] + negated.json["totalResults"] == total, text
        for order in ("ascending", "descending"):
            listed = await client.get(f"/{name}s", params={"sortBy": path, "sortOrder": order})
            assert listed.status == 200, (path, listed.raw)
            assert len(listed.json["Resources"]) == total


async def test_password_is_never_served_and_so_never_filtered_by(idp: Client) -> None:
    for params in ({"filter": 'password eq "x"'}, {"sortBy": "password"}):
        refused = await idp.get("/Users", params=params)
        assert (refused.status, refused.scim_type) in ((400, "invalidFilter"), (400, "invalidPath"))


async def test_members_and_groups_are_found_by_what_is_shown_of_them(idp: Client) -> None:
    dana = await idp.user("dana@example.com", displayName="Dana D")
    inner = await idp.group("Inner", dana["id"])
    outer = await idp.group("Outer", inner["id"])

    async def found(path: str, text: str) -> list[str]:
        listed = await idp.get(path, params={"filter": text})
        return [each["id"] for each in listed.json["Resources"]]

    shown = (await idp.get(f"/Users/{dana['id']}")).json["groups"]
    for each in shown:
        text = " and ".join(f'{name} eq "{value}"' for name, value in each.items())
        assert await found("/Users", f"groups[{text}]") == [dana["id"]]
    assert [each["type"] for each in shown] == ["direct", "indirect"]
    for group in (inner, outer):
        member = (await idp.get(f"/Groups/{group['id']}")).json["members"][0]
        text = " and ".join(f'{name} eq "{value}"' for name, value in member.items())
        assert len(member) == 4
        assert await found("/Groups", f"members[{text}]") == [group["id"]]


_ALIKE = "".join(map(chr, range(0x4E00, 0x4E00 + 700)))  # as far as an index looks, and further


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (f'displayName eq "{_ALIKE}"', "a"),
        (f'displayName eq "{_ALIKE} Zoë"', "b"),
        (f'displayName eq "{_ALIKE[:500]}"', "d"),
        (f'displayName eq "{_ALIKE[:600]}"', ""),
        (f'displayName ne "{_ALIKE}"', "bcd"),
        (f'displayName sw "{_ALIKE[:450]}"', "abd"),
        (f'displayName sw "{_ALIKE[:500]}"', "abd"),
        (f'displayName sw "{_ALIKE} z"', "b"),
        ('displayName ew " ZOË"', "bc"),
        (f'displayName co "{_ALIKE[690:]}"', "ab"),
        (f'displayName gt "{_ALIKE}"', "b"),
        (f'displayName le "{_ALIKE}"', "acd"),
        (f'displayName eq "{_ALIKE}" or displayName eq "Zed Zoë"', "ac"),
        (f'displayName eq "{_ALIKE}" and active eq true', "a"),
    ],
)
async def test_a_long_name_to_show_is_found_by_all_of_it(idp: Client, where: str, found: str) -> None:
    names = {"a": _ALIKE, "b": f"{_ALIKE} Zoë", "c": "Zed Zoë", "d": _ALIKE[:500]}
    for key, name in names.items():
        assert (await idp.user(key, displayName=name))["displayName"] == name
    listed = await idp.post("/Users/.search", {"filter": where, "sortBy": "userName"})
    assert "".join(each["userName"] for each in listed.json["Resources"]) == found
    sorted_ = await idp.get("/Users", params={"sortBy": "displayName", "count": "2"})
    assert sorted_.json["totalResults"] == 4
