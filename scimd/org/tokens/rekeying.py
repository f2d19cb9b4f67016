"""A change of the master key: what lies sealed follows to the new one, and who still needs the old one.

The first key seals and signs; those behind it only open (``org.tokens.secrets``). What is sealed for good is
sealed anew under the first by a job. What was signed lies nowhere, so that it ends with its row: for that
the database knows since when which key signs. Tickets, cursors and answers under an ``Idempotency-Key``
last a day at most, and just end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select, update

from scimd.core.people import OrgId
from scimd.db.last_changed import after
from scimd.db.tables import invitations, links, recovery_codes, second_factors, signing_keys
from scimd.db.types import Bytes
from scimd.org.authentication.second_factors import CODES, SECRETS, owner
from scimd.org.tokens.sealing import KEY_ID_BYTES, NotSealedHere, seal, unseal
from scimd.org.tokens.secrets import Keyring
from scimd.org.tx import Actor, Context, Door, Tx

_BATCH = 200


@dataclass(frozen=True, slots=True, eq=False)
class _Sealed:
    """A column that is sealed for good; ``alive``: the rows of which it matters."""

    purpose: str
    column: Column[Any]
    alive: ColumnElement[bool]

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def key_id(self) -> ColumnElement[bytes]:
        return func.substr(self.column, 1, KEY_ID_BYTES, type_=Bytes())


_APPS = _Sealed(SECRETS, second_factors.c.secret, second_factors.c.kind == "totp")
_CODES = _Sealed(CODES, recovery_codes.c.sealed, recovery_codes.c.used_at.is_(None))
_EVERYTHING = (_APPS, _CODES)


@dataclass(frozen=True, slots=True)
class Use:
    """What needs a key other than the first. ``place``: in the config, from 1; None: it is not there.

    ``links``: the open ones that it may have signed, the last of them open until ``links_until``.
    """

    place: int | None
    apps: int
    codes: int
    links: int = 0
    links_until: datetime | None = None


# ------------------------------------------------------------------------------ the job


async def follow(door: Door) -> int:
    """Note since when the first key signs, and seal anew under it what lies sealed under the others."""
    await _note_signing(door)
    if len(door.keys.ids()) == 1:
        return 0
    total = 0
    for each in _EVERYTHING:
        older = [key_id.encode() for key_id in list(door.keys.live(each.purpose))[1:]]
        for org_id in await door.read(partial(_organizations_with, what=each, older=older)):
            total += await _seal_anew(door, org_id, each, older)
    return total


def _organizations_with(conn: Connection, what: _Sealed, older: list[bytes]) -> list[OrgId]:
    query = select(what.table.c.org_id).where(what.alive, what.key_id.in_(older)).distinct()
    return [OrgId(org_id) for org_id in conn.execute(query).scalars()]


async def _note_signing(door: Door) -> None:
    first, query = door.keys.ids()[0], select(signing_keys).order_by(signing_keys.c.since.desc()).limit(1)
    last = await door.read(lambda conn: conn.execute(query).first())
    if last is None or last.key_id != first:
        row = {"since": after(last.since if last else None, door.clock()), "key_id": first}
        await door.db.write(lambda conn: conn.execute(signing_keys.insert(), row))


async def _seal_anew(door: Door, org_id: OrgId, what: _Sealed, older: list[bytes]) -> int:
    ctx, total, after = Context(org_id, Actor("job", "rekeying", "rekeying"), "job", "rekeying"), 0, ""
    while True:
        done, last = await door.run(ctx, partial(_some_anew, what=what, older=older, after=after))
        if last is None:
            return total
        total, after = total + done, last


def _some_anew(tx: Tx, what: _Sealed, older: list[bytes], after: str) -> tuple[int, str | None]:
    """How many of the next rows were sealed anew, and the last row's id; None: there was none."""
    row, column = what.table.c, what.column
    mine = (row.org_id == tx.org_id) & what.alive
    wanted = select(row.id, column.label("sealed")).where(mine, what.key_id.in_(older), row.id > after)
    rows, done = tx.conn.execute(wanted.order_by(row.id).limit(_BATCH)).all(), 0
    for each in rows:
        old, belongs_to = bytes(each.sealed), owner(tx.org_id, each.id)
        try:
            plain = unseal(tx.keys, what.purpose, old, belongs_to)
        except NotSealedHere:
            continue  # spoilt: nobody opens it under any key
        new = {column.name: seal(tx.keys, what.purpose, plain, belongs_to)}
        done += tx.conn.execute(
            update(what.table).where(mine, row.id == each.id, column == old).values(new)
        ).rowcount
    return done, rows[-1].id if rows else None


# ------------------------------------------------------------------------------ who needs which


async def uses(door: Door) -> list[Use]:
    """What needs each key of the config but the first; last, what is sealed under one that is not there."""
    ids, now = door.keys.ids(), door.clock()

    def look(conn: Connection) -> list[Use]:
        apps, codes = (_by_place(conn, door.keys, each) for each in (_APPS, _CODES))
        signed = conn.execute(select(signing_keys).order_by(signing_keys.c.since)).all()
        found = [Use(None, apps[None], codes[None])] if apps[None] or codes[None] else []
        for place, key_id in reversed(list(enumerate(ids[1:], 2))):
            signed_links = _open_links(conn, _signed_until(signed, key_id, now), now)
            found.insert(0, Use(place, apps[place], codes[place], *signed_links))
        return found

    return await door.read(look)


def _by_place(conn: Connection, keys: Keyring, what: _Sealed) -> Counter[int | None]:
    """How many rows are sealed under the key at each place of the config; None: under none of them."""
    places = {key_id.encode(): place for place, key_id in enumerate(keys.live(what.purpose), 1)}
    key_id, found = what.key_id.label("key_id"), Counter[int | None]()
    query = select(key_id, func.count().label("many")).where(what.alive).group_by(key_id)
    for row in conn.execute(query):
        found[places.get(bytes(row.key_id))] += row.many
    return found


def _signed_until(signed: Any, key_id: str, now: datetime) -> datetime | None:
    """When another key took over from this one; None for one that never signed."""
    if not signed:
        return now  # nothing is noted yet
    last = max((place for place, row in enumerate(signed) if row.key_id == key_id), default=None)
    if last is None:
        return None
    return signed[last + 1].since if last + 1 < len(signed) else now


def _open_links(
    conn: Connection, signed_until: datetime | None, now: datetime
) -> tuple[int, datetime | None]:
    """What was made before that, and is open: a link of it may bear the key's signature."""
    if signed_until is None:
        return 0, None
    many, until = 0, None
    for table, is_open in (
        (invitations, invitations.c.status == "pending"),
        (links, links.c.used_at.is_(None)),
    ):
        made = (table.c.created_at <= signed_until) & (table.c.expires_at > now) & is_open
        row = conn.execute(
            select(func.count().label("many"), func.max(table.c.expires_at).label("until")).where(made)
        ).one()
        many += row.many
        until = max((at for at in (until, row.until) if at is not None), default=None)
    return many, until
