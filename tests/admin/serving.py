"""The application in a thread of its own, for clients that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from tests.support.patience import AT_MOST_S

T = TypeVar("T")
Opened = Callable[[], AbstractAsyncContextManager[T]]


@contextmanager
def in_thread(opened: Opened[T]) -> Iterator[tuple[T, Callable[[Awaitable[object]], object]]]:
    """What the asynchronous context manager gives, and a way to await something beside it."""
    loop = asyncio.new_event_loop()
    found: list[T] = []
    begun, over = threading.Event(), asyncio.Event()
    faults: list[BaseException] = []

    async def main() -> None:
        try:
            async with opened() as value:
                found.append(value)
                begun.set()
                await over.wait()
        except BaseException as exc:
            faults.append(exc)
        finally:
            begun.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    begun.wait(AT_MOST_S)
    try:
        if faults:
            raise faults[0]
        yield found[0], lambda work: asyncio.run_coroutine_threadsafe(_awaited(work), loop).result(AT_MOST_S)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(AT_MOST_S)
        loop.close()
    if faults:
        raise faults[0]


async def _awaited(work: Awaitable[object]) -> object:
    return await work
