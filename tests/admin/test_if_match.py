"""Of several writers with one version one is heard, whatever they change (V5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from scimd.http.guard import FORM_TOKEN
from tests.admin.client import Client
from tests.web.site import Site

WRITERS = 6


async def _made(acme: Site, api: Client, what: str) -> str:
    """The path of a new one."""
    match what:
        case "project" | "team" | "licence":
            return f"/{what}s/{(await api.post(f'/{what}s', {'name': 'First'})).json['id']}"
        case "role":
            await api.post("/roles", {"name": "first", "label": "First", "permissions": ["users.read"]})
            return "/roles/first"
        case "invitation":
            made = await api.post("/invitations", {"emails": ["ann@home.example"]})
            return f"/invitations/{made.json['results'][0]['answer']['invitation_id']}"
        case "user":
            return f"/users/{(await api.post('/users', {'email': 'ann@home.example'})).json['id']}"
        case "rule":
            source = (await acme.source("okta")).id
            made = await api.post(f"/sources/{source}/rules", {"group": "A", "project": "First"})
            return f"/sources/{source}/rules/{made.json['number']}"
    return "/organization"


def _change(what: str, n: int) -> tuple[str, dict[str, Any]]:
    match what:
        case "role":
            return "PUT", {"label": f"Role {n}", "permissions": ["users.read"]}
        case "invitation":
            return "PATCH", {"message": f"Message {n}"}
        case "user" | "organization":
            return "PATCH", {"display_name": f"Name {n}"}
        case "rule":
            return "PATCH", {"project": f"Project {n}"}
    return "PATCH", {"name": f"Name {n}"}


@pytest.mark.parametrize(
    "what", ["project", "team", "licence", "role", "invitation", "user", "rule", "organization"]
)
async def test_of_writers_with_one_version_one_is_heard(acme: Site, api: Client, what: str) -> None:
    path = await _made(acme, api, what)
    for turn in range(3):
        tag = (await api.get(path)).headers["ETag"]
        changes = [_change(what, turn * WRITERS + n) for n in range(WRITERS)]
        got = await asyncio.gather(*(api.send(how, path, body, {"If-Match": tag}) for how, body in changes))
        assert sorted(each.status for each in got) == [200] + [412] * (WRITERS - 1), got[0].text


async def test_tags_in_two_lines_are_one_list(acme: Site, api: Client) -> None:
    """RFC 9110 §5.3."""
    path = await _made(acme, api, "team")
    tag = (await api.get(path)).headers["ETag"]
    two = CIMultiDict([("If-Match", '"x"'), ("If-Match", tag), (FORM_TOKEN, api.form_token)])
    url = f"{api.url}/api/v1{path}"
    async with api.session.patch(url, json={"name": "Second"}, headers=two) as changed:
        assert changed.status == 200
        tag = changed.headers["ETag"]
    two = CIMultiDict([("If-None-Match", '"x"'), ("If-None-Match", tag)])
    async with api.session.get(url, headers=two) as unchanged:
        assert unchanged.status == 304
