"""Simple models of what a SCIM client sees, and machines that compare them with a running server.

Written from RFC 7643/7644 and ``docs/semantics.md``, not from the code. A machine drives a server over
HTTP, in an organization of its own for each example; after each step it looks at everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import select

from scimd.core.people import fold
from scimd.db.tables import events
from scimd.org.users import admin_reads
from tests.scim.serving import Client, Installation, Reply, installed

T = TypeVar("T")


class Server:
    """One running server with an event loop of its own, for tests that are not asynchronous."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.scimd: Installation = self.wait(self._stack.enter_async_context(installed(url)))
        self.organizations = 0

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def client(self) -> Client:
        self.organizations += 1
        slug = f"org-{self.organizations}"
        return self.wait(_client(self.scimd, slug))

    def close(self) -> None:
        self.wait(self._stack.aclose())
        self.loop.close()


async def _client(scimd: Installation, slug: str) -> Client:
    return await scimd.client(await scimd.organization(slug))


@dataclass
class Person:
    """What the model holds of a user: the document as it was sent, and the last tag."""

    id: str
    document: dict[str, Any]
    tag: str = ""


@dataclass
class Team:
    id: str
    name: str
    #: Ids of users and groups, and keys of whoever is not known yet.
    members: set[str] = field(default_factory=set)
    #: Of the members, who leaves as soon as one of those appears who were named in their place.
    kept: set[str] = field(default_factory=set)
    instead: set[str] = field(default_factory=set)


NAMES = st.sampled_from(["dana", "Dana", "DANA", "kim", "Kim@x.example", "straße", "STRASSE", "名前"])
EXTERNAL = st.sampled_from([None, None, "e1", "E1", "e2", "e3"])
TITLES = st.sampled_from(["", "CTO", "cto", "a\nb", "😀"])
OPTIONAL = st.fixed_dictionaries(
    {},
    optional={
        "displayName": TITLES,
        "title": TITLES,
        "active": st.booleans(),
        "name": st.sampled_from([{"givenName": "D"}, {"givenName": "D", "familyName": "B"}]),
        "emails": st.sampled_from(
            [[{"value": "a@x.example"}], [{"value": "a@x.example"}, {"value": "b@x.example"}]]
        ),
    },
)


