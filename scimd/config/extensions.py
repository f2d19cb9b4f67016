"""Schemas of the admin's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from scimd.config.values import Section
from scimd.core import extensions


class Described(Section):
    """One row of an extension, as RFC 7643 §7 describes attributes; never required of a client."""

    name: str = Field(pattern=extensions.NAME)
    description: str | None = None
    case_exact: bool = False
    #: Values that clients are told of; others are taken too.
    canonical_values: list[str] = Field([])


class SubAttribute(Described):
    type: Literal["string", "boolean", "integer", "decimal", "dateTime", "reference"] = "string"


class ExtensionAttribute(Described):
    type: Literal["string", "boolean", "integer", "decimal", "dateTime", "reference", "complex"] = "string"
    multi_valued: bool = False
    returned: Literal["always", "default", "request"] = "default"
    #: The parts of a complex attribute.
    sub_attribute: list[SubAttribute] = Field([])

    @model_validator(mode="after")
    def _complex_has_parts(self) -> ExtensionAttribute:
        if (self.type == "complex") != bool(self.sub_attribute):
            raise ValueError("sub_attribute: a complex attribute has some, and no other has any")
        _different(self.sub_attribute)
        return self


class Extension(Section):
    """A schema of the admin's own for the users of a source."""

    urn: str = Field(pattern=extensions.URN)
    name: str = Field(min_length=1, max_length=100)
    description: str | None = None
    attribute: list[ExtensionAttribute] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Extension:
        _different(self.attribute)
        return self


def _different(rows: Sequence[Described]) -> None:
    names = [row.name.lower() for row in rows]
    if len(set(names)) != len(names) or "schemas" in names:
        raise ValueError('two attributes have one name, whatever its case, or one is called "schemas"')
