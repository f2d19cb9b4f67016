"""The requests: people as Okta sends them, 956 bytes each, and what an IdP does with them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from benchmarks.client import Client, Endpoint

PEOPLE = 1000
GROUPS = 20
USER_BYTES = 956
_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def name_of(key: str) -> str:
    return f"{key}@acme.example"


def user(key: str, title: str = "Engineer") -> bytes:
    """A person, of exactly 956 bytes."""
    address = name_of(key)
    document = {
        "schemas": [_USER, _ENTERPRISE],
        "userName": address,
        "externalId": f"00u{key:0>17}",
        "name": {"givenName": "Thomasina", "familyName": f"Okafor {key}", "formatted": f"Thomasina {key}"},
        "displayName": f"Thomasina Okafor {key}",
        "title": title,
        "locale": "en-US",
        "timezone": "Europe/Berlin",
        "preferredLanguage": "en-US",
        "active": True,
        "emails": [{"value": address, "type": "work", "primary": True}],
        "phoneNumbers": [{"value": "+49 30 5550142", "type": "work"}],
        "addresses": [
            {"streetAddress": "Lindenstrasse 9", "locality": "Berlin", "postalCode": "10969",
             "country": "DE", "type": "work", "primary": True}
        ],
        "groups": [],
        _ENTERPRISE: {"employeeNumber": f"E{key}", "department": "Platform", "costCenter": "4711",
                      "organization": "Acme", "division": ""},
    }  # fmt: skip
    short = USER_BYTES - len(json.dumps(document))
    document[_ENTERPRISE]["division"] = "x" * short  # type: ignore[index]
    return json.dumps(document).encode()


def group(name: str) -> bytes:
    return json.dumps({"schemas": [_GROUP], "displayName": name}).encode()


def group_of(name: str, members: list[str]) -> bytes:
    rows = [{"value": member} for member in members]
    return json.dumps({"schemas": [_GROUP], "displayName": name, "members": rows}).encode()


def patch(**operation: object) -> bytes:
    return json.dumps({"schemas": [_PATCH], "Operations": [operation]}).encode()


def adding(members: list[str]) -> bytes:
    return patch(op="add", path="members", value=[{"value": member} for member in members])


def removing(member: str) -> bytes:
    return patch(op="remove", path=f'members[value eq "{member}"]')


def by_name(name: str) -> str:
    return "/Users?filter=" + quote(f'userName eq "{name}"')


def page(start: int) -> str:
    return f"/Users?startIndex={start}&count=100"


def ids_of(bodies: list[bytes]) -> list[str]:
    return [json.loads(body)["id"] for body in bodies]


@dataclass(slots=True)
class Subject:
    """A server under load and what it holds: people by key and id, groups by id."""

    name: str
    endpoint: Endpoint
    keys: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    fresh: Iterator[int] = field(default_factory=itertools.count)
    _membership: Iterator[bytes] | None = None

    def first_sync(self, client: Client, number: int) -> float:
        """Look up and create 1,000 people, then 20 groups of 50; gives the seconds."""
        keys = [f"s{number}-{i}" for i in range(PEOPLE)]
        ask = self.endpoint.request
        people = list(
            itertools.chain.from_iterable(
                (ask("GET", by_name(name_of(key))), ask("POST", "/Users", user(key))) for key in keys
            )
        )
        groups = [ask("POST", "/Groups", group(f"Group {number}-{i}")) for i in range(GROUPS)]
        began = time.perf_counter()
        made = client.load(people, keep=True)
        groups_made = client.load(groups, keep=True)
        ids, group_ids = ids_of(made.bodies[1::2]), ids_of(groups_made.bodies)
        share = PEOPLE // GROUPS
        client.load(
            ask("PATCH", f"/Groups/{one}", adding(ids[i * share : (i + 1) * share]))
            for i, one in enumerate(group_ids)
        )
        took = time.perf_counter() - began
        if not self.ids:
            self.keys, self.ids, self.groups = keys, ids, group_ids
        return took

    def membership_changes(self) -> Iterator[bytes]:
        """Each adds somebody to a group who is not in it; when all are in, each removes somebody."""
        if self._membership is None:
            self._membership = self._changes()
        return self._membership

    def _changes(self) -> Iterator[bytes]:
        ask, share = self.endpoint.request, PEOPLE // GROUPS
        pairs = [
            (one, self.ids[(i * share + share + j) % PEOPLE])
            for j in range(PEOPLE - share)
            for i, one in enumerate(self.groups)
        ]
        while True:
            for one, member in pairs:
                yield ask("PATCH", f"/Groups/{one}", adding([member]))
            for one, member in pairs:
                yield ask("PATCH", f"/Groups/{one}", removing(member))


def _gets(s: Subject, count: int) -> list[bytes]:
    return _cycled([s.endpoint.request("GET", f"/Users/{one}") for one in s.ids], count)


def _lookups(s: Subject, count: int) -> list[bytes]:
    return _cycled([s.endpoint.request("GET", by_name(name_of(key))) for key in s.keys], count)


def _pages(s: Subject, count: int) -> list[bytes]:
    return _cycled([s.endpoint.request("GET", page(start)) for start in range(1, PEOPLE, 100)], count)


def _posts(s: Subject, count: int) -> list[bytes]:
    keys = (f"n{next(s.fresh)}" for _ in range(count))
    return [s.endpoint.request("POST", "/Users", user(key)) for key in keys]


def _puts(s: Subject, count: int) -> list[bytes]:
    turn = next(s.fresh)
    people = itertools.islice(itertools.cycle(zip(s.keys, s.ids, strict=True)), count)
    return [
        s.endpoint.request("PUT", f"/Users/{one}", user(key, f"Title {turn} {i}"))
        for i, (key, one) in enumerate(people)
    ]


def _patches(s: Subject, count: int) -> list[bytes]:
    turn = next(s.fresh)
    return [
        s.endpoint.request(
            "PATCH", f"/Users/{one}", patch(op="replace", path="name.familyName", value=f"Okafor {turn} {i}")
        )
        for i, one in enumerate(itertools.islice(itertools.cycle(s.ids), count))
    ]


def _group_patches(s: Subject, count: int) -> list[bytes]:
    return list(itertools.islice(s.membership_changes(), count))


def _cycled(requests: list[bytes], count: int) -> list[bytes]:
    return list(itertools.islice(itertools.cycle(requests), max(count, len(requests)) * 4))


#: Verb → the requests of one load, prebuilt.
VERBS: dict[str, Callable[[Subject, int], list[bytes]]] = {
    "GET": _gets,
    "look-up": _lookups,
    "page of 100": _pages,
    "POST": _posts,
    "PUT": _puts,
    "PATCH": _patches,
    "group PATCH": _group_patches,
}
