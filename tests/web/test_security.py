"""What guards a browser: policy, forms, redirects, methods, banners; and A1: no route without a guard."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from scimd.core import errors
from scimd.http import guard, statuses
from scimd.org.runs import runs
from scimd.web.security import local_path
from tests.support.patience import AT_MOST_S
from tests.web.site import Site, site

ELSEWHERE = [
    "//evil.example", "///evil.example", "////evil.example/", "/\\evil.example", "\\\\evil.example",
    "\\/evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example",
    " //evil.example", "/%09/evil.example", "/%0a/evil.example", "/%0d%0aLocation:%20https://evil.example",
    "/%2f/evil.example", "/%2f%2fevil.example", "/%5cevil.example", "/%5c%5cevil.example",
    "/%252f%252fevil.example", "%2f%2fevil.example", "https://evil.example", "HTTPS:evil.example",
    "http:evil.example", "https:/evil.example", "javascript:alert(1)", "java\nscript:alert(1)",
    "data:text/html,hi", "vbscript:x", "evil.example", "@evil.example", "/@evil.example",
    "//user:pass@evil.example", "/.//evil.example", "/..//evil.example", "/../evil", "/./evil",
    "/\u2215evil.example", "/\uff0fevil.example", "/\x00", "", "?next=//evil.example",
    "/runs?x=//evil.example", "/" + "a" * 600,
]  # fmt: skip


@pytest.mark.parametrize("spelling", ELSEWHERE)
def test_next_leads_nowhere_else(spelling: str) -> None:
    assert local_path(spelling) == "/"


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/0193-ab?action=create&after=3", "/people?search=a%20b"]
)
def test_next_keeps_a_path_of_ours(path: str) -> None:
    assert local_path(path) == path


async def test_every_route_says_who_may_call_it(acme: Site) -> None:
    routes = list(acme.app.router.routes())
    assert len(routes) > 30
    unmarked = [route for route in routes if guard.access_of(route.handler) is None]
    assert unmarked == []


#: The whole of what may be called without a session. A new one is added here on purpose, or not at all.
PUBLIC = {
    "/second-step", "/passkey", "/forgot", "/o/{slug}/forgot", "/confirm-address/{token}",
    "/o/{slug}/oidc", "/o/{slug}/oidc/callback",
    "/healthz", "/readyz", "/static/{name}", "/sign-in", "/o/{slug}/sign-in", "/sign-in/{token}",
    "/set-password/{token}", "/invitation/{token}", "/invitation/{token}/decline", "/welcome",
    "/.well-known/oauth-authorization-server",
    "/api", "/api/openapi.json",
}  # fmt: skip


async def test_no_other_page_is_public(acme: Site) -> None:
    found = {
        route.resource.canonical
        for route in acme.app.router.routes()
        if route.resource and getattr(guard.access_of(route.handler), "kind", None) == "public"
    }
    assert found == PUBLIC


async def test_route_without_a_mark_is_not_served(database_url: str) -> None:
    async def unmarked(request: object) -> object:
        raise AssertionError("it ran")

    async with (
        site(database_url, extra_route=("/new", unmarked)) as acme,
        acme.browser() as session,
        session.get("/new") as answer,
    ):
        assert answer.status == 404


async def test_person_without_permissions_sees_their_own_access_only(acme: Site) -> None:
    okta = await acme.source("okta", invite="never")
    (person,) = await acme.push(okta, {"userName": "dana@acme.example"})
    token = await acme.sign_in_link_of(person)
    async with acme.browser() as session:
        async with session.post(f"/sign-in/{token}"):
            pass
        async with session.get("/") as answer:
            page = await answer.text()
            assert "My access" in page
            assert "/runs" not in page
        for path in ("/runs", "/runs/x", "/people", f"/people/{person}", "/decide", "/api/v1/runs"):
            async with session.get(path) as answer:
                assert answer.status == 403, path


async def test_pages_carry_a_strict_policy_and_are_kept_nowhere(acme: Site) -> None:
    token = await acme.sign_in_link()
    async with acme.signed_in() as session:
        for path in ("/", "/runs", "/people", "/decide", "/sign-in/" + token, "/nothing", "/api/v1/runs"):
            async with session.get(path) as answer:
                headers = answer.headers
                assert headers["Cache-Control"] == "no-store", path
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["Referrer-Policy"] == "no-referrer"
                assert "default-src 'none'" in headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
                assert "unsafe" not in headers["Content-Security-Policy"]
                assert headers["Server"] == "scimd"
                assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 401),
    ],
)
async def test_form_must_come_from_our_own_page(acme: Site, headers: dict[str, str], status: int) -> None:
    form = {"address": "ada@acme.example", "password": "wrong wrong wrong"}
    async with aiohttp.ClientSession(acme.url) as session:
        async with session.post("/o/acme/sign-in", data=form, headers=headers) as answer:
            assert answer.status == status
        async with session.post("/o/acme/sign-in", data=form, headers={"Origin": acme.url}) as answer:
            assert answer.status == 401


async def test_only_forms_are_taken_for_forms(acme: Site) -> None:
    async with acme.browser() as session:
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            async with session.post(
                "/o/acme/sign-in", data=b"address=x", headers={"Content-Type": kind}
            ) as answer:
                assert answer.status == 415


@pytest.mark.parametrize("path", ["/o/acme/sign-in", "/forgot"])
@pytest.mark.parametrize(
    ("charset", "body", "status"),
    [
        ("bogus", b"address=x", 415),
        ("unicode_escape", rb"address=\ud800@x.example", 415),
        ("utf-7", b"address=+2AA-@x.example", 415),
        ("hex", b"61", 415),
        ("utf-8", b"address=\xff\xfe", 400),
        ("utf-8", b"&".join(b"a=%d" % n for n in range(2000)), 400),
    ],
)
async def test_a_form_is_utf8_and_nothing_else(
    acme: Site, path: str, charset: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    async with acme.browser() as session, session.post(path, data=body, headers=headers) as answer:
        assert answer.status == status


async def test_a_form_may_be_compressed_and_one_that_is_not_as_it_says_is_refused(acme: Site) -> None:
    form = b"address=nobody%40acme.example&password=wrong"
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    async with acme.browser() as session:
        for body, status in ((gzip.compress(form), 401), (form, 400), (gzip.compress(b"x" * 70_000), 413)):
            async with session.post("/o/acme/sign-in", data=body, headers=sent) as answer:
                assert answer.status == status
        sent["Content-Encoding"] = "br"
        async with session.post("/o/acme/sign-in", data=form, headers=sent) as answer:
            assert answer.status == 415


async def test_an_expectation_that_nobody_meets_is_a_page(acme: Site) -> None:
    """RFC 9110 §10.1.1."""
    async with acme.browser() as session, session.get("/sign-in", headers={"Expect": "x"}) as answer:
        assert answer.status == 417
        assert answer.content_type == "text/html"


async def test_form_is_bounded_in_size_and_time(database_url: str) -> None:
    async with site(database_url, request_timeout=2) as acme, acme.browser() as session:
        async with session.post("/o/acme/sign-in", data={"address": "x" * 70_000}) as answer:
            assert answer.status == 413

        async def slowly() -> AsyncIterator[bytes]:
            yield b"address="
            await asyncio.sleep(AT_MOST_S)

        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with session.post("/o/acme/sign-in", data=slowly(), headers=headers) as answer:
            assert answer.status == 408
        async with session.post("/o/acme/sign-in", data=b"address=%ff%fe", headers=headers) as answer:
            assert answer.status in (400, 401)


async def test_methods_that_a_page_does_not_take_are_405(acme: Site) -> None:
    async with acme.browser() as session:
        for method in ("DELETE", "PUT", "TRACE"):
            async with session.request(method, "/runs") as answer:
                assert answer.status == 405
                assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("odd", ["%00", "%ed%a0%80", "%ff", "'", "%25", "%0d%0a", "%e2%80%ae", "x" * 3000])
async def test_odd_characters_are_nobodys_name(acme: Site, odd: str) -> None:
    async with acme.signed_in() as session:
        for path in (
            f"/runs/{odd}",
            f"/people/{odd}",
            f"/decide/{odd}",
            f"/invitation/{odd}",
        ):
            async with session.get(URL(acme.url + path, encoded=True)) as answer:
                assert answer.status == 404, path
        for path in (
            f"/runs?after={odd}",
            f"/people?search={odd}",
            f"/?org={odd}",
            f"/api/v1/runs?cursor={odd}",
        ):
            async with session.get(URL(acme.url + path, encoded=True)) as answer:
                assert answer.status in (200, 404, 422), path
    async with acme.browser() as session:
        body = f"address={odd}&password={odd}&next={odd}".encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        for path in ("/o/acme/sign-in", "/sign-in"):
            async with session.post(path, data=body, headers=headers) as answer:
                assert answer.status == 401, path


async def test_folder_of_static_files_is_not_listed(acme: Site) -> None:
    async with acme.browser() as session:
        for path in ("/static/", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/nothing.css"):
            async with session.get(path) as answer:
                assert answer.status == 404, path
        async with session.get("/static/app.css?1") as answer:
            assert answer.content_type == "text/css"
            assert "immutable" in answer.headers["Cache-Control"]


async def test_what_is_no_http_gets_no_banner(acme: Site) -> None:
    host, port = acme.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"this is no request\r\n\r\n")
    answer = await reader.read(4096)
    writer.close()
    await writer.wait_closed()
    assert b" 400 " in answer
    for banner in (b"aiohttp", b"Python"):
        assert banner not in answer


async def test_crash_shows_no_internals_and_its_reference(
    acme: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    async with acme.signed_in() as session:
        monkeypatch.setattr(runs, "list_runs", broken)
        async with session.get("/runs") as answer:
            page = await answer.text()
            assert answer.status == 500
            assert "secret detail" not in page
            assert answer.headers["X-Request-Id"] in page
        async with session.get("/healthz") as answer:
            assert await answer.text() == "ok\n"


async def test_callers_request_id_is_kept_where_it_is_harmless(acme: Site) -> None:
    async with acme.browser() as session:
        async with session.get("/healthz", headers={"X-Request-Id": "abc-12345"}) as answer:
            assert answer.headers["X-Request-Id"] == "abc-12345"
        async with session.get("/healthz", headers={"X-Request-Id": "<script>alert(1)"}) as answer:
            assert "script" not in answer.headers["X-Request-Id"]


async def test_request_ids_are_made_in_the_order_of_time(acme: Site) -> None:
    """In an index, those of one moment lie side by side."""
    made = []
    async with acme.browser() as session:
        for _ in range(5):
            async with session.get("/healthz") as answer:
                made.append(answer.headers["X-Request-Id"])
            await asyncio.sleep(0.002)
    assert made == sorted(set(made))


async def test_ready_says_whether_the_database_answers(acme: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with acme.browser() as session:
        async with session.get("/readyz") as answer:
            assert answer.status == 200

        async def away() -> None:
            raise errors.DatabaseUnavailable

        monkeypatch.setattr(acme.door.db, "ping", away)
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "2"


async def test_forwarded_headers_change_nothing(acme: Site) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example", "Host": "evil.example"}
    async with acme.signed_in() as session, session.get("/", headers=headers) as answer:
        assert "evil.example" not in await answer.text()


def test_every_refusal_has_a_status() -> None:
    def leaves(cls: type[errors.Refusal]) -> set[type[errors.Refusal]]:
        return {cls}.union(*(leaves(sub) for sub in cls.__subclasses__()))

    known = {cls for cls in leaves(errors.Refusal) if cls.__module__ in (errors.__name__, statuses.__name__)}
    assert known - {errors.Refusal} == set(statuses.STATUS)


def test_templates_hold_no_inline_script_style_or_foreign_address() -> None:
    for template in (Path(guard.__file__).parent.parent / "web" / "templates").glob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|\|\s*safe", text), template.name
        assert not re.search(r"<script(?! src=)", text), template.name
        assert "//" not in re.sub(r"https://\"", "", text).replace("<!doctype", ""), template.name
