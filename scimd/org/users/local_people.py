"""People whom a hand adds and edits: those without a source, and service accounts.

Whoever is added directly gets a link to set a password, valid for three hours, in place of an
invitation; ``people.welcome`` says which of the two it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from scimd.core.errors import InvalidValue, NotAllowedNow, NotUnique
from scimd.core.events import Event, EventKind
from scimd.core.people import (
    UNSET,
    Document,
    OrgId,
    PersonId,
    ProjectId,
    RoleName,
    TeamId,
    Unset,
    address,
    address_key,
)
from scimd.core.roles import USER
from scimd.core.standing import Status
from scimd.core.words import DISPLAY_NAME_AT_MOST, must_be_line
from scimd.db.last_changed import not_before
from scimd.db.locks import lock_rows
from scimd.db.tables import NOT_IN_YET, invitations, people
from scimd.db.tables import links as link_rows
from scimd.org import permissions
from scimd.org.authentication import credentials, links, sessions
from scimd.org.grants import assignments
from scimd.org.mails import notices
from scimd.org.organizations import domains
from scimd.org.settling import profiles
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand, user_page
from scimd.org.users.names import local_names, shown_as
from scimd.org.users.user_page import UserPage

_USER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_AT_ONCE = 200
#: Of the local profile what columns have too.
_IN_COLUMNS = frozenset(("userName", "displayName", "emails"))
#: In the audit ``owner`` is the source that owns the person.
_AUDITED_AS = {"owner": "service_owner"}
_NOT_SHOWN = ("display_name_key", "sign_in_key", "address_verified_at")


@dataclass(frozen=True, slots=True)
class NewPerson:
    """``user_name`` None: derived from the address. No projects: the organization's default one."""

    email: str
    user_name: str | None = None
    display_name: str | None = None
    role: RoleName = USER
    projects: Mapping[ProjectId, RoleName] | None = None
    team: TeamId | None = None