class Machine(RuleBasedStateMachine):
    """What both machines share. ``server`` is set by the test that runs it."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.client = self.server.client()
        self.given: set[str] = set()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        return self.server.wait(self.client.send(method, path, body, **more))

    def new_id(self, reply: Reply) -> str:
        """V8: an id that was never given before."""
        made: str = reply.json["id"]
        assert made not in self.given
        self.given.add(made)
        return made

    def audited(self, reply: Reply, kinds: set[str], target: str) -> None:
        """V17: what a request did stands in the audit once, under its id, with its target."""
        found = self.server.wait(self._events(reply.headers["X-Request-Id"]))
        assert [of for kind, of in found if kind in kinds] == [target], (kinds, found)

    def not_audited(self, reply: Reply) -> None:
        assert not self.server.wait(self._events(reply.headers["X-Request-Id"]))

    async def _events(self, correlation_id: str) -> list[Any]:
        statement = select(events.c.kind, events.c.target_id).where(
            events.c.org_id == self.client.org_id, events.c.correlation_id == correlation_id
        )
        return await self.server.scimd.door.read(lambda conn: list(map(tuple, conn.execute(statement))))

    @invariant()
    def standing_is_what_follows_from_the_facts(self) -> None:
        """V16."""
        assert self.server.wait(admin_reads.check_standing(self.server.scimd.door, self.client.org_id)) == []


def refused(reply: Reply, status: int, scim_type: str | None = None) -> None:
    assert (reply.status, reply.scim_type) == (status, scim_type), reply.raw
    assert len(reply.json["detail"]) > 10


class Users(Machine):
    """Create, replace, patch, delete, come back, list, find: against a dictionary of documents."""

    people = Bundle("people")
    gone = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Person] = {}
        self.tombs: dict[str, Person] = {}

    # -------------------------------------------------------------- the model

    def named(self, user_name: str) -> Person | None:
        key = fold(user_name)
        return next((each for each in self.live.values() if fold(each.document["userName"]) == key), None)

    def known_as(self, external_id: str | None, among: dict[str, Person]) -> Person | None:
        """Of several who were deleted with it, the last one."""
        if external_id is None:
            return None
        had = (each for each in reversed(among.values()) if each.document.get("externalId") == external_id)
        return next(had, None)

    def is_taken(self, document: dict[str, Any], but: str | None) -> bool:
        """V6: somebody else who lives has this userName or this externalId."""
        holders = (self.named(document["userName"]), self.known_as(document.get("externalId"), self.live))
        return any(each is not None and each.id != but for each in holders)

    def whom_a_post_means(self, document: dict[str, Any]) -> Person | None:
        """By external id, also of who was deleted, before the userName."""
        external = document.get("externalId")
        return (
            self.known_as(external, self.live)
            or self.known_as(external, self.tombs)
            or self.named(document["userName"])
        )

    # -------------------------------------------------------------- the rules

    @rule(target=people, user_name=NAMES, external_id=EXTERNAL, more=OPTIONAL)
    def create(self, user_name: str, external_id: str | None, more: dict[str, Any]) -> Any:
        document = {"userName": user_name, **({"externalId": external_id} if external_id else {}), **more}
        meant = self.whom_a_post_means(document)
        reply = self.ask("POST", "/Users", document)
        living = meant is not None and meant.id in self.live
        if (living and meant and meant.document.get("active", True)) or self.is_taken(
            document, meant and meant.id
        ):
            refused(reply, 409, "uniqueness")
            self.not_audited(reply)
            return multiple()
        assert reply.status == 201, reply.raw
        if meant is None:
            person = Person(self.new_id(reply), {})
        else:
            assert reply.json["id"] == meant.id, (reply.raw, meant)
            person = self.tombs.pop(meant.id, None) or meant
        self.keep(person, {"active": True, **document}, reply)
        self.audited(reply, {"person.created", "person.returned", "person.updated"}, person.id)
        return person.id

    @rule(key=people, user_name=NAMES, external_id=EXTERNAL, more=OPTIONAL, stale=st.booleans())
    def replace(
        self, key: str, user_name: str, external_id: str | None, more: dict[str, Any], stale: bool
    ) -> None:
        document = {"userName": user_name, **({"externalId": external_id} if external_id else {}), **more}
        headers = {"If-Match": 'W/"999-0"'} if stale else {}
        reply = self.ask("PUT", f"/Users/{key}", document, headers=headers)
        person = self.live.get(key)
        if person is None:
            return refused(reply, 404)
        if stale:
            return refused(reply, 412)
        if self.is_taken(document, key):
            return refused(reply, 409, "uniqueness")
        kept = {"active": person.document["active"]} if "active" not in document else {}
        return self.changed(person, {**document, **kept}, reply)

    @rule(
        key=people,
        attribute=st.sampled_from(["title", "displayName", "active", "userName", "externalId"]),
        op=st.sampled_from(["add", "replace", "Replace"]),
        text=TITLES,
        user_name=NAMES,
        flag=st.booleans(),
        shape=st.sampled_from(["path", "urn", "pathless"]),
    )
    def patch(
        self, key: str, attribute: str, op: str, text: str, user_name: str, flag: bool, shape: str
    ) -> None:
        value: Any = {"active": flag, "userName": user_name, "externalId": "e1"}.get(attribute, text)
        path = {"path": attribute, "urn": f"urn:ietf:params:scim:schemas:core:2.0:User:{attribute}"}.get(
            shape
        )
        one = {"op": op, "path": path, "value": value} if path else {"op": op, "value": {attribute: value}}
        reply = self.ask("PATCH", f"/Users/{key}", {"Operations": [one]})
        person = self.live.get(key)
        if person is None:
            return refused(reply, 404)
        document = {**person.document, attribute: value}
        if self.is_taken(document, key):
            return refused(reply, 409, "uniqueness")
        return self.changed(person, document, reply)

    @rule(key=people, attribute=st.sampled_from(["title", "name", "emails", "externalId"]))
    def unassign(self, key: str, attribute: str) -> None:
        reply = self.ask("PATCH", f"/Users/{key}", {"Operations": [{"op": "remove", "path": attribute}]})
        person = self.live.get(key)
        if person is None:
            return refused(reply, 404)
        return self.changed(person, {k: v for k, v in person.document.items() if k != attribute}, reply)

    @rule(key=people, good=TITLES)
    def patch_is_whole_or_nothing(self, key: str, good: str) -> None:
        """V4: the first operation is undone where the second is refused."""
        many = [{"op": "replace", "path": "title", "value": good}, {"op": "remove", "path": "userName"}]
        reply = self.ask("PATCH", f"/Users/{key}", {"Operations": many})
        refused(reply, *((400, "mutability") if key in self.live else (404, None)))
        self.not_audited(reply)

    @rule(key=people)
    def delete(self, key: str) -> None:
        reply = self.ask("DELETE", f"/Users/{key}")
        if key not in self.live:
            return refused(reply, 404)
        assert (reply.status, reply.raw) == (204, b"")
        self.tombs[key] = self.live.pop(key)
        return self.audited(reply, {"person.deleted"}, key)

    @rule(key=people)
    def read(self, key: str) -> None:
        reply = self.ask("GET", f"/Users/{key}")
        if key not in self.live:
            return refused(reply, 404)
        tag = self.live[key].tag
        assert reply.headers["ETag"] == reply.json["meta"]["version"] == tag
        assert self.ask("GET", f"/Users/{key}", headers={"If-None-Match": tag}).status == 304
        return None

    @rule(user_name=NAMES)
    def find(self, user_name: str) -> None:
        reply = self.ask("GET", "/Users", params={"filter": f'userName eq "{user_name}"'})
        person = self.named(user_name)
        assert [each["id"] for each in reply.json["Resources"]] == ([person.id] if person else [])

    # -------------------------------------------------------------- what is looked at

    def keep(self, person: Person, document: dict[str, Any], reply: Reply) -> None:
        person.document = document
        person.tag = reply.headers["ETag"]
        self.live[person.id] = person
        assert shown(reply.json) == document

    def changed(self, person: Person, document: dict[str, Any], reply: Reply) -> None:
        """V5: a new version if the document is another, else the same version and no event."""
        assert reply.status == 200, reply.raw
        before, tag = person.document, person.tag
        self.keep(person, document, reply)
        # Whoever is Inactive and gets another external id may be somebody else from now on.
        external_ids = {each["externalId"] for each in (before, document) if each.get("externalId")}
        renewed = not before["active"] and len(external_ids) == 2
        assert (person.tag.partition("-")[0] == tag.partition("-")[0]) is (before == document)
        if before == document:
            self.not_audited(reply)
        else:
            self.audited(reply, {"person.returned" if renewed else "person.updated"}, person.id)

    @invariant()
    def the_list_is_the_model(self) -> None:
        listed = self.ask("GET", "/Users", params={"count": "200"}).json
        assert listed["totalResults"] == len(self.live)
        assert {each["id"]: shown(each) for each in listed["Resources"]} == {
            key: each.document for key, each in self.live.items()
        }


def shown(resource: dict[str, Any]) -> dict[str, Any]:
    """What the client sent, of what it gets back."""
    return {key: value for key, value in resource.items() if key not in ("schemas", "id", "meta", "groups")}


class Groups(Machine):
    """Members that come, go, are replaced, are not known yet, are groups, and are deleted."""

    users = Bundle("users")
    groups = Bundle("groups")

    def __init__(self) -> None:
        super().__init__()
        self.people: set[str] = set()
        self.teams: dict[str, Team] = {}
        self.made = 0

    # -------------------------------------------------------------- the model

    def visible(self, team: Team) -> set[str]:
        return {each for each in team.members if each in self.people or each in self.teams}

    def closure(self, person: str) -> dict[str, str]:
        """The groups of a person: direct, or through groups that hold groups; cycles are no matter."""
        direct = {each.id for each in self.teams.values() if person in each.members}
        found, fresh = set(direct), set(direct)
        while fresh:
            fresh = {each.id for each in self.teams.values() if each.members & fresh} - found
            found |= fresh
        return {each: "direct" if each in direct else "indirect" for each in found}

    # -------------------------------------------------------------- the rules

    @initialize(target=users)
    def somebody(self) -> Any:
        return multiple(*(self.hire() for _ in range(3)))

    def hire(self, external_id: str | None = None) -> str:
        self.made += 1
        body = {"userName": f"user-{self.made}", **({"externalId": external_id} if external_id else {})}
        reply = self.ask("POST", "/Users", body)
        assert reply.status == 201, reply.raw
        key = self.new_id(reply)
        self.people.add(key)
        for team in self.teams.values():
            if external_id in team.members:
                team.members = team.members - {external_id} | {key}
                if external_id in team.instead:
                    team.members, team.kept, team.instead = team.members - team.kept, set(), set()
        return key

    @rule(target=users, waiting=st.integers(0, 3))
    def create_user_that_groups_wait_for(self, waiting: int) -> Any:
        external_id = f"x-{waiting}"
        taken = self.ask("GET", "/Users", params={"filter": f'externalId eq "{external_id}"'}).json
        # Whoever was deleted and comes back by an external id is the users' machine's matter.
        if taken["totalResults"] or external_id in self.given:
            return multiple()
        self.given.add(external_id)
        return self.hire(external_id)

    @rule(key=consumes(users))
    def delete_user(self, key: str) -> None:
        assert self.ask("DELETE", f"/Users/{key}").status == 204
        self.people.discard(key)

    @rule(
        target=groups,
        name=st.sampled_from(["Ops", "ops", "Eng", "Straße", "STRASSE", "名"]),
        some=st.lists(users, max_size=3),
        inner=st.lists(groups, max_size=2),
        waiting=st.lists(st.integers(0, 3), max_size=2),
    )
    def create(self, name: str, some: list[str], inner: list[str], waiting: list[int]) -> Any:
        keys = [*some, *inner, *self.waited_for(waiting)]
        reply = self.ask(
            "POST", "/Groups", {"displayName": name, "members": [{"value": each} for each in keys]}
        )
        if any(fold(each.name) == fold(name) for each in self.teams.values()):
            refused(reply, 409, "uniqueness")
            self.not_audited(reply)
            return multiple()
        assert reply.status == 201, reply.raw
        team = Team(self.new_id(reply), name, {each for each in keys if self.may_be(each)})
        self.teams[team.id] = team
        self.audited(reply, {"group.created"}, team.id)
        return team.id

    def waited_for(self, numbers: list[int]) -> list[str]:
        """Keys of whoever does not exist yet; those who came are known by their ids since."""
        return [f"x-{each}" for each in numbers if f"x-{each}" not in self.given]

    def may_be(self, key: str) -> bool:
        """Who was deleted is nobody: a row for them is kept hidden, and they do not come back here."""
        return True

    @rule(
        key=groups,
        op=st.sampled_from(["add", "remove", "replace", "remove-by-path", "put"]),
        some=st.lists(users, max_size=3),
        inner=st.lists(groups, max_size=2),
        waiting=st.lists(st.integers(0, 3), max_size=2),
    )
    def change_members(
        self, key: str, op: str, some: list[str], inner: list[str], waiting: list[int]
    ) -> None:
        keys = list(dict.fromkeys([*some, *inner, *self.waited_for(waiting)]))
        team = self.teams.get(key)
        listed = [{"value": each} for each in keys]
        if op == "put":
            name = team.name if team else "Gone"
            reply = self.ask("PUT", f"/Groups/{key}", {"displayName": name, "members": listed})
        elif op == "remove-by-path":
            many = [{"op": "remove", "path": f'members[value eq "{each}"]'} for each in keys or ["nobody"]]
            reply = self.ask("PATCH", f"/Groups/{key}", {"Operations": many})
        else:
            one = {"op": op, "path": "members", "value": listed}
            reply = self.ask("PATCH", f"/Groups/{key}", {"Operations": [one]})
        if team is None:
            return refused(reply, 404)
        assert reply.status in (200, 204), reply.raw
        before = set(team.members)
        if op in ("replace", "put"):
            self.replace(team, set(keys))
        else:
            team.members = before | set(keys) if op == "add" else before - set(keys)
            team.kept -= set(keys)
            team.instead &= team.members
        if team.members == before:
            self.not_audited(reply)
        else:
            self.audited(reply, {"group.members_changed"}, key)
        return None

    def replace(self, team: Team, named: set[str]) -> None:
        """A list of whom nobody is known empties no group."""
        nobody = named and not any(each in self.people or each in self.teams for each in named)
        team.kept = {each for each in team.members if not each.startswith("x-")} if nobody else set()
        team.instead = named if team.kept else set()
        team.members = named | team.kept

    @rule(key=groups, name=st.sampled_from(["Ops", "Sales", "OPS", "straße", "x"]))
    def rename(self, key: str, name: str) -> None:
        one = {"op": "replace", "path": "displayName", "value": name}
        reply = self.ask("PATCH", f"/Groups/{key}", {"Operations": [one]})
        team = self.teams.get(key)
        if team is None:
            return refused(reply, 404)
        if any(fold(each.name) == fold(name) and each.id != key for each in self.teams.values()):
            return refused(reply, 409, "uniqueness")
        assert reply.status == 204, reply.raw
        before, team.name = team.name, name
        if before == name:
            return self.not_audited(reply)
        return self.audited(reply, {"group.updated", "group.renamed"}, key)

    @rule(key=groups)
    def delete(self, key: str) -> None:
        reply = self.ask("DELETE", f"/Groups/{key}")
        if key not in self.teams:
            return refused(reply, 404)
        assert reply.status == 204
        del self.teams[key]
        return self.audited(reply, {"group.deleted"}, key)

    # -------------------------------------------------------------- what is looked at

    @invariant()
    def groups_and_members_are_the_model(self) -> None:
        listed = self.ask("GET", "/Groups", params={"count": "200"}).json["Resources"]
        assert {each["id"]: (each["displayName"], members_of(each)) for each in listed} == {
            key: (each.name, self.visible(each)) for key, each in self.teams.items()
        }

    @invariant()
    def each_user_shows_its_groups(self) -> None:
        listed = self.ask("GET", "/Users", params={"count": "200"}).json["Resources"]
        assert {
            each["id"]: {one["value"]: one["type"] for one in each.get("groups", ())} for each in listed
        } == {key: self.closure(key) for key in self.people}


def members_of(resource: dict[str, Any]) -> set[str]:
    """The ids of the members, none of which stands there twice."""
    ids = [each["value"] for each in resource.get("members", ())]
    assert len(ids) == len(set(ids))
    return set(ids)
