"""People from a CSV file: first a plan that changes nothing, then, on somebody's word, row by row.

The plan is not stored: it is sealed, and whoever asked for it holds it (docs/decisions/0034). It opens for
the same actor, in the same organization, within an hour.
"""

from __future__ import annotations

import csv
import io
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import orjson
from sqlalchemy import Connection, select

from scimd.core import pools as pool_rules
from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotUnique,
    PoolLimitReached,
    Refusal,
    StateMoved,
)
from scimd.core.people import OrgId, PersonId, ProjectId, RoleName, TeamId, address, address_key, fold
from scimd.core.roles import MEMBER, USER, OrgRole
from scimd.core.seats import Pool, free_seats
from scimd.db.among import among
from scimd.db.tables import people, pools, projects, teams
from scimd.org import permissions
from scimd.org.grants import assignments, pool_limits
from scimd.org.invitations import inviting
from scimd.org.invitations.inviting import Wish
from scimd.org.organizations import domains
from scimd.org.rulebook import RuleBook
from scimd.org.runs import plan_ground
from scimd.org.tokens import sealing
from scimd.org.tx import Context, Door
from scimd.org.users import by_hand, local_people
from scimd.org.users.local_people import NewPerson

How = Literal["invite", "add"]
Line: TypeAlias = Mapping[str, str]
Action: TypeAlias = Literal["invite", "add", "unchanged", "refused"]
COLUMNS = ("email", "display_name", "user_name", "role", "team", "projects")
ROWS_AT_MOST = 1000
VALID = timedelta(hours=1)
_PURPOSE = "import"
_NEEDS: Mapping[How, str] = {"invite": "invitations.manage", "add": "users.manage"}


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """``line``: of the file, from 1, its header among them. ``why`` says why it is refused, or unchanged."""

    line: int
    email: str
    action: Action
    why: str | None = None
    display_name: str | None = None
    user_name: str | None = None
    role: str = USER
    team: str | None = None
    projects: Mapping[str, str] | None = None

    @property
    def comes(self) -> bool:
        return self.action in ("invite", "add")


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """``seats_wanted``: at once, by nobody where a partner has to approve them first. ``seats_free`` None:
    there is no limit. ``sealed`` is what ``apply`` takes.
    """

    rows: tuple[PlannedRow, ...]
    seats_wanted: int
    seats_free: int | None
    sealed: str


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """``refusal`` None: it was done."""

    line: int
    email: str
    action: Action
    person_id: PersonId | None = None
    refusal: Refusal | None = None


@dataclass(slots=True)
class _Room:
    """Of a project with a limit: ``used`` counts the rows before, too; ``waiting`` come before any row."""

    name: str
    pool: Pool
    waiting: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What is there already: folded names to ids, and folded addresses to whoever has them."""

    projects: Mapping[str, str]
    teams: Mapping[str, str]
    roles: Mapping[RoleName, OrgRole]
    project_roles: Collection[RoleName]
    holders: Mapping[str, str]
    user_names: Mapping[str, str]
    #: Domains of mail that another organization has proven.
    closed: Collection[str]
    default_project: str | None
    #: By the ids of the projects that are limited; none where nobody has them before an approval.
    rooms: Mapping[str, _Room]
    seats_free: int | None
    #: Whether who comes wants a seat before somebody has approved them.
    seated_at_once: bool
    #: Why nobody is taken in here by a file.
    barred: str | None


# ------------------------------------------------------------------------------ planning


async def plan(door: Door, ctx: Context, text: str, how: How) -> ImportPlan:
    """What an import would do; nothing is changed.

    ``text``: CSV with a header; ``email`` is needed, ``projects`` holds ``Alpha;Beta=viewer``. Somebody
    who is here already stays as they are. Raises InvalidValue for a file that cannot be read, Forbidden.
    """
    permissions.require(ctx, _NEEDS[how])
    lines = _read(text)
    known = await door.read(lambda conn: _known(door.books.of(conn, ctx.org_id), conn, ctx, lines))
    seen: set[tuple[str, str]] = set()
    rows = tuple(_planned(ctx, number, line, how, known, seen) for number, line in lines)
    wanted = sum(row.comes for row in rows) if known.seated_at_once else 0
    return ImportPlan(rows, wanted, known.seats_free, _sealed(door, ctx, rows))


def _read(text: str) -> list[tuple[int, dict[str, str]]]:
    """The file's lines by number. Raises InvalidValue, which names line and column."""
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise InvalidValue("csv", f"line {line} holds the character NUL, which is in no text")
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        _check_header(names)
        reader.fieldnames = names
        found = []
        for row in reader:
            if None in row or None in row.values():
                raise InvalidValue("csv", f"line {reader.line_num} does not have as many cells as the header")
            found.append((reader.line_num, {name: str(value).strip() for name, value in row.items()}))
            if len(found) > ROWS_AT_MOST:
                raise InvalidValue("csv", f"has more than {ROWS_AT_MOST} rows; import them in parts")
    except csv.Error as exc:
        # What it counts itself lags behind the line that it could not read.
        raise InvalidValue("csv", f"line {reader.reader.line_num}: {exc}") from exc
    if not found:
        raise InvalidValue("csv", "has no row below its header")
    return found


