"""LDIF (RFC 2849), the content of a directory as ldapsearch and slapcat write it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

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
from connectors.file.config import FileConfig
from connectors.file.lines import LONGEST_LINE, CutOffError, is_clean, lines_of, too_long
from connectors.referrals import Referrals
from scimd.connector_api import BadEntry, ConnectorError, DirectoryGroup, DirectoryUser, Scalar, Value

_USER_CLASSES = {"inetorgperson", "organizationalperson", "person", "posixaccount", "user"}
_GROUP_CLASSES = {"groupofnames", "groupofuniquenames", "posixgroup", "group"}
_NO_PEOPLE = {"computer"}  # Active Directory's machines are persons to its schema
_REFERRAL = "referral"
_UUID = "entryuuid"
#: How ldapsearch -L writes a SearchResultReference: as a comment.
_REFERRAL_COMMENT = "# refldap"
_MEMBERS = ("member", "uniquemember", "memberuid")
#: What one entry may hold, each value with what it costs besides its text: 300,000 members.
LARGEST_ENTRY, _A_VALUE = 64 * 1024 * 1024, 64


@dataclass(slots=True)
class _Entry:
    """One entry as it is collected. ``values`` is keyed by the lower-cased attribute description."""

    line: int
    dn: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[Scalar]] = field(default_factory=dict)
    wrong: str | None = None
    #: Lines of another entry may be among its own: nothing in it can be trusted.
    merged: bool = False
    size: int = 0

    def hold(self, name: str, value: str | bytes) -> None:
        """Add a value. A file without empty lines must not fill the memory."""
        self.size += _A_VALUE + len(name) + len(value)
        if self.size > LARGEST_ENTRY:
            raise CutOffError(
                f"line {self.line}: the entry that begins there holds more than {LARGEST_ENTRY >> 20} MiB; "
                "an empty line may be missing below it"
            )
        key = name.lower()
        self.names.setdefault(key, name)
        self.values.setdefault(key, []).append(value)

    def texts(self, name: str) -> list[str]:
        return [value for value in self.values.get(name, ()) if isinstance(value, str)]

    @property
    def classes(self) -> set[str]:
        return {text.lower() for text in self.texts("objectclass")}

    @property
    def is_group(self) -> bool:
        return not self.classes.isdisjoint(_GROUP_CLASSES)

    @property
    def is_referral(self) -> bool:
        """Whether it stands for a part of the directory: as ldapsearch names it, or the object itself."""
        if self.dn is None:
            return self.values.keys() == {"ref"} and not self.wrong
        return _REFERRAL in self.classes and self.classes.isdisjoint(_USER_CLASSES | _GROUP_CLASSES)

    @property
    def where(self) -> str:
        return self.dn or f"line {self.line}"


def read_mixed(file: IO[str], config: FileConfig) -> Iterator[DirectoryUser | DirectoryGroup | BadEntry]:
    """Give people and groups by their objectClass; other entries are passed over."""
    ids = _Ids(config.id.lower() if config.id else None)
    referrals = Referrals(config.ignored_referrals)
    found = False
    for entry in _entries(file):
        if entry.dn is None and _is_end_of_search(entry):
            continue
        found = True
        if entry.is_referral:
            yield from referrals.unread([entry.texts("ref")], entry.dn or "")
            continue
        record = _record(entry, ids)
        if record is not None:
            yield record
    if not found:
        raise CutOffError("it holds no entry")


def _is_end_of_search(entry: _Entry) -> bool:
    """What ldapsearch writes below the entries: ``search: 2``, ``result: 0 Success``."""
    results = entry.texts("result")
    if not results or "search" not in entry.values:
        return False
    if not results[0].startswith("0 "):
        raise CutOffError(f"line {entry.line}: the search that wrote it ended with {results[0]}")
    return True


@dataclass(slots=True)
class _Ids:
    """What the entries of one file are known by: an attribute, or else the DN.

    Without a setting it is entryUUID where the first person or group has one. ``attribute`` None: not
    known yet, or the DN.
    """

    attribute: str | None
    _known: bool = False

    def of(self, entry: _Entry) -> str | None:
        """The id; None where the entry lacks it, or what it has cannot be trusted."""
        if entry.merged:
            return None
        self._decide(entry)
        if self.attribute is not None:
            return next(iter(_guids(entry) if self.attribute in GUIDS else entry.texts(self.attribute)), None)
        return reference(entry.dn) if entry.dn and self._known else None

    def _decide(self, entry: _Entry) -> None:
        if self.attribute is not None:
            return
        has_one = bool(entry.texts(_UUID))
        if self._known and has_one:
            raise CutOffError(
                f"line {entry.line}: this entry has an entryUUID, and the ones above have none; export all "
                "of them with it (ldapsearch … '*' '+'), or name another attribute by id = …"
            )
        if has_one:
            self.attribute = _UUID
        # Of an entry that cannot be read, the entryUUID may be what cannot be.
        self._known = self._known or entry.wrong is None


def _guids(entry: _Entry) -> Iterator[str]:
    """Give the objectGUID, bytes that may happen to be text; some exports write the text of it instead."""
    for value in entry.values.get("objectguid", ()):
        raw = value if isinstance(value, bytes) else str(value).encode()
        if text := guid(raw) or (value if isinstance(value, str) else None):
            yield text


def _record(entry: _Entry, ids: _Ids) -> DirectoryUser | DirectoryGroup | BadEntry | None:
    if entry.wrong is None and entry.dn is not None and not _is_wanted(entry):
        return None
    external_id = ids.of(entry)
    if entry.wrong or entry.dn is None:
        why = entry.wrong or f"line {entry.line}: there is no dn"
        return BadEntry(external_id, entry.where, why, "group" if entry.is_group else None)
    if not entry.classes:
        return BadEntry(external_id, entry.dn, f"line {entry.line}: there is no objectClass")
    if external_id is None:
        return BadEntry(None, entry.dn, f"line {entry.line}: there is no {ids.attribute}")
    return _group(entry, external_id, entry.dn) if entry.is_group else _user(entry, external_id, entry.dn)


def _is_wanted(entry: _Entry) -> bool:
    """Whether it is a person or a group, or may be one."""
    classes = entry.classes
    if not classes or not classes.isdisjoint(_GROUP_CLASSES):
        return True
    return not classes.isdisjoint(_USER_CLASSES) and classes.isdisjoint(_NO_PEOPLE)


def _user(entry: _Entry, external_id: str, dn: str) -> DirectoryUser:
    attributes = _attributes(entry, ()) | expiry(lambda name: entry.texts(name.lower()), now())
    return DirectoryUser(external_id, dn, attributes, user_references(dn, entry.texts("uid")))


def _group(entry: _Entry, external_id: str, dn: str) -> DirectoryGroup | BadEntry:
    names = entry.texts("cn")
    if not names:
        return BadEntry(external_id, dn, f"line {entry.line}: the group has no cn", "group")
    if piece := member_piece(entry.values, _MEMBERS):
        why = f"line {entry.line}: its members come in pieces: {entry.names[piece]}"
        return BadEntry(external_id, dn, why, "group")
    refer = (member_reference(kind, text) for kind in _MEMBERS for text in entry.texts(kind))
    members = tuple(dict.fromkeys(refer))
    return DirectoryGroup(external_id, dn, names[0], members, _attributes(entry, _MEMBERS), (reference(dn),))


def _attributes(entry: _Entry, without: tuple[str, ...]) -> dict[str, Value]:
    attributes: dict[str, Value] = {}
    for key, values in entry.values.items():
        if key not in without:
            attributes[entry.names[key]] = values[0] if len(values) == 1 else tuple(values)
    return attributes


# ---------------------------------------------------------------------------------------- the syntax


def _entries(file: IO[str]) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for number, line in _unfolded(file):
        if not line:
            if entry is not None:
                yield entry
            entry = None
        elif line != "-":
            if entry is None and line.lower().startswith("version:"):
                continue
            entry = entry or _Entry(number)
            _add(entry, number, line)
    if entry is not None:
        if entry.wrong:  # the last line of all is the one that a cut breaks
            raise CutOffError(f"its last entry cannot be read: {entry.wrong}")
        yield entry


def _unfolded(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Give logical lines: what begins with a space belongs to the line before; comments fall away.

    But for those that name a part of the directory that the search did not search.
    """
    parts: list[str] = []
    began, length = 1, 0
    for number, line in enumerate(lines_of(file, must_end=True), 1):
        text = line.rstrip("\r\n")
        if text.startswith(" ") and parts:
            length += len(line)
            if length >= LONGEST_LINE:
                raise too_long(f"line {began}, with what is folded into it,")
            parts.append(text[1:])
            continue
        yield from _logical(began, parts)
        parts, began, length = [text], number, len(line)
    yield from _logical(began, parts)


