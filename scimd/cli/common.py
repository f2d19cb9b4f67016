"""What every command shares: --config, --json, output, errors and exit codes.

Exit codes (docs/semantics.md): 0 done · 1 error · 2 plan: changes · 3 held · 4 partial · 5 moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import re
import secrets
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from scimd import config, log, opening
from scimd.cli.terminal import Terminal
from scimd.connector_api import ConnectorError
from scimd.core.errors import InvalidValue, NotFound, Refusal, StateMoved
from scimd.core.people import OrgId
from scimd.org.declared import declared_organizations
from scimd.org.declared.declared_keys import THE_FILE
from scimd.org.ids import uuid7
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.runs import runs
from scimd.org.sources import sources
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Actor, Context, Door
from scimd.org.users import admin_reads, by_hand

T = TypeVar("T")
logger = log.get(__name__)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The config file; else SCIMD_CONFIG, else ./scimd.toml, else the defaults."
    ),
]


def command_line(words: str, file: Path | None) -> str:
    """A command to type next: with the config file that this one was given."""
    return f"scimd {words}" if file is None else f"scimd {words} --config {shlex.quote(str(file))}"


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
OrgOption = Annotated[
    str | None, typer.Option("--org", help="The organization's name; may be left out where there is one.")
]

out = Terminal()
err = Terminal(stderr=True)


def load(path: Path | None) -> config.Config:
    """The checked config, with logging set up by it. ConfigError ends the command."""
    found = config.find(path)
    loaded = config.load(found)
    log.configure(loaded.log.level, loaded.log.format)
    for name in config.unheard(found):
        logger.warning("variable_says_nothing", name=name, hint="a key is SCIMD_SECTION__KEY")
    return loaded


def file_of(path: Path | None) -> str:
    """What the config file is called in a sentence."""
    return str(config.find(path) or THE_FILE)


def counts_later(file: object, what: str, look: str) -> str:
    """That the file was changed in what it says of ``what``; ``look`` is the command that tells more."""
    return (
        f"{file} was changed: what it says of {what} counts once scimd serve is started again, "
        f"unless it is held ({look})"
    )


#: Of ``run``: whether the command makes database and key where there are none yet.
Makes = Callable[[config.Config], bool]


def always(_: config.Config) -> bool:
    return True


def where_declared(loaded: config.Config) -> bool:
    """For commands that make what the file declares, as `serve` would."""
    return bool(loaded.organization)


def run(
    path: Path | None,
    work: Callable[[Door, config.Config], Awaitable[T]],
    *,
    makes: Makes | None = None,
) -> T:
    """Open the door on the configured database, do the work, end with a sentence on failure."""

    async def inner(loaded: config.Config, make: bool) -> T:
        async with opening.opened(loaded, make_key=make) as door:
            return await work(door, loaded)

    def whole() -> T:
        loaded = load(path)
        make = makes is not None and makes(loaded)
        opening.require_schema(loaded, make=make)
        return asyncio.run(inner(loaded, make))

    return guarded(whole)


def in_organization(path: Path | None, org: str | None, work: Callable[[Door, Context], Awaitable[T]]) -> T:
    """``run`` in the organization that ``--org`` names, or the only one there is."""

    async def inner(door: Door, _: config.Config) -> T:
        return await work(door, context(door, (await organization(door, org)).id))

    return run(path, inner)


def guarded(work: Callable[[], T]) -> T:
    """Turn every refusal into its sentence on standard error and its exit code."""
    try:
        return work()
    except config.ConfigError as exc:
        fail(*exc.faults)
    except StateMoved as exc:
        fail(exc.detail, code=5)
    except Refusal as exc:
        fail(exc.detail)
    except ConnectorError as exc:
        fail(exc.why)
    except KeyboardInterrupt:
        fail("Interrupted.", code=130)


def fail(*sentences: str, code: int = 1) -> NoReturn:
    for sentence in sentences:
        err.print(f"[red]error:[/red] {escape(sentence)}")
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """One document on standard output."""
    text = orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.buffer.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # sets of records too, in an order that stays
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


#: What a person copies, an id or a time, stays on one line where its column has nothing longer; the other
#: columns give way, down to so many characters.
_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")
_NARROW = 8


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table for eyes; ``empty`` is the sentence where there is no row."""
    lines = [[cell(value) for value in row] for row in rows]
    if not lines:
        out.print(empty, markup=False)
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    least = -2  # between two columns
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        longest = max((column, *cells), key=len)
        is_whole = _WHOLE.fullmatch(longest) is not None
        # What does not fit into a column that is not wrapped would be cut off.
        table.add_column(column, overflow="fold", no_wrap=is_whole)
        least += (len(longest) if is_whole else min(_NARROW, len(longest))) + 2
    if least > out.width:
        table.width = least  # the terminal breaks the lines then, and no column is a letter wide
    for line in lines:
        table.add_row(*map(escape, line))
    out.print(table)


def print_list(
    title: str,
    columns: Sequence[str],
    rows: Sequence[T],
    cells: Callable[[T], Sequence[object]],
    *,
    empty: str,
    json: bool,
    as_json: Callable[[T], object] = lambda row: row,
    more: str | None = None,
) -> None:
    """Rows as one JSON document, each as ``as_json`` has it; or as a table, with ``more`` below it."""
    if json:
        print_json([as_json(row) for row in rows])
        return
    print_table(title, columns, map(cells, rows), empty=empty)
    if more is not None:
        out.print(more, markup=False)


def said(value: Any, *sentences: str, json: bool) -> None:
    """What was done: the value for programs, the sentences, word by word, for people."""
    if json:
        print_json(value)
        return
    for sentence in sentences:
        out.print(sentence, markup=False)


