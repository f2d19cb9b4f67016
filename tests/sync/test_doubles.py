"""Several entries that are one person: which of them is meant cannot be told, and none of them counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scimd.connector_api import DirectoryUser
from scimd.org import sources
from scimd.org.people import AssertUser, record_users
from scimd.org.sources import NewSource
from scimd.sync import run as sync_run
from tests.sync.world import Person, world


@pytest.mark.parametrize("page", [100, 10])
async def test_double_is_named_and_none_of_its_entries_counts(database_url: str, page: int) -> None:
    async with world(database_url) as acme:
        acme.script.fill(30)
        await acme.sync()
        acme.script.page = page
        acme.script.people["x0003"].more["active"] = False
        acme.script.people["x0040"] = Person("new")
        acme.script.extra = [
            DirectoryUser(key, "cn=again", {"userName": "other"}) for key in ("x0003", "x0040")
        ]
        run = await acme.sync()
        assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 2, 0)
        assert "user0003" in await acme.active()
        acme.script.extra = []
        assert (await acme.sync()).counts["deactivated"] == 1


async def test_two_entries_that_fit_one_person_are_both_named_and_neither_is_linked(
    database_url: str,
) -> None:
    async with world(database_url, join=["mail"]) as acme:
        new = NewSource("okta", state="active", config={"join": ["mail"]})
        okta = await sources.create(acme.door, acme.as_admin(), new)
        ctx = replace(sync_run.context(acme.door, okta), door="scim")
        ada = AssertUser({"userName": "ada", "emails": [{"value": "ada@acme.example"}]}, "okta-1")
        await acme.door.run(ctx, lambda tx: record_users(tx, [ada]))
        acme.script.people = {key: Person(key, "ada@acme.example") for key in ("x1", "x2")}
        acme.script.people["x3"] = Person("bob", "bob@acme.example")
        for created in (1, 0):
            run = await acme.sync()
            assert (run.state, run.counts["failed"], run.counts["created"]) == ("partial", 2, created)
        change = (await acme.changes(run))[0]
        assert change.detail == (
            "2 entries of this source fit a person by a key that both sources carry; a person has one"
        )
        del acme.script.people["x2"]
        assert (await acme.sync()).counts["linked"] == 1
