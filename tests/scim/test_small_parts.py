"""Entity tags, paging, errors, discovery, bounds of filters."""

from __future__ import annotations

import inspect
import time
from typing import Any

import orjson
import pytest

from scimd.core import errors
from scimd.core.attributes import KINDS, USER, Attribute
from scimd.scim.discovery import Discovery
from scimd.scim.errors import ANSWERS, ScimError, body_of, of_refusal
from scimd.scim.etag import is_unchanged, precondition
from scimd.scim.exchange import ScimSettings
from scimd.scim.filters import MAX_TERMS, Evaluator, parse
from scimd.scim.listing import Paging, Sorting
from scimd.scim.values import Rules, taken


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('W/"3-5"', True),
        ('W/"3-9"', True),
        ('"3-5"', True),
        ("*", True),
        ('W/"1-1", W/"3-1"', True),
        ('W/"2-5"', False),
        ('W/"30-5"', False),
        ("3-5", False),
        ("", False),
        ("garbage", False),
    ],
)
def test_if_match_looks_at_the_documents_version_alone(header: str, matches: bool) -> None:
    test = precondition(header, None)
    assert test is not None
    assert test(3) is matches


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "fits"),
    [
        (None, "*", False),
        (None, 'W/"3-5"', False),
        (None, '"3"', False),
        (None, 'W/"1-1", W/"3-9"', False),
        (None, 'W/"2-5"', True),
        (None, "garbage", True),
        ('W/"3-5"', 'W/"2-5"', True),
        ('W/"3-5"', "*", False),
        ('W/"2-5"', 'W/"2-5"', False),
    ],
)
def test_if_none_match_of_a_write_names_versions_that_are_not_written_over(
    if_match: str | None, if_none_match: str, fits: bool
) -> None:
    test = precondition(if_match, if_none_match)
    assert test is not None
    assert test(3) is fits


def test_conditions_of_a_read_look_at_the_whole_tag() -> None:
    def unchanged(**header: str) -> bool:
        return is_unchanged({name.replace("_", "-"): each for name, each in header.items()}.get, 'W/"3-5"')

    assert unchanged(If_None_Match='W/"3-5"')
    assert unchanged(If_None_Match='"x", "3-5"')
    assert unchanged(If_None_Match="*")
    assert unchanged(If_None_Match="*", If_Match='W/"3-5"')
    assert not unchanged(If_None_Match='W/"3-4"')
    assert not unchanged(If_Match="*")
    assert not unchanged()
    for other in ('W/"3-4"', ""):
        with pytest.raises(ScimError) as refused:
            unchanged(If_Match=other, If_None_Match='W/"3-5"')
        assert refused.value.status == 412
    assert precondition(None, None) is None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, (1, 100)),
        ({"startIndex": "0", "count": "-1"}, (1, 0)),
        ({"startIndex": "-7", "count": "0"}, (1, 0)),
        ({"startIndex": "3", "count": "5"}, (3, 5)),
        ({"count": "100000"}, (1, 200)),
        ({"startIndex": "999999999999"}, (2**31 - 1, 100)),
    ],
)
def test_paging_is_read_as_the_rfc_has_it(query: dict[str, str], wanted: tuple[int, int]) -> None:
    paging = Paging.parse(query, default=100, at_most=200)
    assert (paging.start_index, paging.count) == wanted


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "0x1", "9" * 30, "١", "1 "])
def test_paging_that_is_no_number_is_refused(text: str) -> None:
    for name in ("startIndex", "count"):
        with pytest.raises(ScimError) as refused:
            Paging.parse({name: text}, default=100, at_most=200)
        assert refused.value.scim_type == "invalidValue"


def test_sorting_needs_a_sortable_attribute() -> None:
    assert Sorting.parse({}, USER) is None
    found = Sorting.parse({"sortBy": "emails", "sortOrder": "Descending"}, USER)
    assert found is not None
    assert (str(found.by), found.descending) == ("emails.value", True)
    for query in (
        {"sortBy": "nosuch"},
        {"sortBy": "name"},
        {"sortBy": "password"},
        {"sortBy": "id", "sortOrder": "up"},
    ):
        with pytest.raises(ScimError):
            Sorting.parse(query, USER)


# ------------------------------------------------------------------------------ errors


def test_every_refusal_has_an_answer() -> None:
    known = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.Refusal) and each is not errors.Refusal
    }
    assert known == set(ANSWERS)


def test_errors_are_scim_resources() -> None:
    error = of_refusal(errors.NotUnique("userName", "dana", holder="the source hr"))
    assert orjson.loads(body_of(error)) == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "409",
        "scimType": "uniqueness",
        "detail": "userName 'dana' is taken. It is held by the source hr.",
    }
    assert of_refusal(errors.Overloaded(0.2)).headers == (("Retry-After", "1"),)
    assert orjson.loads(body_of(ScimError(400, "half \ud800")))["detail"] == "half ?"


# ------------------------------------------------------------------------------ discovery


def _nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_nulls, value.values()))
    return any(map(_nulls, value)) if isinstance(value, list) else value is None


