"""Who is in which group, however groups are nested: what filters find is what users show, in circles too."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from scimd.core.attributes import USER
from scimd.core.people import OrgId, SourceId, fold
from scimd.db import tables
from scimd.org.groups.group_nesting import NestedIds, nested_ids
from scimd.scim.filters import MAX_LOOKS, Evaluator, parse
from tests.scim.population import SOURCE, add_group, add_person, filled, moment_of
from tests.scim.serving import Client, installed
from tests.support.patience import promptly

#: Ten groups from a person upward, the one in which they are directly among them.
_STEPS = 9


def _inside(children: Mapping[str, Collection[str]], group: str) -> set[str]:
    """The group and all that are in it, so deep as counts: step by step, as the rule is said."""
    found, last = {group}, {group}
    for _ in range(_STEPS):
        last = {child for each in last for child in children.get(each, ())} - found
        found |= last
    return found


def _digraph(seed: int, size: int) -> dict[int, set[int]]:
    """Which of so many groups are in which: a few or most, often in circles, now and then in a long chain."""
    chance = random.Random(seed)
    share = chance.choice([0, 0.05, 0.15, 0.5, 1])
    inside = {n: {m for m in range(size) if m != n and chance.random() < share} for n in range(size)}
    if share < 0.1:
        for n in range(size - 1):
            inside[n].add(n + 1)
    if chance.random() < 0.5:
        inside[chance.randrange(size)].add(chance.randrange(size))  # itself, maybe
    return inside


# ------------------------------------------------------------------------------ the groups alone


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with filled(database_url, lambda conn: tables.metadata.create_all(conn)) as conn:
        yield conn


@pytest.mark.parametrize("seed", range(20))
def test_what_is_in_groups_is_what_a_walk_comes_to(conn: Connection, seed: int) -> None:
    """Groups that are gone pass nothing on, those of another source are not told."""
    chance = random.Random(seed)
    org, size = f"org-{seed}", 14
    names = [f"e{n}" for n in range(size)]
    children = {names[n]: {names[m] for m in inner} for n, inner in _digraph(seed, size).items()}
    people = {f"u{n}": set(chance.sample(names, chance.randint(0, 3))) for n in range(8)}
    for name in names:
        add_group(conn, org, name, {"displayName": name})
    at = {"org_id": org, "source_id": SOURCE, "since": moment_of("p0")}
    rows = [
        {**at, "group_id": name, "member_key": each, "child_id": each, "person_id": None}
        for name, inner in children.items()
        for each in inner
    ]
    for person, groups_of in people.items():
        add_person(conn, org, person, {"userName": person})
        rows += [
            {**at, "group_id": each, "member_key": person, "child_id": None, "person_id": person}
            for each in groups_of
        ]
    conn.execute(insert(tables.group_members), rows)
    column = tables.groups.c
    gone, foreign = chance.sample(names, 2)
    conn.execute(update(tables.groups).where(column.org_id == org, column.id == gone).values(state="gone"))
    conn.execute(
        update(tables.groups).where(column.org_id == org, column.id == foreign).values(source_id="x")
    )
    left = {name: children[name] - {gone, foreign} for name in names if name not in (gone, foreign)}
    for some in [{name} for name in left] + [set(chance.sample(sorted(left), 3)) for _ in range(5)]:
        top = select(column.id).where(column.org_id == org, column.id.in_(some))
        asked = (NestedIds("groups", top, people=False), NestedIds("people", top, people=True))
        found = nested_ids(conn, OrgId(org), SourceId(SOURCE), asked)
        inside = {name: _inside(left, name) for name in some}
        assert set(found["groups"]) >= set().union(*inside.values()) - some
        assert set(found["groups"]) <= set().union(*inside.values())
        assert set(found["people"]) == {
            person
            for person, groups_of in people.items()
            if any(name not in groups_of and inside[name] & groups_of for name in some)
        }


# ------------------------------------------------------------------------------ with people, at the door

_SIZE, _PEOPLE = 12, 10
FILTERS = [
    "groups pr",
    "not (groups pr)",
    'groups.type eq "direct"',
    'groups.type eq "indirect"',
    'groups.type ne "indirect"',
    'not (groups.type co "in")',
    'groups.type co "direct"',
    'groups.display eq "even-4"',
    'groups.display ne "even-4"',
    'groups.display co "odd"',
    'not (groups.display co "odd")',
    'groups.display sw "even" and groups.display co "7"',
    'groups[type eq "indirect" and display co "even"]',
    'groups[type eq "indirect" and display co "odd"] and groups[type eq "direct" and display co "odd"]',
    'not (groups[type eq "indirect" and display co "odd"])',
    'groups[not (type eq "direct") and not (display co "1")]',
    'groups[type eq "direct" or display eq "even-2"]',
    'groups[type ne "indirect" and display co "1"] or groups.display eq "even-0"',
    " or ".join(f'groups[type eq "indirect" and display ew "{n}"]' for n in (3, 5)),
    " and ".join(f'groups.display co "{each}"' for each in ("e", "n", "d", "-")),
]


async def _filled(client: Client, seed: int) -> tuple[dict[str, set[str]], dict[str, set[str]], list[str]]:
    """Groups in groups, and people in groups, by id."""
    chance = random.Random(seed)
    people = [(await client.user(f"u{n}"))["id"] for n in range(_PEOPLE)]
    ids = [(await client.group(f"{'odd' if n % 2 else 'even'}-{n}"))["id"] for n in range(_SIZE)]
    children = {ids[n]: {ids[m] for m in inner} for n, inner in _digraph(seed, _SIZE).items()}
    inside: dict[str, set[str]] = defaultdict(set)
    for each in people[1:]:
        for group in chance.sample(ids, chance.choice([1, 1, 2, _SIZE - 1])):
            inside[group].add(each)
    inside[ids[-1]].add(people[1])
    for group in ids:
        members = [{"value": each} for each in sorted(children[group] | inside[group])]
        reply = await client.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": members})
        assert reply.status < 300, reply.raw
    return children, inside, ids


async def _everybody(client: Client, **more: str) -> list[dict[str, Any]]:
    reply = await client.get("/Users", params={"attributes": "groups", "count": "100", **more})
    assert reply.status == 200, reply.raw
    return list(reply.json["Resources"])


async def _agree(
    client: Client, children: Mapping[str, set[str]], inside: Mapping[str, set[str]], living: set[str]
) -> None:
    users = {each["id"]: each for each in await _everybody(client)}
    below = {group: _inside({each: children[each] & living for each in living}, group) for group in living}
    for person, resource in users.items():
        direct = {group for group in living if person in inside[group]}
        others = {group for group in living - direct if below[group] & direct}
        wanted = dict.fromkeys(direct, "direct") | dict.fromkeys(others, "indirect")
        assert {each["value"]: each["type"] for each in resource.get("groups", ())} == wanted
    for text in [*FILTERS, *(f'groups.value eq "{group}"' for group in sorted(living)[:3])]:
        wanted_ids = {key for key, each in users.items() if Evaluator(USER, each).visit(parse(text))}
        assert {each["id"] for each in await _everybody(client, filter=text)} == wanted_ids, text
    shown = [each.get("groups") for each in await _everybody(client, sortBy="groups.display")]
    names = [fold(each[0]["display"]) for each in shown if each]
    assert names == sorted(names)
    assert all(shown[: len(names)])


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 6, 12])
async def test_filters_find_who_shows_such_groups(database_url: str, seed: int) -> None:
    async with installed(database_url) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        children, inside, ids = await _filled(client, seed)
        living = set(ids)
        await _agree(client, children, inside, living)
        gone = ids[_SIZE // 2]
        assert (await client.delete(f"/Groups/{gone}")).status == 204
        await _agree(client, children, inside, living - {gone})


_MANY, _FEW = 60, 30


async def test_groups_that_are_all_in_each_other_are_answered_promptly(database_url: str) -> None:
    """V19: with so many a filter by type took 4 s, and 15 on PostgreSQL."""
    async with installed(database_url) as scimd:
        client = await scimd.client(await scimd.organization("acme"))
        people = [(await client.user(f"u{n}"))["id"] for n in range(_FEW)]
        ids = [(await client.group(f"group x{n}"))["id"] for n in range(_MANY)]
        for n, group in enumerate(ids):
            members = [{"value": each} for each in (*ids[:n], *ids[n + 1 :], people[n % _FEW])]
            reply = await client.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": members})
            assert reply.status < 300, reply.raw
        for text in (
            'groups.type eq "indirect"',
            'groups[type eq "indirect" and display co "x"]',
            " or ".join(f'groups[type eq "indirect" and display co "x{n}"]' for n in range(MAX_LOOKS // 4)),
            " and ".join(['groups.display co "x"'] * (MAX_LOOKS // 2)),
            " and ".join(f'groups.value eq "{group}"' for group in ids[: MAX_LOOKS // 2]),
        ):
            found = await promptly(lambda text=text: _everybody(client, filter=text))  # type: ignore[misc]
            assert {each["id"] for each in found} == set(people), text
        assert await promptly(lambda: _everybody(client, filter='groups.type ne "indirect"')) == []
        everybody = await promptly(lambda: _everybody(client))
        assert [len(each["groups"]) for each in everybody] == [_MANY] * _FEW
