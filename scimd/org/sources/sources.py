"""Sources: who may speak about people. Made by hand or declared in the file; one namespace.

``config`` of a record is a whole ``config.Source`` as JSON: mapping, limits, schedule, rules, and
the connector's own settings with their references, never a secret's value.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, select, update

from scimd import config
from scimd.config import Source as SourceConfig
from scimd.core.approval import AutoApprove
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, RoleName, SourceId
from scimd.core.roles import MANAGER
from scimd.core.standing import SourceState
from scimd.db.locks import insert_ignore
from scimd.db.tables import (
    assertions,
    organizations,
    people,
    rules,
    sources,
)
from scimd.org import permissions
from scimd.org.declared import declared_held
from scimd.org.generation import bump
from scimd.org.grants.value_bindings import bind_values
from scimd.org.settling import unsettled
from scimd.org.tokens import jwt_issuers
from scimd.org.tx import Context, Door, Tx
from scimd.org.windows import Slice, Window, cut

Invite = Literal["immediate", "never"]
LEFT_THE_FILE = "not in the config file any more; nothing reads it, and what it said last stays"


@dataclass(frozen=True, slots=True)
class NewSource:
    """``priority`` None: after all others, and none of ``kept_free``. ``config`` None: the defaults."""

    name: str
    kind: Literal["scim", "connector"] = "scim"
    connector: str | None = None
    state: SourceState = "staged"
    invite: Invite = "immediate"
    priority: int | None = None
    ceiling: RoleName = MANAGER
    config: Mapping[str, Any] | None = None
    declared_in: Literal["file", "database"] = "database"
    kept_free: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceRecord:
    org_id: OrgId
    org_slug: str
    id: SourceId
    name: str
    kind: Literal["scim", "connector"]
    connector: str | None
    priority: int
    state: SourceState
    #: Of a paused one the state before. None where it never had another.
    paused_from: SourceState | None
    invite: Invite
    ceiling: RoleName
    declared_in: Literal["file", "database"]
    config: Mapping[str, Any]
    config_version: int
    user_count: int
    group_count: int
    failures: int
    last_success_at: datetime | None
    last_full_at: datetime | None
    #: When the worker reads it by itself. None too while it is paused.
    next_run_at: datetime | None
    quarantined_since: datetime | None
    quarantine_cause: str | None
    cursor: str | None
    released_at: datetime | None
    created_at: datetime
    #: What becomes of its people, where an end was begun (``org.sources.source_ends``).
    ending: Literal["remove", "keep"] | None = None
    #: Why what the config file changes of it is held, and what to do; see ``org.declared.declared_held``.
    held: str | None = None

    @property
    def left_the_file(self) -> bool:
        """A connector that the config file named once, and names no more: nothing reads it."""
        return self.kind == "connector" and self.declared_in == "database"

    @property
    def trouble(self) -> str | None:
        """What an admin should know, in a sentence's part; None where all is well."""
        if self.ending is not None:
            return f"it is being ended: {self.user_count} of its people are left"
        return LEFT_THE_FILE if self.left_the_file else self.quarantine_cause

    @property
    def is_scheduled(self) -> bool:
        """Whether the worker reads it by itself, once nothing stands against it."""
        return self.kind == "connector" and not self.left_the_file and self.declared().schedule is not None

    def is_due(self, now: datetime) -> bool:
        """Whether its schedule has it read now."""
        return self.next_run_at is None or self.next_run_at <= now

    @property
    def read_next(self) -> str:
        """When it is read, once nothing stands against it."""
        return "it is read in the worker's next turn" if self.is_scheduled else "it is read by no schedule"

    @property
    def auto_approve(self) -> AutoApprove:
        found: AutoApprove = self.config.get("auto_approve", "never")
        return found

    def declared(self) -> SourceConfig:
        """The config as the model that the file is read with."""
        return SourceConfig.model_validate({**self.config, "name": self.name})


# ------------------------------------------------------------------------------ reads


def _query() -> Select[Any]:
    return (
        select(sources, organizations.c.slug, organizations.c.settings)
        .join(organizations, organizations.c.id == sources.c.org_id)
        .where(sources.c.ended_at.is_(None))
    )


def _record(row: Row[Any]) -> SourceRecord:
    return SourceRecord(
        org_id=OrgId(row.org_id),
        org_slug=row.slug,
        id=SourceId(row.id),
        name=row.name,
        kind=row.kind,
        connector=row.connector,
        priority=row.priority,
        state=row.state,
        paused_from=row.paused_from,
        invite=row.invite,
        ceiling=RoleName(row.ceiling),
        declared_in=row.declared_in,
        config=row.config,
        config_version=row.config_version,
        user_count=row.user_count,
        group_count=row.group_count,
        failures=row.failures,
        last_success_at=row.last_success_at,
        last_full_at=row.last_full_at,
        next_run_at=None if row.state == "paused" else row.next_run_at,
        quarantined_since=row.quarantined_since,
        quarantine_cause=row.quarantine_cause,
        cursor=row.cursor,
        released_at=row.released_at,
        created_at=row.created_at,
        ending=row.ending["people"] if row.ending else None,
        held=declared_held.told(row.settings, row.slug).get(row.name),
    )


