"""What every door of the machine has in common: the company, whom there is, doing, and looking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition
from sqlalchemy import func, select

from scimd.core.errors import Refusal
from scimd.db import tables as t
from scimd.db.tables import events
from scimd.org.audit import verifying
from scimd.org.authentication import sessions
from scimd.org.tokens import api_tokens
from scimd.org.tx import DoorSettings
from scimd.org.users import admin_reads
from tests.doors.company import Answer, Company, Letter, Organization, company
from tests.doors.view import History, Step, View, look

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


class Base(RuleBasedStateMachine):
    """``running`` is set by the test that runs it. After each step ``it_holds`` looks at everything."""

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
        assert self.wait(admin_reads.check_standing(self.company.door, self.mine.id)) == [], "V16"

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
        assert self.wait(verifying.verify(self.company.door, self.mine.id)).faults == ()
        stored = "\n".join(self.view_of(self.mine).state)
        for letter in (*self.letters, *self.company.letters.arrived):
            assert letter.token not in stored


def _traces(conn: Any, org: Organization) -> tuple[int, ...]:
    counts = [select(func.count()).where(each.c.org_id == org.id) for each in (events, t.people)]
    return tuple(conn.execute(each).scalar_one() for each in counts)


def _traces_in(view: View) -> tuple[int, ...]:
    return len(view.events), len(view.people)
