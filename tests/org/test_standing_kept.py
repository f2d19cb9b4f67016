"""The short way through settling leaves behind what settling in full would."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest

from scimd.core.errors import NotUnique, Refusal
from scimd.core.people import GroupId, PersonId, ProjectId, RoleName, SourceId, keys_of
from scimd.core.resource import unpack
from scimd.db import tables as t
from scimd.org.grants import assignments, project_upkeep
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.settling import standing_kept
from scimd.org.settling.unsettled import settle_marked
from scimd.org.tx import DoorSettings, Tx
from scimd.org.users import admin_reads, gates
from tests.org.house import House, house, user

NAMES = ["ann", "bob", "cid", "dee"]
_LOOKED_AT = (t.people, t.grants, t.status_spans, t.invitations, t.deliveries, t.waiting, t.seat_pools)


async def _stored(acme: House) -> dict[str, list[Any]]:
    return {table.name: sorted(map(str, await acme.rows(table))) for table in _LOOKED_AT}


async def _settled_in_full(acme: House, person_id: str) -> None:
    """Settle somebody as if each of their documents had just been written."""
    rows = await acme.rows(t.assertions, person_id=person_id)

    def body(tx: Tx) -> None:
        for row in rows:
            tx.profiles[PersonId(person_id), SourceId(row.source_id)] = keys_of(unpack(row.document))
        tx.touch([PersonId(person_id)])

    await acme.run(body)


def _change(chance: random.Random) -> dict[str, Any]:
    name = chance.choice(NAMES)
    return chance.choice(
        [
            {"title": str(chance.random())},
            {"title": str(chance.random())},
            {"displayName": f"{name} {chance.random()}"},
            {"name": {"familyName": name}},
            {"active": chance.random() < 0.5},
            {"emails": [{"value": f"{name}@acme.example", "primary": True}]},
            {"emails": [{"value": f"{name.upper()}@acme.example", "primary": True}]},
            {"emails": [], "userName": f"{name}-{chance.random()}"},
            {"externalId": f"x-{chance.random()}"},
        ]
    )


@pytest.mark.parametrize("seed", range(4))
async def test_settling_in_full_changes_nothing_after_the_short_way(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, short = random.Random(seed), 0
    keeps = standing_kept.keeps

    def counting(*args: Any) -> bool:
        nonlocal short
        kept = keeps(*args)
        short += kept
        return kept

    monkeypatch.setattr(standing_kept, "keeps", counting)
    async with house(database_url, seats_=3) as acme:
        inviting = await acme.source("entra", invite="immediate", config={"join": ["mail"]})
        contexts = [acme.as_scim(), acme.as_scim(inviting)]
        met: list[tuple[Any, str]] = []
        for name in NAMES:
            for ctx in contexts if chance.random() < 0.5 else [chance.choice(contexts)]:
                (made,) = await acme.push(user(name), ctx=ctx)
                met += [(ctx, made.person_id)] if made.person_id else []
        for _ in range(40):
            ctx, person_id = chance.choice(met)
            with suppress(NotUnique):
                await acme.change(person_id, ctx, **_change(chance))
            before = await _stored(acme)
            await _settled_in_full(acme, person_id)
            assert await _stored(acme) == before
            acme.clock.forward(minutes=chance.choice([0, 1, 7]))
        assert await admin_reads.check_standing(acme.door, acme.org_id) == []
    assert short >= 5


@pytest.mark.parametrize("seed", range(2))
async def test_settling_in_full_changes_nothing_after_a_change_of_groups_that_give_nothing(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, short = random.Random(seed), 0
    regroup = standing_kept.regroup

    def counting(tx: Tx, moves: Any, given: Any) -> set[PersonId]:
        nonlocal short
        left = regroup(tx, moves, given)
        short += len(moves) - len(left)
        return left

    monkeypatch.setattr(standing_kept, "regroup", counting)
    async with house(database_url, seats_=3) as acme:
        config = {"groups": {"default": "none"}}
        acme.scim = await acme.source("entra", invite="immediate", config=config)
        ids = [(await acme.create(name, active=name != "dee")).person_id for name in NAMES]
        rooms = [await acme.group(f"G{n}") for n in range(3)]
        rooms.append(await acme.group("of groups", rooms[0]))
        giving = await acme.group("giving")
        await acme.execute(
            t.group_effects.insert().values(
                org_id=acme.org_id, group_id=giving, rule=1, kind="role", target="org_admin"
            )
        )
        before_all = [(await acme.person(each)).rest for each in ids]
        for _ in range(30):
            person_id, room = chance.choice(ids), chance.choice([*rooms, giving])
            change = chance.choice([GroupChange(add=(person_id,)), GroupChange(remove=(person_id,))])
            rest = (await acme.person(person_id)).rest
            known = (await acme.rows(t.groups, id=room))[0].version
            changed = await scim_groups.change_group(acme.door, acme.as_scim(), room, change)
            assert (await acme.person(person_id)).rest == rest + (changed.version - known)
            if changed.version == known:  # nobody came or went, and no mail is put off
                continue
            before = await _stored(acme)
            await _settled_in_full(acme, person_id)
            assert await _stored(acme) == before
            rows = await acme.rows(t.group_members, person_id=person_id)
            (asserted,) = await acme.rows(t.assertions, person_id=person_id)
            assert set(filter(None, (asserted.in_groups or "").split(","))) == {row.group_id for row in rows}
            assert asserted.person_rest == (await acme.person(person_id)).rest
            acme.clock.forward(minutes=chance.choice([0, 1, 7]))
        assert [(await acme.person(each)).rest for each in ids] > before_all
        (by_no_rule,) = await admin_reads.check_standing(acme.door, acme.org_id)
        assert by_no_rule.what == "what group giving gives by rules"
    assert short >= 5


# ------------------------------------------------------------------------------ groups that give


class Walk:
    """Members of groups come and go, and what they are given by others, in an order that the seed decides.

    Two houses that walk by one seed make the same calls. Of each, ``names`` has what its ids stand for.
    """

    def __init__(self, acme: House, seed: int) -> None:
        self.acme, self.chance = acme, random.Random(seed)
        self.names: dict[str, str] = {}
        self.people: list[PersonId] = []
        self.rooms: list[GroupId] = []
        self.hr = SourceId("")

    async def begin(self) -> None:
        acme = self.acme
        config = {"join": ["mail"], "groups": {"default": "project"}}
        acme.scim = await acme.source("entra", invite="immediate", config=config)
        self.hr = await acme.source("hr", invite="immediate", config=config)
        for n, name in enumerate(NAMES):
            # Of the last one the other source is the owner.
            ctx = acme.as_scim(self.hr if n == len(NAMES) - 1 else None)
            self.people.append(PersonId((await acme.create(name, ctx=ctx)).person_id))
        await acme.create(NAMES[-1])
        self.rooms = [await acme.group(f"G{n}") for n in range(4)]
        nothing, ruled, role = [await acme.group(name) for name in ("nothing", "ruled", "role")]
        nested = await acme.group("nested")
        await acme.group("above", nested)
        self.rooms += [nothing, ruled, role, nested]
        self.names = {row.id: row.name for row in await acme.rows(t.projects)}
        self.names |= {row.id: row.name for row in await acme.rows(t.sources)}
        self.names |= {row.id: row.local_user_name for row in await acme.rows(t.people)}
        self.names |= {row.id: row.display_name for row in await acme.rows(t.groups)}
        self.projects = {row.name: ProjectId(row.id) for row in await acme.rows(t.projects)}
        await acme.execute(
            t.group_effects.delete().where(t.group_effects.c.group_id.in_([nothing, ruled, role]))
        )
        for group_id, rule, kind, target, as_role in (
            (ruled, 1, "project", self.projects["G0"], "owner"),
            (ruled, 2, "project", self.projects["General"], "viewer"),
            (role, 1, "role", "org_admin", None),
        ):
            effect = {"rule": rule, "kind": kind, "target": target, "project_role": as_role}
            row = {"org_id": acme.org_id, "group_id": group_id, **effect}
            await acme.execute(t.group_effects.insert().values(row))

    async def step(self, n: int) -> None:
        acts = [self.members] * 30 + [self.settle] * 5
        acts += [self.active, self.hand, self.archive, self.gate, self.time]
        with suppress(Refusal):
            await self.chance.choice(acts)(f"call {n}")

    async def members(self, call: str) -> None:
        some = self.chance.sample(self.people, self.chance.choice([1, 1, 1, 1, 1, 2, 3]))
        room, leave = self.chance.choice(self.rooms), self.chance.random() < 0.4
        wish = GroupChange(remove=tuple(some)) if leave else GroupChange(add=tuple(some))
        ctx = replace(self.acme.as_scim(), correlation_id=call)
        await scim_groups.change_group(self.acme.door, ctx, room, wish)

    async def active(self, call: str) -> None:
        ctx = self.acme.as_scim(self.chance.choice([self.acme.scim, self.hr]))
        await self.acme.change(self.chance.choice(self.people), ctx, active=self.chance.random() < 0.7)

    async def hand(self, call: str) -> None:
        change = self.chance.choice([self._give, assignments.remove_project])
        project = self.projects[self.chance.choice(["General", "G0", "G1"])]
        await change(self.acme.door, self.acme.as_admin(), self.chance.choice(self.people), project)

    async def _give(self, door: Any, ctx: Any, person_id: PersonId, project: ProjectId) -> None:
        await assignments.set_project(door, ctx, person_id, project, RoleName(self.chance.choice(ROLES)))

    async def archive(self, call: str) -> None:
        change = self.chance.choice([project_upkeep.archive, project_upkeep.unarchive])
        await change(self.acme.door, self.acme.as_admin(), self.projects[self.chance.choice(["G1", "G2"])])

    async def gate(self, call: str) -> None:
        change = self.chance.choice([gates.deactivate, gates.reactivate, gates.reactivate])
        await change(self.acme.door, self.acme.as_admin(), self.chance.choice(self.people))

    async def time(self, call: str) -> None:
        self.acme.clock.forward(minutes=self.chance.choice([1, 7]))

    async def settle(self, call: str) -> None:
        await settle_marked(self.acme.door, self.acme.org_id, budget_s=5)

    async def left(self) -> dict[str, Any]:
        """All that the calls left, by names in place of ids."""
        acme = self.acme
        people, grants = await acme.rows(t.people), await acme.rows(t.grants)
        # Generations go on by chance; their order is the same everywhere.
        order = sorted({row.rules_version for row in (*people, *grants)})
        rows = {
            "people": [
                [row.id, row.status, row.causes, row.roles, row.has_seat, row.rest,
                 order.index(row.rules_version), row.changed_at, orjson.loads(row.extension)]
                for row in people
            ],
            "assertions": [
                [row.person_id, row.source_id, row.person_rest, (row.in_groups or "").split(",")]
                for row in await acme.rows(t.assertions)
            ],
            "grants": [
                [
                    order.index(each) if name == "rules_version" else each
                    for name, each in row._mapping.items()
                    if name != "id"
                ]
                for row in grants
            ],
            "spans": [
                [row.person_id, row.status, row.since, row.until] for row in await acme.rows(t.status_spans)
            ],
            "mails": [[row.person_id, row.state, row.due_at] for row in await acme.rows(t.deliveries)],
            "marks": [row.person_id for row in await acme.rows(t.unsettled)],
        }  # fmt: skip
        rows["events"] = [
            [row.kind, row.target_id, row.actor_name, row.correlation_id, row.at, row.body]
            for row in await acme.rows(t.events)
            if row.target_kind in ("person", "group")
        ]
        names = {**self.names, acme.org_id: "acme"}
        return {name: sorted((_named(each, names) for each in many), key=str) for name, many in rows.items()}


ROLES = ["viewer", "owner"]


def _named(value: Any, names: dict[str, str]) -> Any:
    """Ids by their names, and lists of one kind in the order of these."""
    if isinstance(value, dict):
        return {name: _named(each, names) for name, each in sorted(value.items())}
    if isinstance(value, list):
        found = [_named(each, names) for each in value]
        return sorted(found, key=str) if len({type(each) for each in found}) == 1 else found
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.usefixtures("by_ones")
@pytest.mark.parametrize("seed", range(3))
async def test_members_of_groups_that_give_projects_are_as_if_settled_in_full(
    database_url: str, tmp_path: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gifts, regroup, lasting = standing_kept.gifts, standing_kept.regroup, {"way": "short"}
    short = Counter[str]()

    def counting(tx: Tx, moves: Any, given: Any) -> set[PersonId]:
        told = len(tx.events)
        left = regroup(tx, moves, given)
        kept = [move for each, move in moves.items() if each not in left and given[move.group_id]]
        short.update("came" if move.came else "left" for move in kept)
        short.update(
            f"{event.kind} {values['origin']}"
            for event in tx.events[told:]
            if (values := event.after or event.before)
        )
        return left

    monkeypatch.setattr(standing_kept, "regroup", counting)
    monkeypatch.setattr(
        standing_kept, "gifts", lambda tx, ids: gifts(tx, ids) if lasting["way"] == "short" else {}
    )
    settings = DoorSettings(settle_at_once=2)
    async with (
        house(database_url, settings=settings) as one,
        house(f"sqlite:///{tmp_path}/full.db", settings=settings) as other,
    ):
        walks = Walk(one, seed), Walk(other, seed)
        for walk in walks:
            await walk.begin()
        for n in range(80):
            lasting["way"] = "short"
            await walks[0].step(n)
            lasting["way"] = "full"
            await walks[1].step(n)
            left = [await walk.left() for walk in walks]
            assert left[0] == left[1]
        await walks[0].settle("")
        by_no_rule = await admin_reads.check_standing(one.door, one.org_id)
        assert {each.what for each in by_no_rule} == {
            f"what group {name} gives by rules" for name in ("ruled", "role")
        }
    assert short["came"] >= 5
    assert short["left"] >= 3
