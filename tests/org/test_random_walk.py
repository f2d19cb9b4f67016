"""Whatever happens, what is stored is what follows from the facts (V16), and nobody is overbooked (V1)."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from scimd.core.errors import (
    InvalidValue,
    NotFound,
    NotUnique,
    OwnedBySource,
    PoolLimitReached,
    Protected,
    SeatLimitReached,
)
from scimd.core.people import GroupId, LicenceId, PersonId, ProjectId, SourceId
from scimd.core.resource import meta_part
from scimd.db.tables import (
    assertions,
    gates,
    group_members,
    groups,
    licences,
    people,
    pools,
    projects,
    seat_pools,
    slots,
    sources,
    unsettled,
    waiting,
)
from scimd.org.grants import assignments, catalogue_reads, manual_grants, named, project_upkeep
from scimd.org.groups import groups as door_groups
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import rule_changes
from scimd.org.tx import DoorSettings
from scimd.org.users import admin_reads
from scimd.org.windows import Window
from tests.org.house import House, group, house, user

NAMES = [f"p{n}" for n in range(14)]
#: By rules that are made and changed.
GIVEN: list[dict[str, Any]] = [
    {"pattern": "eng*", "project": "Engine"},
    {"pattern": "*ops", "project": "{name}", "project_role": "owner"},
    {"pattern": "*", "licence": "Pro"},
    {"scim_role": "lead", "team": "Ops", "licence": "Pro"},
    {"scim_role": "LEAD", "team": "Ops", "licence": "Pro"},
    {"scim_role": "ops", "project": "Engine", "role": "manager"},
]


class Walk:
    """Pushes of two sources, groups in groups, hands and time, in an order that the seed decides."""

    def __init__(self, acme: House, seed: int) -> None:
        self.acme = acme
        self.chance = random.Random(seed)
        self.sources: list[SourceId] = []
        self.groups: dict[SourceId, list[GroupId]] = {}

    async def begin(self) -> None:
        rules = [
            {"number": 1, "pattern": "eng*", "project": "Engine", "role": "auditor"},
            {"number": 2, "pattern": "*ops", "team": "Ops", "licence": "Pro"},
        ]
        ctx = self.acme.as_admin()
        await project_upkeep.create(self.acme.door, ctx, "Engine", 3)
        await named.create(self.acme.door, ctx, "licence", "Pro", 2)
        config = {"rule": rules, "join": ["mail"]}
        hr = await self.acme.source("hr", kind="connector", connector="ldap", config=config)
        self.sources = [self.acme.scim, hr]
        self.groups = {source: [] for source in self.sources}

    async def step(self) -> None:
        acts = [
            self.push, self.push, self.push, self.drop, self.make_group, self.change_members,
            self.change_members, self.replace_members, self.drop_group, self.gate, self.hand, self.time,
            self.nest, self.settle, self.give, self.limit, self.rule, self.rule,
        ]  # fmt: skip
        # Refused whole: nothing may have changed, which the check finds.
        with suppress(
            NotFound, NotUnique, SeatLimitReached, PoolLimitReached, Protected, OwnedBySource, InvalidValue
        ):
            await self.chance.choice(acts)()

    def ctx(self, source: SourceId) -> Any:
        return self.acme.as_scim() if source == self.acme.scim else self.acme.as_sync(source)

    def source(self) -> SourceId:
        return self.chance.choice(self.sources)

    async def push(self) -> None:
        source = self.source()
        many = []
        for name in self.chance.sample(NAMES, self.chance.randint(1, 4)):
            mail = f"{self.chance.choice(NAMES)}@acme.example" if self.chance.random() < 0.3 else None
            # Names move between entries: the external id stays, the userName may be another's.
            shown = self.chance.choice(NAMES) if self.chance.random() < 0.2 else name
            values = [{"value": self.chance.choice(["Lead", "Ops"])}] if self.chance.random() < 0.3 else []
            wish = user(
                shown, external_id=f"x-{name}", mail=mail, active=self.chance.random() < 0.8, roles=values
            )
            many.append(replace(wish, place=name))
        await self.acme.push(*many, ctx=self.ctx(source))

    async def someone(self, source: SourceId) -> list[str]:
        rows = await self.acme.rows(assertions, source_id=source)
        return self.chance.sample([row.person_id for row in rows], min(len(rows), 2))

    async def drop(self) -> None:
        source = self.source()
        deleted = self.chance.random() < 0.5
        await self.acme.drop(*await self.someone(source), ctx=self.ctx(source), deleted=deleted)

    async def make_group(self) -> None:
        source = self.source()
        name = self.chance.choice(["eng", "eng-ops", "ops", "sales", "General"])
        members = [f"x-{each}" for each in self.chance.sample(NAMES, 3)]
        wish = group(name, *members, external_id=f"g-{name}-{self.chance.randint(0, 2)}")
        (made,) = await self.acme.push_groups(wish, ctx=self.ctx(source))
        if made.group_id and made.outcome == "created":
            self.groups[source].append(made.group_id)

    def some_group(self, source: SourceId) -> GroupId:
        if not self.groups[source]:
            raise NotFound("group")
        return self.chance.choice(self.groups[source])

    async def change_members(self) -> None:
        source = self.source()
        add = [f"x-{each}" for each in self.chance.sample(NAMES, 2)]
        remove = await self.someone(source)
        await self.acme.members(self.some_group(source), add, remove, self.ctx(source))

    async def replace_members(self) -> None:
        source = self.source()
        keys = [*await self.someone(source), "x-unknown", *(f"x-{n}" for n in self.chance.sample(NAMES, 3))]
        target = self.some_group(source)
        await self.acme.run(
            lambda tx: door_groups.change_members(tx, target, (), (), replace=keys), self.ctx(source)
        )

    async def nest(self) -> None:
        source = self.source()
        await self.acme.members(
            self.some_group(source), [self.some_group(source)], [self.some_group(source)], self.ctx(source)
        )

    async def drop_group(self) -> None:
        source = self.source()
        target = self.some_group(source)
        if self.chance.random() < 0.4:
            self.groups[source].remove(target)
            await self.acme.run(lambda tx: door_groups.drop_groups(tx, [target]), self.ctx(source))

    async def gate(self) -> None:
        """An admin deactivates somebody, or lifts it."""
        rows = [row for row in await self.acme.rows(people) if row.deleted_at is None]
        if not rows:
            return
        person_id = self.chance.choice(rows).id
        lift = self.chance.random() < 0.5

        def body(tx: Any) -> None:
            of_person = (gates.c.org_id == tx.org_id) & (gates.c.person_id == person_id)
            tx.conn.execute(gates.delete().where(of_person))
            if not lift:
                tx.conn.execute(
                    gates.insert().values(
                        org_id=tx.org_id,
                        person_id=person_id,
                        kind="deactivated",
                        source_id="",
                        by="a",
                        at=tx.now,
                    )
                )
            tx.touch([person_id])

        await self.acme.run(body, self.acme.as_admin())

    async def hand(self) -> None:
        rows = [row for row in await self.acme.rows(people) if row.deleted_at is None]
        if rows:
            person_id = self.chance.choice(rows).id
            role = self.chance.choice(["account-admin", "manager"])
            await self.acme.run(
                lambda tx: manual_grants.give(tx, person_id, "role", role, "a"), self.acme.as_admin()
            )

    async def give(self) -> None:
        """An admin gives what is limited, and is told when there is none."""
        rows = [row for row in await self.acme.rows(people) if row.deleted_at is None]
        (licence,) = await self.acme.rows(licences)
        if rows:
            person_id = PersonId(self.chance.choice(rows).id)
            change = self.chance.choice([assignments.give_licence, assignments.take_licence])
            await change(self.acme.door, self.acme.as_admin(), person_id, LicenceId(licence.id))

    async def rule(self) -> None:
        """An admin changes what groups and values of the first source give."""
        number, given = self.chance.randint(1, 3), self.chance.choice(GIVEN)
        edits = [rule_changes.add({"number": number, **given}), rule_changes.change(number, given)]
        edit = self.chance.choice([*edits, rule_changes.remove(number)])
        await rule_changes.apply(self.acme.door, self.acme.as_admin(), "okta", edit, sure=True)

    async def limit(self) -> None:
        (engine,) = [row for row in await self.acme.rows(projects) if row.name == "Engine"]
        most = self.chance.choice([0, 2, 4, None])
        change = project_upkeep.change
        await change(self.acme.door, self.acme.as_admin(), ProjectId(engine.id), limit=most)

    async def time(self) -> None:
        self.acme.clock.forward(days=self.chance.choice([0.01, 1, 20]))

    async def settle(self) -> None:
        await settle_marked(self.acme.door, self.acme.org_id, budget_s=5)


async def holds(acme: House, *, limit: int | None) -> None:
    assert [str(each) for each in await admin_reads.check_standing(acme.door, acme.org_id)] == []
    (pool,) = await acme.rows(seat_pools)
    assert limit is None or pool.used <= limit
    everybody = {row.id: row for row in await acme.rows(people)}
    waits = {row.person_id for row in await acme.rows(waiting)}
    marked = {row.person_id for row in await acme.rows(unsettled)}
    wants = {i for i, row in everybody.items() if row.wants_seat and not row.has_seat}
    assert waits - marked == wants - marked
    if not marked:
        assert limit is None or pool.used == limit or not waits, "seats are free, and people wait"
    for row in await acme.rows(pools):
        queue = [each for each in await acme.rows(slots, target=row.target) if not each.held]
        assert marked or row.used >= row.pool_limit or not queue, "one is free, and people wait for it"
    for row in await acme.rows(sources):
        live = [a for a in await acme.rows(assertions, source_id=row.id) if a.state == "live"]
        assert row.user_count == len(live)
        live_groups = [g for g in await acme.rows(groups, source_id=row.id) if g.state == "live"]
        assert row.group_count == len(live_groups)
    live_people = [row for row in everybody.values() if row.deleted_at is None]
    keys = [row.sign_in_key for row in live_people if row.sign_in_key]
    assert len(keys) == len(set(keys))
    groups_of: dict[str, set[str]] = {}
    for row in await acme.rows(group_members):
        if row.person_id is not None:
            groups_of.setdefault(row.person_id, set()).add(row.group_id)
    for row in await acme.rows(assertions):
        # What pages show behind a document without looking anywhere else.
        if row.state == "live" and row.person_id not in marked:
            assert set(filter(None, (row.in_groups or "").split(","))) == groups_of.get(row.person_id, set())
            assert row.person_rest == everybody[row.person_id].rest
        if row.state == "live":
            assert row.meta == meta_part(row.person_id, row.created_at, row.changed_at, row.version)
    for row in await acme.rows(group_members):
        assert (row.person_id or row.child_id or row.member_key) == row.member_key


async def counts_are_the_same_in_lists(acme: House) -> None:
    """How many have a project, a team or a licence: where all are listed, and where one is looked at."""
    door, org_id, whole = acme.door, acme.org_id, Window(100)
    for project in (await catalogue_reads.list_projects(door, org_id, whole)).rows:
        assert project == await catalogue_reads.get_project(door, org_id, project.id)
    kinds: tuple[Literal["team", "licence"], ...] = ("team", "licence")
    for kind in kinds:
        for thing in (await catalogue_reads.list_things(door, org_id, kind, whole)).rows:
            assert thing == await catalogue_reads.get_thing(door, org_id, kind, thing.id)


async def walk(url: str, seed: int, steps: int, **more: Any) -> None:
    async with house(url, **more) as acme:
        it = Walk(acme, seed)
        await it.begin()
        for _ in range(steps):
            await it.step()
            await holds(acme, limit=more.get("seats_"))
        await it.settle()
        assert await acme.rows(unsettled) == []
        await holds(acme, limit=more.get("seats_"))
        await counts_are_the_same_in_lists(acme)


async def test_stored_standing_is_the_recomputed_one_after_any_history(database_url: str) -> None:
    await walk(database_url, seed=1, steps=220, seats_=6)


async def test_settling_put_off_comes_to_the_same(database_url: str) -> None:
    await walk(database_url, seed=2, steps=120, seats_=6, settings=DoorSettings(settle_at_once=2))


async def test_without_a_limit_nobody_waits(database_url: str) -> None:
    await walk(database_url, seed=3, steps=80)
