"""What a row of the attribute table says (RFC 7643 §7), and short ways to write one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Type = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable", "writeOnly"]
Returned = Literal["always", "never", "default", "request"]
Uniqueness = Literal["none", "server", "global"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row. ``sub`` is filled for complex attributes only, ``references`` for references only."""

    name: str
    description: str
    type: Type = "string"
    multi: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    canonical: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    sub: tuple[Attribute, ...] = ()
    column: str | None = None
    #: May stand in a filter. ``password`` may not (it is not kept).
    filterable: bool = True
    #: A longer value is refused. Set where the value is in an index, whose rows are bounded.
    max_chars: int | None = None
    #: Must be one scalar mail address or something harmless: no list, no control character.
    address: bool = False
    #: Strings of it are compared by ``people.fold``.
    folds: bool = field(init=False, repr=False, compare=False)
    #: By name, as it is written and in lower case.
    by_name: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folds", self.type in ("string", "reference") and not self.case_exact)
        object.__setattr__(self, "by_name", _by_name(self.sub))

    def find(self, name: str) -> Attribute | None:
        """The sub-attribute of that name, whatever its case (RFC 7643 §2.1)."""
        return self.by_name.get(name) or self.by_name.get(name.lower())


@dataclass(frozen=True, slots=True)
class Schema:
    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    required: tuple[Attribute, ...] = field(init=False, repr=False, compare=False)
    #: By name, as it is written and in lower case.
    by_name: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", _by_name(self.attributes))
        object.__setattr__(self, "required", tuple(row for row in self.attributes if row.required))

    def find(self, name: str) -> Attribute | None:
        return self.by_name.get(name) or self.by_name.get(name.lower())


def _by_name(rows: tuple[Attribute, ...]) -> Mapping[str, Attribute]:
    """As most clients write the names, and for the others in lower case."""
    exact = {row.name: row for row in rows}
    return MappingProxyType({row.name.lower(): row for row in rows} | exact)


#: PostgreSQL's index rows hold 2,704 bytes; three ids and a key of 4 bytes a character must fit.
INDEXED = 500
#: Of a name to show: its key has no more than its first INDEXED characters.
SHOWN = 10_000


def text(name: str, description: str, **more: Any) -> Attribute:
    return Attribute(name, description, **more)


def flag(name: str, description: str, **more: Any) -> Attribute:
    return Attribute(name, description, "boolean", **more)


def composite(name: str, description: str, *sub: Attribute, **more: Any) -> Attribute:
    return Attribute(name, description, "complex", sub=sub, **more)


def plural(name: str, description: str, value: Attribute, *types: str) -> Attribute:
    """A multi-valued attribute with the sub-attributes of RFC 7643 §2.4."""
    return composite(
        name,
        description,
        value,
        text("display", "A name for the value, for people to read."),
        text("type", "What the value is for.", canonical=types),
        flag("primary", "Whether this is the preferred value; true at most once."),
        multi=True,
    )
