"""What every endpoint has from the table: reading, errors, lists, files, ETags, bulk, who may."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from yarl import URL

from scimd.admin import lists, problems, serving
from scimd.admin.table import TABLE
from scimd.core.errors import OwnedBySource
from scimd.http import statuses
from scimd.http.guard import FORM_TOKEN
from scimd.org.organizations.organizations import NewOrganization, create
from tests.admin import probe
from tests.admin.client import Client, signed_in
from tests.support.patience import AT_MOST_S
from tests.web.site import OPERATOR, Site, site


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[Site]:
    probe.RAN.clear()
    async with site(database_url, api=probe.PROBES) as found:
        yield found


async def _made(api: Client, *names: str) -> list[str]:
    answers = [await api.post("/probes", {"name": name}) for name in names]
    assert [answer.status for answer in answers] == [201] * len(names)
    return [answer.json["id"] for answer in answers]


# ------------------------------------------------------------------------------ bodies and parameters


async def test_what_was_made_is_answered_with_its_place(api: Client) -> None:
    answer = await api.post("/probes", {"name": " Ännä "})
    assert answer.status == 201
    assert answer.json["name"] == "Ännä"
    assert answer.headers["Location"] == f"/api/v1/probes/{answer.json['id']}"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


BAD_BODIES = [
    ({"name": "a", "nmae": "b"}, 422, "invalid_request", "/nmae"),
    ({}, 422, "invalid_request", "/name"),
    ({"name": None}, 422, "invalid_request", "/name"),
    ({"name": 7}, 422, "invalid_request", "/name"),
    ({"name": "a", "size": "5"}, 422, "invalid_request", "/size"),
    ({"name": "a", "size": 11}, 422, "invalid_request", "/size"),
    ({"name": "a", "size": True}, 422, "invalid_request", "/size"),
    ({"name": "a", "tags": ["x", 5]}, 422, "invalid_request", "/tags/1"),
    ({"name": "a", "tags": ["x"] * 6}, 422, "invalid_request", "/tags"),
    ({"name": "a\x00b"}, 422, "invalid_request", "/name"),
    ({"name": "x" * 201}, 422, "invalid_request", "/name"),
    ([], 422, "invalid_request", ""),
    (b"{", 400, "malformed_body", None),
    (b"", 400, "malformed_body", None),
    (b'{"name": "\\ud800"}', 400, "malformed_body", None),
    (b'{"name": "\xff"}', 400, "malformed_body", None),
    (b"[" * 100_000, 400, "malformed_body", None),
    (b'{"name": "' + b"x" * 1_100_000 + b'"}', 413, "too_large", None),
]


async def test_bad_body_is_refused_with_the_field(api: Client) -> None:
    for body, status, code, field in BAD_BODIES:
        answer = await api.post("/probes", body)
        found = answer.json
        assert (answer.status, found["status"], found["code"]) == (status, status, code), body
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert found["type"].endswith(f"/api#{code}")
        assert found["instance"] == f"urn:request:{answer.headers['X-Request-Id']}"
        assert [each["field"] for each in found.get("errors", [])] == ([] if field is None else [field]), body
    assert probe.RAN == []


async def test_every_fault_is_told_at_once(api: Client) -> None:
    answer = await api.post("/probes", {"size": 0, "tags": "x", "colour": 1})
    assert {each["field"] for each in answer.json["errors"]} == {"/name", "/size", "/tags", "/colour"}
    assert all(each["why"] for each in answer.json["errors"])


async def test_only_json_is_taken(api: Client) -> None:
    kinds = (
        "application/json; charset=utf-16", "text/plain", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "",
    )  # fmt: skip
    for kind in kinds:
        answer = await api.post("/probes", b'{"name": "a"}', Content_Type=kind)
        assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type"), kind
    kind = "application/json; charset=utf-8"
    assert (await api.post("/probes", b'{"name": "a"}', Content_Type=kind)).status == 201


async def test_body_where_none_is_taken_is_refused(api: Client) -> None:
    (one,) = await _made(api, "a")
    assert (await api.send("DELETE", f"/probes/{one}", {"force": True})).status == 422
    assert (await api.send("DELETE", f"/probes/{one}", {})).status == 204


async def test_slow_body_is_given_up(database_url: str) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"name":'
        await asyncio.sleep(AT_MOST_S)

    async with site(database_url, api=probe.PROBES, request_timeout=2) as acme, signed_in(acme) as api:
        headers = {FORM_TOKEN: api.form_token, "Content-Type": "application/json"}
        async with api.session.post("/api/v1/probes", data=slowly(), headers=headers) as answer:
            assert answer.status == 408
            assert (await answer.json(content_type=None))["code"] == "timeout"


BAD_PARAMETERS = [
    ("limit=0", "limit"),
    ("limit=501", "limit"),
    ("limit=1_0", "limit"),
    ("limit=5.0", "limit"),
    ("limit=", "limit"),
    ("limit=1&limit=2", "limit"),
    ("colour=red", "colour"),
    ("sort=colour", "sort"),
    ("total=1", "total"),
    ("known=yes", "known"),
    ("least=%EF%BC%95", "least"),
    ("format=xml", "format"),
    ("cursor=abc", "cursor"),
    ("cursor=%00", None),
    ("tag=a&tag=b&tag=c&tag=d", "tag"),
    ("q=" + "x" * 201, "q"),
]


async def test_bad_parameter_is_refused_by_its_name(api: Client) -> None:
    for query, field in BAD_PARAMETERS:
        answer = await api.get(f"/probes?{query}")
        assert answer.status == (422 if field else 404), query
        assert [each["field"] for each in answer.json.get("errors", [])] == ([field] if field else [])


async def test_refusal_of_the_door_names_its_field(api: Client) -> None:
    await _made(api, "Ops")
    answer = await api.post("/probes", {"name": "oPS"})
    assert (answer.status, answer.json["code"]) == (409, "uniqueness")
    assert answer.json["errors"] == [{"field": "/name", "why": "is taken"}]
    two = {"items": [{"name": "New"}, {"name": "ops"}]}
    refused = (await api.post("/probes/many", two)).json["results"][1]["problem"]
    assert refused["errors"] == [{"field": "/items/1/name", "why": "is taken"}]


def test_what_the_body_has_no_field_for_is_pointed_at_as_a_whole() -> None:
    """What the door calls it may be a column of a file, or a sentence's subject."""
    fault = statuses.of_refusal(OwnedBySource("The name of the project 'Alpha'", "okta"))
    for row in (row for row in TABLE if row.is_write):
        (*placed,) = problems.in_body(fault, row.body).errors
        assert [each.field for each in placed] == ([] if row.body is None else [""]), row.name
        if row.body is not None and "items" in row.body.model_fields:
            (placed_one,) = problems.in_row(fault, row.body, "items", 3).errors
            assert placed_one.field == "/items/3", row.name


