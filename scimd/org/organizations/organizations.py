"""Organizations: make them, list them, give them seats, bring them to what the file declares."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select, update

from scimd import config
from scimd.core.errors import InvalidValue, NotFound, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.languages import ENGLISH, Language, language_of
from scimd.core.people import OrgId, ProjectId, fold
from scimd.core.roles import BUILT_IN
from scimd.core.seats import Policy
from scimd.db.locks import insert_ignore, upsert
from scimd.db.tables import domains, organizations, projects, roles, seat_pools, waiting
from scimd.org import permissions
from scimd.org.declared import declared_held, declared_keys
from scimd.org.ids import uuid7
from scimd.org.organizations.domains import proven
from scimd.org.tx import Actor, Claim, Context, Door, DoorName, Tx

#: Operators are the people of this organization.
SYSTEM = "system"
Kind = Literal["customer", "partner", "system"]


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """``seats`` None: no limit. ``default_project`` None: people without a project wait."""

    slug: str
    display_name: str | None = None
    seats: int | None = None
    seats_on_scim: Policy = "hold"
    default_project: str | None = "General"
    get_more_seats_url: str | None = None
    kind: Kind = "customer"
    domains: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrganizationRecord:
    id: OrgId
    slug: str
    display_name: str
    kind: Kind
    generation: int
    default_project_id: ProjectId | None
    seats_on_scim: Policy
    get_more_seats_url: str | None
    approval_required: bool
    seats: int | None
    seats_used: int
    seats_waited_for: int
    created_at: datetime
    language: Language = ENGLISH
    #: What people read in place of "Active", such as "Participating"; programs go by the status.
    active_label: str | None = None
    #: What the config file says of it, which cannot be changed by hand.
    declared: tuple[str, ...] = ()
    #: What of the config file is held, why, and what to do: see ``org.declared.declared_held``.
    held: Mapping[str, str] = field(default_factory=dict)


# ------------------------------------------------------------------------------ reads

_WAITING = (
    select(func.count())
    .where(waiting.c.org_id == organizations.c.id)
    .correlate(organizations)
    .scalar_subquery()
)
_COLUMNS = (organizations, seat_pools.c.seat_limit, seat_pools.c.used, _WAITING.label("waiting"))
_JOIN = organizations.outerjoin(seat_pools, seat_pools.c.org_id == organizations.c.id)


def _record(row: Row[Any]) -> OrganizationRecord:
    return OrganizationRecord(
        id=OrgId(row.id),
        slug=row.slug,
        display_name=row.name,
        kind=row.kind,
        generation=row.generation,
        default_project_id=ProjectId(row.default_project_id) if row.default_project_id else None,
        seats_on_scim=row.seats_on_scim,
        get_more_seats_url=row.get_more_seats_url,
        approval_required=row.approval_required,
        seats=row.seat_limit,
        seats_used=row.used or 0,
        seats_waited_for=row.waiting,
        created_at=row.created_at,
        language=language_of(row.settings.get("language")),
        active_label=row.settings.get("active_label"),
        declared=declared_keys.of(row.settings),
        held=declared_held.told(row.settings, row.slug),
    )


async def list_organizations(door: Door) -> list[OrganizationRecord]:
    """All organizations of the installation by slug, ``system`` among them."""
    query = select(*_COLUMNS).select_from(_JOIN).order_by(organizations.c.slug)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def by_slug(door: Door, slug: str) -> OrganizationRecord:
    """Raises NotFound."""
    found = await door.read(lambda conn: find(conn, slug))
    if found is None:
        raise NotFound("organization", slug)
    return found


def find(conn: Connection, slug: str) -> OrganizationRecord | None:
    row = conn.execute(select(*_COLUMNS).select_from(_JOIN).where(organizations.c.slug == slug)).first()
    return _record(row) if row else None


# ------------------------------------------------------------------------------ making


async def create(
    door: Door,
    new: NewOrganization,
    actor: Actor,
    door_name: DoorName = "cli",
    once: Claim | None = None,
) -> OrganizationRecord:
    """Make an organization with its built-in roles, seat pool and default project.

    Raises NotUnique where the slug or one of the domains is taken, InvalidValue where it is none.
    """
    if not re.fullmatch(config.SLUG, new.slug):
        raise InvalidValue("slug", f"{new.slug!r} is not made of small letters, digits and dashes")
    _check_seats(new.seats)
    ctx = replace(context_of_new(door, actor, door_name), once=once)

    def body(tx: Tx) -> OrganizationRecord:
        if not make(tx, new):
            raise NotUnique("slug", new.slug)
        record = find(tx.conn, new.slug)
        assert record is not None  # noqa: S101 - it was inserted two lines above
        return record

    return await door.run(ctx, body)


async def ensure_system(door: Door) -> OrganizationRecord:
    """The organization of the operators, made where it is missing. Needed once, at the first start."""
    found = await door.read(lambda conn: find(conn, SYSTEM))
    if found is not None:
        return found
    actor = Actor("system", "", "scimd")
    new = NewOrganization(SYSTEM, "Operators", default_project=None, kind="system")
    ctx = context_of_new(door, actor, "cli")
    await door.run(ctx, lambda tx: make(tx, new))
    return await by_slug(door, SYSTEM)


def context_of_new(door: Door, actor: Actor, door_name: DoorName) -> Context:
    now = door.clock()
    org_id = OrgId(uuid7(now, secrets.token_bytes(10)))
    return Context(org_id, actor, door_name, uuid7(now, secrets.token_bytes(10)))


def make(tx: Tx, new: NewOrganization) -> bool:
    """Write a new organization under the context's id; False where another has the slug."""
    project_id = tx.new_id() if new.default_project else None
    made = tx.conn.execute(
        insert_ignore(tx.conn, organizations)
        .values(
            id=tx.org_id,
            slug=new.slug,
            name=new.display_name or new.slug,
            kind=new.kind,
            default_project_id=project_id,
            seats_on_scim=new.seats_on_scim,
            get_more_seats_url=new.get_more_seats_url,
            settings=dict(new.settings),
            created_at=tx.now,
        )
        .returning(organizations.c.id)
    ).first()
    if made is None:
        return False
    if project_id:
        make_project(tx, project_id, str(new.default_project))
    tx.conn.execute(roles.insert(), _role_rows(tx.org_id))
    tx.conn.execute(
        seat_pools.insert().values(
            org_id=tx.org_id, seat_limit=new.seats, allow_overage=new.seats_on_scim == "allow"
        )
    )
    hold_domains(tx, new.domains)
    after = {"slug": new.slug, "seats": new.seats, "seats_on_scim": new.seats_on_scim}
    tx.record(Event(EventKind.ORGANIZATION_CREATED, "organization", tx.org_id, after=after))
    return True


