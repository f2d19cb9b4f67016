"""JSON Lines: one object a line; an object with the key ``members`` is a group."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from connectors.file.config import FileConfig
from connectors.file.lines import CutOffError, is_clean, lines_of
from scimd.connector_api import BadEntry, DirectoryGroup, DirectoryUser, Value

_IDS = ("id", "externalId")
#: Whole floats below are the one number that was written.
_SURE = 2.0**53
_GROUP_NAMES = ("displayName", "name", "cn")


class _LineError(Exception):
    """The line cannot be taken; the text says why, ``external_id`` whose it is where that is known."""

    def __init__(
        self, why: str, external_id: str | None = None, *, whole: bool = False, is_group: bool = False
    ) -> None:
        """``whole``: it is JSON to its end, so that nothing was cut off."""
        super().__init__(why)
        self.external_id = external_id
        self.whole = whole
        self.is_group = is_group


def read_mixed(file: IO[str], config: FileConfig) -> Iterator[DirectoryUser | DirectoryGroup | BadEntry]:
    """Give people and groups, as the lines come."""
    return _read(file, config, only_groups=False)


def read_groups(file: IO[str], config: FileConfig) -> Iterator[DirectoryUser | DirectoryGroup | BadEntry]:
    """Give groups; an object without ``members`` is one that is empty."""
    return _read(file, config, only_groups=True)


def _read(
    file: IO[str], config: FileConfig, *, only_groups: bool
) -> Iterator[DirectoryUser | DirectoryGroup | BadEntry]:
    found = 0
    for number, line in enumerate(lines_of(file, must_end=False), 1):
        if not line.strip():
            continue
        found += 1
        where = f"line {number}"
        try:
            content = _object(line)
            yield _record(content, where, config, is_group=only_groups or "members" in content)
        except RecursionError:
            yield BadEntry(None, where, "is nested too deeply")
        except _LineError as bad:
            if not line.endswith(("\n", "\r")) and bad.external_id is None and not bad.whole:
                raise CutOffError(f"line {number}, the last, breaks off: {bad}") from bad
            yield BadEntry(bad.external_id, where, str(bad), "group" if bad.is_group else None)
    if not found:
        raise CutOffError("it holds nothing but empty lines")


def _object(line: str) -> dict[str, Any]:
    if not is_clean(line):
        raise _LineError("holds bytes that are not in the encoding of the settings")
    try:
        content = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_each_once)
    except RecursionError as exc:
        raise _LineError("is nested too deeply") from exc
    except ValueError as exc:
        raise _LineError(f"is no JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise _LineError("must be a JSON object")
    return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; with a key twice nobody can say which is meant, and one of them may be the id."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _LineError("has a key twice in one object", whole=True)
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _record(
    content: dict[str, Any], where: str, config: FileConfig, *, is_group: bool
) -> DirectoryUser | DirectoryGroup:
    keys = (config.id,) if config.id else _IDS
    external_id = _external_id(content, tuple(dict.fromkeys((*keys, *_IDS))) if is_group else keys)
    try:
        if is_group:
            return _group(content, where, external_id)
        named = (_text(content.get(key)) for key in config.references)
        references = tuple(name for name in named if name)
        return DirectoryUser(external_id, where, _attributes(content), references)
    except _LineError as bad:
        raise _LineError(str(bad), external_id, is_group=is_group) from bad


def _external_id(content: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = _text(content.get(key))
        if value is not None and value.strip() and is_clean(value):
            return value
    raise _LineError(f"has no {' or '.join(keys)}")


def _text(value: object) -> str | None:
    """A text, or a whole number as its text, also where it was written with a point; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _SURE:
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _group(content: dict[str, Any], where: str, external_id: str) -> DirectoryGroup:
    members = content.pop("members", None)
    members = [] if members is None else members
    if not isinstance(members, list):
        raise _LineError("members must be a list")
    names = [content[key] for key in _GROUP_NAMES if content.get(key)]
    if not names or not isinstance(names[0], str) or not is_clean(names[0]):
        raise _LineError(f"a group needs a {' or '.join(_GROUP_NAMES)}")
    refer = tuple(dict.fromkeys(_member(member) for member in members))
    return DirectoryGroup(external_id, where, names[0], refer, _attributes(content))


def _member(member: object) -> str:
    """Take a member as text or number, or as SCIM writes it: an object with ``value``."""
    if isinstance(member, dict):
        member = member.get("value")
    name = _text(member)
    if name and is_clean(name):
        return name
    raise _LineError("a member must be an id, or an object with its id as value")


def _attributes(content: Mapping[str, Any]) -> dict[str, Value]:
    return {key: value for key, item in content.items() if (value := _value(key, item)) is not None}


def _value(name: str, item: Any) -> Value | None:
    """Turn JSON into a Value; null, and what holds nothing but null, is no value."""
    if isinstance(item, str):
        if not is_clean(item):
            raise _LineError(f"{name} holds half of a character, or a NUL")
        return item
    if item is None or isinstance(item, bool | int | float):
        return item
    if isinstance(item, list):
        return tuple(value for part in item if (value := _value(name, part)) is not None) or None
    if not all(map(is_clean, item)):
        raise _LineError(f"{name} has a key with half of a character, or a NUL")
    return _attributes(item) or None
