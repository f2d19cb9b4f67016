"""What groups would lose, in people: by who is in them now, through the groups in them too.

A read may be wrong in all of its groups at once, so nothing is weighed by the read alone: a group in a
group weighs what it holds now, and one that is gone, or above one that loses, is weighed as any other.
Names that nobody answers to weigh nothing, nor does whoever is listed and has nothing by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from scimd.core.sync.found import PersonFound
from scimd.org.runs.sync_reads import KnownUser
from scimd.sync.collect import below

#: Groups and their direct members, groups among them, by external id.
Graph: TypeAlias = Mapping[str, Collection[str]]


class Crowd:
    """Whom groups give something, by external id: people whom the source says are active."""

    def __init__(self, live: Mapping[str, KnownUser], found: Iterable[PersonFound]) -> None:
        """``live``: whom the source asserts; ``found``: what its read would change of them."""
        self._live = live
        self._leaving: set[str | None] = set()
        self._coming: set[str | None] = set()
        #: Who leaves where another source has them. Of others who leave the limits on people tell.
        self.elsewhere: set[str] = set()
        for person in found:
            if person.leaves:
                self._leaving.add(person.external_id)
            elif person.turns_active or person.arrives:
                self._coming.add(person.external_id)
            if person.elsewhere and person.external_id is not None:
                self.elsewhere.add(person.external_id)

    def has(self, external_id: str) -> bool:
        known = self._live.get(external_id)
        return known is not None and known.active

    def keeps(self, external_id: str) -> bool:
        return external_id not in self._leaving and self.has(external_id)

    def will_have(self, external_id: str) -> bool:
        return external_id in self._coming or self.keeps(external_id)


def losses(
    before: Graph, after: Graph, shrunk: Iterable[str], crowd: Crowd
) -> Iterator[tuple[str, int, int]]:
    """Of each group that would lose people: it, how many it has, how many of them it would lose.

    ``shrunk``: the groups that lose direct members, or are gone. Costs all memberships where it is not
    empty, or somebody leaves whom another source has, and nothing else.
    """
    losing = set(shrunk)
    if crowd.elsewhere:
        losing |= {group for group, members in before.items() if not crowd.elsewhere.isdisjoint(members)}
    for group in sorted(_with_those_above(before, losing)):
        had = set(filter(crowd.has, below(before, group)))
        lost = had - (below(after, group) - crowd.elsewhere)
        if lost:
            yield group, len(had), len(lost)


def _with_those_above(graph: Graph, some: set[str]) -> set[str]:
    found, more = set(some), bool(some)
    while more:
        above = {group for group, members in graph.items() if not found.isdisjoint(members)}
        more = not above <= found
        found |= above
    return found


def emptied(before: Graph, after: Graph, crowd: Crowd) -> int:
    """How many groups have members, where none would have any though some of these are still there."""
    if any(crowd.will_have(one) for members in after.values() for one in members):
        return 0
    filled = [members for members in before.values() if any(map(crowd.has, members))]
    return len(filled) if any(crowd.keeps(one) for members in filled for one in members) else 0
