"""CSV that a spreadsheet shows and does not calculate: the one writer for every export.

A cell that begins like a formula gets an apostrophe in front (OWASP, CSV Injection). So does each
member of a list before they are joined, and every cell is quoted: a spreadsheet that splits at
another sign than a comma must not find a formula behind it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_FULLWIDTH = ("＝", "＋", "－", "＠")  # Excel reads these as their ASCII twins


def line(cells: Iterable[object]) -> str:
    """One line of CSV (RFC 4180), with its end."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow([cell(each) for each in cells])
    return buffer.getvalue()


def cell(value: object) -> str:
    """The text of a cell: nothing for None, members of a list with ``, `` between, objects as JSON."""
    if isinstance(value, list | tuple | set | frozenset):
        return _safe(", ".join(cell(each) for each in value))
    return _safe(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _safe(text: str) -> str:
    start = text.lstrip(" \u00a0\ufeff")
    return f"'{text}" if text.startswith(_FORMULA) or start.startswith((*_FORMULA, *_FULLWIDTH)) else text