def test_discovery_names_what_is_served_and_holds_no_null() -> None:
    settings = ScimSettings("https://x.example/scim/v2", 4096, 30.0, 200, 100, 1000, 50, 60.0)
    made = Discovery.make(settings)
    config = orjson.loads(made.config)
    assert config["filter"] == {"supported": True, "maxResults": 200}
    assert config["bulk"] == {"supported": True, "maxOperations": 50, "maxPayloadSize": 4096}
    assert config["pagination"]["cursorTimeout"] == 60
    types = orjson.loads(made.lists["ResourceTypes"])["Resources"]
    schemas = {each["id"] for each in orjson.loads(made.lists["Schemas"])["Resources"]}
    assert [each["endpoint"] for each in types] == [kind.endpoint for kind in KINDS]
    for each in types:
        assert {each["schema"], *(one["schema"] for one in each.get("schemaExtensions", ()))} <= schemas
    assert not any(
        _nulls(orjson.loads(each)) for each in (made.config, *made.lists.values(), *made.by_id.values())
    )


# ------------------------------------------------------------------------------ filters

BROKEN = [
    "",
    " ",
    "x",
    "userName",
    "userName eq",
    "eq",
    'userName eq "a" and',
    'and userName eq "a"',
    '"a" eq userName',
    "userName eq a",
    "userName eq 'a'",
    'userName eq "a',
    'userName = "a"',
    'userName eq "a" "b"',
    "(userName pr",
    "userName pr)",
    "not userName pr",
    "userName not pr",
    "emails[",
    "emails[]",
    'emails[type eq "a"',
    "emails]",
    'emails[type eq "a"]]',
    "emails[emails[value pr]]",
    'userName eq "\\x"',
    'userName eq "a\0"',
    "userName eq tru",
    'userName xx "a"',
    'userName eq "a" xor title pr',
    "userName pr pr",
    "() ",
    "(())",
    ".userName pr",
    "user..Name pr",
    "name.given.Name pr",
    "1 eq 1",
    "true",
    "null pr",
    'userName EQ "a";--',
    'userName eq "a" or 1=1',
    "nosuch pr",
    "emails.nosuch pr",
    "urn:example:x:y pr",
    "password pr",
    'password eq "x"',
    "userName eq 5",
    "active gt true",
    'active co "t"',
    "active eq 1",
    'meta.created gt "yesterday"',
    'meta.created gt "2026-01-01"',
    'meta.created gt "2026-W01-1"',
    'meta.created gt "20260101T000000Z"',
    'meta.created gt "2026-01-01T00:00Z"',
    'meta.created gt "2026-01-01 00:00:00Z"',
    'meta.created gt "2026-01-01T00:00:00+14:01"',
    'meta.created co "2026"',
    "userName gt null",
    'name eq "x"',
    'title[value eq "x"]',
    'x509Certificates.value co "a"',
]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_filter_is_refused_and_never_cut_short(text: str) -> None:
    with pytest.raises(ScimError) as refused:
        Evaluator(USER, {"userName": "a"}).visit(parse(text))
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidFilter")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title eq true", "cannot be compared with 'true'"),
        ("active eq 1.5", "cannot be compared with '1.5'"),
        ('active eq "Tru"', "cannot be compared with 'Tru'"),
        ("title gt null", "gt cannot be applied to title and 'null'"),
        ("meta.created eq false", "not 'false'"),
    ],
)
def test_refused_value_is_spelled_as_json_has_it(text: str, said: str) -> None:
    with pytest.raises(ScimError) as refused:
        Evaluator(USER, {"userName": "a"}).visit(parse(text))
    assert said in refused.value.detail


def test_small_letters_in_a_date_time_are_taken_where_the_profile_is_tolerant() -> None:
    """RFC 7643 §2.3.5, in a filter as in a value."""
    small, row = "2026-01-31t09:00:00z", Attribute("hired", "", "dateTime")
    resource = {"meta": {"created": "2026-02-01T00:00:00Z"}}
    node = parse(f'meta.created gt "{small}"')
    assert Evaluator(USER, resource).visit(node)
    assert taken(row, small, "hired", Rules()) == small
    with pytest.raises(ScimError, match="a dateTime such as"):
        Evaluator(USER, resource, tolerant=False).visit(node)
    with pytest.raises(ScimError, match="a dateTime such as"):
        taken(row, small, "hired", Rules(tolerant=False))


@pytest.mark.parametrize("depth", [21, 100, 1_000, 10_000])
@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("not (", ")"), ("emails[", "]")])
def test_deep_filter_is_refused_at_once(depth: int, opening: str, closing: str) -> None:
    _refused_at_once(opening * depth + "title pr" + closing * depth)


@pytest.mark.parametrize("joiner", [" and ", " or ", " OR "])
def test_filter_of_many_terms_is_refused_at_once(joiner: str) -> None:
    parse(joiner.join(["title pr"] * MAX_TERMS))
    _refused_at_once(joiner.join(["title pr"] * (MAX_TERMS + 1)))
    _refused_at_once(joiner.join(["title pr"] * 10_000))


def test_long_filter_is_refused_at_once() -> None:
    for text in (" " * 50_000 + "title pr", 'title eq "' + "x" * 50_000 + '"', "x" * 50_000, '"' * 50_000):
        _refused_at_once(text)


def _refused_at_once(text: str) -> None:
    """What this is to find, work that grows with the square of what was sent, takes minutes of CPU."""
    began = time.process_time()
    with pytest.raises(ScimError) as refused:
        parse(text)
    assert refused.value.scim_type == "invalidFilter"
    assert time.process_time() - began < 10
