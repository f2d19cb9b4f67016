"""What every change of a person by hand has in common: who may, of whom, and what a source owns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, literal_column, select

from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    OwnAccount,
    OwnedBySource,
    Refusal,
    TooManyRequests,
)
from scimd.core.people import PersonId, RoleName, SourceId
from scimd.core.roles import ACCOUNT_ADMIN, OrgRole
from scimd.core.standing import Cause, CauseKind, Rules, kinds_of
from scimd.db.locks import lock_rows
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, deliveries, grants, organizations, people, sources
from scimd.org import lately, permissions
from scimd.org.tx import Context, Tx

_HOUR = timedelta(hours=1)
_MAILS_PER_HOUR = 10


def person(tx: Tx, person_id: PersonId, *, also_deleted: bool = False) -> Row[Any]:
    """The person's row, locked, for a change by ``tx.ctx.actor``.

    ``also_deleted``: whoever was deleted, and can still be restored, is found too. Raises NotFound, and
    Forbidden where the person holds, live or dormant, a permission that the caller lacks: whoever may
    manage users must not come by an admin's account by changing its address.
    """
    row = locked(tx, person_id, also_deleted=also_deleted)
    must_reach(tx, person_id)
    return row


def locked(tx: Tx, person_id: PersonId, *, also_deleted: bool = False) -> Row[Any]:
    """The person's row, locked, whoever asks. Raises NotFound."""
    query = select(people).where(people.c.org_id == tx.org_id, people.c.id == person_id)
    if not also_deleted:
        query = query.where(people.c.deleted_at.is_(None))
    rows = lock_rows(tx.conn, query)
    if not rows:
        raise NotFound("person", person_id)
    tx.locked.add(person_id)
    return rows[0]


def must_reach(tx: Tx, person_id: PersonId) -> None:
    """Raise Forbidden where the person holds, live or dormant, a permission that the caller lacks."""
    # By a token, which may be narrower than its person, they are anybody.
    oneself = tx.ctx.actor.id == person_id and tx.ctx.api_token_id is None
    if permissions.is_trusted(tx.ctx) or oneself:
        return
    query = (
        select(grants.c.target, people.c.display_name)
        .join(people, (people.c.org_id == grants.c.org_id) & (people.c.id == grants.c.person_id))
        .where(
            grants.c.org_id == tx.org_id,
            grants.c.person_id == person_id,
            grants.c.kind == "role",
            grants.c.until.is_(None),
        )
    )
    for name, who in tx.conn.execute(query):
        must_hold_role(tx.ctx, tx.book.rules, name, who)


def must_hold_role(ctx: Context, rules: Rules, name: str, who: str = "") -> None:
    """``must_hold`` of the role of this name; one that is there no more gives nothing."""
    if role := rules.roles.get(RoleName(name)):
        must_hold(ctx, role, who)


def must_hold(ctx: Context, role: OrgRole, who: str = "") -> None:
    """Nobody gives, or takes power over, what they lack themselves. Raises Forbidden.

    ``who`` holds the role, where it is about a person.
    """
    lacking = sorted(role.permissions - ctx.permissions)
    if lacking and not permissions.is_trusted(ctx):
        raise Forbidden(lacking[0], role.label, who)


#: Somebody of the source who holds the role, live or dormant.
_HELD_IN = Prepared(
    select(grants.c.id)
    .join(
        assertions,
        (assertions.c.org_id == grants.c.org_id) & (assertions.c.person_id == grants.c.person_id),
    )
    .where(
        grants.c.org_id == bindparam("org_id"),
        grants.c.kind == "role",
        grants.c.target == bindparam("role"),
        grants.c.until.is_(None),
        assertions.c.source_id == bindparam("source_id"),
        assertions.c.state == "live",
    )
    .limit(literal_column("1"))
)


def must_hold_what_it_gives(tx: Tx, source_id: SourceId) -> None:
    """Raise Forbidden where the source can give, or its people hold, a permission that the caller lacks.

    Who has a source's token says who its people are, which groups they are in, and at which address they
    are reached; who links an entry says to whom all comes that the source will give; who puts it into
    shadow, or takes it out, says whether it gives at all. Each is worth the source's ceiling, its rules,
    and the accounts of those whom it asserts.
    """
    if permissions.is_trusted(tx.ctx):
        return
    rules = tx.book.rules
    source = rules.sources.get(source_id)
    if source is not None:
        must_hold_role(tx.ctx, rules, source.ceiling)
    if any(giving == source_id for giving, _ in rules.admin_rules):
        must_hold_role(tx.ctx, rules, ACCOUNT_ADMIN)
    # Of everybody's roles, those that matter: nearly all people hold one that gives nothing.
    for name, role in rules.roles.items():
        asked = {"org_id": tx.org_id, "source_id": source_id, "role": name}
        if role.permissions - tx.ctx.permissions and _HELD_IN.first(tx.conn, asked):
            must_hold_role(tx.ctx, rules, name)


