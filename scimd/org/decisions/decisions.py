"""Items to decide: what scimd does not guess, put as a question with its answers and their effects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, Select, func, select, update

from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import DecisionId, OrgId, SourceId, fold
from scimd.db import last_changed
from scimd.db.among import among
from scimd.db.locks import insert_ignore
from scimd.db.tables import decisions
from scimd.org.tx import Context, Door, Tx
from scimd.org.windows import Slice, Window, cut, narrowed

DecisionKind = Literal["collision", "ambiguous", "return", "shared_address", "group_name", "link"]
State = Literal["open", "answered", "moot"]
KINDS: frozenset[DecisionKind] = frozenset(get_args(DecisionKind))
#: Whoever holds one of these sees questions: ``seen_with`` says which.
SEEING = ("users.read", "users.manage", "projects.manage")


def needed_for(kind: DecisionKind) -> str:
    """The permission to answer such a question."""
    return "projects.manage" if kind == "group_name" else "users.manage"


def seen_with(held: Collection[str]) -> frozenset[DecisionKind]:
    """Which kinds of questions whoever holds these permissions sees: whoever may answer one sees it."""
    return KINDS if "users.read" in held else frozenset(kind for kind in KINDS if needed_for(kind) in held)


@dataclass(frozen=True, slots=True)
class Option:
    """One answer: the word that gives it, what the button says, what it will do."""

    answer: str
    label: str
    effect: str


@dataclass(frozen=True, slots=True)
class NewDecision:
    """``subject`` names what is in question: while an item on it is open there is no second one."""

    kind: DecisionKind
    subject: str
    question: str
    options: tuple[Option, ...]
    facts: Mapping[str, Any]
    source_id: SourceId | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    org_id: OrgId
    id: DecisionId
    kind: DecisionKind
    subject: str
    question: str
    options: tuple[Option, ...]
    facts: Mapping[str, Any]
    source_id: SourceId | None
    state: State
    answer: str | None
    answered_by: str | None
    opened_at: datetime
    answered_at: datetime | None


def open_item(tx: Tx, new: NewDecision) -> DecisionId:
    """Put the question, or find the open item that puts it already."""
    decision_id = DecisionId(tx.new_id())
    made = tx.conn.execute(
        insert_ignore(tx.conn, decisions)
        .values(
            org_id=tx.org_id,
            id=decision_id,
            kind=new.kind,
            subject=new.subject,
            question=new.question,
            options=[
                {"answer": option.answer, "label": option.label, "effect": option.effect}
                for option in new.options
            ],
            facts=dict(new.facts),
            source_id=new.source_id,
            state="open",
            opened_at=tx.now,
        )
        .returning(decisions.c.id)
    ).first()
    if made is None:
        return _open_one(tx, new)
    after = {"kind": new.kind, "subject": new.subject, "question": new.question}
    tx.record(Event(EventKind.DECISION_OPENED, "decision", decision_id, after=after))
    return decision_id


def _open_one(tx: Tx, new: NewDecision) -> DecisionId:
    found = tx.conn.execute(
        select(decisions.c.id).where(
            decisions.c.org_id == tx.org_id,
            decisions.c.kind == new.kind,
            decisions.c.subject == new.subject,
            decisions.c.state == "open",
        )
    ).scalar_one()
    return DecisionId(found)


def answered(
    conn: Connection, org_id: OrgId, kind: DecisionKind, subjects: Sequence[str]
) -> dict[str, tuple[DecisionId, str, Mapping[str, Any]]]:
    """The newest answers on these subjects: (item, answer, facts) by subject."""
    if not subjects:
        return {}
    rows = conn.execute(
        select(decisions.c.subject, decisions.c.id, decisions.c.answer, decisions.c.facts)
        .where(
            decisions.c.org_id == org_id,
            decisions.c.kind == kind,
            decisions.c.subject.in_(subjects),
            decisions.c.state == "answered",
        )
        .order_by(decisions.c.answered_at)
    )
    return {row.subject: (DecisionId(row.id), row.answer, row.facts) for row in rows}


def person_meant(answer: str, facts: Mapping[str, Any]) -> str | None:
    """Whom an answer calls the same person, ``link`` or ``link:ID``; None for any other answer."""
    word, _, person_id = answer.partition(":")
    return (person_id or facts.get("person_id")) if word == "link" else None


def subject_of(source_id: SourceId, entry: str) -> str:
    """What a link by hand of a source's entry is about: external ids and userNames, whatever their case."""
    return f"{source_id} {fold(entry)}"


def subjects_of(source_id: SourceId, entry: str) -> set[str]:
    """What items about a source's entry may be about: questions, by an external id as it was sent
    (``org.identities.decided``), and links by hand."""
    return {f"{source_id} {entry}", subject_of(source_id, entry)}


def answer_ahead(tx: Tx, new: NewDecision, wanted: str) -> None:
    """Keep an answer to what was not asked yet."""
    tx.conn.execute(
        decisions.insert().values(
            org_id=tx.org_id,
            id=tx.new_id(),
            kind=new.kind,
            subject=new.subject,
            question=new.question,
            options=[],
            facts=dict(new.facts),
            source_id=new.source_id,
            state="answered",
            answer=wanted,
            answered_by=tx.ctx.actor.name,
            opened_at=tx.now,
            answered_at=tx.now,
        )
    )


