"""Migrations: forward only, one transaction each time, one process at a time.

A developer who has changed ``tables/`` writes the next version with
``python -c "from scimd.db.migrate import revision; revision('its number', 'what changes')"``, formats it and
reads it: changed triggers, moves of data and what SQLite is told of a table that is there already are not
found by comparison. The first four make the schema, each the tables of some of the nouns.
"""

from __future__ import annotations

import sqlite3
import tempfile
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    DDL,
    BigInteger,
    Connection,
    Engine,
    NullPool,
    Table,
    bindparam,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from scimd.core.errors import DatabaseUnavailable
from scimd.db.engine import Tuning, is_sqlite, parse, sqlite_path
from scimd.db.faults import (
    IS_DIRECTORY,
    LACKS_RIGHTS,
    NO_SCHEMA,
    ONLY_LOG_LEFT,
    READ_ONLY,
    SILENT,
    FileGone,
    first_line,
    postgres_refusal,
    sqlite_refusal,
)
from scimd.db.sqlite_file import connect, make
from scimd.db.tables import assertions, metadata, organizations, seat_pools
from scimd.db.work import SPEAK, connect_args, cut

if TYPE_CHECKING:
    from alembic.config import Config

#: empty: no database yet, or one without a table. foreign: another program's.
State = Literal["current", "behind", "ahead", "empty", "foreign"]

_VERSION = "alembic_version"
#: Tables of every version; others have tables of one of these names, too.
_OURS = {_VERSION, organizations.name, assertions.name, seat_pools.name}
_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x5C1D_DB01  # PostgreSQL's advisory lock of whoever migrates
_NAMED = 10  # of what is missing
#: Others may migrate for long, and a step may take long: no limit of the role's is meant for that.
_NO_LIMITS = text(
    "SELECT set_config(name, '0', true) FROM unnest(ARRAY['statement_timeout', 'lock_timeout', "
    "'idle_in_transaction_session_timeout']) AS name"
)
_FIRST_ANSWER_S = 10.0  # of whoever let us in: where it is a pooler, it may have no session for us
_BUSY_S = 60.0  # another process may be migrating: wait for it


class NotForUs(Exception):
    """A database that this scimd cannot work with; its text says why, and the way out."""


class SchemaTooNew(NotForUs):
    """The database was written by a newer scimd."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The database has the schema {found}, which this scimd does not know: it was written by a "
            f"newer one. Start that version, or restore the backup from before the upgrade. "
            f"This one knows {head()}."
        )


class SchemaIncomplete(NotForUs):
    """A database that says it has this scimd's schema, and lacks some of it."""

    def __init__(self, missing: Sequence[str]) -> None:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        super().__init__(
            f"The database says that it has the schema {head()}, and lacks "
            f"{', '.join(missing[:_NAMED])}{more}: a build from before the first release made it, "
            "or somebody took that out. Nothing was changed. Restore a backup that has it, or name another "
            "database."
        )


class NotUnicode(NotForUs):
    """A database of PostgreSQL that cannot hold every text."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"The database has the encoding {encoding}, which cannot hold every name. scimd needs one in "
            "UTF8: CREATE DATABASE scimd OWNER scimd ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )


class NotOurs(NotForUs):
    """The database is another program's: it has tables, and they are not scimd's. Name one of its own."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotMigrated(NotForUs):
    """A step of a migration was refused by the database, for what is in it."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(
            f"The schema could not be brought to {head()}, and nothing was changed. The database says: "
            f"{first_line(error)}. Mend that, or name a database of scimd's own."
        )


def upgrade(url: str) -> None:
    """Bring the schema to ``head()``. Does nothing where it is there already.

    All versions that are missing run in one transaction: killed half-way, nothing has happened, and
    the next call begins again. Raises SchemaTooNew, SchemaIncomplete, NotOurs, NotUnicode, NotMigrated.
    """
    state = check(url)
    if state == "foreign":
        raise NotOurs
    if state == "current":
        return
    # Here and not above: alembic weighs 20 MB, and a process that has nothing to migrate runs for long.
    from alembic import command

    try:
        with _transaction(url) as conn:
            _refuse_newer(_revision(conn))
            command.upgrade(_config(conn), "head")
            if conn.dialect.name == "sqlite":
                _check_references(conn)
    except DBAPIError as exc:
        raise NotMigrated(exc) from exc


def current(url: str) -> str | None:
    """The version of the database's schema; None for an empty database."""
    with _connection(url) as conn:
        return _revision(conn)


def head() -> str:
    """The version that this scimd works with."""
    newest = max(_versions(), default=None)
    if newest is None:
        raise RuntimeError("scimd is installed without its migrations")
    return newest


def _versions() -> set[str]:
    """The versions that are there: their files begin with their numbers."""
    return {path.name.partition("_")[0] for path in _SCRIPTS.glob("versions/[0-9]*_*.py")}


