"""Statements of the hot paths find their rows by a key, however large the organization is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Insert, create_engine, event, func, select

import scimd.org
from scimd.core.people import OrgId, PersonId
from scimd.db import migrate
from scimd.db.prepared import Prepared
from scimd.db.tables import events, metadata, people, projects
from scimd.org.audit import audit_reads
from scimd.org.audit.audit_reads import EntryFilter
from scimd.org.authentication import sessions
from scimd.org.grants import catalogue_reads
from scimd.org.groups import member_rows
from scimd.org.identities import decided, linking, merging
from scimd.org.invitations import invitation_list, invitations
from scimd.org.rulebook import SourceBook
from scimd.org.settling.unsettled import NEXT
from scimd.org.sources import source_ends
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Tx
from scimd.org.users import admin_reads, gates, my_profile
from scimd.org.windows import Window, cut

#: One row an organization, or read from the front of an index and bounded.
_MAY = {
    "seats._POOL",
    "seats._LOCKED_POOL",
    "seats._SEEN",
    "seats._TAKEN",
    "seats._USED",
    "seats._QUEUE",
    "scim_reads._PAGE",
    "audit._TIP",
    "linkable._ONE_MORE",
    "scim_reads._ANY_MARKED",
    "scim_reads._USER_COUNT",
    "unsettled.NEXT",
}
_WHOLE = re.compile(
    r"SEARCH \w+ USING (?:(?:COVERING )?INDEX \w+|PRIMARY KEY)"
    r" \((?:org_id=\?)?(?: AND (?:source_id|kind|status|state)=\?)*\)"
)


def _prepared() -> Iterator[tuple[str, Prepared]]:
    for module in pkgutil.walk_packages(scimd.org.__path__, "scimd.org."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Prepared):
                    yield f"{module.name.rpartition('.')[2]}.{name}", each


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Of the schema as migrations make it: which of two indexes SQLite takes may go by which came first."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'scimd.db'}"
    migrate.upgrade(url)
    engine = create_engine(url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.mark.parametrize(("name", "prepared"), list(_prepared()))
def test_no_hot_statement_walks_through_an_organization(
    name: str, prepared: Prepared, conn: Connection
) -> None:
    if name in _MAY or isinstance(prepared.statement(conn), Insert):
        return
    steps = [step for text in prepared.texts(conn) for step in _plan(conn, text)]
    tables = set(metadata.tables)
    scans = [step for step in steps if step.partition("SCAN ")[2].partition(" ")[0] in tables]
    assert not scans
    assert not [step for step in steps if _WHOLE.search(step)]


def test_the_next_to_settle_are_read_from_the_front_of_an_index(conn: Connection) -> None:
    """A group of 100,000 marks as many at one moment: sorting them for each batch would never end."""
    (text,) = NEXT.texts(conn)
    (step,) = _plan(conn, text)
    assert "USING COVERING INDEX ix_unsettled_turn (org_id=?)" in step


def test_members_are_removed_without_a_walk_through_their_groups(conn: Connection) -> None:
    """A group may have 100,000 others."""
    for text in member_rows._REMOVE.texts(conn):
        step, *_ = _plan(conn, text)
        assert step.endswith("USING PRIMARY KEY (org_id=? AND group_id=? AND member_key=?)")


_MOMENT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (EntryFilter(), "sqlite_autoindex_events_1 (org_id=?)"),
        (EntryFilter(since=_MOMENT, until=_MOMENT), "sqlite_autoindex_events_1 (org_id=? AND id>? AND id<?)"),
        (EntryFilter(target="x"), "ix_events_target (org_id=? AND target_id=?)"),
        (EntryFilter(target="x", since=_MOMENT), "ix_events_target (org_id=? AND target_id=? AND id>?)"),
        (EntryFilter(correlation="x"), "ix_events_correlation (org_id=? AND correlation_id=?)"),
    ],
)
def test_a_list_of_the_audit_reads_what_it_shows_and_sorts_nothing(
    only: EntryFilter, found: str, conn: Connection
) -> None:
    query = audit_reads._filtered(OrgId("o"), only)
    plans = _plans(conn, lambda conn: cut(conn, query, Window(sort="-at"), {}, events.c.id))
    assert plans == [[f"SEARCH events USING INDEX {found}"]]


def _plans(conn: Connection, run: Callable[[Connection], object]) -> list[list[str]]:
    """What SQLite says of each statement of the call."""
    plans: list[list[str]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.append([row[3] for row in cursor.fetchall()])

    event.listen(conn, "before_cursor_execute", note)
    try:
        run(conn)
    finally:
        event.remove(conn, "before_cursor_execute", note)
    return plans


_ORG, _PERSON = OrgId("o"), PersonId("p")


def _tx(conn: Connection) -> Any:
    return SimpleNamespace(conn=conn, beside=conn, org_id=_ORG, now=_MOMENT)


_OF_ONE: dict[str, Callable[[Connection], object]] = {
    "a person by id, name or address": lambda conn: conn.execute(
        admin_reads._listed(_ORG).where(admin_reads._is(_ORG, "x"))
    ).all(),
    "the projects of an invitation's mail": lambda conn: invitations.projects_of(conn, _ORG, _PERSON),
    "the projects of a profile": lambda conn: my_profile._projects(conn, _ORG, _PERSON),
    "the memberships of who is merged": lambda conn: merging.move_memberships(
        _tx(conn), _PERSON, PersonId("q")
    ),
    "who is meant by a link": lambda conn: linking._holder(
        _tx(conn), cast(SourceBook, SimpleNamespace(id="s", name="s")), "x"
    ),
    "accounts whose time is over": lambda conn: conn.execute(
        select(people.c.id).where(gates.expired(_MOMENT))
    ).all(),
    "the mails of links that are killed": lambda conn: sessions._cancel_mails(_tx(conn), [_PERSON], ["l"]),
    "whom a source asserts, of those who were linked": lambda conn: decided._free(
        conn, _ORG, cast(SourceBook, SimpleNamespace(id="s")), [_PERSON]
    ),
}


@pytest.mark.parametrize("what", _OF_ONE)
def test_what_is_asked_of_one_person_walks_through_nobody_else(what: str, conn: Connection) -> None:
    plans = _plans(conn, _OF_ONE[what])
    assert plans
    tables = set(metadata.tables)
    steps = [step for plan in plans for step in plan]
    assert not [step for step in steps if step.partition("SCAN ")[2].partition(" ")[0] in tables]
    assert not [step for step in steps if _WHOLE.search(step)]


def test_the_next_of_an_ending_source_pass_over_the_gone_in_an_index(conn: Connection) -> None:
    tx = SimpleNamespace(conn=conn, org_id=_ORG)
    source = cast(SourceRecord, SimpleNamespace(id="s"))
    ((first, *more),) = _plans(conn, lambda _: source_ends._asserted(cast(Tx, tx), source, 100))
    assert first == "SEARCH assertions USING INDEX ix_assertions_page (org_id=? AND source_id=?)"
    assert not [step for step in more if "ORDER BY" in step]
    place = (datetime(2026, 1, 1, tzinfo=UTC), "p")
    ((first, *_),) = _plans(conn, lambda _: source_ends._asserted(cast(Tx, tx), source, 100, after=place))
    assert first == (
        "SEARCH assertions USING INDEX ix_assertions_page "
        "(org_id=? AND source_id=? AND (created_at,person_id)>(?,?))"
    )


def test_how_many_are_invited_is_counted_in_an_index(conn: Connection) -> None:
    """For each who is refused while all seats are taken."""
    column = people.c
    query = select(func.count()).where(column.org_id == "o", column.has_seat, column.status == "pending")
    (plan,) = _plans(conn, lambda conn: conn.execute(query).all())
    assert plan == [
        "SEARCH people USING COVERING INDEX ix_people_status (org_id=? AND status=? AND has_seat=?)"
    ]


def test_those_in_no_list_are_taken_off_the_figures_of_projects_by_an_index_of_theirs(
    conn: Connection,
) -> None:
    """Each of 100,000 in a project was looked up among all people."""
    each = catalogue_reads.how_many_each("project", projects, OrgId("o"))
    (plan,) = _plans(conn, lambda conn: conn.execute(select(projects.c.id, each)))
    of_people = [step for step in plan if " people " in step]
    assert of_people == ["SEARCH people USING INDEX ix_people_unlisted (org_id=?)"]


def test_the_newest_mail_of_an_invitation_is_found_by_its_person(conn: Connection) -> None:
    text = str(invitation_list._listed().compile(conn))
    mails = [step for step in _plan(conn, text) if step.startswith("SEARCH deliveries")]
    assert mails[-1].endswith("ix_deliveries_person (org_id=? AND person_id=? AND invitation_id=?)")


def _plan(conn: Connection, text: str) -> list[str]:
    parameters = [None] * text.count("?")
    return [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(parameters))]
