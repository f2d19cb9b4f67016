"""``scimd NOUN export``: a whole list as CSV or JSON, just as the REST API gives it.

Columns, filters and order are those of its endpoint; a cell that a spreadsheet would calculate is text.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from scimd.admin import lists
from scimd.admin.endpoints import Call, Endpoint
from scimd.admin.models import Listed, ListQuery
from scimd.admin.table import TABLE
from scimd.cli.common import ConfigOption, JsonOption, OrgOption, context, err, organization, out, run
from scimd.config import Config
from scimd.core.errors import InvalidValue
from scimd.core.words import of_a_check
from scimd.http.visits import Visit
from scimd.org.authentication.sessions import Holder
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.sources import sources
from scimd.org.tx import Context, Door

#: What each command exports, by its words.
LISTS: Mapping[str, str] = {
    "user": "/users",
    "invitation": "/invitations",
    "group": "/groups",
    "project": "/projects",
    "team": "/teams",
    "licence": "/licences",
    "role": "/roles",
    "seats": "/seats/history",
    "session": "/sessions",
    "login-attempt": "/login-attempts",
    "source": "/sources",
    "rule": "/sources/{id}/rules",
    "token": "/source-tokens",
    "token client": "/oauth-clients",
    "token api": "/api-tokens",
    "scim-log": "/scim-requests",
    "run": "/runs",
    "decide": "/decisions",
    "domain": "/domains",
    "org": "/organizations",
    "partner": "/partner-queues",
    "audit": "/audit",
}
_ROWS = {row.path: row for row in TABLE if row.is_list}
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="NAME=VALUE", help="A parameter of the endpoint; several times."),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")]


def add(app: typer.Typer, words: str) -> None:
    """Give the noun its ``export``; or ``export-list``, where another thing is called so."""
    row = _ROWS[LISTS[words]]
    taken = any(command.name == "export" for command in app.registered_commands)
    name = "export-list" if taken else "export"
    app.command(name, help=_told(row))(_of_source(row) if row.parameters else _of_all(row))


def _told(row: Endpoint) -> str:
    names = ", ".join(
        name for name in row.query.model_fields if name not in ("organization", *ListQuery.model_fields)
    )
    return f"Export the whole list as CSV, or JSON.{f' Filters: {names}.' if names else ''}"


def _of_all(row: Endpoint) -> Any:
    def export(
        filters: FilterOption = None,
        output: OutputOption = None,
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        _export(row, None, filters, output, org, config, json=json)

    return export


def _of_source(row: Endpoint) -> Any:
    def export(
        source: Annotated[str, typer.Option(help="The source's name.")],
        filters: FilterOption = None,
        output: OutputOption = None,
        org: OrgOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        _export(row, source, filters, output, org, config, json=json)

    return export


def _export(
    row: Endpoint,
    source: str | None,
    filters: list[str] | None,
    output: Path | None,
    org: str | None,
    path: Path | None,
    *,
    json: bool,
) -> None:
    async def work(door: Door, loaded: Config) -> None:
        query = _query(row, filters or [])
        owner = await (organizations.ensure_system(door) if row.of_installation else organization(door, org))
        ids = {} if source is None else {"id": (await sources.get_source(door, owner.id, source)).id}
        ctx = context(door, owner.id)
        call = Call(door, loaded, _visit(owner, ctx), ctx, ids)

        async def turn(of: Call) -> Listed[Any]:
            given = {"query": query} if row.takes_query else {}
            found: Listed[Any] = await row.handler(of, **given)
            return found

        pieces = await lists.written(row, call, query, "json" if json else "csv", turn)
        await _write(pieces, output)

    run(path, work)
    if output is not None:
        (err if json else out).print(f"Written: {output}", markup=False)


async def _write(pieces: AsyncIterator[str], output: Path | None) -> None:
    try:
        stream = sys.stdout.buffer if output is None else output.open("wb")
    except OSError as exc:
        raise InvalidValue("--output", f"{output} cannot be written: {exc.strerror}") from exc
    try:
        async for piece in pieces:
            stream.write(piece.encode())
        stream.flush()
    finally:
        if output is not None:
            stream.close()


def _query(row: Endpoint, filters: list[str]) -> ListQuery:
    """The parameters by the endpoint's own model. Raises InvalidValue."""
    given: dict[str, str] = {}
    for each in filters:
        name, _, value = each.partition("=")
        if name in given:
            raise InvalidValue(f"--filter {name}", "is given more than once")
        if name == "organization":
            raise InvalidValue("--filter organization", "name the organization by --org")
        given[name] = value
    try:
        query = row.query.model_validate(given)
    except ValidationError as exc:
        first = exc.errors()[0]
        why = of_a_check(first["msg"])
        if first["type"] == "extra_forbidden":
            why = "there is no such filter; --help names those of this list"
        raise InvalidValue(f"--filter {first['loc'][0]}", why) from exc
    assert isinstance(query, ListQuery)  # noqa: S101 - of a list
    return query


def _visit(owner: OrganizationRecord, ctx: Context) -> Visit:
    """An operator, who may everything (``org.permissions``)."""
    holder = Holder(
        owner.id, owner.slug, owner.display_name, "system", 0, None, ctx.actor.name, None, (), frozenset()
    )
    return Visit(holder, owner, "", ctx.correlation_id)
