"""The edge's end of the request log: what is kept of a request, collected in memory, written behind.

``keep`` is called for what the log shall have; it appends to a bounded queue and returns. Half a second
later ``flush`` has entries made of what waits, and written together. A crash loses what
waits; a burst that is more than memory has room for loses reads first, then the oldest, and the loss
is counted in the entry that follows and in the server's log.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

from scimd import log
from scimd.core.attributes import ResourceKind
from scimd.core.endpoints import below_base
from scimd.core.errors import Refusal
from scimd.core.people import OrgId
from scimd.http import request_id
from scimd.http.whole import Whole
from scimd.org.request_log import request_log
from scimd.org.request_log.request_entries import Seen, Speaker
from scimd.org.request_log.scribes import Desk, Portion
from scimd.org.tokens.tokens import TokenHolder
from scimd.org.tx import Door

logger = log.get(__name__)

#: What ``Exchange`` leaves on the request for the log: the body as it was read, the transforms applied.
BODY: web.RequestKey[bytes] = web.RequestKey("scim_body", bytes)
TRANSFORMS: web.RequestKey[tuple[tuple[str, str], ...]] = web.RequestKey("scim_transforms", tuple)
#: Set once the token is proved, also where its issuer signed it and it opens nothing; else its hash.
HOLDER: web.RequestKey[TokenHolder] = web.RequestKey("scim_holder", TokenHolder)
TOKEN_HASH: web.RequestKey[bytes] = web.RequestKey("scim_token_hash", bytes)

FLUSH_S = 0.5
#: Twice a second the same may be met: it is said no more often.
SAY_AGAIN_S = 60.0
#: The queue's room: some seconds of the highest rate that a server reaches, and no more than a tenth of
#: what it may weigh.
ROOM_BYTES = 16 * 1024 * 1024
_PORTION = 100
_SENT = tuple(
    (str(name), name)
    for name in (hdrs.CONTENT_TYPE, hdrs.CONTENT_ENCODING, hdrs.IF_MATCH, hdrs.IF_NONE_MATCH)
)
_READS = frozenset((hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS))


def is_read(request: web.Request) -> bool:
    return request.method in _READS or request.rel_url.raw_path.endswith("/.search")


class _Met:
    """A warning with a count: said at once, and then of all that was met since, once a minute at most."""

    def __init__(self, event: str, counted: str) -> None:
        self._event = event
        self._counted = counted
        self._many = 0
        self._silent_until = 0.0  # on time.monotonic

    def met(self, many: int, **more: str) -> None:
        self._many += many
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SAY_AGAIN_S
            logger.warning(self._event, **{self._counted: self._many}, **more)
            self._many = 0


class Behind:
    """The queue of one process, and who empties it. ``at_most``: bytes of a body that an entry holds."""

    def __init__(self, door: Door, desk: Desk, at_most: int, room_bytes: int = ROOM_BYTES) -> None:
        self._door = door
        self._desk = desk
        self._at_most = at_most
        self._room = room_bytes
        self._size = 0
        #: Reads and refused tokens, which go first where there is no room; all else.
        self._lesser: deque[Seen] = deque()
        self._greater: deque[Seen] = deque()
        self._dropped: Counter[OrgId] = Counter()
        self._lost = 0
        self._not_written = _Met("request_log_not_written", "times")
        self._overflowed = _Met("request_log_overflowed", "dropped")
        self._turn = asyncio.Lock()

    def wants(self, request: web.Request, status: int) -> bool:
        """All but the successful reads of tokens that nobody traces."""
        if status >= 400 or not is_read(request):
            return True
        holder = request.get(HOLDER)  # None: a person's own token, at /Me
        until = holder.trace_until if holder is not None else None
        return until is not None and until > self._door.clock()

    def keep(
        self, request: web.Request, response: web.Response | None, seconds: float, users: ResourceKind | None
    ) -> None:
        """Queue a request and its answer; ``response`` None: it crashed. Of a body that is left out of its
        entry, no more waits than shows that it is too long.
        """
        holder = request.get(HOLDER)
        hashed = request.get(TOKEN_HASH)
        if holder is None and hashed is None:
            return  # nobody's: no organization to tell
        status = 500 if response is None else response.status
        body = None if response is None else response.body
        raw = request.rel_url.raw_path_qs
        seen = Seen(
            at=self._door.clock(),
            holder=holder,
            token_hash=hashed,
            correlation_id=request_id.of(request),
            method=request.method,
            target=raw if (below := below_base(raw)) is None else below,
            status=status,
            duration_us=round(seconds * 1e6),
            request=self._short(request.get(BODY)),
            response=self._short(body if isinstance(body, bytes) else None),
            headers=_headers(request, response),
            transforms=request.get(TRANSFORMS, ()),
            users=users,
        )
        lesser = status == 401 or (status < 400 and is_read(request))
        (self._lesser if lesser else self._greater).append(seen)
        self._size += seen.bytes
        while self._size > self._room:
            self._drop()

    def _short(self, body: bytes | None) -> bytes | None:
        return body if body is None or len(body) <= self._at_most else body[: self._at_most + 1]

    def _drop(self) -> None:
        seen = (self._lesser or self._greater).popleft()
        self._size -= seen.bytes
        self._lost += 1
        if seen.holder is not None:
            self._dropped[seen.holder.org_id] += 1

    async def run(self) -> None:
        """Flush twice a second; owned by the application, cancelled at its end."""
        while True:
            await asyncio.sleep(FLUSH_S)
            # What was taken from the queue is written, though this loop end meanwhile.
            await asyncio.shield(self._try())

    async def _try(self) -> None:
        try:
            await self.flush()
        except Refusal as exc:  # the database is away or busy; what waits, waits on
            self._not_written.met(1, code=exc.code)
        except Exception:  # one portion that cannot be written must not end the log
            logger.exception("request_log_portion_lost")

    async def finish(self) -> None:
        """Write what waits, without sparing the processor: nobody is answered any more."""
        self._desk.hurry()
        await self._try()

    async def flush(self) -> int:
        """Write what waits, in portions; gives how many entries. Raises what the database refuses.

        One at a time: whoever calls it finds written what another had begun. What comes meanwhile is
        for the next time: written as it comes, every request would bring a transaction of its own.
        """
        async with self._turn:
            return await self._flush()

    async def _flush(self) -> int:
        if self._lost:
            self._overflowed.met(self._lost)
            self._lost = 0
        written, left = 0, len(self._lesser) + len(self._greater)
        while left > 0 and (portion := self._take()):
            left -= len(portion)
            try:
                written += await self._write(portion)
            except Refusal:
                self._put_back(portion)
                raise
        return written

    def _take(self) -> list[Seen]:
        """The oldest that wait, of both sorts in one order."""
        found: list[Seen] = []
        while len(found) < _PORTION and (self._lesser or self._greater):
            queues = [each for each in (self._lesser, self._greater) if each]
            found.append(min(queues, key=lambda each: each[0].at).popleft())
        self._size -= sum(seen.bytes for seen in found)
        return found

    def _put_back(self, portion: Sequence[Seen]) -> None:
        self._greater.extendleft(reversed(portion))
        self._size += sum(seen.bytes for seen in portion)
        while self._size > self._room:
            self._drop()

    async def _write(self, portion: Sequence[Seen]) -> int:
        hashes = {seen.token_hash for seen in portion if seen.token_hash is not None}
        refused = await request_log.speakers_of(self._door, hashes) if hashes else {}
        # Of nobody's token: there is no organization to tell.
        asked = [(seen, speaker) for seen in portion if (speaker := _speaker(seen, refused)) is not None]
        if not asked:
            return 0
        told = {speaker.org_id for _, speaker in asked}
        dropped = {org_id: lost for org_id in told if (lost := self._dropped.pop(org_id, 0))}
        try:
            kept = await self._desk.keep(Portion(asked, dropped))
        except Refusal:
            self._dropped.update(dropped)
            raise
        self._dropped.update(kept.dropped)
        return kept.entries


def _speaker(seen: Seen, refused: Mapping[bytes, Speaker]) -> Speaker | None:
    holder = seen.holder
    if holder is None:
        return refused.get(seen.token_hash or b"")
    return Speaker(
        holder.org_id,
        holder.token_id,
        holder.token_name,
        holder.source_id,
        holder.source_name,
        holder.profile,
        tuple(sorted(holder.scopes)),
    )


def _headers(request: web.Request, response: web.Response | None) -> dict[str, str]:
    sent = request.headers
    given = {told: ",".join(sent.getall(name)) for told, name in _SENT if name in sent}
    if isinstance(response, Whole):
        tag = response.told("ETag")
    else:
        tag = None if response is None else response.headers.get(hdrs.ETAG)
    if tag is not None:
        given["ETag"] = tag
    return given
