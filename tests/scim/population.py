"""A small population, as rows of a database and as the resources that scimd would answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, create_engine, insert

from scimd.core.attributes import ENTERPRISE_URN, GROUP, USER, columns_of, fold_document
from scimd.core.people import fold, keys_of
from scimd.core.resource import (
    GroupRef,
    Projection,
    StoredGroup,
    StoredUser,
    meta_part,
    pack,
    render_group,
    render_user,
)
from scimd.db import tables
from scimd.db.engine import parse

BASE = "https://scimd.example.com/scim/v2"
ORG, SOURCE = "org-1", "source-1"
#: What a client sees that asks for every attribute by name.
EVERYTHING = Projection.parse(USER, ",".join(map(str, USER.attributes())), None)
START = datetime(2026, 1, 1, tzinfo=UTC)

USERS: dict[str, dict[str, Any]] = {
    "p0": {"userName": "dana@example.com", "active": True, "displayName": "Dana"},
    "p1": {
        "userName": "Åsa.Öberg@example.com",
        "externalId": "EXT-1",
        "active": False,
        "displayName": "Åsa Öberg",
        "name": {"familyName": "Öberg", "givenName": "Åsa"},
        "emails": [{"value": "asa@example.com", "type": "work", "primary": True}],
        "title": "",
    },
    "p2": {
        "userName": "STRASSE",
        "externalId": "ext-1",
        "displayName": "100% _under\\score'",
        "name": {"familyName": "Straße", "formatted": "x"},
        "emails": [
            {"value": "Home@Example.com", "type": "home", "primary": False},
            {"value": "WORK@example.com", "type": "Work", "primary": True},
        ],
        ENTERPRISE_URN: {"department": "R&D", "employeeNumber": "17", "manager": {"value": "Boss"}},
    },
    "p3": {
        "userName": "zoë",
        "active": True,
        "title": "CTO",
        "emails": [{"value": "zoe@example.com"}],
        "roles": [{"value": "admin", "primary": True}, {"value": "Reader"}],
        "x509Certificates": [{"value": "QUJD"}],
        "addresses": [{"locality": "Köln", "type": "work"}],
        ENTERPRISE_URN: {"department": "Sales", "employeeNumber": " "},
    },
    "p4": {
        "userName": "名前",
        "active": True,
        "name": {"familyName": "名"},
        "emails": [{"type": "work"}, {"value": ""}],
        "phoneNumbers": [{"value": "+47 22", "type": "mobile"}],
    },
    "p5": {
        "userName": "aa",
        "title": "𝔸 astral",
        "nickName": "\uffff bmp",
        "emails": [{"value": "AA@x.org"}, {"value": "bb@x.org", "type": "work"}, {"value": "Cc@x.org"}],
    },
}
#: What settling found of some of them.
EXTENSIONS: dict[str, dict[str, Any]] = {
    "p0": {
        "status": "active",
        "seat": True,
        "causes": [],
        "projects": [{"value": "j1", "role": "member"}],
    },
    "p1": {
        "status": "inactive",
        "seat": False,
        "causes": ["deprovisioned:okta", "deactivated"],
        "team": "Blue",
    },
}
GROUPS: dict[str, dict[str, Any]] = {
    "g0": {"displayName": "Everyone", "externalId": "G-0"},
    "g1": {"displayName": "Ops"},
    "g2": {"displayName": "ops Øst"},
    "g3": {"displayName": "Empty"},
}
#: group → (member key, person, child). ``ghost`` is not known yet, ``p9`` is deleted.
MEMBERS: dict[str, list[tuple[str, str | None, str | None]]] = {
    "g0": [("g1", None, "g1"), ("p5", "p5", None), ("p9", "p9", None)],
    "g1": [("p0", "p0", None), ("p1", "p1", None), ("g2", None, "g2")],
    "g2": [("p2", "p2", None), ("ghost", None, None), ("g1", None, "g1")],
}


def moment_of(key: str) -> datetime:
    return START + timedelta(days=int(key[1:]), microseconds=int(key[1:]) * 1001)


@contextmanager
def filled(url: str, fill: Callable[[Connection], None]) -> Iterator[Connection]:
    """A connection to the database at ``url``, once ``fill`` has put something into it."""
    engine = create_engine(parse(url))
    try:
        with engine.connect() as conn:
            fill(conn)
            conn.commit()
            yield conn
    finally:
        engine.dispose()


def fill(conn: Connection) -> None:
    """The schema, and the population twice: the second organization's must never be seen."""
    tables.metadata.create_all(conn)
    for org in (ORG, "org-2"):
        for key in (*USERS, "p9"):
            add_person(conn, org, key, USERS.get(key, _GHOST))
        for key, document in GROUPS.items():
            add_group(conn, org, key, document)


