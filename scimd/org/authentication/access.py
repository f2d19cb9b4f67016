"""For the application whose members scimd manages: may this person in, as what; and what it reports back.

The application asks with a service's API token. Its sessions and attempts to sign in are listed beside
scimd's own, with the name of its token as their *origin*; whatever ends a person's sessions ends those, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select, union_all

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, SessionId, address_key, fold
from scimd.core.roles import strongest
from scimd.core.standing import Status
from scimd.db.prepared import Prepared
from scimd.db.tables import grants, licences, people, projects, sessions, teams, unsettled
from scimd.org import permissions
from scimd.org.authentication import attempts
from scimd.org.authentication.sessions import AGENT_AT_MOST, close
from scimd.org.identities import merged
from scimd.org.rulebook import RuleBooks
from scimd.org.settling import admission
from scimd.org.tokens.secrets import token_hash
from scimd.org.tx import Context, Door, Tx

READ, REPORT = "access.read", "sign_ins.report"
LONGEST = timedelta(days=90)
_p, _g, _s = people.c, grants.c, sessions.c


@dataclass(frozen=True, slots=True)
class Held:
    """A project or a licence; ``role`` of a licence is None."""

    id: str
    name: str
    role: str | None


@dataclass(frozen=True, slots=True)
class Access:
    """``may_enter`` is what to go by; ``status`` and ``causes`` say why not. Roles: the primary one first."""

    id: PersonId
    may_enter: bool
    status: str
    causes: tuple[str, ...]
    display_name: str
    address: str | None
    roles: tuple[str, ...]
    projects: tuple[Held, ...]
    licences: tuple[Held, ...]
    team_id: str | None
    team: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in to the application."""

    address: str
    ip: str
    success: bool
    reason: str


@dataclass(frozen=True, slots=True)
class AppSession:
    """``live``: neither ended, nor over, and the person may come in."""

    id: SessionId
    person_id: PersonId
    live: bool
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None


# ------------------------------------------------------------------------------ asking


def _person_by(key: Any, name: str) -> Prepared:
    mark = select(unsettled.c.person_id).where(
        unsettled.c.org_id == _p.org_id, unsettled.c.person_id == _p.id
    )
    columns = (
        _p.id,
        _p.status,
        _p.causes,
        _p.display_name,
        _p.sign_in_address,
        _p.roles,
        _p.team_id,
        _p.expires_at,
    )
    return Prepared(
        select(*columns, teams.c.name.label("team"), mark.exists().label("unsettled"))
        .outerjoin(teams, (teams.c.org_id == _p.org_id) & (teams.c.id == _p.team_id))
        .where(_p.org_id == bindparam("org_id"), key == bindparam(name), _p.deleted_at.is_(None))
    )


def _held_of(kind: str, table: Any) -> Any:
    return (
        select(_g.kind, _g.target, _g.project_role, table.c.name)
        .join(table, (table.c.org_id == _g.org_id) & (table.c.id == _g.target))
        .where(
            _g.org_id == bindparam("org_id"),
            _g.person_id == bindparam("id"),
            _g.kind == kind,
            _g.until.is_(None),
            _g.dormant.is_(False),
        )
    )


_BY_ID = _person_by(_p.id, "id")
_BY_ADDRESS = _person_by(_p.sign_in_key, "key")
_HELD = Prepared(select(union_all(_held_of("project", projects), _held_of("licence", licences)).subquery()))


async def of_person(door: Door, ctx: Context, person_id: str) -> Access:
    """By two statements, each by its key; somebody who was merged is found by both ids.

    Raises NotFound, Forbidden.
    """

    async def one(found: PersonId) -> Access:
        return await _access(door, ctx, _BY_ID, {"id": found}, person_id)

    return await merged.follow(door, ctx.org_id, PersonId(person_id), one)


async def of_address(door: Door, ctx: Context, address: str) -> Access:
    """As ``of_person``, by the address to sign in with, whatever its case."""
    return await _access(door, ctx, _BY_ADDRESS, {"key": address_key(address)}, address)


async def _access(door: Door, ctx: Context, query: Prepared, key: dict[str, str], said: str) -> Access:
    permissions.require(ctx, READ)
    now = door.clock()

    def body(conn: Connection) -> Access:
        row = query.first(conn, {"org_id": ctx.org_id, **key})
        if row is None:
            raise NotFound("user", said)
        held = _HELD.all(conn, {"org_id": ctx.org_id, "id": row.id})
        found = _of(row, held, now)
        return _narrowed(conn, door.books, ctx.org_id, found) if row.unsettled else found

    return await door.read(body)


def _of(row: Any, held: Sequence[Any], now: datetime) -> Access:
    return Access(
        id=PersonId(row.id),
        may_enter=row.status == Status.ACTIVE and not admission.is_over(row.expires_at, now),
        status=row.status,
        causes=tuple(row.causes),
        display_name=row.display_name,
        address=row.sign_in_address,
        roles=tuple(row.roles),
        projects=_projects(held),
        licences=_named(
            {each.target: Held(each.target, each.name, None) for each in held if each.kind == "licence"}
        ),
        team_id=row.team_id,
        team=row.team,
    )


def _projects(held: Sequence[Any]) -> tuple[Held, ...]:
    mine = [each for each in held if each.kind == "project"]
    names = {each.target: each.name for each in mine}
    roles = strongest((each.target, each.project_role) for each in mine)
    return _named({project: Held(project, names[project], role) for project, role in roles.items()})


def _named(found: dict[str, Held]) -> tuple[Held, ...]:
    return tuple(sorted(found.values(), key=lambda each: (fold(each.name), each.id)))


