"""scimd put together from a config file, as an admin has it: page, REST API and SCIM on a real socket,
the CLI beside it on the same database, and a real mail server.

Whatever is done here is done as a stranger would: by HTTP, by commands, by links that came by mail.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from typer.testing import CliRunner

from scimd import app as root
from scimd import cli, opening
from scimd import config as configuration
from scimd.db.engine import Database, Tuning
from scimd.http import guard
from scimd.org import timekeeping
from scimd.org.declared import declared_organizations
from scimd.org.tx import Door
from scimd.outbox import relay
from scimd.outbox.mail import mailer_from
from tests.support.daemon import KEY
from tests.support.patience import AT_MOST_S, ENVIRONMENT
from tests.support.postgres import PostgresServer
from tests.support.rest import Answer, ask
from tests.support.smtp import SmtpServer

ADMIN = "ada@acme.example"
PASSWORD = "seven quiet lanterns drift"

CONFIG = """
[server]
public_url = "http://127.0.0.1:{port}"
[database]
url = "{database}"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[log]
level = "error"
[mail]
host = "{smtp_host}"
port = {smtp_port}
tls = "none"
sender = "scimd <noreply@acme.example>"
[sign_in]
second_factor = "nobody"
"""


class Clock:
    """The real time, and whatever was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, **duration: float) -> None:
        self.ahead += timedelta(**duration)


