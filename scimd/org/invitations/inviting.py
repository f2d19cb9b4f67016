"""Inviting by hand: one or many addresses, each with a result of its own.

Who was never here becomes a local person with what the invitation gives them; who was invited before
and let it lapse is invited again; whom an admin deactivated comes back by accepting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select, update

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, Refusal, TooManyRequests
from scimd.core.events import Event, EventKind
from scimd.core.people import (
    UNSET,
    InvitationId,
    PersonId,
    ProjectId,
    RoleName,
    TeamId,
    Unset,
    address_key,
)
from scimd.core.roles import USER
from scimd.core.standing import CauseKind, Status, kinds_of
from scimd.db.locks import lock_rows
from scimd.db.tables import invitations, people, teams
from scimd.org import lately, permissions
from scimd.org.grants import assignments
from scimd.org.invitations import invitation_list, invitation_upkeep
from scimd.org.invitations.invitation_list import InvitationRecord
from scimd.org.tx import Context, Door, Inviting, Tx
from scimd.org.users import by_hand, local_people

MESSAGE_AT_MOST = 2000
AT_ONCE = 500
_LONGEST_S = 90 * 86400.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the invited shall have. ``valid_s`` None: as the config says; 90 days at most.

    ``team`` comes first, and is mandatory in an organization that uses teams. ``projects`` None: the
    organization's default project.
    """

    team: TeamId | None = None
    role: RoleName = USER
    projects: Mapping[ProjectId, RoleName] | None = None
    message: str | None = None
    valid_s: float | None = None
    #: Of the one person who is invited; None: made of the address.
    user_name: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """What became of one address; ``refusal`` None: they are invited."""

    email: str
    person_id: PersonId | None = None
    refusal: Refusal | None = None


async def invite(door: Door, ctx: Context, emails: Sequence[str], wish: Wish) -> list[Invited]:
    """Invite these addresses, each in a transaction of its own; a result per row, in order.

    Raises Forbidden, InvalidValue for what is wrong with all of them (message, validity, too many at
    once). A row is refused with InvalidValue, NotAllowedNow (a member already, invited already,
    disabled, deprovisioned by a source), SeatLimitReached with the figures, or TooManyRequests.
    """
    permissions.require(ctx, "invitations.manage")
    if len(emails) > AT_ONCE:
        raise InvalidValue("emails", f"are {len(emails)}; at most {AT_ONCE} are invited at once")
    said = Inviting(_message(wish.message), _validity(wish.valid_s))
    found: list[Invited] = []
    for email in emails:
        try:
            person_id = await _one(door, ctx, email, wish, said)
        except Refusal as exc:
            found.append(Invited(str(email), None, exc))
        else:
            found.append(Invited(email, person_id))
    return found


def _message(text: str | None) -> str | None:
    text = (text or "").strip()
    if len(text) > MESSAGE_AT_MOST:
        raise InvalidValue("message", f"has {len(text)} characters; {MESSAGE_AT_MOST} at most")
    if any(not (c.isprintable() or c in "\r\n\t") for c in text):
        raise InvalidValue("message", "has characters that cannot be shown")
    return text or None


def _validity(seconds: float | None) -> float | None:
    if seconds is not None and not 60.0 <= seconds <= _LONGEST_S:
        raise InvalidValue("valid_for", "is between a minute and 90 days")
    return seconds


async def _one(door: Door, ctx: Context, email: str, wish: Wish, said: Inviting) -> PersonId:
    email = local_people.one_address(email)

    def body(tx: Tx) -> PersonId:
        by_hand.makes_no_operator(tx.conn, tx.ctx)
        _hold_back(tx)
        _team_is_named(tx, wish)
        row = _known(tx, email)
        if row is None:
            person_id = local_people.make(tx, email, wish.user_name, wish.display_name)
            tx.inviting[person_id] = said
            assignments.assign_new(tx, person_id, wish.role, wish.projects, wish.team)
            return person_id
        person_id = PersonId(row.id)
        tx.inviting[person_id] = said
        _again(tx, row, wish)
        return person_id

    def then(tx: Tx, person_id: PersonId) -> PersonId:
        assignments.needs_project(tx, person_id)
        return person_id

    return await door.run(ctx, body, then=then)


def _hold_back(tx: Tx) -> None:
    """A19: so many an hour, of one actor and of one organization."""
    column = invitations.c
    recent = lately.happened(column.created_at, tx.now, _HOUR) & column.source_id.is_(None)
    row = tx.conn.execute(
        select(
            func.count().label("all"),
            func.count().filter(column.invited_by_id == tx.ctx.actor.id).label("mine"),
            func.min(column.created_at).label("oldest"),
        ).where(column.org_id == tx.org_id, recent)
    ).one()
    settings = tx.settings
    if row.mine >= settings.invitations_per_actor or row.all >= settings.invitations_per_organization:
        raise TooManyRequests(lately.over_in_s(row.oldest, tx.now, _HOUR))


def _team_is_named(tx: Tx, wish: Wish) -> None:
    used = select(teams.c.id).where(teams.c.org_id == tx.org_id).limit(1)
    if wish.team is None and tx.conn.execute(used).first() is not None:
        raise lacks_team()


