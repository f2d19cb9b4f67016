"""Sessions: rows that are looked up at each request, so that ending one counts at the next."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.sql import ColumnElement

from scimd.core.devices import device
from scimd.core.errors import NotAuthenticated, NotFound, ProofNeeded
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, RoleName, SessionId
from scimd.core.second_factors import PROOF_LASTS, Policy, is_demanded
from scimd.core.standing import Status
from scimd.db.among import among, one_of
from scimd.db.prepared import Prepared
from scimd.db.tables import api_tokens, deliveries, links, organizations, people, roles, sessions, unsettled
from scimd.org import lately, permissions
from scimd.org.ids import uuid7
from scimd.org.rulebook import RuleBooks
from scimd.org.settling import admission
from scimd.org.tokens.secrets import is_session_token, new_session_token, organization_of, token_hash
from scimd.org.tx import Actor, Claim, Context, Door, DoorName, Tx

_TOUCH_EVERY_S = 60.0
AGENT_AT_MOST = 512
How = Literal["password", "link", "passkey", "oidc"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who calls, by a session or by an API token, as of this request. A service is nobody's person."""

    org_id: OrgId
    org_slug: str
    organization: str
    org_kind: str
    generation: int
    person_id: PersonId | None
    display_name: str
    address: str | None
    roles: tuple[RoleName, ...]
    permissions: frozenset[str]
    #: What the contexts that it gives carry: the door by which it came, the request's id (else a new
    #: one) and its Idempotency-Key.
    via: DoorName = field(default="web", kw_only=True)
    correlation_id: str | None = field(default=None, kw_only=True)
    once: Claim | None = field(default=None, kw_only=True)

    @property
    def is_operator(self) -> bool:
        return self.org_kind == "system"

    def actor(self) -> Actor:
        return Actor("person", self.person_id or "", self.address or self.display_name)

    def context(self, door: Door, via: DoorName | None = None) -> Context:
        """A context in which the caller acts."""
        correlation_id = self.correlation_id or uuid7(door.clock(), secrets.token_bytes(10))
        return Context(
            self.org_id,
            self.actor(),
            via or self.via,
            correlation_id,
            permissions=self.permissions,
            once=self.once,
        )


@dataclass(frozen=True, slots=True)
class SessionHolder(Holder):
    """Who is behind a cookie."""

    person_id: PersonId
    session_id: SessionId
    started_at: datetime
    expires_at: datetime
    #: When they last proved who they are; what is sensitive asks for it anew.
    proved_at: datetime
    #: A second factor is demanded of them, and this session was begun without one: it opens nothing
    #: but the setting up of one, and holds no permission.
    must_enrol: bool


@dataclass(frozen=True, slots=True)
class SessionRecord:
    id: SessionId
    person_id: PersonId
    display_name: str
    device: str
    user_agent: str
    ip: str
    started_at: datetime
    last_active_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    origin: str | None  # the application that reported it


# ------------------------------------------------------------------------------ starting


def arriving(door: Door, org_id: OrgId, person_id: str, name: str) -> Context:
    """A context for somebody who has no session yet: who signs in, or comes by a link."""
    actor = Actor("person", person_id, name)
    return Context(org_id, actor, "web", uuid7(door.clock(), secrets.token_bytes(10)))


def start(
    tx: Tx, person_id: PersonId, ip: str, user_agent: str, *, how: How = "password", strong: bool = False
) -> str:
    """Start a session; gives the text of its cookie, which is stored as a hash only.

    ``strong``: proved by more than a password or a link.
    """
    text = new_session_token(tx.org_id, tx.chance.bytes(32))
    session_id = tx.new_id()
    tx.conn.execute(
        sessions.insert().values(
            org_id=tx.org_id,
            id=session_id,
            person_id=person_id,
            hash=token_hash(text),
            # As sent, but for what no database holds: NUL, and bytes that were no characters.
            user_agent=user_agent[:AGENT_AT_MOST].replace("\x00", "").encode("utf-8", "replace").decode(),
            ip=ip,
            how=how,
            strong=strong,
            proved_at=tx.now,
            started_at=tx.now,
            last_active_at=tx.now,
            expires_at=tx.now + timedelta(seconds=tx.settings.session_absolute_s),
        )
    )
    after = {"session": session_id, "ip": ip}
    tx.record(Event(EventKind.SESSION_STARTED, "person", person_id, after=after))
    return text


