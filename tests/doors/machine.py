"""A machine that comes in by every door in any order, and looks at everything after each step.

The doors: an admin (REST; linking and merging by the door's own functions, as the command line calls
them), people (invitations, passwords, sign-in, profile), an identity provider (SCIM), a directory
(sync), and time with the jobs that it brings. A second organization with the same names and external
ids stands beside the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from scimd.connector_api import Unreachable
from scimd.core.errors import Refusal
from scimd.core.people import PersonId
from scimd.db import tables as t
from scimd.db.tables import events
from scimd.org import (
    api_tokens,
    audit,
    invitations,
    linking,
    merging,
    my_profile,
    reads,
    sessions,
    sign_in,
    sources,
)
from scimd.org.tx import DoorSettings
from scimd.sync import run as sync_run
from tests.doors.company import Answer, Company, Letter, Organization, company
from tests.doors.view import History, Step, View, look
from tests.sync.world import Person

T = TypeVar("T")
PASSWORDS = ("lattice umbrella forty gnomes", "seven quiet lanterns drift")
WHERE = {"ip": "203.0.113.7", "user_agent": "tests"}
#: What the directory's and the identity provider's groups give.
RULES = [
    {"number": 1, "pattern": "admins", "role": "account-admin"},
    {"number": 2, "pattern": "eng*", "project": "Engine", "role": "auditor"},
    {"number": 3, "pattern": "*ops", "team": "Ops", "licence": "Pro"},
]

names = st.sampled_from(["ann", "ben", "cem", "dot", "eva"])
#: Which of those that there are; by the order in which they were first seen.
which = st.integers(0, 11)
group_names = st.sampled_from(["admins", "eng", "eng-ops", "ops", "General"])
roles = st.sampled_from(["user", "manager", "auditor", "account-admin"])
flags = st.booleans()


class Running:
    """The application with an event loop of its own, for a machine that is not asynchronous."""

    def __init__(self, url: str, settings: DoorSettings | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.company: Company = self.wait(self._stack.enter_async_context(company(url, settings)))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.wait(self._stack.aclose())
        self.loop.close()


@dataclass
class Secret:
    """Something that lets a person in: kept by the machine, tried when they are out."""

    kind: str
    person_id: str
    text: str


class Doors(RuleBasedStateMachine):
    """``running`` is set by the test that runs it."""

    running: Running

    def __init__(self) -> None:
        super().__init__()
        self.secrets: list[Secret] = []
        self.letters: list[Letter] = []
        self.spent: set[str] = set()
        self.order: dict[str, None] = {}
        self.step = Step("begin", "", None)
        self.n = 0

    # -------------------------------------------------------------------------- to begin with

    @initialize(
        limit=st.sampled_from([3, 5, None]), scim_first=flags, policy=st.sampled_from(["hold", "reject"])
    )
    def begin(self, limit: int | None, scim_first: bool, policy: str) -> None:
        self.company = self.running.company
        self.company.letters.arrived.clear()
        more = {"seats_limit": limit, "scim_first": scim_first, "rule": RULES}
        self.mine: Organization = self.wait(self.company.organization(**more, seats_on_scim=policy))
        self.theirs: Organization = self.wait(self.company.organization(**more))
        for name in ("ann", "ben"):
            self.wait(self.company.scim(self.theirs, "POST", "/Users", self.user(name, self.theirs.slug)))
        group = {"displayName": "admins", "members": []}
        self.wait(self.company.scim(self.theirs, "POST", "/Groups", group))
        self.theirs_at_first = self.view_of(self.theirs)
        self.history = History.of(self.view_of(self.mine))
        self.secrets.append(Secret("session", self.admin_id, self.mine.admin_cookie))
        self.see_people()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.running.wait(work)

    def view_of(self, org: Organization, since: int = 0) -> View:
        return self.wait(self.company.door.read(lambda conn: look(conn, org.id, since)))

    def user(self, name: str, slug: str | None = None, **more: Any) -> dict[str, Any]:
        slug = slug or self.mine.slug
        made = {"userName": f"{name}@{slug}.example", "displayName": name.title(), "externalId": f"x-{name}"}
        return made | {"emails": [{"value": f"{name}@{slug}.example", "primary": True}]} | more

    # -------------------------------------------------------------------------- whom there is

    @property
    def view(self) -> View:
        return self.history.before

    @property
    def admin_id(self) -> str:
        return next(iter(self.view.admins))

    def see_people(self) -> None:
        fresh = sorted(self.view.people.values(), key=lambda row: row.local_user_name)
        self.order.update(dict.fromkeys(row.id for row in fresh if row.id not in self.order))

    def whom(self, n: int, *, dead: bool = False) -> str:
        """One of the people, whoever that is; of an organization's first two one is its admin."""
        known = [key for key in self.order if key in (self.view.people if dead else self.view.living)]
        return known[n % len(known)]

    def one_of(self, table: str, n: int, **where: Any) -> Any:
        found = [row for row in self.view.rows[table] if all(getattr(row, k) == v for k, v in where.items())]
        found.sort(key=lambda row: getattr(row, "created_at", None) or row.id)
        return found[n % len(found)] if found else None

    # -------------------------------------------------------------------------- doing

    def did(self, name: str, door: str, answer: Answer, *, done: bool | None = True) -> Answer:
        """What an answer over HTTP says of a step; a 5xx is nobody's."""
        assert answer.status < 500, answer
        outcome = (done if answer.done else False) if done is not None else None
        self.step = Step(name, door, outcome, answer.correlation_id)
        return answer

    def api(self, method: str, path: str, body: Any = None, *, done: bool | None = True) -> Answer:
        name = path.rpartition("/")[2]
        return self.did(name, "api", self.wait(self.company.api(self.mine, method, path, body)), done=done)

    def scim(self, method: str, path: str, body: Any = None) -> Answer:
        return self.did(
            f"{method} {path[:7]}", "scim", self.wait(self.company.scim(self.mine, method, path, body))
        )

    def call(
        self, name: str, door: str, work: Callable[[], Awaitable[T]], *, done: bool | None = True
    ) -> T | None:
        """A function of the door; None where it refused."""

        async def tried() -> tuple[bool, T | None]:
            try:
                return True, await work()
            except Refusal:
                return False, None

        fine, found = self.wait(tried())
        self.step = Step(name, door, done if fine or done is None else False)
        return found

    def nothing(self) -> None:
        """There was nobody to do it to."""
        self.step = Step("nothing", "", False)

    # -------------------------------------------------------------------------- admin

    @rule(some=st.lists(names, min_size=1, max_size=2), at_home=flags, role=roles, reads=flags)
    def invite(self, some: list[str], at_home: bool, role: str, reads: bool) -> None:
        domain = "home.example" if at_home else f"{self.mine.slug}.example"
        emails = [f"{name}@{domain}" for name in some]
        self.api("POST", "/invitations", {"emails": emails, "role": role}, done=None)

    @rule(name=names, role=roles)
    def add(self, name: str, role: str) -> None:
        self.api("POST", "/users", {"email": f"{name}@{self.mine.slug}.example", "role": role})

    @rule(some=st.lists(names, min_size=1, max_size=3), how=st.sampled_from(["invite", "add"]))
    def bring_in_a_file(self, some: list[str], how: str) -> None:
        lines = "".join(f"{name}@{self.mine.slug}.example\n" for name in some)
        plan = self.api("POST", "/imports", {"csv": f"email\n{lines}", "how": how})
        if plan.done:
            self.api("POST", "/imports/apply", {"plan": plan.json["sealed"]}, done=None)

    @rule(n=which, verb=st.sampled_from(["deactivate", "reactivate", "disable", "enable", "reset-password"]))
    def gate(self, n: int, verb: str) -> None:
        self.api("POST", f"/users/{self.whom(n)}/{verb}")

    @rule(n=which, restore=flags)
    def delete_or_restore(self, n: int, restore: bool) -> None:
        if restore:
            self.api("POST", f"/users/{self.whom(n, dead=True)}/restore")
        else:
            self.api("DELETE", f"/users/{self.whom(n)}")

    @rule(n=which, role=roles, way=st.sampled_from(["set", "add", "remove"]))
    def give_role(self, n: int, role: str, way: str) -> None:
        person = f"/users/{self.whom(n)}"
        match way:
            case "set":
                self.api("PUT", f"{person}/role", {"role": role})
            case "add":
                self.api("POST", f"{person}/roles", {"role": role})
            case _:
                self.api("DELETE", f"{person}/roles/{role}")

    @rule(n=which, what=st.sampled_from(["projects", "team", "licences"]), m=which, give=flags)
    def assign(self, n: int, what: str, m: int, give: bool) -> None:
        thing = self.one_of({"team": "teams"}.get(what, what), m)
        person = f"/users/{self.whom(n)}/{what}"
        if thing is None:
            return self.nothing()
        if what == "team":
            self.api("PUT", person, {"team": thing.id}) if give else self.api("DELETE", person)
            return None
        body = {"role": "member"} if give and what == "projects" else None
        self.api("PUT" if give else "DELETE", f"{person}/{thing.id}", body)
        return None

    @rule(n=which, source=st.sampled_from(["okta", "hr"]))
    def detach(self, n: int, source: str) -> None:
        self.api("POST", f"/users/{self.whom(n)}/detach", {"source": source})

    @rule(n=which, name=names, what=st.sampled_from(["email", "display_name", "user_name"]))
    def edit(self, n: int, name: str, what: str) -> None:
        value = f"{name}@{self.mine.slug}.example" if what == "email" else name
        self.api("PATCH", f"/users/{self.whom(n)}", {what: value})

    @rule(n=which, verb=st.sampled_from(["resend", "withdraw", "copy-link", "edit", "delete"]), role=roles)
    def tend_invitation(self, n: int, verb: str, role: str) -> None:
        found = self.one_of("invitations", n)
        if found is None:
            return self.nothing()
        path = f"/invitations/{found.id}"
        if verb == "edit":
            self.api("PATCH", path, {"role": role})
        elif verb == "delete":
            self.api("DELETE", path)
        else:
            answer = self.api("POST", f"{path}/{verb}")
            if verb == "copy-link" and answer.done:
                token = answer.json["url"].rpartition("/")[2]
                self.letters.append(Letter("", "invitation", token))
        return None

    @rule(limit=st.sampled_from([1, 2, 4, 6, None]))
    def buy_seats(self, limit: int | None) -> None:
        self.api("PUT", "/seats", {"limit": limit})

    @rule(n=which, m=which)
    def decide(self, n: int, m: int) -> None:
        items = self.wait(self.company.api(self.mine, "GET", "/decisions?state=open")).json["items"]
        if not items:
            return self.nothing()
        item = sorted(items, key=lambda each: each["opened_at"])[n % len(items)]
        options = item["options"]
        self.api("POST", f"/decisions/{item['id']}/answer", {"answer": options[m % len(options)]["answer"]})
        return None

    @rule(n=which, name=names, source=st.sampled_from(["okta", "hr"]), apart=flags)
    def link(self, n: int, name: str, source: str, apart: bool) -> None:
        ctx, person_id, door = self.mine.context(), PersonId(self.whom(n)), self.company.door
        if apart:
            self.call("unlink", "cli", lambda: linking.unlink(door, ctx, person_id, source))
        else:
            self.call("link", "cli", lambda: linking.link(door, ctx, person_id, source, f"x-{name}"))

    @rule(n=which, m=which)
    def merge(self, n: int, m: int) -> None:
        ctx, kept, other = self.mine.context(), PersonId(self.whom(n)), PersonId(self.whom(m))
        self.call("merge", "cli", lambda: merging.merge(self.company.door, ctx, kept, other))

    @rule(n=which)
    def end_sessions(self, n: int) -> None:
        found = self.one_of("sessions", n, ended_at=None)
        if found is None:
            return self.nothing()
        self.api("DELETE", f"/sessions/{found.id}")
        return None

    # -------------------------------------------------------------------------- people

    @rule(n=which, decline=st.sampled_from([False, False, True]))
    def open_letter(self, n: int, decline: bool) -> None:
        """Accept, decline, or set a password, by a link that came by mail or was handed over."""
        found = [*self.letters, *self.company.letters.arrived]
        if not found:
            return self.nothing()
        letter = found[n % len(found)]
        if letter.purpose == "invitation":
            self.use_invitation(letter.token, decline)
        elif letter.purpose == "set-password":
            self.set_password(letter.token)
        else:
            self.nothing()
        return None

    def use_invitation(self, token: str, decline: bool) -> None:
        door = self.company.door
        if decline:
            done = self.call("decline", "person", lambda: invitations.decline(door, token)) is not None
        else:
            come = self.call(
                "accept", "person", lambda: invitations.accept(door, token, password=PASSWORDS[0], **WHERE)
            )
            done = come is not None
            if come and come.session:
                self.secrets.append(Secret("session", come.person_id, come.session))
        assert not (done and token in self.spent), "V13: a link worked twice"
        if done:
            self.spent.add(token)

    def set_password(self, token: str) -> None:
        door = self.company.door
        come = self.call(
            "set-password", "person", lambda: sign_in.set_password_by_link(door, token, PASSWORDS[1], **WHERE)
        )
        assert not (come and token in self.spent), "V13: a link worked twice"
        if come:
            self.spent.add(token)
            self.secrets.append(Secret("session", come.person_id, come.session))

    @rule(n=which, password=st.sampled_from(PASSWORDS))
    def sign_in(self, n: int, password: str) -> None:
        address = self.view.people[self.whom(n)].sign_in_address or "nobody@home.example"
        door, slug = self.company.door, self.mine.slug
        come = self.call(
            "sign-in", "person", lambda: sign_in.by_password(door, slug, address, password, **WHERE)
        )
        if come:
            self.secrets.append(Secret("session", come.person_id, come.session))

    @rule(n=which, what=st.sampled_from(["name", "address", "token", "leave"]), name=names)
    def of_oneself(self, n: int, what: str, name: str) -> None:
        """My Profile: a name, an address to confirm, a token of one's own; and signing out."""
        door = self.company.door
        cookies = [each for each in self.secrets if each.kind == "session"]
        secret = cookies[n % len(cookies)]
        holder = self.wait(sessions.by_cookie(door, secret.text))
        if holder is None:
            return self.nothing()
        match what:
            case "name":
                self.call("edit", "person", lambda: my_profile.edit(door, holder, display_name=name))
            case "address":
                address = f"{name}@{self.mine.slug}.example"
                self.call("address", "person", lambda: my_profile.ask_confirmation(door, holder, address))
            case "leave":
                ctx = holder.context(door)
                self.call("leave", "person", lambda: sessions.end_own(door, ctx, holder.session_id))
            case _:
                ctx = holder.context(door)
                make = partial(api_tokens.create_personal, door, ctx, holder.person_id, "mine")
                made = self.call("token", "person", make)
                if made:
                    self.secrets.append(Secret("api_token", holder.person_id, made.token))
        return None

    @rule(n=which)
    def confirm_address(self, n: int) -> None:
        found = [each for each in self.company.letters.arrived if each.purpose == "confirm-address"]
        if not found:
            return self.nothing()
        token = found[n % len(found)].token
        done = self.call("confirm", "person", lambda: my_profile.confirm(self.company.door, token))
        assert not (done and token in self.spent), "V13: a link worked twice"
        self.spent |= {token} if done else set()
        return None

    # -------------------------------------------------------------------------- SCIM

    @rule(
        name=names,
        active=st.sampled_from([True, True, True, False]),
        other=st.none() | names,
        n=which,
        odd=flags,
    )
    def push(self, name: str, active: bool, other: str | None, n: int, odd: bool) -> None:
        """``other``: another's userName. ``odd``: a client's id that is one of ours (V8)."""
        body = self.user(name, active=active) | ({"id": self.whom(n)} if odd else {})
        if other is not None:
            body["userName"] = self.user(other)["userName"]
        if odd and other is None:
            body["externalId"] = self.whom(n)
        self.scim("POST", "/Users", body)

    @rule(n=which, how=st.sampled_from(["off", "on", "PUT", "rename", "DELETE", "password"]), name=names)
    def push_change(self, n: int, how: str, name: str) -> None:
        path = f"/Users/{self.whom(n, dead=True)}"
        match how:
            case "off" | "on":
                value = {"active": how == "on"}
                self.scim("PATCH", path, {"Operations": [{"op": "Replace", "value": value}]})
            case "PUT":
                self.scim("PUT", path, self.user(name, title="Lead"))
            case "DELETE":
                self.scim("DELETE", path)
            case "password":
                value = {"password": PASSWORDS[0], "emails": [{"value": f"{name}@home.example"}]}
                self.scim("PATCH", path, {"Operations": [{"op": "replace", "value": value}]})
            case _:
                one = {"op": "replace", "path": "userName", "value": self.user(name)["userName"]}
                self.scim("PATCH", path, {"Operations": [one]})

    @rule(name=group_names, some=st.lists(which, max_size=3), unknown=names)
    def push_group(self, name: str, some: list[int], unknown: str) -> None:
        members = [{"value": self.whom(n)} for n in some] + [{"value": f"x-{unknown}"}]
        self.scim("POST", "/Groups", {"displayName": name, "members": members})

    @rule(
        n=which,
        how=st.sampled_from(["add", "remove", "replace", "rename", "DELETE", "nest"]),
        some=st.lists(which, max_size=3),
        name=group_names,
    )
    def push_group_change(self, n: int, how: str, some: list[int], name: str) -> None:
        found = self.one_of("groups", n, state="live", source_id=self.mine.scim.id)
        if found is None:
            return self.nothing()
        path = f"/Groups/{found.id}"
        if how == "DELETE":
            self.scim("DELETE", path)
        elif how == "rename":
            self.scim("PATCH", path, {"Operations": [{"op": "replace", "value": {"displayName": name}}]})
        else:
            keys = [self.whom(each) for each in some]
            if how == "nest":
                keys = [
                    self.one_of("groups", each, state="live", source_id=self.mine.scim.id).id for each in some
                ]
            one = {
                "op": "add" if how == "nest" else how,
                "path": "members",
                "value": [{"value": k} for k in keys],
            }
            self.scim("PATCH", path, {"Operations": [one]})
        return None

    @rule(
        n=which,
        verb=st.sampled_from(["GET", "PUT", "PATCH", "DELETE"]),
        what=st.sampled_from(["Users", "Groups"]),
    )
    def reach_over(self, n: int, verb: str, what: str) -> None:
        """V7: what another organization has is not there, and its ids name nobody."""
        rows = self.theirs_at_first.rows["people" if what == "Users" else "groups"]
        theirs = rows[n % len(rows)].id
        body: dict[str, Any] = {"PUT": self.user("ann"), "PATCH": {"Operations": [_OFF]}}.get(verb)
        answer = self.scim(verb, f"/{what}/{theirs}", body if what == "Users" else _group(body))
        assert answer.status == 404
        assert self.api("POST", f"/users/{theirs}/deactivate").status == 404
        assert self.api("PUT", f"/users/{theirs}/role", {"role": "manager"}).status == 404

    # -------------------------------------------------------------------------- sync

    @rule(some=st.dictionaries(names, st.sampled_from([True, True, False, None]), min_size=1), ids=flags)
    def directory_changes(self, some: dict[str, bool | None], ids: bool) -> None:
        """Who is there, active, inactive, or gone; now and then under an id of their own."""
        for name, active in some.items():
            key = f"x-{name}" if ids else f"hr-{name}"
            if active is None:
                self.mine.script.people.pop(key, None)
            else:
                address = f"{name}@{self.mine.slug}.example"
                self.mine.script.people[key] = Person(address, address, {"active": active})
        self.nothing()

    @rule(name=group_names, some=st.none() | st.lists(names, max_size=3))
    def directory_groups_change(self, name: str, some: list[str] | None) -> None:
        if some is None:
            self.mine.script.groups.pop(f"g-{name}", None)
        else:
            self.mine.script.groups[f"g-{name}"] = (name, [f"x-{each}" for each in some])
        self.nothing()

    @rule(fault=st.sampled_from([False, False, False, True]))
    def sync(self, fault: bool) -> None:
        self.mine.script.fault = Unreachable("down") if fault else None
        before = {row.id: row.status for row in self.view.people.values()}

        async def run() -> str:
            source = await sources.get_source(self.company.door, self.mine.id, "hr")
            return (await sync_run.sync_source(self.company.door, source)).state

        state = self.call("sync", "sync", run, done=None)
        if fault:
            assert state in ("failed", None), state
            now = {row.id: row.status for row in self.view_of(self.mine).people.values()}
            assert now == before, "V9: a failed read changed somebody"

    @rule(approve=st.sampled_from([True, True, False]))
    def decide_plan(self, approve: bool) -> None:
        held = self.wait(self.company.api(self.mine, "GET", "/runs?state=held")).json["items"]
        if not held:
            return self.nothing()
        verb = "approve" if approve else "reject"
        answer = self.api("POST", f"/runs/{held[0]['id']}/{verb}", done=None)
        if approve and answer.done:
            ctx = self.mine.context()
            self.call(
                "apply", "sync", lambda: sync_run.apply_run(self.company.door, ctx, held[0]["id"]), done=None
            )
        return None

    # -------------------------------------------------------------------------- time

    @rule(days=st.sampled_from([0.002, 0.03, 0.2, 1, 7.5, 31]))
    def time_passes(self, days: float) -> None:
        """With the jobs off: nothing changes, and what has expired opens nothing."""
        self.company.clock.forward(days=days)
        self.nothing()

    @rule()
    def jobs_run(self) -> None:
        self.call("jobs", "job", lambda: self.company.jobs(self.mine), done=None)

    # -------------------------------------------------------------------------- what is looked at

    @invariant()
    @precondition(lambda self: hasattr(self, "history"))
    def it_holds(self) -> None:
        """V1, V4, V6, V8, V10-V12, V17; then V7, V11 and V13 by trying, and V16."""
        now = self.view_of(self.mine, self.history.count)
        before = self.view
        self.history.goes_on(now, self.step)
        self.see_people()
        assert self.wait(self.company.door.read(partial(_traces, org=self.theirs))) == _traces_in(
            self.theirs_at_first
        ), "V7: what happens here changed the other organization"
        self.nothing_lets_in(before, now)
        assert self.wait(reads.check_standing(self.company.door, self.mine.id)) == [], "V16"

    def nothing_lets_in(self, before: View, now: View) -> None:
        """V11: whoever is out has no session and no token."""
        for secret in self.secrets:
            row, was = now.people.get(secret.person_id), before.people.get(secret.person_id)
            comes_in = row is not None and row.deleted_at is None and row.status == "active"
            if comes_in or (row is was and self.n % 5):
                continue
            assert self.wait(self.opens(secret)) is None, (secret.kind, row)

    async def opens(self, secret: Secret) -> Any:
        door = self.company.door
        if secret.kind == "session":
            return await sessions.by_cookie(door, secret.text)
        return await api_tokens.authenticate(door, secret.text)

    def teardown(self) -> None:
        """V13: no link stands anywhere. V17: the chain holds."""
        if not hasattr(self, "history"):
            return
        self.wait(self.company.jobs(self.mine))
        assert self.wait(audit.verify(self.company.door, self.mine.id)).faults == ()
        stored = "\n".join(self.view_of(self.mine).state)
        for letter in (*self.letters, *self.company.letters.arrived):
            assert letter.token not in stored


_OFF = {"op": "replace", "value": {"active": False}}


def _group(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"displayName": "theirs"} if body and "userName" in body else body


def _traces(conn: Any, org: Organization) -> tuple[int, ...]:
    counts = [select(func.count()).where(each.c.org_id == org.id) for each in (events, t.people)]
    return tuple(conn.execute(each).scalar_one() for each in counts)


def _traces_in(view: View) -> tuple[int, ...]:
    return len(view.events), len(view.people)
