"""Runs and held plans over REST."""

from __future__ import annotations

import csv
import io

from scimd.core.sync.policy import Action, Situation
from scimd.org.runs import approvals
from tests.admin.client import signed_in
from tests.web.site import REMOVALS, Site, change

NEW = change("Yuko Nakamura", Action.CREATE, situation=Situation.NEW, old=None, new={"title": "Designer"})
GONE = change(
    "Łukasz", Action.DEACTIVATE, situation=Situation.GONE, removal=True, outcome="staged", reason="Gone."
)


async def test_runs_are_listed_filtered_and_shown(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    first = await acme.run(source, "done", change(), NEW)
    second = await acme.run(source, "failed")
    async with signed_in(acme) as api:
        page = (await api.get("/runs?limit=1")).json
        assert [row["id"] for row in page["items"]] == [second]
        following = (await api.get(f"/runs?limit=1&cursor={page['next']}")).json
        assert [row["id"] for row in following["items"]] == [first]
        assert [row["id"] for row in (await api.get("/runs?state=done")).json["items"]] == [first]
        assert (await api.get("/runs?source=nothing")).json["items"] == []
        shown = (await api.get(f"/runs/{first}")).json
        assert (shown["source_name"], shown["counts"]["created"]) == ("directory", 1)


async def test_changes_and_reports_hold_every_change(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run = await acme.run(source, "done", change(), NEW)
    async with signed_in(acme) as api:
        rows = (await api.get(f"/runs/{run}/changes?action=create")).json["items"]
        assert [(row["n"], row["name"]) for row in rows] == [(2, "Yuko Nakamura")]
        page = (await api.get(f"/runs/{run}/changes?limit=1")).json
        rest = (await api.get(f"/runs/{run}/changes?limit=1&cursor={page['next']}")).json
        assert [row["n"] for row in (*page["items"], *rest["items"])] == [1, 2]
        report = await api.get(f"/runs/{run}/report.csv")
        assert 'filename="scimd-directory-' in report.headers["Content-Disposition"]
        assert [row["name"] for row in csv.DictReader(io.StringIO(report.text))] == [
            "Dana Ortiz", "Yuko Nakamura",
        ]  # fmt: skip
        report = await api.get(f"/runs/{run}/report.json")
        assert [row["name"] for row in report.json["changes"]] == ["Dana Ortiz", "Yuko Nakamura"]


async def test_held_plan_is_approved_and_left_to_the_worker(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with signed_in(acme) as api:
        for _ in range(2):
            answer = await api.post(f"/runs/{run}/approve")
            assert (answer.status, answer.json["approved_by"]) == (200, "ada@acme.example")
        assert (await api.post(f"/runs/{run}/reject")).json["code"] == "not_allowed_now"
    assert await approvals.approved(acme.door) == [(acme.org_id, run, "ada@acme.example")]


async def test_held_plan_is_rejected_once_and_audited(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with signed_in(acme) as api:
        answer = await api.post(f"/runs/{run}/reject")
        assert (answer.status, answer.json["state"]) == (200, "refused")
        assert (await api.post(f"/runs/{run}/reject")).status == 409
        assert (await api.post(f"/runs/{run}/approve")).status == 409
        entries = (await api.get("/audit?kind=plan.rejected")).json["items"]
    assert [(entry["target_id"], entry["actor_name"], entry["door"]) for entry in entries] == [
        (run, "ada@acme.example", "api")
    ]
    assert await approvals.approved(acme.door) == []
