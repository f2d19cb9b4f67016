"""/Bulk (RFC 7644 §3.7): many operations in one request, each by the endpoint that does it alone.

A ``bulkId`` stands for the id of what a POST of the same request makes. What refers to one waits for
that POST, wherever it stands. Where POSTs refer to each other in a ring, the first is made without
what it cannot name yet, and that is filled in once all are made, before anything else is done; what the
ring could not make stays left out. Each operation is done whole or not at all, as RFC 7644 has it; plain ones
that follow each other share transactions, which leave what one after the other leaves (``org.turns``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import hdrs, web

from scimd.core.endpoints import segments_in_bulk
from scimd.core.errors import Refusal
from scimd.core.people import Document
from scimd.org.lines import AT_ONCE
from scimd.org.turns import Turn, Turns
from scimd.scim import bulk_ids, groups, users
from scimd.scim.documents import PATCH_URN, check_message
from scimd.scim.effort import Together
from scimd.scim.errors import ScimError, body_of, invalid_syntax, invalid_value, of_refusal, shown
from scimd.scim.exchange import Exchange, Sent, Transform, answer

Endpoint = Callable[[Exchange], Awaitable[web.Response]]
#: From a path's segments to the methods that it takes, and the id in it.
Route = Callable[[tuple[str, ...]], tuple[Mapping[str, Endpoint], str | None]]

_REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
_METHODS = (hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE)
#: What fills in what a POST had to leave open.
_FILL_IN: Mapping[str, Endpoint] = {"Users": users.fill_in, "Groups": groups.fill_in}
#: Of the time for the request: what has not begun by then is refused, so that the answer still leaves.
_TIME_SHARE = 0.8


@dataclass(slots=True)
class Operation:
    """One operation and what became of it.

    ``needs``: the bulkIds of this request that it names; ``ring``: those of the POSTs that need each other,
    its own among them; ``holes``: those that it was made without.
    """

    place: int
    method: str
    bulk_id: str | None
    segments: tuple[str, ...] = ()
    data: Document = field(default_factory=dict)
    version: str | None = None
    wrong: ScimError | None = None
    needs: frozenset[str] = frozenset()
    ring: frozenset[str] = frozenset()
    holes: frozenset[str] = frozenset()
    made: str | None = None
    transforms: list[Transform] = field(default_factory=list)
    result: Document = field(default_factory=dict)


def of(route: Route) -> Endpoint:
    """The endpoint, over the endpoints to which ``route`` leads."""

    async def bulk(ex: Exchange) -> web.Response:
        body = await ex.message()
        check_message(_REQUEST_URN, body, ex.rules)
        many, at_most_errors = read(body, ex.settings.max_bulk_operations)
        await _Bulk(ex, route, many).run(at_most_errors)
        done = [each.result for each in many if each.result]
        return answer(200, orjson.dumps({"schemas": [_URN], "Operations": done}))

    return bulk


# ------------------------------------------------------------------------------ reading


def read(body: Document, at_most: int) -> tuple[list[Operation], int | None]:
    """The operations, and how many may fail before the rest is left undone (None: all)."""
    given = {key.lower(): value for key, value in body.items()}
    many, stop = given.get("operations"), given.get("failonerrors")
    if not isinstance(many, list):
        raise invalid_syntax("Operations must be an array.")
    if len(many) > at_most:
        raise ScimError(413, f"Operations: more than the {at_most} that are allowed.")
    if stop is not None and (isinstance(stop, bool) or not isinstance(stop, int) or stop < 0):
        raise invalid_value("failOnErrors", "must be a whole number")
    operations = [_operation(place, each) for place, each in enumerate(many)]
    posted: set[str] = set()
    for each in operations:
        if each.method == hdrs.METH_POST and each.bulk_id is not None:
            if each.bulk_id in posted:
                raise invalid_value("bulkId", f"{shown(each.bulk_id)} is used for two resources")
            posted.add(each.bulk_id)
    for each in operations:
        _bind(each, posted)
    return operations, stop or None


def _operation(place: int, given: Any) -> Operation:
    keys = {key.lower(): value for key, value in given.items()} if isinstance(given, Mapping) else {}
    method, bulk_id = keys.get("method"), keys.get("bulkid")
    found = Operation(
        place,
        method.upper()[:16] if isinstance(method, str) else "",
        bulk_id if isinstance(bulk_id, str) and bulk_id else None,
    )
    try:
        _fill(found, keys)
    except ScimError as exc:
        found.wrong = exc
    return found


def _fill(found: Operation, keys: Mapping[str, Any]) -> None:
    path, data, version = keys.get("path"), keys.get("data"), keys.get("version")
    if found.method not in _METHODS:
        raise invalid_syntax(f"method must be one of {', '.join(_METHODS)}.")
    if found.method == hdrs.METH_POST and found.bulk_id is None:
        raise invalid_syntax("bulkId: a POST needs one (RFC 7644 §3.7).")
    if not isinstance(path, str) or not path.strip("/"):
        raise invalid_syntax("path must be an address such as /Users.")
    segments = segments_in_bulk(path)
    if segments is None:
        raise invalid_value("path", "it is not UTF-8")
    if segments[0] not in ("Users", "Groups") or segments[-1] == ".search":
        raise invalid_value("path", f"{shown(path)} cannot stand in a bulk request; /Users and /Groups can")
    found.segments = segments
    if version is not None and not isinstance(version, str):
        raise invalid_value("version", "must be a string")
    found.version = version
    if found.method == hdrs.METH_PATCH and isinstance(data, list):
        # As the example of RFC 7644 §3.7.3 has it: the operations alone.
        data = {"schemas": [PATCH_URN], "Operations": data}
    if found.method != hdrs.METH_DELETE:
        if not isinstance(data, dict):
            raise invalid_syntax("data must be an object.")
        found.data = data


def _bind(found: Operation, posted: set[str]) -> None:
    """Find out which bulkIds the operation names. One that nothing here makes is wrong."""
    if found.wrong is not None:
        return
    found.segments = tuple(bulk_ids.as_made(each, posted) for each in found.segments)
    named = bulk_ids.named(found.method, found.data)
    named.update(filter(None, map(bulk_ids.in_segment, found.segments)))
    unknown = named - posted
    if unknown:
        text = shown(sorted(unknown)[0])
        found.wrong = invalid_value("bulkId", f"no POST of this request has the bulkId {text}")
    found.needs = frozenset(named & posted)


def in_order(operations: Sequence[Operation]) -> list[Operation]:
    """As they were sent, but for POSTs that something before them needs, which come before it."""
    makers = {each.bulk_id: each for each in operations if each.method == hdrs.METH_POST}
    begun: set[int] = set()
    ordered: list[Operation] = []
    for first in operations:
        waiting = [] if first.place in begun else [(first, iter(sorted(first.needs)))]
        begun.add(first.place)
        while waiting:
            needed = next((makers[name] for name in waiting[-1][1] if makers[name].place not in begun), None)
            if needed is None:
                ordered.append(waiting.pop()[0])
            else:
                begun.add(needed.place)
                waiting.append((needed, iter(sorted(needed.needs))))
    return ordered


def tell_rings(ordered: Sequence[Operation]) -> None:
    """Write down which POSTs need each other: the strong components, by Kosaraju's algorithm."""
    posts = [each for each in ordered if each.method == hdrs.METH_POST and each.bulk_id is not None]
    needed_by: dict[str | None, list[Operation]] = {}
    for each in posts:
        for name in each.needs:
            needed_by.setdefault(name, []).append(each)
    found: set[int] = set()
    for first in reversed(posts):
        ring = [] if first.place in found else [first]
        found.add(first.place)
        for each in ring:  # which grows meanwhile
            more = [other for other in needed_by.get(each.bulk_id, ()) if other.place not in found]
            found.update(other.place for other in more)
            ring.extend(more)
        names = frozenset(each.bulk_id for each in ring if each.bulk_id is not None)
        for each in ring:
            each.ring = names


