"""``scimd serve --demo``: a whole company to look at, afresh each time.

A real organization with fifty seats, a file source that the ordinary connector reads on its
schedule, and a SCIM source to which forty people are pushed over HTTP. Config, database, directory
and mails are in ``./.demo/``.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp

from scimd import app, config, log
from scimd.cli import demo_people
from scimd.cli.common import context, err, operator, out
from scimd.cli.demo_people import DemoPerson
from scimd.config import ConfigError
from scimd.core.endpoints import BASE_PATH
from scimd.org.organizations import organizations
from scimd.org.runs import runs
from scimd.org.sources import sources
from scimd.org.tokens import tokens
from scimd.org.tx import Door
from scimd.org.users import first_admins

FOLDER = Path(".demo")
_SEATS, _IN_DIRECTORY, _PUSHED = 50, 300, 40
_ADMIN = f"admin@{demo_people.DOMAIN}"

_CONFIG = """\
# Made by `scimd serve --demo`, and made anew by the next one.
[server]
port = {port}
public_url = "{public_url}"

[database]
url = "sqlite:///{folder}/scimd.db"

# A demo is gone with its folder: no authenticator app is worth setting up for it.
[sign_in]
second_factor = "nobody"

[mail]
to = "folder"
folder = "{folder}/mails"
sender = "Meridian <people@meridian.example>"

[log]
level = "warning"

[invitations]
mail_delay = 0
mail_delay_at_most = 0

[[organization]]
name = "meridian"
display_name = "Meridian"
seats = {seats}
domains = ["meridian.example"]

# People are pushed here by an identity provider, which is also where they sign in.
[[organization.source]]
name = "idp"
connector = "scim"
state = "active"
invite = "never"

# The company's directory, an export in two files. Edit them and see what the next run does.
[[organization.source]]
name = "directory"
connector = "file"
state = "active"
invite = "immediate"
schedule = "1m"

[organization.source.settings]
path = "{folder}/directory"

[organization.source.mapping]
required = ["userName", "emails"]

[organization.source.mapping.user]
userName = "entry.?username[?0]"
"name.givenName" = "entry.?givenname[?0]"
"name.familyName" = "entry.?familyname[?0]"
emails = '[{{"value": entry.email[0], "type": "work", "primary": true}}]'
title = "entry.?title[?0]"
preferredLanguage = "entry.?language[?0]"
active = "entry.?active[?0]"
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department" = "entry.?department[?0]"

[[organization.source.rule]]
number = 10
pattern = "*"
project = "{{name}}"
"""


def run() -> None:
    """Make the folder, serve, push, and say how to get in. Ends when the server is stopped."""
    base = config.load(None)  # the environment may move the port and the public address
    _clear(FOLDER)
    demo_people.write_directory(FOLDER / "directory", demo_people.people(_IN_DIRECTORY))
    file = FOLDER / "scimd.toml"
    public_url = base.server.public_url
    if base.server.port != 8080 and public_url == config.Server.model_fields["public_url"].default:
        public_url = f"http://127.0.0.1:{base.server.port}"
    body = _CONFIG.format(
        folder=FOLDER.as_posix(), port=base.server.port, public_url=public_url, seats=_SEATS
    )
    file.write_text(body, encoding="utf-8")
    loaded = config.load(file)
    log.configure(loaded.log.level, loaded.log.format)

    said: list[str] = []  # what the push gives to print: the sign-in link's token, the SCIM token

    async def push(door: Door, address: str) -> None:
        # The admin comes first: a seat, too, is taken by hand or not at all.
        said.append(await first_admins.create_admin(door, "meridian", _ADMIN, operator(), valid_s=86_400))
        said.append(await _push(door, address))

    async def ready(door: Door) -> None:
        await _first_run(door)
        _say(loaded, file, *said)

    app.run(app.serve(loaded, file, before_worker=push, ready=ready))


def _clear(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError([f"{folder}: is in the way; the demo makes a folder of that name"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


async def _push(door: Door, address: str) -> str:
    """Push forty people as an identity provider would; gives the token."""
    owner = await organizations.by_slug(door, "meridian")
    idp = await sources.get_source(door, owner.id, "idp")
    token = await tokens.create(door, context(door, owner.id), idp.id, "the demo's push", "default", None)
    staff = demo_people.people(_IN_DIRECTORY + _PUSHED)[_IN_DIRECTORY:]
    headers = {"Authorization": f"Bearer {token.token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as http:
        for person in staff:
            async with http.post(f"{address}{BASE_PATH}/Users", json=_as_scim(person)) as answer:
                if answer.status != 201:
                    raise ConfigError(
                        [f"the demo's push was answered {answer.status}: {await answer.text()}"]
                    )
    return token.token


def _as_scim(person: DemoPerson) -> dict[str, object]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "externalId": f"idp-{person.id}",
        "userName": person.email,
        "name": {"givenName": person.given, "familyName": person.family},
        "emails": [{"value": person.email, "type": "work", "primary": True}],
        "title": person.title,
        "preferredLanguage": person.language,
        "active": True,
    }


async def _first_run(door: Door) -> None:
    """Wait until the directory was read once; the worker does it on its schedule."""
    owner = await organizations.by_slug(door, "meridian")
    for _ in range(600):
        found = await runs.list_runs(door, owner.id, limit=1)
        if found and found[0].finished_at is not None:
            return
        await asyncio.sleep(0.1)
    err.print("The directory's first run has not finished within a minute; see: scimd run list")


def _say(loaded: config.Config, file: Path, link: str, token: str) -> None:
    url = loaded.server.public_url
    base = f"{url}{BASE_PATH}"
    out.print()
    out.print("[bold]The demo is ready.[/bold] Stop it with Ctrl-C; the next start begins afresh.")
    for label, value in (
        ("Page, sign in once by", f"{url}/sign-in/{link}"),
        ("SCIM base URL", base),
        ("SCIM token", token),
        ("Mails", f"{FOLDER / 'mails'} (.eml files)"),
        ("CLI", f".venv/bin/scimd user list --config {file}"),
    ):
        out.print(f"  {label:<22} {value}", markup=False)
    out.print()
    out.print("Ask it something:")
    curl = f'curl -s -H "Authorization: Bearer {token}"'
    person = '{"userName": "ada@meridian.example", "name": {"givenName": "Ada", "familyName": "Novak"}}'
    for asked in (
        f'"{base}/Users?count=2"',
        f"-G {base}/Users --data-urlencode 'filter=title eq \"Engineer\"' -d count=3",
        f"{base}/Users -H 'Content-Type: application/scim+json' -d '{person}'",
    ):
        out.print(f"  {curl} {asked}", markup=False)
    out.print()
