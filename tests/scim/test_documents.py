"""Bodies as clients send them → documents (RFC 7643 §2, V20)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.attributes import ENTERPRISE_URN, GROUP, SCIMD_URN, USER, USER_URN
from scimd.scim.documents import document_of, parse
from scimd.scim.errors import ScimError
from scimd.scim.nesting import MAX_DEPTH, too_deep
from scimd.scim.quirks.profiles import RFC, named
from scimd.scim.values import Rules, is_uri


def taken(body: dict[str, Any], profile: str = "default") -> dict[str, Any]:
    chosen = named(profile)
    changed, _ = chosen.transform("User", "create", body)
    return document_of(USER, changed, chosen.rules.values)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        " x ",
        "Zoë",
        "Zoe\u0308",
        "名前",
        "\U0001f469\u200d\U0001f4bb",
        "a\tb\nc",
        "\u202eabc",
        "{{7*7}}",
        "'--",
    ],
)
def test_accepted_texts_come_back_as_they_were_sent(value: str) -> None:
    body = {
        "userName": value,
        "name": {"familyName": value},
        "emails": [{"value": "a@b.c", "display": value}],
    }
    assert taken(body) == body


def test_names_are_taken_in_any_case_and_answered_in_the_schemas() -> None:
    assert taken(
        {
            "USERNAME": "d",
            "Emails": [{"VALUE": "a@b.c", "Type": "work"}],
            ENTERPRISE_URN.upper(): {"DEPARTMENT": "x"},
            f"{SCIMD_URN}": {"status": "active"},
        }
    ) == {
        "userName": "d",
        "emails": [{"value": "a@b.c", "type": "work"}],
        ENTERPRISE_URN: {"department": "x"},
    }


def test_read_only_null_empty_and_unknown_leave_nothing() -> None:
    assert taken(
        {
            "schemas": [USER_URN, "urn:whatever"],
            "id": "mine", "meta": {"version": "x"}, "groups": [{"value": "g"}],
            "userName": "d", "externalId": "", "title": None, "roles": [], "name": {}, "emails": [None, {}],
            "password": "s3cret", "nosuch": {"a": [1]}, "urn:example:ext": {"a": 1},
            ENTERPRISE_URN: {"manager": {"$ref": None, "displayName": "read-only"}},
        }
    ) == {"userName": "d"}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "named_attribute"),
    [
        ({}, "userName"),
        ({"userName": ""}, "userName"),
        ({"userName": "  "}, "userName"),
        ({"userName": None}, "userName"),
        ({"userName": 7}, "userName"),
        ({"userName": ["d"]}, "userName"),
        ({"userName": "a\0b"}, "userName"),
        ({"userName": "x" * 501}, "userName"),
        ({"userName": "a", "USERNAME": "b"}, "userName"),
        ({"userName": "a", "externalId": 5}, "externalId"),
        ({"userName": "a", "active": "yes"}, "active"),
        ({"userName": "a", "active": 1}, "active"),
        ({"userName": "a", "name": "text"}, "name"),
        ({"userName": "a", "name": {"givenName": {}}}, "name.givenName"),
        ({"userName": "a", "emails": [{"value": ["a@b.c", "d@e.f"]}]}, "emails.value"),
        ({"userName": "a", "emails": [{"value": {"x": "a@b.c"}}]}, "emails.value"),
        ({"userName": "a", "emails": [{"value": "a@b.c\r\nBcc: d@e.f"}]}, "emails.value"),
        ({"userName": "a", "emails": [{"value": "a@b.c, d@e.f"}]}, "emails.value"),
        ({"userName": "a", "emails": [["a@b.c"]]}, "emails"),
        ({"userName": "a", "emails": [{"value": "a@b.c", "VALUE": "x"}]}, "emails.value"),
        ({"userName": "a", "x509Certificates": [{"value": "no base64!"}]}, "x509Certificates.value"),
        ({"userName": "a", "password": 1}, "password"),
        ({"userName": "a", ENTERPRISE_URN: "x"}, ENTERPRISE_URN),
        ({"userName": "a", ENTERPRISE_URN: {"department": 1}}, f"{ENTERPRISE_URN}:department"),
    ],
)
def test_wrong_value_is_refused_with_its_attribute(body: dict[str, Any], named_attribute: str) -> None:
    with pytest.raises(ScimError) as refused:
        taken(body)
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidValue")
    assert refused.value.detail.startswith(f"{named_attribute}:")


@pytest.mark.parametrize(
    ("manager", "stored"),
    [
        ("7", {"value": "7"}),
        ({"value": "7"}, {"value": "7"}),
        ({"value": "7", "$ref": "../Users/7"}, {"value": "7", "$ref": "../Users/7"}),
        ([{"value": "7"}], {"value": "7"}),
        ([], None),
        ("", None),
        ({"value": ""}, None),
        (None, None),
    ],
)
def test_manager_is_taken_in_every_form_that_clients_send(manager: Any, stored: Any) -> None:
    document = taken({"userName": "d", ENTERPRISE_URN: {"manager": manager}})
    assert document.get(ENTERPRISE_URN, {}).get("manager") == stored


@pytest.mark.parametrize("value", ["QUJD", "QQ==", "QQ", "QUI", "QUJD\nQQ"])
def test_base64_is_kept_as_it_was_sent_be_it_without_padding(value: str) -> None:
    """RFC 7643 §2.3.6; V20."""
    for profile in ("default", "rfc"):
        body = {"schemas": [USER_URN], "userName": "d", "x509Certificates": [{"value": value}]}
        assert taken(body, profile)["x509Certificates"] == [{"value": value}]


def test_booleans_as_text_are_taken_where_the_profile_says_so() -> None:
    body = {"schemas": [USER_URN], "userName": "d", "active": "False"}
    assert taken(body)["active"] is False
    assert taken(body, "entra")["active"] is False
    with pytest.raises(ScimError):
        taken(body, "rfc")


def test_of_two_primary_values_the_first_stays_it_or_none_is_taken() -> None:
    """RFC 7643 §2.4: true appears no more than once. A client that checks would read no list with two."""
    mails = [{"value": each, "primary": True} for each in ("a@b.c", "b@b.c")]
    body = {"schemas": [USER_URN], "userName": "d", "emails": mails}
    for profile in ("default", "okta", "entra", "ping"):
        assert taken(body, profile)["emails"] == [mails[0], {"value": "b@b.c"}]
    with pytest.raises(ScimError) as refused:
        taken(body, "rfc")
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidValue")
    apart = {**body, "emails": mails[:1], "phoneNumbers": [{"value": "1", "primary": True}]}
    assert taken(apart, "rfc")["emails"] == mails[:1]


def test_reference_that_is_no_uri_is_for_lenient_profiles() -> None:
    """RFC 7643 §2.3.7. A client that checks would read no list with one."""
    body = {"schemas": [USER_URN], "userName": "d", "profileUrl": "no address"}
    assert taken(body)["profileUrl"] == "no address"
    with pytest.raises(ScimError) as refused:
        taken(body, "rfc")
    assert (refused.value.scim_type, refused.value.detail[:10]) == ("invalidValue", "profileUrl")
    for uri in ("https://example.com/~dana?a=%20#b", "../Users/7", "data:image/png;base64,AA==", ""):
        assert taken({**body, "profileUrl": uri}, "rfc")["profileUrl"] == uri


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://dana@example.com:8443/~dana?a=%20&b=/?#b", True),
        ("HTTP://[2001:db8::1]:80/x", True),
        ("urn:example:dana", True),
        ("mailto:dana@example.com", True),
        ("file:///etc/hosts", True),
        ("//example.com/dana", True),
        ("/dana:b", True),
        ("upd-1", True),
        ("?q=a:b", True),
        ("#a:b", True),
        ("a:b:c", True),
        ("http://[::1", False),
        ("http://[::g]/", False),
        ("http://[1:2]/", False),
        ("http://a[b]/", False),
        ("http://example.com:x/", False),
        ("//a:b:c/", False),
        ("http://", False),
        ("http:///dana", False),
        ("https:dana", False),
        ("%zz", False),
        ("/dana%2", False),
        ("1a:b", False),
        (":b", False),
        ("a#b#c", False),
        ("/a[b]", False),
        ("/ü", False),
        ("a\n", False),
    ],
)
def test_uri_is_one_by_its_grammar(text: str, is_one: bool) -> None:
    """RFC 3986, appendix A; RFC 9110 §4.2: no http without a host."""
    assert is_uri(text) is is_one


def test_rfc_profile_refuses_unknown_attributes_and_missing_schemas() -> None:
    rules = RFC.rules.values
    for body in (
        {"schemas": [USER_URN], "userName": "d", "nosuch": 1},
        {"schemas": [USER_URN], "userName": "d", "name": {"nosuch": "x"}},
        {"userName": "d"},
        {"schemas": ["urn:other"], "userName": "d"},
        {"schemas": "text", "userName": "d"},
    ):
        with pytest.raises(ScimError):
            document_of(USER, body, rules)


def test_group_needs_a_name_and_leaves_members_to_their_rows() -> None:
    assert document_of(GROUP, {"displayName": "Ops", "members": [{"value": "x"}]}, Rules()) == {
        "displayName": "Ops"
    }
    with pytest.raises(ScimError):
        document_of(GROUP, {"members": []}, Rules())


# ------------------------------------------------------------------------------ JSON


def test_depth_is_bounded_before_parsing_and_brackets_in_strings_do_not_count() -> None:
    assert parse(b'{"a":"' + b"[" * 500 + b'\\"{\\\\"}')
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = b'{"a":' + opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH + b"}"
        with pytest.raises(ScimError) as refused:
            parse(deep)
        assert "deeper" in refused.value.detail
        assert parse(b'{"a":' + opening * (MAX_DEPTH - 1) + b"1" + closing * (MAX_DEPTH - 1) + b"}")


@given(
    st.recursive(
        st.text('[]{}"\\\u00e9', max_size=6) | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text('[{\\"', max_size=3), inner, max_size=3)
        ),
        max_leaves=60,
    )
)
def test_depth_is_what_counting_gives(value: Any) -> None:
    def depth(each: Any) -> int:
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    for wrapped in range(0, MAX_DEPTH + 3, 7):
        body = orjson.dumps({"a": value})
        nested = b'{"a":' * wrapped + body + b"}" * wrapped
        assert too_deep(nested) == (wrapped + 1 + depth(value) > MAX_DEPTH)


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        (b"", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b"null", "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b"{'a':1}", "invalidSyntax"),
        (b'{"a":NaN}', "invalidSyntax"),
        (b'{"a":1}{}', "invalidSyntax"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}', "invalidSyntax"),
        (b'{"a":"\xff"}', "invalidSyntax"),
        ('{"a":"é"}'.encode("latin-1"), "invalidSyntax"),
        ('{"a":1}'.encode("utf-16"), "invalidSyntax"),
        (b'{"a":"\\ud800"}', "invalidValue"),
        (b'{"a":"\\udc00x"}', "invalidValue"),
        (b"[" * 100_000, "invalidSyntax"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, scim_type: str) -> None:
    with pytest.raises(ScimError) as refused:
        parse(body)
    assert (refused.value.status, refused.value.scim_type) == (400, scim_type)
    assert ("surrogate" in refused.value.detail) is (b"\\u" in body)