class Client:
    """Of the REST API; paths without a leading /api or /scim are the API's own."""

    def __init__(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
        self._session, self._url, self._headers = session, url, headers

    async def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return await ask(self._session, self._url, method, path, body, self._headers | (headers or {}))

    async def _done(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.send(method, path, body)
        assert answer.status in (200, 201, 204), f"{method} {path}: {answer.status} {answer.text}"
        return answer.json if answer.raw else None

    async def get(self, path: str) -> Any:
        return await self._done("GET", path)

    async def items(self, path: str) -> list[dict[str, Any]]:
        """The rows of a list's one page."""
        page = await self.get(path)
        assert page["next"] is None
        found: list[dict[str, Any]] = page["items"]
        return found

    async def post(self, path: str, body: Any = None) -> Any:
        return await self._done("POST", path, body)

    async def put(self, path: str, body: Any = None) -> Any:
        return await self._done("PUT", path, body)

    async def patch(self, path: str, body: Any) -> Any:
        return await self._done("PATCH", path, body)

    async def delete(self, path: str) -> Any:
        return await self._done("DELETE", path)

    async def many(self, path: str, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of a bulk endpoint, a row each."""
        found: list[dict[str, Any]] = (await self.post(path, {"items": list(items)}))["results"]
        assert len(found) == len(items)
        return found

    async def refused(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The problem (RFC 9457) that a request which must not succeed is answered with."""
        answer = await self.send(method, path, body)
        assert answer.status >= 400, f"{method} {path}: {answer.status} {answer.text}"
        kind = "application/scim+json" if path.startswith("/scim") else "application/problem+json"
        assert answer.headers["Content-Type"].startswith(kind)
        found: dict[str, Any] = answer.json
        return found


class Browser:
    """A person at the page: keeps cookies, and posts forms as a browser does."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self.status = 0
        self.path = ""

    async def get(self, path: str) -> str:
        async with self._session.get(path.removeprefix(self._url)) as answer:
            return await self._read(answer)

    async def post(self, path: str, **fields: str) -> str:
        """Fill in the form of that page and send it."""
        path = path.removeprefix(self._url)
        token = await self._form_token()
        form = fields | ({"form_token": token} if token else {})
        async with self._session.post(path, data=form) as answer:
            return await self._read(answer)

    async def _read(self, answer: aiohttp.ClientResponse) -> str:
        self.status, self.path = answer.status, answer.url.path_qs
        return await answer.text()

    async def _form_token(self) -> str:
        async with self._session.get("/my") as answer:
            return (await answer.text()).partition('name="form_token" value="')[2].partition('"')[0]

    async def sign_in(self, address: str, password: str = PASSWORD) -> str:
        return await self.post("/o/acme/sign-in", address=address, password=password)

    async def api(self) -> Client:
        """The REST API as the page's scripts could use it: by this session."""
        return Client(self._session, self._url, {guard.FORM_TOKEN: await self._form_token()})


@dataclass
class Installation:
    """``api`` acts as the Account Admin ada@acme.example of the organization ``acme``, by an API token."""

    url: str
    door: Door
    clock: Clock
    config: configuration.Config
    file: Path
    smtp: SmtpServer
    session: aiohttp.ClientSession
    api: Client
    admin_id: str

    # -------------------------------------------------------------------------- the terminal

    async def said(self, *words: str, code: int = 0, answer: str | None = None) -> str:
        """What a command prints for eyes; ``answer`` is typed where it asks."""
        done = await self._command(*words, answer=answer)
        assert done.exit_code == code, done.output
        return str(done.stdout)

    async def cli(self, *words: str, code: int = 0) -> Any:
        """The JSON document that a command prints."""
        done = await self._command(*words, "--json")
        assert done.exit_code == code, f"scimd {' '.join(words)}: {done.exit_code}\n{done.output}"
        return json.loads(done.stdout)

    async def cli_refused(self, *words: str) -> str:
        """The one sentence on standard error."""
        done = await self._command(*words)
        assert done.exit_code == 1, done.output
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    async def cli_refused_row(self, *words: str) -> str:
        """Why the one row of a command for many was refused."""
        (row,) = await self.cli(*words, code=1)
        assert row["done"] is False
        return str(row["detail"])

    async def _command(self, *words: str, answer: str | None = None) -> Any:
        args = [*words, "--config", str(self.file)]
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(cli.app, args, input=answer, env={"COLUMNS": "400"})
        )

    # -------------------------------------------------------------------------- people

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        async with self._own_session({"Sec-Fetch-Site": "same-origin"}) as session:
            yield Browser(session, self.url)

    @asynccontextmanager
    async def signed_in(self, address: str, password: str = PASSWORD) -> AsyncIterator[Browser]:
        async with self.browser() as browser:
            await browser.sign_in(address, password)
            assert browser.status == 200
            yield browser

    def _own_session(self, headers: dict[str, str]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self.url, headers=headers, cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=_PATIENCE
        )

    def client(self, token: str) -> Client:
        """Of the REST API or of SCIM, by that token."""
        return Client(self.session, self.url, {"Authorization": f"Bearer {token}"})

    async def operator(self) -> Client:
        """The REST API as an operator of the installation."""
        await self.cli("admin", "create", "root@scimd.example", "--org", "system")
        words = ("token", "api", "create", "--person", "root@scimd.example", "--org", "system")
        return self.client((await self.cli(*words))["token"])

    async def api_of(self, address: str, *, org: str = "acme") -> Client:
        """The REST API as that person, by a token of theirs."""
        made = await self.cli("token", "api", "create", "--person", address, "--org", org)
        return self.client(made["token"])

    async def user(self, who: str) -> dict[str, Any]:
        """The one user whom the API finds by that part of a name or address."""
        (found,) = await self.api.items(f"/users?q={who}")
        return found

    async def add(self, name: str, **more: Any) -> dict[str, Any]:
        """Somebody whom the admin added, and who has set their password by the link in the mail."""
        address = f"{name}@acme.example"
        made = await self.api.post("/users", {"email": address, "display_name": name.title(), **more})
        async with self.browser() as browser:
            await browser.post(await self.link("set-password", to=address), password=PASSWORD)
            assert browser.status == 200
        found: dict[str, Any] = await self.api.get(f"/users/{made['id']}")
        return found

    # -------------------------------------------------------------------------- identity providers

    async def idp(self, name: str = "okta", *, invite: bool = False, profile: str | None = None) -> Client:
        """An identity provider's client of SCIM. Without ``invite`` its people need accept nothing."""
        if not invite:
            self._declare(name)
        more = ("--profile", profile) if profile else ()
        made = await self.cli("token", "create", "--source", name, "--org", "acme", *more)
        if invite:
            await self.cli("source", "release", f"acme/{name}", "--yes")
        return self.client(made["token"])

    def _declare(self, name: str) -> None:
        self.configure(f'[[organization.source]]\nname = "{name}"\nstate = "active"\ninvite = "never"\n')

    def configure(self, more: str) -> None:
        """Add to the config file, whose last table is the organization ``acme`` from then on."""
        text = self.file.read_text(encoding="utf-8")
        if "[[organization]]" not in text:
            text += '[[organization]]\nname = "acme"\n'
        self.file.write_text(text + more, encoding="utf-8")

    async def start_again(self) -> None:
        """The file counts as it is now: what a start of `scimd serve` does with it."""
        loaded = configuration.load(self.file)
        await declared_organizations.declare(self.door, loaded.organization)

    # -------------------------------------------------------------------------- time and mail

    async def minutes_pass(self, minutes: float = 3) -> None:
        """Time goes by, and what time brings is done: mails leave, invitations expire, people are purged."""
        self.clock.pass_by(minutes=minutes)
        await timekeeping.expire_all(self.door)
        await timekeeping.expire_welcomes(self.door)
        await timekeeping.purge_all(self.door)
        await timekeeping.publish_all(self.door)
        await self.settle()
        await self.relay()

    async def settle(self) -> None:
        """What a change of settings or rules means for everybody is worked out, as the worker does it."""
        await timekeeping.settle_all(self.door, budget_s=60)

    async def relay(self) -> None:
        async with mailer_from(self.config.mail) as mailer:
            await relay.run_once(self.door, mailer, self.config.server.public_url)

    async def mails(self, to: str) -> list[EmailMessage]:
        """Every mail that came for that address so far, with what is owed delivered first."""
        await self.minutes_pass()
        return [each.message for each in self.smtp.messages if each.recipients == (to,)]

    async def link(self, kind: str, *, to: str) -> str:
        """The newest link of that kind (invitation, set-password, confirm-address) in a mail to them."""
        for message in reversed(await self.mails(to)):
            if found := re.search(rf"{self.url}(/{kind}/\S+)", text_of(message)):
                return found[1]
        raise AssertionError(f"{to} has no mail with a link to {kind}")


_PATIENCE = aiohttp.ClientTimeout(total=2 * AT_MOST_S)


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def user_document(name: str, **more: Any) -> dict[str, Any]:
    """What a common IdP sends of ``ann``: ann@acme.example, with the external id x-ann."""
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": f"{name}@acme.example",
        "externalId": f"x-{name}",
        "displayName": name.title(),
        "name": {"givenName": name.title(), "familyName": "Example"},
        "emails": [{"value": f"{name}@acme.example", "primary": True, "type": "work"}],
        "active": True,
    } | more


# ------------------------------------------------------------------------------ made once, copied often


@dataclass(frozen=True)
class Seed:
    """A database in which ``acme`` and its admin are, and the admin's API token."""

    url: str
    token: str
    admin_id: str


def _seeded(url: str, folder: Path) -> Seed:
    file = folder / "seed.toml"
    file.write_text(CONFIG.format(database=url, port=1, smtp_host="127.0.0.1", smtp_port=1), "utf-8")

    def run(*words: str) -> Any:
        done = CliRunner().invoke(cli.app, [*words, "--config", str(file), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    run("org", "create", "acme", "--display-name", "Acme", "--seats", "50")
    run("admin", "create", ADMIN, "--org", "acme")
    made = run("token", "api", "create", "--person", ADMIN, "--name", "rows", "--expires", "never")
    (ada,) = run("user", "list")
    return Seed(url, made["token"], ada["id"])


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seed]:
    """Gives the seed on SQLite or on PostgreSQL, made when first asked for."""

    @functools.cache
    def seed(kind: str) -> Seed:
        folder = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            _quiet(patch)
            if kind == "sqlite":
                return _seeded(f"sqlite:///{folder / 'scimd.db'}", folder)
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = server.create_database()
            return replace(_seeded(_unhurried(url), folder), url=url)

    return seed


def _quiet(patch: pytest.MonkeyPatch) -> None:
    """What commands do to logging is taken back; no limit of time is met on a busy machine."""
    patch.setattr(logging, "basicConfig", lambda **_: None)
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    patch.setenv("SCIMD_TEST_KEY", KEY)


@pytest.fixture(params=["sqlite", "postgresql"])
def seed(request: pytest.FixtureRequest, seeds: Callable[[str], Seed], tmp_path: Path) -> Iterator[Seed]:
    """A copy for one test, on each of the two databases."""
    made = seeds(request.param)
    if request.param == "sqlite":
        copy = tmp_path / "scimd.db"
        shutil.copyfile(made.url.removeprefix("sqlite:///"), copy)
        yield Seed(f"sqlite:///{copy}", made.token, made.admin_id)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(made.url.rpartition("/")[2])
    yield Seed(_unhurried(url), made.token, made.admin_id)
    server.drop_database(url)


def _unhurried(url: str) -> str:
    return f"{url}?connect_timeout={AT_MOST_S}"


@pytest.fixture
def more_config() -> str:
    """What stands in the config file besides; a module that needs more overrides it."""
    return ""


@pytest.fixture
async def acme(
    seed: Seed, tmp_path: Path, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch, more_config: str
) -> AsyncIterator[Installation]:
    """The installation, with one organization ``acme`` of 50 seats and its Account Admin."""
    _quiet(monkeypatch)
    clock = Clock()
    monkeypatch.setattr(Database, "now", lambda _: clock())
    # A machine that has too much to do is no server that is gone.
    monkeypatch.setattr(opening, "Tuning", functools.partial(Tuning, silence_s=AT_MOST_S))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    file = tmp_path / "scimd.toml"
    file.write_text(
        CONFIG.format(database=seed.url, port=port, smtp_host=smtp.host, smtp_port=smtp.port) + more_config,
        "utf-8",
    )
    config = configuration.load(file)
    url = config.server.public_url
    async with opening.opened(config) as door, aiohttp.ClientSession(timeout=_PATIENCE) as session:
        runner = web.AppRunner(root.make_app(config, door), access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            api = Client(session, url, {"Authorization": f"Bearer {seed.token}"})
            yield Installation(url, door, clock, config, file, smtp, session, api, seed.admin_id)
        finally:
            await runner.cleanup()
            listening.close()
            structlog.reset_defaults()
