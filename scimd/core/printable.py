"""What of other people's text may go to a terminal, or on a page."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: They join letters or keep them apart, as names in Persian, Hindi and Sinhala need it, and steer nothing.
_JOINERS: Final = "\u200c\u200d"
_WITHIN_LINES: Final = re.compile(r"[^\r\n\t]+")


def spelled_out(text: str) -> str:
    """One line that steers nothing: what is no letter, mark or space is spelled as an escape, such as \\x1b.

    That is every control character (C0, DEL, C1), line breaks too, what turns the direction of writing, and
    what no encoding holds.
    """
    if text.isprintable():
        return text
    return "".join(one if _is_harmless(one) else one.encode("unicode_escape").decode("ascii") for one in text)


def lines_spelled_out(text: str) -> str:
    """As ``spelled_out``, of text that has lines and tabs of its own: those stay."""
    return _WITHIN_LINES.sub(lambda found: spelled_out(found[0]), text)


def _is_harmless(one: str) -> bool:
    return one.isprintable() or one in _JOINERS or unicodedata.category(one) == "Zs"
