"""What admins change over REST, noun by noun; rows of the feature table in the names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd.core.people import PersonId
from scimd.org.authentication import sessions
from scimd.org.grants import assignments, named, project_upkeep
from scimd.org.organizations import organizations, partners
from scimd.org.organizations.organizations import NewOrganization, create
from tests.admin.client import Client, signed_in
from tests.web.site import OPERATOR, Site


async def _kinds(api: Client, target: str) -> list[str]:
    return [entry["kind"] for entry in (await api.get(f"/audit?target={target}&sort=at")).json["items"]]


async def _ann(api: Client, **more: Any) -> dict[str, Any]:
    answer = await api.post("/users", {"email": "ann@acme.example", **more})
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


async def _dana(acme: Site) -> PersonId:
    """Somebody whom a source owns."""
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(
        okta, {"userName": "dana@acme.example", "emails": [{"value": "dana@acme.example"}]}
    )
    return person


# ------------------------------------------------------------------------------ U5, U6: add, edit


async def test_u5_user_is_added_with_role_project_and_team(acme: Site, api: Client) -> None:
    team = await named.create(acme.door, acme.ctx, "team", "Ops")
    project = await project_upkeep.create(acme.door, acme.ctx, "Alpha")
    ann = await _ann(
        api, display_name="Ann", role="user", projects=[{"id": project, "role": "viewer"}], team=team.id
    )
    assert (ann["status"], ann["has_seat"], ann["team"]["name"]) == ("pending", True, "Ops")
    assert ann["projects"] == [{"id": project, "name": "Alpha", "role": "viewer"}]
    assert (await api.get(f"/users/{ann['id']}")).json.items() >= ann.items()
    twice = await api.post("/users", {"email": "Ann@acme.example"})
    assert (twice.status, twice.json["errors"][0]["field"]) == (409, "/email")
    assert (await api.post("/users", {"email": "no address"})).json["errors"][0]["field"] == "/email"
    assert (await _kinds(api, ann["id"])).count("person.created") == 1


async def test_u5_user_beyond_the_seats_is_refused_with_the_figures(acme: Site, api: Client) -> None:
    used = (await api.get("/seats")).json["used"]
    assert (await api.send("PUT", "/seats", {"limit": used})).json["free"] == 0
    refused = await api.post("/users", {"email": "ann@acme.example"})
    assert (refused.status, refused.json["code"]) == (409, "seat_limit_reached")
    assert (refused.json["facts"]["limit"], refused.json["facts"]["used"]) == (used, used)
    assert (await api.get("/users?q=ann")).json["items"] == []


async def test_u5_service_account_takes_no_seat(api: Client) -> None:
    before = (await api.get("/seats")).json["used"]
    body = {"user_name": "backup", "display_name": "Backup", "owner": "Ada"}
    made = await api.post("/service-accounts", body)
    assert (made.status, made.json["kind"], made.json["has_seat"]) == (200, "service", False)
    assert (await api.get("/seats")).json["used"] == before
    path = f"/users/{made.json['id']}"
    assert (made.json["owner"], (await api.get(path)).json["owner"]) == ("Ada", "Ada")
    assert (await api.send("PATCH", path, {"owner": "Bob"})).json["owner"] == "Bob"
    emptied = await api.send("PATCH", path, {"owner": None})
    assert (emptied.status, emptied.json["errors"][0]["field"]) == (422, "/owner")
    assert "Bob" in (await api.get("/users?kind=service", Accept="text/csv")).text


async def test_u6_edit_is_refused_where_somebody_was_faster(api: Client) -> None:
    ann = await _ann(api)
    tag = (await api.get(f"/users/{ann['id']}")).headers["ETag"]
    path = f"/users/{ann['id']}"
    done = await api.send("PATCH", path, {"display_name": "Ann O."}, {"If-Match": tag})
    assert (done.status, done.json["display_name"]) == (200, "Ann O.")
    late = await api.send("PATCH", path, {"display_name": "Annie"}, {"If-Match": tag})
    assert (late.status, late.json["code"]) == (412, "version_mismatch")
    again = await api.send("PATCH", path, {"user_name": "annie"}, {"If-Match": done.headers["ETag"]})
    assert (again.status, again.json["user_name"]) == (200, "annie")
    nulled = await api.send("PATCH", path, {"display_name": None})
    assert nulled.json["display_name"] == "ann@acme.example"
    assert (await api.send("PATCH", path, {"email": None})).status == 422
    assert (await api.send("PATCH", path, {"email": "ann@other.example"})).json["email_verified"] is False


async def test_u6_what_a_source_owns_is_refused_with_its_name(acme: Site, api: Client) -> None:
    dana = await _dana(acme)
    refused = await api.send("PATCH", f"/users/{dana}", {"display_name": "D."})
    assert (refused.status, refused.json["code"]) == (403, "owned_by_source")
    assert "okta" in refused.json["detail"]
    gone = await api.send("DELETE", f"/users/{dana}")
    assert (gone.status, gone.json["code"]) == (403, "owned_by_source")
    detached = await api.post(f"/users/{dana}/detach", {"source": "okta"})
    assert (detached.status, detached.json["source"]) == (200, None)
    assert (await api.send("PATCH", f"/users/{dana}", {"display_name": "D."})).status == 200


# ------------------------------------------------------------------------------ what they have


async def test_u7_roles_are_set_added_and_taken(acme: Site, api: Client) -> None:
    ann = await _ann(api)
    path = f"/users/{ann['id']}"
    assert (await api.send("PUT", f"{path}/role", {"role": "manager"})).json["primary_role"] == "manager"
    assert (await api.post(f"{path}/roles", {"role": "auditor"})).json["roles"] == ["manager", "auditor"]
    assert (await api.send("DELETE", f"{path}/roles/auditor")).json["roles"] == ["manager"]
    assert (await api.send("DELETE", f"{path}/roles/auditor")).status == 404
    unknown = await api.send("PUT", f"{path}/role", {"role": "king"})
    assert (unknown.status, unknown.json["errors"][0]["field"]) == (422, "/role")
    (me,) = (await api.get("/users?q=ada")).json["items"]
    own = await api.send("PUT", f"/users/{me['id']}/role", {"role": "user"})
    assert (own.status, own.json["code"]) == (403, "own_account")
    items = [
        {"id": ann["id"], "role": "auditor"},
        {"id": me["id"], "role": "user"},
        {"id": "x", "role": "user"},
    ]
    results = (await api.post("/users/set-role", {"items": items})).json["results"]
    assert [row["status"] for row in results] == [200, 403, 404]
    results = (await api.post("/users/add-role", {"items": [{"id": ann["id"], "role": "manager"}]})).json
    assert results["results"][0]["answer"]["roles"] == ["manager", "auditor"]
    gone = await api.post("/users/remove-role", {"items": [{"id": ann["id"], "role": "manager"}]})
    assert gone.json["results"][0]["answer"]["roles"] == ["auditor"]


async def test_u8_projects_are_given_and_the_last_one_stays(api: Client) -> None:
    alpha = (await api.post("/projects", {"name": "Alpha"})).json["id"]
    beta = (await api.post("/projects", {"name": "Beta"})).json["id"]
    ann = await _ann(api, projects=[{"id": alpha}])
    path = f"/users/{ann['id']}/projects"
    more = await api.post(path, {"project": beta, "role": "owner"})
    assert {each["name"]: each["role"] for each in more.json["projects"]} == {
        "Alpha": "member",
        "Beta": "owner",
    }
    changed = await api.send("PUT", f"{path}/{beta}", {"role": "viewer"})
    assert changed.json["projects"][1]["role"] == "viewer"
    assert (await api.send("DELETE", f"{path}/{beta}")).status == 200
    last = await api.send("DELETE", f"{path}/{alpha}")
    assert (last.status, last.json["code"]) == (409, "not_allowed_now")
    many = await api.post("/users/add-project", {"items": [{"id": ann["id"], "project": beta}]})
    assert many.json["results"][0]["status"] == 200
    items = [{"id": ann["id"], "project": beta}, {"id": ann["id"], "project": alpha}]
    many = await api.post("/users/remove-project", {"items": items})
    assert [row["status"] for row in many.json["results"]] == [200, 409]
    (row,) = (await api.get(f"/projects/{alpha}/members")).json["items"]
    assert (row["person_id"], row["origin"], row["by"]) == (ann["id"], "manual", "ada@acme.example")


async def test_u9_team_and_licences_are_given_and_taken(acme: Site, api: Client) -> None:
    ann = await _ann(api)
    team = (await api.post("/teams", {"name": "Ops"})).json["id"]
    licence = (await api.post("/licences", {"name": "Pro"})).json["id"]
    path = f"/users/{ann['id']}"
    assert (await api.send("PUT", f"{path}/team", {"team": team})).json["team"]["name"] == "Ops"
    assert (await api.send("PUT", f"{path}/licences/{licence}")).json["licences"] == [
        {"id": licence, "name": "Pro"}
    ]
    for noun, thing in (("teams", team), ("licences", licence)):
        held = await api.send("DELETE", f"/{noun}/{thing}")
        assert (held.status, held.json["code"]) == (409, "not_allowed_now")
    many = await api.post("/users/remove-team", {"items": [{"id": ann["id"]}]})
    assert many.json["results"][0]["answer"]["team"] is None
    assert (await api.post("/users/set-team", {"items": [{"id": ann["id"], "team": "x"}]})).json["results"][
        0
    ]["status"] == 404
    assert (await api.send("DELETE", f"{path}/licences/{licence}")).json["licences"] == []
    for noun, thing in (("teams", team), ("licences", licence)):
        assert (await api.send("DELETE", f"/{noun}/{thing}")).status == 204


# ------------------------------------------------------------------------------ U10-U13: gates


async def test_u10_deactivated_is_not_disabled_and_not_deleted(acme: Site, api: Client) -> None:
    ann = await _ann(api)
    path = f"/users/{ann['id']}"
    off = await api.post(f"{path}/deactivate")
    assert (off.json["status"], off.json["has_seat"]) == ("inactive", False)
    assert off.json["causes"][0].startswith("deactivated")
    assert (await api.post(f"{path}/enable")).json["code"] == "not_allowed_now"
    assert (await api.post(f"{path}/reactivate")).json["has_seat"] is True
    assert (await api.post(f"{path}/disable")).json["causes"][0].startswith("disabled")
    assert (await api.post(f"{path}/reactivate")).status == 409
    assert (await api.post(f"{path}/enable")).status == 200
    assert (await api.send("DELETE", path)).status == 204
    assert [row["id"] for row in (await api.get("/users?deleted=true")).json["items"]] == [ann["id"]]
    assert (await api.post(f"{path}/restore")).json["deleted_at"] is None
    assert (await api.post(f"{path}/restore")).json["code"] == "not_allowed_now"


async def test_u17_many_are_deactivated_and_deleted_row_by_row(acme: Site, api: Client) -> None:
    ann = await _ann(api)
    (me,) = (await api.get("/users?q=ada")).json["items"]
    items = {"items": [{"id": ann["id"]}, {"id": me["id"]}, {"id": "x"}]}
    for verb, wanted in (("deactivate", [200, 403, 404]), ("delete", [204, 403, 404])):
        results = (await api.post(f"/users/{verb}", items)).json["results"]
        assert [row["status"] for row in results] == wanted, results
    restored = await api.post("/users/restore", {"items": [{"id": ann["id"]}]})
    assert restored.json["results"][0]["answer"]["causes"][0].startswith("deactivated")


async def test_u15_forced_reset_ends_sessions(acme: Site, api: Client) -> None:
    async with signed_in(acme, "other@acme.example") as other:
        (row,) = (await other.get("/me/sessions")).json["items"]
        assert (await api.post(f"/users/{row['person_id']}/reset-password")).status == 204
        assert (await other.get("/me/sessions")).status == 401
    assert await sessions.list_sessions(acme.door, acme.org_id, person_id=row["person_id"]) == []


async def test_u18_operator_moves_somebody_without_a_source(acme: Site, api: Client) -> None:
    await create(acme.door, NewOrganization("beta", "Beta", seats=5), OPERATOR)
    ann = await _ann(api)
    assert (await api.post(f"/users/{ann['id']}/move", {"to": "beta"})).status == 403
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        path = f"/users/{ann['id']}/move?organization=acme"
        moved = await operator.post(path, {"to": "beta"})
        assert (moved.status, moved.json["organization"]) == (200, "beta")
        there = await operator.get(f"/users/{moved.json['id']}?organization=beta")
        assert there.json["email"] == "ann@acme.example"
    assert (await api.get(f"/users/{ann['id']}")).json["deleted_at"] is not None


# ------------------------------------------------------------------------------ I: invitations


async def test_i1_many_are_invited_with_a_result_per_row(acme: Site, api: Client) -> None:
    project = (await api.post("/projects", {"name": "Alpha"})).json["id"]
    body = {
        "emails": ["ann@acme.example", "no address", "bo@acme.example", "ada@acme.example"],
        "projects": [{"id": project, "role": "viewer"}],
        "message": "Welcome",
        "valid_for_s": 86400,
    }
    results = (await api.post("/invitations", body)).json["results"]
    assert [row["status"] for row in results] == [201, 422, 201, 409]
    shown = (await api.get(f"/invitations/{results[0]['answer']['invitation_id']}")).json
    assert (shown["address"], shown["message"], shown["status"]) == ("ann@acme.example", "Welcome", "pending")
    over = await api.post("/invitations", {"emails": ["x@acme.example"], "valid_for_s": 5})
    assert (over.status, over.json["errors"][0]["field"]) == (422, "/valid_for_s")


async def test_i4_invitation_is_edited_and_deleted_from_the_list(acme: Site, api: Client) -> None:
    project = (await api.post("/projects", {"name": "Alpha"})).json["id"]
    (made,) = (await api.post("/invitations", {"emails": ["ann@acme.example"]})).json["results"]
    path, person = f"/invitations/{made['answer']['invitation_id']}", made["answer"]["person_id"]
    tag = (await api.get(path)).headers["ETag"]
    body = {"role": "manager", "message": "Hello"}
    done = await api.send("PATCH", path, body, {"If-Match": tag})
    assert (done.status, done.json["message"]) == (200, "Hello")
    assert (await api.send("PATCH", path, {"message": "x"}, {"If-Match": tag})).status == 412
    assert (await api.get(f"/users/{person}")).json["primary_role"] == "manager"
    changed = await api.send("PATCH", path, {"role": "user", "projects": [{"id": project}]})
    assert changed.json["message"] == "Hello"
    assert [each["id"] for each in (await api.get(f"/users/{person}")).json["projects"]] == [project]
    before = (await _kinds(api, acme.org_id)).count("invitation.edited")
    assert (await api.send("PATCH", path, {})).json["message"] == "Hello"
    assert (await _kinds(api, acme.org_id)).count("invitation.edited") == before
    assert (await api.send("PATCH", path, {"message": None})).json["message"] is None
    (edited, *_) = (await api.get("/audit?kind=invitation.edited")).json["items"]
    assert (edited["before"], edited["after"]) == (
        {"message": "Hello"},
        {"message": None, "person": person},
    )
    deleted = await api.post("/invitations/delete", {"items": [{"id": path.rpartition("/")[2]}, {"id": "x"}]})
    assert [row["status"] for row in deleted.json["results"]] == [204, 404]
    assert (await api.get(path)).status == 404
    assert (await api.send("PATCH", path, {"message": "x"})).status == 404
    assert (await api.get("/invitations")).json["items"] == []


# ------------------------------------------------------------------------------ P: projects, teams, roles


@pytest.mark.parametrize("noun", ["projects", "teams", "licences"])
async def test_p1_things_are_made_renamed_and_not_made_twice(api: Client, noun: str) -> None:
    made = await api.post(f"/{noun}", {"name": "Alpha"})
    assert made.status == 201
    assert made.headers["Location"] == f"/api/v1/{noun}/{made.json['id']}"
    assert (await api.post(f"/{noun}", {"name": "ALPHA"})).json["code"] == "uniqueness"
    path = f"/{noun}/{made.json['id']}"
    tag = (await api.get(path)).headers["ETag"]
    renamed = await api.send("PATCH", path, {"name": "Beta"}, {"If-Match": tag})
    assert (renamed.status, renamed.json["name"]) == (200, "Beta")
    assert renamed.headers["ETag"] == (await api.get(path)).headers["ETag"]
    assert (await api.send("PATCH", path, {"name": "Gamma"}, {"If-Match": tag})).status == 412


async def test_p5_project_is_archived_and_comes_back_with_its_people(api: Client) -> None:
    alpha = (await api.post("/projects", {"name": "Alpha"})).json["id"]
    await _ann(api, projects=[{"id": alpha}])
    assert (await api.post(f"/projects/{alpha}/archive")).json["archived_at"] is not None
    assert [row["id"] for row in (await api.get("/projects?archived=true")).json["items"]] == [alpha]
    assert (await api.post(f"/projects/{alpha}/unarchive")).json["archived_at"] is None
    (general,) = [row for row in (await api.get("/projects")).json["items"] if row["name"] == "General"]
    results = (await api.post("/projects/archive", {"items": [{"id": general["id"]}, {"id": "x"}]})).json
    assert [row["status"] for row in results["results"]] == [409, 404]


async def test_k3_role_of_ones_own_is_replaced_by_whoever_read_it(api: Client) -> None:
    body = {"name": "helpdesk", "label": "Helpdesk", "permissions": ["users.read"]}
    assert (await api.post("/roles", body)).json["permissions"] == ["users.read"]
    assert (await api.post("/roles", body)).status == 409
    values = {"label": "Help desk", "permissions": ["users.read", "audit.read"], "may_hold_projects": False}
    assert (await api.send("PUT", "/roles/helpdesk", values)).status == 428
    tag = (await api.get("/roles/helpdesk")).headers["ETag"]
    done = await api.send("PUT", "/roles/helpdesk", values, {"If-Match": tag})
    assert (done.status, done.json["label"]) == (200, "Help desk")
    assert (await api.send("PUT", "/roles/helpdesk", values, {"If-Match": tag})).status == 412
    beyond = values | {"permissions": ["partner.approve"]}
    assert (await api.send("PUT", "/roles/helpdesk", beyond, {"If-Match": "*"})).status == 403
    assert (await api.send("PUT", "/roles/user", values, {"If-Match": "*"})).json["code"] == "not_allowed_now"
    assert (await api.send("DELETE", "/roles/helpdesk")).status == 204
    assert (await api.get("/roles/helpdesk")).status == 404


async def test_u11_nobody_takes_permissions_from_a_role_of_their_own(acme: Site, api: Client) -> None:
    values = {"label": "Boss", "permissions": ["organization.manage", "users.read", "users.manage"]}
    assert (await api.post("/roles", {"name": "boss", **values})).status == 200
    less = values | {"permissions": ["organization.manage", "users.read"], "may_hold_projects": True}
    async with signed_in(acme, "boss@acme.example") as boss:
        me = (await boss.get("/me")).json["id"]
        assert (await api.send("PUT", f"/users/{me}/role", {"role": "boss"})).status == 200
        refused = await boss.send("PUT", "/roles/boss", less, {"If-Match": "*"})
        assert (refused.status, refused.json["code"]) == (403, "own_account")
        assert (await boss.send("PUT", "/roles/boss", less | values, {"If-Match": "*"})).status == 200
    assert (await api.send("PUT", "/roles/boss", less, {"If-Match": "*"})).status == 200


# ------------------------------------------------------------------------------ the organization


async def test_k1_settings_are_changed_once_and_audited(acme: Site, api: Client) -> None:
    tag = (await api.get("/organization")).headers["ETag"]
    body = {"display_name": "Acme Inc.", "get_more_seats_url": "https://acme.example/seats"}
    done = await api.send("PATCH", "/organization", body, {"If-Match": tag})
    assert (done.status, done.json["display_name"]) == (200, "Acme Inc.")
    assert (await api.send("PATCH", "/organization", body, {"If-Match": tag})).status == 412
    wrong = await api.send("PATCH", "/organization", {"get_more_seats_url": "javascript:alert(1)"})
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "/get_more_seats_url")
    assert (await api.send("PATCH", "/organization", {"default_project_id": "x"})).status == 404
    emptied = await api.send("PATCH", "/organization", {"default_project_id": None})
    assert emptied.json["default_project_id"] is None
    assert (await _kinds(api, acme.org_id)).count("organization.changed") == 2


async def test_l1_seats_are_set_by_an_admin(api: Client) -> None:
    assert (await api.send("PUT", "/seats", {"limit": 7})).json["limit"] == 7
    assert (await api.send("PUT", "/seats", {"limit": None})).json["free"] is None
    assert (await api.send("PUT", "/seats", {"limit": -1})).status == 422
    assert (await api.get("/seats/history?days=30")).json["items"] == []


async def test_k5_organizations_and_partners_are_an_operators(acme: Site, api: Client) -> None:
    assert (await api.get("/organizations")).status == 403
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        made = await operator.post("/organizations", {"slug": "beta", "seats": 3}, Idempotency_Key="k")
        assert (made.status, made.json["seats"]) == (200, 3)
        again = await operator.post("/organizations", {"slug": "beta", "seats": 3}, Idempotency_Key="k")
        assert again.json == made.json
        slugs = [row["slug"] for row in (await operator.get("/organizations?limit=2")).json["items"]]
        assert slugs == ["acme", "beta"]
        assert (await operator.post("/partners", {"slug": "helpers"})).json["kind"] == "partner"
        assigned = await operator.post("/organization/partners?organization=acme", {"partner": "helpers"})
        assert assigned.status == 204
        (row,) = (await operator.get("/partner-queues")).json["items"]
        assert (row["partner"], row["organization"]) == ("helpers", "acme")
        await api.send("PATCH", "/organization", {"approval_required": True})
        ann = await _ann(api)
        await _approved(acme, ann["id"])
        path = "/organization/partners/helpers?organization=acme"
        assert (await operator.send("DELETE", path)).status == 204
        assert (await operator.send("DELETE", path)).status == 404
    assert (await api.get(f"/users/{ann['id']}")).json["approved"] is True


async def _approved(acme: Site, person_id: str) -> None:
    async with signed_in(acme, "pat@helpers.example", org="helpers") as admin:
        body = {"items": [{"organization": "acme", "id": person_id}, {"organization": "beta", "id": "x"}]}
        assert (await admin.get("/approvals")).status == 403
        (me,) = (await admin.get("/users")).json["items"]
        helpers = replace(acme.ctx, org_id=(await _organization(acme, "helpers")))
        await _give(acme, helpers, me["id"])
        (row,) = (await admin.get("/approvals")).json["items"]
        assert (row["organization"], row["address"]) == ("acme", "ann@acme.example")
        results = (await admin.post("/approvals/approve", body)).json["results"]
        assert [each["status"] for each in results] == [204, 404]
        assert (await admin.get("/approvals")).json["items"] == []
        assert (await admin.post(f"/approvals/acme/{person_id}/approve")).status == 204
        assert (await admin.get(f"/users/{person_id}")).status == 404


async def _organization(acme: Site, slug: str) -> Any:
    return (await organizations.by_slug(acme.door, slug)).id


async def _give(acme: Site, ctx: Any, person_id: str) -> None:
    await assignments.add_role(acme.door, ctx, PersonId(person_id), partners.APPROVER)


async def test_k4_domain_is_claimed_proven_and_given_up(acme: Site, api: Client) -> None:
    made = (await api.post("/domains", {"domain": "Acme.example"})).json
    assert (made["domain"], made["verified_at"], made["record"]) == (
        "acme.example",
        None,
        "_scimd.acme.example",
    )
    assert (await api.post("/domains", {"domain": "no domain"})).status == 422
    assert (await api.post("/domains/other.example/verify")).status == 404
    assert (await api.post("/domains/declare", {"domain": "x.example"})).status == 403
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        declared = await operator.post("/domains/declare?organization=acme", {"domain": "acme.example"})
        assert declared.json["verified_by"] == "operator"
    assert (await api.post("/domains/acme.example/verify")).json["verified_at"] is not None
    assert [row["domain"] for row in (await api.get("/domains")).json["items"]] == ["acme.example"]
    assert (await api.send("DELETE", "/domains/acme.example")).status == 204
    assert (await api.send("DELETE", "/domains/no%20domain")).status == 404


# ------------------------------------------------------------------------------ credentials, the request log


async def test_c8_tokens_and_clients_are_made_rotated_and_revoked(acme: Site, api: Client) -> None:
    okta = await acme.source("okta")
    body = {"source": okta.id, "name": "first", "profile": "okta", "scopes": ["users:read"]}
    made = (await api.post("/source-tokens", body)).json
    assert (await api.post("/source-tokens", body | {"profile": "nobody"})).status == 422
    assert (await api.post("/source-tokens", body | {"source": "x"})).status == 404
    after = (await api.post(f"/source-tokens/{made['id']}/rotate", {"overlap_s": 0})).json
    listed = (await api.get("/source-tokens?live=true")).json["items"]
    assert [(row["id"], row["scopes"]) for row in listed] == [(after["id"], ["users:read"])]
    assert (await api.post(f"/source-tokens/{after['id']}/trace", {"for_s": 60})).json["trace_until"]
    assert (await api.post(f"/source-tokens/{after['id']}/trace", {"for_s": None})).json == {
        "trace_until": None
    }
    secret = (await api.post("/oauth-clients", body)).json
    rotated = (await api.post(f"/oauth-clients/{secret['client_id']}/rotate", {})).json
    assert rotated["secret"] != secret["secret"]
    (row,) = (await api.get("/oauth-clients")).json["items"]
    assert len(row["secrets"]) == 2
    past = {"expires_at": "2020-01-01T00:00:00Z"}
    for path, more in ((f"{row['id']}/rotate", {"overlap_s": 0}), ("", body)):
        dead = await api.post(f"/oauth-clients/{path}".rstrip("/"), more | past)
        assert (dead.status, dead.json["errors"][0]["field"]) == (422, "/expires_at")
    dead = await api.post("/source-tokens", body | past)
    assert (dead.status, dead.json["errors"][0]["field"]) == (422, "/expires_at")
    assert [each["expires_at"] for each in (await api.get("/oauth-clients")).json["items"][0]["secrets"]]
    assert (await api.send("DELETE", f"/oauth-clients/{row['id']}")).status == 204
    assert (await api.get("/oauth-clients")).json["items"][0]["revoked_at"] is not None
    everything = (await api.get("/audit?format=json")).text
    for text in (made["token"], after["token"], secret["secret"], rotated["secret"]):
        assert text not in everything


async def test_t3_service_token_may_what_it_was_given(acme: Site, api: Client) -> None:
    body = {"name": "portal", "permissions": ["users.read"], "expires_at": "2999-01-31T09:00:00z"}
    made = (await api.post("/api-tokens", body)).json
    async with acme.browser(Authorization=f"Bearer {made['token']}") as session:
        portal = Client(session, acme.url, "")
        assert (await portal.get("/users")).status == 200
        assert (await portal.get("/sessions")).status == 403
        assert (await portal.get("/api-tokens")).status == 403
        (row,) = (await api.get("/api-tokens")).json["items"]
        assert (row["name"], row["permissions"]) == ("portal", ["users.read"])
        assert row["expires_at"] == "2999-01-31T09:00:00Z"
        assert (await api.send("DELETE", f"/api-tokens/{made['id']}")).status == 204
        assert (await portal.get("/users")).status == 401
    beyond = await api.post("/api-tokens", {"name": "p", "permissions": ["partner.approve"]})
    assert beyond.status == 403