def lacks_team() -> InvalidValue:
    return InvalidValue("team", "is missing: this organization uses teams, and each person is in one")


def _known(tx: Tx, email: str) -> Row[Any] | None:
    """Whoever has that address, locked."""
    query = select(people).where(
        people.c.org_id == tx.org_id,
        people.c.sign_in_key == address_key(email),
        people.c.deleted_at.is_(None),
    )
    rows = lock_rows(tx.conn, query)
    return rows[0] if rows else None


_LAPSED = frozenset(
    {CauseKind.INVITATION_DECLINED, CauseKind.INVITATION_EXPIRED, CauseKind.INVITATION_WITHDRAWN}
)


def _again(tx: Tx, row: Row[Any], wish: Wish) -> None:
    """Invite somebody who is known here. Raises NotAllowedNow with what stands against it."""
    person_id = PersonId(row.id)
    by_hand.person(tx, person_id)
    causes = kinds_of(row.causes)
    by_hand.must_be_invitable(row)
    by_hand.not_too_often(tx, person_id)
    if CauseKind.DEACTIVATED in causes:
        _invite_back(tx, row)
    elif _LAPSED & causes or CauseKind.SHADOW in causes:
        _replace_lapsed(tx, row)
    elif row.status == Status.ACTIVE:
        raise NotAllowedNow(f"{row.display_name} is a member already.")
    elif row.welcome == "set_password":
        raise NotAllowedNow(
            f"{row.display_name} was added already, with a link to set a password. "
            "Send another one by a password reset instead."
        )
    else:
        raise NotAllowedNow(f"{row.display_name} is invited already. Send the invitation again instead.")
    assignments.assign_more(tx, person_id, wish.role, wish.projects, wish.team)


def _invite_back(tx: Tx, row: Row[Any]) -> None:
    """A pending invitation beside the gate; it takes a seat when it is accepted, not before."""
    pending = select(invitations.c.id).where(
        invitations.c.org_id == tx.org_id,
        invitations.c.person_id == row.id,
        invitations.c.is_pending == 1,
    )
    if tx.conn.execute(pending).first() is not None:
        raise NotAllowedNow(f"{row.display_name} is invited already. Send the invitation again instead.")
    _owe(tx, row, reactivates=True)
    tx.touch([PersonId(row.id)])


def _replace_lapsed(tx: Tx, row: Row[Any]) -> None:
    _owe(tx, row)
    by_hand.wants_seat(tx, PersonId(row.id))


def _owe(tx: Tx, row: Row[Any], *, reactivates: bool = False) -> None:
    """A new invitation; where they had a link to set a password, it takes its place."""
    new = invitation_upkeep.new_row(tx, PersonId(row.id), row.sign_in_address, reactivates=reactivates)
    invitation_upkeep.owe(tx, [new])
    if row.welcome != "invitation":
        mine = (people.c.org_id == tx.org_id) & (people.c.id == row.id)
        tx.conn.execute(update(people).where(mine).values(welcome="invitation"))


async def edit(
    door: Door,
    ctx: Context,
    invitation_id: InvitationId,
    *,
    role: RoleName | None = None,
    projects: Mapping[ProjectId, RoleName] | None = None,
    message: str | Unset | None = UNSET,
    check: Callable[[InvitationRecord], None] | None = None,
) -> None:
    """Change role, projects and message of a pending invitation. The address is fixed.

    Role and projects stay where they are None, the message where it is UNSET; None takes it away.

    Raises NotFound, NotAllowedNow where it is over, what giving them refuses, and what ``check`` raises
    of the invitation as it is.
    """
    permissions.require(ctx, "invitations.manage")
    text = None if isinstance(message, Unset) else _message(message)

    def body(tx: Tx) -> PersonId:
        mine = (invitations.c.org_id == tx.org_id) & (invitations.c.id == invitation_id)
        whose = tx.conn.execute(select(invitations.c.person_id).where(mine)).scalar()
        if whose is None:
            raise NotFound("invitation", invitation_id)
        person_id = PersonId(whose)
        by_hand.person(tx, person_id)
        found = tx.conn.execute(select(invitations).where(mine)).one()
        if found.hidden_at is not None:
            raise NotFound("invitation", invitation_id)
        if check is not None:
            check(invitation_list.one(tx.conn, tx.org_id, invitation_id, tx.now))
        if found.status != "pending" or found.expires_at <= tx.now:
            raise NotAllowedNow("The invitation is over. Make a new one.")
        by_hand.makes_no_operator(tx.conn, tx.ctx)
        by_hand.wants_seat(tx, person_id)
        assignments.assign_instead(tx, person_id, role, projects)
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if message is not UNSET and text != found.message:
            tx.conn.execute(update(invitations).where(mine).values(message=text))
            before, after = {"message": found.message}, {"message": text}
        if role is not None:
            after["role"] = role
        if projects is not None:
            after["projects"] = dict(projects)
        if after:  # what it did to roles and projects has entries of its own, with what was before
            after["person"] = person_id
            tx.record(Event(EventKind.INVITATION_EDITED, "invitation", invitation_id, before or None, after))
        return person_id

    def then(tx: Tx, person_id: PersonId) -> PersonId:
        assignments.needs_project(tx, person_id)
        return person_id

    await door.run(ctx, body, then=then)