def must_lie_ahead(tx: Tx, expires_at: datetime | None) -> None:
    """Raise InvalidValue for an end, of a credential or an account, that has come already."""
    if expires_at is not None and expires_at <= tx.now:
        raise InvalidValue("expires_at", "must be in the future")


#: Mails of these kinds reach one person at the wish of admins.
ADMINS_MAILS = ("invitation", "set_password")


def not_too_often(tx: Tx, person_id: PersonId, mails: Collection[str] = ADMINS_MAILS) -> None:
    """A19: so many ``mails`` (templates) an hour, together, about one person. Raises TooManyRequests."""
    column = deliveries.c
    query = select(func.count().label("sent"), func.min(column.created_at).label("oldest")).where(
        column.org_id == tx.org_id,
        column.person_id == person_id,
        column.kind == "mail",
        column.template.in_(mails),
        lately.happened(column.created_at, tx.now, _HOUR),
    )
    row = tx.conn.execute(query).one()
    if row.sent >= _MAILS_PER_HOUR:
        raise TooManyRequests(lately.over_in_s(row.oldest, tx.now, _HOUR))


def makes_no_operator(conn: Connection, ctx: Context) -> None:
    """Raise Forbidden in the organization ``system`` for whoever comes by a request.

    Its people are operators of the whole installation, whatever their role: only the host makes them.
    """
    query = select(organizations.c.kind).where(organizations.c.id == ctx.org_id)
    if permissions.is_by_request(ctx) and conn.execute(query).scalar() == "system":
        raise Forbidden("to run commands on the host: operators are made there alone")


def wants_seat(tx: Tx, person_id: PersonId) -> None:
    """Where this change asks for a seat, or gives what is limited, and none is free, the hand is told so,
    with the figures."""
    tx.seat_policy = "reject"
    tx.refuse_without_seat.add(person_id)
    tx.touch([person_id])


def not_oneself(tx: Tx, person_id: PersonId, what: str) -> None:
    """Raise OwnAccount where the caller would ``what`` (a verb) their own account."""
    if tx.ctx.actor.kind == "person" and tx.ctx.actor.id == person_id:
        raise OwnAccount(what)


@dataclass(frozen=True, slots=True)
class Asserting:
    """A source that asserts a person now."""

    source_id: str
    name: str


def asserting(conn: Connection, org_id: str, person_id: str) -> list[Asserting]:
    """The sources that assert the person now, the deciding one first."""
    query = (
        select(sources.c.id, sources.c.name)
        .join(
            assertions, (assertions.c.org_id == sources.c.org_id) & (assertions.c.source_id == sources.c.id)
        )
        .where(
            assertions.c.org_id == org_id,
            assertions.c.person_id == person_id,
            assertions.c.state == "live",
        )
        .order_by(sources.c.priority)
    )
    return [Asserting(row.id, row.name) for row in conn.execute(query)]


def must_be_a_person(row: Row[Any], but: str) -> None:
    """Raise NotAllowedNow for a service account; ``but``: what it is, or has, in place of what is asked."""
    if row.kind == "service":
        raise NotAllowedNow(f"{row.display_name} is a service account: {but}.")


def must_be_local(tx: Tx, row: Row[Any], attribute: str) -> None:
    """Raise OwnedBySource where a source's document gives this attribute."""
    if row.owner_source_id is not None:
        raise OwnedBySource(attribute, source_name(tx, row.owner_source_id))


def deprovisioned_by(row: Row[Any]) -> str | None:
    """The source whose word makes the person Inactive; None where none does."""
    causes = [Cause.parse(text) for text in row.causes]
    return next((cause.by for cause in causes if cause.kind is CauseKind.DEPROVISIONED), None)


def reactivate_there(row: Row[Any], source: str) -> str:
    """What to do about somebody whom a source dropped, as a refusal says it."""
    return f"{row.display_name} was deprovisioned by {source}. Reactivate them there, or detach them from it."


def must_be_invitable(row: Row[Any]) -> None:
    """Raise NotAllowedNow for somebody whom no invitation brings back, with what does."""
    if source := deprovisioned_by(row):
        raise NotAllowedNow(reactivate_there(row, source))
    if CauseKind.DISABLED in kinds_of(row.causes):
        raise NotAllowedNow(f"{row.display_name} is disabled. Enable them instead.")


def source_name(tx: Tx, source_id: str) -> str:
    """What a source is called, also one that has ended."""
    query = select(sources.c.name).where(sources.c.org_id == tx.org_id, sources.c.id == source_id)
    return str(tx.conn.execute(query).scalar() or "a source that has ended")


# ------------------------------------------------------------------------------ many


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one of many; ``refusal`` None: it was done."""

    id: str
    refusal: Refusal | None = None


async def each(ids: Sequence[str], work: Callable[[Any], Awaitable[object]]) -> list[RowResult]:
    """Do the same to many, each in a transaction of its own, in order: a result per row.

    One that is refused changes nothing, and stops none of the others.
    """
    found: list[RowResult] = []
    for each_id in ids:
        try:
            await work(each_id)
        except Refusal as exc:
            found.append(RowResult(each_id, exc))
        else:
            found.append(RowResult(each_id))
    return found
