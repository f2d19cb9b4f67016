"""Headers that decide an answer, with pseudonyms for what is no word of the protocol.

A replay sends them again: what matched nothing matches nothing then, and what was not taken is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_MEDIA_TYPES = frozenset(
    ("application/scim+json", "application/json", "application/octet-stream", "application/xml", "text/json",
     "text/plain", "text/html", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data")
)  # fmt: skip
#: A charset that is named, and those that clients name.
_CHARSET = re.compile(r"""(\s*charset\s*=\s*["']?)([^"']*)(["']?\s*)""", re.IGNORECASE)
_CHARSETS = re.compile(r"utf-?8|utf-?16|us-ascii|iso-8859-\d{1,2}|windows-125\d", re.IGNORECASE | re.ASCII)
#: Encodings that are undone before a body is kept.
_UNDONE = frozenset(("", "gzip", "deflate", "identity"))
_TAG = re.compile(r'((?:W/)?"[^"]*")')
#: The opaque part of a tag of scimd's.
_VERSION = re.compile(r"[0-9]{1,20}(?:-[0-9]{1,20})?", re.ASCII)
_BETWEEN = re.compile(r"[\s,*]*", re.ASCII)


def kept(given: Mapping[str, str], mask: Callable[[str], str]) -> dict[str, str]:
    """The headers as an entry has them; ``mask`` makes pseudonyms."""
    found = {}
    for name, value in given.items():
        if name == "Content-Type":
            found[name] = _media_type(value, mask)
        elif name != "Content-Encoding":
            found[name] = _tags(value, mask)
        elif value.strip().lower() not in _UNDONE:
            found[name] = mask(value)
    return found


def _media_type(text: str, mask: Callable[[str], str]) -> str:
    """A media type that is known as it was spelled, with the charset that it names."""
    kind, *parameters = text.split(";")
    named = kind if kind.strip().lower() in _MEDIA_TYPES else mask(kind)
    return ";".join((named, *(_parameter(each, mask) for each in parameters)))


def _parameter(text: str, mask: Callable[[str], str]) -> str:
    charset = _CHARSET.fullmatch(text)
    if charset is None:
        return mask(text)
    head, name, tail = charset.groups()
    return head + (name if _CHARSETS.fullmatch(name.strip()) else mask(name)) + tail


def _tags(text: str, mask: Callable[[str], str]) -> str:
    """A list of entity tags: those of scimd's form, ``*``, and how the others are made."""
    pieces = _TAG.split(text)
    for place, piece in enumerate(pieces):
        if place % 2:
            head, inner = piece[: piece.index('"') + 1], piece[piece.index('"') + 1 : -1]
            pieces[place] = head + (inner if _VERSION.fullmatch(inner) else mask(inner)) + '"'
        elif not _BETWEEN.fullmatch(piece):
            pieces[place] = mask(piece)
    return "".join(pieces)
