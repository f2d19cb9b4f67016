"""Many keys in one statement whose text stays the same: one parameter, whatever their number.

A list of 500 parameters would be rendered and parsed anew for each number of keys. Here the keys are
an array on PostgreSQL, and on SQLite a JSON text that json_each() opens. Statements of the hot paths
are built once, with ``one_of``: building and keying a statement costs more than running it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BindParameter,
    Boolean,
    Connection,
    Dialect,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Text, TypeDecorator, TypeEngine


class KeyList(TypeDecorator[Collection[str]]):
    """A parameter that holds many keys."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text) if dialect.name == "postgresql" else Text())

    # Not process_bind_param: its wrappers cost as much as the conversion.
    def bind_processor(self, dialect: Dialect) -> Any:
        return _list if dialect.name == "postgresql" else _json_list


def _list(keys: Collection[str] | None) -> list[str]:
    return list(keys or ())


def _json_list(keys: Collection[str] | None) -> str:
    return orjson.dumps(_list(keys)).decode()


class TheKey(TypeDecorator[Collection[str]]):
    """A parameter that holds a list of one key, compared as the key."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        return _only


def _only(keys: Collection[str]) -> str:
    (key,) = keys
    return key


class Among(FunctionElement[bool]):
    """``column`` is one of the parameter's keys."""

    name = "among"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        # Or SQLAlchemy writes "= 1" behind it for SQLite, which then finds no index.
        return self


@compiles(Among, "postgresql")
def _array(element: Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, keys = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({keys})"


@compiles(Among, "sqlite")
def _json(element: Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, keys = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 - rendered by SQLAlchemy


class JsonString(FunctionElement[str]):
    """A text as JSON has it, quotes included."""

    name = "json_string"
    type = Text()
    inherit_cache = True


@compiles(JsonString, "postgresql")
def _to_json(element: JsonString, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(to_json({compiler.process(element.clauses, **kw)}) AS TEXT)"


@compiles(JsonString, "sqlite")
def _json_quote(element: JsonString, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_quote({compiler.process(element.clauses, **kw)})"


def one_of(column: ColumnElement[Any], name: str = "keys") -> ColumnElement[bool]:
    """``column`` is one of the keys that the statement is run with, as the parameter ``name``."""
    return Among(column, bindparam(name, type_=KeyList))


def among(conn: Connection, column: ColumnElement[Any], keys: Collection[str]) -> ColumnElement[bool]:
    """``column`` is one of these keys. Nothing is among no keys."""
    return Among(column, bindparam(None, list(keys), type_=KeyList))


def unindexed(column: ColumnElement[str]) -> ColumnElement[str]:
    """The column's text, in a form that no index is searched by.

    SQLite, without statistics, takes the index with more equalities, though it may hold half of the
    organization (everybody's pending invitations) where the other one holds a person's few.
    """
    return column.concat("")


def rows_of(conn: Connection, keys: Collection[str], name: str = "key") -> Select[Any]:
    """A select of one text column called ``name`` with a row per key, to insert from or to join."""
    return _rows_of(conn, bindparam(None, list(keys), type_=KeyList), name)


def rows_given(conn: Connection) -> Select[Any]:
    """The same, as ``key``, of the keys that the statement is run with, the parameter ``keys``."""
    return _rows_of(conn, bindparam("keys", type_=KeyList), "key")


def _rows_of(conn: Connection, keys: BindParameter[Any], name: str) -> Select[Any]:
    if conn.dialect.name == "postgresql":
        return select(func.unnest(keys).label(name))
    return select(literal_column("value").label(name)).select_from(func.json_each(keys))


def json_rows(conn: Connection, name: str, width: int) -> tuple[ColumnElement[Any], ...]:
    """The text columns of rows that travel as one parameter, ``name``: a JSON text of lists of so many."""
    given: BindParameter[Any] = bindparam(name, type_=Text)
    if conn.dialect.name == "postgresql":
        rows = func.json_array_elements(cast(given, JSON)).table_valued("value", name=name)
    else:
        rows = func.json_each(given).table_valued("value", name=name)
    return tuple(rows.c.value.op("->>", return_type=Text())(literal_column(str(n))) for n in range(width))
