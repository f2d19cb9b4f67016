"""What is said of a fault: where it is, what is allowed, and never the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from scimd.config import environment
from scimd.config.values import NO_DURATION, SLUG
from scimd.core import extensions
from scimd.core.words import of_a_check

_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": 'must be text, in quotes: "…"',
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "list_type": "must be a list, in brackets: […]",
    "too_short": "must name at least one",
    "dict_type": "must be a section",
    "model_type": "must be a section",
    "model_attributes_type": "must be a section",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "finite_number": "must be a number",
}
_BEGINNINGS: Mapping[str, str] = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "time": NO_DURATION,
}
_PATTERNS: Mapping[str, str] = {
    SLUG: "must be small letters, digits and dashes, with neither end a dash, 64 at most",
    extensions.NAME: "must be letters, digits, _ and -, beginning with a letter",
    extensions.URN: "must be a URN such as urn:ietf:params:scim:schemas:extension:acme:2.0:User",
}
_NO_TABLES = "must be written [[{key}]], with two brackets: there may be several"


def sentence(where: str, model: type[BaseModel], fault: Any) -> str:
    """One of pydantic's faults; ``where`` is the file. A fault of the environment names the variable."""
    place: tuple[str | int, ...] = tuple(fault["loc"])
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    beginning = environment.variable(place) or f"{where}: {key or 'file'}"
    return f"{beginning}: {_why(model, place, fault)}"


def _why(model: type[BaseModel], place: tuple[str | int, ...], fault: Any) -> str:
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; allowed here: {', '.join(sorted(_section_at(model, place[:-1]).model_fields))}"
    if kind == "string_pattern_mismatch" and facts["pattern"] in _PATTERNS:
        return _PATTERNS[facts["pattern"]]
    if kind == "list_type" and _is_of_sections(model, place):
        return _NO_TABLES.format(key=".".join(part for part in place if isinstance(part, str)))
    words = _WORDS.get(kind) or _BEGINNINGS.get(kind.partition("_")[0])
    return words.format_map(facts) if words else of_a_check(str(fault["msg"]))


def _is_of_sections(model: type[BaseModel], place: Sequence[str | int]) -> bool:
    field = _section_at(model, place[:-1]).model_fields.get(str(place[-1]))
    return field is not None and _section_of(field.annotation) is not None


def _section_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel]:
    """The section at a place such as ("organization", 0, "source")."""
    found = model
    for part in place:
        if isinstance(part, str) and part in found.model_fields:
            found = _section_of(found.model_fields[part].annotation) or found
    return found


def _section_of(annotation: Any) -> type[BaseModel] | None:
    inner = getattr(annotation, "__args__", (annotation,))[0]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
