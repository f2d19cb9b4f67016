"""The comparison keys of stored documents, made anew where a declaration changes how values compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from scimd.core.attributes import ResourceKind, fold_document
from scimd.core.extensions import users_with
from scimd.core.people import SourceId
from scimd.core.resource import unpack
from scimd.db.tables import assertions
from scimd.org.tx import Tx

_BATCH = 500
_a = assertions.c


def refold(
    tx: Tx, source_id: SourceId, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> None:
    """Fold again what a source's users have in the extensions that are declared otherwise now."""
    changed = [each["urn"].encode() for each in (*before, *after) if each not in before or each not in after]
    users, at = users_with(after), ""
    while changed and (rows := _batch(tx, source_id, at)):
        at = rows[-1].person_id
        _write(tx, source_id, [row for row in rows if any(urn in row.document for urn in changed)], users)


def _batch(tx: Tx, source_id: SourceId, after: str) -> Sequence[Any]:
    query = select(_a.person_id, _a.document).where(
        _a.org_id == tx.org_id, _a.source_id == source_id, _a.person_id > after
    )
    return tx.conn.execute(query.order_by(_a.person_id).limit(_BATCH)).all()


def _write(tx: Tx, source_id: SourceId, rows: Sequence[Any], users: ResourceKind) -> None:
    if not rows:
        return
    mine = (_a.org_id == tx.org_id) & (_a.source_id == source_id) & (_a.person_id == bindparam("_id"))
    values = [
        {"_id": row.person_id, "_folded": fold_document(unpack(bytes(row.document)), users)} for row in rows
    ]
    tx.conn.execute(update(assertions).where(mine).values(folded=bindparam("_folded")), values)
