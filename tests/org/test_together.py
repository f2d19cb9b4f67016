"""Calls that come at the same moment: one transaction, and everything as if each had come alone."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scimd.core.attributes import ResourceKind
from scimd.core.errors import (
    DatabaseUnavailable,
    InvalidValue,
    NotFound,
    NotUnique,
    NotYours,
    Overloaded,
    Refusal,
    SeatLimitReached,
    VersionMismatch,
)
from scimd.core.people import GroupId, PersonId, SourceId
from scimd.core.resource import StoredGroup, StoredUser, unpack
from scimd.db import tables as t
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.lines import AT_ONCE
from scimd.org.tx import Context
from scimd.org.users import local_people, people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house, user
from tests.support.patience import PATIENT, eventually

pytestmark = pytest.mark.usefixtures("by_ones")


def call(acme: House, correlation_id: str) -> Context:
    return replace(acme.as_scim(), correlation_id=correlation_id)


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def create(acme: House, name: str, **more: Any) -> Awaitable[StoredUser]:
    return people.create_user(acme.door, call(acme, f"create {name}"), user(name, **more))


def change(
    acme: House, person_id: str, if_match: Callable[[int], bool] | None = None, **more: Any
) -> Awaitable[StoredUser]:
    ctx = call(acme, f"change {person_id}")
    return people.change_user(
        acme.door, ctx, PersonId(person_id), lambda document, _: {**document, **more}, if_match=if_match
    )


def members(acme: House, group_id: str, **more: Any) -> Awaitable[StoredGroup]:
    ctx = call(acme, f"members {group_id}")
    return scim_groups.change_group(acme.door, ctx, GroupId(group_id), GroupChange(**more))


def counting(acme: House, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each transaction that writes from now on."""
    written: list[None] = []
    write = acme.door.db.write

    async def counted(body: Any, **more: Any) -> Any:
        written.append(None)
        return await write(body, **more)

    monkeypatch.setattr(acme.door.db, "write", counted)
    return written


async def test_calls_that_come_together_are_one_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        written = counting(acme, monkeypatch)
        made = await at_once(*(create(acme, f"p{n}") for n in range(8)))
        assert [unpack(each.document)["userName"] for each in made] == [
            f"p{n}@acme.example" for n in range(8)
        ]
        assert len(written) == 1
        changed = await at_once(*(change(acme, each.person_id, title="Smith") for each in made))
        assert [(each.version, unpack(each.document)["title"]) for each in changed] == [(2, "Smith")] * 8
        assert len(written) == 2
        rooms = [await acme.group(f"G{n}") for n in range(3)]
        del written[:]
        shown = await at_once(*(members(acme, rooms[n], add=(made[n].person_id,)) for n in range(3)))
        assert [each.version for each in shown] == [2, 2, 2]
        assert len(written) == 1
        # Some in, some out, one in by the id that the source knows, one who was in already.
        await at_once(
            members(acme, rooms[0], remove=(made[0].person_id,)),
            members(acme, rooms[1], add=("x-p7",)),
            members(acme, rooms[2], add=(made[2].person_id,)),
        )
        assert len(written) == 2
        rows = await acme.rows(t.group_members)
        assert {(row.group_id, row.person_id) for row in rows} == {
            (rooms[1], made[1].person_id), (rooms[1], made[7].person_id), (rooms[2], made[2].person_id),
        }  # fmt: skip


async def test_what_is_short_is_said_to_be_and_a_large_change_of_members_is_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        said: list[bool] = []
        write = acme.door.db.write

        async def noted(body: Any, *, short: bool = False, **more: Any) -> Any:
            said.append(short)
            return await write(body, short=short, **more)

        room = await acme.group("Room")
        monkeypatch.setattr(acme.door.db, "write", noted)
        made = await at_once(create(acme, "a"), create(acme, "b"))
        await change(acme, made[0].person_id, title="Dr")
        await members(acme, room, add=tuple(each.person_id for each in made))
        assert said == [True] * 3
        await members(acme, room, add=tuple(f"x{n}" for n in range(AT_ONCE + 1)))
        assert said == [*[True] * 3, False]


