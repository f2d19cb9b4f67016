"""Expressions in CEL over one entry of a directory: compiled once, bounded in cost.

An expression sees three variables:

- ``entry``: the attributes, each a *list* of values, whatever their number in the directory. A name
  is found as the directory spells it and in lower case. What a nested object holds is also found
  by its dotted name: ``entry["name.givenName"]``.
- ``id``: the entry's external id. ``name``: what the directory calls the entry (a DN, a line).

An attribute that the entry lacks is an error where it is named plainly (``entry.mail[0]``). The way
to say "the first value, or nothing" is CEL's own optional: ``entry.?mail[?0]``; and with a default,
``entry.?mail[?0].orValue("none@example.com")``. An optional without a value counts as null.

The runtime itself bounds the work: 100,000 code points of source, 32 levels of nesting, and a
budget of iterations, so that no expression of an admin can stop a run for long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from scimd.connector_api import Value

_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*?)(?:\n \||\s*\[[A-Z_]+\]$)", re.DOTALL)
_CODE = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")
_INT64 = 2**63
_MISSING = re.compile(r'Key not found in map : "(.*)"')


@cache
def _cel() -> Any:
    """The library, loaded when first asked for: 12 MB, and many installations have no expressions."""
    from cel_expr_python import cel

    return cel


@cache
def _env() -> Any:
    from cel_expr_python.ext import ext_optional, ext_strings

    cel = _cel()
    return cel.NewEnv(
        variables={
            "entry": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.DYN)),
            "id": cel.Type.STRING,
            "name": cel.Type.STRING,
        },
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
    )


class WrongExpression(ValueError):
    """The text is no expression, or one that cannot fit its entry. Line and column count from 1."""

    def __init__(self, why: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {why}")
        self.why, self.line, self.column = why, line, column


class NoValue(Exception):
    """The expression failed on this entry; the text is a sentence for the admin."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    source: str
    _compiled: Any

    def of(self, bound: Bound) -> Any:
        """Its value as plain Python (text, number, bool, list, dict or None). Raises NoValue."""
        try:
            return _plain(self._compiled.eval(bound.activation))
        except (RuntimeError, TypeError) as exc:
            raise NoValue(_sentence(str(exc))) from exc


@dataclass(frozen=True, slots=True)
class Bound:
    """One entry, ready for any number of expressions."""

    activation: Any


def compile_expression(source: str) -> Expression:
    """Compile and check the types. Raises WrongExpression with line and column."""
    compiled = _compile(source)
    if str(compiled.return_type().name()).startswith("optional_type"):
        # On a line of its own, so that a comment at the end of the source swallows nothing.
        compiled = _compile(f"({source}\n).or(optional.of(dyn(null))).value()")
    return Expression(source, compiled)


def _compile(source: str) -> Any:
    try:
        return _env().compile(source)
    except RuntimeError as exc:
        place = _PLACE.search(str(exc))
        if place is None:
            raise WrongExpression(_CODE.sub("", str(exc))) from exc
        # CEL counts the columns of a type error from 0, and of a syntax error from 1.
        line, column, why = int(place[1]), int(place[2]), place[3].strip()
        raise WrongExpression(why, line, column if why.startswith("Syntax error") else column + 1) from exc


def bind(attributes: Mapping[str, Value], external_id: str, name: str) -> Bound:
    """Make an entry's attributes visible to expressions. Raises NoValue for what CEL cannot hold."""
    lists = {key: _as_list(value) for key, value in _dotted(attributes).items()}
    folded = {key.lower(): values for key, values in lists.items()}
    try:
        return Bound(_env().Activation({"entry": folded | lists, "id": external_id, "name": name}))
    except (RuntimeError, TypeError, ValueError) as exc:
        raise NoValue(_sentence(str(exc))) from exc


def _dotted(attributes: Mapping[str, Value]) -> dict[str, Value]:
    found = dict(attributes)
    for key, value in attributes.items():
        if isinstance(value, Mapping):
            found.update((f"{key}.{inner}", item) for inner, item in value.items())
    return found


def _as_list(value: Value) -> list[Any]:
    values = value if isinstance(value, tuple | list) else (value,)
    return [_given(item) for item in values if item is not None]


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _given(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [_given(item) for item in value if item is not None]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)  # beyond CEL's numbers; such a number is a name for something anyway
    return value


def _plain(result: Any) -> Any:
    """A CEL value as Python's, part by part.

    Never by ``plain_value()`` of something that may hold a null: cel-expr-python 0.1.3 gives None
    away without owning it, and before Python 3.12 the interpreter dies when None is used up.
    """
    cel, kind = _cel(), result.type()
    if kind == cel.Type.NULL:
        return None
    if kind == cel.Type.ERROR:
        raise NoValue(_sentence(str(result.plain_value())))
    value = result.value()
    match value:
        case bool() | int() | float() | str():
            return value
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case bytes() | bytearray():
            raise NoValue("the value is binary; turn it into text with string(…)")
        case _:
            raise NoValue(f"the value is of a kind that no attribute takes: {kind.name()}")


def _sentence(text: str) -> str:
    missing = _MISSING.search(text)
    if missing:
        name = missing[1]
        return f"the entry has no attribute {name!r} (where it may be missing, write entry.?{name}[?0])"
    if "Unable to convert function return value" in text or "Unimplemented type" in text:
        return "an optional inside a list or a map has no value of its own; end it with .orValue(…)"
    if "Iteration budget" in text:
        return "the expression takes too many steps"
    return _CODE.sub("", text).strip()
