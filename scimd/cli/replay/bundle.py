"""Bundles: JSON Lines, a header and then a request with its answer in each line, the oldest first.

The header says what a replay needs to stand where the recording stood: the format, the token's
profile, the source's settings with the extensions that it declares, the limits of requests. Values are
pseudonyms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from scimd import __version__
from scimd.config import Config
from scimd.core.endpoints import BASE_PATH
from scimd.core.errors import InvalidValue
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.request_log.request_log import RequestRecord
from scimd.org.sources.source_states import unpaused
from scimd.org.sources.sources import SourceRecord

FORMAT: Final = "scimd-requests/1"
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """``profile``: of the source's newest token. ``settings``: what of the source decides answers."""

    format: str
    scimd: str
    base_url: str
    source: str
    profile: str
    settings: Mapping[str, Any]

    def line(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, by a token of ``scopes``. ``request`` and ``response`` are JSON values; None: no body, or
    ``omitted`` names it.
    """

    at: str
    correlation_id: str
    profile: str
    scopes: list[str]
    method: str
    path: str
    query: str | None
    status: int
    scim_type: str | None
    headers: Mapping[str, str]
    request: Any
    response: Any
    omitted: list[str]
    dropped: int

    def line(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"


def header_of(org: OrganizationRecord, source: SourceRecord, profile: str, config: Config) -> Header:
    """What of the organization, the source and the installation an answer depends on. No secret is among it.

    A source that is paused now has the state in which it would go on: nothing else was answered but by 401.
    """
    settings = {
        "seats": org.seats,
        "seats_on_scim": org.seats_on_scim,
        "default_project": org.default_project_id is not None,
        "state": unpaused(source),
        "invite": source.invite,
        "ceiling": source.ceiling,
        "groups": source.config.get("groups") or {},
        "extension": source.config.get("extension") or [],
        "max_page": config.scim.max_page,
        "default_page": min(config.scim.default_page, config.scim.max_page),
        "max_operations": config.scim.max_operations,
        "max_bulk_operations": config.scim.max_bulk_operations,
        "max_body_bytes": config.server.max_body_bytes,
    }
    base_url = f"{config.server.public_url}{BASE_PATH}"
    return Header(FORMAT, __version__, base_url, source.name, profile, settings)


def recorded(entry: RequestRecord) -> Recorded:
    return Recorded(
        at=entry.at.isoformat(),
        correlation_id=entry.correlation_id,
        profile=entry.profile,
        scopes=list(entry.scopes),
        method=entry.method,
        path=entry.path,
        query=entry.query,
        status=entry.status,
        scim_type=entry.scim_type,
        headers=entry.headers,
        request=None if entry.request is None else orjson.loads(entry.request),
        response=None if entry.response is None else orjson.loads(entry.response),
        omitted=list(entry.omitted),
        dropped=entry.dropped,
    )


def read(path: Path) -> tuple[Header, Iterator[Recorded]]:
    """The header, and the requests as they are asked for. Raises InvalidValue for what is no bundle."""
    lines = _lines(path)
    first = next(lines, None)
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise InvalidValue(str(path), f"no bundle of the format {FORMAT}; scimd scim-log export makes one")
    return _made(Header, first, path), (_made(Recorded, line, path) for line in lines)


def _made(of: type[Any], line: Any, path: Path) -> Any:
    names = {each.name for each in fields(of)}
    if not isinstance(line, dict) or set(line) != names:
        raise InvalidValue(str(path), "a line of it lacks a field, or has one that this scimd does not know")
    return of(**line)


def _lines(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST):
                yield orjson.loads(line)
    except OSError as exc:
        raise InvalidValue(str(path), f"it cannot be read: {exc.strerror}") from exc
    except orjson.JSONDecodeError as exc:
        raise InvalidValue(str(path), "a line of it is no JSON") from exc
