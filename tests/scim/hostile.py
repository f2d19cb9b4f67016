"""What a hostile request is, and what has to become of it. The tables stand beside: ``hostile_*.py``."""

from __future__ import annotations

import json as standard
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import orjson

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
NOBODY = "00000000-0000-0000-0000-000000000000"

#: ``refused``: a SCIM error, 4xx. ``harmless``: an answer that is right and changes nothing.
#: ``none``: a list that finds nobody. ``failed``: a bulk answer in which each operation is an error.
#: ``either``: refused or harmless; which of them, a profile or the reader of HTTP may decide.
Fate = Literal["refused", "harmless", "none", "failed", "either"]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request. ``path`` is below ``/scim/v2`` and goes out as it stands; so does ``body``."""

    name: str
    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    fate: Fate = "refused"
    profile: str = "default"
    #: The statuses that will do, where less than every 4xx will.
    statuses: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Victims:
    """Ids of what must not change: a user and a group that are there."""

    user: str
    group: str


def query(endpoint: str, **parameters: str) -> str:
    """The path of a list, every character of the values encoded."""
    given = "&".join(
        f"{name}={quote(value.encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in parameters.items()
    )
    return f"/{endpoint}?{given}"


def json(value: Any) -> bytes:
    """As ``orjson``, but NUL, halves of surrogate pairs and numbers of any size come through."""
    return standard.dumps(value).encode()


def patch_of(*operations: Any) -> bytes:
    return json({"schemas": [PATCH], "Operations": list(operations)})


def numbered(prefix: str, many: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for n, each in enumerate(many):
        yield f"{prefix}-{n}", each


def user_with(**more: Any) -> bytes:
    return json({"schemas": [USER], "userName": "hostile", **more})


def is_scim_error(raw: bytes, status: int) -> bool:
    """An error as RFC 7644 §3.12 has it, with a sentence, and nothing of scimd's inside."""
    error = orjson.loads(raw)
    inside = (b"Traceback", b"site-packages", b"sqlalchemy", b"psycopg", b"sqlite3", b'File \\"', b"0x7f")
    return (
        error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        and error["status"] == str(status)
        and len(error["detail"].split()) >= 3
        and len(error["detail"]) < 1000
        and not any(each.lower() in raw.lower() for each in inside)
    )
