"""Items to decide: one per question, answered once, with an effect in the same transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.people import DecisionId, OrgId, PersonId, RoleName
from scimd.db.tables import assertions, events, grants, people
from scimd.db.tables import projects as project_rows
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import DecisionRecord, NewDecision, Option
from scimd.org.grants import manual_grants, named, project_upkeep, projects
from scimd.org.groups import scim_groups
from scimd.org.identities import linking
from scimd.org.settling.unsettled import settle_marked
from scimd.org.sources import rule_changes
from scimd.org.sources.rule_changes import Body, Edit
from scimd.org.sources.rule_previews import Preview
from scimd.org.tx import Actor, Context
from scimd.org.users import first_admins
from tests.org.acme import OPERATOR
from tests.org.acme import House as Acme
from tests.org.house import House, group, house, user

ITEM = NewDecision(
    kind="collision",
    subject="okta x-1",
    question="Same person?",
    options=(Option("link", "Yes", "Links."), Option("separate", "No", "Nothing.")),
    facts={"person_id": "p"},
)


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def put(acme: Acme, item: NewDecision = ITEM) -> DecisionId:
    return await acme.door.run(acme.ctx, lambda tx: decisions.open_item(tx, item))


async def test_one_item_however_often_the_question_comes_up(acme: Acme) -> None:
    first = await put(acme)
    assert [await put(acme) for _ in range(3)] == [first] * 3
    assert await asyncio.gather(*(put(acme) for _ in range(8))) == [first] * 8
    (row,) = await decisions.list_decisions(acme.door, acme.org.id)
    assert (row.id, row.options, row.state) == (first, ITEM.options, "open")
    assert (await acme.kinds()).count("decision.opened") == 1


async def test_an_answered_question_can_be_put_again(acme: Acme) -> None:
    first = await put(acme)
    done = await decisions.answer(acme.door, acme.ctx, first, "separate")
    assert (done.state, done.answer, done.answered_by) == ("answered", "separate", "root (CLI)")
    assert await put(acme) != first


async def test_an_item_is_answered_once_and_with_one_of_its_answers(acme: Acme) -> None:
    item = await put(acme)
    with pytest.raises(InvalidValue, match="link, separate"):
        await decisions.answer(acme.door, acme.ctx, item, "perhaps")
    outcomes = await asyncio.gather(
        *(decisions.answer(acme.door, acme.ctx, item, "link") for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(each, DecisionRecord) for each in outcomes) == 1
    assert sum(isinstance(each, NotAllowedNow) for each in outcomes) == 5
    assert (await acme.kinds()).count("decision.answered") == 1


async def test_an_item_of_another_organization_is_not_there(acme: Acme) -> None:
    item = await put(acme)
    with pytest.raises(NotFound):
        await decisions.get(acme.door, OrgId("elsewhere"), item)


async def test_answering_needs_the_permission_and_else_leaves_the_item_open(acme: Acme) -> None:
    item = await put(acme)
    nobody = Context(
        acme.org.id, Actor("person", "p", "p"), "web", "c", permissions=frozenset({"users.read"})
    )
    with pytest.raises(Forbidden, match=r"users\.manage"):
        await decisions.answer(acme.door, nobody, item, "link")
    assert (await decisions.get(acme.door, acme.org.id, item)).state == "open"


async def test_a_question_that_no_longer_stands_is_moot(acme: Acme) -> None:
    item = await put(acme)
    why = {item: "It changed.", DecisionId("another"): "It did not."}
    closed = [await acme.door.run(acme.ctx, lambda tx: decisions.close_moot(tx, why)) for _ in range(2)]
    assert [len(each) for each in closed] == [1, 0]
    assert (await acme.kinds()).count("decision.closed") == 1
    assert await decisions.list_decisions(acme.door, acme.org.id) == []
    assert (await decisions.list_decisions(acme.door, acme.org.id, state=None))[0].state == "moot"
    with pytest.raises(NotAllowedNow, match="no longer in question"):
        await decisions.answer(acme.door, acme.ctx, item, "link")


@pytest.mark.parametrize("later_s", [1, -3600])
async def test_the_newest_answer_on_a_subject_counts(acme: Acme, later_s: int) -> None:
    """Also after one that was given while the clock was ahead."""
    for word in ("separate", "link"):
        await decisions.answer(acme.door, acme.ctx, await put(acme), word)
        acme.clock.pass_by(seconds=later_s)
    found = await acme.door.run(
        acme.ctx, lambda tx: decisions.answered(tx.conn, tx.org_id, "collision", [ITEM.subject, "x"])
    )
    assert {subject: answer for subject, (_, answer, _) in found.items()} == {ITEM.subject: "link"}


# ------------------------------------------------------------------------------ effects


async def only_item(home: House, kind: str) -> DecisionRecord:
    (item,) = [row for row in await decisions.list_decisions(home.door, home.org_id) if row.kind == kind]
    return item


async def test_after_the_answer_link_the_providers_retry_succeeds(home: House) -> None:
    await first_admins.create_admin(home.door, "acme", "ann@acme.example", OPERATOR)
    for _ in range(3):
        with pytest.raises(NotUnique) as refused:
            await home.create("ann")
    item = await only_item(home, "collision")
    assert refused.value.decision_id == item.id
    await decisions.answer(home.door, home.as_admin(), item.id, "link")
    made = await home.create("ann")
    assert [row.id for row in await home.rows(people)] == [made.person_id]
    assert await decisions.list_decisions(home.door, home.org_id) == []


async def test_after_the_answer_separate_nothing_is_linked(home: House) -> None:
    await first_admins.create_admin(home.door, "acme", "ann@acme.example", OPERATOR)
    with pytest.raises(NotUnique):
        await home.create("ann")
    await decisions.answer(home.door, home.as_admin(), (await only_item(home, "collision")).id, "separate")
    with pytest.raises(NotUnique):
        await home.create("ann")
    assert await home.rows(assertions) == []


async def test_giving_back_restores_what_a_hand_had_given(home: House) -> None:
    ann = PersonId((await home.create("ann")).person_id)
    by_hand = ("role", "auditor", "an admin")
    await home.run(lambda tx: manual_grants.give(tx, ann, *by_hand))  # type: ignore[arg-type]
    assert "auditor" in (await home.person(ann)).roles
    await home.change(ann, active=False)
    (back,) = await home.push(user("ann", external_id="x-other"))
    assert (back.person_id, back.outcome) == (ann, "returned")
    assert "auditor" not in (await home.person(ann)).roles
    await decisions.answer(home.door, home.as_admin(), (await only_item(home, "return")).id, "give_back")
    assert "auditor" in (await home.person(ann)).roles


async def test_the_question_of_a_return_names_what_it_would_give_back(home: House) -> None:
    ann = PersonId((await home.create("ann")).person_id)
    alpha: Any = await home.run(lambda tx: projects.make(tx, "Alpha"), home.as_admin())
    studio = await named.create(home.door, home.as_admin(), "licence", "Studio")
    await home.grant(ann, "role", "auditor")
    await home.grant(ann, "project", alpha, RoleName("owner"))
    await home.grant(ann, "licence", studio.id)
    await home.change(ann, active=False)
    await home.push(user("ann", external_id="x-other"))
    item = await only_item(home, "return")
    what = "licence Studio, project Alpha as owner, role auditor."
    assert item.question.endswith(f" is back. Same person? Give back: {what}")
    assert item.options[0].effect == f"Gives back: {what}"


async def test_what_a_hand_has_given_by_now_is_not_given_back_twice(home: House) -> None:
    ann = PersonId((await home.create("ann")).person_id)
    by_hand = ("role", "auditor", "an admin")
    await home.run(lambda tx: manual_grants.give(tx, ann, *by_hand))  # type: ignore[arg-type]
    await home.change(ann, active=False)
    await home.push(user("ann", external_id="x-other"))
    await home.run(lambda tx: manual_grants.give(tx, ann, *by_hand))  # type: ignore[arg-type]
    before = await home.rows(grants)
    await decisions.answer(home.door, home.as_admin(), (await only_item(home, "return")).id, "give_back")
    assert await home.rows(grants) == before


async def test_a_group_takes_part_in_the_project_of_its_name_when_told_so(home: House) -> None:
    ann = await home.create("ann")
    project: Any = await home.run(lambda tx: projects.make(tx, "Payroll"), home.as_admin())
    await home.group("Payroll", ann.person_id)
    assert project not in {row.target for row in await home.rows(grants)}
    item = await only_item(home, "group_name")
    await decisions.answer(home.door, home.as_admin(), item.id, "use")
    live = {row.target for row in await home.rows(grants, person_id=ann.person_id) if row.until is None}
    assert project in live


TEAM = {"number": 10, "pattern": "P*", "team": "Red"}


@pytest.mark.parametrize("rule", [TEAM, {"number": 10, "pattern": "P*", "project": "Other"}])
@pytest.mark.parametrize("answer", ["use", "separate"])
async def test_what_was_answered_on_a_groups_name_outlasts_a_rule(
    home: House, answer: str, rule: Body
) -> None:
    ann = (await home.create("ann")).person_id
    await home.run(lambda tx: projects.make(tx, "Payroll"), home.as_admin())
    await home.group("Payroll", ann)
    await decisions.answer(home.door, home.as_admin(), (await only_item(home, "group_name")).id, answer)
    before = await projects_of(home, ann)
    assert before == {"Payroll" if answer == "use" else "General"}
    await ruled(home, rule_changes.add(rule))
    assert "Payroll" not in await projects_of(home, ann)
    removed = await ruled(home, rule_changes.remove(10))
    gains = {gain for each in removed.people for gain in each.gains}
    assert ("project Payroll as member" in gains) == (answer == "use")
    assert await projects_of(home, ann) == before
    assert await decisions.list_decisions(home.door, home.org_id) == []


async def test_a_group_that_gets_its_name_back_is_what_was_answered(home: House) -> None:
    ann = (await home.create("ann")).person_id
    project: Any = await home.run(lambda tx: projects.make(tx, "Payroll"), home.as_admin())
    group_id = await home.group("Payroll", ann)
    await decisions.answer(home.door, home.as_admin(), (await only_item(home, "group_name")).id, "use")
    await ruled(home, rule_changes.add(TEAM))
    await home.push_groups(group("Wages", ann, group_id=group_id))
    assert await projects_of(home, ann) == {"Wages"}
    await ruled(home, rule_changes.remove(10))
    await home.push_groups(group("Payroll", ann, group_id=group_id))
    assert await projects_of(home, ann) == {"Payroll"}
    assert await decisions.list_decisions(home.door, home.org_id) == []
    await project_upkeep.archive(home.door, home.as_admin(), project)
    await home.run(lambda tx: projects.make(tx, "Payroll"), home.as_admin())
    await ruled(home, rule_changes.add(TEAM))
    await ruled(home, rule_changes.remove(10))
    assert (await only_item(home, "group_name")).facts["project_id"] != project


async def test_a_project_that_is_another_is_not_taken_up_when_it_is_left_behind(home: House) -> None:
    ctx = home.as_sync(await home.source("hr", kind="connector", connector="file"))
    (ann,) = await home.push(user("ann"), ctx=ctx)
    first = group("Payroll", external_id="g1")
    (made, _) = await home.push_groups(first, group("Payroll", "x-ann", external_id="g2"), ctx=ctx)
    item = await only_item(home, "group_name")
    await decisions.answer(home.door, home.as_admin(), item.id, "separate")
    assert made.group_id is not None
    await scim_groups.delete_group(home.door, ctx, made.group_id)
    (project,) = await home.rows(project_rows, name="Payroll")
    assert project.orphaned
    await ruled(home, rule_changes.add(TEAM), "hr")
    await ruled(home, rule_changes.remove(10), "hr")
    assert await projects_of(home, ann.person_id or "") == {"General"}


async def ruled(home: House, edit: Edit, source: str = "okta") -> Preview:
    looked = await rule_changes.preview(home.door, home.as_admin(), source, edit)
    assert looked == await rule_changes.apply(home.door, home.as_admin(), source, edit, sure=True)
    await settle_marked(home.door, home.org_id, budget_s=10)
    return looked


async def projects_of(home: House, person_id: str) -> set[str]:
    named = {row.id: row.name for row in await home.rows(project_rows)}
    held = await home.rows(grants, person_id=person_id, kind="project", until=None, dormant=False)
    return {named[row.target] for row in held}


async def test_an_address_is_asked_for_again_only_when_its_holder_has_left_it(home: House) -> None:
    ann, bob = (
        await home.create("ann", mail="one@acme.example"),
        await home.create("bob", mail="one@acme.example"),
    )
    assert (await home.person(bob.person_id)).sign_in_address is None
    item = await only_item(home, "shared_address")
    with pytest.raises(NotAllowedNow, match=r"one@acme\.example is still the address of Ann"):
        await decisions.answer(home.door, home.as_admin(), item.id, "again")
    assert (await home.person(bob.person_id)).sign_in_address is None
    assert (await home.person(ann.person_id)).sign_in_address == "one@acme.example"
    assert [each.id for each in await decisions.list_decisions(home.door, home.org_id)] == [item.id]


async def test_nobody_gives_back_a_role_above_their_own(home: House) -> None:
    ann = PersonId((await home.create("ann")).person_id)
    await home.run(lambda tx: manual_grants.give(tx, ann, "role", "account-admin", "an admin"))
    bob = PersonId((await home.create("bob")).person_id)
    await home.run(lambda tx: manual_grants.give(tx, bob, "role", "account-admin", "an admin"))
    await home.change(ann, active=False)
    await home.push(user("ann", external_id="x-other"))
    item = await only_item(home, "return")
    with pytest.raises(Forbidden, match="Account Admin may do what you may not"):
        await decisions.answer(home.door, helpdesk(home), item.id, "give_back")
    assert "account-admin" not in (await home.person(ann)).roles
    await decisions.answer(home.door, home.as_admin(), item.id, "give_back")


async def test_nobody_links_an_entry_to_an_account_above_their_own(home: House) -> None:
    await first_admins.create_admin(home.door, "acme", "ann@acme.example", OPERATOR)
    with pytest.raises(NotUnique):
        await home.create("ann")
    item = await only_item(home, "collision")
    with pytest.raises(Forbidden, match="has the role Account Admin"):
        await decisions.answer(home.door, helpdesk(home), item.id, "link")
    assert (await only_item(home, "collision")).state == "open"
    await decisions.answer(home.door, helpdesk(home), item.id, "separate")


def helpdesk(home: House) -> Context:
    permissions = frozenset({"users.read", "users.manage"})
    return Context(home.org_id, Actor("person", "h", "h@acme.example"), "web", "c", permissions=permissions)


async def test_whoever_comes_back_twice_is_asked_about_once_with_what_both_times_had(home: House) -> None:
    ann = PersonId((await home.create("ann")).person_id)
    studio = await named.create(home.door, home.as_admin(), "licence", "Studio")
    alpha: Any = await home.run(lambda tx: projects.make(tx, "Alpha"), home.as_admin())
    await home.grant(ann, "licence", studio.id)
    await home.grant(ann, "project", alpha, RoleName("viewer"))
    await home.change(ann, active=False)
    await home.push(user("ann", external_id="x-second"))
    first = await only_item(home, "return")
    await home.grant(ann, "role", "auditor")
    await home.grant(ann, "project", alpha, RoleName("owner"))
    await home.change(ann, active=False)
    await home.push(user("ann", external_id="x-third"))
    item = await only_item(home, "return")
    assert item.question.endswith("Give back: licence Studio, project Alpha as owner, role auditor.")
    (closed,) = await home.rows(events, kind="decision.closed")
    assert (closed.target_id, closed.body["note"]) == (first.id, "They are back once more: it is asked anew.")
    await decisions.answer(home.door, home.as_admin(), item.id, "give_back")
    live = [row for row in await home.rows(grants, person_id=ann, origin="manual") if row.until is None]
    assert {(row.kind, row.project_role) for row in live} == {
        ("licence", None),
        ("project", "owner"),
        ("role", None),
    }


async def test_the_audit_tells_which_questions_and_answers_a_link_by_hand_ends(home: House) -> None:
    await first_admins.create_admin(home.door, "acme", "ann@acme.example", OPERATOR)
    with pytest.raises(NotUnique):
        await home.create("ann")
    asked = await only_item(home, "collision")
    (ann,) = await home.rows(people)
    for _ in range(2):
        await linking.link(home.door, home.as_admin(), ann.id, "okta", "x-ann")
    assert await decisions.list_decisions(home.door, home.org_id) == []
    closed = {row.body["after"]["kind"]: row for row in await home.rows(events, kind="decision.closed")}
    assert set(closed) == {"collision", "link"}
    about = closed["collision"]
    assert (about.target_id, about.body["note"]) == (asked.id, "An admin said whose entry it is.")
