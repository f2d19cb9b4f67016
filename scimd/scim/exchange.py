"""One SCIM request on its way: who asks, in which profile, what is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from aiohttp import web
from yarl import URL

from scimd.core.attributes import ResourceKind
from scimd.core.bearer import missing_scopes
from scimd.core.endpoints import plus_as_meant
from scimd.core.people import Document
from scimd.core.request_texts import without_selections
from scimd.core.resource import PARAMETERS, Projection, View
from scimd.http import limits
from scimd.http.whole import Whole
from scimd.org.reading.keyset import Position
from scimd.org.tokens.tokens import TokenHolder
from scimd.org.tx import Context, Door
from scimd.scim import documents, path_keys, request_log
from scimd.scim.effort import MAX_GONE_OVER, Together
from scimd.scim.errors import ScimError, insufficient_scope, invalid_syntax
from scimd.scim.etag import precondition
from scimd.scim.operations import Operation, check_number
from scimd.scim.quirks import Part, Profile
from scimd.scim.values import Rules

MEDIA_TYPE = "application/scim+json"
_TYPED = {"Content-Type": MEDIA_TYPE}
_TAKEN = frozenset((MEDIA_TYPE, "application/json"))
_MAX_NAMES = 200
#: Generated clients send a list in as many parameters as it has names (OpenAPI's ``explode``).
_LISTS = frozenset(("attributes", "excludedAttributes"))
#: Of a resource, known ones or not: each is looked at by each transform.
_MAX_KEYS = 10_000
#: A body of this size is parsed beside the loop: it takes some 2 ms.
_LARGE_BYTES = 256 * 1024
#: How many of them a process has in hand at once. One of 2 MiB that is made to be dear is 90 MB of objects.
LARGE_AT_ONCE = 3
_BEYOND_ASCII = re.compile("%[89A-Fa-f]|[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class ScimSettings:
    """``base_url`` is the configured public address with ``/scim/v2``; the request's Host is never used."""

    base_url: str
    max_body_bytes: int
    request_timeout_s: float
    max_page: int
    default_page: int
    max_operations: int
    max_bulk_operations: int
    cursor_valid_s: float
    log_body_bytes: int = 65_536


#: Of a quirk that was applied: its name, and what it does.
Transform: TypeAlias = tuple[str, str]
#: Of a list by index: whose, which query, at which index a page would begin.
PageKey: TypeAlias = tuple[str, str, int]


class PageEnds:
    """Where pages ended, and the list's ``moves`` (``Sought``) by then. Bounded in number; the oldest go."""

    def __init__(self, at_most: int = 10_000) -> None:
        self._at_most = at_most
        self._kept: dict[PageKey, tuple[Position, int]] = {}

    def get(self, key: PageKey) -> tuple[Position, int] | None:
        return self._kept.get(key)

    def put(self, key: PageKey, end: tuple[Position, int]) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= self._at_most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = end


@dataclass(frozen=True, slots=True)
class Sent:
    """One operation of a bulk request: what it has in place of the request's body and If-Match.

    ``transforms``: for those that are applied to it; it may be begun, and never be done.
    """

    data: Document
    version: str | None
    transforms: list[Transform]