# ------------------------------------------------------------------------------ doing


class _Bulk:
    def __init__(self, ex: Exchange, route: Route, operations: Sequence[Operation]) -> None:
        self.ex = replace(ex, together=Together(sum(each.method == hdrs.METH_PATCH for each in operations)))
        self.route = route
        self.operations = operations
        self.ids: dict[str, str] = {}
        self.done: set[str] = set()
        # What was made with holes, and the bulkIds for whose POST it waits.
        self.open: list[Operation] = []
        self.awaited: set[str] = set()
        self.errors = 0
        self.turns = Turns(ex.door)

    async def run(self, at_most_errors: int | None) -> None:
        ordered = in_order(self.operations)
        tell_rings(ordered)
        place = 0
        while place < len(ordered) and not self._has_failed(at_most_errors):
            window = self._window(ordered, place)
            if window:
                place += await self._in_turn(window, at_most_errors)
                continue
            await self._one(ordered[place])
            place += 1
            if not self.awaited:
                await self._fill_in()
        await self._fill_in()

    def _has_failed(self, at_most_errors: int | None) -> bool:
        return at_most_errors is not None and self.errors >= at_most_errors

    def _window(self, ordered: Sequence[Operation], place: int) -> Sequence[Operation]:
        """Those from there on that may be begun before the ones in front of them are done; none but one: ().

        Each names nothing that is not made yet, and does one thing at the door, which then answers it.
        """
        end = place
        while end < min(place + AT_ONCE, len(ordered)) and self._is_plain(ordered[end]):
            end += 1
        there_is_time = self.ex.left_s(_TIME_SHARE) >= 0
        return ordered[place:end] if end > place + 1 and there_is_time and not self.awaited else ()

    def _is_plain(self, operation: Operation) -> bool:
        if operation.wrong is not None or not operation.needs <= self.ids.keys():
            return False
        if operation.segments[0] == "Users":
            return True
        # Where the answer shows the group, it is read afterwards: as those behind would have it.
        return operation.method == hdrs.METH_PATCH and not self.ex.profile.group_patch_answers

    async def _in_turn(self, window: Sequence[Operation], at_most_errors: int | None) -> int:
        """Do these, or as many from the first as may be done; gives how many."""
        turns = [Turn(self.ex.door) for _ in window]
        # Contexts are told apart by identity (``Tx.concerns``).
        sending = [replace(self.ex, door=turn.door, ctx=replace(self.ex.ctx)) for turn in turns]
        tasks: list[asyncio.Task[web.Response]] = []
        done = 0
        try:
            for each, ex in zip(window, sending, strict=True):
                tasks.append(asyncio.create_task(self._send(each, ex)))
                await asyncio.sleep(0)  # each is read and checked by itself: others are answered meanwhile
            begun = list(zip(turns, tasks, strict=True))
            while done < len(window) and not self._has_failed(at_most_errors):
                if self.ex.left_s(_TIME_SHARE) < 0:
                    break
                many = await self.turns.let(begun[done:])
                for operation, task in zip(window[done : done + many], tasks[done:], strict=False):
                    await self._one(operation, task)
                done += many
        finally:
            for task in tasks[done:]:
                task.cancel()
            await asyncio.gather(*tasks[done:], return_exceptions=True)
        return done

    async def _one(self, operation: Operation, begun: Awaitable[web.Response] | None = None) -> None:
        missing = operation.needs - self.ids.keys()
        failed = (missing & self.done) - operation.ring
        try:
            if operation.wrong is not None:
                raise operation.wrong
            if failed:
                raise _unmade(failed)
            response = await (begun or self._send(operation, self.ex))
        except (ScimError, Refusal) as exc:
            self._failed(operation, _error(exc))
        else:
            # What is not done yet stands in a ring with this one.
            operation.holes = missing - self.done
            self._succeeded(operation, response)
        finally:
            self.ex.tell_transforms(operation.transforms)
        if operation.method == hdrs.METH_POST and operation.bulk_id is not None:
            self.done.add(operation.bulk_id)
            self.awaited.discard(operation.bulk_id)

    async def _fill_in(self) -> None:
        """Fill in what was left open, as far as it was made."""
        for each in self.open:
            names = each.holes & self.ids.keys()
            if names:
                await self._fill_in_one(each, names)
        self.open.clear()

    async def _fill_in_one(self, operation: Operation, names: frozenset[str]) -> None:
        """No matter the time: it is the second half of what was told as made."""
        data = bulk_ids.with_ids(operation.method, bulk_ids.naming(operation.data, names), self.ids)
        exchange = replace(self.ex, sent=Sent(data, None, operation.transforms), id=operation.made, query={})
        try:
            response = await _FILL_IN[operation.segments[0]](exchange)
        except (ScimError, Refusal) as exc:
            error = _error(exc)
            detail = f"It was made without what it names of this request. {error.detail}"
            self._refused(operation, ScimError(error.status, detail, error.scim_type))
        else:
            operation.result["version"] = response.headers[hdrs.ETAG]
        finally:
            self.ex.tell_transforms(operation.transforms)

    async def _send(self, operation: Operation, ex: Exchange) -> web.Response:
        operation.transforms.clear()  # it may have been begun before, and not done
        if ex.left_s(_TIME_SHARE) < 0:
            raise ScimError(503, "The time for one request is over; send the rest again.")
        method, segments = operation.method, self._segments(operation)
        methods, resource_id = self.route(segments)
        if method not in methods:
            raise ScimError(405, f"{method} cannot be done at {shown('/' + '/'.join(segments))}.")
        ex.check_scopes(method, segments)
        data = bulk_ids.with_ids(method, operation.data, self.ids)
        sent = Sent(data, operation.version, operation.transforms)
        return await methods[method](replace(ex, sent=sent, id=resource_id, query={}))

    def _succeeded(self, operation: Operation, response: web.Response) -> None:
        location = response.headers.get(hdrs.LOCATION) or self._location(operation)
        if operation.method == hdrs.METH_POST and operation.bulk_id is not None:
            operation.made = self.ids[operation.bulk_id] = location.rpartition("/")[2]
        if operation.holes:
            self.open.append(operation)
            self.awaited |= operation.holes
        self._tell(operation, response.status, location, response.headers.get(hdrs.ETAG))

    def _failed(self, operation: Operation, error: ScimError) -> None:
        names_one = operation.method != hdrs.METH_POST and len(operation.segments) == 2  # endpoint and id
        unmade = any(map(bulk_ids.in_segment, self._segments(operation)))
        location = self._location(operation) if names_one and not unmade else None
        self._tell(operation, error.status, location, None)
        self._refused(operation, error)

    def _refused(self, operation: Operation, error: ScimError) -> None:
        self.errors += 1
        operation.result["status"] = str(error.status)
        operation.result["response"] = orjson.loads(body_of(error))

    def _segments(self, operation: Operation) -> tuple[str, ...]:
        named = ((each, bulk_ids.in_segment(each)) for each in operation.segments)
        return tuple(each if name is None else self.ids.get(name, each) for each, name in named)

    def _location(self, operation: Operation) -> str:
        below = (quote(each, safe="") for each in self._segments(operation))
        return "/".join((self.ex.settings.base_url, *below))

    def _tell(self, operation: Operation, status: int, location: str | None, version: str | None) -> None:
        told = {
            "method": operation.method or None,
            "bulkId": operation.bulk_id,
            "version": version,
            "location": location,
            "status": str(status),
        }
        operation.result = {name: value for name, value in told.items() if value is not None}


def _error(exc: ScimError | Refusal) -> ScimError:
    return exc if isinstance(exc, ScimError) else of_refusal(exc)


def _unmade(names: frozenset[str]) -> ScimError:
    listed = ", ".join(shown(name) for name in sorted(names)[:5])
    return ScimError(409, f"It refers to what this request did not create: bulkId {listed}.")
