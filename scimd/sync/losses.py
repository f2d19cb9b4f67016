"""What groups would lose, in people: by who is in them now, through the groups in them too.

A read may be wrong in all of its groups at once, so nothing is weighed by the read alone: a group in a
group weighs what it holds now, and one that is gone, or above one that loses, is weighed as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from scimd.sync.collect import below

#: Groups and their direct members, groups among them, by external id.
Graph: TypeAlias = Mapping[str, Collection[str]]


def losses(before: Graph, after: Graph, shrunk: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Of each group that would lose people: it, how many it has, how many of them it would lose.

    ``shrunk``: the groups that lose direct members, or are gone. Costs all memberships where it is not
    empty, and nothing else.
    """
    groups = before.keys() | after.keys()
    for group in sorted(_with_those_above(before, set(shrunk))):
        had = below(before, group) - groups
        lost = had - below(after, group)
        if lost:
            yield group, len(had), len(lost)


def _with_those_above(graph: Graph, some: set[str]) -> set[str]:
    found, more = set(some), bool(some)
    while more:
        above = {group for group, members in graph.items() if not found.isdisjoint(members)}
        more = not above <= found
        found |= above
    return found


def emptied(before: Graph, after: Graph, here: Callable[[str], bool]) -> int:
    """How many groups have members, where none would keep any though some of these are still there.

    ``here``: whether the read has this entry.
    """
    filled = [members for members in before.values() if members]
    if any(after.values()) or not any(here(one) for members in filled for one in members):
        return 0
    return len(filled)