async def list_sources(door: Door, org_id: OrgId | None = None) -> list[SourceRecord]:
    """The sources of one organization, or of all, by organization and priority."""
    query = _query().order_by(organizations.c.slug, sources.c.priority, sources.c.name)
    if org_id is not None:
        query = query.where(sources.c.org_id == org_id)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def window(door: Door, org_id: OrgId, part: Window) -> Slice[SourceRecord]:
    """The organization's sources by ``priority``, ``name``, or the time at which they were made."""
    query = _query().where(sources.c.org_id == org_id)
    sorts = {"priority": sources.c.priority, "name": sources.c.name}
    return await door.read(lambda conn: cut(conn, query, part, sorts, sources.c.id).map(_record))


async def get_source(door: Door, org_id: OrgId, name_or_id: str) -> SourceRecord:
    """Raises NotFound."""
    return await door.read(lambda conn: find(conn, org_id, name_or_id))


async def resolve(door: Door, text: str, org_slug: str | None = None) -> SourceRecord:
    """The source that a person at a terminal means: ``name``, ``org/name`` or an id.

    Raises NotFound; NotAllowedNow where several organizations have a source of that name.
    """
    slug, _, name = text.rpartition("/")
    query = _query().where((sources.c.name == name) | (sources.c.id == name))
    if slug or org_slug:
        query = query.where(organizations.c.slug == (slug or org_slug))
    found = await door.read(lambda conn: [_record(row) for row in conn.execute(query)])
    if not found:
        raise NotFound("source", text)
    if len(found) > 1:
        raise ambiguous(name, [f"{record.org_slug}/{record.name}" for record in found])
    return found[0]


def ambiguous(name: str, named: Collection[str]) -> NotAllowedNow:
    """The refusal where several organizations have one of that name: these, with their organizations."""
    return NotAllowedNow(
        f"Several organizations have a source {name!r}: say which of {', '.join(sorted(named))}."
    )


def find(conn: Connection, org_id: OrgId, name_or_id: str) -> SourceRecord:
    row = conn.execute(
        _query().where(
            sources.c.org_id == org_id, (sources.c.id == name_or_id) | (sources.c.name == name_or_id)
        )
    ).first()
    if row is None:
        raise NotFound("source", name_or_id)
    return _record(row)


# ------------------------------------------------------------------------------ making


async def create(door: Door, ctx: Context, new: NewSource) -> SourceRecord:
    """Make a source. Raises NotUnique where the organization has, or had, one of that name."""

    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        source_id = make(tx, new)
        if source_id is None:
            raise NotUnique("source", new.name)
        return find(tx.conn, tx.org_id, source_id)

    return await door.run(ctx, body)


async def ensure(door: Door, ctx: Context, new: NewSource) -> SourceRecord:
    """The source of that name, made where it is missing; one that is there stays as it is."""

    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        make(tx, new)
        return find(tx.conn, tx.org_id, new.name)

    return await door.run(ctx, body)


def make(tx: Tx, new: NewSource) -> SourceId | None:
    """Write a new source; None where the name is taken."""
    source_id = SourceId(tx.new_id())
    if not re.fullmatch(config.SLUG, new.name):
        raise InvalidValue("source", f"{new.name!r} is not made of small letters, digits and dashes")
    settings = dict(new.config or as_json(_defaults(new)))
    made = tx.conn.execute(
        insert_ignore(tx.conn, sources)
        .values(
            org_id=tx.org_id,
            id=source_id,
            name=new.name,
            kind=new.kind,
            connector=new.connector,
            priority=_free_priority(tx, new),
            state=new.state,
            invite=new.invite,
            ceiling=new.ceiling,
            declared_in=new.declared_in,
            config=settings,
            released_at=tx.now if new.state == "active" else None,
            created_at=tx.now,
        )
        .returning(sources.c.id)
    ).first()
    if made is None:
        return None
    generation = bump(tx)
    if write_rules(tx, source_id, settings.get("rule", ()), generation):
        bind_values(tx, source_id)
    if settings.get("jwt"):
        jwt_issuers.declare(tx, source_id, settings["jwt"])
    after = {"name": new.name, "kind": new.kind, "state": new.state, "invite": new.invite}
    tx.record(Event(EventKind.SOURCE_CREATED, "source", source_id, after=after))
    return source_id


