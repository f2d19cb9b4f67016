"""What the operations of one PATCH may look at together: each may be small, and look at all there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scimd.scim.errors import ScimError

#: Of all values that the operations give and go over: one of an attribute's 500 can cost all of them.
MAX_GONE_OVER = 20_000
#: A value counts once more for each so many characters: all of them are folded to be compared.
_LONG = 100


class Effort:
    """Of one PATCH."""

    def __init__(self) -> None:
        self._gone_over = 0

    def given(self, value: Any) -> None:
        """The values that an operation brings, of which each may have one. Raises as ``over``."""
        if isinstance(value, list):
            self._add(len(value) - 1)

    def over(self, values: Sequence[Any], ways: int = 1) -> None:
        """Values that are gone over, so many times.

        :raises ScimError: 413 where they are too many with those before.
        """
        self._add(ways * (len(values) + sum(_chars(each) // _LONG for each in values)))

    def _add(self, many: int) -> None:
        self._gone_over += many
        if self._gone_over > MAX_GONE_OVER:
            raise ScimError(
                413,
                f"Operations: they give, or go over, more than {MAX_GONE_OVER} values in all;"
                " a long one counts as several.",
            )


def bound_paths(chars: int, at_most: int) -> None:
    """Raise 413 where all paths of one PATCH have more characters than that: each is parsed."""
    if chars > at_most:
        raise ScimError(413, f"Operations: paths of more than {at_most} characters in all.")


def _chars(value: Any) -> int:
    parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else (value,)
    return sum(len(part) for part in parts if isinstance(part, str))
