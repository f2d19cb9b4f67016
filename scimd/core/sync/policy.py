"""Situation → reaction: what a reconcile does with each entry, and with each person who is missing.

    situation          what was found                                     reaction
    -----------------  -------------------------------------------------  --------------------------------
    linked-unchanged   ours, and the directory says what it said before   none; marked as seen
    linked-changed     ours, and something differs                        update; deactivate where ``active``
                                                                          turned false
    returned           ours once, gone since, and back                    update (the same person and id)
    new                nobody fits                                        create
    matches-unlinked   a person of another source, or a local one, fits   link
    ambiguous          several fit                                        wait for a decision
    foreign            the address is somebody's whom no rule may link    wait for a decision
    out-of-scope       ours, and the scope leaves it out now              deactivate
    failed             cannot be read or mapped                           fail alone; never taken for gone
    gone               ours, and absent from a complete read              deactivate (a group: delete)

Whoever is gone or out of scope is only dropped where that ends no access: another source has them, or they
were inactive already. An ``active`` that turned false is an update where another source decides.
An entry out of scope that scimd does not know is counted, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Situation(StrEnum):
    LINKED_UNCHANGED = "linked-unchanged"
    LINKED_CHANGED = "linked-changed"
    RETURNED = "returned"
    NEW = "new"
    MATCHES_UNLINKED = "matches-unlinked"
    AMBIGUOUS = "ambiguous"
    FOREIGN = "foreign"
    OUT_OF_SCOPE = "out-of-scope"
    FAILED = "failed"
    GONE = "gone"


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    LINK = "link"
    DEACTIVATE = "deactivate"
    DROP = "drop"
    DELETE = "delete"
    RENAME = "rename"
    MEMBERS = "members"
    FAIL = "fail"
    WAIT = "wait"


#: For people; a situation that is not here does nothing.
REACTIONS: Mapping[Situation, Action] = {
    Situation.LINKED_CHANGED: Action.UPDATE,
    Situation.RETURNED: Action.UPDATE,
    Situation.NEW: Action.CREATE,
    Situation.MATCHES_UNLINKED: Action.LINK,
    Situation.AMBIGUOUS: Action.WAIT,
    Situation.FOREIGN: Action.WAIT,
    Situation.OUT_OF_SCOPE: Action.DEACTIVATE,
    Situation.FAILED: Action.FAIL,
    Situation.GONE: Action.DEACTIVATE,
}
