"""Organizations, sources, tokens, and what the file declares."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scimd import config
from scimd.core.bearer import SCOPES
from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.db.tables import (
    deliveries,
    domains,
    events,
    projects,
    roles,
    rules,
    seat_pools,
    unsettled,
)
from scimd.db.tables import (
    sources as source_rows,
)
from scimd.db.tables import (
    tokens as token_rows,
)
from scimd.org.declared import declared_organizations
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.sources import source_states, source_upkeep, sources
from scimd.org.sources.sources import NewSource
from scimd.org.tokens import tokens
from scimd.org.tokens.tokens import LastUsed, TokenHolder
from scimd.org.tx import Actor, Context
from scimd.sync.schedule import following
from tests.org.acme import OPERATOR, House


async def generation(acme: House) -> int:
    return (await organizations.by_slug(acme.door, "acme")).generation


# ------------------------------------------------------------------------------ organizations


async def test_a_new_organization_has_roles_a_pool_and_a_default_project(acme: House) -> None:
    new = NewOrganization("other", seats=5, seats_on_scim="allow", domains=("Other.example",))
    made = await organizations.create(acme.door, new, OPERATOR)
    assert (made.slug, made.display_name, made.seats, made.seats_used) == ("other", "other", 5, 0)
    (project,) = await acme.rows(projects, org_id=made.id)
    assert (project.name, made.default_project_id) == ("General", project.id)
    names = {row.name for row in await acme.rows(roles, org_id=made.id)}
    assert names == {"user", "auditor", "manager", "account-admin"}
    (pool,) = await acme.rows(seat_pools, org_id=made.id)
    assert pool.allow_overage is True
    (domain,) = await acme.rows(domains, org_id=made.id)
    assert domain.domain_key == "other.example"
    assert [row.kind for row in await acme.rows(events, org_id=made.id)] == ["organization.created"]


async def test_a_slug_and_a_domain_belong_to_one_organization(acme: House) -> None:
    with pytest.raises(NotUnique, match="acme"):
        await organizations.create(acme.door, NewOrganization("acme"), OPERATOR)
    await organizations.create(acme.door, NewOrganization("b", domains=("b.example",)), OPERATOR)
    with pytest.raises(NotUnique, match=r"b\.example"):
        await organizations.create(acme.door, NewOrganization("c", domains=("B.example",)), OPERATOR)
    assert [row.slug for row in await organizations.list_organizations(acme.door)] == ["acme", "b"]
    with pytest.raises(NotFound):
        await organizations.by_slug(acme.door, "c")


async def test_without_a_default_project_there_is_none(acme: House) -> None:
    made = await organizations.create(acme.door, NewOrganization("b", default_project=None), OPERATOR)
    assert made.default_project_id is None
    assert await acme.rows(projects, org_id=made.id) == []


async def test_the_seat_limit_is_changed_by_who_may_and_audited(acme: House) -> None:
    nobody = Context(acme.org.id, Actor("person", "p", "p"), "web", "c")
    with pytest.raises(Forbidden, match=r"seats\.manage"):
        await organizations.set_seats(acme.door, nobody, 7)
    assert (await organizations.set_seats(acme.door, acme.ctx, 7)).seats == 7
    assert (await organizations.by_slug(acme.door, "acme")).seats == 7
    await organizations.set_seats(acme.door, acme.ctx, 7)
    assert (await acme.kinds()).count("seats.limit_changed") == 1


# ------------------------------------------------------------------------------ sources


async def test_a_new_source_is_staged_and_comes_after_the_others(acme: House) -> None:
    before = await generation(acme)
    first = await sources.create(acme.door, acme.ctx, NewSource("okta"))
    second = await sources.create(acme.door, acme.ctx, NewSource("entra"))
    assert (first.state, first.invite, first.ceiling) == ("staged", "immediate", "manager")
    assert first.priority < second.priority
    assert await generation(acme) > before
    assert [row.name for row in await sources.list_sources(acme.door, acme.org.id)] == ["okta", "entra"]


async def test_one_name_and_one_priority_are_one_source(acme: House) -> None:
    made = await sources.create(acme.door, acme.ctx, NewSource("okta", priority=1))
    with pytest.raises(NotUnique, match="okta"):
        await sources.create(acme.door, acme.ctx, NewSource("okta"))
    with pytest.raises(NotUnique, match="priority"):
        await sources.create(acme.door, acme.ctx, NewSource("entra", priority=1))
    assert await sources.ensure(acme.door, acme.ctx, NewSource("okta", state="active")) == made


async def test_a_source_is_found_by_name_id_or_organization_and_name(acme: House) -> None:
    made = await acme.source("okta")
    for text in ("okta", made.id, "acme/okta"):
        assert (await sources.resolve(acme.door, text)).id == made.id
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    await sources.create(acme.door, replace(acme.ctx, org_id=other.id), NewSource("okta"))
    with pytest.raises(NotAllowedNow, match="acme/okta, other/okta"):
        await sources.resolve(acme.door, "okta")
    assert (await sources.resolve(acme.door, "other/okta")).org_id == other.id
    with pytest.raises(NotFound):
        await sources.resolve(acme.door, "nowhere")
    with pytest.raises(NotFound):
        await sources.get_source(acme.door, other.id, made.id)


async def test_a_released_source_is_not_released_again_nor_staged(acme: House) -> None:
    made = await acme.source(state="staged")
    await source_states.release(acme.door, acme.ctx, made.id)
    with pytest.raises(NotAllowedNow, match="only a staged one"):
        await source_states.release(acme.door, acme.ctx, made.id)
    with pytest.raises(NotAllowedNow, match="cannot be staged"):
        await source_states.set_state(acme.door, acme.ctx, made.id, "staged")


async def test_activating_a_staged_source_is_its_release(acme: House) -> None:
    made = await acme.source(state="staged")
    await acme.push(made)
    await source_states.set_state(acme.door, acme.ctx, made.id, "active")
    assert [row.state for row in await acme.rows(deliveries)] == ["due"]
    assert "source.released" in await acme.kinds()


async def test_into_shadow_and_out_of_it_unsettles_the_people(acme: House) -> None:
    made = await acme.source()
    person = await acme.push(made)
    await source_states.pause(acme.door, acme.ctx, made.id)
    assert await acme.rows(unsettled) == []
    await source_states.set_state(acme.door, acme.ctx, made.id, "shadow")
    assert [row.person_id for row in await acme.rows(unsettled)] == [person]


async def test_a_mark_that_is_there_is_made_anew(acme: House) -> None:
    """The job that is taking it away read the facts before: the two have to meet in the row."""
    made = await acme.source()
    await acme.push(made)
    await source_states.set_state(acme.door, acme.ctx, made.id, "shadow")
    acme.clock.pass_by(seconds=1)
    await source_states.set_state(acme.door, acme.ctx, made.id, "active")
    assert [row.marked_at for row in await acme.rows(unsettled)] == [acme.clock.now]


async def test_sources_are_managed_by_who_may(acme: House) -> None:
    made = await acme.source(state="staged")
    nobody = Context(
        acme.org.id, Actor("person", "p", "p"), "web", "c", permissions=frozenset({"users.read"})
    )
    for use in (
        sources.create(acme.door, nobody, NewSource("x")),
        source_states.release(acme.door, nobody, made.id),
        source_states.set_state(acme.door, nobody, made.id, "paused"),
        tokens.create(acme.door, nobody, made.id, "x"),
    ):
        with pytest.raises(Forbidden, match=r"sources\.manage"):
            await use


# ------------------------------------------------------------------------------ tokens


async def test_a_token_speaks_for_its_source_and_is_not_stored(acme: House) -> None:
    made = await acme.source()
    new = await tokens.create(acme.door, acme.ctx, made.id, "Okta's", "okta")
    holder = await tokens.authenticate(acme.door, new.token)
    assert holder == TokenHolder(
        org_id=acme.org.id,
        org_slug="acme",
        source_id=made.id,
        source_name="okta",
        token_id=new.id,
        token_name="Okta's",
        profile="okta",
        seats_on_scim="hold",
        generation=await generation(acme),
        scopes=frozenset(SCOPES),
    )
    (row,) = await acme.rows(token_rows)
    assert new.token.encode() not in bytes(row.hash)


async def test_a_token_dies_at_its_expiry_exactly(acme: House) -> None:
    made = await acme.source()
    until = acme.clock.now + timedelta(days=90)
    new = await tokens.create(acme.door, acme.ctx, made.id, "t", expires_at=until)
    acme.clock.now = until - timedelta(seconds=1)
    assert await tokens.authenticate(acme.door, new.token) is not None
    acme.clock.now = until
    assert await tokens.authenticate(acme.door, new.token) is None
    with pytest.raises(InvalidValue, match="future"):
        await tokens.create(acme.door, acme.ctx, made.id, "t", expires_at=until)


async def test_a_revoked_token_and_that_of_a_paused_source_open_nothing(acme: House) -> None:
    made = await acme.source()
    one = await tokens.create(acme.door, acme.ctx, made.id, "one")
    two = await tokens.create(acme.door, acme.ctx, made.id, "two")
    before = await generation(acme)
    await tokens.revoke(acme.door, acme.ctx, one.id)
    once = await generation(acme)
    await tokens.revoke(acme.door, acme.ctx, one.id)
    assert await generation(acme) == once > before
    assert await tokens.authenticate(acme.door, one.token) is None
    assert await tokens.authenticate(acme.door, two.token) is not None
    await source_states.pause(acme.door, acme.ctx, made.id)
    assert await tokens.authenticate(acme.door, two.token) is None
    listed = await tokens.list_tokens(acme.door, acme.org.id)
    assert {(row.name, row.revoked_at is None) for row in listed} == {("one", False), ("two", True)}
    with pytest.raises(NotFound):
        await tokens.revoke(acme.door, acme.ctx, made.id)  # type: ignore[arg-type]


async def test_a_mistyped_token_costs_no_statement(acme: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await acme.source()
    new = await tokens.create(acme.door, acme.ctx, made.id, "t")

    async def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(acme.door.db, "read", never)
    assert await tokens.authenticate(acme.door, new.token[:-1] + "!") is None


async def test_only_scim_sources_have_tokens_and_profiles_are_known_ones(acme: House) -> None:
    made = await acme.source()
    ldap = await acme.source("ldap", kind="connector", connector="ldap")
    with pytest.raises(InvalidValue, match="connector"):
        await tokens.create(acme.door, acme.ctx, ldap.id, "t")
    with pytest.raises(InvalidValue, match="profile"):
        await tokens.create(acme.door, acme.ctx, made.id, "t", "unheard-of")


async def test_last_used_is_written_once_a_minute_at_most(acme: House) -> None:
    made = await acme.source()
    new = await tokens.create(acme.door, acme.ctx, made.id, "t")
    last = LastUsed(acme.door)
    written = []
    for _ in range(4):
        for _ in range(50):
            holder = await tokens.authenticate(acme.door, new.token)
            assert holder is not None
            last.note(holder)
        written.append(await last.flush())
        acme.clock.pass_by(seconds=30)
    assert written == [1, 0, 1, 0]
    (row,) = await tokens.list_tokens(acme.door, acme.org.id)
    assert row.last_used_at == acme.clock.now - timedelta(seconds=60)


# ------------------------------------------------------------------------------ the file


def declared(**more: Any) -> config.Organization:
    source: dict[str, Any] = {"name": "ldap", "connector": "ldap", "schedule": "15m", "timeout": "2h"}
    source["settings"] = {"url": "ldaps://ldap.example", "password": "env:LDAP_PASSWORD"}
    source["rule"] = [{"number": 1, "group": "g-1", "project": "Payroll", "project_role": "owner"}]
    values = {
        "name": "made",
        "seats": 10,
        "domains": ["made.example"],
        "source": [source | more.pop("of", {})],
    }
    return config.Organization.model_validate(values | more)


async def test_what_the_file_declares_is_made(acme: House) -> None:
    (done,) = await declared_organizations.declare(acme.door, [declared()])
    assert (done.slug, done.outcome) == ("made", "created")
    (source,) = await sources.list_sources(acme.door, done.org_id)
    assert (source.kind, source.connector, source.state, source.declared_in) == (
        "connector",
        "ldap",
        "staged",
        "file",
    )
    assert source.declared() == declared().source[0]
    (rule,) = await acme.rows(rules, org_id=done.org_id)
    assert (rule.number, rule.body["project"], rule.until_generation) == (1, "Payroll", None)


async def test_declaring_twice_changes_nothing(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    before = (await acme.rows(events), (await organizations.by_slug(acme.door, "made")).generation)
    (again,) = await declared_organizations.declare(acme.door, [declared()])
    assert again.outcome == "unchanged"
    assert (await acme.rows(events), (await organizations.by_slug(acme.door, "made")).generation) == before


async def test_a_changed_rule_closes_the_old_one_and_unsettles_the_people(acme: House) -> None:
    (done,) = await declared_organizations.declare(acme.door, [declared()])
    made = replace(acme, ctx=replace(acme.ctx, org_id=done.org_id))
    person = await made.push((await sources.list_sources(acme.door, done.org_id))[0])
    new_rule = {"number": 1, "group": "g-1", "project": "Payroll", "project_role": "viewer"}
    (again,) = await declared_organizations.declare(acme.door, [declared(of={"rule": [new_rule]})])
    assert again.outcome == "updated"
    live = [row for row in await acme.rows(rules) if row.until_generation is None]
    assert [row.body["project_role"] for row in live] == ["viewer"]
    assert len(await acme.rows(rules)) == 2
    assert [row.person_id for row in await acme.rows(unsettled)] == [person]
    assert "rules.changed" in [row.kind for row in await acme.rows(events, org_id=done.org_id)]


async def test_a_changed_mapping_voids_the_digests(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    await declared_organizations.declare(acme.door, [declared(of={"mapping": {"scope": "true"}})])
    source = await sources.resolve(acme.door, "made/ldap")
    assert source.config_version == 2
    await declared_organizations.declare(
        acme.door, [declared(of={"mapping": {"scope": "true"}, "schedule": "1h"})]
    )
    assert (await sources.resolve(acme.door, "made/ldap")).config_version == 2


async def test_a_changed_schedule_counts_from_now(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    source = await sources.resolve(acme.door, "made/ldap")
    month_off = {"next_run_at": acme.clock.now + timedelta(days=30), "last_success_at": acme.clock.now}
    of_it = update(source_rows).where(source_rows.c.id == source.id)
    await acme.write(lambda conn: conn.execute(of_it.values(**month_off)) and None)
    await declared_organizations.declare(acme.door, [declared(of={"schedule": "1h"})])
    assert await source_upkeep.due_sources(acme.door, following) == []
    again = await sources.resolve(acme.door, "made/ldap")
    assert again.next_run_at == acme.clock.now + timedelta(hours=1)
    await acme.write(lambda conn: conn.execute(of_it.values(**month_off, failures=2)) and None)
    await declared_organizations.declare(acme.door, [declared(of={"schedule": "2h"})])
    again = await sources.resolve(acme.door, "made/ldap")
    assert again.next_run_at == month_off["next_run_at"], "what fails has its own times"


async def test_a_release_by_hand_outlives_the_next_start(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    source = await sources.resolve(acme.door, "made/ldap")
    await source_states.release(acme.door, replace(acme.ctx, org_id=source.org_id), source.id)
    await declared_organizations.declare(acme.door, [declared(of={"schedule": "1h"})])
    assert (await sources.resolve(acme.door, "made/ldap")).state == "active"


async def test_a_state_that_the_file_changes_counts(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    await declared_organizations.declare(acme.door, [declared(of={"state": "active"})])
    assert (await sources.resolve(acme.door, "made/ldap")).state == "active"
    await declared_organizations.declare(acme.door, [declared(of={"state": "paused"})])
    assert (await sources.resolve(acme.door, "made/ldap")).state == "paused"


async def test_a_source_that_the_file_leaves_out_stays_and_is_told(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    (done,) = await declared_organizations.declare(acme.door, [declared(source=[])])
    assert done.left_out == ("ldap",)
    assert (await sources.resolve(acme.door, "made/ldap")).state == "staged"


async def test_organizations_follow_the_file(acme: House) -> None:
    await declared_organizations.declare(acme.door, [declared()])
    more = {"seats": 20, "seats_on_scim": "allow", "display_name": "Made", "default_project": "Home"}
    (done,) = await declared_organizations.declare(acme.door, [declared(**more)])
    record = await organizations.by_slug(acme.door, "made")
    assert (done.outcome, record.seats, record.seats_on_scim) == ("updated", 20, "allow")
    assert record.display_name == "Made"
    names = {row.id: row.name for row in await acme.rows(projects, org_id=record.id)}
    assert names[record.default_project_id] == "Home"
    (none,) = await declared_organizations.declare(
        acme.door, [declared(**more | {"default_project": "none"})]
    )
    assert none.outcome == "updated"
    assert (await organizations.by_slug(acme.door, "made")).default_project_id is None


async def test_a_seat_limit_that_the_file_does_not_set_stays_as_it_was_set(acme: House) -> None:
    (done,) = await declared_organizations.declare(acme.door, [declared(seats=None)])
    await organizations.set_seats(acme.door, replace(acme.ctx, org_id=done.org_id), 3)
    await declared_organizations.declare(acme.door, [declared(seats=None)])
    assert (await organizations.by_slug(acme.door, "made")).seats == 3


async def test_sources_of_the_file_may_change_places_and_never_share_one(acme: House) -> None:
    def both(one: int, two: int) -> list[dict[str, Any]]:
        return [{"name": "a", "priority": one}, {"name": "b", "priority": two}]

    (done,) = await declared_organizations.declare(acme.door, [declared(source=both(1, 2))])
    await declared_organizations.declare(acme.door, [declared(source=both(2, 1))])
    listed = await sources.list_sources(acme.door, done.org_id)
    assert [(row.name, row.priority) for row in listed] == [("b", 1), ("a", 2)]
    by_hand = NewSource("c", priority=3)
    await sources.create(acme.door, replace(acme.ctx, org_id=done.org_id), by_hand)
    (held,) = await declared_organizations.declare(acme.door, [declared(source=both(1, 3))])
    assert held.held["b"].startswith("priority: 3 is that of the source c")
    assert [row.priority for row in await sources.list_sources(acme.door, done.org_id)] == [1, 2, 3]


async def test_a_source_without_a_priority_takes_none_that_the_file_gives_to_another(acme: House) -> None:
    of_file = [{"name": "a"}, {"name": "b", "priority": 10}]
    (done,) = await declared_organizations.declare(acme.door, [declared(source=of_file)])
    listed = await sources.list_sources(acme.door, done.org_id)
    assert [(row.name, row.priority) for row in listed] == [("b", 10), ("a", 20)]