def confirmed(question: str, *, yes: bool, json: bool) -> None:
    """Ask, unless --yes has answered; with --json on standard error. Aborts where the answer is no."""
    if not yes:
        typer.confirm(question, abort=True, err=json)


def cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(item) for item in value)
    return str(value)


def seats_said(seats: Mapping[str, int | None], *, held: bool = False) -> str:
    """What a plan or a preview tells of seats; ``held``: also as it is while the rest is held."""
    then = _after(seats)
    if held:
        then = f"{_after(seats, '_if_held')} while the rest is held, {then} once it is approved"
    of = "" if seats["limit"] is None else f", of {seats['limit']}"
    return f"Seats: {seats['before']} used before, {then}{of}."


def _after(seats: Mapping[str, int | None], suffix: str = "") -> str:
    waiting = seats[f"waiting{suffix}"]
    return f"{seats[f'after{suffix}']} after" + (f" ({waiting} waiting for one)" if waiting else "")


def operator() -> Actor:
    """Whoever can run the CLI is an operator; the audit names the system account."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        account = f"uid {os.getuid()}"
    return Actor(kind="operator", id="cli", name=f"{account} (CLI)")


def context(door: Door, org_id: OrgId, *, source: SourceRecord | None = None) -> Context:
    return Context(
        org_id=org_id,
        actor=operator(),
        door="cli",
        correlation_id=uuid7(door.clock(), secrets.token_bytes(10)),
        source_id=source.id if source else None,
    )


async def organization(door: Door, slug: str | None) -> OrganizationRecord:
    """The organization of that name, or the only customer there is."""
    if slug is not None:
        return await organizations.by_slug(door, slug)
    customers = [row for row in await organizations.list_organizations(door) if row.kind == "customer"]
    if len(customers) == 1:
        return customers[0]
    if not customers:
        raise InvalidValue("--org", "there is no organization yet; make one: scimd org create NAME")
    raise InvalidValue(
        "--org", f"there are several organizations: {', '.join(row.slug for row in customers)}"
    )


async def organization_for_push(
    door: Door, loaded: config.Config, slug: str | None, source: str
) -> OrganizationRecord:
    """The organization that a credential of ``source`` is for.

    What only the file knows yet, of the organization or the source, is made first.
    """
    known = {row.slug: row for row in await organizations.list_organizations(door) if row.kind == "customer"}
    declared = {each.name: each for each in loaded.organization}
    name = slug if slug is not None else next(iter(known or declared), None)
    if name in declared and (slug is not None or len(known or declared) == 1):
        there = (
            {each.name for each in await sources.list_sources(door, known[name].id)} if name in known else ()
        )
        if name not in known or source in {each.name for each in declared[name].source}.difference(there):
            await make_source(door, loaded, declared[name], source)
    return await organization(door, slug)


async def make_source(door: Door, loaded: config.Config, declared: config.Organization, name: str) -> None:
    """Make the source of that name, which only the file knows. Raises NotAllowedNow where it is held."""
    opening.prove(loaded)
    await declared_organizations.make_source(door, declared, name)


def limit_of(text: str) -> int | None:
    """A limit as it is typed: a number, or "unlimited". Raises BadParameter."""
    if text == "unlimited":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise typer.BadParameter('Give a number, or "unlimited".')
    return int(text)


def lifetime(text: str | None, option: str) -> timedelta | None:
    """How long, as an option says it; None for none and for ``never``. Raises InvalidValue."""
    if text is None or text == "never":
        return None
    try:
        value = config.duration(text)
    except ValueError as exc:
        raise InvalidValue(option, str(exc)) from exc
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise InvalidValue(option, 'say how long, such as "90d"')
    return value


Change = Callable[[Door, Context, Any], Awaitable[object]]


def each_person(
    path: Path | None,
    org: str | None,
    many: Sequence[str],
    change: Change,
    *,
    done: str,
    json: bool,
    deleted: bool = False,
) -> None:
    """Do the same to people named by id, user name or address: a line each, and 1 where one was refused."""

    async def one(door: Door, ctx: Context, who: str) -> None:
        await change(door, ctx, await admin_reads.find_person(door, ctx.org_id, who, deleted=deleted))

    each(path, org, many, one, done=done, json=json)


def each(
    path: Path | None, org: str | None, many: Sequence[str], change: Change, *, done: str, json: bool
) -> None:
    """Do the same to things named by their ids: a line each, and exit code 1 where one was refused."""

    async def work(door: Door, _: config.Config) -> list[by_hand.RowResult]:
        ctx = context(door, (await organization(door, org)).id)
        return await by_hand.each(many, lambda one: change(door, ctx, one))

    print_results(run(path, work), done, json)


def print_results(
    rows: Sequence[by_hand.RowResult],
    done: str,
    json: bool,
    *,
    made: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """What became of each of many; ends with 1 where one was refused.

    ``made``: by the row's id, what programs learn besides of what was done.
    """
    if json:
        print_json(
            [
                {"id": row.id, "done": row.refusal is None}
                | ({"code": row.refusal.code, "detail": row.refusal.detail} if row.refusal else {})
                | dict((made or {}).get(row.id, {}))
                for row in rows
            ]
        )
    else:
        for row in rows:
            if row.refusal:
                out.print(f"{escape(row.id)}: [red]{escape(row.refusal.detail)}[/red]")
            else:
                out.print(f"{row.id}: {done}", markup=False)
    if any(row.refusal for row in rows):
        raise typer.Exit(1)


async def organization_of_run(door: Door, run_id: str) -> OrgId:
    """Whose run that is: ids are unique over all organizations, and the CLI is the operator's."""
    for row in await organizations.list_organizations(door):
        with contextlib.suppress(NotFound):
            return (await runs.get_run(door, row.id, run_id)).org_id
    raise NotFound("run", run_id)
