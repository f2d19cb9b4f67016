"""/Bulk (RFC 7644 §3.7): many operations in one request, each by the endpoint that does it alone.

A ``bulkId`` stands for the id of what a POST of the same request makes. What refers to one waits for
that POST, wherever it stands. Where POSTs refer to each other in a ring, the first is made without
what it cannot name yet, and replaced by its whole self once all are made. Each operation is a
transaction of its own, as RFC 7644 has it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import hdrs, web

from scimd.core.errors import Refusal
from scimd.core.people import Document
from scimd.scim.documents import PATCH_URN, check_message
from scimd.scim.errors import ScimError, body_of, invalid_syntax, invalid_value, of_refusal, shown
from scimd.scim.exchange import Exchange, Sent, answer

Endpoint = Callable[[Exchange], Awaitable[web.Response]]
#: From a path's segments to the methods that it takes, and the id in it.
Route = Callable[[tuple[str, ...]], tuple[Mapping[str, Endpoint], str | None]]

_REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
_METHODS = (hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE)
_WHOLE = re.compile(r"bulkId:(.{1,256})", re.DOTALL)
_QUOTED = re.compile(r'"bulkId:([^"]{1,256})"')
#: Of the time for the request: what has not begun by then is refused, so that the answer still leaves.
_TIME_SHARE = 0.8
_HOLE = object()


@dataclass(slots=True)
class Operation:
    """One operation and what became of it. ``needs``: the bulkIds of this request that it names."""

    place: int
    method: str
    bulk_id: str | None
    segments: tuple[str, ...] = ()
    data: Document = field(default_factory=dict)
    version: str | None = None
    wrong: ScimError | None = None
    needs: frozenset[str] = frozenset()
    holes: frozenset[str] = frozenset()
    made: str | None = None
    result: Document | None = None


def of(route: Route) -> Endpoint:
    """The endpoint, over the endpoints to which ``route`` leads."""

    async def bulk(ex: Exchange) -> web.Response:
        body = await ex.message()
        check_message(_REQUEST_URN, body, ex.rules)
        many, at_most_errors = read(body, ex.settings.max_bulk_operations)
        await _Bulk(ex, route, many).run(at_most_errors)
        done = [each.result for each in many if each.result is not None]
        return answer(200, orjson.dumps({"schemas": [_URN], "Operations": done}))

    return bulk


# ------------------------------------------------------------------------------ reading


def read(body: Document, at_most: int) -> tuple[list[Operation], int | None]:
    """The operations, and how many may fail before the rest is left undone (None: all)."""
    given = {key.lower(): value for key, value in body.items()}
    many, stop = given.get("operations"), given.get("failonerrors")
    if not isinstance(many, list):
        raise invalid_syntax("Operations: an array is wanted.")
    if len(many) > at_most:
        raise ScimError(413, f"Operations: more than the {at_most} that are allowed.")
    if stop is not None and (isinstance(stop, bool) or not isinstance(stop, int) or stop < 0):
        raise invalid_value("failOnErrors", "a whole number is wanted")
    operations = [_operation(place, each) for place, each in enumerate(many)]
    posted: set[str] = set()
    for each in operations:
        if each.method == hdrs.METH_POST and each.bulk_id is not None:
            if each.bulk_id in posted:
                raise invalid_value("bulkId", f"{shown(each.bulk_id)} stands for two resources")
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
        raise invalid_syntax(f"method: one of {', '.join(_METHODS)} is wanted.")
    if found.method == hdrs.METH_POST and found.bulk_id is None:
        raise invalid_syntax("bulkId: a POST needs one (RFC 7644 §3.7).")
    if not isinstance(path, str) or not path.strip("/"):
        raise invalid_syntax("path: an address such as /Users is wanted.")
    segments = tuple(path.strip("/").split("/"))
    if segments[0] not in ("Users", "Groups") or segments[-1] == ".search":
        raise invalid_value("path", f"{shown(path)} cannot stand in a bulk request; /Users and /Groups can")
    found.segments = segments
    if version is not None and not isinstance(version, str):
        raise invalid_value("version", "a string is wanted")
    found.version = version
    if found.method == hdrs.METH_PATCH and isinstance(data, list):
        # As the example of RFC 7644 §3.7.3 has it: the operations alone.
        data = {"schemas": [PATCH_URN], "Operations": data}
    if found.method != hdrs.METH_DELETE:
        if not isinstance(data, dict):
            raise invalid_syntax("data: an object is wanted.")
        found.data = data


def _bind(found: Operation, posted: set[str]) -> None:
    """Find out which bulkIds the operation names. One that nothing here makes is wrong."""
    if found.wrong is not None:
        return
    named = set(_named(found.data)) | {
        match[1] for each in found.segments if (match := _WHOLE.fullmatch(each))
    }
    unknown = named - posted
    if unknown:
        text = shown(sorted(unknown)[0])
        found.wrong = invalid_value("bulkId", f"no POST of this request has the bulkId {text}")
    found.needs = frozenset(named & posted)


def _named(data: Any, key: str = "") -> Iterator[str]:
    """The bulkIds in a value: a string as a whole, or quoted in the filter of a PATCH's path."""
    if isinstance(data, Mapping):
        for name, each in data.items():
            yield from _named(each, name)
    elif isinstance(data, list):
        for each in data:
            yield from _named(each, key)
    elif isinstance(data, str):
        if key.lower() == "path":
            yield from _QUOTED.findall(data)
        elif match := _WHOLE.fullmatch(data):
            yield match[1]


