"""What the next run would do by settings that are not in force: told, and nothing of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, update

from scimd.config import Source
from scimd.core.errors import Busy, NotAllowedNow
from scimd.db import tables as t
from scimd.org.declared import declared_sources
from scimd.org.runs.run_changes import ChangeRecord
from scimd.org.runs.runs import RunRecord
from scimd.org.sources import source_states, sources
from scimd.org.sources.sources import NewSource
from scimd.org.tx import Actor, Context
from scimd.org.users import people
from scimd.org.users.incoming import AssertUser
from scimd.sync import run as sync_run
from scimd.sync.planning import CannotPlan
from scimd.sync.run import preview_source
from tests.sync.world import MAPPING, Person, World, source_config

TABLES = (t.people, t.assertions, t.groups, t.group_members, t.runs, t.run_changes, t.sources, t.events)


def _wanted(**more: Any) -> Source:
    return source_config(invite="never", **more)


async def _previewed(acme: World, **more: Any) -> tuple[RunRecord, list[ChangeRecord]]:
    """By such settings; nothing is written by it."""
    before = [await acme.rows(table) for table in TABLES]
    try:
        return await preview_source(acme.door, await acme.source(), _wanted(**more))
    finally:
        assert [await acme.rows(table) for table in TABLES] == before


async def _count(acme: World, **more: Any) -> None:
    """From now on these settings are in force."""
    after = declared_sources.as_declared(await acme.source(), _wanted(**more))
    values = {"config": after.config, "config_version": after.config_version}

    def write(conn: Connection) -> None:
        conn.execute(update(t.sources).where(t.sources.c.id == after.id).values(values))

    await acme.door.db.write(write)


async def test_a_changed_mapping_shows_the_plan_that_the_next_run_would_make(acme: World) -> None:
    await acme.sync()
    acme.script.people["x0003"].more = {"displayName": "Cleo"}
    otherwise = {"user": MAPPING | {"title": "'Staff'"}}
    run, changes = await _previewed(acme, mapping=otherwise)
    assert (run.state, run.id, run.counts["updated"], len(changes)) == ("planned", "", 12, 12)
    (cleo,) = [change for change in changes if change.external_id == "x0003"]
    assert cleo.new == {"displayName": "Cleo", "title": "Staff"}
    await _count(acme, mapping=otherwise)
    planned = await acme.plan()
    assert (planned.counts, planned.situations, planned.seats) == (run.counts, run.situations, run.seats)
    assert await acme.changes(planned) == changes


async def test_a_changed_scope_shows_whom_the_limits_would_hold(acme: World) -> None:
    await acme.sync()
    scope = {"user": MAPPING, "scope": "entry.userName[0] == 'user0000'"}
    run, changes = await _previewed(acme, mapping=scope)
    assert (run.state, run.counts["held"], bool(run.trips)) == ("held", 11, True)
    assert {change.outcome for change in changes} == {"staged"}


async def test_groups_that_would_be_read_no_more_are_shown(acme: World) -> None:
    acme.script.groups = {"g1": ("Engineering", ["x0001"]), "g2": ("Sales", ["x0002"])}
    await acme.sync()
    _, changes = await _previewed(acme, groups={"default": "project", "only": ["Eng*"]})
    assert [change.name for change in changes if change.action == "delete"] == ["Sales"]


async def test_an_entry_that_would_meet_another_source_is_shown_as_linked(acme: World) -> None:
    await acme.sync()
    ctx = acme.as_admin()
    other = await sources.create(acme.door, ctx, NewSource("okta", state="active", invite="never"))
    document = {"userName": "eve", "externalId": "e", "emails": [{"value": "eve@acme.example"}]}
    of_it = Context(acme.org_id, Actor("token", "t", "Okta"), "scim", "c", other.id)
    await people.create_user(acme.door, of_it, AssertUser(document, "e"))
    acme.script.people["x0099"] = Person("eve", "eve@acme.example")
    shown = {}
    for join in ([], ["mail"]):
        _, changes = await _previewed(acme, join=join)
        shown[len(join)] = [change.action for change in changes]
    assert shown == {0: ["wait"], 1: ["link"]}


async def test_what_cannot_be_read_so_is_told(acme: World) -> None:
    await acme.sync()
    with pytest.raises(CannotPlan, match="title"):
        await _previewed(acme, mapping={"user": MAPPING | {"title": "entry."}})
    acme.script.people.clear()
    with pytest.raises(CannotPlan, match="nobody was removed"):
        await _previewed(acme)


async def test_a_source_that_runs_or_is_paused_is_not_previewed(acme: World) -> None:
    source = await acme.source()
    ctx = sync_run.context(acme.door, source)
    async with sync_run.held(acme.door, ctx, sync_run.lease_name(source), "it"):
        with pytest.raises(Busy):
            await _previewed(acme)
    await source_states.pause(acme.door, acme.as_admin(), source.id)
    with pytest.raises(NotAllowedNow, match="is paused"):
        await _previewed(acme)
