"""Two organizations that are sent the same bulk requests by the same clients, and all that these leave.

Whatever a scenario does to people and groups it says by names; each world has ids of its own for them. The
worlds lie in one database, so that nothing differs but what the requests made of them.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Row, Table, select

from scimd.core.attributes import ENTERPRISE_URN, GROUP_URN, USER_URN
from scimd.core.people import PersonId
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN
from scimd.db import tables as t
from scimd.org.authentication import sessions
from scimd.org.grants import named, project_upkeep, promotion
from scimd.org.identities import merging
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.together import InTurn, Kind
from scimd.org.tx import Actor, Context, Door
from scimd.org.users import gates, local_people
from scimd.org.users.local_people import NewPerson
from scimd.scim.documents import PATCH_URN
from tests.scim.serving import Client, Installation, installed

REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
NOBODY = "00000000-0000-7000-8000-000000000000"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.:+Z-]*")
#: Made by chance, or raised by each transaction that has cause to.
_CHANCE = frozenset(
    ("salt", "digest", "chain", "hash", "correlation_id", "unknown_named", "user_moves", "group_moves")
)
_APART = frozenset(
    ("events", "published", "leases", "walks", "scim_requests", "idempotency_keys", "tokens", "organizations")
)


@asynccontextmanager
async def served(url: str) -> AsyncIterator[Installation]:
    async with installed(url, promote=promotion.promote) as running:
        begin_anew(running)
        yield running


def begin_anew(running: Installation) -> None:
    """Set the clock back. A millisecond goes by between two looks at it, so that ids are in order; mails are
    put off to the next of certain moments."""
    begun, looks = datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC), itertools.count()
    running.door.clock = lambda: begun + timedelta(milliseconds=next(looks))


def sharing(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many transactions calls share from now on, by kind, and how many of them in vain."""
    found, in_turn = Counter[str](), Kind._in_turn

    async def counted(kind: Kind[Any, Any], door: Door, wish: InTurn[Any], weight: int) -> Any:
        done = await in_turn(kind, door, wish, weight)
        found[kind.name if done is not None else f"{kind.name} in vain"] += 1
        return done

    monkeypatch.setattr(Kind, "_in_turn", counted)
    return found


