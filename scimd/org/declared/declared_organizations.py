"""Organizations as the configuration file declares them: made, brought up to date, or held."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from scimd import config
from scimd.core.errors import DatabaseUnavailable, NotAllowedNow, NotUnique, Overloaded, Refusal, StorageFull
from scimd.core.events import Event, EventKind
from scimd.core.languages import ENGLISH
from scimd.core.people import OrgId, fold
from scimd.db.locks import lock_row
from scimd.db.tables import organizations, projects, seat_pools
from scimd.org.declared import declared_faults, declared_held, declared_keys, declared_sources
from scimd.org.declared.declared_held import DEFAULT_PROJECT, DOMAINS, ITSELF
from scimd.org.generation import bump
from scimd.org.organizations.domains import proven
from scimd.org.organizations.organizations import (
    NewOrganization,
    by_slug,
    context_of_new,
    current,
    find,
    hold_domains,
    list_organizations,
    make,
    make_project,
)
from scimd.org.rehearsal import rehearse
from scimd.org.sources import held_changes
from scimd.org.sources.held_changes import Change
from scimd.org.sources.sources import list_sources, mark_everyone
from scimd.org.tx import Actor, Context, Door, Tx

_FILE = Actor("system", "config", "the configuration file")
#: Everybody concerned is marked, and may have to be weighed while others wait; no start ends by that.
_PATIENCE_S = 600.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of one declared organization. ``left_out``: sources that the file names no more.

    Those are the hands' again, and connectors among them are not read; what they said stays: to end a
    source takes people away, and that is never done by a line that is missing.
    """

    slug: str
    org_id: OrgId
    outcome: Literal["created", "updated", "unchanged", "held"]
    left_out: tuple[str, ...] = ()
    #: Of what the old version stays, and why: see ``declared_held``.
    held: Mapping[str, str] = field(default_factory=dict)


async def declare(door: Door, declared: Sequence[config.Organization]) -> list[Declared]:
    """Make or bring up to date what the file declares, one transaction per organization.

    Idempotent, also where several processes call it at once: another call changes nothing and writes no
    event. What was set elsewhere since (a source's release, a seat limit where the file has none) stays.
    What of the file cannot be, or is over the limits, is held, and the rest counts; nothing but trouble of
    the database is raised.
    """
    return [await _declare_one(door, organization) for organization in declared]


async def release(door: Door, declared: Sequence[config.Organization]) -> list[Declared]:
    """Let everything be changed by hand again of organizations that the file names no more; gives these."""
    named = {each.name for each in declared}
    of_file = {
        each.org_id
        for each in await list_sources(door)
        if each.declared_in == "file" or each.kind == "connector"
    }
    found = []
    for there in await list_organizations(door):
        if there.slug not in named and (there.declared or there.held or there.id in of_file):
            ctx = replace(context_of_new(door, _FILE, "cli"), org_id=there.id)
            found.append(Declared(there.slug, there.id, "updated", await door.run(ctx, _let_go)))
    return found


def _let_go(tx: Tx) -> tuple[str, ...]:
    declared_keys.keep(tx, [])
    declared_held.note(tx, {})
    return declared_sources.release(tx, [])


async def _declare_one(door: Door, wanted: config.Organization) -> Declared:
    never = await _contradicted(door, wanted)
    there = await door.read(lambda conn: find(conn, wanted.name))
    if there is None:
        made = await _make(door, wanted, never)
        if made is not None:
            return made
        there = await by_slug(door, wanted.name)  # another process has made it meanwhile
    return await _follow_the_file(door, wanted, there.id, never)


async def _contradicted(door: Door, wanted: config.Organization) -> dict[str, str]:
    """What is somebody else's here, as what is held."""
    faults = await door.read(lambda conn: declared_faults.contradictions(conn, wanted))
    return {part: declared_held.never(why) for part, why in faults.items()}


async def _make(door: Door, wanted: config.Organization, held: Mapping[str, str]) -> Declared | None:
    """None where another process was first."""

    def body(tx: Tx) -> Declared | None:
        if not make(tx, _as_new(wanted, held)):
            return None
        declared_sources.declare(tx, wanted.source, held)
        declared_held.note(tx, held)
        return Declared(wanted.name, tx.org_id, "held" if held else "created", held=held)

    return await door.run(context_of_new(door, _FILE, "cli"), body)