async def test_each_event_names_the_call_from_which_it_follows(database_url: str) -> None:
    async with house(database_url) as acme:
        inviting = await acme.source("inviting", invite="immediate")
        acme.scim = inviting
        made = await at_once(*(create(acme, f"p{n}") for n in range(5)))
        rooms = [await acme.group(f"G{n}") for n in range(5)]
        await at_once(*(change(acme, each.person_id, active=False) for each in made[3:]))
        await at_once(*(members(acme, rooms[n], add=(made[n].person_id,)) for n in range(3)))
        named = {each.person_id: f"p{n}" for n, each in enumerate(made)}
        room_of = {made[n].person_id: rooms[n] for n in range(3)}
        seen = Counter[str]()
        for row in await acme.rows(t.events):
            verb, _, about = row.correlation_id.partition(" ")
            person_id = row.target_id
            if row.target_kind == "invitation":
                (invitation,) = await acme.rows(t.invitations, id=row.target_id)
                person_id = invitation.person_id
            if verb == "create":
                assert about == named[person_id]
            elif verb == "change":
                assert about == person_id
            elif verb == "members":
                assert about in (person_id, room_of.get(person_id))
            seen[f"{verb} {row.kind}"] += 1
        assert seen["create person.created"] == 5
        assert seen["create invitation.created"] == 5
        assert seen["change person.status_changed"] == 2
        assert seen["change invitation.cancelled"] == 2
        assert seen["members group.members_changed"] == 3
        assert seen["members grant.given"] == 3


async def test_a_refused_call_fails_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(database_url) as acme:
        old = await acme.create("old")
        written = counting(acme, monkeypatch)
        made = await at_once(
            create(acme, "a"), create(acme, "b", userName=" "), create(acme, "old"), create(acme, "c")
        )
        assert isinstance(made[0], StoredUser)
        assert isinstance(made[3], StoredUser)
        assert isinstance(made[1], InvalidValue)
        assert isinstance(made[2], NotUnique)

        def wrong(document: Any, _: ResourceKind) -> Any:
            raise KeyError("a fault of the caller's")

        nobody = PersonId("00000000-0000-7000-8000-000000000000")
        done = await at_once(
            change(acme, old.person_id, title="Cook"),
            change(acme, nobody, title="Cook"),
            change(acme, made[0].person_id, lambda version: version == 99, title="Cook"),
            people.change_user(acme.door, acme.as_scim(), PersonId(made[3].person_id), wrong),
        )
        assert unpack(done[0].document)["title"] == "Cook"
        assert [type(each) for each in done[1:]] == [NotFound, VersionMismatch, KeyError]
        room = await acme.group("G")
        shown = await at_once(
            members(acme, room, add=(old.person_id,)), members(acme, nobody, add=(made[0].person_id,))
        )
        assert shown[0].version == 2
        assert isinstance(shown[1], NotFound)
        assert len(written) == 4  # one of them made the group


async def test_of_two_calls_about_the_same_the_second_meets_the_first(database_url: str) -> None:
    async with house(database_url) as acme:
        first, second, third = await at_once(
            create(acme, "a"), create(acme, "A", external_id="x-other"), create(acme, "b", external_id="x-a")
        )
        assert isinstance(first, StoredUser)
        assert isinstance(second, NotUnique)
        assert second.attribute == "userName"
        assert isinstance(third, NotUnique)
        assert third.attribute == "externalId"
        titled, named = await at_once(
            change(acme, first.person_id, title="Cook"), change(acme, first.person_id, nickName="Al")
        )
        assert (titled.version, named.version) == (2, 3)
        assert unpack(named.document)["title"] == "Cook"


async def test_two_calls_cannot_swap_names(database_url: str) -> None:
    """Entries of one sync may; of two calls the first finds the name taken, whoever is behind it."""
    async with house(database_url) as acme:
        ann, ben = await acme.create("ann"), await acme.create("ben")
        outcomes = await at_once(
            change(acme, ann.person_id, userName="ben@acme.example"),
            change(acme, ben.person_id, userName="ann@acme.example"),
        )
        assert [type(each) for each in outcomes] == [NotUnique, NotUnique]
        # Whoever comes after a name was given away gets it.
        outcomes = await at_once(
            change(acme, ann.person_id, userName="carl@acme.example"),
            change(acme, ben.person_id, userName="ann@acme.example"),
        )
        names = {unpack(each.document)["userName"] for each in outcomes if isinstance(each, StoredUser)}
        assert names >= {"carl@acme.example"}


async def test_calls_whose_client_gives_all_of_them_one_id_share_as_others_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        await acme.create("old")
        written = counting(acme, monkeypatch)
        ctx = call(acme, "chosen by the client")
        names = ("a", "old", "b", "c")
        made = await at_once(*(people.create_user(acme.door, ctx, user(each)) for each in names))
        assert [type(each) for each in made] == [StoredUser, NotUnique, StoredUser, StoredUser]
        assert len(written) == 1


async def test_deletions_that_come_together_are_one_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        made = [PersonId((await acme.create(f"p{n}")).person_id) for n in range(9)][:4]
        local = await local_people.add(acme.door, acme.as_admin(), NewPerson("local@acme.example"))
        written = counting(acme, monkeypatch)
        nobody = PersonId("00000000-0000-7000-8000-000000000000")
        gone = [
            people.delete_user(acme.door, call(acme, f"delete {each}"), each)
            for each in (*made, nobody, local)
        ]
        named = people.delete_user(acme.door, acme.as_scim(), made[0], if_match=lambda version: False)
        assert [type(each) for each in await at_once(*gone)] == [type(None)] * 4 + [NotFound, NotYours]
        assert isinstance((await at_once(named))[0], NotFound)
        assert len(written) == 2
        told = await acme.rows(t.events, kind="person.deleted")
        assert {(row.target_id, row.correlation_id) for row in told} == {(n, f"delete {n}") for n in made}


