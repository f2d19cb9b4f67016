"""Reading a directory whole: pages until the end, in time, or a reason why not.

*Absent* only means *gone* after a read that was complete, so every way to end early is an error
here: no End, an End that is not full, pages after it, the deadline, whatever the connector raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast

from scimd.connector_api import (
    ConnectorError,
    DirectoryGroup,
    DirectoryUser,
    End,
    Incomplete,
    OpenSource,
    Page,
    Unreachable,
)
from scimd.sync.waiting import TookTooLong, within


async def read_whole(source: OpenSource, take: Callable[[Page], Awaitable[None]], *, timeout_s: float) -> End:
    """Give every page of a full read to ``take``; the End that closed it.

    Raises ConnectorError: Incomplete where the read was cut off, Unreachable where it took longer
    than ``timeout_s``. What ``take`` raises passes. Nothing is taken after this has ended.
    """
    over = False

    async def take_in_time(page: Page) -> None:
        if over:  # the connector does not heed that it was cancelled
            raise Incomplete("the read is over")
        await take(page)

    try:
        end = await within(timeout_s, _all_pages(source, take_in_time))
    except TookTooLong as exc:
        raise Unreachable(f"the read was not finished after {timeout_s:g} s") from exc
    finally:
        over = True
    if end is None:
        raise Incomplete("the read ended without its end: it was cut off")
    if not end.full:
        raise Incomplete("the connector gave changes only, where everything was asked for")
    return end


async def _all_pages(source: OpenSource, take: Callable[[Page], Awaitable[None]]) -> End | None:
    end: End | None = None
    async with aclosing(cast(Any, source.read(None))) as pages:
        async for page in pages:
            if end is not None:
                raise Incomplete("the connector went on after the end of its read")
            await take(page)
            end = page.end
    return end


def as_connector_error(exc: Exception) -> ConnectorError:
    """What a connector raised against its contract, without its text, which may hold anything."""
    if isinstance(exc, ConnectorError):
        return exc
    return ConnectorError(f"the connector failed with {type(exc).__name__}; the log has more")


def mark(text: str) -> bytes:
    """16 bytes for a name: what millions of references weigh."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group as read. ``members`` are marks, one after the other; they mean something at the end only."""

    external_id: str
    name: str
    display_name: str
    members: bytes


#: Several answer to a name: none of them does.
_SEVERAL = ""


class References:
    """Who is meant: from the names by which groups point to members, to external ids.

    Groups may come before the people whom they list, so names are resolved when all is read. A name
    that nobody answers to, or several do, stays as it is: the door keeps it, and it resolves when its
    entry appears. Entries that are out of scope answer to what nobody in scope is called; those of nobody
    (``pass_over``) to what nobody else is.
    """

    def __init__(self) -> None:
        self._own: dict[bytes, str] = {}
        self._called: dict[bytes, str] = {}
        self._called_outside: dict[bytes, str] = {}
        self._group_names: dict[str, tuple[str, ...]] = {}
        #: Who answers to the names in scope that several answer to.
        self._rivals: dict[bytes, set[str]] = {}
        self._unknown: dict[bytes, str] = {}

    def add(self, entry: DirectoryUser | DirectoryGroup, *, in_scope: bool = True) -> None:
        own = mark(entry.external_id)
        # An external id is its entry's, whoever else is called like that.
        self._own[own] = entry.external_id
        self._unknown.pop(own, None)
        if isinstance(entry, DirectoryGroup) and entry.references:
            self._group_names[entry.external_id] = entry.references
        called = self._called if in_scope else self._called_outside
        for name in entry.references:
            key = mark(name)
            other = called.setdefault(key, entry.external_id)
            if other != entry.external_id:
                called[key] = _SEVERAL
                if in_scope:
                    self._rivals.setdefault(key, {other} - {_SEVERAL}).add(entry.external_id)
            if self._answers(key) is None:
                self._unknown[key] = name
            else:
                self._unknown.pop(key, None)

    def not_a_group(self, external_id: str) -> None:
        """A person has this id: what a group is called that has it as well is not theirs."""
        for name in self._group_names.pop(external_id, ()):
            key = mark(name)
            if self._called.get(key) == external_id:
                del self._called[key]
                if self._answers(key) is None:
                    self._unknown[key] = name

    def pass_over(self, external_ids: Collection[str]) -> None:
        """Nobody is there by these ids: none of their entries has a name that is also another one's.

        After the whole read, when it is known who is refused.
        """
        for key, rivals in self._rivals.items():
            left = rivals.difference(external_ids)
            if len(left) == 1:
                self._called[key] = left.pop()
        nobody = {_SEVERAL, *external_ids}
        for own in map(mark, external_ids):
            if self._called.get(own, _SEVERAL) not in nobody:
                self._own.pop(own, None)

    def _answers(self, key: bytes) -> str | None:
        for found in (self._own.get(key), self._called.get(key), self._called_outside.get(key)):
            if found is not None:
                return found or None
        return None

    def entry(self, group: DirectoryGroup) -> GroupEntry:
        marks = bytearray()
        for name in group.members:
            key = mark(name)
            marks += key
            if self._answers(key) is None:
                self._unknown[key] = name
        return GroupEntry(group.external_id, group.name, group.display_name, bytes(marks))

    def members(self, entry: GroupEntry) -> tuple[str, ...]:
        """The members' external ids, each once, sorted; names where nobody answers."""
        return tuple(sorted({self._resolve(key) for key in _pieces(entry.members)}))

    def resolved(self, name: str) -> str:
        """The external id of the entry that answers to this name, or the name where none does."""
        return self._answers(mark(name)) or name

    def _resolve(self, key: bytes) -> str:
        found = self._answers(key)
        return self._unknown[key] if found is None else found


def _pieces(marks: bytes) -> Iterator[bytes]:
    for at in range(0, len(marks), 16):
        yield marks[at : at + 16]


def below(members: Mapping[str, Iterable[str]], top: str, *, depth: int = 10) -> set[str]:
    """All who are in a group, itself among them, through groups in it; cycles are cut."""
    seen, edge = {top}, [top]
    for _ in range(depth):
        edge = [one for group in edge for one in members.get(group, ()) if one not in seen]
        seen.update(edge)
    return seen