async def _follow_the_file(
    door: Door, wanted: config.Organization, org_id: OrgId, never: Mapping[str, str]
) -> Declared:
    ctx = replace(context_of_new(door, _FILE, "cli"), org_id=org_id)

    async def keep(held: Mapping[str, str], weighed_at: int | None) -> Declared:
        def body(tx: Tx) -> Declared:
            if weighed_at is not None:
                _must_be_at(tx, weighed_at)
            done = _bring(tx, wanted, held)
            if weighed_at is None and (change := held_changes.made_by(tx)):
                _must_fit(held_changes.over_at_once(tx, change))
            declared_held.note(tx, held)
            return done

        return await door.run(ctx, body, timeout_s=_PATIENCE_S)

    async def keep_what_can_be(weighed_at: int | None) -> Declared:
        held = await _to_hold(door, ctx, wanted, never)
        try:
            return await keep(held, weighed_at)
        except Refusal as exc:  # somebody came or went since the look
            why = _why(exc)
            changing = await _changing(door, org_id, wanted)
            return await keep({**dict.fromkeys(changing, why), **held}, None)

    for _ in range(_TRIES):
        with suppress(_Moved):
            return await keep_what_can_be(await door.read(lambda conn: _generation(door, conn, org_id)))
    # Others keep changing what access rests on: here they wait.
    return await keep_what_can_be(None)


class _Moved(Exception):
    """What access rests on was changed after it was looked at: look again."""


def _generation(door: Door, conn: Connection, org_id: OrgId) -> int:
    return door.books.of(conn, org_id).rules.version


def _must_be_at(tx: Tx, generation: int) -> None:
    lock_row(tx.conn, organizations, id=tx.org_id)
    if tx.book.rules.version != generation:
        raise _Moved


def _must_fit(over: Collection[str]) -> None:
    if over:
        raise _OverLimits(" ".join(over))


class _OverLimits(NotAllowedNow):
    """An admin may approve it."""


def _why(exc: Refusal) -> str:
    """Why an edit is held. What is no word about the edit, trouble of the database, is raised again."""
    if isinstance(exc, DatabaseUnavailable | Overloaded | StorageFull):
        raise exc
    return exc.detail if isinstance(exc, _OverLimits) else declared_held.never(exc.detail)


async def make_source(door: Door, wanted: config.Organization, name: str) -> None:
    """Make a source that only the file knows yet, and its organization, where that is not there either.

    What the file says of all else waits for `serve`. Raises NotAllowedNow where the source is held.
    """
    never = await _contradicted(door, wanted)
    if why := never.get(name):
        raise NotAllowedNow(f"The source {name} is not made: {why}")
    if await door.read(lambda conn: find(conn, wanted.name)) is None and await _make(door, wanted, never):
        return
    there = await by_slug(door, wanted.name)

    def body(tx: Tx) -> None:
        lock_row(tx.conn, organizations, id=tx.org_id)
        declared_sources.declare_new(tx, wanted.source, name)
        held = declared_held.of(_settings_of(tx))
        declared_held.note(tx, {part: why for part, why in held.items() if part != name})

    try:
        await door.run(replace(context_of_new(door, _FILE, "cli"), org_id=there.id), body)
    except NotUnique as exc:
        why = f"{exc.detail} What else the file changes counts once scimd serve is started again."
        raise NotAllowedNow(f"The source {name} is not made: {why}") from exc


def _bring(tx: Tx, wanted: config.Organization, held: Mapping[str, str]) -> Declared:
    # Replicas that start at once take turns: the second finds nothing left to do.
    lock_row(tx.conn, organizations, id=tx.org_id)
    declared_keys.keep(tx, declared_keys.said_by(wanted))
    changed = _bring_up_to_date(tx, wanted, held)
    sources_changed, left_out = declared_sources.declare(tx, wanted.source, held)
    outcome: Literal["updated", "unchanged"] = "updated" if changed or sources_changed else "unchanged"
    return Declared(wanted.name, tx.org_id, "held" if held else outcome, left_out, held)


# ------------------------------------------------------------------------------ what is held


@dataclass(frozen=True, slots=True)
class _Tried:
    """A change that was only looked at: what the limits hold of it, or why nobody's word lets it through."""

    changed: bool
    over: tuple[str, ...] = ()
    never: str | None = None