def check(url: str) -> State:
    """How the database's schema stands to this scimd. Makes no file, and writes nothing to one not ours.

    Raises NotUnicode, SchemaIncomplete.
    """
    strange = _strange(url)
    if strange is not None:
        return strange
    with _connection(url) as conn:
        found = _revision(conn)
        missing = _missing(conn) if found == head() else ()
    if missing:
        raise SchemaIncomplete(missing)
    if found is None:
        return "empty"
    if found == head():
        return "current"
    return "behind" if found in _versions() else "ahead"


def _strange(url: str) -> Literal["empty", "foreign"] | None:
    """What the database is where it is not scimd's. PostgreSQL's may hold others' tables too, but none of
    the names of scimd's."""
    parsed = parse(url)
    if not is_sqlite(parsed):
        return _strange_on_postgres(url)
    path = sqlite_path(parsed).absolute()
    if path.is_dir():
        raise DatabaseUnavailable(why=IS_DIRECTORY)
    if not path.exists():
        log = path.with_name(f"{path.name}-wal")
        if log.exists():  # SQLite would throw it away: perhaps all that is left
            raise DatabaseUnavailable(why=ONLY_LOG_LEFT.format(log=log))
        return "empty"
    if path.stat().st_size == 0:
        return "empty"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as raw:
            there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as exc:
        refusal = sqlite_refusal(exc, writing=False)
        if refusal is None:
            raise
        raise refusal from exc
    if not there:
        return "empty"
    return None if there >= _OURS else "foreign"


def _strange_on_postgres(url: str) -> Literal["empty", "foreign"] | None:
    with _connection(url) as conn:
        encoding = conn.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise NotUnicode(encoding)
        there = set(inspect(conn).get_table_names())
    if there >= _OURS:
        return None
    return "foreign" if there & {_VERSION, *metadata.tables} else "empty"


_COLUMNS = {
    # Every integer of SQLite's has 64 bits. Of others' tables only names are read: a virtual one may be of a
    # module that is not loaded here.
    "sqlite": text(
        "SELECT t.name, c.name, 0 FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c "
        "WHERE t.type = 'table' AND t.name IN :ours"
    ),
    "postgresql": text(
        "SELECT c.relname, a.attname, a.atttypid = 'integer'::regtype "
        "FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace <> 'pg_catalog'::regnamespace AND pg_table_is_visible(c.oid) "
        "AND c.relkind IN ('r', 'p') AND c.relname IN :ours AND a.attnum > 0 AND NOT a.attisdropped"
    ),
}


def _missing(conn: Connection) -> list[str]:
    """What the database lacks of the tables and of their columns, by name, in words.

    A column of 32 bits where counters go on by steps of millions is full after some hundred of them.
    """
    there: dict[str, dict[str, bool]] = {}
    columns = _COLUMNS[conn.dialect.name].bindparams(bindparam("ours", list(metadata.tables), expanding=True))
    for table, column, is_short in conn.execute(columns):
        there.setdefault(table, {})[column] = bool(is_short)
    found = [f"the table {name}" for name in metadata.tables if name not in there]
    for name, table in metadata.tables.items():
        for each in table.c if name in there else ():
            if each.name not in there[name]:
                found.append(f"the column {name}.{each.name}")
            elif there[name][each.name] and isinstance(each.type, BigInteger):
                found.append(f"the column {name}.{each.name} of 64 bits")
    return found


def prove_writable(url: str) -> None:
    """Whether PostgreSQL lets tables be made, or those that are there be written; raises
    DatabaseUnavailable."""
    if is_sqlite(parse(url)):
        return
    with _connection(url) as conn:
        asked = conn.execute(_MAY, {"made": organizations.name}).one()
    if asked.read_only:
        raise DatabaseUnavailable(why=READ_ONLY)
    if asked.place is None:
        raise DatabaseUnavailable(why=NO_SCHEMA)
    if not asked.may:
        raise DatabaseUnavailable(why=LACKS_RIGHTS)


_MAY = text(
    "SELECT current_schema() AS place, current_setting('transaction_read_only')::boolean AS read_only, "
    "CASE WHEN to_regclass(:made) IS NULL THEN has_schema_privilege(current_schema(), 'CREATE') "
    "ELSE (SELECT bool_and(has_table_privilege(to_regclass(:made), what)) "
    "FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS what) END AS may"
)


def is_in_use(url: str) -> bool:
    """Whether an organization is in it."""
    if _strange(url) is not None:
        return False
    with _connection(url) as conn:
        there = inspect(conn).has_table(organizations.name)
        return there and conn.execute(select(organizations.c.id).limit(1)).first() is not None


