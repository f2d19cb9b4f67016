"""Who makes entries of the request log: this process, in what it has to spare, or another beside it.

The other one gets requests as they came through a pipe between the two, and gives back entries. What
somebody sent is thus in the memory of two processes for a moment, and on no disk.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Protocol

from scimd import log
from scimd.core.attributes import USER
from scimd.org.request_entries import Scribe, Seen, Speaker
from scimd.org.secrets import Keyring

logger = log.get(__name__)

Asked = Sequence[tuple[Seen, Speaker]]
#: The columns of each; None for one that could not be made.
Made = list[dict[str, Any] | None]
#: For how long the making of entries rests here, as a multiple of how long it worked: Python runs one
#: thread at a time, and whoever answers requests has the larger part of it.
_REST = 2.0
#: A portion takes some 20 ms. Who is silent for so long is not waited for again.
_PATIENCE_S = 30.0


def scribe_of(keys: Keyring, public_url: str, at_most: int) -> Scribe:
    """Who makes this installation's entries; ``at_most``: bytes of a body."""
    return Scribe(keys, f"{public_url}/scim/v2", at_most)


class Desk(Protocol):
    """Called in a thread."""

    def made(self, asked: Asked) -> Made: ...

    def hurry(self) -> None:
        """Nobody is answered any more: spare nothing."""


class Near:
    """Makes entries in this process."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._rest = _REST

    def hurry(self) -> None:
        self._rest = 0.0

    def made(self, asked: Asked) -> Made:
        found: Made = []
        for seen, speaker in asked:
            began = time.monotonic()
            found.append(_entry(self._scribe, seen, speaker))
            time.sleep((time.monotonic() - began) * self._rest)
        return found


class Far:
    """Has entries made at the other end of a pipe, as long as somebody is there; else by ``near``."""

    def __init__(self, pipe: Connection, near: Near) -> None:
        self._pipe: Connection | None = pipe
        self._near = near

    def hurry(self) -> None:
        self._near.hurry()

    def made(self, asked: Asked) -> Made:
        # The other process knows no more than what scimd itself declares of users.
        if self._pipe is None or any(seen.users not in (None, USER) for seen, _ in asked):
            return self._near.made(asked)
        try:
            return self._given_back(self._pipe, asked)
        except (OSError, EOFError, TimeoutError) as exc:
            logger.warning("request_log_made_here", error=type(exc).__name__)
            self._pipe.close()
            self._pipe = None
            return self._near.made(asked)

    def _given_back(self, pipe: Connection, asked: Asked) -> Made:
        # What an entry does not show stays here.
        sent = [
            (replace(seen, users=None, holder=None), speaker, seen.users is not None)
            for seen, speaker in asked
        ]
        pipe.send_bytes(pickle.dumps(sent, protocol=5))
        if not pipe.poll(_PATIENCE_S):
            raise TimeoutError
        given: Made = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own process
        return given


def serve(pipe: Connection, scribe: Scribe) -> None:
    """The other end: make entries until the first process ends. Blocks; a thread's work."""
    try:
        while True:
            asked = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own process
            made = [
                _entry(scribe, replace(seen, users=USER) if users else seen, speaker)
                for seen, speaker, users in asked
            ]
            pipe.send_bytes(pickle.dumps(made, protocol=5))
    except (OSError, EOFError):
        return


def _entry(scribe: Scribe, seen: Seen, speaker: Speaker) -> dict[str, Any] | None:
    try:
        return scribe.entry(seen, speaker)
    except Exception:  # one that cannot be made must not keep the others out
        logger.exception("request_not_logged", correlation_id=seen.correlation_id)
        return None