def renew(tx: Tx, session_id: SessionId, *, strong: bool) -> str:
    """A new text of the cookie for a session whose holder has just proved who they are; the old is dead."""
    text = new_session_token(tx.org_id, tx.chance.bytes(32))
    mine = (sessions.c.org_id == tx.org_id) & (sessions.c.id == session_id) & sessions.c.ended_at.is_(None)
    values: dict[str, Any] = {"hash": token_hash(text), "proved_at": tx.now}
    if strong:
        values["strong"] = True
    person_id = tx.conn.execute(
        update(sessions).where(mine).values(**values).returning(sessions.c.person_id)
    ).scalar_one_or_none()
    if person_id is None:
        raise NotAuthenticated
    tx.record(Event(EventKind.SESSION_RENEWED, "person", person_id, after={"session": session_id}))
    return text


def require_proof(door: Door, holder: SessionHolder) -> None:
    """Raise ProofNeeded unless they proved who they are within the last ten minutes."""
    if not lately.is_within(holder.proved_at, door.clock(), PROOF_LASTS):
        raise ProofNeeded


# ------------------------------------------------------------------------------ using

_FRESH_MARK = (
    select(unsettled.c.person_id)
    .where(unsettled.c.org_id == sessions.c.org_id, unsettled.c.person_id == sessions.c.person_id)
    .exists()
)
_LOOK_UP = (
    select(
        sessions,
        people.c.display_name,
        people.c.sign_in_address,
        people.c.status,
        people.c.roles,
        people.c.deleted_at,
        organizations.c.slug,
        organizations.c.name.label("organization"),
        organizations.c.kind.label("org_kind"),
        organizations.c.generation,
        _FRESH_MARK.label("unsettled"),
    )
    .join(people, (people.c.org_id == sessions.c.org_id) & (people.c.id == sessions.c.person_id))
    .join(organizations, organizations.c.id == sessions.c.org_id)
)


async def by_cookie(door: Door, text: str) -> SessionHolder | None:
    """Who this is; None for a cookie that opens nothing (any more).

    Ended, idle for too long, too old, a person who may not come in: each is checked here and now. Of
    a person who is not settled only what both the stored and the fresh standing allow counts.
    """
    if not is_session_token(text):
        return None
    now = door.clock()
    idle_s = door.settings.session_idle_s
    # Written down a few times within the idle time at least, else sessions in use would end.
    touch_every = timedelta(seconds=min(_TOUCH_EVERY_S, idle_s / 4))

    def body(conn: Connection) -> tuple[SessionHolder | None, bool]:
        row: Any = conn.execute(
            _LOOK_UP.where(sessions.c.hash == token_hash(text), sessions.c.org_id == organization_of(text))
        ).first()
        if row is None or not _is_live(row, now, idle_s):
            return None, False
        fresh = lately.is_within(row.last_active_at, now, touch_every)
        return _holder(conn, door.books, row, door.settings.second_factor), not fresh

    holder, stale = await door.read(body)
    if holder is not None and stale:
        await door.note(lambda conn: _touch(conn, holder, now, touch_every))
    return holder


def lives(now: datetime, idle_s: float) -> ColumnElement[bool]:
    """Neither ended, nor expired, nor idle for too long (an application knows that of its own)."""
    active = sessions.c.last_active_at > now - timedelta(seconds=idle_s)
    open_ = sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now)
    return open_ & (active | sessions.c.origin.is_not(None))


def _is_live(row: Any, now: datetime, idle_s: float) -> bool:
    rests = now - row.last_active_at >= timedelta(seconds=idle_s)
    over = row.ended_at is not None or row.expires_at <= now or rests
    return not over and row.status == Status.ACTIVE and row.deleted_at is None


