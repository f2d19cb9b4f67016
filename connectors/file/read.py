"""From a file to records: what CSV, JSON Lines and LDIF have in common.

Everything here is synchronous and streams: a generator gives records one by one, so that memory does
not grow with the file. A file is trusted only when nothing about it is in doubt: cut off, empty or
changed while it was read, it raises Incomplete; a line that cannot be read is a BadEntry.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from connectors.file.config import ENDINGS, FileConfig
from connectors.file.delimited import read_groups as csv_groups
from connectors.file.delimited import read_users as csv_users
from connectors.file.jsonlines import read_groups as json_groups
from connectors.file.jsonlines import read_mixed as json_mixed
from connectors.file.ldif import read_mixed as ldif_mixed
from connectors.file.lines import CutOffError
from scimd.connector_api import (
    BadEntry,
    ConnectorError,
    DirectoryGroup,
    DirectoryUser,
    Incomplete,
    Unreachable,
)

Record: TypeAlias = DirectoryUser | DirectoryGroup | BadEntry
Reader: TypeAlias = Callable[[IO[str], FileConfig], Iterator[Record]]

_READERS: Mapping[tuple[str, str], Reader] = {
    ("csv", "users"): csv_users,
    ("csv", "groups"): csv_groups,
    ("jsonl", "users"): json_mixed,
    ("jsonl", "groups"): json_groups,
    ("ldif", "users"): ldif_mixed,
    ("ldif", "groups"): ldif_mixed,
}

_BYTE_ORDER_MARK = "\ufeff"
#: Settings that are for some formats, and for which files: columns of the people, parts of any.
_ONLY_FOR = {
    "groups_column": (("csv",), ("users",)),
    "multi_valued": (("csv",), ("users",)),
    "references": (("csv", "jsonl"), ("users",)),
    "ignored_referrals": (("ldif",), ("users", "groups")),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the source, and what is expected in it."""

    path: Path
    format: str
    holds: str

    @property
    def reader(self) -> Reader:
        return _READERS[self.format, self.holds]


def parts(config: FileConfig) -> list[Part]:
    """Find the files; raises Unreachable where they are missing, ConnectorError where unclear which."""
    if not _is_folder(config.path):
        _only_in_a_folder(config)
        return _with_meaning(config, [Part(config.path, _format(config, config.path), "users")])
    users = _named(config, config.users, "users")
    if users is None:
        raise Unreachable(f"{config.path}: there is no users.csv, users.jsonl or users.ldif in this folder")
    found = [Part(users, _format(config, users), "users")]
    groups = _named(config, config.groups, "groups")
    if groups is None:
        return _with_meaning(config, found)
    if config.groups_column:
        raise ConnectorError(f"{groups} and groups_column both name the groups; remove one of them")
    return _with_meaning(config, [*found, Part(groups, _format(config, groups), "groups")])


def records(config: FileConfig) -> Iterator[Record]:
    """Give everything that the files hold, each external id once; raises rather than ends early."""
    files = parts(config)
    before = [_fingerprint(part.path) for part in files]
    seen: dict[type, set[int]] = {DirectoryUser: set(), DirectoryGroup: set()}
    for part in files:
        with _opened(part.path, config.encoding) as lines:
            yield from _once(part.reader(lines, config), seen)
    if [_fingerprint(part.path) for part in files] != before:
        raise Incomplete(f"{config.path} was changed while it was read; the next run reads it again")


def _once(found: Iterable[Record], seen: Mapping[type, set[int]]) -> Iterator[Record]:
    """Turn the second and later records of one external id into bad entries.

    Of a person and a group with one id the person is who has it, whichever stands first. The hash stands
    for the id, to hold 100,000 of them in a few megabytes; that two ids share a 64-bit hash will not
    happen, and would only put one entry on the list of failures.
    """
    for record in found:
        if isinstance(record, BadEntry):
            yield record
            continue
        mark = hash(record.external_id)
        if mark in seen[type(record)]:
            kind: Literal["user", "group"] = "user" if isinstance(record, DirectoryUser) else "group"
            why = f"the id {record.external_id} has been used further up"
            yield BadEntry(record.external_id, record.name, why, kind)
        elif isinstance(record, DirectoryGroup) and mark in seen[DirectoryUser]:
            why = f"the id {record.external_id} is a person's; a group needs one of its own"
            yield BadEntry(record.external_id, record.name, why, "group")
        else:
            seen[type(record)].add(mark)
            yield record


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as exc:
        raise Unreachable(f"{path}: {_reason(exc)}") from exc


def _named(config: FileConfig, name: str | None, usual: str) -> Path | None:
    if name is not None:
        return config.path / name
    found = sorted(p for ending in ENDINGS if (p := config.path / f"{usual}{ending}").exists())
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ConnectorError(f"{config.path}: {names} are both there; say which by {usual} = …")
    return found[0] if found else None


def _format(config: FileConfig, path: Path) -> str:
    if config.format != "auto":
        return config.format
    try:
        return ENDINGS[path.suffix.lower()]
    except KeyError as exc:
        known = ", ".join(ENDINGS)
        raise ConnectorError(f"{path}: its name ends with none of {known}; say which by format = …") from exc


def _only_in_a_folder(config: FileConfig) -> None:
    """Refuse names of files within a folder where there is none: its groups would be gone, unsaid."""
    for key in ("users", "groups"):
        if getattr(config, key) is not None:
            raise ConnectorError(
                f"{config.path} is a file, and {key} names one within a folder; remove {key}"
            )


def _with_meaning(config: FileConfig, files: list[Part]) -> list[Part]:
    """Refuse a setting that no file has a use for, rather than pass over it in silence."""
    for key, (formats, holds) in _ONLY_FOR.items():
        judged = [part for part in files if part.holds in holds]
        if getattr(config, key) and all(part.format not in formats for part in judged):
            path, found = judged[0].path, judged[0].format
            raise ConnectorError(f"{path}: {key} has no meaning for {found}; it is for {formats[0]}")
    return files


def _fingerprint(path: Path) -> tuple[int, int, int, int]:
    """Give what changes when a file is written or replaced."""
    try:
        now = path.stat()
    except OSError as exc:
        raise Unreachable(f"{path}: {_reason(exc)}") from exc
    if not stat.S_ISREG(now.st_mode):
        raise Unreachable(f"{path} is no regular file")
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Open for reading; what is wrong with the file as a whole becomes Unreachable or Incomplete."""
    try:
        with path.open("r", encoding=encoding, errors="surrogateescape", newline="") as lines:
            _to_begin(path, lines)
            yield lines
    except OSError as exc:
        raise Unreachable(f"{path}: {_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise Incomplete(f"{path} is cut off, or is not written in {encoding}") from exc
    except CutOffError as exc:
        raise Incomplete(f"{path} is not whole: {exc}") from exc


def _to_begin(path: Path, lines: IO[str]) -> None:
    """Go behind a byte order mark: of some encodings Python leaves it in the text."""
    if os.fstat(lines.fileno()).st_size == 0 or not (first := lines.read(1)):
        raise Incomplete(f"{path} is empty")
    if first != _BYTE_ORDER_MARK:
        lines.seek(0)


def _reason(exc: OSError) -> str:
    return exc.strerror or type(exc).__name__
