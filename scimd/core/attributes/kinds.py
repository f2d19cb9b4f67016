"""Resource types, and what a path of one names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from scimd.core.attributes.common import COMMON
from scimd.core.attributes.rows import Attribute, Schema


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a path names: an attribute, perhaps a sub-attribute, perhaps in an extension."""

    extension: str | None
    attribute: Attribute
    sub: Attribute | None = None

    @property
    def target(self) -> Attribute:
        return self.sub or self.attribute

    @property
    def unsaid(self) -> bool | None:
        """As what it is compared where a value does not say it: not ``primary`` (RFC 7643 §2.4)."""
        is_mark = self.sub is not None and self.sub.name == "primary" and self.sub.type == "boolean"
        return False if is_mark and self.attribute.multi else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys from a document's top to the attribute, without the sub-attribute."""
        return (self.extension, self.attribute.name) if self.extension else (self.attribute.name,)

    def __str__(self) -> str:
        head = f"{self.extension}:" if self.extension else ""
        return f"{head}{self.attribute.name}{f'.{self.sub.name}' if self.sub else ''}"


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource type: its endpoint, its schema, its extensions."""

    name: Literal["User", "Group", "Role", "Entitlement"]
    endpoint: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    #: Something that is stored with the document is shown on request only: no read is a mere splice.
    hides: bool = field(init=False, repr=False, compare=False)
    _by_urn: Mapping[str, Schema] = field(init=False, repr=False, compare=False)
    #: The rows of a document's own keys, under the names that are stored.
    rows: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {each.id.lower(): each for each in reversed((self.schema, *self.extensions))}
        object.__setattr__(self, "_by_urn", known | {each.id: each for each in known.values()})
        own = (*COMMON.attributes, *self.schema.attributes)
        object.__setattr__(self, "rows", {row.name: row for row in own})
        rows = (row for schema in (self.schema, *self.extensions) for row in schema.attributes)
        hidden = any(row.returned == "request" and row.mutability != "readOnly" for row in rows)
        object.__setattr__(self, "hides", hidden)

    def schema_of(self, urn: str) -> Schema | None:
        """The schema with that URN, whatever its case; the core schema or an extension."""
        return self._by_urn.get(urn) or self._by_urn.get(urn.lower())

    def resolve(self, uri: str | None, name: str, sub: str | None = None) -> Resolved | None:
        """Find what a path names, or None. ``uri`` as in ``urn:…:User:employeeNumber``."""
        schema = self.schema if uri is None else self.schema_of(uri)
        if schema is None:
            return None
        attribute = schema.find(name) or (COMMON.find(name) if schema is self.schema else None)
        if attribute is None:
            return None
        part = attribute.find(sub) if sub is not None else None
        if sub is not None and part is None:
            return None
        return Resolved(None if schema is self.schema else schema.id, attribute, part)

    def attributes(self) -> Iterator[Resolved]:
        """Every attribute with its extension, common ones first."""
        for each in (*COMMON.attributes, *self.schema.attributes):
            yield Resolved(None, each)
        for extension in self.extensions:
            for each in extension.attributes:
                yield Resolved(extension.id, each)
