"""CSV: a header, one person a line; groups as lines of their own or as a column of the people."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from connectors.file.config import FileConfig
from connectors.file.lines import LONGEST_LINE, CutOffError, is_clean, lines_of, too_long
from scimd.connector_api import BadEntry, DirectoryGroup, DirectoryUser, Value

if TYPE_CHECKING:
    from _csv import Reader

_IDS = ("id", "externalId")
_GROUP_NAMES = ("displayName", "name", "cn")
# csv has one error class; its text tells what is wrong.
_CUT_OFF = "unexpected end of data"
# The records are what is limited, see _Lines; csv's own limit is 128 KiB a cell, for the whole process.
csv.field_size_limit(LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One line under its header. ``cells`` holds no empty ones: an empty cell is no value."""

    line: int
    cells: dict[str, str]


def read_users(file: IO[str], config: FileConfig) -> Iterator[DirectoryUser | DirectoryGroup | BadEntry]:
    """Give the people, then the groups of ``groups_column``, whose members must be collected first."""
    header, rows = _table(file, config)
    id_column = _column(header, (config.id,) if config.id else _IDS)
    for needed in (*config.multi_valued, *config.references, config.groups_column):
        if needed is not None:
            _column(header, (needed,))
    members: dict[str, list[str]] = {}
    listed: dict[str, int] = {}  # in how many lines
    for row in rows:
        if isinstance(row, BadEntry):
            yield row
            continue
        external_id = row.cells.get(id_column)
        if external_id is None:
            yield BadEntry(None, f"line {row.line}", f"the column {id_column} is empty")
            continue
        if config.groups_column:
            listed[external_id] = listed.get(external_id, 0) + 1
            for group in dict.fromkeys(_split(row.cells.pop(config.groups_column, ""), config)):
                members.setdefault(group, []).append(external_id)
        yield _user(row, external_id, config)
    for name, ids in members.items():
        twice = next((each for each in ids if listed[each] > 1), None)
        if twice is None:
            yield DirectoryGroup(name, name, name, tuple(dict.fromkeys(ids)))
        else:
            why = f"the person {twice}, who has several lines, may be in it or not"
            yield BadEntry(name, name, why, "group")


def read_groups(file: IO[str], config: FileConfig) -> Iterator[DirectoryGroup | BadEntry]:
    """Give the groups of a file with ``members`` (several in a cell) or ``member`` (one a line)."""
    header, rows = _table(file, config)
    name_column = _column(header, _GROUP_NAMES)
    id_column = next((column for column in (config.id, *_IDS) if column in header), None) or name_column
    if "member" not in header:
        _column(header, ("members",))
        yield from _one_a_line(rows, id_column, name_column, config)
    else:
        yield from _gathered(rows, id_column, name_column)


def _one_a_line(
    rows: Iterator[Row | BadEntry], id_column: str, name_column: str, config: FileConfig
) -> Iterator[DirectoryGroup | BadEntry]:
    for row in rows:
        if isinstance(row, BadEntry):
            yield row
            continue
        members = dict.fromkeys(_split(row.cells.pop("members", ""), config))
        yield _group(row, id_column, name_column, tuple(members))


def _gathered(
    rows: Iterator[Row | BadEntry], id_column: str, name_column: str
) -> Iterator[DirectoryGroup | BadEntry]:
    """Bring the lines of a group together, wherever they stand; its first line names it.

    A line that cannot be read could be a member of any group: it is a bad entry without an id.
    """
    first: dict[str, Row] = {}
    members: dict[str, dict[str, None]] = {}
    for row in rows:
        if isinstance(row, BadEntry) or id_column not in row.cells:
            yield row if isinstance(row, BadEntry) else _without(row, id_column)
            continue
        member = row.cells.pop("member", None)
        key = row.cells[id_column]
        first.setdefault(key, row)
        members.setdefault(key, {}).update({member: None} if member else {})
    for key, row in first.items():
        yield _group(row, id_column, name_column, tuple(members[key]))


def _group(row: Row, id_column: str, name_column: str, members: tuple[str, ...]) -> DirectoryGroup | BadEntry:
    external_id, display_name = row.cells.get(id_column), row.cells.get(name_column)
    if external_id is None:
        return _without(row, id_column)
    if display_name is None:
        return BadEntry(external_id, f"line {row.line}", f"the column {name_column} is empty", "group")
    attributes: dict[str, Value] = dict(row.cells)
    return DirectoryGroup(external_id, f"line {row.line}", display_name, members, attributes)


def _without(row: Row, column: str) -> BadEntry:
    return BadEntry(None, f"line {row.line}", f"the column {column} is empty")


def _user(row: Row, external_id: str, config: FileConfig) -> DirectoryUser:
    references = tuple(row.cells[column] for column in config.references if column in row.cells)
    attributes: dict[str, Value] = dict(row.cells)
    for column in config.multi_valued:
        if values := _split(row.cells.get(column, ""), config):
            attributes[column] = tuple(values)
    return DirectoryUser(external_id, f"line {row.line}", attributes, references)


def _split(cell: str, config: FileConfig) -> list[str]:
    return [text for part in cell.split(config.separator) if (text := part.strip())]


def _column(header: list[str], names: tuple[str, ...]) -> str:
    for name in names:
        if name in header:
            return name
    raise CutOffError(f"its first line has no column {' or '.join(names)}")


class _Lines:
    """The lines of a file, and how much of it has gone into one record, whose cells may hold line breaks."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._number = self._began = self._length = 0

    def begin(self) -> None:
        """From the next line on it is another record."""
        self._began, self._length = self._number, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._length += len(line)
        if self._length > LONGEST_LINE:
            # Within a cell: nobody knows which of the lines that follow begin a record.
            raise too_long(f"line {self._began + 1}, with the lines that its cells hold,")
        return line


def _table(file: IO[str], config: FileConfig) -> tuple[list[str], Iterator[Row | BadEntry]]:
    lines = _Lines(lines_of(file, must_end=True))
    reader = csv.reader(lines, delimiter=config.delimiter, strict=True)
    header = [name.strip() for name in _header(reader)]
    if len(set(header)) != len(header) or "" in header:
        raise CutOffError("its first line, the header, has a column twice or without a name")
    return header, _rows(reader, lines, header)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as exc:
        raise CutOffError(f"its first line, the header, cannot be read: {exc}") from exc
    if not all(is_clean(name) for name in header):
        raise CutOffError("its first line, the header, is not written in the encoding of the settings")
    return header


def _rows(reader: Reader, lines: _Lines, header: list[str]) -> Iterator[Row | BadEntry]:
    """Give every line that holds anything.

    With a wrong number of cells nothing says which cell is the id, or how many people a quotation
    mark left open has swallowed: such a line is a bad entry without an id.
    """
    width = len(header)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            if str(exc) == _CUT_OFF:
                raise CutOffError("a quotation mark is still open at its end") from exc
            yield BadEntry(None, f"line {reader.line_num}", str(exc))
            continue
        if not cells or (width > 1 and cells == [""]):
            continue
        where = f"line {reader.line_num}"
        if len(cells) != width:
            yield BadEntry(None, where, f"has {len(cells)} cells, and the header has {width}")
        elif not all(map(is_clean, cells)):
            yield BadEntry(None, where, "holds bytes that are not in the encoding of the settings")
        else:
            texts = {name: text for name, cell in zip(header, cells, strict=True) if (text := cell.strip())}
            yield Row(reader.line_num, texts)