def make_project(tx: Tx, project_id: str, name: str) -> None:
    tx.conn.execute(
        projects.insert().values(
            org_id=tx.org_id, id=project_id, name=name, name_key=fold(name), created_at=tx.now
        )
    )


def _role_rows(org_id: OrgId) -> list[dict[str, Any]]:
    return [
        {
            "org_id": org_id,
            "name": role.name,
            "label": role.label,
            "permissions": sorted(role.permissions),
            "may_hold_projects": role.may_hold_projects,
            "built_in": True,
        }
        for role in BUILT_IN.values()
    ]


def hold_domains(tx: Tx, names: Sequence[str]) -> list[str]:
    """Note the domains as verified by the operator; gives those that were not there before."""
    keys = declared_keys.domain_keys(names)
    if not keys:
        return []
    held = proven(tx.conn, keys)
    for key, holder in held.items():
        if holder != tx.org_id:
            raise NotUnique("domain", key, holder="another organization")
    new = [key for key in keys if key not in held]
    statement = upsert(tx.conn, domains, key=("org_id", "domain_key"), update=("verified_by", "verified_at"))
    for key in new:
        row = {"org_id": tx.org_id, "domain_key": key, "verified_by": "operator", "verified_at": tx.now}
        tx.conn.execute(statement, row)
    return new


# ------------------------------------------------------------------------------ changing


def _check_seats(seats: int | None) -> None:
    if seats is not None and not 0 <= seats <= config.LARGEST:
        raise InvalidValue("seats", f"must be a number from 0 to {config.LARGEST}, or none for no limit")


async def set_seats(
    door: Door, ctx: Context, seats: int | None, *, file: str = declared_keys.THE_FILE
) -> OrganizationRecord:
    """Set the seat limit; None takes it away. A limit under what is used evicts nobody.

    Those who wait take the new seats in the promotion that follows. Raises InvalidValue, Forbidden, and
    NotAllowedNow where ``file`` declares it.
    """
    permissions.require(ctx, "seats.manage")
    _check_seats(seats)

    def body(tx: Tx) -> OrganizationRecord:
        record = current(tx)
        if record.seats != seats:
            declared_keys.must_not_hold(tx, ("seats",), file)
            tx.conn.execute(
                update(seat_pools).where(seat_pools.c.org_id == tx.org_id).values(seat_limit=seats)
            )
            tx.seats_owed = True
            tx.record(
                Event(
                    EventKind.SEATS_LIMIT_CHANGED,
                    "organization",
                    tx.org_id,
                    before={"seats": record.seats},
                    after={"seats": seats},
                )
            )
        return replace(record, seats=seats)

    return await door.run(ctx, body)


def current(tx: Tx) -> OrganizationRecord:
    """The organization of the transaction."""
    row = tx.conn.execute(select(*_COLUMNS).select_from(_JOIN).where(organizations.c.id == tx.org_id)).first()
    if row is None:
        raise NotFound("organization", tx.org_id)
    return _record(row)
