"""Runs on the page and over REST, through the real door."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import aiohttp
import pytest
from sqlalchemy import update

from scimd.core.errors import InvalidValue
from scimd.core.sync.policy import Action, Situation
from scimd.db.tables import sources
from scimd.org.decisions import decisions
from scimd.org.organizations import settings
from scimd.org.runs import approvals, runs
from scimd.org.sources import source_states
from scimd.org.tx import Tx
from tests.web.by_form import get, value_after, value_of
from tests.web.site import REMOVALS, Site, change


async def _approve(session: aiohttp.ClientSession, run_id: str, form_token: str) -> tuple[int, str]:
    async with session.post(f"/runs/{run_id}/approve", data={"form_token": form_token}) as answer:
        return answer.status, await answer.text()


NEW = change("Yuko Nakamura", Action.CREATE, situation=Situation.NEW, old=None, new={"title": "Designer"})
GONE = change(
    "Łukasz Wiśniewski",
    Action.DEACTIVATE,
    situation=Situation.GONE,
    old={"active": True},
    new={"active": False},
    removal=True,
    outcome="staged",
    reason="Gone from the directory.",
)


async def test_report_shows_each_change_with_reason_and_values(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "done", change(), NEW)
    async with acme.signed_in() as session:
        assert "directory" in await get(session, "/runs")
        page = await get(session, f"/runs/{run_id}")
    for words in ("Dana Ortiz", "The directory says something else now.", "Engineer", "Principal Engineer"):
        assert words in page
    assert "254" in page  # unchanged


async def test_changes_are_filtered(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "done", change(), NEW)
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}?action=create")
        assert "Yuko Nakamura" in page
        assert "Dana Ortiz" not in page
        assert "No change matches" in await get(session, f"/runs/{run_id}?outcome=failed")
        assert "Dana Ortiz" in await get(session, f"/runs/{run_id}?action=nonsense&after=-1")


async def test_changes_come_page_by_page(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "done", *(change(f"Person {n:03}") for n in range(1, 131)))
    async with acme.signed_in() as session:
        first = await get(session, f"/runs/{run_id}")
        assert "Person 100" in first
        assert "Person 101" not in first
        following = first.partition('aria-label="Pages">')[2].partition('href="')[2].partition('"')[0]
        second = await get(session, following.replace("&amp;", "&"))
        assert "Person 101" in second
        assert "Next page" not in second


async def test_failed_run_says_why_and_that_nobody_was_removed(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="ldap")
    run_id = await acme.run(source, "failed")
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}")
    assert "nobody was removed" in page
    assert "no route to host" in page


async def test_plan_whose_place_was_taken_leads_to_the_newer_run(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    old = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with acme.signed_in() as session:
        form_token = value_of(await get(session, f"/runs/{old}"), "form_token")
        said = "The newer run took its place."
        await acme.door.run(acme.ctx, lambda tx: runs.set_state(tx, old, "expired", error=said))
        newer = await acme.run(source, "done", change())
        page = await get(session, f"/runs/{old}")
        assert "This plan is no longer valid" in page
        assert said in page
        assert f'href="/runs/{newer}"' in page
        assert "The run failed" not in page
        assert "notice bad" not in page
        status, page = await _approve(session, old, form_token)
        assert status == 409
        assert "The run is expired; there is nothing to approve." in page
        assert f'href="/runs/{newer}"' in page


async def test_plan_that_is_too_old_to_approve_leads_to_the_newest_run(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    acme.clock.ahead += timedelta(hours=25)
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}")
        status, page = await _approve(session, run_id, value_of(page, "form_token"))
    assert status == 409
    assert "The plan is older than 24 hours. Make a new plan" in page
    assert f'href="/runs/{run_id}"' in page


async def test_run_that_was_stopped_half_way_is_not_called_failed(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "partial", change())
    await acme.door.run(acme.ctx, lambda tx: runs.set_state(tx, run_id, "partial", error="It was paused."))
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}")
    assert "The run was stopped" in page
    assert "The run failed" not in page


async def test_held_plan_is_approved_by_post_and_left_to_the_worker(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}")
        assert "38 of 300 people" in page
        _, page = await _approve(session, run_id, value_of(page, "form_token"))
        assert "Approved by ada@acme.example. The worker applies it now." in page
        assert "Approve and apply" not in page
    assert await approvals.approved(acme.door) == [(acme.org_id, run_id, "ada@acme.example")]


async def test_held_plan_of_a_paused_source_says_to_resume_it_first(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with acme.signed_in() as session:
        form_token = value_of(await get(session, f"/runs/{run_id}"), "form_token")
        await source_states.pause(acme.door, acme.ctx, source.id)
        status, page = await _approve(session, run_id, form_token)
        assert (status, "This plan cannot be approved now" in page) == (409, True)
        assert "Resume it first: scimd source resume acme/directory" in page
        await source_states.resume(acme.door, acme.ctx, source.id)
        _, page = await _approve(session, run_id, form_token)
        assert "The worker applies it now." in page
        await source_states.pause(acme.door, acme.ctx, source.id)
        assert "It is applied once the source is resumed." in await get(session, f"/runs/{run_id}")


async def test_overview_says_of_a_paused_source_that_it_is_paused_whatever_its_trouble(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")

    trouble = {"failures": 3, "quarantine_cause": "the password is wrong"}

    def in_trouble(tx: Tx) -> None:
        values = {**trouble, "quarantined_since": tx.now, "next_run_at": tx.now}
        tx.conn.execute(update(sources).where(sources.c.id == source.id).values(values))

    await acme.door.run(acme.ctx, in_trouble)
    async with acme.signed_in() as session:
        before = await get(session, "/")
        paused = await source_states.pause(acme.door, acme.ctx, source.id)
        after = await get(session, "/")
    said = ("Quarantined", "Paused", "the password is wrong", "not while paused")
    assert [each in before for each in said] == [True, False, True, False]
    assert [each in after for each in said] == [False, True, True, True]
    assert paused.next_run_at is None


async def test_held_plan_waits_for_somebody_until_it_is_approved_or_too_old(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    other = await acme.source("hr", kind="connector", connector="file")
    async with acme.signed_in() as session:
        assert "Nothing waits for you" in await get(session, "/")
        run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
        later = await acme.run(other, "held", GONE, trips=(REMOVALS,))
        for path in ("/", "/decide"):
            page = await get(session, path)
            assert '<span class="count">2<' in page
            assert f'<li><a href="/runs/{run_id}">The run of directory is over its limits: ' in page
            assert "Nothing waits" not in page
        await _approve(session, run_id, value_of(await get(session, f"/runs/{run_id}"), "form_token"))
        page = await get(session, "/decide")
        assert (f"/runs/{run_id}" in page, f"/runs/{later}" in page) == (False, True)
    acme.clock.ahead += timedelta(hours=25)
    async with acme.signed_in() as session:
        assert "Nothing waits for a decision" in await get(session, "/decide")


async def test_run_that_has_ended_promises_nothing(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with acme.signed_in() as session:
        page = await get(session, f"/runs/{run_id}")
        await _approve(session, run_id, value_of(page, "form_token"))
        await acme.finish(run_id)
        page = await get(session, f"/runs/{run_id}?said=approved")
    for promise in ("applies it now", "data-live", "not yet", "Refresh"):
        assert promise not in page


async def test_approving_needs_the_form_token(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "held", GONE, trips=(REMOVALS,))
    async with acme.signed_in() as session:
        for form in ({}, {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "é"}):
            async with session.post(f"/runs/{run_id}/approve", data=form) as answer:
                assert answer.status == 403
        assert "Approve and apply" in await get(session, f"/runs/{run_id}")


async def test_running_run_refreshes_itself(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "reading")
    async with acme.signed_in() as session:
        assert "data-live" in await get(session, f"/runs/{run_id}")
        assert "data-live" in await get(session, "/runs")


async def test_csv_and_json_hold_every_change(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "done", change(), NEW)
    async with acme.signed_in() as session:
        async with session.get(f"/api/v1/runs/{run_id}/report.csv") as answer:
            assert answer.content_type == "text/csv"
            assert 'filename="scimd-directory-' in answer.headers["Content-Disposition"]
            rows = list(csv.DictReader(io.StringIO(await answer.text())))
        assert [row["name"] for row in rows] == ["Dana Ortiz", "Yuko Nakamura"]
        async with session.get(f"/api/v1/runs/{run_id}/report.json") as answer:
            assert [row["name"] for row in (await answer.json())["changes"]] == [
                "Dana Ortiz",
                "Yuko Nakamura",
            ]


async def test_other_organizations_run_is_not_there(acme: Site) -> None:
    from scimd.org.organizations.organizations import NewOrganization, create
    from tests.web.site import OPERATOR

    source = await acme.source("directory", kind="connector", connector="file")
    run_id = await acme.run(source, "done", change())
    await create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)
    async with acme.signed_in("bo@beta.example", org="beta") as session:
        for path in (
            f"/runs/{run_id}",
            f"/runs/{run_id}?org=acme",
            "/?org=acme",
            f"/api/v1/runs/{run_id}?organization=acme",
        ):
            async with session.get(path) as answer:
                assert answer.status == 404
                assert "Dana" not in await answer.text()


async def test_operator_picks_the_organization_and_every_link_keeps_it(acme: Site) -> None:
    source = await acme.source("directory", kind="connector", connector="file")
    await acme.run(source, "done", change())
    async with acme.signed_in("op@scimd.example", org="system") as session:
        assert 'href="/?org=acme"' in await get(session, "/")
        page = await get(session, "/?org=acme")
        assert 'href="/runs?org=acme"' in page
        assert "You act as an operator" in page


@pytest.mark.parametrize("where", ["https://shop.example/seats", "http://shop.internal/seats"])
async def test_overview_leads_to_more_seats(acme: Site, where: str) -> None:
    await settings.change(acme.door, acme.ctx, settings.Change(get_more_seats_url=where))
    async with acme.signed_in() as session:
        assert f'<a href="{where}" rel="noreferrer">Get more seats</a>' in await get(session, "/")


@pytest.mark.parametrize(
    "where", ["javascript:alert(1)", "ftp://shop.example", "http://", "//shop.example", "seats"]
)
async def test_no_door_takes_what_no_browser_opens_for_seats(acme: Site, where: str) -> None:
    with pytest.raises(
        InvalidValue, match="get_more_seats_url: must be an address that begins with https://"
    ):
        await settings.change(acme.door, acme.ctx, settings.Change(get_more_seats_url=where))


async def test_question_is_shown_side_by_side(acme: Site) -> None:
    item = await acme.decision()
    async with acme.signed_in() as session:
        assert "Is the entry uid=dana" in await get(session, "/decide")
        page = await get(session, f"/decide/{item}")
    for words in ("D. Ortiz", "Link them", "They become one.", "dana@acme.example"):
        assert words in page
    assert (await decisions.get(acme.door, acme.org_id, decisions.DecisionId(item))).state == "open"


async def test_every_open_question_is_reached_and_counted(acme: Site) -> None:
    items = {await acme.decision(number=number) for number in range(205)}
    async with acme.signed_in() as session:
        path, reached, pages = "/decide", set(), 0
        while path:
            page = await get(session, path)
            assert '<span class="count">205<' in page
            reached |= {item for item in items if f'/decide/{item}"' in page}
            path, pages = value_after(page, '<a class="button quiet slim" href="'), pages + 1
        assert (reached, pages) == (items, 3)
        page = await get(session, "/decide?all=1")
        assert "all=1" in value_after(page, '<a class="button quiet slim" href="')


async def test_answer_is_given_by_post_once(acme: Site) -> None:
    item = await decisions.get(acme.door, acme.org_id, decisions.DecisionId(await acme.decision()))
    async with acme.signed_in() as session:
        page = await get(session, f"/decide/{item.id}")
        option = item.options[1]
        assert option.label in page
        form = {"form_token": value_of(page, "form_token"), "answer": "nonsense"}
        async with session.post(f"/decide/{item.id}", data=form) as answer:
            assert answer.status == 422
        async with session.post(f"/decide/{item.id}", data=form | {"answer": option.answer}) as answer:
            assert "Decided." in await answer.text()
        assert "Nothing waits for a decision" in await get(session, "/decide")
        assert "Answered" in await get(session, "/decide?all=1")
        async with session.post(f"/decide/{item.id}", data=form | {"answer": option.answer}) as answer:
            assert answer.status == 409
