"""A search over users and groups together: RFC 7644 §3.4.2.1, §3.4.3."""

from __future__ import annotations

import pytest

from scimd.core.attributes import USER_URN
from tests.scim.serving import Client


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('userName eq "dana" or displayName eq "Team"', ["dana", "Team"]),
        ('emails[type eq "work"] or members pr', ["dana", "Team"]),
        ('userName pr and displayName eq "Team"', []),
        ('not (userName eq "dana")', ["erik", "Team"]),
        ('userName ne "dana"', ["erik", "Team"]),
        ("userName eq null", ["Team"]),
        ("userName ne null", ["dana", "erik"]),
        ("not (members pr) and meta.resourceType pr", ["dana", "erik"]),
        (f'{USER_URN}:userName eq "dana"', ["dana"]),
    ],
)
async def test_what_a_type_does_not_have_is_unassigned_in_a_search_of_both(
    idp: Client, text: str, wanted: list[str]
) -> None:
    """§3.4.2.1: the other type's attribute is treated as one without a value."""
    dana = await idp.user("dana", emails=[{"value": "d@example.com", "type": "work"}])
    await idp.user("erik")
    await idp.group("Team", dana["id"])
    found = (await idp.post("/.search", {"filter": text})).json
    names = [each.get("userName") or each["displayName"] for each in found["Resources"]]
    assert (names, found["totalResults"]) == (wanted, len(wanted))


async def test_search_of_both_is_sorted_by_what_one_of_them_has(idp: Client) -> None:
    for name in ("dana", "erik"):
        await idp.user(name)
    await idp.group("Team")
    body = {"sortBy": "userName", "sortOrder": "descending"}
    found = (await idp.post("/.search", body)).json
    names = [each.get("userName") or each["displayName"] for each in found["Resources"]]
    assert names == ["erik", "dana", "Team"]
    assert (await idp.post("/.search", {"sortBy": "nosuch"})).scim_type == "invalidPath"
    for text in ("active gt true", "members gt true", 'nosuch eq "x" or userName pr'):
        assert (await idp.post("/.search", {"filter": text})).scim_type == "invalidFilter"
