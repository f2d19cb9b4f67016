"""Texts in the form in which Unicode composes them (NFC), at a cost that grows with their length.

Python puts marks that combine in order by insertion: a megabyte of them would take minutes.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

#: Marks side by side that ``unicodedata`` may put in order itself: no language has so many.
_MARKS = 50


def composed(text: str) -> str:
    """The text in NFC."""
    # is_normalized() sees at once what is not in order.
    if len(text) <= _MARKS or unicodedata.is_normalized("NFC", text):
        return unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", _long_run().sub(_in_order, text))


@cache
def _long_run() -> re.Pattern[str]:
    """Too many marks side by side, letters that are made of marks alone among them."""
    beyond = 0x20000  # where none is
    marks = "".join(filter(_is_mark, map(chr, range(beyond))))
    return re.compile(f"[{re.escape(marks)}]{{{_MARKS},}}")


def _is_mark(letter: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFD", letter)[0]) > 0


def _in_order(run: re.Match[str]) -> str:
    """In canonical order, which is stable."""
    apart = "".join(unicodedata.normalize("NFD", each) for each in run[0])
    return "".join(sorted(apart, key=unicodedata.combining))