# ------------------------------------------------------------------------------ methods


async def test_other_methods_are_405_and_options_tells_them(api: Client) -> None:
    for method in ("PATCH", "DELETE", "PUT", "TRACE"):
        answer = await api.send(method, "/probes")
        assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET,HEAD,OPTIONS,POST"
    answer = await api.send("OPTIONS", "/probes")
    assert answer.status == 204
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


async def test_head_is_get_without_its_body(api: Client) -> None:
    (one,) = await _made(api, "a")
    for path in (f"/probes/{one}", "/probes", "/probes?format=csv"):
        answer = await api.send("HEAD", path)
        assert (answer.status, answer.raw) == (200, b"")
    assert (await api.send("HEAD", "/probes/nothing")).status == 404


# ------------------------------------------------------------------------------ lists


@pytest.mark.parametrize("sort", ["name", "-name", "id", "-id"])
async def test_pages_together_are_the_list(api: Client, sort: str) -> None:
    names = ["delta", "Alpha", "charlie", "Bravo", "echo"]
    ids = await _made(api, *names)
    found, cursor = [], ""
    while True:
        page = (await api.get(f"/probes?limit=2&sort={sort}{cursor}")).json
        found += [row["name"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    wanted = sorted(names, key=str.lower) if "name" in sort else [names[ids.index(i)] for i in sorted(ids)]
    assert found == (wanted[::-1] if sort.startswith("-") else wanted)


async def test_total_is_counted_where_asked_and_with_the_filters(api: Client) -> None:
    await _made(api, "north-1", "north-2", "south")
    assert (await api.get("/probes?limit=1")).json["total"] is None
    page = (await api.get("/probes?limit=1&total=true&q=NORTH")).json
    assert (page["total"], len(page["items"])) == (2, 1)


async def test_cursor_goes_on_in_its_own_list_only(acme: Site, api: Client) -> None:
    await _made(api, "a", "b", "c")
    cursor = (await api.get("/probes?limit=1&q=")).json["next"]
    assert (await api.get(f"/probes?limit=2&q=&cursor={cursor}")).json["items"][0]["name"] == "b"
    for other in (f"sort=-name&q=&cursor={cursor}", f"q=x&cursor={cursor}", f"q=&cursor={cursor[:-3]}AAA"):
        answer = await api.get(f"/probes?{other}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "cursor")
    await create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)
    async with signed_in(acme, "bo@beta.example", org="beta") as beta:
        assert (await beta.get(f"/probes?q=&cursor={cursor}")).status == 422


async def test_the_whole_list_comes_as_csv_without_formulas(api: Client) -> None:
    names = ["=1+1", "+1", "-1", "@x", "plain, with comma", "\u2003=x", 'quo"te', "  =2", "＝3", "Ünï 名前"]
    await _made(api, *names)
    answer = await api.get("/probes?format=csv&limit=1&q=")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="probes-acme.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["name"].removeprefix("'") for row in rows} == {name.strip() for name in names}
    for row in rows:
        for cell in row.values():
            assert cell.strip()[:1] not in ("=", "+", "-", "@", "＝"), row
        assert "'=1+1" in row["tags"]
    assert (await api.get("/probes", Accept="text/csv")).text == (await api.get("/probes?format=csv")).text


async def test_the_whole_list_comes_as_json(api: Client) -> None:
    names = [f"n{number:04}" for number in range(60)]
    await _made(api, *names)
    answer = await api.get("/probes?format=json&limit=5")
    assert [row["name"] for row in answer.json["items"]] == names
    assert 'filename="probes-acme.json"' in answer.headers["Content-Disposition"]
    assert (await api.get("/probes?format=json&q=nothing")).json == {"items": []}


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("TEXT/CSV", True),
        ("text/csv;charset=utf-8;q=0.9, */*;q=0.5", True),
        ("application/json;q=0.5, text/csv", True),
        ("text/csv,*/*", True),
        ("text/csv;q=0, application/json", False),
        ("text/csv;q=0.1, application/json", False),
        ("text/csv;q=0.2, */*", False),
        ("text/html, */*;q=0.8", False),
        ("text/csv2", False),
    ],
)
async def test_csv_is_for_whoever_wants_it_more_than_json(api: Client, accept: str, is_csv: bool) -> None:
    """RFC 9110 §12.5.1."""
    answer = await api.get("/probes", Accept=accept)
    assert answer.headers["Content-Type"].startswith("text/csv") is is_csv


