"""Sessions and attempts to sign in, as admins list them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scimd.core.people import OrgId, address_key
from scimd.db.tables import login_attempts, people, sessions
from scimd.org.authentication.sessions import SessionRecord, lives, record_of
from scimd.org.identities import merged
from scimd.org.tx import Door
from scimd.org.windows import Slice, Window, cut, narrowed

_s, _a = sessions.c, login_attempts.c


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """``person_id`` None: nobody has that address. ``origin``: the application that reported it."""

    id: str
    person_id: str | None
    address: str
    ip: str
    success: bool
    reason: str
    origin: str | None
    at: datetime


async def list_sessions(
    door: Door, org_id: OrgId, window: Window, *, person_id: str | None = None, live: bool | None = None
) -> Slice[SessionRecord]:
    """Sorts: ``started``, ``last_active``. ``live``: neither ended, nor expired, nor idle for too long."""
    live_ones = lives(door.clock(), door.settings.session_idle_s)
    query = (
        select(sessions, people.c.display_name)
        .join(people, (people.c.org_id == _s.org_id) & (people.c.id == _s.person_id))
        .where(_s.org_id == org_id)
    )
    if live is not None:
        query = query.where(live_ones if live else ~live_ones)

    def body(conn: Connection) -> Slice[SessionRecord]:
        whose = None if person_id is None else merged.who(conn, org_id, person_id)
        mine = query if whose is None else query.where(_s.person_id == whose)
        return cut(conn, mine, window, {"last_active": _s.last_active_at}, _s.id).map(record_of)

    return await door.read(body)


async def list_attempts(
    door: Door,
    org_id: OrgId,
    window: Window,
    *,
    person_id: str | None = None,
    address: str | None = None,
    ip: str | None = None,
    success: bool | None = None,
) -> Slice[AttemptRecord]:
    """By time."""
    query = narrowed(
        select(login_attempts).where(_a.org_id == org_id),
        (_a.address_key, address_key(address) if address is not None else None),
        (_a.ip, ip),
        (_a.success, success),
    )

    def body(conn: Connection) -> Slice[AttemptRecord]:
        whose = None if person_id is None else merged.who(conn, org_id, person_id)
        mine = query if whose is None else query.where(_a.person_id == whose)
        return cut(conn, mine, window, {}, _a.id).map(_attempt)

    return await door.read(body)


def _attempt(row: Row[Any]) -> AttemptRecord:
    return AttemptRecord(
        row.id, row.person_id, row.address, row.ip, row.success, row.reason, row.origin, row.at
    )
