"""The page that explains the API: each endpoint with its parameters, fields, errors and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from pydantic import BaseModel

from scimd.admin import openapi
from scimd.admin.endpoints import BASE, Endpoint
from scimd.http import statuses

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table of fields. ``name`` with the path to it: ``items[].id``."""

    name: str
    kind: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One endpoint as the page shows it."""

    row: Endpoint
    needs: str
    parameters: list[Field]
    body: tuple[Field, ...]
    answer: tuple[Field, ...]
    errors: list[tuple[int, str]]
    example: str


@cache
def _environment() -> jinja2.Environment:
    folder = files("scimd.admin").joinpath("templates")
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}
    return jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(table: Sequence[Endpoint], document: Mapping[str, Any]) -> bytes:
    base = document["servers"][0]["url"].removesuffix(BASE)
    groups: dict[str, list[Entry]] = {}
    for row in table:
        groups.setdefault(row.tag, []).append(_entry(row, base))
    codes = {refusal.code: (statuses.STATUS[refusal], _sentence(refusal)) for refusal in statuses.STATUS}
    template = _environment().get_template("api.html")
    about = [" ".join(part.split()) for part in document["info"]["description"].split("\n\n")]
    text = template.render(
        groups=groups,
        about=about,
        version=document["info"]["version"],
        base=BASE,
        codes=sorted(codes.items()),
    )
    return text.encode()


def _sentence(refusal: type[Any]) -> str:
    return " ".join((refusal.__doc__ or "").split("\n\n")[0].split())


def _entry(row: Endpoint, base: str) -> Entry:
    model = openapi.answer_model(row) if row.answer is not None else None
    return Entry(
        row=row,
        needs=openapi.needs_text(row).replace("`", ""),
        parameters=[_parameter(each) for each in openapi.query_parameters(row)],
        body=_fields(row.body, "validation"),
        answer=_fields(model, "serialization"),
        errors=sorted((statuses.STATUS[refusal], refusal.code) for refusal in openapi.refusals(row)),
        example=_example(row, base),
    )


# ------------------------------------------------------------------------------ fields


def _parameter(each: Mapping[str, Any]) -> Field:
    text = str(each.get("description", "")).replace("`", "")
    default = each["schema"].get("default")
    if default is not None:
        text = f"{text} Default: {json.dumps(default)}.".strip()
    return Field(each["name"], kind_of(each["schema"], {}), each.get("required", False), text)


@cache
def _fields(model: type[BaseModel] | None, mode: Any) -> tuple[Field, ...]:
    if model is None:
        return ()
    schema = openapi.schema_of(model, mode)
    return tuple(_walk(schema, schema.get("$defs", {}), "", 0))


def _walk(schema: Mapping[str, Any], defs: Mapping[str, Any], path: str, depth: int) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        text = str(each.get("description", "")).replace("`", "")
        yield Field(path + name, kind_of(each, defs), name in required, text)
        inner, end = _inside(each, defs)
        if inner is not None and depth < _DEEPEST:
            yield from _walk(inner, defs, f"{path}{name}{end}", depth + 1)


def _inside(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The object within, and how the path goes on to it."""
    schema = _resolved(schema, defs)
    if schema.get("type") == "array":
        inner = _resolved(schema.get("items", {}), defs)
        return (inner, "[].") if "properties" in inner else (None, "")
    return (schema, ".") if "properties" in schema else (None, "")


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind a reference, and the one kind of a value that may also be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return _resolved(kinds[0], defs)
    reference = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = defs.get(reference, schema) if reference else schema
    return found


def kind_of(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """A type in words: ``string (date-time)``, ``active | pending``, ``array of …``, with ``or null``."""
    if "anyOf" in schema:
        return " or ".join(kind_of(kind, defs) for kind in schema["anyOf"])
    schema = _resolved(schema, defs)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {kind_of(schema.get('items', {}), defs)}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


# ------------------------------------------------------------------------------ examples


def _example(row: Endpoint, base: str) -> str:
    address = base + BASE + row.path
    parts = ["curl", f'-H "Authorization: Bearer $TOKEN" "{address}"']
    if row.method not in ("GET", "POST") or (row.method == "POST" and row.body is None):
        parts.insert(1, f"-X {row.method}")
    if row.body is not None:
        schema = openapi.schema_of(row.body)
        body = json.dumps(sample(schema, schema.get("$defs", {})), ensure_ascii=False)
        parts += ["-H 'Content-Type: application/json'", f"-d '{body}'"]
    return " \\\n  ".join(parts) if row.body is not None else " ".join(parts)


def sample(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    """A value of the schema: its example where it has one, else the plainest."""
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("default") is not None:
        return schema["default"]
    schema = _resolved(schema, defs)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            names = schema.get("required") or list(schema.get("properties", {}))[:1]
            return {name: sample(schema["properties"][name], defs) for name in names}
        case "array":
            return [sample(schema.get("items", {}), defs)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "2027-01-31T09:00:00Z" if schema.get("format") == "date-time" else "…"
