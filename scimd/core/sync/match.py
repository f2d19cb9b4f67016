"""Whose entry is this? The rules of matching, in order (docs/semantics.md).

(1) the SCIM id, which the door resolves before it asks; (2) the source's external id; (3) the
userName in the same source; (4) the keys by which the source joins others; (5) a local person by
sign-in address in a verified domain. Exactly one fit at the first rule that fits links. Several are
an item to decide, never a guess. Nothing here reads: candidates come in, a Match goes out.

A *candidate* is somebody who might be the one. *Detached* assertions (``history``) are no candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from scimd.core.people import Keys, PersonId

#: Within this time the same external id brings back the same person, with all that they had.
RETURN_WITHIN = timedelta(days=30)

Rule: TypeAlias = Literal["external_id", "user_name", "join", "address", "decided"]


@dataclass(frozen=True, slots=True)
class SameSource:
    """What the source itself asserted of somebody, and whether it still does.

    ``inactive``: nobody else keeps them active either. ``since``: when they left (dropped, deactivated,
    tombstoned); None while live and active.
    """

    person_id: PersonId
    external_id: str | None
    user_name_key: str
    live: bool
    active: bool
    inactive: bool = False
    tombstoned: bool = False
    since: datetime | None = None

    @property
    def here(self) -> bool:
        """Asserted now, and as active: a second one of them would be a double."""
        return self.live and self.active and not self.tombstoned


@dataclass(frozen=True, slots=True)
class OtherSource:
    """Somebody whom another source asserts, met by one of the declared joins."""

    person_id: PersonId
    join: str
    inactive: bool = False
    #: This source asserts them already, as another entry.
    taken: bool = False


@dataclass(frozen=True, slots=True)
class LocalPerson:
    """Somebody without a source who holds the entry's sign-in address."""

    person_id: PersonId
    privileged: bool
    address_verified: bool
    accepted: bool
    inactive: bool = False


@dataclass(frozen=True, slots=True)
class AddressHolder:
    """Who holds the entry's sign-in address. ``managed_by``: a source's name, None for a local person."""

    person_id: PersonId
    managed_by: str | None
    same_source: bool


@dataclass(frozen=True, slots=True)
class Candidates:
    same_source: tuple[SameSource, ...] = ()
    other_sources: tuple[OtherSource, ...] = ()
    local: tuple[LocalPerson, ...] = ()
    holder: AddressHolder | None = None
    #: An admin answered "link" when this entry collided, or could be several people, before.
    decided: PersonId | None = None