def _check_header(names: Sequence[str]) -> None:
    if "email" not in names:
        raise InvalidValue("csv", "its first line names the columns, email among them")
    # One more than there are is wrong already, however many follow.
    some = names[: len(COLUMNS) + 1]
    wrong = [name for name in some if name not in COLUMNS or some.count(name) > 1]
    if wrong:
        raise InvalidValue("csv", f"the column {wrong[0]!r} is none, or is there twice: {', '.join(COLUMNS)}")


def _known(book: RuleBook, conn: Connection, ctx: Context, lines: Sequence[tuple[int, Line]]) -> _Known:
    org_id, rules = ctx.org_id, book.rules

    def named(table: Any, *conditions: Any) -> dict[str, str]:
        query = select(table.c.name_key, table.c.id).where(table.c.org_id == org_id, *conditions)
        return {row.name_key: row.id for row in conn.execute(query)}

    def held(column: Any, keys: Iterable[str]) -> dict[str, str]:
        query = select(column.label("key"), people.c.display_name).where(
            people.c.org_id == org_id, people.c.deleted_at.is_(None), among(conn, column, list(keys))
        )
        return {row.key: row.display_name for row in conn.execute(query)}

    return _Known(
        named(projects, projects.c.archived_at.is_(None)),
        named(teams),
        rules.roles,
        rules.project_ranks,
        held(people.c.sign_in_key, (address_key(line["email"]) for _, line in lines)),
        held(people.c.local_user_name, (name for _, line in lines if (name := line.get("user_name")))),
        domains.anothers(conn, org_id, {domains.of_address(line["email"]) for _, line in lines}),
        None if rules.default_project in rules.archived_projects else rules.default_project,
        {} if rules.approval_required else _rooms(conn, org_id),
        plan_ground.seats(conn, org_id).left({}),
        not rules.approval_required,
        _barred(conn, ctx),
    )


def _rooms(conn: Connection, org_id: OrgId) -> dict[str, _Room]:
    query = (
        select(projects.c.id, projects.c.name, pools.c.pool_limit, pools.c.used)
        .add_columns(pool_limits.waiting_for("project", projects).label("waiting"))
        .join(pools, (pools.c.org_id == projects.c.org_id) & (pools.c.target == projects.c.id))
        .where(projects.c.org_id == org_id, pools.c.kind == "project")
    )
    rows = conn.execute(query)
    return {row.id: _Room(row.name, Pool(row.pool_limit, row.used), row.waiting) for row in rows}


def _barred(conn: Connection, ctx: Context) -> str | None:
    try:
        by_hand.makes_no_operator(conn, ctx)
    except Forbidden as exc:
        return exc.detail
    return None


def _planned(
    ctx: Context, number: int, line: Line, how: How, known: _Known, seen: set[tuple[str, str]]
) -> PlannedRow:
    """``seen``: the addresses and user names of the lines before."""
    email = address(line["email"])
    row = PlannedRow(number, line["email"], "refused")
    if email is None:
        return replace(row, why="email: must be one mail address, such as ann@acme.example")
    key = address_key(email)
    if ("email", key) in seen:
        return replace(row, why="email: appears earlier in the file")
    seen.add(("email", key))
    if key in known.holders:
        return replace(row, action="unchanged", why=f"{known.holders[key]} has this address already.")
    if known.barred:
        return replace(row, why=known.barred)
    try:
        domains.refuse_closed(email, known.closed)
        found = replace(
            row,
            action=how,
            email=email,
            display_name=local_people.proper_name(line.get("display_name")),
            user_name=_user_name(line.get("user_name"), known, seen),
            role=_role(ctx, line.get("role") or USER, known),
            team=_id_of("team", line.get("team") or None, known.teams),
            projects=_projects(line.get("projects", ""), known),
        )
        if how == "invite" and found.team is None and known.teams:
            raise inviting.lacks_team()
        _takes_part(found, known)
    except (InvalidValue, NotUnique, Forbidden, NotAllowedNow, PoolLimitReached) as exc:
        return replace(row, why=exc.detail)
    return found


