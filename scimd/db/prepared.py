"""Statements that are built once, rendered once per database, and run on the driver's own connection.

SQLAlchemy's execution costs ten times what SQLite takes to find a row by its key. Hot paths build
their statements at import and run them here: the text, the order of the parameters and the types'
conversions are worked out at the first use. Errors are SQLAlchemy's, as from ``conn.execute``. On
PostgreSQL they travel by ``wire``: writes that give nothing back are sent with what is asked next.

Values that a statement fixes (``state == "live"``) become part of the text, so that a partial index
whose condition they are is found. A statement may hold ``bindparam`` and ``one_of``, but no ``in_``
of a list: its text would depend on the list's length.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import orjson
from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    LargeBinary,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import NullType, TypeEngine

from scimd.db import recordset
from scimd.db.among import Among, KeyList, TheKey
from scimd.db.faults import Refused
from scimd.db.types import Bytes

if TYPE_CHECKING:
    from scimd.db.wire import Query, Wire

Parameters: TypeAlias = Mapping[str, Any]
Statement: TypeAlias = Select[Any] | UpdateBase
_Convert = Callable[[Any], Any]
T = TypeVar("T")


@cache
def _dollars() -> Dialect:
    """With $1, as the server takes it. The driver is loaded where there is a server: it weighs 7 MB."""
    import psycopg
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    return PGDialect_psycopg(paramstyle="numeric_dollar", dbapi=psycopg)  # type: ignore[no-untyped-call]


#: All of them: they are made once, at import or for a set of columns, and never end.
_BUILT: list[Prepared] = []


class Prepared:
    """A statement to run often. Its rows are named tuples."""

    __slots__ = ("_statement", "_texts")

    def __init__(self, statement: Statement | Callable[[Connection], Statement]) -> None:
        """``statement`` may be a function where the databases differ, as in ``locks``."""
        self._statement: Final = statement
        self._texts: dict[Any, _Text] = {}
        _BUILT.append(self)

    def all(self, conn: Connection, parameters: Parameters) -> list[Any]:
        """All rows."""
        text = self._text(conn).fit(parameters)
        return text.rows(text.fetched(conn, parameters))

    def raw(self, conn: Connection, parameters: Parameters) -> list[tuple[Any, ...]]:
        """All rows as the driver gives them: for columns that need no conversion, and many rows."""
        return self._text(conn).fit(parameters).fetched(conn, parameters)

    def first(self, conn: Connection, parameters: Parameters) -> Any:
        """The first row, or None; meant for statements that find one."""
        rows = self.all(conn, parameters)
        return rows[0] if rows else None

    def column(self, conn: Connection, parameters: Parameters) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.all(conn, parameters)]

    def run(self, conn: Connection, parameters: Parameters) -> int:
        """Run once; gives how many rows it wrote. Where nobody asks for that, ``post`` is cheaper."""
        return self._text(conn).fit(parameters).count(conn, parameters)

    def post(self, conn: Connection, parameters: Parameters) -> None:
        """Run once; what follows in the transaction sees its effect."""
        self._text(conn).fit(parameters).post(conn, parameters)

    def many(self, conn: Connection, many: Sequence[Parameters]) -> None:
        """Run for each; nothing where there is none. Rows to insert name the same columns, each."""
        if not many:
            return
        text = self._text(conn, tuple(many[0]))
        if len(many) == 1:
            text.fit(many[0]).post(conn, many[0])
        else:
            text.post_many(conn, many)

    def statement(self, conn: Connection) -> Statement:
        """The statement as it was built, for this connection's database."""
        return self._statement(conn) if callable(self._statement) else self._statement

    def texts(self, conn: Connection) -> list[str]:
        """The texts that this connection's database is given: for many keys, and for one."""
        text = self._text(conn)
        return [text.sql] if text.for_one is None else [text.sql, text.for_one.sql]

    def _text(self, conn: Connection, columns: tuple[str, ...] = ()) -> _Text:
        name = conn.dialect.name
        key = (name, columns) if columns else name
        found = self._texts.get(key)
        if found is None:
            kind = _Sent if conn.dialect.name == "postgresql" else _Text
            found = self._texts[key] = kind(self.statement(conn), conn.dialect, columns)
        return found


