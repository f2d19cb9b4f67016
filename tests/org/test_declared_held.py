"""What of the file the limits hold: alone, seen, and until somebody accepts it or the file is mended."""

from __future__ import annotations

from typing import Any

from scimd import config
from scimd.db import tables as t
from scimd.org import declared_organizations, notifications, organizations, sources
from scimd.org.unsettled import settle_marked
from scimd.sync.schedule import following
from tests.org.house import House, house


def _held(pattern: str, *others: dict[str, Any], **more: Any) -> list[config.Organization]:
    idp = {
        "name": "idp",
        "state": "active",
        "invite": "never",
        "groups": {"default": "none"},
        "rule": [{"number": 1, "pattern": pattern, "project": "Work"}],
    } | more.pop("of", {})
    values = {"name": "acme", "default_project": "none", "source": [idp, *others]}
    return [config.Organization.model_validate(values | more)]


async def _with_people(acme: House) -> list[str]:
    """Twelve, whom the group and its rule let in."""
    await declared_organizations.declare(acme.door, _held("All"))
    ctx = acme.as_scim((await sources.get_source(acme.door, acme.org_id, "idp")).id)
    people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(12)]
    await acme.group("All", *people, ctx=ctx)
    return people


async def _statuses(acme: House, people: list[str]) -> set[str]:
    await settle_marked(acme.door, acme.org_id, budget_s=5)
    return {(await acme.person(each)).status for each in people}


async def test_only_what_the_limits_hold_of_the_file_is_held_until_it_is_accepted(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        people = await _with_people(acme)
        told = [{"to": ["it@acme.example"], "about": ["held"]}]
        file = _held("Nobody", {"name": "entra"}, display_name="New", seats=77, notify=told)
        for _ in range(2):
            (done,) = await declared_organizations.declare(acme.door, file)
            assert (done.outcome, list(done.held)) == ("held", ["idp"])
            there = await organizations.by_slug(acme.door, "acme")
            assert (there.display_name, there.seats, there.held) == ("New", 77, done.held)
            await sources.get_source(acme.door, acme.org_id, "entra")
            assert await _statuses(acme, people) == {"active"}
            await notifications.notify_all(acme.door, following)
        (mail,) = await acme.rows(t.deliveries, template="notification")
        assert mail.params["held"] == "idp"

        assert await declared_organizations.over_limits(acme.door, acme.as_admin(), file[0])
        await declared_organizations.accept(acme.door, acme.as_admin(), file[0])
        assert (await organizations.by_slug(acme.door, "acme")).held == {}
        assert await _statuses(acme, people) == {"pending"}
        (again,) = await declared_organizations.declare(acme.door, file)
        assert again.outcome == "unchanged"


async def test_what_is_held_is_forgotten_when_the_file_says_what_counts_or_nothing(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        for back in (
            lambda: declared_organizations.declare(acme.door, _held("All")),
            lambda: declared_organizations.release(acme.door, []),
        ):
            await declared_organizations.declare(acme.door, _held("Nobody"))
            assert (await organizations.by_slug(acme.door, "acme")).held
            await back()
            assert not (await organizations.by_slug(acme.door, "acme")).held


async def test_sources_that_change_places_are_held_together(database_url: str) -> None:
    def file(first: int, pattern: str, *more: dict[str, Any]) -> list[config.Organization]:
        other = {"name": "other", "priority": 3 - first}
        return _held(pattern, other, *more, of={"priority": first})

    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        await declared_organizations.declare(acme.door, file(1, "All"))
        (done,) = await declared_organizations.declare(acme.door, file(2, "Nobody", {"name": "entra"}))
        assert sorted(done.held) == ["idp", "other"]
        listed = await sources.list_sources(acme.door, acme.org_id)
        assert [row.name for row in listed if row.declared_in == "file"] == ["idp", "other", "entra"]


async def test_a_default_project_that_would_take_too_much_is_held_alone(database_url: str) -> None:
    async with house(database_url) as acme:
        idp = {"name": "idp", "state": "active", "invite": "never", "groups": {"default": "none"}}
        made = config.Organization.model_validate({"name": "acme", "source": [idp]})
        await declared_organizations.declare(acme.door, [made])
        ctx = acme.as_scim((await sources.get_source(acme.door, acme.org_id, "idp")).id)
        people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(12)]
        none = made.model_validate({"name": "acme", "default_project": "none", "seats": 99, "source": [idp]})
        (done,) = await declared_organizations.declare(acme.door, [none])
        assert list(done.held) == ["default_project"]
        assert (await organizations.by_slug(acme.door, "acme")).seats == 99
        assert await _statuses(acme, people) == {"active"}


async def test_a_state_that_a_source_cannot_come_to_is_held_alone(database_url: str) -> None:
    async with house(database_url) as acme:
        await declared_organizations.declare(acme.door, _held("All"))
        (done,) = await declared_organizations.declare(
            acme.door, _held("All", {"name": "entra"}, of={"state": "staged"})
        )
        assert done.held == {"idp": "The source idp was released; it cannot be staged again."}
        await sources.get_source(acme.door, acme.org_id, "entra")
