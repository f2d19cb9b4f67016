"""From an LDAP entry to a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from connectors.dn import reference
from connectors.entries import (
    BINARY,
    GUIDS,
    SECRETS,
    base_name,
    expiry,
    guid,
    member_piece,
    member_reference,
    now,
    text_or_bytes,
    user_references,
)
from connectors.ldap.config import LdapConfig
from scimd.connector_api import BadEntry, DirectoryGroup, DirectoryUser, Page, Value

Values = dict[str, list[bytes]]
_Kind: TypeAlias = Literal["user", "group"]
_MEMBER_OF = {"memberof"}


@dataclass(slots=True)
class Reading:
    """Turns the entries of one read into records; remembers whose ids it has seen.

    Hashes stand for ids, to hold 100,000 of them in a few megabytes; should two ids ever share one,
    the second entry would be listed as failed, and nobody harmed.
    """

    config: LdapConfig
    seen: dict[_Kind, set[int]] = field(default_factory=lambda: {"user": set(), "group": set()})
    now_s: int = field(default_factory=now)
    #: Whether an attribute is kept, by its description: worked out once, and not for every entry.
    _kept: dict[str, bool] = field(default_factory=dict)

    def user_page(self, entries: list[tuple[str, Values]]) -> Page:
        records = [self._record(dn, values, "user", self._user) for dn, values in entries]
        return Page(
            users=tuple(record for record in records if isinstance(record, DirectoryUser)),
            bad=tuple(record for record in records if isinstance(record, BadEntry)),
        )

    def group_page(self, entries: list[tuple[str, Values]]) -> Page:
        records = [self._record(dn, values, "group", self._group) for dn, values in entries]
        return Page(
            groups=tuple(record for record in records if isinstance(record, DirectoryGroup)),
            bad=tuple(record for record in records if isinstance(record, BadEntry)),
        )

    def _record(
        self,
        dn: str,
        values: Values,
        kind: _Kind,
        make: Callable[[str, str, Values], DirectoryUser | DirectoryGroup | BadEntry],
    ) -> DirectoryUser | DirectoryGroup | BadEntry:
        external_id = _external_id(values, self.config.id_attribute)
        if external_id is None:
            why = f"it has no {self.config.id_attribute}, or it may not be read"
            return BadEntry(None, dn, why)
        mark = hash(external_id)
        if mark in self.seen[kind]:
            why = f"its {self.config.id_attribute} was there before: {external_id}"
            return BadEntry(external_id, dn, why, kind)
        if mark in self.seen["user"]:
            why = f"a person has its {self.config.id_attribute}; let user_filter or group_filter leave it out"
            return BadEntry(external_id, dn, why, kind)
        self.seen[kind].add(mark)
        return make(external_id, dn, values)

    def _user(self, external_id: str, dn: str, values: Values) -> DirectoryUser:
        attributes = self._attributes(values) | expiry(partial(_texts, values), self.now_s)
        return DirectoryUser(external_id, dn, attributes, user_references(dn, _texts(values, "uid")))

    def _group(self, external_id: str, dn: str, values: Values) -> DirectoryGroup | BadEntry:
        names = _texts(values, self.config.group_name_attribute)
        if not names or not names[0].strip():
            why = f"the group has no {self.config.group_name_attribute}"
            return BadEntry(external_id, dn, why, "group")
        kinds = {name.lower() for name in self.config.member_attributes}
        if piece := member_piece(values, kinds):
            return BadEntry(external_id, dn, f"its members come in pieces: {piece}", "group")
        rest = dict(values)
        members = [_members(name, rest.pop(name)) for name in values if name.lower() in kinds]
        refer = tuple(dict.fromkeys(text for part in members for text in part))
        return DirectoryGroup(external_id, dn, names[0], refer, self._attributes(rest), (reference(dn),))

    def _attributes(self, values: Values) -> dict[str, Value]:
        kept, attributes = self._kept, {}
        for description, raw in values.items():
            if (keep := kept.get(description)) is None:
                keep = kept[description] = self._is_kept(base_name(description))
            if keep and raw:
                attributes[description] = text_or_bytes(raw[0]) if len(raw) == 1 else _several(raw)
        return attributes

    def _is_kept(self, name: str) -> bool:
        """Say what mapping may use. memberOf changes without its entry's timestamps: it is not trusted."""
        if name in SECRETS or name in _MEMBER_OF:
            return False
        return name not in BINARY or name in map(base_name, self.config.user_attributes)


def _members(attribute: str, raw: list[bytes]) -> Iterator[str]:
    """What is no text, a NUL with it, is shown by its bytes: it names nobody, and no column takes it."""
    texts = (value.decode("utf-8", "backslashreplace").replace("\0", "\\x00") for value in raw)
    return (member_reference(attribute, text) for text in texts)


def _external_id(values: Values, attribute: str) -> str | None:
    raw = _raw(values, attribute)
    if not raw:
        return None
    if attribute.lower() in GUIDS:
        return guid(raw[0])
    text = text_or_bytes(raw[0])
    return text if isinstance(text, str) and text.strip() and len(raw) == 1 else None


def _raw(values: Values, attribute: str) -> list[bytes]:
    """Find an attribute by its name in any case; nearly always the server's spelling is ours."""
    if attribute in values:
        return values[attribute]
    wanted = attribute.lower()
    return next((raw for name, raw in values.items() if name.lower() == wanted), [])


def _texts(values: Values, attribute: str) -> list[str]:
    return [text for raw in _raw(values, attribute) if isinstance(text := text_or_bytes(raw), str)]


def _several(raw: list[bytes]) -> Value:
    return tuple(map(text_or_bytes, raw))
