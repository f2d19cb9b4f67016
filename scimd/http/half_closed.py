"""Answers for a client that has said all it will say, and still listens.

``nc -N`` and some health checks shut their sending half after the request. aiohttp would end the connection;
here it ends with the answer to the last request that had come whole.
"""

from __future__ import annotations

import asyncio

from aiohttp.web_protocol import RequestHandler

_LOOK_AGAIN_S = 0.02


def install() -> None:
    """Let every connection of this process do so. Doing it twice changes nothing."""
    RequestHandler.eof_received = _ended  # type: ignore[method-assign, assignment]


def is_waiting(connection: RequestHandler) -> bool:
    """It waits for a head, of which a part may be here."""
    waiter = connection._waiter
    return connection._request_count == 0 or (waiter is not None and not waiter.done())


def _ended(connection: RequestHandler) -> bool:
    """Whether the connection stays open for what is still to be answered."""
    if is_waiting(connection):
        return False
    connection._lingering_time = 0.0  # nothing comes any more of what is answered early
    asyncio.get_running_loop().call_soon(_end_with_the_last, connection)
    return True


def _end_with_the_last(connection: RequestHandler, is_answered: bool = False) -> None:
    if connection.transport is None:
        return
    request = connection._current_request
    if is_waiting(connection) or (request is not None and not request.content.is_eof()):
        connection.force_close()
    elif connection._messages:  # they are lined up behind the one that is being answered
        asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, _end_with_the_last, connection)
    elif connection._request_in_progress:
        connection.close()
    elif is_answered:  # what is left is a body that nobody reads, and of which nothing comes any more
        connection.force_close()
    else:  # or it is about to begin with the last
        asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, _end_with_the_last, connection, True)
