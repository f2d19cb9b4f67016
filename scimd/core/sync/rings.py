"""Names that change hands: who has to be written as one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

Id = TypeVar("Id", bound=str)


def rings(moves: Iterable[tuple[Id, Collection[str], Collection[str]]]) -> dict[Id, Id]:
    """Those among whom a key changes hands, each with the name of their ring: its least id.

    ``moves``: who, the keys that they give up, and those that they take.
    """
    moving = list(moves)
    giver = {key: one for one, gives_up, _ in moving for key in gives_up}
    leader: dict[Id, Id] = {}

    def head(one: Id) -> Id:
        while leader.setdefault(one, one) != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for one, _, takes in moving:
        for key in takes:
            other = giver.get(key)
            if other is not None and other != one:
                low, high = sorted((head(one), head(other)))
                leader[high] = low
    return {one: head(one) for one in leader}
