"""What groups give, by which rule, and how they are called."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from scimd.config import Source as SourceConfig
from scimd.core.errors import NotAllowedNow, NotFound
from scimd.org.grants import catalogue_reads
from scimd.org.groups import group_reads
from scimd.org.sources import sources
from scimd.org.windows import Window
from tests.org.house import House, house

CONFIG = {
    "name": "entra",
    "rule": [
        {"number": 1, "pattern": "eng-*", "project": "Engine", "project_role": "owner", "team": "Red"},
        {"number": 2, "pattern": "*-leads", "role": "manager"},
    ],
}


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def test_a_group_tells_what_it_gives_and_by_which_rule(acme: House) -> None:
    """P11."""
    config = sources.as_json(SourceConfig.model_validate(CONFIG))
    entra = await acme.source("entra", config=config)
    leads = await acme.group("eng-leads", "x-nobody", ctx=acme.as_scim(entra))
    plain = await acme.group("Research")
    given = await group_reads.given_by(acme.door, acme.org_id, [leads, plain])
    assert [str(each) for each in given[leads]] == [
        "project Engine as owner (rule 1)",
        "team Red (rule 1)",
        "role manager (rule 2)",
    ]
    assert [str(each) for each in given[plain]] == ["project Research as member (default)"]
    members = await catalogue_reads.list_members(acme.door, acme.org_id, leads, Window())
    assert [(each.key, each.kind) for each in members.rows] == [("x-nobody", "unknown")]
    assert await group_reads.given_by(acme.door, acme.org_id, []) == {}


async def test_a_group_is_found_by_name_where_that_says_which(acme: House) -> None:
    entra = await acme.source("entra")
    ours, theirs = await acme.group("Research"), await acme.group("research", ctx=acme.as_scim(entra))
    assert await group_reads.find_group(acme.door, acme.org_id, "RESEARCH", "entra") == theirs
    assert await group_reads.find_group(acme.door, acme.org_id, ours) == ours
    with pytest.raises(NotAllowedNow, match="Several groups are called"):
        await group_reads.find_group(acme.door, acme.org_id, "research")
    with pytest.raises(NotFound):
        await group_reads.find_group(acme.door, acme.org_id, "nothing")
