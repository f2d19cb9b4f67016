"""Groups change their names, come and go: afterwards everybody is where rules and directory say."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import Any

import pytest

from scimd.db.tables import decisions, grants, people, projects
from scimd.org.decisions import moot
from scimd.org.runs import plan_batches
from tests.sync.world import Person, Script, World, world

RULE: dict[str, Any] = {"number": 10, "pattern": "*"}
DEFAULT: dict[str, Any] = {}
NAMED: dict[str, Any] = {"rule": [RULE | {"project": "{name}"}]}
PREFIXED: dict[str, Any] = {"rule": [RULE | {"project": "App {name}"}]}
MIXED: dict[str, Any] = {
    "rule": [
        {"number": 1, "pattern": "A*", "project": "{name}"},
        {"number": 2, "pattern": "*n", "project": "App {name}"},
        {"number": 3, "group": "g1", "project": "Ann"},
    ]
}
#: Few, since each takes a second.
SEEDS = 2
NAMES = ("Ann", "Bob", "Alan", "Cy", "App Ann", "Ben")
LIMITS = {"groups_count": 99, "members_from": 99}


async def _given(acme: World) -> dict[str, set[str]]:
    """The names of the projects that each person has."""
    named = {row.id: row.name for row in await acme.rows(projects)}
    found = {row.id: (row.display_name, set[str]()) for row in await acme.rows(people)}
    for row in await acme.rows(grants):
        if row.kind == "project" and row.until is None:
            found[row.person_id][1].add(named[row.target])
    return dict(found.values())


def _said(script: Script, config: dict[str, Any]) -> dict[str, set[str]]:
    """The same, as the directory and the rules have it now, whatever was before."""
    found = {f"User {key[1:]}": set[str]() for key in script.people}
    for key, (name, members) in script.groups.items():
        ruled = [
            rule["project"]
            for rule in config.get("rule", ())
            if rule.get("group") == key or fnmatchcase(name, rule.get("pattern", ""))
        ]
        for each in members:
            found[f"User {each[1:]}"] |= {one.replace("{name}", name) for one in ruled or ["{name}"]}
    return {who: given or {"General"} for who, given in found.items()}


def _move(script: Script, chance: random.Random, *, doubles: bool) -> None:
    groups, keys = script.groups, sorted(script.groups)
    used = set() if doubles else {name for name, _ in groups.values()}
    free = [name for name in NAMES if name not in used]
    match chance.randrange(5):
        case 0 if free:  # a new one
            groups[f"g{chance.randrange(100)}"] = (
                chance.choice(free),
                [chance.choice(sorted(script.people))],
            )
        case 1 if len(keys) > 2:
            del groups[chance.choice(keys)]
        case 2 if len(keys) > 1:
            one, other = chance.sample(keys, 2)
            (first, these), (second, those) = groups[one], groups[other]
            groups[one], groups[other] = (second, these), (first, those)
        case 3 if free and keys:  # renamed, and another gets the old name
            key = chance.choice(keys)
            before, members = groups[key]
            groups[key] = (chance.choice(free), members)
            groups[f"g{chance.randrange(100, 200)}"] = (before, [chance.choice(sorted(script.people))])
        case _ if free and keys:
            key = chance.choice(keys)
            groups[key] = (chance.choice(free), groups[key][1])


@pytest.mark.parametrize(
    "config", [DEFAULT, NAMED, PREFIXED, MIXED], ids=["default", "named", "prefixed", "mixed"]
)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_after_any_renames_everybody_is_where_a_fresh_organization_puts_them(
    database_url: str, seed: int, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_batches, "BATCH", 2)
    chance = random.Random(seed)
    async with world(database_url, invite="never", limits=LIMITS, **config) as acme:
        script = acme.script
        for i in range(5):
            script.people[f"x{i}"] = Person(f"user{i}", None, {"displayName": f"User {i}"})
        script.groups |= {"g1": ("Ann", ["x0"]), "g2": ("Bob", ["x1", "x2"]), "g3": ("Cy", ["x3"])}
        for _ in range(10):
            assert (await acme.sync()).state == "done"
            await moot.close_due(acme.door, acme.org_id)
            assert await _given(acme) == _said(script, config)
            assert [row for row in await acme.rows(decisions) if row.state == "open"] == []
            for _ in range(chance.randrange(1, 4)):
                _move(script, chance, doubles=config in (NAMED, PREFIXED))
