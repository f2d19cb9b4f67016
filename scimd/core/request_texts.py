"""Of texts and JSON values, without a key: words and pieces, how deep they nest, what they looked like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from scimd.core.people import fold

SHAPE_CHARS = 2_000
WORD = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_SELECTION = re.compile(r"\[[^\]]*\]")
_SHAPED = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}|[A-Z]|[a-z]|[0-9]|[^\x00-\x7f]")


def without_selections(text: str) -> str:
    """Paths without what stands in brackets: ``emails[type eq "work"].value`` as ``emails.value``."""
    # Behind the last one that closes each that opens would be looked for to the end.
    head, closing, tail = text.rpartition("]")
    return _SELECTION.sub("", head + closing) + tail


def shape(raw: bytes) -> str:
    """What a body that is no JSON looked like: letters as ``a``, digits as ``0``, its beginning."""
    text = raw[: SHAPE_CHARS * 2].decode("utf-8", "replace")[:SHAPE_CHARS]
    return _SHAPED.sub(_as_shape, text)


def _as_shape(match: re.Match[str]) -> str:
    found = match[0]
    if found[0] == "\\":  # half of a surrogate pair is its own fault
        return "\\ud800"
    return "0" if found.isdecimal() else "A" if found.isupper() else "a"


def depth(value: Any, at_most: int) -> int:
    """How deep a JSON value nests, counted no further than it matters."""
    level, found = [value], 0
    while level and found <= at_most:
        found += 1
        level = [
            each
            for one in level
            if isinstance(one, dict | list)
            for each in (one.values() if isinstance(one, dict) else one)
        ]
    return found


def words_of(value: Any) -> Iterator[str]:
    """The words of four characters or more in all strings of a value, folded."""
    if isinstance(value, str):
        for word in WORD.findall(value):
            if len(word) >= 4:
                yield fold(word)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from words_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from words_of(each)


#: A part of a sentence, and whether it is a pseudonym, of which no other is made.
Piece: TypeAlias = tuple[str, bool]


def exchanged(piece: Piece, pattern: re.Pattern[str], made: Callable[[str], str | None]) -> Iterator[Piece]:
    """The piece with pseudonyms where the pattern fits; what is None stays."""
    text, done = piece
    at = 0
    for match in () if done else pattern.finditer(text):
        found = made(match[0])
        if found is not None:
            yield text[at : match.start()], False
            yield found, True
            at = match.end()
    yield text[at:], done
