"""Values of ``roles`` and ``entitlements`` that rules name: whoever has one is in it as in a group.

So what people who stay would lose of them, or leave with where another source has them, is weighed like
the members of groups. Of all others who leave nothing counts here: the limits on people tell of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from scimd.core.people import PersonId, fold
from scimd.core.sync.found import PersonFound
from scimd.core.sync.limits import GroupLoss

#: The attribute, ``roles`` or ``entitlements``, and the folded value.
Value: TypeAlias = tuple[str, str]
Holders: TypeAlias = Mapping[Value, Collection[PersonId]]

_CALLED: Mapping[str, str] = {"roles": "SCIM role", "entitlements": "entitlement"}


def values_of(document: Mapping[str, Any], named: Collection[Value]) -> frozenset[Value]:
    """Which of the values that rules name a document has."""
    return frozenset(
        value
        for name in {name for name, _ in named}
        for each in document.get(name) or ()
        if isinstance(each, Mapping) and (value := (name, fold(str(each.get("value"))))) in named
    )


def losses(holders: Holders, people: Iterable[PersonFound]) -> Iterator[GroupLoss]:
    """Of each value that somebody who keeps their access would lose: how many have it, and would lose it."""
    people = list(people)
    lost = Counter(value for person in people for value in person.loses)
    elsewhere = {person.person_id for person in people if person.elsewhere}
    lost.update({value: len(elsewhere.intersection(holding)) for value, holding in holders.items()})
    for value, count in sorted(lost.items()):
        name, text = value
        if count:
            yield GroupLoss(text, text, len(holders.get(value, ())), count, _CALLED[name])


def emptied(holders: Holders, people: Collection[PersonFound]) -> int:
    """How many values somebody has, where nobody would have any though some of these stay.

    ``people``: all whose entries differ, or who come or leave; whoever is not among them keeps theirs.
    """
    losing = {person.person_id for person in people if person.loses}
    leaving = {person.person_id for person in people if person.leaves}
    had = {one for holding in holders.values() for one in holding}
    if not losing or had - losing - leaving or any(person.has for person in people if not person.leaves):
        return 0
    return sum(bool(holding) for holding in holders.values())