def _takes_part(row: PlannedRow, known: _Known) -> None:
    """As ``assignments.needs_project`` and ``org.grants.pools`` of somebody who is there; counts the row.

    Raises NotAllowedNow, PoolLimitReached.
    """
    if not known.roles[RoleName(row.role)].may_hold_projects:
        return
    default, name = known.default_project, row.display_name or row.email
    if not row.projects and default is None:
        raise assignments.lacks_project(name)
    wanted = sorted(row.projects or [str(default)], key=lambda each: (each == default, each))
    for target in wanted:
        room = known.rooms.get(target)
        if room is not None and not free_seats(room.pool, -room.waiting):
            raise pool_rules.refusal(room.pool, ("project", target), room.name, name, "created")
    for room in filter(None, map(known.rooms.get, wanted)):
        room.pool = replace(room.pool, used=room.pool.used + 1)


def _user_name(name: str | None, known: _Known, seen: set[tuple[str, str]]) -> str | None:
    if not name:
        return None
    local_people.must_be_user_name(name)
    if name in known.user_names:
        raise NotUnique("user_name", name, known.user_names[name])
    if ("user_name", name) in seen:
        raise InvalidValue("user_name", "appears earlier in the file")
    seen.add(("user_name", name))
    return name


def _role(ctx: Context, name: str, known: _Known) -> str:
    """Raises InvalidValue, and Forbidden for one above the caller's power."""
    role = known.roles.get(RoleName(name))
    if role is None:
        raise InvalidValue(
            "role", f"there is no role {name!r} here; there are {', '.join(sorted(known.roles))}"
        )
    if name != USER:
        by_hand.must_hold(ctx, role)
    return name


def _id_of(what: str, name: str | None, ids: Mapping[str, str]) -> str | None:
    if name is not None and fold(name) not in ids:
        raise InvalidValue(what, f"there is no {what} {name!r} here")
    return None if name is None else ids[fold(name)]


def _projects(text: str, known: _Known) -> dict[str, str] | None:
    """``Alpha;Beta=viewer``; None for nothing, which is the organization's default project."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, role = part.rpartition("=") if "=" in part else (part, "", "")
        given = RoleName(role.strip()) or MEMBER
        if given not in known.project_roles:
            there = ", ".join(known.project_roles)
            raise InvalidValue("projects", f"there is no project role {given!r}; there are {there}")
        found[str(_id_of("project", name.strip(), known.projects))] = given
    return found or None


# ------------------------------------------------------------------------------ the plan, sealed


def _owner(ctx: Context) -> str:
    return f"{ctx.org_id}\n{ctx.actor.id}"


def _sealed(door: Door, ctx: Context, rows: Sequence[PlannedRow]) -> str:
    plain = orjson.dumps({"until": (door.clock() + VALID).timestamp(), "rows": rows})
    return urlsafe_b64encode(sealing.seal(door.keys, _PURPOSE, plain, _owner(ctx))).decode().rstrip("=")


def _opened(door: Door, ctx: Context, sealed: str) -> list[PlannedRow]:
    """Raises InvalidValue for what is no plan of this actor, StateMoved for one that is too old."""
    try:
        raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        found = orjson.loads(sealing.unseal(door.keys, _PURPOSE, raw, _owner(ctx)))
    except ValueError as exc:  # NotSealedHere, binascii.Error
        raise InvalidValue("plan", "is not one that you were given here") from exc
    if found["until"] <= door.clock().timestamp():
        raise StateMoved("The plan is older than an hour")
    return [PlannedRow(**row) for row in found["rows"]]


# ------------------------------------------------------------------------------ applying


async def apply(door: Door, ctx: Context, sealed: str) -> list[AppliedRow]:
    """Do what the plan says, each row in a transaction of its own; what it refused is left out.

    Each row is checked again: somebody who has come meanwhile is refused, and so is who finds no seat.
    Raises InvalidValue, StateMoved, Forbidden.
    """
    rows = [row for row in _opened(door, ctx, sealed) if row.comes]
    for needed in {_NEEDS[row.action] for row in rows if row.action in ("invite", "add")}:
        permissions.require(ctx, needed)
    return [await _applied(door, ctx, row) for row in rows]


async def _applied(door: Door, ctx: Context, row: PlannedRow) -> AppliedRow:
    done = AppliedRow(row.line, row.email, row.action)
    given = {ProjectId(key): RoleName(role) for key, role in (row.projects or {}).items()} or None
    team = TeamId(row.team) if row.team else None
    if row.action == "invite":
        wish = Wish(team, RoleName(row.role), given, user_name=row.user_name, display_name=row.display_name)
        (invited,) = await inviting.invite(door, ctx, [row.email], wish)
        return replace(done, person_id=invited.person_id, refusal=invited.refusal)
    new = NewPerson(row.email, row.user_name, row.display_name, RoleName(row.role), given, team)
    try:
        return replace(done, person_id=await local_people.add(door, ctx, new))
    except Refusal as exc:
        return replace(done, refusal=exc)
