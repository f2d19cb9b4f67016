"""The table is what is served, what is documented and what is guarded; each of them completely."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from scimd.admin import manual, openapi
from scimd.admin.endpoints import BASE, Endpoint
from scimd.admin.table import TABLE
from scimd.core.roles import BUILT_IN
from scimd.http import guard, statuses
from tests.admin.client import signed_in
from tests.admin.probe import PROBES
from tests.web.site import Site

DOCUMENT = openapi.document(TABLE, "https://scimd.example")
ALL = (*TABLE, *PROBES)


async def test_nothing_else_is_served_and_each_route_has_the_permissions_of_its_row(acme: Site) -> None:
    wanted: dict[tuple[str, str], frozenset[str]] = {}
    for row in TABLE:
        wanted[row.method, BASE + row.path] = frozenset(row.needs)
        if row.method == "GET":
            wanted["HEAD", BASE + row.path] = frozenset(row.needs)
        wanted["OPTIONS", BASE + row.path] = frozenset()
    served = {}
    for route in acme.app.router.routes():
        if route.resource and route.resource.canonical.startswith(BASE):
            access = guard.access_of(route.handler)
            assert access is not None
            assert access.kind == "api"
            served[route.method, route.resource.canonical] = access.any_of
    assert served == wanted


async def test_options_of_each_path_tells_its_methods(acme: Site) -> None:
    methods: dict[str, set[str]] = {}
    for row in TABLE:
        taken = {"GET", "HEAD"} if row.method == "GET" else {row.method}
        methods.setdefault(row.path, {"OPTIONS"}).update(taken)
    async with signed_in(acme) as client:
        for path, wanted in methods.items():
            answer = await client.send("OPTIONS", re.sub(r"{\w+}", "7", path))
            assert set(answer.headers["Allow"].split(", ")) == wanted, path


def test_each_row_stands_once_with_a_summary_and_permissions_that_exist() -> None:
    keys = [(row.method, re.sub(r"{\w+}", "{}", row.path)) for row in TABLE]
    assert len(set(keys)) == len(keys)
    assert len({row.name for row in TABLE}) == len(TABLE)
    known = frozenset().union(*(role.permissions for role in BUILT_IN.values())) | {"partner.approve"}
    for row in TABLE:
        assert row.summary, row.name
        assert frozenset(row.needs) <= known, row.name
        assert all(refusal in statuses.STATUS for refusal in row.refuses), row.name
        assert row.file or row.answer or row.status == 204, row.name


@pytest.mark.parametrize("table", [TABLE, PROBES], ids=["table", "probes"])
def test_document_is_valid_openapi(table: tuple[Endpoint, ...]) -> None:
    document = openapi.document(table, "https://scimd.example")
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]) == {row.path for row in table}
    used = set(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(document).decode()))
    assert used == set(document["components"]["schemas"])


async def test_document_is_served_as_it_was_made(acme: Site) -> None:
    async with acme.browser() as session, session.get("/api/openapi.json") as answer:
        found = await answer.json()
    assert found["openapi"] == "3.1.0"
    assert found["paths"] == orjson.loads(orjson.dumps(DOCUMENT["paths"]))


def _strings(schema: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema, Mapping):
        if schema.get("type") == "string":
            yield path, schema
        for name, each in schema.items():
            if name not in ("examples", "default"):
                yield from _strings(each, f"{path}/{name}")
    elif isinstance(schema, list):
        for each in schema:
            yield from _strings(each, path)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_whatever_a_request_holds_is_bounded(row: Endpoint) -> None:
    for model in filter(None, (row.body, row.query)):
        schema = model.model_json_schema()
        for path, text in _strings(schema):
            assert text.keys() & {"maxLength", "enum", "const", "format"}, f"{model.__name__}{path}"
        for part in _arrays(schema):
            assert "maxItems" in part, model.__name__
        assert schema.get("additionalProperties") is False, model.__name__


def _arrays(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        if schema.get("type") == "array":
            yield schema
        for each in schema.values():
            yield from _arrays(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _arrays(each)


# ------------------------------------------------------------------------------ the page


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes |= found.keys()
        self.ids += [value for name, value in found.items() if name == "id" and value]
        self.links += [value for name, value in found.items() if name in ("href", "src") and value]


async def test_page_documents_every_endpoint_and_loads_nothing_from_elsewhere(acme: Site) -> None:
    async with acme.browser() as session, session.get("/api") as answer:
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    page = _Page(text)
    assert {row.name for row in TABLE} <= set(page.ids)
    assert {refusal.code for refusal in statuses.STATUS} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script" not in page.tags | page.attributes
    assert "style" not in page.tags | page.attributes
    for link in page.links:
        assert link.startswith(("/", "#")), link
        assert not link.startswith("//")
        if link.startswith("#"):
            assert link[1:] in page.ids, link


@pytest.mark.parametrize("row", [row for row in ALL if row.body], ids=lambda row: row.name)
def test_example_of_the_page_is_json_of_the_right_fields(row: Endpoint) -> None:
    assert row.body is not None
    schema = row.body.model_json_schema()
    example = manual.sample(schema, schema.get("$defs", {}))
    orjson.dumps(example)
    assert set(example) <= set(row.body.model_fields)
    assert {name for name, field in row.body.model_fields.items() if field.is_required()} <= set(example)
