"""What a bulk request leaves where order matters, though plain operations of it share transactions."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, Table, select

from scimd.core.attributes import ENTERPRISE_URN
from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.org.grants import named
from scimd.org.identities import merging
from scimd.org.together import Kind
from scimd.org.turns import Turns
from scimd.org.tx import Door
from scimd.scim.exchange import Exchange
from tests.scim.bulk_worlds import REQUEST, served, sharing
from tests.scim.serving import BASE, Client, Installation

pytestmark = pytest.mark.usefixtures("by_ones")


@pytest.fixture
async def scimd(database_url: str) -> AsyncIterator[Installation]:
    async with served(database_url) as running:
        yield running


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    return sharing(monkeypatch)


def post(name: str, **data: Any) -> dict[str, Any]:
    given = {"userName": f"{name}@acme.example", "externalId": f"x-{name}", **data}
    return {"method": "POST", "path": "/Users", "bulkId": name, "data": given}


def patch(person_id: str, **values: Any) -> dict[str, Any]:
    operations = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"method": "PATCH", "path": f"/Users/{person_id}", "data": {"Operations": operations}}


def delete(person_id: str) -> dict[str, Any]:
    return {"method": "DELETE", "path": f"/Users/{person_id}"}


def member(group_id: str, op: str, *values: str) -> dict[str, Any]:
    operation = {"op": op, "path": "members", "value": [{"value": each} for each in values]}
    return {"method": "PATCH", "path": f"/Groups/{group_id}", "data": {"Operations": [operation]}}


def mail(name: str) -> list[dict[str, Any]]:
    return [{"value": f"{name}@acme.example", "primary": True}]


async def bulk_of(idp: Client, *operations: Any, stop: int | None = None) -> list[dict[str, Any]]:
    body: dict[str, Any] = {"schemas": [REQUEST], "Operations": list(operations)}
    reply = await idp.post("/Bulk", body if stop is None else {**body, "failOnErrors": stop})
    return list(reply.json["Operations"])


async def statuses(idp: Client, *operations: Any, stop: int | None = None) -> list[str]:
    return [each["status"] for each in await bulk_of(idp, *operations, stop=stop)]


async def made(idp: Client, *names: str) -> list[str]:
    """Their ids."""
    results = await bulk_of(idp, *map(post, names))
    return [each["location"].rpartition("/")[2] for each in results]


async def rows(scimd: Installation, table: Table, **where: Any) -> list[Row[Any]]:
    query = select(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    return await scimd.door.read(lambda conn: list(conn.execute(query)))


async def names(scimd: Installation, column: str = "local_user_name") -> dict[str, str]:
    return {row.id: getattr(row, column) for row in await rows(scimd, t.people)}


async def test_plain_loads_share_transactions(scimd: Installation, shared: Counter[str]) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ids = await made(idp, *(f"p{n}" for n in range(40)))
    group_id = (await idp.group("Room"))["id"]
    assert await statuses(idp, *(patch(each, title="Cook") for each in ids)) == ["200"] * 40
    assert await statuses(idp, *(member(group_id, "add", each) for each in ids)) == ["204"] * 40
    assert await statuses(idp, *(patch(each, active=False) for each in ids[:20])) == ["200"] * 20
    assert await statuses(idp, *map(delete, ids[20:])) == ["204"] * 20
    # 32 at a time at most; the alarm over so many who leave belongs to one of them.
    assert shared["create user"] == shared["change members"] == 2
    assert shared["change user"] >= 3
    assert shared["delete user"] >= 1
    assert (await idp.get("/Users?filter=active eq false")).json["totalResults"] == 20


async def test_the_audit_has_the_operations_one_after_the_other(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ids = await made(idp, *(f"p{n}" for n in range(12)))
    told = sorted(await rows(scimd, t.events), key=lambda row: row.id)
    about = [row.body["after"].get("person", row.target_id) for row in told if row.door == "scim"]
    assert [each for each, _ in itertools.groupby(about)] == ids
    kinds = [row.kind for row in told if row.door == "scim"]
    assert kinds == ["person.created", "grant.given", "invitation.created"] * 12
    assert len({row.correlation_id for row in told if row.door == "scim"}) == 1


async def test_scarce_seats_go_to_the_first(scimd: Installation) -> None:
    for policy, expected in (("reject", ["201"] * 3 + ["403"] * 2), ("hold", ["201"] * 5)):
        org = await scimd.organization(policy, seats=3, seats_on_scim=policy)
        idp = await scimd.client(org)
        assert await statuses(idp, *(post(f"p{n}") for n in range(5))) == expected
        called = await names(scimd)
        queue = sorted(
            await rows(scimd, t.waiting, org_id=org.id), key=lambda row: (row.since, row.place, row.person_id)
        )
        assert [called[row.person_id] for row in queue] == (["p3", "p4"] if policy == "hold" else [])


async def test_whoever_waits_has_a_freed_seat_before_the_next_operation(scimd: Installation) -> None:
    org = await scimd.organization("acme", seats=2)
    idp = await scimd.client(org)
    first, second, third, fourth = await made(idp, "a", "b", "c", "d")
    gone = [patch(each, active=False) for each in (first, third, second)]
    assert await statuses(idp, *gone, patch(first, active=True)) == ["200"] * 4
    # The third had the first one's seat for a moment, and so the fourth has the third one's.
    told = sorted(await rows(scimd, t.events, kind="seat.taken"), key=lambda row: row.id)
    assert [row.target_id for row in told] == [third, fourth, first]
    fifth, sixth = await made(idp, "e", "f")
    assert await statuses(idp, delete(fourth), delete(first)) == ["204"] * 2
    told = sorted(await rows(scimd, t.events), key=lambda row: row.id)
    assert [(row.kind, row.target_id) for row in told if row.kind.startswith("seat.")][-4:] == [
        ("seat.freed", fourth),
        ("seat.taken", fifth),
        ("seat.freed", first),
        ("seat.taken", sixth),
    ]


async def test_whoever_wants_a_seat_before_it_is_freed_waits_for_it(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme", seats=1))
    ann, ben = await made(idp, "ann", "ben")
    assert (
        await statuses(idp, patch(ben, active=False), patch(ben, active=True), patch(ann, active=False))
        == ["200"] * 3
    )
    (waited,) = await rows(scimd, t.events, kind="seat.waiting")
    (taken,) = await rows(scimd, t.events, kind="seat.taken")
    assert (waited.target_id, taken.target_id, taken.actor_name) == (ben, ben, "seats")
    # It is freed, and given to whoever waits, before these want it no more.
    assert await statuses(idp, patch(ann, active=True)) == ["200"]
    assert await statuses(idp, patch(ben, active=False), patch(ann, active=False)) == ["200"] * 2
    told = sorted(await rows(scimd, t.events), key=lambda row: row.id)
    assert [(row.kind, row.target_id) for row in told if row.kind.startswith("seat.")][-3:] == [
        ("seat.freed", ben),
        ("seat.taken", ann),
        ("seat.freed", ann),
    ]


async def test_what_is_limited_is_given_in_order_too(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    await named.create(scimd.door, scimd.context(org), "licence", "Pro", 1)
    idp = await scimd.client(org, config={"rule": [{"number": 1, "pattern": "Pro", "licence": "Pro"}]})
    ann, ben, cid = await made(idp, "ann", "ben", "cid")
    group_id = (await idp.group("Pro", ann))["id"]

    async def woken() -> list[tuple[str, str]]:
        told = sorted(await rows(scimd, t.events, kind="grant.woken"), key=lambda row: row.id)
        return [(row.target_id, row.actor_name) for row in told if row.body["after"]["kind"] == "licence"]

    # Whoever wants it before it is free waits for it.
    assert await statuses(idp, member(group_id, "add", ben), member(group_id, "remove", ann)) == ["204"] * 2
    assert await woken() == [(ben, "pools")]
    # It is given to whoever waits before these want it no more.
    assert await statuses(idp, member(group_id, "add", cid)) == ["204"]
    assert (
        await statuses(idp, member(group_id, "remove", ben), member(group_id, "remove", cid)) == ["204"] * 2
    )
    assert (await woken())[1:] == [(cid, "pools")]


async def test_whoever_comes_into_a_group_and_with_it_into_another_has_a_version_for_each(
    scimd: Installation,
) -> None:
    idp = await scimd.client(await scimd.organization("acme"), config={"groups": {"default": "none"}})
    (ann,) = await made(idp, "ann")
    inner, outer = [(await idp.group(name))["id"] for name in ("Inner", "Outer")]
    (before,) = await rows(scimd, t.people)
    assert await statuses(idp, member(inner, "add", ann), member(outer, "add", inner)) == ["204"] * 2
    (after,) = await rows(scimd, t.people)
    assert after.rest == before.rest + 2


async def test_names_that_groups_wait_for_become_members_one_by_one(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    group_id = (await idp.group("Room", "x-ann", "x-ben"))["id"]
    (before,) = await rows(scimd, t.groups)
    await made(idp, "ann", "ben")
    (after,) = await rows(scimd, t.groups)
    assert after.version == before.version + 2
    assert len((await idp.get(f"/Groups/{group_id}")).json["members"]) == 2


async def test_an_address_passes_on_to_whoever_comes_after(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben, cid, dee = await made(idp, "ann", "ben", "cid", "dee")
    moves = [
        patch(ann, emails=mail("other")), patch(ben, emails=mail("ann")),
        patch(cid, emails=mail("dee")), patch(dee, emails=mail("another")),
    ]  # fmt: skip
    assert await statuses(idp, *moves) == ["200"] * 4
    addresses = await names(scimd, "sign_in_address")
    assert addresses[ben] == "ann@acme.example"
    assert addresses[cid] is None
    (question,) = await rows(scimd, t.decisions)
    assert question.facts["person_id"] == cid


async def test_names_are_neither_swapped_nor_given_twice(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben = await made(idp, "ann", "ben")
    swap = [patch(ann, userName="ben@acme.example"), patch(ben, userName="ann@acme.example")]
    assert await statuses(idp, *swap) == ["409", "409"]
    ring = [patch(ann, userName="cid@acme.example"), swap[1], patch(ann, userName="ben@acme.example")]
    assert await statuses(idp, *ring) == ["200"] * 3
    assert await statuses(idp, post("x"), post("X"), post("y", externalId="x-x"), post("z")) == [
        "201", "409", "409", "201",
    ]  # fmt: skip


async def test_local_names_are_counted_on_one_after_the_other(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    await made(idp, "ann", "ann-2", "ann-3", "ann-6")
    both = [post("n1", userName="ann@b.example"), post("n2", userName="ann@c.example")]
    assert await statuses(idp, *both) == ["201", "201"]
    assert set((await names(scimd)).values()) == {"ann", "ann-2", "ann-3", "ann-6", "ann-4", "ann-7"}


async def test_the_last_account_admin_is_kept_until_there_is_another(scimd: Installation) -> None:
    rules = [{"number": 1, "pattern": "Admins", "role": "account-admin", "may_give_account_admin": True}]
    idp = await scimd.client(await scimd.organization("acme"), config={"rule": rules}, invite="never")
    ann, ben = await made(idp, "ann", "ben")
    group_id = (await idp.group("Admins", ann))["id"]
    out, into = member(group_id, "remove", ann), member(group_id, "add", ben)
    assert await statuses(idp, out, into) == ["403", "204"]
    assert (
        await statuses(idp, member(group_id, "remove", ben), member(group_id, "add", "x-ben")) == ["204"] * 2
    )
    assert await statuses(idp, patch(ann, active=False), patch(ben, active=False)) == ["200", "403"]
    assert await statuses(idp, member(group_id, "add", ann)) == ["204"]
    assert await statuses(idp, patch(ben, active=False), patch(ann, active=True)) == ["403", "200"]
    assert await statuses(idp, patch(ben, active=False), patch(ann, title="x")) == ["200", "200"]
    assert await statuses(idp, patch(ann, active=False), patch(ben, active=True)) == ["403", "200"]
    assert await statuses(idp, delete(ann), delete(ben), post("cid")) == ["204", "403", "201"]


async def test_the_alarm_over_many_who_leave_names_the_count_at_the_crossing(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ids = await made(idp, *(f"p{n}" for n in range(30)))
    assert await statuses(idp, *map(delete, ids[:15])) == ["204"] * 15
    (alarm,) = await rows(scimd, t.events, kind="source.alarm")
    assert (alarm.body["after"]["left"], alarm.body["after"]["people"]) == (6, 30)


async def test_nothing_after_the_last_error_that_is_allowed_is_done(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    bad = post("bad", userName="")
    many = [post("a"), post("b"), {**bad, "bulkId": "1"}, post("c"), {**bad, "bulkId": "2"}, post("d")]
    assert await statuses(idp, *many, stop=2) == ["201", "201", "400", "201", "400"]
    (ann,) = await made(idp, "ann")
    after = [patch(ann, title="x"), delete(ann), delete(ann), post("e"), post("f")]
    assert await statuses(idp, *after, stop=1) == ["200", "204", "404"]
    assert await statuses(idp, post("g"), post("a", externalId="x-h"), post("i"), stop=1) == ["201", "409"]
    (here,) = await made(idp, "here")
    assert await statuses(idp, delete(ann), delete(here), stop=1) == ["404"]
    assert await statuses(idp, patch(ann, title="y"), patch(here, title="y"), stop=1) == ["404"]
    assert "title" not in (await idp.get(f"/Users/{here}")).json
    assert sorted((await names(scimd)).values()) == ["a", "ann", "b", "c", "g", "here"]


async def test_a_version_is_that_of_its_moment(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ann, ben = await made(idp, "ann", "ben")
    tag = (await idp.get(f"/Users/{ann}")).headers["ETag"]
    named = [{**patch(ann, title=each), "version": tag} for each in "ab"]
    assert await statuses(idp, patch(ben, title="c"), *named, delete(ben)) == ["200", "200", "412", "204"]


async def test_one_person_by_an_old_id_is_met_in_turn(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    idp = await scimd.client(org)
    ann, ben = await made(idp, "ann", "ben")
    other = await scimd.client(org, "other")
    twin = (await other.user("twin@acme.example"))["id"]
    await merging.merge(scimd.door, scimd.context(org), PersonId(twin), PersonId(ann))
    many = [patch(ben, title="x"), patch(ann, title="y"), patch(twin, title="z"), patch(ben, title="w")]
    assert await statuses(idp, *many) == ["200"] * 4
    assert [(await idp.get(f"/Users/{each}")).json["title"] for each in (ann, ben)] == ["z", "w"]


async def test_what_has_not_begun_when_the_time_is_over_is_not_done(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    (ann,) = await made(idp, "ann")
    in_turn, left_s, over = Turns.let, Exchange.left_s, False

    async def let(turns: Turns, begun: Any) -> int:
        nonlocal over
        done = await in_turn(turns, begun)
        over = True
        return done

    monkeypatch.setattr(Turns, "let", let)
    monkeypatch.setattr(Exchange, "left_s", lambda ex, share: -1.0 if over else left_s(ex, share))
    # One name twice: the second has to wait for the first.
    many = [post("a"), post("b"), post("B"), patch(ann, title="x")]
    assert await statuses(idp, *many) == ["201", "201", "503", "503"]


async def test_an_unknown_outcome_is_told_to_all_who_shared_it_and_nothing_is_done_again(
    scimd: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    tried: list[None] = []

    async def lost(kind: Any, door: Door, calls: Any, weight: int) -> Any:
        tried.append(None)
        raise DatabaseUnavailable(why="Whether it was written is not known.")

    monkeypatch.setattr(Kind, "_once", lost)
    assert await statuses(idp, post("a"), post("b"), post("c"), stop=1) == ["503"] * 3
    assert len(tried) == 1


async def test_of_those_who_are_locked_out_the_first_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scimd.db"
    async with served(f"sqlite:///{file}") as scimd:
        idp = await scimd.client(await scimd.organization("acme"))
        tried: list[int] = []
        once = Kind._once

        async def locked_out(kind: Kind[Any, Any], door: Door, calls: Any, weight: int) -> Any:
            tried.append(len(calls))
            if len(tried) > 1:
                return await once(kind, door, calls, weight)
            busy = sqlite3.OperationalError("database is locked")
            busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise Overloaded() from busy

        monkeypatch.setattr(Kind, "_once", locked_out)
        assert await statuses(idp, post("a"), post("b"), post("c")) == ["503", "201", "201"]
        assert tried == [3, 2]


async def test_where_operations_cannot_share_it_is_tried_less_and_less(
    scimd: Installation, shared: Counter[str]
) -> None:
    idp = await scimd.client(await scimd.organization("acme", seats=0))
    assert await statuses(idp, *(post(f"p{n}") for n in range(150))) == ["201"] * 150
    assert shared["create user"] == 0
    assert shared["create user in vain"] <= 12


async def test_what_a_ring_left_open_is_filled_in_before_the_next_operation(scimd: Installation) -> None:
    idp = await scimd.client(await scimd.organization("acme"))
    ring = [
        post(name, **{ENTERPRISE_URN: {"manager": {"value": f"bulkId:{other}"}}})
        for name, other in (("ann", "ben"), ("ben", "ann"))
    ]
    free = {"Operations": [{"op": "remove", "path": f"{ENTERPRISE_URN}:manager"}]}
    many = [*ring, {"method": "PATCH", "path": "/Users/bulkId:ben", "data": free}, post("cid")]
    results = await bulk_of(idp, *many)
    assert [each["status"] for each in results] == ["201", "201", "200", "201"]
    ann, ben = [(await idp.get(each["location"].removeprefix(BASE))).json for each in results[:2]]
    assert ann[ENTERPRISE_URN]["manager"]["value"] == ben["id"]
    assert "manager" not in ben.get(ENTERPRISE_URN, {})
