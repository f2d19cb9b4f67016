"""The other nouns over REST: what their lists hold, and that their actions do what they say, once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scimd.core.people import GroupId
from scimd.db.tables import people as persons
from scimd.db.tables import roles
from scimd.org.audit import audit, verifying
from scimd.org.decisions import decisions
from scimd.org.declared import declared_held
from scimd.org.grants import named
from scimd.org.groups.groups import AssertGroup, record_groups
from scimd.org.tokens import api_tokens, tokens
from scimd.org.tx import Context, Tx
from scimd.org.users.people import AssertUser, record_users
from tests.admin.client import Client, form_token_of, signed_in
from tests.web.site import Site


async def _kinds(api: Client, target: str) -> list[str]:
    return [entry["kind"] for entry in (await api.get(f"/audit?target={target}&sort=at")).json["items"]]


# ------------------------------------------------------------------------------ decisions


async def test_questions_are_listed_and_answered_once(acme: Site, api: Client) -> None:
    item = await acme.decision()
    (listed,) = (await api.get("/decisions")).json["items"]
    assert (listed["id"], [option["answer"] for option in listed["options"]]) == (item, ["link", "separate"])
    assert (await api.get(f"/decisions/{item}")).json == listed
    wrong = await api.post(f"/decisions/{item}/answer", {"answer": "perhaps"})
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "/answer")
    done = await api.post(f"/decisions/{item}/answer", {"answer": "separate"})
    assert (done.status, done.json["state"], done.json["answered_by"]) == (
        200,
        "answered",
        "ada@acme.example",
    )
    assert (await api.post(f"/decisions/{item}/answer", {"answer": "link"})).json["code"] == "not_allowed_now"
    assert (await api.get("/decisions")).json["items"] == []
    assert len((await api.get("/decisions?state=answered")).json["items"]) == 1
    assert await _kinds(api, item) == ["decision.opened", "decision.answered"]


async def test_whoever_may_answer_questions_sees_those_and_no_others(acme: Site) -> None:
    people = await acme.decision()
    question = decisions.NewDecision(
        "group_name", "Sales", "Is it Sales?", (decisions.Option("use", "Yes", "It is."),), {}
    )
    group = await acme.door.run(acme.ctx, lambda tx: decisions.open_item(tx, question))
    for permission, seen in (
        ("projects.manage", {group}),
        ("users.manage", {people}),
        ("users.read", {people, group}),
        ("audit.read", None),
    ):
        made = await api_tokens.create_service(acme.door, acme.ctx, permission, [permission])
        async with acme.browser(Authorization=f"Bearer {made.token}") as session:
            client = Client(session, acme.url, "")
            found = await client.get("/decisions")
            if seen is None:
                assert found.status == 403
                continue
            assert {row["id"] for row in found.json["items"]} == seen
            for each in (people, group):
                assert (await client.get(f"/decisions/{each}")).status == (200 if each in seen else 404)
    held = {"roles": ["user"], "primary_role": "user"}
    await acme.door.db.write(
        lambda conn: (
            conn.execute(roles.update().where(roles.c.name == "user").values(permissions=["projects.manage"]))
            and None
        )
    )
    async with acme.signed_in("bo@acme.example") as session:
        await acme.door.db.write(lambda conn: conn.execute(persons.update().values(held)) and None)
        for path, status in (("/decide", 200), (f"/decide/{group}", 200), (f"/decide/{people}", 404)):
            async with session.get(path) as answer:
                assert answer.status == status
                page = await answer.text()
                assert "Is it Sales?" in page or status == 404
                assert "uid=dana" not in page


async def test_many_questions_are_answered_at_once(acme: Site, api: Client) -> None:
    first, second = await acme.decision(n=1), await acme.decision(n=2)
    items = [{"id": first, "answer": "link"}, {"id": second, "answer": "no"}, {"id": "x", "answer": "link"}]
    results = (await api.post("/decisions/answer", {"items": items})).json["results"]
    assert [row["status"] for row in results] == [200, 422, 404]


# ------------------------------------------------------------------------------ invitations


async def _invited(acme: Site) -> str:
    source = await acme.source("okta")
    document = {"userName": "dana@acme.example", "emails": [{"value": "dana@acme.example"}]}
    await acme.push(source, document)
    return source.id


async def test_invitations_are_listed_sent_again_and_withdrawn(acme: Site, api: Client) -> None:
    await _invited(acme)
    (row,) = (await api.get("/invitations?status=pending&q=DANA")).json["items"]
    assert (row["address"], row["status"]) == ("dana@acme.example", "pending")
    assert (await api.get("/invitations?q=nobody")).json["items"] == []
    again = await api.post(f"/invitations/{row['id']}/resend")
    assert (again.status, again.json["delivery"]) == (200, "due")
    over = await api.post(f"/invitations/{row['id']}/withdraw")
    assert (over.status, over.json["status"], over.json["ended_by"]) == (200, "cancelled", "ada@acme.example")
    twice = await api.post(f"/invitations/{row['id']}/withdraw")
    assert (twice.status, twice.json["code"]) == (410, "invitation_closed")
    assert (await api.get(f"/invitations/{row['id']}")).json["status"] == "cancelled"
    kinds = await _kinds(api, row["id"])
    assert kinds[-2:] == ["invitation.resent", "invitation.cancelled"]


async def test_expired_invitation_is_expired_with_the_job_off(acme: Site, api: Client) -> None:
    await _invited(acme)
    acme.clock.ahead += timedelta(days=7, minutes=1)
    async with signed_in(acme, "other@acme.example") as later:
        assert [row["status"] for row in (await later.get("/invitations?status=expired")).json["items"]] == [
            "expired"
        ]
        assert (await later.get("/invitations?status=pending")).json["items"] == []


async def test_link_to_hand_over_works_and_is_in_the_audit_without_its_text(acme: Site, api: Client) -> None:
    await _invited(acme)
    (row,) = (await api.get("/invitations")).json["items"]
    answer = await api.post(f"/invitations/{row['id']}/copy-link", Idempotency_Key="k")
    url = answer.json["url"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert url.startswith(f"{acme.url}/invitation/")
    async with acme.browser() as session, session.get(url) as page:
        assert page.status == 200
    assert (await _kinds(api, row["id"]))[-1] == "invitation.link_copied"
    assert url.rpartition("/")[2] not in (await api.get("/audit?format=json")).text
    again = await api.post(f"/invitations/{row['id']}/copy-link", Idempotency_Key="k")
    assert again.json == answer.json
    assert (await _kinds(api, row["id"])).count("invitation.link_copied") == 1


# ------------------------------------------------------------------------------ sessions


async def test_session_that_is_ended_is_dead_at_its_next_request(acme: Site, api: Client) -> None:
    async with signed_in(acme, "other@acme.example") as other:
        (own,) = (await other.get("/me/sessions")).json["items"]
        assert {row["display_name"] for row in (await api.get("/sessions")).json["items"]} >= {
            own["display_name"]
        }
        assert (await api.send("DELETE", f"/me/sessions/{own['id']}")).status == 404
        assert (await api.send("DELETE", f"/sessions/{own['id']}")).status == 204
        assert (await other.get("/me/sessions")).status == 401
    assert own["id"] not in [row["id"] for row in (await api.get("/sessions")).json["items"]]
    assert own["id"] in [row["id"] for row in (await api.get("/sessions?live=false")).json["items"]]
    assert (await _kinds(api, own["person_id"]))[-1] == "session.ended"


async def test_one_ends_ones_own_session_without_a_permission(acme: Site) -> None:
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(okta, {"userName": "dana@acme.example"})
    link = await acme.sign_in_link_of(person)
    async with acme.browser() as session:
        await (await session.post(f"/sign-in/{link}")).read()
        dana = Client(session, acme.url, await form_token_of(acme, session))
        (own,) = (await dana.get("/me/sessions")).json["items"]
        assert (await dana.get("/sessions")).status == 403
        assert (await dana.send("DELETE", f"/me/sessions/{own['id']}")).status == 204
        assert (await dana.get("/me/sessions")).status == 401


async def test_attempts_to_sign_in_are_listed_and_filtered(acme: Site, api: Client) -> None:
    async with acme.browser() as session:
        for address in ("ada@acme.example", "Nobody@acme.example"):
            form = {"address": address, "password": "wrong wrong wrong"}
            await (await session.post("/o/acme/sign-in", data=form)).read()
    rows = (await api.get("/login-attempts?success=false")).json["items"]
    assert [row["address"] for row in rows] == ["Nobody@acme.example", "ada@acme.example"]
    assert rows[0]["person_id"] is None
    (found,) = (await api.get("/login-attempts?address=NOBODY@acme.example")).json["items"]
    assert found == rows[0]
    assert (await api.get("/login-attempts?ip=203.0.113.9")).json["items"] == []


# ------------------------------------------------------------------------------ sources


async def test_sources_are_listed_released_and_paused(acme: Site, api: Client) -> None:
    source = await acme.source("okta", state="staged")
    await acme.push(source, {"userName": "d", "emails": [{"value": "dana@acme.example"}]})
    (row,) = (await api.get("/sources")).json["items"]
    assert (row["name"], row["state"], row["user_count"]) == ("okta", "staged", 1)
    assert "config" not in row
    assert (await api.get(f"/sources/{source.id}")).json["config"]["name"] == "okta"
    assert (await api.get("/sources/okta")).status == 404
    assert (await api.get(f"/sources/{source.id}/release")).json == {"people": 1, "mails": 1}
    assert (await api.post(f"/sources/{source.id}/release")).json == {"people": 1, "mails": 1}
    assert (await api.post(f"/sources/{source.id}/release")).json["code"] == "not_allowed_now"
    assert (await api.post(f"/sources/{source.id}/state", {"state": "paused"})).json["state"] == "paused"
    assert (await api.post(f"/sources/{source.id}/state", {"state": "staged"})).status == 422
    assert await _kinds(api, source.id) == ["source.created", "source.released", "source.paused"]


async def test_what_is_held_of_the_file_is_said_of_its_source(acme: Site, api: Client) -> None:
    source = await acme.source("okta")
    assert (await api.get(f"/sources/{source.id}")).json["held"] is None
    why = {"okta": "The change would take the access of 7 of 8 people."}
    await acme.door.run(acme.ctx, lambda tx: declared_held.note(tx, why))
    (row,) = (await api.get("/sources")).json["items"]
    assert row["held"].startswith(why["okta"])
    assert row["held"].endswith("or let through what they alone hold: scimd org accept acme")
    assert (await api.get(f"/sources/{source.id}")).json["held"] == row["held"]
    assert (await api.get("/organization")).json["held"] == {"okta": row["held"]}


async def test_source_is_read_soon_where_it_has_a_schedule(acme: Site, api: Client) -> None:
    scim = await acme.source("okta")
    assert (await api.post(f"/sources/{scim.id}/run")).json["code"] == "not_allowed_now"
    directory = await acme.source(
        "directory",
        kind="connector",
        connector="file",
        config={"connector": "file", "schedule": "1h"},
        declared_in="file",
    )
    answer = await api.post(f"/sources/{directory.id}/run")
    assert (answer.status, answer.json["next_run_at"] is not None) == (202, True)
    assert (await _kinds(api, directory.id))[-1] == "run.asked"
    await api.post(f"/sources/{directory.id}/state", {"state": "paused"})
    assert (await api.post(f"/sources/{directory.id}/run")).status == 409


async def test_tokens_are_listed_without_their_text_and_revoked(acme: Site, api: Client) -> None:
    source = await acme.source("okta")
    made = await tokens.create(acme.door, acme.ctx, source.id, "first")
    answer = await api.get(f"/source-tokens?source={source.id}&live=true")
    assert [row["name"] for row in answer.json["items"]] == ["first"]
    assert made.token not in answer.text
    for _ in range(2):
        assert (await api.send("DELETE", f"/source-tokens/{made.id}")).status == 204
    assert (await api.get("/source-tokens?live=true")).json["items"] == []
    assert (await _kinds(api, made.id)).count("token.revoked") == 1


# ------------------------------------------------------------------------------ groups, what is given


async def _group(acme: Site) -> GroupId:
    source = await acme.source("okta", invite="never")
    ctx = Context(acme.org_id, acme.ctx.actor, "scim", "c", source_id=source.id)

    def body(tx: Tx) -> GroupId:
        (person,) = record_users(tx, [AssertUser({"userName": "dana@acme.example"}, "e1")])
        members = [str(person.person_id), "somebody-later"]
        (made,) = record_groups(tx, [AssertGroup({"displayName": "Engineering"}, None, members)])
        assert made.group_id is not None
        return made.group_id

    return await acme.door.run(ctx, body)


async def test_groups_and_their_members_are_listed(acme: Site, api: Client) -> None:
    group = await _group(acme)
    (row,) = (await api.get("/groups?q=ENGIN")).json["items"]
    assert (row["id"], row["display_name"], row["members"], row["source_name"]) == (
        group, "Engineering", 2, "okta",
    )  # fmt: skip
    assert (await api.get(f"/groups/{group}")).json == row
    members = (await api.get(f"/groups/{group}/members")).json["items"]
    assert sorted((each["kind"], each["name"]) for each in members if each["name"]) == [
        ("user", members[0]["name"] or members[1]["name"])
    ]
    assert {each["kind"] for each in members} == {"user", "unknown"}
    assert (await api.get("/groups/nothing/members")).status == 404
    assert (await api.get("/groups?source=nothing")).json["items"] == []


async def test_projects_teams_licences_and_roles_say_how_many_have_them(acme: Site, api: Client) -> None:
    await _group(acme)
    team = await named.create(acme.door, acme.ctx, "team", "Ops")
    licence = await named.create(acme.door, acme.ctx, "licence", "Pro")
    found = {row["name"]: row["people"] for row in (await api.get("/projects?sort=-name")).json["items"]}
    assert found == {"General": 0, "Engineering": 1}
    (project,) = (await api.get("/projects?q=engin")).json["items"]
    assert (await api.get(f"/projects/{project['id']}")).json == project
    assert project["group_id"] is not None
    assert (await api.get("/projects?archived=true")).json["items"] == []
    assert (await api.get(f"/teams/{team.id}")).json["name"] == "Ops"
    assert [row["name"] for row in (await api.get("/licences")).json["items"]] == ["Pro"]
    assert (await api.get(f"/licences/{licence.id}")).json["people"] == 0
    roles = {row["name"]: row for row in (await api.get("/roles")).json["items"]}
    assert set(roles) == {"account-admin", "auditor", "manager", "user"}
    assert roles["account-admin"]["people"] == 1


async def test_projects_and_licences_are_limited_and_show_used_and_limit(acme: Site, api: Client) -> None:
    """K5, P6."""
    made = (await api.post("/projects", {"name": "Apollo", "limit": 1})).json
    pro = (await api.post("/licences", {"name": "Pro"})).json
    assert (made["people"], made["limit"], made["waiting"], pro["limit"]) == (0, 1, 0, None)
    changed = await api.send("PATCH", f"/licences/{pro['id']}", {"limit": 0})
    assert (changed.status, changed.json["limit"], changed.json["name"]) == (200, 0, "Pro")
    assert (await api.send("PATCH", f"/licences/{pro['id']}", {"name": None})).status == 422
    assert (await api.send("PATCH", f"/licences/{pro['id']}", {"limit": -1})).status == 422
    assert (await api.get(f"/licences/{pro['id']}")).json == changed.json
    new = {"email": "ann@home.example", "projects": [{"id": made["id"]}]}
    assert (await api.post("/users", new)).status == 201
    refused = await api.post("/users", {**new, "email": "bob@home.example"})
    figures = {"kind": "project", "name": "Apollo", "limit": 1, "used": 1}
    assert (refused.status, refused.json["code"], refused.json["facts"]) == (
        409, "pool_limit_reached", figures,
    )  # fmt: skip
    (row,) = (await api.get("/projects?q=apollo")).json["items"]
    assert (row["people"], row["limit"]) == (1, 1)
    changed = await api.send("PATCH", f"/projects/{made['id']}", {"name": "Gemini", "limit": None})
    assert (changed.json["name"], changed.json["limit"]) == ("Gemini", None)
    assert (await api.post("/users", {**new, "email": "bob@home.example"})).status == 201


async def test_seats_are_told_with_their_figures(acme: Site, api: Client) -> None:
    await _group(acme)
    assert (await api.get("/seats")).json == {
        "limit": 50, "used": 2, "free": 48, "waiting": 0, "policy": "hold", "get_more_url": None,
    }  # fmt: skip


# ------------------------------------------------------------------------------ audit


async def test_audit_is_filtered_and_verified(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await acme.decision()
    await api.post(f"/decisions/{item}/answer", {"answer": "separate"}, X_Request_Id="request-0001")
    (entry,) = (await api.get("/audit?correlation=request-0001")).json["items"]
    assert (entry["kind"], entry["after"]["answer"], entry["door"]) == (
        "decision.answered",
        "separate",
        "api",
    )
    assert (await api.get(f"/audit?until={entry['at']}&kind=decision.answered")).json["items"] == []
    assert len((await api.get(f"/audit?since={entry['at']}&kind=decision.answered")).json["items"]) == 1
    await audit.publish(acme.door, acme.org_id)
    found = (await api.get("/audit/verify")).json
    assert (found["ok"], found["faults"], found["unpublished"]) == (True, [], 0)
    assert found["published"] > 5
    monkeypatch.setattr(verifying, "_BATCH", 2)
    monkeypatch.setattr(verifying, "_PART", 4)
    part = (await api.get("/audit/verify")).json
    assert (part["published"], part["next"]) == (4, 4)
    looked_at = 4
    while part["next"] is not None:
        part = (await api.get(f"/audit/verify?after={part['next']}")).json
        assert part["ok"]
        looked_at += part["published"]
    assert looked_at == found["published"]
    assert (await api.get("/audit/verify?after=-1")).status == 422


async def test_operator_elsewhere_is_audited_as_one_and_held_to_permissions(acme: Site, api: Client) -> None:
    item = await acme.decision()
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        path = f"/decisions/{item}/answer?organization=acme"
        assert (await operator.post(path, {"answer": "separate"})).status == 200
    (entry,) = (await api.get("/audit?kind=decision.answered")).json["items"]
    assert (entry["actor_kind"], entry["actor_name"]) == ("operator", "op@scimd.example")
