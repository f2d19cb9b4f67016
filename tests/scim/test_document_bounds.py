"""What is kept of one resource is bounded, and what all PATCHes of a bulk request may take together."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.attributes import USER
from scimd.scim import effort
from scimd.scim.documents import MAX_DOCUMENT_BYTES, PATCH_URN
from scimd.scim.effort import MAX_GONE_OVER, Together
from scimd.scim.errors import ScimError
from scimd.scim.operations import operations_of
from scimd.scim.patch import apply
from scimd.scim.quirks.profiles import DEFAULT
from scimd.scim.users import FilledIn
from tests.scim.serving import Client
from tests.scim.test_bulk import bulk, statuses
from tests.scim.test_patch import DANA, op

_PART = "x" * 100_000


def _patch(path: str, *operations: dict[str, Any]) -> dict[str, Any]:
    data = {"schemas": [PATCH_URN], "Operations": list(operations)}
    return {"method": "PATCH", "path": path, "data": data}


async def test_a_resource_that_is_too_long_is_refused_in_whatever_way_it_comes(idp: Client) -> None:
    """V19: a page has two hundred, and each change of one writes all of it."""
    one = await idp.user("one", title=_PART)
    at = f"/Users/{one['id']}"
    grown = await idp.patch(at, op("add", "nickName", _PART))
    assert grown.status == 200
    longer = {"userName": "one", "title": _PART, "nickName": _PART, "userType": _PART}
    for reply in (
        await idp.post("/Users", {**longer, "userName": "two"}),
        await idp.put(at, longer),
        await idp.patch(at, op("add", "userType", _PART)),
    ):
        assert reply.status == 413, reply.raw
        assert f"more than {MAX_DOCUMENT_BYTES} are not kept" in reply.json["detail"]
    with pytest.raises(ScimError, match="are not kept"):  # what a bulk request had to leave open
        FilledIn({"userType": _PART, "nickName": _PART})({**DANA, "title": _PART}, USER)
    # Each attribute of a group has its own bound, which is less.
    group = await idp.post("/Groups", {"displayName": "long", "externalId": "x" * MAX_DOCUMENT_BYTES})
    assert group.status == 400
    assert (await idp.get(at)).json == grown.json
    assert (await idp.get("/Users", params={"filter": 'userName eq "two"'})).json["totalResults"] == 0


def test_what_is_too_long_already_may_be_changed_as_long_as_it_does_not_grow() -> None:
    stored = {**DANA, "title": "x" * MAX_DOCUMENT_BYTES, "nickName": "old"}

    def after(name: str) -> Any:
        operations = operations_of({"Operations": [op("replace", "nickName", name)]}, 10)
        return apply(USER, stored, operations, DEFAULT.rules)["nickName"]

    assert after("new") == "new"
    with pytest.raises(ScimError, match="Send fewer or shorter values"):
        after("longer")


def test_how_much_each_of_many_patches_may_go_over() -> None:
    for patches, wanted in (
        (0, MAX_GONE_OVER),
        (1, MAX_GONE_OVER),
        (10, MAX_GONE_OVER),
        (50, 4000),
        (1000, 500),
    ):
        assert Together(patches).gone_over == wanted


async def test_dear_patches_of_one_bulk_request_are_refused_and_plain_ones_done(
    idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V19: each is bounded, and 150 of them took more than the time for a request."""
    monkeypatch.setattr(effort, "_MAX_IN_BULK", 1000)
    one = await idp.user("one", ims=[{"value": str(n)} for n in range(30)])
    long = await idp.user("long", title="x" * 60_000)
    at = f"/Users/{one['id']}"
    dear = [op("replace", "ims.display", f"y{n}") for n in range(20)]
    results = await bulk(
        idp,
        _patch(at, *dear),
        _patch(at, *dear[:10]),
        _patch(f"/Users/{long['id']}", op("replace", "nickName", "z")),
        {"method": "POST", "path": "/Users", "bulkId": "new", "data": {"userName": "new"}},
    )
    assert statuses(results) == ["413", "200", "413", "201"]
    assert "more than 500 values" in results[0]["response"]["detail"]
    assert "send fewer operations in one bulk request" in results[0]["response"]["detail"]
    assert "too long to be changed beside so many others" in results[2]["response"]["detail"]
    assert {each["display"] for each in (await idp.get(at)).json["ims"]} == {"y9"}
    assert statuses(await bulk(idp, _patch(f"/Users/{long['id']}", op("replace", "nickName", "z")))) == [
        "200"
    ]


async def test_filters_in_all_paths_of_a_bulk_request_are_bounded(
    idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await idp.user("one")
    team = await idp.group("team", one["id"])
    at = f"/Groups/{team['id']}"
    monkeypatch.setattr(effort, "_MAX_SELECTIONS_IN_BULK", 2)
    looked = _patch(at, op("remove", 'members[display co "nobody"]'))
    by_id = _patch(at, op("remove", 'members[value eq "nobody"]'))
    results = await bulk(idp, looked, looked, by_id, looked, by_id)
    assert statuses(results) == ["204", "204", "204", "413", "204"]
    assert "more than 2 filters on members" in results[3]["response"]["detail"]
    monkeypatch.setattr(effort, "_MAX_PATHS_CHARS_IN_BULK", 60)
    work = _patch(f"/Users/{one['id']}", op("replace", 'emails[type eq "work"].value', "a@x.org"))
    title = _patch(f"/Users/{one['id']}", op("replace", "title", "x"))
    results = await bulk(idp, work, work, title, work, title)
    assert statuses(results) == ["200", "200", "200", "413", "200"]
    assert "paths of more than 60 characters" in results[3]["response"]["detail"]
    assert (await idp.get(f"/Users/{one['id']}")).json["title"] == "x"
