"""What operations of a bulk request do each for itself, though plain ones of it share transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scimd.db import tables as t
from scimd.org.organizations import organizations
from scimd.org.together import Kind
from scimd.org.turns import Turns
from scimd.org.tx import Door
from scimd.scim.exchange import Exchange
from tests.scim.bulk_worlds import served, sharing
from tests.scim.serving import Installation
from tests.scim.test_bulk_in_turn import bulk_of, delete, made, member, patch, post, rows, statuses
from tests.scim.test_request_log import logged

pytestmark = pytest.mark.usefixtures("by_ones")


@pytest.fixture
async def scimd(database_url: str) -> AsyncIterator[Installation]:
    async with served(database_url) as running:
        yield running


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return sharing(monkeypatch)


def rename(group_id: str, name: str) -> dict[str, Any]:
    operation = {"op": "replace", "path": "displayName", "value": name}
    return {"method": "PATCH", "path": f"/Groups/{group_id}", "data": {"Operations": [operation]}}


def everybody(group_id: str, *values: str) -> dict[str, Any]:
    return member(group_id, "replace", *values)


async def test_a_change_of_a_whole_group_waits_for_its_turn(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben = await made(idp, "ann", "ben")
    group_id = (await idp.group("Room", ann))["id"]
    assert await statuses(idp, patch(ann, userName=""), rename(group_id, "Hall"), stop=1) == ["400"]
    assert await statuses(idp, patch(ann, userName=""), everybody(group_id), stop=1) == ["400"]
    found = (await idp.get(f"/Groups/{group_id}")).json
    assert (found["displayName"], [each["value"] for each in found["members"]]) == ("Room", [ann])
    many = [member(group_id, "add", ben), everybody(group_id, ann), member(group_id, "remove", ann)]
    assert await statuses(idp, *many) == ["204"] * 3
    assert (await idp.get(f"/Groups/{group_id}")).json["members"] == []


async def test_each_is_done_by_its_own_verb(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben, cid, dee = await made(idp, "ann", "ben", "cid", "dee")
    group_id = (await idp.group("Room"))["id"]
    many = [delete(ann), patch(ben, title="x"), member(group_id, "add", ben), delete(cid), post("eve")]
    assert await statuses(idp, *many, patch(dee, title="y")) == ["204", "200", "204", "204", "201", "200"]
    users = (await idp.get("/Users")).json["Resources"]
    titles = {each["userName"].partition("@")[0]: each.get("title") for each in users}
    assert titles == {"ben": "x", "dee": "y", "eve": None}


async def test_much_work_is_not_one_transaction(scimd: Installation, shared: Counter[str]) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ids = await made(idp, *(f"p{n}" for n in range(40)))
    group_id = (await idp.group("Room"))["id"]
    large = [member(group_id, "add", *ids[:20]), member(group_id, "add", *ids[20:])]
    assert await statuses(idp, *large) == ["204", "204"]
    assert shared["change members"] == 0
    assert len((await idp.get(f"/Groups/{group_id}")).json["members"]) == 40


@pytest.mark.parametrize("profile", ["keycloak", "okta"])
async def test_each_change_of_members_tells_the_version_that_it_made(
    scimd: Installation, profile: str
) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile=profile)
    ids = await made(idp, "ann", "ben", "cid")
    group_id = (await idp.group("Room"))["id"]
    results = await bulk_of(idp, *(member(group_id, "add", each) for each in ids))
    assert len({each["version"] for each in results}) == 3
    assert results[-1]["version"] == (await idp.get(f"/Groups/{group_id}")).headers["ETag"]


async def test_a_version_of_a_group_is_that_of_its_moment(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben, cid = await made(idp, "ann", "ben", "cid")
    group_id = (await idp.group("Room"))["id"]
    tag = (await idp.get(f"/Groups/{group_id}")).headers["ETag"]
    many = [member(group_id, "add", each) for each in (ann, ben, cid)]
    assert await statuses(idp, many[0], {**many[1], "version": tag}, many[2]) == ["204", "412", "204"]


async def test_a_member_is_the_same_by_each_of_their_names(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"), config={"groups": {"default": "none"}})
    (ann,) = await made(idp, "ann")
    group_id = (await idp.group("Room"))["id"]
    (before,) = await rows(scimd, t.groups)
    await statuses(idp, member(group_id, "add", ann), member(group_id, "add", "x-ann"))
    (after,) = await rows(scimd, t.groups)
    assert after.version == before.version + 1
    both = [member(group_id, "add", ann), member(group_id, "remove", "x-ann")]
    for order, told in ((both, 0), (both[::-1], 1)):
        await statuses(idp, *order)
        found = (await idp.get(f"/Groups/{group_id}")).json
        assert len(found.get("members", ())) == told


async def test_whoever_leaves_a_group_and_with_it_another_has_a_version_for_each(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"), config={"groups": {"default": "none"}})
    (ann,) = await made(idp, "ann")
    inner = (await idp.group("Inner", ann))["id"]
    outer = (await idp.group("Outer", inner))["id"]
    (before,) = await rows(scimd, t.people)
    assert await statuses(idp, member(outer, "remove", inner), member(inner, "remove", ann)) == ["204"] * 2
    (after,) = await rows(scimd, t.people)
    assert after.rest == before.rest + 2


async def test_external_ids_are_not_swapped(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben = await made(idp, "ann", "ben")
    swap = [patch(ann, externalId="x-ben"), patch(ben, externalId="x-ann")]
    assert await statuses(idp, *swap) == ["409", "409"]
    swap = [patch(ann, userName="ben"), patch(ben, userName="ann")]
    assert await statuses(idp, patch(ann, userName="ann"), patch(ben, userName="ben")) == ["200", "200"]
    assert await statuses(idp, *swap) == ["409", "409"]


async def test_seats_that_are_free_go_to_whoever_waits_before_the_next_operation(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = await scimd.organization("acme", seats=0)
    idp = await scimd.client(org)
    ann, ben = await made(idp, "ann", "ben")
    for change in (patch(ben, title="x"), patch(ben, active=False)):
        assert await statuses(idp, patch(ann, active=False), patch(ben, active=False)) == ["200"] * 2
        await organizations.set_seats(scimd.door, scimd.context(org), 0)
        assert await statuses(idp, patch(ben, active=True)) == ["200"]
        with monkeypatch.context() as nobody_promoted:
            nobody_promoted.setattr(scimd.door, "_promote", None)
            await organizations.set_seats(scimd.door, scimd.context(org), 3)
        assert await statuses(idp, patch(ann, active=True), change) == ["200", "200"]
        told = sorted(await rows(scimd, t.events, kind="seat.taken"), key=lambda row: row.id)
        taken = [(row.target_id, row.actor_name) for row in told]
        assert taken[-2:] == [(ann, "idp-default"), (ben, "seats")]


async def test_what_nobody_foresaw_of_several_is_done_one_by_one(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    once = Kind._once

    async def fails(kind: Kind[Any, Any], door: Door, calls: Any, weight: int) -> Any:
        if len(calls) > 1:
            raise RuntimeError
        return await once(kind, door, calls, weight)

    monkeypatch.setattr(Kind, "_once", fails)
    assert await statuses(idp, post("a"), post("b"), post("c")) == ["201"] * 3


async def test_after_some_that_could_not_share_others_do_again(
    scimd: Installation, shared: Counter[str]
) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ids = await made(idp, *(f"p{n}" for n in range(32)))
    bad = [patch(each, userName="") for each in ids[:16]]
    await statuses(idp, *bad, *(patch(each, title=f"{n}") for n in range(10) for each in ids))
    assert 0 < shared["change user"] <= 20


async def test_no_transform_is_said_of_what_was_begun_and_has_no_time_left(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp = await scimd.client(await scimd.organization("acme"), profile="entra")
    ann, ben = await made(idp, "ann", "ben")
    in_turn, left_s, over = Turns.let, Exchange.left_s, False

    async def let(turns: Turns, begun: Any) -> int:
        nonlocal over
        done = await in_turn(turns, begun)
        over = True
        return done

    monkeypatch.setattr(Turns, "let", let)
    monkeypatch.setattr(Exchange, "left_s", lambda ex, share: -1.0 if over else left_s(ex, share))
    boss = {"Operations": [{"op": "add", "path": "manager", "value": ann}]}
    late = {**patch(ben), "data": boss}
    assert await statuses(idp, patch(ben, userName=""), late) == ["400", "503"]
    assert (await logged(scimd, idp))[-1].transforms == []
