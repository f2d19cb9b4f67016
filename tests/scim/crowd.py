"""A crowd of users and groups over every attribute, and filters about them, both from a seed.

The words are few, so that filters find somebody, and odd, so that two evaluations have something to
differ in: letters that fold to others, wildcards of SQL, quotes, escapes, empty texts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import orjson

from scimd.core.attributes import Attribute, Resolved, ResourceKind

WORDS = [
    "dana", "DANA", "Dåna", "Da\u030ana", "straße", "STRASSE", "İx", "ıx", "ﬃ", "ς", "Σ", "e\u0301", "é",
    "名前", "𝔸", "\uffff", "100%", "_a", "a_b", "back\\slash", "quo'te", 'quo"te', "a b", " lead", "tab\tbed",
    "work", "Home", "0", "1", "true", "null",
]  # fmt: skip
PARTS = ["", "a", "A", "d", "ss", "ß", "%", "_", "\\", "'", '"', "e", "\u0301", "名", " ", "0"]
_MOMENTS = [
    "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z", "2026-01-02T05:04:05+02:00",
    "2025-12-31T23:59:59.999999Z", "1999-06-01T00:00:00-08:00", "2100-01-01T00:00:00Z",
]  # fmt: skip
_ADDRESSES = [
    "https://a.example/dana",
    "HTTPS://A.example/DANA",
    "https://a.example/%C3%A9?x=100%25_",
    "urn:x:y",
]
_NUMBERS = {"integer": [-7, 0, 1, 2, 10, 2**53 - 1], "decimal": [-1.5, 0.0, 0.5, 1.0, 2.25, 1e15]}
_ORDER = ["eq", "ne", "gt", "ge", "lt", "le"]
_OPERATORS = {
    "string": [*_ORDER, "co", "sw", "ew", "co", "eq"],
    "reference": [*_ORDER, "co", "sw", "ew"],
    "boolean": ["eq", "ne"],
    "binary": ["eq", "ne"],
    "integer": _ORDER,
    "decimal": _ORDER,
    "dateTime": _ORDER,
}


class Crowd:
    def __init__(self, seed: int, kind: ResourceKind) -> None:
        self.chance = random.Random(seed)
        self.kind = kind

    # -------------------------------------------------------------- documents

    def user(self, n: int) -> dict[str, Any]:
        """A user that the server takes whole; about half of its attributes are assigned."""
        made: dict[str, Any] = {"userName": f"{self.word()}-{n}"}
        for found in self.kind.attributes():
            row = found.attribute
            if (
                row.mutability != "readWrite"
                or row.name in ("schemas", "userName")
                or self.chance.random() < 0.5
            ):
                continue
            holder = made.setdefault(found.extension, {}) if found.extension else made
            holder[row.name] = f"x-{n}-{self.word()}" if row.name == "externalId" else self.value(row)
        return made

    def value(self, row: Attribute) -> Any:
        if not row.multi:
            return self.one(row)
        return [self.one(row) for _ in range(self.chance.randint(1, 3))]

    def one(self, row: Attribute) -> Any:
        if row.type == "complex":
            taken = [part for part in row.sub if part.mutability != "readOnly" and self.chance.random() < 0.7]
            # Several values with one primary among them is another test's matter.
            taken = [part for part in taken if part.name != "primary"] or [row.sub[0]]
            return {part.name: self.one(part) for part in taken}
        if row.address:
            return self.chance.choice(["dana@a.example", "DANA@A.example", "é@b.example", "100%_a@b.example"])
        return self.literal(row)

    def literal(self, row: Attribute) -> Any:
        match row.type:
            case "boolean":
                return self.chance.random() < 0.5
            case "integer" | "decimal":
                return self.chance.choice(_NUMBERS[row.type])
            case "dateTime":
                return self.chance.choice(_MOMENTS)
            case "reference":
                return self.chance.choice(_ADDRESSES)
            case "binary":
                return self.chance.choice(["QUJD", "ZGFuYQ==", "AAAA"])
            case _:
                return self.word()

    def word(self) -> str:
        return self.chance.choice(WORDS)

    # -------------------------------------------------------------- filters

    def filter(self, seen: dict[str, Sequence[Any]], depth: int = 0) -> str:
        """A filter that means something. ``seen``: values that some resource bears, by path."""
        roll = self.chance.random()
        if depth < 3 and roll < 0.25:
            joint = self.chance.choice([" and ", " or ", " AND "])
            return (
                "(" + joint.join(self.filter(seen, depth + 1) for _ in range(self.chance.randint(2, 3))) + ")"
            )
        if depth < 3 and roll < 0.35:
            return f"not ({self.filter(seen, depth + 1)})"
        # schemas is no attribute of the library's models: it compares them whatever their case.
        rows = [
            each
            for each in self.kind.attributes()
            if each.attribute.filterable and each.attribute.name != "schemas"
        ]
        if roll < 0.55:
            found = self.chance.choice([each for each in rows if each.attribute.multi and _parts(each)])
            return f"{found}[{self.selection(found, seen)}]"
        return self.comparison(self.chance.choice(rows), seen)

    def selection(self, found: Resolved, seen: dict[str, Sequence[Any]], depth: int = 0) -> str:
        if depth < 2 and self.chance.random() < 0.3:
            joint = self.chance.choice([" and ", " or "])
            return f"({joint.join(self.selection(found, seen, depth + 1) for _ in range(2))})"
        if depth < 2 and self.chance.random() < 0.15:
            return f"not ({self.selection(found, seen, depth + 1)})"
        part = self.chance.choice(_parts(found))
        return self.term(part.name, part, seen.get(f"{found}.{part.name}", ()))

    def comparison(self, found: Resolved, seen: dict[str, Sequence[Any]]) -> str:
        parts = _parts(found)
        if not found.attribute.sub:
            return self.term(str(found), found.attribute, seen.get(str(found), ()))
        value = found.attribute.find("value")
        if self.chance.random() < 0.2:
            return f"{found} pr"
        if value is not None and value.filterable and self.chance.random() < 0.2:
            return self.term(str(found), value, seen.get(f"{found}.value", ()))
        part = self.chance.choice(parts)
        return self.term(f"{found}.{part.name}", part, seen.get(f"{found}.{part.name}", ()))

    def term(self, path: str, row: Attribute, seen: Sequence[Any]) -> str:
        roll = self.chance.random()
        if roll < 0.1:
            return f"{path} pr"
        if roll < 0.15:
            return f"{path} {self.chance.choice(['eq', 'ne'])} null"
        operator = self.chance.choice(_OPERATORS[row.type])
        value = self.chance.choice(seen) if seen and roll < 0.75 else self.literal(row)
        if isinstance(value, str) and operator in ("co", "sw", "ew"):
            value = self.chance.choice([value, value[:2], value[-2:], value[1:-1], value.upper(), *PARTS])
        elif isinstance(value, str) and row.type == "string" and self.chance.random() < 0.3:
            value = self.chance.choice([value.upper(), value.lower(), value + "\u0301"])
        return f"{path} {operator} {orjson.dumps(value).decode()}"


def _parts(found: Resolved) -> list[Attribute]:
    return [part for part in found.attribute.sub if part.filterable]


def values_in(kind: ResourceKind, resources: Sequence[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    """What the resources bear, by the path that names it in a filter."""
    found: dict[str, list[Any]] = {}
    for resource in resources:
        for each in kind.attributes():
            holder = resource.get(each.extension, {}) if each.extension else resource
            value = holder.get(each.attribute.name)
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                if isinstance(one, dict):
                    for name, part in one.items():
                        found.setdefault(f"{each}.{name}", []).append(part)
                else:
                    found.setdefault(str(each), []).append(one)
    return dict(found)
