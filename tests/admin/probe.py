"""A small noun for the tests of the framework: teams that can be made, renamed, listed."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Row, select, update

from scimd.admin.bulk import bulk, in_rows
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Flag, Input, Listed, ListQuery, Name, Output, Rows, Search, Text
from scimd.admin.table import rows_of
from scimd.core.errors import NotFound, NotUnique
from scimd.core.people import fold
from scimd.db.locks import lock_rows
from scimd.db.tables import teams
from scimd.org.tx import Tx
from scimd.org.windows import cut


class Probe(Output):
    id: str
    name: str
    tags: list[str] = Field(default_factory=list)


class NewProbe(Input):
    name: Name
    size: Annotated[int, Field(ge=1, le=10), WHOLE] | None = None
    tags: list[Text] = Field(default_factory=list, max_length=5)


class ProbeChange(Input):
    name: Name | None = None


class ProbeQuery(ListQuery):
    q: Search | None = None
    least: Annotated[int, WHOLE] | None = None
    known: Flag | None = None
    tag: list[Text] | None = Field(None, max_length=3)
    sort: Literal["name", "-name", "id", "-id"] = "name"


#: Times that a body of a write ran; tests reset it.
RAN: list[str] = []


def _insert(tx: Tx, new: NewProbe) -> Probe:
    taken = select(teams.c.id).where(teams.c.org_id == tx.org_id, teams.c.name_key == fold(new.name))
    if tx.conn.execute(taken).first():
        raise NotUnique("name", new.name)
    made = tx.new_id()
    tx.conn.execute(
        teams.insert().values(
            org_id=tx.org_id, id=made, name=new.name, name_key=fold(new.name), created_at=tx.now
        )
    )
    RAN.append(new.name)
    return Probe(id=made, name=new.name, tags=new.tags)


def _of(row: Row[tuple[object, ...]]) -> Probe:
    return Probe(id=row.id, name=row.name, tags=[row.name, "=1+1"])


@endpoint("POST", "/probes", needs=("projects.manage",), refuses=(NotUnique,), status=201)
async def make(call: Call, body: NewProbe) -> Probe:
    """Make a probe.

    It is a team.
    """
    return await call.door.run(call.ctx, lambda tx: _insert(tx, body))


class ProbesMany(Input):
    items: list[NewProbe] = Field(min_length=1, max_length=3)


@endpoint("POST", "/probes/many", needs=("projects.manage",))
async def make_many(call: Call, body: ProbesMany) -> Rows[Probe]:
    """Make some."""
    return await in_rows(body.items, lambda new: make(call, body=new), 201)


@endpoint("GET", "/probes", needs=("users.read",))
async def index(call: Call, query: ProbeQuery) -> Listed[Probe]:
    """List probes."""
    found = select(teams).where(teams.c.org_id == call.org_id)
    if query.q:
        found = found.where(teams.c.name_key.contains(fold(query.q), autoescape=True))
    rows = await call.door.read(
        lambda conn: cut(conn, found, call.window, {"name": teams.c.name_key}, teams.c.id)
    )
    return Listed.of(rows, _of)


@endpoint("GET", "/probes/{id}", needs=("users.read",), etag=True)
async def show(call: Call) -> Probe:
    """Show one."""
    query = select(teams).where(teams.c.org_id == call.org_id, teams.c.id == call.id)
    row = await call.door.read(lambda conn: conn.execute(query).first())
    if row is None:
        raise NotFound("probe", call.id)
    return _of(row)


@endpoint("PATCH", "/probes/{id}", needs=("projects.manage",), refuses=(NotFound,), etag=True)
async def change(call: Call, body: ProbeChange) -> Probe:
    """Rename one."""
    check = call.unchanged(_of)

    def work(tx: Tx) -> Probe:
        mine = (teams.c.org_id == tx.org_id) & (teams.c.id == call.id)
        rows = lock_rows(tx.conn, select(teams).where(mine))
        if not rows:
            raise NotFound("probe", call.id)
        check(rows[0])
        given = body.given()
        if given:
            tx.conn.execute(
                update(teams).where(mine).values(name=given["name"], name_key=fold(given["name"]))
            )
        return _of(tx.conn.execute(select(teams).where(mine)).one())

    return await call.door.run(call.ctx, work)


@endpoint("PUT", "/probes/{id}", needs=("projects.manage",), etag=True, needs_if_match=True)
async def replace(call: Call, body: NewProbe) -> Probe:
    """Replace one."""
    return await change(call, body=ProbeChange(name=body.name))


@endpoint("DELETE", "/probes/{id}", needs=("projects.manage",))
async def remove(call: Call) -> None:
    """Forget one."""
    await show(call)
    await call.door.run(
        call.ctx, lambda tx: tx.conn.execute(teams.delete().where(teams.c.id == call.id)).rowcount
    )


@endpoint("POST", "/probes/{id}/wait", needs=("users.read",))
async def wait(call: Call) -> None:
    """Take a while, and write."""
    await asyncio.sleep(0.2)
    await call.door.run(call.ctx, lambda tx: RAN.append(call.id))
    await asyncio.sleep(0.2)


@endpoint("GET", "/installation", of_installation=True)
async def installation(call: Call) -> Probe:
    """For operators."""
    return Probe(id="x", name="x")


remove_many = bulk(remove, "/probes/remove")
change_many = bulk(change, "/probes/change")

PROBES = rows_of(sys.modules[__name__])
