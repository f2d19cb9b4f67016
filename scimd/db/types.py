"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Dialect, LargeBinary, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware, in UTC, to the microsecond.

    ``timestamptz`` on PostgreSQL. On SQLite text of one width (``2025-01-31T09:00:00.000000Z``), so
    that comparison and order of the texts are those of the moments. A naive datetime is refused:
    it means a different moment on every machine.
    """

    impl = postgresql.TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(27))

    # Not process_bind_param: its wrappers cost more than the conversion, at every time in every row.
    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _aware if dialect.name == "postgresql" else _TEXTS.__getitem__

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _in_utc if dialect.name == "postgresql" else _moment_of


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("a stored time needs a time zone")
    return value


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


def _moment_of(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def utc_text(moment: datetime) -> str:
    """The text of a moment in SQLite; always 27 characters."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _Texts(dict[datetime | None, str | None]):
    """Moments as text, by the moment: a transaction writes one of them into thousands of cells."""

    _AT_MOST: Final = 512

    def __missing__(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        if moment.tzinfo is None:  # equal to none that has a zone, and so never found above
            raise ValueError("a stored time needs a time zone")
        if len(self) >= self._AT_MOST:
            self.clear()
        text = self[moment] = utc_text(moment)
        return text


_TEXTS: Final = _Texts()


class _Jsonb(UserDefinedType[Any]):
    """PostgreSQL's JSONB, written as text that orjson made.

    SQLAlchemy's own type wraps the value once more and lets the driver serialize it with the
    standard library. The driver parses what is read, with the parser that the engine set.
    """

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSONB"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _json_text


class Ready:
    """A JSON document that is text already, to be stored as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _json_text(value: Any) -> str | None:
    if type(value) is Ready:
        return value.text
    return None if value is None else orjson.dumps(value).decode()


class _JsonText(UserDefinedType[Any]):
    """JSON as SQLite's TEXT."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _json_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _parsed


def _parsed(value: str | bytes | None) -> Any:
    return None if value is None else orjson.loads(value)


class Json(TypeDecorator[Any]):
    """A JSON document. ``None`` is SQL's NULL, never JSON's ``null``; order of keys is not kept."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_Jsonb() if dialect.name == "postgresql" else _JsonText())


class KeyText(TypeDecorator[str]):
    """Text that is compared, sorted or unique: by code point on both databases.

    PostgreSQL would otherwise sort by its locale, so that paging by key would differ from SQLite's
    BINARY and from Python, and equality could follow the locale's rules after an upgrade of ICU.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text(collation="C" if dialect.name == "postgresql" else None))


class Id(TypeDecorator[str]):
    """A UUIDv7 as its 36 characters: sorts by the time it was made, on both databases."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(36, collation="C" if dialect.name == "postgresql" else None))


class Bytes(TypeDecorator[bytes]):
    """Bytes as they are: hashes, salts, documents ready to answer."""

    impl = LargeBinary
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        # Both drivers take bytes as they are; the wrapper that SQLAlchemy puts around is for others.
        return None
