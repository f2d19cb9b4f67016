"""What time brings, written by the scheduler's jobs for every organization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog

from scimd.core.errors import StorageFull, WrongCredentials
from scimd.core.people import OrgId
from scimd.core.sync.plan import Change
from scimd.core.sync.policy import Action, Situation
from scimd.db import tables
from scimd.db.tables import invitations, unsettled
from scimd.org import timekeeping
from scimd.org.authentication import sign_in
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.runs import run_changes, runs
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Door, Tx
from tests.org.acme import OPERATOR, House
from tests.org.looks import attempts_of


async def test_invitations_of_every_organization_expire(acme: House) -> None:
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    for ctx in (acme.ctx, replace(acme.ctx, org_id=other.id)):
        home = replace(acme, ctx=ctx)
        await home.push(await home.source())
    assert await timekeeping.expire_all(acme.door) == 0
    acme.clock.pass_by(days=7)
    assert await timekeeping.expire_all(acme.door) == 2
    assert await timekeeping.expire_all(acme.door) == 0
    assert {row.status for row in await acme.rows(invitations)} == {"expired"}


async def test_more_than_one_batch_expires_in_one_call(acme: House) -> None:
    okta = await acme.source()
    for n in range(205):
        await acme.push(okta, f"p{n}@acme.example")
    acme.clock.pass_by(days=7)
    assert await timekeeping.expire_all(acme.door) == 205


async def test_sign_in_attempts_are_forgotten_after_ninety_days(acme: House) -> None:
    for days in (0, 89):
        acme.clock.pass_by(days=days)
        with pytest.raises(WrongCredentials):
            await sign_in.by_password(acme.door, "acme", "x@y.example", "x", ip="127.0.0.1", user_agent="")
    acme.clock.pass_by(days=2)
    assert await timekeeping.forget_attempts(acme.door) == 1
    assert len(await attempts_of(acme.door, acme.org.id)) == 1


async def test_runs_are_forgotten_after_ninety_days_but_for_each_sources_newest(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_CHANGES_AT_ONCE", 2)
    okta, quiet = await acme.source(), await acme.source("quiet")
    change = Change("user", Situation.LINKED_CHANGED, Action.UPDATE, "a1", "Ann", "changed")

    async def run(source: SourceRecord, state: runs.State, **more: Any) -> str:
        def body(tx: Tx) -> str:
            run_id = runs.begin(tx, source.id, "schedule", "tests", 1, full=True)
            run_changes.add(tx, run_id, 1, [change] * 5)
            runs.set_state(tx, run_id, state, **more)
            return run_id

        return await acme.door.run(acme.ctx, body)

    gone, held = await run(okta, "done"), await run(okta, "held")
    whole = await run(quiet, "done", complete=True)
    acme.clock.pass_by(days=-1)  # put back: the later run is the newer one all the same
    last = await run(quiet, "failed")
    acme.clock.pass_by(days=1)
    acme.clock.pass_by(days=1)
    young = await run(okta, "partial")
    acme.clock.pass_by(days=90)
    newest = await run(okta, "done")
    assert await runs.forget(acme.door) == 1
    kept = {row.id for row in await acme.rows(tables.runs)}
    assert (
        kept
        == {held, whole, last, young, newest}
        == {row.run_id for row in await acme.rows(tables.run_changes)}
    )
    assert gone not in kept
    acme.clock.pass_by(seconds=1)
    assert await runs.forget(acme.door) == 1


async def test_an_organization_whose_job_fails_is_said_once_and_its_end_said(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    for ctx in (acme.ctx, replace(acme.ctx, org_id=other.id)):
        home = replace(acme, ctx=ctx)
        await home.push(await home.source())
    publish, broken = timekeeping.audit.publish, True

    async def refusing(door: Door, org_id: OrgId, **more: Any) -> int:
        if broken and org_id == other.id:
            raise StorageFull
        return await publish(door, org_id, **more)

    monkeypatch.setattr(timekeeping.audit, "publish", refusing)
    troubles = timekeeping.Troubles()
    with structlog.testing.capture_logs() as said:
        assert await timekeeping.publish_all(acme.door, troubles) > 0  # of the one that is well
        await timekeeping.publish_all(acme.door, troubles)
        broken = False
        assert await timekeeping.publish_all(acme.door, troubles) > 0
    assert [(line["event"], line["log_level"], line["org"]) for line in said] == [
        ("job_failed", "error", other.id),
        ("job_recovered", "info", other.id),
    ]
    assert troubles.failures["publish"] == 2


async def test_a_defect_in_one_organization_keeps_no_other_waiting(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    everybody = {acme.org.id, other.id}
    for org_id in everybody:
        home = replace(acme, ctx=replace(acme.ctx, org_id=org_id))
        person = await home.push(await home.source())
        mark = unsettled.insert().values(org_id=org_id, person_id=person, turn=0, marked_at=acme.clock())
        await acme.door.db.write(lambda conn, mark=mark: conn.execute(mark) and None)
    seen: set[OrgId] = set()

    async def failing(door: Door, org_id: OrgId, **_: Any) -> int:
        seen.add(org_id)
        raise RuntimeError("boom")

    monkeypatch.setattr(timekeeping.unsettled, "settle_marked", failing)
    troubles = timekeeping.Troubles()
    with structlog.testing.capture_logs() as said:
        await timekeeping.settle_all(acme.door, troubles, budget_s=1)
    assert seen == everybody
    assert {(line["org"], str(line["exc_info"])) for line in said} == {(each, "boom") for each in seen}
    with pytest.raises(RuntimeError):  # whoever keeps no count of troubles is told at once
        await timekeeping.settle_all(acme.door, budget_s=1)
