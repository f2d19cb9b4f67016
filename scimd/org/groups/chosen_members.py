"""Members of a group whom a filter in a PATCH's path selects, by what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, case, select

from scimd.core.people import Document, GroupId, SourceId
from scimd.db.among import unindexed
from scimd.db.prepared import Prepared
from scimd.db.tables import assertions, group_members, groups, people
from scimd.org.groups import member_rows
from scimd.org.tx import Tx


@dataclass(frozen=True, slots=True)
class Leaving:
    """Those of whom ``holds`` is true leave, after the others came, went or were replaced.

    ``holds`` is given a member as SCIM shows one, but for ``$ref``. Where there is ``asks``, nobody leaves:
    it is given all of whom ``holds`` is true, and raises what is wrong with them.
    """

    holds: Callable[[Document], bool]
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    replace: tuple[str, ...] | None = None
    users: tuple[str, ...] = ()
    asks: Callable[[Sequence[Document]], None] | None = None


_m, _a, _p, _g = group_members.c, assertions.c, people.c, groups.c
#: As members are shown (``reads``): the name is the owner's, and never but the user name.
_NAME = case(
    (and_(_p.owner_source_id == bindparam("source_id"), _p.display_name != _a.user_name), _p.display_name)
).label("name")
_ROWS = Prepared(
    select(_m.member_key, _m.person_id, _m.child_id, _NAME, _g.display_name.label("group_name"))
    .select_from(group_members)
    .outerjoin(
        assertions,
        and_(
            _a.org_id == _m.org_id,
            _a.person_id == _m.person_id,
            unindexed(_a.source_id) == bindparam("source_id"),
            _a.state == "live",
        ),
    )
    .outerjoin(people, and_(_p.org_id == _m.org_id, _p.id == _m.person_id))
    .outerjoin(groups, and_(_g.org_id == _m.org_id, _g.id == _m.child_id))
    .where(_m.org_id == bindparam("org_id"), _m.group_id == bindparam("group_id"))
)


def leave(tx: Tx, source_id: SourceId, group_id: GroupId, leaving: Leaving) -> member_rows.Change:
    """Take out whom ``leaving`` selects, also of those who are hidden or not known yet. Costs the group.

    Else whoever was to leave would be in it again when they appear.
    """
    of_group = {"org_id": tx.org_id, "source_id": source_id, "group_id": group_id}
    members = map(_member, _ROWS.raw(tx.conn, of_group))
    chosen = [(key, member) for key, member in members if leaving.holds(member)]
    if leaving.asks is not None:
        leaving.asks([member for _, member in chosen])
        return member_rows.Change()
    gone = [key for key, _ in chosen]
    (done,) = member_rows.change(tx, source_id, [member_rows.Wanted(group_id, remove=gone)])
    return done


def _member(row: Any) -> tuple[str, Document]:
    key, person_id, child_id, name, group_name = row
    kind = "User" if person_id else "Group" if child_id else None
    parts = {"value": person_id or child_id or key, "type": kind, "display": name or group_name}
    return key, {name: part for name, part in parts.items() if part is not None}
