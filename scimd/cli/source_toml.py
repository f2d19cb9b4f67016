"""A source as it would stand in the config file. Secrets stand in it by reference, as they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scimd.config import Source
from scimd.core.printable import spelled_out
from scimd.org.sources.sources import SourceRecord, as_json

_ALWAYS = ("name", "connector", "state", "priority")


def source_toml(record: SourceRecord) -> str:
    """The ``[[organization]]`` with this one source; what is as by default is left out."""
    config = dict(record.config) | {
        "name": record.name,
        "connector": record.connector or "scim",
        "state": record.state,
        "invite": record.invite,
        "priority": record.priority,
        "ceiling": record.ceiling,
    }
    plain = as_json(Source(name=record.name))
    said = {name: value for name, value in config.items() if name in _ALWAYS or value != plain.get(name)}
    lines = ["[[organization]]", f"name = {_text(record.org_slug)}", "", "[[organization.source]]"]
    ordered = {name: said[name] for name in _ALWAYS} | said
    return "\n".join([*lines, *_table(ordered, "organization.source")]) + "\n"


def _table(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Plain values first: after a header, they would be that table's."""
    nested = []
    for name, value in table.items():
        if isinstance(value, Mapping) or (
            value and isinstance(value, list) and isinstance(value[0], Mapping)
        ):
            nested.append((name, value))
        elif value is not None:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in nested:
        inner = f"{path}.{_key(name)}"
        for each in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{inner}]]" if isinstance(value, list) else f"[{inner}]"
            yield from _table(each, inner)


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, Mapping):  # among plain values of a list
        return f"{{ {', '.join(f'{_key(name)} = {_value(each)}' for name, each in value.items())} }}"
    return _text(str(value))


def _text(value: str) -> str:
    """A basic string; JSON's escapes are TOML's. Escaped as well: what would steer a terminal."""
    return "".join(
        one if spelled_out(one) == one else f"\\U{ord(one):08x}"
        for one in json.dumps(value, ensure_ascii=False)
    )
