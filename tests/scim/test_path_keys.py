"""Keys of POST and PUT that are paths (RFC 7644 §3.10): where they lead, what is refused."""

from __future__ import annotations

import time
from itertools import islice, product
from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, GROUP, USER, USER_URN
from scimd.scim.errors import ScimError
from scimd.scim.path_keys import unfolded
from tests.scim.serving import Client, Installation


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            {"name.givenName": "A", "name": {"familyName": "B"}},
            {"name": {"givenName": "A", "familyName": "B"}},
        ),
        ({"Name.GIVENNAME": "A", "NAME": {}}, {"NAME": {"givenName": "A"}}),
        ({"name.givenName": "A", "name": None}, {"name": {"givenName": "A"}}),
        ({"Name": {}, "NAME": {}, "name.givenName": "A"}, {"Name": {"givenName": "A"}, "NAME": {}}),
        (
            {f"{USER_URN}:title": "T", f"{USER_URN}:name.givenName": "A"},
            {"title": "T", "name": {"givenName": "A"}},
        ),
        ({f"{ENTERPRISE_URN}:department": "D"}, {ENTERPRISE_URN: {"department": "D"}}),
        ({f"{ENTERPRISE_URN}:manager.value": "m"}, {ENTERPRISE_URN: {"manager": {"value": "m"}}}),
        (
            {"name.givenName": "A", f"{USER_URN}:name": {"givenName": "A"}},
            {"name": {"givenName": "A"}},
        ),
        ({f"{USER_URN}:emails": [{"value": "a@b.c"}]}, {"emails": [{"value": "a@b.c"}]}),
        ({"name.givenName": "A", "name": {"givenName": "A"}}, {"name": {"givenName": "A"}}),
    ],
)
def test_key_leads_where_a_path_would(body: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = repr(body)
    assert unfolded(USER, body) == wanted
    assert repr(body) == before


@pytest.mark.parametrize(
    "body",
    [
        {"userName": "u", ENTERPRISE_URN: {"department": "D"}, "schemas": [USER_URN]},
        {"emails.value": "a@b.c"},
        {"name.nosuch": "x", "nosuch.part": "y", "urn:nosuch:department": "z", "a.b.c": 1, ".": 1, ":": 1},
        {"meta.resourceType": "User", "meta": "x", "groups.value": "g"},
    ],
)
def test_what_leads_nowhere_stays(body: dict[str, Any]) -> None:
    assert unfolded(USER, body) is body


@pytest.mark.parametrize(
    "body",
    [
        {"name.givenName": "A", "name": {"givenName": "B"}},
        {"name.givenName": "A", "NAME.givenname": "B"},
        {f"{USER_URN}:title": "A", "title": "B"},
        {"name.givenName": "A", "name": "B"},
        {"name.givenName": "A", f"{USER_URN}:name": {"givenName": "B"}},
        {f"{USER_URN}:name": {"givenName": "B"}, "name.givenName": "A"},
        {f"{ENTERPRISE_URN}:department": "A", ENTERPRISE_URN: ["B"]},
    ],
)
def test_what_contradicts_itself_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ScimError) as refused:
        unfolded(USER, body)
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidValue")


@pytest.mark.parametrize("within", [False, True], ids=["beside", "within"])
def test_many_keys_cost_one_look_at_each(within: bool) -> None:
    """V19: 20,000 paths beside as many other keys, which each of them would be looked for among."""
    others = {f"x{n}": 0 for n in range(20_000)}
    name = others if within else {}
    spelled = ("".join(each) for each in product(*zip("name", "NAME", strict=True)))
    parts = ("".join(each) for each in product(*zip("givenname", "GIVENNAME", strict=True)))
    paths = islice((f"{each}.{part}" for each in spelled for part in parts), 8_000)
    body = {**({} if within else others), "NAME": name, **dict.fromkeys(paths, "A")}
    began = time.process_time()
    found = unfolded(USER, body)
    assert time.process_time() - began < 12  # a hundredth of that on an idle machine; else minutes
    assert found == {**({} if within else others), "NAME": {**name, "givenName": "A"}}


def test_groups_have_them_too() -> None:
    key = f"{GROUP.schema.id}:displayName"
    assert unfolded(GROUP, {key: "Team"}) == {"displayName": "Team"}


@pytest.mark.parametrize("profile", ["default", "okta", "authentik"])
async def test_a_whole_user_is_taken_by_paths(scimd: Installation, profile: str) -> None:
    idp: Client = await scimd.client(await scimd.organization("acme"), profile=profile)
    body = {"userName": "u", "name.givenName": "Una", f"{ENTERPRISE_URN}:department": "Ops"}
    made = await idp.post("/Users", body)
    for reply in (made, await idp.put(f"/Users/{made.json['id']}", body)):
        assert reply.json["name"] == {"givenName": "Una"}
        assert reply.json[ENTERPRISE_URN] == {"department": "Ops"}


async def test_the_letter_of_the_rfc_has_no_such_keys(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile="rfc")
    reply = await idp.post("/Users", {"schemas": [USER_URN], "userName": "u", "name.givenName": "Una"})
    assert (reply.status, reply.scim_type) == (400, "invalidValue")
