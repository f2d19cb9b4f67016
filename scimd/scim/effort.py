"""What the operations of one PATCH may look at together, and all PATCHes of one bulk request: each may be
small, and look at all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scimd.scim.errors import ScimError
from scimd.scim.values import MAX_VALUES

#: Of all values that the operations give and go over: each operation can cost all of an attribute's.
MAX_GONE_OVER = 20_000
#: Of all values that the PATCHes of a bulk request go over. Each may go over those of one attribute.
_MAX_IN_BULK = 200_000
#: Of all their paths with a filter, and of those that look through the members of a group.
_MAX_PATHS_CHARS_IN_BULK = 262_144
_MAX_SELECTIONS_IN_BULK = 50
_FEWER = "send fewer operations in one bulk request."
#: A value counts once more for each so many characters: all of them are folded to be compared.
_LONG = 100


class Effort:
    """Of one PATCH, which may go over ``at_most`` values."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._gone_over = 0

    def begins(self, document: bytes) -> None:
        """What it changes, which is read and written whole. Raises 413 where many others are changed too, and
        that alone is too much.
        """
        if self._at_most < MAX_GONE_OVER and len(document) // _LONG > self._at_most:
            raise ScimError(413, f"The resource is too long to be changed beside so many others; {_FEWER}")

    def given(self, value: Any) -> None:
        """The values that an operation brings, of which each may have one. Raises as ``over``."""
        if isinstance(value, list):
            self._add(len(value) - 1)

    def over(self, values: Sequence[Any], ways: int) -> None:
        """Values that are gone over, so many times.

        :raises ScimError: 413 where they are too many with those before.
        """
        self._add(ways * (len(values) + sum(_chars(each) // _LONG for each in values)))

    def _add(self, many: int) -> None:
        self._gone_over += many
        if self._gone_over > self._at_most:
            hint = "" if self._at_most == MAX_GONE_OVER else f" Alone they may {MAX_GONE_OVER}: {_FEWER}"
            raise ScimError(
                413,
                f"Operations: they give, or go over, more than {self._at_most} values in all;"
                f" a long one counts as several.{hint}",
            )


class Together:
    """Of all PATCHes of one bulk request; each has its own bounds besides.

    How much each may go over is said beforehand: it is found out by the process that writes.
    """

    def __init__(self, patches: int) -> None:
        self.gone_over = max(MAX_VALUES, min(MAX_GONE_OVER, _MAX_IN_BULK // max(1, patches)))
        self._chars = 0
        self._selections = 0

    def reads(self, paths: Iterable[str | None]) -> None:
        """Raises 413 where the paths with a filter are too long, with those of the PATCHes before."""
        chars = sum(len(path) for path in paths if path is not None and "[" in path)
        self._chars += chars
        if chars and self._chars > _MAX_PATHS_CHARS_IN_BULK:
            raise ScimError(
                413, f"Operations: paths of more than {_MAX_PATHS_CHARS_IN_BULK} characters in all; {_FEWER}"
            )

    def selects(self, many: int) -> None:
        """Raises 413 where members are looked through too often, with the PATCHes before."""
        self._selections += many
        if many and self._selections > _MAX_SELECTIONS_IN_BULK:
            raise ScimError(
                413, f"Operations: more than {_MAX_SELECTIONS_IN_BULK} filters on members in all; {_FEWER}"
            )


def bound_paths(chars: int, at_most: int) -> None:
    """Raise 413 where all paths of one PATCH have more characters than that: each is parsed."""
    if chars > at_most:
        raise ScimError(413, f"Operations: paths of more than {at_most} characters in all.")


def _chars(value: Any) -> int:
    parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else (value,)
    return sum(len(part) for part in parts if isinstance(part, str))