class Locking(Prepared):
    """A select whose rows are locked until the transaction ends; see ``locks.lock_rows``."""

    __slots__ = ()

    def __init__(self, statement: Select[Any]) -> None:
        # SQLite has no such clause, and SQLAlchemy leaves it out there.
        super().__init__(statement.with_for_update())

    def wait(self, conn: Connection, parameters: Parameters) -> None:
        """Lock the rows and read nothing: on SQLite, whoever writes has the database to itself already."""
        if conn.dialect.name == "postgresql":
            self.post(conn, parameters)


class Listing(Prepared):
    """A select of texts, numbers and nulls that may give very many rows.

    On SQLite each column comes as one JSON text: Python's lock is handed back for each row that is fetched,
    and waited for each time where other threads are busy; and no 100,000 tuples are made.
    """

    __slots__ = ("_packed", "_width")

    def __init__(self, statement: Select[Any]) -> None:
        super().__init__(statement)
        columns = statement.subquery().c
        self._packed = Prepared(select(*(func.json_group_array(each).label(each.key) for each in columns)))
        self._width: Final = len(columns)

    def columns(self, conn: Connection, parameters: Parameters) -> tuple[Sequence[Any], ...]:
        """All rows, as a list for each column."""
        if conn.dialect.name == "postgresql":
            rows = self.raw(conn, parameters)
            return tuple(zip(*rows, strict=True)) if rows else ((),) * self._width
        (row,) = self._packed.raw(conn, parameters)
        return tuple(orjson.loads(column) for column in row)


class Rewriting:
    """Updates of rows of one table that set only what they are given: a statement for each set of columns.

    ``where`` finds one row by its key, with required ``bindparam``s.
    """

    __slots__ = ("_named", "_statements", "_table", "_where", "columns")

    def __init__(self, table: Table, where: ColumnElement[bool], columns: Sequence[str]) -> None:
        """``columns``: those that may be set."""
        self._table, self._where, self.columns = table, where, tuple(columns)
        self._named = {name: f"_{name}" for name in columns}
        self._statements: dict[tuple[str, ...], Prepared] = {}

    def many(self, conn: Connection, many: Iterable[tuple[Parameters, Parameters]]) -> None:
        """Each row by its key and its new values; nothing for one without."""
        by_columns: dict[tuple[str, ...], list[Parameters]] = {}
        named = self._named
        for key, values in many:
            if values:
                row = {**key, **{named[name]: value for name, value in values.items()}}
                by_columns.setdefault(tuple(values), []).append(row)
        for names, rows in by_columns.items():
            self.setting(tuple(sorted(names))).many(conn, rows)

    def setting(self, names: tuple[str, ...]) -> Prepared:
        """The statement that sets these columns, each from the parameter of its name with ``_`` before."""
        found = self._statements.get(names)
        if found is None:
            values: dict[str, Any] = {name: bindparam(f"_{name}") for name in names}
            statement = update(self._table).where(self._where).values(values)
            found = self._statements[names] = Prepared(statement)
        return found


def render(conn: Connection) -> None:
    """Render what was built so far as this connection's database takes it.

    But for inserts, of which only their first use tells the columns.
    """
    for each in _BUILT:
        if not isinstance(each.statement(conn), Insert):
            each._text(conn)


def waits(conn: Connection) -> bool:
    """Whether each write is waited for, as an earlier try of the body was refused late; see ``wire``."""
    return conn.dialect.name == "postgresql" and not wire_of(conn).posting


def ahead(conn: Connection, *asked: tuple[Prepared, Parameters]) -> None:
    """Say what will be asked next, with which parameters: PostgreSQL then answers all of it in one go.

    Asking with others, or not at all, is no error; a write in between makes it void. Costs nothing on
    SQLite, where no answer is far away.
    """
    if conn.dialect.name != "postgresql":
        return
    texts = [(statement._text(conn).fit(parameters), parameters) for statement, parameters in asked]
    sent = [(text.query, text.bound(parameters)) for text, parameters in texts if isinstance(text, _Sent)]
    try:
        wire_of(conn).ahead(sent)
    except conn.dialect.loaded_dbapi.Error as exc:
        raise told("", exc, conn.dialect) from exc


