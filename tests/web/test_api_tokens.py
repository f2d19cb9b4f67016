"""API tokens over HTTP: at the REST API in place of a session, at SCIM for /Me."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.core.people import PersonId
from scimd.org.tokens import api_tokens, tokens
from scimd.org.tokens.api_tokens import NewToken
from scimd.org.users import admin_reads
from tests.web.site import ADMIN, Site

RUNS = "/api/v1/runs"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(acme: Site, path: str, token: str, method: str = "GET", **more: Any) -> tuple[int, Any]:
    async with (
        acme.browser() as session,
        session.request(method, path, headers=bearer(token), **more) as answer,
    ):
        text = await answer.text()
        return answer.status, await answer.json(content_type=None) if text.startswith("{") else text


async def of_admin(acme: Site, **more: Any) -> NewToken:
    await acme.sign_in_link()
    person_id = await admin_reads.find_person(acme.door, acme.org_id, ADMIN)
    return await api_tokens.create_personal(acme.door, acme.ctx, person_id, "laptop", **more)


async def of_dana(acme: Site) -> tuple[PersonId, NewToken]:
    okta = await acme.source("okta", invite="never")
    document = {"userName": "dana@acme.example", "displayName": "Dana", "title": "Engineer"}
    (person_id,) = await acme.push(okta, document)
    return person_id, await api_tokens.create_personal(acme.door, acme.ctx, person_id, "cli")


# ------------------------------------------------------------------------------ the REST API


async def test_the_api_takes_a_token_in_place_of_a_session(acme: Site) -> None:
    made = await of_admin(acme)
    assert (await ask(acme, RUNS, made.token))[0] == 200
    service = await api_tokens.create_service(acme.door, acme.ctx, "billing", ["audit.read"])
    assert (await ask(acme, RUNS, service.token))[0] == 200


async def test_permissions_are_asked_each_time(acme: Site) -> None:
    made = await of_admin(acme, permissions=["seats.manage"])
    status, body = await ask(acme, RUNS, made.token)
    assert (status, body["code"]) == (403, "forbidden")
    _, dana = await of_dana(acme)
    assert (await ask(acme, RUNS, dana.token))[0] == 403


async def test_a_revoked_token_is_dead_at_the_next_request(acme: Site) -> None:
    made = await of_admin(acme)
    assert (await ask(acme, RUNS, made.token))[0] == 200
    await api_tokens.revoke(acme.door, acme.ctx, made.id)
    status, body = await ask(acme, RUNS, made.token)
    assert (status, body["code"]) == (401, "not_authenticated")


async def test_a_wrong_token_is_not_made_up_for_by_a_session(acme: Site) -> None:
    source = await acme.source("okta")
    scim = await tokens.create(acme.door, acme.ctx, source.id, "x")
    async with acme.signed_in() as session:
        async with session.get(RUNS) as answer:
            assert answer.status == 200
        for header in ("Bearer x", "Bearer ", "Basic eDp5", "", f"Bearer {scim.token}"):
            async with session.get(RUNS, headers={"Authorization": header}) as answer:
                assert answer.status == 401, header


async def test_a_token_counts_in_the_header_alone(acme: Site) -> None:
    made = await of_admin(acme)
    async with acme.browser() as session:
        for query, headers in (
            (f"?access_token={made.token}&token={made.token}", {}),
            ("", {"Cookie": f"scimd={made.token}; __Host-scimd={made.token}"}),
            ("", {"X-Api-Key": made.token}),
        ):
            async with session.get(RUNS + query, headers=headers) as answer:
                assert answer.status == 401


async def test_the_pages_take_no_token(acme: Site) -> None:
    made = await of_admin(acme)
    async with acme.browser() as session:
        for path in ("/people", "/runs", "/decide", "/password"):
            async with session.get(path, headers=bearer(made.token), allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/sign-in"), (
                    path
                )
        form = {"password": "nine slow harbours wait", "current": ""}
        async with session.post(
            "/password", headers=bearer(made.token), data=form, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/sign-in")


async def test_a_session_still_needs_the_form_token_where_a_token_does_not(acme: Site) -> None:
    """No browser sends a bearer token by itself, so nobody else's page can."""
    async with acme.signed_in() as session, session.post("/sign-out", data={}) as answer:
        assert answer.status == 403