@dataclass
class World:
    """``{name}`` in what is sent stands for the id of whoever was made as that; ``{v:name}``, the version."""

    scimd: Installation
    org: OrganizationRecord
    domain: str
    clients: dict[str, Client]
    ids: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> Context:
        permissions = BUILT_IN[ACCOUNT_ADMIN].permissions
        actor = Actor("person", "a", "admin")
        return Context(self.org.id, actor, "cli", "by hand", permissions=permissions)

    def meant(self, value: Any) -> Any:
        """What a scenario says, in this world."""
        if isinstance(value, str):
            return re.sub(r"\{([^{}]+)\}", self._named, value).replace("@dom", f"@{self.domain}")
        if isinstance(value, Mapping):
            return {key: self.meant(each) for key, each in value.items()}
        return [self.meant(each) for each in value] if isinstance(value, list) else value

    def _named(self, match: re.Match[str]) -> str:
        what, _, name = match[1].rpartition(":")
        return self.versions.get(name, 'W/"77"') if what == "v" else self.ids.get(name, NOBODY)

    async def bulk(self, operations: Sequence[Mapping[str, Any]], stop: int | None) -> Any:
        """Send them; what was answered. An operation's ``of`` is the name that it is about."""
        body: dict[str, Any] = {"schemas": [REQUEST]}
        body["Operations"] = [
            {"bulkId": str(n)}
            | {key: self.meant(value) for key, value in each.items() if key not in ("of", "as")}
            for n, each in enumerate(operations)
        ]
        if stop is not None:
            body["failOnErrors"] = stop
        reply = await self.clients["idp"].post("/Bulk", body)
        answered = orjson.loads(reply.raw)
        for each in answered.get("Operations", ()):
            name = operations[int(each["bulkId"])].get("of", "") if each.get("bulkId", "").isdigit() else ""
            if name and "location" in each and each["method"] == "POST":
                self.ids[name] = each["location"].rpartition("/")[2]
            if name and "version" in each:
                self.versions[name] = each["version"]
        return reply.status, answered

    # ------------------------------------------------------------------------------ by hand

    async def log_in(self, name: str) -> None:
        person_id = PersonId(self.ids.get(name, ""))
        if await self._people(id=person_id, status="active"):
            await self.scimd.door.run(
                self.admin, lambda tx: sessions.start(tx, person_id, "127.0.0.1", "tests") and None
            )

    async def merge(self, kept: str, other: str) -> None:
        if kept in self.ids and other in self.ids and self.ids[kept] != self.ids[other]:
            both = PersonId(self.ids[kept]), PersonId(self.ids[other])
            if len(await self._people(id=both[0]) + await self._people(id=both[1])) == 2:
                await merging.merge(self.scimd.door, self.admin, *both)

    async def disable(self, name: str) -> None:
        if await self._people(id=self.ids.get(name, "")):
            await gates.disable(self.scimd.door, self.admin, PersonId(self.ids[name]))

    async def add_local(self, name: str) -> None:
        new = NewPerson(f"{name}@{self.domain}")
        self.ids[name] = await local_people.add(self.scimd.door, self.admin, new)

    async def limit(self, project: str, licence: str, limit: int) -> None:
        await project_upkeep.create(self.scimd.door, self.admin, project, limit)
        await named.create(self.scimd.door, self.admin, "licence", licence, limit)

    async def _people(self, **where: Any) -> list[Row[Any]]:
        return [row for row in await self._rows(t.people, **where) if row.deleted_at is None]

    # ------------------------------------------------------------------------------ what is left

    async def _rows(self, table: Table, **where: Any) -> list[Row[Any]]:
        query = select(table).where(table.c.org_id == self.org.id)
        for name, value in where.items():
            query = query.where(table.c[name] == value)
        return await self.scimd.door.read(lambda conn: list(conn.execute(query)))

    async def left(self, answers: Any) -> dict[str, Any]:
        """All that is stored of the organization, and what was answered, by names in place of ids."""
        naming = await self._naming()
        found: dict[str, Any] = {"answers": naming(answers)}
        for table in t.metadata.sorted_tables:
            if "org_id" in table.c and table.name not in _APART:
                found[table.name] = Counter(_row(naming, row) for row in await self._rows(table))
        events = sorted(await self._rows(t.events), key=lambda row: row.id)
        causes: dict[str, int] = {}
        for row in events:
            causes.setdefault(row.correlation_id, len(causes))
        found["audit"] = [(causes[row.correlation_id], _row(naming, row)) for row in events]
        queue = await self._rows(t.waiting)
        queue.sort(key=lambda row: (row.since, row.place, row.person_id))
        found["queue"] = [naming(row.person_id) for row in queue]
        queue = await self._rows(t.slots, held=False)
        queue.sort(key=lambda row: (row.target, row.since, row.place, row.person_id))
        found["queues"] = [naming([row.target, row.person_id]) for row in queue]
        come = sorted(await self._rows(t.people), key=lambda row: (row.created_at, row.id))
        found["people in order"] = [naming(row.id) for row in come]
        return found

    async def _naming(self) -> Callable[[Any], Any]:
        names: dict[str, str] = {self.org.id: "org"}
        seen = Counter[str]()
        called = {
            t.people: "local_user_name", t.groups: "display_name", t.sources: "name", t.projects: "name",
            t.licences: "name", t.teams: "name",
        }  # fmt: skip
        for table, column in called.items():
            rows = await self._rows(table)
            for row in sorted(rows, key=lambda row: (getattr(row, "created_at", None) or 0, row.id)):
                name = f"{table.name}:{getattr(row, column)}"
                seen[name] += 1
                names[row.id] = f"<{name}:{seen[name]}>"

        def named(value: Any) -> Any:
            if isinstance(value, datetime):
                return "time"
            if isinstance(value, bytes | memoryview):
                return named(bytes(value).decode("utf-8", "replace"))
            if isinstance(value, str):
                text = _UUID.sub(lambda match: names.get(match[0], "<id>"), _TIME.sub("<time>", value))
                return text.replace(self.domain, "dom").replace(self.org.slug, "acme")
            if isinstance(value, Mapping):
                return {named(key): named(each) for key, each in value.items()}
            return [named(each) for each in value] if isinstance(value, list | tuple) else value

        return named


