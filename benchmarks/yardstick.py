"""The yardstick of SCIM: a bare aiohttp server that stores documents durably and does no SCIM work.

It takes the same requests, parses no body but for the user name, checks nothing, and keeps what was
sent. On SQLite (WAL, ``synchronous=FULL``) one thread commits whatever waits in one go; on PostgreSQL
a pool of asyncpg connections writes. Called as a process of its own:
``python yardstick.py sqlite:///FILE`` or ``postgresql://…``; it prints its port.
"""

from __future__ import annotations

import asyncio
import json
import queue
import re
import sqlite3
import sys
import threading
import uuid
from collections.abc import Awaitable
from typing import Protocol
from urllib.parse import unquote

import uvloop
from aiohttp import web

_FILTER = re.compile(r'filter=userName eq "([^"]*)"')
_PAGE = re.compile(r"startIndex=(\d+)&count=(\d+)")
_TABLES = (
    "CREATE TABLE users (number INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT UNIQUE, doc BLOB, patch BLOB)",
    "CREATE TABLE groups (id TEXT PRIMARY KEY, doc BLOB)",
    "CREATE TABLE patches (number INTEGER PRIMARY KEY, group_id TEXT, doc BLOB)",
)
_NEW_USER = "INSERT INTO users (id, name, doc) VALUES (?, ?, ?)"
_NEW_GROUP = "INSERT INTO groups (id, doc) VALUES (?, ?)"
_PUT = "UPDATE users SET doc = ? WHERE id = ? RETURNING doc"
_PATCH = "UPDATE users SET patch = ? WHERE id = ? RETURNING doc"
_GROUP_PATCH = "INSERT INTO patches (group_id, doc) VALUES (?, ?)"
_BY_ID = "SELECT doc FROM users WHERE id = ?"
_BY_NAME = "SELECT doc FROM users WHERE name = ?"
_PAGE_OF = "SELECT doc FROM users WHERE number >= ? ORDER BY number LIMIT ?"

Rows = list[tuple[bytes]]


class Store(Protocol):
    def read(self, sql: str, *values: object) -> Awaitable[Rows]: ...
    def write(self, sql: str, *values: object) -> Awaitable[Rows]: ...


class Sqlite:
    """Reads inline; writes in one thread, which commits all that wait at once."""

    def __init__(self, path: str) -> None:
        self._writer = self._open(path)
        for statement in _TABLES:
            self._writer.execute(statement)
        self._reader = self._open(path)
        self._waiting: queue.SimpleQueue[tuple[str, tuple[object, ...], asyncio.Future[Rows]]]
        self._waiting = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._write_all, daemon=True).start()

    @staticmethod
    def _open(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    async def read(self, sql: str, *values: object) -> Rows:
        return self._reader.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> asyncio.Future[Rows]:
        done: asyncio.Future[Rows] = self._loop.create_future()
        self._waiting.put((sql, values, done))
        return done

    def _write_all(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            self._writer.execute("BEGIN IMMEDIATE")
            rows = [(done, self._writer.execute(sql, values).fetchall()) for sql, values, done in batch]
            self._writer.execute("COMMIT")
            self._loop.call_soon_threadsafe(_answer, rows)


def _answer(rows: list[tuple[asyncio.Future[Rows], Rows]]) -> None:
    for done, found in rows:
        done.set_result(found)


class Postgres:
    """asyncpg straight: a statement is a transaction, and the server groups the commits."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        import asyncpg

        self._pool = await asyncpg.create_pool(self._url, min_size=8, max_size=8)
        for statement in _TABLES:
            await self._pool.execute(
                statement.replace("INTEGER PRIMARY KEY", "BIGSERIAL PRIMARY KEY").replace("BLOB", "BYTEA")
            )

    async def read(self, sql: str, *values: object) -> Rows:
        rows: Rows = await self._pool.fetch(_numbered(sql), *values)
        return rows

    write = read


def _numbered(sql: str) -> str:
    known = _NUMBERED.get(sql)
    if known is None:
        parts = sql.split("?")
        known = "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], 1)) + parts[-1]
        _NUMBERED[sql] = known
    return known


_NUMBERED: dict[str, str] = {}


def application(store: Store) -> web.Application:
    async def create(request: web.Request) -> web.Response:
        body = await request.read()
        new = str(uuid.uuid4())
        document = b'{"id":"%b",%b' % (new.encode(), body[1:])
        if request.path == "/Users":
            await store.write(_NEW_USER, new, json.loads(body)["userName"], document)
        else:
            await store.write(_NEW_GROUP, new, document)
        return _scim(document, 201)

    async def listed(request: web.Request) -> web.Response:
        query = unquote(request.rel_url.raw_query_string)
        if match := _FILTER.search(query):
            rows = await store.read(_BY_NAME, match[1])
        else:
            match = _PAGE.search(query)
            assert match is not None
            rows = await store.read(_PAGE_OF, int(match[1]), int(match[2]))
        listed = b",".join(row[0] for row in rows)
        return _scim(b'{"totalResults":%d,"Resources":[%b]}' % (len(rows), listed))

    async def read(request: web.Request) -> web.Response:
        return _scim((await store.read(_BY_ID, request.match_info["id"]))[0][0])

    async def put(request: web.Request) -> web.Response:
        rows = await store.write(_PUT, await request.read(), request.match_info["id"])
        return _scim(rows[0][0])

    async def patch(request: web.Request) -> web.Response:
        rows = await store.write(_PATCH, await request.read(), request.match_info["id"])
        return _scim(rows[0][0])

    async def group_patch(request: web.Request) -> web.Response:
        await store.write(_GROUP_PATCH, request.match_info["id"], await request.read())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/Users", create)
    app.router.add_post("/Groups", create)
    app.router.add_get("/Users", listed)
    app.router.add_get("/Users/{id}", read)
    app.router.add_put("/Users/{id}", put)
    app.router.add_patch("/Users/{id}", patch)
    app.router.add_patch("/Groups/{id}", group_patch)
    return app


def _scim(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/scim+json")


async def main(url: str) -> None:
    if url.startswith("postgresql"):
        store: Store = (postgres := Postgres(url))
        await postgres.start()
    else:
        store = Sqlite(url.removeprefix("sqlite:///"))
    runner = web.AppRunner(application(store), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
