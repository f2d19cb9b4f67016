"""Entity tags: ``W/"<document version>-<rest>"`` (RFC 7644 §3.14, RFC 9110 §13).

If-None-Match on a read compares the whole tag. Conditions of a write compare the document's version
alone, so that a change of memberships fails nobody's PUT. Of a local person, whose changes nobody counts,
a digest stands in its place (``org.linkable``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scimd.core.travelling import travels
from scimd.scim.errors import ScimError

_TAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')
_MAX_CHARS = 4096


def _tags(header: str) -> frozenset[str] | None:
    """The opaque parts in a header, weak or strong; None for ``*``. What cannot be read is no tag."""
    if header.strip() == "*":
        return None
    if len(header) > _MAX_CHARS:
        raise ScimError(400, "The list of entity tags is too long.", "invalidValue")
    found, at = [], 0
    while match := _TAG.match(header, at):
        found.append(match[1])
        at = match.end()
    return frozenset(found)


def precondition(if_match: str | None, if_none_match: str | None) -> Callable[[int], bool] | None:
    """From a write's If-Match and If-None-Match to a test of a document's version; None: nothing is asked."""
    if if_match is None and if_none_match is None:
        return None
    one_of = None if if_match is None else _versions(if_match)
    return _Condition(one_of, frozenset() if if_none_match is None else _versions(if_none_match))


def _versions(header: str) -> frozenset[str] | None:
    tags = _tags(header)
    return None if tags is None else frozenset(tag.partition("-")[0] for tag in tags)


@travels
@dataclass(frozen=True, slots=True)
class _Condition:
    """Whether a version is one of these and none of those; None: any version is."""

    one_of: frozenset[str] | None
    none_of: frozenset[str] | None

    def __call__(self, version: int) -> bool:
        wanted = self.one_of is None or str(version) in self.one_of
        return wanted and self.none_of is not None and str(version) not in self.none_of


def is_unchanged(header: str | None, current: str) -> bool:
    """Whether If-None-Match names the current tag: answer 304."""
    if header is None:
        return False
    tags = _tags(header)
    return tags is None or current.removeprefix("W/").strip('"') in tags
