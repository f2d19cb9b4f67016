"""Filters on local people agree with their evaluation in memory, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Connection, insert, select

from scimd.core.attributes import ENTERPRISE_URN, USER
from scimd.core.people import address_key
from scimd.core.resource import StoredUser, render_user
from scimd.db import tables
from scimd.db.engine import Database
from scimd.org.identities import linkable
from scimd.org.identities.linkable import Local
from scimd.scim.filter_local import bounds
from scimd.scim.filter_sql import filtered
from scimd.scim.filter_values import Scope
from scimd.scim.filters import Evaluator, parse
from tests.scim.population import BASE, EVERYTHING, START, filled
from tests.scim.test_filter_sql import _filters, outcome

T = TypeVar("T")
ORG = "org-1"
OWN = ("acme.example", "xn--exmple-cua.example")
#: As an admin adds them; as they stand once detached, when the profile is what the source had said.
PROFILES: dict[str, tuple[str, dict[str, Any]]] = {
    "l0": ("Lee@acme.example", {"userName": "Lee@acme.example", "emails": [{"value": "Lee@acme.example"}]}),
    "l1": ("dana@acme.example", {}),
    "l2": ("ÅSA@acme.example", {"displayName": "Åsa Öberg", "title": "", "nickName": "m"}),
    "l3": (
        "work@acme.example",
        {
            "userName": "STRASSE",
            "displayName": "Dana",
            "name": {"familyName": "Straße", "givenName": "K"},
            "emails": [
                {"value": "home@example.com", "type": "home"},
                {"value": "work@acme.example", "type": "Work", "primary": True},
            ],
            "title": "CTO",
            "phoneNumbers": [{"value": "+47 22", "type": "mobile"}],
            "roles": [{"value": "admin"}],
            ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "Boss"}},
        },
    ),
    "l4": ("a@acme.example", {"title": "cto", "emails": [], "name": {"familyName": "m"}}),
    "l5": ("zoe@acme.example", {"externalId": "left behind", "active": False, "userName": "a"}),
    "l6": ("Ida@EXÄMPLE.example", {}),  # whose key is "ida@xn--exmple-cua.example"
}


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with filled(database_url, fill) as conn:
        yield conn


def fill(conn: Connection) -> None:
    """The second organization's must never be seen."""
    tables.metadata.create_all(conn)
    for org in (ORG, "org-2"):
        for key, (address, profile) in PROFILES.items():
            _person(conn, org, key, address, profile=profile)


def _person(conn: Connection, org: str, key: str, address: str, **more: Any) -> None:
    at = START + timedelta(days=int(key[1:]))
    values = {
        "org_id": org, "id": key, "kind": "person", "local_user_name": key, "display_name": f"Name of {key}",
        "display_name_key": f"name of {key}",
        "sign_in_address": address, "sign_in_key": address_key(address), "profile": {}, "status": "active",
        "causes": [], "primary_role": "user", "roles": ["user"], "created_by": "test", "rest": 3,
        "created_at": at, "changed_at": at,
    }  # fmt: skip
    conn.execute(insert(tables.people).values(values | more))


def book(*domains: str) -> Any:
    roles = {"manager": SimpleNamespace(permissions={"x"}), "user": SimpleNamespace(permissions=())}
    return SimpleNamespace(
        org_id=ORG, verified_domains=frozenset(domains), rules=SimpleNamespace(roles=roles)
    )


def by_sql(conn: Connection, text: str) -> set[str]:
    node = parse(text)
    scope = Scope(USER, ORG, "source-1", conn.dialect.name, BASE)  # type: ignore[arg-type]
    filtered(node, scope)  # refuses, as in every list

    def fits(stored: StoredUser) -> bool:
        return Evaluator(USER, orjson.loads(render_user(stored, BASE, EVERYTHING))).visit(node)

    local = Local(conn, book(*OWN), bounds(node, scope, fits))
    found = [row.id for row in local.page(None, 0, 100)]
    assert found == sorted(found)
    assert local.count() == len(found)
    return set(found)


def in_memory(conn: Connection, text: str) -> set[str]:
    node = parse(text)
    rows = conn.execute(select(tables.people).where(tables.people.c.org_id == ORG)).all()
    everybody = {row.id: orjson.loads(render_user(linkable.as_user(row), BASE, EVERYTHING)) for row in rows}
    return {key for key, each in everybody.items() if Evaluator(USER, each).visit(node)}