@dataclass(frozen=True, slots=True)
class NewServiceAccount:
    """A program's account: no mail, password or seat; never matched by a source."""

    user_name: str
    display_name: str
    owner: str
    role: RoleName = USER
    #: When it ends; None: never.
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; UNSET stays. ``display_name`` None: the address stands in its place."""

    user_name: str | Unset = UNSET
    display_name: str | Unset | None = UNSET
    email: str | Unset = UNSET
    #: Of a service account; None: it does not end.
    expires_at: datetime | Unset | None = UNSET
    #: Of a service account: who answers for it.
    owner: str | Unset = UNSET


# ------------------------------------------------------------------------------ adding


async def add(door: Door, ctx: Context, new: NewPerson) -> PersonId:
    """Add a person directly; a mail with a link to set a password goes out at once.

    Raises Forbidden (also for a role with permissions that the caller lacks), InvalidValue, NotUnique,
    NotFound for a project or team, SeatLimitReached, and NotAllowedNow where somebody with this role
    needs a project and neither the call nor the organization names one.
    """
    permissions.require(ctx, "users.manage")
    email = one_address(new.email)

    def body(tx: Tx) -> PersonId:
        person_id = make(tx, email, new.user_name, new.display_name, welcome="set_password")
        assignments.assign_new(tx, person_id, new.role, new.projects, new.team)
        if not tx.book.rules.approval_required:  # the partner's approval sends it
            links.owe_set_password(tx, person_id, email)
        return person_id

    def then(tx: Tx, person_id: PersonId) -> PersonId:
        assignments.needs_project(tx, person_id)
        return person_id

    return await door.run(ctx, body, then=then)


async def add_service_account(door: Door, ctx: Context, new: NewServiceAccount) -> PersonId:
    """Add a service account. Raises InvalidValue, NotUnique, Forbidden."""
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> PersonId:
        by_hand.must_lie_ahead(tx, new.expires_at)
        more = {
            "kind": "service",
            "accepted": True,
            "profile": {"owner": _owner(new.owner)},
            "expires_at": new.expires_at,
        }
        person_id = _insert(
            tx, _user_name(tx, new.user_name, None), proper_name(new.display_name) or "", more
        )
        assignments.assign_new(tx, person_id, new.role, None, None)
        return person_id

    return await door.run(ctx, body)


def _owner(text: str) -> str:
    if not text.strip():
        raise InvalidValue("owner", "a service account has a person who answers for it")
    return text.strip()


def one_address(text: object, field: str = "email") -> str:
    """One scalar mail address. Raises InvalidValue; lists and objects are none (lesson 18)."""
    found = address(text)
    if found is None:
        raise InvalidValue(field, "must be one mail address, such as ann@acme.example")
    return found


def proper_name(name: str | None) -> str | None:
    """A display name as it was sent, without white space around it; any script, any case."""
    text = (name or "").strip()
    must_be_line(text, DISPLAY_NAME_AT_MOST, "display_name")
    return text or None


def make(
    tx: Tx, email: str, user_name: str | None, display_name: str | None, *, welcome: str = "invitation"
) -> PersonId:
    """The row of a new local person with this sign-in address. Raises NotUnique, InvalidValue."""
    _must_be_free(tx, email)
    name = proper_name(display_name)
    profile: dict[str, Any] = {"userName": email, "emails": [{"value": email, "primary": True}]}
    more = {
        "sign_in_address": email,
        "sign_in_key": address_key(email),
        "welcome": welcome,
        "approved": not tx.book.rules.approval_required,
        "profile": {**profile, "displayName": name} if name else profile,
    }
    return _insert(tx, _user_name(tx, user_name, email), name or email, more)


def _insert(tx: Tx, user_name: str, display_name: str, more: dict[str, Any]) -> PersonId:
    by_hand.makes_no_operator(tx.conn, tx.ctx)
    person_id = PersonId(tx.new_id())
    row = {
        "org_id": tx.org_id,
        "id": person_id,
        "kind": "person",
        "local_user_name": user_name,
        **shown_as(display_name),
        "status": "pending",
        "causes": [],
        "primary_role": USER,
        "roles": [USER],
        "created_by": tx.ctx.actor.name,
        "created_at": tx.now,
        "changed_at": tx.now,
    }
    tx.conn.execute(people.insert().values({**row, **more}))
    after = {"user_name": user_name, "display_name": display_name, "address": more.get("sign_in_address")}
    if owner := more["profile"].get("owner"):
        after[_AUDITED_AS["owner"]] = owner
    tx.record(Event(EventKind.PERSON_CREATED, "person", person_id, after=after))
    by_hand.wants_seat(tx, person_id)
    return person_id


def _user_name(tx: Tx, wanted: str | None, email: str | None) -> str:
    if wanted is None:
        return local_names(tx, [email or "user"])[0]
    must_be_user_name(wanted)
    holder = _holder(tx, people.c.local_user_name == wanted)
    if holder is not None:
        raise NotUnique("user_name", wanted, holder.display_name)
    return wanted


def must_be_user_name(wanted: str) -> None:
    """Raises InvalidValue for what no user name is made of."""
    if not _USER_NAME.fullmatch(wanted):
        raise InvalidValue("user_name", "is made of small letters, digits and dashes, 64 at most")


def _must_be_free(tx: Tx, email: str) -> None:
    """Raise NotUnique for an address that somebody signs in with, or whose domain another proved."""
    holder = _holder(tx, people.c.sign_in_key == address_key(email))
    if holder is not None:
        raise NotUnique("email", email, holder.display_name)
    domains.must_be_open(tx, email)


def _holder(tx: Tx, condition: Any) -> Any:
    query = select(people.c.id, people.c.display_name)
    return tx.conn.execute(
        query.where(people.c.org_id == tx.org_id, people.c.deleted_at.is_(None), condition)
    ).first()


# ------------------------------------------------------------------------------ editing


async def edit(
    door: Door,
    ctx: Context,
    person_id: PersonId,
    wanted: Edit,
    check: Callable[[UserPage], None] | None = None,
) -> None:
    """Change user name, display name or address of a person by hand.

    The user name is scimd's own, whoever owns the person; name and address of a person whom a source
    owns are refused with its name (OwnedBySource). A new address is unproved until the person
    confirms it; their sessions, keys and links end. Raises InvalidValue, NotUnique, NotAllowedNow
    while an invitation is open, whose address is fixed, and for one's own address, which asks for a
    proof (``my_profile.ask_confirmation``); and what ``check`` raises of the locked person.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        row = by_hand.person(tx, person_id)
        if check is not None:
            check(user_page.find(tx.conn, tx.org_id, person_id))
        values = edited(tx, row, wanted)
        if "sign_in_key" in values and tx.ctx.actor.id == person_id:
            raise NotAllowedNow(
                "You cannot change your own address like this. Do it under My profile, by a mail to it."
            )
        write_edit(tx, row, values)

    await door.run(ctx, body)


