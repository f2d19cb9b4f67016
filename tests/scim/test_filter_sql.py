"""SQL and in-memory evaluation of a filter agree, on both databases (RFC 7644 §3.4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, union
from sqlalchemy.dialects import postgresql

from scimd.core.attributes import ENTERPRISE_URN, GROUP, KINDS, SCIMD_URN, USER, ResourceKind
from scimd.core.people import OrgId, SourceId, fold
from scimd.db.tables import assertions
from scimd.org.groups.group_nesting import nested_ids
from scimd.scim import filter_values
from scimd.scim.errors import ScimError
from scimd.scim.filter_sql import filtered, sort
from scimd.scim.filter_values import Scope
from scimd.scim.filters import MAX_LOOKS, Evaluator, parse
from scimd.scim.listing import looked_up
from tests.scim.population import BASE, ORG, SOURCE, fill, filled, resources


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with filled(database_url, fill) as conn:
        yield conn


def scope(conn: Connection, kind: ResourceKind) -> Scope:
    return Scope(kind, ORG, SOURCE, conn.dialect.name, BASE)  # type: ignore[arg-type]


def by_sql(conn: Connection, kind: ResourceKind, text: str) -> set[str]:
    where = scope(conn, kind)
    table = where.table
    statement = select(where.key).where(
        table.c.org_id == ORG, table.c.source_id == SOURCE, table.c.state == "live"
    )
    asked = filtered(parse(text), where)
    given = nested_ids(conn, OrgId(ORG), SourceId(SOURCE), asked.nested)
    found = set(conn.execute(statement.where(asked.where), given).scalars())
    if asked.any_of:
        terms = union(*(statement.where(each) for each in asked.any_of))
        assert found == set(conn.execute(terms, given).scalars())
    return found


def in_memory(kind: ResourceKind, text: str) -> set[str]:
    node = parse(text)
    return {key for key, each in resources(kind.name).items() if Evaluator(kind, each).visit(node)}


def outcome(find: Any, *args: Any) -> set[str] | str:
    try:
        return find(*args)  # type: ignore[no-any-return]
    except ScimError as refused:
        return f"{refused.scim_type}: {refused.detail}"


# ------------------------------------------------------------------------------ what is expected

CASES = [
    (USER, 'userName eq "DANA@EXAMPLE.COM"', {"p0"}),
    (USER, 'userName eq "strasse"', {"p2"}),
    (USER, 'name.familyName eq "STRASSE"', {"p2"}),
    (USER, 'externalId eq "EXT-1"', {"p1"}),
    (USER, 'externalId ne "EXT-1"', {"p0", "p2", "p3", "p4", "p5"}),
    (USER, 'title eq ""', {"p1"}),
    (USER, "title pr", {"p3", "p5"}),
    (USER, "not (title pr)", {"p0", "p1", "p2", "p4"}),
    (USER, "emails eq null", {"p0"}),  # p4 has one without a value
    (USER, "emails ne null", {"p1", "p2", "p3", "p4", "p5"}),
    (USER, "name eq null", {"p0", "p3", "p5"}),
    (USER, "name ne null", {"p1", "p2", "p4"}),
    (USER, "meta eq null", set()),
    (USER, f"{ENTERPRISE_URN}:manager eq null", {"p0", "p1", "p3", "p4", "p5"}),
    (USER, "emails.value eq null", {"p0", "p4"}),
    (USER, "title eq null", {"p0", "p1", "p2", "p4"}),
    (USER, 'displayName co "%"', {"p2"}),
    (USER, 'displayName co "_u"', {"p2"}),
    (USER, 'displayName ew "\\\\score\'"', {"p2"}),
    (USER, "active eq true", {"p0", "p3", "p4"}),
    (USER, 'active eq "True"', {"p0", "p3", "p4"}),
    (USER, "active eq false", {"p1"}),
    (USER, "not (active eq true)", {"p1", "p2", "p5"}),
    (USER, "active eq false or active eq true", {"p0", "p1", "p3", "p4"}),
    (USER, "emails[primary eq false or primary eq true]", {"p1", "p2", "p3", "p4", "p5"}),
    (USER, 'emails.value co "EXAMPLE"', {"p1", "p2", "p3"}),
    (USER, 'emails eq "home@example.com"', {"p2"}),
    (USER, 'emails.value eq "work@EXAMPLE.com"', {"p2"}),
    (USER, 'emails.value eq "cc@x.org"', {"p5"}),
    (USER, 'emails.value eq "*"', set()),
    (USER, 'emails.value eq ""', {"p4"}),
    (USER, 'emails[type eq "work" and value eq "home@example.com"]', set()),
    (USER, 'emails[value eq "home@example.com" or value eq "bb@x.org"]', {"p2", "p5"}),
    (USER, 'emails[value eq "home@example.com" or type eq "work"]', {"p1", "p2", "p4", "p5"}),
    (USER, 'emails[not (value eq "zoe@example.com")]', {"p1", "p2", "p4", "p5"}),
    (USER, 'not (emails[value eq "zoe@example.com"])', {"p0", "p1", "p2", "p4", "p5"}),
    (USER, 'userName eq "aa" or emails[value eq "bb@x.org"] or externalId eq "EXT-1"', {"p1", "p5"}),
    (USER, 'emails.value ne "asa@example.com"', {"p0", "p2", "p3", "p4", "p5"}),
    (USER, 'emails[type eq "work" and primary eq true]', {"p1", "p2"}),
    (USER, 'emails[type eq "work"].value eq "asa@example.com"', {"p1"}),
    (USER, 'emails[type eq "home" and primary eq true]', set()),
    (USER, "emails[not (type pr)]", {"p3", "p4", "p5"}),
    (USER, "emails[primary eq false]", {"p2", "p3", "p4", "p5"}),  # RFC 7643 §2.4
    (USER, "emails[primary ne false]", {"p1", "p2"}),
    (USER, "emails.primary ne false", {"p0", "p1"}),
    (USER, "emails[primary eq null]", {"p3", "p4", "p5"}),
    (USER, 'roles[primary eq false and value eq "reader"]', {"p3"}),
    (USER, "addresses.primary eq false", {"p3"}),
    (USER, 'roles[value eq "READER"]', {"p3"}),
    (USER, 'x509Certificates.value eq "qujd"', set()),
    (USER, 'x509Certificates.value eq "QUJD"', {"p3"}),
    (USER, f'{ENTERPRISE_URN}:department eq "r&d"', {"p2"}),
    (USER, f'{ENTERPRISE_URN}:employeeNumber eq "17"', {"p2"}),
    (USER, f'{ENTERPRISE_URN}:employeeNumber eq " "', {"p3"}),
    (USER, f'{ENTERPRISE_URN}:employeeNumber ne "17"', {"p0", "p1", "p3", "p4", "p5"}),
    (USER, f'{ENTERPRISE_URN.lower()}:MANAGER.value eq "Boss"', {"p2"}),
    (USER, f'{ENTERPRISE_URN}:manager eq "Boss"', {"p2"}),
    (USER, f'{SCIMD_URN}:status eq "inactive"', {"p1"}),
    (USER, f"{SCIMD_URN}:seat eq true", {"p0"}),
    (USER, f'{SCIMD_URN}:causes eq "deactivated"', {"p1"}),
    (USER, f'{SCIMD_URN}:projects[value eq "j1"]', {"p0"}),
    (USER, 'id eq "p3"', {"p3"}),
    (USER, 'meta.created gt "2026-01-05T00:00:00Z"', {"p4", "p5"}),
    (USER, 'meta.lastModified eq "2026-01-03T01:00:00.002002+01:00"', {"p2"}),
    (USER, 'meta.resourceType eq "User"', {"p0", "p1", "p2", "p3", "p4", "p5"}),
    (USER, f'meta.location eq "{BASE}/Users/p4"', {"p4"}),
    (USER, 'meta.version eq "W/\\"3-7\\""', {"p0", "p1", "p2", "p3", "p4", "p5"}),
    (USER, 'groups.value eq "g1"', {"p0", "p1", "p2"}),
    (USER, 'groups[display eq "everyone"]', {"p0", "p1", "p2", "p5"}),
    (USER, "groups pr", {"p0", "p1", "p2", "p5"}),
    (USER, 'groups.type eq "DIRECT"', {"p0", "p1", "p2", "p5"}),
    (USER, 'groups[type eq "indirect" and display eq "ops"]', {"p2"}),
    (USER, 'groups[type eq "direct" and value eq "g0"]', {"p5"}),
    (USER, f'groups.$ref eq "{BASE}/Groups/g2"', {"p0", "p1", "p2"}),
    (USER, f'schemas eq "{ENTERPRISE_URN}"', {"p2", "p3"}),
    (USER, f'schemas eq "{SCIMD_URN}"', {"p0", "p1"}),
    (USER, f'schemas eq "{ENTERPRISE_URN.upper()}"', set()),
    (USER, "schemas pr", {"p0", "p1", "p2", "p3", "p4", "p5"}),
    (USER, 'userName sw "名"', {"p4"}),
    (USER, 'externalId sw "EXT"', {"p1"}),
    (USER, 'externalId sw ""', {"p1", "p2"}),
    (USER, 'userName gt "z"', {"p1", "p3", "p4"}),
    (USER, 'title gt "\uffff"', {"p5"}),
    (GROUP, 'displayName eq "OPS"', {"g1"}),
    (GROUP, 'displayName sw "ops"', {"g1", "g2"}),
    (GROUP, 'members.value eq "p2"', {"g2"}),
    (GROUP, 'members[value eq "g1"]', {"g0", "g2"}),
    (GROUP, 'members[value eq "p2" or value eq "p5"]', {"g0", "g2"}),
    (GROUP, 'members[value eq "p2" or type eq "Group"]', {"g0", "g1", "g2"}),
    (GROUP, 'members[value eq "g1" and type eq "User"]', set()),
    (GROUP, 'members[not (value eq "p0")]', {"g0", "g1", "g2"}),
    (GROUP, 'members[value eq "p9"]', set()),
    (GROUP, 'id eq "g1" and members eq "p0"', {"g1"}),
    (GROUP, 'members eq "p9"', set()),
    (GROUP, 'members eq "ghost"', set()),
    (GROUP, "not (members pr)", {"g3"}),
    (GROUP, 'members[type eq "group"]', {"g0", "g1", "g2"}),
    (GROUP, 'externalId eq "G-0"', {"g0"}),
    (GROUP, 'members.display eq "ops Øst"', {"g1"}),
    (GROUP, 'members.display eq "OPS ØST"', set()),
    (GROUP, 'members[type eq "User" and display eq "p2"]', {"g2"}),
    (GROUP, f'members.$ref eq "{BASE}/Users/p5"', {"g0"}),
    (GROUP, f'members.$ref sw "{BASE}/Groups/"', {"g0", "g1", "g2"}),
    (GROUP, 'schemas co "Group"', {"g0", "g1", "g2", "g3"}),
]


@pytest.mark.parametrize(
    ("kind", "text", "wanted"), CASES, ids=[f"{case[0].name}: {case[1]}" for case in CASES]
)
def test_filter_finds_in_memory(kind: ResourceKind, text: str, wanted: set[str]) -> None:
    assert in_memory(kind, text) == wanted


def test_filter_finds_in_the_database(conn: Connection) -> None:
    for kind, text, wanted in CASES:
        assert by_sql(conn, kind, text) == wanted, text


def test_what_is_said_often_finds_the_same(conn: Connection) -> None:
    for kind, text, wanted in CASES:
        for said in (f"({text})", f"not (not ({text}))"):
            assert by_sql(conn, kind, " and ".join([said] * 5)) == wanted, text


@pytest.mark.parametrize(
    ("kind", "term", "many"),
    [
        (USER, 'groups[display ne "{}"]', MAX_LOOKS // 2),
        (USER, 'not (groups.value co "{}")', MAX_LOOKS // 2),
        (GROUP, 'members[value ne "{}"]', MAX_LOOKS),
        (GROUP, 'members eq "{}"', MAX_LOOKS),
    ],
)
def test_postgresql_plans_few_joins(kind: ResourceKind, term: str, many: int) -> None:
    """It makes one of each subquery that has to hold, and plans many of them for seconds."""
    terms = [term.format(n) for n in range(many)]
    where = Scope(kind, ORG, SOURCE, "postgresql", BASE)
    sql = str(filtered(parse(" and ".join(terms)), where).where.compile(dialect=postgresql.dialect()))
    assert sql.count("IS true") + sql.count("IS NOT true") >= many - 4
    several = parse(" or ".join(f'members[value eq "{n}"]' for n in range(MAX_LOOKS)))
    for each in filtered(several, Scope(GROUP, ORG, SOURCE, "postgresql", BASE)).any_of:
        assert "IS true" not in str(each.compile(dialect=postgresql.dialect()))


# ------------------------------------------------------------------------------ at random


def _paths(kind: ResourceKind) -> list[str]:
    found = []
    for each in kind.attributes():
        if not each.attribute.filterable:
            continue
        parts = [part.name for part in each.attribute.sub if part.filterable]
        found += [str(each), *(f"{each}.{part}" for part in parts)]
    return found


TEXTS = st.sampled_from(
    ["", "dana", "DANA@example.com", "a", "EXAMPLE", "ö", "Öberg", "work", "%", "_", "\\", "'", "e\u0301",
     "名", "p0", "p2", "g1", "ops", "R&D", "17", "ext-1", "EXT-1", "\U0001d538", "\uffff", "User", "active",
     "QUJD", "m"]
)  # fmt: skip
VALUES = st.one_of(
    TEXTS.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
    st.sampled_from(
        ["true", "false", "null", "1", '"2026-01-03T00:00:00Z"', '"2026-01-02T00:00:00.001001Z"']
    ),
)
OPERATORS = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"])


def _expressions(names: list[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from(names)
    return st.one_of(
        st.tuples(name, OPERATORS, VALUES).map(" ".join),
        name.map(lambda each: f"{each} pr"),
    )


@st.composite
def _chains(draw: st.DrawFn, names: list[str]) -> str:
    """Look-ups of one attribute, or of two, that are asked for at once."""
    some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
    values = draw(st.lists(VALUES, min_size=2, max_size=6))
    return " or ".join(f"{some[n % len(some)]} eq {value}" for n, value in enumerate(values))


def _combined(base: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        base,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda each: f"({' '.join(each)})"),
            inner.map(lambda each: f"not ({each})"),
        ),
        max_leaves=4,
    )


def _filters(kind: ResourceKind) -> st.SearchStrategy[str]:
    selections = [
        _combined(st.one_of(_expressions(parts), _chains(parts))).map(
            lambda inner, path=str(each): f"{path}[{inner}]"
        )
        for each in kind.attributes()
        if each.attribute.multi
        and each.attribute.sub
        and (parts := [part.name for part in each.attribute.sub if part.filterable])
    ]
    chains = _chains(_paths(kind)).map(lambda chain: f"({chain})")
    return _combined(st.one_of(_expressions(_paths(kind)), chains, *selections))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_random_filters_agree(conn: Connection, kind: ResourceKind) -> None:
    """2,000 more stand in ``test_filters_against_library.py``."""
    _agree(conn, kind, 330 if kind is USER else 150)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_thousands_of_random_filters_agree(conn: Connection, kind: ResourceKind) -> None:
    _agree(conn, kind, 3_300 if kind is USER else 1_500)


def _agree(conn: Connection, kind: ResourceKind, how_many: int) -> None:
    @settings(max_examples=how_many, suppress_health_check=list(HealthCheck))
    @given(text=_filters(kind))
    def agree(text: str) -> None:
        assert outcome(by_sql, conn, kind, text) == outcome(in_memory, kind, text)

    agree()


# ------------------------------------------------------------------------------ beginnings


@given(head=st.text(min_size=1, max_size=3), text=st.text(max_size=4))
@example(head="a\ud7ff", text="a\ue000")
@example(head="\U0010ffff", text="\U0010ffffa")
@example(head="a\U0010ffff", text="b")
def test_what_begins_alike_stands_together(head: str, text: str) -> None:
    beyond = filter_values._beyond(head)
    for each in (text, head + text):
        assert each.startswith(head) == (each >= head and (beyond is None or each < beyond))


# ------------------------------------------------------------------------------ sorting


@pytest.mark.parametrize(
    ("path", "wanted", "unassigned"),
    [
        ((None, "userName", None), ["p5", "p0", "p2", "p3", "p1", "p4"], ()),
        ((None, "name", "familyName"), ["p2", "p1", "p4", "p0", "p3", "p5"], ("p0", "p3", "p5")),
        ((None, "emails", "value"), ["p5", "p1", "p2", "p3", "p0", "p4"], ("p0", "p4")),
        ((None, "roles", "value"), ["p3", "p0", "p1", "p2", "p4", "p5"], ("p0", "p1", "p2", "p4", "p5")),
        ((None, "meta", "created"), ["p0", "p1", "p2", "p3", "p4", "p5"], ()),
        (
            (ENTERPRISE_URN, "department", None),
            ["p2", "p3", "p0", "p1", "p4", "p5"],
            ("p0", "p1", "p4", "p5"),
        ),
    ],
)
def test_unassigned_values_sort_last_and_first_when_descending(
    conn: Connection, path: tuple[str | None, str, str | None], wanted: list[str], unassigned: tuple[str, ...]
) -> None:
    found = USER.resolve(*path)
    assert found is not None
    where = scope(conn, USER)
    for descending in (False, True):
        statement = select(where.key).where(where.table.c.org_id == ORG, where.table.c.state == "live")
        statement = statement.order_by(*sort(found, descending, where).order)
        keys = list(conn.execute(statement.order_by(where.key)).scalars())
        if not descending:
            assert keys == wanted
        else:
            having = [key for key in wanted if key not in unassigned]
            assert keys == [*sorted(unassigned), *reversed(having)]


# ------------------------------------------------------------------------------ the common path

_SPELLINGS = st.sampled_from(["userName", "username", "UserName", "userName ", "user.name"])
_OPERATORS = st.sampled_from(["eq", "EQ", "Eq", "ne", " eq"])
_NAMES = st.one_of(
    st.sampled_from([each["userName"] for each in resources("User").values()]),
    st.sampled_from([each["userName"].upper() for each in resources("User").values()]),
    st.text(max_size=8),
    st.sampled_from(['a" or userName pr or "', "a\\u0041", "\\", "", "\ud800", "aa\x00", "x" * 300]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spelling=_SPELLINGS, operator=_OPERATORS, name=_NAMES)
def test_look_up_by_user_name_finds_what_its_filter_finds(
    conn: Connection, spelling: str, operator: str, name: str
) -> None:
    text = f'{spelling} {operator} "{name}"'
    asked = looked_up(USER, text)
    if asked is None:
        return
    column = assertions.c
    statement = select(column.person_id).where(
        column.org_id == ORG,
        column.source_id == SOURCE,
        column.state == "live",
        column.user_name_key == fold(asked),
    )
    assert set(conn.execute(statement).scalars()) == outcome(by_sql, conn, USER, text)


def test_look_up_by_user_name_takes_the_common_path() -> None:
    assert looked_up(USER, 'userName eq "Dana@Acme.example"') == "Dana@Acme.example"
    assert looked_up(GROUP, 'userName eq "dana"') is None
    assert looked_up(USER, 'userName eq "dana" and active eq true') is None


@pytest.mark.parametrize(
    ("kind", "path", "wanted"),
    [
        (USER, "groups.value", ["p5", "p0", "p1", "p2", "p3", "p4"]),
        (USER, "groups.display", ["p5", "p0", "p1", "p2", "p3", "p4"]),
        (USER, "groups.type", ["p0", "p1", "p2", "p5", "p3", "p4"]),
        (USER, "schemas", ["p0", "p1", "p2", "p3", "p4", "p5"]),
        (GROUP, "members.value", ["g1", "g2", "g0", "g3"]),
        (GROUP, "members.display", ["g1", "g2", "g0", "g3"]),
        (GROUP, "members.type", ["g0", "g1", "g2", "g3"]),
    ],
)
def test_what_is_made_of_members_sorts_by_the_first_that_is_shown(
    conn: Connection, kind: ResourceKind, path: str, wanted: list[str]
) -> None:
    name, _, part = path.partition(".")
    found = kind.resolve(None, name, part or None)
    assert found is not None
    where = scope(conn, kind)
    statement = select(where.key).where(where.table.c.org_id == ORG, where.table.c.state == "live")
    statement = statement.order_by(*sort(found, False, where).order, where.key)
    assert list(conn.execute(statement).scalars()) == wanted