ALL = set(PROFILES)
CASES = [
    ('userName eq "LEE@acme.example"', {"l0"}),
    ('userName eq "strasse"', {"l3"}),
    ('userName eq "work@acme.example"', set()),
    ('userName eq "ida@exämple.example"', {"l6"}),
    ('emails.value ew "@exämple.example"', {"l6"}),
    ('userName co "xn--" or emails.value co "xn--"', set()),
    ('userName ne "dana@acme.example"', ALL - {"l1"}),
    ('emails.value eq "åsa@acme.example"', {"l2"}),
    ('emails.value eq "home@example.com"', {"l3"}),
    ('emails[type eq "work"].value eq "work@acme.example"', {"l3"}),
    ("emails pr", ALL - {"l4"}),
    ('displayName eq "name of l0"', {"l0"}),
    ('displayName sw "åsa"', {"l2"}),
    ('name.familyName eq "strasse"', {"l3"}),
    ('name.givenName eq "k"', {"l3"}),
    ("title pr", {"l3", "l4"}),
    ('title eq "CTO"', {"l3", "l4"}),
    ('not (title eq "CTO")', ALL - {"l3", "l4"}),
    ("name eq null", ALL - {"l3", "l4"}),
    ("name ne null or addresses ne null", {"l3", "l4"}),
    ("externalId pr", set()),
    ("active eq true", ALL),
    ("active eq false or groups pr", set()),
    ("active pr", ALL),
    ('id eq "l3"', {"l3"}),
    ('meta.created ge "2026-01-05T00:00:00Z"', {"l4", "l5", "l6"}),
    ('meta.lastModified lt "2026-01-02T00:00:00Z"', {"l0"}),
    ('phoneNumbers.value eq "+47 22"', {"l3"}),
    ("phoneNumbers[primary eq false]", {"l3"}),  # RFC 7643 §2.4
    (f'{ENTERPRISE_URN}:department eq "r&d"', {"l3"}),
    (f'{ENTERPRISE_URN}:manager eq "Boss"', {"l3"}),
]


def test_filter_finds_local_people(conn: Connection) -> None:
    for text, wanted in CASES:
        assert (text, by_sql(conn, text)) == (text, wanted)
        assert (text, in_memory(conn, text)) == (text, wanted)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(text=_filters(USER))
def test_random_filters_agree_on_local_people(conn: Connection, text: str) -> None:
    assert outcome(by_sql, conn, text) == outcome(in_memory, conn, text)


def test_only_what_sql_cannot_tell_is_judged_in_memory(conn: Connection) -> None:
    scope = Scope(USER, ORG, "source-1", conn.dialect.name, BASE)  # type: ignore[arg-type]
    for text, wanted in (
        ('userName eq "dana@acme.example"', {"l2", "l3", "l5", "l6"}),
        ('displayName eq "dana"', {"l2"}),
        ('title ne "x"', set()),
        ("not (active eq true) or title pr", set()),
        ('phoneNumbers.value eq "x"', {"l3"}),
        ('externalId eq "x"', set()),
    ):
        judged: set[str] = set()

        def fits(stored: StoredUser, judged: set[str] = judged) -> bool:
            judged.add(stored.person_id)
            return False

        Local(conn, book(*OWN), bounds(parse(text), scope, fits)).count()
        assert (text, judged) == (text, wanted)


# ------------------------------------------------------------------------------ who is among them


async def test_sql_and_the_rule_of_matching_say_the_same_of_whom_a_source_could_link(
    database_url: str,
) -> None:
    by_rule, listed = await _through_the_door(database_url, _by_rule_and_listed)
    assert listed == by_rule == {*PROFILES, "m12", "m21", "m22", "m32"}


async def test_many_are_told_from_few_without_looking_at_all(database_url: str) -> None:
    def told(conn: Connection) -> tuple[bool, bool]:
        few, many = len(PROFILES), len(PROFILES) - 1
        return linkable.are_few(conn, book(), few), linkable.are_few(conn, book(), many)

    assert await _through_the_door(database_url, told) == (True, False)


async def _through_the_door(database_url: str, body: Callable[[Connection], T]) -> T:
    """As statements are run that are rendered once."""

    def filled(conn: Connection) -> T:
        fill(conn)
        return body(conn)

    database = Database.open(database_url)
    try:
        return await database.write(filled)
    finally:
        await database.aclose()


def _by_rule_and_listed(conn: Connection) -> tuple[set[str], set[str]]:
    at = START
    _person(conn, ORG, "m10", "a@sub.acme.example")
    _person(conn, ORG, "m11", "m11@acme.example", accepted=True)
    _person(conn, ORG, "m12", "m12@acme.example", accepted=True, address_verified_at=at)
    _person(conn, ORG, "m13", "m13@acme.example", deleted_at=at)
    _person(conn, ORG, "m14", "m14@acme_example")
    for n, role in ((20, "manager"), (21, "user"), (22, "manager")):
        _person(conn, ORG, f"m{n}", f"m{n}@acme.example")
        conn.execute(
            insert(tables.grants).values(
                org_id=ORG, id=f"g{n}", person_id=f"m{n}", kind="role", target=role, origin="manual",
                origin_by="test", dormant=True, since=at, until=at if n == 22 else None,
            )
        )  # fmt: skip
    for n, state in ((30, "live"), (31, "gone"), (32, "history")):
        _person(conn, ORG, f"m{n}", f"m{n}@acme.example")
        conn.execute(
            insert(tables.assertions).values(
                org_id=ORG, source_id="s", person_id=f"m{n}", user_name="x", user_name_key=f"x{n}",
                state=state, document=b"{}", folded={}, meta=b"", created_at=at, changed_at=at,
            )
        )  # fmt: skip
    rules = book(*OWN)
    ids = conn.execute(select(tables.people.c.id).where(tables.people.c.org_id == ORG)).scalars().all()
    by_rule = {each for each in ids if linkable.one(conn, rules, each) is not None}
    assert Local(conn, book()).count() == 0
    return by_rule, {row.id for row in Local(conn, rules).page(None, 0, 100)}
