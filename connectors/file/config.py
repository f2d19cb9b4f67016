"""The settings of a file source."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scimd.connector_api import BadSetting

FORMATS = ("auto", "csv", "jsonl", "ldif")
#: What a file's name ends with, per format.
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".ldif": "ldif"}


@dataclass(frozen=True, slots=True)
class FileConfig:
    """One directory kept as a file, or as a folder with ``users.*`` and ``groups.*``.

    ``users`` and ``groups`` name files within the folder; None looks for the usual names. ``id`` is
    the column, key or attribute that never changes; None takes the format's own.
    """

    path: Path
    format: str = "auto"
    encoding: str = "utf-8"
    users: str | None = None
    groups: str | None = None
    id: str | None = None
    delimiter: str = ","
    separator: str = ";"
    multi_valued: tuple[str, ...] = ()
    groups_column: str | None = None
    references: tuple[str, ...] = ()
    ignored_referrals: tuple[str, ...] = ()


_KEYS = FileConfig.__slots__


def parse(settings: Mapping[str, Any]) -> FileConfig:
    """Check every key; raises BadSetting for the first that is wrong."""
    for key in settings:
        if key not in _KEYS:
            raise BadSetting(key, f"a file source knows {', '.join(_KEYS)}")
    if "path" not in settings:
        raise BadSetting("path", "is missing: a file, or a folder with users.* and groups.*")
    config = FileConfig(
        path=Path(_text(settings, "path", "")),
        format=_format(settings),
        encoding=_encoding(settings),
        users=_file_name(settings, "users"),
        groups=_file_name(settings, "groups"),
        id=_optional(settings, "id"),
        delimiter=_character(settings, "delimiter", ","),
        separator=_character(settings, "separator", ";"),
        multi_valued=_names(settings, "multi_valued"),
        groups_column=_optional(settings, "groups_column"),
        references=_names(settings, "references"),
        ignored_referrals=_names(settings, "ignored_referrals"),
    )
    if config.groups and config.groups_column:
        raise BadSetting("groups_column", "memberships stand in a groups file or in a column, not in both")
    if config.delimiter == config.separator:
        raise BadSetting("separator", "cannot be the character that separates the columns")
    return config


def _text(settings: Mapping[str, Any], key: str, default: str) -> str:
    value = settings.get(key, default)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadSetting(key, "must be a text that is not empty")
    return value


def _optional(settings: Mapping[str, Any], key: str) -> str | None:
    return _text(settings, key, "") if key in settings else None


def _character(settings: Mapping[str, Any], key: str, default: str) -> str:
    value = _text(settings, key, default)
    if len(value) != 1 or value in '"\r\n':
        raise BadSetting(key, "must be one character, neither a quotation mark nor a line break")
    return value


def _format(settings: Mapping[str, Any]) -> str:
    value = _text(settings, "format", "auto")
    if value not in FORMATS:
        raise BadSetting("format", f"must be one of {', '.join(FORMATS)}")
    return value


def _encoding(settings: Mapping[str, Any]) -> str:
    value = _text(settings, "encoding", "utf-8")
    try:
        found = codecs.lookup(value)
    except LookupError as exc:
        raise BadSetting("encoding", f"Python knows no encoding {value!r}") from exc
    if not getattr(found, "_is_text_encoding", True):
        raise BadSetting("encoding", f"{value!r} is no encoding of text")
    return found.name


def _file_name(settings: Mapping[str, Any], key: str) -> str | None:
    value = _optional(settings, key)
    if value is not None and Path(value).name != value:
        raise BadSetting(key, "must be the name of a file within the folder, without a path")
    return value


def _names(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = settings.get(key, ())
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise BadSetting(key, "must be a list of names")
    return tuple(value)
