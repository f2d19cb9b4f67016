"""Values that go from one process of scimd to another."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def travels(kind: C) -> C:
    """Let ``pickle`` write a dataclass as its constructor's arguments.

    A frozen one with slots is written and read field by field otherwise, at ten times the cost.
    """
    names = [field.name for field in fields(kind) if field.init]
    first = attrgetter(*names)

    def reduced(self: Any) -> tuple[Any, ...]:
        values = first(self)
        return kind, values if len(names) > 1 else (values,)

    kind.__reduce__ = reduced  # type: ignore[assignment]
    return kind
