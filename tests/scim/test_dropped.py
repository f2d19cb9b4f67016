"""A value of which scimd keeps nothing, for unknown or read-only names: it takes nothing away."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from scimd.core.attributes import ENTERPRISE_URN, USER
from scimd.scim.documents import document_of, replacement_of
from scimd.scim.errors import ScimError
from scimd.scim.users import Replaced
from scimd.scim.values import Rules
from tests.scim.declared import DOOR_URN, DOORS, source_with
from tests.scim.serving import Client, Installation
from tests.scim.test_patch import DANA, changes, op

DROPPED: list[tuple[str, Any]] = [
    ("emails", [{"email": "a@example.com"}]),
    ("emails", {"emails": [{"value": "a@example.com"}]}),
    ("emails", [{"email": "a@example.com"}, None, {}]),
    ('emails[type eq "work"]', {"foo": "bar"}),
    ('emails[type eq "work"]', [{"foo": "bar"}]),
    ('emails[type eq "other"]', {"foo": "bar"}),
    ("name", {"name": {"givenName": "q"}}),
    ("name", [{"foo": "bar"}]),
    (f"{ENTERPRISE_URN}:manager", {"displayName": "Erin"}),
]


@pytest.mark.parametrize(("path", "value"), DROPPED)
@pytest.mark.parametrize("name", ["replace", "add"])
def test_patch_of_what_is_dropped_changes_nothing(name: str, path: str, value: Any) -> None:
    assert changes(op(name, path, value)) == {}
    if "[" not in path:
        assert changes(op(name, None, {path: value})) == {}


def test_remove_of_what_is_dropped_removes_nothing() -> None:
    assert changes(op("remove", "emails", {"emails": DANA["emails"]})) == {}


@pytest.mark.parametrize("value", [[], {}, [{}], [None], "", None, [{"value": None}]])
def test_what_is_empty_as_sent_clears(value: Any) -> None:
    assert changes(op("replace", "emails", value)) == {"emails": None}


def test_of_several_values_those_that_say_something_count() -> None:
    given = [{"email": "a@example.com"}, {"value": "b@example.com"}]
    assert changes(op("replace", "emails", given)) == {"emails": [{"value": "b@example.com"}]}


def test_rfc_profile_refuses_them() -> None:
    for path, value in DROPPED[:2]:
        with pytest.raises(ScimError) as refused:
            changes(op("replace", path, value), profile="rfc")
        assert refused.value.scim_type == "invalidValue"


async def test_put_of_what_is_dropped_leaves_what_is_there(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    idp: Client = await scimd.client(org, config=source_with(DOORS))
    cards = [{"value": "c1"}]
    emails = [{"value": "d@example.com"}]
    more = {"emails": emails, "name": {"givenName": "Dana"}, "title": "CTO", DOOR_URN: {"cards": cards}}
    user = await idp.user("dana", **more)
    path = f"/Users/{user['id']}"
    dropped = {"emails": [{"email": "x"}], "name": {"foo": "bar"}, DOOR_URN: {"cards": [{"card": "x"}]}}
    put = await idp.put(path, {"userName": "dana", **dropped})
    assert put.status == 200
    assert (put.json["emails"], put.json["name"]) == (emails, {"givenName": "Dana"})
    assert (put.json[DOOR_URN], "title" in put.json) == ({"cards": cards}, False)
    empty = (await idp.put(path, {"userName": "dana", "emails": [], "name": {}})).json
    assert {"emails", "name", DOOR_URN}.isdisjoint(empty)
    again = (await idp.put(path, {"userName": "dana", **dropped})).json
    assert {"emails", "name", DOOR_URN}.isdisjoint(again), "there was nothing to leave"


def test_whoever_is_new_has_nothing_of_it_and_a_change_travels() -> None:
    body = {"userName": "dana", "emails": [{"email": "x"}], ENTERPRISE_URN: {"manager": {"foo": "bar"}}}
    assert document_of(USER, body, Rules()) == {"userName": "dana"}
    change = pickle.loads(pickle.dumps(Replaced(replacement_of(USER, body, Rules()))))
    stored = {key: DANA[key] for key in ("userName", "emails", ENTERPRISE_URN)}
    assert change(stored, USER) == {**stored, ENTERPRISE_URN: {"manager": {"value": "7"}}}