def edited(tx: Tx, row: Row[Any], wanted: Edit) -> dict[str, Any]:
    """The columns that the edit changes. Raises as ``edit`` does."""
    values: dict[str, Any] = {}
    if not isinstance(wanted.user_name, Unset) and wanted.user_name != row.local_user_name:
        values["local_user_name"] = _user_name(tx, wanted.user_name, None)
    if not isinstance(wanted.display_name, Unset):
        values |= _new_name(tx, row, wanted.display_name)
    if not isinstance(wanted.expires_at, Unset):
        values |= _new_expiry(tx, row, wanted.expires_at)
    if not isinstance(wanted.owner, Unset):
        values |= _new_owner(row, wanted.owner, values.get("profile", row.profile))
    if not isinstance(wanted.email, Unset):
        values |= new_address(tx, row, wanted.email, values)
    return values


def _new_expiry(tx: Tx, row: Row[Any], moment: datetime | None) -> dict[str, Any]:
    if row.kind != "service":
        raise NotAllowedNow(f"{row.display_name} is a person: only service accounts expire.")
    if moment == row.expires_at:
        return {}
    by_hand.must_lie_ahead(tx, moment)
    return {"expires_at": moment}


def _new_owner(row: Row[Any], owner: str, profile: Mapping[str, Any]) -> dict[str, Any]:
    if row.kind != "service":
        raise NotAllowedNow(f"{row.display_name} is a person: only service accounts have an owner.")
    return {} if _owner(owner) == profile.get("owner") else {"profile": {**profile, "owner": _owner(owner)}}


def _new_name(tx: Tx, row: Row[Any], name: str | None) -> dict[str, Any]:
    name = proper_name(name)
    shown = name or row.sign_in_address or row.local_user_name
    if shown == row.display_name:
        return {}
    by_hand.must_be_local(tx, row, "The display name")
    profile = {key: value for key, value in row.profile.items() if key != "displayName"}
    return {**shown_as(shown), "profile": {**profile, "displayName": name} if name else profile}


