"""What is taken at a glance is what the general way makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scimd.core.attributes import COMMON, ENTERPRISE_URN, GROUP, USER, Attribute, ResourceKind, Schema
from scimd.core.attributes.rows import composite, flag, text
from scimd.scim import documents, plain
from scimd.scim.documents import document_of
from scimd.scim.errors import ScimError
from scimd.scim.quirks import naming
from scimd.scim.values import Rules

_OWN = Schema(
    "urn:example:badge",
    "Badge",
    "",
    (
        text("colour", "", mutability="immutable"),
        text("tags", "", multi=True, max_chars=3),
        text("secret", "", mutability="writeOnly"),
        text("members", ""),
        flag("valid", "", mutability="readOnly"),
        Attribute("since", "", "dateTime"),
        composite("door", "", text("value", "", address=True), Attribute("level", "", "integer")),
    ),
)
_KINDS = (USER, GROUP, replace(USER, extensions=(*USER.extensions, _OWN)))

_texts = st.one_of(
    st.sampled_from(("", " ", "dana", "Dana@Example.com", "True", "a;b@c", "x\0", "\ud800", "ß", "K" * 501)),
    st.text(max_size=4),
)
_scalars = st.one_of(_texts, st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False))


def _spelled(names: list[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        *(st.sampled_from(names) for _ in range(6)), st.sampled_from(names).map(str.upper), _texts
    )


def _values(row: Attribute) -> st.SearchStrategy[Any]:
    """Mostly what the row takes."""
    plain_one: st.SearchStrategy[Any] = st.booleans() if row.type == "boolean" else _texts
    if row.sub:
        parts = {part.name: _values(part) for part in row.sub}
        plain_one = st.one_of(
            st.fixed_dictionaries({}, optional=parts),
            st.dictionaries(_spelled([*parts]), _scalars, max_size=3),
        )
    return st.one_of(st.lists(plain_one, max_size=3) if row.multi else plain_one, plain_one, _scalars)


def _rows(rows: tuple[Attribute, ...]) -> dict[str, st.SearchStrategy[Any]]:
    return {row.name: _values(row) for row in rows}


@st.composite
def _bodies(draw: st.DrawFn, kind: ResourceKind) -> dict[str, Any]:
    own = _rows((*COMMON.attributes, *kind.schema.attributes))
    for schema in kind.extensions:
        own[schema.id] = st.one_of(st.fixed_dictionaries({}, optional=_rows(schema.attributes)), _scalars)
    own["schemas"] = st.one_of(st.just([kind.schema.id]), _scalars)
    names = draw(st.lists(_spelled([*own]), max_size=6))
    required = {row.name: "somebody" for row in kind.schema.required} if draw(st.booleans()) else {}
    given = {name: draw(own.get(name, _scalars)) for name in names}
    return {**({"schemas": [kind.schema.id]} if draw(st.booleans()) else {}), **required, **given}


def _outcome(made: Any, *arguments: Any) -> Any:
    try:
        return [*made(*arguments).items()]
    except ScimError as exc:
        return exc.status, exc.scim_type, exc.detail


def _in_general(kind: ResourceKind, body: dict[str, Any], rules: Rules) -> dict[str, Any]:
    documents._check_schemas(kind.schema.id, body, rules)
    return documents.require(kind, documents.checked(kind, body, rules))


@given(st.data(), st.sampled_from(_KINDS), st.sampled_from((Rules(), Rules(True, False), Rules(True, True))))
def test_a_plain_document_is_what_the_general_way_makes_of_it(
    data: st.DataObject, kind: ResourceKind, rules: Rules
) -> None:
    body = data.draw(_bodies(kind))
    told = _outcome(document_of, kind, body, rules)
    assert told == _outcome(_in_general, kind, body, rules)
    # 1 is no True, though it equals it.
    assert repr(told) == repr(_outcome(_in_general, kind, body, rules))


def test_what_okta_sends_is_plain_and_what_is_spelled_otherwise_is_not() -> None:
    body: dict[str, Any] = {
        "schemas": [USER.schema.id],
        "id": 7,
        "userName": "dana@acme.com",
        "externalId": "00u1",
        "name": {"givenName": "Dana", "familyName": "Doe"},
        "emails": [{"value": "dana@acme.com", "type": "work", "primary": True}],
        "nickName": None,
        "active": True,
        "groups": [],
        ENTERPRISE_URN: {"department": "Platform", "manager": {"value": "26118915"}},
    }
    dropped = ("schemas", "id", "groups", "nickName")
    assert plain.document(USER, body) == {name: body[name] for name in body if name not in dropped}
    others: tuple[dict[str, Any], ...] = (
        {"username": "dana@acme.com"},
        {"active": "True"},
        {"externalId": ""},
        {"emails": []},
        {"emails": [{"Value": "dana@acme.com"}]},
        {"emails": [{"value": f"{each}@acme.com", "primary": True} for each in "ab"]},
        {"emails": [{"value": f"{each}@acme.com"} for each in "aA"]},
        {"title": "Ingénieure"},
        {"password": "secret"},
        {"userName": "x" * 501},
        {ENTERPRISE_URN: {"manager": {"displayName": "Kay"}}},
        {"unheardOf": None},
    )
    for other in others:
        assert plain.document(USER, {**body, **other}) is None


def test_of_two_spellings_of_schemas_the_first_counts() -> None:
    strict = Rules(refuse_unknown=True, tolerant=False)
    for first, second, status in (("schemas", "SCHEMAS", None), ("SCHEMAS", "schemas", 400)):
        body = {first: [USER.schema.id], second: 7, "userName": "dana"}
        swapped = body if status is None else {first: 7, second: [USER.schema.id], "userName": "dana"}
        told = _outcome(document_of, USER, swapped, strict)
        assert told == ([("userName", "dana")] if status is None else (400, "invalidSyntax", told[2]))


_keys = st.one_of(
    st.sampled_from(("manager", "MANAGER", "roles", "ROLES", "operations", "Operations", "\u212aey", "İ")),
    st.text(max_size=7),
)


@given(st.lists(_keys, max_size=4), st.lists(st.sampled_from(("manager", "Roles", "key", "i")), max_size=3))
def test_a_name_is_found_whatever_its_case(keys: list[str], names: list[str]) -> None:
    wanted = {name.lower() for name in names}
    assert naming(*names)(keys) == any(key.lower() in wanted for key in keys)
