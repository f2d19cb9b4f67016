"""Entries of the request log that another process makes and writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import Pipe
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from scimd.core.attributes import USER
from scimd.core.errors import DatabaseUnavailable, Overloaded
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.db.tables import scim_requests
from scimd.org.request_log import scribes
from scimd.org.request_log.request_entries import Seen, Speaker
from scimd.org.request_log.scribes import Asked, Far, Kept, Made, Near, Portion, Write
from scimd.org.tokens.secrets import Keyring
from tests.org.acme import House

SCRIBE = scribes.scribe_of(Keyring([b"k" * 32]), "https://scimd.example.com", 65_536)
SPEAKER = Speaker(OrgId("o1"), TokenId("t1"), "token", SourceId("s1"), "okta", "default")
SEEN = Seen(
    at=datetime(2026, 1, 1, tzinfo=UTC),
    holder=None,
    token_hash=None,
    correlation_id="one-and-the-same",
    method="POST",
    target="/Users",
    status=201,
    duration_us=1000,
    request=b'{"userName":"dana@acme.com","password":"a secret","nickName":"D"}',
    response=b'{"id":"x","userName":"dana@acme.com"}',
    headers={"Content-Type": "application/scim+json"},
    transforms=(("quirk", "does"),),
    users=USER,
)
ASKED = [(replace(SEEN, correlation_id=f"request-{n}"), SPEAKER) for n in range(3)]
BROKEN = (replace(SEEN, target=None, correlation_id="broken"), SPEAKER)  # type: ignore[arg-type]


def near(acme: House) -> Near:
    made = Near(SCRIBE, acme.door)
    made.hurry()
    return made


@pytest.fixture
def asked(acme: House) -> list[tuple[Seen, Speaker]]:
    return [(seen, replace(speaker, org_id=OrgId(acme.ctx.org_id))) for seen, speaker in (*ASKED, BROKEN)]


@asynccontextmanager
async def answered(acme: House, write: Write | None = None) -> AsyncIterator[Far]:
    """One whose entries somebody at the other end of a pipe writes."""
    ours, theirs = Pipe()
    loop = asyncio.get_running_loop()

    def writing(portion: Portion, made: Made) -> Kept:
        return asyncio.run_coroutine_threadsafe(scribes.written(acme.door, portion, made), loop).result()

    other = threading.Thread(target=scribes.serve, args=(theirs, SCRIBE, write or writing))
    other.start()
    try:
        yield Far(ours, near(acme))
    finally:
        ours.close()
        theirs.close()
        await asyncio.to_thread(other.join)


async def entries(acme: House) -> list[dict[str, Any]]:
    """As they are stored, but for their ids."""
    rows = [dict(row._mapping) for row in await acme.rows(scim_requests)]
    rows.sort(key=lambda row: row["id"])
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


async def test_entries_are_the_same_wherever_they_are_made(acme: House, asked: Asked) -> None:
    org_id = OrgId(acme.ctx.org_id)
    dropped = {org_id: 7, OrgId("another"): 2}
    async with answered(acme) as far:
        kept = await far.keep(Portion(asked, dropped))
    made_there = await entries(acme)
    await acme.write(empty)
    assert await near(acme).keep(Portion(asked, dropped)) == kept
    assert await entries(acme) == made_there
    assert [(each["correlation_id"], each["dropped"]) for each in made_there] == [
        ("request-0", 7),
        ("request-1", 0),
        ("request-2", 0),
    ]
    # The broken one is for the next to tell of; of the other organization there was nothing to write.
    assert kept == Kept(3, {org_id: 1, OrgId("another"): 2})


async def test_where_the_other_process_is_gone_entries_are_made_here(acme: House, asked: Asked) -> None:
    ours, theirs = Pipe()
    theirs.close()
    far = Far(ours, near(acme))
    assert (await far.keep(Portion(asked, {}))).entries == 3
    assert (await far.keep(Portion(asked, {}))).entries == 3
    assert len(await entries(acme)) == 6


async def test_what_was_written_before_the_other_process_went_is_not_written_twice(
    acme: House, asked: Asked
) -> None:
    loop = asyncio.get_running_loop()

    def dying(portion: Portion, made: Made) -> Kept:
        asyncio.run_coroutine_threadsafe(scribes.written(acme.door, portion, made), loop).result()
        raise EOFError

    monkey = pytest.MonkeyPatch()
    monkey.setattr(scribes, "_outcome", lambda write, portion, made: write(portion, made))
    ours, theirs = Pipe()

    def process() -> None:
        scribes.serve(theirs, SCRIBE, dying)
        theirs.close()

    other = threading.Thread(target=process)
    other.start()
    try:
        assert (await Far(ours, near(acme)).keep(Portion(asked, {}))).entries == 3
    finally:
        await asyncio.to_thread(other.join)
        monkey.undo()
    assert len(await entries(acme)) == 3


async def test_what_somebody_who_was_stopped_is_still_asked_is_not_written_again(
    acme: House, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Pipe()
    monkeypatch.setattr(scribes, "_PATIENCE_S", 0.0)
    assert (await Far(ours, near(acme)).keep(Portion(asked, {}))).entries == 3
    written: list[Portion] = []

    def write(portion: Portion, _: Made) -> Kept:
        written.append(portion)
        return Kept(3, {})

    await asyncio.to_thread(scribes.serve, theirs, SCRIBE, write)
    theirs.close()
    assert not written
    assert len(await entries(acme)) == 3


async def test_where_the_other_process_is_about_to_end_entries_are_written_here(
    acme: House, asked: Asked
) -> None:
    def closed(portion: Portion, made: Made) -> Kept:
        raise DatabaseUnavailable

    async with answered(acme, closed) as far:
        assert (await far.keep(Portion(asked, {}))).entries == 3
    assert len(await entries(acme)) == 3


async def test_what_the_database_refuses_there_is_raised_here(acme: House, asked: Asked) -> None:
    def busy(portion: Portion, made: Made) -> Kept:
        raise Overloaded

    def broken(portion: Portion, made: Made) -> Kept:
        raise KeyError("dana@acme.com")

    async with answered(acme, busy) as far:
        with pytest.raises(Overloaded):
            await far.keep(Portion(asked, {}))
    async with answered(acme, broken) as far:
        with pytest.raises(RuntimeError, match=r"^KeyError in the process that writes"):
            await far.keep(Portion(asked, {}))
    assert await entries(acme) == []


def empty(conn: Connection) -> None:
    conn.execute(delete(scim_requests))