def _broken(parts: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    """There is a first part, and no other."""

    async def broken(*args: Any) -> AsyncIterator[Any]:
        async for rows in parts(*args):
            yield rows
            raise RuntimeError("the disk is gone")

    return broken


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_a_file_whose_beginning_cannot_be_read_is_an_error(
    api: Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    await _made(api, "a")
    monkeypatch.setattr(lists, "_parts", _broken(lists._parts))
    answer = await api.get(f"/probes?format={kind}")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_file_whose_rest_cannot_be_read_is_cut_off(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Nothing is written into it, and the connection does not end as after a whole one."""
    await _made(api, "a", "b")
    monkeypatch.setattr(serving, "_BEGINNING", 1)
    monkeypatch.setattr(lists, "_parts", _broken(lists._parts))
    url = URL(acme.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    cookies = api.session.cookie_jar.filter_cookies(url)
    cookie = "; ".join(f"{name}={each.value}" for name, each in cookies.items())
    writer.write(
        f"GET /api/v1/probes?format=csv HTTP/{version}\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode()
    )
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := await asyncio.wait_for(reader.read(65536), AT_MOST_S):
            got += piece
    assert not got.endswith(b"\r\n0\r\n\r\n")
    assert got.count(b"HTTP/1.") == 1
    assert b"application/problem+json" not in got
    writer.close()


async def test_list_that_is_refused_is_no_file(api: Client) -> None:
    answer = await api.get("/probes?format=csv&sort=colour")
    assert (answer.status, answer.json["code"]) == (422, "invalid_request")


# ------------------------------------------------------------------------------ ETags


async def test_reading_again_what_did_not_change_is_304(api: Client) -> None:
    (one,) = await _made(api, "a")
    tag = (await api.get(f"/probes/{one}")).headers["ETag"]
    again = await api.get(f"/probes/{one}", If_None_Match=f'"x", {tag}')
    assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", tag)
    for known in (f"W/{tag}", "*"):  # compared weakly (RFC 9110 §13.1.2)
        assert (await api.get(f"/probes/{one}", If_None_Match=known)).status == 304
    assert (await api.get(f"/probes/{one}", If_None_Match='W/"x"')).status == 200
    await api.send("PATCH", f"/probes/{one}", {"name": "b"})
    assert (await api.get(f"/probes/{one}", If_None_Match=tag)).status == 200


async def test_change_of_what_somebody_else_changed_is_412(api: Client) -> None:
    (one,) = await _made(api, "a")
    tag = (await api.get(f"/probes/{one}")).headers["ETag"]
    done = await api.send("PATCH", f"/probes/{one}", {"name": "b"}, {"If-Match": tag})
    assert done.status == 200
    assert done.headers["ETag"] == (await api.get(f"/probes/{one}")).headers["ETag"]
    lost = await api.send("PATCH", f"/probes/{one}", {"name": "c"}, {"If-Match": tag})
    assert (lost.status, lost.json["code"]) == (412, "version_mismatch")
    weak = await api.send("PATCH", f"/probes/{one}", {"name": "c"}, {"If-Match": f"W/{done.headers['ETag']}"})
    assert weak.status == 412
    assert (await api.send("PATCH", f"/probes/{one}", {"name": "c"}, {"If-Match": "*"})).status == 200


async def test_of_parallel_changes_with_one_tag_one_wins(api: Client) -> None:
    (one,) = await _made(api, "a")
    tag = (await api.get(f"/probes/{one}")).headers["ETag"]
    answers = await asyncio.gather(
        *(api.send("PATCH", f"/probes/{one}", {"name": f"b{n}"}, {"If-Match": tag}) for n in range(6))
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 5


async def test_replacing_the_whole_needs_if_match(api: Client) -> None:
    (one,) = await _made(api, "a")
    answer = await api.send("PUT", f"/probes/{one}", {"name": "b"})
    assert (answer.status, answer.json["code"]) == (428, "precondition_required")
    assert (await api.send("PUT", f"/probes/{one}", {"name": "b"}, {"If-Match": "*"})).status == 200


async def test_absent_is_not_null(api: Client) -> None:
    (one,) = await _made(api, "a")
    assert (await api.send("PATCH", f"/probes/{one}", {})).json["name"] == "a"


# ------------------------------------------------------------------------------ many at once


async def test_many_are_answered_row_by_row(api: Client) -> None:
    first, second = await _made(api, "a", "b")
    items = [{"id": first, "name": "c"}, {"id": "nothing", "name": "d"}, {"id": second, "name": "e"}]
    answer = await api.post("/probes/change", {"items": items})
    results = answer.json["results"]
    assert answer.status == 200
    assert [(row["index"], row["status"]) for row in results] == [(0, 200), (1, 404), (2, 200)]
    assert [row["answer"] and row["answer"]["name"] for row in results] == ["c", None, "e"]
    assert results[1]["problem"]["code"] == "not_found"
    assert results[0]["problem"] is None


async def test_many_are_bounded_and_validated_whole(api: Client) -> None:
    (one,) = await _made(api, "a")
    for items in ([], [{"id": one}] * 201, [{"id": one}, {"name": "x"}], [{"id": one, "colour": 1}]):
        assert (await api.post("/probes/change", {"items": items})).status == 422
    assert (await api.post("/probes/remove", {"items": [{"id": one}, {"id": one}]})).json["results"] == [
        {"index": 0, "status": 204, "answer": None, "problem": None},
        {"index": 1, "status": 404, "answer": None, "problem": _anything_but_none()},
    ]


async def test_list_of_new_ones_is_answered_row_by_row(api: Client) -> None:
    answer = await api.post("/probes/many", {"items": [{"name": "a"}, {"name": "A"}, {"name": "b"}]})
    assert [row["status"] for row in answer.json["results"]] == [201, 409, 201]


def _anything_but_none() -> object:
    class Some:
        def __eq__(self, other: object) -> bool:
            return other is not None

        __hash__ = None  # type: ignore[assignment]

    return Some()


# ------------------------------------------------------------------------------ who may


async def test_nobody_and_the_unpermitted_are_refused_before_they_are_heard(acme: Site) -> None:
    async with acme.browser() as session, session.get("/api/v1/probes") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await answer.json(content_type=None))["code"] == "not_authenticated"
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(okta, {"userName": "dana@acme.example"})
    token = await acme.sign_in_link_of(person)
    async with acme.browser() as session:
        await (await session.post(f"/sign-in/{token}")).read()
        async with session.get("/api/v1/probes?limit=nonsense") as answer:
            assert answer.status == 403


async def test_write_of_a_session_must_come_from_our_own_page(api: Client) -> None:
    for headers in (
        {FORM_TOKEN: ""},
        {FORM_TOKEN: "0" * 64},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ):
        answer = await api.send("POST", "/probes", {"name": "a"}, headers)
        assert (answer.status, answer.json["code"]) == (403, "foreign_form"), headers
    assert (await api.send("POST", "/probes", {"name": "a"})).status == 201


async def test_a_form_token_of_any_bytes_is_none(api: Client) -> None:
    at = URL(api.url)
    cookie = api.session.cookie_jar.filter_cookies(at).output(header="", sep=";")
    head = (
        f"POST /api/v1/probes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n"
        f"Cookie:{cookie}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n{FORM_TOKEN}: "
    )
    stream, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(head.encode() + b"\xff\r\n\r\n{}")
    answer = await asyncio.wait_for(stream.read(), AT_MOST_S)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"foreign_form" in answer


async def test_an_expectation_that_nobody_meets_is_a_problem(api: Client) -> None:
    """RFC 9110 §10.1.1."""
    answer = await api.get("/probes", Expect="x")
    assert (answer.status, answer.json["code"]) == (417, "expectation_failed")
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_operator_names_the_organization_and_others_may_not(acme: Site, api: Client) -> None:
    await _made(api, "a")
    await create(acme.door, NewOrganization("beta", "Beta"), OPERATOR)
    async with signed_in(acme, "op@scimd.example", org="system") as operator:
        assert (await operator.get("/probes")).json["items"] == []
        assert len((await operator.get("/probes?organization=acme")).json["items"]) == 1
        assert (await operator.get("/probes?organization=nothing")).status == 404
        assert (await operator.get("/installation")).status == 200
    nowhere = await api.get("/probes?organization=nothing")
    elsewhere = await api.get("/probes?organization=beta")
    assert nowhere.status == elsewhere.status == 404
    assert nowhere.json["detail"].replace("nothing", "beta") == elsewhere.json["detail"]
    assert (await api.get("/installation")).status == 403
