"""What a driver's error means: a refusal that the edges know, a lost race, or a defect of ours."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, TypeGuard

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError

from scimd.core.errors import DatabaseUnavailable, Overloaded, Refusal, StorageFull

if TYPE_CHECKING:
    import psycopg


class LostRace(Exception):
    """Raised by a body that found itself overtaken: it is run again from the start."""


class KnowsMore(LostRace):
    """Raised by a body that has learnt what its next try goes by. Such a try is not counted: each knows
    more, and there is an end of it.
    """


class MoreToLock(KnowsMore):
    """Raised by a body that has learnt of rows which are to be locked before all others, by its next try."""


class FileGone(Exception):
    """SQLite's file, or its write-ahead log, is none that may be written: the path or the system's error, and
    why in a sentence."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path)
        self.why = why


class Refused(Exception):
    """PostgreSQL refused a statement, perhaps an earlier one than that which was asked for."""

    def __init__(self, sql: str, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.sql = sql
        self.error = error


_LOST_WITH_IT = "Nothing more is written, and what was just being written may be lost with it."
FILE_GONE = (
    f"The database file was deleted or replaced while scimd runs. {_LOST_WITH_IT} Stop scimd, put the file "
    "back or restore a backup, and start it again."
)
LOG_GONE = (
    f"The write-ahead log beside the database file was deleted or replaced while scimd runs. {_LOST_WITH_IT} "
    "Stop scimd with SIGTERM, at which it carries over what it still holds of it, and start it again."
)
NOT_SEEN = (
    "The database file or its write-ahead log cannot be looked at, so whether it was replaced is not known. "
    "What was just being written may have been made or not. Check the rights of its directories and the "
    "disk; scimd goes on by itself once it can look."
)
IS_DIRECTORY = "database.url names a directory. Name a file in it, such as sqlite:////var/lib/scimd/scimd.db"
ONLY_LOG_LEFT = (
    "The database file is not there, but its write-ahead log {log} is: the file was deleted or moved. Put it "
    "back; to restore a backup or to begin anew, remove that log first."
)
OUTCOME_UNKNOWN = (
    "The database was lost while it committed: the change may have been made or not. "
    "Send the request again later; a repeated change has one effect."
)
DAMAGED = "The database file is damaged or is no SQLite database. Stop scimd and restore a backup."
CANNOT_OPEN = "The database file cannot be opened. Check that it and its directory exist and are writable."
TOO_MANY_FILES = (
    "The database file cannot be opened: scimd, or the machine, has as many files open as it may. Allow more "
    "(ulimit -n, systemd's LimitNOFILE=)."
)
UNREADABLE = "The database file cannot be read: the disk fails. See what the system's log says of it."
TOO_SLOW = "The database took longer than the time limit; nothing was changed. Send the request again later."
CANCELLED = (
    "Somebody, or a limit of the server's own, cancelled a statement in the database; nothing was changed. "
    "Send the request again."
)
LACKS_RIGHTS = (
    "PostgreSQL refuses scimd's role what it needs. As an administrator of the server make the role (here: "
    "scimd) owner of its database and of the tables in it: ALTER DATABASE scimd OWNER TO scimd. Or grant it "
    "what is missing; to make tables that is GRANT USAGE, CREATE ON SCHEMA public TO scimd."
)
READ_ONLY = (
    "The database can only be read: the server follows another, or default_transaction_read_only is on. Name "
    "the server that is written to in database.url; or ALTER DATABASE scimd RESET "
    "default_transaction_read_only."
)
NO_SCHEMA = (
    "The database has no schema for scimd's tables: none that the role's search_path names is there, or may "
    "be used. Make one of the role's name: CREATE SCHEMA scimd AUTHORIZATION scimd."
)
NO_TABLES = (
    "scimd's tables are not where PostgreSQL looks for them: they were dropped, or the role's search_path "
    "names another schema than before. Put them back; scimd goes on by itself."
)
SILENT = (
    "The database lets scimd in and answers nothing: it hangs, or a pooler before it has no session left "
    "(PgBouncer: default_pool_size)."
)
OTHER_SESSION = (
    "A pooler stands before PostgreSQL that gives each transaction another session; nothing was changed. "
    "scimd needs one that keeps sessions (PgBouncer: pool_mode = session), or what is prepared in them "
    "(max_prepared_statements), or none."
)

# SQLite's primary result codes; the extended ones carry them in the low byte.
_ROLLS_BACK_ALL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY,
                   sqlite3.SQLITE_INTERRUPT}  # fmt: skip
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# Of these the disk's being full or read-only is the usual cause; of the others it is none.
_NO_ROOM_SQLITE = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
}
# The handle itself may be of no use after these: the next body opens the file anew.
_HANDLE_SUSPECT = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
} | _DAMAGED
#: The file, its log and the log's index.
_FILES_OF_SQLITE = 3
_UNIQUE_SQLITE = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}
_CHECK_SQLITE = {sqlite3.SQLITE_CONSTRAINT_CHECK, sqlite3.SQLITE_CONSTRAINT_TRIGGER}