def _free_priority(tx: Tx, new: NewSource) -> int:
    """Priorities are unique in an organization: standing asks the first source that asserts somebody."""
    taken = set(
        tx.conn.execute(
            select(sources.c.priority).where(sources.c.org_id == tx.org_id, sources.c.ended_at.is_(None))
        ).scalars()
    )
    if new.priority is None:
        after = max(taken, default=0)
        return next(each for each in itertools.count(after + 10, 10) if each not in new.kept_free)
    # Those of the file may change places; when all are declared, they are looked at together.
    if new.priority in taken and new.declared_in == "database":
        raise NotUnique("priority", str(new.priority), holder="another source of the organization")
    return new.priority


def as_json(source: SourceConfig) -> dict[str, Any]:
    """The model as JSON that it reads back; a duration as seconds."""
    dumped = source.model_dump(mode="json") | {"timeout": source.timeout.total_seconds()}
    if source.jwt is not None:
        dumped["jwt"]["leeway"] = source.jwt.leeway.total_seconds()
    return dumped


def _defaults(new: NewSource) -> SourceConfig:
    return SourceConfig.model_validate(
        {"name": new.name, "connector": new.connector or "scim", "state": new.state, "invite": new.invite}
    )


def write_rules(tx: Tx, source_id: SourceId, wanted: Sequence[Mapping[str, Any]], generation: int) -> bool:
    """Close the rules that are no longer wanted, open the new ones; True where any differed."""
    live = tx.conn.execute(
        select(rules.c.id, rules.c.number, rules.c.body).where(
            rules.c.org_id == tx.org_id,
            rules.c.source_id == source_id,
            rules.c.until_generation.is_(None),
        )
    ).all()
    by_number = {int(rule["number"]): dict(rule) for rule in wanted}
    closed = [row.id for row in live if by_number.get(row.number) != row.body]
    kept = {row.number for row in live if row.id not in closed}
    opened = [rule for number, rule in by_number.items() if number not in kept]
    if closed:
        tx.conn.execute(
            update(rules)
            .where(rules.c.org_id == tx.org_id, rules.c.id.in_(closed))
            .values(until_generation=generation)
        )
    if opened:
        tx.conn.execute(
            rules.insert(),
            [
                {
                    "org_id": tx.org_id,
                    "id": tx.new_id(),
                    "source_id": source_id,
                    "number": rule["number"],
                    "body": rule,
                    "since_generation": generation,
                }
                for rule in opened
            ],
        )
    return bool(closed or opened)


# ------------------------------------------------------------------------------ marks for settling


def mark_source(tx: Tx, source_id: SourceId, turn: int = unsettled.LEAVERS) -> None:
    """Mark everybody whom the source knows as unsettled: something that decides over them changed."""
    known = select(assertions.c.person_id).where(
        assertions.c.org_id == tx.org_id,
        assertions.c.source_id == source_id,
        assertions.c.state != "history",
    )
    unsettled.mark_all(tx, known, turn)


def mark_everyone(tx: Tx) -> None:
    """Mark all people of the organization as unsettled, also those who were deleted: what is stored of them
    has to be what follows, for when they are restored."""
    unsettled.mark_all(tx, select(people.c.id).where(people.c.org_id == tx.org_id), unsettled.LEAVERS)


# ------------------------------------------------------------------------------ reading soon


def must_be_in_the_file(source: SourceRecord) -> None:
    """Raise NotAllowedNow for a connector that the config file names no more."""
    if source.left_the_file:
        raise NotAllowedNow(f"{that_it_left(source)}.")


def that_it_left(source: SourceRecord) -> str:
    """The sentence, and what somebody can do; without its full stop."""
    return f"The source {source.name} is {LEFT_THE_FILE}. {back_or_end(source)}"


def must_not_be_paused(source: SourceRecord) -> None:
    """Raise NotAllowedNow for a source that is paused."""
    if source.state == "paused":
        resume = f"scimd source resume {source.org_slug}/{source.name}"
        raise NotAllowedNow(f"The source {source.name} is paused. Resume it first: {resume}")


def back_or_end(source: SourceRecord) -> str:
    """What somebody can do of a connector that left the file."""
    name = f"{source.org_slug}/{source.name}"
    return f"Put it back there, and restart scimd serve; or end it: scimd source end {name}"


async def run_soon(door: Door, ctx: Context, source_id: SourceId) -> SourceRecord:
    """Have the worker read the source in its next turn, some seconds from now.

    Raises NotFound, NotAllowedNow for one that the worker does not read by itself.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        source = find(tx.conn, tx.org_id, source_id)
        must_be_in_the_file(source)
        if not source.is_scheduled:
            raise NotAllowedNow(f"The source {source.name} is not read on a schedule.")
        must_not_be_paused(source)
        tx.conn.execute(
            update(sources)
            .where(sources.c.org_id == tx.org_id, sources.c.id == source.id)
            .values(next_run_at=tx.now)
        )
        tx.record(Event(EventKind.RUN_ASKED, "source", source.id, after={"name": source.name}))
        return find(tx.conn, tx.org_id, source.id)

    return await door.run(ctx, body)