def _logical(began: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    if parts and parts[0].startswith(_REFERRAL_COMMENT):
        yield began, "ref: " + "".join(parts).removeprefix("# ref")
    elif parts and not parts[0].startswith("#"):
        yield began, "".join(parts)


def _add(entry: _Entry, number: int, line: str) -> None:
    """Put one line into the entry; what is wrong with it stays with the entry, which goes on."""
    name, colon, rest = line.partition(":")
    try:
        if not colon or not name or not name.isascii():
            raise ValueError("it is no attribute with a value")
        value = _value(rest)
    except ValueError as exc:
        entry.wrong = entry.wrong or f"line {number}: {exc}"
        return
    key = name.strip().lower()
    if key == "changetype":
        raise ConnectorError(
            f"line {number}: this LDIF is a list of changes (changetype), not a directory's content"
        )
    if key == "dn":
        _name(entry, number, value)
    elif (kind := base_name(key)) not in SECRETS and kind not in BINARY and value != "":
        entry.hold(name.strip(), value)


def _name(entry: _Entry, number: int, value: Scalar) -> None:
    if not isinstance(value, str) or not value or entry.dn is not None or entry.values:
        entry.merged = True
        entry.wrong = entry.wrong or f"line {number}: a dn stands first, once, and is a text"
    else:
        entry.dn = value


def _value(rest: str) -> str | bytes:
    """Read what follows the first colon: text, or ``: base64``; an address (``:<``) is never fetched."""
    if rest.startswith("<"):
        raise ValueError("a value by its address (:<) is not read")
    if rest.startswith(":"):
        return text_or_bytes(_from_base64(rest[1:].strip()))
    if not is_clean(rest):
        raise ValueError("it holds bytes that are not in the encoding of the settings")
    return rest.strip(" ")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("its base64 is broken") from exc