async def test_where_seats_run_out_the_others_are_refused(database_url: str) -> None:
    async with house(database_url, seats_=3, seats_on_scim="reject") as acme:
        made = await at_once(*(create(acme, f"p{n}") for n in range(5)))
        assert Counter(map(type, made)) == {StoredUser: 3, SeatLimitReached: 2}
        (pool,) = await acme.rows(t.seat_pools)
        assert pool.used == 3
        assert len(await acme.rows(t.assertions)) == 3


async def test_calls_about_one_group_are_one_transaction_and_each_has_a_version(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        made = [await acme.create(f"p{n}") for n in range(4)]
        room = await acme.group("G", made[3].person_id)
        written = counting(acme, monkeypatch)
        shown = await at_once(
            members(acme, room, add=(made[0].person_id,)),
            members(acme, room, add=(made[1].person_id,)),
            members(acme, room, remove=("somebody unknown",)),
            members(acme, room, add=("x-p2",), remove=(made[3].person_id,)),
        )
        assert len(written) == 1
        assert [each.version for each in shown] == [2, 3, 3, 4]
        assert {row.person_id for row in await acme.rows(t.group_members)} == {
            each.person_id for each in made[:3]
        }
        changed = await acme.rows(t.events, kind="group.members_changed")
        assert [row.target_id for row in changed] == [room] * 3
        # One person by two names is the same member: each call is run alone, in either order.
        out, into = await at_once(
            members(acme, room, remove=("x-p0",)), members(acme, room, add=(made[0].person_id,))
        )
        assert (out.version, into.version) in ((5, 6), (5, 4))
        there = await acme.rows(t.group_members, person_id=made[0].person_id)
        assert bool(there) == (into.version == 6)


async def test_whoever_names_a_version_of_a_group_is_not_overtaken(database_url: str) -> None:
    async with house(database_url) as acme:
        made = [await acme.create(f"p{n}") for n in range(3)]
        room = await acme.group("G", *(each.person_id for each in made))
        gone = GroupChange(remove=(made[1].person_id,))
        first, second = await at_once(
            members(acme, room, remove=(made[0].person_id,)),
            scim_groups.change_group(acme.door, call(acme, "x"), room, gone, if_match=lambda has: has == 1),
        )
        assert isinstance(second, VersionMismatch) or (second.version, first.version) == (2, 3)
        if isinstance(second, VersionMismatch):
            assert first.version == 2


async def test_an_unknown_outcome_is_told_to_all_and_nothing_is_done_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        tried: list[None] = []

        async def lost(body: Any, **more: Any) -> Any:
            tried.append(None)
            raise DatabaseUnavailable(why="Whether it was written is not known.")

        monkeypatch.setattr(acme.door.db, "write", lost)
        told = await at_once(*(create(acme, f"p{n}") for n in range(3)))
        assert [type(each) for each in told] == [DatabaseUnavailable] * 3
        assert len(tried) == 1


async def test_whoever_waits_behind_a_call_that_was_locked_out_is_told_so_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scimd.db"
    async with house(f"sqlite:///{file}", tuning=replace(PATIENT, busy_timeout_s=3)) as acme:
        await create(acme, "a")
        written = counting(acme, monkeypatch)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.ensure_future(create(acme, "b"))
            await eventually(lambda: bool(written))
            told = await at_once(first, create(acme, "c"), create(acme, "d"))
            other.execute("ROLLBACK")
        assert [type(each) for each in told] == [Overloaded] * 3
        assert len(written) == 1
        assert isinstance(await create(acme, "c"), StoredUser)


async def test_calls_of_two_tokens_do_not_mix(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(database_url) as acme:
        written = counting(acme, monkeypatch)
        other = replace(acme.as_scim(), actor=replace(acme.as_scim().actor, id="t2", name="Other"))
        await at_once(create(acme, "a"), people.create_user(acme.door, other, user("b")), create(acme, "c"))
        assert len(written) == 2
        assert acme.door.lines == {}


# ------------------------------------------------------------------------------ as if each came alone


class Pusher:
    """Makes rounds of calls about different people and groups, by the names of these."""

    def __init__(self, acme: House) -> None:
        self.acme = acme
        self.ids: dict[str, str] = {}

    async def round(self, calls: list[tuple[str, str, str]], *, together: bool) -> list[str]:
        works = [self._one(*each) for each in calls]
        said = await at_once(*works) if together else [(await at_once(work))[0] for work in works]
        for (verb, name, _), outcome in zip(calls, said, strict=True):
            if verb == "create" and isinstance(outcome, StoredUser):
                self.ids[name] = outcome.person_id
            if isinstance(outcome, Exception) and not isinstance(outcome, Refusal):
                raise outcome
        return [type(each).__name__ for each in said]

    def _one(self, verb: str, name: str, other: str) -> Awaitable[Any]:
        nobody = "00000000-0000-7000-8000-000000000000"
        match verb:
            case "create":
                return create(self.acme, name, mail=f"{other}@acme.example")
            case "title":
                return change(self.acme, self.ids.get(name, nobody), title=other)
            case "delete":
                person_id = PersonId(self.ids.get(name, nobody))
                return people.delete_user(self.acme.door, call(self.acme, f"delete {person_id}"), person_id)
            case "active":
                return change(self.acme, self.ids.get(name, nobody), active=other < "m")
            case "name":
                return change(self.acme, self.ids.get(name, nobody), displayName=other)
            case "mail":
                emails = [{"value": f"{other}@acme.example", "primary": True}]
                return change(self.acme, self.ids.get(name, nobody), emails=emails)
            case "rename":
                return change(self.acme, self.ids.get(name, nobody), userName=f"{other}@acme.example")
            case "add":
                return members(self.acme, self.ids[name], add=(self.ids.get(other, f"x-{other}"),))
            case _:
                return members(self.acme, self.ids[name], remove=(self.ids.get(other, f"x-{other}"),))

    async def state(self) -> Any:
        """All that the calls left, by names in place of ids."""
        acme = self.acme
        names = {value: key for key, value in self.ids.items()} | {acme.scim: "told"}
        shown = {
            row.local_user_name: (
                row.status, tuple(row.causes), row.has_seat, row.sign_in_key, row.display_name, row.rest
            )
            for row in await acme.rows(t.people)
        }  # fmt: skip
        documents = {
            names[row.person_id]: (bytes(row.document), row.version) for row in await acme.rows(t.assertions)
        }
        held = Counter(
            (names[row.person_id], row.kind, row.dormant, row.until is None)
            for row in await acme.rows(t.grants)
        )
        told = Counter(
            (row.kind, names.get(row.target_id, row.target_kind), self._named(row.correlation_id, names))
            for row in await acme.rows(t.events)
            if row.target_kind in ("person", "group", "invitation")
        )
        in_groups = {(names[row.group_id], names.get(row.member_key, row.member_key))
                     for row in await acme.rows(t.group_members)}  # fmt: skip
        versions = {row.display_name: row.version for row in await acme.rows(t.groups)}
        pools = [row.used for row in await acme.rows(t.seat_pools)]
        counts = [row.user_count for row in await acme.rows(t.sources, id=SourceId(acme.scim))]
        return shown, documents, held, told, in_groups, versions, pools, counts

    @staticmethod
    def _named(correlation_id: str, names: dict[str, str]) -> str:
        verb, _, about = correlation_id.partition(" ")
        return f"{verb} {names.get(about, about)}"


def rounds(seed: int) -> list[list[tuple[str, str, str]]]:
    """Within a round no two calls are about the same name, so that their order does not matter."""
    chance = random.Random(seed)
    found = [[("create", f"p{n}", f"p{n}") for n in range(6)]]
    for turn in range(6):
        some = chance.sample(range(12), 8)
        calls = []
        for place, n in enumerate(some):
            name = f"p{n}"
            verb = chance.choice(
                ("create", "title", "name", "active", "delete", "mail", "rename", "add", "add", "remove")
            )
            if verb in ("add", "remove"):
                calls.append((verb, f"G{place % 4}", name))
            elif verb in ("mail", "name", "rename"):
                calls.append((verb, name, f"{chance.choice('az')}{turn}{n}"))
            else:
                calls.append((verb, name, name if verb == "create" else chance.choice("az")))
        found.append(calls)
    return found


@pytest.mark.parametrize("groups", ["project", "none"])
@pytest.mark.parametrize("seed", range(2))
async def test_together_leaves_what_one_after_the_other_leaves(
    database_url: str, tmp_path: Any, seed: int, groups: str
) -> None:
    states, said = [], []
    for together in (True, False):
        url = database_url if together else f"sqlite:///{tmp_path}/alone.db"
        async with house(url, seats_=7) as acme:
            acme.scim = await acme.source("told", config={"groups": {"default": groups}})
            pusher = Pusher(acme)
            for n in range(4):
                pusher.ids[f"G{n}"] = await acme.group(f"G{n}")
            said.append([await pusher.round(calls, together=together) for calls in rounds(seed)])
            states.append(await pusher.state())
    assert said[0] == said[1]
    for one, other in zip(*states, strict=True):
        assert one == other