_READ_ONLY_POSTGRESQL = "25006"
_LACKS_RIGHTS_POSTGRESQL = "42501"
_NO_SCHEMA_POSTGRESQL = "3F000"
_NO_TABLE_POSTGRESQL = "42P01"
_RACES = {"40001", "40P01"}  # serialization failure, deadlock
_UNIQUE_POSTGRESQL = "23505"
_CHECK_POSTGRESQL = {"23514", "P0001"}  # check violation, RAISE EXCEPTION
_FULL_POSTGRESQL = {"53100", "58030"}  # disk full, I/O error
_GONE_POSTGRESQL = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300"}  # ended by the server, or no room
# The server's session is not that which we prepared statements in: a pooler between, or a DISCARD.
_STRANGE_POSTGRESQL = {"26000", "42P05"}


def driver_error(exc: BaseException) -> BaseException:
    """The driver's own exception inside SQLAlchemy's."""
    return exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc


def first_line(exc: BaseException) -> str:
    """What the driver says first: which server, and whether it is away or refuses; no password."""
    return str(driver_error(exc)).strip().partition("\n")[0]


# ------------------------------------------------------------------------------ SQLite


def sqlite_code(exc: BaseException) -> int | None:
    """The primary result code of a SQLite error; None where the error is none of SQLite's."""
    code = _extended(exc)
    return None if code is None else code & 0xFF


def _extended(exc: BaseException) -> int | None:
    return getattr(driver_error(exc), "sqlite_errorcode", None)


def is_busy(exc: BaseException) -> bool:
    return sqlite_code(exc) == sqlite3.SQLITE_BUSY


def ends_the_batch(exc: BaseException) -> bool:
    """Whether SQLite may have rolled back the whole transaction, over the head of a savepoint."""
    return sqlite_code(exc) in _ROLLS_BACK_ALL | _DAMAGED


def spoils_the_handle(exc: BaseException) -> bool:
    return sqlite_code(exc) in _HANDLE_SUSPECT


def sqlite_refusal(exc: BaseException, *, writing: bool) -> Refusal | None:
    """The refusal for trouble of the database; None for what the body itself did wrong."""
    if isinstance(exc, FileGone):
        return DatabaseUnavailable(why=exc.why)
    match sqlite_code(exc):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Overloaded()
        case sqlite3.SQLITE_FULL:
            return StorageFull()
        case sqlite3.SQLITE_IOERR if _extended(exc) in _NO_ROOM_SQLITE:
            return StorageFull()
        case sqlite3.SQLITE_IOERR:
            return DatabaseUnavailable(why=UNREADABLE)
        case sqlite3.SQLITE_READONLY if writing:  # in a reader it is a body that tried to write
            return StorageFull()
        case sqlite3.SQLITE_INTERRUPT:
            return DatabaseUnavailable(why=TOO_SLOW)
        case sqlite3.SQLITE_NOMEM:
            return DatabaseUnavailable()
        case sqlite3.SQLITE_CANTOPEN:
            return DatabaseUnavailable(why=TOO_MANY_FILES if _no_more_files() else CANNOT_OPEN)
        case code if code in _DAMAGED:
            return DatabaseUnavailable(why=DAMAGED)
        case _:
            return None