def _narrowed(conn: Connection, books: RuleBooks, org_id: OrgId, stored: Access) -> Access:
    """Of somebody who is not settled: only what both the stored and the fresh standing allow."""
    fresh = admission.fresh_standing(conn, books, org_id, stored.id)
    if fresh is None:
        raise NotFound("user", stored.id)
    may_enter = stored.may_enter and fresh.may_enter
    return Access(
        id=stored.id,
        may_enter=may_enter,
        status=stored.status if may_enter or not stored.may_enter else fresh.status.value,
        causes=stored.causes if may_enter or not stored.may_enter else tuple(map(str, fresh.causes)),
        display_name=stored.display_name,
        address=stored.address,
        roles=tuple(name for name in stored.roles if name in fresh.roles),
        projects=tuple(each for each in stored.projects if each.id in fresh.projects),
        licences=tuple(each for each in stored.licences if each.id in fresh.licences),
        team_id=stored.team_id if stored.team_id == fresh.team else None,
        team=stored.team if stored.team_id == fresh.team else None,
    )


# ------------------------------------------------------------------------------ reporting


async def report_attempts(door: Door, ctx: Context, reported: Sequence[Attempt]) -> None:
    """List what another product ``reported`` beside scimd's own; an event for each of somebody who is known.

    They hold nobody back from scimd's own sign-in. Raises Forbidden.
    """
    permissions.require(ctx, REPORT)

    def body(tx: Tx) -> None:
        keys = {address_key(each.address) for each in reported}
        query = select(_p.id, _p.sign_in_key).where(
            _p.org_id == tx.org_id, _p.sign_in_key.in_(keys), _p.deleted_at.is_(None)
        )
        known = {row.sign_in_key: PersonId(row.id) for row in tx.conn.execute(query)}
        for each in reported:
            _note(tx, each, known.get(address_key(each.address)))

    await door.run(ctx, body)


def _note(tx: Tx, attempt: Attempt, person_id: PersonId | None) -> None:
    origin = tx.ctx.actor.name
    attempts.note(
        tx,
        person_id,
        attempt.address,
        attempt.ip,
        reason=attempt.reason,
        success=attempt.success,
        origin=origin,
    )
    if person_id is not None:
        kind = EventKind.SIGN_IN_SUCCEEDED if attempt.success else EventKind.SIGN_IN_FAILED
        after = {"ip": attempt.ip, "origin": origin, "why": attempt.reason}
        tx.record(Event(kind, "person", person_id, after=after))


async def begin_session(
    door: Door, ctx: Context, person_id: PersonId, ip: str, user_agent: str, expires_at: datetime
) -> AppSession:
    """List a session of the application. Raises NotFound, NotAllowedNow for whoever may not come in."""
    permissions.require(ctx, REPORT)

    async def of(found: PersonId) -> AppSession:
        return await door.run(ctx, lambda tx: _begin(tx, found, ip, user_agent, expires_at))

    return await merged.follow(door, ctx.org_id, person_id, of)


def _begin(tx: Tx, person_id: PersonId, ip: str, user_agent: str, expires_at: datetime) -> AppSession:
    if not tx.now < expires_at <= tx.now + LONGEST:
        raise InvalidValue("expires_at", f"must be within {LONGEST.days} days from now")
    why = admission.why_not(tx.conn, tx.books, tx.org_id, person_id, tx.now)
    if why == "deleted":
        raise NotFound("user", person_id)
    if why is not None:
        raise NotAllowedNow(f"This person may not come in: {why}.")
    session_id = SessionId(tx.new_id())
    tx.conn.execute(
        sessions.insert().values(
            org_id=tx.org_id,
            id=session_id,
            person_id=person_id,
            hash=token_hash(tx.chance.bytes(32).hex()),  # of a text that nobody has
            user_agent=user_agent[:AGENT_AT_MOST],
            ip=ip,
            how="application",
            proved_at=tx.now,
            started_at=tx.now,
            last_active_at=tx.now,
            expires_at=expires_at,
            origin=tx.ctx.actor.name,
        )
    )
    after = {"session": session_id, "ip": ip, "origin": tx.ctx.actor.name}
    tx.record(Event(EventKind.SESSION_STARTED, "person", person_id, after=after))
    return AppSession(session_id, person_id, True, tx.now, expires_at, None, None)


def _mine(ctx: Context, session_id: SessionId) -> Any:
    """A session that this application reported: by its name, which the next token of it has, too."""
    return (_s.org_id == ctx.org_id) & (_s.id == session_id) & (_s.origin == ctx.actor.name)


async def session(door: Door, ctx: Context, session_id: SessionId) -> AppSession:
    """What became of a session that the application reported. Raises NotFound for any other."""
    permissions.require(ctx, REPORT)
    now = door.clock()

    def body(conn: Connection) -> AppSession:
        row = conn.execute(select(sessions).where(_mine(ctx, session_id))).first()
        if row is None:
            raise NotFound("session", session_id)
        person_id = PersonId(row.person_id)
        live = row.ended_at is None and row.expires_at > now
        live = live and admission.why_not(conn, door.books, ctx.org_id, person_id, now) is None
        return AppSession(
            session_id, person_id, live, row.started_at, row.expires_at, row.ended_at, row.ended_by
        )

    return await door.read(body)


async def end_session(door: Door, ctx: Context, session_id: SessionId) -> None:
    """The application says that its session is over. Twice changes nothing. Raises NotFound."""
    permissions.require(ctx, REPORT)

    def body(tx: Tx) -> None:
        mine = _mine(tx.ctx, session_id)
        if tx.conn.execute(select(_s.id).where(mine)).first() is None:
            raise NotFound("session", session_id)
        close(tx, mine)

    await door.run(ctx, body)
