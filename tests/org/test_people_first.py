from __future__ import annotations

from scimd.db.tables import grants, sources, status_spans
from tests.org.house import house


async def test_pushed_user_is_active_with_a_seat_and_the_default_project(database_url: str) -> None:
    async with house(database_url, seats_=10) as acme:
        stored = await acme.create("ann")
        row = await acme.person(stored.person_id)
        assert (row.status, row.has_seat, row.local_user_name) == ("active", True, "ann")
        assert row.sign_in_address == "ann@acme.example"
        (span,) = await acme.rows(status_spans)
        assert span.status == "active"
        (grant,) = await acme.rows(grants)
        assert grant.kind == "project"
        (source,) = await acme.rows(sources)
        assert source.user_count == 1
