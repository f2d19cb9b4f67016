"""Ids that sort by when they were made, and the chance that is in them."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final


def uuid7(now: datetime, random_bits: bytes) -> str:
    """A UUID version 7 (RFC 9562 §5.7): milliseconds, then 74 random bits."""
    return uuid7_of(uuid7_head(now), random_bits)


def uuid7_head(now: datetime) -> str:
    """What the ids of one moment begin with."""
    return _head(int(now.timestamp()) * 1000 + now.microsecond // 1000)


def head_after(other: str) -> str:
    """What an id begins with that sorts after another one, whatever the clock has done since."""
    return _head(int(other[:8] + other[9:13], 16) + 1)


def _head(ms: int) -> str:
    ms &= (1 << 48) - 1
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"


def uuid7_of(head: str, random_bits: bytes) -> str:
    """The id that begins so; several to be made at one moment are in the order of their bits."""
    rand = int.from_bytes(random_bits[:10], "big")
    return "%s%03x-%04x-%012x" % (  # noqa: UP031 - half the time of format()
        head,
        rand >> 62 & 0xFFF,
        0x8000 | rand >> 48 & 0x3FFF,
        rand & 0xFFFFFFFFFFFF,
    )


def in_order(moment: datetime, place: int = 0) -> int:
    """Bits for ids that sort by microsecond, then by their place among those of that moment.

    Ten bits and 24; the 40 that follow are for chance.
    """
    return (moment.microsecond % 1000) << 64 | (place & 0xFFFFFF) << 40


def first_id(moment: datetime) -> str:
    """Ids that are ``in_order`` sort before it where they are of an earlier moment, and else not."""
    return uuid7(moment, in_order(moment).to_bytes(10, "big"))


class Chance:
    """Random bytes that come out the same when a body is run again."""

    __slots__ = ("_at", "_drawn")
    _PORTION: Final = 512  # one call of the system for a body of one person

    def __init__(self) -> None:
        self._drawn = bytearray()
        self._at = 0

    def rewind(self) -> None:
        self._at = 0

    def bytes(self, n: int) -> bytes:
        begin, self._at = self._at, self._at + n
        if self._at > len(self._drawn):
            self._drawn += secrets.token_bytes(max(n, self._PORTION))
        return bytes(self._drawn[begin : self._at])

    def step(self) -> int:
        """How far a counter goes on by whose number something remembered is proved, here or by a client.

        By chance: after a restore, or a fail-over to a server that lacks the last transactions, it would come
        to the same numbers again, and they would mean something else.
        """
        return 1 + int.from_bytes(self.bytes(3))
