"""Nothing that comes in gives a 5xx, hangs, or changes what it should not (V19, V20, lessons 9-13)."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict
from sqlalchemy import Connection, select
from yarl import URL

from scimd.db import tables
from tests.scim.declared import DOORS, HR, source_with
from tests.scim.hostile import Hostile, Victims, is_scim_error
from tests.scim.hostile_bodies import TEXTS, bodies
from tests.scim.hostile_changes import changes
from tests.scim.hostile_places import NO_AUTHORIZATION, SPELLINGS, places
from tests.scim.hostile_queries import queries
from tests.scim.hostile_wire import Wire, wire
from tests.scim.serving import Client, Installation, reading
from tests.support.patience import AT_MOST_S, Stopwatch, promptly

SECTIONS = (bodies, queries, changes, places)
NAMES = [
    "json",
    "types",
    "texts",
    "sizes",
    "filters",
    "injections",
    "pages",
    "patches",
    "bulk",
    "places",
    "headers",
]


def corpus(victims: Victims) -> dict[str, list[Hostile]]:
    return {name: many for section in SECTIONS for name, many in section(victims).items()}


def test_the_corpus_is_large_and_each_request_has_its_name() -> None:
    sections = corpus(Victims("u", "g"))
    assert list(sections) == NAMES
    assert sum(map(len, sections.values())) + len(wire()) + len(SPELLINGS) + len(NO_AUTHORIZATION) >= 2_000
    for many in sections.values():
        names = [each.name for each in many]
        assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)


#: V19.
_AT_ONCE_S = 2


@dataclass
class Attack:
    """A server with a user and a group on it, and a token for each profile that is attacked."""

    scimd: Installation
    clients: dict[str, Client]
    victims: Victims

    @classmethod
    async def begin(cls, scimd: Installation) -> Attack:
        org = await scimd.organization("acme")
        clients = {
            name: await scimd.client(org, profile=name, config=source_with(HR, DOORS))
            for name in ("default", "rfc")
        }
        idp = clients["default"]
        user = await idp.user(
            "victim", title="untouched", emails=[{"value": "v@example.com", "type": "work"}]
        )
        group = await idp.group("Victims", user["id"])
        return cls(scimd, clients, Victims(user["id"], group["id"]))

    async def sent(self, one: Hostile) -> tuple[int, str | None, bytes]:
        client = self.clients[one.profile]
        headers = CIMultiDict(
            {"Authorization": f"Bearer {client.token}", "Content-Type": "application/scim+json"}
        )
        for name, _ in one.headers:
            headers.popall(name, None)
        headers.extend(one.headers)
        url = URL(f"{client.url}/scim/v2{one.path}", encoded=True)
        data = None if one.body is None else io.BytesIO(one.body)
        async with client.http.request(
            one.method, url, data=data, headers=headers, allow_redirects=False
        ) as got:
            return got.status, got.headers.get("Content-Type"), await got.read()

    async def everything(self) -> dict[str, Any]:
        """Every row of every table, but for the log of requests and when a token was last used."""
        return await self.scimd.door.read(_rows)


def _rows(conn: Connection) -> dict[str, Any]:
    found = {}
    for table in tables.metadata.sorted_tables:
        if table is tables.scim_requests:
            continue
        columns = [each for each in table.c if each.name not in ("last_used_at", "last_used")]
        found[table.name] = sorted(map(repr, conn.execute(select(*columns))))
    return found


def fault(one: Hostile, status: int, kind: str | None, raw: bytes) -> str | None:
    """What is wrong with an answer, or None."""
    if status >= 500 and status not in one.statuses:
        return "a fault of the server"
    if one.statuses and status not in one.statuses:
        return f"wanted {sorted(one.statuses)}"
    if status >= 400:
        if kind != "application/scim+json" or (one.method != "HEAD" and not is_scim_error(raw, status)):
            return "no SCIM error"
        return None if one.fate in ("refused", "either") else "refused"
    match one.fate:
        case "refused":
            return "taken"
        case "none":
            return None if orjson.loads(raw)["totalResults"] == 0 else "found somebody"
        case "failed":
            done = orjson.loads(raw)["Operations"]
            fine = all(int(each["status"]) >= 400 and each["response"]["detail"] for each in done)
            return None if done and fine and all(int(each["status"]) < 500 for each in done) else "taken"
        case _:
            return None


@pytest.mark.parametrize("section", NAMES)
async def test_hostile_requests_are_refused_in_scims_words_and_change_nothing(
    scimd: Installation, section: str
) -> None:
    """V19, A34, lessons 9-13: each for itself, and the whole section leaves every table as it was."""
    attack = await Attack.begin(scimd)
    before = await attack.everything()
    bad = []
    for one in corpus(attack.victims)[section]:
        watch = Stopwatch()
        status, kind, raw = await attack.sent(one)
        wrong = fault(one, status, kind, raw)
        if watch.seconds() > _AT_ONCE_S:  # the machine may have been at it: again, by itself
            await promptly(partial(attack.sent, one), _AT_ONCE_S)
        if wrong is not None:
            sent = f"{one.method} {one.path[:120]} {(one.body or b'')[:150]!r} {str(one.headers)[:80]}"
            bad.append(f"{one.name}: {wrong}: {status} {kind} {raw[:200]!r} to {sent}")
    assert not bad, f"{len(bad)}\n" + "\n".join(bad)
    assert await attack.everything() == before
    assert (await attack.clients["default"].get(f"/Users/{attack.victims.user}")).status == 200


async def test_odd_texts_come_back_as_they_were_sent_or_are_refused(idp: Client) -> None:
    for n, text in enumerate(TEXTS):
        body = {
            "userName": f"{n}{text}",
            "externalId": text,
            "displayName": text,
            "name": {"familyName": text},
            "emails": [{"value": f"{n}@example.com", "display": text}],
        }
        reply = await idp.post("/Users", body)
        if "\0" in text:
            assert (reply.status, reply.scim_type) == (400, "invalidValue")
            continue
        assert reply.status == 201, (text, reply.raw)
        read = (await idp.get(f"/Users/{reply.json['id']}")).json
        assert {key: read[key] for key in body} == body
        found = await idp.get(
            "/Users", params={"filter": f"userName eq {orjson.dumps(body['userName']).decode()}"}
        )
        assert [each["id"] for each in found.json["Resources"]] == [reply.json["id"]], text


@pytest.mark.parametrize("claimed", ["1", "0", "-1", "admin", "00000000-0000-0000-0000-000000000000"])
async def test_a_clients_id_is_never_a_key_of_ours(idp: Client, claimed: str) -> None:
    """Lesson 1."""
    first = await idp.user("first")
    for given in (claimed, first["id"]):
        reply = await idp.post("/Users", {"userName": f"u-{given}", "id": given, "externalId": given})
        assert reply.status == 201
        assert reply.json["id"] not in (given, first["id"])
        assert reply.json["externalId"] == given


async def test_location_never_follows_the_request(idp: Client) -> None:
    """Lesson 17."""
    for n, headers in enumerate(
        [
            {"Host": "evil.example"},
            {"X-Forwarded-Host": "evil.example"},
            {"X-Forwarded-Proto": "http", "X-Forwarded-For": "1.2.3.4"},
            {"Forwarded": "host=evil.example;proto=http"},
            {"X-Original-URL": "https://evil.example/"},
            {"X-Forwarded-Prefix": "/evil"},
            {"Referer": "https://evil.example/"},
        ]
    ):
        reply = await idp.post("/Users", {"userName": f"u{n}"}, headers=headers)
        assert reply.status == 201
        expected = f"https://scimd.example.com/scim/v2/Users/{reply.json['id']}"
        assert reply.headers["Location"] == reply.json["meta"]["location"] == expected


async def test_without_a_token_no_spelling_of_the_path_answers(scimd: Installation, idp: Client) -> None:
    """Lesson 5."""
    user = await idp.user("secret-person")
    assert len(SPELLINGS) >= 32
    for spelling in SPELLINGS:
        for headers in ({}, {"X-Original-URL": "/healthz"}, {"X-HTTP-Method-Override": "GET"}):
            url = URL(f"{scimd.url}{spelling.replace('<user>', user['id'])}", encoded=True)
            async with scimd.http.get(url, headers=headers, allow_redirects=False) as answer:
                body = await answer.read()
                assert answer.status in (401, 404), (spelling, answer.status)
                assert b"secret-person" not in body
                assert user["id"].encode() not in body
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer"), spelling
                    assert is_scim_error(body, 401), spelling


async def test_a_token_counts_in_the_header_only_and_only_whole(idp: Client) -> None:
    """Lesson 27: anything else is nobody, for reads and for writes, in the same words."""
    token, known = idp.token, await idp.user("dana")
    wrong = [text.replace("T", token) if "T" in text.split()[-1:] else text for text in NO_AUTHORIZATION]
    wrong = [text.replace("BearerT", f"Bearer{token}").replace("=T", f"={token}") for text in wrong]
    wrong += [
        f"Bearer {token[:-1]}",
        f"Bearer {token}x",
        f"Bearer {token.swapcase()}",
        f"Bearer {token} {token}",
    ]
    elsewhere: list[tuple[dict[str, str], str]] = [
        ({}, f"?access_token={token}"),
        ({}, f"?token={token}"),
        ({}, f"?authorization=Bearer%20{token}"),
        ({"Cookie": f"token={token}; access_token={token}; Authorization=Bearer {token}"}, ""),
        ({"X-Api-Key": token}, ""),
        ({"X-Authorization": f"Bearer {token}"}, ""),
        ({"Proxy-Authorization": f"Bearer {token}"}, ""),
        ({"X-Access-Token": token}, ""),
    ]
    for headers, query in [*(({"Authorization": text}, "") for text in wrong), *elsewhere]:
        for method, path in (("GET", "/Users"), ("DELETE", f"/Users/{known['id']}"), ("POST", "/Bulk")):
            url = f"{idp.url}/scim/v2{path}{query}"
            async with idp.http.request(method, url, headers=headers) as answer:
                assert answer.status == 401, headers
                assert is_scim_error(await answer.read(), 401), headers
    two = CIMultiDict([("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")])
    async with idp.http.get(f"{idp.url}/scim/v2/Users", headers=two) as answer:
        assert answer.status == 401
    form = {"data": {"access_token": token}}
    async with idp.http.post(f"{idp.url}/scim/v2/Users", **form) as answer:
        assert answer.status == 401
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert (await idp.get("/Users", headers={"Authorization": f"{scheme} {token}"})).status == 200


async def test_a_password_is_neither_kept_nor_shown_nor_asked_for(idp: Client) -> None:
    """Lesson 3."""
    user = await idp.post("/Users", {"userName": "u", "password": "canary-1"})
    path = f"/Users/{user.json['id']}"
    replies = [
        user,
        await idp.put(path, {"userName": "u", "password": "canary-2"}),
        await idp.patch(path, {"op": "replace", "path": "password", "value": "canary-3"}),
        await idp.get(path, params={"attributes": "password,userName"}),
        await idp.get("/Users"),
    ]
    for reply in replies:
        assert reply.status in (200, 201)
        assert b"canary" not in reply.raw
        assert b"password" not in reply.raw
    for text in ('password eq "canary-1"', "password pr", 'not (password sw "c")'):
        assert (await idp.get("/Users", params={"filter": text})).scim_type == "invalidFilter"


async def test_bytes_that_no_client_sends_are_refused_and_hide_no_request(scimd: Installation) -> None:
    """A36: what follows a request of two meanings is never obeyed, and no answer is a crash."""
    attack = await Attack.begin(scimd)
    before = await attack.everything()
    token, user = attack.clients["default"].token.encode(), attack.victims.user.encode()
    limit = asyncio.Semaphore(25)

    async def played(one: Wire) -> str | None:
        async with limit:
            raw = await conversation(scimd.url, one.raw.replace(b"TOKEN", token).replace(b"USER", user))
        statuses = [int(each) for each in re.findall(rb"HTTP/1\.[01] (\d{3}) ", raw)]
        wanted = range(100, 500) if one.sound else range(400, 500)
        fine = len(statuses) <= one.answers and all(each in wanted or each in (501, 505) for each in statuses)
        fine = fine and b"Server: scimd" in raw if statuses else fine
        return None if fine else f"{one.name}: {statuses} {raw[:300]!r}"

    bad = [each for each in await asyncio.gather(*map(played, wire())) if each]
    assert not bad, f"{len(bad)}\n" + "\n".join(bad)
    assert await attack.everything() == before


async def conversation(url: str, raw: bytes, silent_s: float = 0.5) -> bytes:
    """All that the server answers until it closes, or says nothing for a while."""
    at = URL(url)
    stream, writer = await asyncio.open_connection(at.host, at.port)
    found = b""
    try:
        writer.write(raw)
        with suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(writer.drain(), 2 * silent_s)
            while piece := await asyncio.wait_for(stream.read(65_536), silent_s):
                found += piece
    finally:
        writer.close()
    return found


async def test_one_byte_chunks_and_stalled_clients_hold_up_nobody(scimd: Installation, idp: Client) -> None:
    """Lesson 13."""
    host, port = URL(scimd.url).host, URL(scimd.url).port
    head = (
        f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {idp.token}\r\n"
        "Content-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    stalled = []
    for _ in range(100):
        stream, writer = await asyncio.open_connection(host, port)
        writer.write(head + b"1\r\n{\r\n")
        stalled.append((stream, writer))
    stream, writer = await asyncio.open_connection(host, port)
    writer.write(
        head + b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"userName":"' + b"x" * 20_000) + b"0\r\n\r\n"
    )
    # Those who stall go on stalling for longer than anybody here waits.
    assert (await asyncio.wait_for(idp.get("/Users"), AT_MOST_S / 2)).status == 200
    assert (await asyncio.wait_for(stream.readline(), AT_MOST_S / 2)).startswith(b"HTTP/1.1 400")
    for _, each in [(stream, writer), *stalled]:
        each.close()


async def test_a_body_that_breaks_after_its_answer_is_no_fault_of_ours(
    scimd: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """Else anybody could fill the log."""
    head = "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
    at = URL(scimd.url)
    for rest in (b"5\r\n12345\r\nnonsense\r\n", b"5\r\n123"):
        _, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        await asyncio.sleep(0.1)
        writer.write(rest)
        await asyncio.sleep(0.1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    await conversation(scimd.url, f"{head}Content-Length: 30\r\n\r\n{'no gzip' * 10}".encode())
    assert [each for each in caplog.records if each.name.startswith("aiohttp")] == []


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "a\\ud800b"])
async def test_no_member_is_chosen_by_what_is_no_text(idp: Client, text: str) -> None:
    user = await idp.user("dana@acme.com")
    group = await idp.group("Sales", user["id"])
    for path in (
        f'members[value eq "{text}"]',
        f'members[value eq "{user["id"]}" or value eq "{text}"]',
        f'members[value eq "{text}" and type eq "User"]',
        f'members.value eq "{text}"',
        f'members[display ne "{text}"]',
    ):
        reply = await idp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": path})
        assert reply.status == 400, path
        assert reply.scim_type in ("invalidFilter", "invalidPath"), path
    assert len((await idp.get(f"/Groups/{group['id']}")).json["members"]) == 1


@pytest.mark.parametrize(
    ("line", "rest", "status"),
    [
        ("GET /scim/v2/Users HTTP/1.1", "X: y\r\n" * 200 + "\r\n", 431),
        ("GET /scim/v2/Users HTTP/0.9", "\r\n", 505),
        ("GET /scim/v2/Users HTTP/2.0", "\r\n", 505),
        ("GET /scim/v2/Users HTTP/3.0", "\r\n", 505),
        (
            "POST /scim/v2/Users HTTP/1.1",
            'Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n{"userName":"u"}\r\n0\r\n\r\n',
            400,
        ),
    ],
)
async def test_what_http_itself_refuses_has_its_status(
    idp: Client, line: str, rest: str, status: int
) -> None:
    head = f"{line}\r\nHost: x\r\nAuthorization: Bearer {idp.token}\r\n"
    said = await conversation(idp.url, f"{head}{rest}".encode(), AT_MOST_S)
    assert int(said.split()[1]) == status, said
    assert said.count(b"Server: ") == 1, said
    assert f'"status":"{status}"'.encode() in said


async def test_a_body_that_breaks_on_its_way_is_refused_at_once(
    idp: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, begun = URL(idp.url), reading(monkeypatch)
    stream, writer = await asyncio.open_connection(at.host, at.port)
    head = f"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {idp.token}\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode())
    await begun.wait()
    writer.write(b"nonsense\r\n")
    said = await asyncio.wait_for(stream.read(), AT_MOST_S / 2)  # the body's own time is longer
    assert said.startswith(b"HTTP/1.1 400 "), said
    writer.close()
