"""Waiting for a connector no longer than was said, whatever it does: it is somebody else's code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from scimd import log
from scimd.connector_api import OpenSource

T = TypeVar("T")

logger = log.get(__name__)

#: How long it may take to let go of what it holds; the LDAP connector gives up by itself before that.
CLOSING_S = 5.0


class TookTooLong(Exception):
    """No TimeoutError, which the connector may raise itself, of whatever it waited for."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to. Raises TookTooLong where that takes longer; it is cancelled then.

    A task of its own: where the work hangs even then, it is left behind, which ``asyncio.timeout`` cannot.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_heard)
    try:
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            return task.result()
        raise TookTooLong
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CLOSING_S)
            if not task.done():
                logger.warning("connector_left_behind", after_s=CLOSING_S)


async def let_go(source: OpenSource, name: str) -> None:
    """Close it. What it gave stands: a close that fails, or does not end, is for the log alone."""
    try:
        await within(CLOSING_S, source.aclose())
    except TookTooLong:
        logger.warning("connector_not_closed", source=name, after_s=CLOSING_S)
    except Exception as exc:
        logger.warning("connector_not_closed", source=name, exc_info=exc)


def _heard(task: asyncio.Task[Any]) -> None:
    """Nobody may ask any more how it ended; asyncio would complain."""
    if not task.cancelled():
        task.exception()
