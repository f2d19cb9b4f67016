"""From the directory's groups to findings: which are new, renamed, gone, and whose members differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b

import orjson

from scimd.config import Rule, Source
from scimd.connector_api import BadEntry, DirectoryGroup
from scimd.core.people import fold
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.sync.found import GroupFound
from scimd.core.sync.limits import GroupLoss
from scimd.core.sync.policy import Situation
from scimd.org.runs.outlook import Around
from scimd.org.runs.sync_reads import KnownGroup, group_mark, group_member_keys
from scimd.org.tx import Context, Door
from scimd.sync.collect import GroupEntry, References, below
from scimd.sync.losses import Crowd, Graph, emptied, losses

#: Stands for "by no rule": after every numbered one.
_NO_RULE = 99_999


@dataclass(frozen=True, slots=True)
class Read:
    """A group of this read with its members resolved."""

    entry: GroupEntry
    members: tuple[str, ...]


class GroupsFound:
    """Collects what a read says about groups."""

    def __init__(
        self,
        door: Door,
        ctx: Context,
        source: Source,
        config_version: int,
        live: Mapping[str, KnownGroup],
        *,
        full: bool,
    ) -> None:
        self._door, self._ctx = door, ctx
        self._source, self._config_version = source, config_version
        self._live, self._full = live, full
        self._entries: dict[str, GroupEntry] = {}  # by external id, but for those that failed
        self._read: dict[str, Read] = {}
        #: Who is in the groups that are not as they were read.
        self._members: dict[str, tuple[str, ...]] = {}
        #: Members whose entries failed, people and groups, by their group: they stay.
        self._spared: dict[str, set[str]] = {}
        self.found: list[GroupFound] = []
        self.failed: set[str] = set()
        self.unchanged = 0

    @property
    def seen(self) -> int:
        return len(self._entries) + len(self.failed)

    def knows(self, external_id: str | None) -> bool:
        return external_id in self._live or external_id in self._entries or external_id in self.failed

    def bad(self, entry: BadEntry) -> None:
        """An entry of a group; it may be the second of one that was read."""
        assert entry.external_id is not None  # noqa: S101 - the caller asked for it
        same = self._live.get(entry.external_id) or self._entries.get(entry.external_id)
        self._fail(entry.external_id, same.display_name if same else entry.name, entry.why, entry.name)

    def not_a_group(self, external_id: str) -> None:
        """A person of this read has this id: it is theirs, and a group that has it as well fails."""
        if entry := self._entries.get(external_id):
            why = "a person has this external id; a group needs one of its own"
            self._fail(external_id, entry.display_name, why, entry.name)

    def _double(self, group: DirectoryGroup) -> None:
        why = "several groups have this external id; each needs one of its own"
        self._fail(group.external_id, group.display_name, why, group.name)

    def _fail(self, external_id: str, name: str, why: str, entry_name: str) -> None:
        """The group stays as it is: of several entries of one id, none says who belongs."""
        self._entries.pop(external_id, None)
        known = self._live.get(external_id)
        if external_id not in self.failed:
            self.failed.add(external_id)
            self.found.append(
                GroupFound(
                    Situation.FAILED,
                    external_id,
                    name,
                    why,
                    entry_name=entry_name,
                    group_id=known.group_id if known else None,
                )
            )

    def take(self, groups: Iterable[DirectoryGroup], references: References) -> None:
        patterns = [fold(pattern) for pattern in self._source.groups.only]
        for group in groups:
            if group.external_id in self._entries or group.external_id in self.failed:
                self._double(group)
                continue
            name = fold(group.display_name)
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
                self._entries[group.external_id] = references.entry(group)

    async def finish(self, references: References, failed: set[str | None]) -> None:
        """Compare each group with what is stored. ``failed``: entries of people that must not lose by their
        fault; nor must groups that failed.
        """
        failed = failed | self.failed
        for entry in self._entries.values():
            read = Read(entry, references.members(entry))
            self._read[entry.external_id] = read
            known = self._live.get(entry.external_id)
            digest = self._digest(read)
            if known is None:
                self.found.append(self._new(read, digest))
            elif known.digest == digest and not self._full:
                self.unchanged += 1
            else:
                self._compare(read, known, digest, await self._stored(known, references), failed)
        for external_id, known in self._live.items():
            if external_id in self._entries:
                continue
            stored = await self._stored(known, references)
            if external_id not in self.failed:
                self.found.append(_gone(known, stored))

    async def _stored(self, known: KnownGroup, references: References) -> set[str]:
        keys = await group_member_keys(self._door, self._ctx, known.group_id)
        # Kept under a name until its entry appeared: that is the same member, and no loss.
        self._members[known.external_id or ""] = tuple(references.resolved(key) for key in keys)
        return set(keys)

    def _digest(self, read: Read) -> bytes:
        raw = orjson.dumps((self._config_version, read.entry.display_name, read.members))
        return blake2b(raw, digest_size=16).digest()

    def _new(self, read: Read, digest: bytes) -> GroupFound:
        return GroupFound(
            Situation.NEW,
            read.entry.external_id,
            read.entry.display_name,
            "new in the directory",
            entry_name=read.entry.name,
            document=_document(read.entry),
            digest=digest,
            add=read.members,
        )

    def _compare(
        self, read: Read, known: KnownGroup, digest: bytes, stored: set[str], failed: set[str | None]
    ) -> None:
        wanted = set(read.members)
        if known.digest == digest and stored == wanted and known.display_name == read.entry.display_name:
            self.unchanged += 1
            return
        missing = stored - wanted
        spared = {key for key in missing if key in failed}
        self._spared[read.entry.external_id] = spared
        renamed = known.display_name != read.entry.display_name
        before = {"displayName": known.display_name} if renamed else None
        after = {"displayName": read.entry.display_name} if renamed else None
        self.found.append(
            GroupFound(
                Situation.LINKED_CHANGED,
                read.entry.external_id,
                read.entry.display_name,
                "renamed in the directory" if renamed else "its members changed",
                entry_name=read.entry.name,
                group_id=known.group_id,
                version=known.version,
                mark=group_mark(known.display_name, stored),
                document=_document(read.entry),
                # With somebody spared, what is stored is not what was read: look again next time.
                digest=None if spared else digest,
                old=before,
                new=after,
                renamed=renamed,
                add=tuple(sorted(wanted - stored)),
                remove=tuple(sorted(missing - spared)),
            )
        )

    # -------------------------------------------------------------------------- what groups give

    def places(self, newcomers: set[str]) -> dict[str, int]:
        """The number of the first rule that gives each newcomer something, by external id."""
        found: dict[str, int] = {}
        members = {external_id: read.members for external_id, read in self._read.items()}
        numbered = sorted((self._number(read.entry), external_id) for external_id, read in self._read.items())
        for number, external_id in numbered:
            if number == _NO_RULE:
                break
            for one in below(members, external_id) & newcomers:
                found.setdefault(one, number)
        return found

    def around(self, people: set[str]) -> dict[str, list[Around]]:
        """The groups in which each of these people would be, directly or through others, by external id."""
        members, found = self._after(), dict[str, list[Around]]()
        for external_id in members:
            read, known = self._read.get(external_id), self._live.get(external_id)
            called = read.entry if read else known
            if called is None:
                continue
            group = Around(known.group_id if known else None, external_id, called.display_name)
            for one in below(members, external_id) & people:
                found.setdefault(one, []).append(group)
        return found

    def _number(self, entry: GroupEntry) -> int:
        return min((rule.number for rule in self._source.rule if _meets(rule, entry)), default=_NO_RULE)

    def losses(self, crowd: Crowd) -> tuple[GroupLoss, ...]:
        """What groups would lose in people, those above a group that loses among them."""
        shrunk = [
            group.external_id
            for group in self.found
            if group.external_id is not None and (group.remove or group.situation is Situation.GONE)
        ]
        before, after = self._before(), self._after()
        return tuple(
            GroupLoss(external_id, self._live[external_id].display_name, had, lost)
            for external_id, had, lost in losses(before, after, shrunk, crowd)
        )

    def emptied(self, crowd: Crowd) -> int:
        """See ``losses.emptied``."""
        return emptied(self._before(), self._after(), crowd)

    def of(self, people: Set[str]) -> dict[str, list[str]]:
        """The names of the groups that these people are in, by external id; those that list them."""
        found: dict[str, list[str]] = {}
        for group, members in self._before().items() if people else ():
            for one in people & set(members):
                found.setdefault(one, []).append(self._live[group].display_name)
        return {one: sorted(names) for one, names in found.items()}

    def _before(self) -> Graph:
        """Known groups with whom they hold now: of those that are unchanged, what was read."""
        unchanged = {key: read.members for key, read in self._read.items() if key in self._live}
        return unchanged | self._members

    def _after(self) -> Graph:
        """Groups with whom they would hold; those that failed stay as they are."""
        kept = {key: self._members[key] for key in self.failed if key in self._members}
        return kept | {key: (*read.members, *self._spared.get(key, ())) for key, read in self._read.items()}

    def admins(self) -> tuple[set[str], set[str]]:
        """Whom the rules make Account Admins, by external id, and the groups by which they do; groups that
        failed give as before, to whoever is in them now.
        """
        if self._source.ceiling != ACCOUNT_ADMIN:
            return set(), set()
        givers = [
            rule for rule in self._source.rule if rule.role == ACCOUNT_ADMIN and rule.may_give_account_admin
        ]
        members = self._after()
        people: set[str] = set()
        groups: set[str] = set()
        for external_id in members:
            read = self._read.get(external_id)
            group = read.entry if read else self._live[external_id]
            if any(_meets(rule, group) for rule in givers):
                all_below = below(members, external_id)
                groups |= all_below & members.keys()
                people |= all_below - members.keys()
        return people, groups


def place(number: int | None, external_id: str | None) -> str:
    """Orders newcomers who want a seat: by rule, then by external id."""
    return f"{_NO_RULE if number is None else number:05}:{external_id or ''}"


def _meets(rule: Rule, entry: GroupEntry | KnownGroup) -> bool:
    if rule.group is not None:
        return rule.group == entry.external_id
    return rule.pattern is not None and fnmatchcase(fold(entry.display_name), fold(rule.pattern))


def _document(entry: GroupEntry) -> str:
    return orjson.dumps({"displayName": entry.display_name, "externalId": entry.external_id}).decode()


def _gone(known: KnownGroup, stored: set[str]) -> GroupFound:
    return GroupFound(
        Situation.GONE,
        known.external_id,
        known.display_name,
        "no longer in the directory",
        entry_name=known.entry_name or "",
        group_id=known.group_id,
        version=known.version,
        mark=group_mark(known.display_name, stored),
        old={"displayName": known.display_name},
    )
