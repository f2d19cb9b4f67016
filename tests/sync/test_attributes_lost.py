"""A column, or a right to read an attribute, that is lost for many takes nothing from anybody unasked."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.db.tables import assertions, grants, people
from tests.sync.world import MAPPING, Person, World, world

_RULES = [
    {"number": 1, "entitlement": "Gold", "project": "Vault", "licence": "Pro"},
    {"number": 2, "scim_role": "lead", "project": "Leads"},
]
_CONFIG: dict[str, Any] = {
    "invite": "never",
    "mapping": {
        "user": MAPPING
        | {
            "entitlements": "entry.?badge.orValue([]).map(v, {'value': v})",
            "roles": "entry.?rank.orValue([]).map(v, {'value': v})",
        }
    },
    "rule": _RULES,
}


async def _badged(acme: World, number: int, badge: str = "gold") -> None:
    acme.script.fill(number)
    for one in acme.script.people.values():
        one.more["badge"] = badge
    assert (await acme.sync()).state == "done"


async def _by_value(acme: World) -> int:
    rows = await acme.rows(grants)
    return len([row for row in rows if row.until is None and row.kind in ("project", "licence") and row.rule])


async def _addresses(acme: World) -> dict[str, str | None]:
    held = {row.id: row.sign_in_address for row in await acme.rows(people)}
    return {row.external_id: held[row.person_id] for row in await acme.rows(assertions)}


def _lose(acme: World, *names: str) -> None:
    for one in acme.script.people.values():
        for name in names:
            one.more.pop(name, None)


# ------------------------------------------------------------------------------ values that rules name


async def test_value_that_most_would_lose_is_held_as_a_groups_members_are(database_url: str) -> None:
    async with world(database_url, **_CONFIG) as acme:
        await _badged(acme, 30)
        given = await _by_value(acme)
        _lose(acme, "badge")
        acme.script.people["x0003"].more["displayName"] = "Gone With It"
        del acme.script.people["x0029"]
        held = await acme.sync()
        assert (held.state, held.counts["held"], held.counts["deactivated"]) == ("held", 29, 1)
        assert held.trips == (
            "nobody would have a value any more, of 1 value that rules name and somebody has",
            "the entitlement gold would lose 29 of 30 members; the limit is 50 %",
        )
        assert await _by_value(acme) == given == 60
        await acme.approve(held)
        assert await _by_value(acme) == 2
        assert (await acme.sync()).changes == 0


async def test_value_that_a_few_lose_is_lost(database_url: str) -> None:
    async with world(database_url, **_CONFIG) as acme:
        await _badged(acme, 30)
        for n in range(15):
            acme.script.people[f"x{n:04}"].more["badge"] = "silver"
        run = await acme.sync()
        assert (run.state, run.trips, run.counts["updated"]) == ("done", (), 15)
        acme.script.people["x0020"].more["active"] = False
        _lose(acme, "unread")
        assert (await acme.sync()).state == "done"


async def test_values_of_few_people_are_held_where_nobody_would_keep_any(database_url: str) -> None:
    async with world(database_url, **_CONFIG) as acme:
        acme.script.fill(12)
        for n in range(4):
            acme.script.people[f"x{n:04}"].more["badge"] = "gold"
            acme.script.people[f"x{n + 4:04}"].more["rank"] = "lead"
        await acme.sync()
        _lose(acme, "badge")
        assert (await acme.sync()).state == "done"
        _lose(acme, "rank")
        held = await acme.sync()
        assert held.trips == (
            "nobody would have a value any more, of 1 value that rules name and somebody has",
        )


async def test_value_that_no_rule_names_weighs_nothing(database_url: str) -> None:
    async with world(database_url, **_CONFIG) as acme:
        await _badged(acme, 30, "bronze")
        _lose(acme, "badge")
        run = await acme.sync()
        assert (run.state, run.counts["updated"]) == ("done", 30)


async def test_source_in_quarantine_takes_no_value(database_url: str) -> None:
    async with world(database_url, **_CONFIG) as acme:
        await _badged(acme, 30)
        given = await _by_value(acme)
        badged = {
            key: Person(one.user_name, one.mail, dict(one.more)) for key, one in acme.script.people.items()
        }
        _lose(acme, "badge")
        await acme.sync()
        acme.script.people = badged
        del badged["x0001"].more["badge"]
        run = await acme.sync()
        assert (run.state, run.counts["skipped"]) == ("partial", 1)
        assert await _by_value(acme) == given
        await acme.sync()
        assert await _by_value(acme) == given - 2


# ------------------------------------------------------------------------------ sign-in addresses


async def test_address_that_many_would_lose_is_held(database_url: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        before = await _addresses(acme)
        for one in acme.script.people.values():
            one.mail = None
        acme.script.people["x0005"].more["active"] = False
        held = await acme.sync()
        assert held.trips == (
            (
                "29 of 30 people would lose their sign-in address, or get one that was another's; "
                "the limit is 5 (5, or 10 %)"
            ),
        )
        assert (held.state, held.counts["held"], held.counts["deactivated"]) == ("held", 29, 1)
        assert {key: address for key, address in (await _addresses(acme)).items() if key != "x0005"} == {
            key: address for key, address in before.items() if key != "x0005"
        }
        await acme.approve(held)
        assert set((await _addresses(acme)).values()) == {None}


@pytest.mark.parametrize("shared", [False, True])
async def test_addresses_that_are_others_for_many_are_held(database_url: str, shared: bool) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        before = await _addresses(acme)
        mails = [one.mail for one in acme.script.people.values()]
        for one, mail in zip(acme.script.people.values(), ["new@acme.example", *mails], strict=False):
            one.mail = "info@acme.example" if shared else mail
        held = await acme.sync()
        assert (held.state, held.counts["held"]) == ("held", 30 if shared else 29)
        after = await _addresses(acme)
        assert [key for key in before if before[key] != after[key]] == ([] if shared else ["x0000"])


async def test_a_mailbox_that_many_share_moves_with_them(database_url: str) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        shift = list(acme.script.people.values())[:9]
        for one in shift:
            one.mail = "floor@acme.example"
        await acme.sync()
        for one in shift:
            one.mail = "floor@acme-two.example"
        run = await acme.sync()
        assert (run.state, run.trips, run.counts["updated"]) == ("done", (), 9)
        for one in acme.script.people.values():
            one.mail = "floor@acme-three.example"
        assert (await acme.sync()).counts["held"] == 30


@pytest.mark.parametrize("change", ["a new domain", "a few"])
async def test_addresses_that_nobody_had_and_a_few_that_change_hands_are_no_matter(
    database_url: str, change: str
) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        mails = [one.mail for one in acme.script.people.values()]
        wanted = dict(zip(acme.script.people, mails, strict=True))
        if change == "a few":
            wanted |= {
                "x0001": mails[2],
                "x0002": mails[1],
                "x0003": mails[4],
                "x0004": mails[3],
                "x0005": None,
            }
        else:
            wanted = {key: str(mail).replace("acme", "acme-two") for key, mail in wanted.items()}
        for key, mail in wanted.items():
            acme.script.people[key].mail = mail
        run = await acme.sync()
        assert (run.state, run.trips) == ("done", ())
        assert await _addresses(acme) == wanted
