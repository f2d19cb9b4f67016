"""A filter that is one comparison, whose value has no quotes: ``displayName eq Sales and Marketing``."""

from __future__ import annotations

import re
from typing import NamedTuple

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, USER_URN

_SPACE = r"[ \t\f\r\n]"
_UNQUOTED = re.compile(rf"([A-Za-z][\w.:$-]*+){_SPACE}++eq{_SPACE}([^\"]++)", re.IGNORECASE | re.ASCII)
_OPERATOR = rf"{_SPACE}++(?:eq|ne|co|sw|ew|gt|ge|lt|le|pr)(?![\w$-])"
#: What joins another comparison to it, or nothing that is there yet; or compares once more.
_FURTHER = re.compile(
    rf"(?:{_SPACE}|[)\]\d])(?:eq(?={_SPACE}|\(|\Z)|(?:and|or)(?={_SPACE}|\(|\Z)"
    rf"(?:{_SPACE}|\(|not(?![\w$-]))*+(?:[^\s()\[\]]++(?:{_OPERATOR}|\[)|\Z))",
    re.IGNORECASE | re.ASCII,
)
_WORDS = frozenset(("true", "false", "null"))
_NUMBER = re.compile(r"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:e[+-]?+[0-9]++)?+", re.IGNORECASE)
#: Of these no attribute is a number, nor of what is named without a URN.
_WITHOUT_NUMBERS = frozenset(urn.lower() for urn in ("", USER_URN, GROUP_URN, ENTERPRISE_URN))
#: Around a value these are quotes that JSON does not have.
_OTHER_QUOTES = "'`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"


class Unquoted(NamedTuple):
    """The attribute that is compared, and the text with which."""

    path: str
    value: str


def is_literal(word: str) -> bool:
    """Whether JSON knows the word without quotes, whatever its case: a number, true, false or null."""
    return word.lower() in _WORDS or _NUMBER.fullmatch(word) is not None


def unquoted(text: str) -> Unquoted | None:
    """What a filter without quotes compares; None for any other.

    Names have spaces, apostrophes, brackets, ``and``. What JSON knows besides strings keeps its meaning; what
    could be more than one comparison is for the grammar to judge. Costs no more than the text is long.
    """
    found = _UNQUOTED.fullmatch(text)
    if found is None:
        return None
    # A space at either end is the value's own: two people may differ by no more.
    path, value = found[1], found[2]
    word = value.strip(" \t\f\r\n")
    if not word or word.lower() in _WORDS or _FURTHER.search(value):
        return None
    if word[0] in _OTHER_QUOTES and word[-1] in _OTHER_QUOTES:
        return None
    if _NUMBER.fullmatch(word) and path.rpartition(":")[0].lower() not in _WITHOUT_NUMBERS:
        return None
    return Unquoted(path, value)
