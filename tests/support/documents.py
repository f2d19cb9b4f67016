"""The REST API's document and page, made once: they take longer than the rest of an application's start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from scimd.admin import app, manual, openapi
from scimd.admin.endpoints import BASE, Endpoint

_ADDRESS = "https://to-be-replaced.invalid"


@cache
def _document(table: tuple[Endpoint, ...]) -> dict[str, Any]:
    return openapi.document(table, _ADDRESS)


@cache
def _page(table: tuple[Endpoint, ...]) -> bytes:
    return manual.page(table, _document(table))


class Openapi:
    """In place of the module, for the application alone."""

    @staticmethod
    def document(table: Sequence[Endpoint], public_url: str) -> dict[str, Any]:
        return _document(tuple(table)) | {"servers": [{"url": public_url.rstrip("/") + BASE}]}


class Manual:
    """In place of the module, for the application alone."""

    HEADERS = manual.HEADERS

    @staticmethod
    def page(table: Sequence[Endpoint], document: Mapping[str, Any]) -> bytes:
        address: str = document["servers"][0]["url"].removesuffix(BASE)
        return _page(tuple(table)).replace(_ADDRESS.encode(), address.encode())


@pytest.fixture(scope="session", autouse=True)
def documents_made_once() -> Iterator[None]:
    """In this process. Only the address differs from one application to the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "openapi", Openapi)
        patch.setattr(app, "manual", Manual)
        yield
