"""Finding out whose the entries are, inside a body: load, judge, lock, and ask where nobody may guess."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, assert_never

from sqlalchemy import Row

from scimd.core.errors import NotFound, NotUnique
from scimd.core.people import PersonId, local_user_name
from scimd.core.sync.match import (
    RETURN_WITHIN,
    Ambiguous,
    Candidates,
    Collides,
    Linked,
    Match,
    New,
    UserNameTaken,
)
from scimd.db.engine import LostRace
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import NewDecision, Option
from scimd.org.identities import candidates, decided
from scimd.org.identities.candidates import Near
from scimd.org.rulebook import SourceBook
from scimd.org.tx import Tx
from scimd.org.users.incoming import Work


def find_people(
    tx: Tx, source: SourceBook, rows: Sequence[Work], *, fresh: bool, stored: Sequence[Row[Any]] = ()
) -> Near:
    """Give each row its person, its stored assertion and how it came to them, or a refusal.

    ``fresh``: the caller creates (SCIM POST), so that an entry which is asserted already is a double.
    ``stored``: what the caller has loaded of these people by ``candidates.of_person``, locked.
    Locks the people who were found, in the order of their ids.
    """
    found = Near()
    unknown = [row for row in rows if row.person_id is None]
    if unknown:
        if fresh and len(unknown) == len(rows):
            _look_first(tx, source, rows)
        if not all(row.survey and not row.survey.near for row in rows):
            found = candidates.near(tx.conn, tx.org_id, source.id, [row.entry for row in rows])
        if _are_new(tx, source, unknown):
            tx.free_addresses.update(
                row.keys.sign_in_key for row in unknown if row.keys.sign_in_key and _is_open(row)
            )
        else:
            named = {row.person_id for row in rows if row.person_id is not None}
            _identify(tx, source, unknown, found, named, fresh=fresh)
    _only_once(rows)
    known = [row for row in rows if row.person_id is not None and row.refusal is None]
    if known:
        before, found = found, _lock(tx, source, rows, known, stored)
        _attach(tx, known, before, found)
    new = [row for row in rows if row.person_id is None and row.refusal is None]
    # In the order in which they came, as those whom other bodies make.
    for row, made in zip(new, sorted(tx.new_id() for _ in new), strict=True):
        row.person_id = PersonId(made)
    return found


def _look_first(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> None:
    for row in rows:
        row.local_name = local_user_name(row.keys.user_name, frozenset())
    entries, local_names = [row.keys for row in rows], [row.local_name for row in rows]
    survey = candidates.survey(tx.conn, tx.org_id, source.id, entries, local_names)
    named = (keys.external_id for keys in entries)
    tx.looked_for(source.id, survey.unknown_named, (name for name in named if name is not None))
    for row in rows:
        row.survey = survey


def _are_new(tx: Tx, source: SourceBook, rows: Sequence[Work]) -> bool:
    """Whether nobody could be the person of any of them, as the one look said."""
    if source.has_links or (source.join and len(tx.book.sources) > 1):
        return False
    return all(row.survey and not (row.survey.near or row.survey.address_held) for row in rows)


def _is_open(row: Work) -> bool:
    """Whether it is known that no other organization has proven the domain of its address."""
    return row.survey is not None and not row.survey.closed


def _identify(
    tx: Tx,
    source: SourceBook,
    rows: Sequence[Work],
    found: Near,
    named: Collection[PersonId],
    *,
    fresh: bool,
) -> None:
    """``named``: whom other entries of the call are, so that these are not. Nor are they whom another
    entry of the call is by its external id, and calls otherwise now.
    """
    rules = candidates.match_rules(tx.book, source, tx.now)
    unheld = all(row.survey and not row.survey.address_held for row in rows)
    gathered = candidates.gather(tx.conn, tx.book, source, [row.entry for row in rows], found, unheld=unheld)
    matches = decided.judged(tx.conn, tx.org_id, source, [row.keys for row in rows], gathered, rules)
    back = {
        match.person_id: row.keys.user_name_key
        for row, match in zip(rows, matches, strict=True)
        if isinstance(match, Linked) and match.rule == "external_id"
    }
    for row, match, each in zip(rows, matches, gathered, strict=True):
        name = row.keys.user_name_key
        if (
            isinstance(match, Linked)
            and match.rule == "user_name"
            and (match.person_id in named or back.get(match.person_id, name) != name)
        ):
            match = UserNameTaken(match.person_id)
        _take(tx, source, row, match, each, fresh=fresh)


def _take(
    tx: Tx, source: SourceBook, row: Work, match: Match, candidates_: Candidates, *, fresh: bool
) -> None:
    match match:
        case New():
            if candidates_.holder is None and row.keys.sign_in_key is not None and _is_open(row):
                tx.free_addresses.add(row.keys.sign_in_key)
        case Linked() if match.here and fresh:
            known = next(each for each in candidates_.same_source if each.person_id == match.person_id)
            doubled = known.user_name_key == row.keys.user_name_key
            name = "userName" if doubled else "externalId"
            value = row.keys.user_name if doubled else str(row.keys.external_id)
            row.refuse(NotUnique(name, value, holder=f"the user {match.person_id}"))
        case Linked():
            row.person_id, row.keeps = match.person_id, match.keeps
            row.outcome = "returned" if match.returned else "updated" if match.here else "linked"
        case UserNameTaken():
            # The holder may be giving the name away in this very batch: the contest of names says.
            return
        case Collides() | Ambiguous():
            _ask(tx, source, row, match)
        case other:
            assert_never(other)


def _only_once(rows: Sequence[Work]) -> None:
    """Two entries of one call cannot be one person: the first is."""
    seen: set[PersonId] = set()
    for row in rows:
        if row.person_id is None or row.refusal is not None:
            continue
        if row.person_id in seen:
            row.refuse(NotUnique("externalId", row.keys.external_id or row.keys.user_name))
        seen.add(row.person_id)


# ------------------------------------------------------------------------------ asking


def _ask(tx: Tx, source: SourceBook, row: Work, match: Collides | Ambiguous) -> None:
    """An item to decide, one however often the entry comes; the entry waits."""
    keys = row.keys
    who = f"{source.name} brings {keys.display_name} ({keys.sign_in_address or keys.user_name})"
    if isinstance(match, Collides):
        holder = match.managed_by or "an account of scimd's own"
        person_ids: tuple[PersonId, ...] = (match.person_id,)
        question = f"{who}. That address is in use by {holder}. Is it the same person?"
    else:
        holder, person_ids = "several people", match.person_ids
        question = f"{who}, who may be any of {len(person_ids)} people. Who is it?"
    options = (*_links(person_ids), _SEPARATE)
    item = decisions.open_item(
        tx,
        NewDecision(
            kind="collision" if isinstance(match, Collides) else "ambiguous",
            subject=decided.subject(source, row.keys),
            question=question,
            options=options,
            facts={
                "person_id": person_ids[0],
                "person_ids": person_ids,
                "user_name": keys.user_name,
                "external_id": keys.external_id,
                "address": keys.sign_in_address,
                "managed_by": holder,
            },
            source_id=source.id,
        ),
    )
    attribute, value = _met_by(row, match)
    row.refuse(NotUnique(attribute, value, holder=holder, decision_id=item), item)


def _met_by(row: Work, match: Collides | Ambiguous) -> tuple[str, str]:
    """The attribute that met somebody, and what the entry says in it."""
    keys = row.keys
    rule = match.join or match.rule if isinstance(match, Ambiguous) else "address"
    match rule:
        case "external_id":
            return "externalId", keys.external_id or ""
        case "employeeNumber":
            return "employeeNumber", keys.employee_number_key or ""
        case "address" | "mail" if row.wish.document.get("emails"):
            return "emails", keys.sign_in_address or ""
        case _:
            return "userName", keys.user_name


_SEPARATE = Option("separate", "Somebody else", "The entry waits until its address or name is another.")


def _links(person_ids: Sequence[PersonId]) -> list[Option]:
    if len(person_ids) == 1:
        return [Option("link", "The same person", "Links the entry to that person.")]
    return [
        Option(f"link:{person_id}", f"It is {person_id}", f"Links the entry to {person_id}.")
        for person_id in person_ids
    ]


# ------------------------------------------------------------------------------ locking


def _lock(
    tx: Tx, source: SourceBook, rows: Sequence[Work], known: Sequence[Work], stored: Sequence[Row[Any]]
) -> Near:
    """Lock the people, then look again: what another transaction changed meanwhile is seen."""
    ids = sorted({row.id for row in known})
    if not tx.locked.issuperset(ids):
        tx.locked.update(candidates.LOCK.column(tx.conn, {"org_id": tx.org_id, "keys": ids}))
    for row in known:
        if row.id not in tx.locked:
            row.refuse(NotFound("user", row.id))
    return candidates.near(tx.conn, tx.org_id, source.id, [row.entry for row in rows], stored)


def _attach(tx: Tx, known: Sequence[Work], before: Near, found: Near) -> None:
    """``before``: what was stored when it was judged whose the entries are, ``found``: under the locks."""
    for row in known:
        if row.refusal is not None:
            continue
        old = found.by_person.get(row.id)
        matched = row.wish.person_id is None
        row.met(old)
        if matched and row.outcome == "updated" and not row.was_live:
            raise LostRace  # they went while we looked
        was = before.by_person.get(row.id)
        # Who is met by none of the source's own names may have left it under others, and was not looked at.
        if matched and row.outcome != "updated" and (was or row.was_live) and _stood(was) != _stood(old):
            raise LostRace  # they came, or came back, while we looked
        if not matched:
            _judge(tx, row)


def _stood(row: Row[Any] | None) -> tuple[Any, ...]:
    """What matching goes by of somebody who may come back, or come to the source."""
    if row is None:
        return ()
    return (row.state, row.active, row.status, row.deleted_at, row.external_id, row.user_name_key)


def _judge(tx: Tx, row: Work) -> None:
    """How an entry whose person the caller names comes to them."""
    old = row.old
    if old is None or old.state == "history":
        row.outcome = "linked"
    elif row.was_live:
        anew = _is_somebody_else(row, old)
        row.outcome, row.keeps = ("returned", False) if anew else ("updated", True)
    else:
        row.outcome = "returned"
        left = old.deleted_at or old.gone_at
        same = old.external_id is not None and old.external_id == row.keys.external_id
        row.keeps = row.wish.link or (same and (left is None or tx.now - left <= RETURN_WITHIN))


def _is_somebody_else(row: Work, old: Row[Any]) -> bool:
    """Whether an Inactive person's name may be another's by now: a provider that found it there, and writes
    its own external id, does by PUT or PATCH what POST would do.
    """
    if old.active or old.status != "inactive" or row.wish.link:
        return False
    return None not in (old.external_id, row.keys.external_id) and old.external_id != row.keys.external_id
