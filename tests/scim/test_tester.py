"""Every check of scim2-tester passes, over real HTTP, on both databases."""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
from scim2_client import BaseSyncSCIMClient
from scim2_tester import CheckResult, Status, check_server

from tests.scim.declared import DOORS, HR, source_with
from tests.scim.serving import Client, Installation
from tests.support.patience import AT_MOST_S


@dataclass
class Response:
    status_code: int
    headers: Any
    text: str

    def json(self) -> Any:
        return orjson.loads(self.text)


class WireClient(BaseSyncSCIMClient):
    """The tester's client, on the standard library's HTTP."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.to = client
        self.connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=AT_MOST_S)

    def request(
        self, method: str, url: str, *, params: Any = None, json: Any = None, **more: Any
    ) -> Response:
        headers = {"Authorization": f"Bearer {self.to.token}", **more.get("headers", {})}
        body = None
        if json is not None:
            body = orjson.dumps(json)
            headers["Content-Type"] = "application/scim+json"
        query = f"?{urlencode(params)}" if params else ""
        self.connection.request(method, f"/scim/v2{url}{query}", body, headers)
        answer = self.connection.getresponse()
        return Response(answer.status, answer.headers, answer.read().decode())


def _checked(client: Client) -> list[CheckResult]:
    wire = WireClient(client)
    try:
        return check_server(wire)
    finally:
        wire.connection.close()


@pytest.mark.parametrize("profile", ["default", "rfc"])
async def test_every_check_of_the_tester_passes(scimd: Installation, profile: str) -> None:
    await _passes(await scimd.client(await scimd.organization("acme"), profile=profile))


async def test_every_check_passes_with_two_custom_extensions(scimd: Installation) -> None:
    org = await scimd.organization("acme")
    extensions = [{**each, "attribute": _testable(each["attribute"])} for each in (HR, DOORS)]
    await _passes(await scimd.client(org, profile="rfc", config=source_with(*extensions)))


def _testable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the tester itself gets wrong.

    It fills decimals and dateTimes with random letters, which its own models then refuse; it adds an
    extension as a whole, then each attribute, and takes the earlier values for a fault; and it misses
    in a plain read what is shown on request only.
    """
    return [
        row
        for row in rows
        if row.get("type") not in ("decimal", "dateTime")
        and not row.get("multi_valued")
        and row.get("returned") != "request"
    ]


async def _passes(client: Client) -> None:
    results = await asyncio.to_thread(_checked, client)
    bad = [each for each in results if each.status in (Status.ERROR, Status.CRITICAL, Status.DEVIATION)]
    assert not bad, "\n".join(f"{each.title} {each.resource_type}: {each.reason}" for each in bad)
    passed = [each for each in results if each.status is not Status.SKIPPED]
    skipped = {each.title: each.reason for each in results if each.status is Status.SKIPPED}
    assert len(passed) > 100, (len(passed), skipped)


@pytest.mark.parametrize("extensions", [0, 2])
async def test_scim2_test_of_scim2_cli_passes(scimd: Installation, extensions: int) -> None:
    """The command as an admin runs it: a process of its own, against the address and a token."""
    declared = [{**each, "attribute": _testable(each["attribute"])} for each in (HR, DOORS)][:extensions]
    org = await scimd.organization("acme")
    client = await scimd.client(org, profile="rfc", config=source_with(*declared))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from scim2_cli import cli; cli()", "--url", f"{scimd.url}/scim/v2", "test",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SCIM_CLI_HEADERS": f"Authorization: Bearer {client.token}"},
    )  # fmt: skip
    said = (await asyncio.wait_for(process.communicate(), 2 * AT_MOST_S))[0].decode()
    lines = [line for line in said.splitlines() if line.split(" ")[0].isupper()]
    assert len(lines) > 100, said
    assert all(line.startswith("SUCCESS") for line in lines), said
    assert process.returncode == 0
