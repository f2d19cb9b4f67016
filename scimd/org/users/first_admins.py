"""The first admins, whom an operator makes: each with a one-time link to sign in by."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import select, update

from scimd.core.errors import InvalidValue
from scimd.core.events import Event, EventKind
from scimd.core.people import PersonId, address, address_key
from scimd.core.roles import ACCOUNT_ADMIN, USER
from scimd.db.tables import grants, people
from scimd.org.authentication import links
from scimd.org.grants import manual_grants
from scimd.org.ids import uuid7
from scimd.org.organizations import domains, organizations
from scimd.org.tx import Actor, Context, Door, Tx
from scimd.org.users import by_hand
from scimd.org.users.names import local_names, shown_as


async def create_admin(
    door: Door, org_slug: str, email: str, actor: Actor, *, valid_s: float = links.SIGN_IN_VALID_S
) -> str:
    """Make a local Account Admin, of ``system`` an operator; gives a one-time sign-in link's token.

    They need no invitation: the operator vouches for them. Somebody who has the address already gets
    the role, and has accepted by that. Raises NotFound for the organization, InvalidValue (also for an
    address in a domain that another organization has proven), SeatLimitReached, and NotAllowedNow with
    what keeps them out.
    """
    text = address(email)
    if text is None:
        raise InvalidValue("EMAIL", f"{email!r} is not one mail address")
    org = await organizations.by_slug(door, org_slug)
    ctx = Context(org.id, actor, "cli", uuid7(door.clock(), secrets.token_bytes(10)))

    def body(tx: Tx) -> str:
        person_id = _person(tx, text, operator=org.kind == "system")
        _grant(tx, person_id)
        by_hand.wants_seat(tx, person_id)
        return links.token(tx, "sign_in", links.make(tx, person_id, "sign_in", valid_s), "copy")

    def then(tx: Tx, made: str) -> str:
        links.must_lead_in(_with_address(tx, text))
        return made

    return await door.run(ctx, body, then=then)


def _person(tx: Tx, email: str, *, operator: bool) -> PersonId:
    found = _with_address(tx, email)
    if found is not None:
        mine = (people.c.org_id == tx.org_id) & (people.c.id == found.id)
        tx.conn.execute(update(people).where(mine).values(accepted=True))
        return PersonId(found.id)
    if not operator:  # whoever runs the installation may be of any organization in it
        domains.must_be_open(tx, email, "EMAIL")
    person_id = PersonId(tx.new_id())
    tx.conn.execute(people.insert().values(_row(tx, person_id, email)))
    tx.record(Event(EventKind.ADMIN_CREATED, "person", person_id, after={"address": email}))
    return person_id


def _with_address(tx: Tx, email: str) -> Any:
    return tx.conn.execute(
        select(people).where(
            people.c.org_id == tx.org_id,
            people.c.sign_in_key == address_key(email),
            people.c.deleted_at.is_(None),
        )
    ).first()


def _row(tx: Tx, person_id: PersonId, email: str) -> dict[str, Any]:
    (user_name,) = local_names(tx, [email])
    return {
        "org_id": tx.org_id,
        "id": person_id,
        "kind": "person",
        "local_user_name": user_name,
        **shown_as(email),
        "sign_in_address": email,
        "sign_in_key": address_key(email),
        "accepted": True,
        "profile": {"userName": email, "emails": [{"value": email, "primary": True}]},
        "status": "pending",
        "causes": [],
        "primary_role": USER,
        "roles": [USER],
        "created_by": tx.ctx.actor.name,
        "created_at": tx.now,
        "changed_at": tx.now,
    }


def _grant(tx: Tx, person_id: PersonId) -> None:
    held = tx.conn.execute(
        select(grants.c.id).where(
            grants.c.org_id == tx.org_id,
            grants.c.person_id == person_id,
            grants.c.kind == "role",
            grants.c.target == ACCOUNT_ADMIN,
            grants.c.origin == "manual",
            grants.c.until.is_(None),
        )
    ).first()
    if held:
        return
    manual_grants.give(tx, person_id, "role", ACCOUNT_ADMIN, tx.ctx.actor.name)