_GHOST = {"userName": "ghost of p9", "active": True}


def add_person(conn: Connection, org: str, key: str, document: dict[str, Any]) -> None:
    at = moment_of(key)
    extension = EXTENSIONS.get(key)
    conn.execute(
        insert(tables.people).values(
            org_id=org, id=key, kind="person", local_user_name=key, display_name=key,
            display_name_key=key, profile={}, status="active", causes=[], primary_role="user", roles=["user"],
            created_by="test", owner_source_id=SOURCE, rest=7,
            extension=orjson.dumps(extension) if extension else None, created_at=at, changed_at=at,
        )
    )  # fmt: skip
    conn.execute(
        insert(tables.assertions).values(
            org_id=org, source_id=SOURCE, person_id=key, external_id=document.get("externalId"),
            user_name=document["userName"], user_name_key=fold(document["userName"]),
            active=document.get("active", True), state="gone" if key == "p9" else "live",
            document=pack(document), folded=fold_document(document), version=3, person_rest=7,
            meta=meta_part(key, at, at, 3), in_groups=",".join(sorted(_directly(key))) or None,
            employee_number_key=keys_of(document).employee_number_key, created_at=at, changed_at=at,
            **columns_of(document),
        )
    )  # fmt: skip


def add_group(conn: Connection, org: str, key: str, document: dict[str, Any]) -> None:
    at = moment_of(key)
    conn.execute(
        insert(tables.groups).values(
            org_id=org, id=key, source_id=SOURCE, external_id=document.get("externalId"),
            display_name=document["displayName"], display_name_key=fold(document["displayName"]),
            document=pack(document, GROUP), folded=fold_document(document, GROUP), version=2, state="live",
            created_at=at, changed_at=at,
        )
    )  # fmt: skip
    for member, person, child in MEMBERS.get(key, ()):
        conn.execute(
            insert(tables.group_members).values(
                org_id=org, group_id=key, member_key=member, source_id=SOURCE, person_id=person,
                child_id=child, since=at,
            )
        )  # fmt: skip


def resources(kind_name: str) -> dict[str, dict[str, Any]]:
    """The rendered resources by id, as dicts."""
    return {
        key: orjson.loads(each) for key, each in (_users() if kind_name == USER.name else _groups()).items()
    }


def _users() -> dict[str, bytes]:
    rendered = {}
    for key, document in USERS.items():
        extension = EXTENSIONS.get(key)
        at = moment_of(key)
        stored = StoredUser(
            key, pack(document), 3, 7, at, at, _groups_of(key), orjson.dumps(extension) if extension else None
        )
        rendered[key] = render_user(stored, BASE, EVERYTHING)
    return rendered


def _directly(key: str) -> set[str]:
    return {group for group, members in MEMBERS.items() if any(row[1] == key for row in members)}


def _groups_of(key: str) -> tuple[GroupRef, ...]:
    direct = _directly(key)
    found, fresh = set(direct), set(direct)
    while fresh:
        fresh = {group for group, rows in MEMBERS.items() if any(row[2] in fresh for row in rows)} - found
        found |= fresh
    return tuple(GroupRef(group, GROUPS[group]["displayName"], group in direct) for group in sorted(found))


def _name(group: str | None) -> str:
    return str(GROUPS[group or ""]["displayName"])


def _groups() -> dict[str, bytes]:
    rendered = {}
    for key, document in GROUPS.items():
        members = [
            _member(person, "User", person) if person else _member(child or "", "Group", _name(child))
            for member, person, child in MEMBERS.get(key, ())
            if (person or child) and person != "p9"
        ]
        at = moment_of(key)
        stored = StoredGroup(key, pack(document, GROUP), 2, at, at)
        rendered[key] = render_group(stored, BASE, members=",".join(members))
    return rendered


def _member(key: str, kind: str, display: str) -> str:
    told = {"value": key, "$ref": f"{BASE}/{kind}s/{key}", "type": kind, "display": display}
    return orjson.dumps(told).decode()
