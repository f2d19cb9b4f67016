"""People whom a body makes: kept back until they are settled, then written once.

Most of a person's row is their standing. Inserted before settling, it would be written twice, read
back in between, and every index of it touched twice.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Column, Connection, DefaultClause

from scimd.core.people import PersonId
from scimd.core.standing import AssertionFact
from scimd.db.prepared import Prepared
from scimd.db.tables import people
from scimd.db.types import Ready

_INSERT = Prepared(people.insert())
_Row: Any = namedtuple("Row", [column.key for column in people.c])  # type: ignore[misc]
#: The narrowest standing there is, for whoever is written before being settled.
_NARROWEST: Mapping[str, Any] = {
    "status": "pending",
    "causes": [],
    "primary_role": "user",
    "roles": ["user"],
    "profile": {},
    "rules_version": 0,
}


def _default(column: Column[Any]) -> Any:
    """What the database would put in where nothing is said."""
    given = column.server_default
    if not isinstance(given, DefaultClause):
        return None
    said = str(getattr(given.arg, "text", given.arg))
    return orjson.loads(said) if said in ("true", "false") or said.isdecimal() else said.strip("'")


_EMPTY: Mapping[str, Any] = {**{str(column.key): _default(column) for column in people.c}, **_NARROWEST}
_PLACES: Mapping[str, int] = {str(column.key): n for n, column in enumerate(people.c)}
_BLANK = [_EMPTY[name] for name in _PLACES]
#: The same to be written: what is JSON is text already.
_STORED: Mapping[str, Any] = {
    name: Ready(orjson.dumps(value).decode()) if isinstance(value, list | dict) else value
    for name, value in _EMPTY.items()
}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody new: the columns that are known before settling, and what their source says of them."""

    columns: Mapping[str, Any]
    asserted: AssertionFact

    @property
    def row(self) -> Any:
        """As ``select(people)`` would give it."""
        values = _BLANK.copy()
        for name, value in self.columns.items():
            values[_PLACES[name]] = value
        return _Row._make(values)


@dataclass(slots=True)
class Newcomers:
    """Those of one transaction who are not written yet."""

    waiting: dict[PersonId, Newcomer] = field(default_factory=dict)

    def write(self, conn: Connection, settled: Iterable[tuple[PersonId, Mapping[str, Any]]]) -> None:
        """Write these, with the columns that settling found."""
        _INSERT.many(
            conn, [{**_STORED, **self.waiting.pop(each).columns, **columns} for each, columns in settled]
        )

    def write_unsettled(self, conn: Connection) -> None:
        """Write all who wait, as people who may do nothing yet."""
        self.write(conn, [(each, {}) for each in list(self.waiting)])
