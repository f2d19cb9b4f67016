"""Entity tags: ``W/"<document version>-<rest>"`` (RFC 7644 §3.14, RFC 9110 §13).

Conditions of a read compare the whole tag. Conditions of a write compare the document's version
alone, so that a change of memberships fails nobody's PUT. Of a local person, whose changes nobody counts,
a digest stands in its place (``org.identities.linkable``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scimd.core.errors import VersionMismatch
from scimd.core.travelling import travels
from scimd.scim.errors import ScimError, of_refusal

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


def refused(refusal: VersionMismatch, if_none_match: str | None) -> ScimError:
    """The refusal of a write, which If-None-Match may have brought about."""
    unwanted = frozenset() if if_none_match is None else _versions(if_none_match)
    if unwanted is None:
        return ScimError(
            412, "The resource exists, and If-None-Match: * asks for a new one; nothing was written."
        )
    if refusal.current in unwanted:
        return ScimError(412, "The resource is still the one that If-None-Match names; nothing was written.")
    return of_refusal(refusal)


def is_unchanged(header: Callable[[str], str | None], current: str) -> bool:
    """Whether a read is answered 304, as If-None-Match names the current tag.

    Raises 412 where If-Match does not, which comes first (RFC 9110 §13.2.2).
    """
    if_match, if_none_match = header("If-Match"), header("If-None-Match")
    if if_match is not None and not _names(if_match, current):
        raise ScimError(412, "The resource has changed: its tag is not the one that If-Match names.")
    return if_none_match is not None and _names(if_none_match, current)


def _names(header: str, current: str) -> bool:
    tags = _tags(header)
    return tags is None or current.removeprefix("W/").strip('"') in tags