def _touch(conn: Connection, holder: SessionHolder, now: datetime, every: timedelta) -> None:
    conn.execute(
        update(sessions)
        .where(
            sessions.c.org_id == holder.org_id,
            sessions.c.id == holder.session_id,
            ~lately.happened(sessions.c.last_active_at, now, every),
        )
        .values(last_active_at=now)
    )


def _holder(conn: Connection, books: RuleBooks, row: Any, policy: Policy) -> SessionHolder | None:
    held = entitled(conn, books, row)
    if held is None:
        return None
    must_enrol = not row.strong and is_demanded(policy, held[1])
    return SessionHolder(
        org_id=OrgId(row.org_id),
        org_slug=row.slug,
        organization=row.organization,
        org_kind=row.org_kind,
        generation=row.generation,
        session_id=SessionId(row.id),
        person_id=PersonId(row.person_id),
        display_name=row.display_name,
        address=row.sign_in_address,
        roles=held[0],
        permissions=frozenset() if must_enrol else held[1],
        started_at=row.started_at,
        expires_at=row.expires_at,
        proved_at=row.proved_at,
        must_enrol=must_enrol,
    )


def entitled(
    conn: Connection, books: RuleBooks, row: Any
) -> tuple[tuple[RoleName, ...], frozenset[str]] | None:
    """Roles and permissions of somebody whose row says Active; None for whoever may not come in after all.

    ``row``: ``org_id``, ``person_id``, ``roles``, and whether the person is ``unsettled``: then the
    narrower of the stored and the fresh standing counts.
    """
    held = tuple(RoleName(name) for name in row.roles)
    allowed = permissions_of(conn, OrgId(row.org_id), held)
    if row.unsettled:
        fresh = admission.fresh_standing(conn, books, OrgId(row.org_id), PersonId(row.person_id))
        if fresh is None or not fresh.may_enter:
            return None
        held = tuple(name for name in held if name in fresh.roles)
        allowed &= permissions_of(conn, OrgId(row.org_id), fresh.roles)
    return held, allowed


def permissions_of(conn: Connection, org_id: OrgId, names: Sequence[RoleName]) -> frozenset[str]:
    """What these roles allow together; nothing for no roles."""
    query = select(roles.c.permissions).where(roles.c.org_id == org_id, roles.c.name.in_(names))
    return frozenset(permission for held in conn.execute(query).scalars() for permission in held)


async def list_sessions(
    door: Door, org_id: OrgId, *, person_id: PersonId | None = None, limit: int = 200
) -> list[SessionRecord]:
    """Live ones, the most recently active first."""
    query = (
        select(sessions, people.c.display_name)
        .join(people, (people.c.org_id == sessions.c.org_id) & (people.c.id == sessions.c.person_id))
        .where(
            sessions.c.org_id == org_id,
            lives(door.clock(), door.settings.session_idle_s),
        )
        .order_by(sessions.c.last_active_at.desc(), sessions.c.id.desc())
        .limit(limit)
    )
    if person_id is not None:
        query = query.where(sessions.c.person_id == person_id)
    return await door.read(lambda conn: [record_of(row) for row in conn.execute(query)])


def record_of(row: Any) -> SessionRecord:
    return SessionRecord(
        id=SessionId(row.id),
        person_id=PersonId(row.person_id),
        display_name=row.display_name,
        device=device(row.user_agent),
        user_agent=row.user_agent,
        ip=row.ip,
        started_at=row.started_at,
        last_active_at=row.last_active_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        origin=row.origin,
    )


# ------------------------------------------------------------------------------ ending


async def end(door: Door, ctx: Context, session_id: SessionId) -> None:
    """End one session: one's own, or anybody's with ``users.manage``. Ending twice changes nothing.

    Raises NotFound.
    """

    def body(tx: Tx) -> None:
        mine = (sessions.c.org_id == tx.org_id) & (sessions.c.id == session_id)
        owner = tx.conn.execute(select(sessions.c.person_id).where(mine)).scalar()
        if owner is None:
            raise NotFound("session", session_id)
        if owner != tx.ctx.actor.id:
            permissions.require(tx.ctx, "users.manage")
        close(tx, mine)

    await door.run(ctx, body)


