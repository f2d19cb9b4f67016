"""The OpenAPI 3.1 document, made from the table and its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from scimd import __version__
from scimd.admin.endpoints import BASE, Endpoint
from scimd.admin.models import Page, Problem
from scimd.core import errors
from scimd.http import statuses
from scimd.http.guard import FORM_TOKEN

_REF = "#/components/schemas/{model}"
_JSON, _PROBLEM = "application/json", "application/problem+json"
#: What every endpoint may answer.
_ALWAYS: tuple[type[errors.Refusal], ...] = (
    errors.NotAuthenticated,
    errors.Forbidden,
    errors.NotFound,  # also an organization that is not yours
    errors.TooManyRequests,
    errors.Overloaded,
    errors.DatabaseUnavailable,
    statuses.InvalidRequest,
)
_WRITES: tuple[type[errors.Refusal], ...] = (
    statuses.ForeignForm,
    statuses.MalformedBody,
    statuses.UnsupportedMediaType,
    errors.TooLarge,
    errors.KeyReused,
    errors.RequestInProgress,
    errors.AnswerLost,
    errors.StorageFull,
)
_ABOUT = """\
Everything that an admin does with scimd, under one address. A program sends an API token as
`Authorization: Bearer …`; a page of scimd sends its session. Both act in one organization; an operator
names another by `?organization=`. What is not yours is not there (404).

Lists come in pages: `next` of one is `cursor` of the following. With `format=csv` or `format=json` a
list comes whole, as a file. Errors are problems (RFC 9457) with a stable `code`. A write with an
`Idempotency-Key` happens once within 24 hours, and its repetition gets the same answer. What can be
edited has an `ETag`; a write with `If-Match` is refused (412) where somebody else was faster."""


def document(table: Sequence[Endpoint], public_url: str) -> dict[str, Any]:
    schemas = _schemas(tuple(table))
    paths: dict[str, Any] = {}
    for row in table:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "scimd", "version": __version__, "description": _ABOUT},
        "servers": [{"url": public_url.rstrip("/") + BASE}],
        "tags": [{"name": tag} for tag in dict.fromkeys(row.tag for row in table)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-scimd",
                    "description": f"A session of the page. Writes carry its form token in {FORM_TOKEN}.",
                },
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


@cache
def schema_of(
    model: type[BaseModel], mode: JsonSchemaMode = "validation", ref: str = "#/$defs/{model}"
) -> Mapping[str, Any]:
    """The model's JSON Schema. Making it takes a millisecond, and rows of the table share their models."""
    return model.model_json_schema(mode=mode, ref_template=ref)


class _Schemas:
    """The models' schemas under ``components``, and references to them."""

    def __init__(self, table: tuple[Endpoint, ...]) -> None:
        models: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None}
        for row in table:
            if row.body is not None:
                models[row.body, "validation"] = None
            if row.answer is not None:
                models[answer_model(row), "serialization"] = None
        self._refs, found = models_json_schema(list(models), ref_template=_REF)
        self.definitions: dict[str, Any] = found.get("$defs", {})

    def body(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._refs[model, "validation"]

    def answer(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._refs[model, "serialization"]


_schemas = cache(_Schemas)


def answer_model(row: Endpoint) -> type[BaseModel]:
    """What the answer is made of; of a list, its page."""
    assert row.answer is not None  # noqa: S101 - whoever asks has looked
    return Page[row.answer] if row.is_list else row.answer  # type: ignore[name-defined]


def _operation(row: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": row.name,
        "tags": [row.tag],
        "summary": row.summary,
        "description": "\n\n".join(filter(None, (row.description, needs_text(row)))),
        "parameters": [*_path_parameters(row), *query_parameters(row), *_headers(row)],
        "responses": _responses(row, schemas),
    }
    if row.body is not None:
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schemas.body(row.body)}}}
    return found


def needs_text(row: Endpoint) -> str:
    if row.operators_only:
        return "For operators."
    needs = " or ".join(f"`{need}`" for need in row.needs)
    return f"Needs {needs}." if needs else "For everybody with a credential of the organization."


# ------------------------------------------------------------------------------ parameters


def _path_parameters(row: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in row.parameters]


def query_parameters(row: Endpoint) -> list[dict[str, Any]]:
    schema = schema_of(row.query, ref=_REF)
    required = schema.get("required", ())
    found = []
    for name, each in schema.get("properties", {}).items():
        plain = _without_null(each)
        text = plain.pop("description", None)
        parameter: dict[str, Any] = {"name": name, "in": "query", "schema": plain}
        if name in required:
            parameter["required"] = True
        if text:
            parameter["description"] = text
        found.append(parameter)
    return found


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that is not sent is absent: there is no way to write null."""
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    if rest.get("default", 0) is None:
        del rest["default"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return rest
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _headers(row: Endpoint) -> list[dict[str, Any]]:
    if not row.is_write:
        return []
    found: list[dict[str, Any]] = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Made by you, one per request: what is sent again under it happens once.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
        }
    ]
    if row.etag:
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": row.needs_if_match,
                "description": "The ETag that you read.",
                "schema": {"type": "string"},
            }
        )
    return found


# ------------------------------------------------------------------------------ answers


def refusals(row: Endpoint) -> list[type[errors.Refusal]]:
    """Everything that this endpoint may refuse with, its own first."""
    found = [*row.refuses, *_ALWAYS]
    if row.is_write:
        found += _WRITES
        if row.etag:
            found.append(errors.VersionMismatch)
        if row.needs_if_match:
            found.append(statuses.PreconditionRequired)
    return list(dict.fromkeys(found))


def _responses(row: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found = {str(row.status): _success(row, schemas)}
    if row.etag and not row.is_write:
        found["304"] = {"description": "Not changed since the ETag of If-None-Match."}
    by_status: dict[int, list[str]] = {}
    for refusal in refusals(row):
        by_status.setdefault(statuses.STATUS[refusal], []).append(refusal.code)
    for status, codes in sorted(by_status.items()):
        found[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}",
            "content": {_PROBLEM: {"schema": schemas.answer(Problem)}},
        }
    return found


def _success(row: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {"description": HTTPStatus(row.status).phrase}
    text = {"schema": {"type": "string"}}
    if row.file is not None:
        found["content"] = {row.file: {} if row.file == _JSON else text}
    elif row.answer is not None:
        found["content"] = {_JSON: {"schema": schemas.answer(answer_model(row))}}
        if row.is_list:
            found["content"]["text/csv"] = text
    if row.etag:
        found["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return found
