"""Changes of a document that leave the standing as it is: the short way through settling.

Of an entry, standing counts who asserts it, whether it is active, whether the person has an address,
and the values that a rule names (``core.facts.Facts``). A document that changes none of these, of
somebody settled under the present rules, changes no status, grant or seat: what is left is their name,
and the mail that every change puts off. Whatever is not proven here is settled in full; a test holds
the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, update

from scimd.core.people import Keys, PersonId, SourceId
from scimd.core.standing import CauseKind
from scimd.db.prepared import Prepared
from scimd.db.tables import people
from scimd.org import invitation_upkeep
from scimd.org.tx import Tx

_INVITED = str(CauseKind.INVITED)


def keeps(tx: Tx, source_id: SourceId, old: Row[Any], keys: Keys) -> bool:
    """Whether this source's new word about the person, stored as ``old``, leaves their standing.

    ``old`` is a row of ``candidates.near``, of a live assertion.
    """
    settled = old.rules_version == tx.book.rules.version and old.wants_seat == old.has_seat
    if not settled or old.active != keys.active:
        return False
    if tx.book.source(source_id).value_effects:
        return False  # a rule looks at what the document says of roles or entitlements
    if old.owner_source_id != source_id:
        # Somebody without an address is given that of their owner, should it be free by now.
        return old.held_sign_in_key is not None
    return bool(old.held_sign_in_key == keys.sign_in_key and old.sign_in_address == keys.sign_in_address)


_NAME = Prepared(
    update(people)
    .where(people.c.org_id == bindparam("_org_id"), people.c.id == bindparam("_id"))
    .values(display_name=bindparam("_name"), changed_at=bindparam("_now"))
)


def follow(tx: Tx, source_id: SourceId, many: Sequence[tuple[Row[Any], Keys]]) -> None:
    """What settling would write for people whose new documents keep their standing."""
    _NAME.many(
        tx.beside,
        [
            {"_org_id": tx.org_id, "_id": old.person_id, "_name": keys.display_name, "_now": tx.now}
            for old, keys in many
            if old.owner_source_id == source_id and old.display_name != keys.display_name
        ],
    )
    invitation_upkeep.put_off(tx, [PersonId(old.person_id) for old, _ in many if old.causes == [_INVITED]])
