"""What the answers to items do, in the transaction that records them.

collision, ambiguous   link: the source's next push or run finds the answer and links · separate: —
return                 give_back: what a hand had given is given again · keep_new: —
shared_address         again: the address is taken, if it is free by now · leave: —
group_name             use: the group gives the project of that name · separate: —
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, select

from scimd.core.errors import NotAllowedNow
from scimd.core.people import GroupId, Keys, PersonId, ProjectId, SourceId, keys_of
from scimd.core.resource import unpack
from scimd.db.tables import assertions, people
from scimd.org import permissions
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import DecisionRecord, needed_for
from scimd.org.grants import bindings, manual_grants
from scimd.org.identities import linking, merged
from scimd.org.settling import profiles
from scimd.org.tx import Tx
from scimd.org.users import by_hand


def perform(tx: Tx, item: DecisionRecord, answer: str) -> None:
    """Do it. Raises Forbidden, also where it concerns an account, links an entry of a source that can give,
    or gives a role, above the caller's power, OwnAccount where an entry would be the caller's own, and what
    the effect refuses."""
    permissions.require(tx.ctx, needed_for(item.kind))
    facts = item.facts
    match item.kind, answer:
        case "collision" | "ambiguous", _ if said := decisions.person_meant(answer, facts):
            person_id = merged.who(tx.conn, tx.org_id, said)
            by_hand.not_oneself(tx, person_id, "link")
            by_hand.must_reach(tx, person_id)
            _must_be_a_person(tx, person_id)
            if item.source_id is not None:
                by_hand.must_hold_what_it_gives(tx, item.source_id)
        case "return", "give_back":
            person_id = merged.who(tx.conn, tx.org_id, facts["person_id"])
            by_hand.must_reach(tx, person_id)
            manual_grants.give_back(tx, person_id, facts["grants"], item.opened_at)
        case "shared_address", "again":
            by_hand.must_reach(tx, PersonId(facts["person_id"]))
            _look_again(tx, item)
        case "group_name", "use":
            bindings.give_project(tx, GroupId(facts["group_id"]), ProjectId(facts["project_id"]))


def _must_be_a_person(tx: Tx, person_id: PersonId) -> None:
    query: Select[Any] = select(people.c.kind, people.c.display_name)
    row = tx.conn.execute(query.where(people.c.org_id == tx.org_id, people.c.id == person_id)).first()
    if row is not None:
        by_hand.must_be_a_person(row, "no entry of a source is it")


def _look_again(tx: Tx, item: DecisionRecord) -> None:
    """Let the owner's document, or their own, be heard once more.

    Raises NotAllowedNow while somebody holds the address, who keeps it, or another organization has its
    domain: nothing would change, and nobody would be asked again.
    """
    person_id = PersonId(item.facts["person_id"])
    row = by_hand.locked(tx, person_id)
    if row.owner_source_id is None:
        if row.sign_in_key is None:
            _must_be_free(tx, row, profiles.own_keys(row))
            linking.own_again(tx, row)
            tx.touch([person_id])
        return
    source_id = SourceId(row.owner_source_id)
    document = tx.conn.execute(
        select(assertions.c.document).where(
            assertions.c.org_id == tx.org_id,
            assertions.c.person_id == person_id,
            assertions.c.source_id == source_id,
            assertions.c.state == "live",
        )
    ).scalar_one_or_none()
    if document is not None:
        keys = keys_of(unpack(document))
        _must_be_free(tx, row, keys)
        tx.profiles[person_id, source_id] = keys
        tx.touch([person_id])


def _must_be_free(tx: Tx, row: Row[Any], keys: Keys) -> None:
    address = keys.sign_in_address
    if profiles.is_closed_to(tx, row, keys.sign_in_key):
        raise NotAllowedNow(f"The domain of {address} still belongs to another organization.")
    if (name := profiles.holder_of(tx, keys.sign_in_key, PersonId(row.id))) is not None:
        raise NotAllowedNow(
            f"{address} is still the address of {name}. Give them another, or delete them, first."
        )
