"""From directory entries to findings: who each one is, and what differs (docs/semantics.md).

Page by page, so that only what changed is kept. An entry whose digest is stored is counted, and no
more is known of it, unless the run is a full one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from scimd.connector_api import BadEntry, DirectoryUser
from scimd.core.errors import Refusal
from scimd.core.people import Document, Keys, PersonId, keys_of
from scimd.core.resource import unpack
from scimd.core.sync import diff
from scimd.core.sync.found import PersonFound, addresses, keys_held, name_key
from scimd.core.sync.mapping import Mapping as CompiledMapping
from scimd.core.sync.mapping import MappingFailed, OutOfScope
from scimd.core.sync.match import Ambiguous, Collides, Linked, Match, New, Rule, UserNameTaken
from scimd.core.sync.policy import Situation
from scimd.core.sync.values import Value, values_of
from scimd.org.runs.sync_reads import KnownUser, identified, keys_or_refusals, known_users
from scimd.org.tx import Context, Door

_DOUBLE = "several entries have this external id; each needs one of its own"
_BY: Mapping[Rule, str] = {
    "external_id": "by its external id",
    "user_name": "by its user name",
    "join": "by a key that both sources carry",
    "address": "by its address, in a verified domain",
    "decided": "as an admin decided",
}


@dataclass(frozen=True, slots=True)
class _Mapped:
    entry: DirectoryUser
    digest: bytes | None
    document: Document
    keys: Keys


class PeopleFound:
    """Collects what a read says about people."""

    def __init__(
        self,
        door: Door,
        ctx: Context,
        mapping: CompiledMapping,
        config_version: int,
        live: Mapping[str, KnownUser],
        *,
        named: frozenset[Value],
        full: bool,
    ) -> None:
        """``named``: the values that the source's rules name."""
        self._door, self._ctx = door, ctx
        self._mapping, self._config_version = mapping, config_version
        self._live = live
        self._named, self._full = named, full
        self._seen: set[str] = set()
        #: By which rule entries fit somebody whom their external id does not bring back.
        self._guessed: dict[str, Rule] = {}
        self.found: list[PersonFound] = []
        #: Entries whose documents are as before, though something unmapped differs.
        self.refreshed: list[tuple[PersonId, bytes]] = []
        #: External ids of entries that failed; None among them: one that could not be named.
        self.failed: set[str | None] = set()
        #: External ids that several entries have.
        self._doubled: set[str] = set()
        self.unchanged = 0
        self.out_of_scope = 0

    @property
    def seen(self) -> int:
        """Entries of people that the directory has, failed ones included."""
        return self.named + (None in self.failed)

    @property
    def named(self) -> int:
        return len(self._seen)

    def here(self, external_id: str) -> bool:
        return external_id in self._seen

    # -------------------------------------------------------------------------- entries

    def bad(self, entries: Iterable[BadEntry]) -> None:
        for entry in entries:
            self._fail(entry.external_id, entry.name, entry.why)

    def _fail(self, external_id: str | None, name: str, why: str) -> None:
        self.failed.add(external_id)
        if external_id is not None:
            self._seen.add(external_id)
        known = self._live.get(external_id) if external_id is not None else None
        self.found.append(
            PersonFound(
                Situation.FAILED,
                external_id,
                name,
                why,
                entry_name=name,
                person_id=known.person_id if known else None,
            )
        )

    async def take(self, entries: Sequence[DirectoryUser]) -> set[str]:
        """Look at one page. Gives the external ids of those who are out of scope."""
        outside: set[str] = set()
        mapped: list[tuple[DirectoryUser, bytes | None, Document]] = []
        for entry in entries:
            if entry.external_id in self._seen:
                self._doubled.add(entry.external_id)
                self._fail(entry.external_id, entry.name, _DOUBLE)
                continue
            self._seen.add(entry.external_id)
            known = self._live.get(entry.external_id)
            digest = self._mapping.digest(entry, self._config_version)
            if known is not None and digest is not None and known.digest == digest and not self._full:
                self.unchanged += 1
                continue
            match self._mapping.apply(entry):
                case MappingFailed(why):
                    self._fail(entry.external_id, entry.name, why)
                case OutOfScope():
                    outside.add(entry.external_id)
                    self._leave_out(known)
                case document:
                    mapped.append((entry, digest, document))
        fit = await self._fit(mapped)
        if changed := [each for each in fit if each.entry.external_id in self._live]:
            await self._compare(changed)
        if strange := [each for each in fit if each.entry.external_id not in self._live]:
            await self._identify(strange)
        return outside

    async def _fit(self, many: Sequence[tuple[DirectoryUser, bytes | None, Document]]) -> list[_Mapped]:
        """Those that can be stored; the others fail."""
        if not many:
            return []
        fit = []
        documents = [document for _, _, document in many]
        found = await keys_or_refusals(self._door, self._ctx, documents)
        for (entry, digest, document), keys in zip(many, found, strict=True):
            if isinstance(keys, Refusal):
                self._fail(entry.external_id, entry.name, keys.detail)
            else:
                fit.append(_Mapped(entry, digest, document, keys))
        return fit

    def _leave_out(self, known: KnownUser | None) -> None:
        if known is None:
            self.out_of_scope += 1
            return
        self.found.append(_removal(Situation.OUT_OF_SCOPE, known, "out of the source's scope"))

    async def _compare(self, many: Sequence[_Mapped]) -> None:
        """Entries of people whom the source asserts: what differs from the stored document?"""
        known = await known_users(self._door, self._ctx, [each.entry.external_id for each in many])
        for each in many:
            one = known[each.entry.external_id]
            old = unpack(one.document)
            before, after = diff.between(old, each.document)
            if not after:
                self.unchanged += 1
                if each.digest is not None and each.digest != one.digest:
                    self.refreshed.append((one.person_id, each.digest))
                continue
            self.found.append(self._changed(each, one, old, before, after))

    def _changed(
        self,
        each: _Mapped,
        known: KnownUser,
        old: Document,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> PersonFound:
        had_values, has_values = (values_of(said, self._named) for said in (old, each.document))
        off, on = diff.turns_inactive(old, each.document), diff.turns_active(old, each.document)
        had, has = keys_held(keys_of(old)), keys_held(each.keys)
        return replace(
            self._entry(Situation.LINKED_CHANGED, each),
            reason="inactive in the directory" if off else "changed in the directory",
            person_id=known.person_id,
            version=known.version,
            old=before,
            new=after,
            turns_inactive=off,
            turns_active=on,
            comes=on,
            loses=frozenset() if off else had_values - has_values,
            gives_up=had - has,
            takes=has - had,
        )

    async def _identify(self, many: Sequence[_Mapped]) -> None:
        """Entries that the source does not assert now: whose are they?"""
        keys = [each.keys for each in many]
        for each, match in zip(many, await identified(self._door, self._ctx, keys), strict=True):
            self.found.append(self._matched(each, match))

    def _matched(self, each: _Mapped, match: Match) -> PersonFound:
        match match:
            case New():
                return self._entry(Situation.NEW, each, "new in the directory")
            case UserNameTaken(person_id):
                return _after(self._entry(Situation.NEW, each), person_id)
            case Linked(person_id, rule, returned=True) if rule in ("external_id", "user_name"):
                if rule == "user_name":
                    self._guessed[each.entry.external_id] = rule
                found = self._entry(Situation.RETURNED, each, f"back in the directory, known {_BY[rule]}")
                return replace(found, person_id=person_id, keeps=match.keeps)
            case Linked(person_id, rule):
                self._guessed[each.entry.external_id] = rule
                found = self._entry(Situation.MATCHES_UNLINKED, each, f"fits a person {_BY[rule]}")
                return replace(found, person_id=person_id)
            case Ambiguous(rule, person_ids):
                why = f"fits {len(person_ids)} people {_BY[rule]}"
                return self._entry(Situation.AMBIGUOUS, each, why, comes=False)
            case Collides(_, managed_by):
                who = f"somebody whom {managed_by} manages" if managed_by else "a local person"
                return self._entry(Situation.FOREIGN, each, f"the address is held by {who}", comes=False)

    def _entry(
        self, situation: Situation, each: _Mapped, reason: str = "", *, comes: bool = True
    ) -> PersonFound:
        keys = each.keys
        return PersonFound(
            situation,
            each.entry.external_id,
            keys.user_name,
            reason,
            entry_name=each.entry.name,
            document=orjson.dumps(each.document).decode(),
            digest=each.digest,
            keys=keys if comes else None,
            has=values_of(each.document, self._named),
            comes=comes and keys.active,
        )

    # -------------------------------------------------------------------------- the end

    def whole(self) -> list[PersonFound]:
        """All findings, those whom the source asserts and the read did not show among them.

        Several entries of one external id, wherever they stand in the read, and several that fit one
        person: none of them counts, for which of them is meant cannot be told. Whose own entry is there,
        by its external id, is meant by no other.
        """
        found = [
            one
            for one in self.found
            if one.situation is Situation.FAILED or one.external_id not in self.failed
        ]
        return [
            *self._each_fits_alone(found),
            *(
                _removal(Situation.GONE, known, "no longer in the directory")
                for external_id, known in self._live.items()
                if external_id not in self._seen
            ),
        ]

    def nobodys(self, found: Iterable[PersonFound]) -> set[str]:
        """External ids by which nobody is there, nor comes by this read: refused, or waiting for an answer.

        And those that several entries have: what these are called says nothing against others.
        """
        return self._doubled | {
            one.external_id
            for one in found
            if one.situation in _NOBODY and one.external_id is not None and one.external_id not in self._live
        }

    def _each_fits_alone(self, found: Sequence[PersonFound]) -> Iterator[PersonFound]:
        fits = Counter(one.person_id for one in found if one.situation in _FITS)
        back = {
            one.person_id: name_key(one.name)
            for one in found
            if one.situation is Situation.RETURNED and one.external_id not in self._guessed
        }
        leaving = {one.person_id for one in found if one.dropped}
        renamed = {key: one.person_id for one in found for key in one.gives_up if not one.dropped}
        candidates = {one.held_by for one in found} | fits.keys()
        here = {
            known.person_id
            for external_id, known in self._live.items()
            if known.person_id in candidates and external_id in self._seen
        } - leaving
        for one in found:
            meant = one.person_id if one.situation in _FITS else one.held_by
            guess = self._guessed.get(one.external_id or "") if one.situation in _FITS else None
            if guess and one.situation is Situation.RETURNED and meant in back:
                yield _named_twice(one) if back[meant] == name_key(one.name) else _after(one, meant)
            elif meant not in here:
                yield _one_of_several(one, fits[meant], guess) if guess and fits[meant] > 1 else one
            elif renamed.get(name_key(one.name)) == meant:
                yield one if one.situation not in _FITS else _after(one, meant)
            else:
                yield _named_twice(one)


_NOBODY = (Situation.FAILED, Situation.AMBIGUOUS, Situation.FOREIGN)
#: Situations of entries that somebody's own entry is not, as far as was known.
_FITS = (Situation.RETURNED, Situation.MATCHES_UNLINKED)


def _one_of_several(found: PersonFound, number: int, rule: Rule) -> PersonFound:
    return _failed(found, f"{number} entries of this source fit a person {_BY[rule]}; a person has one")


def _named_twice(found: PersonFound) -> PersonFound:
    return _failed(
        found, f"another entry of this source has the user name {found.name!r}; each needs its own"
    )


def _failed(found: PersonFound, why: str) -> PersonFound:
    return PersonFound(Situation.FAILED, found.external_id, found.name, why, entry_name=found.entry_name)


def _after(found: PersonFound, holder: PersonId | None) -> PersonFound:
    """Somebody new, as soon as whoever has the user name has given it up."""
    why = f"new in the directory; {found.name!r} is held by another entry"
    return replace(found, situation=Situation.NEW, reason=why, held_by=holder, person_id=None)


def _removal(situation: Situation, known: KnownUser, reason: str) -> PersonFound:
    return PersonFound(
        situation,
        known.external_id,
        known.user_name,
        reason if known.active else f"{reason}; inactive already",
        entry_name=known.entry_name or "",
        person_id=known.person_id,
        version=known.version,
        old={"active": known.active},
        new={"active": False},
        stays=not known.active,
        gives_up=frozenset({name_key(known.user_name)}),
    )


def addresses_taken(found: Iterable[PersonFound]) -> set[str]:
    """The keys of the sign-in addresses that people who are there would have anew."""
    return {key for one in found if one.situation is Situation.LINKED_CHANGED for key in addresses(one.takes)}


def losing_addresses(
    found: Sequence[PersonFound], holders: Mapping[str, Collection[PersonId]]
) -> list[PersonFound]:
    """Mark who stays and has no sign-in address any more, or one that is another's: the source's until
    now (``holders``, by key), or that of several in this read who did not share one before. An address that
    nobody had is a change.
    """
    before: dict[str, list[set[str]]] = defaultdict(list)  # by the address taken: those given up for it
    for one in found:
        for key in addresses(one.takes):
            before[key].append(addresses(one.gives_up))

    def loses(one: PersonFound) -> bool:
        if one.situation is not Situation.LINKED_CHANGED or one.leaves:
            return False
        taken = addresses(one.takes)
        if not taken:
            return bool(addresses(one.gives_up))
        return any(_meet(before[key]) or {*holders.get(key, ())} - {one.person_id} for key in taken)

    return [replace(one, loses_address=True) if loses(one) else one for one in found]


def _meet(before: Sequence[set[str]]) -> bool:
    first, *others = before
    return bool(others) and (not first or any(other != first for other in others))
