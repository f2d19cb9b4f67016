"""What would become of the people of a plan: their seats, their invitations, and who owns them.

Worked out beside what is stored, as a preview of rules is (decision 37): the facts of each as the change
would leave them are handed to the same pure standing, and what follows of it to what opens invitations.
A portion at a time, so that no reader is held for long. Of somebody new nothing is read but whose their
address is; entries that change neither address nor activity nor values of rules are not looked at.

What a body of the door finds out only as it writes is not foreseen: an approval that lapsed or survived
while somebody was away for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Row, select

from scimd.core.facts import AssertionFact, Facts, MembershipFact, ValueFact
from scimd.core.people import GroupId, Keys, PersonId, SourceId, keys_of
from scimd.core.resource import unpack
from scimd.core.roles import VALUED_BY
from scimd.core.standing import Standing
from scimd.core.sync.found import PersonFound, addresses
from scimd.core.sync.policy import Situation
from scimd.core.sync.seat_figures import seat_move
from scimd.db.among import among
from scimd.db.tables import assertions, people
from scimd.org.grants import bindings
from scimd.org.invitations import invitation_upkeep
from scimd.org.organizations import domains
from scimd.org.rulebook import RuleBook, SourceBook
from scimd.org.settling import arrivals
from scimd.org.settling.facts import Loaded, gather, people_rows
from scimd.org.sources.rule_previews import Looked
from scimd.org.tx import Context, Door

_AT_ONCE = 500


class Around(NamedTuple):
    """A group of the read in which somebody would be; ``group_id`` None: it is new."""

    group_id: GroupId | None
    external_id: str
    name: str


#: The groups in which each of these people would be, by external id.
GroupsAround: TypeAlias = Callable[[set[str]], Mapping[str, Sequence[Around]]]


async def foresee(
    door: Door, ctx: Context, found: Sequence[PersonFound], around: GroupsAround
) -> list[PersonFound]:
    """The same findings, with what would become of seats and invitations, and of name and address where
    the person's owner changes or they return.
    """
    concerned = sorted(
        (n for n, one in enumerate(found) if _is_concerned(one)), key=lambda n: found[n].person_id is None
    )
    book = await door.read(lambda conn: door.books.seen(conn, ctx.org_id))
    look = _Look(book, book.source(ctx.source_id), _given_up(found))
    if concerned and _may_lack_a_project(book):
        ids = {external_id for n in concerned if (external_id := found[n].external_id) is not None}
        groups = around(ids)
        await door.read(lambda conn: look.learn(conn, groups))
    seen = list(found)
    for first in range(0, len(concerned), _AT_ONCE):
        portion = concerned[first : first + _AT_ONCE]
        many = [found[n] for n in portion]
        for n, one in zip(portion, await door.read(partial(look.at, many=many)), strict=True):
            seen[n] = one
    return seen


def _is_concerned(one: PersonFound) -> bool:
    if one.arrives:
        return one.keys is not None and (one.comes or one.person_id is not None)
    if one.leaves or one.turns_active:
        return True
    return one.situation is Situation.LINKED_CHANGED and bool(one.has or one.loses or _new_address(one))


def _new_address(one: PersonFound) -> bool:
    """Whether an entry that is known has another sign-in address than before."""
    key = one.keys.sign_in_key if one.keys else None
    return key is None or bool(addresses((*one.gives_up, *one.takes)))


def _given_up(found: Sequence[PersonFound]) -> frozenset[tuple[PersonId, str]]:
    """The addresses that people who stay let go of, with whose they are."""
    return frozenset(
        (one.person_id, key)
        for one in found
        if one.situation is Situation.LINKED_CHANGED and one.person_id is not None
        for key in addresses(one.gives_up)
    )


def _may_lack_a_project(book: RuleBook) -> bool:
    """Whether somebody whom no group gives a project could have none: else groups decide no seat."""
    rules = book.rules
    default = rules.default_project
    return default is None or default in rules.archived_projects or ("project", default) in rules.limited


class _Profile(NamedTuple):
    """Name and sign-in address, as the owner has them."""

    name: str
    address: str | None
    key: str | None


_NOBODYS = _Profile("", None, None)


def _profile_of(keys: Keys) -> _Profile:
    return _Profile(keys.display_name, keys.sign_in_address, keys.sign_in_key)


@dataclass(slots=True)
class _Ahead:
    """One person, as the plan would leave them."""

    found: PersonFound
    row: Row[Any] | None
    facts: Facts
    after: Standing
    profile: _Profile = _NOBODYS


class _Look:
    """At one plan."""

    def __init__(self, book: RuleBook, source: SourceBook, given_up: frozenset[tuple[PersonId, str]]) -> None:
        self._book, self._source = book, source
        self._given_up = given_up
        #: The addresses that earlier ones of this plan would have.
        self._taken: set[str] = set()
        self._memberships: Mapping[str, tuple[MembershipFact, ...]] | None = None

    def learn(self, conn: Connection, around: Mapping[str, Sequence[Around]]) -> None:
        """What the groups of the read would give to whom."""
        groups = {group for many in around.values() for group in many}
        called = {group: group.group_id or GroupId(f"a new group {group.external_id}") for group in groups}
        things = Looked(conn, self._book.org_id)
        wanted = [(called[group], group.external_id, group.name) for group in sorted(groups, key=str)]
        given = dict(bindings.would_give(conn, self._book.org_id, self._source, things, wanted))
        self._memberships = {
            external_id: tuple(
                MembershipFact(self._source.id, called[group], group.name, (), tuple(given[called[group]]))
                for group in many
            )
            for external_id, many in around.items()
        }

    def at(self, conn: Connection, *, many: Sequence[PersonFound]) -> list[PersonFound]:
        """These people, with what would become of them, in the same order."""
        ids = [one.person_id for one in many if one.person_id is not None]
        loaded = gather(conn, self._book, people_rows(conn, self._book.org_id, ids))
        ahead = [self._decided(one, loaded) for one in many]
        self._follow(conn, ahead)
        return [self._told(one, loaded) for one in ahead]

    # -------------------------------------------------------------------------- facts

    def _decided(self, one: PersonFound, loaded: Loaded) -> _Ahead:
        row = loaded.rows.get(one.person_id) if one.person_id else None
        stored = loaded.facts[one.person_id] if row is not None and one.person_id else None
        facts = replace(self._facts(one, stored), has_address=True)
        return _Ahead(one, row, facts, self._book.standing(facts))

    def _facts(self, one: PersonFound, stored: Facts | None) -> Facts:
        facts = stored or Facts(approved=not self._book.rules.approval_required)
        others = [each for each in facts.assertions if each.source_id != self._source.id]
        if one.dropped or one.keys is None:
            own = [each for each in facts.assertions if each.source_id == self._source.id]
            gone = [replace(each, state="gone") for each in own]
            return replace(facts, assertions=(*others, *gone))
        keys = one.keys
        if one.situation is Situation.RETURNED and not one.keeps:
            # As ``returning.begin_anew`` has it.
            facts = replace(facts, accepted=False, welcome="invitation", invitation="none", grants=())
            facts = replace(facts, approved=not self._book.rules.approval_required)
        arrives = one.arrives and arrivals.approved(self._book, self._source, keys)
        lifted = self._source.id if keys.active else None
        return replace(
            facts,
            assertions=(*others, AssertionFact(self._source.id, keys.active)),
            approved=facts.approved or arrives,
            reinstated=tuple(each for each in facts.reinstated if each.source_id != lifted),
            values=(
                *(each for each in facts.values if each.source_id != self._source.id),
                *self._has(one),
            ),
            memberships=self._in_groups(one, facts),
        )

    def _has(self, one: PersonFound) -> Iterator[ValueFact]:
        for (attribute, value), known in self._source.value_effects.items():
            if (VALUED_BY[attribute], value) in one.has:
                yield ValueFact(self._source.id, attribute, *known)

    def _in_groups(self, one: PersonFound, facts: Facts) -> tuple[MembershipFact, ...]:
        if self._memberships is None or one.external_id is None:
            return facts.memberships
        others = (each for each in facts.memberships if each.source_id != self._source.id)
        return (*others, *self._memberships.get(one.external_id, ()))

    # -------------------------------------------------------------------------- name and address

    def _follow(self, conn: Connection, many: Sequence[_Ahead]) -> None:
        """Who has which name and address then; without one, they are decided anew."""
        elsewhere = self._elsewhere(conn, many)
        for each in many:
            each.profile = self._profile(each, elsewhere)
        held = self._held(conn, many)
        for each in many:
            key = each.profile.key
            if key is None or (each.row is not None and key == each.row.sign_in_key):
                has = key is not None
            else:
                has = key not in self._taken and not held.get(key, set()) - {each.found.person_id}
                self._taken.add(key)
            if not has:
                each.profile = _Profile(each.profile.name, None, None)
                each.facts = replace(each.facts, has_address=False)
                each.after = self._book.standing(each.facts)

    def _profile(self, each: _Ahead, elsewhere: Mapping[tuple[str, str], Keys]) -> _Profile:
        row, owner, keys = each.row, each.after.owner, each.found.keys
        stored = _Profile(row.display_name, row.sign_in_address, row.sign_in_key) if row else None
        if owner == self._source.id and keys is not None:
            own = _profile_of(keys)
            if stored is None or row is None or stored.key is None:
                return own
            # As ``profiles`` keeps it: linking writes no address, nor does an entry with that of before.
            kept = (
                row.owner_source_id is None
                if each.found.situation is Situation.MATCHES_UNLINKED
                else row.owner_source_id == owner and not _new_address(each.found) and each.found.keeps
            )
            return _Profile(own.name, stored.address, stored.key) if kept else own
        if owner is not None and row is not None and owner != row.owner_source_id:
            found = elsewhere.get((row.id, owner))
            return _profile_of(found) if found else stored or _NOBODYS
        return stored or _NOBODYS

    def _elsewhere(self, conn: Connection, many: Sequence[_Ahead]) -> dict[tuple[str, str], Keys]:
        """What other sources say of those who become theirs."""
        moving = [
            each.row.id
            for each in many
            if each.row is not None
            and each.after.owner not in (None, self._source.id, each.row.owner_source_id)
        ]
        column = assertions.c
        query = select(column.person_id, column.source_id, column.document).where(
            column.org_id == self._book.org_id,
            column.source_id != self._source.id,
            among(conn, column.person_id, moving),
        )
        rows = conn.execute(query).all() if moving else []
        return {(row.person_id, row.source_id): keys_of(unpack(row.document)) for row in rows}

    def _held(self, conn: Connection, many: Sequence[_Ahead]) -> dict[str, set[str | None]]:
        """By address: who keeps it, or None for another organization, which has its domain."""
        keys = sorted({each.profile.key for each in many if each.profile.key is not None})
        if not keys:
            return {}
        column = people.c
        query = select(column.id, column.sign_in_key).where(
            column.org_id == self._book.org_id,
            column.deleted_at.is_(None),
            among(conn, column.sign_in_key, keys),
        )
        held: dict[str, set[str | None]] = {}
        for row in conn.execute(query):
            if (row.id, row.sign_in_key) not in self._given_up:
                held.setdefault(row.sign_in_key, set()).add(row.id)
        closed = domains.anothers(conn, self._book.org_id, {domains.of_address(key) for key in keys})
        for key in keys:
            if closed and domains.of_address(key) in closed:
                held.setdefault(key, set()).add("another organization")
        return held

    # -------------------------------------------------------------------------- what is told

    def _told(self, each: _Ahead, loaded: Loaded) -> PersonFound:
        row, after = each.row, each.after
        holds, wanted = (row.has_seat, row.wants_seat) if row else (False, False)
        still_waits = wanted and not holds and after.wants_seat
        old, new = self._moves(each)
        return replace(
            each.found,
            seat=seat_move(holds=holds, wanted=wanted, wants=after.wants_seat),
            wants_mail=not still_waits and self._is_invited(each, loaded),
            old=old,
            new=new,
        )

    def _is_invited(self, each: _Ahead, loaded: Loaded) -> bool:
        row, owner = each.row, each.after.owner
        source = self._book.rules.sources.get(SourceId(owner)) if owner else None
        person_id = PersonId(row.id) if row else PersonId("")
        settled = row is not None and row.rules_version
        follow_up = invitation_upkeep.FollowUp(
            person_id=person_id,
            address=each.profile.address,
            display_name=each.profile.name,
            source_id=source.id if source else None,
            source_state=source.state if source else None,
            invite=source.invite if source else "immediate",
            before=invitation_upkeep.Before(row.status, row.has_seat) if row and settled else None,
            after=self._book.standing(replace(each.facts, has_seat=each.after.wants_seat)),
        )
        return invitation_upkeep.is_invited(follow_up, loaded.pending.get(person_id))

    def _moves(self, each: _Ahead) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Old and new values, with name and address where these become another source's, or come back."""
        found, row = each.found, each.row
        returns = found.situation is Situation.RETURNED
        if row is None or not (returns or each.after.owner != row.owner_source_id):
            return found.old, found.new
        old, new = dict(found.old or {}), dict(found.new or {})
        if returns and found.keys is not None:
            old["active"], new["active"] = False, found.keys.active
        for path, before, after in (
            ("displayName", row.display_name, each.profile.name),
            ("signInAddress", row.sign_in_address, each.profile.address),
        ):
            if before != after:
                old[path], new[path] = before, after
        return old or None, new or None