def close(tx: Tx, this: ColumnElement[bool]) -> None:
    """End this one session in the caller's name; one that has ended stays as it is."""
    by = tx.ctx.actor.name
    ended = update(sessions).where(this, sessions.c.ended_at.is_(None)).values(ended_at=tx.now, ended_by=by)
    owner = tx.conn.execute(ended.returning(sessions.c.person_id)).scalar()
    if owner is not None:
        after = {"sessions": 1, "why": f"ended by {by}"}
        tx.record(Event(EventKind.SESSION_ENDED, "person", owner, after=after))


async def end_own(door: Door, ctx: Context, session_id: SessionId) -> None:
    """End one of one's own sessions. Raises NotFound, also for somebody else's."""
    mine = select(sessions.c.id).where(
        sessions.c.org_id == ctx.org_id,
        sessions.c.id == session_id,
        sessions.c.person_id == ctx.actor.id,
    )
    if await door.read(lambda conn: conn.execute(mine).first()) is None:
        raise NotFound("session", session_id)
    await end(door, ctx, session_id)


_END = Prepared(
    update(sessions)
    .where(
        sessions.c.org_id == bindparam("_org_id"),
        one_of(sessions.c.person_id, "_people"),
        sessions.c.ended_at.is_(None),
        sessions.c.id != bindparam("_but"),
    )
    .values(ended_at=bindparam("_now"), ended_by=bindparam("_why"))
    .returning(sessions.c.person_id)
)
_KILL_LINKS = Prepared(
    update(links)
    .where(
        links.c.org_id == bindparam("_org_id"),
        one_of(links.c.person_id, "_people"),
        links.c.used_at.is_(None),
        links.c.expires_at > bindparam("_now"),
    )
    .values(expires_at=bindparam("_now"))
    .returning(links.c.id)
)


_REVOKE_KEYS = Prepared(
    update(api_tokens)
    .where(
        api_tokens.c.org_id == bindparam("_org_id"),
        one_of(api_tokens.c.person_id, "_people"),
        api_tokens.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("_now"), revoked_by=bindparam("_why"))
    .returning(api_tokens.c.id, api_tokens.c.person_id, api_tokens.c.name)
)


def end_for(tx: Tx, person_ids: Sequence[PersonId], why: str, *, but: SessionId | None = None) -> int:
    """End all sessions of these people (``but`` one), their API tokens, and every unused one-time link.

    Gives the number of sessions ended; each person who had any gets one event, as each API token has.
    """
    if not person_ids:
        return 0
    of_people = {"_org_id": tx.org_id, "_people": person_ids, "_now": tx.now}
    ended = _END.all(tx.conn, {**of_people, "_but": but or "", "_why": why})
    _kill_links(tx, person_ids)
    for row in sorted(_REVOKE_KEYS.all(tx.conn, {**of_people, "_why": why}), key=lambda row: str(row.id)):
        before = {"name": row.name, "person": row.person_id}
        tx.record(Event(EventKind.API_TOKEN_REVOKED, "api_token", row.id, before=before, after={"why": why}))
    counts: dict[str, int] = {}
    for row in ended:
        counts[row.person_id] = counts.get(row.person_id, 0) + 1
    for person_id, count in sorted(counts.items()):
        after = {"sessions": count, "why": why}
        tx.record(Event(EventKind.SESSION_ENDED, "person", person_id, after=after))
    return len(ended)


def _kill_links(tx: Tx, person_ids: Sequence[PersonId]) -> None:
    of_people = {"_org_id": tx.org_id, "_people": person_ids, "_now": tx.now}
    ids = _KILL_LINKS.column(tx.conn, of_people)
    if ids:
        _cancel_mails(tx, person_ids, ids)


def _cancel_mails(tx: Tx, person_ids: Sequence[PersonId], link_ids: Sequence[str]) -> None:
    tx.conn.execute(
        update(deliveries)
        .where(
            deliveries.c.org_id == tx.org_id,
            among(tx.conn, deliveries.c.person_id, person_ids),
            deliveries.c.link_id.in_(link_ids),
            deliveries.c.state.in_(("staged", "due")),
        )
        .values(state="cancelled")
    )
