"""`scimd check SOURCE` answers, whatever a connector does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from scimd.config import Source
from scimd.sync import checking


class _Strange:
    """A connector whose source does this when it is checked."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self._does = does

    def parse(self, settings: object) -> object:
        return settings

    def open(self, *_: object) -> _Strange:
        return self

    async def check(self) -> Any:
        return await self._does()

    async def aclose(self) -> None:
        pass


@pytest.fixture
def source() -> Source:
    return Source.model_validate({"name": "hr", "connector": "strange"})


async def test_connector_that_minds_no_deadline_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    monkeypatch.setattr(checking, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(checking, "connector", lambda _: _Strange(asyncio.Event().wait))
    assert await checking.check(source) == checking.Verdict(False, "the check was not finished after 0.05 s")


async def test_connector_that_breaks_its_contract_is_a_sentence_without_its_text(
    monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    async def fail() -> None:
        raise KeyError("s3cret")

    monkeypatch.setattr(checking, "connector", lambda _: _Strange(fail))
    said = "the connector failed with KeyError; the log has more"
    assert await checking.check(source) == checking.Verdict(False, said)