class _Text:
    """A statement as one database takes it; here as SQLite does.

    ``for_one``: the same where its list of keys holds just one, which is the common case: a plain
    comparison costs SQLite half of what opening a list does.
    """

    __slots__ = (
        "_as_given", "_convert", "_dialect", "_fixed", "_given", "_keys", "_row", "_several", "_values",
        "for_one", "sql", "types",
    )  # fmt: skip

    def __init__(
        self, statement: Statement, dialect: Dialect, columns: tuple[str, ...], *, one: bool = False
    ) -> None:
        inserted = list(columns) if isinstance(statement, Insert) else None
        fitted = _with_one_key(statement) if one else statement
        compiled = _with_literals(fitted, dialect).compile(dialect=dialect, column_keys=inserted)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - every statement's is
        self._dialect = dialect
        self.sql = str(compiled)
        names = compiled.positiontup or []
        binds = {name: compiled.binds[name] for name in names}
        self.types = [binds[name].type for name in names]
        self._fixed = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._values = _getter(names)
        wanted = ((n, _of_parameter(type_, dialect)) for n, type_ in enumerate(self.types))
        self._given = [(n, convert) for n, convert in wanted if convert is not None]
        # Nothing to add and to convert: most look-ups by id on SQLite.
        self._as_given = not (self._given or self._fixed)
        selected = list(statement.exported_columns)
        # A tuple class of its own per statement: attributes are found without a look-up by name.
        row: Any = namedtuple("Row", [column.key for column in selected])  # type: ignore[misc]
        self._row: Callable[[Iterable[Any]], Any] = row._make
        found = ((n, _of_result(column.type, dialect)) for n, column in enumerate(selected))
        self._convert = [(n, convert) for n, convert in found if convert is not None]
        lists = {name for name, bind in binds.items() if isinstance(bind.type, KeyList)}
        self._keys = lists.pop() if len(lists) == 1 else None
        several = not one and self._keys is not None
        self.for_one = type(self)(statement, dialect, columns, one=True) if several else None
        self._several = _of_several_rows(self.sql, len(names)) if columns else {}

    def fit(self, parameters: Parameters) -> _Text:
        """This text, or the one for a single key."""
        if self.for_one is None or len(parameters[self._keys or ""]) != 1:
            return self
        return self.for_one

    def fetched(self, conn: Connection, parameters: Parameters) -> list[Any]:
        return cast(list[Any], self._executed(conn, parameters).fetchall())

    def count(self, conn: Connection, parameters: Parameters) -> int:
        return int(self._executed(conn, parameters).rowcount)

    def post(self, conn: Connection, parameters: Parameters) -> None:
        self._executed(conn, parameters)

    def post_many(self, conn: Connection, many: Sequence[Parameters]) -> None:
        rows = self._all_bound(many)
        driver: Any = conn.connection.dbapi_connection
        try:
            # No statement is about two organizations: they go row by row.
            if self._several and len({each.get("org_id") for each in many}) == 1:
                for size, text in self._several.items():
                    while len(rows) >= size:
                        driver.execute(text, tuple(chain.from_iterable(rows[:size])))
                        rows = rows[size:]
            if rows:
                driver.executemany(self.sql, rows)
        except self._dialect.loaded_dbapi.Error as exc:
            raise told(self.sql, exc, self._dialect) from exc

    def _executed(self, conn: Connection, parameters: Parameters) -> Any:
        driver = conn.connection.dbapi_connection
        try:
            return driver.execute(self.sql, self.bound(parameters))  # type: ignore[union-attr]
        except self._dialect.loaded_dbapi.Error as exc:
            raise told(self.sql, exc, self._dialect) from exc

    def rows(self, found: list[Any]) -> list[Any]:
        make = self._row
        if not self._convert:
            return [make(row) for row in found]
        rows = []
        for row in found:
            values = list(row)
            for n, convert in self._convert:
                values[n] = convert(values[n])
            rows.append(make(values))
        return rows

    def _all_bound(self, many: Sequence[Parameters]) -> list[Sequence[Any]]:
        """``bound`` of each, column by column: so hardly any of it is Python."""
        rows = [self._values({**self._fixed, **each}) for each in many] if self._fixed else None
        columns = list(zip(*(map(self._values, many) if rows is None else rows), strict=True))
        for n, convert in self._given:
            columns[n] = tuple(map(convert, columns[n]))
        return list(zip(*columns, strict=True))

    def bound(self, parameters: Parameters) -> Sequence[Any]:
        if self._as_given:
            return self._values(parameters)
        values = list(self._values({**self._fixed, **parameters} if self._fixed else parameters))
        for n, convert in self._given:
            values[n] = convert(values[n])
        return values