@dataclass(frozen=True, slots=True)
class MatchRules:
    join: tuple[str, ...]
    verified_domains: frozenset[str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Linked:
    """The entry is this person's.

    ``here``: the source asserts them now. ``returned``: they were gone or Inactive. ``keeps``: on
    return everything dormant comes back; else only what the directory gives, computed anew.
    """

    person_id: PersonId
    rule: Rule
    here: bool = False
    returned: bool = False
    keeps: bool = True


@dataclass(frozen=True, slots=True)
class New:
    """Nobody matches: a new person."""


@dataclass(frozen=True, slots=True)
class UserNameTaken:
    """Another entry of this source, with another external id, is asserted under this userName."""

    person_id: PersonId


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several fit at one rule. ``join``: by which of the source's joins, where that is the rule."""

    rule: Rule
    person_ids: tuple[PersonId, ...]
    join: str = ""


@dataclass(frozen=True, slots=True)
class Collides:
    """The sign-in address is somebody's whom no rule may link."""

    person_id: PersonId
    managed_by: str | None


Match: TypeAlias = Linked | New | UserNameTaken | Ambiguous | Collides


def identify(keys: Keys, candidates: Candidates, rules: MatchRules) -> Match:
    """Apply the rules in order. Candidates whom no key of the entry meets are passed over."""
    for found in (
        _by_external_id(keys, candidates, rules),
        _by_user_name(keys, candidates, rules),
        _by_decision(candidates),
        _by_joins(keys, candidates, rules),
        _local(keys, candidates, rules),
    ):
        if found is not None:
            return found
    holder = candidates.holder
    if holder is not None and not holder.same_source:
        return Collides(holder.person_id, holder.managed_by)
    return New()


def _by_external_id(keys: Keys, candidates: Candidates, rules: MatchRules) -> Match | None:
    if keys.external_id is None:
        return None
    fits = [
        each
        for each in candidates.same_source
        if each.external_id == keys.external_id and not (each.tombstoned and not _recent(each, rules))
    ]
    living = [each for each in fits if each.live and not each.tombstoned]
    return _one_of("external_id", living or _last_to_leave(fits), candidates, rules)


def _last_to_leave(gone: list[SameSource]) -> list[SameSource]:
    """An external id is the source's own name of one entry: of several who had it, the last one is meant."""
    left = [each.since for each in gone if each.since is not None]
    if len(left) < len(gone):
        return gone
    return [each for each in gone if each.since == max(left)]


def _by_user_name(keys: Keys, candidates: Candidates, rules: MatchRules) -> Match | None:
    """A tombstoned person comes back by the external id only, which is the rule before this one.

    Of whom another source keeps active, this source's name may be somebody else's by now.
    """
    named = [
        each
        for each in candidates.same_source
        if each.user_name_key == keys.user_name_key and not each.tombstoned
    ]
    fits = [
        each
        for each in named
        if keys.external_id is None or each.external_id is None or (each.inactive and not each.here)
    ]
    found = _one_of("user_name", [each for each in fits if each.live] or fits, candidates, rules)
    holders = [each for each in named if each.live]
    if found is None and holders:
        return UserNameTaken(holders[0].person_id)
    return found


def _one_of(rule: Rule, fits: list[SameSource], candidates: Candidates, rules: MatchRules) -> Match | None:
    fits = [each for each in fits if each.person_id == candidates.decided] or fits
    if len(fits) > 1:
        return Ambiguous(rule, tuple(sorted(each.person_id for each in fits)))
    if not fits:
        return None
    one = fits[0]
    keeps = one.here or (rule == "external_id" and _recent(one, rules))
    return Linked(one.person_id, rule, here=one.here, returned=not one.here, keeps=keeps)


def _recent(one: SameSource, rules: MatchRules) -> bool:
    return one.since is None or rules.now - one.since <= RETURN_WITHIN


def _by_decision(candidates: Candidates) -> Match | None:
    return Linked(candidates.decided, "decided") if candidates.decided else None


def _by_joins(keys: Keys, candidates: Candidates, rules: MatchRules) -> Match | None:
    for join in rules.join:
        if join == "mail" and not _verified(keys, rules):
            continue
        met = [each for each in candidates.other_sources if each.join == join and not each.taken]
        people = sorted({each.person_id for each in met})
        if len(people) > 1:
            return Ambiguous("join", tuple(people), join)
        if people:
            inactive = any(each.inactive for each in met)
            return Linked(people[0], "join", returned=inactive, keeps=not inactive)
    return None


def _local(keys: Keys, candidates: Candidates, rules: MatchRules) -> Match | None:
    if not _verified(keys, rules):
        return None
    fits = [each for each in candidates.local if may_link(each)]
    if len(fits) > 1:
        return Ambiguous("address", tuple(sorted(each.person_id for each in fits)))
    if not fits:
        return None
    inactive = fits[0].inactive
    return Linked(fits[0].person_id, "address", returned=inactive, keeps=not inactive)


def may_link(person: LocalPerson) -> bool:
    """Whether a source may take over this local person, given that it names them by their address.

    Nobody privileged: a directory must not take over an admin. And nobody who came in without ever
    proving the address: it may be another's.
    """
    return not person.privileged and (person.address_verified or not person.accepted)


def _verified(keys: Keys, rules: MatchRules) -> bool:
    return bool(keys.sign_in_key) and str(keys.sign_in_key).rpartition("@")[2] in rules.verified_domains


# ------------------------------------------------------------------------------ names that move


def losers(
    wanted: Mapping[PersonId, str | None],
    held: Mapping[PersonId, str | None],
    others: Mapping[str, PersonId],
    order: Iterable[PersonId],
) -> set[PersonId]:
    """Who cannot have the key that they want when all of ``wanted`` is written as one.

    ``held``: the keys of the same people before. ``others``: holders who are not among them. Names
    may swap and ring. Of two who want one key, whoever holds it already has it, else the first in
    ``order``. A loser keeps the old key, which may make another one lose.
    """
    lost: set[PersonId] = set()
    ranked = list(order)
    while True:
        final: dict[str, PersonId] = dict(others)
        for person in sorted(ranked, key=lambda p: not (p in lost or held.get(p) == wanted[p])):
            key = held.get(person) if person in lost else wanted[person]
            if key is not None:
                final.setdefault(key, person)
        more = {
            person
            for person in ranked
            if person not in lost and (key := wanted[person]) is not None and final[key] != person
        }
        if not more:
            return lost
        lost |= more