def close_moot(tx: Tx, why: Mapping[DecisionId, str], *, also_answered: bool = False) -> set[DecisionId]:
    """Close those of these items that are still open, for their question no longer stands; gives these.

    ``also_answered``: those too that have an answer, which no longer counts.
    """
    if not why:
        return set()
    states = ("open", "answered") if also_answered else ("open",)
    closed = tx.conn.execute(
        update(decisions)
        .where(
            decisions.c.org_id == tx.org_id,
            among(tx.conn, decisions.c.id, sorted(why)),
            decisions.c.state.in_(states),
        )
        .values(state="moot", answered_at=func.coalesce(decisions.c.answered_at, tx.now))
        .returning(decisions.c.id, decisions.c.kind, decisions.c.subject)
    ).all()
    for row in sorted(closed, key=lambda row: row.id):
        after = {"kind": row.kind, "subject": row.subject}
        tx.record(Event(EventKind.DECISION_CLOSED, "decision", row.id, after=after, note=why[row.id]))
    return {DecisionId(row.id) for row in closed}


# ------------------------------------------------------------------------------ reads


def _record(row: Row[Any]) -> DecisionRecord:
    return DecisionRecord(
        org_id=OrgId(row.org_id),
        id=DecisionId(row.id),
        kind=row.kind,
        subject=row.subject,
        question=row.question,
        options=tuple(Option(**option) for option in row.options),
        facts=row.facts,
        source_id=SourceId(row.source_id) if row.source_id else None,
        state=row.state,
        answer=row.answer,
        answered_by=row.answered_by,
        opened_at=row.opened_at,
        answered_at=row.answered_at,
    )


async def list_decisions(
    door: Door,
    org_id: OrgId,
    *,
    state: State | None = "open",
    kinds: Collection[DecisionKind] = KINDS,
    limit: int = 50,
    after: str | None = None,
) -> list[DecisionRecord]:
    """Items of that state (None: all), the newest first; ``after`` is the id of the last one seen."""
    query = narrowed(_of(org_id, kinds), (decisions.c.state, state))
    if after is not None:
        query = query.where(decisions.c.id < after)
    query = query.order_by(decisions.c.id.desc()).limit(limit)
    return await door.read(lambda conn: [_record(row) for row in conn.execute(query)])


def _of(org_id: OrgId, kinds: Collection[DecisionKind]) -> Select[Any]:
    query = select(decisions).where(decisions.c.org_id == org_id)
    return query if kinds == KINDS else query.where(decisions.c.kind.in_(sorted(kinds)))


async def count_open(door: Door, org_id: OrgId, kinds: Collection[DecisionKind] = KINDS) -> int:
    """How many of these kinds wait for an answer."""
    query = _of(org_id, kinds).where(decisions.c.state == "open").with_only_columns(func.count())
    return await door.read(lambda conn: int(conn.execute(query).scalar_one()))


async def window(
    door: Door,
    org_id: OrgId,
    part: Window,
    *,
    state: State | None = None,
    kind: DecisionKind | None = None,
    kinds: Collection[DecisionKind] = KINDS,
) -> Slice[DecisionRecord]:
    """Items by the time at which they were opened."""
    query = narrowed(_of(org_id, kinds), (decisions.c.state, state), (decisions.c.kind, kind))
    return await door.read(lambda conn: cut(conn, query, part, {}, decisions.c.id).map(_record))


async def get(
    door: Door, org_id: OrgId, decision_id: DecisionId, kinds: Collection[DecisionKind] = KINDS
) -> DecisionRecord:
    """Raises NotFound, also for one of another kind."""
    return await door.read(lambda conn: _get(conn, org_id, decision_id, kinds))


def _get(
    conn: Connection, org_id: OrgId, decision_id: DecisionId, kinds: Collection[DecisionKind] = KINDS
) -> DecisionRecord:
    row = conn.execute(_of(org_id, kinds).where(decisions.c.id == decision_id)).first()
    if row is None:
        raise NotFound("decision", decision_id)
    return _record(row)


# ------------------------------------------------------------------------------ answering


async def answer(door: Door, ctx: Context, decision_id: DecisionId, wanted: str) -> DecisionRecord:
    """Answer an open item and do what the answer means, in one transaction.

    Raises NotFound, InvalidValue for a word that is none of the answers, NotAllowedNow where somebody
    answered before, Forbidden, and whatever the effect refuses; then the item stays open.
    """
    # What an answer does is done by modules that ask questions themselves, and so import this one.
    from scimd.org.decisions import answers

    def body(tx: Tx) -> DecisionRecord:
        item = _get(tx.conn, tx.org_id, decision_id)
        offered = [option.answer for option in item.options]
        if wanted not in offered:
            raise InvalidValue("answer", f"must be one of {', '.join(offered)}")
        _close(tx, item, wanted)
        answers.perform(tx, item, wanted)
        return _get(tx.conn, tx.org_id, decision_id)

    return await door.run(ctx, body)


def _close(tx: Tx, item: DecisionRecord, wanted: str) -> None:
    """Answer by one conditional UPDATE: of two who answer at once, one wins.

    It is later than all answers on the subject, also where one was given while the clock was ahead.
    """
    column = decisions.c
    before = select(func.max(column.answered_at)).where(
        column.org_id == tx.org_id,
        column.kind == item.kind,
        column.subject == item.subject,
        column.state == "answered",
    )
    at = last_changed.after(tx.conn.execute(before).scalar(), tx.now)
    won = tx.conn.execute(
        update(decisions)
        .where(column.org_id == tx.org_id, column.id == item.id, column.state == "open")
        .values(state="answered", answer=wanted, answered_by=tx.ctx.actor.name, answered_at=at)
    )
    if won.rowcount != 1:
        if item.state == "moot":
            raise NotAllowedNow("This is no longer in question: what it was about has changed since.")
        raise NotAllowedNow(f"This was {item.state} already{f': {item.answer}' if item.answer else ''}.")
    after = {"kind": item.kind, "subject": item.subject, "answer": wanted}
    tx.record(Event(EventKind.DECISION_ANSWERED, "decision", item.id, after=after))
