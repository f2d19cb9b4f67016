"""Who talks to the running program: a browser, and an identity provider."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.daemon import Cli, Daemon
from tests.support.patience import AT_MOST_S


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    path: str
    text: str


class Browser:
    """Keeps cookies, follows redirects, and posts forms as a browser would."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, url: str) -> Page:
        return self._send(urllib.request.Request(url))

    def post(self, url: str, **fields: str) -> Page:
        parts = urlsplit(url)
        headers = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
        return self._send(
            urllib.request.Request(url, urllib.parse.urlencode(fields).encode(), headers, method="POST")
        )

    def _send(self, request: urllib.request.Request) -> Page:
        try:
            answer = self._opener.open(request, timeout=AT_MOST_S)
        except urllib.error.HTTPError as exc:
            answer = exc
        with answer:
            return Page(answer.status, urlsplit(answer.url).path, answer.read().decode())


class Scim:
    """One connection of an identity provider. Not for several threads at once."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=AT_MOST_S)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document; OSError or HTTPException where the server went away."""
        self.ask(method, path, body)
        return self.answer()

    def ask(self, method: str, path: str, body: Any = None) -> None:
        """Send it, and wait for nothing."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, f"/scim/v2{path}", text, self._headers)

    def answer(self) -> tuple[int, Any]:
        """As ``call``, of what was asked."""
        answer = self._connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said else None

    def is_read(self) -> bool:
        """Whether the server has taken all that was sent out of the system's hands."""
        ours, theirs = self._connection.sock.getsockname(), self._connection.sock.getpeername()
        return _waiting(ours, theirs).partition(":")[0] == _waiting(theirs, ours).partition(":")[2] == "0" * 8

    def create(self, name: str, **more: Any) -> tuple[int, Any]:
        return self.call("POST", "/Users", self.somebody(name) | more)

    @staticmethod
    def somebody(name: str) -> dict[str, Any]:
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "externalId": f"ext-{name}",
            "userName": f"{name}@acme.example",
            "name": {"givenName": name.capitalize(), "familyName": "Example"},
            "emails": [{"value": f"{name}@acme.example", "primary": True}],
            "active": True,
        }

    def patch(self, user_id: str, **values: Any) -> tuple[int, Any]:
        operations = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}
        return self.call("PATCH", f"/Users/{user_id}", body)

    def everybody(self) -> dict[str, Any]:
        """All users by userName, page by page."""
        found: dict[str, Any] = {}
        while True:
            status, page = self.call("GET", f"/Users?startIndex={len(found) + 1}&count=200")
            assert status == 200, page
            found |= {user["userName"]: user for user in page.get("Resources", [])}
            if len(found) >= page["totalResults"]:
                return found


def _waiting(at: tuple[str, int], to: tuple[str, int]) -> str:
    """Of one end of a connection: bytes to be sent and to be read, as "00000000:00000000"."""
    ends = [f"0100007F:{port:04X}" for _, port in (at, to)]
    rows = map(str.split, Path("/proc/net/tcp").read_text("ascii").splitlines())
    return next((row[4] for row in rows if row[1:3] == ends), "")


def token(cli: Cli, source: str = "idp", *more: str) -> str:
    text: str = cli.ok("token", "create", "--source", source, *more)["token"]
    return text


def idp(daemon: Daemon, token_text: str) -> Scim:
    return Scim(daemon.url, token_text)


def link_in(text: str, kind: str) -> str:
    """The one address of /``kind``/… in a text."""
    found = set(re.findall(rf"http://[^\s\"<>]+/{kind}/[A-Za-z0-9_\-]+", text))
    assert len(found) == 1, f"{len(found)} links of {kind} in:\n{text}"
    return found.pop()


def standing_is_right(cli: Cli) -> None:
    """``scimd check --standing`` finds no difference."""
    answer = cli.ok("check", "--standing")
    assert answer["ok"], answer["faults"]
    assert any("stored equals recomputed" in passed for passed in answer["passed"])


def seats(cli: Cli, name: str) -> int:
    used: int = next(row["seats_used"] for row in cli.ok("org", "list") if row["name"] == name)
    return used
