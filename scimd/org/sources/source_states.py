"""The states of a source: shadow, staged, active, paused; its release, and the end of its quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from scimd.core.errors import NotAllowedNow
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, SourceId
from scimd.core.standing import SourceState
from scimd.db.tables import deliveries, invitations, sources
from scimd.org import permissions
from scimd.org.generation import bump
from scimd.org.settling import arrivals
from scimd.org.sources.sources import SourceRecord, find, mark_source
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand


@dataclass(frozen=True, slots=True)
class Released:
    """What a release let go: people of the source, and mails that are due now."""

    people: int
    mails: int


async def release(door: Door, ctx: Context, source_id: SourceId) -> Released:
    """Staged → active: the invitations that waited are due now, and their time begins now.

    Raises NotAllowedNow for a source that is not staged.
    """

    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> Released:
        source = find(tx.conn, tx.org_id, source_id)
        if source.state != "staged":
            raise NotAllowedNow(f"The source {source.name} is {source.state}; only a staged one is released.")
        return _release(tx, source)

    return await door.run(ctx, body)


def _release(tx: Tx, source: SourceRecord) -> Released:
    _write_state(tx, source, "active")
    invitation = invitations.c
    staged: ColumnElement[bool] = (
        (invitation.org_id == tx.org_id)
        & (invitation.source_id == source.id)
        & (invitation.status == "pending")
        & invitation.staged
    )
    mails = tx.conn.execute(
        update(deliveries)
        .where(
            deliveries.c.org_id == tx.org_id,
            deliveries.c.state == "staged",
            tuple_(deliveries.c.person_id, deliveries.c.invitation_id).in_(
                select(invitation.person_id, invitation.id).where(staged)
            ),
        )
        .values(state="due", due_at=tx.now)
    ).rowcount
    tx.conn.execute(
        update(invitations)
        .where(staged)
        .values(staged=False, expires_at=tx.now + timedelta(seconds=tx.settings.invitation_valid_s))
    )
    bump(tx)
    after = {"people": source.user_count, "mails": mails}
    tx.record(Event(EventKind.SOURCE_RELEASED, "source", source.id, after=after))
    return Released(source.user_count, mails)


async def preview_release(door: Door, org_id: OrgId, source_id: SourceId) -> Released:
    """What a release would let go now."""
    query = select(func.count()).where(
        invitations.c.org_id == org_id,
        invitations.c.source_id == source_id,
        invitations.c.status == "pending",
        invitations.c.staged,
    )

    def body(conn: Connection) -> Released:
        return Released(find(conn, org_id, source_id).user_count, conn.execute(query).scalar_one())

    return await door.read(body)


async def set_state(door: Door, ctx: Context, source_id: SourceId, state: SourceState) -> SourceRecord:
    """Put the source into another state. Staged → active is a release; nothing goes back to staged.

    Raises NotFound, NotAllowedNow, and Forbidden, also for whoever would take it into shadow or out of it
    and lacks what the source can give.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        source = find(tx.conn, tx.org_id, source_id)
        change_state(tx, source, state)
        return find(tx.conn, tx.org_id, source_id)

    return await door.run(ctx, body)


def change_state(tx: Tx, source: SourceRecord, state: SourceState) -> None:
    """A pause changes nothing of what the source gives: what was in shadow is so while it is paused.

    Its end is the end of quarantine, too.
    """
    if state == source.state:
        return
    if source.ending is not None:
        raise NotAllowedNow(f"The source {source.name} is being ended. This cannot be taken back.")
    if state == "staged" and source.released_at is not None:
        raise NotAllowedNow(f"The source {source.name} was released; it cannot be staged again.")
    if source.state == "paused":
        end_quarantine(tx, source)
    before = unpaused(source)
    if before == "staged" and state == "active":
        _release(tx, source)
        return
    shadow = state != "paused" and "shadow" in (state, before) and state != before
    if shadow:
        by_hand.must_hold_what_it_gives(tx, source.id)
    _write_state(tx, source, state)
    bump(tx)
    if shadow:
        mark_source(tx, source.id)
    if shadow and before == "shadow":
        arrivals.leave_shadow(tx, source.id, source.name, source.auto_approve)
    kind = EventKind.SOURCE_PAUSED if state == "paused" else EventKind.SOURCE_CHANGED
    tx.record(Event(kind, "source", source.id, before={"state": source.state}, after={"state": state}))


def end_quarantine(tx: Tx, source: SourceRecord) -> None:
    """By a person's word: it has no trouble any more, and is read in the next turn if it is scheduled."""
    if source.quarantined_since is None:
        return
    again = tx.now if source.is_scheduled else None
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == source.id)
        .values(failures=0, next_run_at=again, quarantined_since=None, quarantine_cause=None)
    )
    after, note = {"source": source.name}, source.quarantine_cause or ""
    tx.record(Event(EventKind.SOURCE_RECOVERED, "source", source.id, after=after, note=note))


def _write_state(tx: Tx, source: SourceRecord, state: SourceState) -> None:
    before = source.state if state == "paused" else None
    values: dict[str, Any] = {"state": state, "paused_from": before, "paused_by_quarantine": False}
    if state == "active" and source.released_at is None:
        values["released_at"] = tx.now
    tx.conn.execute(
        update(sources).where(sources.c.org_id == tx.org_id, sources.c.id == source.id).values(**values)
    )


async def pause(door: Door, ctx: Context, source_id: SourceId) -> SourceRecord:
    """Stop the runs of a connector, or the tokens of a SCIM source, until it is set active again."""
    return await set_state(door, ctx, source_id, "paused")


def unpaused(source: SourceRecord) -> SourceState:
    """The source's state, of a paused one that in which it would go on."""
    if source.state != "paused":
        return source.state
    return source.paused_from or ("staged" if source.released_at is None else "active")


async def resume(door: Door, ctx: Context, source_id: SourceId) -> SourceRecord:
    """Undo a pause: the source is what it was before; one that was made paused is staged.

    Raises NotAllowedNow for one that is not paused.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> SourceRecord:
        source = find(tx.conn, tx.org_id, source_id)
        if source.state != "paused":
            raise NotAllowedNow(f"The source {source.name} is {source.state}, not paused.")
        change_state(tx, source, unpaused(source))
        return find(tx.conn, tx.org_id, source_id)

    return await door.run(ctx, body)
