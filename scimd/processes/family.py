"""The processes of one ``scimd serve``: who is forked off, and what goes between them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import IO

from scimd.http.rates import SharedBuckets
from scimd.processes import children

WORKER, ANSWERER = "worker", "answerer"
#: Of processes that answer, unless the config asks for more.
_AT_MOST = 4


@dataclass(frozen=True, slots=True)
class Ends:
    """What goes between the first process and one who answers: clients' connections, and calls.

    ``shelf``: where all who answer count together (``http.rates``); it stays open.
    """

    connections: socket.socket
    calls: socket.socket
    shelf: IO[bytes]

    @property
    def files(self) -> tuple[int, int, int]:
        return self.connections.fileno(), self.calls.fileno(), self.shelf.fileno()

    @classmethod
    def of_files(cls, connections: int, calls: int, shelf: int) -> Ends:
        """The ends in another process, to which these files were passed."""
        return cls(socket.socket(fileno=connections), socket.socket(fileno=calls), os.fdopen(shelf, "r+b"))

    def close(self) -> None:
        self.connections.close()
        self.calls.close()


def ends(shelf: IO[bytes]) -> tuple[Ends, Ends]:
    """The first process's, and the other's."""
    (ours, theirs), (our_calls, their_calls) = socket.socketpair(), socket.socketpair()
    return Ends(ours, our_calls, shelf), Ends(theirs, their_calls, shelf)


@dataclass(frozen=True, slots=True)
class Forked:
    """The children that were forked off before anything else: each waits until it is wanted.

    ``answerers`` with the first process's ends; without any it answers itself. ``scribes``: from there to
    the worker, which makes entries of the request log. ``holder``: by which the worker's leases are known.
    """

    worker: children.Forked | None
    holder: str
    answerers: tuple[tuple[children.Forked, Ends], ...]
    scribes: Connection | None


def answering(wanted: int) -> int:
    """How many processes answer; ``wanted`` 0: as many as fit the machine."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or max(1, min(_AT_MOST, processors // 2))


def fork(
    answerers: int,
    answer: Callable[[Ends, Connection | None], None],
    work: Callable[[str, Sequence[Connection]], None] | None,
) -> Forked:
    """Fork the worker, if ``work`` is there, and those who answer, if they are several.

    ``work`` is given what it is called as a holder of leases, and a pipe from each process that answers,
    ``answer`` its own.
    """
    family = children.Family()
    pipes = [multiprocessing.Pipe() for _ in range(answerers)] if work else []
    shelf = SharedBuckets.shelf()
    pairs = [ends(shelf) for _ in range(answerers if answerers > 1 else 0)]
    family.share(*itertools.chain.from_iterable(pipes), *itertools.chain.from_iterable(pairs))
    desks, holder = [theirs for _, theirs in pipes], secrets.token_hex(8)
    worker = family.fork(WORKER, partial(work, holder, desks), keeps=desks) if work else None
    found = []
    for place, (ours, theirs) in enumerate(pairs):
        scribes = pipes[place][0] if pipes else None
        keeps = (theirs, scribes) if scribes else (theirs,)
        found.append((family.fork(ANSWERER, partial(answer, theirs, scribes), keeps=keeps), ours))
    return Forked(worker, holder, tuple(found), pipes[0][0] if pipes and not pairs else None)
