"""Mails to an organization's own people about what concerns it (T6), found by a job, each told once.

The job looks at what is stored: events of the audit, and states (seats, credentials, sources). What it
finds it notes under a key in ``notifications``, in the transaction that owes the mails. So a crash
between the two cannot be, the thing itself stays to be found by the next turn, and two workers that
find it together note it once. Where nobody is to be told it is noted all the same: whoever is named
later is not told of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, literal, select, update

from scimd.core import notifications as rules
from scimd.core.events import EventKind
from scimd.core.notifications import ACCOUNT_ADMINS, LEADS, OF_EVENT, TOPIC_OF, Occurrence, What
from scimd.core.people import OrgId, address
from scimd.db.locks import insert_ignore
from scimd.db.tables import (
    TOLD,
    deliveries,
    events,
    notifications,
    oauth_clients,
    organizations,
    runs,
    seat_pools,
    sources,
    tokens,
)
from scimd.org import lately, timekeeping
from scimd.org.ids import Chance, first_id
from scimd.org.mails import correspondence, expiring
from scimd.org.mails.expiring import Expiring
from scimd.org.tx import Actor, Context, Door, Tx

#: A schedule and a moment → the next run after it.
Following = Callable[[str, datetime], datetime]

#: A worker that was away for longer tells of nothing older.
_LOOK_BACK = timedelta(days=7)
_KEPT = timedelta(days=90)
_FAILURES = 2
_AT_ONCE = 200


async def notify_all(door: Door, following: Following, troubles: timekeeping.Troubles | None = None) -> int:
    """Find what is new in every organization and owe the mails; gives how many are owed."""
    ending: dict[OrgId, list[Expiring]] = {}
    for each in await expiring.within(door, timedelta(days=max(LEADS))):
        ending.setdefault(each.org_id, []).append(each)
    query = select(organizations.c.id).order_by(organizations.c.id)

    async def notify(door: Door, org_id: OrgId) -> int:
        return await _notify(door, org_id, ending.get(org_id, ()), following)

    return await timekeeping.each(
        door, troubles, lambda conn: [OrgId(each) for each in conn.execute(query).scalars()], notify
    )


async def _notify(door: Door, org_id: OrgId, ending: Sequence[Expiring], following: Following) -> int:
    """One organization; nothing is written where nothing is new."""
    now = door.clock()
    ctx = Context(org_id, Actor("job", "notifications", "notifications"), "job", "notifications")

    def body(tx: Tx) -> int:
        return _note(tx, list(_found(tx, ending, following)))

    def news(conn: Connection) -> bool:
        looking = Tx(conn, ctx, now, Chance(), door.settings, door.keys)
        return _is_news(looking, list(_found(looking, ending, following)))

    return await door.run(ctx, body) if await door.read(news) else 0


async def forget(door: Door) -> None:
    """Delete notes that are too old for anything to find their occasion again. Daily."""
    column, before = notifications.c, door.clock() - _KEPT
    old = delete(notifications).where(column.noted_at < before, ~column.holds)
    await door.db.write(lambda conn: conn.execute(old) and None)


# ------------------------------------------------------------------------------ what there is to tell


def _found(tx: Tx, ending: Sequence[Expiring], following: Following) -> Iterator[Occurrence]:
    yield from _of_events(tx)
    yield from _of_credentials(tx, ending)
    yield from _of_seats(tx)
    for source in _sources(tx):
        yield from _of_source(tx, source, following)


def _to_note(org_id: OrgId, now: datetime) -> Select[Any]:
    """A select of the next events that are to be noted."""
    known = select(notifications.c.key).where(
        notifications.c.org_id == events.c.org_id, notifications.c.key == literal("event:") + events.c.id
    )
    return (
        select(events.c.id, events.c.kind, events.c.at, events.c.target_id, events.c.body)
        .where(
            events.c.org_id == org_id,
            events.c.id >= first_id(now - _LOOK_BACK),
            TOLD,
            ~known.exists(),
        )
        .order_by(events.c.id)
        .limit(_AT_ONCE)
    )


def _of_events(tx: Tx) -> Iterator[Occurrence]:
    for row in tx.conn.execute(_to_note(tx.org_id, tx.now)):
        what, body = OF_EVENT[row.kind], row.body or {}
        after = body.get("after") or {}
        told = {**after, "why": body.get("note") or "", "happened": row.at.isoformat(timespec="minutes")}
        about = after.get("source") or row.target_id
        yield Occurrence(f"event:{row.id}", what, f"{what}:{about}", told)


def _of_credentials(tx: Tx, ending: Sequence[Expiring]) -> Iterator[Occurrence]:
    for each in ending:
        days = rules.lead(each.expires_at, tx.now)
        if days is not None:
            told = {
                "name": each.name,
                "source": each.source_name or "API",
                "days": days,
                "ends": each.expires_at.isoformat(timespec="minutes"),
            }
            # Each lead is a subject of its own: a token of a day must not keep its last warning.
            yield Occurrence(f"expires:{each.id}:{days}", "token_expires", f"expires:{each.id}:{days}", told)


def _of_seats(tx: Tx) -> Iterator[Occurrence]:
    pool = tx.conn.execute(select(seat_pools).where(seat_pools.c.org_id == tx.org_id)).first()
    what = rules.seats(pool.used, pool.seat_limit) if pool else None
    if what is not None and pool is not None:
        yield Occurrence(what, what, what, {"used": pool.used, "limit": pool.seat_limit}, lasting=True)


def _sources(tx: Tx) -> Sequence[Row[Any]]:
    return tx.conn.execute(
        select(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.ended_at.is_(None))
        .order_by(sources.c.id)
    ).all()


def _of_source(tx: Tx, source: Row[Any], following: Following) -> Iterator[Occurrence]:
    told = {"source": source.name, "why": source.quarantine_cause or ""}
    if source.quarantined_since is not None:
        since = source.quarantined_since.isoformat(timespec="seconds")
        key = f"{source.id}:{since}"
        weeks = rules.weeks(source.quarantined_since, tx.now)
        if source.paused_by_quarantine:
            yield Occurrence(f"paused:{key}", "quarantine_paused", f"paused:{source.id}", told, lasting=True)
        elif weeks and source.state != "paused":
            weekly = {**told, "weeks": weeks}
            yield Occurrence(f"weekly:{key}:{weeks}", "quarantine_weekly", f"weekly:{source.id}", weekly)
    elif source.state != "paused":
        yield from _silence(tx, source, following)
    if source.failures >= _FAILURES:
        failed = {**told, "failures": source.failures}
        yield Occurrence(f"failed:{source.id}", "failed", f"failed:{source.id}", failed, lasting=True)


def _silence(tx: Tx, source: Row[Any], following: Following) -> Iterator[Occurrence]:
    """Not read for two intervals; or pushed before, and nothing for long."""
    what: What = "silent_push" if source.kind == "scim" else "silent_source"
    last = _last_push(tx, source.id) if source.kind == "scim" else source.last_success_at or source.created_at
    if last is None:
        return
    if not _is_over(tx, source, last, following):
        return
    told = {"source": source.name, "last": last.isoformat(timespec="minutes")}
    silent = Occurrence(f"silent:{source.id}", what, f"silent:{source.id}", told, lasting=True)
    # What was told holds until the source speaks: else each try that fails would end it and tell it anew.
    noted = _noted(tx, [silent]).get(silent.key)
    if (noted is not None and noted.holds) or not _may_yet_speak(tx, source, following):
        yield silent


def _may_yet_speak(tx: Tx, source: Row[Any], following: Following) -> bool:
    """It is being read right now, or was set going so late that its time is not over."""
    under_way = select(runs.c.id).where(
        runs.c.org_id == tx.org_id,
        runs.c.source_id == source.id,
        runs.c.state.in_(("reading", "applying")),
    )
    if tx.conn.execute(under_way.limit(1)).first() is not None:
        return True
    since = _going_since(tx, source.id)
    return since is not None and not _is_over(tx, source, since, following)


def _is_over(tx: Tx, source: Row[Any], since: datetime, following: Following) -> bool:
    """Whether so much time has passed since then that a source is silent."""
    if source.kind == "scim":
        return tx.now >= since + timedelta(seconds=_settings(tx).get("silent_after_s", 7 * 86_400))
    schedule = source.config.get("schedule")
    return bool(schedule) and tx.now >= following(schedule, following(schedule, since))


def _going_since(tx: Tx, source_id: str) -> datetime | None:
    """When a pause or a quarantine of it ended last, or its schedule was changed."""
    query = (
        select(events.c.kind, events.c.at, events.c.body)
        .where(
            events.c.org_id == tx.org_id,
            events.c.target_id == source_id,
            events.c.kind.in_(
                [EventKind.SOURCE_CHANGED, EventKind.SOURCE_RELEASED, EventKind.SOURCE_RECOVERED]
            ),
        )
        .order_by(events.c.id.desc())
        .limit(_AT_ONCE)
    )
    return next((row.at for row in tx.conn.execute(query) if _sets_going(row.kind, row.body or {})), None)


def _sets_going(kind: str, body: Mapping[str, Any]) -> bool:
    if kind != EventKind.SOURCE_CHANGED:
        return True
    before, after = body.get("before") or {}, body.get("after") or {}
    return before.get("state") == "paused" or "schedule" in after.get("changed", ())


def _last_push(tx: Tx, source_id: str) -> datetime | None:
    found = []
    for table in (tokens, oauth_clients):
        mine = (table.c.org_id == tx.org_id) & (table.c.source_id == source_id)
        found.append(tx.conn.execute(select(func.max(table.c.last_used_at)).where(mine)).scalar())
    return max((at for at in found if at is not None), default=None)


def _settings(tx: Tx) -> Mapping[str, Any]:
    found: Mapping[str, Any] = tx.conn.execute(
        select(organizations.c.settings).where(organizations.c.id == tx.org_id)
    ).scalar_one()
    return found


# ------------------------------------------------------------------------------ noted, and owed


def _is_news(tx: Tx, found: Sequence[Occurrence]) -> bool:
    noted = _noted(tx, found)
    return any(_is_new(each, noted.get(each.key)) for each in found) or bool(_over(tx, found))


def _is_new(occurrence: Occurrence, noted: Row[Any] | None) -> bool:
    return noted is None or (occurrence.lasting and not noted.holds)


def _noted(tx: Tx, found: Sequence[Occurrence]) -> dict[str, Row[Any]]:
    keys = [each.key for each in found]
    if not keys:
        return {}
    query = select(notifications).where(notifications.c.org_id == tx.org_id, notifications.c.key.in_(keys))
    return {row.key: row for row in tx.conn.execute(query)}


def _over(tx: Tx, found: Sequence[Occurrence]) -> list[str]:
    """States that held and hold no longer."""
    holding = {each.key for each in found if each.lasting}
    query = select(notifications.c.key).where(notifications.c.org_id == tx.org_id, notifications.c.holds)
    return [key for key in tx.conn.execute(query).scalars() if key not in holding]


def _note(tx: Tx, found: Sequence[Occurrence]) -> int:
    ended = _over(tx, found)
    if ended:
        tx.conn.execute(
            update(notifications)
            .where(notifications.c.org_id == tx.org_id, notifications.c.key.in_(ended))
            .values(holds=False)
        )
    owed = 0
    for occurrence in found:
        # A state that comes back within the day is taken up when the day is over, if it still holds.
        recent = _was_told_lately(tx, occurrence)
        if not (recent and occurrence.lasting) and _won(tx, occurrence):
            owed += 0 if recent else _owe(tx, occurrence)
    return owed


def _won(tx: Tx, occurrence: Occurrence) -> bool:
    """Whether it is this transaction that notes it: one INSERT, or one conditional UPDATE."""
    row = {
        "org_id": tx.org_id,
        "key": occurrence.key,
        "what": occurrence.what,
        "subject": occurrence.subject,
        "holds": occurrence.lasting,
        "noted_at": tx.now,
    }
    if tx.conn.execute(insert_ignore(tx.conn, notifications), [row]).rowcount:
        return True
    mine = (notifications.c.org_id == tx.org_id) & (notifications.c.key == occurrence.key)
    again = update(notifications).where(mine, ~notifications.c.holds).values(holds=True, noted_at=tx.now)
    return occurrence.lasting and bool(tx.conn.execute(again).rowcount)


def _was_told_lately(tx: Tx, occurrence: Occurrence) -> bool:
    query = select(notifications.c.key).where(
        notifications.c.org_id == tx.org_id,
        notifications.c.subject == occurrence.subject,
        lately.happened(notifications.c.told_at, tx.now, rules.ONCE_WITHIN),
    )
    return tx.conn.execute(query).first() is not None


def _owe(tx: Tx, occurrence: Occurrence) -> int:
    recipients = _recipients(tx, occurrence)
    if not recipients:
        return 0
    params = {**occurrence.told, "what": occurrence.what, "at": tx.now.isoformat(timespec="minutes")}
    rows = [
        {
            "org_id": tx.org_id,
            "id": tx.new_id(),
            "kind": "mail",
            "template": "notification",
            "person_id": person_id,
            "address": to,
            "params": params,
            "state": "due",
            "first_change_at": tx.now,
            "due_at": tx.now,
            "created_at": tx.now,
        }
        for to, person_id in recipients.items()
    ]
    tx.conn.execute(deliveries.insert(), rows)
    tx.conn.execute(
        update(notifications)
        .where(notifications.c.org_id == tx.org_id, notifications.c.key == occurrence.key)
        .values(told_at=tx.now)
    )
    return len(rows)


def _recipients(tx: Tx, occurrence: Occurrence) -> dict[str, str | None]:
    """Address → the admin whose it is, or None for one that the config names; each once."""
    found: dict[str, str | None] = {}
    for row in _settings(tx).get("notify", ()):
        if TOPIC_OF[occurrence.what] not in row["about"]:
            continue
        for to in row["to"]:
            if to == ACCOUNT_ADMINS:
                found |= {str(admin.sign_in_address): admin.id for admin in correspondence.admins(tx)}
            elif address(to) == to:
                found.setdefault(to, None)
    return found
