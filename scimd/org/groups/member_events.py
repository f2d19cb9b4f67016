"""What the audit says of a group's members who came and went."""

from __future__ import annotations

from collections.abc import Sequence

from scimd.core.events import Event, EventKind
from scimd.core.people import GroupId
from scimd.org.groups.member_rows import Change
from scimd.org.tx import Tx


def tell_members(tx: Tx, group_id: GroupId, changes: Sequence[Change], call: int | None = None) -> None:
    """The audit's entry of what changed in a group's membership.

    ``kept``: who stays though not named any more, as nobody is known who is.
    """
    added, removed = sum(each.added for each in changes), sum(each.removed for each in changes)
    after = {"added": added, "removed": removed} | _few(changes)
    if kept := sum(each.kept for each in changes):
        after["kept"] = kept
    tx.record(Event(EventKind.GROUP_MEMBERS_CHANGED, "group", group_id, after=after), call)


def _few(changes: Sequence[Change], most: int = 100) -> dict[str, list[str]]:
    """Who came and went, where the audit can still be read; each person's own events say it anyway."""
    came = [i for each in changes for i in (*each.people_added, *each.groups_added)]
    went = [i for each in changes for i in (*each.people_removed, *each.groups_removed)]
    return {"came": came, "went": went} if len(came) + len(went) <= most else {}
