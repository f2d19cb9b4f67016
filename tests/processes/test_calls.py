"""Calls that another process does: the same outcomes, refusals that arrive whole, an end that is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scimd.core.attributes import ResourceKind
from scimd.core.errors import DatabaseUnavailable, NotFound, NotUnique, VersionMismatch
from scimd.core.people import GroupId, PersonId
from scimd.core.resource import unpack
from scimd.db import tables as t
from scimd.db.engine import Database
from scimd.org.audit import audit
from scimd.org.groups import scim_groups
from scimd.org.groups.scim_groups import GroupChange
from scimd.org.settling.settle import settle
from scimd.org.tx import Door
from scimd.org.users import people
from scimd.org.users.people import AssertUser
from scimd.scim.errors import ScimError
from scimd.scim.etag import precondition
from scimd.scim.operations import PatchRules, operations_of
from scimd.scim.users import Patched, Replaced
from tests.org.house import House, house, user
from tests.org.test_together import counting
from tests.support.elsewhere import written_by
from tests.support.patience import PATIENT


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'scimd.db'}"


@asynccontextmanager
async def apart(url: str) -> AsyncIterator[tuple[House, House]]:
    """One who answers, and who writes for them."""
    async with (
        house(url) as writes,
        beside(writes, url) as answers,
        written_by(writes.door, answers.door),
    ):
        yield answers, writes


@asynccontextmanager
async def beside(other: House, url: str) -> AsyncIterator[House]:
    """The same house through a door of its own."""
    database = Database.open(url, PATIENT)
    try:
        door = Door(
            database, other.door.keys, other.door.settings, settle=settle, write_events=audit.write_events
        )
        yield replace(other, door=door)
    finally:
        await database.aclose()


def patched(**operation: Any) -> Patched:
    body = {"schemas": [], "Operations": [operation]}
    return Patched(operations_of(body, 10), PatchRules())


async def test_calls_are_done_together_by_the_one_who_writes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with apart(url) as (answers, writes):
        written = counting(writes, monkeypatch)
        monkeypatch.setattr(answers.door.db, "write", None)  # they write nothing themselves
        made = await asyncio.gather(*(answers.create(f"p{n}") for n in range(8)))
        assert len(written) == 1
        assert {unpack(each.document)["userName"] for each in made} == {
            f"p{n}@acme.example" for n in range(8)
        }
        group = GroupId(await writes.group("Staff"))
        await scim_groups.change_group(
            answers.door, answers.as_scim(), group, GroupChange(add=(made[0].person_id,))
        )
        rows = await writes.rows(t.group_members)
        assert [row.person_id for row in rows] == [made[0].person_id]
        events = [row.kind for row in await writes.rows(t.events) if row.target_id == made[0].person_id]
        assert "person.created" in events


@pytest.mark.usefixtures("by_ones")
async def test_changes_travel_with_what_they_ask_for(url: str) -> None:
    async with apart(url) as (answers, _):
        made = await answers.create("ann", title="Cook", active=True)

        async def change(how: people.Change, tag: str | None = None) -> dict[str, Any]:
            person_id, fits = PersonId(made.person_id), precondition(tag, None)
            stored = await people.change_user(answers.door, answers.as_scim(), person_id, how, if_match=fits)
            return unpack(stored.document)

        assert (await change(patched(op="replace", path="title", value="Chef")))["title"] == "Chef"
        assert (await change(patched(op="Replace", value={"title": None}), 'W/"2-0", "x"')).get(
            "title"
        ) is None
        assert (await change(Replaced({"userName": "ann@acme.example"}), "*"))["active"] is True
        with pytest.raises(VersionMismatch):
            await change(patched(op="replace", path="title", value="Maid"), 'W/"1-0"')
        with pytest.raises(ScimError) as refused:  # a remove without a value is one, and stays one
            await change(patched(op="remove"))
        assert (refused.value.status, refused.value.scim_type) == (400, "noTarget")


async def test_refusals_arrive_with_their_facts(url: str) -> None:
    async with apart(url) as (answers, _):
        await answers.create("ann")
        with pytest.raises(NotUnique) as double:
            await answers.create("ann")
        assert (double.value.attribute, double.value.value) == ("userName", "ann@acme.example")
        assert "is taken" in str(double.value)
        nobody = PersonId("00000000-0000-7000-8000-000000000000")
        title = patched(op="replace", path="title", value="x")
        with pytest.raises(NotFound) as missing:
            await people.change_user(answers.door, answers.as_scim(), nobody, title)
        assert missing.value.facts() == {"kind": "user", "id": nobody, "why": ""}


class _Wrong:
    def __call__(self, stored: Any, users: ResourceKind) -> Any:
        raise KeyError("a secret of the document")


async def test_fault_of_ours_is_logged_where_it_happened_and_tells_no_values(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with apart(url) as (answers, _):
        made = await answers.create("ann")
        with pytest.raises(RuntimeError, match="KeyError in the process that writes") as failed:
            await people.change_user(answers.door, answers.as_scim(), PersonId(made.person_id), _Wrong())
        assert "secret" not in str(failed.value)


async def test_what_cannot_travel_fails_alone(url: str) -> None:
    async with apart(url) as (answers, _):
        made = await answers.create("ann")
        done = await asyncio.gather(
            answers.change(made.person_id, title="x"),  # by a function that has no name
            answers.create("bob"),
            return_exceptions=True,
        )
        assert "pickle" in str(done[0])
        assert not isinstance(done[1], BaseException)


async def test_who_waits_is_told_when_the_one_who_writes_ends(url: str) -> None:
    async with house(url) as writes, beside(writes, url) as answers:
        held = asyncio.Event()

        async def never(*_: Any, **__: Any) -> Any:
            await held.wait()

        async with written_by(writes.door, answers.door) as desk:
            writes.door.db.write = never  # type: ignore[method-assign]
            waiting = asyncio.create_task(answers.create("ann"))
            await asyncio.sleep(0.05)
            desk.close()
            with pytest.raises(DatabaseUnavailable, match="Whether the change was made is not known"):
                await waiting
            with pytest.raises(DatabaseUnavailable, match="nothing was changed"):
                await answers.create("bob")
            held.set()


async def test_document_of_any_size_arrives(url: str) -> None:
    async with apart(url) as (answers, _):
        long = AssertUser(user("ann").document | {"title": "ü" * 400_000}, "x-ann")
        stored = await people.create_user(answers.door, answers.as_scim(), long)
        assert len(unpack(stored.document)["title"]) == 400_000
