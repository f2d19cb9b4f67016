"""Which process writes on its loop's own thread: the first one, where others answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scimd import app, opening
from scimd.config import Config
from scimd.processes.family import Forked


class Opened(Exception):
    """How the database was to be opened."""


@asynccontextmanager
async def looked_at(config: Config, **how: Any) -> AsyncIterator[None]:
    async with opening.opened(config, **how) as door:
        raise Opened(door.db.tuning.on_loop)
    yield


@pytest.mark.parametrize(
    ("forked", "on_loop"),
    [
        (None, False),
        (Forked(None, "", (), None), False),
        (Forked(None, "", ((None, None),), None), True),  # type: ignore[arg-type]
    ],
)
async def test_short_writes_are_on_the_loop_where_others_answer(
    database_url: str, monkeypatch: pytest.MonkeyPatch, forked: Forked | None, on_loop: bool
) -> None:
    monkeypatch.setattr(app, "opened", looked_at)
    monkeypatch.setenv("KEY", "k" * 32)
    config = Config.model_validate({"database": {"url": database_url}, "secrets": {"key": ["env:KEY"]}})
    with pytest.raises(Opened) as found:
        await app.serve(config, None, forked=forked)
    assert found.value.args == (on_loop,)
