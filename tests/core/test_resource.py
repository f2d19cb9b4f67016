"""Stored bytes and their rendering."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.attributes import ENTERPRISE_URN, GROUP, GROUP_URN, SCIMD_URN, USER, USER_URN, moment
from scimd.core.resource import (
    GroupRef,
    Projection,
    Resources,
    StoredGroup,
    StoredUser,
    created_in,
    etag,
    groups_part,
    id_in,
    meta_part,
    pack,
    render_group,
    render_list,
    render_user,
    splice_users,
    unpack,
    user_location,
    version_in,
)

BASE = "https://scimd.example.com/scim/v2"
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DANA = {
    "userName": "dana]@example.com",
    "name": {"givenName": "Dana", "familyName": "Ødegård"},
    "emails": [{"value": "dana@example.com", "type": "work"}, {"value": "d@home.example"}],
    ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "7"}},
}


def stored(**more: object) -> StoredUser:
    return StoredUser("p1", pack(DANA), 3, 5, AT, AT, **more)  # type: ignore[arg-type]


def test_packed_documents_come_back_as_they_were() -> None:
    assert unpack(pack(DANA)) == DANA
    assert unpack(pack({**DANA, "id": "x", "meta": {}, "groups": [], "schemas": ["y"]})) == DANA


def test_user_is_spliced_with_everything_that_a_read_adds() -> None:
    user = stored(groups=(GroupRef("g1", "Ops", True),), extension=b'{"status":"active"}')
    assert orjson.loads(render_user(user, BASE)) == {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": "p1",
        **DANA,
        "groups": [{"value": "g1", "$ref": f"{BASE}/Groups/g1", "display": "Ops", "type": "direct"}],
        "meta": {
            "resourceType": "User",
            "created": "2026-01-02T03:04:05.678901Z",
            "lastModified": "2026-01-02T03:04:05.678901Z",
            "location": f"{BASE}/Users/p1",
            "version": 'W/"3-5"',
        },
    }


def test_what_scimd_says_of_a_person_is_shown_on_request() -> None:
    document = {**DANA, SCIMD_URN: {"employmentStart": "2026-02-01"}}
    user = StoredUser("p1", pack(document), 1, 1, AT, AT, (), b'{"status":"active","seat":true}')

    def shown(attributes: str | None) -> dict[str, object]:
        projection = Projection.parse(USER, attributes, None)
        return orjson.loads(render_user(user, BASE, projection))  # type: ignore[no-any-return]

    assert shown(None)[SCIMD_URN] == {"employmentStart": "2026-02-01"}
    assert shown("userName").keys() == {"schemas", "id", "userName"}
    assert shown(SCIMD_URN)[SCIMD_URN] == {"employmentStart": "2026-02-01", "status": "active", "seat": True}
    asked = shown(f"{SCIMD_URN}:status")
    assert asked[SCIMD_URN] == {"status": "active"}
    assert SCIMD_URN in asked["schemas"]  # type: ignore[operator]


def test_empty_document_renders() -> None:
    user = StoredUser("p1", pack({}), 1, 1, AT, AT)
    assert orjson.loads(render_user(user, BASE))["schemas"] == [USER_URN]


def test_group_shows_members_only_where_they_were_read() -> None:
    group = StoredGroup("g1", pack({"displayName": "Ops"}, GROUP), 2, AT, AT)
    bare = orjson.loads(render_group(group, BASE))
    assert bare["schemas"] == [GROUP_URN]
    assert "members" not in bare
    full = orjson.loads(render_group(group, BASE, members='{"value":"p1"},{"value":"g2"}'))
    assert full["members"] == [{"value": "p1"}, {"value": "g2"}]


def test_list_counts_what_it_carries() -> None:
    page = orjson.loads(render_list(Resources.of([render_user(stored(), BASE)] * 2), 7, 3))
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"], len(page["Resources"])) == (
        7,
        3,
        2,
        2,
    )


@pytest.mark.parametrize(
    ("attributes", "excluded", "keys"),
    [
        ("userName", None, {"schemas", "id", "userName"}),
        ("USERNAME, nosuch", None, {"schemas", "id", "userName"}),
        ("nosuch", None, {"schemas", "id"}),
        (f"{USER_URN}:userName", None, {"schemas", "id", "userName"}),
        (ENTERPRISE_URN, None, {"schemas", "id", ENTERPRISE_URN}),
        (f"{ENTERPRISE_URN}:department", None, {"schemas", "id", ENTERPRISE_URN}),
        ("emails.value", None, {"schemas", "id", "emails"}),
        (None, f"emails,name.givenName,{ENTERPRISE_URN}", {"schemas", "id", "userName", "name", "meta"}),
        (None, "id,schemas,emails,name,meta", {"schemas", "id", "userName", ENTERPRISE_URN}),
    ],
)
def test_projection_keeps_what_is_asked_for(
    attributes: str | None, excluded: str | None, keys: set[str]
) -> None:
    projection = Projection.parse(USER, attributes, excluded)
    assert set(orjson.loads(render_user(stored(), BASE, projection))) == keys


def test_projection_reaches_into_values() -> None:
    shown = Projection.parse(USER, f"emails.value,{ENTERPRISE_URN}:manager", "name").select(
        orjson.loads(render_user(stored(), BASE))
    )
    assert shown["emails"] == [{"value": "dana@example.com"}, {"value": "d@home.example"}]
    assert shown[ENTERPRISE_URN] == {"manager": {"value": "7"}}
    shown = Projection.parse(USER, None, "name.givenName").select(orjson.loads(render_user(stored(), BASE)))
    assert shown["name"] == {"familyName": "Ødegård"}


def test_leaving_out_members_needs_no_parsing() -> None:
    projection = Projection.parse(GROUP, None, "members")
    assert projection.plain
    assert not projection.wants("members")
    assert Projection.parse(GROUP, "displayName", None).wants("members") is False
    assert Projection.parse(GROUP, "members.value", None).wants("members")
    assert Projection.parse(GROUP, None, None).wants("members")


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_USERS = st.builds(
    StoredUser,
    person_id=st.uuids().map(str),
    document=st.dictionaries(_TEXT, _TEXT | st.booleans() | st.lists(_TEXT, max_size=2), max_size=4).map(
        pack
    ),
    version=st.integers(0, 2**31),
    rest=st.integers(0, 2**31),
    created_at=st.datetimes(timezones=st.just(UTC)),
    changed_at=st.datetimes(timezones=st.just(UTC)),
    groups=st.lists(st.builds(GroupRef, st.uuids().map(str), _TEXT, st.booleans()), max_size=2).map(tuple),
)


@given(st.lists(_USERS, max_size=4))
def test_spliced_users_are_those_that_are_rendered_one_by_one(users: list[StoredUser]) -> None:
    rows = [
        (u.document, meta_part(u.person_id, u.created_at, u.changed_at, u.version), u.rest, f"of {place}")
        for place, u in enumerate(users)
    ]
    groups: dict[str | None, bytes] = {
        f"of {place}": groups_part(u.groups, BASE) for place, u in enumerate(users)
    }
    spliced = splice_users(rows, groups, BASE)
    assert b"".join(spliced.pieces) == b",".join(render_user(each, BASE) for each in users)
    assert spliced.count == len(users)


@given(_USERS)
def test_what_stands_behind_a_document_says_who_and_when(user: StoredUser) -> None:
    meta = meta_part(user.person_id, user.created_at, user.changed_at, user.version)
    assert id_in(meta).decode() == user.person_id
    assert (created_in(meta), version_in(meta)) == (user.created_at, user.version)
    shown = orjson.loads(render_user(user, BASE))
    assert shown["id"] == user.person_id
    assert shown["meta"] == {
        "resourceType": "User",
        "created": moment(user.created_at),
        "lastModified": moment(user.changed_at),
        "version": etag(user.version, user.rest),
        "location": user_location(user.person_id, BASE),
    }


def test_resources_of_two_kinds_make_one_list() -> None:
    none, some = Resources.of([]), Resources.of([b"1", b"2"])
    for both in (none + some, some + none):
        assert (both.count, b"".join(both.pieces)) == (2, b"1,2")
    assert b"".join((some + some).pieces) == b"1,2,1,2"
    assert orjson.loads(render_list(none + none, 0, 1))["Resources"] == []