async def _to_hold(
    door: Door, ctx: Context, wanted: config.Organization, never: Mapping[str, str], *, approved: bool = False
) -> Mapping[str, str]:
    """What has to be held for the rest to count: mostly nothing more than ``never``, which one look shows.

    Else each part is tried beside those that count. What is held is tried again where something counts
    since: what one source gives no more, another may give. ``approved``: also over the limits.
    """
    seen: dict[frozenset[str], str] = {}  # by what is held: why the rest cannot count, if it cannot

    async def against(held: Mapping[str, str]) -> str:
        tried = frozenset(held)
        if tried not in seen:
            found = await _tried(door, ctx, wanted, held)
            seen[tried] = found.never or ("" if approved else " ".join(found.over))
        return seen[tried]

    if not await against(never):
        return never
    waiting = await door.read(lambda conn: _parts(conn, ctx.org_id, wanted))
    while True:
        held = dict(never)
        refused: list[tuple[str, ...]] = []
        for at, part in enumerate(waiting):
            later = dict.fromkeys((name for each in waiting[at + 1 :] for name in each), "")
            if why := await against(later | held):
                held |= {name: why for name in part if name not in held}
                refused.append(part)
        if len(refused) == len(waiting):
            return held
        waiting = refused


async def _tried(door: Door, ctx: Context, wanted: config.Organization, held: Mapping[str, str]) -> _Tried:
    """The change is made and rolled back, and weighed when nobody waits for it."""

    def body(tx: Tx) -> tuple[bool, Change | None]:
        _bring(tx, wanted, held)
        return bool(tx.events), held_changes.made_by(tx)

    try:
        (changed, change), _ = await rehearse(door, lambda stage: stage.run(ctx, body, timeout_s=_PATIENCE_S))
    except Refusal as exc:
        return _Tried(True, never=_why(exc))
    return _Tried(changed, await held_changes.over(door, change) if change else ())


def _parts(conn: Connection, org_id: OrgId, wanted: config.Organization) -> list[tuple[str, ...]]:
    """What of the organization may change what people have, as far as the file says otherwise."""
    parts = declared_sources.differing(conn, org_id, wanted.source)
    named = declared_keys.domain_keys(wanted.domains)
    holders = proven(conn, named)
    if any(holders.get(each) != org_id for each in named):
        parts.append((DOMAINS,))
    if DEFAULT_PROJECT in wanted.model_fields_set and _default_differs(conn, org_id, wanted.default_project):
        # Last, for the limits that a source's part raises.
        parts.append((DEFAULT_PROJECT,))
    return parts


def _default_differs(conn: Connection, org_id: OrgId, name: str) -> bool:
    query = (
        select(projects.c.name_key)
        .join(organizations, organizations.c.id == projects.c.org_id)
        .where(organizations.c.id == org_id, projects.c.id == organizations.c.default_project_id)
    )
    return conn.execute(query).scalar() != (None if name == "none" else fold(name))


async def _changing(door: Door, org_id: OrgId, wanted: config.Organization) -> list[str]:
    parts = await door.read(lambda conn: _parts(conn, org_id, wanted))
    return [name for part in parts for name in part]


@dataclass(frozen=True, slots=True)
class Look:
    """At an edit of the file. ``changes``: of what it says something else than what counts, named as what
    is held. ``over``: a sentence for each limit that the rest is over. ``never``: what no approval lets
    through, and why; ``others``: what of it is somebody else's here. ``read_otherwise``: the sources whose
    next run would be read so, and by which of their keys.
    """

    changes: list[str]
    over: tuple[str, ...]
    never: Mapping[str, str]
    others: Mapping[str, str]
    read_otherwise: Mapping[str, tuple[str, ...]]


async def look(door: Door, ctx: Context, wanted: config.Organization) -> Look:
    """What `serve` would make of the file as it is now; changes nothing.

    Makes the change in transactions that are rolled back, and looks at everybody concerned beside them.
    """
    names = await _changing(door, ctx.org_id, wanted)
    rest = await _tried(door, ctx, wanted, dict.fromkeys(names, ""))
    others = await _contradicted(door, wanted)
    never: Mapping[str, str] = others
    whole = await _tried(door, ctx, wanted, never) if names else rest
    if whole.never is not None:
        never = await _to_hold(door, ctx, wanted, others, approved=True)
        whole = await _tried(door, ctx, wanted, never)
    return Look(
        [*([ITSELF] if rest.changed else []), *names],
        whole.over,
        never,
        others,
        await door.read(lambda conn: declared_sources.to_read_otherwise(conn, ctx.org_id, wanted.source)),
    )


