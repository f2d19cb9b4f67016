"""Keys of a whole resource that are paths, ``name.givenName`` or ``urn:…:User:department``, as in a PATCH."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scimd.core.attributes import Resolved, ResourceKind
from scimd.core.people import Document
from scimd.scim.errors import invalid_value


def unfolded(kind: ResourceKind, body: Document) -> Document:
    """The body with what its keys lead to in its place; the very body where no key is a path.

    Left as they are: keys that lead nowhere, or to what is read-only, and those of a part of many values,
    which do not say of which.
    """
    odd = [key for key in body if ":" in key or "." in key]
    found = {key: led for key in odd if (led := _led(kind, key)) is not None}
    if not found:
        return body
    holder = _Holder({key: value for key, value in body.items() if key not in found})
    for key, led in found.items():
        holder.put((*led.keys, led.sub.name) if led.sub else led.keys, body[key], key)
    return holder.whole()


def _led(kind: ResourceKind, key: str) -> Resolved | None:
    if kind.schema_of(key) is not None:
        return None
    uri, _, rest = key.rpartition(":")
    name, _, part = rest.partition(".")
    led = kind.resolve(uri or None, name, part or None)
    if led is None or led.attribute.mutability == "readOnly" or (led.sub and led.attribute.multi):
        return None
    return led


class _Holder:
    """An object into which values are put, many of them at the cost of one look at its keys."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._values = dict(given)
        self._spelled: dict[str, str] = {}
        for key in given:
            self._spelled.setdefault(key.lower(), key)
        self._inner: dict[str, _Holder] = {}

    def put(self, names: tuple[str, ...], value: Any, key: str) -> None:
        """Put the value there. What another key says otherwise is refused."""
        first, *rest = names
        name = self._key(first)
        if rest:
            self._within(name, key).put(tuple(rest), value, key)
            return
        have = self._inner[name].whole() if name in self._inner else self._values.get(name, value)
        if have != value:
            raise invalid_value(key, "it was sent twice, by its path and in its place")
        self._values[name] = value

    def whole(self) -> Document:
        return self._values | {name: inner.whole() for name, inner in self._inner.items()}

    def _within(self, name: str, key: str) -> _Holder:
        if name not in self._inner:
            given = self._values.get(name) or {}
            if not isinstance(given, Mapping):
                raise invalid_value(key, f"{name} is not an object, so it has no such part")
            self._values[name] = given
            self._inner[name] = _Holder(given)
        return self._inner[name]

    def _key(self, name: str) -> str:
        """The key that has this name, whatever its case."""
        return name if name in self._values else self._spelled.setdefault(name.lower(), name)
