"""An organization as its tables say it, and what must hold of it after whatever happened to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select

from scimd.core.people import OrgId, fold
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.db import tables as t
from scimd.db.prepared import Prepared, ahead

#: What an organization *is*. Left out: what is written beside it (attempts, logs, marks of use, the audit,
#: which is looked at apart) and questions, which a refused push opens.
STATE: tuple[Table, ...] = (
    t.people, t.assertions, t.gates, t.grants, t.status_spans, t.groups, t.group_members, t.group_effects,
    t.value_effects, t.projects, t.teams, t.licences, t.roles, t.rules, t.seat_pools, t.waiting, t.unsettled,
    t.invitations, t.links, t.credentials, t.second_factors, t.recovery_codes, t.pictures, t.sessions,
    t.api_tokens, t.deliveries, t.merged_people, t.sources, t.tokens, t.domains,
)  # fmt: skip
_ROWS = {table.name: Prepared(select(table).where(table.c.org_id == bindparam("org_id"))) for table in STATE}
_EVENTS = Prepared(
    select(t.events)
    .where(t.events.c.org_id == bindparam("org_id"))
    .order_by(t.events.c.id)
    .offset(bindparam("since"))
)
#: When something was last used, or a directory last read; when a mail leaves; the rules last asked.
_MARKS = frozenset(
    ("last_used_at", "last_active_at", "failures", "last_success_at", "last_full_at", "next_run_at", "config",
     "due_at", "rules_version")
)  # fmt: skip
#: Doors by which mails leave and marks are worked off, which are no decisions.
_BESIDE = frozenset(("job", "sync"))
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class View:
    """Everything that is stored of an organization, at one moment."""

    rows: dict[str, list[Any]]
    #: Events with their values, in order.
    events: list[Any]

    @cached_property
    def people(self) -> dict[str, Any]:
        return {row.id: row for row in self.rows["people"]}

    @cached_property
    def living(self) -> dict[str, Any]:
        return {key: row for key, row in self.people.items() if row.deleted_at is None}

    @cached_property
    def admins(self) -> set[str]:
        """Account Admins who can come in."""
        return {
            key for key, row in self.living.items() if row.status == "active" and ACCOUNT_ADMIN in row.roles
        }

    @cached_property
    def state(self) -> Counter[str]:
        """All rows as text, so that two views can be compared."""
        return Counter(
            f"{table.name} "
            + " ".join(f"{name}={value!r}" for name, value in row._asdict().items() if name not in _MARKS)
            for table in STATE
            for row in self.rows[table.name]
        )


def look(conn: Connection, org_id: OrgId, since: int = 0) -> View:
    """``since``: how many events were seen before, which are left out."""
    mine = {"org_id": org_id}
    new = {**mine, "since": since}
    ahead(conn, *((each, mine) for each in _ROWS.values()), (_EVENTS, new))
    return View({name: each.all(conn, mine) for name, each in _ROWS.items()}, _EVENTS.all(conn, new))


@dataclass
class Step:
    """What was done: by which door, with which outcome."""

    name: str
    door: str
    #: What was refused must have changed nothing. None: it may be partly done (a run, jobs, a list).
    done: bool | None
    correlation_id: str = ""


@dataclass
class History:
    """What was seen of an organization so far, and its audit told again."""

    before: View
    count: int
    first_seen: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)

    @classmethod
    def of(cls, view: View) -> History:
        made = cls(view, len(view.events))
        made.first_seen = {key: row.created_at for key, row in view.people.items()}
        made.told = {key: Told.stored(view, key) for key in view.people}
        return made

    def goes_on(self, view: View, step: Step) -> None:
        """Raise AssertionError unless each invariant holds after the step."""
        before = self.before
        v1_no_more_seats_than_there_are(before, view)
        v4_whole_or_absent(before, view, step)
        v6_unique(view)
        self._v8_ids(view)
        v10_an_admin_stays(before, view)
        v11_nothing_opens_for_whoever_is_out(view)
        v12_sources_grant_no_more_than_they_may(before, view, step)
        self._v17_the_audit_tells_it(view, step)
        self.before, self.count = view, self.count + len(view.events)

    def _v8_ids(self, view: View) -> None:
        for key, row in view.people.items():
            assert _ID.fullmatch(key), key
            assert self.first_seen.setdefault(key, row.created_at) == row.created_at, f"{key} was given again"

    def _v17_the_audit_tells_it(self, view: View, step: Step) -> None:
        changed = view.state != self.before.state
        assert view.events or not changed or step.door in _BESIDE, difference(self.before, view)
        seen = Counter((e.kind, e.target_id, e.correlation_id, repr(e.body)) for e in view.events)
        assert not [each for each, n in seen.items() if n > 1 and each[0] not in _MAY_REPEAT], seen
        for event in view.events:
            assert event.actor_kind, event
            assert event.actor_name, event
            assert event.correlation_id, event
            assert event.target_id, event
            if step.correlation_id and event.door != "job":
                assert event.correlation_id == step.correlation_id, (event, step)
            self._hear(event)
        for key, row in view.people.items():
            assert self.told[key] == Told.stored(view, key), (row.display_name, difference(self.before, view))

    def _hear(self, event: Any) -> None:
        if event.target_kind == "person":
            if event.kind == "person.purged":
                self.told.pop(event.target_id, None)
            else:
                self.told.setdefault(event.target_id, Told()).hear(event)


#: Sign-ins by one person in one request are one each; nothing else comes twice.
_MAY_REPEAT = frozenset[str]()


@dataclass
class Told:
    """What the audit alone says of a person."""

    status: str = ""
    causes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    owner: str | None = None
    seat: bool = False
    grants: Counter[str] = field(default_factory=Counter)

    @classmethod
    def stored(cls, view: View, person_id: str) -> Told:
        row = view.people[person_id]
        grants = (each for each in view.rows["grants"] if each.person_id == person_id and each.until is None)
        return cls(
            row.status,
            tuple(row.causes),
            tuple(row.roles),
            row.owner_source_id,
            row.has_seat,
            Counter(_grant(_of_row(each)) for each in grants),
        )

    def hear(self, event: Any) -> None:
        before, after = event.body["before"], event.body["after"]
        match event.kind:
            case "person.created" | "admin.created" if "status" not in after:
                # Too many came at once: what follows for each is told when they are settled.
                self.status, self.roles = "pending", ("user",)
            case "person.created" | "admin.created":
                self.status, self.causes = after["status"], tuple(after["causes"])
                self.roles, self.owner, self.seat = tuple(after["roles"]), after["owner"], after["seat"]
            case "person.status_changed":
                if before is not None and self.status:
                    assert (before["status"], tuple(before["causes"])) == (self.status, self.causes), event
                self.status, self.causes = after["status"], tuple(after["causes"])
            case "person.roles_changed":
                self.roles = tuple(after["roles"])
            case "person.owner_changed":
                self.owner = after["owner"]
            case "seat.taken" | "seat.freed":
                assert self.seat is (event.kind == "seat.freed"), event
                self.seat = event.kind == "seat.taken"
            case "grant.given" | "grant.taken" | "grant.dormant" | "grant.woken":
                self.grants -= Counter([_grant(before)] if before else [])
                self.grants += Counter([_grant(after)] if after else [])


def _of_row(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "target": row.target,
        "project_role": row.project_role,
        "origin": row.origin,
        "by": row.origin_by or None,
        "source": row.source_id,
        "group": row.group_id,
        "rule": row.rule,
        "dormant": row.dormant,
    }


def _grant(values: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in values.items() if value is not None))


# ------------------------------------------------------------------------------ what holds


def v1_no_more_seats_than_there_are(before: View, after: View) -> None:
    ((pool,), (was,)) = (view.rows["seat_pools"] for view in (after, before))
    assert pool.used == sum(row.has_seat for row in after.people.values())
    assert pool.seat_limit is None or pool.used <= max(pool.seat_limit, was.used), pool
    waits = {row.person_id for row in after.rows["waiting"]}
    marked = {row.person_id for row in after.rows["unsettled"]}
    wants = {key for key, row in after.people.items() if row.wants_seat and not row.has_seat}
    assert waits - marked == wants - marked


def v4_whole_or_absent(before: View, after: View, step: Step) -> None:
    if step.done is False:
        assert after.state == before.state, difference(before, after)


def v6_unique(view: View) -> None:
    for source in view.rows["sources"]:
        live = [row for row in view.rows["assertions"] if row.source_id == source.id and row.state == "live"]
        assert source.user_count == len(live)
        _distinct(row.user_name_key for row in live)
        _distinct(row.external_id for row in live if row.external_id)
        groups = [row for row in view.rows["groups"] if row.source_id == source.id and row.state == "live"]
        assert source.group_count == len(groups)
        _distinct(row.external_id for row in groups if row.external_id)
        if source.kind == "scim":
            _distinct(row.display_name_key for row in groups)
    _distinct(row.local_user_name for row in view.living.values())
    _distinct(row.sign_in_key for row in view.living.values() if row.sign_in_key)


def _distinct(keys: Iterable[str]) -> None:
    assert not [key for key, n in Counter(keys).items() if n > 1]


def v10_an_admin_stays(before: View, after: View) -> None:
    assert after.admins or not before.admins


def v11_nothing_opens_for_whoever_is_out(view: View) -> None:
    """Nor at an address that is theirs no more.

    The rows; whether the cookies and links themselves are dead is tried by the machine.
    """
    out = {key for key, row in view.people.items() if row.status == "inactive" or row.deleted_at}
    marked = {row.person_id for row in view.rows["unsettled"]}
    for row in view.rows["sessions"]:
        assert row.ended_at or row.person_id not in out, row
    for row in view.rows["api_tokens"]:
        assert row.revoked_at or row.person_id not in out, row
    for row in view.rows["invitations"]:
        reinvited = row.reactivates and row.person_id in view.living
        assert row.status != "pending" or row.person_id not in out or reinvited, row
        at_home = row.person_id in marked or fold(row.address) == view.people[row.person_id].sign_in_key
        assert row.status != "pending" or at_home, row


def v12_sources_grant_no_more_than_they_may(before: View, after: View, step: Step) -> None:
    for row in after.rows["grants"]:
        assert row.until or row.origin == "manual" or row.target != ACCOUNT_ADMIN, row
    if step.door == "person":
        return
    held = {(row.person_id, row.kind, row.secret) for row in before.rows["credentials"]}
    for row in after.rows["credentials"]:
        known = (row.person_id, row.kind, row.secret) in held
        assert known or step.name == "merge", row
    for key, row in after.people.items():
        was = before.people.get(key)
        proved = was.address_verified_at if was else None
        assert row.address_verified_at in (None, proved) or step.name == "merge", row


def difference(before: View, after: View) -> str:
    gone, new = before.state - after.state, after.state - before.state
    events = [(e.kind, e.target_id, e.body) for e in after.events]
    return "\n".join(
        [
            "",
            *(f"- {each}" for each in sorted(gone)),
            *(f"+ {each}" for each in sorted(new)),
            *map(repr, events),
        ]
    )
