"""Teams and licences by name, made where a rule names one that is not there."""

from __future__ import annotations

from sqlalchemy import Table, select

from scimd.core.people import LicenceId, TeamId, fold
from scimd.db.tables import licences, teams
from scimd.org.tx import Tx


def team_named(tx: Tx, name: str) -> TeamId:
    return TeamId(_named(tx, teams, name))


def licence_named(tx: Tx, name: str) -> LicenceId:
    return LicenceId(_named(tx, licences, name))


def _named(tx: Tx, table: Table, name: str) -> str:
    query = select(table.c.id).where(table.c.org_id == tx.org_id, table.c.name_key == fold(name))
    found: str | None = tx.conn.execute(query).scalar()
    if found is not None:
        return found
    new = tx.new_id()
    tx.conn.execute(
        table.insert().values(org_id=tx.org_id, id=new, name=name, name_key=fold(name), created_at=tx.now)
    )
    return new