def new_address(
    tx: Tx, row: Row[Any], email: object, changed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The columns of a person with that sign-in address, unproved; none where it is theirs already.

    Who is shown by the address, having no name, is shown by the new one. ``changed``: the columns that
    are changed with it. Raises as ``edit`` does.
    """
    email, changed = one_address(email), changed or {}
    if address_key(email) == row.sign_in_key:
        return {}
    must_have_own_address(tx, row)
    _must_be_free(tx, email)
    profile = changed.get("profile", row.profile)
    nameless = changed.get("display_name", row.display_name) == row.sign_in_address
    return {
        **(shown_as(email) if nameless and not profile.get("displayName") else {}),
        "sign_in_address": email,
        "sign_in_key": address_key(email),
        "address_verified_at": None,
        "profile": {**profile, "userName": email, "emails": [{"value": email, "primary": True}]},
    }


def must_have_own_address(tx: Tx, row: Row[Any]) -> None:
    """Raise OwnedBySource or NotAllowedNow where a hand gives this person no other address, whichever."""
    by_hand.must_be_local(tx, row, "The e-mail")
    by_hand.must_be_a_person(row, "it has no address")
    _no_open_invitation(tx, row)


def _no_open_invitation(tx: Tx, row: Row[Any]) -> None:
    query = select(invitations.c.id).where(
        invitations.c.org_id == tx.org_id,
        invitations.c.person_id == row.id,
        invitations.c.is_pending == 1,
    )
    if tx.conn.execute(query).first() is not None:
        raise NotAllowedNow(
            f"The address of an invitation is fixed. Withdraw the invitation of {row.display_name}, "
            "and invite the new address."
        )


def write_edit(tx: Tx, row: Row[Any], values: dict[str, Any]) -> None:
    """Write changed columns of a person's profile, with what a new address ends."""
    if not values:
        return
    changed = {name: value for name, value in values.items() if name != "profile"}
    profile = _profile_change(row.profile, values.get("profile", row.profile))
    person_id = PersonId(row.id)
    tx.conn.execute(
        update(people)
        .where(people.c.org_id == tx.org_id, people.c.id == person_id)
        .values(**values, changed_at=not_before(row.changed_at, tx.now))
    )
    shown = [name for name in changed if name not in _NOT_SHOWN]
    before = {name: _as_json(getattr(row, name)) for name in shown} | profile.before
    after = {name: _as_json(changed[name]) for name in shown} | profile.after
    tx.record(Event(EventKind.PERSON_UPDATED, "person", person_id, before, after))
    tx.touch([person_id])
    if "sign_in_key" in changed:
        sessions.end_for(tx, [person_id], "address changed")
        if row.sign_in_address is not None:
            notices.address_changed(tx, row, changed["sign_in_address"])
        profiles.release_addresses(tx, [row.sign_in_key] if row.sign_in_key else [])
        if row.welcome != "invitation" and not row.accepted and links.leads_in(row):
            by_hand.not_too_often(tx, person_id)
            links.owe_set_password(tx, person_id, changed["sign_in_address"])


@dataclass(frozen=True, slots=True)
class _ProfileChange:
    before: dict[str, Any]
    after: dict[str, Any]


def _profile_change(old: Document, new: Document) -> _ProfileChange:
    """The attributes of the local profile that differ, but for the names that have columns of their own."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name) and name not in _IN_COLUMNS]
    before, after = [{_AUDITED_AS.get(name, name): each.get(name) for name in names} for each in (old, new)]
    return _ProfileChange(before, after)


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


# ------------------------------------------------------------------------------ passwords


async def reset_password(door: Door, ctx: Context, person_ids: Sequence[PersonId]) -> None:
    """Force a password reset: signed out everywhere, and a mail with a link to set a new one.

    The old password is dead at once. Somebody who was added and let the first link expire gets a new
    one by this. Raises NotFound, Forbidden, TooManyRequests, and NotAllowedNow for somebody without an
    address, or whom the link would not lead in.
    """
    permissions.require(ctx, "users.manage")

    def body(tx: Tx) -> None:
        for person_id in person_ids:
            row = by_hand.person(tx, person_id)
            by_hand.must_be_a_person(row, "it has no password, but API tokens")
            if not row.sign_in_address:
                raise NotAllowedNow(f"{row.display_name} has no mail address to send a link to.")
            links.must_lead_in(row)
            by_hand.not_too_often(tx, person_id)
            sessions.end_for(tx, [person_id], "password reset")
            credentials.drop_password(tx, person_id)
            links.owe_set_password(tx, person_id, row.sign_in_address)
            if row.welcome == "set_password_expired":
                _welcome(tx, [person_id], "set_password")
                by_hand.wants_seat(tx, person_id)

    await door.run(ctx, body)


async def expire_welcomes(door: Door, org_id: OrgId) -> int:
    """Write down whose set-password link has expired before they came in: their seat is free. A job."""
    ctx = Context(org_id, Actor("job", "welcomes", "welcomes"), "job", "welcomes")
    total = 0
    while done := await door.run(ctx, _expire):
        total += done
    return total


def _expire(tx: Tx) -> int:
    live = select(link_rows.c.id).where(
        link_rows.c.org_id == people.c.org_id,
        link_rows.c.person_id == people.c.id,
        link_rows.c.purpose == "set_password",
        link_rows.c.used_at.is_(None),
        link_rows.c.expires_at > tx.now,
    )
    query = select(people.c.id).where(
        people.c.org_id == tx.org_id,
        NOT_IN_YET,
        people.c.approved,  # the others are sent theirs when a partner has approved them
        people.c.status != Status.INACTIVE,  # whoever is brought back, too
        ~live.exists(),
    )
    rows = lock_rows(tx.conn, query.order_by(people.c.id).limit(_AT_ONCE))
    _welcome(tx, [PersonId(row.id) for row in rows], "set_password_expired")
    return len(rows)


def _welcome(tx: Tx, person_ids: list[PersonId], welcome: str) -> None:
    if person_ids:
        tx.conn.execute(
            update(people)
            .where(people.c.org_id == tx.org_id, people.c.id.in_(person_ids))
            .values(welcome=welcome)
        )
        tx.touch(person_ids)