async def test_a_token_sees_its_own_organization(acme: Site) -> None:
    made = await of_admin(acme)
    assert (await ask(acme, f"{RUNS}?organization=system", made.token))[0] == 404


# ------------------------------------------------------------------------------ /Me


async def test_me_is_the_person_whose_token_it_is(acme: Site) -> None:
    person_id, made = await of_dana(acme)
    async with acme.browser() as session:
        async with session.get("/scim/v2/Me", headers=bearer(made.token)) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 200
            assert (body["id"], body["userName"], body["title"]) == (
                person_id,
                "dana@acme.example",
                "Engineer",
            )
            # Where the resource stands for good (RFC 7644 §3.11).
            assert answer.headers["Location"].endswith(f"/scim/v2/Users/{person_id}")
            assert body["meta"]["location"] == answer.headers["Location"]
            tag = answer.headers["ETag"]
        headers = bearer(made.token) | {"If-None-Match": tag}
        async with session.get("/scim/v2/Me", headers=headers) as answer:
            assert answer.status == 304
        headers = bearer(made.token) | {"If-Match": 'W/"999-9"'}
        async with session.get("/scim/v2/Me", headers=headers) as answer:
            assert answer.status == 412
        async with session.head("/scim/v2/Me", headers=bearer(made.token)) as answer:
            assert answer.status == 200
    _, body = await ask(acme, "/scim/v2/Me?attributes=userName", made.token)
    assert body.keys() == {"schemas", "id", "userName"}
    both = "attributes=userName&excludedAttributes=title"
    status, body = await ask(acme, f"/scim/v2/Me?{both}", made.token)
    assert (status, body["scimType"], "§3.9" in body["detail"]) == (400, "invalidSyntax", True)


async def test_me_of_a_person_without_source_is_the_local_profile(acme: Site) -> None:
    made = await of_admin(acme)
    status, body = await ask(acme, "/scim/v2/Me", made.token)
    assert (status, body["emails"][0]["value"]) == (200, ADMIN)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_me_is_not_changed_by_its_person(acme: Site, method: str) -> None:
    _, made = await of_dana(acme)
    status, body = await ask(acme, "/scim/v2/Me", made.token, method, json={"title": "CEO"})
    assert (status, "can only be read" in body["detail"]) == (403, True)
    assert (await ask(acme, "/scim/v2/Me", made.token))[1]["title"] == "Engineer"


async def test_of_scim_an_api_token_opens_me_alone(acme: Site) -> None:
    person_id, made = await of_dana(acme)
    for path in ("/Users", f"/Users/{person_id}", "/Groups", "/Schemas", "/Me/x", "/nothing"):
        status, body = await ask(acme, f"/scim/v2{path}", made.token)
        assert (status, "/Me alone" in body["detail"]) == (403, True), path
    assert (await ask(acme, "/scim/v2/Me", made.token, "OPTIONS"))[0] == 204
    assert (await ask(acme, "/scim/v2/Me", made.token, "REPORT"))[0] == 405
    service = await api_tokens.create_service(acme.door, acme.ctx, "billing", ["users.read"])
    assert (await ask(acme, "/scim/v2/Me", service.token))[0] == 501
    source = await acme.source("entra")
    scim = await tokens.create(acme.door, acme.ctx, source.id, "x")
    assert (await ask(acme, "/scim/v2/Me", scim.token))[0] == 501


async def test_me_ends_with_the_token(acme: Site) -> None:
    _, made = await of_dana(acme)
    await api_tokens.revoke(acme.door, acme.ctx, made.id)
    status, body = await ask(acme, "/scim/v2/Me", made.token)
    assert (status, body["status"]) == (401, "401")