async def accept(door: Door, ctx: Context, wanted: config.Organization) -> Declared:
    """Let the file count as it is now, also over the limits: an admin approves it.

    Raises NotAllowedNow, with the reasons, where something in it is held whoever approves.
    """

    def body(tx: Tx) -> Declared:
        done = _bring(tx, wanted, {})
        declared_held.note(tx, {})
        return done

    if never := await _contradicted(door, wanted):
        raise NotAllowedNow(" ".join(never.values()))
    return await door.run(ctx, body, timeout_s=_PATIENCE_S)


def _as_new(wanted: config.Organization, held: Collection[str]) -> NewOrganization:
    return NewOrganization(
        slug=wanted.name,
        display_name=wanted.display_name,
        seats=wanted.seats,
        seats_on_scim=wanted.seats_on_scim,
        default_project=None if wanted.default_project == "none" else wanted.default_project,
        get_more_seats_url=wanted.get_more_seats_url,
        domains=() if DOMAINS in held else tuple(wanted.domains),
        settings=_settings(wanted) | {declared_keys.KEY: declared_keys.said_by(wanted)},
    )


#: What counts where nothing was declared yet.
_UNDECLARED = config.Organization(name="none")


def _settings(wanted: config.Organization) -> dict[str, Any]:
    return {
        "language": wanted.language,
        "notify": [each.model_dump(mode="json") for each in wanted.notify],
        "silent_after_s": wanted.silent_after.total_seconds(),
    }


def _settings_of(tx: Tx) -> dict[str, Any]:
    query = select(organizations.c.settings).where(organizations.c.id == tx.org_id)
    return dict(tx.conn.execute(query).scalar_one())


def _bring_up_to_date(tx: Tx, wanted: config.Organization, held: Collection[str]) -> bool:
    was = current(tx)
    kept = _settings_of(tx)
    declared = _settings(wanted)
    if "language" not in wanted.model_fields_set:
        declared["language"] = kept.get("language", ENGLISH)  # what an admin set stands
    before: dict[str, Any] = {
        "display_name": was.display_name,
        "seats_on_scim": was.seats_on_scim,
        "get_more_seats_url": was.get_more_seats_url,
        "seats": was.seats,
        "default_project": was.default_project_id,
        **{key: kept.get(key, value) for key, value in _settings(_UNDECLARED).items()},
    }
    said = {
        "display_name": wanted.display_name or wanted.name,
        "seats_on_scim": wanted.seats_on_scim,
        "get_more_seats_url": wanted.get_more_seats_url,
        "seats": was.seats if wanted.seats is None else wanted.seats,
    }
    # Of what the file does not mention, what an admin set stands.
    after = {
        **{key: value if key in wanted.model_fields_set else before[key] for key, value in said.items()},
        "default_project": _default_project(tx, wanted.default_project)
        if DEFAULT_PROJECT in wanted.model_fields_set and DEFAULT_PROJECT not in held
        else was.default_project_id,
        **declared,
    }
    new_domains = hold_domains(tx, [] if DOMAINS in held else wanted.domains)
    if before == after and not new_domains:
        return False
    _write(tx, after, {**kept, **declared})
    tx.seats_owed = before["seats"] != after["seats"]
    if before["default_project"] != after["default_project"]:
        mark_everyone(tx)
    bump(tx)
    tx.record(
        Event(
            EventKind.ORGANIZATION_CHANGED,
            "organization",
            tx.org_id,
            before={key: value for key, value in before.items() if after[key] != value},
            after={key: value for key, value in after.items() if before[key] != value}
            | ({"domains": new_domains} if new_domains else {}),
        )
    )
    return True


def _write(tx: Tx, after: dict[str, Any], settings: dict[str, Any]) -> None:
    tx.conn.execute(
        update(organizations)
        .where(organizations.c.id == tx.org_id)
        .values(
            name=after["display_name"],
            seats_on_scim=after["seats_on_scim"],
            get_more_seats_url=after["get_more_seats_url"],
            default_project_id=after["default_project"],
            settings=settings,
        )
    )
    tx.conn.execute(
        update(seat_pools)
        .where(seat_pools.c.org_id == tx.org_id)
        .values(seat_limit=after["seats"], allow_overage=after["seats_on_scim"] == "allow")
    )


def _default_project(tx: Tx, wanted: str) -> str | None:
    """The id of the project that the file names; a new one where the organization has none of it."""
    if wanted == "none":
        return None
    row = tx.conn.execute(
        select(projects.c.id).where(
            projects.c.org_id == tx.org_id,
            projects.c.name_key == fold(wanted),
            projects.c.archived_at.is_(None),
        )
    ).first()
    if row:
        return str(row.id)
    project_id = tx.new_id()
    make_project(tx, project_id, wanted)
    return project_id
