"""Many keys in one statement whose text stays the same: one parameter, whatever their number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ColumnElement, Select
from sqlalchemy.types import Text


def among(conn: Connection, column: ColumnElement[Any], keys: Collection[str]) -> ColumnElement[bool]:
    """``column`` is one of ``keys``. Nothing is among no keys.

    An array on PostgreSQL; on SQLite a JSON text that json_each() opens. A list of 500 parameters
    would be rendered and parsed anew for each number of keys.
    """
    if conn.dialect.name == "postgresql":
        return column == func.any(bindparam(None, list(keys), type_=ARRAY(Text, dimensions=1)))
    rows = func.json_each(bindparam(None, _json(keys), type_=Text)).table_valued("value")
    return column.in_(select(rows.c.value))


def rows_of(conn: Connection, keys: Collection[str], name: str = "key") -> Select[Any]:
    """A select of one text column called ``name`` with a row per key, to insert from or to join."""
    if conn.dialect.name == "postgresql":
        return select(func.unnest(cast(bindparam(None, list(keys), type_=ARRAY(Text)), ARRAY(Text))).label(name))
    rows = func.json_each(bindparam(None, _json(keys), type_=Text)).table_valued("value")
    return select(literal_column("value").label(name)).select_from(rows)


def _json(keys: Collection[str]) -> str:
    return orjson.dumps(list(keys)).decode()
