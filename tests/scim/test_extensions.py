"""Custom extensions (C6): declared, discovered, written, filtered, sorted, shown; over HTTP."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from scimd import config
from scimd.core.attributes import ENTERPRISE_URN, SCIMD_URN, USER_URN
from scimd.org.declared import declared_organizations
from tests.scim.declared import DOOR_URN, DOORS, HR, HR_URN, source_with
from tests.scim.serving import Client, Installation

PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {
        HR_URN: {
            "grade": 9,
            "workload": 0.5,
            "hired": "2026-01-31T09:00:00+01:00",
            "badge": "aB",
            "remote": True,
        },
        DOOR_URN: {"floors": [1, 12], "tags": ["North"], "desk": {"room": "R1", "row": "b"}},
    },
    "bob": {
        HR_URN: {
            "grade": 10,
            "workload": 1,
            "hired": "2026-01-31T08:30:00Z",
            "badge": "AB",
            "nickname": "Ace",
        },
        DOOR_URN: {"cards": [{"value": "c1", "colour": "Red", "until": "2027-01-01T00:00:00Z"}]},
    },
    "cid": {HR_URN: {"grade": -3}},
    "dot": {},
}


@pytest.fixture
async def hr(scimd: Installation) -> Client:
    org = await scimd.organization("acme")
    return await scimd.client(org, config=source_with(HR, DOORS))


async def filled(client: Client) -> dict[str, dict[str, Any]]:
    return {name: await client.user(name, **copy.deepcopy(more)) for name, more in PEOPLE.items()}


async def names(client: Client, **params: str) -> list[str]:
    page = await client.get("/Users", params=params)
    assert page.status == 200, page.raw
    return [each["userName"] for each in page.json["Resources"]]


async def test_declared_schemas_are_discovered_by_that_source_alone(hr: Client, scimd: Installation) -> None:
    schemas = {each["id"]: each for each in (await hr.get("/Schemas")).json["Resources"]}
    assert {HR_URN, DOOR_URN, ENTERPRISE_URN, SCIMD_URN} <= set(schemas)
    rows = {each["name"]: each for each in schemas[HR_URN]["attributes"]}
    assert (rows["grade"]["type"], rows["badge"]["caseExact"]) == ("integer", True)
    assert (rows["secret"]["returned"], rows["nickname"]["canonicalValues"]) == ("request", ["ace", "bee"])
    cards = next(each for each in schemas[DOOR_URN]["attributes"] if each["name"] == "cards")
    assert [each["name"] for each in cards["subAttributes"]] == ["value", "colour", "until"]
    assert (await hr.get(f"/Schemas/{HR_URN.upper()}")).json == schemas[HR_URN]
    kind = (await hr.get("/ResourceTypes/User")).json
    assert {"schema": HR_URN, "required": False} in kind["schemaExtensions"]
    other = await scimd.client(await scimd.organization("other"))
    assert (await other.get(f"/Schemas/{HR_URN}")).status == 404
    assert HR_URN not in (await other.user("eve", **PEOPLE["ann"]))


async def test_values_come_back_as_sent_and_are_named_in_schemas(hr: Client) -> None:
    user = await hr.user("ann", **PEOPLE["ann"])
    assert {HR_URN: user[HR_URN], DOOR_URN: user[DOOR_URN]} == PEOPLE["ann"]
    assert user["schemas"] == [USER_URN, HR_URN, DOOR_URN]
    assert (await hr.get(f"/Users/{user['id']}")).json == user


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"grade": "9"}, "grade"),
    ({"grade": 1.5}, "grade"),
    ({"grade": 2**60}, "grade"),
    ({"grade": True}, "grade"),
    ({"workload": "much"}, "workload"),
    ({"hired": "yesterday"}, "hired"),
    ({"hired": "2026-13-01T00:00:00Z"}, "hired"),
    ({"badge": ["a"]}, "badge"),
]


async def test_value_of_another_type_is_refused_by_name(hr: Client) -> None:
    for wrong, where in WRONG:
        refused = await hr.post("/Users", {"userName": "ann", HR_URN: wrong})
        assert (refused.status, refused.scim_type) == (400, "invalidValue"), wrong
        assert f"{HR_URN}:{where}" in refused.json["detail"]


@pytest.mark.parametrize("name", ["grade", "workload"])
async def test_number_that_is_too_large_is_told_the_range(hr: Client, name: str) -> None:
    """2**70 as JSON is a float to whoever reads it, and yet an integer to whoever sent it."""
    for large in (2**60, 2**70, -(2**53), 1e300):
        body = b'{"userName": "ann", "%s": {"%s": %s}}'
        refused = await hr.post("/Users", body % (HR_URN.encode(), name.encode(), f"{large!r}".encode()))
        assert (refused.status, refused.scim_type) == (400, "invalidValue"), large
        assert "-9007199254740991 to 9007199254740991" in refused.json["detail"]


FILTERS = [
    (f"{HR_URN}:grade gt 9", "bob"),
    (f"{HR_URN}:grade ge 9", "ann bob"),
    (f"{HR_URN}:grade lt 0", "cid"),
    (f"{HR_URN}:grade ne 9", "bob cid dot"),
    (f"not ({HR_URN}:grade pr)", "dot"),
    (f"{HR_URN}:grade eq null", "dot"),
    (f"{HR_URN}:workload eq 0.5", "ann"),
    (f"{HR_URN}:workload gt 0.5", "bob"),
    (f'{HR_URN}:hired eq "2026-01-31T08:00:00Z"', "ann"),
    (f'{HR_URN}:hired eq "2025-01-01T00:00:00Z" or {HR_URN}:hired eq "2026-01-31T10:30:00+02:00"', "bob"),
    (f'{HR_URN}:hired gt "2026-01-31T08:15:00Z"', "bob"),
    (f'{HR_URN}:badge eq "aB"', "ann"),
    (f'{HR_URN}:nickname eq "ACE"', "bob"),
    (f"{HR_URN}:remote eq true", "ann"),
    (f"{DOOR_URN}:floors eq 12", "ann"),
    (f"{HR_URN}:workload eq 7 or {HR_URN}:workload eq 0.5", "ann"),
    (f"{DOOR_URN}:floors gt 12", ""),
    (f'{DOOR_URN}:tags eq "north"', "ann"),
    (f'{DOOR_URN}:desk.room sw "r"', "ann"),
    (f'{DOOR_URN}:cards[colour eq "red" and until gt "2026-12-31T00:00:00Z"]', "bob"),
    (f'{DOOR_URN}:cards.until lt "2026-12-31T00:00:00Z"', ""),
    (f'{DOOR_URN}:cards.value eq "C1"', "bob"),
]


async def test_each_type_is_filtered_by(hr: Client) -> None:
    await filled(hr)
    found = {text: sorted(await names(hr, filter=text)) for text, _ in FILTERS}
    assert found == {text: wanted.split() for text, wanted in FILTERS}


NO_FILTERS = [
    f'{HR_URN}:grade eq "9"',
    f"{HR_URN}:grade co 9",
    f"{HR_URN}:grade gt 99999999999999999999999",
    f'{HR_URN}:hired sw "2026-01-31T08:00:00Z"',
    f"{HR_URN}:nothing pr",
    "urn:example:acme:other:floors pr",
]


async def test_filter_that_the_type_does_not_take_is_refused(hr: Client) -> None:
    for text in NO_FILTERS:
        refused = await hr.get("/Users", params={"filter": text})
        assert (refused.status, refused.scim_type) == (400, "invalidFilter"), text


async def test_each_type_is_sorted_by_in_its_own_order(hr: Client) -> None:
    await filled(hr)
    assert await names(hr, sortBy=f"{HR_URN}:grade") == ["cid", "ann", "bob", "dot"]
    assert (await names(hr, sortBy=f"{HR_URN}:grade", sortOrder="descending")) == ["dot", "bob", "ann", "cid"]
    assert (await names(hr, sortBy=f"{HR_URN}:hired"))[:2] == ["ann", "bob"]
    assert (await names(hr, sortBy=f"{HR_URN}:badge"))[:2] == ["bob", "ann"]
    assert (await names(hr, sortBy=f"{DOOR_URN}:cards"))[0] == "bob"


async def test_put_replaces_and_clears_the_extension(hr: Client) -> None:
    path = f"/Users/{(await filled(hr))['ann']['id']}"
    changed = (await hr.put(path, {"userName": "ann", HR_URN: {"grade": 4}})).json
    assert (changed[HR_URN], DOOR_URN in changed) == ({"grade": 4}, False)
    assert changed["schemas"] == [USER_URN, HR_URN]
    assert await names(hr, filter=f"{HR_URN}:grade eq 4") == ["ann"]


async def test_patch_reaches_every_part(hr: Client) -> None:
    path = f"/Users/{(await filled(hr))['bob']['id']}"
    changed = await hr.patch(
        path,
        {"op": "replace", "path": f"{HR_URN}:grade", "value": 11},
        {"op": "add", "path": f"{DOOR_URN}:floors", "value": [3]},
        {"op": "replace", "path": f'{DOOR_URN}:cards[value eq "c1"].colour', "value": "blue"},
        {"op": "remove", "path": f"{HR_URN}:nickname"},
        {"op": "add", "value": {f"{DOOR_URN}:desk.room": "R9", HR_URN: {"remote": False}}},
    )
    assert changed.status == 200, changed.raw
    hr_part, doors = changed.json[HR_URN], changed.json[DOOR_URN]
    assert (hr_part["grade"], hr_part["remote"], "nickname" in hr_part) == (11, False, False)
    assert (doors["floors"], doors["cards"][0]["colour"], doors["desk"]) == ([3], "blue", {"room": "R9"})
    refused = await hr.patch(path, {"op": "replace", "path": f"{HR_URN}:grade", "value": "high"})
    assert (refused.status, refused.scim_type) == (400, "invalidValue")
    gone = await hr.patch(path, {"op": "remove", "path": HR_URN})
    assert HR_URN not in gone.json
    assert HR_URN not in gone.json["schemas"]


async def test_returned_is_honoured_on_every_answer(hr: Client) -> None:
    made = await hr.user("ann", **{HR_URN: {"grade": 1, "secret": "s", "kept": "k"}})
    path = f"/Users/{made['id']}"
    # RFC 7643 §7: what is shown on request is shown too where the request wrote it.
    assert made[HR_URN] == {"grade": 1, "secret": "s", "kept": "k"}
    written = await hr.patch(path, {"op": "replace", "path": f"{HR_URN}:secret", "value": "s"})
    assert written.json[HR_URN] == {"grade": 1, "secret": "s", "kept": "k"}
    other = await hr.patch(path, {"op": "replace", "path": "title", "value": "CTO"})
    assert other.json[HR_URN] == {"grade": 1, "kept": "k"}
    assert (await hr.get(path)).json[HR_URN] == {"grade": 1, "kept": "k"}
    listed = (await hr.get("/Users")).json["Resources"][0]
    assert listed[HR_URN] == {"grade": 1, "kept": "k"}
    asked = (await hr.get(path, params={"attributes": f"{HR_URN}:secret"})).json
    assert asked[HR_URN] == {"secret": "s", "kept": "k"}
    without = (await hr.get(path, params={"excludedAttributes": f"{HR_URN}:grade,{HR_URN}:kept"})).json
    assert without[HR_URN] == {"kept": "k"}
    params = {"excludedAttributes": HR_URN.upper()}
    assert (await hr.get(path, params=params)).json[HR_URN] == {"kept": "k"}
    assert (await hr.get("/Users", params=params)).json["Resources"][0][HR_URN] == {"kept": "k"}
    change = {"op": "replace", "path": f"{HR_URN}:secret", "value": "t"}
    assert (await hr.patch(path, change, params=params)).json[HR_URN] == {"kept": "k"}


async def test_declaration_that_changes_counts_at_the_next_request(scimd: Installation) -> None:
    """A value is compared as its attribute is declared now, also one that was stored before."""
    org = await scimd.organization("acme")

    async def declare(*extensions: dict[str, Any]) -> None:
        declared = config.Organization.model_validate(
            {"name": "acme", "source": [{"name": "idp", "state": "active", "extension": list(extensions)}]}
        )
        await declared_organizations.declare(scimd.door, [declared])

    await declare(HR)
    client = await scimd.client(org)
    await filled(client)
    query = f'{HR_URN}:badge eq "ab"'
    assert await names(client, filter=query) == []
    folding = copy.deepcopy(HR)
    next(each for each in folding["attribute"] if each["name"] == "badge")["case_exact"] = False
    await declare(folding, DOORS)
    assert await names(client, filter=query) == ["ann", "bob"]
    assert (await client.get(f"/Schemas/{DOOR_URN}")).status == 200
    await declare()
    assert (await client.get(f"/Schemas/{HR_URN}")).status == 404


@pytest.mark.parametrize(
    "extensions",
    [
        [{**HR, "urn": USER_URN}],
        [{**HR, "urn": f"{ENTERPRISE_URN}:more"}],
        [HR, {**DOORS, "urn": HR_URN.upper().replace("URN", "urn")}],
        [HR, {**DOORS, "urn": f"{HR_URN}:grade"}],
        [{**HR, "urn": 'urn:x:a"b'}],
        [{**HR, "urn": "acme"}],
        [{**HR, "attribute": []}],
        [{**HR, "attribute": [{"name": "a"}, {"name": "A"}]}],
        [{**HR, "attribute": [{"name": "a'b"}]}],
        [{**HR, "attribute": [{"name": "a", "type": "complex"}]}],
        [{**HR, "attribute": [{"name": "a", "sub_attribute": [{"name": "b"}]}]}],
    ],
)
def test_declaration_that_cannot_be_served_is_refused(extensions: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        source_with(*extensions)
