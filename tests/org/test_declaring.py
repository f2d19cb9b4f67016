"""What the file declares, where several replicas start at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd import config
from scimd.core.errors import NotAllowedNow
from scimd.db import tables as t
from scimd.org.declared import declared_organizations
from scimd.org.organizations import domains, organizations, settings
from scimd.org.sources import sources
from tests.org.acme import house
from tests.org.house import House
from tests.org.test_overtaking import POINTS, Point, overtaken, two

RULES = [
    {"number": 1, "pattern": "pay-*", "project": "Payroll", "team": "Payroll", "licence": "Payroll"},
    {"number": 2, "scim_role": "boss", "project": "Bosses", "team": "Bosses", "licence": "Bosses"},
]
JWT = {
    "issuer": "https://login.made.example",
    "audience": "scimd",
    "jwks_url": "https://login.made.example/keys",
    "subjects": ["provisioning"],
}


def _file(**more: Any) -> list[config.Organization]:
    values = {
        "name": "made",
        "domains": ["made.example"],
        "source": [{"name": "okta", "rule": RULES, "jwt": JWT}, {"name": "entra"}],
    }
    return [config.Organization.model_validate(values | more)]


async def _declared_by_both(
    acme: House, other: House, at: Point, file: list[config.Organization]
) -> set[str]:
    found = await overtaken(
        acme,
        at,
        lambda: declared_organizations.declare(acme.door, file),
        lambda: declared_organizations.declare(other.door, file),
    )
    (one,), (two,) = found
    assert one.org_id == two.org_id
    return {one.outcome, two.outcome}


@pytest.mark.parametrize("at", POINTS)
async def test_replicas_that_start_at_once_make_one_organization(database_url: str, at: Point) -> None:
    async with two(database_url) as (acme, other):
        assert await _declared_by_both(acme, other, at, _file()) == {"created", "unchanged"}
        made = await organizations.by_slug(acme.door, "made")
        acme = replace(acme, org_id=made.id)
        assert [row.name for row in await sources.list_sources(acme.door, made.id)] == ["okta", "entra"]
        assert len(await acme.rows(t.rules)) == len(RULES)
        assert len(await acme.rows(t.teams)) == 1
        kinds = [row.kind for row in await acme.rows(t.events)]
        assert kinds.count("organization.created") == 1
        assert kinds.count("source.created") == 2


@pytest.mark.parametrize("at", POINTS)
async def test_replicas_that_start_at_once_follow_a_changed_file_once(database_url: str, at: Point) -> None:
    async with two(database_url) as (acme, other):
        (made,) = await declared_organizations.declare(acme.door, _file(source=[{"name": "okta"}]))
        rule = {"number": 1, "group": "g-1", "role": "manager"}
        changed = _file(display_name="Made", source=[{"name": "okta", "rule": [rule]}])
        assert await _declared_by_both(acme, other, at, changed) == {"updated", "unchanged"}
        acme = replace(acme, org_id=made.org_id)
        assert [row.number for row in await acme.rows(t.rules)] == [1]
        kinds = [row.kind for row in await acme.rows(t.events)]
        assert kinds.count("organization.changed") == kinds.count("rules.changed") == 1


async def test_replicas_that_start_at_once_make_one_organization_of_operators(database_url: str) -> None:
    async with two(database_url) as (acme, other):
        first, second = await overtaken(
            acme,
            "settled",
            lambda: organizations.ensure_system(acme.door),
            lambda: organizations.ensure_system(other.door),
        )
        assert first.id == second.id


async def test_what_the_file_declares_is_not_changed_by_hand(database_url: str) -> None:
    async with house(database_url) as acme:
        (made,) = await declared_organizations.declare(acme.door, _file(seats=2, language="de"))
        ctx = replace(acme.ctx, org_id=made.org_id)
        for refused, its in (
            (organizations.set_seats(acme.door, ctx, 3), "seats"),
            (settings.change(acme.door, ctx, settings.Change(language="en")), "language"),
            (domains.remove(acme.door, ctx, "made.example"), "domain made.example"),
        ):
            with pytest.raises(NotAllowedNow, match=f"made has its {its} from the config file. Change that"):
                await refused
        await organizations.set_seats(acme.door, ctx, 2)
        await settings.change(acme.door, ctx, settings.Change(display_name="Free", active_label="In"))
        again = await declared_organizations.declare(acme.door, _file(language="de"))
        assert [each.outcome for each in again] == ["unchanged"]
        assert (await organizations.set_seats(acme.door, ctx, 3)).seats == 3
        await declared_organizations.release(acme.door, [])
        await settings.change(acme.door, ctx, settings.Change(language="en"))
        await domains.remove(acme.door, ctx, "made.example")
        assert (await organizations.by_slug(acme.door, "made")).declared == ()


async def test_a_source_comes_after_one_of_the_greatest_priority(database_url: str) -> None:
    async with house(database_url) as acme:
        greatest = {"name": "last", "priority": 2_000_000_000}
        for _ in range(2):
            await declared_organizations.declare(acme.door, _file(source=[greatest, {"name": "okta"}]))
        made = await organizations.by_slug(acme.door, "made")
        assert [row.name for row in await sources.list_sources(acme.door, made.id)] == ["last", "okta"]
