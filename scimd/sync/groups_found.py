"""From the directory's groups to findings: which are new, renamed, gone, and whose members differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b

import orjson

from scimd.config import Rule, Source
from scimd.connector_api import BadEntry, DirectoryGroup
from scimd.core.people import fold
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.sync.plan import GroupFound
from scimd.core.sync.policy import Situation
from scimd.org.sync_reads import KnownGroup, group_member_keys
from scimd.org.tx import Context, Door
from scimd.sync.collect import GroupEntry, References, below

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
        self, door: Door, ctx: Context, source: Source, config_version: int, live: Mapping[str, KnownGroup]
    ) -> None:
        self._door, self._ctx = door, ctx
        self._source, self._config_version = source, config_version
        self._live = live
        self._entries: dict[str, GroupEntry] = {}
        self._read: dict[str, Read] = {}
        self.found: list[GroupFound] = []
        self.failed: set[str] = set()
        self.unchanged = 0

    @property
    def seen(self) -> int:
        return len(self._entries) + len(self.failed)

    def knows(self, external_id: str | None) -> bool:
        return external_id in self._live

    def bad(self, entry: BadEntry) -> None:
        assert entry.external_id is not None  # noqa: S101 - the caller asked whether we know it
        known = self._live[entry.external_id]
        self.failed.add(entry.external_id)
        self.found.append(
            GroupFound(
                Situation.FAILED,
                entry.external_id,
                known.display_name,
                entry.why,
                entry_name=entry.name,
                group_id=known.group_id,
            )
        )

    def _double(self, group: DirectoryGroup) -> None:
        """Two entries of one id: neither says who belongs, so the group stays as it is."""
        self._entries.pop(group.external_id, None)
        known = self._live.get(group.external_id)
        if group.external_id not in self.failed:
            self.failed.add(group.external_id)
            self.found.append(
                GroupFound(
                    Situation.FAILED,
                    group.external_id,
                    group.display_name,
                    "several groups have this external id; each needs one of its own",
                    entry_name=group.name,
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
        """Compare each group with what is stored. ``failed``: entries that must not lose by their fault."""
        for entry in self._entries.values():
            read = Read(entry, references.members(entry))
            self._read[entry.external_id] = read
            known = self._live.get(entry.external_id)
            digest = self._digest(read)
            if known is None:
                self.found.append(self._new(read, digest))
            elif known.digest == digest:
                self.unchanged += 1
            else:
                await self._compare(read, known, digest, failed)
        for external_id, known in self._live.items():
            if external_id not in self._entries and external_id not in self.failed:
                self.found.append(_gone(known))

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

    async def _compare(self, read: Read, known: KnownGroup, digest: bytes, failed: set[str | None]) -> None:
        stored = set(await group_member_keys(self._door, self._ctx, known.group_id))
        wanted = set(read.members)
        missing = stored - wanted
        spared = {key for key in missing if key in failed}
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
                document=_document(read.entry),
                # With somebody spared, what is stored is not what was read: look again next time.
                digest=None if spared else digest,
                old=before,
                new=after,
                renamed=renamed,
                before=len(stored),
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

    def _number(self, entry: GroupEntry) -> int:
        return min((rule.number for rule in self._source.rule if _meets(rule, entry)), default=_NO_RULE)

    def weighed(self) -> list[GroupFound]:
        """The findings, with what each loss means in people: a nested group weighs what is below it."""
        members = {external_id: read.members for external_id, read in self._read.items()}

        def people(keys: Iterable[str]) -> set[str]:
            found: set[str] = set()
            for key in keys:
                found |= below(members, key) - members.keys() if key in members else {key}
            return found

        weighed = []
        for group in self.found:
            read = self._read.get(group.external_id or "")
            if read is None or not group.remove or members.keys().isdisjoint(group.remove):
                weighed.append(group)
                continue
            kept, gone = people(set(read.members) - set(group.add)), people(group.remove)
            weighed.append(replace(group, before=len(kept | gone), lost=len(gone - people(read.members))))
        return weighed

    def admins(self) -> tuple[set[str], set[str]]:
        """Whom the rules make Account Admins, by external id, and the groups by which they do."""
        if self._source.ceiling != ACCOUNT_ADMIN:
            return set(), set()
        givers = [
            rule for rule in self._source.rule if rule.role == ACCOUNT_ADMIN and rule.may_give_account_admin
        ]
        members = {external_id: read.members for external_id, read in self._read.items()}
        people: set[str] = set()
        groups: set[str] = set()
        for read in self._read.values():
            if any(_meets(rule, read.entry) for rule in givers):
                all_below = below(members, read.entry.external_id)
                groups |= all_below & members.keys()
                people |= all_below - members.keys()
        return people, groups


def place(number: int | None, external_id: str | None) -> str:
    """Orders newcomers who want a seat: by rule, then by external id."""
    return f"{_NO_RULE if number is None else number:05}:{external_id or ''}"


def _meets(rule: Rule, entry: GroupEntry) -> bool:
    if rule.group is not None:
        return rule.group == entry.external_id
    return rule.pattern is not None and fnmatchcase(fold(entry.display_name), fold(rule.pattern))


def _document(entry: GroupEntry) -> str:
    return orjson.dumps({"displayName": entry.display_name, "externalId": entry.external_id}).decode()


def _gone(known: KnownGroup) -> GroupFound:
    return GroupFound(
        Situation.GONE,
        known.external_id,
        known.display_name,
        "no longer in the directory",
        entry_name=known.entry_name or "",
        group_id=known.group_id,
        version=known.version,
        old={"displayName": known.display_name},
    )
