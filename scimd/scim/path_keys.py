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
    whole = {key: value for key, value in body.items() if key not in found}
    for key, led in found.items():
        _put(whole, (*led.keys, led.sub.name) if led.sub else led.keys, body[key], key)
    return whole


def _led(kind: ResourceKind, key: str) -> Resolved | None:
    if kind.schema_of(key) is not None:
        return None
    uri, _, rest = key.rpartition(":")
    name, _, part = rest.partition(".")
    led = kind.resolve(uri or None, name, part or None)
    if led is None or led.attribute.mutability == "readOnly" or (led.sub and led.attribute.multi):
        return None
    return led


def _put(whole: Document, names: tuple[str, ...], value: Any, key: str) -> None:
    """Put the value there. What another key says otherwise is refused."""
    *above, last = names
    holder = whole
    for name in above:
        name = _spelled(holder, name)
        if not isinstance(holder.get(name) or {}, Mapping):
            raise invalid_value(key, f"{name} is not an object, so it has no such part")
        inner = dict(holder.get(name) or {})
        holder[name] = inner
        holder = inner
    last = _spelled(holder, last)
    if last in holder and holder[last] != value:
        raise invalid_value(key, "it was sent twice, by its path and in its place")
    holder[last] = value


def _spelled(holder: Mapping[str, Any], name: str) -> str:
    """The key that has this name, whatever its case."""
    return name if name in holder else next((key for key in holder if key.lower() == name.lower()), name)
