"""Who makes and writes entries of the request log: this process, in what it has to spare, or one beside it.

The other one gets requests as they came through a pipe between the two, and gives back what became of
them. What somebody sent is thus in the memory of two processes for a moment, and on no disk.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from secrets import randbits
from typing import Any, Protocol, TypeAlias

from scimd import log
from scimd.core.attributes import USER
from scimd.core.endpoints import BASE_PATH
from scimd.core.errors import DatabaseUnavailable, Refusal
from scimd.core.people import OrgId
from scimd.org.request_log import request_log
from scimd.org.request_log.request_entries import Scribe, Seen, Speaker
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Door

logger = log.get(__name__)

Asked = Sequence[tuple[Seen, Speaker]]
#: The columns of each; None for one that could not be made.
Made = list[dict[str, Any] | None]
#: For how long the making of entries rests here, as a multiple of how long it worked: Python runs one
#: thread at a time, and whoever answers requests has the larger part of it.
_REST = 2.0
#: A portion takes some 20 ms, and as long as the database lets it wait. Who is silent for so long is not
#: waited for again.
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Portion:
    """Requests whose entries are written in one transaction, and how many were lost before them.

    ``number`` is in the ids of its entries: whoever tries again finds what is written already.
    """

    asked: Asked
    dropped: Mapping[OrgId, int]
    number: int = field(default_factory=lambda: randbits(request_log.NUMBER_BITS))


@dataclass(frozen=True, slots=True)
class Kept:
    """How many entries were written, and what the next ones have to say was lost."""

    entries: int
    dropped: Mapping[OrgId, int]


def scribe_of(keys: Keyring, public_url: str, at_most: int) -> Scribe:
    """Who makes this installation's entries; ``at_most``: bytes of a body."""
    return Scribe(keys, f"{public_url}{BASE_PATH}", at_most)


class Desk(Protocol):
    async def keep(self, portion: Portion) -> Kept:
        """Have the entries written. Raises what the database refuses; then none is."""

    def hurry(self) -> None:
        """Nobody is answered any more: spare nothing."""


class Near:
    """Makes and writes entries in this process."""

    def __init__(self, scribe: Scribe, door: Door) -> None:
        self._scribe = scribe
        self._door = door
        self._rest = _REST

    def hurry(self) -> None:
        self._rest = 0.0

    async def keep(self, portion: Portion, *, unsure: bool = False) -> Kept:
        """``unsure``: another process may have written them."""
        made = await asyncio.to_thread(self._made, portion.asked)
        return await written(self._door, portion, made, unsure=unsure)

    def _made(self, asked: Asked) -> Made:
        found: Made = []
        for seen, speaker in asked:
            began = time.monotonic()
            found.append(_entry(self._scribe, seen, speaker))
            time.sleep((time.monotonic() - began) * self._rest)
        return found


class Far:
    """Has entries made and written at the other end of a pipe, while somebody is there; else by ``near``."""

    def __init__(self, pipe: Connection, near: Near) -> None:
        self._pipe: Connection | None = pipe
        self._near = near

    def hurry(self) -> None:
        self._near.hurry()

    async def keep(self, portion: Portion) -> Kept:
        # The other process knows no more than what scimd itself declares of users.
        if self._pipe is None or any(seen.users not in (None, USER) for seen, _ in portion.asked):
            return await self._near.keep(portion)
        try:
            answer = await asyncio.to_thread(_asked, self._pipe, portion)
        except (OSError, EOFError, TimeoutError) as exc:
            logger.warning("request_log_made_here", error=type(exc).__name__)
            self._pipe.close()
            self._pipe = None
            return await self._near.keep(portion, unsure=True)
        if isinstance(answer, DatabaseUnavailable):  # as where the other process has begun to end
            return await self._near.keep(portion, unsure=True)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _asked(pipe: Connection, portion: Portion) -> Kept | Exception:
    """What the other end says. Blocks."""
    # What an entry does not show stays here.
    asked = [
        (replace(seen, users=None, holder=None), speaker, seen.users is not None)
        for seen, speaker in portion.asked
    ]
    pipe.send_bytes(pickle.dumps((asked, portion.dropped, portion.number), protocol=5))
    if not pipe.poll(_PATIENCE_S):
        raise TimeoutError
    answer: Kept | Exception = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own process
    return answer


Write: TypeAlias = Callable[[Portion, Made], Kept]


def serve(pipe: Connection, scribe: Scribe, write: Write) -> None:
    """The other end: until the first process ends. Blocks, as ``write`` may; a thread's work."""
    try:
        while True:
            asked, dropped, number = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own process
            portion = Portion(
                [(replace(seen, users=USER) if users else seen, speaker) for seen, speaker, users in asked],
                dropped,
                number,
            )
            made = [_entry(scribe, seen, speaker) for seen, speaker in portion.asked]
            if pipe.poll():  # its end: whoever asked waited too long for this process, and writes them itself
                return
            pipe.send_bytes(pickle.dumps(_outcome(write, portion, made), protocol=5))
    except (OSError, EOFError):
        return


def _outcome(write: Write, portion: Portion, made: Made) -> Kept | Exception:
    """What is foreseen travels; what nobody foresaw is logged here, where its traceback is."""
    try:
        return write(portion, made)
    except Refusal as exc:
        return exc
    except Exception as exc:
        logger.exception("request_log_portion_lost")
        return RuntimeError(f"{type(exc).__name__} in the process that writes; its log has the rest")


async def written(door: Door, portion: Portion, made: Made, *, unsure: bool = False) -> Kept:
    """Write a portion's entries. ``unsure``: unless they are there. Raises what the database refuses."""
    owed, entries = Counter(portion.dropped), []
    for (_, speaker), columns in zip(portion.asked, made, strict=True):
        if columns is None:
            owed[speaker.org_id] += 1
        else:
            entries.append((speaker.org_id, columns, owed.pop(speaker.org_id, 0)))
    if entries:
        await request_log.record(door, entries, portion.number, unsure=unsure)
    return Kept(len(entries), dict(owed))


def _entry(scribe: Scribe, seen: Seen, speaker: Speaker) -> dict[str, Any] | None:
    try:
        return scribe.entry(seen, speaker)
    except Exception:  # one that cannot be made must not keep the others out
        logger.exception("request_not_logged", correlation_id=seen.correlation_id)
        return None