@dataclass(slots=True)
class Exchange:
    """What an endpoint works with.

    ``users``: what a user of this source may have, its own extensions included. ``id`` is the path's
    last segment, where there is one.
    """

    request: web.Request
    door: Door
    settings: ScimSettings
    ctx: Context
    holder: TokenHolder
    profile: Profile
    query: Mapping[str, str]
    users: ResourceKind
    ends: PageEnds
    #: For large bodies; taken once one is there whole, and given back when it is answered.
    room: asyncio.Semaphore
    #: Asks once more for whom the token speaks; raises 401 where it has been revoked meanwhile.
    proof: Callable[[], Awaitable[object]]
    #: When the time for the request is over, by the loop's clock. Finding out whose token it is counts.
    due: float
    id: str | None = None
    sent: Sent | None = None
    #: What all PATCHes of a bulk request may take.
    together: Together | None = None
    has_room: bool = False

    @property
    def rules(self) -> Rules:
        return self.profile.rules.values

    def check_scopes(self, method: str, segments: Sequence[str]) -> None:
        """Raises 403 where the token lacks a scope that this request, or this bulk operation, needs."""
        missing = missing_scopes(self.holder.scopes, method, segments)
        if missing:
            raise insufficient_scope(missing)

    def projection(self, kind: ResourceKind) -> Projection:
        """What the answer shall carry; both parameters at once only where the profile is lenient."""
        return projection_of(kind, self.query, both=not self.rules.refuse_unknown)

    def view(self, kind: ResourceKind) -> View:
        """How the resources of the answer are shown."""
        return View(self.settings.base_url, self.projection(kind))

    def left_s(self, share: float) -> float:
        """Of the request's time the seconds that are left of its first ``share``."""
        now = asyncio.get_running_loop().time()
        return self.due - (1 - share) * self.settings.request_timeout_s - now

    async def message(self) -> Document:
        """The body, bounded before it is parsed."""
        if self.sent is not None:
            return self.sent.data
        limits.check_media_type(self.request, _TAKEN)
        # Less than the whole time, so that it is the body that is named when it is the body that is late.
        patience_s = self.left_s(0.9)
        waited = not self.request.content.is_eof()
        raw = await limits.read_body(self.request, self.settings.max_body_bytes, patience_s)
        self.request[request_log.BODY] = raw
        if waited:  # the token may have died while the rest of the body was on its way
            await self.proof()
        if len(raw) < _LARGE_BYTES:
            return documents.parse(raw)
        await self.room.acquire()
        self.has_room = True
        return await asyncio.to_thread(documents.parse, raw)

    async def body(self, kind: ResourceKind, part: Part) -> Document:
        """The body in the form in which the generic code takes it."""
        message = await self.message()
        if len(message) > _MAX_KEYS:
            raise ScimError(413, f"The body has more than {_MAX_KEYS} attributes.")
        if part == "patch":
            many = next((each for key, each in message.items() if key.lower() == "operations"), None)
            check_number(many, self.settings.max_operations)
        body, applied = self.profile.transform(kind.name, part, message)
        if part == "patch":
            documents.check_message(documents.PATCH_URN, body, self.rules)
        else:
            body = documents.unfolded(kind, body)
            if not self.rules.refuse_unknown:
                body = path_keys.unfolded(kind, body)
        made = [(quirk.name, quirk.does) for quirk in applied]
        if self.sent is not None:
            self.sent.transforms.extend(made)
        elif made:
            self.tell_transforms(made)
        return body

    def tell_transforms(self, made: Iterable[Transform]) -> None:
        """Have the request log name these; of a bulk request, what was done to any of its operations."""
        before = self.request.get(request_log.TRANSFORMS, ())
        self.request[request_log.TRANSFORMS] = tuple(dict.fromkeys((*before, *made)))

    def may_go_over(self, operations: Sequence[Operation], selections: int = 0) -> int:
        """How many values this PATCH may go over, which looks through members so often.

        :raises ScimError: 413 where those before it in a bulk request left too little of what all may take.
        """
        if self.together is None:
            return MAX_GONE_OVER
        self.together.reads(each.path for each in operations)
        self.together.selects(selections)
        return self.together.gone_over

    def precondition(self) -> Callable[[int], bool] | None:
        """What the request asks of the version that it writes over (RFC 9110 §13)."""
        return precondition(self.header("If-Match"), self.header("If-None-Match"))

    def header(self, name: str) -> str | None:
        if self.sent is not None:
            return self.sent.version if name == "If-Match" else None
        return limits.whole_field(self.request, name)


def projection_of(kind: ResourceKind, query: Mapping[str, str], *, both: bool) -> Projection:
    """What the parameters ask the answer to carry; ``both`` of them may stand in one request."""
    if not query:
        return Projection(kind)
    only, without = query.get("attributes"), query.get("excludedAttributes")
    if only and without and not both:
        raise invalid_syntax("Send either attributes or excludedAttributes (RFC 7644 §3.9).")
    for text in (only, without):
        if text is not None and text.count(",") >= _MAX_NAMES:
            raise invalid_syntax(f"attributes: more than {_MAX_NAMES} names.")
    if only is not None and "[" in only:
        # Microsoft's collection asks for emails[type eq "work"]; a projection shows whole attributes.
        only = without_selections(only)
    return Projection.parse(kind, only, without)


def query_of(request: web.Request) -> Mapping[str, str]:
    """The parameters that SCIM knows. One that comes twice is refused: which would count? A list goes on."""
    raw = request.rel_url.raw_query_string
    found: dict[str, str] = {}
    if not raw:
        return found
    if _BEYOND_ASCII.search(raw):
        _refuse_other_than_utf8(raw)
    meant = plus_as_meant(raw)
    query = request.query if meant == raw else URL.build(query_string=meant, encoded=True).query
    for name, value in query.items():
        if name in found and name not in _LISTS:
            raise invalid_syntax(f"The parameter {name} was sent twice.")
        if name in PARAMETERS:
            found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _refuse_other_than_utf8(raw_query: str) -> None:
    """What cannot be decoded would be compared as the text of its escapes, which somebody may bear."""
    try:
        unquote_to_bytes(raw_query).decode()
    except UnicodeError:
        raise invalid_syntax("The query is not UTF-8.") from None


def answer(status: int, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response as SCIM has it: its media type, also on errors."""
    typed = {} if body is None else _TYPED
    return Whole(status, body, {**typed, **headers} if headers is not None else {**typed})


def missing(kind: ResourceKind, resource_id: str | None) -> ScimError:
    return ScimError(404, f"There is no {kind.name} {(resource_id or '')[:64]!r} here.")