def revision(number: str, message: str) -> Path:
    """Write the next version file from the difference between ``tables/`` and the versions so far."""
    from alembic import command  # as in upgrade()

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/revision.db"
        if _versions():
            upgrade(url)
        with _transaction(url) as conn:
            there = set(inspect(conn).get_table_names())
            script = command.revision(_config(conn), message, autogenerate=True, rev_id=number)
    if script is None or isinstance(script, list):
        raise RuntimeError("one version file was expected")
    path = Path(script.path)
    with path.open("a") as file:
        file.writelines(_more_lines(table for name, table in metadata.tables.items() if name not in there))
    return path


def more_ddl(table: Table) -> list[DDL]:
    """What ``tables/`` hangs on the creation of a table, triggers mostly: alembic does not see it."""
    return [ddl for ddl in table.dispatch.after_create if isinstance(ddl, DDL)]


def _more_lines(new: Iterable[Table]) -> Iterator[str]:
    for table in new:
        for ddl in more_ddl(table):
            statement = ddl.statement if "\n" in ddl.statement else textwrap.fill(ddl.statement, 96)
            only = ddl._ddl_if.dialect if ddl._ddl_if else None  # there is no public way to ask
            margin = "    "
            if only is not None:
                yield f"    if op.get_bind().dialect.name == {only!r}:\n"
                margin *= 2
            # Not op.execute: that reads a colon as the start of a parameter.
            yield f'{margin}op.get_bind().exec_driver_sql(\n"""\n{statement}\n"""\n{margin})\n'


# ------------------------------------------------------------------------------ how alembic compares


def rendered(kind: str, item: Any, context: Any) -> str | Literal[False]:
    """Write scimd's column types by their own names; all else is alembic's to write."""
    if kind == "type" and type(item).__module__ == "scimd.db.types":
        return f"types.{type(item).__name__}()"
    return False


def compares(context: Any, inspected: Any, column: Any, there: Any, wanted: Any) -> bool | None:
    """Whether a column's type differs: by the SQL of each, since scimd's types are wrappers."""
    dialect = context.dialect

    def spelled(kind: Any) -> str:
        return str(kind.compile(dialect=dialect)).partition(" COLLATE ")[0]

    return spelled(there) != spelled(wanted)


# ------------------------------------------------------------------------------ connections


def _config(conn: Connection) -> Config:
    from alembic.config import Config  # as in upgrade()

    config = Config()
    # ConfigParser reads % as the start of a reference; a path may hold one.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    """One transaction that no other migration overlaps; it holds for DDL too, on both databases.

    It is what makes SQLite's file; nothing else does.
    """
    if is_sqlite(parse(url)):
        make(sqlite_path(parse(url)))
    with _connection(url) as conn, conn.begin():
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            conn.execute(_NO_LIMITS)
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield conn


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = _engine(url)
    connected = False
    try:
        with engine.connect() as conn:
            connected = True
            yield conn
    except (DBAPIError, sqlite3.Error, FileGone) as exc:
        sqlite = engine.dialect.name == "sqlite"
        refusal = sqlite_refusal(exc, writing=True) if sqlite else postgres_refusal(exc, writing=True)
        if refusal is None and not (connected or sqlite):
            refusal = DatabaseUnavailable(why=f"The database cannot be reached: {first_line(exc)}")
        if refusal is None and getattr(exc, "connection_invalidated", False):
            refusal = DatabaseUnavailable()
        if refusal is None:
            raise
        raise refusal from exc
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    parsed = parse(url)
    if not is_sqlite(parsed):
        engine = create_engine(
            parsed,
            poolclass=NullPool,
            # Whoever waited for another's migration is to see what that made, whatever the role has set.
            isolation_level="READ COMMITTED",
            connect_args=connect_args(parsed, Tuning()),
        )
        event.listen(engine, "do_connect", _connected)
        return engine
    path = sqlite_path(parsed)

    def opened() -> sqlite3.Connection:
        raw = connect(path, _BUSY_S, query_only=False)
        # SQLite changes some columns by building the table anew; references to it must not mind.
        raw.execute("PRAGMA foreign_keys=OFF")
        return raw

    return create_engine("sqlite+pysqlite://", creator=opened, poolclass=NullPool)


def _connected(dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> Any:
    """A connection that was answered, too, within some time; what SQLAlchemy asks itself has no limit."""
    raw = dialect.connect(*args, **options)
    silent = threading.Event()

    def end() -> None:
        silent.set()
        cut(raw.fileno())

    timer = threading.Timer(_FIRST_ANSWER_S, end)
    timer.start()
    try:
        raw.autocommit = True
        raw.execute(SPEAK)
        raw.autocommit = False
    except Exception as exc:
        raw.close()
        if silent.is_set():
            raise DatabaseUnavailable(why=SILENT) from exc
        raise
    finally:
        timer.cancel()
    return raw


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table(_VERSION):
        return None
    found: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in _versions():
        raise SchemaTooNew(found)


def _check_references(conn: Connection) -> None:
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        raise RuntimeError(f"the migration would break references of: {tables}")
