"""authentik's SCIM provider: its client's source, checked 2026-11.

It reads ServiceProviderConfig first, and where PATCH is supported sends members one by one, removals
as a list of values without a filter. Users it always PUTs, whole.
"""

from __future__ import annotations

import json
import re
from datetime import date

from scim2_models.path import FilterNode

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, USER_URN
from scimd.scim import filters
from scimd.scim.quirks import Quirk, okta

#: A changed group comes as one ``replace`` without path whose value is the whole resource.
WHOLE_GROUP_IN_PATCH = Quirk(
    "authentik.whole-group-in-patch",
    date(2026, 11, 1),
    "https://github.com/goauthentik/authentik/blob/main/authentik/providers/scim/clients/groups.py",
    frozenset(("Group",)),
    frozenset(("patch",)),
    okta.drop_ids,
)

QUIRKS = (WHOLE_GROUP_IN_PATCH,)

_SPACE = r"[ \t\f\r\n]"
#: ``userName eq ak473785003``: a comparison that is the whole filter, and has no quotes.
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


def quoted(text: str) -> str:
    """A filter whose one value has no quotes, with them; any other as it is.

    So it looks up whom a 409 says to be there, up to version 2025.8.1: goauthentik/authentik#16455, #16677.
    WSO2 Identity Server looks up so before each change (``AbstractOperations.java`` of its SCIM 2 client).
    Names have spaces, apostrophes, brackets, ``and``. What JSON knows besides strings keeps its meaning; what
    could be more than one comparison is for the grammar to judge.
    """
    found = _UNQUOTED.fullmatch(text) if len(text) <= filters.MAX_CHARS else None
    if found is None:
        return text
    # A space at either end is the value's own: two people may differ by no more.
    path, value = found[1], found[2]
    word = value.strip(" \t\f\r\n")
    if not word or word.lower() in _WORDS or _FURTHER.search(value):
        return text
    if word[0] in _OTHER_QUOTES and word[-1] in _OTHER_QUOTES:
        return text
    if _NUMBER.fullmatch(word) and path.rpartition(":")[0].lower() not in _WITHOUT_NUMBERS:
        return text
    return f"{path} eq {json.dumps(value, ensure_ascii=False)}"


def read_filter(text: str) -> FilterNode:
    """A filter's syntax tree. Raises invalidFilter."""
    return filters.parse(quoted(text))
