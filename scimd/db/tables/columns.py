"""What the tables are made of: the columns that return, indexes over some rows, what one database needs."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TextClause,
    event,
)
from sqlalchemy.schema import ExecutableDDLElement

from scimd.db.types import Id, KeyText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def ident() -> Column[str]:
    return Column("id", Id, primary_key=True)


def org() -> Column[str]:
    return Column("org_id", Id, primary_key=True)


def ref(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Id, nullable=null)


def time(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=null)


def integer(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=sqlalchemy.text(str(default)))


def counter(name: str, default: int | None = 0) -> Column[Any]:
    """What goes on by steps of millions (``org.tx.Tx.step``). Without a default it may be NULL."""
    null, stands = default is None, None if default is None else sqlalchemy.text(str(default))
    return Column(name, BigInteger, nullable=null, server_default=stands)


def flag(name: str, default: bool = False) -> Column[bool]:
    return Column(
        name, Boolean, nullable=False, server_default=sqlalchemy.text("true" if default else "false")
    )


def key(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, KeyText, nullable=null)


def text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def one_where(name: str, condition: str) -> Column[int]:
    """A column that the database computes: 1 where the condition holds, else NULL.

    At the end of a unique index it makes unique the rows that the condition picks, for NULLs are distinct;
    and the one index finds the others too.
    """
    return Column(
        name, SmallInteger, Computed(f"CASE WHEN {condition} THEN 1 END", persisted=True), nullable=True
    )


def partial_index(
    name: str, *on: Column[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    """An index over the rows that a condition picks, on both databases."""
    return Index(name, *on, unique=unique, sqlite_where=where, postgresql_where=where)


def keep_room(table: Table) -> None:
    """On PostgreSQL, leave a fifth of each page free, for a table whose rows change often and in no index.

    Then a changed row stays on its page, and no index has to say where it is (a HOT update).
    """
    event.listen(table, "after_create", ddl(f"ALTER TABLE {table.name} SET (fillfactor = 80)", "postgresql"))


def ddl(statement: str, dialect: str) -> ExecutableDDLElement:
    made: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
    return made.execute_if(dialect=dialect)


def tell_sqlite(table: Table, **figures: str) -> None:
    """Tell SQLite how many rows a large table has, and how many share the columns of an index, by its name.

    Nobody has it count them. Untold it takes an organization for ten rows, and any index that begins with
    one for as good as the right one: it walked through the members of all groups to find one person's.
    The figures stand where its own ANALYZE would put them (https://www.sqlite.org/fileformat2.html#stat1tab):
    rows of the table, then those that share the first column, the first two, and so on. ``primary``: the
    index of the key.
    """
    rows = ", ".join(
        f"('{table.name}', '{_primary(table) if name == 'primary' else name}', '{figure}')"
        for name, figure in figures.items()
    )
    for statement in (
        "ANALYZE sqlite_master",  # makes the table of figures, where there is none
        f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES {rows}",  # noqa: S608 - ours, all of it
        "ANALYZE sqlite_master",  # and has them read
    ):
        event.listen(table, "after_create", ddl(statement, "sqlite"))


def _primary(table: Table) -> str:
    keyed = table.dialect_options["sqlite"]["with_rowid"]
    return f"sqlite_autoindex_{table.name}_1" if keyed else table.name