def _no_more_files() -> bool:
    """Whether so many files as a connection opens cannot be opened now: SQLite does not say why it failed."""
    held: list[int] = []
    try:
        held.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(_FILES_OF_SQLITE))
    except OSError as exc:
        return exc.errno in (errno.EMFILE, errno.ENFILE)
    finally:
        for each in held:
            os.close(each)
    return False


# ------------------------------------------------------------------------------ PostgreSQL


def is_race(exc: BaseException) -> bool:
    """Whether running the same body again may succeed."""
    return isinstance(exc, LostRace) or _state(exc) in _RACES


def connection_lost(exc: BaseException, *, writing: bool) -> bool:
    """Whether the server is gone, or is one that cannot be written any more (after a fail-over)."""
    state = _state(exc)
    if state is None:
        return False
    if state in _GONE_POSTGRESQL or state in _STRANGE_POSTGRESQL:
        return True
    return state.startswith("08") or (writing and state == _READ_ONLY_POSTGRESQL)


def postgres_refusal(exc: BaseException, *, writing: bool, late: bool = False) -> Refusal | None:
    """The refusal for trouble of the database; None for what the body itself did wrong.

    ``late``: the time limit was over. The server's code for that is the one for what somebody cancelled, and
    its words are in its own language.
    """
    state = _state(exc)
    if state == "57014":
        return DatabaseUnavailable(why=TOO_SLOW if late else CANCELLED)
    if state == "55P03":  # lock not available
        return Overloaded()
    if state in _FULL_POSTGRESQL:
        return StorageFull()
    if state == _LACKS_RIGHTS_POSTGRESQL:
        return DatabaseUnavailable(why=LACKS_RIGHTS)
    if state == _NO_SCHEMA_POSTGRESQL:
        return DatabaseUnavailable(why=NO_SCHEMA)
    if state == _NO_TABLE_POSTGRESQL:
        return DatabaseUnavailable(why=NO_TABLES)
    if state == _READ_ONLY_POSTGRESQL and writing:  # in a reader it is a body that tried to write
        return DatabaseUnavailable(why=READ_ONLY)
    if state in _STRANGE_POSTGRESQL:
        return DatabaseUnavailable(why=OTHER_SESSION)
    return DatabaseUnavailable() if state is not None and state.startswith("53") else None


def _is_postgres(error: BaseException) -> TypeGuard[psycopg.Error]:
    # Where the driver was never loaded, as on SQLite, it has made no errors.
    driver = sys.modules.get("psycopg")
    return driver is not None and isinstance(error, driver.Error)


def _state(exc: BaseException) -> str | None:
    error = driver_error(exc)
    return error.sqlstate if _is_postgres(error) else None


# ------------------------------------------------------------------------------ constraints


def is_unique_violation(exc: IntegrityError) -> str | None:
    """What was violated, if it was a unique or primary key.

    PostgreSQL tells the name of the constraint or index; SQLite the columns
    (``people.org_id, people.local_user_name``), or the index's name where it is one of expressions.
    """
    error = driver_error(exc)
    if _is_postgres(error):
        return error.diag.constraint_name if error.sqlstate == _UNIQUE_POSTGRESQL else None
    if getattr(error, "sqlite_errorcode", None) not in _UNIQUE_SQLITE:
        return None
    what = str(error).partition(": ")[2]
    return what.removeprefix("index ").strip("'")


def violates(exc: IntegrityError, unique: Index | UniqueConstraint) -> bool:
    """Whether it was this unique index or constraint: one question for both databases.

    SQLite names columns only: of two unique indexes on the same columns either answers yes.
    """
    what = is_unique_violation(exc)
    columns = ", ".join(f"{column.table.name}.{column.name}" for column in unique.columns)
    return what is not None and what in (unique.name, columns)


def is_check_or_trigger(exc: DBAPIError, name: str) -> bool:
    """Whether the CHECK constraint or the trigger of this name refused."""
    error = driver_error(exc)
    if _is_postgres(error):
        if error.sqlstate not in _CHECK_POSTGRESQL:
            return False
        return error.diag.constraint_name == name or _names(error.diag.message_primary or "", name)
    return getattr(error, "sqlite_errorcode", None) in _CHECK_SQLITE and _names(str(error), name)


def _names(message: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) is not None
