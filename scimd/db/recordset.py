"""Many rows in one parameter, for PostgreSQL: a JSON array of objects, read by the types of their columns.

A statement for each row costs the server and this process three times as much. Only for inserts: rows to
update would be joined with the table, and how is the planner's guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import JSON, Dialect, Insert, Text, bindparam, cast, func, literal_column

from scimd.db.types import Ready

#: A parameter of so many rows stays small beside what else a transaction holds.
_AT_ONCE = 500
#: Names of columns are a subclass of str, which JSON's keys may be only with this.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def inserting(statement: Insert, columns: Sequence[str], dialect: Dialect) -> str:
    """The text of the same insert, of these columns, from the one parameter."""
    given = cast(bindparam("rows", type_=Text), JSON)
    rows = func.json_populate_recordset(literal_column(f"NULL::{statement.table.name}"), given)
    named = rows.table_valued(*columns, name="r")
    selected = statement.from_select(list(columns), named.select(), include_defaults=False)
    return str(selected.compile(dialect=dialect))


def portions(many: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The rows, so many at a time."""
    return (many[begin : begin + _AT_ONCE] for begin in range(0, len(many), _AT_ONCE))


def value_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as that parameter's value. Raises the driver's error for text that is no Unicode."""
    try:
        return orjson.dumps(rows, default=_text, option=_OPTIONS).decode()
    except orjson.JSONEncodeError as exc:
        import psycopg

        raise psycopg.DataError(str(exc)) from exc


def _text(value: Any) -> str | orjson.Fragment:
    """What JSON has no form for, as PostgreSQL reads it from text; and what is JSON already."""
    if isinstance(value, Ready):
        return orjson.Fragment(value.text)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return "\\x" + value.hex()
    raise TypeError(f"{type(value).__name__} is of no type that is stored")