class _Sent(_Text):
    """A statement as PostgreSQL takes it. Rows to insert travel as one: see ``recordset``."""

    __slots__ = ("_inserting", "query")

    def __init__(
        self, statement: Statement, dialect: Dialect, columns: tuple[str, ...], *, one: bool = False
    ) -> None:
        from scimd.db.wire import Query  # with the driver

        super().__init__(statement, _dollars(), columns, one=one)
        self.query = Query(self.sql, [isinstance(each, Bytes | LargeBinary) for each in self.types])
        self._inserting: Query | None = None
        if isinstance(statement, Insert) and columns:
            self._inserting = Query(recordset.inserting(statement, columns, _dollars()), (False,))

    def fetched(self, conn: Connection, parameters: Parameters) -> list[Any]:
        return self._told(wire_of(conn).rows, parameters)

    def count(self, conn: Connection, parameters: Parameters) -> int:
        return self._told(wire_of(conn).count, parameters)

    def post(self, conn: Connection, parameters: Parameters) -> None:
        self._told(wire_of(conn).post, parameters)

    def post_many(self, conn: Connection, many: Sequence[Parameters]) -> None:
        post, inserting = wire_of(conn).post, self._inserting
        if inserting is None:
            for each in many:
                self._told(post, each)
            return
        for rows in recordset.portions(many):
            self._asked(lambda rows=rows: post(inserting, (recordset.value_of(rows),)))  # type: ignore[misc]

    def _told(self, ask: Callable[[Query, Sequence[Any]], T], parameters: Parameters) -> T:
        return self._asked(lambda: ask(self.query, self.bound(parameters)))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except Refused as exc:
            raise told(exc.sql, exc.error, self._dialect) from exc.error
        except self._dialect.loaded_dbapi.Error as exc:
            raise told(self.sql, exc, self._dialect) from exc


def wire_of(conn: Connection) -> Wire:
    """Of a connection to PostgreSQL."""
    return cast("Wire", conn.connection.dbapi_connection.wire)  # type: ignore[union-attr]


def told(sql: str, exc: Exception, dialect: Dialect) -> BaseException:
    """What SQLAlchemy makes of a driver's error, without the parameters."""
    error = dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, exc, error, hide_parameters=True, dialect=dialect)


def _with_literals(statement: Statement, dialect: Dialect) -> Statement:
    def fixed(element: Any, **_: Any) -> ColumnElement[Any] | None:
        if not isinstance(element, BindParameter) or element.required or not isinstance(element.value, str):
            return None
        if isinstance(element.type, NullType):  # a value to SET, which gets its type from the column later
            return None
        text = element.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        return literal_column(str(text), element.type)

    return cast(Statement, replacement_traverse(statement, {}, fixed))


def _with_one_key(statement: Statement) -> Statement:
    """``column`` is the one key, in place of being among the keys."""

    def plain(element: Any, **_: Any) -> ColumnElement[Any] | None:
        if not isinstance(element, Among):
            return None
        column, keys = element.clauses
        return cast(ColumnElement[Any], column == bindparam(keys.key, type_=TheKey))

    return cast(Statement, replacement_traverse(statement, {}, plain))


#: SQLite is handed so many rows of an insert at a time: a step, and a handing back of Python's lock, for
#: all of them. A table has few such texts, which SQLite keeps prepared.
_ROWS_AT_ONCE: Final = (16, 8, 7, 6, 5, 4, 3, 2)


def _of_several_rows(sql: str, width: int) -> Mapping[int, str]:
    """An insert's text for several rows, by their number; nothing for what is more than a plain insert.

    OR FAIL: a row that is refused leaves those before it, as it does where each is a statement of its own;
    whoever fails is rolled back whole. To take them back SQLite would copy each page before it is changed.
    """
    row = f"({', '.join('?' * width)})"
    head, _, tail = sql.partition(" VALUES ")
    if tail != row or not head.startswith("INSERT INTO "):
        return {}
    head = head.replace("INSERT INTO", "INSERT OR FAIL INTO", 1)
    return {size: f"{head} VALUES {', '.join([row] * size)}" for size in _ROWS_AT_ONCE}


def _getter(names: list[str]) -> Callable[[Parameters], Sequence[Any]]:
    """A mapping's values of these names, in order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda parameters: [parameters[name] for name in names]


#: SQLAlchemy's own conversion calls Python for each; and the driver looks for an adapter of a bool.
_FLAGS: Final[Mapping[Any, int | None]] = {None: None, False: 0, True: 1}


def _of_parameter(type_: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    if isinstance(type_, Boolean) and dialect.name == "sqlite":
        return _FLAGS.__getitem__
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _of_result(type_: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
