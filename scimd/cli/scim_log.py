"""``scimd scim-log``: what identity providers asked, what they were answered, and why."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from scimd import config as configuration
from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    cell,
    in_organization,
    organization,
    out,
    print_json,
    print_table,
    run,
    said,
)
from scimd.cli.replay import bundle as bundles
from scimd.config import Config
from scimd.core.errors import InvalidValue
from scimd.core.people import OrgId, TokenId
from scimd.org.request_log import request_log
from scimd.org.request_log.request_log import RequestPage, RequestRecord, Wanted
from scimd.org.request_log.request_people import sought
from scimd.org.sources import sources
from scimd.org.tokens import tokens
from scimd.org.tx import Context, Door

#: A time is written from its year on.
_DATED = re.compile(r"\d{4}-")

app = typer.Typer(name="scim-log", help="The log of SCIM requests.", no_args_is_help=True)

SourceOption = Annotated[str | None, typer.Option("--source", help="Only of this source.")]
TokenOption = Annotated[str | None, typer.Option("--token", help="Only by the token with this id.")]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", help='Only as recent as this: "2h", "3d", or a time (UTC) such as 2026-11-21T09:00.'
    ),
]


def _one_status(value: int | None) -> int | None:
    if value is not None and value not in (2, 3, 4, 5) and not 200 <= value <= 599:
        raise typer.BadParameter("Give a status such as 409, or 2, 3, 4 or 5 for all that begin with it.")
    return value


StatusOption = Annotated[
    int | None,
    typer.Option("--status", callback=_one_status, help="Only this status; 4 means all of 4xx."),
]
MethodOption = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None,
    typer.Option("--method", case_sensitive=False, help="Only this method."),
]
CorrelationOption = Annotated[
    str | None, typer.Option("--correlation-id", help="Only with this X-Request-Id.")
]
PersonOption = Annotated[
    str | None,
    typer.Option("--person", help="Only about this person: user name, external id, id or address."),
]
ErrorsOption = Annotated[bool, typer.Option("--errors", help="Only what was refused or failed.")]


@app.command("list")
def list_(
    source: SourceOption = None,
    token: TokenOption = None,
    since: SinceOption = None,
    status: StatusOption = None,
    method: MethodOption = None,
    correlation_id: CorrelationOption = None,
    person: PersonOption = None,
    errors: ErrorsOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 50,
    before: Annotated[str | None, typer.Option(help="Only older than the request with this id.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the newest requests."""

    async def work(door: Door, ctx: Context) -> RequestPage:
        wanted = replace(
            await _wanted(door, ctx.org_id, source, token, since),
            status=status,
            method=method,
            correlation_id=correlation_id,
            person=await sought(door, ctx.org_id, person) if person is not None else None,
            only="errors" if errors else None,
        )
        return await request_log.list_requests(door, ctx.org_id, wanted, before=before, limit=limit)

    page = in_organization(config, org, work)
    if json:
        print_json(page)
        return
    print_table(
        "SCIM requests",
        ("Id", "At", "Source", "Token", "Request", "Answer", "Why"),
        (
            (row.id, row.at, row.source_name, row.token_name, asked(row), answered(row), why(row))
            for row in page.requests
        ),
        empty="No matching request is in the log.",
    )
    if page.older is not None:
        out.print(f"Older ones: --before {page.older}", markup=False)


@app.command("show")
def show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or its X-Request-Id.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one request whole: what came, what scimd made of it, what it answered."""
    row = in_organization(
        config, org, lambda door, ctx: request_log.get_request(door, ctx.org_id, request_id)
    )
    if json:
        print_json(row)
        return
    lines = [
        f"{row.method} {row.path}{'?' + row.query if row.query else ''}",
        f"{cell(row.at)}  {row.duration_us / 1000:.1f} ms  X-Request-Id {row.correlation_id}",
        f"Source {row.source_name}, token {row.token_name}, profile {row.profile}",
        f"Answer: {answered(row)}  {row.detail or ''}",
        *(f"Transform {each['name']}: {each['did']}" for each in row.transforms),
        *(f"Ignored: {each['name']}: {each['why']}" for each in row.ignored),
        *(
            f"The body of the {each} was not kept: it is too large, or the server's log says what went wrong."
            for each in row.omitted
        ),
        f"Request: {row.request or 'no body'}",
        f"Response: {row.response or 'no body'}",
    ]
    for line in lines:
        out.print(line, markup=False)
    if row.dropped:
        out.print(
            f"{row.dropped} requests before this one were lost: more came than there was room for.",
            markup=False,
        )


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The bundle to write.")],
    source: Annotated[str, typer.Option("--source", help="The source whose requests to export.")],
    token: TokenOption = None,
    since: SinceOption = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write a source's requests into a file that `scimd replay` plays. Values in it are pseudonyms."""

    async def work(door: Door, loaded: Config) -> int:
        of = await sources.resolve(door, source, org)
        owner = await organization(door, of.org_slug)
        wanted = await _wanted(door, of.org_id, of.id, token, since)
        profiles = [each.profile for each in await tokens.list_tokens(door, of.org_id, source_id=of.id)]
        profile = profiles[0] if profiles else "default"
        header = bundles.header_of(owner, of, profile, loaded)
        count = 0
        try:
            with file.open("wb") as into:
                into.write(header.line())
                async for entry in request_log.every_request(door, of.org_id, wanted):
                    into.write(bundles.recorded(entry).line())
                    count += 1
        except OSError as exc:
            raise InvalidValue(str(file), f"it cannot be written: {exc.strerror}") from exc
        return count

    count = run(config, work)
    said(
        {"file": str(file), "requests": count},
        f"{count} requests are in {file}. Play them: scimd replay {file}",
        json=json,
    )


def asked(row: RequestRecord) -> str:
    return f"{row.method} {row.path}{'?' + row.query if row.query else ''}"[:120]


def answered(row: RequestRecord) -> str:
    return f"{row.status} {row.scim_type}" if row.scim_type else str(row.status)


def why(row: RequestRecord) -> str:
    """The reason, what was done to the request, and what was lost before it, in one line."""
    parts = [row.detail or ""]
    parts += [f"transformed: {', '.join(each['name'] for each in row.transforms)}"] if row.transforms else []
    parts += [f"ignored: {', '.join(each['name'] for each in row.ignored)}"] if row.ignored else []
    parts += [f"{row.dropped} before it lost"] if row.dropped else []
    return "; ".join(part for part in parts if part)


async def _wanted(
    door: Door,
    org_id: OrgId,
    source: str | None,
    token: str | None,
    since: str | None,
) -> Wanted:
    of = None if source is None else (await sources.get_source(door, org_id, source)).id
    return Wanted(
        source_id=of,
        token_id=None if token is None else TokenId(token),
        since=None if since is None else moment(since, door.clock()),
    )


def moment(text: str, now: datetime) -> datetime:
    """A time as a person types it: so long ago, or ISO 8601, UTC if it has no zone. Raises InvalidValue."""
    try:
        if not _DATED.match(text):
            return now - cast(timedelta, configuration.duration(text))
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise InvalidValue("--since", 'say "2h", "3d" or a time such as 2026-11-21T09:00Z') from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)