def with_ids(data: Any, ids: Mapping[str, str], key: str = "") -> Any:
    """The value with ids for the bulkIds; what names one without an id is left out."""
    if isinstance(data, Mapping):
        parts = {name: with_ids(each, ids, name) for name, each in data.items()}
        if any(part is _HOLE and name.lower() == "value" for name, part in parts.items()):
            return _HOLE
        return {name: part for name, part in parts.items() if part is not _HOLE}
    if isinstance(data, list):
        return [part for each in data if (part := with_ids(each, ids, key)) is not _HOLE]
    if not isinstance(data, str):
        return data
    if key.lower() == "path":
        return _QUOTED.sub(lambda match: f'"{ids.get(match[1], match[0])}"', data)
    match = _WHOLE.fullmatch(data)
    return ids.get(match[1], _HOLE) if match else data


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


# ------------------------------------------------------------------------------ doing


class _Bulk:
    def __init__(self, ex: Exchange, route: Route, operations: Sequence[Operation]) -> None:
        self.ex = ex
        self.route = route
        self.operations = operations
        self.ids: dict[str, str] = {}
        self.done: set[str] = set()
        self.errors = 0
        self.until = asyncio.get_running_loop().time() + ex.settings.request_timeout_s * _TIME_SHARE

    async def run(self, at_most_errors: int | None) -> None:
        for each in in_order(self.operations):
            if at_most_errors is not None and self.errors >= at_most_errors:
                break
            await self._one(each)
        for each in self.operations:
            if each.made is not None and each.holes:
                await self._whole(each)

    async def _one(self, operation: Operation) -> None:
        missing = operation.needs - self.ids.keys()
        # What is not done yet stands in a ring with this one.
        operation.holes = missing - self.done
        try:
            if operation.wrong is not None:
                raise operation.wrong
            if missing & self.done:
                raise _unmade(missing & self.done)
            response = await self._send(operation, operation.method)
        except (ScimError, Refusal) as exc:
            self._failed(operation, exc)
        else:
            self._succeeded(operation, response)
        if operation.method == hdrs.METH_POST and operation.bulk_id is not None:
            self.done.add(operation.bulk_id)

    async def _whole(self, operation: Operation) -> None:
        """Replace what was made with holes by what was sent."""
        still = operation.holes - self.ids.keys()
        operation.segments = (operation.segments[0], operation.made or "")
        try:
            if still:
                raise _unmade(still)
            response = await self._send(operation, hdrs.METH_PUT)
        except (ScimError, Refusal) as exc:
            self._failed(operation, exc)
        else:
            assert operation.result is not None  # noqa: S101 - it was made
            operation.result["version"] = response.headers[hdrs.ETAG]

    async def _send(self, operation: Operation, method: str) -> web.Response:
        if asyncio.get_running_loop().time() > self.until:
            raise ScimError(503, "The time for one request is over; send the rest again.")
        segments = tuple(with_ids(each, self.ids) for each in operation.segments)
        if _HOLE in segments:
            raise _unmade(operation.needs - self.ids.keys())
        methods, resource_id = self.route(segments)
        if method not in methods:
            raise ScimError(405, f"{method} cannot be done at {shown('/' + '/'.join(segments))}.")
        self.ex.check_scopes(method, segments)
        data = with_ids(operation.data, self.ids)
        sent = Sent({} if data is _HOLE else data, operation.version)
        return await methods[method](replace(self.ex, sent=sent, id=resource_id, query={}))

    def _succeeded(self, operation: Operation, response: web.Response) -> None:
        location = response.headers.get(hdrs.LOCATION) or self._location(operation)
        if operation.method == hdrs.METH_POST and operation.bulk_id is not None:
            operation.made = self.ids[operation.bulk_id] = location.rpartition("/")[2]
        self._tell(operation, response.status, location, response.headers.get(hdrs.ETAG))

    def _failed(self, operation: Operation, exc: ScimError | Refusal) -> None:
        error = exc if isinstance(exc, ScimError) else of_refusal(exc)
        self.errors += 1
        there = operation.made is not None or operation.method != hdrs.METH_POST
        names_one = len(operation.segments) == 2  # an endpoint and an id
        location = self._location(operation) if there and names_one else None
        self._tell(operation, error.status, location, None)
        assert operation.result is not None  # noqa: S101 - told in the line above
        operation.result["response"] = orjson.loads(body_of(error))

    def _location(self, operation: Operation) -> str:
        segments = (with_ids(each, self.ids) for each in operation.segments)
        return "/".join((self.ex.settings.base_url, *(each for each in segments if isinstance(each, str))))

    def _tell(self, operation: Operation, status: int, location: str | None, version: str | None) -> None:
        told = {
            "method": operation.method or None,
            "bulkId": operation.bulk_id,
            "version": version,
            "location": location,
            "status": str(status),
        }
        operation.result = {name: value for name, value in told.items() if value is not None}


def _unmade(names: frozenset[str] | set[str]) -> ScimError:
    listed = ", ".join(shown(name) for name in sorted(names)[:5])
    return ScimError(409, f"It names what this request did not make: bulkId {listed}.")
