"""What values of ``roles`` and ``entitlements`` give, bound to ids when the source's rules are written.

A rule names its value whole, so that nothing has to wait for the first person who has it.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, false, literal_column, or_, select

from scimd.core.people import OrgId, SourceId
from scimd.core.roles import VALUED_BY, SourceRule, ValueAttribute
from scimd.db.tables import assertions, value_effects
from scimd.org.grants.bindings import Made, effects_of
from scimd.org.rulebook import SourceBook, rules_of
from scimd.org.tx import Tx


def bind_values(tx: Tx, source_id: SourceId) -> None:
    """Write what the source's rules on values give now.

    Asks for no rule book: it is called while one is being changed. The people whom it concerns are
    for the caller to have settled.
    """
    column = value_effects.c
    mine = (column.org_id == tx.org_id, column.source_id == source_id)
    ruled = [rule for rule in rules_of(tx.conn, tx.org_id, source_id) if rule.value is not None]
    known = tx.conn.execute(select(column.rule).where(*mine)).first()
    if not ruled and known is None:
        return
    tx.conn.execute(value_effects.delete().where(*mine))
    rows = [row for rule in ruled for row in _rows(tx, source_id, rule)]
    if rows:
        tx.conn.execute(value_effects.insert(), rows)


def moved(before: SourceBook, after: SourceBook, empowered: Collection[int]) -> set[ValueAttribute]:
    """The attributes with a value that gives something else, or gives by a rule of those ``empowered``.

    One that a rule spells otherwise moves, too: grants say by which value they were given.
    """
    old, new = (
        {key: (spelled, set(effects)) for key, (spelled, effects) in each.value_effects.items()}
        for each in (before, after)
    )
    return {
        key[0]
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key) or any(each.rule in empowered for each in old[key][1])
    }


def holders(org_id: OrgId, source_id: SourceId, attributes: Collection[ValueAttribute]) -> Select[tuple[str]]:
    """A select of everybody of whom the source says a value, whichever, of one of these attributes."""
    column = assertions.c
    named = (column.folded.op("->")(literal_column(f"'{VALUED_BY[each]}'")) for each in attributes)
    return select(column.person_id).where(
        column.org_id == org_id,
        column.source_id == source_id,
        column.state != "history",
        or_(false(), *(each.is_not(None) for each in named)),
    )


def _rows(tx: Tx, source_id: SourceId, rule: SourceRule) -> list[dict[str, object]]:
    _, value = rule.value or ("", "")
    return [
        {
            "org_id": tx.org_id,
            "source_id": source_id,
            "rule": effect.rule,
            "kind": effect.kind,
            "target": effect.target,
            "project_role": effect.project_role,
        }
        for effect in effects_of(Made(tx), rule, value)
    ]
