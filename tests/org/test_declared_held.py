"""What of the file is held: alone, seen, and until somebody accepts it or the file is mended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd import config
from scimd.core.errors import DatabaseUnavailable, NotAllowedNow, Protected
from scimd.core.events import EventKind
from scimd.db import tables as t
from scimd.org.declared import declared_organizations
from scimd.org.mails import notifications
from scimd.org.organizations import domains, organizations
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import source_ends, sources
from scimd.org.users import local_people
from scimd.org.users.local_people import NewServiceAccount
from scimd.sync.schedule import following
from tests.org.house import House, house, standings_worked_out, user


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
            assert (there.display_name, there.seats, there.held.keys()) == ("New", 77, {"idp"})
            await sources.get_source(acme.door, acme.org_id, "entra")
            assert await _statuses(acme, people) == {"active"}
            await notifications.notify_all(acme.door, following)
        (mail,) = await acme.rows(t.deliveries, template="notification")
        assert mail.params["held"] == "idp"

        seen = await declared_organizations.look(acme.door, acme.as_admin(), file[0])
        assert (seen.changes, len(seen.over), seen.never) == (["idp"], 1, {})
        await declared_organizations.accept(acme.door, acme.as_admin(), file[0])
        assert (await organizations.by_slug(acme.door, "acme")).held == {}
        assert await _statuses(acme, people) == {"pending"}
        (again,) = await declared_organizations.declare(acme.door, file)
        assert again.outcome == "unchanged"


async def test_an_edit_is_weighed_once_for_people_who_are_alike(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        worked_out = standings_worked_out(monkeypatch)
        seen = await declared_organizations.look(acme.door, acme.as_admin(), _held("Nobody")[0])
        assert (seen.changes, len(seen.over), len(worked_out)) == (["idp"], 1, 1)


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


async def test_nobody_is_told_again_of_what_is_held_already(database_url: str) -> None:
    def file(state: str) -> list[config.Organization]:
        return _held("Nobody", {"name": "other", "state": state})

    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        await declared_organizations.declare(acme.door, _held("All", {"name": "other", "state": "active"}))
        for state, held in (("staged", ["idp", "other"]), ("active", ["idp"]), ("staged", ["idp", "other"])):
            (done,) = await declared_organizations.declare(acme.door, file(state))
            assert list(done.held) == held
        events = await acme.rows(t.events, kind=EventKind.CONFIG_HELD)
        assert sorted(event.body["after"]["held"] for event in events) == ["idp, other", "other"]


async def test_a_connector_that_comes_back_otherwise_and_is_held_is_read_as_before(database_url: str) -> None:
    def file(state: str) -> list[config.Organization]:
        csv = {"connector": "file", "schedule": "5m", "settings": {"path": "people.csv"}}
        return _held("All", {"name": "hr", "state": state, **csv})

    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, file("active"))
        before = await sources.get_source(acme.door, acme.org_id, "hr")
        await declared_organizations.declare(acme.door, _held("All"))
        assert (await sources.get_source(acme.door, acme.org_id, "hr")).left_the_file
        for _ in range(2):
            (done,) = await declared_organizations.declare(acme.door, file("staged"))
            assert list(done.held) == ["hr"]
            after = await sources.get_source(acme.door, acme.org_id, "hr")
            assert replace(after, held=None) == before
            with pytest.raises(NotAllowedNow, match="stands in the config file"):
                await source_ends.end(acme.door, acme.as_admin(), after.id, "remove", sure=True)


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


async def test_an_edit_by_which_people_have_to_accept_first_takes_their_access(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        people = await _with_people(acme)
        (done,) = await declared_organizations.declare(acme.door, _held("All", of={"invite": "immediate"}))
        assert "take the access of 12 of 12 people of the source idp" in done.held["idp"]
        assert await _statuses(acme, people) == {"active"}


async def test_service_accounts_lose_nothing_by_another_default_project(database_url: str) -> None:
    async with house(database_url) as acme:
        for n in range(6):
            new = NewServiceAccount(f"service-{n}", "Robot", owner="Ann")
            await local_people.add_service_account(acme.door, acme.as_admin(), new)
        (done,) = await declared_organizations.declare(
            acme.door, [config.Organization(name="acme", default_project="Other")]
        )
        assert (done.outcome, done.held) == ("updated", {})


async def test_the_figures_of_what_is_held_are_those_beside_all_that_counts(database_url: str) -> None:
    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        for _ in range(2):
            (done,) = await declared_organizations.declare(
                acme.door, _held("Nobody", default_project="General")
            )
            assert list(done.held) == ["idp"]
            assert "Work would lose 12 of 12 members" in done.held["idp"]


async def test_another_connector_whose_groups_are_no_projects_is_held_as_a_rule_that_goes(
    database_url: str,
) -> None:
    def file(connector: str, **groups: str) -> list[config.Organization]:
        hr = {"name": "hr", "connector": connector, "state": "active", "invite": "never", "groups": groups}
        values = {"name": "acme", "default_project": "none", "source": [hr]}
        return [config.Organization.model_validate(values)]

    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, file("file"))
        ctx = acme.as_scim((await sources.get_source(acme.door, acme.org_id, "hr")).id)
        people = [(await acme.create(f"p{n}", ctx)).person_id for n in range(12)]
        await acme.group("All", *people, ctx=ctx)
        (done,) = await declared_organizations.declare(acme.door, file("ldap"))
        assert "take the access of 12 of 12 people of the source hr" in done.held["hr"]
        (done,) = await declared_organizations.declare(acme.door, file("ldap", default="project"))
        assert (done.outcome, await _statuses(acme, people)) == ("updated", {"active"})


async def test_a_state_that_a_source_cannot_come_to_is_held_alone(database_url: str) -> None:
    async with house(database_url) as acme:
        await declared_organizations.declare(acme.door, _held("All"))
        (done,) = await declared_organizations.declare(
            acme.door, _held("All", {"name": "entra"}, of={"state": "staged"})
        )
        why = "The source idp was released; it cannot be staged again. No approval lets that through."
        assert done.held == {"idp": why}
        await sources.get_source(acme.door, acme.org_id, "entra")


async def test_a_command_makes_a_new_source_and_nothing_else_of_the_edit_counts(database_url: str) -> None:
    def file(first: int, *others: dict[str, Any], **more: Any) -> config.Organization:
        return _held("All", *others, of={"priority": first}, **more)[0]

    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, [file(1)])
        before = await sources.get_source(acme.door, acme.org_id, "idp")
        places = file(2, {"name": "entra", "priority": 1})
        with pytest.raises(NotAllowedNow, match="entra is not made: priority '1' is taken"):
            await declared_organizations.make_source(acme.door, places, "entra")
        edited = file(2, {"name": "entra"}, {"name": "other"}, seats=9, domains=["new.example"])
        await declared_organizations.make_source(acme.door, edited, "entra")
        listed = await sources.list_sources(acme.door, acme.org_id)
        assert [row for row in listed if row.name == "idp"] == [before]
        assert {row.name: row.declared_in for row in listed}["entra"] == "file"
        there = await organizations.by_slug(acme.door, "acme")
        assert (there.seats, await acme.rows(t.domains, domain_key="new.example")) == (None, [])
        assert "other" not in {row.name for row in listed}
        another = edited.model_copy(update={"name": "made", "domains": []})
        await declared_organizations.make_source(acme.door, another, "entra")
        made = await organizations.by_slug(acme.door, "made")
        assert len(await sources.list_sources(acme.door, made.id)) == 3


# ------------------------------------------------------------------------------ what nobody lets through


ADMINS = {"number": 2, "pattern": "Admins", "role": "account-admin", "may_give_account_admin": True}
WORK = {"number": 1, "pattern": "All", "project": "Work"}


@pytest.mark.parametrize(
    "edit",
    [
        {"rule": [WORK]},
        {"rule": [WORK, ADMINS | {"may_give_account_admin": False}]},
        {"state": "shadow"},
        {"invite": "immediate"},
    ],
)
async def test_what_takes_the_role_from_the_last_account_admin_is_held_and_no_approval_lets_it_through(
    database_url: str, edit: dict[str, Any]
) -> None:
    both = [WORK, ADMINS]
    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, _held("All", of={"rule": both}))
        ctx = acme.as_scim((await sources.get_source(acme.door, acme.org_id, "idp")).id)
        dana = (await acme.create("dana", ctx)).person_id
        await acme.group("Admins", dana, ctx=ctx)
        (file,) = _held("All", {"name": "entra"}, of={"rule": both} | edit, display_name="New")
        for _ in range(2):
            (done,) = await declared_organizations.declare(acme.door, [file])
            assert list(done.held) == ["idp"]
        assert done.held["idp"].startswith("Dana cannot be deactivated, demoted or removed: the organization")
        assert done.held["idp"].endswith("No approval lets that through.")
        assert (await organizations.by_slug(acme.door, "acme")).display_name == "New"
        await sources.get_source(acme.door, acme.org_id, "entra")
        assert (await declared_organizations.look(acme.door, acme.as_admin(), file)).never == done.held
        with pytest.raises(Protected):
            await declared_organizations.accept(acme.door, acme.as_admin(), file)
        person = await acme.person(dana)
        assert (person.status, person.primary_role) == ("active", "account-admin")
        (told,) = (await organizations.by_slug(acme.door, "acme")).held.values()
        assert told == f"{done.held['idp']} Correct the file, and restart scimd serve."


async def test_of_two_edits_each_is_held_for_its_own_reason(database_url: str) -> None:
    """One is over the limits, the other takes the last Account Admin; an approval waits for the file."""

    def file(*rules: dict[str, Any], pattern: str = "All") -> config.Organization:
        other = {"name": "other", "state": "active", "invite": "never", "rule": list(rules)}
        return _held(pattern, other)[0]

    async with house(database_url, default_project=None) as acme:
        people = await _with_people(acme)
        await declared_organizations.declare(acme.door, [file(ADMINS)])
        ctx = acme.as_scim((await sources.get_source(acme.door, acme.org_id, "other")).id)
        dana = (await acme.create("dana", ctx)).person_id
        await acme.group("Admins", dana, ctx=ctx)
        edited = file(pattern="Nobody")
        (done,) = await declared_organizations.declare(acme.door, [edited])
        assert list(done.held) == ["idp", "other"]
        assert "over the limits" in done.held["idp"]
        seen = await declared_organizations.look(acme.door, acme.as_admin(), edited)
        assert (list(seen.never), len(seen.over)) == (["other"], 1)
        await declared_organizations.accept(acme.door, acme.as_admin(), file(ADMINS, pattern="Nobody"))
        assert await _statuses(acme, people) == {"pending"}


async def test_what_goes_from_one_source_to_another_counts_beside_an_edit_that_cannot_be(
    database_url: str,
) -> None:
    def file(first: list[Any], second: list[Any], state: str = "active") -> config.Organization:
        given = (("a", {"rule": first}), ("b", {"rule": second}), ("c", {"state": state}))
        of = {"state": "active", "invite": "never", "groups": {"default": "none"}}
        values = [{"name": name, **of, **more} for name, more in given]
        return config.Organization.model_validate(
            {"name": "acme", "default_project": "none", "source": values}
        )

    async with house(database_url, default_project=None) as acme:
        await declared_organizations.declare(acme.door, [file([WORK, ADMINS], [])])
        a, b = [
            acme.as_scim((await sources.get_source(acme.door, acme.org_id, name)).id) for name in ("a", "b")
        ]
        dana = (await acme.create("dana", a)).person_id
        await acme.push(user("dana", person_id=dana), ctx=b)
        for ctx, groups in ((a, ("All", "Admins")), (b, ("Admins",))):
            for name in groups:
                await acme.group(name, dana, ctx=ctx)
        moved = file([WORK], [ADMINS], "staged")
        (done,) = await declared_organizations.declare(acme.door, [moved])
        assert list(done.held) == ["c"]
        seen = await declared_organizations.look(acme.door, acme.as_admin(), moved)
        assert (list(seen.never), seen.changes) == (["c"], ["c"])
        assert (await acme.person(dana)).primary_role == "account-admin"


async def test_domains_of_another_organization_are_held_and_the_rest_counts(database_url: str) -> None:
    async with house(database_url) as acme:  # which has acme.example
        new = config.Organization(name="made", domains=["made.example", "acme.example"], seats=7)
        for outcome in ("held", "held"):
            (done,) = await declared_organizations.declare(acme.door, [new])
            assert (done.outcome, list(done.held)) == (outcome, ["its_domains"])
        assert done.held["its_domains"].startswith("domains: acme.example is the organization acme's")
        there = await organizations.by_slug(acme.door, "made")
        assert (there.seats, list(there.held)) == (7, ["its_domains"])
        assert await acme.rows(t.domains, org_id=there.id) == []
        with pytest.raises(NotAllowedNow, match="is the organization acme's"):
            await declared_organizations.accept(acme.door, replace(acme.as_admin(), org_id=there.id), new)
        await domains.remove(acme.door, acme.as_admin(), "acme.example")
        (done,) = await declared_organizations.declare(acme.door, [new])
        assert (done.outcome, done.held) == ("updated", {})


async def test_a_new_source_with_an_issuer_of_anothers_is_not_made_and_the_others_are(
    database_url: str,
) -> None:
    async with house(database_url) as acme:
        await declared_organizations.declare(acme.door, [_speaking(idp="one")])
        other = _speaking("made", x="one", y="two")
        (done,) = await declared_organizations.declare(acme.door, [other])
        assert list(done.held) == ["x"]
        assert [row.name for row in await sources.list_sources(acme.door, done.org_id)] == ["y"]


async def test_issuers_go_from_one_source_of_the_file_to_another(database_url: str) -> None:
    async with house(database_url) as acme:
        for file in (
            _speaking(a="one", b="two"),
            _speaking(a="two", b="one"),
            _speaking(new="one", a="two", b="three"),
        ):
            (done,) = await declared_organizations.declare(acme.door, [file])
            assert (done.outcome, done.held) == ("updated", {})
            (again,) = await declared_organizations.declare(acme.door, [file])
            assert again.outcome == "unchanged"


def _speaking(organization: str = "acme", **audiences: str) -> config.Organization:
    jwt = {"issuer": "https://login.acme.example", "jwks_url": "https://login.acme.example/keys"}
    return config.Organization.model_validate(
        {
            "name": organization,
            "source": [
                {"name": name, "jwt": jwt | {"audience": audience, "subjects": ["push"]}}
                for name, audience in audiences.items()
            ],
        }
    )


async def test_trouble_of_the_database_holds_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        await declared_organizations.declare(acme.door, _held("All"))

        async def away(*_: Any, **__: Any) -> None:
            raise DatabaseUnavailable

        with monkeypatch.context() as patch:
            patch.setattr(acme.door, "run", away)
            with pytest.raises(DatabaseUnavailable):
                await declared_organizations.declare(acme.door, _held("Nobody"))
        assert (await organizations.by_slug(acme.door, "acme")).held == {}


async def test_whoever_looks_at_everybody_has_more_time_than_one_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url, default_project=None) as acme:
        await _with_people(acme)
        write, limits = acme.door.db.write, list[float]()

        async def noted(body: Any, *, timeout_s: float | None = None, short: bool = False) -> Any:
            limits.append(timeout_s or 0)
            return await write(body, timeout_s=timeout_s, short=short)

        monkeypatch.setattr(acme.door.db, "write", noted)
        (file,) = _held("Nobody")
        await declared_organizations.declare(acme.door, [file])
        await declared_organizations.look(acme.door, acme.as_admin(), file)
        await declared_organizations.accept(acme.door, acme.as_admin(), file)
        assert min(limits) >= 600
