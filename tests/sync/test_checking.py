"""`scimd check SOURCE` answers, whatever a connector does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import structlog

from scimd.config import Source
from scimd.connector_api import Checked, End, OpenSource, Page, Unreachable
from scimd.sync import checking, collect, waiting
from tests.support.patience import AT_MOST_S


async def _at_once() -> None:
    pass


class _Strange:
    """A connector whose source does this when it is checked, and that when it is closed."""

    def __init__(self, does: Callable[[], Any], closes: Callable[[], Any] = _at_once) -> None:
        self._does, self._closes = does, closes

    def parse(self, settings: object) -> object:
        return settings

    def open(self, *_: object) -> _Strange:
        return self

    async def check(self) -> Any:
        return await self._does()

    async def aclose(self) -> None:
        await self._closes()


@pytest.fixture
def source() -> Source:
    return Source.model_validate({"name": "hr", "connector": "strange"})


async def test_connector_that_minds_no_deadline_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    monkeypatch.setattr(checking, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(checking, "connector", lambda _: _Strange(asyncio.Event().wait))
    assert await checking.check(source) == checking.Verdict(False, "the check was not finished after 0.05 s")


@pytest.mark.parametrize("error", [KeyError, TimeoutError])
async def test_connector_that_breaks_its_contract_is_a_sentence_without_its_text(
    monkeypatch: pytest.MonkeyPatch, source: Source, error: type[Exception]
) -> None:
    async def fail() -> None:
        raise error("s3cret")

    monkeypatch.setattr(checking, "connector", lambda _: _Strange(fail))
    said = f"the connector failed with {error.__name__}; the log has more"
    assert await checking.check(source) == checking.Verdict(False, said)


@pytest.mark.parametrize("cancellable", [True, False])
async def test_connector_that_does_not_close_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, source: Source, cancellable: bool
) -> None:
    over = asyncio.Event()

    async def fine() -> Checked:
        return Checked("fine")

    async def closes() -> None:
        while not over.is_set():
            with contextlib.suppress(*(() if cancellable else (asyncio.CancelledError,))):
                await over.wait()

    monkeypatch.setattr(waiting, "CLOSING_S", 0.05)
    monkeypatch.setattr(checking, "connector", lambda _: _Strange(fine, closes))
    with structlog.testing.capture_logs() as said:
        assert await checking.check(source) == checking.Verdict(True, "fine")
    over.set()
    assert [line["source"] for line in said if line["event"] == "connector_not_closed"] == ["hr"]


async def test_of_a_directory_that_goes_on_after_its_time_nothing_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not heed that it was cancelled. The run has failed by then, and its changes are written."""
    late, over, taken = asyncio.Event(), asyncio.Event(), []

    class Deaf:
        async def read(self, _: str | None) -> AsyncIterator[Page]:
            try:
                while not late.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await late.wait()
                yield Page(end=End(full=True))
            finally:
                over.set()

    async def take(page: Page) -> None:
        taken.append(page)

    monkeypatch.setattr(waiting, "CLOSING_S", 0.05)
    with pytest.raises(Unreachable, match="not finished"):
        await collect.read_whole(cast(OpenSource, Deaf()), take, timeout_s=0.05)
    late.set()
    async with asyncio.timeout(AT_MOST_S):
        await over.wait()
    assert taken == []