def _row(naming: Callable[[Any], Any], row: Row[Any]) -> str:
    found = {key: naming(value) for key, value in row._mapping.items() if key not in _CHANCE}
    for listed in ("came", "went"):  # of one call: in whatever order the database gives them
        told = (found.get("body") or {}).get("after") or {}
        if listed in told:
            told[listed] = sorted(told[listed])
    if found.get("in_groups"):
        found["in_groups"] = sorted(found["in_groups"].split(","))
    return str(sorted(found.items()))


# ------------------------------------------------------------------------------ what is sent


@dataclass
class Maker:
    """Makes operations by chance. ``crowded``: of few people, so that they are in each other's way.

    ``scarce``: of what seats and licences are taken and given back by, and little else.
    """

    chance: random.Random
    crowded: bool = False
    scarce: bool = False
    fresh: int = 0
    there: list[str] = field(default_factory=list)

    def some(self) -> str:
        if self.crowded or not self.there or self.chance.random() < 0.02:
            return f"u{self.chance.randrange(8)}"
        return self.chance.choice(self.there)

    def room(self) -> str:
        return f"G{self.chance.randrange(4)}"

    def operations(self, many: int) -> list[dict[str, Any]]:
        """Runs of operations of one kind, or of many."""
        found: list[dict[str, Any]] = []
        while len(found) < many:
            verb = self.chance.choice(_SCARCE if self.scarce else _VERBS)
            for _ in range(self.chance.choice((1, 2, 3, 5, 8, 13))):
                if self.chance.random() < (0.08 if self.crowded else 0.02):
                    found.append(self.chance.choice(_VERBS)(self))
                found.append(verb(self))
        return found[:many]

    def document(self, name: str) -> dict[str, Any]:
        chance = self.chance
        found: dict[str, Any] = {"schemas": [USER_URN], "userName": f"{name}@dom", "displayName": name}
        found["externalId"] = f"x-{name}"
        if self._now_and_then():
            found["userName"] = chance.choice(
                (f"{self.some()}@dom", f"{name.upper()}@dom", name, f"{name}@b")
            )
        if self._now_and_then():
            found["externalId"] = f"x-{self.some()}"
        elif self._now_and_then():
            del found["externalId"]
        if chance.random() < 0.3:
            found["title"] = chance.choice(("CTO", "Cook"))
        if self._now_and_then():
            mail = chance.choice(
                (f"{self.some()}@dom", f"{name}@dom", f"l{chance.randrange(3)}@dom", "p0@dom")
            )
            found["emails"] = [{"value": mail, "primary": True}]
        if self._now_and_then():
            found["active"] = chance.random() < 0.3
        if self._now_and_then():
            manager = chance.choice((f"{{{self.some()}}}", "bulkId:0"))
            found["schemas"].append(ENTERPRISE_URN)
            found[ENTERPRISE_URN] = {"manager": {"value": manager}, "employeeNumber": self.some()}
        return found

    def _now_and_then(self) -> bool:
        return self.chance.random() < (0.2 if self.crowded else 0.02)

    def post(self) -> dict[str, Any]:
        name = self.some() if self.crowded or self.chance.random() < 0.02 else f"u{self.fresh}"
        self.fresh += 1
        self.there.append(name)
        return {"method": "POST", "path": "/Users", "of": name, "data": self.document(name)}

    def put(self) -> dict[str, Any]:
        return self._about("PUT", self.document)

    def title(self) -> dict[str, Any]:
        return self._about("PATCH", lambda name: _set(title=self.chance.choice("abc")))

    def active(self) -> dict[str, Any]:
        return self._about("PATCH", lambda name: _set(active=self.chance.random() < 0.5))

    def leave(self) -> dict[str, Any]:
        return self._about("PATCH", lambda name: _set(active=False))

    def come_back(self) -> dict[str, Any]:
        return self._about("PATCH", lambda name: _set(active=True))

    def rename(self) -> dict[str, Any]:
        other = self.some()
        values = ({"displayName": other}, {"userName": f"{other}@dom"}, {"externalId": f"x-{other}"})
        return self._about("PATCH", lambda name: _set(**self.chance.choice(values)))

    def move(self) -> dict[str, Any]:
        mail = f"{self.chance.choice((self.some(), self.some(), 'new', 'l0'))}@dom"
        value = [{"value": mail, "primary": True, "type": "work"}]
        return self._about("PATCH", lambda name: _set(emails=value))

    def delete(self) -> dict[str, Any]:
        found = self._about("DELETE", None)
        self.there = [each for each in self.there if each != found["of"]]
        return found

    def add(self) -> dict[str, Any]:
        return self._members("add")

    def remove(self) -> dict[str, Any]:
        return self._members("remove")

    def other(self) -> dict[str, Any]:
        """What is never shared, or wrong."""
        room, chance = self.room(), self.chance
        member = [{"value": self._member()}]
        group = {"schemas": [GROUP_URN], "displayName": room, "externalId": f"x-{room}", "members": member}
        whole = _patch({"op": "replace", "path": "members", "value": member})
        name = _patch({"op": "replace", "path": "displayName", "value": self.room()})
        gone = _patch({"op": "remove", "path": f'members[value eq "{self._member()}"]'})
        path = f"/Groups/{{{room}}}"
        return chance.choice(
            (
                {"method": "POST", "path": "/Groups", "of": room, "data": group},
                {"method": "PUT", "path": path, "of": room, "data": group},
                {"method": "DELETE", "path": path, "of": room},
                {"method": "PATCH", "path": path, "of": room, "data": whole},
                {"method": "PATCH", "path": path, "of": room, "data": name},
                {"method": "PATCH", "path": path, "of": room, "data": gone},
                {"method": "PATCH", "path": "/Users/bulkId:0", "data": _set(title="z")},
                {"method": "DELETE", "path": "/Users/bulkId:1"},
                {"method": "PATCH", "path": f"/Users/{{{self.some()}}}", "data": _set(userName="")},
                {"method": "GET", "path": "/Users"},
                {"method": "PUT", "path": "/Users", "data": {}},
            )
        )

    def _about(self, method: str, data: Callable[[str], Any] | None) -> dict[str, Any]:
        name = self.some()
        found: dict[str, Any] = {"method": method, "path": f"/Users/{{{name}}}", "of": name}
        if data is not None:
            found["data"] = data(name)
        if self.chance.random() < (0.1 if self.crowded else 0.01):
            found["version"] = f"{{v:{name}}}"
        return found

    def _members(self, op: str) -> dict[str, Any]:
        room, many = self.room(), self.chance.choice((1, 1, 1, 2, 5))
        value = [{"value": self._member()} for _ in range(many)]
        found: dict[str, Any] = {"method": "PATCH", "path": f"/Groups/{{{room}}}", "of": room}
        found["data"] = _patch({"op": op, "path": "members", "value": value})
        if self.chance.random() < 0.03:
            found["version"] = f"{{v:{room}}}"
        return found

    def _member(self) -> str:
        if not self._now_and_then():
            return f"{{{self.some()}}}"
        return self.chance.choice((f"x-{self.some()}", f"{{{self.room()}}}", "x-later", "bulkId:0", "l0"))


def _patch(*operations: Mapping[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def _set(**values: Any) -> dict[str, Any]:
    return _patch(*({"op": "replace", "path": key, "value": value} for key, value in values.items()))


_SCARCE = (
    Maker.active, Maker.active, Maker.active, Maker.leave, Maker.come_back, Maker.delete, Maker.post,
    Maker.add, Maker.remove,
)  # fmt: skip
_VERBS = (
    Maker.post, Maker.post, Maker.post, Maker.put, Maker.title, Maker.active, Maker.leave, Maker.come_back,
    Maker.rename, Maker.move, Maker.delete, Maker.delete, Maker.add, Maker.add, Maker.remove, Maker.other,
)  # fmt: skip
