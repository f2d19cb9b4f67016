"""What the readers of all formats share: the end of a file that is no end, and texts that are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

#: Longer than a group of 100,000 members; a file without line breaks must not fill the memory.
LONGEST_LINE = 16 * 1024 * 1024


class CutOffError(Exception):
    """The file ends, or cannot be followed, in the middle of something. Says where."""


def lines_of(file: IO[str], *, must_end: bool) -> Iterator[str]:
    """Give line by line, breaks included; ``must_end`` refuses a last line without its break."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise too_long(f"line {number}")
        yield line
        if must_end and not line.endswith(("\n", "\r")):
            raise CutOffError(
                f"line {number}, the last, has no line break at its end; if nothing is missing, add one"
            )


def too_long(line: str) -> CutOffError:
    """Where a line, or what belongs to it on the lines below, has no end in sight."""
    return CutOffError(f"{line} does not end within {LONGEST_LINE >> 20} MiB")


def is_clean(text: str) -> bool:
    """Say whether a text can be stored: bytes that the encoding does not know came in as surrogates."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text
