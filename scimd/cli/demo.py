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
from rich.markup import escape
from rich.panel import Panel

from scimd import app, config, log
from scimd.cli import demo_people
from scimd.cli.common import context, err, operator, out
from scimd.cli.demo_people import DemoPerson
from scimd.config import ConfigError
from scimd.core.people import OrgId
from scimd.org import links, organizations, reads, runs, sources, tokens
from scimd.org.sources import NewSource
from scimd.org.tx import Door

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

[mail]
to = "folder"
folder = "{folder}/mails"
sender = "Meridian <people@meridian.example>"

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
userName = "first(entry.username)"
"name.givenName" = "first(entry.givenname)"
"name.familyName" = "first(entry.familyname)"
emails = '[{{"value": first(entry.email), "type": "work", "primary": true}}]'
title = "first(entry.title)"
preferredLanguage = "first(entry.language)"
active = 'first(entry.active) == "true"'
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department" = "first(entry.department)"

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
    body = _CONFIG.format(folder=FOLDER.as_posix(), port=base.server.port, public_url=public_url, seats=_SEATS)
    file.write_text(body, encoding="utf-8")
    loaded = config.load(file)
    log.configure("warning" if loaded.log.level == "info" else loaded.log.level, loaded.log.format)

    async def ready(door: Door, address: str) -> None:
        await _fill(door, address)
        await _say(door, loaded, file)

    asyncio.run(app.serve(loaded, file, ready=ready))


def _clear(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError([f"{folder}: is in the way; the demo makes a folder of that name"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


async def _fill(door: Door, address: str) -> None:
    """Push forty people as an identity provider would, then wait for the directory's first run."""
    owner = await organizations.by_slug(door, "meridian")
    idp = await sources.get_source(door, owner.id, "idp")
    token = await tokens.create(door, context(door, owner.id), idp.id, "the demo's push", "default", None)
    staff = demo_people.people(_IN_DIRECTORY + _PUSHED)[_IN_DIRECTORY:]
    headers = {"Authorization": f"Bearer {token.token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as http:
        for person in staff:
            async with http.post(f"{address}/scim/v2/Users", json=_as_scim(person)) as answer:
                if answer.status != 201:
                    raise ConfigError([f"the demo's push was answered {answer.status}: {await answer.text()}"])
